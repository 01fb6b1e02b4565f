"""Learning progress: practise what is being learnt, or forgotten (Kanitscheider et al. 2021, arXiv 2106.14876).

    p_fast, p_slow  follow each task's success       progress_k = | f(p_fast) − f(p_slow) |
    tasks ~ σ(s (z(progress) − z_0)), normalised     the student learns;  success is measured

f magnifies small probabilities, z is progress in standard deviations over the tasks. The formulas are in
`minied.teachers.progress`.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.hyperparameters import require_choice, require_range
from minied.levels.space import LevelSpace
from minied.teachers.base import Plan
from minied.teachers.progress import attention, progress, reweighted, without_chance
from minied.teachers.tasks import TaskState, TaskTeacher

Variant = Literal["standard", "omni"]


class LearningProgress(TaskTeacher):
    """tasks whose success probability changes fastest; a bonus may follow what is not mastered yet."""

    bidirectional: bool = True
    """Whether tasks that are being forgotten are practised too, and not only those that are being learnt."""
    slow_rate: float = 0.1
    """α of the slow average, which follows the fast one (`rate`). With `rate` 1 the fast one is the last measurement
    (OMNI's "original" variant)."""
    magnified: float = 0.1
    """p_θ, the success probability that counts for one half: progress on tasks that hardly succeed is magnified."""
    variant: Variant = "standard"
    """`omni` (Zhang et al. 2023): of success counts what is beyond a task's first measurement, tasks that neither
    progress nor succeed have no share, and `focus` and `sharpness` are 0 and 1 there. Published with probes of all
    tasks (`measure`), the first of a random policy; measured in training, it takes a `uniform_share` (0.25 in later
    code), and a task is first measured when it first was drawn often enough, by the policy of that time.
    """
    focus: float = 1.28
    """z_0, from how many standard deviations above the mean progress counts: 1.28 is the 90 % quantile."""
    sharpness: float = 3.0
    """s, how steeply."""
    uniform_share: float = 0.0
    """Share of the levels whose task is uniform instead."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "variant", get_args(Variant))
        require_range(self, "slow_rate", 0, 1, open_low=True)
        require_range(self, "magnified", 1e-6, 1 - 1e-6)
        require_range(self, "focus", -100, 100)
        require_range(self, "sharpness", 0, 100, open_low=True)
        require_range(self, "uniform_share", 0, 1)
        if self.variant == "omni" and self.measure == "training" and self.uniform_share == 0:
            raise UserError(
                "uniform_share is 0; allowed with variant 'omni' and measure 'training': more than 0, as a task without a"
                " share would never be measured again"
            )

    @property
    def rates(self) -> tuple[jax.Array | float, jax.Array | float]:
        """The rates of the fast and of the slow average."""
        return self.rate, self.slow_rate

    def progress_of(self, state: TaskState) -> jax.Array:
        """Return the learning progress of each task, ``f32[K]``."""
        fast, slow = self._counting(state, state.averages.fast), self._counting(state, state.averages.slow)
        return progress(reweighted(fast, self.magnified), reweighted(slow, self.magnified), self.bidirectional)

    def distribution(self, state: TaskState, plan: Plan, space: LevelSpace) -> jax.Array:
        """Return attention to progress, mixed with uniform draws, ``f32[K]``."""
        made = self.progress_of(state)
        if self.variant == "omni":
            counts = (made > 0) | (self._counting(state, state.averages.fast) > 0)
            focused = attention(made, counts, 0.0, 1.0)
        else:
            focused = attention(made, jnp.ones_like(made, bool), self.focus, self.sharpness)
        return (1.0 - self.uniform_share) * focused + self.uniform_share / made.shape[0]

    def metrics(self, state: TaskState, space: LevelSpace) -> dict[str, jax.Array]:
        """Return what is known of the tasks, the mean progress, and how many tasks the attention is spread over."""
        entropy = -jnp.sum(state.probabilities * jnp.log(jnp.maximum(state.probabilities, 1e-30)))
        told = {"progress": jnp.mean(self.progress_of(state)), "tasks_attended_to": jnp.exp(entropy)}
        return super().metrics(state, space) | told

    def _counting(self, state: TaskState, success: jax.Array) -> jax.Array:
        """Return what of success ``f32[K]`` counts."""
        return without_chance(success, state.averages.first) if self.variant == "omni" else success
