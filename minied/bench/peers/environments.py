"""Where each peer is installed and how: a virtual environment of its own, made once and kept.

The folder is ``$MINIED_CACHE_DIR/peers/NAME-HASH``, by default under ``~/.cache/minied``; the hash is of the requirements,
so that other pins are another environment. It is made under a temporary name and renamed when everything is installed,
and it tells what it holds in a file written last: an interrupted installation is never taken for a finished one.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from minied.errors import UserError, unknown_name

WHOLE = "whole.json"
"""Written last into an environment: its requirements and everything that is installed."""
INSTALLING_SECONDS = 1800.0
"""No installation takes this long unless the network hangs."""


class Requirements(NamedTuple):
    """What a peer needs."""

    packages: tuple[str, ...]  # pinned, as pip takes them
    pythons: tuple[tuple[int, int], ...]  # (major, minor) versions for which the pins exist, best first


_JAX = ("jax==0.10.2", "jaxlib==0.10.2", "flax==0.12.8")
_TODAY = ((3, 11), (3, 12), (3, 13))
PEERS: dict[str, Requirements] = {
    # minimax names only lower bounds for most of these, and fails on today's versions. Its numpy has no build for
    # Python 3.12, where jax 0.4.31 asks for a later one; minimax itself needs 3.10.
    "minimax": Requirements(
        (
            "minimax-lib==0.2.0",
            "jax==0.4.31",
            "jaxlib==0.4.31",
            "flax==0.8.5",
            "optax==0.2.3",
            "chex==0.1.86",
            "orbax-checkpoint==0.5.20",
            "scipy<1.13",
            "numpy==1.25.2",
            "pandas==1.5.3",
            "tensorflow-probability==0.23.0",
        ),
        ((3, 11), (3, 10)),
    ),
    # gymnax imports six and does not declare it.
    "jaxued": Requirements(("jaxued==0.0.1", *_JAX, "gymnax==1.0.1", "six==1.17.0"), _TODAY),
    "xminigrid": Requirements(("xminigrid==0.9.3", *_JAX), _TODAY),
    "navix": Requirements(("navix==0.7.4", *_JAX), ((3, 11),)),
}


def requirements_of(name: str, platform: str = "cpu") -> Requirements:
    """Return what peer ``name`` needs to run on ``platform``, cpu or gpu.

    Raises:
        UserError: there is no such peer, or peers cannot be installed for the platform.
    """
    if name not in PEERS:
        raise unknown_name("peer", name, list(PEERS))
    if platform not in ("cpu", "gpu"):
        raise UserError(f"peers cannot be timed on platform {platform!r}; allowed: cpu, gpu")
    needed = PEERS[name]
    if platform == "cpu":
        return needed
    packages = tuple(
        each.replace("jax==", "jax[cuda12]==") if each.startswith("jax==") else each for each in needed.packages
    )
    return needed._replace(packages=packages)


def environment_folder(name: str, platform: str = "cpu") -> Path:
    """Return the folder of the peer's environment, whether it exists or not."""
    packages = requirements_of(name, platform).packages
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("MINIED_CACHE_DIR") or Path("~/.cache/minied").expanduser())
    return cache.absolute() / "peers" / f"{name}-{digest}"


OURSELVES = "minied"
"""Stands among peers for minied itself, which needs no environment: it is run by the very interpreter that runs."""


def python_of(name: str, platform: str = "cpu") -> Path:
    """Return the interpreter of peer ``name``; install the peer first if it is not yet there (a minute, with network).

    Args:
        name: one of `PEERS`, or `OURSELVES`.
        platform: cpu, or gpu for the build of its jax for CUDA.

    Raises:
        UserError: unknown peer or platform; no fitting Python; or it could not be installed.
    """
    if name == OURSELVES:
        return Path(sys.executable)
    needed = requirements_of(name, platform)
    folder = environment_folder(name, platform)
    python = _python_in(folder)
    if is_whole(folder, needed):
        return python
    interpreter = _find_interpreter(name, needed.pythons)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".making-{name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"cannot make {folder.parent} ({error.strerror}); MINIED_CACHE_DIR names another place"
        ) from error
    try:
        _tell(f"installing peer {name} into {folder} (once; takes a minute)")
        _run([str(interpreter), "-m", "venv", str(making)], f"peer {name}: no virtual environment by {interpreter}")
        pip = [str(_python_in(making)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "install", "--quiet", *needed.packages], f"peer {name} could not be installed")
        installed = _run([*pip, "freeze"], f"peer {name} could not be listed").splitlines()
        (making / WHOLE).write_text(json.dumps({"requirements": needed.packages, "installed": installed}, indent=1))
        _move_into_place(making, folder, needed)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _tell(f"installed peer {name}: {len(installed)} packages")
    return python


def is_whole(folder: Path, needed: Requirements) -> bool:
    """Return whether the environment in ``folder`` was installed to the end with these requirements."""
    try:
        record = json.loads((folder / WHOLE).read_text())
    except (OSError, ValueError):
        return False
    complete = isinstance(record, dict) and record.get("requirements") == list(needed.packages)
    return complete and _python_in(folder).exists()  # the interpreter it was made with may have been removed


def _python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


def _move_into_place(making: Path, folder: Path, needed: Requirements) -> None:
    """Rename the finished environment; leave one that another process finished meanwhile, remove a broken one."""
    if folder.exists() and not is_whole(folder, needed):
        shutil.rmtree(folder)
    try:
        making.rename(folder)
    except OSError as error:
        if not is_whole(folder, needed):
            raise UserError(
                f"cannot move the finished environment to {folder} ({error.strerror}); remove it"
            ) from error


def _find_interpreter(name: str, versions: tuple[tuple[int, int], ...]) -> Path:
    """Return an interpreter of one of the versions: the running one, or one on PATH."""
    if sys.version_info[:2] in versions:
        return Path(sys.executable)
    for version in versions:
        found = shutil.which(f"python{version[0]}.{version[1]}")
        if found and _version_of(found) == version:
            return Path(found)
    wanted = " or ".join(f"{major}.{minor}" for major, minor in versions)
    first = f"python{versions[0][0]}.{versions[0][1]}"
    running = ".".join(map(str, sys.version_info[:2]))
    raise UserError(f"peer {name} needs Python {wanted}, this is {running} and PATH has none; install one as {first}")


def _version_of(python: str) -> tuple[int, ...] | None:
    """Return what the interpreter says it is; None if it does not start (a version manager's stub, for one)."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, env=clean_environment())
        return tuple(int(part) for part in done.stdout.split()) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def clean_environment() -> dict[str, str]:
    """Return the environment variables without those that lead a Python to packages of another."""
    foreign = {"PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {key: value for key, value in os.environ.items() if key not in foreign} | {"PYTHONNOUSERSITE": "1"}


def _run(command: list[str], failure: str) -> str:
    """Run a command of the installation and return its output.

    Raises:
        UserError: it failed; one line with the last error it told and what to do.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALLING_SECONDS,
            env=clean_environment(),
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{failure}: not done in {INSTALLING_SECONDS:g} s; is the package index reachable?") from None
    except OSError as error:
        raise UserError(f"{failure}: {command[0]} does not start ({error.strerror})") from error
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines or ["it said nothing"]
    raise UserError(
        f"{failure}: {errors[-1][:300]} (needs a package index that pip reaches, and python's venv; try again)"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
