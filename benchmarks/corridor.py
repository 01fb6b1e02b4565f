"""Does a teacher that is paid by the student's own networks move the start away as the student learns, and is that worth it?

The test bench T2: a corridor of L cells, the goal at one end, reward 1 there and nothing anywhere else, and a horizon in
which chance reaches the goal from nearby only. The student is a table (`tabular_student.py`), so that each cell has to be
learnt. A teacher chooses the start (`paired` with `builds: parameters`: one choice of L − 1, nothing of their order is told)
and is paid by a score; ALP-GMM chooses it from returns alone. Each is compared with uniform starts by the environment steps
until the student gets from the far end to the goal with a chance of at least 0.9, which is computed from its table and not
sampled.

What was chosen, on three seeds for value disagreement, and why; all teachers share it:

- ``ppo.ensemble_data own``: each of the five value heads learns from rows of its own. Of heads that learn from the same rows
  a table's disagreement falls by the same factor at every visit, whatever happened there
  (tests/students/test_disagreement_laws.py): it counts visits and knows no frontier. With rows of their own heads differ as
  returns do, and returns differ where the student sometimes gets through. (`same_rows` shows the other, from values that
  start apart.)
- An ε of Adam far above any gradient makes it plain gradient descent with momentum: what is learnt of a cell grows with the
  number of visits, as in the tabular learner of the specification. Adam proper takes steps of one size however rare the
  visits are, and with it uniform starts lose nothing here.
- A learning rate at which a cell takes many visits, so that the teacher, which has to try starts to know their pay, can
  follow.
- The highest disagreement of an episode pays, not the mean, into which cells enter that were learnt long ago. Pay is divided
  by its running deviation and the teacher's advantages are as they are, so that its entropy coefficient is a share of what
  pay differs by; one start in twenty stays uniform.

Deviation from spec A.5.6: actor-critic PPO by table in place of Q-learning. Prints one JSON object.

    python benchmarks/corridor.py --seeds 10

Letters: ``S`` seeds, ``L`` cells, ``P`` policy heads.
"""

import argparse
import dataclasses
import sys
import time
from typing import Any

import jax
import numpy as np
from scipy import stats
from tabular_student import TabularStudent

from minied import registry
from minied.bench import scripts
from minied.errors import UserError
from minied.evaluate import statistics
from minied.run.console import Reporter
from minied.scores.base import needs_of
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.alp_gmm import ALPGMM
from minied.teachers.base import Teacher
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.paired import Paired
from minied.teachers.pay import Pay
from minied.train.config import TrainConfig
from minied.train.program import Program
from minied_envs.petri import Corridor

SOLVED = 0.9
"""Chance to reach the goal from the far end at which the student is said to solve it."""
SCORES = ("value_disagreement", "l1_value_loss", "policy_disagreement", "learnability")
TEACHERS = ("uniform", "alp_gmm", *SCORES, "same_rows")
NUM_POLICIES = 3
"""Of the student whose policies may disagree, each of which learns from a third of the rows: it is compared with uniform
starts for a student of that kind, `uniform_3`, and both may take three times as long."""
RATE = 0.0025
"""What a visit counts: the learning rate is this times the rows of a batch, of whose losses PPO takes the mean."""


def main() -> None:
    arguments = parser().parse_args()
    scripts.main(lambda reporter: run(arguments, reporter))


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100, help="the first; what follows was chosen on seeds 0 to 2")
    parser.add_argument("--length", type=int, default=32, help="cells, L")
    parser.add_argument("--max-steps", type=int, default=52, help="of an episode, and steps of a rollout")
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--updates", type=int, default=8000, help="at most")
    parser.add_argument("--look-every", type=int, default=50, help="updates between two looks at the student")
    parser.add_argument(
        "--teachers", nargs="*", default=list(TEACHERS), help="uniform, alp_gmm, same_rows, or any score's name"
    )
    return parser


