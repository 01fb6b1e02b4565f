"""A fixed curriculum: the levels of a file, in its order. The teacher for people who know what they want to teach."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.levels.space import LevelSpace
from minied.teachers.base import GIVEN, Outcome, Plan, Probe, Proposal, Schedule, Teacher, propose_levels
from minied.teachers.given_levels import GivenLevels, as_arrays, count

Order = Literal["sequential", "random"]


class CurriculumState(struct.PyTreeNode):
    """The given levels, and how many iterations have gone by."""

    levels: Any  # [n, ...]
    iterations: jax.Array  # i32[]


class FixedCurriculum(Teacher, GivenLevels):
    """the levels of a file, one after the other, each for some updates; train on all of them."""

    updates_per_level: int = 10
    """Student updates before the next level of the file begins."""
    levels_at_once: int = 1
    """How many consecutive levels of the file share a batch, in turn."""
    order: Order = "sequential"
    """`sequential`: in the order of the file, staying at its end; `random`: each environment any of the levels, always."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "updates_per_level", 1, 2**31 - 1)
        require_range(self, "levels_at_once", 1, 2**24)
        require_choice(self, "order", get_args(Order))

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the file cannot be read as levels of this world."""
        if not self.has_given_levels:
            raise UserError("teacher.file is empty; allowed: a text file of levels, or suite:NAME")
        if self.order == "random" and self.levels_at_once > 1:
            raise UserError(f"teacher.levels_at_once is {self.levels_at_once}; allowed with order random: 1")
        number = count(self.read_given_levels(space, "a fixed curriculum"))
        if self.levels_at_once > min(number, num_levels):
            raise UserError(
                f"teacher.levels_at_once is {self.levels_at_once}; allowed: 1 to {min(number, num_levels)},"
                f" for a file of {number} levels and num_envs = {num_levels}"
            )

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> CurriculumState:
        """Return the levels of the file."""
        levels = as_arrays(self.read_given_levels(space, "a fixed curriculum"))
        return CurriculumState(levels, jnp.zeros((), jnp.int32))

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always given levels, always training."""
        return Plan.of(GIVEN, train=True, new_batches=0)

    def propose(
        self, key: jax.Array, state: CurriculumState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[CurriculumState, Proposal]:
        """Return the levels whose turn it is. Consumes ``key``."""
        number = count(state.levels)
        if self.order == "random":
            index = jax.random.randint(key, (num_levels,), 0, number)
        else:
            first = jnp.minimum(state.iterations // self.updates_per_level, number - self.levels_at_once)
            index = first + jnp.arange(num_levels, dtype=jnp.int32) % self.levels_at_once
        return state, propose_levels(jax.tree.map(lambda leaf: leaf[index], state.levels), GIVEN)

    def observe(
        self, state: CurriculumState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> CurriculumState:
        """Count."""
        return state.replace(iterations=state.iterations + 1)

    def metrics(self, state: CurriculumState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return which share of the file has had its turn."""
        if self.order == "random":
            return {}
        done = state.iterations / (self.updates_per_level * count(state.levels))
        return {"curriculum_progress": jnp.minimum(done.astype(jnp.float32), 1.0)}
