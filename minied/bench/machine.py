"""On what was it measured? What a figure needs beside it, without the name of the machine or of any folder.

What jax runs on is asked of a process of its own: one that has begun to use an accelerator keeps most of its memory from
the processes that are to be timed.
"""

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from minied.commands.shared import usable_cores
from minied.errors import UserError

_ASK = "import jax, json; d = jax.devices(); print(json.dumps([jax.default_backend(), d[0].device_kind, len(d)]))"
_SETTINGS = ("XLA_FLAGS", "GLIBC_TUNABLES", "OMP_NUM_THREADS")


def describe() -> dict[str, Any]:
    """Return processor, memory, versions, load and settings, as JSON has them. Starts a process for a second or two."""
    backend, kind, devices = accelerator()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "processors_usable": usable_cores(),
        "processors": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "system": " ".join([platform.system(), *platform.release().split(".")[:2]]),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("minied", "jax", "jaxlib", "flax", "numpy")},
        "platform": backend,
        "device": kind,
        "devices": devices,
        "load_average_before": load,
        "settings": settings(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


@functools.cache
def accelerator() -> tuple[str, str, int]:
    """Return what jax runs on here: platform, kind of device, number of devices.

    Raises `UserError` if jax does not start.
    """
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True)
    try:
        backend, kind, number = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        words = done.stderr.strip().splitlines() or ["it said nothing"]
        raise UserError(f"jax does not start here: {words[-1][:300]}") from None
    return backend, kind, number


def settings() -> dict[str, str]:
    """Return the settings of XLA, of jax and of memory that are set in the environment, less the places that they name."""
    names = sorted(name for name in os.environ if name in _SETTINGS or name.startswith(("JAX_", "XLA_PYTHON_")))
    return {name: " ".join(_without_place(word) for word in os.environ[name].split()) for name in names}


def _without_place(word: str) -> str:
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}…" if os.sep in value else word


def _processor() -> str:
    """Return the model of the processor, as far as the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(errors="replace").splitlines() if information.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return None
