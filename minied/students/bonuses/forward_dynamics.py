"""How badly did the student foresee what its action would lead to? Curiosity by forward dynamics in a space of features.

Pathak et al. 2017 (arXiv 1705.05363) and Burda et al. 2018b (arXiv 1808.04355): what a step earns is
``mean_F (g(φ(o), a) − φ(o'))²``, ``o'`` the true next observation. Gradients of this never enter φ, which is either drawn
and never learns (*random* features) or learns to tell the action from ``φ(o)`` and ``φ(o')`` (*inverse dynamics*): such
features keep what the student controls, and need not keep the rest. Where what comes next is random, no g foresees it and
the bonus never ends: a noisy television keeps such a student, with features that see it.

Published: no reward of the world's at all (``reward_weight`` 0), observations normalised by a random player's statistics.
Letter: ``F`` features.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from minied.hyperparameters import require_choice, require_range
from minied.students import distributions
from minied.students.base import Parameters
from minied.students.bonuses.curiosity import Curiosity, Shapes, Steps
from minied.students.bonuses.learning import squared_errors
from minied.students.bonuses.networks import Features, ForwardDynamics, InverseDynamics, one_hot

FeatureKind = Literal["random", "inverse_dynamics"]


class ForwardDynamicsBonus(Curiosity):
    """what was not foreseen: the error of a network that predicts features of the next observation."""

    features: FeatureKind = "random"
    """Which features: `random`, of a network that never learns; `inverse_dynamics`, of one that learns to tell actions."""
    num_blocks: int = 4
    """Residual blocks of the dynamics. Published: 4."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "features", get_args(FeatureKind))
        require_range(self, "num_blocks", 0, 2**31 - 1)

    def init_prediction(self, key: jax.Array, shapes: Shapes) -> tuple[Parameters, Parameters]:
        """Return what never learns and what does: features, dynamics and inverse dynamics, by name. Consumes ``key``."""
        features_key, forward_key, inverse_key = jax.random.split(key, 3)
        features = self._features(shapes).init(features_key, shapes.observation())
        known, action = jnp.zeros(self.feature_size), one_hot(shapes.actions, jnp.int32(0))
        forward = self._forward(shapes).init(forward_key, known, action)
        if self.features == "random":
            return {"features": features}, {"forward": forward}
        inverse = self._inverse(shapes).init(inverse_key, known, known)
        return {}, {"features": features, "forward": forward, "inverse": inverse}

    def errors(self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes) -> jax.Array:
        """Return the mean squared error of the next observation's features, ``f32[...]``; no derivative enters features."""
        known, following = self.features_of(fixed, learnt, steps, shapes)
        known, following = jax.lax.stop_gradient((known, following))
        action = one_hot(shapes.actions, steps.actions)
        foreseen: Any = self._forward(shapes).apply(learnt["forward"], known, action)
        return squared_errors(foreseen, following)

    def losses(
        self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return the error, and with features of inverse dynamics the cross-entropy of the action on top."""
        errors = self.errors(fixed, learnt, steps, shapes)
        if self.features == "random":
            return errors, {}
        crossed = self.cross_entropies(learnt, steps, shapes)
        return errors + crossed, {"inverse_dynamics_loss": crossed}

    def cross_entropies(self, learnt: Parameters, steps: Steps, shapes: Shapes) -> jax.Array:
        """Return how badly the action is told from the features before and after it, in nats, ``f32[...]``."""
        logits: Any = self._inverse(shapes).apply(learnt["inverse"], *self.features_of({}, learnt, steps, shapes))
        return -distributions.log_probability(logits, steps.actions)

    def features_of(
        self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes
    ) -> tuple[jax.Array, jax.Array]:
        """Return the features before and after each step, ``f32[..., F]``."""
        network, parameters = self._features(shapes), (fixed if self.features == "random" else learnt)["features"]
        before, after = (network.apply(parameters, each) for each in (steps.observations, steps.next_observations))
        return before, after  # type: ignore[return-value]

    def _features(self, shapes: Shapes) -> Features:
        return Features(shapes.observations, shapes.network, self.feature_size, self.hidden_size)

    def _forward(self, shapes: Shapes) -> ForwardDynamics:
        return ForwardDynamics(shapes.network, self.hidden_size, self.num_blocks)

    def _inverse(self, shapes: Shapes) -> InverseDynamics:
        return InverseDynamics(shapes.network, self.hidden_size, shapes.actions)
