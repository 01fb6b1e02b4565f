"""The contract of a teacher, and what passes between it and the loop.

Letters: ``B`` levels in a batch, one environment a level; ``R`` levels in a proposal, one to three times ``B``. One
iteration of the loop is

    plan            = teacher.plan(key, schedule, B)                          shared by all members, scalar
    state, proposal = teacher.propose(key, state, plan, space, B, probe)      levels [R] of one member
    outcome         = what the students did on them; if plan.train they learn, from the first B of them
    state           = teacher.observe(state, plan, proposal, outcome, space)

A plan depends on nothing of a member's own, so that its branches stay real branches when members are vmapped.
"""

import abc
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from minied.hyperparameters import Hyperparameters
from minied.levels.buffer import Ancestry
from minied.levels.space import LevelSpace
from minied.scores.base import EpisodeSummary, Signals
from minied.spread import ALONE, Spread

NEW, REPLAY, MUTATED, GIVEN, DESIGNED = range(5)
SOURCES = ("new", "replay", "mutated", "given", "designed")
"""Where a level comes from: the generator, a buffer, an edit of a buffer's level, the user, or a policy that designs it.
Metrics are kept apart."""


class Schedule(struct.PyTreeNode):
    """What all members share: the key of the plans, and counters. Every count is a number of whole batches."""

    key: jax.Array  # key[], from `schedule_seed`, never from a member's seed
    iterations: jax.Array  # i32[], plans made so far
    student_updates: jax.Array  # i32[], iterations in which the students learnt
    new_batches: jax.Array  # i32[], batches of B new levels, generated or designed, that were offered and scored
    rollouts: jax.Array  # i32[], batches of B × num_steps environment steps of any student simulated, learning or not
    last_kind: jax.Array  # i32[], `Plan.kind` of the last iteration

    @classmethod
    def start(cls, key: jax.Array) -> "Schedule":
        """Return the schedule of a run that has not begun."""
        zero = jnp.zeros((), jnp.int32)
        return cls(key, zero, zero, zero, zero, zero + NEW)

    def after(self, plan: "Plan") -> "Schedule":
        """Return the schedule after an iteration that followed ``plan``."""
        return self.replace(
            iterations=self.iterations + 1,
            student_updates=self.student_updates + plan.train,
            new_batches=self.new_batches + plan.new_batches,
            rollouts=self.rollouts + plan.rollouts,
            last_kind=plan.kind,
        )


class Plan(struct.PyTreeNode):
    """What this iteration does, for all members alike."""

    kind: jax.Array  # i32[], one of NEW, REPLAY, MUTATED, GIVEN, DESIGNED: what the iteration is about
    train: jax.Array  # bool[], the students learn from the first B levels
    new_batches: jax.Array  # i32[], batches of B new levels among those that are scored
    rollouts: jax.Array  # i32[], batches of B × num_steps steps that the first student plays, those of `probe` too
    refresh: jax.Array  # bool[], the teacher renews its levels by `probe` before it proposes
    progress: jax.Array  # f32[], how much of the run is over, 0 to 1; written by the loop
    spread: Spread = struct.field(pytree_node=False, default=ALONE)  # over devices; written by the loop

    @classmethod
    def of(
        cls,
        kind: jax.Array | int,
        *,
        train: jax.Array | bool,
        new_batches: jax.Array | int,
        rollouts: jax.Array | int = 1,
        refresh: jax.Array | bool = False,
    ) -> "Plan":
        """Return the plan with Python numbers made arrays."""
        number = jnp.int32
        counts = number(new_batches), number(rollouts)
        return cls(number(kind), jnp.bool_(train), *counts, jnp.bool_(refresh), jnp.float32(0))


class Proposal(struct.PyTreeNode):
    """The levels of one iteration of one member."""

    levels: Any  # level pytree, [R, ...]
    sources: jax.Array  # i32[R], one of NEW, REPLAY, MUTATED, GIVEN, DESIGNED
    slots: jax.Array  # i32[R], where in the teacher's buffer each level came from, -1 for one that is not from there
    max_returns: jax.Array  # f32[R], highest return known on each level, -inf if none
    ancestry: Ancestry  # [R], of mutated levels
    design: Any = ()  # what a teacher wants to have back in `observe`, of any shape: how it built the levels


class Outcome(struct.PyTreeNode):
    """What the first student did on the proposed levels; of the others, `Signals.population` tells what they earned.

    Where students have batches of their own (`Teacher.num_own_batches`), batch i is what student i did.
    """

    episodes: EpisodeSummary  # [R]
    signals: Signals  # [R, ...]


class Probe(Protocol):
    """Plays levels with the present student, without learning."""

    def __call__(self, key: jax.Array, levels: Any, num_rollouts: int = 1) -> Outcome:
        """Return what the student does on ``levels``, ``[n, ...]``, in ``num_rollouts × num_steps`` steps.

        Consumes ``key``. Counts for ``n / B × num_rollouts`` of `Plan.rollouts`; ``n`` is a multiple of B.
        """
        ...


