"""What the adapters share: a library that is missing, too old, too new or broken; actions in bins."""

import dataclasses
import importlib
import importlib.metadata
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from minied import registry
from minied.adapters import base
from minied.adapters.base import AdaptedEnvironment, BinnedActions, Library, require
from minied.adapters.outward import GYMNASIUM
from minied.adapters.pettingzoo import PETTINGZOO
from minied.errors import UserError
from minied.levels.space import OPTIONAL_CAPABILITIES
from minied.spaces import Discrete, MultiDiscrete

ADAPTED = ("craftax", "gymnax", "jaxmarl", "jumanji", "navix", "xminigrid")
POND = Library("pond-world", "pond_world", at_least="1.2", below="2", run_with="1.4.0", extra="pond")


@pytest.fixture
def installed(monkeypatch):
    """Pretend that pond-world of some version is installed, importable or not."""

    def pretend(version, module):
        real = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == POND.package else real(name))
        monkeypatch.setitem(sys.modules, POND.module, module)
        base._imported.cache_clear()

    yield pretend
    base._imported.cache_clear()


def test_a_missing_library_is_told_with_the_extra_that_installs_it():
    with pytest.raises(UserError) as error:
        require(POND)
    assert str(error.value) == "pond-world is not installed; pip install 'minied[pond]'"


@pytest.mark.parametrize("version", ["1.1.9", "0.9", "2", "2.0.1", "10.0"])
def test_a_version_that_is_not_supported_is_told_with_those_that_are(installed, version):
    installed(version, types.ModuleType("pond_world"))
    with pytest.raises(UserError) as error:
        require(POND)
    told = f"pond-world is {version}; allowed: 1.2 or newer, below 2 (the adapter was run with 1.4.0)"
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("version", ["1.2", "1.2.0", "1.10", "1.4.0rc1", "1.9.9"])
def test_a_supported_version_is_imported(installed, version):
    module = types.ModuleType("pond_world")
    installed(version, module)
    assert require(POND) is module


def test_a_library_that_does_not_import_is_told(installed):
    installed("1.4.0", None)  # what makes an import fail
    with pytest.raises(UserError, match="pond-world does not import"):
        require(POND)


@pytest.mark.parametrize("last_words", ["raise SystemExit(3)", "raise ValueError('one\\ntwo')"])
def test_a_library_that_ends_as_it_is_imported_is_told_in_a_line(tmp_path, monkeypatch, last_words):
    (tmp_path / "dry_pond.py").write_text(last_words + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
    monkeypatch.delitem(sys.modules, "dry_pond", raising=False)
    base._imported.cache_clear()
    with pytest.raises(UserError, match=r"^pond-world does not import \((3|one two)\); pip install 'minied\[pond\]'$"):
        require(dataclasses.replace(POND, module="dry_pond"))


def test_a_library_that_sets_the_streams_anew_leaves_them_as_they_were(tmp_path, monkeypatch, capsys):
    lines = "import io, sys\nsys.stdout = sys.__stdout__\nsys.stderr = io.StringIO()\nprint('hello')\n"
    (tmp_path / "rude_pond.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
    before = sys.stdout, sys.stderr, sys.__stdout__
    require(dataclasses.replace(POND, module="rude_pond"))
    assert (sys.stdout, sys.stderr, sys.__stdout__) == before
    assert capsys.readouterr().out == ""


def test_what_a_library_prints_as_it_is_imported_is_not_shown(tmp_path, monkeypatch, capsys):
    (tmp_path / "noisy_pond.py").write_text("import warnings\nprint('hello')\nwarnings.warn('old')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.4.0")
    require(dataclasses.replace(POND, module="noisy_pond"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapted_world_says_what_it_was_run_with_and_offers_what_there_is(name):
    world = registry.load("environment", name)
    assert issubclass(world, AdaptedEnvironment)
    assert set(world.offers) <= set(OPTIONAL_CAPABILITIES)
    assert world.library.run_with in (world.__doc__ or "")


@pytest.mark.parametrize("name", ADAPTED)
def test_each_extra_is_one_of_the_package(name):
    library = registry.load("environment", name).library
    extras = importlib.metadata.metadata("minied").get_all("Provides-Extra") or []
    assert library.extra == "" or library.extra in extras


@pytest.mark.parametrize("name", ADAPTED)
def test_the_library_of_a_world_is_had_by_one_call(name):
    world = registry.load("environment", name)
    assert require(world.library).__name__ == world.library.module
    assert require(world().library) is require(world.library)


@pytest.mark.parametrize(("name", "library"), [("gymnasium", GYMNASIUM), ("pettingzoo", PETTINGZOO)])
def test_an_adapter_the_other_way_says_what_it_was_run_with(name, library):
    told = importlib.import_module(f"minied.adapters.{name}").__doc__ or ""
    assert f" {library.run_with}. " in told


def test_binned_actions_go_from_bound_to_bound_evenly():
    bins = BinnedActions.of([-1.0, 0.0], [1.0, 4.0], (2,), 5)
    assert bins.space == MultiDiscrete((5, 5))
    # action 5·a + b: number 0 is −1 + 2a/4, number 1 is 0 + 4b/4
    np.testing.assert_allclose(bins.decode(jnp.int32(0)), [-1.0, 0.0])
    np.testing.assert_allclose(bins.decode(jnp.int32(13)), [0.0, 3.0])
    np.testing.assert_allclose(bins.decode(jnp.int32(24)), [1.0, 4.0])
    one = BinnedActions.of(-2.0, 2.0, (1,), 3)
    assert one.space == Discrete(3)
    np.testing.assert_allclose([one.decode(jnp.int32(i))[0] for i in range(3)], [-2.0, 0.0, 2.0])


@pytest.mark.parametrize(("low", "high", "bins", "says"), [
    (0.0, 1.0, 1, "action_bins is 1; allowed: 2 to 64"), (-np.inf, 1.0, 3, "allowed: finite bounds"),
])  # fmt: skip
def test_bins_that_cannot_be_are_refused(low, high, bins, says):
    with pytest.raises(UserError, match=says):
        BinnedActions.of(low, high, (1,), bins)
