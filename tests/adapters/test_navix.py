"""Navix in minied: step by step against navix itself, and by hand where it says nothing."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.adapters.base import quiet, require
from minied.adapters.navix import COLOURS, FEATURES, KINDS, KNOWN, LIBRARY, Navix, navix_state
from minied.errors import UserError
from minied.levels.space import OPTIONAL_CAPABILITIES

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE, DONE = range(7)
EAST, SOUTH, WEST, NORTH = range(4)
navix = require(LIBRARY)
EMPTY = Navix(id="Navix-Empty-5x5-v0")  # from (1, 1), looking east, to (3, 3)


@functools.cache
def compiled(env):
    return jax.jit(env.reset), jax.jit(env.step), jax.jit(env.level_space.sample)


def levels(env, number, seed=0):
    return jax.vmap(compiled(env)[2])(jax.random.split(jax.random.key(seed), number))


def row(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def edits(env, level, number):
    return jax.jit(jax.vmap(env.level_space.mutate, in_axes=(0, None)))(
        jax.random.split(jax.random.key(0), number), level
    )


def play(env, level, actions):
    """The observations, rewards and ends of a play by hand."""
    reset, step, _ = compiled(env)
    observation, state = reset(jax.random.key(0), level)
    told = [(observation, 0.0, False, False)]
    for action in actions:
        observation, state, *rest, _ = step(jax.random.key(0), state, jnp.int32(action), level)
        told.append((observation, *(each.item() for each in rest)))
    return told, state


# -- against navix -----------------------------------------------------------------------------------------------------

COMPARED = [("Dynamic-Obstacles-5x5", "first_person")]
MORE = (
    "DoorKey-Random-5x5",
    "GoToDoor-5x5",
    "Empty-Random-6x6",
    "KeyCorridorS3R2",
    "LavaGapS6",
    "SimpleCrossingS9N2",
    "DistShift1",
    "FourRooms",
)
SLOW = [pytest.param(name, view, marks=pytest.mark.slow) for name in MORE for view in ("full", "first_person")]


@pytest.mark.parametrize(("name", "observation"), COMPARED + SLOW)
def test_it_plays_what_navix_plays(name, observation):
    identifier = f"Navix-{name}-v0"
    number, steps, max_steps = 16, 60, 40
    env = Navix(id=identifier, observation=observation, max_steps=max_steps)
    show = getattr(navix.observations, {"full": "symbolic", "first_person": "symbolic_first_person"}[observation])
    with quiet():
        theirs = navix.make(identifier, max_steps=max_steps, observation_fn=show)

    def play_theirs(key, actions, keys):
        def step(timestep, inputs):
            action, key = inputs
            timestep = timestep.replace(state=timestep.state.replace(key=key))
            timestep = theirs._step(timestep, action)
            return timestep, (timestep.observation, timestep.reward, timestep.step_type)

        start = theirs.reset(key)
        start = start.replace(action=actions[0], state=start.state.replace(cache=None))
        # What is shown at the start is looked at as it is later: navix draws in the order of a dict that JAX sorts.
        first = jax.jit(lambda state: show(state))(start.state)
        return first, jax.lax.scan(step, start, (actions, keys))[1]

    def play_ours(key, actions, keys):
        level = env.level_space.sample(key)

        def step(state, inputs):
            action, key = inputs
            observation, state, reward, terminated, truncated, _ = env.step(key, state, action, level)
            return state, (observation, reward, terminated, truncated)

        first, state = env.reset(key, level)
        return first, jax.lax.scan(step, state, (actions, keys))[1]

    keys = jax.random.split(jax.random.key(1), number)
    # Mostly forward, picking up and toggling: things happen.
    actions = jax.random.choice(jax.random.key(2), jnp.asarray([0, 1, 2, 2, 2, 3, 5, 4, 6]), (number, steps))
    inputs = keys, actions.astype(jnp.int32), jax.random.split(jax.random.key(3), (number, steps))
    with jax.numpy_rank_promotion("allow"):
        first_symbols, (symbols, reward, step_type) = jax.device_get(jax.jit(jax.vmap(play_theirs))(*inputs))
    first, (ours, our_reward, terminated, truncated) = jax.device_get(jax.jit(jax.vmap(play_ours))(*inputs))

    assert np.array_equal(symbols_of(first["view"]), first_symbols & [255, 255, 3])
    ended = step_type > 0
    until = np.cumsum(ended, axis=1) - ended == 0  # until the first end, that one included: after it navix plays on too
    assert np.array_equal(symbols_of(ours["view"])[until], symbols[until] & [255, 255, 3])
    assert np.array_equal(our_reward[until], reward[until])
    assert np.array_equal(terminated[until], step_type[until] == 2)
    assert np.array_equal(truncated[until], step_type[until] == 1)
    assert not np.any(terminated & truncated)
    space = env.observation_space
    assert all(space.contains(row(jax.tree.map(lambda leaf: leaf[:, 3], ours), i)) for i in range(number))
    assert np.any(ended & until)


def symbols_of(codes):
    """Navix's kind, colour and state of a code, taken apart once more."""
    assert codes.max() < len(FEATURES) == 9 * 6 * 4
    kinds = np.asarray(list(KINDS.values()))
    return np.stack([kinds[codes // 24], codes // 4 % 6, codes % 4], axis=-1)


def test_all_worlds_of_navix_are_known():
    assert set(KNOWN) == set(navix.registry())
    assert len(KNOWN) == len(set(KNOWN)) == 41


def test_a_level_is_the_start_that_navix_made():
    env, key = Navix(id="Navix-DoorKey-Random-5x5-v0"), jax.random.key(4)
    with jax.numpy_rank_promotion("allow"):
        state = jax.jit(lambda key: navix.make(env.id).reset(key).state.replace(cache=None))(key)
    level = compiled(env)[2](key)
    assert np.array_equal(level.walls, state.grid != 0)
    assert jax.tree.structure(level.entities) == jax.tree.structure(state.entities)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), level.entities, state.entities))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(level))


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_the_goal_is_paid_and_ends():
    told, state = play(EMPTY, row(levels(EMPTY, 1), 0), [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD])
    assert [each[1:] for each in told[1:]] == [(0.0, False, False)] * 4 + [(1.0, True, False)]
    assert [int(each[0]["direction"]) for each in told] == [EAST, EAST, EAST, SOUTH, SOUTH, SOUTH]
    assert int(state.time) == 5
    assert EMPTY.is_solved(jnp.float32(1.0))
    assert not EMPTY.is_solved(jnp.float32(0.0))


