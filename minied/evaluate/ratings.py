"""How strong is each policy in each of a game's two roles? Elo ratings from a table of who won.

    P(policy i as team 0 beats policy j as team 1) = 1 / (1 + 10^−((a_i − d_j + c) / 400))

(Elo 1978, whose scale this is: 400 points are odds of ten to one. It is the model of Bradley and Terry 1952 with two roles.)
``a`` rates policies as team 0, ``d`` as team 1, and ``c`` is what the role of team 0 is worth: for the first policy against
itself, since only differences matter and it is told as 0 in both roles. By maximum likelihood, with one addition: a normal
prior of mean 0 and standard deviation `PRIOR` on every number, of all policies alike, so that they stay finite for a policy
that always won. Beside a hundred games it weighs next to nothing unless nearly all were won; of such a policy only "far
above" is known, and its points say how many games that was seen in. NumPy, float64.

Letters: ``n`` policies, ``L`` levels, ``p = 2 n + 1`` parameters.
"""

from typing import NamedTuple

import numpy as np

from minied.errors import UserError
from minied.evaluate import statistics

SCALE = 400.0
"""Points for which the odds are ten to one."""

PRIOR = 1000.0
"""Standard deviation of the prior, points."""

_POINTS = SCALE / np.log(10.0)  # of one unit of the logit
_STEPS, _HALVINGS, _CLOSE = 100, 30, 1e-7  # of Newton's method; the last in logits


class Ratings(NamedTuple):
    """Points of Elo, in any leading axes."""

    advantage: np.ndarray  # f64[...], c
    first: np.ndarray  # f64[..., n], a, of each policy as team 0
    second: np.ndarray  # f64[..., n], d, of each policy as team 1


def ratings(wins: np.ndarray, num_games: float) -> Ratings:
    """Return the ratings that make a table of wins most likely, up to the prior.

    Args:
        wins: ``f64[..., n, n]``, share of the games between i as team 0 and j as team 1 that team 0 won.
        num_games: of each pair.

    Raises `UserError` for what is no such table.
    """
    wins = np.asarray(wins, np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or not wins.shape[-1]:
        raise UserError(f"wins have the shape {wins.shape}; allowed: [..., n, n], a row a policy as team 0")
    if not np.all((wins >= 0) & (wins <= 1)) or not num_games > 0:
        raise UserError(f"wins are outside of [0, 1], or of {num_games} games; allowed: shares of at least one game")
    num_policies = wins.shape[-1]
    found = _most_likely(wins, num_games) * _POINTS
    advantage, first, second = found[..., :1], found[..., 1 : num_policies + 1], found[..., num_policies + 1 :]
    advantage = (advantage + first[..., :1] - second[..., :1])[..., 0]
    return Ratings(advantage, first - first[..., :1], second - second[..., :1])


def rating_intervals(wins: np.ndarray, num_games: float) -> tuple[Ratings, Ratings]:
    """Return the low and the high ends of 95 % intervals over other levels of the same kind; NaN for one level.

    By the bootstrap over levels, which are drawn with replacement for all pairs at once: all played the same ones.

    Args:
        wins: ``f64[n, n, L]``, of each level.
        num_games: of each pair on each level.
    """
    num_policies, num_levels = wins.shape[0], wins.shape[-1]

    def of_drawn(levels: np.ndarray) -> np.ndarray:  # f64[..., L, 1]
        chosen = np.moveaxis(wins[..., levels[..., 0].astype(int)].mean(axis=-1), (0, 1), (-2, -1))
        found = ratings(chosen, num_games * num_levels)
        return np.concatenate([found.advantage[..., np.newaxis], found.first, found.second], axis=-1)

    numbers = np.arange(num_levels, dtype=np.float64)[:, np.newaxis]
    interval = statistics.stratified_bootstrap(of_drawn, numbers, generator=np.random.default_rng(0))
    return tuple(Ratings(end[0], end[1 : num_policies + 1], end[num_policies + 1 :]) for end in interval)  # pyright: ignore


def _logits(parameters: np.ndarray, num_policies: int) -> np.ndarray:
    """Return the logit of each pair, ``f64[..., n, n]``, of ``c``, ``a``, ``d`` one after the other, ``f64[..., p]``."""
    first, second = parameters[..., 1 : num_policies + 1], parameters[..., num_policies + 1 :]
    return parameters[..., :1, np.newaxis] + first[..., :, np.newaxis] - second[..., np.newaxis, :]


def _summed(pairs: np.ndarray) -> np.ndarray:
    """Return the sums of ``f64[..., n, n]`` for each parameter: of all, by rows, by columns negated, ``f64[..., p]``."""
    rows, columns = pairs.sum(axis=-1), pairs.sum(axis=-2)
    return np.concatenate([rows.sum(axis=-1, keepdims=True), rows, -columns], axis=-1)


def _curvature(weights: np.ndarray) -> np.ndarray:
    """Return the second derivatives, negated, ``f64[..., p, p]``: sums of the pairs' ``f64[..., n, n]`` and no product."""
    num_policies = weights.shape[-1]
    sums = _summed(weights)
    found = np.zeros((*sums.shape, sums.shape[-1]))
    found[..., 0, :] = found[..., :, 0] = sums
    one, other = slice(1, num_policies + 1), slice(num_policies + 1, None)
    diagonal = np.arange(1, sums.shape[-1])
    found[..., diagonal, diagonal] = np.abs(sums[..., 1:])
    found[..., one, other] = -weights
    found[..., other, one] = -np.swapaxes(weights, -1, -2)
    return found


def _most_likely(wins: np.ndarray, num_games: float) -> np.ndarray:
    """Return the parameters in logits, ``f64[..., p]``, for wins ``f64[..., n, n]``.

    Newton's method, each step halved until it does not lose. The penalised likelihood is concave, so there is one best.
    """
    precision, num_policies = (_POINTS / PRIOR) ** 2, wins.shape[-1]

    def gain(parameters: np.ndarray) -> np.ndarray:
        logits = _logits(parameters, num_policies)
        likelihood = np.sum(wins * logits - np.logaddexp(0.0, logits), axis=(-2, -1))
        return num_games * likelihood - 0.5 * precision * np.sum(parameters**2, axis=-1)

    parameters = np.zeros((*wins.shape[:-2], 2 * num_policies + 1))
    for _ in range(_STEPS):
        chances = 0.5 * (1.0 + np.tanh(0.5 * _logits(parameters, num_policies)))  # the logistic function, no overflow
        slope = num_games * _summed(wins - chances) - precision * parameters
        curvature = num_games * _curvature(chances * (1.0 - chances)) + precision * np.eye(parameters.shape[-1])
        step = np.linalg.solve(curvature, slope[..., np.newaxis])[..., 0]
        if np.max(np.abs(step)) < _CLOSE:
            break
        before = gain(parameters)
        for _ in range(_HALVINGS):
            loses = gain(parameters + step) < before
            if not np.any(loses):
                break
            step = np.where(loses[..., np.newaxis], 0.5 * step, step)
        parameters = parameters + step
    return parameters
