"""How many steps does a curriculum need until every task of a tech tree is mastered? A simulator without any learning agent.

Of task k the chance of success p_k rises with the share of practice that it gets, as far as its parents are mastered, and
falls while others are practised:

    p_k ← p_k + η · share_k · (1 − p_k) · Π_{j parent of k} p_j − λ · p_k · (1 − share_k)

A curriculum is any function ``(state, p) -> (state, shares)`` and its first state: what a teacher of tasks does, given exact
chances. Deviation: p is seen as it is; a teacher sees some successes. Prints one JSON object.

    python benchmarks/tech_tree.py --tasks 50

Letters: ``N`` tasks.
"""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.bench import scripts
from minied.errors import UserError
from minied.levels.space import LevelSpace
from minied.levels.tasks import Tasks
from minied.teachers.base import NEW, Plan
from minied.teachers.learning_progress import LearningProgress
from minied.teachers.progress import smoothed
from minied.teachers.tasks import TaskState

Curriculum = Callable[[Any, np.ndarray], tuple[Any, Any]]
"""``(state, p f64[N]) -> (state, shares f[N])``; the shares sum to 1."""


@dataclasses.dataclass(frozen=True)
class _Numbered(LevelSpace, Tasks):
    """Tasks that are numbers, and nothing to play."""

    number: int

    @property
    def tasks(self) -> "_Numbered":
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"task {k}" for k in range(self.number))

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (), 0, self.number)

    def level(self, key: jax.Array, tasks: jax.Array) -> jax.Array:
        return tasks[0]


