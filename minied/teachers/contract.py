"""Does a teacher keep its contract? Looked at while the program is traced.

A mistake is told in one line before anything compiles, and a program that compiles has paid nothing for it.
"""

from typing import Any

import jax

from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.teachers.base import Outcome, Plan, Probe, Proposal, Schedule, Teacher


def checked_plan(teacher: Teacher, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
    """Return `Teacher.plan`. Raises `UserError` if it is no plan."""
    plan = teacher.plan(key, schedule, num_levels)
    if not isinstance(plan, Plan):
        raise UserError(f"plan of the teacher {_name(teacher)} returns {_kind(plan)}; allowed: a Plan")
    for name, leaf in vars(plan.replace(spread=0)).items():
        if jax.numpy.shape(leaf) != ():
            raise UserError(f"plan of the teacher {_name(teacher)} gives {name} as {_form(leaf)}; allowed: one number")
    return plan


def checked_proposal(
    teacher: Teacher, key: jax.Array, state: Any, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
) -> tuple[Any, Proposal]:
    """Return `Teacher.propose`. Raises `UserError` if it is no state like ``state`` and a proposal of the right size."""
    result = teacher.propose(key, state, plan, space, num_levels, probe)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Proposal)):
        raise UserError(
            f"propose of the teacher {_name(teacher)} returns {_kind(result)}; allowed: a pair, its state and a Proposal"
        )
    after, proposal = result
    _require_same_form(teacher, "propose", state, after)
    rows = teacher.num_batches * num_levels
    for name, part in vars(proposal.replace(design=())).items():
        for leaf in jax.tree.leaves(part):
            if leaf.shape[:1] != (rows,):
                raise UserError(
                    f"propose of the teacher {_name(teacher)} gives {name} as {_form(leaf)}; allowed: a leading axis of"
                    f" num_batches x num_envs = {rows}"
                )
    return after, proposal


def checked_observation(
    teacher: Teacher, state: Any, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
) -> Any:
    """Return `Teacher.observe`. Raises `UserError` if it is no state like ``state``."""
    after = teacher.observe(state, plan, proposal, outcome, space)
    _require_same_form(teacher, "observe", state, after)
    return after


def _require_same_form(teacher: Teacher, method: str, before: Any, after: Any) -> None:
    """Raise `UserError` unless two states have the same structure, shapes and types, as a compiled loop needs."""
    told = f"{method} of the teacher {_name(teacher)} returns a state"
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise UserError(
            f"{told} of structure {jax.tree.structure(after)}; allowed: that of its init, {jax.tree.structure(before)}"
        )
    paths = jax.tree_util.tree_leaves_with_path(before)
    for (path, old), new in zip(paths, jax.tree.leaves(after), strict=True):
        if (old.shape, old.dtype) != (jax.numpy.shape(new), jax.numpy.result_type(new)):
            place = jax.tree_util.keystr(path) or "itself"
            raise UserError(f"{told} whose {place} is {_form(new)}; allowed: that of its init, {_form(old)}")


def _name(teacher: Teacher) -> str:
    return type(teacher).__name__


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(each).__name__ for each in value)})"
    return type(value).__name__


def _form(leaf: Any) -> str:
    return f"{jax.numpy.result_type(leaf).name}{list(jax.numpy.shape(leaf))}"
