"""Hide and seek at random: step for step against the oracle, and what must hold whoever is right."""

import collections
import dataclasses
import functools

import jax
import numpy as np
import pytest
from hide_and_seek_matches import (
    Match,
    World,
    assert_same,
    keys_for,
    oracle_match,
    orders_of,
    random_actions,
    random_arena,
    turned,
    world_match,
)
from hide_and_seek_oracle import FOOTPRINTS, STEPS, Arena, Options, cells_between, have_hiders_won

from minied_envs.hide_and_seek.rules import turn_order

WORLDS = {
    "one against one on bare ground": World(5, 5, (1, 1, 0, 0), Options(max_steps=20)),
    "two against two among objects": World(7, 7, (2, 2, 3, 2), Options(max_steps=40)),
    "neither surf nor locks on ramps": World(
        6, 7, (2, 2, 3, 2), Options(40, preparation=0.2, reward="selfish", surf=False, ramps_lockable=False)
    ),
    "three against three that see all around": World(
        9, 12, (3, 3, 3, 2), Options(40, preparation=0.3, reward="joint_mean", field_of_view=360.0, margin=1)
    ),
    "nobody and nothing may leave": World(
        8, 7, (2, 1, 1, 1), Options(30, preparation=0.0, margin=1, leaving_penalty=3.0, penalize_objects=True)
    ),
}
EPISODES = 160  # 160 · (2·20 + 4·40 + 4·40 + 6·40 + 3·30) = 110,400 steps of agents, 27,200 of worlds
# What random play must have met, so that agreement means something: the bounds are far below what is seen.
MUST_HAPPEN = {
    "held": 1000, "let go": 100, "unlocked": 100, "foreign lock": 50, "climbed": 200, "too high": 1000,
    "walked on tops": 200, "stepped down": 100, "dragged": 1000, "surfed": 30, "seeker surfed": 10, "taken away": 50,
    "somebody on it": 20, "drag leaves": 100, "drag meets wall": 100, "drag meets object": 100, "drag meets agent": 50,
}  # fmt: skip

all_worlds = pytest.mark.parametrize("name", WORLDS)
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11)))


def all_matches(test):
    """Of every world; the slow ones are 10 · 160 · (20 + 40 + 40 + 40 + 30) = 272,000 steps of worlds more."""
    return all_worlds(pytest.mark.parametrize("seed", SEEDS)(test))


@functools.cache
def played(name: str, seed: int = 0) -> tuple[list[Arena], np.ndarray, Match]:
    """Arenas, actions and what the world makes of them."""
    world = WORLDS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    arenas = [random_arena(rng, world) for _ in range(EPISODES)]
    actions = random_actions(rng, arenas, world.options.max_steps)
    return arenas, actions, world_match(world, arenas, keys(world, seed), actions)


def keys(world: World, seed: int = 0) -> jax.Array:
    return keys_for(EPISODES, world.options.max_steps, seed)


@functools.cache
def recounted(name: str, seed: int = 0) -> tuple[Match, collections.Counter[str]]:
    """The same by the oracle."""
    world = WORLDS[name]
    arenas, actions, _ = played(name, seed)
    return oracle_match(world, arenas, orders_of(keys(world, seed), world.num_agents), actions)


# -- against the oracle -----------------------------------------------------------------------------------------------


