"""MaxMC: how far the value falls short of the best return ever seen on the level."""

import jax

from minied.scores.base import Signals, score


@score(needs=("values", "max_return", "ended"))
def max_mc(signals: Signals) -> jax.Array:
    """How far the values fall short of the best return ever seen on the level (MaxMC).

    The mean over finished episodes, their steps and agents of ``R⁺ − V(s_t)``, ``f32[]``. ``R⁺`` is the highest
    undiscounted return seen on the level so far (with several agents, of the mean return over agents), ``V`` the mean of
    the value heads.

    Source: Jiang et al. 2021, "Replay-Guided Adversarial Environment Design", section 4.2 (maximum Monte Carlo).
    High: the student once did much better on the level than it now expects to.
    Bias: negative where the critic over-estimates, and on levels that the student could solve but never has, where ``R⁺`` is
    still 0: the most regrettable ones can rank below those that nobody can solve. Above 0 for a perfect critic too, since
    ``V`` is discounted and counts only what is still to come, ``R⁺`` neither, and one lucky episode lifts ``R⁺`` for good.
    """
    return signals.over_episodes(signals.max_return - signals.values.mean(axis=-1))
