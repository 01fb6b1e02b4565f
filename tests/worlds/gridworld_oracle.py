"""MiniGrid itself as the oracle of the gridworld: its environments, translated to levels, and played side by side."""

import collections
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from minied_envs.gridworld import codes, missions, text
from minied_envs.gridworld.families import GridLevels
from minied_envs.gridworld.level import GridLevel, make_level
from minied_envs.gridworld.world import GridWorld

KEY = jax.random.key(0)
# Random, but with a taste for walking, picking up and toggling, so that more happens in 200 actions.
WEIGHTS = np.array([2, 2, 5, 3, 1, 3, 0.5]) / 16.5


def make(name, **options):
    """A registered environment of MiniGrid without wrappers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gymnasium
        import minigrid  # noqa: F401

        return gymnasium.make(name, disable_env_checker=True, **options).unwrapped


def code_of(thing) -> int:
    """The byte of a MiniGrid object."""
    if thing is None:
        return codes.EMPTY
    plain = {"wall": codes.WALL, "goal": codes.GOAL, "lava": codes.LAVA}
    if thing.type in plain:
        return plain[thing.type]
    colour = codes.COLOURS.index(thing.color)
    if thing.type == "door":
        first = codes.OPEN_DOOR if thing.is_open else codes.LOCKED_DOOR if thing.is_locked else codes.CLOSED_DOOR
        return first + colour
    code = {"key": codes.KEY, "ball": codes.BALL, "box": codes.BOX}[thing.type] + colour
    return codes.filled(code, code_of(thing.contains)) if thing.contains is not None else code


def cells_of(env) -> np.ndarray:
    """The map without its border, (row, col) = (y − 1, x − 1)."""
    grid = env.grid
    rows, cols = range(1, grid.height - 1), range(1, grid.width - 1)
    cells = np.array([[code_of(grid.get(x, y)) for x in cols] for y in rows], np.uint8)
    if hasattr(env, "success_pos"):  # of a memory task
        for (x, y), code in ((env.success_pos, codes.RIGHT_ANSWER), (env.failure_pos, codes.WRONG_ANSWER)):
            cells[y - 1, x - 1] = code
    return cells


def mission_of(env) -> int:
    """The mission, by what the environment's own `step` looks at."""
    if hasattr(env, "success_pos"):
        return missions.GO_TO_MATCH
    if getattr(env, "door", None) is not None:
        return missions.OPEN + codes.COLOURS.index(env.door.color)
    if getattr(env, "obj", None) is not None:
        return missions.pick_up(code_of(env.obj) if env.obj.contains is None else codes.BOX)
    return missions.REACH_GOAL


def to_level(env) -> GridLevel:
    """The level that a MiniGrid environment, just reset, is at (NumPy leaves)."""
    x, y = (int(i) for i in env.agent_pos)
    level = make_level(
        jnp.asarray(cells_of(env)),
        jnp.asarray([y - 1, x - 1]),
        jnp.asarray(env.agent_dir),
        mission_of(env),
        env.max_steps,
    )
    return jax.tree.map(np.asarray, level)


@functools.partial(jax.jit, static_argnums=0)
def rollout(world: GridWorld, levels, actions):
    """Every step's outcome, ``[L, T]``; an end restarts the same level. ``actions`` is ``i32[L, T]``."""

    def one(level, actions):
        def body(state, action):
            observation, after, reward, terminated, truncated, _ = world.step(KEY, state, action, level)
            fresh = world.reset(KEY, level)[1]
            following = jax.tree.map(lambda a, b: jnp.where(terminated | truncated, a, b), fresh, after)
            return following, (observation, after, reward, terminated, truncated)

        first, state = world.reset(KEY, level)
        return first, jax.lax.scan(body, state, actions)[1]

    return jax.vmap(one)(levels, actions)


def images(views):
    """Codes as MiniGrid shows them: ``[..., col, row, channel]``."""
    return np.swapaxes(np.asarray(codes.TRIPLES, np.uint8)[views], -3, -2)


