"""NCC: the level distribution and the policy as two players of one game (Monette et al. 2025, arXiv 2505.20659).

The teacher holds a buffer of levels and a distribution y over it. After each student update it plays the levels with the
present student, lets the worst give way to better new ones, and moves y up the gradient of

    yᵀ s − β Σ y log y,        y ← Proj(y + η ∇_y / v^0.4),

where v is the running sum of squared gradients, level by level (TiAda's ascent), and Proj is onto the simplex whose every
coordinate is at least ε.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct

from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.levels import buffer as level_buffer
from minied.levels.buffer import Ancestry, LevelBuffer
from minied.levels.priority import Priority
from minied.levels.space import LevelSpace
from minied.teachers.base import REPLAY, Outcome, Plan, Probe, Proposal, Schedule, sample_levels
from minied.teachers.scoring import ScoringTeacher, propose_stored, without_population

_FIRST_SUM, _LEAST_SUM = 0.1, 1e-7  # of squared gradients, as the authors have them
_WORST_FIRST = Priority(temperature=1.0, staleness=0.0, prioritization="uniform", eviction="score")


class NCCState(struct.PyTreeNode):
    """A full buffer and the distribution over it."""

    buffer: LevelBuffer  # [C]; a slot is `filled` once its level has a score
    distribution: jax.Array  # f32[C], y
    squared_gradients: jax.Array  # f32[C], running sums of the squared gradients of y, from `_FIRST_SUM` on
    cursor: jax.Array  # i32[], the slot from which the next levels are played again


class NCC(ScoringTeacher):
    """NCC: gradient ascent on the distribution over a buffer of levels that are all scored again and again.

    Deviations: the student keeps its own optimiser (the paper's is TiAda's other half), so the step of y adapts to the
    gradients of y alone; a level that takes another's slot takes its share of y too, until the next step. Published: the
    whole buffer of 4 000 is played again at every update, which costs a hundred times the training; `rescored_batches`
    says how much of it is, in turn.
    """

    score: str = "learnability"
    """What a level is worth: a name of `minied list scores`, or `package.module:function`."""
    buffer_size: int = 4096
    """C, levels in the buffer, whole batches of `num_envs`. The distribution is over all of them."""
    rescored_batches: int = 4
    """Batches of `num_envs` levels of the buffer that are played again at each refresh, in turn; 0: all of it."""
    new_batches: int = 1
    """Batches of `num_envs` new levels that are scored at each refresh and may replace the worst."""
    probe_rollouts: int = 2
    """How many times `num_steps` steps each of these levels is played."""
    refresh_every: int = 1
    """Student updates between two refreshes; the first comes before the first update and plays the whole buffer."""
    step_size: float = 6.88e-3
    """η."""
    step_power: float = 0.4
    """The step of each level is η divided by its running sum of squared gradients to this power (TiAda); 0: constant."""
    entropy_coefficient: float = 0.01
    """β."""
    floor: float = 1e-5
    """ε, the least probability of a level."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        for name in ("buffer_size", "probe_rollouts", "refresh_every"):
            require_range(self, name, 1, 2**24)
        for name in ("rescored_batches", "new_batches"):
            require_range(self, name, 0, 2**24)
        for name in ("entropy_coefficient", "step_power"):
            require_range(self, name, 0, float("inf"))
        require_range(self, "step_size", 0, float("inf"), open_low=True)
        # Not 0: the logarithm of y is in the gradient. Half of y at least stays free to move.
        require_range(self, "floor", 0, 0.5 / self.buffer_size, open_low=True)

    def validate(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the score cannot be computed, or the buffer is not whole batches."""
        super().validate(space, num_levels, without_population(missing))
        if self.buffer_size % num_levels or self.buffer_size < num_levels:
            near = max(1, round(self.buffer_size / num_levels)) * num_levels
            raise UserError(
                f"teacher.buffer_size is {self.buffer_size}; allowed: a multiple of num_envs = {num_levels}, such as {near}"
            )
        for name in ("rescored_batches", "new_batches"):
            if getattr(self, name) * num_levels > self.buffer_size:
                most = self.buffer_size // num_levels
                raise UserError(
                    f"teacher.{name} is {getattr(self, name)}; allowed: at most buffer_size / num_envs = {most}"
                )

    def init(self, key: jax.Array, space: LevelSpace, num_levels: int) -> NCCState:
        """Return a buffer of new levels and the uniform distribution over them. Consumes ``key``."""
        uniform = jnp.full(self.buffer_size, 1.0 / self.buffer_size)
        buffer = self.empty_buffer(key, space, self.buffer_size)
        return NCCState(buffer, uniform, jnp.full(self.buffer_size, _FIRST_SUM), jnp.zeros((), jnp.int32))

    def plan(self, key: jax.Array, schedule: Schedule, num_levels: int) -> Plan:
        """Always train; play the levels again when it is time."""
        everything = self.buffer_size // num_levels
        first = schedule.iterations == 0
        refresh = schedule.iterations % self.refresh_every == 0
        rescored = jnp.where(first, everything, self.rescored_batches or everything)
        return Plan.of(
            REPLAY,
            train=True,
            refresh=refresh,
            new_batches=refresh * self.new_batches,
            rollouts=1 + refresh * (rescored + self.new_batches) * self.probe_rollouts,
        )

    def propose(
        self, key: jax.Array, state: NCCState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> tuple[NCCState, Proposal]:
        """Refresh if it is time; return levels drawn from y. Consumes ``key``."""
        refresh_key, sample_key = jax.random.split(key)
        state = jax.lax.cond(
            plan.refresh, lambda: self._refreshed(refresh_key, state, plan, space, num_levels, probe), lambda: state
        )
        slots = level_buffer.sample_slots(sample_key, state.distribution, num_levels)
        return state, propose_stored(state.buffer, slots)

    def _refreshed(
        self, key: jax.Array, state: NCCState, plan: Plan, space: LevelSpace, num_levels: int, probe: Probe
    ) -> NCCState:
        """Return the state with levels played again, the worst replaced, and y one step further. Consumes ``key``."""
        rescore_key, sample_key, probe_key = jax.random.split(key, 3)
        # What the plan counted: the first refresh plays everything, the others a part.
        num_rescored = (plan.rollouts - 1) // self.probe_rollouts - self.new_batches

        def rescore(index: jax.Array, loop: tuple[LevelBuffer, jax.Array]) -> tuple[LevelBuffer, jax.Array]:
            buffer, cursor = loop
            slots = (cursor + jnp.arange(num_levels, dtype=jnp.int32)) % self.buffer_size
            levels = jax.tree.map(lambda leaf: leaf[slots], buffer.levels)
            key = jax.random.fold_in(rescore_key, index)
            scored = self.score_by_probe(key, probe, buffer, levels, slots, num_levels, self.probe_rollouts, space)
            buffer = level_buffer.revisit(level_buffer.note_broken(buffer, scored.broken), slots, scored.visits)
            return buffer, (cursor + num_levels) % self.buffer_size

        buffer, cursor = jax.lax.fori_loop(0, num_rescored, rescore, (state.buffer, state.cursor))
        if self.new_batches:
            number = self.new_batches * num_levels
            levels = sample_levels(sample_key, space, number)
            known = level_buffer.find(buffer, jax.vmap(space.fingerprint)(levels))
            scored = self.score_by_probe(
                probe_key, probe, buffer, levels, known, num_levels, self.probe_rollouts, space
            )
            candidates = self.candidates(levels, Ancestry.none(number), scored, space)
            buffer = level_buffer.insert(level_buffer.note_broken(buffer, scored.broken), candidates, _WORST_FIRST)
        gradient = distribution_gradient(state.distribution, buffer, self.entropy_coefficient)
        squared = state.squared_gradients + jnp.square(gradient)
        step = self.step_size / (squared + _LEAST_SUM) ** self.step_power
        distribution = project(state.distribution + step * gradient, self.floor)
        return NCCState(buffer, distribution, squared, cursor)

    def observe(self, state: NCCState, plan: Plan, proposal: Proposal, outcome: Outcome, space: LevelSpace) -> NCCState:
        """Remember the best returns: levels are scored at refreshes, by play that is not learnt from."""
        buffer = level_buffer.tick(state.buffer)
        # Only of levels that have a score: the others are not in the buffer yet.
        seen = jnp.where(buffer.filled[proposal.slots], proposal.slots, self.buffer_size)
        best = buffer.max_returns.at[seen].max(outcome.episodes.max_return, mode="drop")
        return state.replace(buffer=buffer.replace(max_returns=best))

    def metrics(self, state: NCCState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return the buffer's, and how far y has moved from uniform, as the number of levels that its entropy is worth."""
        entropy = -jnp.sum(state.distribution * jnp.log(state.distribution))
        return super().metrics(state, space) | {"effective_levels": jnp.exp(entropy)}

    def buffer_of(self, state: NCCState) -> LevelBuffer:
        """Return the buffer."""
        return state.buffer


def distribution_gradient(
    distribution: jax.Array, buffer: LevelBuffer, entropy_coefficient: jax.Array | float
) -> jax.Array:
    """Return ``s − β (log y + 1)``, ``f32[C]``. A level without a score counts as the mean of those that have one."""
    count = jnp.maximum(jnp.sum(buffer.filled), 1).astype(jnp.float32)
    mean = jnp.sum(jnp.where(buffer.filled, buffer.scores, 0.0)) / count
    scores = jnp.where(buffer.filled, buffer.scores, mean)
    return scores - entropy_coefficient * (jnp.log(distribution) + 1.0)


def project(point: jax.Array, floor: jax.Array | float) -> jax.Array:
    """Return the nearest distribution to ``point`` ``f32[C]`` whose coordinates are all at least ``floor`` (< 1/C).

    Held et al. 1974 (also Duchi et al. 2008, figure 1): with ``y = x + floor`` it is the projection of ``point − floor``
    onto ``{x ≥ 0, Σ x = 1 − C floor}``, which subtracts one number from all coordinates and cuts at 0.
    """
    size = point.shape[0]
    mass = 1.0 - size * floor
    shifted = point - jnp.max(point)  # changes nothing, and however far apart the coordinates are the first one is kept
    falling = jnp.sort(shifted, descending=True)
    excess = jnp.cumsum(falling) - mass
    counts = jnp.arange(1, size + 1, dtype=jnp.float32)
    positive = jnp.sum(falling - excess / counts > 0)
    threshold = excess[positive - 1] / positive.astype(jnp.float32)
    part = jnp.maximum(shifted - threshold, 0.0)
    # Cumulative sums of float32 leave the total off by rounding; what is left is spread in proportion.
    return floor + part * (mass / jnp.sum(part))
