"""MaxMC: how far the value falls short of the best return ever seen on the level."""

import jax

from minied.scores.base import Signals, score


@score(needs=("values", "max_return", "ended"))
def max_mc(signals: Signals) -> jax.Array:
    """Return the mean of ``R⁺ − V(s_t)`` over finished episodes, ``f32[]``.

    ``R⁺`` is the highest undiscounted return seen on the level so far. Jiang et al. 2021, "Replay-Guided Adversarial
    Environment Design", section 4.2 (maximum Monte Carlo). With several agents ``R⁺`` is of the mean return.
    """
    return signals.mean_over_episodes(signals.max_return - signals.values.mean(axis=-1))
