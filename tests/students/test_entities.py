"""Attention among entities: what is hidden is not read, order does not matter, and the arithmetic is that of the paper.

Letters: ``T`` steps, ``M`` rows, ``E`` entities, ``D`` size of an embedding.
"""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_cases import M, T, apply, close, drawn, general, largest, observations, same

from minied.errors import UserError
from minied.spaces import Box, Coded, Dict, Discrete, Entities, Ring
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.networks.encoders import CircularConvolution, Encoder
from minied.students.networks.entities import EntityEncoder, attention

D, HEADS = 6, 2
SPACE = Dict(
    (
        ("boxes", Entities(4, 3)),
        ("self", Box(-1, 1, (2,))),
        ("ramps", Entities(2, 1)),
        ("lidar", Ring(5)),
        ("team", Discrete(2)),
    )
)
WITH_IMAGE = Dict((("view", Coded((4, 5), ((0.0,), (1.0,)))), *SPACE.parts))
NETWORK = NetworkConfig(
    entity_size=D, num_attention_heads=HEADS, num_attention_blocks=2, ring_filters=2, embedding_size=3, conv_filters=2,
    memory="none", memory_size=5, head_size=4,
)  # fmt: skip
STUDENT = ActorCritic(SPACE, Discrete(3), NETWORK)
NO_RESETS = jnp.zeros((T, M), bool)


def run(student, observation):
    """Logits and values."""
    return apply(student, general(student), (), observation, NO_RESETS)[1:]


@jax.jit
def gradients(parameters, floats, rest):
    """Of all outputs, by parameters and by what is seen."""

    def outputs(parameters, floats):
        observation = {
            name: floats.get(name, {}) | part if isinstance(part, dict) else part for name, part in rest.items()
        }
        _, logits, values = STUDENT.apply(parameters, (), observation, NO_RESETS)
        return jnp.sum(jnp.sin(logits)) + jnp.sum(jnp.cos(values))

    return jax.grad(outputs, argnums=(0, 1))(parameters, floats)


def gradients_of(observation):
    kinds = ("boxes", "ramps")
    floats = {name: {"features": observation[name]["features"]} for name in kinds}
    rest = observation | {name: {k: v for k, v in observation[name].items() if k != "features"} for name in kinds}
    return gradients(general(STUDENT), floats, rest)


def with_features(observation, change, flag="visible"):
    """The observation with `change(features)` where an entity lacks the flag."""
    changed = dict(observation)
    for name in ("boxes", "ramps"):
        part = observation[name]
        features = jnp.where(part[flag][..., None], part["features"], change(part["features"]))
        changed[name] = part | {"features": features}
    return changed


# -- the arithmetic ----------------------------------------------------------------------------------------------------


def by_hand(p, own, entities, num_blocks):
    """One row in NumPy, one entity after the other: those that are not seen are left out altogether."""
    relu = lambda x: np.maximum(x, 0.0)  # noqa: E731
    dense = lambda layer, x: x @ layer["kernel"] + layer["bias"]  # noqa: E731

    def norm(layer, x):
        centred = x - x.mean()
        return centred / np.sqrt((centred**2).mean() + 1e-6) * layer["scale"] + layer["bias"]

    tokens = [
        relu(dense(p[f"{name}_embed"], np.concatenate([features, own])))
        for name, (all_features, seen) in entities.items()
        for features, is_seen in zip(all_features, seen, strict=True)
        if is_seen
    ]
    tokens.append(relu(dense(p["own"], own)))
    for block in range(num_blocks):
        layers, size = p[f"block_{block}"], D // HEADS
        queries, keys, values = (
            np.stack([dense(layers["queries_keys_values"], token) for token in tokens])[:, part * D : (part + 1) * D]
            for part in range(3)
        )
        after = []
        for i in range(len(tokens)):
            read = []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                weights = np.exp([queries[i, part] @ key[part] / np.sqrt(D / HEADS) for key in keys])
                read.append(sum(w * value[part] for w, value in zip(weights / weights.sum(), values, strict=True)))
            after.append(norm(layers["norm"], tokens[i] + dense(layers["mixed"], np.concatenate(read))))
        tokens = after
    pooled = sum(tokens) / len(tokens)
    return norm(p["norm"], relu(dense(p["joined"], np.concatenate([pooled, own]))))


