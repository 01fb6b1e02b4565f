"""Worlds and students small enough to know everything about.

Worlds: a corridor for one agent (plain, with a written agent axis, one that counts its traces; those that teachers can edit
and design are in `toy_designers`), a meeting for two, a script whose level says every reward and how the episode ends, and
one whose episodes differ by their key alone.
Students: policies written down as functions, with a memory that can be read.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.env import Environment
from minied.levels.space import LevelSpace
from minied.scores import score
from minied.spaces import Box, Dict, Discrete
from minied.teachers.base import NEW, Plan, propose_new
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay


class CorridorLevel(struct.PyTreeNode):
    start: jax.Array  # i32[], cells from the goal, 1 ... length


class CorridorState(struct.PyTreeNode):
    distance: jax.Array  # i32[]
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class CorridorLevels(LevelSpace[CorridorLevel]):
    length: int
    max_steps: int

    def sample(self, key):
        return CorridorLevel(jax.random.randint(key, (), 1, self.length + 1))

    def describe(self, level):
        return {"start": level.start.astype(jnp.float32)}

    def optimal_return(self, level):
        return (level.start <= self.max_steps).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Corridor(Environment):
    """Action 1 moves towards the goal, action 0 away; reward 1 at the goal."""

    length: int = 5
    max_steps: int = 10
    reveals_distance: bool = True

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Dict((("distance", Discrete(self.length + 1)),))

    @property
    def level_space(self):
        return CorridorLevels(self.length, self.max_steps)

    def reset(self, key, level):
        state = CorridorState(level.start, jnp.int32(0))
        return self._observe(state), state

    def step(self, key, state, action, level):
        distance = jnp.clip(state.distance + jnp.where(action == 1, -1, 1), 0, self.length)
        state = CorridorState(distance, state.time + 1)
        terminated = distance == 0
        truncated = (state.time >= self.max_steps) & ~terminated
        return self._observe(state), state, terminated.astype(jnp.float32), terminated, truncated, {}

    def _observe(self, state):
        return {"distance": state.distance if self.reveals_distance else jnp.zeros_like(state.distance)}


class MeetingLevel(struct.PyTreeNode):
    positions: jax.Array  # i32[2]


class MeetingState(struct.PyTreeNode):
    positions: jax.Array  # i32[2]
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class MeetingLevels(LevelSpace[MeetingLevel]):
    length: int

    def sample(self, key):
        first, second = jax.random.split(key)
        a = jax.random.randint(first, (), 0, self.length)
        offset = jax.random.randint(second, (), 1, self.length)
        return MeetingLevel(jnp.stack([a, (a + offset) % self.length]))


@dataclasses.dataclass(frozen=True)
class Meeting(Environment):
    """Two agents on a line: stay, left, right. In `chase` agent 0 is paid for catching what agent 1 is fined for;
    otherwise both are paid for meeting."""

    length: int = 5
    max_steps: int = 8
    chase: bool = False
    shows_role: bool = True
    num_agents = 2

    @property
    def teams(self):
        return (0, 1) if self.chase else (0, 0)

    @property
    def action_space(self):
        return Discrete(3)

    @property
    def observation_space(self):
        return Dict((("relative", Box(-1.0, 1.0, (1,))), ("role", Discrete(2)), ("position", Discrete(self.length))))

    @property
    def level_space(self):
        return MeetingLevels(self.length)

    def reset(self, key, level):
        state = MeetingState(level.positions, jnp.int32(0))
        return self._observe(state), state

    def step(self, key, state, action, level):
        move = jnp.asarray([0, -1, 1], jnp.int32)[action]
        positions = jnp.clip(state.positions + move, 0, self.length - 1)
        crossed = (positions[0] == state.positions[1]) & (positions[1] == state.positions[0])
        met = (positions[0] == positions[1]) | crossed
        state = MeetingState(positions, state.time + 1)
        pay = jnp.asarray([1.0, -1.0 if self.chase else 1.0])
        reward = jnp.where(met, pay, 0.0)
        return self._observe(state), state, reward, met, (state.time >= self.max_steps) & ~met, {}

    def _observe(self, state):
        relative = (state.positions[::-1] - state.positions).astype(jnp.float32) / self.length
        return {
            "relative": relative[:, None],
            "role": jnp.arange(2, dtype=jnp.int32) * self.shows_role,
            "position": state.positions,
        }


@dataclasses.dataclass(frozen=True)
class CorridorWithAxis(Corridor):
    """The corridor as an author would write it who writes the agent axis himself. Not to be passed to `with_agent_axis`."""

    def reset(self, key, level):
        observation, state = super().reset(key, level)
        return jax.tree.map(lambda leaf: jnp.stack([leaf]), observation), state

    def step(self, key, state, action, level):
        assert action.shape == (1,)
        observation, state, reward, terminated, truncated, info = super().step(key, state, action[0], level)
        observation = jax.tree.map(lambda leaf: jnp.stack([leaf]), observation)
        return observation, state, jnp.stack([reward]), terminated, truncated, info

    def is_solved(self, episode_return):
        return super().is_solved(episode_return[0])


TRACES: collections.Counter[str] = collections.Counter()
"""Python calls of the counting world and teacher: what is compiled once is called once."""


@dataclasses.dataclass(frozen=True)
class CountingCorridor(Corridor):
    def reset(self, key, level):
        TRACES["reset"] += 1
        return super().reset(key, level)

    def step(self, key, state, action, level):
        TRACES["step"] += 1
        return super().step(key, state, action, level)


class CountingTeacher(RobustPrioritizedLevelReplay):
    def plan(self, key, schedule, num_levels):
        TRACES["plan"] += 1
        return super().plan(key, schedule, num_levels)

    def propose(self, key, state, plan, space, num_levels, probe):
        TRACES["propose"] += 1
        return super().propose(key, state, plan, space, num_levels, probe)

    def observe(self, state, plan, proposal, outcome, space):
        TRACES["observe"] += 1
        return super().observe(state, plan, proposal, outcome, space)


class ScriptLevel(struct.PyTreeNode):
    rewards: jax.Array  # f32[L], of the steps of an episode
    length: jax.Array  # i32[], steps of an episode, at most L
    terminates: jax.Array  # bool[], the last step terminates; else it truncates


@dataclasses.dataclass(frozen=True)
class ScriptLevels(LevelSpace[ScriptLevel]):
    max_steps: int

    def sample(self, key):
        first, second, third = jax.random.split(key, 3)
        return ScriptLevel(
            jax.random.normal(first, (self.max_steps,)),
            jax.random.randint(second, (), 1, self.max_steps + 1),
            jax.random.bernoulli(third),
        )


@dataclasses.dataclass(frozen=True)
class Script(Environment):
    """Nothing that is done matters: the level says each step's reward, and when and how the episode ends.

    Its observation is the number of steps taken, also at the end: the true last observation is `length`.
    """

    max_steps: int = 6

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Box(0.0, float("inf"), (1,))

    @property
    def level_space(self):
        return ScriptLevels(self.max_steps)

    def reset(self, key, level):
        return jnp.zeros(1), jnp.int32(0)

    def step(self, key, state, action, level):
        time = state + 1
        over = time >= level.length
        observation = jnp.stack([time]).astype(jnp.float32)
        return observation, time, level.rewards[state], over & level.terminates, over & ~level.terminates, {}


class RecallState(struct.PyTreeNode):
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class RecallLevels(LevelSpace[jax.Array]):
    def sample(self, key):
        return jax.random.bernoulli(key).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class Recall(Environment):
    """The level is a cue, seen at the first step only; the action at the third and last is right if it names the cue."""

    max_steps: int = 3

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Discrete(4)  # cue 0, cue 1, blank, choose

    @property
    def level_space(self):
        return RecallLevels()

    def reset(self, key, level):
        return level, RecallState(jnp.int32(0))

    def step(self, key, state, action, level):
        right = (state.time == 2) & (action == level)
        wrong = (state.time == 2) & (action != level)
        state = RecallState(state.time + 1)
        return (
            jnp.minimum(1 + state.time, 3),
            state,
            right.astype(jnp.float32) - wrong,
            right | wrong,
            jnp.asarray(False),
            {},
        )


class LotteryState(struct.PyTreeNode):
    key: jax.Array  # key[], a typed key in the state of a world
    long: jax.Array  # bool[], drawn at the start of the episode
    time: jax.Array  # i32[]


@dataclasses.dataclass(frozen=True)
class LotteryLevels(LevelSpace[jax.Array]):
    def sample(self, key):
        return jax.random.uniform(key)


@dataclasses.dataclass(frozen=True)
class Lottery(Environment):
    """Each episode is drawn long (`max_steps`, reward 0) or short (1 step, reward 1) with even chances at its start."""

    max_steps: int = 31

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Discrete(2)

    @property
    def level_space(self):
        return LotteryLevels()

    def reset(self, key, level):
        draw, kept = jax.random.split(key)
        long = jax.random.bernoulli(draw)
        return long.astype(jnp.int32), LotteryState(kept, long, jnp.int32(0))

    def step(self, key, state, action, level):
        state = state.replace(time=state.time + 1)
        truncated = state.long & (state.time >= self.max_steps)
        observation = state.long.astype(jnp.int32)
        return observation, state, (~state.long).astype(jnp.float32), ~state.long, truncated, {}


@dataclasses.dataclass(frozen=True)
class WrittenStudent:
    """A student whose policy and value are functions of the observation and of its memory.

    The memory of a row is two counters: steps since it was last emptied, and episodes begun (never emptied).
    `policy(observation, memory) -> logits f32[M, A]` and `value(observation, memory) -> f32[M, K]`.
    """

    policy: Callable[[Any, Any], jax.Array]
    value: Callable[[Any, Any], jax.Array]

    def initial_carry(self, num_rows: int):
        return jnp.zeros(num_rows, jnp.int32), jnp.zeros(num_rows, jnp.int32)

    def apply(self, parameters, carry, observation, reset):
        def step(carry, inputs):
            observation, reset = inputs
            steps, episodes = carry
            steps = jnp.where(reset, 0, steps) + 1
            episodes = episodes + reset
            memory = (steps, episodes)
            return memory, (self.policy(observation, memory), self.value(observation, memory))

        carry, (logits, values) = jax.lax.scan(step, carry, (observation, reset))
        return carry, logits, values


@functools.cache
def always(action: int, num_actions: int, value: Callable[[Any, Any], jax.Array] | None = None) -> WrittenStudent:
    """Return the student that always takes `action`; its value is 0 unless given."""

    def policy(observation, memory):
        row = jnp.where(jnp.arange(num_actions) == action, 0.0, -jnp.inf)
        return jnp.broadcast_to(row, (memory[0].shape[0], num_actions))

    return WrittenStudent(policy, value or (lambda observation, memory: jnp.zeros((memory[0].shape[0], 1))))


@score(needs=("episodes",))
def failure_rate(signals):
    """A user's own score, found by its import path `toy_worlds:failure_rate`: the share of episodes not solved."""
    return 1.0 - signals.episodes.solve_rate


