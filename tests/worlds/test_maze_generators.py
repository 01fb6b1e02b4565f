"""The random levels: their distributions in closed form, solvable only, and what is held out."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from minied.errors import UserError
from minied_envs.grid import bitboard
from minied_envs.maze import Maze, MazeLevels, acceptance, named

HEIGHT, WIDTH, CELLS = 4, 5, 20
NUM_LEVELS = 20_000
NUM_WALLS = 8

VARIANTS = {
    "uniform": {},
    "minimax": {},
    "minimax distinct": {"replace_walls": False},
    "minimax varied": {"vary_num_walls": True},
    "jaxued": {},
    "dcd": {},
    "dcd varied": {"vary_num_walls": True},
}


@functools.cache
def sampled(variant: str) -> dict[str, np.ndarray]:
    options = MazeLevels(generator=variant.split()[0], num_walls=NUM_WALLS, **VARIANTS[variant])
    space = Maze(height=HEIGHT, width=WIDTH, levels=options).level_space

    @jax.jit
    def sample(keys):
        levels = jax.jit(jax.vmap(space.sample))(keys)
        return (
            levels,
            jax.jit(jax.vmap(space.is_valid))(levels),
            jax.vmap(lambda board: bitboard.unpack(board, WIDTH))(levels.walls),
        )

    levels, is_valid, walls = sample(jax.random.split(jax.random.key(0), NUM_LEVELS))
    index = lambda position: np.asarray(position, int) @ [WIDTH, 1]  # noqa: E731
    return {
        "valid": np.asarray(is_valid),
        "walls": np.asarray(walls).reshape(NUM_LEVELS, CELLS),
        "start": index(levels.agent_position),
        "goal": index(levels.goal_position),
        "direction": np.asarray(levels.agent_direction),
    }


def occupancy(draws: int, cells: int) -> np.ndarray:
    """P(k distinct cells), k = 0..draws, after ``draws`` uniform draws with replacement, one draw at a time."""
    chances = np.zeros(draws + 1)
    chances[0] = 1
    for _ in range(draws):
        k = np.arange(draws + 1)
        chances = chances * k / cells + np.concatenate([[0], (chances * (1 - k / cells))[:-1]])
    return chances


def assert_distribution(observed: np.ndarray, chances: np.ndarray) -> None:
    """Chi-square of counts, with rare outcomes pooled."""
    counts = np.bincount(observed, minlength=len(chances))
    assert len(counts) == len(chances)
    assert counts[chances == 0].sum() == 0
    common = chances * len(observed) >= 5
    pooled = [np.append(x[common], x[~common].sum()) for x in (counts, chances * len(observed))]
    pooled = [x[:-1] if pooled[1][-1] == 0 else x for x in pooled]
    assert len(pooled[0]) == 1 or stats.chisquare(*pooled).pvalue > 1e-3


def flat(low: int, high: int) -> np.ndarray:
    """U{low..high} as chances of 0..high."""
    return np.array([0.0] * low + [1 / (high - low + 1)] * (high - low + 1))


@pytest.mark.parametrize("variant", VARIANTS)
def test_levels_are_valid_and_directions_uniform(variant):
    levels = sampled(variant)
    assert levels["valid"].all()
    assert_distribution(levels["direction"], flat(0, 3))


@pytest.mark.parametrize(
    ("variant", "chances"),
    [
        ("uniform", flat(0, NUM_WALLS)),
        ("minimax", occupancy(NUM_WALLS, CELLS)),
        ("jaxued", occupancy(NUM_WALLS, CELLS)),
        ("minimax distinct", flat(NUM_WALLS, NUM_WALLS)),
        # U{0..n-1}, but a draw of no walls still gets one
        ("minimax varied", np.array([0, 2] + [1] * (NUM_WALLS - 2)) / NUM_WALLS),
    ],
)
def test_number_of_walls(variant, chances):
    assert_distribution(sampled(variant)["walls"].sum(axis=1), chances)


@pytest.mark.parametrize("variant", ["dcd", "dcd varied"])
def test_number_of_walls_of_dcd(variant):
    # A cell is drawn with chance p = 1 - (1 - 1/C)^n. The goal erases a wall with chance p; the agent with chance p too
    # unless it fell on the goal (1/C) and was put on a free cell. The number drawn is 0..n-1 if varied.
    budgets = np.arange(NUM_WALLS) if variant == "dcd varied" else np.array([NUM_WALLS])
    p = np.mean(1 - (1 - 1 / CELLS) ** budgets)
    expected = CELLS * p - p - p * (1 - 1 / CELLS)
    counts = sampled(variant)["walls"].sum(axis=1)
    assert abs(counts.mean() - expected) < 4 * counts.std() / math.sqrt(NUM_LEVELS)
    assert counts.max() <= budgets.max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_cell_is_alike(variant):
    levels = sampled(variant)
    assert_distribution(levels["start"], flat(0, CELLS - 1))
    assert_distribution(levels["goal"], flat(0, CELLS - 1))
    shares = levels["walls"].mean(axis=0)
    assert np.all(np.abs(shares - shares.mean()) < 4.5 * np.sqrt(shares.mean() / NUM_LEVELS))
    # Start and goal are independent but for being different.
    pairs = levels["start"] * CELLS + levels["goal"]
    chances = (1 - np.eye(CELLS)).reshape(-1) / (CELLS * (CELLS - 1))
    assert_distribution(pairs, chances)


def test_the_defaults_are_those_of_the_literature():
    levels = Maze().levels
    assert (levels.generator, levels.num_walls, levels.num_edits) == ("uniform", 60, 20)
    # minimax with 60 draws: about 169 (1 - (168/169)^60) = 50.6 distinct walls
    space = Maze(levels=MazeLevels(generator="minimax")).level_space
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 2000))
    counts = np.asarray(jax.jit(jax.vmap(bitboard.count))(drawn.walls))
    np.testing.assert_allclose(counts.mean(), 50.6, atol=0.3)


def test_wide_grids():
    space = Maze(height=3, width=40, levels=MazeLevels(num_walls=118)).level_space
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 500))
    assert bool(jax.jit(jax.vmap(space.is_valid))(drawn).all())
    assert int(jax.jit(jax.vmap(bitboard.count))(drawn.walls).max()) > 100


# -- refusals ---------------------------------------------------------------------------------------------------------


def texts(space, levels) -> list[str]:
    levels = jax.tree.map(np.asarray, levels)
    number = len(levels.agent_direction)
    walls = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, space.maze.width))(jnp.asarray(levels.walls)))
    keys = []
    for i in range(number):
        keys.append(walls[i].tobytes() + levels.agent_position[i].tobytes() + levels.goal_position[i].tobytes())
    return keys


def test_solvable_only_is_the_generator_given_solvable():
    # All 2x3 levels with two walls, up to direction: 15 walls x 4 x 3 ends; all equally likely.
    tiny = {"generator": "minimax", "replace_walls": False, "num_walls": 2}
    plain = Maze(height=2, width=3, levels=MazeLevels(**tiny)).level_space
    strict = Maze(height=2, width=3, levels=MazeLevels(**tiny, solvable_only=True)).level_space
    keys = jax.random.split(jax.random.key(3), 10_000)
    everything = jax.jit(jax.vmap(plain.sample))(keys)
    is_solvable = np.asarray(jax.jit(jax.vmap(lambda level: acceptance.is_solvable(level, 3)))(everything))
    names = np.array(texts(plain, everything))
    solvable, unsolvable = set(names[is_solvable].tolist()), set(names[~is_solvable].tolist())
    assert len(solvable | unsolvable) == 180
    assert not solvable & unsolvable

    chosen, counts = np.unique(np.array(texts(strict, jax.jit(jax.vmap(strict.sample))(keys))), return_counts=True)
    assert set(chosen.tolist()) == solvable
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("generator", ["uniform", "minimax", "jaxued", "dcd"])
def test_solvable_only_in_the_usual_size(generator):
    space = Maze(levels=MazeLevels(generator=generator, num_walls=100, solvable_only=True)).level_space
    drawn = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 500))
    assert bool(jax.jit(jax.vmap(lambda level: acceptance.is_solvable(level, 13)))(drawn).all())
    assert bool(jax.jit(jax.vmap(space.is_valid))(drawn).all())


def held(holdout: int, **options):
    return Maze(levels=MazeLevels(holdout=holdout, **options)).level_space


@pytest.mark.parametrize("options", [{}, {"solvable_only": True}, {"generator": "dcd"}], ids=str)
def test_held_out_levels_are_never_sampled_or_bred(options):
    space = held(2, **options)

    @jax.jit
    def sample_and_mutate(key):
        key_level, key_child = jax.random.split(key)
        level = space.sample(key_level)
        child = space.mutate(key_child, level)
        raw = space.draw_raw(key_level)
        prints = jnp.stack([space.fingerprint(level)[0], space.fingerprint(child)[0], space.fingerprint(raw)[0]])
        kept = jnp.all(space.fingerprint(child) == space.fingerprint(level))
        return prints % 2, kept, acceptance.is_solvable(level, 13) & acceptance.is_solvable(child, 13)

    parity, kept, is_solvable = jax.vmap(sample_and_mutate)(jax.random.split(jax.random.key(0), 2000))
    np.testing.assert_array_equal(parity[:, :2], 1)  # fingerprint % 2 == 0 is reserved
    assert 0.45 < np.mean(parity[:, 2]) < 0.55  # half of the raw draws are
    assert np.mean(kept) > 0.3  # a refused child leaves the parent
    if options.get("solvable_only"):
        assert bool(is_solvable.all())


def test_named_levels_are_held_out_too():
    space = held(1000)
    for name in named.names_of_size(13, 13):
        for level in named.named_levels(name):
            assert bool(space.is_reserved(level)), name
            turned = level.replace(agent_direction=jnp.asarray((int(level.agent_direction) + 1) % 4, jnp.uint8))
            assert bool(space.is_reserved(turned)) == (int(space.fingerprint(turned)[0]) % 1000 == 0)
    assert not bool(Maze().level_space.is_reserved(named.named_level("Labyrinth")))


def test_endless_refusal_ends_with_a_corridor_and_then_with_the_last_resort():
    space = Maze(height=4, width=5, levels=MazeLevels(num_walls=0)).level_space
    walled = space.from_text("####G\n####.\n####.\n>####")
    refused = jax.tree.map(np.asarray, walled)
    last_resort = space.from_text(">G...\n.....\n.....\n.....")

    def is_solvable(level):
        return acceptance.is_solvable(level, 5)

    carved = acceptance.accepted_draw(jax.random.key(0), lambda key: refused, is_solvable, last_resort, 5)
    assert space.to_text(carved) == "####G\n####.\n####.\n>...."

    def is_last_resort(level):
        return jnp.all(level.walls == 0)

    level = acceptance.accepted_draw(jax.random.key(0), lambda key: refused, is_last_resort, last_resort, 5)
    assert space.to_text(level) == space.to_text(last_resort)


def test_a_size_whose_plain_levels_are_all_reserved_is_told():
    # 1x2 has 4 plain levels with the agent in the first cell; find a holdout that reserves them all, if there is one.
    told = 0
    for holdout in (2, 3):
        space = Maze(height=1, width=2, levels=MazeLevels(num_walls=0, holdout=holdout)).level_space
        plain = acceptance.plain_levels(1, 2, at_most=100)
        if bool(jax.jit(jax.vmap(space.is_reserved))(plain).all()):
            told += 1
            with pytest.raises(UserError, match=f"levels.holdout is {holdout}"):
                space.sample(jax.random.key(0))
        else:
            assert not bool(space.is_reserved(space.sample(jax.random.key(0))))
    assert told < 2


def test_keys_are_never_reused():
    space = Maze(height=3, width=4, levels=MazeLevels(num_walls=3, holdout=2, solvable_only=True)).level_space
    other = Maze(height=3, width=4, levels=MazeLevels("dcd", 3, mutator="dcd", edit_agent=True)).level_space
    with jax.debug_key_reuse(True):
        for one in (space, other):
            one.mutate(jax.random.key(1), one.sample(jax.random.key(0)))
