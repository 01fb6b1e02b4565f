"""The state of a run: one pytree, all of which is saved. Letters: ``S`` members."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

from minied.students.ppo import StudentState, init_student
from minied.teachers.base import Schedule
from minied.train.setting import Setting

_SCHEDULE = 0x5C4ED  # names the schedule's branch of its seed's keys


class Member(struct.PyTreeNode):
    """What belongs to one seed."""

    key: jax.Array  # key[], constant; each iteration derives its own from it and the iteration's number
    student: StudentState
    teacher: Any  # the teacher's state pytree


class RunState(struct.PyTreeNode):
    """A whole run between two iterations."""

    schedule: Schedule  # shared by the members
    members: Member  # [S, ...]


def map_members(function: Callable[..., Any], members: Any) -> Any:
    """Return ``function`` mapped over the leading member axis of ``members``.

    A lone member goes without the axis: on CPU a batched matrix product of batch 1 costs a third more than a plain one.
    """
    if jax.tree.leaves(members)[0].shape[0] > 1:
        return jax.vmap(function)(members)
    alone = function(jax.tree.map(lambda leaf: leaf[0], members))
    return jax.tree.map(lambda leaf: leaf[None], alone)


def init_state(setting: Setting, seeds: jax.Array, schedule_seed: jax.Array) -> RunState:
    """Return the state before the first iteration.

    Args:
        setting: of the run.
        seeds: ``u32[S]``; a member is made from its seed alone.
        schedule_seed: ``u32[]``, of what the members share.
    """

    def member(seed: jax.Array) -> Member:
        student_key, teacher_key, run_key = jax.random.split(jax.random.key(seed), 3)
        return Member(
            key=run_key,
            student=init_student(student_key, setting.student, setting.ppo),
            teacher=setting.teacher.init(teacher_key, setting.space, setting.num_levels),
        )

    # One member after the other, not vmapped: a batched orthogonal initialisation (QR) can hang XLA on few CPU cores, and
    # this way a member's first weights are bit for bit those of its solo run.
    members = jax.lax.map(member, seeds)
    # `fold_in(key, i)` is `split(key)[i]`: without a step aside, equal seeds (the default) would give the plans of the
    # first iterations the very keys of the first member.
    schedule_key = jax.random.fold_in(jax.random.key(schedule_seed), _SCHEDULE)
    return RunState(schedule=Schedule.start(schedule_key), members=members)
