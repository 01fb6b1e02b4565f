"""What the student earned on a level: as it is, turned round, and against the best that anybody could earn."""

import jax

from minied.scores.base import Signals, score


@score(needs=("episodes",))
def mean_return(signals: Signals) -> jax.Array:
    """How well the student does on the level.

    ``mean_e R_e``, ``f32[]``, over finished episodes; undiscounted, with several agents of the mean over agents.

    Source: none of its own: the reward of a teacher that helps, and what other scores are compared with.
    High: the level is easy for the student.
    Bias: short episodes finish more often within a rollout, so that quick ends weigh more than slow ones.
    """
    return signals.episodes.mean_return


@score(needs=("episodes",))
def negative_return(signals: Signals) -> jax.Array:
    """How badly the student does on the level, as an adversary would have it.

    ``−mean_e R_e``, ``f32[]``, over finished episodes; undiscounted, with several agents of the mean over agents.

    Source: the minimax adversary, a baseline of Dennis et al. 2020, "Emergent Complexity and Zero-shot Transfer via
    Unsupervised Environment Design". The mean is minimax's form; DCD takes the negative of the highest return.
    High: the student fails on the level.
    Bias: a level that nobody can solve scores highest of all; short episodes weigh more, as in `mean_return`.
    """
    return -signals.episodes.mean_return


@score(needs=("episodes", "optimal_return"))
def exact_regret(signals: Signals) -> jax.Array:
    """How far the student falls short of the best possible return on the level.

    ``R*(θ) − mean_e R_e``, ``f32[]``, over finished episodes; ``R*`` is what `LevelSpace.optimal_return` says, the highest
    return that any policy can have. At least 0 but for rounding.

    Source: the regret of Dennis et al. 2020, with the optimal policy in place of the antagonist; as an
    oracle in Rutherford et al. 2024, "No Regrets".
    High: the level can be done much better than the student does it.
    Bias: none on average where ``R*`` is reached from what a policy can see; where it cannot be, a part of the regret
    is out of anybody's reach and never falls. Too low in a rollout that ends before slow episodes do, as `mean_return`.
    """
    return signals.optimal_return - signals.episodes.mean_return
