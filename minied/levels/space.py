"""What a teacher may do with the levels of a world, and what a person may look at.

A `LevelSpace` is a frozen, hashable description with pure functions over one unbatched level (vmap at the caller).
`sample` is all that a world must have. The rest is optional: a teacher that needs a part asks for it by `require`, so
that what is missing is told in one sentence before anything compiles.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from minied.env import Environment
from minied.errors import UserError, unknown_name
from minied.hashing import hash_tree
from minied.hashing import hash_words as hash_words  # for worlds, which know this module

LevelT = TypeVar("LevelT")


@dataclasses.dataclass(frozen=True)
class Suite:
    """Held-out levels of one world (size, horizon), all or part of what a suite's name stands for.

    ``levels`` is a batch ``[L, ...]``; ``names[i]`` names level ``i``. Two levels may share a name: they are the variants
    of one entry (the goals of a corridor, the samples of a procedural set) and are reported as one line.
    """

    name: str
    env: Environment
    levels: Any
    names: tuple[str, ...]
    description: str = ""


class LevelSpace(abc.ABC, Generic[LevelT]):
    """The levels of a world. Subclass as a frozen dataclass and override what the world can do."""

    @abc.abstractmethod
    def sample(self, key: jax.Array) -> LevelT:
        """Return a random level. Consumes ``key``."""

    # -- optional, for teachers ---------------------------------------------------------------------------------------

    def mutate(self, key: jax.Array, level: LevelT) -> LevelT:
        """Return an edited copy of ``level``, again a valid level. Consumes ``key``."""
        raise self._lacks("mutate")

    def optimal_return(self, level: LevelT) -> jax.Array:
        """Return the highest undiscounted return that any policy can have on ``level``, ``f32[]``.

        With several agents, of the mean over agents.
        """
        raise self._lacks("optimal_return")

    @property
    def designer(self) -> Any:
        """A `minied.levels.designer.Designer`, in which a teacher builds a level step by step."""
        raise self._lacks("designer")

    @property
    def tasks(self) -> Any:
        """The `minied.levels.tasks.Tasks` of this world, for task curricula."""
        raise self._lacks("tasks")

    @property
    def parameters(self) -> Any:
        """The `minied.levels.parameters.Parameters` of a level: numbers to choose it by."""
        raise self._lacks("parameters")

    def is_valid(self, level: LevelT) -> jax.Array:
        """Return whether ``level`` is one of this space, ``bool[]``: what `minied check` asks of edits and designs."""
        raise self._lacks("is_valid")

    def fingerprint(self, level: LevelT) -> jax.Array:
        """Return ``u32[2]``: equal for equal levels, different for different ones but for a chance of 2⁻⁶⁴ a pair."""
        return hash_tree(level, "a level leaf")

    def describe(self, level: LevelT) -> dict[str, jax.Array]:
        """Return named features of ``level``, each ``f32[]``; NaN where a feature does not apply. Logged as means."""
        del level
        return {}

    # -- optional, for people (host only, NumPy) ----------------------------------------------------------------------

    def draw(self, level: LevelT, state: Any = None) -> np.ndarray:
        """Return a picture, ``u8[height, width, 3]``, of ``level`` at its start, or of an episode's ``state`` on it."""
        raise self._lacks("draw")

    def title(self, level: LevelT) -> str:
        """Return in a few words what ``level`` asks for, to stand above its picture; empty if all ask for the same."""
        del level
        return ""

    def to_text(self, level: LevelT) -> str:
        """Return ``level`` as text that `from_text` reads back."""
        raise self._lacks("to_text")

    def from_text(self, text: str) -> LevelT:
        """Return the level that ``text`` draws. Raises `UserError` naming the line and the symbol that is wrong."""
        raise self._lacks("from_text")

    @property
    def suites(self) -> Mapping[str, str]:
        """The names of the held-out suites, each with one sentence about it; the first is the default."""
        return {}

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the parts of a suite, one for each world (size, horizon) in it, the same at every call.

        Raises `UserError` for an unknown name.
        """
        raise unknown_name("suite", name, list(self.suites))

    # -----------------------------------------------------------------------------------------------------------------

    def has(self, capability: str) -> bool:
        """Return whether this level space overrides the optional part ``capability``."""
        return getattr(type(self), capability) is not getattr(LevelSpace, capability)

    def require(self, capability: str, by: str) -> None:
        """Raise `UserError` if ``capability`` is missing, in a sentence that names ``by``, who needs it."""
        if not self.has(capability):
            raise UserError(
                f"{by} needs `{capability}`, which {type(self).__name__} does not have"
                f" (it has: {', '.join(self.offered) or 'only sample'}); allowed: a world that has, see `minied list`"
            )

    @property
    def offered(self) -> tuple[str, ...]:
        """Names of the optional parts that this level space has."""
        return tuple(name for name in OPTIONAL_CAPABILITIES if self.has(name))

    def _lacks(self, capability: str) -> UserError:
        return UserError(f"{type(self).__name__} does not have `{capability}`")


OPTIONAL_CAPABILITIES = (
    "mutate", "optimal_return", "designer", "tasks", "parameters", "is_valid", "describe", "draw", "to_text", "from_text",
    "suites",
)  # fmt: skip
