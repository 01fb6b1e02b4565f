"""Finding things by name or import path, and naming them again."""

import sys
import types

import pytest
from toy_worlds import Corridor, failure_rate

from minied import registry
from minied.config import presets
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


@pytest.fixture
def installed(monkeypatch):
    """Pretend that other packages register things: ``installed(group, ("maze", "a:Maze"), ...)``."""

    def pretend(group, *entries):
        found = [types.SimpleNamespace(name=name, value=value) for name, value in entries]
        real = registry.importlib.metadata.entry_points

        def entry_points(group):
            return [*real(group=group), *(found if group == of else [])]

        of = group
        monkeypatch.setattr(registry.importlib.metadata, "entry_points", entry_points)
        registry._registered.cache_clear()

    yield pretend
    registry._registered.cache_clear()


def test_a_name_that_two_packages_register_is_an_error_for_who_asks_for_it_and_for_nobody_else(installed):
    installed("minied.envs", ("pond", "one:Pond"), ("pond", "another:Pond"))
    with pytest.raises(UserError) as error:
        registry.load("environment", "pond")
    assert "'pond' is registered by 2 packages: one:Pond, another:Pond; uninstall all but one" in str(error.value)
    assert registry.load("environment", "corridor").__name__ == "Corridor"
    assert "pond" in registry.names("environment")
    assert registry.name_of(Corridor) == "toy_worlds:Corridor"


def test_one_package_that_registers_a_thing_twice_alike_is_no_error(installed):
    installed("minied.envs", ("toy", "toy_worlds:Corridor"), ("toy", "toy_worlds:Corridor"))
    assert registry.load("environment", "toy") is Corridor
    assert registry.name_of(Corridor) == "toy"


def test_teachers_scores_and_bonuses_of_other_packages_have_names_too(installed):
    installed("minied.scores", ("failure_rate", "toy_worlds:failure_rate"))
    assert registry.load("score", "failure_rate") is failure_rate
    assert registry.name_of(failure_rate) == "failure_rate"


def test_a_name_of_minied_s_own_that_another_package_takes_is_told(installed):
    installed("minied.teachers", ("plr", "elsewhere:PLR"))
    with pytest.raises(UserError, match="'plr' is registered by 2 packages"):
        registry.load("teacher", "plr")
    assert registry.load("teacher", "accel").__name__ == "Accel"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_package", "no_such_package"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("", "Pond"),
    ],
)
def test_a_package_that_does_not_import_is_told_and_the_others_still_work(
    installed, tmp_path, monkeypatch, minied, source, says
):
    (tmp_path / "broken_pond.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_pond", raising=False)
    installed("minied.envs", ("pond", "broken_pond:Pond"))
    with pytest.raises(UserError, match="the environment 'pond' cannot be loaded") as error:
        registry.load("environment", "pond")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    code, out, _ = minied("list", "envs")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "cannot be loaded" in lines["pond"]
    assert "cannot be loaded" not in lines["corridor"]


def test_a_list_shows_a_name_that_is_registered_twice(installed, minied):
    installed("minied.envs", ("pond", "one:Pond"), ("pond", "another:Pond"))
    code, out, _ = minied("list", "envs")
    assert code == 0
    assert "registered by 2 packages: one:Pond, another:Pond" in out


def test_a_preset_of_two_packages_is_told_to_who_asks_for_it(installed, tmp_path, monkeypatch):
    for package in ("one_pond", "other_pond"):
        (tmp_path / package / "presets").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "presets/dr.yaml").write_text(f"# of {package}\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed("minied.presets", ("pond", "one_pond"), ("pond", "other_pond"), ("maze", "one_pond"))
    with pytest.raises(
        UserError, match=r"the preset 'pond/dr' is that of 2 packages: .*one_pond.*other_pond.*; uninstall"
    ):
        presets.find("pond/dr")
    assert presets.read(presets.find("maze/minimax_dr"))["env"]["name"] == "maze"  # minied's folder has no `dr`
    (tmp_path / "one_pond/presets/minimax_dr.yaml").touch()
    with pytest.raises(UserError, match="'maze/minimax_dr' is that of 2 packages"):
        presets.find("maze/minimax_dr")
    assert "maze/minimax_dr" in presets.available()
