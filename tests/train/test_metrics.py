"""What is logged of an iteration: means over levels by their source, of each student."""

import jax.numpy as jnp
import numpy as np
import pytest

from minied.episodes import EpisodeSummary
from minied.teachers.base import DESIGNED, NEW, REPLAY
from minied.train.metrics import metrics_by_student


def summaries(returns, solved):
    """Of one episode each, [P, R]; nothing finished where the return is NaN."""
    returns = jnp.asarray(returns, jnp.float32)
    finished = ~jnp.isnan(returns)
    return EpisodeSummary(
        num_finished=finished.astype(jnp.int32),
        num_solved=jnp.asarray(solved, jnp.int32),
        mean_return=returns,
        max_return=jnp.where(finished, returns, -jnp.inf),
        mean_length=returns,
        return_variance=returns,
    )


def test_what_other_students_earned_is_told_by_source():
    episodes = summaries([[9.0, 9.0, 9.0], [1.0, 2.0, np.nan], [4.0, 5.0, 6.0]], [[1, 1, 1], [0, 1, 0], [1, 1, 0]])
    sources = jnp.asarray([[NEW] * 3, [DESIGNED, DESIGNED, DESIGNED], [REPLAY, DESIGNED, REPLAY]])
    row = metrics_by_student({"loss": jnp.asarray([0.1, 0.2, 0.3])}, sources, episodes)
    row = {name: float(value) for name, value in row.items()}
    assert row["student/loss"] == pytest.approx(0.1)
    assert row["student_2/loss"] == pytest.approx(0.3)
    # of the second student one level did not finish: (1 + 2) / 2, and 1 of 2 solved
    assert (row["student_1/designed/return"], row["student_1/designed/solve_rate"]) == (1.5, 0.5)
    assert np.isnan(row["student_1/replay/return"])
    # of the third, two replayed and one designed: (4 + 6) / 2, and 1 of 2 solved
    assert (row["student_2/replay/return"], row["student_2/replay/solve_rate"]) == (5.0, 0.5)
    assert (row["student_2/designed/return"], row["student_2/designed/solve_rate"]) == (5.0, 1.0)
    assert not any(
        name.startswith("student/") and name != "student/loss" for name in row
    )  # its own are `level_metrics`
