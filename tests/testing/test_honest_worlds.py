"""Worlds that are right in an unusual way are not accused, and what cannot be told is not claimed."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from planted import load

from minied.spaces import Dict, Discrete, Mask
from minied.testing import check_env, check_level_space
from minied.testing.lake import Lake
from minied.testing.permitted import permitted

GOAL = "    goal: jax.Array  # i32[2]\n"
SAMPLED = "        return LakeLevel(holes.reshape(self.world.height, self.world.width), start, goal)"
READ = '        return LakeLevel(jnp.asarray(cells == "O"), jnp.asarray(start), jnp.asarray(goal))'
PAYS = "at_goal.astype(jnp.float32), terminated"
ENDS = "        terminated = at_goal | level.holes[position[0], position[1]]\n"
MOVES_ON = "        state = LakeState(position=position, time=state.time + 1)\n"
THAWING = (
    (GOAL, f"{GOAL}    thaw: jax.Array  # i32[], the step from which holes are open\n"),
    (SAMPLED, SAMPLED.replace(", goal)", ", goal, jax.random.randint(jax.random.fold_in(key, 7), (), 26, 36))")),
    (READ, READ.replace("goal))", "goal), jnp.int32(30))")),
    (ENDS, ENDS.replace("level.holes[position[0], position[1]]",
                        "(level.holes[position[0], position[1]] & (state.time >= level.thaw))")),
)  # fmt: skip
NUMBERED = (
    (GOAL, f"{GOAL}    number: jax.Array  # i32[]\n"),
    (SAMPLED, SAMPLED.replace(", goal)", ", goal, jax.random.randint(jax.random.fold_in(key, 7), (), 0, 9))")),
    (READ, READ.replace("goal))", "goal), jnp.int32(3))")),
)


def of(check, edits=(), world=None, **chosen):
    """What a check says of the lake, edited."""
    lake = load(f"honest_{check}", *edits).Lake(**(world or {}))
    finder = check_env if check == "no_automatic_reset" else check_level_space
    return finder(lake, num_levels=8, only=(check,), **chosen).of(check)


# -- what shows late, or not at all ------------------------------------------------------------------------------------


def test_a_part_that_acts_late_in_an_episode_is_seen():
    assert of("every_part_matters", THAWING).verdict == "passed"


def test_a_part_that_may_act_later_than_is_played_is_noted():
    finding = of("every_part_matters", THAWING, most_steps=20)
    assert finding.verdict == "noted"
    assert "thaw of a level changes nothing that is seen in 20 steps" in finding.detail


def test_a_part_that_shows_only_after_the_end_is_not_seen():
    """Nobody plays on there: the number of a level pays only after its episode is over."""
    pays = (PAYS, "at_goal + (state.time > self.max_steps) * level.number.astype(jnp.float32), terminated")
    finding = of("every_part_matters", (*NUMBERED, pays))
    assert finding.verdict == "failed"
    assert ".number of a level changes nothing" in finding.detail


def test_what_is_no_number_is_equal_to_itself():
    """NaN differs from NaN: a part would seem to show."""
    finding = of("every_part_matters", (*NUMBERED, (PAYS, "jnp.float32(jnp.nan), terminated")))
    assert finding.verdict == "failed"
    assert ".number of a level changes nothing" in finding.detail


def test_levels_that_look_alike_at_their_start_are_noted():
    blind = ("        return {\"cells\": cells.at[tuple(state.position)].set(3)}",
             "        cells = cells.at[tuple(state.position)].set(3)\n"
             "        return {\"cells\": jnp.where(state.time > 0, cells, 0).astype(jnp.uint8)}")  # fmt: skip
    assert of("level_decides_start", (blind,)).verdict == "noted"


# -- best returns ------------------------------------------------------------------------------------------------------


def test_a_best_return_on_average_does_not_say_what_can_be_solved():
    """On slippery ice the best policy reaches the goal nearly always, and 1 is what counts as solved."""
    action_space = "    @property\n    def action_space(self) -> Discrete:"
    is_solved = "    def is_solved(self, episode_return):\n        return episode_return >= 1.0\n\n"
    finding = of("solvable", ((action_space, is_solved + action_space),), {"max_holes": 2})
    assert finding.verdict == "noted"
    assert "on average" in finding.detail


@pytest.mark.parametrize("slip", [0.0, 0.1])
def test_levels_without_a_way_to_the_goal_are_a_failure_on_any_ice(slip):
    unsolvable = ("        holes = (order >= 2) & (order < 2 + num_holes)\n",
                  "        holes = (order >= 2) & (order < 2 + 8 * num_holes)\n")  # fmt: skip
    assert of("solvable", (unsolvable,), {"slip": slip}).verdict == "failed"


def test_a_sum_of_many_rewards_may_round():
    edits = (
        (PAYS, "jnp.float32(0.7), terminated"),
        (ENDS, "        terminated = jnp.bool_(False)\n"),
        ("        return values[tuple(level.start)]", "        return jnp.float32(0.7 * self.world.max_steps)"),
    )
    assert of("oracle", edits, {"max_steps": 500, "slip": 0.0}).verdict == "passed"


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_time_out_that_is_told_once_is_no_reset(seed):
    """``time == max_steps``: who plays on past it sees no end, or reaches the goal, at twice the limit for one."""
    once = ("(state.time >= self.max_steps)", "(state.time == self.max_steps)")
    world = {"height": 3, "width": 9, "max_steps": 6, "slip": 0.0, "max_holes": 0}
    assert of("no_automatic_reset", (once,), world, seed=seed).verdict == "passed"


def test_one_step_worlds_without_a_clock_are_not_accused():
    """The state after the only step is that of the start, of honest worlds and of those that reset: nothing is claimed."""
    one_step = ((MOVES_ON, ""), (ENDS, "        terminated = jnp.bool_(True)\n"))
    assert of("no_automatic_reset", one_step).verdict == "skipped"


def test_a_walk_that_ends_where_it_began_is_noted_at_most():
    """Without a clock, a world whose episodes end at home cannot be told from one that resets."""
    home = (
        (MOVES_ON, "        state = LakeState(position=state.position, time=(state.time + 1) % 2)\n"),
        (ENDS, "        terminated = state.time == 0\n"),
    )
    assert of("no_automatic_reset", home).verdict == "noted"


# -- what is played, and what is said ----------------------------------------------------------------------------------


def test_a_world_that_cannot_be_shortened_that_far_is_skipped_with_its_reason():
    finding = check_env(Lake(), num_levels=4, most_steps=3, only=("finite",)).of("finite")
    assert finding.verdict == "skipped"
    assert "max_steps is 1; allowed: at least 2" in finding.detail
    assert "--most-steps 3" in finding.detail


def test_a_parameter_that_nobody_reads_is_found():
    second = ('return (Choice("holes", self.levels.world.max_holes + 1),)',
              'return (Choice("holes", self.levels.world.max_holes + 1), Interval("depth", 0.0, 1.0))')  # fmt: skip
    finding = of("parameters", (second,))
    assert finding.verdict == "failed"
    assert "depth changes no level" in finding.detail


@pytest.mark.parametrize("check", ["mutations", "parameters"])
def test_without_is_valid_no_level_is_called_valid(check):
    finding = of(check, [(f"    def {name}(self", f"    def not_{name}(self") for name in ("is_valid", "to_text")])
    assert finding.verdict == "passed"
    assert "as far as can be told without is_valid" in finding.detail


def test_a_reader_of_what_is_not_valid_is_noted():
    """A reader that takes a map without a goal: the start is taken for it."""
    lax = (
        (' or any((cells == symbol).sum() != 1 for symbol in "AG")', ' or (cells == "A").sum() != 1'),
        ("(np.argwhere(cells == symbol)[0].astype(np.int32) for symbol in \"AG\")",
         "(np.argwhere(cells == (symbol if (cells == symbol).any() else \"A\"))[0].astype(np.int32) for symbol in \"AG\")"),
    )  # fmt: skip
    finding = of("text", lax)
    assert finding.verdict == "noted"
    assert "not valid" in finding.detail


@dataclasses.dataclass(frozen=True)
class Deep(Lake):
    """Its `is_solved` is a function of Python itself: no frame of the error is the author's."""

    is_solved = staticmethod(len)


