"""Peers: what is installed is whole and as pinned, and a process that misbehaves ends in one line and never stays behind."""

import argparse
import ast
import json
import os
import py_compile
import sys
import textwrap
import time
from pathlib import Path

import pytest

from minied.bench.peers import environments, minimax_training, process
from minied.bench.peers.environments import (
    OURSELVES,
    PEERS,
    WHOLE,
    environment_folder,
    is_whole,
    python_of,
    requirements_of,
)
from minied.bench.peers.minimax_training import METHODS
from minied.bench.peers.process import SCRIPTS, Peer, own_environment, peer_environment, start_peer
from minied.errors import UserError

FOLDER = Path(process.__file__).parent
STANDALONE = [*(name for name, peer in SCRIPTS.items() if peer != OURSELVES), "protocol", "world_loop"]
READY = """
import json, os, sys, time
def say(**answer):
    print(json.dumps(answer), flush=True)
say(ready=True, platform="cpu", first_call_seconds=1.5, versions={"fake": "1"}, workload={"arguments": sys.argv[1:]})
"""


@pytest.fixture
def fake(tmp_path):
    """Make a peer of a script's text, run by this very Python."""

    def make(text, *arguments, ready=True, **keywords):
        script = tmp_path / "fake_peer.py"
        script.write_text((READY if ready else "") + textwrap.dedent(text))
        keywords.setdefault("patience_seconds", 30.0)
        return Peer(script, Path(sys.executable), arguments, **keywords)

    return make


def failure(peer, timings=1):
    """The one line that opening and timing it ends in."""

    def run():
        with peer:
            for _ in range(timings):
                peer.time()

    with pytest.raises(UserError) as caught:
        run()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("fake_peer ")
    assert peer._process is None  # ended, however it failed
    return message


COUNTING = """
for number, line in enumerate(sys.stdin, start=1):
    assert line in ("time\\n", "quit\\n"), line
    if line == "quit\\n":
        open(sys.argv[1], "w").write("ended by itself")
        break
    say(seconds=number / 2, steps=100 * number, learnt=7)
"""


def test_a_peer_is_asked_and_answers(fake, tmp_path):
    end = tmp_path / "end"
    with fake(COUNTING, str(end)) as peer:
        assert peer.ready["first_call_seconds"] == 1.5
        assert peer.ready["workload"] == {"arguments": [str(end)]}
        assert peer.time() == (0.5, 100)
        assert peer.time() == (1.0, 200)
        assert peer.last == {"seconds": 1.0, "steps": 200, "learnt": 7}
        assert not end.exists()
    assert end.read_text() == "ended by itself"  # `quit` was enough


def test_two_peers_can_be_timed_in_turn(fake, tmp_path):
    with fake(COUNTING, str(tmp_path / "a")) as a, fake(COUNTING, str(tmp_path / "b")) as b:
        assert [a.time(), b.time(), b.time(), a.time()] == [(0.5, 100), (0.5, 100), (1.0, 200), (1.0, 200)]


def test_one_that_dies_before_it_is_ready_is_told_with_its_last_words(fake):
    message = failure(fake("raise SystemExit('no module named peer')", ready=False))
    assert "exit code 1" in message
    assert "to be ready" in message
    assert "no module named peer" in message


def test_one_that_dies_while_timed_is_told_with_its_last_words(fake):
    message = failure(fake("next(sys.stdin); sys.stderr.write('out of\\nmemory\\n\\n'); os._exit(9)"))
    assert "exit code 9" in message
    assert "out of | memory" in message


def test_one_that_is_killed_is_told_with_the_signal(fake):
    message = failure(fake("next(sys.stdin); os.kill(os.getpid(), 11)"))
    assert "signal 11" in message


def test_one_that_died_between_two_timings_is_told(fake):
    peer = fake("next(sys.stdin); say(seconds=1.0, steps=1); os._exit(3)")
    assert "exit code 3" in failure(peer, timings=3)


def test_long_last_words_are_cut(fake):
    message = failure(fake("sys.exit('x' * 100_000)"))
    assert len(message) < 1000
    assert failure(fake("sys.exit('first\\nsecond\\nthird\\nfourth')")).endswith("it said: second | third | fourth")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "print('Installing the best library of all', flush=True); time.sleep(60)",
            "'Installing the best library of all'",
        ),
        ("print('[1, 2]', flush=True); time.sleep(60)", "'[1, 2]'"),
    ],
    ids=["words", "a list"],
)
def test_garbage_is_told_as_it_is(fake, text, told):
    message = failure(fake("import time\n" + text, ready=False))
    assert "not a JSON object" in message
    assert told in message


