"""What does not change during a run, split into numbers (arguments of the compiled program) and the rest (static)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import struct

from minied import registry
from minied.env import Environment, with_agent_axis
from minied.levels.space import LevelSpace
from minied.scores.base import needs_of
from minied.spread import Spread, spread_of
from minied.students.base import Student
from minied.students.bonuses.base import Bonus, Surroundings
from minied.students.networks.teams import student_of
from minied.students.ppo import PPOConfig
from minied.teachers.base import Teacher
from minied.train.config import Cloning, TrainConfig
from minied.train.self_play import SelfPlay


class Setting(struct.PyTreeNode):
    """What does not change during a run. Its leaves are numbers that may differ between members; the rest is static."""

    teacher: Teacher
    ppo: PPOConfig
    bonus: Bonus | None  # None: there is none, which costs nothing
    total_updates: jax.Array  # i32[]
    max_rollouts: jax.Array  # i32[], batches of steps after which no further iteration begins
    env: Environment = struct.field(pytree_node=False)  # with an agent axis
    space: LevelSpace = struct.field(pytree_node=False)
    student: Student = struct.field(pytree_node=False)
    num_students: int = struct.field(pytree_node=False)
    cloning: Cloning = struct.field(pytree_node=False)
    self_play: SelfPlay | None = struct.field(pytree_node=False)  # None: all agents are current
    num_levels: int = struct.field(pytree_node=False)
    num_steps: int = struct.field(pytree_node=False)
    spread: Spread = struct.field(pytree_node=False)
    surroundings: Surroundings = struct.field(pytree_node=False)  # of the bonus
    correlations: tuple[str, ...] = struct.field(pytree_node=False)  # names of scores to compare with exact regret

    @property
    def needs(self) -> frozenset[str]:
        """The signals that something in this run reads."""
        scores = [needs_of(registry.load("score", name)) for name in self.correlations]
        return self.teacher.needs.union(*scores, {"optimal_return"} if scores else ())

    @classmethod
    def of(cls, config: TrainConfig, student: Student | None = None, spread: Spread | None = None) -> "Setting":
        """Return the setting of ``config``; configs that differ in numbers only share a compiled program.

        ``student`` is another network than that of ``config``, if there is one; ``spread`` another than `spread_for` says.
        """
        student = student_of(config.env, config.network) if student is None else student
        spread, bonus = spread_for(config) if spread is None else spread, config.bonus
        return cls(
            teacher=config.teacher.traced(),
            ppo=config.ppo.traced(),
            bonus=bonus.traced() if isinstance(bonus, Bonus) else None,
            total_updates=jnp.int32(config.updates),
            max_rollouts=jnp.int32(config.max_rollouts),
            env=with_agent_axis(config.env),
            space=config.level_space,
            student=student,
            num_students=config.num_students,
            cloning=config.cloning,
            self_play=SelfPlay.of(config.self_play, config.env, config.num_envs, student),
            num_levels=config.num_envs,
            num_steps=config.num_steps,
            spread=spread,
            surroundings=dataclasses.replace(config.surroundings, spread=spread),
            correlations=config.log_score_correlations,
        )


def spread_for(config: TrainConfig) -> Spread:
    """Return over which devices of this process a run of ``config`` is spread, see `spread_of`."""
    # n environments in a or b parts: what divides n/a and n/b divides n/lcm(a, b).
    num_minibatches = math.lcm(config.ppo.num_minibatches, config.teacher.num_minibatches)
    num_cycles = config.self_play.num_cycles(config.env, config.num_envs)
    return spread_of(config.num_devices, config.num_seeds, config.num_envs, num_minibatches, num_cycles)
