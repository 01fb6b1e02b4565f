"""What is computed once is the same as before."""

import jax.numpy as jnp
import numpy as np
import pytest

from minied_envs.grid.once import once


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint16, jnp.uint32])
def test_nothing_changes(dtype):
    most = np.iinfo(np.dtype(dtype)).max
    values = jnp.asarray([0, 1, 2, 100, most - 2, most - 1], dtype)
    np.testing.assert_array_equal(once(values), values)
    assert once(values).dtype == dtype
