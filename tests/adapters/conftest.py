"""What tests of several adapters need."""

import gymnax
import jax
import pytest


@pytest.fixture
def registry_of_its_own(monkeypatch):
    """What a test registers in gymnax is gone afterwards."""
    registration = gymnax.registration
    monkeypatch.setattr(registration, "_registry", dict(registration._registry))
    monkeypatch.setattr(registration, "registered_envs", list(gymnax.registered_envs))
    monkeypatch.setattr(gymnax, "registered_envs", registration.registered_envs)


@pytest.fixture(scope="module")
def library_promotes_ranks():
    """Some libraries add vectors to matrices as NumPy allows, which the tests of minied's own code forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield
