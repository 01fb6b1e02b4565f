"""ALP-GMM: levels where returns change most, by a mixture of Gaussians (Portelas et al. 2019, arXiv 1910.07224).

    every `fit_rate` levels: fit Gaussians to the last `fit_window` points (φ, ALP), and keep the best number of them
    level: with the chance `random_share`, and until the first fit, φ uniform in the box;
           else a Gaussian in proportion to its mean ALP, φ from it, clipped to the box
    played: ALP = |R − R of the nearest φ before|; store (φ, R, ALP)

φ are the world's parameters (`minied.levels.parameters`) as a point of the unit box, R a return scaled to [0, 1], ALP the
absolute learning progress. Letters: ``B`` levels in a batch, ``h`` parameters, ``C`` points of the history, ``K`` Gaussians
that there is room for.
"""

from collections.abc import Mapping
from typing import get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.levels.parameter_box import ParameterBox
from minied.levels.space import LevelSpace
from minied.teachers import absolute_learning_progress as learning_progress
from minied.teachers import gaussian_mixtures
from minied.teachers.absolute_learning_progress import History
from minied.teachers.base import DESIGNED, NEW, Outcome, Plan, Probe, Proposal, Schedule, Teacher, propose_levels
from minied.teachers.designer_validation import require_levels_of
from minied.teachers.gaussian_mixtures import Covariance, Criterion, Mixture

_LARGEST = 2**24


class ALPGMMState(struct.PyTreeNode):
    """What was played, the mixture that levels are drawn from, and what the last batch was."""

    history: History  # [C], h coordinates
    mixture: Mixture  # [K], of points (φ, ALP): h + 1 dimensions; none before the first fit
    num_components: jax.Array  # i32[], of the mixture, 0 before the first fit
    random: jax.Array  # f32[], share of the last batch that was uniform
    chosen: jax.Array  # f32[h], mean of each parameter over the last batch


