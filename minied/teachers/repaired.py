"""REPAIRED: PAIRED's designer, and a replay buffer for each of its two students.

Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", algorithm 2.

    with probability p:  each student replays levels of its own buffer, and learns
    else:                levels ~ designer; both play them, neither learns; the designer learns from their regret, and each
                         student's buffer is offered the levels with that student's own score

Letters: ``B`` levels in a batch, ``C`` capacity of a buffer.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import require_range
from minied.levels.buffer import LevelBuffer
from minied.levels.space import LevelSpace
from minied.teachers.base import DESIGNED, REPLAY, Outcome, Plan, Probe, Proposal, Schedule, join
from minied.teachers.designing import Design, DesignerState, Designing
from minied.teachers.replay import ReplayWithProbability
from minied.teachers.scoring import buffer_metrics

NUM_STUDENTS = 2
"""A protagonist and an antagonist."""


class RepairedState(struct.PyTreeNode):
    """The designer, and a buffer for each student."""

    designer: DesignerState
    buffers: LevelBuffer  # [2, ...]


class Repaired(Designing, ReplayWithProbability):
    """Designed levels: paid for by regret, stored by each student's score, not learnt from; replayed ones: learnt from."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "replay_probability", 0, 1, open_low=True)

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the world has nothing to build with, or score or pay cannot be computed."""
        alone = "a student that replays plays levels of its own, which nobody else plays"
        super().validate(space, num_levels, {**missing, "population": alone})
        unbuffered = "what is designed is paid before any buffer sees it; allowed: a score that needs no buffer"
        self.validate_design(space, num_levels, {**missing, "neighbour_distances": unbuffered})

    @property
    def num_batches(self) -> int:
        """One for each student."""
        return NUM_STUDENTS

    @property
    def num_own_batches(self) -> int:
        """Each student plays its own."""
        return NUM_STUDENTS

    @property
    def needs(self) -> frozenset[str]:
        """The signals of the score and of the pay; what the population earned is put together here."""
        return super().needs | (self.pay.needs - {"population"})

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> RepairedState:
        """Return a policy that has built nothing, and empty buffers. Consumes ``key``."""
        designer_key, buffer_key = jax.random.split(key)
        buffers = jax.lax.map(
            lambda each: self.empty_buffer(each, space, self.buffer_size), jax.random.split(buffer_key, NUM_STUDENTS)
        )
        return RepairedState(self.init_designer(designer_key, space), buffers)

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Replay, and learn, with probability p once warm. Consumes ``key``, which all members share."""
        replay = self.decides_to_replay(key, schedule, num_levels)
        return Plan.of(jnp.where(replay, REPLAY, DESIGNED), train=replay, new_batches=~replay)

    def propose(
        self, key: jax.Array, state: RepairedState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[RepairedState, Proposal]:
        """Return ``[B of the protagonist | B of the antagonist]``: replayed, or designed for both. Consumes ``key``."""
        design_key, replay_key = jax.random.split(key)

        def designed() -> Proposal:
            levels = self.design(design_key, state.designer, plan, space, num_levels)
            each = self._with_known_returns_of_each(state.buffers, levels.replace(design=()), space)
            return join(*each).replace(design=levels.design)

        def replayed() -> Proposal:
            keys = jax.random.split(replay_key, NUM_STUDENTS)
            each = jax.vmap(lambda key, buffer: self.replayed(key, buffer, num_levels))(keys, state.buffers)
            nothing = jax.tree.map(_empty, jax.eval_shape(designed).design)
            return join(*_each(each)).replace(design=nothing)

        return state, jax.lax.cond(plan.kind == REPLAY, replayed, designed)

    def observe(
        self, state: RepairedState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> RepairedState:
        """Rescore what was replayed; or pay the designer, and offer each buffer what it designed."""
        proposals, outcomes = _by_student(proposal.replace(design=())), _by_student(outcome)
        buffers, scored = jax.vmap(self.score_and_tick, in_axes=(0, 0, 0, None))(
            state.buffers, proposals, outcomes, space
        )

        def after_replay() -> RepairedState:
            return state.replace(buffers=jax.vmap(self.rescore)(buffers, proposals, scored))

        def after_design() -> RepairedState:
            design: Design = proposal.design
            by_level = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), outcomes.episodes)
            protagonist: Outcome = jax.tree.map(lambda leaf: leaf[0], outcomes)
            signals = protagonist.signals.replace(population=by_level)
            offered = jax.vmap(self.offer, in_axes=(0, 0, 0, None))(buffers, proposals, scored, space)
            return RepairedState(self.learn_from_pay(state.designer, plan, design, signals, space), offered)

        return jax.lax.cond(plan.kind == REPLAY, after_replay, after_design)

    def metrics(self, state: RepairedState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return what the policy's last update was like, its pay, and the buffers (the antagonist's as ``antagonist_…``).

        What is of the designer stays as it was while levels are replayed.
        """
        first, second = _each(state.buffers)
        antagonist = {f"antagonist_{name}": value for name, value in buffer_metrics(second).items()}
        return self.designer_metrics(state.designer) | buffer_metrics(first) | antagonist

    def buffer_of(self, state: RepairedState) -> LevelBuffer:
        """Return the protagonist's buffer."""
        return _each(state.buffers)[0]

    def broken_scores(self, state: RepairedState) -> jax.Array:
        """Return how many scores were ever no finite number, ``i32[]``, those of the pay included."""
        return jnp.sum(state.buffers.broken_scores) + state.designer.pay.broken

    def blamed_score(self) -> str:
        """Return the scores that may be broken, as a user sets them."""
        return f"teacher.score is {self.score!r} and teacher.pay.score {self.pay.score!r}"

    def fault(self, state: RepairedState) -> jax.Array:
        """Return whether and how the policy failed, ``i32[]``, see `Designing.designer_fault`."""
        return self.designer_fault(state.designer)

    def explain(self, fault: int, states: Any, space: LevelSpace) -> str:
        """Return the sentence for a `fault`."""
        del states
        return self.explain_designer(fault, space)

    def _with_known_returns_of_each(
        self, buffers: LevelBuffer, proposal: Proposal, space: LevelSpace
    ) -> tuple[Proposal, ...]:
        """Return the proposal once for each student, with the best returns that its buffer knows."""
        return tuple(self.with_known_returns(buffer, proposal, space) for buffer in _each(buffers))


def _each(tree: Any) -> tuple[Any, ...]:
    """Return the parts ``[...]`` of each student of a pytree ``[2, ...]``."""
    return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(NUM_STUDENTS))


def _by_student(tree: Any) -> Any:
    """Return a pytree ``[2 B, ...]`` as ``[2, B, ...]``; a number that all levels share is repeated."""

    def split(leaf: jax.Array) -> jax.Array:
        if jnp.ndim(leaf) == 0:
            return jnp.broadcast_to(leaf, (NUM_STUDENTS,))
        return leaf.reshape(NUM_STUDENTS, leaf.shape[0] // NUM_STUDENTS, *leaf.shape[1:])

    return jax.tree.map(split, tree)


def _empty(shape: jax.ShapeDtypeStruct) -> jax.Array:
    """Return an array of this shape and type that stands for nothing."""
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape.shape)
    return jnp.zeros(shape.shape, shape.dtype)