@pytest.mark.parametrize(
    "answer",
    [
        "seconds=0.0, steps=5",
        "seconds=1.0, steps=0",
        "seconds=1.0",
        "steps=5",
        "seconds='1', steps=5",
        "seconds=True, steps=5",
        "seconds=float('nan'), steps=5",
        "seconds=float('inf'), steps=5",
        "error='unknown request'",
    ],
)
def test_an_answer_without_seconds_and_steps_is_an_error(fake, answer):
    assert "instead of seconds and steps" in failure(fake(f"next(sys.stdin); say({answer})\ntime.sleep(60)"))


def test_a_first_line_that_does_not_say_ready_is_an_error(fake):
    message = failure(fake("import json; print(json.dumps({'seconds': 1.0, 'steps': 1}), flush=True)", ready=False))
    assert "instead of being ready" in message


def test_one_that_is_never_ready_is_ended_after_the_patience(fake):
    began = time.monotonic()
    message = failure(fake("import time; time.sleep(600)", ready=False, patience_seconds=0.3))
    assert "to be ready" in message
    assert "0.3 s" in message
    assert time.monotonic() - began < 60  # not the 600 of its sleep; says nothing of speed


def test_one_that_never_answers_is_ended_after_the_patience(fake):
    with fake("next(sys.stdin); time.sleep(600)") as peer:
        peer._patience = 0.2
        with pytest.raises(UserError, match=r"for a timing longer than 0\.2 s"):
            peer.time()
        peer._process.kill()  # (it would be asked to quit in peace, as the error was handled inside)


def test_one_that_ignores_everything_is_killed(fake, monkeypatch):
    monkeypatch.setattr(process, "_END_SECONDS", 0.2)
    text = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(seconds=1.0, steps=1)\ntime.sleep(600)"
    with fake(text) as peer:
        peer.time()
        running = peer._process
    assert running.returncode == -9


def test_another_platform_is_refused(fake):
    with pytest.raises(UserError, match="runs on 'cpu', not on 'gpu': not comparable"), fake("", platform="gpu"):
        pass


def test_a_python_that_is_not_there_is_told(tmp_path):
    with (
        pytest.raises(UserError, match=r"fake_peer does not start: .*no_python"),
        Peer(tmp_path / "fake_peer.py", tmp_path / "no_python"),
    ):
        pass


def test_an_error_in_the_block_ends_the_peer(fake):
    peer = fake("time.sleep(600)")
    with pytest.raises(ZeroDivisionError), peer:
        _ = 1 / 0
    assert peer._process is None


def test_a_peer_is_timed_inside_its_block_only(fake):
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        fake("").time()


def test_a_peer_inherits_no_packages_and_no_settings_of_jax(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("XLA_FLAGS", "--xla_of_tomorrow")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("KEPT", "yes")
    given = peer_environment("cpu", {"XLA_FLAGS": "--on_purpose"})
    assert given["KEPT"] == "yes"
    assert given["JAX_PLATFORMS"] == "cpu"
    assert given["XLA_FLAGS"] == "--on_purpose"
    assert not {"PYTHONPATH", "JAX_ENABLE_X64"} & set(given)
    assert "JAX_PLATFORMS" not in peer_environment("gpu")
    assert "XLA_FLAGS" not in peer_environment("gpu")


def test_scripts_are_started_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "python_of", lambda name, platform: tmp_path / f"{name}-{platform}")
    peer = start_peer("minimax_maze", ["--restart", "same"])  # the tests run on cpu
    assert peer._command == [str(tmp_path / "minimax-cpu"), str(FOLDER / "minimax_maze.py"), "--restart", "same"]
    assert peer._environment == peer_environment("cpu")
    with pytest.raises(UserError, match=r"unknown script of a peer 'minimax_mace' \(did you mean 'minimax_maze'\?\)"):
        start_peer("minimax_mace")