@pytest.mark.parametrize("num_blocks", [0, 1, 2])
def test_encoding_is_that_of_the_paper_worked_out_entity_by_entity(num_blocks):
    rng = np.random.default_rng(0)
    own = rng.normal(size=(T, M, 2)).astype(np.float32)
    entities = {
        name: (rng.normal(size=(T, M, number, size)).astype(np.float32), rng.random((T, M, number)) < 0.6)
        for name, number, size in (("boxes", 4, 3), ("ramps", 2, 1))
    }
    config = NetworkConfig(entity_size=D, num_attention_heads=HEADS, num_attention_blocks=num_blocks)
    encoder = EntityEncoder(config)
    variables = drawn(jax.eval_shape(encoder.init, jax.random.key(0), own, entities), seed=1, scale=0.7)
    found = jax.jit(encoder.apply)(variables, own, entities)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    for t in range(T):
        for m in range(M):
            row = {name: (features[t, m], seen[t, m]) for name, (features, seen) in entities.items()}
            np.testing.assert_allclose(found[t, m], by_hand(exact, own[t, m], row, num_blocks), rtol=1e-4, atol=1e-5)


def test_parameters_by_name_and_number():
    # self 2, lidar 5 places · 2 filters, team 3: S = 15. boxes (3 + 15)·6 + 6 = 114, ramps (1 + 15)·6 + 6 = 102,
    # own 15·6 + 6 = 96; a block 6·18 + 18 + 6·6 + 6 + 12 = 180; joined (6 + 15)·6 + 6 = 132; norm 12
    shapes = jax.eval_shape(STUDENT.init, jax.random.key(0))["encoder"]
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes["entities"].items()}
    assert sizes == {
        "boxes_embed": 114, "ramps_embed": 102, "own": 96, "block_0": 180, "block_1": 180, "joined": 132, "norm": 12,
    }  # fmt: skip
    assert sorted(shapes) == ["entities", "lidar_conv", "team_embed"]


def test_first_weights_of_a_block_are_small():
    config = NetworkConfig(entity_size=64, num_attention_blocks=1)
    encoder = EntityEncoder(config)
    entities = {"boxes": (jnp.zeros((4, 3)), jnp.ones(4, bool))}
    block = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros(2), entities)["params"]["block_0"]
    for name in ("queries_keys_values", "mixed"):
        # a variance of 0.125 / 64; of 4,096 draws or more, their deviation is right to a hundredth and a bit
        np.testing.assert_allclose(np.std(block[name]["kernel"]), np.sqrt(0.125 / 64), rtol=0.05)
        np.testing.assert_array_equal(block[name]["bias"], 0.0)


# -- the mask ----------------------------------------------------------------------------------------------------------


def test_weight_of_what_is_not_seen_is_zero_exactly():
    rng = np.random.default_rng(0)
    queries, keys, values = (jnp.asarray(rng.normal(size=(2, 4, 3)), jnp.float32) for _ in range(3))
    seen = jnp.asarray([[1, 0, 1, 0], [0, 0, 0, 1]], bool)
    huge = jnp.where(seen[..., None], values, 1e30)
    found = attention(queries, 1e3 * jnp.where(seen[..., None], keys, 5.0), huge, seen)
    assert np.abs(found).max() < 10
    only = attention(queries[:, :, :], keys, huge, seen)[1]
    np.testing.assert_array_equal(only, np.broadcast_to(values[1, 3], (4, 3)))  # one alone has all the weight
    apart = attention(queries[0], keys[0, ::2], values[0, ::2], jnp.ones(2, bool))
    np.testing.assert_allclose(attention(queries, keys, huge, seen)[0], apart, rtol=1e-5)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_hidden_changes_neither_value_nor_gradient(rubbish):
    seen = observations(SPACE)
    hidden = with_features(seen, lambda features: jnp.full_like(features, rubbish))
    assert not np.isfinite(hidden["boxes"]["features"]).all() or rubbish == 3e38
    same(run(STUDENT, hidden), run(STUDENT, seen))
    of_parameters, of_features = gradients_of(hidden)
    same((of_parameters, of_features), gradients_of(seen))
    assert largest(of_parameters) > 0.1
    for name, part in of_features.items():
        np.testing.assert_array_equal(part["features"][~np.asarray(seen[name]["visible"])], 0.0)
        assert np.abs(part["features"][np.asarray(seen[name]["visible"])]).min() > 0