def run(arguments: argparse.Namespace, reporter: Reporter) -> dict[str, Any]:
    """Return what came of each teacher, as JSON has it."""
    found: dict[str, dict[str, Any]] = {}
    names = [name for each in arguments.teachers for name in (_rival_of(each), each)]
    for name in dict.fromkeys(names):
        reporter.phase(f"{name}: {arguments.seeds} seeds")
        begin = time.perf_counter()
        config, student = setting_of(name, arguments)
        found[name] = result_of(train(config, student, arguments.look_every))
        found[name]["seconds"] = round(time.perf_counter() - begin, 1)
        print(f"{name}: {found[name]['env_steps_mean']} steps, {found[name]['solved']} solved", file=sys.stderr)
    for name, result in found.items():
        if name != _rival_of(name):
            result |= against_uniform(result["env_steps"], found[_rival_of(name)]["env_steps"])
    told = {
        "seeds": arguments.seeds,
        "first_seed": arguments.seed,
        "length": arguments.length,
        "max_steps": arguments.max_steps,
    }
    return told | {"solved_from_the_far_end": SOLVED, "teachers": found}


def _rival_of(name: str) -> str:
    """Return the uniform teacher of the same student."""
    return f"uniform_{NUM_POLICIES}" if name in ("policy_disagreement", f"uniform_{NUM_POLICIES}") else "uniform"


# -- settings ---------------------------------------------------------------------------------------------------------


def setting_of(name: str, arguments: argparse.Namespace) -> tuple[TrainConfig, TabularStudent]:
    """Return the run of the teacher ``name`` and its student."""
    num_policies = 1 if _rival_of(name) == "uniform" else NUM_POLICIES
    same_rows = name == "same_rows"
    config = TrainConfig(
        env=Corridor(arguments.length, arguments.max_steps),
        teacher=teacher_of("value_disagreement" if same_rows else name),
        # Of the network only the numbers of heads count, by which teachers are checked: a table takes its place.
        network=NetworkConfig(memory="none", num_value_heads=5, num_policy_heads=num_policies),
        ppo=PPOConfig(
            learning_rate=RATE * arguments.num_envs * arguments.max_steps,
            adam_epsilon=1.0,
            max_grad_norm=1e9,
            num_epochs=1,
            value_coefficient=5.0,
            entropy_coefficient=0.003,
            discount=0.98,
            gae_lambda=0.95,
            clip_value=False,
            normalize_advantages=False,
            ensemble_data="same" if same_rows else "own",
        ),
        num_envs=arguments.num_envs,
        num_steps=arguments.max_steps,
        seed=arguments.seed,
        num_seeds=arguments.seeds,
        num_devices=1,
        updates=arguments.updates * num_policies,
    )
    spread = 0.1 if same_rows else 0.0
    return config, TabularStudent(arguments.length, 2, 5, num_policies, value_spread=spread)


def teacher_of(name: str) -> Teacher:
    """Return uniform starts, ALP-GMM, or a policy that chooses them and is paid by the score ``name``."""
    if name == _rival_of(name):
        return DomainRandomization()
    if name == "alp_gmm":
        return ALPGMM()
    goes_by_steps = "ended" in needs_of(registry.load("score", name))
    return Paired(
        builds="parameters",
        uniform_share=0.05,
        pay=Pay(score=name, reduction="max" if goes_by_steps else "mean", normalize=True),
        network=NetworkConfig(memory="none", memory_size=16, head_size=16),
        ppo=PPOConfig(
            learning_rate=0.02,
            num_epochs=4,
            entropy_coefficient=0.08,
            normalize_advantages=False,
            clip_value=False,
        ),
    )


# -- measuring --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Look:
    """What was seen between two looks, all ``f64[S]``."""

    updates: int
    env_steps: int
    distance: np.ndarray  # mean start of the levels given since the last look, in cells from the goal
    chance: np.ndarray  # to get from the far end to the goal


def train(config: TrainConfig, student: TabularStudent, look_every: int) -> list[Look]:
    """Train until every seed has solved the corridor or the updates are done; return the looks."""
    if look_every < 1:
        raise UserError(f"look_every is {look_every}; allowed: at least 1")
    program = Program(config, student)
    state = program.init()
    source = "new" if isinstance(config.teacher, DomainRandomization) else "designed"
    looks: list[Look] = []
    has_solved = np.zeros(config.num_seeds, bool)
    while not program.is_finished(state) and not has_solved.all():
        count = program.counters(state)["iterations"] + look_every
        state, metrics = program.advance(state, count)
        policy = np.asarray(jax.nn.softmax(state.members.student.parameters["policy"]), np.float64)
        chance = chances_from_the_far_end(policy, config.env.max_steps)
        has_solved |= chance >= SOLVED
        counters = program.counters(state)
        distance = metrics[f"{source}/levels/distance"].astype(np.float64)
        looks.append(Look(counters["student_updates"], counters["env_steps"], distance, chance))
    return looks


