"""What agents of hide and seek are told, number for number: counted once more from the states, in plain loops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hide_and_seek_matches import World, keys_for, random_actions, random_arena, to_levels
from hide_and_seek_oracle import FOOTPRINTS, Arena, Options

from minied.errors import UserError
from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.hide_and_seek.generators import HideAndSeekLevels

WORLD = World(7, 9, (2, 2, 2, 1), Options(30, preparation=0.3))
PREPARATION = 9  # of 30 steps
REACH = 5
EPISODES = 25
RAYS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))  # from east to south
VIEW = 5
UNSEEN, FLOOR, TALL, LOW, BOX, OWN_BOX, OTHER_BOX, HELD_BOX = range(8)


def env_of(observation: str) -> HideAndSeek:
    return dataclasses.replace(WORLD.env(), observation=observation, view_size=VIEW, lidar=8, lidar_reach=REACH)


@functools.cache
def played(observation: str):
    """Arenas, and observations and states after each step, leaves ``[E, T, ...]``."""
    env, rng = env_of(observation), np.random.default_rng(3)
    arenas = [random_arena(rng, WORLD) for _ in range(EPISODES)]
    actions = random_actions(rng, arenas, WORLD.options.max_steps)

    def episode(keys, level, actions):
        def step(state, inputs):
            observed, state, *_ = env.step(inputs[0], state, inputs[1], level)
            return state, (observed, state.replace(record=()))

        return jax.lax.scan(step, env.reset(keys[0], level)[1], (keys, actions))[1]

    keys = keys_for(EPISODES, WORLD.options.max_steps, seed=1)
    found = jax.jit(jax.vmap(episode))(keys, to_levels(arenas), jnp.asarray(actions, jnp.int32))
    return arenas, *jax.tree.map(np.asarray, found)


@dataclasses.dataclass(frozen=True)
class Moment:
    """A state of an episode."""

    arena: Arena
    state: object  # leaves of one state

    @property
    def present(self) -> list[bool]:
        return [placed is not None for placed in self.arena.hiders + self.arena.seekers]

    @property
    def objects(self):
        """Those present: number, what is said of it in the arena, centre, cells."""
        for number, placed in enumerate(self.arena.boxes + self.arena.ramps):
            if placed is not None:
                row, col = self.state.object_positions[number].tolist()
                shape = placed[2] if number < 2 else 0
                yield number, placed, (row, col), {(row + down, col + right) for down, right in FOOTPRINTS[shape]}


def moments(observation: str):
    arenas, observed, states = played(observation)
    for episode, arena in enumerate(arenas):
        for time in range(WORLD.options.max_steps):
            here = jax.tree.map(lambda leaf, at=(episode, time): leaf[at], (observed, states))
            yield here[0], Moment(arena, here[1])


def unit(number: int, size: int) -> list[int]:
    return [int(number == each) for each in range(size)]


def offset(one, other) -> list[float]:
    return [(other[0] - one[0]) / 9, (other[1] - one[1]) / 9]  # 9 is the larger side


def bonds(moment: Moment, agent: int, number: int) -> list[bool]:
    lock, holding = moment.state.locked_by[number], moment.state.holding.tolist()
    team = int(agent >= 2)
    return [lock == team, lock == 1 - team, holding[agent] == number, number in holding]


# -- lists ------------------------------------------------------------------------------------------------------------


def expected_lists(moment: Moment, agent: int) -> dict[str, np.ndarray]:
    state = moment.state
    position, time = state.positions[agent].tolist(), int(state.time)
    waits_for = PREPARATION if moment.arena.has_preparation else 0
    over = min(1.0, time / waits_for) if waits_for else 1.0
    place = [2 * position[0] / 6 - 1, 2 * position[1] / 8 - 1]  # from -1 to 1
    flags = [state.elevated[agent], state.holding[agent] != -1, 1 if agent >= 2 else -1, over, time / 30]
    can_move = agent < 2 or time >= waits_for
    agents, boxes, ramps = np.full((3, 9), np.nan), np.full((2, 9), np.nan), np.full((1, 10), np.nan)
    for k in range(3):
        other = (agent + 1 + k) % 4
        if moment.present[other]:
            told = [state.elevated[other], state.holding[other] != -1, (other < 2) == (agent < 2)]
            agents[k] = offset(position, state.positions[other]) + unit(state.directions[other], 4) + told
    for number, placed, centre, _ in moment.objects:
        told = bonds(moment, agent, number)
        if number < 2:
            boxes[number] = offset(position, centre) + unit(placed[2], 3) + told
        else:
            ramps[0] = offset(position, centre) + unit(placed[2], 4) + told
    return {
        "self": np.array(place + unit(state.directions[agent], 4) + flags, float),
        "allowed": np.array([True] + [can_move] * 19),
        "agents": agents,
        "boxes": boxes,
        "ramps": ramps,
        "lidar": np.array([free_cells(moment, agent, ray) / REACH for ray in RAYS]),
    }


def free_cells(moment: Moment, agent: int, ray: tuple[int, int]) -> int:
    """How many cells are free in a direction; who stands on something looks over what is as low."""
    low = set(moment.arena.low).union(*(cells for *_, cells in moment.objects))
    row, col = moment.state.positions[agent].tolist()
    for distance in range(1, REACH + 1):
        cell = (row + ray[0] * distance, col + ray[1] * distance)
        inside = 0 <= cell[0] < 7 and 0 <= cell[1] < 9
        if not inside or cell in moment.arena.tall or (cell in low and not moment.state.elevated[agent]):
            return distance - 1
    return REACH


def test_every_number_of_the_lists():
    checked = 0
    for observed, moment in moments("entities"):
        for agent in np.flatnonzero(moment.present):
            for name, expected in expected_lists(moment, agent).items():
                found = observed[name]
                if name in ("agents", "boxes", "ramps"):
                    is_there = ~np.isnan(expected[:, 0])
                    np.testing.assert_array_equal(found["present"][agent], is_there, err_msg=name)
                    found, expected = found["features"][agent][is_there], expected[is_there]
                else:
                    found = found[agent].reshape(expected.shape)
                np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=f"{name} of agent {agent}")
                checked += 1
    assert checked > 6 * 2 * EPISODES * 30  # half of the agents at least


def test_of_what_the_numbers_tell_everything_happens():
    flags = np.zeros(5, int)
    for _, moment in moments("entities"):
        state = moment.state
        flags += [
            (state.holding >= 0).sum(), state.elevated.sum(), (state.locked_by[:2] == 0).sum(),
            (state.locked_by[:2] == 1).sum(), (state.locked_by[2] >= 0).sum(),
        ]  # fmt: skip
    assert (flags > 30).all(), flags


# -- pictures ---------------------------------------------------------------------------------------------------------


def expected_picture(moment: Moment, agent: int) -> np.ndarray:
    """The codes around an agent, whether it sees them or not."""
    state, codes = moment.state, {}
    for row in range(-VIEW, 7 + VIEW):
        for col in range(-VIEW, 9 + VIEW):
            is_inside = 0 <= row < 7 and 0 <= col < 9
            is_tall, is_low = not is_inside or (row, col) in moment.arena.tall, (row, col) in moment.arena.low
            codes[row, col] = TALL if is_tall else LOW if is_low else FLOOR
    for number, placed, _, cells in moment.objects:
        own, other, mine, _ = bonds(moment, agent, number)
        box = HELD_BOX if mine else OWN_BOX if own else OTHER_BOX if other else BOX
        ramp = 8 + placed[2] + (4 if own else 8 if other else 0)
        codes |= dict.fromkeys(cells, box if number < 2 else ramp)
    for other in np.flatnonzero(moment.present):
        if other != agent:
            is_opponent = (other < 2) != (agent < 2)
            codes[tuple(state.positions[other].tolist())] = 20 + 2 * is_opponent + int(state.elevated[other])
    row, col = state.positions[agent].tolist()
    around = range(-(VIEW // 2), VIEW // 2 + 1)
    return np.array([[codes[row + down, col + right] for right in around] for down in around])


def test_every_code_of_the_pictures():
    seen = set()
    for observed, moment in moments("egocentric"):
        for agent in np.flatnonzero(moment.present):
            expected = expected_picture(moment, agent)
            np.testing.assert_array_equal(observed["whole_view"][agent], expected)
            view = observed["view"][agent]
            # What is seen is what is there; above ground that is hidden only agents are.
            np.testing.assert_array_equal(view[view != UNSEEN], expected[view != UNSEEN])
            seen |= set(view.reshape(-1).tolist())
    assert seen >= {*range(8), 20, 21, 22, 23}
    assert len(seen & set(range(8, 20))) >= 6  # ramps of several directions and locks


def test_what_the_codes_mean():
    # Channels: height, wall, box, rises east, south, west, north, own lock, other lock, held, team-mate, opponent,
    # elevated, floor, unseen
    table = dict(env_of("egocentric").observation_space.parts)["view"].features
    expected = {
        UNSEEN: {14: 1}, FLOOR: {13: 1}, TALL: {0: 1, 1: 1}, LOW: {0: 0.5, 1: 1}, BOX: {0: 0.5, 2: 1},
        OWN_BOX: {0: 0.5, 2: 1, 7: 1}, OTHER_BOX: {0: 0.5, 2: 1, 8: 1}, HELD_BOX: {0: 0.5, 2: 1, 9: 1},
        8: {0: 0.5, 3: 1}, 13: {0: 0.5, 4: 1, 7: 1}, 19: {0: 0.5, 6: 1, 8: 1},
        20: {10: 1}, 21: {10: 1, 12: 1}, 22: {11: 1}, 23: {11: 1, 12: 1},
    }  # fmt: skip
    assert len(table) == 24
    for code, channels in expected.items():
        assert list(table[code]) == [channels.get(channel, 0) for channel in range(15)], code


# -- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("observation", ["entities", "egocentric"])
def test_observations_lie_in_their_space(observation):
    space = env_of(observation).observation_space
    for number, (observed, moment) in enumerate(moments(observation)):
        if number % 10 == 0:
            for agent in np.flatnonzero(moment.present):
                assert space.contains(jax.tree.map(lambda leaf, at=agent: leaf[at], observed))


def test_team_mates_that_change_places_see_what_the_other_saw():
    """At the start of an episode; of others, team-mates come first and opponents in turn."""
    env, rng = env_of("entities"), np.random.default_rng(5)
    arenas = [arena for _ in range(40) if None not in (arena := random_arena(rng, WORLD)).hiders + arena.seekers]
    swapped = [dataclasses.replace(arena, hiders=arena.hiders[::-1], seekers=arena.seekers[::-1]) for arena in arenas]
    reset = jax.jit(jax.vmap(lambda level: env.reset(jax.random.key(0), level)[0]))
    one, other = (jax.tree.map(np.asarray, reset(to_levels(each))) for each in (arenas, swapped))
    assert len(arenas) > 10
    mates = [1, 0, 3, 2]
    for name in ("self", "allowed", "lidar", "boxes", "ramps"):
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:, mates]), one[name], other[name])
    # Agent i lists i + 1, i + 2, i + 3 (mod 4): the same agents in another order, as places changed.
    for agent in range(4):
        listed = [(agent + 1 + k) % 4 for k in range(3)]
        listed_there = [mates[(mates[agent] + 1 + k) % 4] for k in range(3)]
        order = [listed_there.index(each) for each in listed]
        for part in ("features", "visible", "present"):
            here, there = one["agents"][part][:, agent], other["agents"][part][:, mates[agent]]
            np.testing.assert_array_equal(here, there[:, order])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 3}, "height is 3; allowed: 4 to 20"),
        ({"max_steps": 1}, "max_steps is 1; allowed: 2 to 65536"),
        ({"max_hiders": 0}, "max_hiders is 0; allowed: 1 to 3"),
        ({"max_seekers": 4}, "max_seekers is 4; allowed: 1 to 3"),
        ({"max_boxes": 10}, "max_boxes is 10; allowed: 0 to 9"),
        ({"preparation": 1.0}, "preparation is 1.0; allowed: 0.0 to 0.9"),
        ({"margin": 5, "height": 12, "width": 12}, "margin is 5; allowed: 0 to 4"),
        ({"lidar": 3}, "lidar is 3; allowed: 0, or 4 to 64"),
        ({"field_of_view": 200.0}, "field_of_view is 200.0; allowed: more than 0 to 180, or 360"),
        ({"view_size": 4}, "view_size is 4; allowed: odd numbers from 3"),
        ({"reward": "zero"}, "reward is 'zero'; allowed: joint_zero_sum, selfish, joint_mean"),
        ({"observation": "map"}, "observation is 'map'; allowed: entities, egocentric"),
        ({"penalize_objects": True}, "penalize_objects is True with margin 0; allowed: with a margin"),
        ({"levels": HideAndSeekLevels(min_boxes=3), "max_boxes": 2}, "levels.min_boxes is 3; allowed: 0 to 2"),
    ],
    ids=str,
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UserError) as error:
        HideAndSeek(**options)
    assert str(error.value).startswith(message)
