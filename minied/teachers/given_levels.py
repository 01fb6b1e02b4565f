"""Levels that the user gives: a text file, or a suite of the world. Read on the host, before anything compiles."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.hyperparameters import Hyperparameters
from minied.levels.finite import FiniteLevelSpace
from minied.levels.space import LevelSpace
from minied.levels.text import levels_of_text, read_text

_SUITE = "suite:"


class GivenLevels(Hyperparameters):
    """Options of a teacher that has levels of the user's. What a file said becomes part of the config and its fingerprint.

    A run can therefore be resumed and evaluated wherever it lies, and two runs on different files are never taken for one.
    """

    file: str = ""
    """Text file of levels, parted by empty lines, drawn as `minied draw` reads them; or `suite:NAME`. Mind that evaluating
    on levels that are trained on tells nothing about others."""
    levels_text: str = ""
    """What stands in the file, read when the run is made; if given, the file is not looked at."""

    def check(self) -> None:
        """Raise `UserError` if the file cannot be read."""
        super().check()
        if self.file and not self.file.startswith(_SUITE) and not self.levels_text:
            object.__setattr__(self, "levels_text", read_text(Path(self.file)))

    @property
    def has_given_levels(self) -> bool:
        """Whether there are any."""
        return bool(self.file or self.levels_text)

    def read_given_levels(self, space: LevelSpace, by: str) -> Any:
        """Return the given levels, NumPy leaves ``[n, ...]``.

        Raises `UserError`, naming ``by`` and the file, for a level of another size, a suite that is unknown or of another
        world, and for a run on a finite set of levels, which these would not be of.
        """
        if isinstance(space, FiniteLevelSpace):
            raise UserError(f"num_train_levels is {space.num_levels}; allowed with {by} on levels of your own: 0")
        # Levels are constants of whatever is being traced, never part of it.
        with jax.ensure_compile_time_eval():
            if self.file.startswith(_SUITE) and not self.levels_text:
                return _of_suite(self.file.removeprefix(_SUITE), space)
            levels = levels_of_text(space, self.levels_text, self.file or "teacher.levels_text", by)
            return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *levels)


def _of_suite(name: str, space: LevelSpace) -> Any:
    found = []
    for part in space.suite(name):
        if not _fits(part.env.level_space, part.levels, space):
            raise UserError(
                f"teacher.file is {_SUITE + name!r}, which has levels of another size or kind than the world's;"
                " allowed: a suite of its own size"
            )
        found.append(part.levels)
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *found)


def _fits(theirs: LevelSpace, levels: Any, ours: LevelSpace) -> bool:
    """Return whether levels of one space are levels of another: by shape, and drawn and read again where both can.

    Shapes alone do not tell: a level may be packed, so that its size is not in them.
    """
    shape, first = jax.eval_shape(ours.sample, jax.random.key(0)), jax.tree.map(lambda leaf: leaf[0], levels)
    if jax.tree.structure(first) != jax.tree.structure(shape):
        return False
    if any(a.shape != b.shape for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(shape), strict=True)):
        return False
    if not (theirs.has("to_text") and ours.has("from_text")):
        return True
    try:
        ours.from_text(theirs.to_text(first))
    except UserError:
        return False
    return True


def count(levels: Any) -> int:
    """Return n of levels ``[n, ...]``."""
    return jax.tree.leaves(levels)[0].shape[0]


def as_arrays(levels: Any) -> Any:
    """Return NumPy levels as arrays of the program."""
    return jax.tree.map(jnp.asarray, levels)
