"""What did this step bring that the episode had not brought before? A bonus for each such thing that is not yet reliable.

Within-episode novelty of items, fixed and dynamic (Kanitscheider et al. 2021, arXiv 2106.14876): the first time in an
episode that an item comes into the agent's hands is worth ``b``, and under the *dynamic* bonus only as long as the student
cannot get that item reliably: ``b_j = b · 1[first in this episode] · 1[p_j < τ]``. What a world counts as its things
are the tasks of its level space, in their order (``info["achievements"]``), so that ``p_j`` is the very statistic of a
curriculum over those tasks. The threshold of 0.1 is the paper's as remembered; its ``b`` is not known to us.

``p_j`` is what the teacher knew before it saw the rollout that is paid: it is the same for all steps of it, and it is of the
first student of a population, for all of them. Letters: ``T`` steps, ``B`` environments, ``N`` agents, ``K`` tasks.
"""

import jax
import jax.numpy as jnp

from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.students.bonuses.base import Bonus, Experience, Paid, Surroundings


class AchievementBonus(Bonus):
    """what a step brings for the first time in its episode pays c, if it is not yet reliable; of tasks of the world."""

    coefficient: float = 0.5
    """b, what each achievement is worth. All agents that are there are paid for it."""
    dynamic: bool = True
    """Whether only what is not mastered yet is paid for, as the teacher measures it; else everything always is."""
    threshold: float = 0.1
    """τ: what the student does with this probability or a higher one is mastered."""

    @property
    def keeps(self) -> frozenset[str]:
        """The world's achievements."""
        return frozenset({"achievements"})

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_range(self, "threshold", 0, 1)

    def init(self, key: jax.Array, surroundings: Surroundings) -> tuple[()]:
        """Return nothing: there is nothing to remember."""
        return ()

    def pay(
        self,
        key: jax.Array,
        state: tuple[()],
        experience: Experience,
        mastery: jax.Array | None,
        surroundings: Surroundings,
    ) -> Paid:
        """Return rewards of ``b`` an achievement. Nothing is random: ``key`` is not used.

        Raises `UserError` if ``dynamic`` and the teacher knows no mastery, or that of other tasks.
        """
        assert experience.achievements is not None
        achieved = experience.achievements.unpacked()
        spread = surroundings.spread
        brought = experience.mean(_for_agents(achieved, experience), spread)
        if self.dynamic:
            achieved = achieved & _unreliable(mastery, self.threshold, achieved.shape[-1])[None, None]
        paid_for = _for_agents(achieved, experience)
        rewards = experience.where_present(self.coefficient * paid_for)
        # Of all achievements, how many were paid: under the dynamic bonus it falls as the student learns.
        metrics = {
            "bonus": experience.mean(rewards, spread),
            "achievements": brought,
            "achievements_paid": experience.mean(paid_for, spread),
        }
        return Paid((), metrics, rewards=rewards)


def _for_agents(achieved: jax.Array, experience: Experience) -> jax.Array:
    """Return how many of ``bool[T, B, K]`` each agent shares in, ``f32[T, B, N]``."""
    number = jnp.sum(achieved, axis=-1).astype(jnp.float32)
    return jnp.broadcast_to(number[..., None], experience.present.shape)


def _unreliable(mastery: jax.Array | None, threshold: jax.Array | float, number: int) -> jax.Array:
    """Return which tasks are below the threshold, ``bool[K]``. Raises `UserError` unless the teacher knows ``number``."""
    if mastery is None:
        raise UserError(
            "bonus.dynamic is True and the teacher does not know how surely the student does each task; allowed with it:"
            " --bonus.no-dynamic, or a teacher of tasks, such as learning_progress or uniform_tasks"
        )
    if mastery.shape != (number,):
        raise UserError(
            f"info['achievements'] has {number} things and the teacher knows {mastery.shape[0]} tasks; allowed with"
            " bonus.dynamic: the same, in the same order"
        )
    return mastery < threshold
