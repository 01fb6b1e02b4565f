"""What several commands need: how the process is set up for JAX, how a config is named, how JSON is printed."""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minied.errors import UserError


def prepare(arguments: Sequence[str] = ()) -> None:
    """Set JAX up for a command: compiled programs are kept, each core is a device; and what its ``arguments`` ask for.

    That is to join the processes of a run, and to capture loops. To be called before a config is read: a world or a teacher
    may compute as it reads its file, and then it is too late. Raises `UserError` for a capture without a GPU, and as
    `minied.hosts.start`.
    """
    enable_compilation_cache()
    use_cores()
    arguments = [_dashed(each) for each in arguments]
    if {"--distributed", "--coordinator", "--num-processes", "--process-id"} & {
        each.partition("=")[0] for each in arguments
    }:
        join_processes(arguments)
    if "--loop-capture" in arguments:
        capture_loops()


def _dashed(argument: str) -> str:
    """Return an argument as the parser of options reads it, to which ``--a_b`` is ``--a-b``."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if argument.startswith("--") else argument


def join_processes(arguments: Sequence[str]) -> None:
    """Join the other processes of a run as the options among ``arguments``, with dashes, say; see `minied.hosts.start`."""
    from minied import hosts
    from minied.config.options import take_option

    coordinator = take_option(arguments, "--coordinator")[0] or ""
    numbers = {}
    for name, default in (("--num-processes", 0), ("--process-id", -1)):
        text = take_option(arguments, name)[0]
        try:
            numbers[name] = default if text is None else int(text)
        except ValueError as error:
            raise UserError(f"{name} is {text!r}; allowed: a whole number") from error
    slurm = "--distributed" in arguments
    hosts.start(coordinator, numbers["--num-processes"], numbers["--process-id"], slurm=slurm)


LOOP_CAPTURE = "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL"
"""XLA's default records single kernels only."""


def capture_loops() -> None:
    """Have XLA record loops and branches as command buffers (CUDA graphs): one launch for a loop, not one a kernel and step.

    Raises `UserError` if JAX does not compute on a GPU here.
    """
    import jax

    before = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{before or ''} {LOOP_CAPTURE}".strip()
    if (backend := jax.default_backend()) == "gpu":
        return
    if before is None:
        del os.environ["XLA_FLAGS"]
    else:
        os.environ["XLA_FLAGS"] = before
    raise UserError(f"--loop-capture is for GPUs, and JAX computes on {backend} here; allowed: --no-loop-capture")


def use_cores() -> None:
    """Give this process a CPU device a core, unless the user has said how many; `minied.spread` says how many a run uses.

    XLA spreads a matrix product of a few rows badly over threads: a device for each core, each with its own environments,
    learns sooner. A user says so with ``JAX_NUM_CPU_DEVICES`` or XLA's own flag. On other backends this changes nothing.
    """
    import jax

    has_said = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    has_said |= getattr(jax.config, "jax_num_cpu_devices", -1) > 0  # a flag that jax's own types do not know of
    if has_said:
        return
    # Raises a RuntimeError if this process has computed already, as in a notebook: it keeps the devices it has.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", usable_cores())


def usable_cores() -> int:
    """Return how many cores this process may use, by its affinity and by the quota of its container."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no container, or "max": as many as there are
        return cores


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk for the next run, unless the user has already said where JAX keeps them.

    The folder is ``$MINIED_CACHE_DIR/jax``, by default ``~/.cache/minied/jax``. Called by commands, never at import.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    import jax

    folder = Path(os.environ.get("MINIED_CACHE_DIR") or Path("~/.cache/minied").expanduser()) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"minied: compiled programs are not kept: {folder}: {error.strerror}", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A run has some forty small programs beside its loop; by default JAX keeps none that took less than a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def positional(arguments: list[str], default: str | None = None) -> tuple[str | None, list[str]]:
    """Return the first argument if it is not an option, else ``default``, and the rest.

    Raises `UserError` for a second one.
    """
    if not arguments or arguments[0].startswith("-"):
        return default, arguments
    first, *rest = arguments
    if rest and not rest[0].startswith("-"):
        raise UserError(f"unexpected argument {rest[0]!r} after {first!r}; allowed: one at a time, then options")
    return first, rest


def print_json(data: Any) -> None:
    """Print one JSON value to standard output."""
    print(json.dumps(data, allow_nan=False, indent=2), flush=True)