def compare(name, num_levels, num_steps, seed=0, player=None, **options):
    """Play the same actions in MiniGrid and here, compare every step, and return how many ended with and without reward.

    Actions are random, or what ``player`` says of a level, and then nothing but "done".

    The one difference: a step that is both an end and the last is terminated here, both there.
    """
    env = make(name, **options)
    levels, firsts = [], []
    for number in range(num_levels):
        firsts.append(env.reset(seed=1000 * seed + number)[0])
        levels.append(to_level(env))
    world = GridWorld(
        env.height - 2, env.width - 2, env.max_steps, env.agent_view_size, env.see_through_walls, GridLevels("empty")
    )
    for level in levels[:3]:
        world.level_space.check(level)
    actions = np.random.default_rng(seed).choice(7, (num_levels, num_steps), p=WEIGHTS).astype(np.int32)
    if player is not None:
        plans = [player(level)[:num_steps] for level in levels]
        actions = np.array([plan + [6] * (num_steps - len(plan)) for plan in plans], np.int32)
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *levels)
    first, played = jax.tree.map(np.asarray, rollout(world, stacked, jnp.asarray(actions)))
    observations, states, rewards, terminated, truncated = played
    seen_first, seen = images(first["view"]), images(observations["view"])
    won = lost = 0
    for i in range(num_levels):
        env.reset(seed=1000 * seed + i)
        np.testing.assert_array_equal(seen_first[i], firsts[i]["image"])
        for t in range(num_steps):
            where = f"{name}, level {i}, step {t}, action {actions[i, t]}"
            theirs, reward, their_end, their_limit, _ = env.step(actions[i, t])
            np.testing.assert_array_equal(seen[i, t], theirs["image"], err_msg=where)
            assert observations["direction"][i, t] == theirs["direction"], where
            assert states.carrying[i, t] == code_of(env.carrying), where
            assert tuple(states.position[i, t] + 1) == (env.agent_pos[1], env.agent_pos[0]), where
            np.testing.assert_allclose(rewards[i, t], reward, rtol=1e-6, err_msg=where)
            assert terminated[i, t] == their_end, where
            assert truncated[i, t] == (their_limit and not their_end), where
            won, lost = won + (reward > 0), lost + (their_end and reward == 0)
            if their_end or their_limit:
                env.reset(seed=1000 * seed + i)
    return won, lost


# -- a slow, plain solver ---------------------------------------------------------------------------------------------

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def solve(level, most_states=200_000):
    """The fewest actions that end an episode with a reward, by a queue over all that can change; None if there are none.

    Written from MiniGrid's rules with the things as pairs of words, apart from the arithmetic of the codes.
    """
    cells = np.asarray(level.cells)
    things = {(r, c): describe(int(cells[r, c])) for r, c in np.ndindex(*cells.shape) if cells[r, c] != codes.EMPTY}
    mission = missions.words()[int(level.mission)]
    row, col = (int(i) for i in level.agent_position)
    first = (row, col, int(level.agent_direction), None, frozenset(things.items()))
    queue, seen = collections.deque([(first, ())]), {first}
    while queue:
        state, path = queue.popleft()
        if len(seen) > most_states:
            raise AssertionError("too many states")
        for action in range(6):
            following, won = act(state, action, mission, cells.shape)
            if won:
                return [*path, action]
            if following is not None and following not in seen:
                seen.add(following)
                queue.append((following, (*path, action)))
    return None


def describe(code):
    """(kind, colour, state or contents) of a code, read off its word in a drawing."""
    word = text.cell_words()[code]
    kinds = {"#": "wall", "G": "goal", "~": "lava", "+": "right", "-": "wrong", "K": "key", "A": "ball", "B": "box"}
    states = {"O": "open", "D": "closed", "L": "locked"}
    if word[0] in states:
        return "door", word[1], states[word[0]]
    inside = (kinds[word[3]], word[4], None) if "(" in word else None
    return kinds[word[0]], word[1:2], inside


def act(state, action, mission, size):
    """The state after an action, None if the episode ended, and whether with a reward."""
    row, col, facing, held, items = state
    things = dict(items)
    ahead = (row + STEPS[facing][0], col + STEPS[facing][1])
    inside = 0 <= ahead[0] < size[0] and 0 <= ahead[1] < size[1]
    thing = things.get(ahead) if inside else ("wall", "", None)
    kind = thing[0] if thing else None
    if action in (0, 1):
        return (row, col, (facing + (1 if action else -1)) % 4, held, items), False
    if action == 2:
        if kind in ("lava", "wrong"):
            return None, False
        if kind in ("goal", "right"):
            return None, True
        free = thing is None or thing[::2] == ("door", "open")
        return ((*ahead, facing, held, items) if free else None), False
    if action == 3 and kind in ("key", "ball", "box") and held is None and "matching" not in mission:
        del things[ahead]
        if mission == f"pick up the {colour_word(thing)} {kind}":
            return None, True
        return (row, col, facing, thing, frozenset(things.items())), False
    if action == 4 and thing is None and held is not None:
        things[ahead] = held
        return (row, col, facing, None, frozenset(things.items())), False
    if action == 5 and kind == "box":
        del things[ahead]
        if thing[2]:
            things[ahead] = thing[2]
        return (row, col, facing, held, frozenset(things.items())), False
    if action == 5 and kind == "door":
        opens = thing[2] == "closed" or (thing[2] == "locked" and held is not None and held[:2] == ("key", thing[1]))
        if opens and mission == f"open the {colour_word(thing)} door":
            return None, True
        if opens or thing[2] == "open":
            things[ahead] = ("door", thing[1], "open" if opens else "closed")
            return (row, col, facing, held, frozenset(things.items())), False
    return None, False


def colour_word(thing):
    return codes.COLOURS["rgbpye".index(thing[1])]