def test_the_last_step_is_a_time_out_unless_it_is_an_end():
    way = [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]
    level = row(levels(EMPTY, 1), 0)
    short = Navix(id=EMPTY.id, max_steps=4)
    assert [each[2:] for each in play(short, level, way[:4])[0][-2:]] == [(False, False), (False, True)]
    exact = Navix(id=EMPTY.id, max_steps=5)
    assert play(exact, level, way)[0][-1][1:] == (1.0, True, False)


def test_the_view_is_what_is_in_front():
    """The agent stands below the middle of the last row; what is one cell before it is above it."""
    level = row(levels(EMPTY, 1), 0)
    view = symbols_of(np.asarray(play(EMPTY, level, [])[0][0][0]["view"]))[..., 0]
    assert view.shape == (7, 7)
    assert view[6, 3] == KINDS["floor"]  # itself
    assert view[5:, 3].tolist() == [KINDS["floor"]] * 2
    assert view[3, 3] == KINDS["wall"]  # three cells east of (1, 1)
    assert view[6, 2] == KINDS["wall"]  # to its left, the border in the north
    assert view[4, 5] == KINDS["goal"]  # two ahead, two to the right


def test_a_key_opens_the_door():
    env = Navix(id="Navix-DoorKey-5x5-v0")  # start (1, 1), key in column 1, door in column 2
    many = levels(env, 64)
    wanted = (many.entities["key"].position[:, 0] == jnp.asarray([2, 1])[None]).all(-1)
    level = row(many, int(jnp.argmax(wanted & (many.entities["door"].position[:, 0, 0] == 1))))
    told, state = play(env, level, [TOGGLE, RIGHT, PICK_UP, LEFT, TOGGLE, FORWARD])
    assert [int(each[0]["holding"]) for each in told][:4] == [0, 0, 0, 1]
    assert state.entities["door"].open.tolist() == [True]
    assert state.entities["player"].position.tolist() == [[1, 2]]