class Teacher(Hyperparameters, abc.ABC):
    """A frozen config plus pure functions over a state pytree. Float fields are traced (see `Hyperparameters`)."""

    @property
    def num_batches(self) -> int:
        """Batches of B levels in a proposal, all played in one rollout; the students learn from the first."""
        return 1

    @property
    def num_own_batches(self) -> int:
        """P, if each of P students plays and learns from a batch of its own, the i-th of `num_batches`; 0: all play all."""
        return 0

    @property
    def num_minibatches(self) -> int:
        """Parts into which a teacher that learns itself divides the B levels of a batch; their number divides B."""
        return 1

    @property
    def needs(self) -> frozenset[str]:
        """The signals that this teacher reads in an outcome, see `Signals`; no others are computed."""
        return frozenset()

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if this teacher cannot work.

        Args:
            space: its levels.
            num_levels: B.
            missing: signals that the run cannot compute, each with what is lacking and how to mend it.
        """

    @abc.abstractmethod
    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> Any:
        """Return the state before the first iteration. Consumes ``key``."""

    @abc.abstractmethod
    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Return what the coming iteration does. Consumes ``key``, which all members share."""

    @abc.abstractmethod
    def propose(
        self, key: jax.Array, state: Any, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[Any, Proposal]:
        """Return the state, and the levels of the coming iteration, ``num_batches × num_levels``. Consumes ``key``.

        A teacher that wants to see students on levels first calls ``probe``, under ``plan.refresh``, and counts it in its
        `Plan`.
        """

    @abc.abstractmethod
    def observe(self, state: Any, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace) -> Any:
        """Return the state that has taken in the outcome of ``proposal``."""

    def metrics(self, state: Any, space: LevelSpace) -> dict[str, jax.Array]:
        """Return named ``f32[]`` values about ``state``, logged as means over iterations; NaN where undefined."""
        del state, space
        return {}

    def mastery(self, state: Any) -> jax.Array | None:
        """Return how surely the student does each of the world's tasks, ``f32[K]`` in [0, 1]; None: it knows none.

        In the order of `minied.levels.tasks.Tasks.names`; 0 for a task that was never tried. A bonus may pay only for what
        the student cannot do yet.
        """
        del state
        return None

    def blamed_score(self) -> str:
        """Return the score that may be broken, as a user sets it."""
        return f"teacher.score is {getattr(self, 'score', '')!r}"

    def fault(self, state: Any) -> jax.Array:
        """Return 0, or a number for what a run must stop at other than a score, ``i32[]``: `explain` says what it is."""
        del state
        return jnp.int32(0)

    def explain(self, fault: int, states: Any, space: LevelSpace) -> str:
        """Return the sentence for a `fault` of any of ``states [S, ...]``, those of all members."""
        del states, space
        return f"the teacher {type(self).__name__} reports the fault {fault}"

    def notes(self, state: Any, proposal: Proposal) -> dict[str, jax.Array]:
        """Return what is known of proposed levels, names and ``f32[R]``, or NaN; shown beside their pictures."""
        del state, proposal
        return {}

    def broken_scores(self, state: Any) -> jax.Array:
        """Return how many scores were ever no finite number though an episode finished, ``i32[]``. A run stops at one."""
        del state
        return jnp.int32(0)


def sample_levels(key: jax.Array, space: LevelSpace, num_levels: int) -> Any:
    """Return ``num_levels`` independent levels of the generator, ``[num_levels, ...]``. Consumes ``key``."""
    return jax.vmap(space.sample)(jax.random.split(key, num_levels))


def propose_levels(levels: Any, source: int) -> Proposal:
    """Return a batch of levels ``[R, ...]`` of which nothing is known as a proposal."""
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    return Proposal(
        levels=levels,
        sources=jnp.full(num_levels, source, jnp.int32),
        slots=jnp.full(num_levels, -1, jnp.int32),
        max_returns=jnp.full(num_levels, -jnp.inf),
        ancestry=Ancestry.none(num_levels),
    )


def propose_new(key: jax.Array, space: LevelSpace, num_levels: int) -> Proposal:
    """Return a batch of new levels as a proposal. Consumes ``key``."""
    return propose_levels(sample_levels(key, space, num_levels), NEW)


def join(*proposals: Proposal) -> Proposal:
    """Return proposals side by side as one."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *proposals)


def choose(condition: jax.Array, first: Proposal, second: Proposal) -> Proposal:
    """Return row by row the one of two proposals that ``condition`` ``bool[R]`` says."""
    select = jax.vmap(jax.lax.select)
    return jax.tree.map(lambda a, b: select(condition, a, b), first, second)