def chances_from_the_far_end(policy: np.ndarray, max_steps: int) -> np.ndarray:
    """Return the chance to reach the goal within ``max_steps``, mean over policies, ``f64[S]``.

    ``policy`` ``f64[S, L, P, 2]`` is the probability of each action in each cell.
    """
    towards = np.moveaxis(policy[..., 0], 1, -1)  # [S, P, L]
    at = np.zeros_like(towards)
    at[..., -1] = 1.0
    for _ in range(max_steps):
        moving = at.copy()
        moving[..., 0] = 0.0  # at the goal it is over
        nearer, farther = moving * towards, moving * (1.0 - towards)
        after = at - moving
        after[..., :-1] += nearer[..., 1:]
        after[..., 1:] += farther[..., :-1]
        after[..., -1] += farther[..., -1]  # the far end is a wall
        at = after
    return at[..., 0].mean(axis=1)


def result_of(looks: list[Look]) -> dict[str, Any]:
    """Return when each seed solved the corridor, and how the starts moved until then."""
    chances = np.stack([look.chance for look in looks])  # [looks, S]
    distances = np.stack([look.distance for look in looks])
    solved = (chances >= SOLVED).any(axis=0)
    first = np.where(solved, (chances >= SOLVED).argmax(axis=0), len(looks) - 1)
    # The last look is the end of the budget if some seed has not solved it: a lower bound.
    env_steps = np.array([look.env_steps for look in looks])[first]
    return {
        "solved": int(solved.sum()),
        "env_steps": env_steps.tolist(),
        "env_steps_mean": round(float(env_steps.mean())),
        "mean_distance_by_look": np.round(distances.mean(axis=1), 2).tolist(),
        "mean_chance_by_look": np.round(chances.mean(axis=1), 3).tolist(),
        "updates_by_look": [look.updates for look in looks],
        "outward": outward(distances, first),
        "outward_of_the_mean": outward(distances.mean(axis=1, keepdims=True), first.max(keepdims=True)),
    }


def outward(distances: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    """Return how steadily the mean start ``distances`` ``[looks, S]`` moved outward, up to its farthest look.

    ``first`` ``i64[S]`` is the look at which each seed had solved the corridor; what comes after it is not counted.
    Spearman's correlation with time is 1 for starts that never come nearer; ``largest_fall`` is the most that they ever
    came nearer by, in cells.
    """
    of_seeds = []
    for seed, last in enumerate(first):
        until = distances[: last + 1, seed]
        rising = until[: until.argmax() + 1]
        rank = np.corrcoef(stats.rankdata(rising), np.arange(rising.size))[0, 1] if rising.size > 2 else np.nan
        fall = float((np.maximum.accumulate(rising) - rising).max())
        of_seeds.append((until[0], until.max(), until.argmax() / max(last, 1), rank, fall, until.max() - until[-1]))
    names = (
        "first",
        "farthest",
        "farthest_at_share_of_the_time",
        "spearman",
        "largest_fall",
        "fall_after_the_farthest",
    )
    return {name: _mean_of_defined(column) for name, column in zip(names, np.array(of_seeds).T, strict=True)}


def against_uniform(env_steps: list[int], uniform: list[int]) -> dict[str, Any]:
    """Return how many times a teacher's steps uniform starts took: of means, with a bootstrap interval over seeds."""
    mine, theirs = np.asarray(env_steps, np.float64), np.asarray(uniform, np.float64)
    drawn = np.random.default_rng(0).integers(mine.size, size=(statistics.REPETITIONS, 2, mine.size))
    ratios = theirs[drawn[:, 0]].mean(axis=1) / mine[drawn[:, 1]].mean(axis=1)
    return {
        "times_as_fast_as_uniform": round(float(theirs.mean() / mine.mean()), 3),
        "interval": np.round(np.quantile(ratios, [0.025, 0.975]), 3).tolist(),
    }


def _mean_of_defined(values: np.ndarray) -> float | None:
    defined = values[np.isfinite(values)]
    return round(float(defined.mean()), 3) if defined.size else None


if __name__ == "__main__":
    main()