@all_worlds
def test_the_world_agrees_with_the_oracle_step_for_step(name):
    assert_same(played(name)[2], recounted(name)[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
@all_worlds
def test_the_world_agrees_with_the_oracle_for_long(name, seed):
    assert_same(played(name, seed)[2], recounted(name, seed)[0])


def test_random_play_meets_every_case():
    events = sum((recounted(name)[1] for name in WORLDS), collections.Counter[str]())
    assert {name: count for name, count in MUST_HAPPEN.items() if events[name] < count} == {}
    ends = [recounted(name)[0].statistics for name in WORLDS]
    for name in ("enclosed", "breach", "via_ramp", "surf_steps", "elevated_steps", "ramp_denied", "hidden"):
        values = np.concatenate([end[name] for end in ends])
        assert np.nansum(values > 0) >= 2, name
        assert np.sum(values == 0) > 10, name


@pytest.mark.parametrize("name", [name for name, world in WORLDS.items() if world.options.reward != "joint_mean"])
def test_who_won_is_told_by_the_returns_of_the_hiders(name):
    # Means are left out: in floats thirds that cancel do not add up to 0.
    arenas, _, match = played(name)
    returns = match.rewards.sum(axis=1)
    expected = [have_hiders_won(arena, of_each) for arena, of_each in zip(arenas, returns.tolist(), strict=True)]
    np.testing.assert_array_equal(jax.vmap(WORLDS[name].env().is_solved)(returns), expected)
    assert 0 < sum(expected) < EPISODES


def test_turns_come_in_every_order_equally_often():
    orders = jax.jit(jax.vmap(lambda key: turn_order(key, 3)))(jax.random.split(jax.random.key(5), 1200))
    counts = collections.Counter(map(tuple, np.asarray(orders).tolist()))
    # 1200 / 6 = 200 of each, with a standard deviation of sqrt(1200 · 1/6 · 5/6) = 13
    assert len(counts) == 6
    assert all(set(order) == {0, 1, 2} and 135 < count < 265 for order, count in counts.items())


# -- what must hold ---------------------------------------------------------------------------------------------------


@all_matches
def test_nothing_overlaps(name, seed):
    world, (arenas, _, match) = WORLDS[name], played(name, seed)
    for episode, arena in enumerate(arenas):
        is_agent = [placed is not None for placed in arena.hiders + arena.seekers]
        things = arena.boxes + arena.ramps
        shapes = [box and box[2] for box in arena.boxes] + [0] * len(arena.ramps)
        for step in range(world.options.max_steps + 1):
            places = match.states["object_positions"][episode, step].tolist()
            covered = [
                (row + down, col + right)
                for (row, col), shape, thing in zip(places, shapes, things, strict=True)
                if thing
                for down, right in FOOTPRINTS[shape]
            ]
            cells = [tuple(cell) for cell in match.states["positions"][episode, step][is_agent].tolist()]
            above = match.states["elevated"][episode, step][is_agent].tolist()
            assert len(set(covered)) == len(covered)
            assert len(set(cells)) == len(cells)
            assert not (arena.tall | arena.low) & set(covered)
            assert not arena.tall & set(cells)
            assert all(0 <= row < world.height and 0 <= col < world.width for row, col in covered + cells)
            # Somebody is elevated exactly where a low wall or an object is below.
            assert above == [cell in arena.low or cell in covered for cell in cells]


@all_matches
def test_what_is_locked_stays_and_only_its_team_unlocks(name, seed):
    world, (_, actions, match) = WORLDS[name], played(name, seed)
    before, after = match.states["locked_by"][:, :-1], match.states["locked_by"][:, 1:]
    is_seeker = np.arange(world.num_agents) >= world.room[0]
    for team in (0, 1):
        # As long as nobody of the team turns a key, what it locked stays as and where it is, and nobody holds it.
        nobody = ~np.any((actions % 2 == 1) & (is_seeker == team), axis=-1)
        kept = (before == team) & nobody[:, :, None]
        np.testing.assert_array_equal(after[kept], team)
        places = match.states["object_positions"]
        np.testing.assert_array_equal(places[:, 1:][kept], places[:, :-1][kept])
    numbers = np.arange(before.shape[-1])
    is_held = np.any(match.states["holding"][..., None] == numbers, axis=-2)
    assert not np.any(is_held & (match.states["locked_by"] != -1))


@all_matches
def test_who_holds_keeps_the_distance(name, seed):
    _, actions, match = played(name, seed)
    holding, places = match.states["holding"], match.states["object_positions"]
    if places.shape[2] == 0:
        assert np.all(holding == -1)
        return
    held_place = np.take_along_axis(places, np.maximum(holding, 0)[..., None], axis=2)
    distance = held_place - match.states["positions"]
    # A key turned between could let go of it and somebody move it on before it is grabbed anew.
    no_keys = ~np.any(actions % 2 == 1, axis=-1)
    kept = (holding[:, 1:] == holding[:, :-1]) & (holding[:, 1:] != -1) & no_keys[:, :, None]
    # So could who takes it out of the agent's hands, even if the agent takes it back at once: nobody near it grabs too.
    # Near is two cells, from beside one end of a long one to its middle, and one that it may have been dragged before.
    apart = np.abs(match.states["positions"][:, :-1, None] - held_place[:, :-1, :, None]).max(axis=-1)
    others = (actions // 2 % 2 == 1)[:, :, None] & ~np.eye(actions.shape[-1], dtype=bool)
    kept &= ~np.any(others & (apart <= 3), axis=-1)
    assert kept.sum() > 100
    np.testing.assert_array_equal(distance[:, 1:][kept], distance[:, :-1][kept])


@all_matches
def test_an_agent_moves_at_most_one_cell_and_looks_where_it_wants_to_go(name, seed):
    world, (arenas, actions, match) = WORLDS[name], played(name, seed)
    positions, directions = match.states["positions"], match.states["directions"]
    moved = positions[:, 1:] - positions[:, :-1]
    present = np.array([[placed is not None for placed in arena.hiders + arena.seekers] for arena in arenas])
    acts = present[:, None] & ~waits(world, arenas)
    wants = acts & (actions >= 4)
    np.testing.assert_array_equal(directions[:, 1:][wants], (actions // 4 - 1)[wants])
    np.testing.assert_array_equal(directions[:, 1:][~wants], directions[:, :-1][~wants])
    has_moved = np.any(moved != 0, axis=-1)
    assert not np.any(has_moved & ~wants)
    np.testing.assert_array_equal(moved[has_moved], np.array(STEPS)[directions[:, 1:][has_moved]])


def waits(world: World, arenas: list[Arena]) -> np.ndarray:
    """Whether an agent waits for the end of preparation, ``bool[E, T, N]``."""
    length = int(world.options.preparation * world.options.max_steps)
    lasts = (
        np.arange(world.options.max_steps) < np.where([arena.has_preparation for arena in arenas], length, 0)[:, None]
    )
    return lasts[:, :, None] & (np.arange(world.num_agents) >= world.room[0])


@all_matches
def test_preparation_pays_nothing_and_holds_seekers(name, seed):
    world, (arenas, _, match) = WORLDS[name], played(name, seed)
    waiting = waits(world, arenas)
    np.testing.assert_array_equal(match.rewards[waiting.any(axis=-1)], 0)
    for field in ("positions", "directions", "elevated", "holding"):
        values = match.states[field]
        np.testing.assert_array_equal(values[:, 1:][waiting], values[:, :-1][waiting], err_msg=field)
    assert not np.any(match.states["elevated"][:, 1:][waiting])
    np.testing.assert_array_equal(match.states["holding"][:, 1:][waiting], -1)


@all_matches
def test_rewards_are_of_those_who_are_here_and_follow_from_sight(name, seed):
    world, (arenas, _, match) = WORLDS[name], played(name, seed)
    hiders = world.room[0]
    present = np.array([[placed is not None for placed in arena.hiders + arena.seekers] for arena in arenas])
    paid = ~waits(world, arenas).any(axis=-1)
    np.testing.assert_array_equal(match.rewards[np.broadcast_to(~present[:, None], match.rewards.shape)], 0)
    if world.options.reward == "joint_zero_sum" and world.options.margin == 0:
        sums = match.rewards[..., :hiders].sum(axis=-1) + match.rewards[..., hiders:].sum(axis=-1)
        even = present[:, :hiders].sum(axis=-1) == present[:, hiders:].sum(axis=-1)
        np.testing.assert_array_equal(sums[even], 0)
        is_found = match.sees_agents[:, 1:, hiders:, :hiders].any(axis=(-2, -1))
        first = np.argmax(present, axis=-1)  # a hider: there is always one
        of_hider = np.take_along_axis(match.rewards, first[:, None, None], axis=2)[..., 0]
        np.testing.assert_array_equal(of_hider[paid], np.where(is_found, -1, 1)[paid])


@all_matches
def test_absent_ones_stay_as_they_were_neither_see_nor_are_seen(name, seed):
    arenas, _, match = played(name, seed)
    for is_absent, fields in (
        (
            [[x is None for x in arena.hiders + arena.seekers] for arena in arenas],
            ("positions", "directions", "elevated"),
        ),
        ([[x is None for x in arena.boxes + arena.ramps] for arena in arenas], ("object_positions",)),
    ):
        where = np.broadcast_to(np.array(is_absent, bool)[:, None], match.states[fields[0]].shape[:3])
        for field in fields:
            assert not match.states[field][where].any()
        nothing = "holding" if fields[0] == "positions" else "locked_by"
        np.testing.assert_array_equal(match.states[nothing][where], -1)
        seen = match.sees_agents if nothing == "holding" else match.sees_objects
        assert not np.swapaxes(seen, -1, -2)[where].any()
        if nothing == "holding":
            assert not seen[where].any()
            assert not match.sees_objects[where].any()


def test_agents_that_see_all_around_see_each_other():
    seen = played("three against three that see all around")[2].sees_agents
    np.testing.assert_array_equal(seen, np.swapaxes(seen, -1, -2))
    assert 0.1 < seen.mean() < 0.9


@all_matches
def test_things_are_neither_made_nor_lost_in_time(name, seed):
    world, (arenas, _, match) = WORLDS[name], played(name, seed)
    np.testing.assert_array_equal(
        match.states["time"], np.arange(world.options.max_steps + 1)[None].repeat(EPISODES, 0)
    )
    assert np.all((match.states["holding"] >= -1) & (match.states["holding"] < world.room[2] + world.room[3]))
    assert np.all((match.states["locked_by"] >= -1) & (match.states["locked_by"] <= 1))
    no_locks = ~np.array([arena.has_locks for arena in arenas])
    assert np.all(match.states["locked_by"][no_locks] == -1)


# -- a quarter turn ---------------------------------------------------------------------------------------------------


@all_worlds
def test_a_turned_arena_plays_the_turned_match(name):
    world, (arenas, actions, match) = WORLDS[name], played(name)
    moves = actions // 4
    turned_actions = np.where(moves == 0, 0, moves % 4 + 1) * 4 + actions % 4
    lying = dataclasses.replace(world, height=world.width, width=world.height)
    other = world_match(lying, [turned(arena) for arena in arenas], keys(world), turned_actions)
    is_agent = np.array([[placed is not None for placed in arena.hiders + arena.seekers] for arena in arenas])
    is_object = np.array([[thing is not None for thing in arena.boxes + arena.ramps] for arena in arenas])
    for field, here in (("positions", is_agent), ("object_positions", is_object)):
        row, col = np.moveaxis(match.states[field], -1, 0)
        expected = np.where(here[:, None, :, None], np.stack([col, world.height - 1 - row], axis=-1), 0)
        np.testing.assert_array_equal(other.states[field], expected, err_msg=field)
    expected = np.where(is_agent[:, None], (match.states["directions"] + 1) % 4, 0)
    np.testing.assert_array_equal(other.states["directions"], expected)
    for field in ("elevated", "holding", "locked_by"):
        np.testing.assert_array_equal(other.states[field], match.states[field], err_msg=field)
    np.testing.assert_array_equal(other.sees_agents, match.sees_agents)
    np.testing.assert_array_equal(other.sees_objects, match.sees_objects)
    np.testing.assert_array_equal(other.rewards, match.rewards)
    for field, values in match.statistics.items():
        np.testing.assert_array_equal(other.statistics[field], values, err_msg=field)


# -- the oracle itself ------------------------------------------------------------------------------------------------


def test_two_ways_to_say_which_cells_a_ray_touches_agree():
    # |drow · (c - c0) - dcol · (r - r0)| <= (|drow| + |dcol|) / 2 within the bounding box, the ends left out
    for down in range(-3, 9):
        for right in range(-3, 9):
            box = np.ndindex(abs(down) + 1, abs(right) + 1)
            cells = [(row * (-1) ** (down < 0), col * (-1) ** (right < 0)) for row, col in box]
            near = [c for c in cells if 2 * abs(down * c[1] - right * c[0]) <= abs(down) + abs(right)]
            assert sorted(cells_between(down, right)) == sorted(set(near) - {(0, 0), (down, right)})
