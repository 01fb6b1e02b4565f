"""Each phase of hide and seek is possible: scripted strategies on one small map, each of which beats the one before.

Row 4 is the only way into the room on the left, whose walls are tall. The hider (h) starts inside, with a box (A).
Outside are a ramp (R, which rises to the west), a box on its high side (B), and the seeker (s):

     0123456789012
    0....#........
    1....#........
    2....#........
    3...A#........
    4.h...........
    5....#........
    6....#.BR..s..
    7....#........
    8....#........
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.hide_and_seek import HideAndSeek
from minied_envs.hide_and_seek.checks import check
from minied_envs.hide_and_seek.level import HideAndSeekLevel, make_level
from minied_envs.hide_and_seek.maps import drawing

EAST, WEST = 0, 2
WORLD = HideAndSeek(height=9, width=13, max_steps=60, max_hiders=1, max_seekers=1, max_boxes=2, max_ramps=1)
PREPARATION = 24  # int(0.4 * 60), so that 36 steps count
COUNTED = 36

# A token is a step: `g` grabs, or goes on holding, and `l` turns a lock, both before the move that is named last.
CLOSE = "N E gS gE"  # to (3, 2); A from (3, 3) into the door (4, 4), the hider behind it at (4, 3)
FORT = f"{CLOSE} l."
LOCK_RAMP = "E E E E E E S l. N W W W W W W"  # to (5, 7), before the ramp at (6, 7), and back to (4, 1)
LOCK_BOTH = "E E E E E S l. E S l. N W W W W W W"  # likewise B from (5, 6)
# From (5, 7) the ramp is drawn to (4, 7), and from its other side through the door to (4, 2) and (5, 2).
TAKE_RAMP = "E E E E E E S gN gN W S E gW gW gW gW gW gS N"

HIDERS = {
    "runs": "",
    "fort": CLOSE,
    "held fort": CLOSE + 56 * " g.",  # to hold the box is not to lock it
    "locked fort": FORT,
    "ramp locked": f"{LOCK_RAMP} {FORT}",
    "ramp taken": f"{TAKE_RAMP} {FORT}",
    "all locked": f"{LOCK_BOTH} {FORT}",
}
SEEKERS = {
    "chases": "N N W W W W W",  # to (4, 5), before the door
    "drags": "N N W W W W W gE gS N W",  # draws what is in the door out to (5, 5) and looks in
    "climbs": "W W gN gN gW gW W",  # takes the ramp to (4, 5) and climbs: over the box in the door
    "surfs": "W W W W gN gN gW",  # over the ramp where it is onto B, and with B below to (4, 5)
}

# How many of the 36 counted steps the hider is hidden. 36: never seen. Otherwise it is seen from the last step of the
# seeker's script on, the 7th or 11th (6 or 10 steps hidden); if the hider runs, sooner by those that come along row 4:
# from their third step on, at (4, 9), and who then turns away for 3 steps (8 to 10) to drag what is not there hides it
# for 3 steps more.
HIDDEN = {
    "runs": {"chases": 2, "drags": 5, "climbs": 6, "surfs": 6},
    "fort": {"chases": 36, "drags": 10, "climbs": 6, "surfs": 6},
    "held fort": {"chases": 36, "drags": 10, "climbs": 6, "surfs": 6},
    "locked fort": {"chases": 36, "drags": 36, "climbs": 6, "surfs": 6},
    "ramp locked": {"chases": 36, "drags": 36, "climbs": 36, "surfs": 6},
    "ramp taken": {"chases": 36, "drags": 36, "climbs": 36, "surfs": 36},
    "all locked": {"chases": 36, "drags": 36, "climbs": 36, "surfs": 36},
}
MATRIX = [(hider, seeker) for hider in HIDERS for seeker in SEEKERS]


def the_level(**changes: bool) -> HideAndSeekLevel:
    tall = np.zeros((9, 13), bool)
    tall[:, 4] = True
    tall[4, 4] = False
    boxes, ramps = [(3, 3, 0), (6, 6, 0)], [(6, 7, WEST)]
    level = make_level(
        [(4, 1, EAST)], [(6, 10, WEST)], boxes, ramps, tall, np.zeros_like(tall), (1, 1, 2, 1), **changes
    )
    check(level, 9, 13, (1, 1, 2, 1))
    return jax.tree.map(jnp.asarray, level)


def script(text: str, start: int, num_steps: int) -> np.ndarray:
    """Return the actions of one agent, ``i32[T]``: its tokens from step ``start`` on, and nothing before and after."""
    tokens = text.split()
    assert start + len(tokens) <= num_steps
    actions = np.zeros(num_steps, np.int32)
    for step, token in enumerate(tokens, start):
        actions[step] = (".ESWN".index(token[-1]) * 2 + ("g" in token)) * 2 + ("l" in token)
    return actions


@functools.partial(jax.jit, static_argnums=0)
def _play(world: HideAndSeek, level: HideAndSeekLevel, actions: jax.Array):
    def step(state, action_and_key):
        action, key = action_and_key
        _, state, reward, _, truncated, info = world.step(key, state, action, level)
        return state, (reward, truncated, info["statistics"])

    keys = jax.random.split(jax.random.key(0), world.max_steps)
    return jax.lax.scan(step, world.reset(keys[0], level)[1], (actions, keys))[1]


def play(hider: str, seeker: str, world: HideAndSeek = WORLD, level: HideAndSeekLevel | None = None, start=PREPARATION):
    """Return rewards ``f32[T, 2]`` and the statistics of the episode."""
    level = the_level() if level is None else level
    scripts = [script(HIDERS[hider], 0, world.max_steps), script(SEEKERS[seeker], start, world.max_steps)]
    rewards, truncated, statistics = _play(world, level, jnp.asarray(np.stack(scripts, axis=1)))
    assert truncated.tolist() == [False] * (world.max_steps - 1) + [True]
    return np.asarray(rewards), {name: float(value[-1]) for name, value in statistics.items()}


@pytest.mark.parametrize(("hider", "seeker"), MATRIX)
def test_payoff(hider: str, seeker: str) -> None:
    rewards, statistics = play(hider, seeker)
    assert np.all(rewards[:PREPARATION] == 0)
    assert np.all(rewards[:, 0] + rewards[:, 1] == 0)
    hidden = HIDDEN[hider][seeker]
    assert rewards[:, 0].sum() == hidden - (COUNTED - hidden)  # +1 hidden, -1 seen
    assert statistics["hidden"] == pytest.approx(hidden / COUNTED)
    assert np.all(rewards[-20:, 0] == (1 if hidden == COUNTED else -1))  # how it ends, it stays


def test_each_counter_sees_its_phase_and_no_other() -> None:
    # Distances: A goes from (3, 3) to (4, 4): sqrt(2). The ramp from (6, 7) to (5, 2): sqrt(1 + 25), or (4, 5): sqrt(8).
    for hider, seeker in MATRIX:
        _, seen = play(hider, seeker)
        has_fort = hider != "runs"
        broken = has_fort and HIDDEN[hider][seeker] < COUNTED
        from_above = broken and seeker in ("climbs", "surfs")
        assert seen["enclosed"] == has_fort, (hider, seeker)
        assert seen["breach"] == broken, (hider, seeker)
        assert seen["via_ramp"] == from_above, (hider, seeker)
        assert seen["boxes_locked_preparation"] == {"all locked": 2}.get(
            hider, 0 if hider in ("runs", "fort", "held fort") else 1
        )
        assert seen["boxes_free_preparation"] == 2 - seen["boxes_locked_preparation"]
        assert seen["box_move_preparation"] == pytest.approx(2**0.5 if has_fort else 0)
        assert seen["ramp_move_preparation"] == pytest.approx(26**0.5 if hider == "ramp taken" else 0)
        assert seen["ramps_locked_preparation"] == (hider in ("ramp locked", "all locked"))
        assert seen["ramp_denied"] == (hider in ("ramp locked", "ramp taken", "all locked"))
        assert seen["surf_steps"] == (3 if seeker == "surfs" and hider not in ("ramp taken", "all locked") else 0)
        if seeker == "climbs" and hider in ("runs", "fort", "held fort", "locked fort"):
            assert seen["ramp_move"] == pytest.approx(8**0.5)


def test_without_surfing_the_game_ends_at_ramp_defence() -> None:
    world = dataclasses.replace(WORLD, surf=False)
    for hider in ("locked fort", "ramp locked"):
        rewards, statistics = play(hider, "surfs", world)
        assert rewards[:, 0].sum() == COUNTED
        assert statistics["surf_steps"] == 0
        assert statistics["elevated_steps"] > 0
    assert play("locked fort", "climbs", world)[0][:, 0].sum() == 6 - 30


def test_without_locks_no_fort_holds() -> None:
    level = the_level(has_locks=False)
    for hider in ("locked fort", "ramp locked", "all locked"):
        rewards, statistics = play(hider, "drags", level=level)
        assert rewards[-1, 0] == -1, hider
        assert statistics["enclosed"] == 1
        assert statistics["boxes_locked"] == 0


def test_without_ramps_a_locked_fort_holds() -> None:
    level = the_level()
    level = level.replace(
        ramp_present=level.ramp_present & False,
        ramp_positions=level.ramp_positions * 0,
        ramp_directions=level.ramp_directions * 0,
    )
    for seeker in SEEKERS:
        rewards, statistics = play("locked fort", seeker, level=level)
        assert rewards[:, 0].sum() == COUNTED, seeker
        assert np.isnan(statistics["ramp_denied"])
        assert np.isnan(statistics["ramp_move"])


def test_without_preparation_the_ramp_is_not_locked_in_time() -> None:
    rewards, statistics = play("ramp locked", "climbs", level=the_level(has_preparation=False), start=0)
    assert rewards[0, 0] == 1  # every step counts
    assert rewards[-1, 0] == -1
    # When preparation would have ended there is a fort, and the seeker on the ramp looks into it.
    assert (statistics["enclosed"], statistics["breach"]) == (1, 1)
    rewards, _ = play("ramp locked", "climbs")
    assert rewards[-1, 0] == 1


@pytest.mark.parametrize("surf", [True, False])
def test_the_arena_of_the_ladder_that_is_called_box_to_ride(surf: bool) -> None:
    """The ramp leads onto the free box: to be ridden to the fort, and without surfing the ramp is carried round it.

    The map fills rows 0 to 6 and columns 0 to 8. Hider (3, 2), the box in its door (3, 3), the free box (4, 6) on the
    high side of the ramp (4, 7), seeker (6, 8).
    """
    world = dataclasses.replace(WORLD, height=7, width=9, surf=surf)
    level = world.level_space.from_text(drawing("box_to_ride", world.level_space.dimensions))
    hides = "l. N"  # to (2, 2), where nobody on the free box looks in
    # Onto the box at (4, 6), and with it over (3, 6) to (3, 4); over the door, down into the room, and a look north.
    ride = "N N W W gN gW gW W W N"
    # From (5, 7) the ramp is pushed to (2, 7), drawn to (2, 4) and (3, 4), and climbed from its low side, (3, 5).
    carry = "N W N gN gN gW gW gW gS E N W W W N"
    for seeks, comes_in, surf_steps in ((ride, surf, 3 if surf else 0), (carry, True, 0)):
        scripts = [script(hides, 0, world.max_steps), script(seeks, PREPARATION, world.max_steps)]
        rewards, _, statistics = _play(world, level, jnp.asarray(np.stack(scripts, axis=1)))
        last = {name: float(value[-1]) for name, value in statistics.items()}
        hidden = len(seeks.split()) - 1 if comes_in else COUNTED  # seen from the script's last step on
        assert float(rewards[:, 0].sum()) == hidden - (COUNTED - hidden), seeks
        assert (last["enclosed"], last["breach"], last["via_ramp"]) == (1, comes_in, comes_in), seeks
        assert last["surf_steps"] == surf_steps, seeks
