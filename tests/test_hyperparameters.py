"""Float fields are leaves, everything else is static: the rule by which settings share a program."""

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied.errors import UserError
from minied.hyperparameters import Hyperparameters, require_choice, require_range
from minied.students.ppo import PPOConfig
from minied.teachers.prioritized_level_replay import PrioritizedLevelReplay


class Toy(Hyperparameters):
    checked: ClassVar[int] = 0
    rate: float = 0.5
    size: int = 3
    kind: Literal["a", "b"] = "a"
    is_on: bool = False
    power: float = 2.0

    def check(self):
        Toy.checked += 1
        require_range(self, "rate", 0, 1, open_low=True)
        require_choice(self, "kind", ("a", "b"))


def test_leaves_are_the_float_fields_and_nothing_else():
    leaves = jax.tree_util.tree_leaves_with_path(Toy())
    assert [(str(path[-1]), leaf) for path, leaf in leaves] == [(".rate", 0.5), (".power", 2.0)]
    ppo = {str(path[-1])[1:] for path, _ in jax.tree_util.tree_leaves_with_path(PPOConfig())}
    assert ppo == {
        "learning_rate", "discount", "gae_lambda", "clip", "value_coefficient", "entropy_coefficient", "max_grad_norm",
        "adam_epsilon", "cloning_coefficient",
    }  # fmt: skip
    plr = {str(path[-1])[1:] for path, _ in jax.tree_util.tree_leaves_with_path(PrioritizedLevelReplay())}
    assert plr == {
        "replay_probability", "minimum_fill", "temperature", "staleness_coefficient", "score_smoothing", "score_max_share",
    }  # fmt: skip


def test_static_fields_are_part_of_the_tree_and_floats_are_not():
    structure = jax.tree.structure
    assert structure(Toy(rate=0.1)) == structure(Toy(rate=0.9, power=7.0))
    for other in (Toy(size=4), Toy(kind="b"), Toy(is_on=True)):
        assert structure(other) != structure(Toy())


def test_a_function_is_traced_once_for_all_floats_and_anew_for_another_static_field():
    traces = []

    @jax.jit
    def area(config):
        traces.append(config.size)
        return config.rate * config.size

    assert float(area(Toy(rate=0.5).traced())) == 1.5
    assert float(area(Toy(rate=0.25, power=9.0).traced())) == 0.75
    assert traces == [3]
    assert float(area(Toy(size=4).traced())) == 2.0
    assert traces == [3, 4]


def test_traced_leaves_are_f32_scalars_and_keep_the_values():
    traced = Toy(rate=0.25).traced()
    assert traced.rate.dtype == jnp.float32
    assert traced.rate.shape == ()
    assert not traced.rate.weak_type
    assert float(traced.rate) == 0.25
    assert traced.kind == "a"


def test_members_with_different_floats_are_one_tree_with_a_leading_axis():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(Toy(rate=r).traced() for r in (0.1, 0.2, 0.3)))
    got = jax.vmap(lambda config: config.rate * config.size)(stacked)
    np.testing.assert_allclose(got, [0.3, 0.6, 0.9], rtol=1e-6)


def test_check_runs_when_a_user_builds_and_never_when_jax_rebuilds():
    before = Toy.checked
    config = Toy()
    assert Toy.checked == before + 1
    rebuilt = jax.tree.map(lambda leaf: leaf * 1000, config)  # out of range, and no one objects
    assert rebuilt.rate == 500.0
    assert Toy.checked == before + 1


def test_numbers_given_as_integers_become_floats():
    config = Toy(rate=1)
    assert isinstance(config.rate, float)
    assert config == Toy(rate=1.0)


def test_configs_are_frozen_keyword_only_and_refuse_unknown_fields():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Toy().rate = 0.2
    with pytest.raises(TypeError):
        Toy(0.5)
    with pytest.raises(TypeError):
        Toy(raet=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0; allowed: (0, 1]"),
        ({"rate": 1.5}, "rate is 1.5; allowed: (0, 1]"),
        ({"rate": float("nan")}, "rate is nan; allowed: (0, 1]"),
        ({"kind": "c"}, "kind is 'c'; allowed: a, b"),
    ],
)
def test_errors_name_field_value_and_what_is_allowed(options, message):
    with pytest.raises(UserError) as error:
        Toy(**options)
    assert str(error.value) == message


def test_subclass_keeps_the_fields_of_its_parent():
    class Longer(Toy):
        extra: float = 1.0
        count: int = 2

    assert len(jax.tree.leaves(Longer())) == 3
    assert Longer(rate=0.25).rate == 0.25
