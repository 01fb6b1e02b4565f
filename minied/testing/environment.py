"""Does a world keep the contract of `minied.env`? `check_env`, a check a rule."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment
from minied.testing import episodes, kinds, restarts
from minied.testing.comparing import difference, num_traces, row_of
from minied.testing.keys import key_reuses
from minied.testing.play import World
from minied.testing.report import Check, Failure, Finding, Report, run_checks
from minied.testing.speed import measure, sentence


def check_env(
    env: Environment,
    *,
    seed: int = 0,
    num_levels: int = 16,
    most_steps: int | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    tell: Callable[[Finding], None] | None = None,
) -> Report:
    """Return what is right and wrong with a world; its levels are for `minied.testing.check_level_space`.

    Args:
        env: an instance, as an author writes it (without an agent axis if it has one agent).
        seed: of levels, actions and keys.
        num_levels: L, how many levels of its generator are looked at.
        most_steps: that a row may take; a world of longer episodes is looked at with a smaller ``max_steps``.
        only: names of checks to run, of `ENVIRONMENT_CHECKS`; empty: all.
        skip: names of checks to leave out.
        tell: is called with each finding as soon as it is there.
    """
    world = World(env, seed, num_levels, most_steps or World.most_steps)
    report = run_checks(chosen(ENVIRONMENT_CHECKS, only, skip), world, type(env).__name__, tell)
    return dataclasses.replace(report, figures=world.figures)


def chosen(checks: Sequence[Check], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """Return the checks that are to be run."""
    return [check for check in checks if (not only or check.name in only) and check.name not in skip]


# -- how it computes ---------------------------------------------------------------------------------------------------


def _one_trace(world: World) -> str:
    """One program serves every level, state and action."""
    env = world.env
    reset, step = jax.jit(lambda key, level: env.reset(key, level)), jax.jit(lambda *given: env.step(*given))
    for index in range(3):
        level = world.level(index)
        _, state = reset(world.key(11, index), level)
        for number in range(3):
            _, state, *_ = step(world.key(12, index, number), state, world.action(index + number), level)
    for name, compiled in (("reset", reset), ("step", step)):
        if (count := num_traces(compiled)) > 1:
            raise Failure(f"{name} was compiled {count} times for levels and states of one form", world.blame(name))
    return "compiled once for every level, state and action"


def _jit(world: World) -> str:
    """A reset and two steps are the same compiled and uncompiled."""
    env, level = world.env, world.level(0)
    told = "compiled and uncompiled differ"
    observation, state = env.reset(world.key(13), level)
    _require_alike(world.reset(world.key(13), level), (observation, state), f"{told} in reset", world.blame("reset"))
    for number in range(2):
        given = world.key(14, number), state, world.action(number + 1), level
        found = env.step(*given)
        _require_alike(world.step(*given), found, f"{told} in step", world.blame("step"))
        state = found[1]
    return "a reset and two steps are the same without jit"


def _require_alike(expected: Any, found: Any, told: str, look_at: Any, *, exact: bool = False) -> None:
    if seen := difference(expected, found, exact=exact):
        raise Failure(f"{told}: {seen}", look_at)


def _vmap(world: World) -> str:
    """Levels in a batch are as one by one."""
    env, count = world.env, min(4, world.num_levels)
    levels = jax.tree.map(lambda leaf: leaf[:count], world.levels)
    keys = jax.random.split(world.key(15), (2, count))
    actions = jnp.stack([world.action(index) for index in range(count)])
    observations, states = jax.jit(jax.vmap(env.reset))(keys[0], levels)
    stepped = jax.jit(jax.vmap(env.step))(keys[1], states, actions, levels)
    for index in range(count):
        one = world.reset(keys[0, index], world.level(index))
        _require_alike(
            one, row_of((observations, states), index), "alone and in a batch differ in reset", world.blame("reset")
        )
        one = world.step(keys[1, index], one[1], actions[index], world.level(index))
        _require_alike(one, row_of(stepped, index), "alone and in a batch differ in step", world.blame("step"))
    return f"{count} levels at once are as one by one"


def _determinism(world: World) -> str:
    """Equal inputs give equal bits, in programs of their own too."""
    env, number, steps = world.env, min(4, world.num_levels), min(8, world.env.max_steps)
    programs = []
    for _ in range(2):  # what Python drew while one program was traced is another number in the other
        programs.append((jax.jit(lambda *given: env.reset(*given)), jax.jit(lambda *given: env.step(*given))))
    for index in range(number):
        level = world.level(index)
        starts = [reset(world.key(16, index), level) for reset, _ in programs]
        _require_same(world, starts, "reset")
        state = starts[0][1]
        for count in range(steps):
            given = world.key(17, index, count), state, world.action(index + count), level
            after = [step(*given) for _, step in programs]
            _require_same(world, after, "step")
            _require_alike(after[0], programs[0][1](*given), "step differs when it is called again",
                           world.blame("step"), exact=True)  # fmt: skip
            state = after[0][1]
    return f"equal inputs, equal bits, in programs of their own too: {number} levels, {steps} steps each"


def _require_same(world: World, runs: Sequence[Any], method: str) -> None:
    told = f"two programs of the same {method} differ on the same input"
    _require_alike(runs[0], runs[1], told, world.blame(method), exact=True)


def _keys(world: World) -> str:
    """No key is used twice in an episode's start and first steps, typed or raw words."""
    env = world.env

    def episode(key: jax.Array, level: Any) -> Any:
        keys = jax.random.split(key, 3)
        _, state = env.reset(keys[0], level)
        _, state, *_ = env.step(keys[1], state, world.action(0), level)
        return env.step(keys[2], state, world.action(1), level)

    found = key_reuses(episode, world.key(18), world.level(0))
    if found and found[0].constant:
        raise Failure(
            "a key made of constants is used: the same numbers at every call", found[0].where or world.blame("step")
        )
    if found:
        first = f", first at {found[0].first}" if found[0].first != found[0].where else ""
        raise Failure(f"a key is used again that was used before{first}", found[0].where or world.blame("step"))
    return "no key is used twice in a reset and two steps"


