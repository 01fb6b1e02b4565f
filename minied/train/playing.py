"""Rolling a student out on levels, and what teachers read of it: for learning, and as the probe of those that only look.

Letters: ``T`` steps, ``B`` levels of a batch, ``R`` levels that are played, ``N`` agents, ``G`` teams.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied import rollout as rollouts
from minied.experience import advantages_of
from minied.rollout import Rollout
from minied.spread import ALONE
from minied.students.base import Parameters
from minied.teachers.base import Outcome, Probe
from minied.train.self_play import Opponents
from minied.train.setting import Setting
from minied.train.signals import KEPT_BY_ROLLOUT, signals_of


class Played(struct.PyTreeNode):
    """A rollout on levels, and what was made of it."""

    carry: Any  # the memory before the first step, of the levels that were played on this device
    rollout: Rollout  # likewise; agents that a past policy plays are not present in it
    last_values: jax.Array  # f32[R', N, K], likewise, of the observations after the last step
    last_observations: Any  # [R', N, ...], likewise, those; of the next episode where the last step ended one
    advantages: jax.Array  # f32[T, R', N], likewise
    outcome: Outcome  # [R, ...], of all levels
    games: Any = ()  # all games by who plays them, see `SelfPlay.games`; () where nobody is past


def play(
    setting: Setting,
    parameters: Parameters,
    key: jax.Array,
    levels: Any,
    max_returns: jax.Array,
    num_rollouts: int = 1,
    num_activations: int = 0,
    opponents: Opponents | None = None,
) -> Played:
    """Roll a student out on levels from their start, for ``num_rollouts · T`` steps. Consumes ``key``.

    Args:
        setting: of the run.
        parameters: of the student.
        key: consumed.
        levels: ``[R, ...]``.
        max_returns: ``f32[R]``, highest return known on each level, −inf if none.
        num_rollouts: how many times T.
        num_activations: of how many rows, from the first, to keep the student's activations.
        opponents: past policies that play some of the games' teams, in place of the student; None: it plays all.
    """
    start_key, rollout_key = jax.random.split(key)
    student, env, spread, self_play = setting.student, setting.env, setting.spread, setting.self_play
    num_levels = max_returns.shape[0]
    groups, rest = divmod(num_levels, setting.num_levels)
    if rest:  # of a probe: its levels are divided as one batch if they can be, else every device plays all of them
        groups, spread = 1, spread if num_levels % spread.number == 0 else ALONE
    start = rollouts.start(start_key, student, env, levels)
    start, levels, max_returns = spread.part((start, levels, max_returns), groups)
    player, acting = student, parameters
    if self_play is not None and opponents is not None:
        player, acting = self_play.player, self_play.parameters(parameters, opponents)
    end, rollout = rollouts.collect(
        rollout_key,
        player,
        acting,
        env,
        levels,
        start,
        setting.num_steps * num_rollouts,
        bootstrap_truncated=setting.ppo.bootstrap_truncated,
        keep=setting.needs & KEPT_BY_ROLLOUT | (setting.bonus.keeps if setting.bonus else frozenset()),
        keep_activations_of=num_activations,
        part=lambda tree: spread.part(tree, groups, axis=1),
        num_levels=num_levels,
    )
    last_values = rollouts.last_values(player, acting, end)
    advantages = advantages_of(setting.ppo, rollout, last_values)
    episodes, games = rollouts.summarise_rollout(env, rollout), ()
    if self_play is not None and opponents is not None:
        games = spread.whole(self_play.games(env, rollout, episodes), groups)
        episodes = self_play.of_current_policies(episodes)
        rollout = rollout.replace(present=self_play.learners_of(rollout))
    signals = signals_of(
        setting, parameters, start.carry, rollout, last_values, advantages, episodes, levels, max_returns
    )
    outcome = spread.whole(Outcome(episodes, signals), groups)
    return Played(start.carry, rollout, last_values, end.observations, advantages, outcome, games)


def probe_of(setting: Setting, parameters: Parameters) -> Probe:
    """Return the probe that plays levels with ``parameters``, see `Probe`."""

    def probe(key: jax.Array, levels: Any, num_rollouts: int = 1) -> Outcome:
        nothing_known = jnp.full(jax.tree.leaves(levels)[0].shape[0], -jnp.inf)
        return play(setting, parameters, key, levels, nothing_known, num_rollouts).outcome

    return probe
