"""Every teacher with every score trains: by default so many pairs that each teacher, score and option is among them."""

from typing import get_args

import jax
import numpy as np
import pytest
from tiny_runs import (
    COUNTS,
    IMPOSSIBLE,
    OPTIONS,
    REGRETS,
    SCORES,
    TEACHERS,
    UNSCORED,
    B,
    N,
    T,
    buffer_of,
    config_of,
    counts,
    played,
    program_of,
    raw,
    teacher_of,
)

from minied.errors import UserError
from minied.levels.priority import EVICTIONS, PRIORITIZATIONS
from minied.scores.base import Reduction

OTHERS = [
    # scores that no teacher has by default here, with the options that shape the program otherwise
    ("plr", "negative_advantage_if_solved", {"prioritization": "power", "eviction": "score"}),
    ("robust_plr", "entropy", {"prioritization": "softmax", "score_smoothing": 0.5, "score_reduction": "first"}),
    ("plr", "least_confidence", {"prioritization": "top_k", "top_k": 3, "score_max_share": 0.5}),
    ("robust_plr", "min_margin", {"replay_decision": "proportionate", "score_reduction": "sum"}),
    (
        "parallel_plr",
        "value_disagreement",
        {"unique": False, "staleness_coefficient": 0.0, "prioritization": "power", "score_reduction": "max"},
    ),
    ("plr", "policy_disagreement", {"score_smoothing": 0.25, "score_max_share": 1.0, "temperature": 0.001}),
    ("parallel_accel", "negative_return", {"parents": "easy", "num_parents": 2}),
    ("accel", "novelty", {"parents": "hard", "num_parents": 3}),
    ("sfl", "parameter_change", {"buffer_share": 1.0}),
    # of two students, who play the same levels
    ("plr", "relative_regret", {}),
    ("parallel_plr", "mean_relative_regret", {}),
    ("accel", "flexible_regret", {}),
    ("robust_plr", "population_regret", {}),
]
DEFAULT = [(name, OPTIONS[name]["score"]) for name in TEACHERS if name not in UNSCORED]
COVERED = {*DEFAULT} | {(name, score) for name, score, _ in OTHERS}
DONE = COVERED | {*IMPOSSIBLE}
REST = [(name, score) for name in TEACHERS if name not in UNSCORED for score in SCORES if (name, score) not in DONE]


def check_trained(config):
    state, rows = played(config)
    before = program_of(config).init().members.student.parameters
    after = state.members.student.parameters
    assert all(np.isfinite(leaf).all() for leaf in raw(after))
    moved = [not np.array_equal(a, b) for a, b in zip(raw(before), raw(after), strict=True)]
    assert all(moved), [
        path for path, m in zip(jax.tree_util.tree_leaves_with_path(after), moved, strict=True) if not m
    ]
    assert int(state.schedule.iterations) == N
    assert int(config.teacher.broken_scores(jax.tree.map(lambda leaf: leaf[0], state.members.teacher))) == 0
    assert np.isfinite(rows[0]["student/policy_loss"]).all()
    counters = program_of(config).counters(state)
    updates, _, rollouts = counts(state)
    learnt = updates * B * T * config.num_students
    assert (counters["train_steps"], counters["env_steps"]) == (learnt, rollouts * B * T)
    check_buffer(config, state)
    return state


def check_buffer(config, state):
    buffer = buffer_of(config, state)
    if buffer is None:
        return
    filled = np.asarray(buffer.filled)
    assert filled.sum() >= 2
    scores = np.asarray(buffer.scores)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores[filled])) > 1, "every level is worth the same"
    assert np.isfinite(np.asarray(buffer.max_returns)[filled]).all()
    starts = np.asarray(buffer.levels.start)[filled]
    assert ((starts >= 1) & (starts <= config.env.length)).all()
    assert len(np.unique(starts)) > 1


def test_the_covering_pairs_have_every_teacher_score_and_option():
    assert {name for name, _ in DEFAULT} | {*UNSCORED} == {*TEACHERS} == {*OPTIONS} == {*COUNTS}
    assert {score for _, score in COVERED} == {*SCORES}
    assert len(DONE) + len(REST) == (len(TEACHERS) - len(UNSCORED)) * len(SCORES)
    options = [teacher_of(name, score=score, **more) for name, score, more in OTHERS]
    options += [teacher_of(name) for name in TEACHERS]
    for field, values in {
        "prioritization": PRIORITIZATIONS, "eviction": EVICTIONS, "replay_decision": ("fixed", "proportionate"),
        "parents": ("batch", "easy", "hard"), "unique": (True, False),
        "score_reduction": get_args(Reduction),
    }.items():  # fmt: skip
        assert {getattr(teacher, field) for teacher in options if hasattr(teacher, field)} == {*values}, field


@pytest.mark.parametrize("name", TEACHERS)
def test_teacher_trains_and_counts_what_it_does(name):
    assert counts(check_trained(config_of(name))) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "score", "options"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] * (each[1] in REGRETS and each[0] != "plr"), id="-".join(each[:2]))
        for each in OTHERS
    ],
)
def test_score_and_option_train(name, score, options):
    state = check_trained(config_of(teacher_of(name, score=score, **options)))
    if options.get("replay_decision") == "proportionate":
        # 8 of 12 levels were offered when it is warm: from then on a coin decides
        updates, new, rollouts = counts(state)
        assert (updates + new, rollouts) == (N, N)
        assert 0 < updates <= N - 2
    else:
        updates, new, rollouts = COUNTS[name]
        assert counts(state) == (updates, new, rollouts * (2 if score in REGRETS else 1))


@pytest.mark.parametrize(("name", "score"), IMPOSSIBLE)
def test_a_score_of_what_several_students_did_is_refused_where_one_plays(name, score):
    with pytest.raises(UserError) as error:
        config_of(teacher_of(name, score=score), num_students=2)
    assert f"score '{score}' needs the signal population: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def _frees_memory(score):
    """Two hundred compiled programs are gigabytes; of those here none is asked for twice."""
    yield
    if score == SCORES[-1]:
        played.cache_clear()
        program_of.cache_clear()
        jax.clear_caches()


@pytest.mark.slow
@pytest.mark.usefixtures("_frees_memory")
@pytest.mark.parametrize(("name", "score"), REST)
def test_pair_trains(name, score):
    updates, new, rollouts = COUNTS[name]
    found = counts(check_trained(config_of(teacher_of(name, score=score))))
    assert found == (updates, new, rollouts * (2 if score in REGRETS else 1))
