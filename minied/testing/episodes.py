"""What is seen of a world in episodes of random, constant and alternating actions: numbers, spaces, ends."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.spaces import Box, Coded, Dict, Discrete, Entities, Mask, Ring
from minied.testing.comparing import row_of
from minied.testing.play import World
from minied.testing.report import Failure, Note, Skip


def finite(world: World) -> str:
    """Every number that is seen is finite."""
    world = world.shortened
    if not world.play.finite.all():
        step, row = (int(each[0]) for each in np.nonzero(~world.play.finite))
        raise Failure(
            f"a reward, an observation or info is NaN or infinite, first in step {step + 1} of row {row}",
            world.blame("step"),
        )
    return f"{world.play.rewards.shape[0] * world.num_rows} steps of random, constant and alternating actions"


def observations(world: World) -> str:
    """Observations are in their space."""
    world = world.shortened
    env, space = world.env, world.env.observation_space
    seen = world.play.observations
    leaves = jax.tree.leaves(seen)
    shape = leaves[0].shape[: 2 if env.num_agents == 1 else 3]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(shape) :]), seen)
    number = int(np.prod(shape))
    for index in np.unique(np.linspace(0, number - 1, min(number, 4096)).astype(int)):
        one = row_of(flat, index)
        if not space.contains(one):
            raise Failure(f"an observation is not in its space: {_outside(space, one)}", world.blame("step"))
    return f"{min(number, 4096)} observations of {number} kept are in their space"


def _outside(space: Any, value: Any, name: str = "it") -> str:
    """Return in words the first part that is not in its space."""
    if isinstance(space, Dict) and isinstance(value, dict) and set(value) == set(space.spaces):
        for part, inner in space.parts:
            if not inner.contains(value[part]):
                return _outside(inner, value[part], repr(part))
    if isinstance(space, (Box, Discrete, Coded, Ring)):
        array = np.asarray(value)
        return f"{name} is {array.dtype}{list(array.shape)} from {array.min()} to {array.max()}, not in {_named(space)}"
    kind = (
        "its flags or features"
        if isinstance(space, Entities)
        else "nothing is allowed"
        if isinstance(space, Mask)
        else "its names"
    )
    return f"{name}: {kind} are not those of {_named(space)}"


def _named(space: Any) -> str:
    if isinstance(space, Coded):
        return f"Coded({space.shape}, {space.num_codes} codes)"
    return str(space)[:120]


def exclusive_ends(world: World) -> str:
    """No step is terminated and truncated at once."""
    world = world.shortened
    both = world.ends.terminated & world.ends.truncated
    if both.any():
        raise Failure(
            f"step {int(both.any(axis=1).argmax()) + 1} of a row is terminated and truncated at once",
            world.blame("step"),
        )
    return "never terminated and truncated at once"


def episode_length(world: World) -> str:
    """Episodes end by ``max_steps``."""
    world = world.shortened
    limit, first = world.env.max_steps, world.ends.first
    late = (first == 0) | (first > limit)
    if late.any():
        row = int(late.argmax())
        when = f"ends at step {first[row]}" if first[row] else f"has not ended after {len(world.ends.ended)} steps"
        raise Failure(f"max_steps is {limit}, and a row {when}", world.blame("step"))
    index = first - 1, np.arange(world.num_rows)
    early = world.ends.truncated[index] & (first < limit)
    if early.any():
        raise Note(f"some episodes are truncated before max_steps ({limit}), from step {first[early].min()} on")
    terminated = int(world.ends.terminated[index].sum())
    timed_out = world.num_rows - terminated
    return f"every row ends by step {limit}: {terminated} terminated, {timed_out} by time-out"


def solved(world: World) -> str:
    """`is_solved` says yes to some episodes and no to others."""
    env = world.env
    shape = () if env.num_agents == 1 else (env.num_agents,)
    for value in (-1.0, 0.0, 1.0, 100.0):
        solved = jax.jit(env.is_solved)(jnp.full(shape, value, jnp.float32))
        if (str(solved.dtype), solved.shape) != ("bool", ()):
            raise Failure(
                f"is_solved returns {solved.dtype}{list(solved.shape)}; allowed: bool[]", world.blame("is_solved")
            )
    world = world.shortened
    returns = world.play.returns[world.play.ended]
    if not len(returns):
        raise Skip("no episode ended")
    # of the world that was played: what counts as solved may go by max_steps
    share = float(np.mean(jax.vmap(world.env.is_solved)(jnp.asarray(returns))))
    if share == 1.0 and world.env.max_steps > 1:
        raise Note("every episode of random and constant actions is solved: is_solved tells nothing")
    return f"{share:.0%} of {len(returns)} episodes without a policy are solved"


def rewards(world: World) -> str:
    """There is a reward."""
    world = world.shortened
    rewards = world.play.rewards
    if world.env.has_rewards and not np.any(rewards):
        raise Note("no reward other than 0 was seen with random and constant actions")
    return f"rewards from {rewards.min():g} to {rewards.max():g}"
