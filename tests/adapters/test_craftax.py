"""Craftax in minied: step for step the library's, deaths apart from time-outs, and worlds that are edited honestly."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.adapters.craftax import ClassicLevel, Craftax
from minied.errors import UserError

pytestmark = pytest.mark.usefixtures("library_promotes_ranks")

NOOP, LEFT, RIGHT, UP, DOWN, DO = range(6)
GRASS, WATER, STONE, TREE, COAL, SAND, LAVA = 2, 3, 4, 5, 8, 13, 14
STEPS = 60


@functools.cache
def small():
    return Craftax(map_size=16, max_steps=50, tells_achievements=True)


@functools.cache
def vectors():
    return dataclasses.replace(small(), observation="vector")


def library(env):
    """The library's own environment, with its own time limit."""
    world = type(env._made[0])(env._made[0].static_env_params)
    return world, world.default_params.replace(max_timesteps=env.max_steps)


@functools.cache
def starts(env):
    """Of 8 keys: the library's first observations and states, our levels, and our observations and states of these."""
    world, params = library(env)

    def start(key):
        observation, state = world.reset_env(key, params)
        level = env.level_of(env.generate(key))
        return observation, state, level, *env.reset(key, level)

    return jax.jit(jax.vmap(start))(jax.random.split(jax.random.key(0), 8))


@functools.cache
def player(env):
    """Plays 60 actions, and each step also as the library does from the same state, which compiles as one."""
    world, params = library(env)

    def play(key, level, actions, time):
        def step(state, inputs):
            key, action = inputs
            ours = env.step(key, state, action, level)
            theirs = world.step_env(key, state, action, params)
            same = jax.tree.map(lambda a, b: (raw(a) == raw(b)).all(), ours[1], theirs[1])
            told = {
                "cells": ours[0]["cells"], "self": ours[0]["self"], "reward": ours[2], "terminated": ours[3],
                "truncated": ours[4], "statistics": ours[5]["statistics"], "achieved": ours[1].achievements,
                "their_vector": theirs[0], "their_reward": theirs[2], "over": theirs[3],
                "same": jnp.stack(jax.tree.leaves(same)).all(),
            }  # fmt: skip
            return ours[1], told

        _, state = env.reset(key, level)
        state, told = jax.lax.scan(step, state.replace(timestep=time), (jax.random.split(key, STEPS), actions))
        return told, state

    compiled = jax.jit(play)

    def padded(level, actions, seed=0, time=0):
        actions = jnp.asarray([*actions, *[NOOP] * (STEPS - len(actions))])
        return jax.tree.map(np.asarray, compiled(jax.random.key(seed), level, actions, jnp.int32(time))[0])

    return padded


def raw(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key) else leaf


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def island(**blocks):
    """A level of sand, on which nothing is born, with blocks by where they are from the player: up, right, ..."""
    ground = np.full((16, 16), SAND, np.uint8)
    for where, block in blocks.items():
        row, col = {"up": (7, 8), "right": (8, 9), "down": (9, 8), "left": (8, 7), "corner": (0, 0)}[where]
        ground[row, col] = block
    return ClassicLevel(jnp.asarray(ground))


# -- the dynamics ------------------------------------------------------------------------------------------------------


def test_a_start_is_the_librarys_own():
    env = small()
    seen, state, level, ours, our_state = starts(env)
    for (path, theirs), mine in zip(
        jax.tree_util.tree_leaves_with_path(state.replace(state_rng=None)),
        jax.tree.leaves(our_state.replace(state_rng=None)),
        strict=True,
    ):
        assert np.array_equal(theirs, mine), path
    assert level.map.dtype == jnp.uint8
    assert np.array_equal(decoded(env, ours), seen)


def test_the_librarys_vector_is_seen_on_demand():
    level = starts(small())[2]
    seen, _ = jax.jit(jax.vmap(vectors().reset))(jax.random.split(jax.random.key(0), 8), level)
    assert np.array_equal(seen, starts(small())[0])
    assert vectors().observation_space.contains(np.asarray(seen[0]))


def test_what_a_level_does_not_hold_is_the_same_in_every_start():
    """Else a level would not be the start that the generator made."""
    _, state, *_ = starts(small())
    rest = jax.tree_util.tree_leaves_with_path(state.replace(map=None, state_rng=None))
    assert len(rest) > 40
    for path, leaf in rest:
        assert (np.asarray(leaf) == np.asarray(leaf)[:1]).all(), path
    assert len(np.unique(np.asarray(state.map), axis=0)) == 8


def decoded(env, observation):
    """The library's vector of a batch of observations."""
    cells = env.observation_space.spaces["cells"].decode(observation["cells"])
    return np.concatenate([np.asarray(cells).reshape(len(cells), -1), observation["self"]], axis=1)


