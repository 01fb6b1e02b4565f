"""How is a level of XLand-MiniGrid edited? One thing at a time, so that what the goal asks for can still be made."""

import jax
import jax.numpy as jnp

from minied.adapters import xminigrid_rulesets as encoding
from minied.adapters.cells import below, pick, steps_from
from minied.adapters.xminigrid_rulesets import Rulesets, XLandLevel


def edit(
    key: jax.Array, level: XLandLevel, rulesets: Rulesets | None, *, moves_things: bool, stays_in_room: bool
) -> XLandLevel:
    """Return ``level`` with one edit, drawn among those that it allows. Consumes ``key``.

    The agent is put elsewhere and turned, or a thing is put elsewhere. With ``rulesets`` also: a tile becomes another
    wherever it occurs; the goal becomes another of as many tiles; a thing is replaced by what it is made of, by a new rule;
    or what a rule is made of is replaced by what it makes, and the rule is gone.

    Args:
        key: consumed.
        level: to be edited.
        rulesets: what may be written; None: only moves.
        moves_things: whether things are moved, or the agent alone.
        stays_in_room: whether what is moved stays where it can walk to without opening a door.
    """
    which, *chances = jax.random.uniform(key, (6,))  # one draw, as each one more takes long to compile
    proposals = [_move_agent(chances, level, stays_in_room)]
    if moves_things:
        proposals.append(_move_thing(chances, level, stays_in_room))
    if rulesets is not None:
        proposals += [each(chances, level, rulesets) for each in (_rename, _change_goal, _add_rule)]
        proposals.append(_drop_rule(chances, level))
    levels, allowed = zip(*proposals, strict=True)  # of which one comes true, so that they may share their chances
    chosen, is_any = pick(which, jnp.stack(allowed))
    return jax.tree.map(lambda old, *new: jnp.where(is_any, jnp.stack(new)[chosen], old), level, *levels)


def _move_agent(chances: list[jax.Array], level: XLandLevel, stays: bool) -> tuple[XLandLevel, jax.Array]:
    free = _free(level)
    if stays:
        free &= _room_of(level, level.position)
    index, is_any = pick(chances[0], free)
    position = jnp.stack(jnp.divmod(index, free.shape[1])).astype(jnp.int32)
    return level.replace(position=position, direction=below(chances[1], 4)), is_any


def _move_thing(chances: list[jax.Array], level: XLandLevel, stays: bool) -> tuple[XLandLevel, jax.Array]:
    movable = jnp.asarray((*encoding.THINGS, encoding.GOAL), jnp.uint8)
    here, is_thing = pick(chances[0], jnp.isin(level.cells[..., 0], movable))
    free = _free(level)
    if stays:
        free &= _room_of(level, jnp.stack(jnp.divmod(here, free.shape[1])))
    there, is_free = pick(chances[1], free)
    old = encoding.codes(level.cells).reshape(-1)
    return _with_codes(level, old.at[here].set(encoding.BLACK_FLOOR).at[there].set(old[here])), is_thing & is_free


