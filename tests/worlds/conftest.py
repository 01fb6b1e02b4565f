import jax
import pytest


@pytest.fixture(autouse=True)
def strict_numpy():
    """No silent broadcasting between ranks, no silent dtype promotion."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
