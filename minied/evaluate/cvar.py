"""How bad is a policy on the levels that are worst for it? The unbiased CVaR of SFL.

Protocol of Rutherford et al. 2024 (No Regrets, arXiv 2408.15099): draw many solvable levels, play each several times,
twice with different random numbers. The first play ranks the levels, the second is reported on those that ranked worst.
Reporting the play that ranked them would also select bad luck, and be too low.

Letters: ``L`` levels, ``A`` shares.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from minied.errors import UserError
from minied.levels.space import LevelSpace

SHARES = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The worst 0.01, 0.1, 1, 2, 5, 10, 20, 50 and 100 % of the levels, as published."""

_BATCH = 2048  # draws
_LEAST_YIELD = 0.001  # of solvable levels among the draws; below it, a generator counts as having none
_PATIENCE = 32 * _BATCH  # draws before that is judged


class TailCurve(NamedTuple):
    """Mean solve rates on the worst levels, by share."""

    num_levels: np.ndarray  # i64[A], how many levels a share is
    unbiased: np.ndarray  # f64[A], in the play that did not rank them: the figure to report
    biased: np.ndarray  # f64[A], in the play that ranked them


def solvable_levels(key: jax.Array, space: LevelSpace, count: int) -> Any:
    """Return ``count`` solvable levels of the generator, NumPy leaves ``[count, ...]``. Consumes ``key``.

    Solvable means that the optimal return is positive. Levels are independent draws: two may be equal. Raises `UserError`
    if ``space`` has no `optimal_return`, or if next to none of its draws is solvable.
    """
    space.require("optimal_return", "the CVaR of an evaluation")

    @jax.jit
    def draw(key: jax.Array) -> tuple[Any, jax.Array]:
        levels = jax.vmap(space.sample)(jax.random.split(key, _BATCH))
        return levels, jax.vmap(space.optimal_return)(levels) > 0

    found: list[Any] = []
    drawn = num_found = 0
    while num_found < count:
        levels, is_solvable = jax.tree.map(np.asarray, draw(jax.random.fold_in(key, drawn // _BATCH)))
        found.append(jax.tree.map(lambda leaf, keep=is_solvable: leaf[keep], levels))
        drawn, num_found = drawn + _BATCH, num_found + int(is_solvable.sum())
        if num_found < count and drawn >= _PATIENCE and num_found < _LEAST_YIELD * drawn:
            raise UserError(
                f"{num_found} of {drawn} levels of the generator of {type(space).__name__} are solvable;"
                f" allowed: at least {_LEAST_YIELD:.1%}, to find {count} of them"
            )
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *found)


def worst_levels(solve_rate: np.ndarray, mean_return: np.ndarray) -> np.ndarray:
    """Return the indices of all levels, worst first, ``i64[L]``.

    The lowest solve rate comes first; among equal ones the lowest mean return, then the lowest index. Both arguments are
    ``[L]`` and come from the play that ranks.
    """
    return np.lexsort((np.arange(len(solve_rate)), mean_return, solve_rate))


def tail_curve(
    ranking_rate: np.ndarray,
    ranking_return: np.ndarray,
    reported_rate: np.ndarray,
    shares: tuple[float, ...] = SHARES,
) -> TailCurve:
    """Return the mean solve rates on the worst ``⌈share · L⌉`` levels of one member.

    Args:
        ranking_rate: ``[L]``, solve rates of the play that ranks.
        ranking_return: ``[L]``, mean returns of that play; they break ties.
        reported_rate: ``[L]``, solve rates of the other play.
        shares: above 0, at most 1.
    """
    if any(not 0 < share <= 1 for share in shares):
        raise UserError(f"shares are {shares}; allowed: above 0, at most 1")
    order = worst_levels(ranking_rate, ranking_return)
    # What rounding adds to a product such as 0.07 · 100 shall not become a level.
    counts = np.asarray([max(1, math.ceil(round(share * len(order), 9))) for share in shares])
    return TailCurve(
        num_levels=counts,
        unbiased=_means_of_first(np.asarray(reported_rate, np.float64)[order], counts),
        biased=_means_of_first(np.asarray(ranking_rate, np.float64)[order], counts),
    )


def _means_of_first(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.cumsum(values)[counts - 1] / counts
