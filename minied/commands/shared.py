"""What several commands need: how the process is set up for JAX, how a config is named, how JSON is printed."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minied.errors import UserError

if TYPE_CHECKING:
    from minied.train.config import TrainConfig


def prepare(config: "TrainConfig", *, loop_capture: bool = False) -> None:
    """Set JAX up for a run of ``config``, before its first computation: compiled programs are kept, cores are devices.

    With ``loop_capture``, see `capture_loops`. Raises `UserError` for a number of devices that does not divide the run, and
    for a capture without a GPU.
    """
    enable_compilation_cache()
    use_cores(config.num_devices, config.num_seeds, config.num_envs, config.ppo.num_minibatches)
    if loop_capture:
        capture_loops()


def capture_loops() -> None:
    """Have XLA record loops and branches as command buffers (CUDA graphs): one launch for a loop, not one a kernel and step.

    XLA's default records single kernels only. Raises `UserError` if JAX does not compute on a GPU here.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL".strip()
    import jax

    if (backend := jax.default_backend()) != "gpu":
        raise UserError(f"--loop-capture is for GPUs, and JAX computes on {backend} here; allowed: --no-loop-capture")


def use_cores(num_devices: int, num_members: int, num_envs: int, num_minibatches: int) -> None:
    """Give this process as many CPU devices as the run is spread over, unless the user has said how many.

    XLA spreads a matrix product of a few rows badly over threads: a device for each core, each with its own environments,
    learns sooner. A user says so with ``JAX_NUM_CPU_DEVICES`` or XLA's own flag. On other backends this changes nothing.
    """
    import jax

    from minied.spread import best_spread

    spread = best_spread(_num_cores(), num_devices, num_members, num_envs, num_minibatches)
    has_said = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    has_said |= getattr(jax.config, "jax_num_cpu_devices", -1) > 0  # a flag that jax's own types do not know of
    if spread.number == 1 or has_said:
        return
    # Raises a RuntimeError if this process has computed already, as in a notebook: it keeps the devices it has.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", spread.number)


def _num_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # what this process may use; not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
