"""How well is this observation known? By how well one network has learnt what another, random one, says of it.

Random network distillation (Burda et al. 2018, arXiv 1810.12894): a target network is drawn and never learns; a predictor
learns its outputs on what was observed, and what a step earns is ``mean_F (f̂(o') − f(o'))²`` of the *next* observation
``o'``, the true one also where an episode ended. The target is a function of the observation alone, so that no randomness
of the world is left to be wrong about for ever: a noisy television is known once all its pictures are.

The predictor has two hidden layers more than the target, as published. The published advantage is 2 A of the world's rewards
(γ 0.999) and 1 A of these. Letter: ``F`` features.
"""

import jax

from minied.students.base import Parameters
from minied.students.bonuses.curiosity import Curiosity, Shapes, Steps
from minied.students.bonuses.learning import squared_errors
from minied.students.bonuses.networks import Features

_MORE_LAYERS = 2


class RandomNetworkDistillation(Curiosity):
    """what was seldom observed: the error of a network that learns what another, random one, says of it."""

    reward_weight: float = 2.0
    """What the world's own advantages are multiplied by for the learner; 0: it explores and does nothing else."""

    def init_prediction(self, key: jax.Array, shapes: Shapes) -> tuple[Parameters, Parameters]:
        """Return the target and the predictor. Consumes ``key``."""
        target_key, predictor_key = jax.random.split(key)
        target, predictor = self._networks(shapes)
        sample = shapes.observation()
        return target.init(target_key, sample), predictor.init(predictor_key, sample)

    def errors(self, fixed: Parameters, learnt: Parameters, steps: Steps, shapes: Shapes) -> jax.Array:
        """Return the mean squared error on the next observation, ``f32[...]``."""
        target, predictor = self._networks(shapes)
        observed = steps.next_observations
        return squared_errors(predictor.apply(learnt, observed), target.apply(fixed, observed))  # type: ignore[arg-type]

    def _networks(self, shapes: Shapes) -> tuple[Features, Features]:
        sizes = shapes.observations, shapes.network, self.feature_size, self.hidden_size
        return Features(*sizes), Features(*sizes, num_hidden=1 + _MORE_LAYERS)
