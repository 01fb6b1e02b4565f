"""The compiled chunk: iterations until a given count, for all members, with metrics reduced inside.

Nothing leaves the device between the iterations of a chunk: no callback, no row of metrics. The number of iterations is
an argument, so one compiled program serves every chunk, and a resumed run goes through the very instructions of one that
never stopped.
"""

import jax
import jax.numpy as jnp
from flax import struct

from minied.teachers.base import Plan, Schedule
from minied.teachers.contract import checked_plan
from minied.train.metrics import Metrics
from minied.train.setting import Setting
from minied.train.state import Member, RunState, map_members
from minied.train.update import iterate


class RunningMean(struct.PyTreeNode):
    """Sum and count of the defined values of a metric, ``[S]``."""

    total: jax.Array  # f32[S]
    count: jax.Array  # f32[S]

    def add(self, value: jax.Array) -> "RunningMean":
        """Return the mean with ``value`` taken in, unless it is NaN."""
        defined = ~jnp.isnan(value)
        return RunningMean(self.total + jnp.where(defined, value, 0.0), self.count + defined)

    def result(self) -> jax.Array:
        """Return the mean, NaN if nothing was defined."""
        return jnp.where(self.count > 0, self.total / jnp.maximum(self.count, 1.0), jnp.nan)


def advance(
    setting: Setting, state: RunState, until: jax.Array, own: Setting | None = None
) -> tuple[RunState, Metrics]:
    """Run iterations until there have been ``until``, the run is finished, or a score or a parameter is no finite number.

    Args:
        setting: of the run; leaves shared by the members.
        state: before; to be donated by the caller's ``jit``.
        until: ``i32[]``, count of iterations since the run began.
        own: each member's own numbers ``[S]``, of which those that a plan is made of are those of ``setting``; such members
            go on until the last of them is broken. None: all have those of ``setting``, and none goes on without the others.

    Returns:
        The state after, and the mean of each metric over the iterations of this chunk, ``f32[S]``.
    """

    def unfinished(loop: tuple[RunState, dict[str, RunningMean]]) -> jax.Array:
        state = loop[0]
        is_broken = jnp.any(broken(setting, state)) if own is None else jnp.all(broken(setting, state))
        is_sound = ~setting.spread.any(is_broken)
        return (state.schedule.iterations < until) & ~is_finished(setting, state.schedule) & is_sound

    # Traced once, for the shapes of the metrics and for the loop.
    iterate_all = jax.jit(lambda state: iterate_members(setting, state, own))

    def body(loop: tuple[RunState, dict[str, RunningMean]]) -> tuple[RunState, dict[str, RunningMean]]:
        state, means = loop
        state, metrics = iterate_all(state)
        return state, {name: mean.add(metrics[name]) for name, mean in means.items()}

    shapes = jax.eval_shape(iterate_all, state)[1]
    zeros = {name: jnp.zeros(shape.shape) for name, shape in shapes.items()}
    means = {name: RunningMean(zero, zero) for name, zero in zeros.items()}
    state, means = jax.lax.while_loop(unfinished, body, (state, means))
    return state, {name: mean.result() for name, mean in means.items()}


def is_finished(setting: Setting, schedule: Schedule) -> jax.Array:
    """Return whether the students have had their updates, or the run its environment steps, ``bool[]``."""
    return (schedule.student_updates >= setting.total_updates) | (schedule.rollouts >= setting.max_rollouts)


class Faults(struct.PyTreeNode):
    """What is wrong with each member, ``[S]``."""

    broken_scores: jax.Array  # i32[S], how many scores were ever no finite number
    fault: jax.Array  # i32[S], of the teacher, 0 for none (see `Teacher.fault`)
    has_diverged: jax.Array  # bool[S], whether any parameter of any student is no finite number


def faults(setting: Setting, state: RunState) -> Faults:
    """Return what is wrong with each member."""
    teacher, members = setting.teacher, state.members
    number = members.key.shape[0]
    leaves = jax.tree.leaves((members.student.parameters, getattr(members.others, "parameters", ())))
    finite = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in leaves]
    return Faults(
        broken_scores=jax.vmap(teacher.broken_scores, axis_size=number)(members.teacher),
        fault=jax.vmap(teacher.fault, axis_size=number)(members.teacher),
        has_diverged=~jnp.all(jnp.stack(finite), axis=0),
    )


def broken(setting: Setting, state: RunState) -> jax.Array:
    """Return whether anything is wrong with each member, ``bool[S]``."""
    found = faults(setting, state)
    return (found.broken_scores > 0) | (found.fault > 0) | found.has_diverged


def iterate_members(setting: Setting, state: RunState, own: Setting | None = None) -> tuple[RunState, Metrics]:
    """Return the run one iteration later: one plan for all members, drawn from the schedule's own key.

    ``own`` are the members' numbers, as in `advance`.
    """
    schedule = state.schedule
    plan = _plan_of(setting, schedule)
    over = jnp.maximum(schedule.student_updates / setting.total_updates, schedule.rollouts / setting.max_rollouts)
    # A run ends by whichever comes first, and so does its schedule of rates.
    # Behind a barrier, or else the learner of a teacher that always trains is no branch but part of what is around it, which
    # the compiler rounds now so, now so: a member of a group shall be the run that it would be alone, bit for bit.
    train = jax.lax.optimization_barrier(plan.train)
    plan = plan.replace(progress=over, spread=setting.spread, train=train)

    def one(each: tuple[Member, Setting | None]) -> tuple[Member, Metrics]:
        member, numbers = each
        return iterate(setting if numbers is None else numbers, schedule, plan, member)

    members, metrics = map_members(one, (state.members, own))
    return RunState(_after(setting, schedule, plan), members), metrics


def foreseen(setting: Setting, schedule: Schedule) -> Schedule:
    """Return the schedule at the end of a run that is at ``schedule`` now: it depends on nothing that members do."""
    return jax.lax.while_loop(
        lambda now: ~is_finished(setting, now), lambda now: _after(setting, now, _plan_of(setting, now)), schedule
    )


def _plan_of(setting: Setting, schedule: Schedule) -> Plan:
    key = jax.random.fold_in(schedule.key, schedule.iterations)
    plan = checked_plan(setting.teacher, key, schedule, setting.num_levels)
    if setting.correlations:  # every level is played once more, to know its regret
        plan = plan.replace(rollouts=plan.rollouts + setting.teacher.num_batches)
    return plan


def _after(setting: Setting, schedule: Schedule, plan: Plan) -> Schedule:
    """Return the schedule after an iteration of ``plan``, with what all students play."""
    batches = setting.teacher.num_batches // max(setting.teacher.num_own_batches, 1)
    return schedule.after(plan.replace(rollouts=plan.rollouts + (setting.num_students - 1) * batches))