def _rename(chances: list[jax.Array], level: XLandLevel, rulesets: Rulesets) -> tuple[XLandLevel, jax.Array]:
    """Turn a tile into one that is not used yet, in the room, the goal and the rules."""
    used = _used(level)
    all_things = jnp.isin(jnp.arange(used.shape[0]) // encoding.NUM_COLOURS, jnp.asarray(encoding.THINGS, jnp.int32))
    old, is_old = pick(chances[0], used & all_things)
    new, is_new = pick(chances[1], rulesets.pool_mask & ~used)

    def renamed(tiles: jax.Array) -> jax.Array:
        return jnp.where((encoding.codes(tiles) == old)[..., None], encoding.tile(new), tiles)

    kind = level.goal[0].astype(jnp.int32)
    is_tile = jnp.arange(2) < encoding.tiles_of_goal(kind)
    goal = jnp.where(is_tile[:, None], renamed(level.goal[1:].reshape(2, 2)), level.goal[1:].reshape(2, 2))
    rules = renamed(level.rules[:, 1:].reshape(-1, 3, 2)).reshape(-1, 6)
    level = level.replace(
        cells=renamed(level.cells),
        goal=jnp.concatenate([level.goal[:1], goal.reshape(-1)]),
        rules=jnp.concatenate([level.rules[:, :1], rules], axis=1),
    )
    return level, is_old & is_new


def _change_goal(chances: list[jax.Array], level: XLandLevel, rulesets: Rulesets) -> tuple[XLandLevel, jax.Array]:
    """Ask for the same tiles in another way: to hold instead of to be near, say."""
    kind = level.goal[0].astype(jnp.int32)
    kinds = jnp.asarray(rulesets.goals, jnp.int32)
    changeable = jnp.asarray([encoding.GOALS.index(name) for name in encoding.GOAL_KINDS], jnp.int32)
    is_alike = encoding.tiles_of_goal(kinds) == encoding.tiles_of_goal(kind)
    index, is_any = pick(chances[0], is_alike & (kinds != kind))
    goal = level.goal.at[0].set(kinds[index].astype(jnp.uint8))
    return level.replace(goal=goal), is_any & jnp.isin(kind, changeable)


def _add_rule(chances: list[jax.Array], level: XLandLevel, rulesets: Rulesets) -> tuple[XLandLevel, jax.Array]:
    """Replace a thing by one of which it can be made, or two, the second on a free cell; the rule is new."""
    old = encoding.codes(level.cells).reshape(-1)
    place, is_thing = pick(chances[0], jnp.isin(level.cells[..., 0], jnp.asarray(encoding.THINGS, jnp.uint8)))
    unused = rulesets.pool_mask & ~_used(level)
    first, is_first = pick(chances[1], unused)
    second, is_second = pick(chances[2], unused.at[first].set(False))
    kind = jnp.asarray(rulesets.rules, jnp.int32)[below(chances[3], len(rulesets.rules))]
    row, extra = encoding.rule_of(kind, first, second, old[place])
    there, is_free = pick(chances[4], _free(level))
    has_two = extra > 0
    empty = level.rules[:, 0] == 0
    cells = old.at[place].set(first)
    level = _with_codes(level, cells.at[there].set(jnp.where(has_two, extra, cells[there])))
    rules = level.rules.at[jnp.argmax(empty)].set(encoding.encoded_rules(row[None])[0])
    is_room = ~has_two | (is_second & is_free)
    return level.replace(rules=rules), is_thing & is_first & is_room & empty.any()


def _drop_rule(chances: list[jax.Array], level: XLandLevel) -> tuple[XLandLevel, jax.Array]:
    """Replace what a rule is made of, where it lies in the room and nothing else needs it, by what it makes."""
    old = encoding.codes(level.cells).reshape(-1)
    lies, inputs = encoding.present(old), encoding.inputs_of(level.rules)  # [156], [R, 2]
    needs = jnp.concatenate([inputs.reshape(-1), encoding.goal_tiles(level.goal)])
    is_free = (inputs == 0) | (lies[inputs] & ((inputs[..., None] == needs[None, None, :]).sum(axis=-1) == 1))
    index, is_any = pick(chances[0], (level.rules[:, 0] > 0) & is_free.all(axis=1))
    first, second = inputs[index]
    made = encoding.products(level.rules)[index]
    cells = old.at[jnp.argmax(old == first)].set(jnp.where(made == 0, encoding.BLACK_FLOOR, made))
    is_second = (jnp.arange(old.shape[0]) == jnp.argmax(old == second)) & (second > 0)
    rules = level.rules.at[index].set(0)
    rules = rules[jnp.argsort(rules[:, 0] == 0, stable=True)]
    return _with_codes(level.replace(rules=rules), jnp.where(is_second, encoding.BLACK_FLOOR, cells)), is_any


def _with_codes(level: XLandLevel, found: jax.Array) -> XLandLevel:
    """Return ``level`` with the cells of codes ``i32[H · W]``."""
    return level.replace(cells=encoding.tile(found).reshape(level.cells.shape))


def _used(level: XLandLevel) -> jax.Array:
    """Return which codes occur in the room, the goal and the rules, ``bool[156]``."""
    in_room, in_rules = encoding.codes(level.cells).reshape(-1), encoding.rule_tiles(level.rules).reshape(-1)
    return encoding.present(jnp.concatenate([in_room, encoding.goal_tiles(level.goal), in_rules]))


def _free(level: XLandLevel) -> jax.Array:
    """Return the floor where neither the agent stands nor an answer is, ``bool[H, W]``."""
    free = level.cells[..., 0] == encoding.FLOOR
    for row, col in (level.position, *level.answers):
        free = free.at[row, col].set(False)
    return free


def _room_of(level: XLandLevel, position: jax.Array) -> jax.Array:
    """Return the cells that are joined to ``position`` without walls or doors between, ``bool[H, W]``."""
    open_cells = ~jnp.isin(level.cells[..., 0], jnp.asarray((encoding.WALL, *encoding.DOORS), jnp.uint8))
    return steps_from(open_cells, position) >= 0
