"""Finding things by name or import path, and naming them again."""

import sys
import types

import pytest
from toy_worlds import Corridor, failure_rate

from minied import registry
from minied.errors import UserError
from minied.scores.max_mc import max_mc
from minied.teachers.prioritized_level_replay import PrioritizedLevelReplay


@pytest.mark.parametrize("kind", ["teacher", "score", "bonus"])
def test_every_registered_name_loads_and_is_named_again(kind):
    assert registry.names(kind) == sorted(registry.names(kind))
    for name in registry.names(kind):
        assert registry.name_of(registry.load(kind, name)) == name


def test_shipped_names_are_there():
    assert {
        "accel", "alp_gmm", "domain_randomization", "fixed_curriculum", "learned_mixture", "map_elites", "ncc",
        "parallel_accel", "parallel_plr", "plr", "robust_plr", "sfl", "uniform_replay",
    } <= set(registry.names("teacher"))  # fmt: skip
    assert {
        "entropy", "exact_regret", "generalized_learnability", "l1_value_loss", "learnability", "least_confidence",
        "max_mc", "mean_return", "min_margin", "negative_advantage_if_solved", "negative_return", "novelty",
        "one_step_td", "parameter_change", "policy_disagreement", "positive_value_loss", "return_variance", "signed_gae",
        "value_disagreement",
    } <= set(registry.names("score"))  # fmt: skip
    assert {"achievements", "counts", "none"} <= set(registry.names("bonus"))


def test_import_path_loads_a_users_own_thing_and_names_it_again():
    assert registry.load("score", "toy_worlds:failure_rate") is failure_rate
    assert registry.name_of(failure_rate) == "toy_worlds:failure_rate"
    assert registry.load("environment", registry.name_of(Corridor)) is Corridor


def test_import_path_of_a_registered_thing_loads_the_same_thing():
    assert registry.load("score", "minied.scores.max_mc:max_mc") is max_mc


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("teacher", "robust_prl", "did you mean 'robust_plr'?"),
        ("score", "maxmc", "did you mean 'max_mc'?"),
        ("score", "zzz", "known: "),
        ("score", "no_such_module:thing", "no_such_module"),
        ("score", "toy_worlds:no_such_function", "no_such_function"),
        ("score", ":max_mc", ":max_mc"),
        ("score", ".relative:max_mc", ".relative"),
        ("score", "toy_worlds:", "toy_worlds:"),
    ],
)
def test_what_cannot_be_found_is_told_in_one_line(kind, name, says):
    with pytest.raises(UserError) as error:
        registry.load(kind, name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def lookalike(monkeypatch):
    """A user's module whose path begins like that of a registered class, with a class of the same name."""
    name = PrioritizedLevelReplay.__module__ + "_by_someone_else"
    module = types.ModuleType(name)
    module.PrioritizedLevelReplay = type("PrioritizedLevelReplay", (), {"__module__": name})
    monkeypatch.setitem(sys.modules, name, module)
    return module.PrioritizedLevelReplay


def test_a_users_class_is_not_taken_for_a_registered_one_of_the_same_name(lookalike):
    """A config is saved by name: if the name meant another class, a resumed run would be another run."""
    assert registry.load("teacher", registry.name_of(lookalike)) is lookalike


class Outer:
    class Inner:
        pass


def test_a_nested_class_can_be_loaded_by_the_name_it_is_given():
    assert registry.load("teacher", registry.name_of(Outer.Inner)) is Outer.Inner


def test_a_users_class_that_subclasses_a_registered_one_keeps_its_own_name():
    class PrioritizedLevelReplay2(PrioritizedLevelReplay):
        pass

    assert registry.name_of(PrioritizedLevelReplay2) != "plr"


def test_two_packages_with_one_world_name_are_an_error(monkeypatch):
    entries = [
        types.SimpleNamespace(name="maze", value="a:Maze"),
        types.SimpleNamespace(name="maze", value="b:Maze"),
    ]
    registry._worlds.cache_clear()
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: entries)
    try:
        with pytest.raises(UserError, match="two installed packages register the environment 'maze'"):
            registry.names("environment")
    finally:
        registry._worlds.cache_clear()
