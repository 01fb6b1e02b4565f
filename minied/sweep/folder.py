"""A sweep on disk: what lies where, how it is created whole, and how it is opened.

sweep.json          members (fields, preset, fingerprint), groups, halving; never changed
members/000/        the run folder of each member (see `minied.run.folder`), its last checkpoint once it is over
groups/000/         checkpoints of the members of a group together, and status.json
table.json, .csv    what came of it, and sweep.png
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minied import hosts
from minied.errors import UserError
from minied.run import folder as runs
from minied.run.files import write_whole
from minied.run.folder import RunFolder
from minied.sweep.halving import Halving
from minied.sweep.points import Point

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SweepFolder:
    """An existing sweep."""

    path: Path

    def description(self) -> dict[str, Any]:
        """Return what ``sweep.json`` says. Raises `UserError` if it describes no sweep that we can read."""
        file = self.path / "sweep.json"
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(data, dict) or not isinstance(data.get("members"), list):
            raise UserError(f"{file} does not describe a sweep; allowed: what `minied sweep` wrote there")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise UserError(
                f"{self.path} was written with schema_version {data.get('schema_version')!r}; allowed: {SCHEMA_VERSION}"
            )
        return data

    @property
    def groups(self) -> list[list[int]]:
        """The numbers of the members of each group."""
        return self.description()["groups"]

    @property
    def halving(self) -> Halving | None:
        """The rule by which members are stopped early, if there is one."""
        data = self.description()["halving"]
        return None if data is None else Halving(**data)

    def member(self, number: int) -> RunFolder:
        """Return the run folder of a member."""
        return RunFolder(self.path / "members" / f"{number:03}")

    def group(self, number: int) -> Path:
        """Return the folder of a group. Raises `UserError` if there is no such group."""
        if not 0 <= number < len(self.groups):
            raise UserError(f"--group is {number}; allowed in {self.path}: 0 to {len(self.groups) - 1}")
        return self.path / "groups" / f"{number:03}"

    def status(self, number: int) -> dict[str, Any]:
        """Return what is known of a group: its ``state``, and of some an ``error``, ``members`` with their ends, a ``job``.

        The states are waiting, running, paused, failed and finished.
        """
        file = self.group(number) / "status.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"state": "waiting"}

    def tell(self, number: int, state: str, **more: Any) -> None:
        """Write down what is known of a group; the job that it was submitted as is kept."""
        if not hosts.is_primary():
            return
        job = {name: value for name, value in self.status(number).items() if name == "job"}
        text = json.dumps({"state": state} | job | more, indent=2) + "\n"
        write_whole(self.group(number) / "status.json", lambda path: path.write_text(text, encoding="utf-8"))

    def unfinished(self) -> list[int]:
        """Return the groups that are not finished."""
        return [number for number in range(len(self.groups)) if self.status(number)["state"] != "finished"]

    @contextlib.contextmanager
    def locked(self, number: int) -> Iterator[None]:
        """Hold a group against other processes. Raises `UserError` if one works on it already."""
        if not hosts.is_primary():
            yield
            return
        with (self.group(number) / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{self.group(number)} is being worked on by another process") from error
            yield


def create(
    path: Path, points: Sequence[Point], groups: Sequence[Sequence[int]], halving: Halving | None, name: str
) -> SweepFolder:
    """Make the folder of a new sweep: whole or not at all. Raises `UserError` if ``path`` exists."""
    refuse_existing(path, fingerprint_of(points, halving))
    half_made = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    description = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint_of(points, halving),
        "name": name,
        "fields": list(dict.fromkeys(field for point in points for field in point.fields)),
        "halving": None if halving is None else asdict(halving),
        "members": [
            {"preset": point.preset, "fields": point.fields, "fingerprint": point.config.fingerprint}
            for point in points
        ],
        "groups": [list(members) for members in groups],
    }
    try:
        for number in range(len(groups)):
            (half_made / "groups" / f"{number:03}" / "checkpoints").mkdir(parents=True)
        (half_made / "members").mkdir()
        for number, point in enumerate(points):
            runs.create(half_made / "members" / f"{number:03}", point.config, point.preset, sweep=path)
        (half_made / "sweep.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        half_made.rename(path)
    except BaseException as error:
        shutil.rmtree(half_made, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"the sweep folder {path} cannot be made: {error.strerror}") from error
        raise
    return SweepFolder(path)


def refuse_existing(path: Path, fingerprint: str) -> None:
    """Raise `UserError` if something lies at ``path`` already; ``fingerprint`` is of the sweep that would lie there."""
    if not (path.exists() or path.is_symlink()):
        return
    if not (path / "sweep.json").is_file():
        raise UserError(f"--sweep-dir is {str(path)!r}, which exists already; allowed: a path that does not exist")
    require_same(SweepFolder(path), fingerprint)
    raise UserError(f"{path} exists already: go on with --resume, or give another --sweep-dir")


def require_same(folder: SweepFolder, fingerprint: str) -> None:
    """Raise `UserError` unless a folder holds the sweep of this fingerprint."""
    if folder.description()["fingerprint"] != fingerprint:
        raise UserError(
            f"{folder.path} holds the results of another sweep (its members or its halving differ); allowed: the folder of"
            " this one, or a path that does not exist"
        )


def open_sweep(path: Path) -> SweepFolder:
    """Return the sweep at ``path``. Raises `UserError` if there is none."""
    if not (path / "sweep.json").is_file():
        found = "it has no sweep.json" if path.is_dir() else "it is a file" if path.exists() else "it does not exist"
        raise UserError(f"{path} is not the folder of a sweep: {found}; allowed: a folder that `minied sweep` made")
    folder = SweepFolder(path)
    folder.description()
    return folder


def fingerprint_of(points: Sequence[Point], halving: Halving | None) -> str:
    """Return twelve hexadecimal digits, equal for equal sweeps."""
    data = [[point.preset, point.config.fingerprint] for point in points], None if halving is None else asdict(halving)
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()[:12]


def default_path(name: str, points: Sequence[Point], halving: Halving | None) -> Path:
    """Return ``runs/sweep-<name>-<fingerprint>``."""
    return Path("runs") / f"sweep-{name}-{fingerprint_of(points, halving)}"
