"""Episodes of the tasks in the world of hide and seek, played by scripts on hand-made arenas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.hide_and_seek.level import SINGLE, HideAndSeekLevel, make_level
from minied_envs.hide_and_seek.tasks import Blueprint, LockAndReturn, ObjectCounting, SequentialLock, Shelter
from minied_envs.hide_and_seek.tasks.base import TaskLevel
from minied_envs.hide_and_seek.tasks.blueprint import BlueprintLevel
from minied_envs.hide_and_seek.tasks.shelter import ShelterLevel

EAST, SOUTH, WEST, NORTH = range(4)
TASKS = {
    "lock_and_return": LockAndReturn,
    "sequential_lock": SequentialLock,
    "blueprint": Blueprint,
    "shelter": Shelter,
    "object_counting": ObjectCounting,
}
all_tasks = pytest.mark.parametrize("name", TASKS)


def arena(task, agent, boxes=(), ramps=(), low=()) -> HideAndSeekLevel:
    """An arena without tall walls: the agent (row, col, direction), boxes (row, col, shape), ramps, low walls (row, col)."""
    walls = np.zeros((task.height, task.width), bool)
    for cell in low:
        walls[cell] = True
    room = (1, 1, task.max_boxes, task.max_ramps)
    level = make_level([agent], [], boxes, ramps, np.zeros_like(walls), walls, room, has_preparation=False)
    return jax.tree.map(jnp.asarray, level)


def encode(text: str) -> list[int]:
    """Actions of tokens as `test_hide_and_seek_ladder` writes them: ``g`` grabs, ``l`` turns a lock, then a move."""
    return [(".ESWN".index(token[-1]) * 2 + ("g" in token)) * 2 + ("l" in token) for token in text.split()]


@functools.partial(jax.jit, static_argnums=0)
def _play(task, level, actions):
    observation, state = task.reset(jax.random.key(0), level)

    def step(state, action):
        observation, state, reward, terminated, truncated, info = task.step(jax.random.key(0), state, action, level)
        return state, (observation, state, reward, terminated, truncated, info)

    return (observation, state), jax.lax.scan(step, state, actions)[1]


STEPS_PLAYED = 12  # always: one compiled program a task


def watch(task, level, text="."):
    """Return the first observation, and what each step of a script gave: observation, state, reward, ends and info."""
    actions = encode(text)
    padded = jnp.asarray(actions + [0] * (STEPS_PLAYED - len(actions)), jnp.int32)
    (first, _), played = _play(task, level, padded)
    return first, jax.tree.map(lambda leaf: np.asarray(leaf)[: len(actions)], played)


def play(task, level, text):
    """Return rewards, which steps terminated, and the last state and info, of an episode's first steps."""
    _, (_, states, rewards, terminated, _, info) = watch(task, level, text)
    last = functools.partial(jax.tree.map, lambda leaf: leaf[-1])
    return rewards, terminated, last(states), last(info)


LOCK = LockAndReturn(height=5, width=7, max_steps=12, rooms=1)


# The agent at (2, 1), the box at (2, 4), three cells away.
LOCK_LEVEL = TaskLevel(arena(LOCK, (2, 1, EAST), [(2, 4, SINGLE)]))


SEQUENCE = SequentialLock(height=7, width=7, max_steps=20, boxes=2, max_boxes=3)


PRINT = Blueprint(height=5, width=6, max_steps=30, max_boxes=3, boxes=2, max_sites=2)


def blueprint_level(sites, agent=(2, 0, EAST), boxes=((2, 1, SINGLE), (0, 5, SINGLE))):
    positions = jnp.array([*sites, (0, 0)][:2], jnp.int32)
    return BlueprintLevel(arena(PRINT, agent, boxes), positions, jnp.arange(2) < len(sites))


SHELTER = Shelter(height=6, width=8, max_steps=10, max_boxes=2, boxes=2, long=1, pillar=2)


PILLAR = [(2, 3), (2, 4), (3, 3), (3, 4)]


def shelter_level(boxes, agent=(5, 7, NORTH), ramps=()):
    level = arena(SHELTER, agent, boxes, ramps, low=PILLAR)
    return ShelterLevel(level, level.low)


@functools.cache
def sampled(task, number=1000):
    return jax.jit(jax.vmap(task.sample_level))(jax.random.split(jax.random.key(number), number))
