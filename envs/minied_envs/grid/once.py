"""How is XLA kept from computing the same thing again for every one of its readers?

On CPU it fuses a chain of cheap operations into whatever reads the result, and computes the whole chain again for each
element that does: for each of the 49 cells of a view, say, what became of the map. It does not do so with a chain that ends
in an operation it takes for expensive, of which a remainder is the cheapest. (By then there is no barrier left of
`jax.lax.optimization_barrier`.)
"""

import jax
import jax.numpy as jnp


def once(values: jax.Array) -> jax.Array:
    """Return ``values`` as they are, of an unsigned type and all less than its largest number, computed once.

    The remainder by that number changes nothing. Worth its cost where many read what took a while; seen by timing alone.
    """
    return jax.lax.rem(values, jnp.asarray(jnp.iinfo(values.dtype).max, values.dtype))