def test_play_is_the_librarys_own():
    """Random actions in two worlds: the same states, views and rewards, and an end where the library has one."""
    env, creatures = small(), 0
    for seed in range(2):
        actions = np.asarray(jax.random.randint(jax.random.key(seed + 7), (STEPS,), 0, 17))
        told = player(env)(at(starts(env)[2], seed), actions, seed)
        assert told["same"].all()
        assert np.array_equal(decoded(env, told), told["their_vector"])
        assert np.array_equal(told["reward"], told["their_reward"])
        assert np.array_equal(told["terminated"] | told["truncated"], told["over"])
        assert not (told["terminated"] & told["truncated"]).any()
        assert np.array_equal(told["statistics"]["achievements"], told["achieved"].sum(axis=1))
        creatures += (told["cells"] % 16 > 0).sum()
        for t in range(0, STEPS, 7):
            assert env.observation_space.contains({"cells": told["cells"][t], "self": told["self"][t]})
            assert vectors().observation_space.contains(told["their_vector"][t])
    assert creatures > 0


def test_wood_is_collected_and_counted():
    """The player faces up; a tree is there, of which grass is left. An achievement is worth 1."""
    told = player(small())(island(up=TREE), [NOOP, DO, DO])
    assert told["reward"][:3].tolist() == [0.0, 1.0, 0.0]
    assert told["statistics"]["achievements"][:3].tolist() == [0.0, 1.0, 1.0]
    assert told["statistics"]["collect_wood"][:3].tolist() == [0.0, 1.0, 1.0]
    assert told["statistics"]["place_table"].max() == 0.0
    assert np.allclose(told["self"][:3, 0], [0.0, 0.1, 0.1], atol=1e-3)  # in tenths, which the library gives as float16
    assert told["cells"][:3, 2, 4].tolist() == [(block - 1) * 16 for block in (TREE, GRASS, GRASS)]


def test_cells_are_coded_by_block_and_creatures():
    """Block b and no creature is code 16 (b − 1); the player is in the middle of 7 by 9 cells."""
    told = player(small())(island(up=TREE, left=WATER), [NOOP])
    cells = told["cells"][0]
    assert cells[3, 4] == (SAND - 1) * 16
    assert cells[2, 4] == (TREE - 1) * 16
    assert cells[3, 3] == (WATER - 1) * 16
    features = np.asarray(small().observation_space.spaces["cells"].features)
    assert np.flatnonzero(features[(TREE - 1) * 16 + 0b0101]).tolist() == [TREE, 17, 19]


def test_a_death_is_an_end_and_a_time_out_is_none():
    """Lava takes all 9 points of health, each worth a tenth."""
    told = player(small())(island(up=LAVA), [NOOP, UP])
    assert told["terminated"][:2].tolist() == [False, True]
    assert not told["truncated"][:2].any()
    assert np.isclose(told["reward"][1], -0.9)
    told = player(small())(island(), [NOOP] * 50)
    assert not told["terminated"].any()
    assert np.flatnonzero(told["truncated"])[0] == 49
    assert told["over"][49]


def test_a_death_in_the_last_step_is_no_time_out():
    told = player(small())(island(up=LAVA), [NOOP] * 49 + [UP])
    assert (bool(told["terminated"][49]), bool(told["truncated"][49])) == (True, False)


def test_the_librarys_own_limit_is_no_death():
    """It ends episodes after 10,000 steps as if they were over; here a limit of another length would not be seen."""
    told = player(small())(island(), [NOOP, NOOP], time=9_998)
    assert not told["terminated"][:3].any()
    assert told["truncated"][:3].all()


def test_reset_is_the_levels_start_whatever_the_key():
    env = small()
    reset = jax.jit(env.reset)
    one, again, other = (
        reset(jax.random.key(seed), level)
        for seed, level in ((0, island(up=TREE)), (1, island(up=TREE)), (0, island(up=WATER)))
    )
    assert all(map(np.array_equal, jax.tree.leaves(one[0]), jax.tree.leaves(again[0])))
    assert not np.array_equal(one[0]["cells"], other[0]["cells"])


def test_no_number_is_weakly_typed():
    env = small()
    _, state = jax.eval_shape(env.reset, jax.random.key(0), island())
    _, after, *_ = jax.eval_shape(env.step, jax.random.key(0), state, jnp.int32(0), island())
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((state, after)))
    forms = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(each)] for each in (state, after)]
    assert forms[0] == forms[1]


# -- levels ------------------------------------------------------------------------------------------------------------


@functools.cache
def mutator(env):
    return jax.jit(jax.vmap(env.level_space.mutate))


