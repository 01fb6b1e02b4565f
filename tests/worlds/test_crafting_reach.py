"""Every item of crafting can be had: a script obtains each on sampled maps. Letters: ``E`` episodes, ``T`` steps."""

import functools

import crafting_samples as samples
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crafting_scripts import obtain

from minied_envs.crafting import Crafting, graph
from minied_envs.crafting.level import CraftingLevel

MAPS = 3
LOGGING = """
blocks:
  tree: {number: 4, symbol: T, colour: [0, 90, 0], depletes: true}
  bench: {number: 1, symbol: b, colour: [90, 90, 0]}
items:
  wood: {collect: tree}
  raft: {craft: {wood: 4}, at: bench}
"""
WORLDS = {
    "minied's own": Crafting(),
    "crowded": Crafting(height=7, width=11),  # room for 24, and 21 blocks: a third of the maps are tidy
    "small": Crafting(height=5, width=6, recipes=samples.SMALL),
    "every block is needed": Crafting(height=4, width=5, recipes=LOGGING, reach=1, capacity=4),
    "smallest": Crafting(height=2, width=2, recipes=samples.SMALLEST),
}


@functools.cache
def every_item(name: str) -> CraftingLevel:
    """Levels ``[maps · K]``, each item on each map."""
    world = WORLDS[name]
    number = len(world.graph.items)
    keys = jnp.repeat(jax.random.split(jax.random.key(3), MAPS if name == "minied's own" else 2 * MAPS), number)
    goals = jnp.tile(jnp.arange(number, dtype=jnp.int32), len(keys) // number)[:, None]
    return jax.jit(jax.vmap(world.level_space.of_goals))(keys, goals)


@functools.partial(jax.jit, static_argnames="world")
def replay(world: Crafting, levels: CraftingLevel, actions: jax.Array):
    """Rewards, ends and what was obtained, each ``[E, T]``, and the last inventories ``[E, K]``."""

    def play(level, actions):
        def step(state, action):
            _, state, *told, _ = world.step(jax.random.key(0), state, action, level)
            return state, told

        state, told = jax.lax.scan(step, world.reset(jax.random.key(0), level)[1], actions)
        return *told, state.inventory

    return jax.vmap(play)(levels, actions)


@pytest.mark.parametrize("name", WORLDS)
def test_every_item_is_obtained_by_a_script_within_the_steps_of_an_episode(name):
    world, levels = WORLDS[name], every_item(name)
    number = levels.goals.shape[0]
    plays = [obtain(samples.game_of(world, jax.tree.map(lambda leaf, i=i: leaf[i], levels))) for i in range(number)]
    padded = np.zeros((number, max(map(len, plays))), np.int32)
    for episode, actions in enumerate(plays):
        padded[episode, : len(actions)] = actions
    told = replay(world, levels, jnp.asarray(padded))
    rewards, terminated, truncated, _ = (np.asarray(each) for each in told)
    for episode, actions in enumerate(plays):
        item = world.graph.item_names[int(levels.goals[episode, 0])]
        last = len(actions) - 1
        assert rewards[episode, : last + 1].tolist() == [0] * last + [1], item
        assert terminated[episode, : last + 1].tolist() == [False] * last + [True], item
        assert not truncated[episode, : last + 1].any(), item
    assert jax.vmap(world.is_solved)(jnp.ones(number)).all()


def test_what_minied_has_is_what_was_asked_for():
    world = WORLDS["minied's own"]
    assert len(world.graph.items) >= 40
    assert max(graph.tiers(world.graph).values()) >= 6
