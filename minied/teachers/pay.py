"""What a level earns the policy that built it: any score, brought to a steady scale.

Letter: ``B`` levels.
"""

from collections.abc import Mapping
from typing import get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied import registry
from minied.hyperparameters import Hyperparameters, require_choice, require_range
from minied.scores.base import Reduction, Score, Signals, needs_of, score_levels, validate_reduction, validate_score

SMALLEST_DEVIATION = 1e-6
"""Standard deviation of the pay below which it is not divided by it: levels that all earn the same tell nothing."""


class RunningPay(struct.PyTreeNode):
    """Mean and spread of all that was ever paid, before it is brought to scale, each level counting the same."""

    count: jax.Array  # f32[]
    mean: jax.Array  # f32[]
    squares: jax.Array  # f32[], sum of squared deviations from the mean
    last_mean: jax.Array  # f32[], of the last batch, NaN if it had no score
    unscored: jax.Array  # f32[], share of the last batch that had no score
    broken: jax.Array  # i32[], scores that were no finite number though an episode finished, ever

    @classmethod
    def start(cls) -> "RunningPay":
        """Return what is known before anything was paid."""
        zero, unknown = jnp.zeros(()), jnp.full((), jnp.nan)
        return cls(zero, zero, zero, unknown, unknown, jnp.zeros((), jnp.int32))

    @property
    def deviation(self) -> jax.Array:
        """The standard deviation of all pay so far, ``f32[]``, 1 where there is none to speak of."""
        deviation = jnp.sqrt(self.squares / jnp.maximum(self.count, 1.0))
        return jnp.where(deviation > SMALLEST_DEVIATION, deviation, 1.0)

    def add(self, scores: jax.Array, valid: jax.Array, broken: jax.Array) -> "RunningPay":
        """Return what is known after a batch: ``f32[B]``, ``bool[B]`` which of them count, ``bool[B]``.

        By the formula of Chan, Golub and LeVeque (1979) for two samples, which does not cancel.
        """
        number = jnp.sum(valid).astype(jnp.float32)
        mean = jnp.sum(jnp.where(valid, scores, 0.0)) / jnp.maximum(number, 1.0)
        squares = jnp.sum(jnp.where(valid, jnp.square(scores - mean), 0.0))
        count = self.count + number
        share = number / jnp.maximum(count, 1.0)
        distance = mean - self.mean
        return RunningPay(
            count=count,
            mean=self.mean + distance * share,
            squares=self.squares + squares + jnp.square(distance) * self.count * share,
            last_mean=jnp.where(number > 0, mean, jnp.nan),
            unscored=1.0 - number / scores.shape[0],
            broken=self.broken + jnp.sum(broken, dtype=jnp.int32),
        )

    def metrics(self) -> dict[str, jax.Array]:
        """Return the mean score of the last batch, how many levels had none, and the scale."""
        return {"pay": self.last_mean, "pay_deviation": self.deviation, "unscored_levels": self.unscored}


class Pay(Hyperparameters):
    """What a level earns its designer."""

    score: str = "relative_regret"
    """What a level is worth: a name of `minied list scores`, or `package.module:function`."""
    reduction: Reduction = "mean"
    """What a score that goes by steps takes of an episode: their mean, the first, the highest, or the sum."""
    max_share: float = 0.0
    """m: of a mean over steps, (1 − m) of it and m of the highest."""
    normalize: bool = False
    """Whether it is divided by the standard deviation of all pay so far. It is not centred: the policy's own critic does
    that. With ``ppo.normalize_advantages`` the critic alone sees a difference."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        require_range(self, "max_share", 0, 1)
        require_choice(self, "reduction", get_args(Reduction))

    def validate(self, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the score cannot be computed in this run."""
        validate_score(self.function, self.score, missing)
        validate_reduction(self.function, self.score, self.max_share, self.reduction, "teacher.pay.")

    @property
    def function(self) -> Score:
        """The score."""
        return registry.load("score", self.score)

    @property
    def needs(self) -> frozenset[str]:
        """The signals of the score."""
        return needs_of(self.function)

    def of(self, known: RunningPay, signals: Signals) -> tuple[jax.Array, RunningPay]:
        """Return the pay of levels, ``f32[B]``, of which students showed ``signals`` ``[B, ...]``, and what is known then.

        A level without a score is paid the mean of the others, so that it tells nothing.
        """
        scores, valid, broken = score_levels(self.function, signals, self.max_share, self.reduction)
        known = known.add(scores, valid, broken)
        pay = jnp.where(valid, scores, jnp.where(jnp.isnan(known.last_mean), 0.0, known.last_mean))
        return (pay / known.deviation if self.normalize else pay), known
