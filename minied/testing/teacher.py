"""Does a teacher keep the contract of `minied.teachers.base`? `check_teacher`: it leads small runs on a world.

Letters: ``B`` levels in a batch, ``S`` members.
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
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import Plan, Teacher
from minied.testing.comparing import difference, num_traces, require_same_form
from minied.testing.environment import chosen
from minied.testing.keys import key_reuses
from minied.testing.lake import Lake, LakeLevels
from minied.testing.report import Check, Failure, Finding, Note, Report, Skip, run_checks
from minied.train.config import TrainConfig
from minied.train.playing import probe_of
from minied.train.program import Program, _advance
from minied.train.setting import Setting
from minied.train.state import RunState

NUM_ITERATIONS = 8
_NETWORK = NetworkConfig(
    memory="none", memory_size=4, head_size=8, embedding_size=4, conv_filters=4, num_value_heads=2, num_policy_heads=2
)
SMALL_LAKE = Lake(height=3, width=4, max_steps=6, max_holes=3)
"""Where a teacher is tried unless another world is given."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Taught:
    """A teacher and the small runs that it leads."""

    teacher: Teacher
    env: Environment
    seed: int
    num_envs: int
    num_iterations: int

    def config(self, **changed: Any) -> TrainConfig:
        """Return the config of a run. Raises `UserError` if the teacher refuses it."""
        episode = 2 * self.env.max_steps
        values: dict[str, Any] = {
            "env": self.env, "teacher": self.teacher, "network": _NETWORK, "seed": self.seed, "num_envs": self.num_envs,
            "num_steps": episode, "num_devices": 1, "updates": 2**20, "ppo": PPOConfig(num_epochs=1, num_minibatches=1),
            "num_students": self.teacher.num_own_batches or self.num_students,
        }  # fmt: skip
        return TrainConfig(**(values | changed))

    @functools.cached_property
    def num_students(self) -> int:
        """One, or two where the teacher compares students."""
        try:
            TrainConfig(env=self.env, teacher=self.teacher, network=_NETWORK, num_envs=self.num_envs, num_steps=1)
        except UserError as error:
            return 2 if "num_students" in str(error) else 1
        return 1

    @functools.cached_property
    def program(self) -> Program:
        """The run's program."""
        return Program(self.config())

    def run(self, iterations: int, start: RunState | None = None, program: Program | None = None) -> RunState:
        """Return the state of a run after so many iterations in all."""
        program = program or self.program
        return program.advance(program.init() if start is None else start, iterations)[0]

    @functools.cached_property
    def setting(self) -> Setting:
        """What does not change in the run."""
        return Setting.of(self.config())

    def method(self, name: str) -> Any:
        """Return the teacher's own method of this name, to look at."""
        return getattr(type(self.teacher), name)


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


def _soundness(taught: Taught) -> str:
    """A short run has no fault, and its metrics are no infinities."""
    try:
        state, metrics = taught.program.advance(taught.program.init(), taught.num_iterations)
    except UserError as error:
        raise Failure(str(error), taught.method("observe")) from error
    infinite = [name for name, value in metrics.items() if np.isinf(value).any()]
    if infinite:
        raise Failure(f"the metric {infinite[0]} is infinite", taught.method("metrics"))
    counters = taught.program.counters(state)
    if not counters["student_updates"]:
        raise Note(f"the student has not learnt in {taught.num_iterations} iterations")
    return f"{counters['iterations']} iterations, {counters['student_updates']} of them with learning"


def _determinism(taught: Taught) -> str:
    """Two runs of a seed are the same, bit for bit."""
    one, other = (taught.run(taught.num_iterations) for _ in range(2))
    if told := difference(one, other, exact=True):
        raise Failure(f"two runs of one seed differ: {told}", type(taught.teacher))
    return "two runs of one seed are the same, bit for bit"