def test_a_mission_is_told_and_its_door_stays():
    env = Navix(id="Navix-GoToDoor-5x5-v0")
    level = row(levels(env, 3), 2)
    observation = play(env, level, [])[0][0][0]
    assert int(observation["mission"]) == int(level.mission.colour)
    assert env.observation_space.contains(jax.device_get(observation))
    assert env.level_space.title(level) == f"go to the {COLOURS[int(level.mission.colour)]} door"
    assert EMPTY.level_space.title(row(levels(EMPTY, 1), 0)) == ""
    edited = edits(env, level, 16)
    assert jnp.all(edited.mission.position == level.mission.position[None])
    assert jnp.all(edited.entities["door"].position == level.entities["door"].position[None])
    assert jnp.all(jax.jit(jax.vmap(env.level_space.is_valid))(edited))


def test_nothing_is_left_of_a_level_s_start_in_its_play():
    """Navix writes into its dicts, and gives out arrays that it needs again."""
    level = row(levels(EMPTY, 1), 0)
    _, state = EMPTY.reset(jax.random.key(0), level)
    whole = navix_state(state, level, None)
    whole.set_player(whole.get_player().replace(direction=jnp.int32(WEST)))
    assert state.entities["player"].direction.tolist() == level.entities["player"].direction.tolist() == [EAST]
    for leaf in jax.tree.leaves(state.events):
        leaf.delete()
    EMPTY.reset(jax.random.key(0), level)


# -- levels ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rooms():
    """A world with a goal to enter, and 32 of its levels."""
    env = Navix(id="Navix-Empty-Random-6x6-v0", num_edits=1)
    return env, levels(env, 32), jax.jit(jax.vmap(env.level_space.mutate))


def test_an_edit_changes_one_thing(rooms):
    env, before, mutate = rooms
    seen, is_valid = set(), jax.jit(jax.vmap(env.level_space.is_valid))
    for seed in range(3):
        after = mutate(jax.random.split(jax.random.key(seed), 32), before)
        assert jnp.all(is_valid(after))
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), before
        )
        walls = np.asarray((after.walls != before.walls).sum((1, 2)))
        moved = {
            name: np.asarray((after.entities[name].position != before.entities[name].position).any((1, 2)))
            for name in ("player", "goal")
        }
        turned = np.asarray(after.entities["player"].direction != before.entities["player"].direction)[:, 0]
        moved["player"] = moved["player"] | turned
        changes = walls + moved["player"] + moved["goal"]
        assert set(changes.tolist()) <= {0, 1}  # an agent may be turned to where it looks already
        assert changes.mean() > 0.8
        seen |= {name for name, kind in (("wall", walls), *moved.items()) if kind.any()}
        assert not np.any(after.walls[:, 0] != before.walls[:, 0])  # the border stays
        before = after
    assert seen == {"wall", "player", "goal"}


def test_the_agent_is_moved_to_where_it_can_walk(rooms):
    """A wall across the room: it stays on its side."""
    env, many, _ = rooms
    level = row(many, 0)
    level = level.replace(walls=level.walls.at[3].set(True))
    for name, cell in (("player", [1, 1]), ("goal", [4, 4])):
        entity = level.entities[name]
        level = level.replace(
            entities={**level.entities, name: entity.replace(position=jnp.asarray([cell], jnp.int32))}
        )
    edited = edits(env, level, 64)
    rows = set(np.asarray(edited.entities["player"].position[:, 0, 0]).tolist())
    assert rows == {1, 2}
    assert set(np.asarray(edited.entities["goal"].position[:, 0, 0]).tolist()) == {1, 2, 4}
    more = edits(dataclasses.replace(env, num_edits=8), level, 16)
    assert np.asarray((more.walls != level.walls[None]).sum((1, 2))).max() > 2


def test_features_of_a_level():
    """In a room of 3x3, from (1, 1) to (3, 3); then with a wall around the goal."""
    level = row(levels(EMPTY, 1), 0)
    describe = jax.jit(EMPTY.level_space.describe)
    assert describe(level) == {"walls": 0.0, "reachable": 1.0, "distance": 4.0}
    level = level.replace(walls=level.walls.at[2, 2:4].set(True))
    assert describe(level) == {"walls": 2.0, "reachable": 1.0, "distance": 4.0}
    level = level.replace(walls=level.walls.at[3, 2].set(True))
    told = describe(level)
    assert (told["walls"], told["reachable"]) == (3.0, 0.0)
    assert np.isnan(told["distance"])


def test_the_way_goes_around_lava():
    """Six cells to the east, with lava in columns 3 to 5 of rows 1 and 2: two rows down and up again."""
    env = Navix(id="Navix-DistShift1-v0")
    assert jax.jit(env.level_space.describe)(row(levels(env, 1), 0))["distance"] == 6 + 2 * 2


