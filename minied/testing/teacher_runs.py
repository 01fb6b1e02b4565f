"""Is a run that a teacher leads sound, repeatable, resumable and compiled once?

Letters: ``S`` members.
"""

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment
from minied.errors import UserError
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.base import Teacher
from minied.testing.comparing import difference, num_traces
from minied.testing.lake import Lake
from minied.testing.report import Failure, Note, Skip
from minied.train.config import TrainConfig
from minied.train.program import Program, _advance
from minied.train.setting import Setting
from minied.train.state import RunState

NUM_ITERATIONS = 8
_NETWORK = NetworkConfig(
    memory="none", memory_size=4, head_size=8, embedding_size=4, conv_filters=4, num_value_heads=2, num_policy_heads=2
)
SMALL_LAKE = Lake(height=3, width=4, max_steps=6, max_holes=3)
"""Where a teacher is tried unless another world is given."""


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

    def culprit(self, method: str) -> Any:
        """Return what is to blame where an error names no line: a method of the teacher, or the teacher."""
        cls = type(self.teacher)
        return getattr(cls, method, cls) if method else cls

    def method(self, name: str) -> Any:
        """Return the teacher's own method of this name, to look at."""
        return getattr(type(self.teacher), name)


def soundness(taught: Taught) -> str:
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


def determinism(taught: Taught) -> str:
    """Two runs of a seed are the same, bit for bit."""
    one, other = (taught.run(taught.num_iterations) for _ in range(2))
    if told := difference(one, other, exact=True):
        raise Failure(f"two runs of one seed differ: {told}", type(taught.teacher))
    return "two runs of one seed are the same, bit for bit"


def one_trace(taught: Taught) -> str:
    """A run is compiled once, also with other numbers for its floats."""
    # A program of its own: what other checks have run is compiled already, and would not be counted.
    advance = inspect.unwrap(_advance)
    loop = jax.jit(lambda *given: advance(*given), donate_argnums=1)
    program = Program(taught.config())
    state = program.init()
    for iteration in range(1, 6):
        state, _ = loop(program._setting, program._placed(state), jnp.int32(iteration))
    if (count := num_traces(loop)) > 1:
        raise Failure(f"the loop was compiled {count} times in one run", type(taught.teacher))
    changed = []
    for field in sorted(dataclasses.fields(taught.teacher), key=lambda field: field.name):
        other = _with_another(taught, field.name)
        if other is None:
            continue
        loop(other._setting, other._placed(other.init()), jnp.int32(1))
        if num_traces(loop) > count:
            told = f"another {field.name} compiles the loop anew: a number of the program must not shape it"
            raise Failure(told, type(taught.teacher))
        changed.append(field.name)
    return f"compiled once{', also with another ' + ', '.join(changed) if changed else ''}"


def _with_another(taught: Taught, name: str) -> Program | None:
    """Return the program with another number for a float of the teacher; None if it is none, or no other is allowed."""
    value = getattr(taught.teacher, name)
    if not isinstance(value, float):
        return None
    for number in (value * 0.875, value + 0.125, value - 0.125):
        if number != value and np.isfinite(number):
            try:
                return Program(taught.config(teacher=dataclasses.replace(taught.teacher, **{name: number})))
            except UserError:
                continue
    return None


def resume(taught: Taught) -> str:
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


def members(taught: Taught) -> str:
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


def unfinished(taught: Taught) -> str:
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
