"""Crafting at random: step for step against the oracle. Letters: ``E`` episodes, ``T`` steps."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crafting_oracle import COLLECT, Game, Options, Outcome
from crafting_samples import SMALL

from minied_envs.crafting import Crafting
from minied_envs.crafting.level import make_level


@dataclasses.dataclass(frozen=True)
class World:
    """A size of map, recipes, and the options of the rules."""

    height: int
    width: int
    options: Options
    recipes: str = ""

    def env(self) -> Crafting:
        return Crafting(height=self.height, width=self.width, recipes=self.recipes, **dataclasses.asdict(self.options))


WORLDS = {
    "the default options": World(9, 9, Options(max_steps=50)),
    "three goals with a time limit each": World(
        11,
        7,
        Options(
            40, num_goals=3, goal_steps=13, capacity=3, view_size=3, reach=1, walk_to_collect=True, show_recipe=True
        ),
    ),
    "three goals without one": World(
        8, 11, Options(max_steps=30, num_goals=3, reach=3, view_size=7, mask_actions=True)
    ),
    "masks alone": World(
        10,
        9,
        Options(40, compass=False, show_recipe=True, show_makeable=False, mask_actions=True, view_size=1, capacity=3),
    ),
    "blocks that deplete": World(5, 6, Options(70, num_goals=2, goal_steps=30, mask_actions=True, capacity=2), SMALL),
}
EPISODES = 60  # 60 · (50 + 40 + 30 + 40 + 70) = 13,800 steps at most, about 9,000 in the end
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9)))
MUST_HAPPEN = {  # far below what is seen
    "walked out": 50, "walked into a block": 200, "nothing to collect": 50, "no tool": 20, "collected with a tool": 50,
    "collected by hand": 50, "depleted": 30, "no parts": 50, "no station": 50, "crafted by hand": 100,
    "crafted at table": 100, "crafted at furnace": 30, "crafted at anvil": 20, "crafted at oven": 3, "not placed": 50,
    "placed": 100, "lost": 100, "goal reached": 30, "goal timed out": 50, "goal carried, not obtained": 100,
}  # fmt: skip


def random_game(rng: np.random.Generator, world: World) -> Game:
    """In the middle of an episode: what the agent carries, how much time is over, and any blocks on the map."""
    recipes, options = world.env().graph, world.options
    names = np.array([None, *recipes.block_names], object)
    is_block = rng.random((world.height, world.width)) < rng.uniform(0.2, 0.6)
    blocks = names[np.where(is_block, rng.integers(0, len(names), is_block.shape), 0)]
    agent = int(rng.integers(world.height)), int(rng.integers(world.width))
    blocks[agent] = None
    goals = [str(name) for name in rng.choice(recipes.item_names, options.num_goals)]
    game = Game(options, recipes, blocks.tolist(), agent, goals)
    richness = rng.choice([0.0, 0.3, 0.9])
    for name in recipes.item_names:
        game.inventory[name] = int(rng.integers(1, options.capacity + 1)) if rng.random() < richness else 0
    game.time = int(rng.integers(0, options.max_steps)) if rng.random() < 0.3 else 0
    game.direction = int(rng.integers(4))
    return game


def likely_action(rng: np.random.Generator, game: Game) -> int:
    """Any action, but more often one that does something, or that obtains the goal."""
    luck = rng.random()
    if luck < 0.25:
        return int(rng.integers(game.num_actions))
    if luck < 0.55:
        return int(rng.integers(COLLECT + 1))
    useful = [action for action in range(COLLECT, game.num_actions) if game.does_something(action)]
    for_goal = [a for a in useful if a > COLLECT and game.makings[a - COLLECT - 1] == ("craft", game.items[game.goal])]
    if for_goal and luck < 0.9:
        return for_goal[0]
    return int(rng.choice(useful)) if useful else int(rng.integers(4))


@functools.cache
def recounted(name: str, seed: int):
    """Games at their start, and of each the actions, the outcomes and the observations of the oracle."""
    rng = np.random.default_rng([seed, *name.encode()])
    matches, events = [], collections.Counter()
    for _ in range(EPISODES):
        game = random_game(rng, WORLDS[name])
        start, actions, outcomes, seen = facts(game), [], [], [game.observation()]
        while not outcomes or not (outcomes[-1].terminated or outcomes[-1].truncated):
            actions.append(likely_action(rng, game))
            outcomes.append(game.step(actions[-1]))
            seen.append(game.observation())
        matches.append((start, actions, outcomes, seen, facts(game)))
        events += game.events
    return matches, events


def facts(game: Game) -> dict[str, object]:
    """What is compared of states, as arrays."""
    codes = {None: 0} | {block.name: i for i, block in enumerate(game.recipes.blocks, 1)}
    return {
        "blocks": np.array([[codes[name] for name in row] for row in game.blocks], np.uint8),
        "position": np.array(game.agent, np.int32),
        "direction": np.int32(game.direction),
        "inventory": np.array(list(game.inventory.values()), np.int32),
        "seen": np.array([name in game.obtained for name in game.items]),
        "place": np.int32(len(game.results)),
        "done": np.array((game.results + [False] * game.options.num_goals)[: game.options.num_goals]),
        "goal_time": np.int32(game.goal_time),
        "time": np.int32(game.time),
        "goals": np.array([list(game.items).index(goal) for goal in game.goals]),
    }


@functools.partial(jax.jit, static_argnames="env")
def world_play(env: Crafting, start: dict[str, jax.Array], actions: jax.Array):
    """All that the world tells of ``E`` episodes that begin in the middle, ``[E, T, ...]``, and the first states."""

    def play(start: dict[str, jax.Array], actions: jax.Array):
        level = make_level(start["blocks"], start["position"], start["goals"])
        _, fresh = env.reset(jax.random.key(0), level)
        changed = {name: start[name].astype(getattr(fresh, name).dtype) for name in start if name != "goals"}
        state = fresh.replace(**changed)

        def step(state, action):
            told = env.step(jax.random.key(0), state, action, level)
            return told[1], told

        return jax.lax.scan(step, state, actions)[1]

    return jax.vmap(play)(start, actions)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WORLDS)
def test_the_world_agrees_with_the_oracle_step_for_step(name, seed):
    world, (matches, _) = WORLDS[name], recounted(name, seed)
    env, length = world.env(), max(len(actions) for _, actions, *_ in matches)
    padded = np.array([actions + [0] * (length - len(actions)) for _, actions, *_ in matches], np.int32)
    starts = {field: jnp.asarray(np.stack([start[field] for start, *_ in matches])) for field in matches[0][0]}
    told = jax.tree.map(np.asarray, world_play(env, starts, jnp.asarray(padded)))
    for episode, (_, actions, outcomes, seen, end) in enumerate(matches):
        one = jax.tree.map(lambda leaf, episode=episode: leaf[episode], told)
        observations, states, *_ = one
        for step, outcome in enumerate(outcomes):
            where = f"episode {episode}, step {step}, action {actions[step]}"
            assert told_at(env, one, step) == outcome_of(outcome), where
            assert set(observations) == set(seen[step + 1]), where
            for part, expected in seen[step + 1].items():
                np.testing.assert_allclose(observations[part][step], expected, rtol=1e-6, err_msg=f"{part}, {where}")
        for field, expected in end.items():
            if field != "goals":
                np.testing.assert_array_equal(getattr(states, field)[len(actions) - 1], expected, err_msg=field)


def told_at(env: Crafting, told, step: int):
    _, _, rewards, terminated, truncated, info = told
    names = np.array(env.graph.item_names)
    statistics = {name: str(float(values[step])) for name, values in info["statistics"].items()}  # NaN is not itself
    achieved = frozenset(names[info["achievements"][step]].tolist())
    return float(rewards[step]), bool(terminated[step]), bool(truncated[step]), achieved, statistics


def outcome_of(outcome: Outcome):
    statistics = {name: str(float(value)) for name, value in outcome.statistics.items()}
    return float(outcome.reward), outcome.terminated, outcome.truncated, outcome.achievements, statistics


@pytest.mark.parametrize("name", WORLDS)
def test_the_first_observation_agrees_too(name):
    rng, env = np.random.default_rng(5), WORLDS[name].env()
    reset = jax.jit(env.reset)
    for _ in range(10):
        game = random_game(rng, WORLDS[name])
        level = facts(game)
        game.inventory, game.time, game.direction = dict.fromkeys(game.items, 0), 0, 1
        observation, state = reset(
            jax.random.key(0), make_level(*(jnp.asarray(level[part]) for part in ("blocks", "position", "goals")))
        )
        assert {part: np.shape(value) for part, value in observation.items()} == {
            part: np.shape(value) for part, value in game.observation().items()
        }
        for part, expected in game.observation().items():
            np.testing.assert_allclose(np.asarray(observation[part]), expected, rtol=1e-6, err_msg=part)
        for field, expected in facts(game).items():
            if field != "goals":
                np.testing.assert_array_equal(np.asarray(getattr(state, field)), expected, err_msg=field)


def test_random_play_meets_every_case():
    events = sum((recounted(name, 0)[1] for name in WORLDS), collections.Counter())
    assert {case: events[case] for case, count in MUST_HAPPEN.items() if events[case] < count} == {}
