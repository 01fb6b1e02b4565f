"""The gridworld's rules by hand, its spaces, options and compilation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied_envs.gridworld import GridLevels, GridWorld, codes, missions
from minied_envs.gridworld.text import cell_words

LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE, DONE = range(7)
KEY = jax.random.key(0)


def small(height, width, **options):
    return GridWorld(height, width, levels=GridLevels("empty"), **options)


def play(text, actions, **options):
    """(position, map in words, carried word, reward, terminated, truncated) after each action."""
    lines = [line for line in text.strip().splitlines() if ":" not in line]
    env = small(len(lines), len(lines[0].split()), **options)
    level = jax.tree.map(jnp.asarray, env.level_space.from_text(text))
    _, state = env.reset(KEY, level)
    step = jax.jit(env.step)
    told = []
    for action in actions:
        _, state, reward, terminated, truncated, _ = step(KEY, state, jnp.int32(action), level)
        drawn = " ".join(cell_words()[code] for code in np.asarray(state.cells).ravel().tolist())
        carried = cell_words()[int(state.carrying)]
        told.append((tuple(state.position.tolist()), drawn, carried, float(reward), bool(terminated), bool(truncated)))
    return told


def test_an_object_is_carried_and_put_down():
    steps = play("> Kr . G", [PICK_UP, FORWARD, DROP, PICK_UP, PICK_UP])
    assert [step[2] for step in steps] == ["Kr", "Kr", ".", "Kr", "Kr"]
    assert steps[0][1] == ". . . G"
    assert steps[2][:2] == ((0, 1), ". . Kr G")


def test_only_one_object_is_carried_and_nothing_is_put_onto_another():
    steps = play("> Kr Ab G", [PICK_UP, FORWARD, PICK_UP, DROP])
    assert [step[1:3] for step in steps] == [(". . Ab G", "Kr")] * 4


def test_doors_open_and_close_and_walls_do_not():
    steps = play("> Dg . G\n# . . .", [FORWARD, TOGGLE, FORWARD, LEFT, LEFT, FORWARD, RIGHT, RIGHT, TOGGLE])
    assert steps[0][0] == (0, 0)
    assert steps[1][1].split()[1] == "Og"
    assert steps[2][0] == (0, 1)
    assert steps[8][1].split()[1] == "Dg"
    assert play("> # . G", [TOGGLE])[0][1] == ". # . G"


@pytest.mark.parametrize(("key", "opens"), [("Ky", True), ("Kr", False), ("Ay", False)])
def test_a_locked_door_takes_the_key_of_its_colour_which_is_kept(key, opens):
    # The agent looks east at the key, picks it up, turns around to the door and toggles.
    steps = play(f"Ly > {key} G", [PICK_UP, LEFT, LEFT, TOGGLE, FORWARD])
    assert steps[3][1].split()[0] == ("Oy" if opens else "Ly")
    assert steps[4][0] == ((0, 0) if opens else (0, 1))
    assert steps[4][2] == key


def test_an_open_door_that_was_locked_closes_without_locking():
    steps = play("Ly > Ky G", [PICK_UP, LEFT, LEFT, TOGGLE, TOGGLE, TOGGLE])
    assert [step[1].split()[0] for step in steps[3:]] == ["Oy", "Dy", "Oy"]


def test_a_box_gives_way_to_what_is_in_it_and_keeps_it_when_carried():
    assert play("> Br(Kb) . G", [TOGGLE])[0][1] == ". Kb . G"
    assert play("> Br . G", [TOGGLE])[0][1] == ". . . G"
    steps = play("> Br(Kb) . G", [PICK_UP, FORWARD, DROP, TOGGLE])
    assert [step[2] for step in steps] == ["Br(Kb)", "Br(Kb)", ".", "."]
    assert steps[2][1] == ". . Br(Kb) G"
    assert steps[3][1] == ". . Kb G"


def test_goal_and_lava_are_entered_and_end_the_episode():
    # The second of T = 10 actions: 1 - 0.9 * 2 / 10 = 0.82
    steps = play("max_steps: 10\n> . G", [FORWARD, FORWARD])
    np.testing.assert_allclose(steps[1][3], 0.82, rtol=1e-6)
    assert steps[1][0] == (0, 2)
    assert steps[1][4:] == (True, False)
    lava = play("> ~ G", [FORWARD])[0]
    assert lava[0] == (0, 1)
    assert lava[3:] == (0.0, True, False)


@pytest.mark.parametrize(
    ("mission", "text", "actions", "won"),
    [
        ("pick up the red ball", "> Ar . G", [PICK_UP], True),
        ("pick up the blue ball", "> Ar Ab G", [PICK_UP], False),
        ("pick up the red box", "> Br(Kb) . G", [PICK_UP], True),
        ("pick up the blue key", "> Br(Kb) . G", [PICK_UP], False),
        ("pick up the blue key", "> Br(Kb) . G", [TOGGLE, PICK_UP], True),
        ("pick up the red ball", "Ar > . G", [FORWARD, FORWARD], True),  # a goal always counts
        ("open the green door", "> Dg . G", [TOGGLE], True),
        ("open the green door", "Dg > Dr G", [TOGGLE], False),
        ("open the green door", "> Og Dg G", [DONE], False),  # to look at an open one is not to open it
        ("open the green door", "> Og Dg G", [TOGGLE, TOGGLE], True),
        ("open the yellow door", "Ly > Ky G", [PICK_UP, LEFT, LEFT, TOGGLE], True),
        ("get to the goal", "> Ar . G", [PICK_UP], False),
        ("go to the matching object", "> + . .", [FORWARD], True),
    ],
)
def test_missions(mission, text, actions, won):
    steps = play(f"mission: {mission}\n{text}", actions)
    assert [step[3] > 0 for step in steps] == [False] * (len(actions) - 1) + [won]
    assert steps[-1][4] == won


def test_wrong_answers_end_without_a_reward_and_in_a_memory_task_nothing_is_picked_up():
    steps = play("mission: go to the matching object\nKg > - +", [PICK_UP, LEFT, LEFT, PICK_UP, RIGHT, RIGHT, FORWARD])
    assert steps[3][2] == "."
    assert steps[6][0] == (0, 2)
    assert steps[6][3:] == (0.0, True, False)


def test_in_a_memory_task_picking_up_does_what_toggling_does():
    steps = play("mission: go to the matching object\n> Dg + .", [PICK_UP])
    assert steps[0][1].split()[1] == "Og"
    assert play("> Dg . G", [PICK_UP])[0][1].split()[1] == "Dg"


def test_time_runs_out_at_the_level_s_limit_or_the_world_s():
    assert [step[5] for step in play("max_steps: 2\n> . G", [DONE, DONE])] == [False, True]
    assert [step[5] for step in play("max_steps: 9\n> . G", [DONE, DONE], max_steps=2)] == [False, True]
    # Of T = 2: 1 - 0.9 = 0.1, an end and not a time-out.
    last = play("max_steps: 9\n> . G", [FORWARD, FORWARD], max_steps=2)[1]
    np.testing.assert_allclose(last[3], 0.1, rtol=1e-6)
    assert last[4:] == (True, False)


def seen(text, **options):
    lines = [line for line in text.strip().splitlines() if ":" not in line]
    env = small(len(lines), len(lines[0].split()), view_size=3, **options)
    observation, _ = env.reset(KEY, jax.tree.map(jnp.asarray, env.level_space.from_text(text)))
    assert env.observation_space.contains(observation)
    return np.asarray(observation["view"]).tolist()


def test_the_view_hides_what_is_behind_walls_and_shows_what_is_carried():
    empty, wall, unseen = codes.EMPTY, codes.WALL, codes.UNSEEN
    #  . G .     the agent looks north; the closed door hides the row behind it
    #  # Dg #
    #  . ^ .
    drawn = ". G .\n# Dg #\n. ^ ."
    door = codes.CLOSED_DOOR + 1
    assert seen(drawn) == [[unseen] * 3, [wall, door, wall], [empty] * 3]
    assert seen(drawn, see_through_walls=True) == [[empty, codes.GOAL, empty], [wall, door, wall], [empty] * 3]
    env = small(1, 3, view_size=3)
    level = jax.tree.map(jnp.asarray, env.level_space.from_text("> Kr G"))
    _, state = env.reset(KEY, level)
    observation, *_ = env.step(KEY, state, jnp.int32(PICK_UP), level)
    assert int(observation["view"][2, 1]) == codes.KEY


def test_an_agent_cannot_see_into_boxes_nor_the_answers():
    assert seen("> Br(Kb) G") == seen("> Br(Ag) G") == seen("> Br G")
    memory = "mission: go to the matching object\n"
    assert seen(memory + "> + -") == seen(memory + "> - +")


def test_every_code_has_its_word_and_minigrids_numbers():
    everything = jnp.arange(codes.NUM_CODES, dtype=jnp.int32)
    looks = np.asarray(codes.appearance(everything))
    assert looks.max() < codes.APPEARANCES == len(codes.TRIPLES) == len(codes.FEATURES)
    for code, word in cell_words().items():
        if code >= codes.NUM_CODES:
            continue
        triple = codes.TRIPLES[looks[code]]
        kind = {"#": 2, ".": 1, "+": 1, "-": 1, "G": 8, "~": 9, "O": 4, "D": 4, "L": 4, "K": 5, "A": 6, "B": 7}[word[0]]
        state = {"D": 1, "L": 2}.get(word[0], 0)
        colour = "rgbpye".index(word[1]) if len(word) > 1 else {"#": 5, "G": 1}.get(word[0], 0)
        assert triple == (kind, colour, state)
        assert bool(codes.is_walkable(code)) == (word[0] in ".+-G~O")
        assert bool(codes.is_opaque(code)) == (word[0] in "#DL")
        assert bool(codes.is_object(code)) == (word[0] in "KAB")
        assert bool(codes.is_door(code)) == (word[0] in "ODL")


def test_images_are_minigrids_numbers():
    view = jnp.arange(codes.APPEARANCES, dtype=jnp.uint8)[None, :]
    image = GridWorld().image(view)
    assert image.dtype == jnp.uint8
    np.testing.assert_array_equal(image, np.asarray(codes.TRIPLES)[None])


def test_missions_in_words_and_numbers():
    assert len(missions.words()) == len(set(missions.words())) == missions.NUM_MISSIONS == len(missions.FEATURES)
    assert len(set(missions.FEATURES)) == missions.NUM_MISSIONS
    assert missions.words()[missions.pick_up(codes.BALL + 2)] == "pick up the blue ball"
    with pytest.raises(UserError, match="did you mean 'open the red door'"):
        missions.from_words("open the rod door")


def test_novelty_is_equal_where_all_that_can_change_is():
    env = small(1, 4)
    level = jax.tree.map(jnp.asarray, env.level_space.from_text("> Kr . G"))
    _, state = env.reset(KEY, level)
    told = []
    for action in (DONE, LEFT, RIGHT, PICK_UP, DROP):
        _, state, *_, info = env.step(KEY, state, jnp.int32(action), level)
        told.append(tuple(np.asarray(info["novelty"]).tolist()))
    assert told[0] == told[2] == told[4]
    assert len(set(told)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "height is 0; allowed: 1 to 255"),
        ({"max_steps": 16777216}, "max_steps is 16777216; allowed: 0 to 16777215"),
        ({"view_size": 4}, "view_size is 4; allowed: odd numbers from 3 to 31"),
        ({"height": 2}, "height x width is 2x6; allowed with levels.family 'door_key': at least 3x3"),
        ({"levels": GridLevels("unlock")}, "height x width is 6x6; allowed with levels.family 'unlock': at least 4x9"),
        (
            {"levels": GridLevels("crossing")},
            "height x width is 6x6; allowed with levels.family 'crossing': at least 3x3 and odd",
        ),
        (
            {"height": 5, "width": 5, "levels": GridLevels("crossing", num_crossings=5)},
            "levels.num_crossings is 5; allowed in 5x5: 1 to 4",
        ),
        (
            {"height": 5, "width": 7, "levels": GridLevels("memory")},
            "height x width is 5x7; allowed with levels.family 'memory': a square",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError) as error:
        GridWorld(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "door_kee"}, "unknown levels.family 'door_kee' (did you mean 'door_key'?)"),
        ({"min_rooms": 3}, "levels.min_rooms is 3, max_rooms 2; allowed: 1 to 32"),
        ({"room_size": 2}, "levels.room_size is 2; allowed: at least 3"),
        ({"num_rows": 11}, "levels.num_rows is 11; allowed: 1 to 10"),
        ({"num_edits": -1}, "levels.num_edits is -1; allowed: at least 0"),
        ({"num_crossings": 0}, "levels.num_crossings is 0; allowed: at least 1"),
    ],
)
def test_options_of_levels_are_checked(options, message):
    with pytest.raises(UserError) as error:
        GridLevels(**options)
    assert str(error.value).startswith(message)


def test_without_a_limit_of_its_own_a_world_has_that_of_its_levels():
    assert GridWorld().max_steps == 10 * 8 * 8
    assert GridWorld(max_steps=50).max_steps == 50
    assert hash(GridWorld()) == hash(GridWorld(max_steps=640))


def test_reset_step_and_sample_trace_once():
    env = GridWorld(4, 4)
    space = env.level_space
    sample, reset, step = (jax.jit(chex.assert_max_traces(f, n=1)) for f in (space.sample, env.reset, env.step))
    state = None
    for i in range(3):
        level = sample(jax.random.key(i))
        _, state = reset(KEY, level)
        for action in range(7):
            _, state, *_ = step(KEY, state, jnp.int32(action), level)
    chex.clear_trace_counter()


def test_vmap_equals_loop_and_jit_equals_eager():
    env = GridWorld(4, 4)
    space = env.level_space
    keys = jax.random.split(jax.random.key(1), 3)
    levels = jax.jit(jax.vmap(space.sample))(keys)
    actions = jax.random.randint(jax.random.key(2), (3, 4), 0, 7)

    def episode(level, actions):
        observation, state = env.reset(KEY, level)
        outputs = [observation]
        for i in range(4):
            observation, state, *rest = env.step(KEY, state, actions[i], level)
            outputs.append((observation, state, rest))
        return outputs

    batched, compiled = jax.jit(jax.vmap(episode))(levels, actions), jax.jit(episode)
    for i in range(3):
        level = jax.tree.map(lambda leaf, i=i: leaf[i], levels)
        chex.assert_trees_all_equal(level, jax.jit(space.sample)(keys[i]))
        alone = compiled(level, actions[i])
        chex.assert_trees_all_equal(alone, jax.tree.map(lambda leaf, i=i: leaf[i], batched))
        if i == 0:
            chex.assert_trees_all_close(alone, episode(level, actions[i]), rtol=1e-6, atol=2**-23)