@dataclasses.dataclass(frozen=True)
class Fenced(Lake):
    """Of 400 actions its mask leaves 228 to 231, which are the four moves; any other ends the episode."""

    @property
    def action_space(self):
        return Discrete(400)

    @property
    def observation_space(self):
        return Dict((*super().observation_space.parts, ("allowed", Mask(int(jnp.full(4, 100).sum())))))

    def _observe(self, state, level):
        return super()._observe(state, level) | {"allowed": jnp.arange(400) // 4 == 57}

    def step(self, key, state, action, level):
        observation, state, reward, terminated, truncated, info = super().step(key, state, action % 4, level)
        is_foul = action // 4 != 57
        return observation, state, reward * ~is_foul, terminated | is_foul, truncated & ~is_foul, info


def test_what_a_mask_forbids_is_not_played():
    """No student does it. If the kit did, every row would be over at once, and none would show a reward or a hole."""
    found = check_env(Fenced(), num_levels=8, only=("rewards", "solved", "no_automatic_reset"))
    levels = check_level_space(Fenced(), num_levels=8, only=("not_over", "every_part_matters", "optimal_return"))
    told = {finding.check: (finding.verdict, finding.detail) for finding in (*found.findings, *levels.findings)}
    assert {verdict for verdict, _ in told.values()} == {"passed"}, told
    assert not told["solved"][1].startswith("0%")


@dataclasses.dataclass(frozen=True)
class Narrow(Lake):
    """Its mask leaves the moves that go somewhere, and not into a hole."""

    height: int = 2
    width: int = 2
    max_holes: int = 2
    slip: float = 0.0

    @property
    def observation_space(self):
        return Dict((*super().observation_space.parts, ("allowed", Mask(4))))

    def _observe(self, state, level):
        after = jax.vmap(lambda direction: self.neighbour(state.position, direction))(jnp.arange(4))
        moves = (after != state.position[None]).any(axis=-1) & ~level.holes[after[:, 0], after[:, 1]]
        return super()._observe(state, level) | {"allowed": moves | ~moves.any()}


def test_a_level_of_one_move_is_not_over_before_it_begins():
    """On 2 x 2 cells, beside a hole, the one move that is allowed wins; to stay is forbidden, and ends nothing."""
    finding = check_level_space(Narrow(), num_levels=16, only=("not_over",)).of("not_over")
    assert finding.verdict == "passed", finding.detail


def test_what_is_played_instead_of_what_a_mask_forbids():
    def played(masks, actions):
        space = Dict((("allowed", Mask(3)), ("place", Discrete(2))))
        observation = {"allowed": np.asarray(masks), "place": jnp.int32(0)}  # a mask may be a constant of the world
        world = SimpleNamespace(observation_space=space)
        return jax.jit(lambda action: permitted(world, observation, action))(jnp.asarray(actions, jnp.int32)).tolist()

    # allowed as it is; the 0th, 1st and (2 mod 2) 0th of {0, 2}; where nothing is allowed, action 0 mod 1
    assert [played([True, False, True], action) for action in range(3)] == [0, 2, 2]
    assert [played([False, True, True], action) for action in range(3)] == [1, 1, 2]
    assert played([[False, True, False], [True, True, False], [False, False, False]], [0, 2, 0]) == [1, 0, 0]
    assert int(permitted(Lake(), Lake().observation_space.sample(jax.random.key(0)), jnp.int32(3))) == 3  # no mask


@dataclasses.dataclass(frozen=True)
class Hurried(Lake):
    """A step costs 1, and what counts as solved goes by `max_steps`: the return of an episode that ends before it."""

    def step(self, key, state, action, level):
        observation, state, _, terminated, truncated, info = super().step(key, state, action, level)
        return observation, state, jnp.float32(-1), terminated, truncated, info

    def is_solved(self, episode_return):
        return episode_return.mean() > -self.max_steps


def test_episodes_of_a_shortened_world_are_judged_by_its_own_mark():
    """Of 400 steps 20 are played: none of them comes to -400, which would seem to be solved."""
    finding = check_env(Hurried(max_steps=400), num_levels=4, most_steps=41, only=("solved",)).of("solved")
    assert finding.verdict == "passed", finding.detail


def test_an_error_without_a_line_of_the_author_is_at_the_world():
    finding = check_env(Deep(), num_levels=4, only=("solved",)).of("solved")
    assert finding.verdict == "failed"
    assert "test_honest_worlds.py:" in finding.where