def _one_trace(taught: Taught) -> str:
    """A run is compiled once, also with other numbers for its floats."""
    before = num_traces(_advance)
    state = taught.run(1, program=Program(taught.config()))
    for iteration in range(2, 6):
        state = taught.run(iteration, state)
    if (more := num_traces(_advance) - before) > 1:
        raise Failure(f"the loop was compiled {more} times in one run", type(taught.teacher))
    floats = {
        field.name
        for field in dataclasses.fields(taught.teacher)
        if isinstance(getattr(taught.teacher, field.name), float)
    }
    changed = []
    for name in sorted(floats):
        try:
            other = dataclasses.replace(taught.teacher, **{name: getattr(taught.teacher, name) * 0.875})
            config = taught.config(teacher=other)
        except UserError:
            continue
        size = num_traces(_advance)
        taught.run(1, program=Program(config))
        if num_traces(_advance) > size:
            raise Failure(
                f"another {name} compiles the loop anew: a number of the program must not shape it",
                type(taught.teacher),
            )
        changed.append(name)
    return f"compiled once{', also with another ' + ', '.join(changed) if changed else ''}"


def _resume(taught: Taught) -> str:
    """A run that was stopped and goes on is as if it had not, bit for bit."""
    whole = taught.run(taught.num_iterations)
    half = taught.run(taught.num_iterations // 2)
    keys = jax.tree.map(lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key), half)
    saved = jax.tree.map(lambda leaf, key: np.array(jax.random.key_data(leaf) if key else leaf), half, keys)
    back = jax.tree.map(
        lambda leaf, key: jax.random.wrap_key_data(jnp.asarray(leaf)) if key else jnp.asarray(leaf), saved, keys
    )
    if told := difference(whole, taught.run(taught.num_iterations, back), exact=True):
        raise Failure(f"a run that was stopped and resumed is another: {told}", type(taught.teacher))
    return "a resumed run is that which was never stopped, bit for bit"


def _members(taught: Taught) -> str:
    """Members of one program are the runs of their seeds."""
    program = Program(taught.config(num_seeds=2))
    together = program.advance(program.init(), taught.num_iterations)[0].members
    for index in range(2):
        alone = Program(taught.config(seed=taught.seed + index))
        solo = alone.advance(alone.init(), taught.num_iterations)[0].members
        one = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        if told := difference(jax.tree.map(lambda leaf: leaf[0], solo), one):
            raise Failure(f"member {index} of two is not the run of its seed alone: {told}", type(taught.teacher))
    return "members of one program are the runs of their seeds"


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


def _unfinished(taught: Taught) -> str:
    """Rollouts in which no episode finishes do no harm."""
    if taught.env.max_steps < 3:
        raise Skip("every episode of the world ends at once")
    program = Program(taught.config(num_steps=1))
    try:
        program.advance(program.init(), taught.num_iterations)
    except UserError as error:
        raise Failure(
            f"where no episode finishes in a rollout the run stops: {error}", taught.method("observe")
        ) from error
    return "a rollout in which no episode finishes does no harm"


TEACHER_CHECKS = (
    Check("accepts", _accepts, "a run fails after minutes of compiling, in words that do not help"),
    Check("forms", _forms, "the loop cannot be compiled"),
    Check("soundness", _soundness, "the run stops, or logs what is no number"),
    Check("determinism", _determinism, "a run cannot be repeated"),
    Check("one_trace", _one_trace, "each change of a number, or each iteration, costs minutes of compiling"),
    Check("resume", _resume, "a run that was preempted ends elsewhere"),
    Check("members", _members, "seeds of a sweep disturb each other"),
    Check("keys", _keys, "random choices of a teacher repeat: it looks at the same levels again"),
    Check("levels", _levels, "the student trains on what is no level"),
    Check("accounting", _accounting, "env_steps are wrong, and every comparison at equal steps with them"),
    Check("unfinished_episodes", _unfinished, "scores of nothing enter the buffer"),
)
"""In the order in which they are run."""
