"""The state of a run: one pytree, all of which is saved. Letters: ``S`` members."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.spread import Spread
from minied.students.base import Parameters
from minied.students.ppo import StudentState, init_student
from minied.teachers.base import Schedule
from minied.train.setting import Setting

_OTHERS = 0x07E25  # names the branch of a student's key from which the others of its population are drawn
_BONUS = 0xB0C05  # names the branch of a student's key from which what its bonus learns with is drawn
_SCHEDULE = 0x5C4ED  # names the schedule's branch of its seed's keys


class Member(struct.PyTreeNode):
    """What belongs to one seed."""

    key: jax.Array  # key[], constant; each iteration derives its own from it and the iteration's number
    student: StudentState  # the protagonist, where there are several
    teacher: Any  # the teacher's state pytree
    others: Any = ()  # StudentState [P − 1, ...], the antagonists; () if there is one student
    pool: Any = ()  # parameters [P, K, ...] of past policies, see `minied.train.self_play`; () if nobody meets them

    @property
    def population(self) -> StudentState:
        """All students, ``[P, ...]``."""
        if not jax.tree.leaves(self.others):
            return jax.tree.map(lambda leaf: leaf[None], self.student)
        return jax.tree.map(lambda one, rest: jnp.concatenate([one[None], rest]), self.student, self.others)

    def with_population(self, population: StudentState) -> "Member":
        """Return the member with other students, ``[P, ...]``."""
        first, rest = (jax.tree.map(lambda leaf, part=part: leaf[part], population) for part in (0, slice(1, None)))
        return self.replace(student=first, others=rest if jax.tree.leaves(self.others) else ())


class RunState(struct.PyTreeNode):
    """A whole run between two iterations."""

    schedule: Schedule  # shared by the members
    members: Member  # [S, ...]


def specs_of(spread: Spread) -> RunState:
    """Return which part of each field of a `RunState` a device holds."""
    # The form of a `RunState` with specs for leaves, as `shard_map` takes them.
    return RunState(schedule=jax.P(), members=spread.of_members)  # type: ignore[arg-type]


def map_members(function: Callable[..., Any], members: Any) -> Any:
    """Return ``function`` mapped over the leading axis of ``members``: of a run, or of a population of students.

    On CPU one after the other: a batched matrix product there is slower than as many plain ones (so 16 members of the
    standard workload learn 1.4 times as fast, and eight with a memory of 32 units no slower). Elsewhere side by side.
    """
    if jax.tree.leaves(members)[0].shape[0] > 1:
        return jax.lax.map(function, members) if jax.default_backend() == "cpu" else jax.vmap(function)(members)
    alone = function(jax.tree.map(lambda leaf: leaf[0], members))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], alone)


def _strongly_typed(leaf: jax.Array) -> jax.Array:
    """Return ``leaf`` with a type that is its own: a teacher's ``jnp.full(n, -jnp.inf)`` takes that of what it meets.

    A checkpoint gives strongly typed arrays back, and the compiled program is to be the same one.
    """
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else jax.lax.convert_element_type(leaf, np.dtype(leaf.dtype))


def init_state(setting: Setting, seeds: jax.Array, schedule_seed: jax.Array) -> RunState:
    """Return the state before the first iteration.

    Args:
        setting: of the run.
        seeds: ``u32[S]``; a member is made from its seed alone.
        schedule_seed: ``u32[]``, of what the members share.
    """

    def member(seed: jax.Array) -> Member:
        student_key, teacher_key, run_key = jax.random.split(jax.random.key(seed), 3)
        member = Member(
            key=run_key,
            student=_new_student(student_key, setting),
            teacher=setting.teacher.init(teacher_key, setting.space, setting.num_levels),
            others=_others(student_key, setting),
        )
        if setting.self_play is None:
            return member
        # Behind a barrier, or else the compiler may draw the weights twice, for either place, with another rounding.
        member = member.with_population(jax.lax.optimization_barrier(member.population))
        return member.replace(pool=setting.self_play.first_pool(member.population.parameters))

    # One member after the other, not vmapped: a batched orthogonal initialisation (QR) can hang XLA on few CPU cores, and
    # this way a member's first weights are bit for bit those of its solo run.
    members = jax.tree.map(_strongly_typed, jax.lax.map(member, seeds))
    return RunState(schedule=first_schedule(schedule_seed), members=members)


def first_schedule(schedule_seed: jax.Array) -> Schedule:
    """Return the schedule before the first iteration."""
    # `fold_in(key, i)` is `split(key)[i]`: without a step aside, equal seeds (the default) would give the plans of the
    # first iterations the very keys of the first member.
    return Schedule.start(jax.random.fold_in(jax.random.key(schedule_seed), _SCHEDULE))


def begun_with(setting: Setting, state: RunState, parameters: Parameters) -> RunState:
    """Return the state before the first iteration with other ``parameters`` ``[S, ...]`` of the one student."""
    members = state.members.replace(student=state.members.student.replace(parameters=parameters))
    if setting.self_play is not None:  # whose first snapshot is the policy that the run begins with
        alone = jax.tree.map(lambda leaf: leaf[:, None], parameters)  # [S, P = 1, ...]
        members = members.replace(pool=jax.vmap(setting.self_play.first_pool)(alone))
    return state.replace(members=members)


def _others(key: jax.Array, setting: Setting) -> Any:
    """Return the further students of a population, ``[P − 1, ...]``, each drawn anew. Consumes ``key``."""
    if setting.num_students == 1:
        return ()
    # One after the other, as the members. The first student's parameters come from `key` itself, whose children these are.
    keys = jax.random.split(jax.random.fold_in(key, _OTHERS), setting.num_students - 1)
    return jax.lax.map(lambda each: _new_student(each, setting), keys)


def _new_student(key: jax.Array, setting: Setting) -> StudentState:
    """Return a student that has learnt nothing. Consumes ``key``."""
    student = init_student(key, setting.student, setting.ppo)
    if setting.bonus is None:
        return student
    # The student's parameters come from `key` itself, of which this is a child.
    return student.replace(bonus=setting.bonus.init(jax.random.fold_in(key, _BONUS), setting.surroundings))