def undeclared_score(signals):
    return signals.max_return


@score(needs=("value_ensemble", "ended"))
def ensemble_score(signals):
    return signals.over_episodes(signals.value_ensemble.std(axis=-1))


@score(needs=("std_return_of_levels",))
def spread_of_levels(signals):
    return signals.std_return_of_levels


@score(needs=("rewards",))
def nan_score(signals):
    return jnp.full((), jnp.nan)


@score(needs=("rewards",))
def wide_score(signals):
    """Returns one number a step, where one a level is asked for."""
    return signals.rewards[:, 0]


def no_probe(key, levels, num_rollouts=1):
    raise AssertionError("this teacher looks at no student before it proposes")


class ProbingTeacher(DomainRandomization):
    """Proposes the one of two batches on which the present student finished the shorter episodes; for the accounts."""

    def plan(self, key, schedule, num_levels):
        return Plan.of(NEW, train=True, new_batches=1, rollouts=1 + 2)

    def propose(self, key, state, plan, space, num_levels, probe):
        keys = jax.random.split(key, 4)
        first, second = (propose_new(k, space, num_levels) for k in keys[:2])
        lengths = [
            probe(k, p.levels).episodes.mean_length.mean() for k, p in zip(keys[2:], (first, second), strict=True)
        ]
        return state, jax.tree.map(lambda a, b: jnp.where(lengths[0] <= lengths[1], a, b), first, second)