def test_nothing_is_reached_in_a_key_corridor():
    """Navix 0.7.4 puts its doors into walls, and a ball where the goal should be."""
    env = Navix(id="Navix-KeyCorridorS3R1-v0")
    assert env.level_space.describe(row(levels(env, 1), 0))["reachable"] == 0.0


def test_texts_are_read_back(rooms):
    env, many, _ = rooms
    space = env.level_space
    level = row(many, 5)
    text = space.to_text(level)
    again = space.from_text(text)
    assert np.array_equal(space.fingerprint(again), space.fingerprint(level))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), again) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), level
    )
    prints = np.asarray(jax.vmap(space.fingerprint)(many))
    assert len(np.unique(prints, axis=0)) > 24
    numbers = json.loads(text)
    for position in ([[0, 0]], [[9, 1]], [[-1, 2]]):
        with pytest.raises(UserError, match="outside, or the agent or the goal where"):
            space.from_text(json.dumps(numbers | {"entities.player.position": position}))
    with pytest.raises(UserError, match="outside, or the agent or the goal where"):
        space.from_text(json.dumps(numbers | {"entities.player.direction": [4]}))


def test_a_number_that_stands_for_nothing_is_told():
    for identifier, wrong in (
        ("Navix-DoorKey-5x5-v0", {"entities.door.colour": [77], "entities.goal.probability": [2.0]}),
        ("Navix-GoToDoor-5x5-v0", {"entities.door.open": [9, 0, 0, 0], "mission.colour": 6, "mission.position": [0, 5]}),
    ):  # fmt: skip
        space = Navix(id=identifier).level_space
        numbers = json.loads(space.to_text(row(levels(space.env, 1), 0)))
        space.from_text(json.dumps(numbers))
        for name, value in wrong.items():
            assert np.shape(value) == np.shape(numbers[name])
            with pytest.raises(UserError, match="a number stands for nothing; allowed: free cells, and colours 0 to 5"):
                space.from_text(json.dumps(numbers | {name: value}))


def test_pictures():
    env = Navix(id="Navix-KeyCorridorS3R1-v0")
    level = row(levels(env, 1), 0)
    start = env.level_space.draw(level)
    assert (start.shape, start.dtype) == ((3 * 16, 7 * 16, 3), np.uint8)
    player = level.entities["player"]
    turned = {**level.entities, "player": player.replace(direction=(player.direction + 1) % 4)}
    later = env.level_space.draw(level, compiled(env)[0](jax.random.key(0), level)[1].replace(entities=turned))
    changed = np.argwhere((later != start).any(-1)) // 16
    assert {tuple(cell) for cell in changed.tolist()} == {(1, 3)}


def test_what_is_offered():
    space = EMPTY.level_space
    assert Navix.offers == tuple(name for name in OPTIONAL_CAPABILITIES if space.has(name))
    (part,) = space.suite("sampled")
    assert len(part.names) == len(part.levels.walls) == 32
    with pytest.raises(UserError, match="unknown suite 'dcd'"):
        space.suite("dcd")


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"id": "Navix-FourRoom-v0"}, "unknown environment of navix 'Navix-FourRoom-v0' (did you mean"),
        ({"max_steps": 0}, "max_steps is 0; allowed: 1 to 16777215"),
        ({"observation": "rgb"}, "unknown observation 'rgb'"),
        ({"solved_return": float("nan")}, "solved_return is nan; allowed: a finite number"),
        ({"num_edits": 0}, "num_edits is 0; allowed: 1 to 1000"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(options, says):
    with pytest.raises(UserError) as error:
        Navix(**options)
    assert says in str(error.value)


def test_worlds_that_others_registered_are_worlds_too():
    with quiet():
        navix.register_env(
            "Mine-v0", lambda **options: navix.environments.empty.Room.create(height=4, width=6, **options)
        )
    try:
        env = Navix(id="Mine-v0", observation="full")
        assert env.observation_space.spaces["view"].shape == (4, 6)
        assert row(levels(env, 1), 0).walls.shape == (4, 6)
    finally:
        del navix.registry()["Mine-v0"]


def test_a_world_is_described_without_importing_navix():
    code = (
        "import sys\nfrom minied.adapters.navix import Navix\nassert Navix() == Navix() and hash(Navix()) == hash(Navix())\n"
        "Navix().level_space.offered\nassert 'navix' not in sys.modules"
    )
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "nonexistent"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
