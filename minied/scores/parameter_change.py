"""Parameter change (PACE): how much the student would learn from the level."""

import jax

from minied.scores.base import Signals, score


@score(needs=("parameter_change",))
def parameter_change(signals: Signals) -> jax.Array:
    """How far training on the level alone would move the student's parameters (PACE).

    ``‖Δθ‖²``, ``f32[]``, at least 0: the squared Euclidean norm of the update of the parameters that this level's rollout
    makes by itself.

    Source: Yuan et al. 2026, "PACE: Parameter Change for Unsupervised Environment Design", arXiv 2605.01358. For a step of
    gradient ascent, ``Δθ = η ∇J``, the objective grows by ``∇J · Δθ = ‖Δθ‖² / η`` to first order: a measure of improvement.
    High: the student has much to learn on the level, as its own learner sees it.
    Bias: noise in the gradient adds to the norm, so that random levels score above settled ones; proportional to the
    improvement for plain gradient steps only, and changing in scale with the learning rate.
    """
    return signals.parameter_change
