"""A run on disk: what lies where, how it is created whole, and how it is opened and cut back.

config.json         the config, its fingerprint, the versions of everything, the device; never changed
metrics.jsonl       one row a log boundary: counters and metrics; the same bytes in a resumed and in an unbroken run
timing.jsonl        wall-clock and speed, kept apart because they are never the same twice
evaluations.jsonl   one row an evaluation on the held-out suite
evaluation/         what `minied eval` found, see `minied.run.reports`
checkpoints/        see `minied.run.checkpoint`
pictures/           see `minied.run.pictures`
"""

import contextlib
import dataclasses
import fcntl
import functools
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minied import hosts
from minied.config import config_from_dict
from minied.errors import UserError
from minied.train.config import TrainConfig

SCHEMA_VERSION = 1
"""Of the whole folder, the checkpoints included. Another number is refused."""

ROW_FILES = ("metrics", "timing", "evaluations")
_PACKAGES = ("minied", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


@dataclass(frozen=True)
class RunFolder:
    """An existing run folder."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """Where the pictures lie."""
        return self.path / "pictures"

    def rows_path(self, kind: str) -> Path:
        """Return the file of the rows of ``kind`` (one of `ROW_FILES`)."""
        return self.path / f"{kind}.jsonl"

    def description(self) -> dict[str, Any]:
        """Return what ``config.json`` says. Raises `UserError` if it is no description of a run that we can read."""
        file = self.path / "config.json"
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
            raise UserError(f"{file} does not describe a run: allowed: what `minied train` wrote there")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise UserError(
                f"{self.path} was written with schema_version {data.get('schema_version')!r};"
                f" allowed: {SCHEMA_VERSION}, what this minied reads and writes"
            )
        return data

    def config(self) -> TrainConfig:
        """Return the run's config. Raises `UserError`."""
        return config_from_dict(self.description()["config"], str(self.path / "config.json"))

    def read_rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the whole rows of ``kind``, in the order they were written; a torn last line is left out."""
        file = self.rows_path(kind)
        if not file.exists():
            return []
        lines = file.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def row_counts(self) -> dict[str, int]:
        """Return the number of whole rows of each kind."""
        return {kind: _num_lines(self.rows_path(kind)) for kind in ROW_FILES}

    def cut_rows(self, counts: Mapping[str, int]) -> None:
        """Keep the first ``counts[kind]`` rows of each kind and drop what came after them.

        Raises `UserError` if a file has fewer: then rows that the checkpoint counts were lost.
        """
        for kind in ROW_FILES:
            file, count = self.rows_path(kind), int(counts.get(kind, 0))
            if _num_lines(file) < count:
                raise UserError(f"{file} has {_num_lines(file)} rows; allowed: at least the {count} of the checkpoint")
            if file.exists():
                lines = file.read_bytes().split(b"\n")[:count]
                os.truncate(file, sum(len(line) + 1 for line in lines))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run against other processes that would write to it. Raises `UserError` if one does already."""
        if not hosts.is_primary():
            yield
            return
        with (self.path / "config.json").open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{self.path} is being written by another process") from error
            yield


def create(path: Path, config: TrainConfig, preset: str = "", sweep: Path | None = None) -> RunFolder:
    """Make the folder of a new run: whole or not at all. Raises `UserError` if ``path`` exists.

    ``sweep`` is the folder of the sweep that it is a member of, if there is one.
    """
    refuse_existing(path)
    half_made = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half_made.mkdir(parents=True)
        (half_made / "checkpoints").mkdir()
        (half_made / "pictures").mkdir()
        text = json.dumps(_describe(config, preset, sweep), indent=2)
        (half_made / "config.json").write_text(text + "\n", encoding="utf-8")
        half_made.rename(path)
    except OSError as error:
        shutil.rmtree(half_made, ignore_errors=True)
        refuse_existing(path)
        raise UserError(f"the run folder {path} cannot be made: {error.strerror}") from error
    return RunFolder(path)


def refuse_existing(path: Path) -> None:
    """Raise `UserError` if something lies at ``path`` already."""
    if not (path.exists() or path.is_symlink()):
        return
    if (path / "config.json").is_file():
        raise UserError(f"{path} exists already: go on with `minied resume {path}`, or give another --run-dir")
    raise UserError(f"--run-dir is {str(path)!r}, which exists already; allowed: a path that does not exist")


def open_run(path: Path) -> RunFolder:
    """Return the run folder at ``path``. Raises `UserError` if it is not one, or has another schema version."""
    if not (path / "config.json").is_file():
        if (path / "sweep.json").is_file():
            raise UserError(f"{path} is a sweep, not a run; allowed: `minied sweep {path}`, or a run in its members/")
        found = "it has no config.json" if path.is_dir() else "it is a file" if path.exists() else "it does not exist"
        raise UserError(f"{path} is not a run folder: {found}; allowed: a folder that `minied train` made")
    folder = RunFolder(path)
    folder.description()
    return folder


def default_path(preset: str, config: TrainConfig) -> Path:
    """Return ``runs/<preset>-<seed>-<fingerprint>``."""
    name = Path(preset).stem if preset.endswith((".yaml", ".yml")) else preset.replace("/", "-")
    return Path("runs") / f"{name}-{config.seed}-{config.fingerprint}"


def _describe(config: TrainConfig, preset: str, sweep: Path | None) -> dict[str, Any]:
    import jax

    from minied.train.setting import spread_for

    device = jax.devices()[0]
    # Of a sweep it is the group that is spread.
    own = {"spread": dataclasses.asdict(spread_for(config))} if sweep is None else {"sweep": str(sweep)}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": secrets.token_hex(8),
        "fingerprint": config.fingerprint,
        "preset": preset,
        "config": config.to_dict(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "git_sha": _git_sha(),
        "platform": platform.platform(),
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        **own,
        "command": sys.argv[1:],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _git_sha() -> str | None:
    """Return the commit of the checkout that minied is imported from, with ``-dirty`` if changed, or None."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", "--", __file__):
            return None  # minied is installed inside somebody else's repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _num_lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
