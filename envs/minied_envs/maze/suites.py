"""Which held-out levels is a student of mazes tested on, in which world, for how long?

The horizon is part of a suite, because published numbers differ by it: 2 (H + 2)(W + 2) for named levels and perfect
mazes as in DCD and minimax (jaxued stops at 250), 4 (H + 2)(W + 2) for crossings, 250 for FourRooms and Memory, and the
world's own for levels from its generator. A part keeps the actions and the view of the world that is tested. No suite has a
television, also where training levels may (``noisy_tv``).
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError, unknown_name
from minied.levels.space import Suite
from minied_envs.maze import acceptance, named, procedural
from minied_envs.maze.design import MazeDesign
from minied_envs.maze.level import MazeLevel, with_television
from minied_envs.maze.memory import MemoryMaze
from minied_envs.maze.world import Maze

NUM_LEVELS = 100  # of each procedural or random set
BATCH, MAX_BATCHES = 4096, 256  # of draws, when looking for levels of a kind
PATIENCE = 16  # batches without a new level, after some were found, until the generator counts as exhausted
TRAINING_SIZE = (13, 13)
PERFECT_SIZES = (13, 19, 51, 99, 101)

MINIMAX = ("SixteenRooms", "Labyrinth", "StandardMaze")
STANDARD = ("StandardMaze", "StandardMaze2", "StandardMaze3")
LABYRINTHS = ("Labyrinth", "LabyrinthFlipped", "Labyrinth2")
JAXUED = ("SixteenRooms", "SixteenRooms2", *LABYRINTHS, *STANDARD)
ROOMS = ("SixteenRooms", "SixteenRooms2", "NineRooms", "NineRoomsFewerDoors")
CORRIDORS = ("SmallCorridor", "LargeCorridor")
TRIVIAL = ("TrivialMaze", "TrivialMaze2", "TrivialMaze3")
SMALL = ("MiniMaze", "MediumMaze")
DCD = ("SixteenRooms", "SixteenRooms2", "Labyrinth", "Labyrinth2", *STANDARD, *CORRIDORS)

Parts = tuple[Suite, ...]


def descriptions(maze: Maze) -> dict[str, str]:
    """Return the names of the suites for a world, the default first, each with a sentence."""
    return {name: sentence for name, (sentence, _) in _recipes(maze).items()}


@functools.cache
def build(maze: Maze, name: str) -> Parts:
    """Return the parts of a suite, one for each world (size, horizon); the same at every call."""
    recipes = _recipes(maze)
    if name not in recipes:
        raise unknown_name("suite", name, list(recipes))
    sentence, make = recipes[name]
    with jax.ensure_compile_time_eval():
        parts = (_as_trained_on(part) for part in make(maze))
        return tuple(dataclasses.replace(part, name=name, description=sentence) for part in parts)


def _recipes(maze: Maze) -> Mapping[str, tuple[str, Callable[[Maze], Parts]]]:
    """Return what each suite is, in words and as a function, by name and in order."""
    size, n = f"{maze.height}x{maze.width}", NUM_LEVELS
    own = tuple(named.names_of_size(maze.height, maze.width))
    own_levels = sum(named.num_variants(name) for name in own)
    horizon = _long_horizon(maze.height, maze.width)
    named_too = f"; and the {own_levels} named levels of that size, horizon {horizon}" if own else ""
    held_out = f"{n} solvable levels of the training generator that training never shows, {size}, horizon {{}}{{}}."
    recipes: dict[str, tuple[str, Callable[[Maze], Parts]]] = {
        "held_out": (held_out.format(maze.max_steps, named_too), _held_out),
        "jaxued": ("The 8 mazes of jaxued and SFL, 13x13, horizon 450, 8 levels.", _named_suite(JAXUED)),
        "random": (
            f"Solvable levels of the training generator, {size}, horizon {maze.max_steps}, {n} levels.",
            _random,
        ),
        "named": (f"All named levels of {size}, horizon {horizon}, {own_levels} levels.", _named_suite(own)),
        "minimax": ("The 3 mazes of minimax, 13x13, horizon 450, 3 levels.", _named_suite(MINIMAX)),
        "dcd": (
            "The 12 environments of DCD: 8 of 13x13 (horizon 450, 17 levels), LargeCorridor (19x19, 882, 16 levels),"
            f" SimpleCrossingS11N5 (9x9, 484), FourRooms (17x17, 250), PerfectMaze (19x19, 882), {n} levels each.",
            _dcd,
        ),
        "corridors": (
            "One corridor, a goal behind one of its doors: 13x13, horizon 450, 10 levels; 19x19, horizon 882, 16 levels.",
            _named_suite(CORRIDORS),
        ),
        "rooms": ("Nine and sixteen rooms, 13x13, horizon 450, 4 levels.", _named_suite(ROOMS)),
        "labyrinths": ("One way around and around, 13x13, horizon 450, 3 levels.", _named_suite(LABYRINTHS)),
        "trivial": ("Mazes of 3x3, 5x5 and 7x7, horizons 50, 98 and 162, 3 levels.", _named_suite(TRIVIAL)),
        "small": ("Mazes of 4x4 and 8x8, horizons 72 and 200, 2 levels.", _named_suite(SMALL)),
        "memory": ("A clue tells which of two tiles is the goal, 15x15, horizon 250, 2 levels.", _memory),
        "four_rooms": (f"Four rooms with random doors, 17x17, horizon 250, {n} levels.", _four_rooms),
        "simple_crossing": (
            f"Walls with openings on the way to the far corner: S9N1, S9N2, S9N3 (7x7, horizon 324, {n} levels each)"
            f" and S11N5 (9x9, horizon 484, {n} levels).",
            _simple_crossing,
        ),
    }
    for kind, how in (("dfs", "depth-first search, start and goal anywhere"), ("kruskal", "Kruskal, corner to corner")):
        for side in PERFECT_SIZES:
            sentence = f"Perfect mazes by {how}, {side}x{side}, horizon {_long_horizon(side, side)}, {n} levels."
            recipes[f"perfect_maze_{kind}_{side}"] = (sentence, functools.partial(_perfect, kind=kind, side=side))
    return _for_world(recipes, maze, own)


def _for_world(recipes: dict, maze: Maze, own: tuple[str, ...]) -> dict:
    """Drop the suites that this world does not have and put its default first."""
    if not own:
        del recipes["named"]
    if maze.levels.holdout == 0:
        del recipes["held_out"]
        default = "jaxued" if (maze.height, maze.width) == TRAINING_SIZE else "random"
    else:
        default = "held_out"
    return {default: recipes[default]} | recipes


def _as_trained_on(part: Suite) -> Suite:
    """Return the part with levels of the same leaves as those that its world draws: none of them has a television."""
    if not isinstance(part.env, Maze):
        return part
    return dataclasses.replace(part, levels=with_television(part.levels, part.env.noisy_tv))


# -- from the training generator --------------------------------------------------------------------------------------


def _random(maze: Maze) -> Parts:
    options = dataclasses.replace(maze.levels, holdout=0)
    found = _search(dataclasses.replace(maze, levels=options), reserved=False, seed=0)
    return (Suite("", maze, found, ("random",) * len(found.agent_direction)),)


def _held_out(maze: Maze) -> Parts:
    found = _search(maze, reserved=True, seed=1)
    random = Suite("", maze, found, ("reserved",) * len(found.agent_direction))
    return (random, *_named_suite(tuple(named.names_of_size(maze.height, maze.width)))(maze))


def _search(maze: Maze, reserved: bool, seed: int) -> MazeLevel:
    """Return `NUM_LEVELS` different solvable levels of the raw generator without televisions, fewer if it has no more."""
    space = dataclasses.replace(maze, noisy_tv=False).level_space

    @jax.jit
    def try_batch(key: jax.Array) -> tuple[MazeLevel, jax.Array, jax.Array]:
        levels = jax.vmap(space.draw_raw)(jax.random.split(key, BATCH))
        is_wanted = jax.vmap(lambda level: acceptance.is_solvable(level, maze.width))(levels)
        if reserved:
            is_wanted = is_wanted & jax.vmap(space.is_reserved)(levels)
        return levels, is_wanted, jax.vmap(space.fingerprint)(levels)

    found: dict[tuple[int, ...], MazeLevel] = {}
    last_news = 0
    for batch in range(MAX_BATCHES):
        before = len(found)
        levels, is_wanted, prints = jax.tree.map(np.asarray, try_batch(jax.random.key(seed * MAX_BATCHES + batch)))
        for index in np.flatnonzero(is_wanted):
            found.setdefault(tuple(prints[index].tolist()), jax.tree.map(lambda leaf, i=index: leaf[i], levels))
        last_news = batch if len(found) > before else last_news
        if len(found) >= NUM_LEVELS or (found and batch - last_news >= PATIENCE):
            break
    if not found:
        what = "solvable levels that holdout reserves" if reserved else "solvable levels"
        raise UserError(
            f"levels.num_walls is {maze.levels.num_walls}, holdout {maze.levels.holdout}: none of"
            f" {BATCH * MAX_BATCHES} draws gave {what}; allowed: fewer walls, or a smaller holdout"
        )
    chosen = list(found.values())[:NUM_LEVELS]
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *chosen)


# -- named ------------------------------------------------------------------------------------------------------------


def _named_suite(names: tuple[str, ...]) -> Callable[[Maze], Parts]:
    """Return what makes the parts of named levels, one part a size, in the order of ``names``."""

    def make(maze: Maze) -> Parts:
        sizes = list(dict.fromkeys(named.drawings()[name].size for name in names))
        return tuple(_named_part(maze, size, [n for n in names if named.drawings()[n].size == size]) for size in sizes)

    return make


def _named_part(maze: Maze, size: tuple[int, int], names: list[str]) -> Suite:
    pairs = [(name, level) for name in names for level in named.named_levels(name)]
    env = _resized(maze, *size, _long_horizon(*size))
    return Suite("", env, named.stack_levels([level for _, level in pairs]), tuple(name for name, _ in pairs))


# -- procedural -------------------------------------------------------------------------------------------------------


def _four_rooms(maze: Maze) -> Parts:
    side = procedural.FOUR_ROOMS_SIZE
    return (_procedural(_resized(maze, side, side, 250), {"FourRooms": procedural.four_rooms}),)


def _simple_crossing(maze: Maze) -> Parts:
    small = _resized(maze, 7, 7, 4 * 9 * 9)
    names = {n: functools.partial(procedural.simple_crossing, size=7, num_rivers=n) for n in (1, 2, 3)}
    return (_procedural(small, {f"SimpleCrossingS9N{n}": make for n, make in names.items()}), *_crossing_11(maze))


def _crossing_11(maze: Maze) -> Parts:
    make = functools.partial(procedural.simple_crossing, size=9, num_rivers=5)
    return (_procedural(_resized(maze, 9, 9, 4 * 11 * 11), {"SimpleCrossingS11N5": make}),)


def _perfect(maze: Maze, kind: str, side: int) -> Parts:
    kinds = {"dfs": procedural.perfect_maze_dfs, "kruskal": procedural.perfect_maze_kruskal}
    make = functools.partial(kinds[kind], height=side, width=side)
    name = f"PerfectMaze{kind.capitalize()}{side}"
    return (_procedural(_resized(maze, side, side, _long_horizon(side, side)), {name: make}),)


def _dcd(maze: Maze) -> Parts:
    singletons = _named_suite(DCD)(maze)
    return (*singletons, *_crossing_11(maze), *_four_rooms(maze), *_perfect(maze, "kruskal", 19))


def _memory(maze: Maze) -> Parts:
    memory = MemoryMaze(view_size=maze.view_size, num_actions=maze.num_actions, time_penalty=maze.time_penalty)
    return memory.level_space.suite("memory")


def _procedural(env: Maze, kinds: Mapping[str, Callable[[np.random.Generator], procedural.Plan]]) -> Suite:
    """Return `NUM_LEVELS` levels of each kind; the seed is the kind's name, so that a set never depends on another."""
    batches = [procedural.make_levels(make, [zlib.crc32(name.encode())], NUM_LEVELS) for name, make in kinds.items()]
    levels = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *batches)
    return Suite("", env, levels, tuple(name for name in kinds for _ in range(NUM_LEVELS)))


def _long_horizon(height: int, width: int) -> int:
    return 2 * (height + 2) * (width + 2)


def _resized(maze: Maze, height: int, width: int, max_steps: int) -> Maze:
    """Return the world for another size and horizon; its own generator is adapted to fit, and reserves nothing.

    Nobody builds its levels: how they would be built is left at the defaults, which fit any size.
    """
    num_walls = min(maze.levels.num_walls, height * width - 2)
    options = dataclasses.replace(maze.levels, num_walls=num_walls, holdout=0)
    return dataclasses.replace(
        maze, height=height, width=width, max_steps=max_steps, levels=options, design=MazeDesign()
    )