def _donation(world: World) -> str:
    """States and observations can be given away; nothing of the world's own goes with them."""
    env, key = world.env, world.key(19)
    fresh = jax.jit(lambda level: jax.tree.map(jnp.copy, level))
    step = jax.jit(
        lambda key, _, state, action, level: env.step(key, state, action, level),
        donate_argnums=(1, 2),
        keep_unused=True,
    )
    seen = []
    for _ in range(2):  # a second time: what the world keeps for itself was given away in the first
        observation, state = _each_once(env.reset(key, fresh(world.level(0))))
        seen.append(jax.tree.map(_on_host, observation))
        jax.block_until_ready(step(world.key(20), observation, state, world.action(0), fresh(world.level(0))))
    if told := difference(seen[0], seen[1], exact=True):
        raise Failure(f"the first observation is another after buffers were given away: {told}", world.blame("reset"))
    return "states and observations can be given away"


def _each_once(tree: Any) -> Any:
    """Return ``tree`` with a copy of each array that is in it a second time: no buffer can be given away twice."""
    seen: set[int] = set()

    def once(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        if id(leaf) in seen:
            return jnp.copy(leaf)
        seen.add(id(leaf))
        return leaf

    return jax.tree.map(once, tree)


def _on_host(leaf: jax.Array) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.array(jax.random.key_data(leaf) if is_key else leaf)


def _speed(world: World) -> str:
    """How fast it is, and how many bytes it takes: an estimate."""
    world.figures.update(measure(world))
    return sentence(world.figures)


ENVIRONMENT_CHECKS = (
    Check("identity", kinds.identity, "what is compiled is kept by its world: it compiles at every call, or too seldom"),
    Check("spaces", kinds.spaces, "the network is built for other inputs and outputs than the world has",
          "observation_space"),
    Check("forms", kinds.forms, "lax.scan refuses the loop, or it compiles a second time after the first step", "step"),
    Check("one_trace", _one_trace, "the loop compiles again for other levels: minutes each, for as long as training lasts",
          "step"),
    Check("jit", _jit, "what is trained on is not what a person sees when they try the world", "step"),
    Check("vmap", _vmap, "levels of a batch disturb each other: scores belong to other levels", "step"),
    Check("determinism", _determinism, "a run cannot be repeated or resumed", "step"),
    Check("keys", _keys, "random numbers repeat: noise is correlated, and looks like structure to learn", "step"),
    Check("donation", _donation, "a buffer that is given away is read again: 'Array has been deleted'", "reset"),
    Check("finite", episodes.finite, "one NaN reaches the parameters, and the run is lost", "step"),
    Check("observations", episodes.observations, "the network reads codes without a meaning, or numbers out of scale",
          "step"),
    Check("exclusive_ends", episodes.exclusive_ends, "values are bootstrapped past an end, or not past a time-out", "step"),
    Check("episode_length", episodes.episode_length, "episodes never finish in a rollout: no level is ever scored", "step"),
    Check("no_automatic_reset", restarts.no_restart, "the last observation is another episode's: scores are wrong", "step"),
    Check("rewards", episodes.rewards, "there is nothing to learn", "step"),
    Check("solved", episodes.solved, "solve rates and learnability mean nothing", "is_solved"),
    Check("speed", _speed, "it cannot be trained on", "step"),
)  # fmt: skip
"""In the order in which they are run."""
