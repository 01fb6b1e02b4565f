"""Does a teacher keep the contract of `minied.teachers.base`? `check_teacher`, a check a rule.

What its own methods return is looked at here, the small runs that it leads in `minied.testing.teacher_runs`. Letters: ``B``
levels in a batch.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment
from minied.errors import UserError
from minied.teachers.base import Plan, Teacher
from minied.testing import teacher_runs
from minied.testing.comparing import require_same_form
from minied.testing.environment import chosen
from minied.testing.keys import key_reuses
from minied.testing.lake import Lake, LakeLevels
from minied.testing.report import Check, Failure, Finding, Report, run_checks
from minied.testing.teacher_runs import NUM_ITERATIONS, SMALL_LAKE, Taught
from minied.train.playing import probe_of
from minied.train.program import Program


def check_teacher(
    teacher: Teacher,
    env: Environment = SMALL_LAKE,
    *,
    seed: int = 0,
    num_envs: int = 4,
    num_iterations: int = NUM_ITERATIONS,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    tell: Callable[[Finding], None] | None = None,
) -> Report:
    """Return what is right and wrong with a teacher.

    Args:
        teacher: an instance; small buffers show more in few iterations.
        env: a small world whose levels have what it needs.
        seed: of the runs.
        num_envs: B.
        num_iterations: of a run; enough for the teacher to do all that it does.
        only: names of checks to run, of `TEACHER_CHECKS`; empty: all.
        skip: names of checks to leave out.
        tell: is called with each finding as soon as it is there.
    """
    taught = Taught(teacher, env, seed, num_envs, num_iterations)
    return run_checks(chosen(TEACHER_CHECKS, only, skip), taught, type(teacher).__name__, tell)


class _BareLevels(LakeLevels):
    """Levels that can be sampled, and nothing else."""

    def has(self, capability: str) -> bool:
        """Return False: there is none."""
        return False


@dataclasses.dataclass(frozen=True)
class _BareLake(Lake):
    @property
    def level_space(self) -> LakeLevels:
        return _BareLevels(self)


def _accepts(taught: Taught) -> str:
    """It accepts the world, and a world that lacks what it needs is refused in a sentence."""
    try:
        taught.config()
    except UserError as error:
        raise Failure(f"it refuses {type(taught.env).__name__}: {error}", taught.method("validate")) from error
    bare = _BareLake(**dataclasses.asdict(SMALL_LAKE))
    try:
        program = Program(taught.config(env=bare))
    except UserError as error:
        return f"says what a bare world lacks: {str(error)[:120]}"
    try:
        program.check()
    except Exception as error:
        told = f"in a world that can only sample it is not refused by validate, and fails later: {type(error).__name__}"
        raise Failure(told, taught.method("validate")) from error
    return "works with levels that can only be sampled"


def _forms(taught: Taught) -> str:
    """Plans, proposals and states are of the forms that the loop needs."""
    try:
        taught.program.check()
    except UserError as error:
        raise Failure(str(error), type(taught.teacher)) from error
    state = jax.eval_shape(
        functools.partial(taught.teacher.init, space=taught.setting.space, num_levels=taught.num_envs),
        jax.random.key(0),
    )
    size = sum(leaf.size * getattr(leaf.dtype, "itemsize", 8) for leaf in jax.tree.leaves(state))
    return f"plan, propose and observe fit each other; a state of {len(jax.tree.leaves(state))} arrays, {size} bytes"


def _keys(taught: Taught) -> str:
    """No key is used twice in `init`, `plan` and `propose`."""
    setting, teacher = taught.setting, taught.setting.teacher
    state = taught.run(taught.num_iterations)
    member = jax.tree.map(lambda leaf: leaf[0], state.members)
    plan = teacher.plan(jax.random.key(1), state.schedule, taught.num_envs)
    probe = probe_of(setting, member.student.parameters)

    def propose(key: jax.Array) -> Any:
        return teacher.propose(key, member.teacher, plan, setting.space, taught.num_envs, probe)

    for name, program in (
        ("init", lambda key: teacher.init(key, setting.space, taught.num_envs)),
        ("plan", lambda key: teacher.plan(key, state.schedule, taught.num_envs)),
        ("propose", propose),
    ):
        found = key_reuses(program, jax.random.key(2))
        if found:
            kind = (
                "a key made of constants is used" if found[0].constant else "a key is used again that was used before"
            )
            raise Failure(f"{name}: {kind}", found[0].where or taught.method(name))
    return "no key is used twice in init, plan and propose"


def _levels(taught: Taught) -> str:
    """Proposed levels are valid, at the start and later."""
    space, program = taught.setting.space, taught.program
    sample = jax.eval_shape(space.sample, jax.random.key(0))
    for iterations in (0, taught.num_iterations):
        state = taught.run(iterations) if iterations else program.init()
        levels = program.proposals(state, 16)
        require_same_form(
            sample,
            jax.eval_shape(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), levels),
            "a proposed level is of another form",
            taught.method("propose"),
        )
        if space.has("is_valid"):
            valid = np.asarray(jax.vmap(space.is_valid)(jax.tree.map(jnp.asarray, levels)))
            if not valid.all():
                raise Failure(
                    f"{(~valid).sum()} of {len(valid)} proposed levels are not valid", taught.method("propose")
                )
    return "proposed levels are valid at the start and later"


def _accounting(taught: Taught) -> str:
    """Plans count the steps that are simulated."""
    setting, teacher, size = taught.setting, taught.setting.teacher, taught.num_envs
    state = taught.run(taught.num_iterations)
    member = jax.tree.map(lambda leaf: leaf[0], state.members)
    inner, played = jax.jit(probe_of(setting, member.student.parameters), static_argnums=2), []

    def probe(key: jax.Array, levels: Any, num_rollouts: int = 1) -> Any:
        played.append(jax.tree.leaves(levels)[0].shape[0] / size * num_rollouts)
        with jax.disable_jit(False):
            return inner(key, levels, num_rollouts)

    seen = []
    for number in range(4):
        plan: Plan = teacher.plan(
            jax.random.key(number), state.schedule.replace(iterations=state.schedule.iterations + number), size
        )
        for refresh in {bool(plan.refresh)}:
            played.clear()
            with jax.disable_jit():
                teacher.propose(
                    jax.random.key(3),
                    member.teacher,
                    plan.replace(refresh=jnp.asarray(refresh)),
                    setting.space,
                    size,
                    probe,
                )
            batches = teacher.num_batches // max(teacher.num_own_batches, 1)
            seen.append((float(plan.rollouts), batches + sum(played)))
    wrong = [pair for pair in seen if pair[0] != pair[1]]
    if wrong:
        raise Failure(
            f"a plan counts {wrong[0][0]:g} batches of steps, and {wrong[0][1]:g} are simulated", taught.method("plan")
        )
    told = ", ".join(sorted({f"{pair[0]:g}" for pair in seen}))
    return f"plans count what is simulated: {told} batches of steps an iteration"


TEACHER_CHECKS = (
    Check("accepts", _accepts, "a run fails after minutes of compiling, in words that do not help", "validate"),
    Check("forms", _forms, "the loop cannot be compiled", "propose"),
    Check("soundness", teacher_runs.soundness, "the run stops, or logs what is no number", "observe"),
    Check("determinism", teacher_runs.determinism, "a run cannot be repeated", "propose"),
    Check(
        "one_trace",
        teacher_runs.one_trace,
        "each change of a number, or each iteration, costs minutes of compiling",
        "propose",
    ),
    Check("resume", teacher_runs.resume, "a run that was preempted ends elsewhere", "propose"),
    Check("members", teacher_runs.members, "seeds of a sweep disturb each other", "propose"),
    Check("keys", _keys, "random choices of a teacher repeat: it looks at the same levels again", "propose"),
    Check("levels", _levels, "the student trains on what is no level", "propose"),
    Check("accounting", _accounting, "env_steps are wrong, and every comparison at equal steps with them", "plan"),
    Check("unfinished_episodes", teacher_runs.unfinished, "scores of nothing enter the buffer", "observe"),
)
"""In the order in which they are run."""
