"""The editors: exact distributions of children on tiny grids, by enumeration in plain Python."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from minied_envs.grid import bitboard
from minied_envs.maze import Maze, MazeLevels

HEIGHT, WIDTH = 2, 3
CELLS = [(row, col) for row in range(HEIGHT) for col in range(WIDTH)]
PARENT = ">.#\n..G"
NUM_CHILDREN = 40_000

State = tuple[frozenset, tuple | None, tuple | None]  # walls, agent, goal


def space_with(**options):
    return Maze(height=HEIGHT, width=WIDTH, levels=MazeLevels(num_walls=0, **options)).level_space


def children_of(space, text: str = PARENT) -> collections.Counter:
    parent = space.from_text(text)
    keys = jax.random.split(jax.random.key(0), NUM_CHILDREN)
    children = jax.jit(jax.vmap(lambda key: space.mutate(key, parent)))(keys)
    assert bool(jax.jit(jax.vmap(space.is_valid))(children).all())
    np.testing.assert_array_equal(children.agent_direction, parent.agent_direction)
    walls = np.asarray(jax.vmap(lambda board: bitboard.unpack(board, WIDTH))(children.walls))
    agents, goals = np.asarray(children.agent_position), np.asarray(children.goal_position)
    rows = np.concatenate([walls.reshape(NUM_CHILDREN, -1), agents, goals], axis=1).astype(int)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    found = collections.Counter()
    for row, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        cells = frozenset(cell for cell, wall in zip(CELLS, row, strict=False) if wall)
        found[cells, tuple(row[6:8]), tuple(row[8:10])] = count
    return found


def assert_distribution(found: collections.Counter, chances: dict[State, float]) -> None:
    assert set(found) <= set(chances)
    np.testing.assert_allclose(sum(chances.values()), 1)
    common = [state for state, chance in chances.items() if chance * NUM_CHILDREN >= 5]
    observed = [found[state] for state in common]
    expected = [chances[state] * NUM_CHILDREN for state in common]
    rest = NUM_CHILDREN - sum(observed), NUM_CHILDREN - sum(expected)
    if rest[1] > 1e-6:
        observed.append(rest[0])
        expected.append(rest[1])
    assert stats.chisquare(observed, expected).pvalue > 1e-3


# -- minimax ----------------------------------------------------------------------------------------------------------


def minimax_children(state: State, num_edits: int) -> dict[State, float]:
    """Each edit: a third nothing, a third flip a cell that is not an end, a third move the goal to another free cell."""
    chances = {state: 1.0}
    for _ in range(num_edits):
        after = collections.defaultdict(float)
        for (walls, agent, goal), chance in chances.items():
            flips = [cell for cell in CELLS if cell not in (agent, goal)]
            places = [cell for cell in flips if cell not in walls]
            after[walls, agent, goal] += chance / 3
            for cell in flips:
                after[walls ^ {cell}, agent, goal] += chance / 3 / len(flips)
            for cell in places:
                after[walls, agent, cell] += chance / 3 / len(places)
            if not places:
                after[walls, agent, goal] += chance / 3
        chances = after
    return dict(chances)


PARENT_STATE: State = (frozenset({(0, 2)}), (0, 0), (1, 2))


@pytest.mark.parametrize("num_edits", [1, 2, 4])
def test_minimax_children(num_edits):
    space = space_with(num_edits=num_edits)
    assert_distribution(children_of(space), minimax_children(PARENT_STATE, num_edits))


def test_minimax_goal_stays_when_there_is_no_other_free_cell():
    state = (frozenset(CELLS) - {(0, 0), (1, 2)}, (0, 0), (1, 2))
    assert_distribution(children_of(space_with(num_edits=1), ">##\n##G"), minimax_children(state, 1))


# -- DCD --------------------------------------------------------------------------------------------------------------


def dcd_children(state: State, num_edits: int, edit_agent: bool) -> dict[State, float]:
    """Cell by cell: clear it, then make it wall, floor, goal (or agent); at the end put back who has no cell."""
    chances = collections.defaultdict(float)
    kinds = ("wall", "empty", "goal", "agent")[: 4 if edit_agent else 3]
    for cells in itertools.product(CELLS, repeat=num_edits):
        distinct = list(dict.fromkeys(cells))
        share = len(CELLS) ** -num_edits * len(kinds) ** -len(distinct)
        for actions in itertools.product(kinds, repeat=len(distinct)):
            walls, agent, goal = state
            for cell, action in zip(distinct, actions, strict=True):
                walls = walls - {cell}
                agent = None if agent == cell else agent
                goal = None if goal == cell else goal
                if action == "wall":
                    walls = walls | {cell}
                elif action == "goal":
                    goal = cell
                elif action == "agent":
                    agent = cell
            for outcome, chance in repaired((walls, agent, goal)).items():
                chances[outcome or state] += share * chance
    return dict(chances)


def repaired(state: State) -> dict[State | None, float]:
    """The goal first, then the agent, each on a uniform free cell; None if there is no room."""
    walls, agent, goal = state
    goals = [goal] if goal else [cell for cell in CELLS if cell not in walls and cell != agent]
    chances = collections.defaultdict(float)
    for new_goal in goals:
        agents = [agent] if agent else [cell for cell in CELLS if cell not in walls and cell != new_goal]
        for new_agent in agents:
            chances[walls, new_agent, new_goal] += 1 / len(goals) / len(agents)
        if not agents:
            chances[None] += 1 / len(goals)
    return dict(chances) if goals else {None: 1.0}


@pytest.mark.parametrize("edit_agent", [False, True])
@pytest.mark.parametrize("num_edits", [1, 2, 3])
def test_dcd_children(num_edits, edit_agent):
    space = space_with(mutator="dcd", num_edits=num_edits, edit_agent=edit_agent)
    assert_distribution(children_of(space), dcd_children(PARENT_STATE, num_edits, edit_agent))


def test_dcd_returns_the_parent_when_there_is_no_room():
    state = (frozenset(CELLS) - {(0, 0), (1, 2)}, (0, 0), (1, 2))
    space = space_with(mutator="dcd", num_edits=2)
    assert_distribution(children_of(space, ">##\n##G"), dcd_children(state, 2, edit_agent=False))


# -- both, in the usual size ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"mutator": "dcd"}, {"mutator": "dcd", "edit_agent": True}], ids=str)
def test_children_differ_by_at_most_the_edits(options):
    space = Maze(levels=MazeLevels(num_edits=5, **options)).level_space
    keys = jax.random.split(jax.random.key(1), 1000)
    parents = jax.jit(jax.vmap(space.sample))(keys)
    children = jax.jit(jax.vmap(space.mutate))(jax.random.split(jax.random.key(2), 1000), parents)
    assert bool(jax.jit(jax.vmap(space.is_valid))(children).all())
    flips = np.asarray(jax.jit(jax.vmap(bitboard.count))(parents.walls ^ children.walls))
    assert flips.max() <= 5
    assert 0 < flips.mean() < 4
    moved = np.any(np.asarray(parents.agent_position != children.agent_position), axis=1).mean()
    # minimax never moves the agent; DCD does when one of 5 edits hits its cell (3%) or, with edit_agent, mostly.
    expected = {(): (0, 0)}.get(tuple(options), (0.5, 0.9) if options.get("edit_agent") else (0.005, 0.06))
    assert expected[0] <= moved <= expected[1]


def test_no_edits_change_nothing():
    space = Maze(levels=MazeLevels(num_edits=0)).level_space
    level = space.sample(jax.random.key(0))
    child = space.mutate(jax.random.key(1), level)
    assert all(bool(jnp.all(a == b)) for a, b in zip(jax.tree.leaves(level), jax.tree.leaves(child), strict=True))


def test_vmap_equals_loop():
    space = Maze(levels=MazeLevels(mutator="dcd", holdout=2)).level_space
    keys = jax.random.split(jax.random.key(3), 5)
    parents = jax.jit(jax.vmap(space.draw_raw))(keys)
    children = jax.jit(jax.vmap(space.mutate))(keys, parents)
    mutate = jax.jit(space.mutate)
    for i in range(5):
        child = mutate(keys[i], jax.tree.map(lambda leaf, i=i: leaf[i], parents))
        for alone, batched in zip(jax.tree.leaves(child), jax.tree.leaves(children), strict=True):
            np.testing.assert_array_equal(alone, batched[i])
