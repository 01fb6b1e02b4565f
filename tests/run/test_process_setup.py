"""How a command sets its process up: a CPU device a core, unless the user has said how many or it is too late."""

import os
import subprocess
import sys

SCRIPT = """
import os
import types
from minied.commands import shared
import jax

def decided(cores, maximum="max 100000"):
    "What is decided before anything is computed: a number of devices."
    if hasattr(os, "sched_getaffinity"):
        os.sched_getaffinity = lambda process: set(range(cores))
    else:
        os.cpu_count = lambda: cores
    shared.Path = lambda place: types.SimpleNamespace(read_text=lambda: maximum)
    jax.config.update("jax_num_cpu_devices", -1)
    shared.use_cores()
    return jax.config.jax_num_cpu_devices

if os.environ["CASE"] == "decides":
    print(
        decided(3),  # one a core
        decided(1),
        decided(64, "250000 100000"),  # a container's quota of 2.5 cores
        decided(2, "800000 100000"),  # a quota above what the process may use
        decided(4, "10000 100000"),  # at least one
    )
    jax.config.update("jax_num_cpu_devices", 3)  # by the user's own program
elif os.environ["CASE"] == "too late":
    jax.devices()
shared.usable_cores = lambda: 2
shared.use_cores()  # no error, even where it is too late
print(len(jax.devices()))
shared.use_cores()
print(len(jax.devices()))
"""
CASES = {
    # whose number of devices counts: the environment, and what is printed
    "decides": ({}, "3 1 3 2 1 3 3"),
    "XLA's own flag": ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, "3 3"),
    "JAX's variable": ({"JAX_NUM_CPU_DEVICES": "3"}, "3 3"),
    "too late": ({}, "1 1"),
    "in time": ({}, "2 2"),
}


def test_a_command_gives_its_process_a_device_a_core_unless_the_user_has_said_or_it_is_too_late():
    clean = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    clean |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=clean | {"CASE": name} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, (environment, _) in CASES.items()
    }
    printed = {name: " ".join(process.communicate()[0].split()) for name, process in processes.items()}
    assert printed == {name: expected for name, (_, expected) in CASES.items()}


def test_a_teacher_that_reads_levels_leaves_a_device_a_core(tmp_path):
    """Its file is read, and checked by computing, before the run's program is made."""
    (tmp_path / "levels.txt").write_text(">..#.\n.#.#.\n.#...\n.###.\n....G\n")
    clean = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")}
    clean |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    clean |= {"MINIED_CACHE_DIR": str(tmp_path / "cache")}
    script = (
        "from minied.commands import shared\n"
        "shared.usable_cores = lambda: 2\n"
        "import minied.run.session as session\n"
        "from minied.train.setting import spread_for\n"
        "session.train = lambda config, *rest: print(spread_for(config)) or 0\n"
        "from minied.cli import main\n"
        "raise SystemExit(main(['train', 'small/dr', '--teacher', 'fixed_curriculum', '--teacher.file', 'levels.txt',\n"
        "    '--env.height', '5', '--env.width', '5', '--env.levels.num-walls', '8', '--run-dir', 'run']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=clean, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Spread(axis='environments', number=2)\n"