def test_an_agent_that_sees_nobody_sees_itself():
    nobody = dict(observations(SPACE))
    for name in ("boxes", "ramps"):
        nobody[name] = nobody[name] | {"visible": jnp.zeros_like(nobody[name]["visible"])}
    hidden = with_features(nobody, lambda features: jnp.full_like(features, jnp.nan))
    logits, values = run(STUDENT, hidden)
    assert np.isfinite(logits).all()
    assert np.isfinite(values).all()
    assert np.unique(np.round(logits[..., 0], 5)).size > 3  # rows differ by what they know of themselves
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients_of(hidden)))


def test_what_is_seen_matters_and_what_is_present_does_not():
    seen = observations(SPACE)
    without = run(STUDENT, seen)
    everything = dict(seen)
    for name in ("boxes", "ramps"):
        everything[name] = seen[name] | {"present": jnp.ones_like(seen[name]["present"])}
        shown = seen | {name: seen[name] | {"visible": jnp.ones_like(seen[name]["visible"])}}
        changed = np.abs(run(STUDENT, shown)[0] - without[0]).max(axis=-1) > 1e-5
        np.testing.assert_array_equal(changed, ~np.asarray(seen[name]["visible"]).all(axis=-1))
    same(run(STUDENT, everything), without)


def test_what_the_agent_knows_of_itself_reaches_every_entity():
    """Without its way beside the pool, what the agent knows still meets each entity before they are averaged."""
    parameters = general(STUDENT)
    inner = dict(parameters["encoder"]["entities"])
    inner["joined"] = inner["joined"] | {"kernel": inner["joined"]["kernel"].at[D:].set(0.0)}
    inner["own"] = jax.tree.map(jnp.zeros_like, inner["own"])
    parameters = parameters | {"encoder": parameters["encoder"] | {"entities": inner}}
    seen, other = observations(SPACE), observations(SPACE, seed=1)
    outputs = [apply(STUDENT, parameters, (), each, NO_RESETS)[1] for each in (seen, seen | {"self": other["self"]})]
    sees_somebody = sum(np.asarray(seen[name]["visible"]).sum(axis=-1) for name in ("boxes", "ramps")) > 0
    np.testing.assert_array_equal(np.abs(outputs[0] - outputs[1]).max(axis=-1) > 1e-6, sees_somebody)


@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
@hypothesis.given(st.permutations(range(4)), st.permutations(range(2)), st.integers(0, 2**31 - 1))
def test_order_of_entities_does_not_matter(boxes, ramps, seed):
    rng, seen = np.random.default_rng(seed), dict(observations(SPACE))
    for name, number in (("boxes", 4), ("ramps", 2)):
        seen[name] = seen[name] | {"visible": jnp.asarray(rng.random((T, M, number)) < rng.random())}
    moved = seen | {
        name: jax.tree.map(lambda leaf, order=order: leaf[:, :, np.asarray(order)], seen[name])
        for name, order in (("boxes", boxes), ("ramps", ramps))
    }
    close(run(STUDENT, moved), run(STUDENT, seen), atol=1e-5)


# -- beside other parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, _ in WITH_IMAGE.parts])
def test_every_part_beside_entities_makes_a_difference(name):
    student = ActorCritic(WITH_IMAGE, Discrete(3), NETWORK)
    seen, other = (observations(WITH_IMAGE, seed) for seed in (0, 1))
    found, changed = run(student, seen), run(student, seen | {name: other[name]})
    assert np.mean(np.abs(found[0] - changed[0]).max(axis=-1) > 1e-4) > 0.3


