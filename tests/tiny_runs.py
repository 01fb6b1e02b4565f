"""Runs as small as they can be, one for each teacher, on a corridor whose levels can do all that a teacher may ask for.

In a module of its own, so that tests of several folders share the compiled programs: equal settings compile once.
Letters: ``B`` levels in a batch, ``T`` steps of a rollout, ``N`` iterations.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from toy_designers import EditableCorridor

from minied import registry
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.designing import Designing
from minied.teachers.scoring import ScoringTeacher
from minied.train.config import TrainConfig
from minied.train.program import Program, _advance, _init

B, T, N = 4, 12, 7
ENV = EditableCorridor(length=5, max_steps=6)
NETWORK = NetworkConfig(
    memory="none", memory_size=4, head_size=4, embedding_size=2, num_value_heads=2, num_policy_heads=2
)
LEARNER = PPOConfig(learning_rate=0.01, num_epochs=1)
TEACHERS, SCORES = registry.names("teacher"), registry.names("score")
OF_TASKS = ("learning_progress", "ordered_tasks", "uniform_tasks", "windowed_slope")
UNSCORED = ("alp_gmm", "domain_randomization", "fixed_curriculum", "minimax_adversary", "paired", *OF_TASKS)
"""Teachers without a `score`."""
REGRETS = ("flexible_regret", "mean_relative_regret", "population_regret", "relative_regret")
"""Scores that compare students."""
IMPOSSIBLE = [(name, score) for name in ("ncc", "repaired", "sfl") for score in REGRETS]
"""Teachers that score what only one student plays."""

_REPLAY = {"buffer_size": 12, "minimum_fill": 0.5}  # warm once 6 levels were offered: 2 batches
_ALWAYS = {"replay_probability": 1.0}  # no chance is left in the plan
_DESIGNING = {"network": NetworkConfig(memory="none", memory_size=4, head_size=4, embedding_size=2), "ppo": LEARNER}
OPTIONS = {
    # 3 batches between two fits, the first when 8 levels are stored
    "alp_gmm": {
        "fit_rate": 12, "fit_window": 8, "history_size": 16, "min_components": 1, "max_components": 3, "em_iterations": 3,
    },
    "domain_randomization": {},
    "fixed_curriculum": {"file": "suite:ends", "updates_per_level": 2},
    "minimax_adversary": _DESIGNING,
    "paired": _DESIGNING,
    "repaired": _DESIGNING | _REPLAY | _ALWAYS | {"score": "positive_value_loss"},
    "plr": _REPLAY | _ALWAYS | {"score": "positive_value_loss"},
    "robust_plr": _REPLAY | _ALWAYS | {"score": "max_mc"},
    "uniform_replay": _REPLAY | _ALWAYS | {"score": "l1_value_loss"},
    "parallel_plr": _REPLAY | {"score": "signed_gae"},
    "accel": _REPLAY | _ALWAYS | {"score": "exact_regret"},
    "parallel_accel": _REPLAY | {"score": "one_step_td"},
    "map_elites": _REPLAY | _ALWAYS | {"score": "return_variance", "features": ("start",), "feature_ranges": (1.0, 6.0)},
    "learned_mixture": _REPLAY | {"score": "mean_return", "file": "suite:ends"},
    # 6 levels are rounded up to 2 batches
    "learning_progress": {"measure": "probe", "probe_every": 3, "probe_levels": 6, "uniform_share": 0.5},
    "ordered_tasks": {"attempts_per_measurement": 1},
    "uniform_tasks": {"attempts_per_measurement": 1},
    "windowed_slope": {"attempts_per_measurement": 1, "window": 3},
    # 14 candidates are rounded up to 4 batches
    "sfl": {
        "score": "learnability", "buffer_size": 12, "num_candidates": 14, "candidate_rollouts": 2, "refresh_every": 3,
    },
    "ncc": {
        "score": "generalized_learnability", "buffer_size": 12, "rescored_batches": 2, "new_batches": 1,
        "probe_rollouts": 2, "refresh_every": 3,
    },
}  # fmt: skip

COUNTS = {
    # teacher: student updates, batches of new levels, batches of B × T steps, of N = 7 iterations
    "alp_gmm": (7, 7, 7),
    "domain_randomization": (7, 7, 7),
    "fixed_curriculum": (7, 0, 7),  # the levels are the user's
    "minimax_adversary": (7, 0, 7),
    "paired": (7, 0, 14),  # two students play
    "repaired": (5, 2, 14),  # new new R R R R R, each by two students
    "plr": (7, 2, 7),  # new new R R R R R, learning from all
    "robust_plr": (5, 2, 7),  # the same, learning from R
    "uniform_replay": (5, 2, 7),
    "parallel_plr": (6, 8, 14),  # [new new] once, which are 8 of 12 levels; then 6 times [R new]
    "accel": (3, 2, 7),  # new new R M R M R, learning from R
    "parallel_accel": (6, 9, 21),  # [new new new] once; then 6 times [R new M]
    "map_elites": (3, 2, 7),  # as accel
    "learned_mixture": (7, 2, 7),  # new new, then mixed batches, which count as none
    "learning_progress": (7, 7, 13),  # probes in iterations 0, 3 and 6, each of 2 batches
    "ordered_tasks": (7, 7, 7),
    "uniform_tasks": (7, 7, 7),
    "windowed_slope": (7, 7, 7),
    # refreshes in iterations 0, 3 and 6, each of 4 batches played twice: 7 + 3 · 4 · 2
    "sfl": (7, 12, 31),
    # likewise; 3 batches are the whole buffer: 7 + (3 + 1) · 2 at first, then twice (2 + 1) · 2 more
    "ncc": (7, 3, 27),
}


def teacher_of(name, **options):
    return registry.load("teacher", name)(**OPTIONS[name] | options)


def students_of(teacher):
    """How many students a teacher needs."""
    scores = getattr(teacher, "score", ""), teacher.pay.score if isinstance(teacher, Designing) else ""
    return 2 if {*scores} & {*REGRETS} else 1


def config_of(teacher, **options):
    """The config of a teacher, or of that of a name, with as many students as it needs."""
    teacher = teacher_of(teacher) if isinstance(teacher, str) else teacher
    defaults = {
        "env": ENV,
        "teacher": teacher,
        "network": NETWORK,
        "ppo": LEARNER,
        "num_students": students_of(teacher),
        "num_envs": B,
        "num_steps": T,
        "updates": 100,
        "seed": 5,
    }
    return TrainConfig(**defaults | options)


@functools.cache
def program_of(config):
    return Program(config)


@functools.cache
def played(config, pieces=(N,)):
    """The state after the last of these counts of iterations, and the metrics of each piece."""
    program, rows = program_of(config), []
    state = program.init()
    for until in pieces:
        state, row = program.advance(state, until)
        rows.append(row)
    return state, rows


def copy(state):
    return jax.tree.map(jnp.copy, state)


def raw(tree):
    """Leaves as NumPy, typed keys as their words."""
    return [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in jax.tree.leaves(tree)
    ]


def equal(a, b):
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(raw(a), raw(b), strict=True))


def buffer_of(config, state) -> Any:
    """The teacher's buffer, [S, ...], or None."""
    teacher = config.teacher
    return jax.vmap(teacher.buffer_of)(state.members.teacher) if isinstance(teacher, ScoringTeacher) else None


def counts(state):
    """As in `COUNTS`."""
    schedule = state.schedule
    return int(schedule.student_updates), int(schedule.new_batches), int(schedule.rollouts)


def compiled_programs() -> tuple[int, int]:
    """How many programs to begin and to advance a run there are."""
    return tuple(function._cache_size() for function in (_init, _advance))  # pyright: ignore


def float_fields(config):
    return [field.name for field in dataclasses.fields(config) if field.type in (float, "float")]
