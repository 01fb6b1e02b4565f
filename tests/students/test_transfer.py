"""Which parameters of another network are taken, which are drawn anew, which are new: by name, to the leaf."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_entities import Arena
from toy_worlds import Corridor

from minied.errors import UserError
from minied.spaces import Box, Dict, Entities
from minied.students.networks.config import NetworkConfig
from minied.students.networks.teams import student_of
from minied.students.transfer import layers, match, named, plain, take_over

SMALL = NetworkConfig(entity_size=4, num_attention_heads=2, memory_size=3, head_size=3)


@dataclasses.dataclass(frozen=True)
class ArenaWithSites(Arena):
    """The same, and one more kind of things to see."""

    @property
    def observation_space(self):
        space = super().observation_space
        return Dict((*space.parts, ("sites", Entities(2, 3))), privileged=space.privileged)


@dataclasses.dataclass(frozen=True)
class Room(Corridor):
    """A world of pictures."""

    @property
    def observation_space(self):
        return Dict((("image", Box(0, 1, (4, 4, 1))), ("self", Box(0, 1, (2,)))))


def shapes_of(env, config):
    return jax.eval_shape(student_of(env, config).init, jax.random.key(0))


def parameters_of(env, config, num_members=2):
    """Parameters ``[Q, ...]`` by name: every number another one."""
    shapes = named(shapes_of(env, config))
    sizes = [num_members * int(np.prod(shape.shape)) for shape in shapes.values()]
    starts = np.cumsum([0, *sizes])
    return {
        name: np.arange(starts[i], starts[i + 1], dtype=np.float32).reshape(num_members, *shape.shape)
        for i, (name, shape) in enumerate(shapes.items())
    }


def fresh(env, config, num_members):
    return jax.tree.map(lambda leaf: -jnp.ones((num_members, *leaf.shape)), shapes_of(env, config))


def names(parts):
    return sorted(plain(name) for name in parts)


def of_layers(*layers_of):
    return sorted(f"{layer}/{name}" for layer in layers_of for name in ("kernel", "bias"))


def test_all_is_taken_and_members_go_round():
    env, config = Arena(), SMALL
    earlier = parameters_of(env, config)
    transfer = match(shapes_of(env, config), earlier, "none")
    assert set(transfer.taken) == set(earlier)
    assert transfer.reset == transfer.new == ()
    taken = named(take_over(fresh(env, config, 3), earlier, transfer))
    for name, leaf in earlier.items():
        np.testing.assert_array_equal(taken[name], leaf[[0, 1, 0]])  # members 0, 1 and 2 mod 2


def test_the_last_layer_and_its_norm_are_drawn_anew():
    earlier = parameters_of(Arena(), SMALL)
    transfer = match(shapes_of(Arena(), SMALL), earlier, "last")
    entities = "encoder/entities"
    norm = [f"{entities}/norm/bias", f"{entities}/norm/scale"]
    assert names(transfer.reset) == sorted(of_layers(f"{entities}/joined") + norm)
    assert set(transfer.taken) == set(earlier) - set(transfer.reset)
    # The norm of an attention block is another one.
    assert f"{entities}/block_0/norm/scale" in names(transfer.taken)
    merged = named(take_over(fresh(Arena(), SMALL, 1), earlier, transfer))
    assert all(np.all(merged[name] == -1) for name in transfer.reset)
    assert all(np.array_equal(merged[name], earlier[name][:1]) for name in transfer.taken)


def test_critics_of_their_own_have_a_last_layer_too():
    config = dataclasses.replace(SMALL, critic="own")
    transfer = match(shapes_of(Arena(), config), parameters_of(Arena(), config), "last")
    assert layers(transfer.reset).split(", ") == [
        "critic_encoder/entities/joined", "critic_encoder/entities/norm", "encoder/entities/joined",
        "encoder/entities/norm",
    ]  # fmt: skip


def test_all_heads_are_drawn_anew():
    config = dataclasses.replace(SMALL, num_value_heads=2, num_policy_heads=2)
    transfer = match(shapes_of(Arena(), config), parameters_of(Arena(), config), "heads")
    heads = [f"{kind}{part}" for kind in ("policy", "policy_1", "value_0", "value_1") for part in ("", "_hidden")]
    assert names(transfer.reset) == of_layers(*heads)


def test_of_teams_each_has_its_last_layer():
    config = dataclasses.replace(SMALL, parameters="team")
    transfer = match(shapes_of(Arena(), config), parameters_of(Arena(), config), "last")
    assert layers(transfer.reset).startswith("team_0/encoder/entities/joined, team_0/encoder/entities/norm, team_1/")


def test_without_entities_the_last_layer_is_the_projection_or_what_is_in_the_memorys_place():
    for options, last in (
        ({"image_projection": 5}, "encoder/image_projection"),
        ({"memory": "none"}, "memory/dense"),
    ):
        config = dataclasses.replace(SMALL, **options)
        transfer = match(shapes_of(Room(), config), parameters_of(Room(), config), "last")
        assert names(transfer.reset) == of_layers(last)
    with pytest.raises(UserError, match=r"start_from.reset is 'last', and this network has no such layer"):
        match(shapes_of(Room(), SMALL), parameters_of(Room(), SMALL), "last")


def test_what_the_new_network_has_more_is_new_and_nothing_else():
    earlier = parameters_of(Arena(), SMALL)
    transfer = match(shapes_of(ArenaWithSites(), SMALL), earlier, "none")
    assert names(transfer.new) == of_layers("encoder/entities/sites_embed")
    assert set(transfer.taken) == set(earlier)
    # And back: what it has less is left.
    back = match(shapes_of(Arena(), SMALL), parameters_of(ArenaWithSites(), SMALL), "none")
    assert back.new == ()
    assert set(back.taken) == set(earlier)


def test_another_shape_is_refused_unless_it_is_drawn_anew():
    wider = dataclasses.replace(SMALL, head_size=5)
    shapes, earlier = shapes_of(Arena(), SMALL), parameters_of(Arena(), wider)
    with pytest.raises(UserError) as error:
        match(shapes, earlier, "none")
    assert str(error.value) == (
        "start_from.run has policy/kernel of shape [5, 5]; allowed: [3, 5], as network and observation have it here"
    )
    transfer = match(shapes, earlier, "heads")
    assert names(transfer.reset) == of_layers("policy", "policy_hidden", "value_0", "value_0_hidden")
    merged = named(take_over(fresh(Arena(), SMALL, 1), earlier, transfer))
    assert jax.tree.map(jnp.shape, merged) == {name: (1, *leaf.shape) for name, leaf in named(shapes).items()}


def test_nothing_in_common_is_refused():
    config = dataclasses.replace(SMALL, parameters="team")
    for earlier in (parameters_of(Arena(), config), {}):
        with pytest.raises(UserError, match=r"start_from.run has no parameter that this network has: "):
            match(shapes_of(Arena(), SMALL), earlier, "none")
