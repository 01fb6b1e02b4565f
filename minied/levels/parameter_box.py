"""How are a level's parameters a point in the unit box, as teachers need it that measure distances between levels?

An `Interval` is scaled to [0, 1]. A `Choice` of n things is cut into n equal bins and stands at the middle of its own,
``(choice + ½) / n``: rounding a uniform number then gives every choice the same chance, those at the ends included. What
`Parameters.allowed` rules out is never chosen. Letters: ``h`` parameters, ``n`` choices of one of them.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from minied.levels.parameters import Choice, Interval, Parameters, allowed_choices, check_parameters


@dataclasses.dataclass(frozen=True)
class ParameterBox:
    """The unit box of ``parameters``. Raises `UserError` if they are none."""

    parameters: Parameters

    def __post_init__(self) -> None:
        check_parameters(self.parameters)

    @property
    def size(self) -> int:
        """How many parameters there are, h."""
        return len(self.parameters.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """What each is called."""
        return tuple(part.name for part in self.parameters.parts)

    def point(self, values: jax.Array) -> jax.Array:
        """Return where in the box ``values`` ``f32[h]`` are, ``f32[h]``."""
        lows, widths = self._bounds
        return (values - lows) / widths

    def nearest(self, point: jax.Array) -> jax.Array:
        """Return the allowed values that are nearest to ``point`` ``f32[h]``, ``f32[h]``, parameter by parameter.

        A number beyond an end is taken as that end. Of two choices that are equally near it is the lower.
        """

        def distances(index: int, number: int) -> jax.Array:
            middles = (jnp.arange(number, dtype=jnp.float32) + 0.5) / number
            return jnp.abs(middles - point[index])

        return self._chosen(point, distances)

    def uniform(self, key: jax.Array) -> jax.Array:
        """Return random values, ``f32[h]``, each uniform over what those before it leave. Consumes ``key``."""
        keys = jax.random.split(key, self.size + 1)

        def lots(index: int, number: int) -> jax.Array:
            return jax.random.uniform(keys[index], (number,))

        return self._chosen(jax.random.uniform(keys[-1], (self.size,)), lots)

    def _chosen(self, point: jax.Array, costs: Callable[[int, int], jax.Array]) -> jax.Array:
        """Return values ``f32[h]``: of intervals those of ``point``, of choices the allowed one of least cost ``f32[n]``."""
        lows, widths = self._bounds
        scaled = lows + widths * point
        values = jnp.asarray([0.0 if isinstance(part, Choice) else part.low for part in self.parameters.parts])
        for index, part in enumerate(self.parameters.parts):
            if isinstance(part, Interval):
                chosen = jnp.clip(scaled[index], part.low, part.high)  # what is beyond an end, if only by rounding
            else:
                is_allowed = allowed_choices(self.parameters, index, values)
                cheapest = jnp.argmin(jnp.where(is_allowed, costs(index, part.number), jnp.inf))
                chosen = cheapest.astype(jnp.float32)
            values = values.at[index].set(chosen)
        return values

    @property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower end and the width of each parameter, ``f32[h]``."""
        parts = self.parameters.parts
        lows = [-0.5 if isinstance(part, Choice) else part.low for part in parts]
        widths = [part.number if isinstance(part, Choice) else part.high - part.low for part in parts]
        return np.asarray(lows, np.float32), np.asarray(widths, np.float32)