def test_edits_exchange_tiles_and_leave_the_players():
    env = small()
    before = starts(env)[2]
    after = mutator(env)(jax.random.split(jax.random.key(1), 8), before)
    old, new = np.asarray(before.map), np.asarray(after.map)
    assert np.array_equal(np.sort(old.reshape(8, -1)), np.sort(new.reshape(8, -1)))
    assert np.array_equal(old[:, 8, 8], new[:, 8, 8])
    changed = (old != new).sum(axis=(1, 2))
    assert (changed > 16).all()
    assert (changed <= 2 * env.num_swaps).all()
    assert np.asarray(jax.vmap(env.level_space.is_valid)(after)).all()


def test_the_first_tile_of_a_pair_is_near_the_player_and_the_other_of_another_kind():
    env = dataclasses.replace(small(), num_swaps=1, swap_radius=2)
    before = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 8), starts(env)[2])
    after = mutator(env)(jax.random.split(jax.random.key(1), 64), before)
    changed = np.argwhere(np.asarray(before.map != after.map))
    assert len(changed) == 128
    assert not (changed[:, 1:] == 8).all(axis=1).any()
    away = np.abs(changed[:, 1:] - 8).max(axis=1).reshape(64, 2)
    assert (away.min(axis=1) <= 2).all()
    assert (away.max(axis=1) > 2).mean() > 0.5


def test_an_edit_of_a_world_of_one_kind_changes_nothing():
    level = jax.tree.map(lambda leaf: leaf[None], island())
    after = mutator(small())(jax.random.split(jax.random.key(0), 1), level)
    assert np.array_equal(after.map, level.map)


def test_what_is_no_level_is_told():
    valid = jax.jit(small().level_space.is_valid)
    assert bool(valid(island()))
    for row, col, block in ((0, 0, 0), (0, 0, 1), (0, 0, 17), (8, 8, WATER), (8, 8, LAVA), (8, 8, TREE)):
        assert not bool(valid(ClassicLevel(island().map.at[row, col].set(block)))), block


def test_a_level_is_described_by_its_resources():
    """The corner is 8 rows and 8 columns from the player."""
    described = small().level_space.describe(island(up=TREE, right=TREE, corner=STONE))
    described = {name: float(value) for name, value in described.items()}
    assert described["tree"] == 2.0
    assert described["tree_distance"] == 1.0
    assert described["stone_distance"] == 16.0
    assert described["coal"] == described["water"] == 0.0
    assert np.isnan(described["water_distance"])


def test_pictures_show_level_and_state():
    env = small()
    picture = env.level_space.draw(island(up=WATER))
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8
    colours = picture[8::16, 8::16]
    assert colours[8, 8].tolist() == [255, 0, 0]
    assert colours[7, 8].tolist() == [64, 112, 208]
    _, state = jax.jit(env.reset)(jax.random.key(0), island(up=WATER))
    assert np.array_equal(env.level_space.draw(island(up=WATER), state), picture)
    state = state.replace(player_position=jnp.asarray([8, 9]), mob_map=state.mob_map.at[0, 0].set(True))
    moved = env.level_space.draw(island(up=WATER), state)[8::16, 8::16]
    assert moved[8, 9].tolist() == [255, 0, 0]
    assert moved[8, 8].tolist() == [232, 216, 144]
    assert moved[0, 0].tolist() == [255, 0, 255]


def test_text_reads_back_and_wrong_text_is_told():
    space, level = small().level_space, island(up=TREE, corner=COAL)
    text = space.to_text(level)
    assert np.array_equal(space.from_text(text).map, level.map)
    ground = json.loads(text)["map"]
    ground[8][8] = LAVA
    with pytest.raises(UserError, match="a start on which nobody can stand"):
        space.from_text(json.dumps({"map": ground}))
    with pytest.raises(UserError, match=r"map of a level is int64\[15, 16\]; allowed: uint8\[16, 16\]"):
        space.from_text(json.dumps({"map": ground[:15]}))


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"id": "Craftax-Pixels-v1"},
            "id is 'Craftax-Pixels-v1'; allowed: Craftax-Classic-Symbolic-v1, Craftax-Symbolic",
        ),
        (
            {"map_size": 24},
            "map_size is 24; allowed with Craftax-Classic-Symbolic-v1: 0, and multiples of 16, 16 to 240",
        ),
        (
            {"id": "Craftax-Symbolic-v1", "map_size": 32},
            "map_size is 32; allowed .*: 0, and multiples of 16, 48 to 240",
        ),
        ({"max_steps": -1}, "max_steps is -1; allowed: 0 to 16777215"),
        ({"observation": "pixels"}, "observation is 'pixels'; allowed: cells, vector"),
        ({"solved_return": float("nan")}, "solved_return is nan; allowed: a finite number"),
        ({"num_swaps": 0}, "num_swaps is 0; allowed: 1 to 1000"),
        ({"swap_radius": -1}, "swap_radius is -1; allowed: 0 to 240"),
    ],
)
def test_options_that_cannot_be_are_told(options, message):
    with pytest.raises(UserError, match=message):
        Craftax(**options)


