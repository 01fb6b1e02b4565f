"""Disagreement of an ensemble: levels that its members, trained alike from different starts, see differently.

Randomness of the world alone leaves no disagreement once the members have learned it, which is what sets these apart from
errors of the value. Letters: ``K`` value heads, ``P`` policy heads, ``A`` actions.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from minied.scores.base import Signals, score


@score(needs=("value_ensemble", "ended"))
def value_disagreement(signals: Signals) -> jax.Array:
    """How much the value heads differ in what they expect.

    The mean over finished episodes, their steps and agents of ``std_k V_k(o_t)``, ``f32[]``, in units of return, at least
    0. The standard deviation divides by K, not K − 1.

    Source: Zhang, Abbeel and Pinto 2020, "Automatic Curriculum Learning through Value Disagreement", who use the start
    state; AutoDIME (Kanitscheider and Edwards 2022, "AutoDIME: Automatic Design of Interesting Multi-Agent
    Environments") and minimax average over the episode, as here.
    High: the heads have not yet seen enough of the level to agree.
    Bias: heads on a shared torso, trained on the same batches, soon agree whether they are right or not; few heads
    understate the spread, by a factor of about √((K − 1)/K).
    """
    return signals.over_episodes(signals.value_ensemble.std(axis=-1))


@score(needs=("policy_ensemble", "ended"))
def policy_disagreement(signals: Signals) -> jax.Array:
    """How much the policy heads differ in what they would do.

    The mean over finished episodes, their steps and agents of the generalised Jensen-Shannon divergence
    ``H(mean_p π_p) − mean_p H(π_p)``, ``f32[]``, in nats, in [0, log P]: 0 if all are the same, log P if no two share an
    action. It does not depend on the order of the heads.

    Source: AutoDIME (Kanitscheider and Edwards 2022), whose divergence is of the Kullback-Leibler kind between pairs;
    the Jensen-Shannon form (Lin 1991, "Divergence Measures Based on the Shannon Entropy") is ours: bounded, and finite where
    one policy excludes what another does.
    High: the heads act differently on the level.
    Bias: where actions are equally good the heads may differ for ever, with nothing to learn.
    """
    policies = jnp.exp(signals.policy_ensemble)
    of_the_mean = entr(policies.mean(axis=-2)).sum(axis=-1)
    mean_of_each = entr(policies).sum(axis=-1).mean(axis=-1)
    # Never negative but for rounding, which the maximum takes away; it lets NaN through.
    return signals.over_episodes(jnp.maximum(of_the_mean - mean_of_each, 0.0))