def test_images_come_after_the_entities_and_do_not_meet_them():
    seen = observations(WITH_IMAGE)
    both, alone = (Encoder(space, NETWORK) for space in (WITH_IMAGE, SPACE))
    variables = drawn(jax.eval_shape(both.init, jax.random.key(0), seen))
    rest = {"params": {name: part for name, part in variables["params"].items() if name != "view_conv"}}
    encoded = both.apply(variables, seen)
    assert encoded.shape == (T, M, D + 2 * 3 * 2)  # 2 × 3 places of 2 filters
    close(encoded[..., :D], alone.apply(rest, {name: seen[name] for name, _ in SPACE.parts}))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_other_precisions_are_near(precision):
    rough = ActorCritic(SPACE, Discrete(3), NetworkConfig(**{**vars(NETWORK), "precision": precision}))
    found, exact = run(rough, observations(SPACE)), run(STUDENT, observations(SPACE))
    close(found, exact, rtol=0, atol=0.02)
    assert (largest(jax.tree.map(jnp.subtract, found, exact)) > 1e-5) or precision == "tf32"  # no CPU has tf32


# -- rings -------------------------------------------------------------------------------------------------------------


def test_a_lone_direction_is_read_from_itself_and_from_both_sides():
    # One filter (10, 20, 30): place r reads 10·(r − 1) + 20·r + 30·(r + 1). A lone 1 in direction 0 of five is
    # read by place 0 with 20, by place 1 (whose neighbour before it is) with 10, and by place 4 with 30, around the end.
    kernel = jnp.asarray([10.0, 20.0, 30.0])[:, None, None]
    ring = jnp.zeros((5, 1)).at[0].set(1.0)
    features = CircularConvolution(1).apply({"params": {"kernel": kernel, "bias": jnp.ones(1)}}, ring)
    np.testing.assert_array_equal(features[:, 0], [21, 11, 1, 1, 31])


def test_turning_a_ring_turns_its_features():
    convolution, ring = (
        CircularConvolution(3),
        jnp.asarray(np.random.default_rng(0).normal(size=(T, 7, 2)), jnp.float32),
    )
    variables = drawn(jax.eval_shape(convolution.init, jax.random.key(0), ring))
    for turn in (1, 3):
        turned = convolution.apply(variables, jnp.roll(ring, turn, axis=-2))
        close(turned, jnp.roll(convolution.apply(variables, ring), turn, axis=-2))


def test_features_of_a_ring_are_rectified_and_laid_flat():
    ring = observations(Ring(5, 2))
    encoder = Encoder(Ring(5, 2), NETWORK)
    variables = drawn(jax.eval_shape(encoder.init, jax.random.key(0), ring))
    features = CircularConvolution(2).apply({"params": variables["params"]["observation_conv"]}, ring)
    assert np.mean(features < 0) > 0.2
    same(encoder.apply(variables, ring), jnp.maximum(features, 0.0).reshape(T, M, 10))


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Dict((("boxes", Entities(2, 2)),)), "entities 'boxes' alone; allowed: a vector, choice or ring beside them"),
        (
            Dict((("boxes", Entities(2, 2)), ("view", Box(0, 1, (3, 3, 1))))),
            "entities 'boxes' alone; allowed: a vector",
        ),
        (Entities(2, 2), "the observation part 'observation' is Entities.*; allowed: .*Dict of these and of entities"),
    ],
    ids=["alone", "image", "bare"],
)
def test_entities_without_the_agent_itself_are_told_in_one_line(space, message):
    student = ActorCritic(space, Discrete(3), NETWORK)
    with pytest.raises(UserError, match=message) as error:
        jax.eval_shape(student.init, jax.random.key(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entity_size": 0}, "entity_size is 0; allowed: at least 1"),
        ({"ring_filters": 0}, "ring_filters is 0; allowed: at least 1"),
        ({"num_attention_blocks": -1}, "num_attention_blocks is -1; allowed: at least 0"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0; allowed: at least 1"),
        ({"num_attention_heads": 3}, "num_attention_heads is 3; allowed: a divisor of entity_size = 64"),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, message):
    with pytest.raises(UserError, match=message):
        NetworkConfig(**options)