def test_limits_and_sizes_are_the_librarys_or_given():
    assert (Craftax().max_steps, Craftax().side) == (10_000, 64)
    full = Craftax(id="Craftax-Symbolic-v1")
    assert (full.max_steps, full.side, full.action_space.n) == (100_000, 48, 43)
    assert (small().max_steps, small().side, small().action_space.n) == (50, 16, 17)
    assert Craftax() == Craftax(max_steps=10_000)
    assert hash(Craftax()) == hash(Craftax())


def test_the_classic_cells_have_no_more_codes_than_a_byte():
    cells = small().observation_space.spaces["cells"]
    assert cells.num_codes == 256
    assert len(set(cells.features)) == 256


def test_a_return_above_the_mark_is_solved():
    env = Craftax(solved_return=3.0)
    assert bool(env.is_solved(jnp.float32(3.1)))
    assert not bool(env.is_solved(jnp.float32(3.0)))


@pytest.mark.slow
def test_suites_are_the_same_at_every_call():
    (first,), (again,) = (small().level_space.suite("sampled") for _ in range(2))
    assert np.array_equal(first.levels.map, again.levels.map)
    assert len(first.names) == 32
    with pytest.raises(UserError, match="unknown suite 'samples'"):
        small().level_space.suite("samples")


# -- the full game -----------------------------------------------------------------------------------------------------


@functools.cache
def full():
    return Craftax(id="Craftax-Symbolic-v1", max_steps=50)


@pytest.mark.slow
def test_the_full_games_starts_and_play_are_the_librarys():
    env = full()
    seen, state, levels, ours, our_state = starts(env)
    for (path, theirs), mine in zip(
        jax.tree_util.tree_leaves_with_path(state.replace(state_rng=None)),
        jax.tree.leaves(our_state.replace(state_rng=None)),
        strict=True,
    ):
        assert np.array_equal(theirs, mine), path
    held = {field.name: None for field in dataclasses.fields(levels)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.replace(state_rng=None, **held)):
        assert (np.asarray(leaf) == np.asarray(leaf)[:1]).all(), path
    joined = np.concatenate([np.asarray(ours["cells"]).reshape(8, -1), ours["self"]], axis=1)
    assert np.array_equal(joined, seen)
    assert np.asarray(jax.vmap(env.level_space.is_valid)(levels)).all()
    actions = np.asarray(jax.random.randint(jax.random.key(7), (STEPS,), 0, 43))
    told = player(env)(at(levels, 0), actions)
    assert told["same"].all()
    joined = np.concatenate([told["cells"].reshape(STEPS, -1), told["self"]], axis=1)
    assert np.array_equal(joined, told["their_vector"])
    assert np.array_equal(told["reward"], told["their_reward"])
    assert np.array_equal(told["terminated"] | told["truncated"], told["over"])
    assert env.observation_space.contains({"cells": told["cells"][9], "self": told["self"][9]})


@pytest.mark.slow
def test_edits_of_the_full_game_are_of_the_first_floor_and_leave_ladders():
    env = full()
    before = starts(env)[2]
    after = mutator(env)(jax.random.split(jax.random.key(1), 8), before)
    changed = np.asarray(before.map != after.map)
    assert changed[:, 0].any(axis=(1, 2)).all()
    assert not changed[:, 1:].any()
    assert not (changed & (np.asarray(before.item_map) > 0)).any()
    assert not changed[:, 0, 24, 24].any()
    space, level = env.level_space, at(before, 0)
    assert space.draw(level).shape == (288, 288, 3)  # nine floors of 48 x 48, a tile in two pixels
    state = at(starts(env)[4], 0)
    below = state.replace(player_level=jnp.int32(4), player_position=jnp.asarray([1, 2], jnp.int32))
    shown = np.argwhere((space.draw(level, below) != space.draw(level, state)).any(axis=-1))
    # floor 4 is in the middle: row 48 + 1, column 48 + 2, and the player is no longer in the middle of floor 0
    assert {(2 * row, 2 * col) for row, col in ((24, 24), (49, 50))} == {
        tuple(each) for each in shown[(shown % 2 == 0).all(axis=1)].tolist()
    }
    assert all(map(np.array_equal, jax.tree.leaves(space.from_text(space.to_text(level))), jax.tree.leaves(level)))
    twice = level.replace(potion_mapping=level.potion_mapping.at[0].set(level.potion_mapping[1]))
    assert not bool(space.is_valid(twice))
