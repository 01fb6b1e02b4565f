"""Uncertainty of the policy: levels on which the student does not know what to do.

Three measures of Jiang et al. 2021, "Prioritized Level Replay", table 1, all of the action probabilities ``π(a | o_t)``.
``A`` is the number of actions. None of them asks whether the student is right, so that levels where it is surely wrong rank
low, and an entropy bonus or many equally good actions keep them high.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from minied.scores.base import Signals, score


@score(needs=("log_policy", "ended"))
def entropy(signals: Signals) -> jax.Array:
    """How undecided the policy is among all actions.

    The mean over finished episodes, their steps and agents of ``H_t = −Σ_a π(a) log π(a)``, ``f32[]``, in nats, in
    [0, log A]. An action of probability 0 adds 0.

    Source: Jiang et al. 2021, table 1 (policy entropy). Their code divides by log A, which changes no rank.
    High: the policy is near to uniform on the level.
    Bias: high under an entropy bonus and where actions are equally good; low where the student is surely wrong.
    """
    return signals.over_episodes(entr(jnp.exp(signals.log_policy)).sum(axis=-1))


@score(needs=("log_policy", "ended"))
def least_confidence(signals: Signals) -> jax.Array:
    """How improbable the policy's favourite action is.

    The mean over finished episodes, their steps and agents of ``1 − max_a π(a)``, ``f32[]``, in [0, 1 − 1/A].

    Source: Jiang et al. 2021, table 1 (policy least confidence).
    High: no action stands out.
    Bias: as `entropy`.
    """
    return signals.over_episodes(1.0 - jnp.exp(signals.log_policy.max(axis=-1)))


@score(needs=("log_policy", "ended"))
def min_margin(signals: Signals) -> jax.Array:
    """How close the policy's second choice comes to its first.

    The mean over finished episodes, their steps and agents of ``1 − (π₁ − π₂)``, ``f32[]``, in [0, 1]; π₁ and π₂ are the
    largest and the second largest of the probabilities, which may be equal. The policy has at least two actions.

    Source: Jiang et al. 2021, table 1 (policy minimum margin), in the form of their code, which takes the margin from 1 so
    that uncertain levels score high.
    High: two actions are about equally probable.
    Bias: as `entropy`, and blind to all actions but two: a tie of two scores as a tie of all.
    """
    first, second = jnp.moveaxis(jnp.exp(jax.lax.top_k(signals.log_policy, 2)[0]), -1, 0)
    return signals.over_episodes(1.0 - (first - second))
