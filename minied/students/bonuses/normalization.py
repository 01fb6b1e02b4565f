"""What is an unusual observation? Every number by its running mean and deviation, as a bonus's networks read it.

Burda et al. 2018 (arXiv 1810.12894, section 2.4): less the running mean, divided by the running standard deviation, clipped
to ±5; a network whose parameters are never learnt cannot adjust to the scale of its inputs. What is chosen (`Discrete`)
stays as it is, codes become the numbers they stand for, entities have one mean for each feature of their kind, over those
that are visible. Parts that no policy reads stay as they are, and nothing here reads them.

One deviation: the published statistics begin with 6,400 steps of random play. Here a rollout is taken into the statistics
before it is normalised by them, so that they are never empty, and no step is played for them alone.

Letters: ``T`` steps, ``B`` environments, ``N`` agents.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from minied.spaces import Box, Coded, Dict, Entities, Ring, Space
from minied.spread import Spread
from minied.students.running_statistics import Moments

LARGEST = 5.0

Statistics = dict[str, Moments]
"""Of each part of an observation that consists of numbers, by name; of one without parts by the name `WHOLE`."""

WHOLE = "observation"


def first_statistics(space: Space) -> Statistics:
    """Return the statistics of no observation."""
    return {name: Moments.of_nothing(_shape(part)) for name, part in _parts(space).items() if _is_normalized(part)}


def updated(statistics: Statistics, space: Space, observations: Any, present: jax.Array, spread: Spread) -> Statistics:
    """Return the statistics with more observations taken in.

    Args:
        statistics: before, of all devices.
        space: of one observation.
        observations: ``[T, B, N, ...]``, on several devices those of this one.
        present: ``bool[T, B, N]``, which of them count.
        spread: over devices.
    """

    def one(name: str, moments: Moments) -> Moments:
        part, value = _parts(space)[name], _value(space, observations, name)
        counts = present
        if isinstance(part, Entities):
            counts = present[..., None] & value["visible"]
        return moments.merged(Moments.of(_numbers(part, value), counts, spread))

    return {name: one(name, moments) for name, moments in statistics.items()}


def normalized(statistics: Statistics, space: Space, observations: Any) -> Any:
    """Return observations, leaves ``[..., ...]``, as `normalized_space` describes them."""

    def one(name: str, moments: Moments) -> Any:
        part, value = _parts(space)[name], _value(space, observations, name)
        numbers = _numbers(part, value)
        apart = (numbers - _aligned(moments.mean, numbers)) / _aligned(moments.deviation, numbers)
        clipped = jnp.clip(apart, -LARGEST, LARGEST)
        return value | {"features": clipped} if isinstance(part, Entities) else clipped

    changed = {name: one(name, moments) for name, moments in statistics.items()}
    if isinstance(space, Dict):
        return observations | changed
    return changed.get(WHOLE, observations)


def normalized_space(space: Space) -> Space:
    """Return the space of `normalized` observations, which an `Encoder` reads."""
    if isinstance(space, Dict):
        parts = _parts(space)
        changed = tuple((name, _space(part) if name in parts else part) for name, part in space.parts)
        return Dict(changed, space.privileged)
    return _space(space)


def _space(part: Space) -> Space:
    return Box(-LARGEST, LARGEST, _shape(part)) if isinstance(part, (Box, Coded)) else part


def _parts(space: Space) -> dict[str, Space]:
    """Return what a policy reads of an observation, by name."""
    if not isinstance(space, Dict):
        return {WHOLE: space}
    return {name: part for name, part in space.parts if name not in space.privileged}


def _value(space: Space, observation: Any, name: str) -> Any:
    return observation[name] if isinstance(space, Dict) else observation


def _is_normalized(part: Space) -> bool:
    return isinstance(part, (Box, Coded, Ring, Entities))


def _shape(part: Space) -> tuple[int, ...]:
    """Return the shape of what one mean and deviation is kept of each number."""
    if isinstance(part, Entities):
        return (part.num_features,)
    if isinstance(part, Coded):
        channels = len(part.features[0])
        # As the encoder reads them: an image with channels, or one vector.
        return (*part.shape, channels) if len(part.shape) == 2 else (math.prod(part.shape) * channels,)
    return part.shape  # type: ignore[union-attr]


def _numbers(part: Space, value: Any) -> jax.Array:
    """Return the numbers of a part, ``f32[..., shape]``."""
    if isinstance(part, Entities):
        return value["features"]
    if isinstance(part, Coded):
        leading = value.shape[: value.ndim - len(part.shape)]
        return part.decode(value).reshape(*leading, *_shape(part))
    return value.astype(jnp.float32)


def _aligned(moment: jax.Array, numbers: jax.Array) -> jax.Array:
    """Return ``moment`` ``f32[shape]`` with as many axes as ``numbers`` ``f32[..., shape]``."""
    return moment.reshape((1,) * (numbers.ndim - moment.ndim) + moment.shape)
