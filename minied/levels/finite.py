"""A finite set of the levels of another level space: the protocol of Procgen (Cobbe et al. 2020).

A student trains on n levels, and the gap to levels that it never saw is measured. Any teacher can be given such a set: PLR
over 200 levels is the setting of its paper.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from minied.errors import UserError
from minied.levels.space import LevelSpace, Suite

_SET = 0xF1417E  # names the branch of keys of a set


@dataclasses.dataclass(frozen=True)
class FiniteLevelSpace(LevelSpace[Any]):
    """``num_levels`` levels of ``base``, drawn once from ``seed`` and the same for every member; `sample` picks one.

    Level i is drawn anew from its own key whenever it is asked for, so a set of any size costs no memory. It has no
    `mutate`, `designer`, `tasks` or `parameters`: they would leave the set.
    """

    base: LevelSpace[Any]
    num_levels: int
    seed: int

    def sample(self, key: jax.Array) -> Any:
        """Return one of the set, uniformly. Consumes ``key``."""
        return self.level(jax.random.randint(key, (), 0, self.num_levels))

    def level(self, index: jax.Array) -> Any:
        """Return level ``index`` ``i32[]`` of the set; from ``num_levels`` on, one of the same generator outside of it."""
        key = jax.random.fold_in(jax.random.key(self.seed), _SET)
        return self.base.sample(jax.random.fold_in(key, index))

    def has(self, capability: str) -> bool:
        """Return whether the base has ``capability`` and it does not leave the set."""
        return capability not in _LEAVES_THE_SET and self.base.has(capability)

    def require(self, capability: str, by: str) -> None:
        """Raise `UserError` if ``capability`` is missing, here or in the base, in a sentence that names ``by``."""
        if capability in _LEAVES_THE_SET:
            raise UserError(
                f"{by} needs `{capability}`, which would leave the {self.num_levels} levels of num_train_levels"
            )
        self.base.require(capability, by)

    def optimal_return(self, level: Any) -> jax.Array:
        """Return the base's."""
        return self.base.optimal_return(level)

    def is_valid(self, level: Any) -> jax.Array:
        """Return the base's."""
        return self.base.is_valid(level)

    def fingerprint(self, level: Any) -> jax.Array:
        """Return the base's."""
        return self.base.fingerprint(level)

    def describe(self, level: Any) -> dict[str, jax.Array]:
        """Return the base's."""
        return self.base.describe(level)

    def draw(self, level: Any, state: Any = None) -> np.ndarray:
        """Return the base's."""
        return self.base.draw(level, state)

    def title(self, level: Any) -> str:
        """Return the base's."""
        return self.base.title(level)

    def to_text(self, level: Any) -> str:
        """Return the base's."""
        return self.base.to_text(level)

    def from_text(self, text: str) -> Any:
        """Return the base's."""
        return self.base.from_text(text)

    @property
    def suites(self) -> Mapping[str, str]:
        """The base's."""
        return self.base.suites

    def suite(self, name: str) -> tuple[Suite, ...]:
        """Return the base's."""
        return self.base.suite(name)


_LEAVES_THE_SET = ("mutate", "designer", "tasks", "parameters")