def test_minied_is_run_by_this_interpreter_in_the_environment_of_its_user(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("XLA_FLAGS", "--xla_of_mine")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/kept")
    peer = start_peer("minied_maze", ["--restart", "same"], "cpu", {"JAX_NUM_CPU_DEVICES": "3"})
    assert peer._command == [sys.executable, str(FOLDER / "minied_maze.py"), "--restart", "same"]
    given = peer._environment
    assert (given["PYTHONPATH"], given["XLA_FLAGS"], given["JAX_PLATFORMS"]) == ("/somewhere", "--xla_of_mine", "cpu")
    assert given["JAX_NUM_CPU_DEVICES"] == "3"
    assert "JAX_COMPILATION_CACHE_DIR" not in given  # a first call is one that compiles
    kept = own_environment("gpu", {"JAX_COMPILATION_CACHE_DIR": "/mine"})
    assert kept["JAX_COMPILATION_CACHE_DIR"] == "/mine"
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    assert own_environment("gpu")["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.9"
    # Three processes share an accelerator: minied and minimax with its metrics on and off.
    assert 3 * float(peer_environment("gpu")["XLA_PYTHON_CLIENT_MEM_FRACTION"]) <= 1


# --- the scripts ---


@pytest.mark.parametrize("name", STANDALONE)
def test_scripts_are_python_3_10_and_stand_alone(name, tmp_path):
    """Compiled, and read by the grammar of the oldest Python that runs one; no word of minied's is imported."""
    path = FOLDER / f"{name}.py"
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled"), doraise=True)
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {each for each in imported if each.split(".")[0].startswith("minied")}
    assert imported - {"__future__"}


def test_every_script_has_a_peer_and_every_peer_a_script():
    assert set(SCRIPTS.values()) == {*PEERS, OURSELVES}
    assert OURSELVES not in PEERS
    there = {path.stem for path in FOLDER.glob("*.py")}
    assert there == {*STANDALONE, *SCRIPTS, "__init__", "environments", "process"}


WORKLOAD = """
import os, sys
sys.path.insert(0, {folder!r})
from protocol import Workload, argument_parser, serve
def build(options):
    print("a greeting of the library")
    os.write(1, b"and one of its compiled part\\n")
    calls = []
    def call():
        calls.append(1)
        return [], [len(calls), 0.25]
    def count():
        done = len(calls) - count.before
        count.before = len(calls)
        return {{"steps": done * options.steps * options.num_envs}}
    count.before = 0
    return Workload(call, count, {{"what": "fake"}})
serve(argument_parser("a test"), build, ["numpy"])
"""


def test_the_protocol_and_the_process_understand_each_other(tmp_path):
    """`protocol.serve` at work: first call and warm-up are not counted, nothing a library prints is taken for an answer."""
    script = tmp_path / "fake_peer.py"
    script.write_text(WORKLOAD.format(folder=str(FOLDER)))
    arguments = ["--num-envs", "3", "--steps", "5", "--calls-per-timing", "4", "--warm-up-calls", "2"]
    with Peer(script, Path(sys.executable), arguments, patience_seconds=120.0) as peer:
        assert peer.ready["workload"]["what"] == "fake"
        assert peer.ready["workload"]["num_envs"] == 3
        assert {"numpy", "jax", "jaxlib", "python"} == set(peer.ready["versions"])
        for calls_so_far in (1 + 2 + 4, 1 + 2 + 4 + 4):  # first, warm-up, timing, timing
            seconds, steps = peer.time()
            assert seconds > 0
            assert steps == 4 * 3 * 5
            assert peer.last["witness"] == calls_so_far + 0.25
        assert peer.time(2)[1] == 2 * 3 * 5  # as many calls as were asked for, this once
        assert peer.last["witness"] == 1 + 2 + 4 + 4 + 2 + 0.25
        assert 2**20 < peer.ready["peak_resident_bytes"] <= peer.last["peak_resident_bytes"] < 2**40
        with pytest.raises(UserError, match="unknown request 'time 0'"):
            peer.time(0)
    assert {"a greeting of the library\n", "and one of its compiled part\n"} <= set(peer._last_words)


def test_arguments_out_of_range_are_refused_by_the_script(tmp_path):
    script = tmp_path / "fake_peer.py"
    script.write_text(WORKLOAD.format(folder=str(FOLDER)))
    message = failure(Peer(script, Path(sys.executable), ["--steps", "0"], patience_seconds=120.0))
    assert "--steps must be 1 or more" in message
    message = failure(Peer(script, Path(sys.executable), ["--unknown", "1"], patience_seconds=120.0))
    assert "--unknown" in message


WORLD = """
import sys
sys.path.insert(0, {folder!r})
from protocol import argument_parser, serve
def build(options):
    from world_loop import world_workload
    import jax.numpy as jnp
    def step(key, state, action):
        return state + 1, {{"count": state + 1, "none": jnp.zeros((2, 2), bool)}}
    return world_workload(options, lambda key: jnp.int32(0), step, 3, {{"world": "counter"}})
serve(argument_parser("a test"), build, [])
"""


def test_the_loop_of_worlds_steps_every_environment_and_reads_every_observation(tmp_path):
    """A world that observes how many steps it made: sums over steps and environments tell what was run."""
    script = tmp_path / "fake_peer.py"
    script.write_text(WORLD.format(folder=str(FOLDER)))
    arguments = ["--num-envs", "3", "--steps", "4", "--calls-per-timing", "2", "--warm-up-calls", "0"]
    with Peer(script, Path(sys.executable), arguments, patience_seconds=120.0) as peer:
        for last_step in (4 * 3, 4 * 5):  # the first call makes 4 steps, each timing two times 4
            _, steps = peer.time()
            assert steps == 2 * 4 * 3
            last_call = sum(range(last_step - 3, last_step + 1))  # the witness is of the last call: its four steps
            assert peer.last["witness"] == 3 * last_call


BATCHED = """
import sys
sys.path.insert(0, {folder!r})
from protocol import argument_parser, serve
def build(options):
    from world_loop import world_workload
    import jax.numpy as jnp
    def begin(keys):
        return jnp.zeros(keys.shape[0], int)
    def step(keys, states, actions):
        assert keys.shape[0] == states.shape[0] == actions.shape[0] == 3
        states = states + jnp.arange(3)
        return states, states
    return world_workload(options, begin, step, 3, {{"world": "counters"}}, batched=True)
serve(argument_parser("a test"), build, [], passed_on="more")
"""


def test_a_world_may_step_all_its_environments_at_once(tmp_path):
    """Environment i counts by i, so that 0 + 1 + 2 are added in each step; unknown words reach the script."""
    script = tmp_path / "fake_peer.py"
    script.write_text(BATCHED.format(folder=str(FOLDER)))
    arguments = ["--num-envs", "3", "--steps", "4", "--warm-up-calls", "0", "--env.height", "5"]
    with Peer(script, Path(sys.executable), arguments, patience_seconds=120.0) as peer:
        assert peer.ready["workload"]["more"] == ["--env.height", "5"]
        assert peer.time()[1] == 4 * 3
        assert peer.last["witness"] == (0 + 1 + 2) * (5 + 6 + 7 + 8)  # the first call made the steps 1 to 4


@pytest.fixture
def recipes(tmp_path):
    """The entries of minimax's recipes that matter here, in its form."""
    common = {"seed": [1], "n_parallel": [32], "track_env_metrics": [True], "test_env_names": ["a,b"], "lr": [1e-4]}
    buffer = {
        "plr_buffer_size": [4000],
        "plr_replay_prob": [0.8],
        "plr_min_fill_ratio": [0.5],
        "plr_use_robust_plr": [True],
    }
    for name in ("dr", "paired", "plr", "accel", "pplr", "paccel"):
        content = {"args": common | ({} if name in ("dr", "paired") else buffer) | {"name": [name]}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def minimax_arguments(recipes, **options):
    chosen = {"method": "dr", "metrics": "on", "updates": "mixed", "seed": 5, "num_envs": 32, "steps": 256} | options
    return minimax_training.arguments_of(argparse.Namespace(**chosen), recipes)


def test_minimax_gets_its_own_recipe_but_for_what_is_told(recipes):
    assert minimax_arguments(recipes, num_envs=8) == {
        "seed": "5", "n_parallel": "8", "n_rollout_steps": "256", "track_env_metrics": "True", "lr": "0.0001", "name": "dr",
    }  # fmt: skip
    assert minimax_arguments(recipes, metrics="off")["track_env_metrics"] == "False"
    accel = minimax_arguments(recipes, method="accel")
    assert (accel["name"], accel["plr_replay_prob"]) == ("accel", "0.8")
    assert float(accel["plr_min_fill_ratio"]) * 4000 == 1  # one level is enough to replay
    assert minimax_arguments(recipes, method="accel", updates="replay")["plr_replay_prob"] == "1.0"
    assert minimax_arguments(recipes, method="accel", updates="new")["plr_replay_prob"] == "0.0"


def test_minimax_learns_from_new_levels_under_plain_plr_alone(recipes):
    robust = {method: minimax_arguments(recipes, method=method).get("plr_use_robust_plr") for method in METHODS}
    assert robust == {
        "dr": None, "paired": None, "plr": "False", "robust_plr": "True", "accel": "True", "parallel_plr": "True",
        "parallel_accel": "True",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "updates", "learnt_in", "batches"),
    [
        ("dr", 5, 5, 5),
        ("plr", 5, 5, 5),
        ("robust_plr", 5, 2, 5),
        ("accel", 5, 2, 5 + 2),  # children of the two replayed batches
        ("parallel_plr", 5, 5, 2 * 5),
        ("parallel_accel", 5, 5, 3 * 5),
    ],
)
def test_steps_of_minimax_are_counted_by_what_its_updates_did(method, updates, learnt_in, batches):
    counted = minimax_training.counts_of(METHODS[method], updates, learnt_in, 32 * 256)
    assert counted == {
        "steps": batches * 8192, "learnt": learnt_in * 8192, "updates": updates, "gradient_updates": learnt_in,
    }  # fmt: skip


def test_both_students_of_minimax_paired_are_counted():
    counted = minimax_training.counts_of(METHODS["paired"], 5, 5, 32 * 256)
    assert counted == {"steps": 10 * 8192, "learnt": 10 * 8192, "updates": 5, "gradient_updates": 5}


# --- environments ---


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIED_CACHE_DIR", str(tmp_path))
    return tmp_path / "peers"


@pytest.fixture
def installer(monkeypatch):
    """Stands in for venv and pip: makes the folder's Python, and does as told."""
    commands = []

    def run(command, failure):
        commands.append(command)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text("")
        if "install" in command and run.broken is not None:
            raise run.broken
        return "one==1\ntwo==2\n" if "freeze" in command else ""

    run.broken = None
    run.commands = commands
    monkeypatch.setattr(environments, "_run", run)
    monkeypatch.setattr(environments, "_find_interpreter", lambda name, versions: Path(sys.executable))
    return run


def repin(monkeypatch, name, old, new):
    needed = PEERS[name]
    packages = tuple(each.replace(old, new) for each in needed.packages)
    assert packages != needed.packages
    monkeypatch.setitem(PEERS, name, needed._replace(packages=packages))


def test_another_pin_is_another_folder(cache, monkeypatch):
    before = environment_folder("navix")
    assert before.parent == cache
    assert before.name.startswith("navix-")
    assert environment_folder("navix") == before
    repin(monkeypatch, "navix", "0.7.4", "0.7.5")
    assert environment_folder("navix") != before
    assert len({environment_folder(name, platform) for name in PEERS for platform in ("cpu", "gpu")}) == 2 * len(PEERS)


def test_every_requirement_is_pinned_and_on_a_gpu_only_jax_differs():
    for name in PEERS:
        packages = requirements_of(name).packages
        assert all("==" in each or "<" in each for each in packages)
        assert len(set(packages)) == len(packages)
        on_gpu = requirements_of(name, "gpu").packages
        changed = [(a, b) for a, b in zip(packages, on_gpu, strict=True) if a != b]
        version = next(each for each in packages if each.startswith("jax==")).removeprefix("jax==")
        assert changed == [(f"jax=={version}", f"jax[cuda12]=={version}")]


def test_what_is_installed_is_kept(cache, installer, capsys):
    python = python_of("navix")
    assert python == environment_folder("navix") / "bin" / "python"
    assert python.exists()
    assert len(installer.commands) == 3
    assert {"navix==0.7.4", "jax==0.10.2"} <= set(installer.commands[1])
    record = json.loads((environment_folder("navix") / WHOLE).read_text())
    assert record == {"requirements": list(PEERS["navix"].packages), "installed": ["one==1", "two==2"]}
    told = capsys.readouterr()
    assert told.out == ""
    assert "installing peer navix" in told.err
    assert python_of("navix") == python
    assert len(installer.commands) == 3
    assert [each.name for each in cache.iterdir()] == [environment_folder("navix").name]  # nothing temporary is left


@pytest.mark.parametrize("broken", [UserError("no network"), KeyboardInterrupt()], ids=["fails", "interrupted"])
def test_an_interrupted_installation_leaves_nothing_and_is_made_again(cache, installer, broken):
    installer.broken = broken
    with pytest.raises(type(broken)):
        python_of("navix")
    assert list(cache.iterdir()) == []
    installer.broken = None
    assert python_of("navix").exists()


def damage_record(folder):
    (folder / WHOLE).unlink()


def damage_text(folder):
    (folder / WHOLE).write_text('{"requirements": [')


def damage_kind(folder):
    (folder / WHOLE).write_text("[]")


def damage_requirements(folder):
    (folder / WHOLE).write_text('{"requirements": ["navix"]}')


def damage_python(folder):
    (folder / "bin" / "python").unlink()


@pytest.mark.parametrize("damage", [damage_record, damage_text, damage_kind, damage_requirements, damage_python])
def test_a_folder_that_is_not_whole_is_made_again(cache, installer, damage):
    python = python_of("navix")
    folder = environment_folder("navix")
    (folder / "leftover").write_text("")
    damage(folder)
    assert not is_whole(folder, requirements_of("navix"))
    assert python_of("navix") == python
    assert is_whole(folder, requirements_of("navix"))
    assert python.exists()
    assert not (folder / "leftover").exists()
    assert len(installer.commands) == 6


def test_one_that_another_process_finished_meanwhile_is_used(cache, installer, monkeypatch):
    meanwhile = []

    def run(command, failure):
        if "freeze" in command and not meanwhile:  # another process does the whole of it while this one installs
            meanwhile.append(True)
            python_of("navix")
            (environment_folder("navix") / "theirs").write_text("")
        return installer(command, failure)

    monkeypatch.setattr(environments, "_run", run)
    assert python_of("navix").exists()
    assert (environment_folder("navix") / "theirs").exists()
    assert len(list(cache.iterdir())) == 1


def one_line(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_names_and_platforms_are_told_in_one_line(cache):
    assert "unknown peer 'minimaxx' (did you mean 'minimax'?)" in one_line(lambda: python_of("minimaxx"))
    assert "'tpu'; allowed: cpu, gpu" in one_line(lambda: python_of("navix", "tpu"))
    assert not cache.exists()


def stub(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_the_running_python_is_taken_if_it_fits(monkeypatch):
    monkeypatch.setenv("PATH", "")
    running = sys.version_info[:2]
    assert environments._find_interpreter("x", ((3, 1), running)) == Path(sys.executable)


def test_a_python_on_the_path_is_taken_if_it_starts_and_is_what_it_is_called(monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    stub(first, "python3.3", "exit 127\n")  # a version manager's stub for a version that is not installed
    stub(first, "python3.2", "echo 2 7\n")  # calls itself otherwise
    good = stub(second, "python3.1", "echo 3 1\n")
    monkeypatch.setenv("PATH", f"{first}{os.pathsep}{second}")
    assert environments._find_interpreter("x", ((3, 3), (3, 2), (3, 1))) == good
    message = one_line(lambda: environments._find_interpreter("x", ((3, 3), (3, 2))))
    assert "needs Python 3.3 or 3.2" in message
    assert "install one as python3.3" in message


def test_a_command_that_fails_is_told_by_its_last_error_in_one_line(tmp_path):
    pip = stub(tmp_path / "bin", "pip", "echo 'ERROR: no matching\nERROR: no network' >&2; echo bye >&2; exit 1\n")
    message = one_line(lambda: environments._run([str(pip)], "peer x could not be installed"))
    assert message.startswith("peer x could not be installed: ERROR: no network (")
    assert "pip reaches" in message
    assert "does not start" in one_line(lambda: environments._run([str(tmp_path / "nothing")], "peer x"))


def test_a_command_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "INSTALLING_SECONDS", 0.2)
    code = "import time; time.sleep(600)"
    assert "not done in 0.2 s" in one_line(lambda: environments._run([sys.executable, "-c", code], "peer x"))


def test_a_cache_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIED_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(environments, "_find_interpreter", lambda name, versions: Path(sys.executable))
    assert "MINIED_CACHE_DIR names another place" in one_line(lambda: python_of("navix"))
