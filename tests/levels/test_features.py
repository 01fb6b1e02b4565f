"""Features of levels and the distances between them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from toy_worlds import Corridor, Lottery

from minied.levels.features import UNDEFINED, feature_names, feature_vector, neighbour_distances
from minied.levels.space import LevelSpace


@dataclasses.dataclass(frozen=True)
class Described(LevelSpace):
    def sample(self, key):
        return jax.random.uniform(key, (2,))

    def describe(self, level):
        return {"width": level[0], "area": level[0] * level[1], "path": jnp.where(level[1] > 0.5, level[1], jnp.nan)}


def test_features_stand_in_the_order_of_their_names():
    space = Described()
    assert feature_names(space) == ("area", "path", "width")
    np.testing.assert_allclose(feature_vector(space, jnp.asarray([3.0, 0.75])), [2.25, 0.75, 3.0])


def test_a_feature_that_a_level_lacks_is_told_by_its_own_number():
    np.testing.assert_allclose(feature_vector(Described(), jnp.asarray([3.0, 0.25])), [0.75, UNDEFINED, 3.0])


def test_a_world_that_describes_nothing_has_no_features():
    assert feature_names(Lottery().level_space) == ()
    assert feature_vector(Lottery().level_space, jnp.float32(0)).shape == (0,)
    assert feature_names(Corridor().level_space) == ("start",)


KNOWN = jnp.asarray([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [100.0, 100.0]])
FILLED = jnp.asarray([True, True, True, False])


def distances(features, slots, number=2, filled=FILLED):
    vectors, slots = jnp.asarray(features, jnp.float32), jnp.asarray(slots, jnp.int32)
    return np.asarray(neighbour_distances(vectors, slots, KNOWN, filled, number))


def test_distances_are_in_standard_deviations_of_the_known_levels():
    # first feature over the filled ones: mean 2, variance (4 + 0 + 4) / 3, deviation 1.63299; the second never varies: 1
    # from (1, 5): 1/1.63299 = 0.61237 to two of them; from (0, 6): 1 to the first, √(1 + 4/2.66667) = 1.58114 to the next
    np.testing.assert_allclose(
        distances([[1.0, 5.0], [0.0, 6.0]], [-1, -1]), [[0.61237, 0.61237], [1.0, 1.58114]], rtol=1e-4
    )


def test_a_level_is_no_neighbour_of_itself_and_empty_slots_are_nobody():
    # level of slot 0: neighbours at 2 and 4, that is 1.22474 and 2.44949; there is no third
    np.testing.assert_allclose(distances([[0.0, 5.0]], [0], number=4), [[1.22474, 2.44949, np.inf, np.inf]], rtol=1e-4)


def test_without_known_levels_all_distances_are_infinite():
    assert np.all(np.isinf(distances([[0.0, 5.0]], [-1], filled=jnp.zeros(4, bool))))


def test_distances_are_euclidean_over_the_features():
    # deviations 3 and 4 over the two known levels: (6/3, 8/4) = (2, 2)
    known = jnp.asarray([[0.0, 0.0], [6.0, 8.0]])
    got = neighbour_distances(known[:1], jnp.asarray([-1], jnp.int32), known, jnp.ones(2, bool), 2)
    np.testing.assert_allclose(got, [[0.0, np.sqrt(8)]], rtol=1e-6)


def test_a_feature_that_never_varies_counts_as_it_is():
    known = jnp.asarray([[5.0], [5.0]])
    got = neighbour_distances(jnp.asarray([[7.0]]), jnp.asarray([-1], jnp.int32), known, jnp.ones(2, bool), 2)
    np.testing.assert_allclose(got, [[2.0, 2.0]])


def test_a_level_is_a_neighbour_of_its_twin_and_ten_are_asked_of_two():
    known = jnp.asarray([[4.0], [4.0]])
    slots = jnp.asarray([1, -1], jnp.int32)
    got = neighbour_distances(known, slots, known, jnp.ones(2, bool), 10)
    assert got.tolist() == [[0.0, np.inf], [0.0, 0.0]]