class ALPGMM(Teacher):
    """uniform levels, and from Gaussians over the parameters those where returns change most; train on all.

    A level counts once an episode of it has finished. Uniform levels are logged as new ones, those of a Gaussian as
    designed.

    Deviations: refits are counted in batches, so that they come at once for all members, and wait until `fit_window` levels
    are stored. Parameters are scaled to the unit box before anything is measured (the authors leave their units, which
    decide then what is near), and a choice is never one that the world rules out. The history is bounded. Where no Gaussian
    has any progress the level is uniform in the box (theirs: of a Gaussian chosen uniformly, which only repeats what was
    played last). The steps of a fit are a fixed number, from k-means++ centres.
    """

    random_share: float = 0.2
    """Chance of a level to be uniform, after the first fit."""
    fit_rate: int = 250
    """Levels between two fits, rounded up to whole batches."""
    fit_window: int = 250
    """The newest levels, to which the mixture is fitted."""
    history_size: int = 500
    """C, the newest levels, among which the nearest is looked for, at least a batch. Published: all; but an old return that
    is the nearest says what was learnt since long ago, not where anything is being learnt."""
    min_components: int = 2
    """Gaussians of the smallest mixture that is tried."""
    max_components: int = 20
    """Gaussians of the largest, K. All numbers between are tried at each fit."""
    criterion: Criterion = "aic"
    """What the number of Gaussians is chosen by: aic, bic or aicc (`minied.teachers.gaussian_mixtures`)."""
    covariance: Covariance = "full"
    """Whether a Gaussian may lie aslant, full, or not, diagonal."""
    em_iterations: int = 25
    """Steps of expectation maximisation in a fit; 10 and 100 led to draws as good where it was measured."""
    covariance_floor: float = 1e-6
    """Added to each variance of a Gaussian, in units of the box: none becomes narrower."""
    return_low: float = 0.0
    """Return that counts as 0; lower ones too."""
    return_high: float = 1.0
    """Return that counts as 1; higher ones too."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "random_share", 0, 1)
        require_range(self, "covariance_floor", 1e-7, 1)  # below, float32 does not tell a narrow Gaussian from none
        for name in ("fit_rate", "history_size", "em_iterations", "min_components"):
            require_range(self, name, 1, _LARGEST)
        require_range(self, "max_components", self.min_components, _LARGEST)
        require_range(self, "fit_window", self.max_components, self.history_size)
        require_choice(self, "criterion", get_args(Criterion))
        require_choice(self, "covariance", get_args(Covariance))
        for name in ("return_low", "return_high"):
            require_range(self, name, -float("inf"), float("inf"))
        if not self.return_low < self.return_high:
            raise UserError(f"return_low is {self.return_low:g}; allowed: less than return_high = {self.return_high:g}")

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the world has no parameters, or a batch does not fit into the history."""
        space.require("parameters", "ALP-GMM")
        box = ParameterBox(space.parameters)
        if self.history_size < num_levels:
            raise UserError(f"teacher.history_size is {self.history_size}; allowed: at least num_envs = {num_levels}")
        key = jax.eval_shape(lambda: jax.random.key(0))  # only shapes are asked for
        built = jax.eval_shape(lambda key: box.parameters.level(key, box.uniform(key)), key)
        require_levels_of(space, f"level of {type(box.parameters).__name__} makes", built)

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> ALPGMMState:
        """Return the state in which nothing was played."""
        size = ParameterBox(space.parameters).size
        return ALPGMMState(
            history=History.empty(self.history_size, size),
            mixture=Mixture.none(self.max_components, size + 1),
            num_components=jnp.zeros((), jnp.int32),
            random=jnp.full((), jnp.nan),
            chosen=jnp.full(size, jnp.nan),
        )

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always new levels, always training; a fit when it is time."""
        between, first = -(-self.fit_rate // num_levels), -(-self.fit_window // num_levels)
        is_due = (schedule.iterations % between == 0) & (schedule.iterations >= first)
        return Plan.of(DESIGNED, train=True, new_batches=1, refresh=is_due)

    def propose(
        self, key: jax.Array, state: ALPGMMState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[ALPGMMState, Proposal]:
        """Fit if it is time; return levels that are uniform or of a Gaussian. Consumes ``key``."""
        fit_key, choose_key, level_key = jax.random.split(key, 3)
        state = jax.lax.cond(plan.refresh, lambda: self._fitted(fit_key, state), lambda: state)
        box = ParameterBox(space.parameters)
        keys = jax.random.split(choose_key, num_levels)
        values, is_random = jax.vmap(lambda key: self._choose(key, state.mixture, box))(keys)
        levels = jax.vmap(box.parameters.level)(jax.random.split(level_key, num_levels), values)
        state = state.replace(
            random=jnp.mean(is_random, dtype=jnp.float32),
            chosen=jnp.mean(values, axis=0),
        )
        proposal = propose_levels(levels, DESIGNED).replace(design=values)
        return state, proposal.replace(sources=jnp.where(is_random, NEW, proposal.sources))

    def _fitted(self, key: jax.Array, state: ALPGMMState) -> ALPGMMState:
        """Return the state with a mixture of the newest points, or as it is if there are too few. Consumes ``key``."""
        points, progress = learning_progress.latest(state.history, self.fit_window)
        mixture, number = gaussian_mixtures.fit(
            key,
            jnp.concatenate([points, progress[:, None]], axis=1),
            self.min_components,
            self.max_components,
            iterations=self.em_iterations,
            floor=self.covariance_floor,
            covariance=self.covariance,
            criterion=self.criterion,
        )
        fitted = state.replace(mixture=mixture, num_components=number)
        has_enough = state.history.stored >= self.fit_window
        return jax.tree.map(lambda new, old: jnp.where(has_enough, new, old), fitted, state)

    def _choose(self, key: jax.Array, mixture: Mixture, box: ParameterBox) -> tuple[jax.Array, jax.Array]:
        """Return the parameters of a level, ``f32[h]``, and whether they are uniform, ``bool[]``. Consumes ``key``."""
        random_key, uniform_key, component_key, point_key = jax.random.split(key, 4)
        progress = jnp.where(mixture.exists, mixture.means[:, -1], 0.0)
        component = jax.random.categorical(component_key, jnp.log(progress))
        point = gaussian_mixtures.draw(point_key, mixture, component)[:-1]
        is_random = jax.random.bernoulli(random_key, self.random_share) | ~jnp.any(progress > 0)
        return jnp.where(is_random, box.uniform(uniform_key), box.nearest(point)), is_random

    def observe(
        self, state: ALPGMMState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace
    ) -> ALPGMMState:
        """Store what was played, and how much its return has changed."""
        returns = outcome.episodes.mean_return
        scaled = jnp.clip((returns - self.return_low) / (self.return_high - self.return_low), 0.0, 1.0)
        points = jax.vmap(ParameterBox(space.parameters).point)(proposal.design)
        valid = outcome.episodes.valid & jnp.isfinite(returns)
        return state.replace(history=learning_progress.add(state.history, points, scaled, valid))

    def metrics(self, state: ALPGMMState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return the number of Gaussians, the mean progress of the newest levels, and what the last batch was."""
        history, names = state.history, ParameterBox(space.parameters).names
        is_new = history.times >= -jnp.minimum(history.stored, self.fit_window)
        total = jnp.sum(jnp.where(is_new, history.progress, 0.0))
        number = jnp.sum(is_new).astype(jnp.float32)
        return {
            "components": state.num_components.astype(jnp.float32),
            "mean_alp": jnp.where(number > 0, total / jnp.maximum(number, 1.0), jnp.nan),
            "random_share": state.random,
        } | {f"chosen/{name}": state.chosen[index] for index, name in enumerate(names)}
