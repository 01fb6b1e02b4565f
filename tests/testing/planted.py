"""Historic bugs, each planted into the example world by an edit of its source; the kit is to catch every one.

``(name, check that catches it, (old, new), ..., where the bug was seen)``. An edit must fit exactly once, so that a change of
the example shows here.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import minied.testing.lake

SOURCE = Path(minied.testing.lake.__file__).read_text(encoding="utf-8")


class Bug(NamedTuple):
    name: str
    check: str
    edits: tuple[tuple[str, str], ...]
    seen: str = ""


_CONSTANTS = "MOVES = np.array"
BUGS = (
    Bug("first_state_cached", "level_decides_start", (
        (_CONSTANTS, "_FIRST = {}\nMOVES = np.array"),
        ("        state = LakeState(position=level.start, time=jnp.int32(0))\n",
         "        if not isinstance(level.start, jax.core.Tracer):\n"
         "            level = _FIRST.setdefault(self, level)\n"
         "        state = LakeState(position=level.start, time=jnp.int32(0))\n"),
    ), "brax 167: the first state of a wrapper is kept and given again"),
    Bug("automatic_reset_to_the_first_state", "no_automatic_reset", (
        ("        return self._observe(state, level), state, at_goal",
         "        over = terminated | truncated\n"
         "        state = LakeState(jnp.where(over, level.start, state.position), jnp.where(over, 0, state.time))\n"
         "        return self._observe(state, level), state, at_goal"),
    ), "most JAX libraries: a step resets by itself"),
    Bug("automatic_reset_after_a_divisor_of_the_limit", "no_automatic_reset", (
        ("        terminated = at_goal | level.holes[position[0], position[1]]\n",
         "        terminated = state.time % 8 == 0\n"),
        ("        return self._observe(state, level), state, at_goal",
         "        state = LakeState(jnp.where(terminated, level.start, state.position), jnp.where(terminated, 0, state.time))\n"
         "        return self._observe(state, level), state, at_goal"),
    ), "episodes that fit into the limit a whole number of times: an end is where one should be"),
    Bug("automatic_reset_a_step_later", "no_automatic_reset", (
        ("        slip_key, direction_key = ",
         "        over = (state.position == level.goal).all() | level.holes[tuple(state.position)] | (state.time >= self.max_steps)\n"
         "        slip_key, direction_key = "),
        ("LakeState(position=position, time=state.time + 1)",
         "LakeState(jnp.where(over, level.start, position), jnp.where(over, 0, state.time + 1))"),
    ), "Gymnasium's vector worlds: the step after an end is a reset"),
    Bug("automatic_reset_to_a_new_level", "no_automatic_reset", (
        ("        return self._observe(state, level), state, at_goal",
         "        fresh = self.level_space.sample(jax.random.fold_in(key, 1))\n"
         "        over = terminated | truncated\n"
         "        state = LakeState(jnp.where(over, fresh.start, state.position), jnp.where(over, 0, state.time))\n"
         "        return self._observe(state, level), state, at_goal"),
    ), "minimax 6: levels of domain randomisation change at an automatic reset"),
    Bug("key_reused_in_a_step", "keys", (
        ("jax.random.randint(direction_key, ", "jax.random.randint(slip_key, "),
    ), "xland-minigrid 42: a key is used twice"),
    Bug("key_kept_in_the_state", "keys", (
        ("    time: jax.Array  # i32[], steps taken\n", "    time: jax.Array  # i32[], steps taken\n    key: jax.Array  # key[]\n"),
        ("LakeState(position=level.start, time=jnp.int32(0))", "LakeState(position=level.start, time=jnp.int32(0), key=key)"),
        ("slip_key, direction_key = jax.random.split(key)", "slip_key, direction_key = jax.random.split(state.key)"),
        ("LakeState(position=position, time=state.time + 1)", "LakeState(position, state.time + 1, state.key)"),
    ), "worlds that keep their key in the state and do not advance it"),
    Bug("constant_key", "keys", (
        ("slip_key, direction_key = jax.random.split(key)", "slip_key, direction_key = jax.random.split(jax.random.key(0))"),
    ), "a key left over from trying things out"),
    Bug("key_reused_in_the_generator", "level_keys", (
        ("jax.random.randint(number_key, ", "jax.random.randint(level_key, "),
    ), "xland-minigrid 42"),
    Bug("start_of_the_level_ignored", "every_part_matters", (
        ("LakeState(position=level.start, time", "LakeState(position=jnp.zeros(2, jnp.int32), time"),
    ), "a reset that does not read the level it is given"),
    Bug("start_of_the_level_ignored_and_the_level_kept", "every_part_matters", (
        ("    time: jax.Array  # i32[], steps taken\n", "    time: jax.Array  # i32[], steps taken\n    level: LakeLevel\n"),
        ("LakeState(position=level.start, time=jnp.int32(0))", "LakeState(jnp.zeros(2, jnp.int32), jnp.int32(0), level)"),
        ("LakeState(position=position, time=state.time + 1)", "LakeState(position, state.time + 1, state.level)"),
    ), "a state that holds the level, and is not made from it"),
    Bug("level_drawn_anew_at_reset", "level_decides_start", (
        ("        state = LakeState(position=level.start, time",
         "        level = self.level_space.sample(key)\n        state = LakeState(position=level.start, time"),
    ), "minimax 6, gymnax-style resets"),
    Bug("unsolvable_levels", "solvable", (
        ("        holes = (order >= 2) & (order < 2 + num_holes)\n",
         "        holes = (order >= 2) & (order < 2 + 8 * num_holes)\n"),
    ), "navix 136: levels without a way to the goal"),
    Bug("start_on_the_goal", "valid_samples", (
        ("jnp.argmax(order == place)) for place in range(2)", "jnp.argmax(order == place // 2)) for place in range(2)"),
    ), "overlapping objects of random generators"),
    Bug("levels_that_are_over_at_once", "not_over", (
        ("        terminated = at_goal | level.holes", "        at_goal = at_goal | (level.holes.sum() < 4)\n        terminated = at_goal | level.holes"),
    ), "levels that look solved before they begin"),
    Bug("nan_reward", "finite", (
        ("at_goal.astype(jnp.float32), terminated", "at_goal / (state.position - level.goal + 3).sum().astype(jnp.float32), terminated"),
    ), "a division by a distance that may be 0"),
    Bug("reward_of_integers", "forms", (
        ("at_goal.astype(jnp.float32), terminated", "at_goal.astype(jnp.int32), terminated"),
    ), "a type that promotes what it meets"),
    Bug("codes_of_another_type", "forms", (
        ("cells = level.holes.astype(jnp.uint8)", "cells = level.holes.astype(jnp.int32)"),
    ), "an observation of another type than its space"),
    Bug("time_out_never_reached", "episode_length", (
        ("time=state.time + 1)", "time=jnp.minimum(state.time + 1, self.max_steps - 1))"),
    ), "a counter that stops before the limit"),
    Bug("time_out_a_step_late", "episode_length", (
        ("(state.time >= self.max_steps)", "(state.time > self.max_steps)"),
    ), "an episode of max_steps + 1 steps"),
    Bug("both_ends_at_once", "exclusive_ends", (
        ("truncated = ~terminated & (state", "truncated = terminated | (state"),
    ), "done flags that are not told apart"),
    Bug("level_read_by_python", "one_trace", (
        ("        at_goal = (position == level.goal).all()\n",
         "        at_goal = (position == level.goal).all()\n        assert int(level.holes.sum()) >= 0\n"),
    ), "a parameter that must be known to compile"),
    Bug("compiled_at_every_step", "one_trace", (
        ("    time: jax.Array  # i32[], steps taken\n",
         "    time: jax.Array  # i32[], steps taken\n    turns: int = struct.field(pytree_node=False, default=0)\n"),
        ("LakeState(position=position, time=state.time + 1)", "LakeState(position, state.time + 1, state.turns + 1)"),
    ), "a number that shapes the program is counted in the state"),
    Bug("weak_type", "forms", (
        ("time=jnp.int32(0))", "time=0)"),
    ), "a state that changes its type at the first step, and compiles the loop twice"),
    Bug("edit_out_of_bounds", "mutations", (
        ("        return level.replace(holes=level.holes.at[row, col].set(~level.holes[row, col]))",
         "        return level.replace(goal=level.goal + jnp.array([0, 1], jnp.int32))"),
    ), "mutators that move things out of the map"),
    Bug("edit_of_the_start", "mutations", (
        (".at[tuple(level.start)].set(False).at[tuple(level.goal)].set(False)", ""),
    ), "mutators that put a wall on the agent"),
    Bug("edit_that_changes_nothing", "mutations", (
        (".set(~level.holes[row, col]))", ".set(level.holes[row, col]))"),
    ), "an edit that writes what it reads"),
    Bug("rows_and_columns_exchanged", "valid_samples", (
        ("jnp.stack([cell // self.world.width, cell % self.world.width])", "jnp.stack([cell % self.world.width, cell // self.world.width])"),
    ), "(x, y) for (row, col) on a map that is no square"),
    Bug("shore_of_a_square_map", "drawing", (
        ("jnp.array([self.height - 1, self.width - 1], jnp.int32)", "jnp.array([self.width - 1, self.height - 1], jnp.int32)"),
    ), "height and width exchanged in the rules"),
    Bug("buffer_of_its_own_given_away", "donation", (
        (_CONSTANTS, "_BLANK = jnp.zeros((5, 7), jnp.uint8)\nMOVES = np.array"),
        ("        return self._observe(state, level), state\n",
         "        return {\"cells\": _BLANK}, state\n"),
    ), "an observation that shares a buffer with what is donated"),
    Bug("random_numbers_of_numpy", "determinism", (
        ("at_goal.astype(jnp.float32), terminated", "at_goal + jnp.float32(np.random.random()), terminated"),
    ), "numbers drawn by Python while the program is traced"),
    Bug("random_numbers_of_numpy_late_in_an_episode", "determinism", (
        ("at_goal.astype(jnp.float32), terminated", "at_goal + jnp.float32(np.random.random()) * (state.time > 4), terminated"),
    ), "numbers drawn by Python that show on few levels and steps"),
    Bug("python_remembers", "jit", (
        (_CONSTANTS, "_SEEN = [0]\nMOVES = np.array"),
        ("        shore = jnp.array([self.height", "        _SEEN[0] += 1\n        direction = (direction + _SEEN[0]) % 4\n        shore = jnp.array([self.height"),
    ), "a counter on the Python side"),
    Bug("observation_out_of_its_space", "observations", (
        (".at[tuple(state.position)].set(3)}", ".at[tuple(state.position)].set(4)}"),
    ), "a code that the table does not have"),
    Bug("one_level_only", "diversity", (
        ("        number_key, level_key = jax.random.split(key)\n", "        number_key, level_key = jax.random.split(jax.random.key(1))\n"),
    ), "a generator that does not use its key"),
    Bug("text_without_the_goal_s_place", "text", (
        ("        start, goal = (np.argwhere(cells == symbol)[0].astype(np.int32) for symbol in \"AG\")\n",
         "        start, goal = (np.argwhere(cells == symbol)[0].astype(np.int32) for symbol in \"AA\")\n"),
    ), "a reader that forgets a part"),
    Bug("text_of_another_type", "text", (
        ("[0].astype(np.int32) for symbol", "[0] for symbol"),
        ("jnp.asarray(start), jnp.asarray(goal))", "np.asarray(start), np.asarray(goal))"),
    ), "a level that is read compiles the loop anew"),
    Bug("fingerprint_blind_for_the_start", "every_part_matters", (
        ("    @property\n    def parameters(self)",
         "    def fingerprint(self, level):\n        return super().fingerprint(level.replace(start=level.goal))\n\n    @property\n    def parameters(self)"),
    ), "a buffer that takes two levels for one"),
    Bug("oracle_too_low", "oracle", (
        ("        return values[tuple(level.start)]", "        return values[tuple(level.start)] * 0.0"),
    ), "exact regret below 0"),
    Bug("parameters_ignored", "parameters", (
        ("return self.levels.level_with(key, values[0].astype(jnp.int32))", "return self.levels.level_with(jax.random.fold_in(jax.random.key(0), 1), jnp.int32(3))"),
    ), "numbers that a teacher chooses and nobody reads"),
    Bug("picture_of_floats", "drawing", (
        ("return COLOURS[codes].repeat(16, axis=0)", "return (COLOURS[codes] / 255.0).repeat(16, axis=0)"),
    ), "a drawing that the report cannot write"),
    Bug("mutable_world", "identity", (
        ("@dataclasses.dataclass(frozen=True)\nclass Lake(", "@dataclasses.dataclass(eq=True, unsafe_hash=True)\nclass Lake("),
    ), "an option that is changed after the loop was compiled"),
    Bug("suite_changes", "suites", (
        ("jax.random.split(jax.random.key(2026), 64)", "jax.random.split(jax.random.key(np.random.randint(2**31)), 64)"),
    ), "an evaluation that is never on the same levels"),
)  # fmt: skip


def load(name: str, *edits: tuple[str, str]):
    """The example world with ``edits`` of its source, as a module."""
    source = SOURCE
    for old, new in edits:
        assert source.count(old) == 1, f"{name}: {old!r} is {source.count(old)} times in the example"
        source = source.replace(old, new)
    module = type(sys)(f"planted_{name}")
    sys.modules[module.__name__] = module
    exec(compile(source, f"planted_{name}.py", "exec"), module.__dict__)
    return module