@dataclasses.dataclass(frozen=True)
class TechTree:
    """N tasks, what each needs, and how fast one learns and forgets."""

    parents: np.ndarray  # bool[N, N], whether the task of the row needs that of the column
    learning_rate: float = 0.05  # η, in [0, 1]: of a step that is all of one task
    forgetting: float = 0.0  # λ, in [0, 1]: of a step that is all of other tasks

    def __post_init__(self) -> None:
        number = len(self.parents)
        if self.parents.shape != (number, number) or self.parents.dtype != bool or np.triu(self.parents).any():
            raise UserError("parents of a tech tree are no bool[N, N]; allowed: each task needs earlier ones only")
        for name in ("learning_rate", "forgetting"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} of a tech tree is {getattr(self, name)}; allowed: [0, 1]")

    @property
    def num_tasks(self) -> int:
        """N."""
        return len(self.parents)

    def step(self, success: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return the chances of success, ``f64[N]``, after a step of practice in these shares ``f64[N]``."""
        open_to = np.where(self.parents, success[None, :], 1.0).prod(axis=1)
        learnt = self.learning_rate * shares * (1.0 - success) * open_to
        return success + learnt - self.forgetting * success * (1.0 - shares)


def chain(num_tasks: int, **rates: float) -> TechTree:
    """Return tasks in a row, of which each needs the one before."""
    return TechTree(np.eye(num_tasks, k=-1, dtype=bool), **rates)


def random_tree(num_tasks: int, seed: int, most_parents: int = 2, **rates: float) -> TechTree:
    """Return tasks of which each but the first needs one to ``most_parents`` random earlier ones."""
    random = np.random.default_rng(seed)
    parents = np.zeros((num_tasks, num_tasks), bool)
    for task in range(1, num_tasks):
        number = random.integers(1, min(task, most_parents) + 1)
        parents[task, random.choice(task, number, replace=False)] = True
    return TechTree(parents, **rates)


@dataclasses.dataclass(frozen=True)
class Course:
    """What came of a curriculum."""

    steps_to_master: int | None  # until all tasks were at once at least as likely to succeed as asked; None: never
    num_mastered: np.ndarray  # i64[steps], tasks that were so likely after each step
    success: np.ndarray  # f64[N], at the end
    practised: np.ndarray  # f64[N], share of each task in all steps


def run(
    tree: TechTree, curriculum: Curriculum, state: Any, max_steps: int, mastered: float = 0.9, go_on: bool = False
) -> Course:
    """Return what comes of a curriculum that begins in ``state``, with no task known.

    Args:
        tree: the tasks.
        curriculum: what is practised.
        state: of the curriculum, before the first step.
        max_steps: after which it ends.
        mastered: chance of success that is asked for.
        go_on: whether it goes on when all tasks are mastered.

    Raises `UserError` for shares that are none.
    """
    success, practised = np.zeros(tree.num_tasks), np.zeros(tree.num_tasks)
    counts: list[int] = []
    first = None
    while len(counts) < max_steps and (first is None or go_on):
        state, given = curriculum(state, success)
        shares = np.asarray(given, np.float64)
        if shares.shape != success.shape or not (np.all(shares >= 0) and abs(shares.sum() - 1) < 1e-4):
            raise UserError(
                f"shares of a curriculum are {shares}; allowed: {tree.num_tasks} of them, ≥ 0, with the sum 1"
            )
        success, practised = tree.step(success, shares), practised + shares
        counts.append(int((success >= mastered).sum()))
        if first is None and counts[-1] == tree.num_tasks:
            first = len(counts)
    return Course(first, np.asarray(counts), success, practised / max(len(counts), 1))


def uniform(state: Any, success: np.ndarray) -> tuple[Any, np.ndarray]:
    """Practise every task alike."""
    return state, np.full(success.shape, 1 / success.size)


def of_teacher(teacher: LearningProgress, num_tasks: int) -> tuple[Curriculum, Any]:
    """Return what minied's teacher would do that measures every task exactly after each step, and its first state."""
    space = _Numbered(num_tasks)
    plan = Plan.of(NEW, train=True, new_batches=1)

    @jax.jit
    def practise(state: TaskState, success: jax.Array) -> tuple[TaskState, jax.Array]:
        averages = smoothed(state.averages, success, jnp.ones(num_tasks, bool), *teacher.rates)
        state = state.replace(averages=averages)
        return state, teacher.distribution(state, plan, space)

    first = teacher.init(jax.random.key(0), space, num_tasks)
    return lambda state, success: practise(state, jnp.asarray(success, jnp.float32)), first


CURRICULA: dict[str, Callable[[int], tuple[Curriculum, Any]]] = {
    "uniform": lambda _: (uniform, ()),
    "learning_progress": lambda number: of_teacher(LearningProgress(), number),
    "unidirectional": lambda number: of_teacher(LearningProgress(bidirectional=False), number),
    "omni": lambda number: of_teacher(LearningProgress(variant="omni", uniform_share=0.25), number),
}
"""Curricula by name: what makes one for N tasks, and its first state."""


def main() -> None:
    arguments = parser().parse_args()
    scripts.main(lambda _: compare(arguments))


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=50, help="in a chain")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="η")
    parser.add_argument("--forgetting", type=float, default=0.0, help="λ")
    parser.add_argument("--mastered", type=float, default=0.9, help="chance of success that is asked for")
    parser.add_argument("--max-steps", type=int, default=100_000)
    parser.add_argument("--curricula", nargs="*", default=list(CURRICULA), choices=list(CURRICULA))
    return parser


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what came of each curriculum on a chain, as JSON has it."""
    tree = chain(arguments.tasks, learning_rate=arguments.learning_rate, forgetting=arguments.forgetting)
    found = {}
    for name in arguments.curricula:
        curriculum, state = CURRICULA[name](arguments.tasks)
        course = run(tree, curriculum, state, arguments.max_steps, arguments.mastered)
        found[name] = {
            "steps_to_master": course.steps_to_master,
            "num_mastered": int(course.num_mastered[-1]),
            "mean_success": round(float(course.success.mean()), 4),
        }
    options = {
        name: getattr(arguments, name) for name in ("tasks", "learning_rate", "forgetting", "mastered", "max_steps")
    }
    return options | {"curricula": found}


if __name__ == "__main__":
    main()
