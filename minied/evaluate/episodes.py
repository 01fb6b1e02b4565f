"""Playing levels to judge a policy: the rollout of training, of which only the first episode of each row counts.

A row is one attempt at one level. However many rows there are, at most `ROWS_AT_ONCE` are played side by side, each in a
*place*; a place whose episode is over takes the next row that waits. So memory is bounded, no row pays for a slower one,
and it ends as soon as the last episode does.

Letters: ``L`` levels, ``R`` rows (levels × attempts, the attempts at a level together), ``Q`` places.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied import rollout as rollouts
from minied.env import Environment
from minied.episodes import mean_of_defined, mean_over_present
from minied.errors import UserError
from minied.spread import ALONE, Spread
from minied.students.base import Parameters, Student

ROWS_AT_ONCE = 2048
"""Places. On CPU more are no faster; a suite of fewer rows is played all at once."""

_PLACES_MULTIPLE = 8
"""So that places can be divided among devices, and draws do not depend on whether they are. Among as many devices as do not
divide them (3, 5, 6, 7) they are not: each plays all."""

_PIECE = 32
"""Steps between two looks at which episodes are over. Levels of a suite differ in length by orders of magnitude, and a
policy that solves its level should not be paid for up to the horizon."""


class LevelResults(struct.PyTreeNode):
    """What a policy did on each level, means over its attempts."""

    solve_rate: jax.Array  # f32[L]
    mean_return: jax.Array  # f32[L], undiscounted, mean over the agents that are there at the end
    team_returns: jax.Array  # f32[L, G], the same over those of each team, in the order of the teams' numbers
    mean_length: jax.Array  # f32[L], steps
    statistics: dict[str, jax.Array] = struct.field(default_factory=dict)
    """What the world says of its episodes, by name: ``f32[L]``, mean over attempts for which it is defined, NaN if none."""


class _Episodes(struct.PyTreeNode):
    """What episodes came to: of the rows, zeros (of statistics NaN) until they are known, or of the places."""

    solved: jax.Array  # bool[R] or bool[Q]
    returns: jax.Array  # f32[R] or f32[Q]
    team_returns: jax.Array  # f32[R, G] or f32[Q, G]
    lengths: jax.Array  # i32[R] or i32[Q]
    statistics: dict[str, jax.Array]  # f32[R] or f32[Q]


class _Play(struct.PyTreeNode):
    """Where it stands between two pieces."""

    piece: jax.Array  # i32[]
    rows: jax.Array  # i32[Q], the row in each place, R in a place without one
    age: jax.Array  # i32[Q], steps since the row took its place
    waiting: jax.Array  # i32[], the first row that has had no place yet
    state: rollouts.RolloutState  # [Q, ...]
    results: _Episodes  # [R]


def evaluate_levels(
    key: jax.Array,
    student: Student,
    parameters: Parameters,
    env: Environment,
    levels: Any,
    attempts: int,
    rows_at_once: int = ROWS_AT_ONCE,
    spread: Spread = ALONE,
) -> LevelResults:
    """Play ``attempts`` episodes on each level with actions sampled from the policy. Consumes ``key``.

    A row's random numbers depend on its place and on when it takes it, thus also on ``rows_at_once`` if there are more
    rows than that. They are fresh all the same: which row comes when depends on past steps only.

    Args:
        key: consumed.
        student: the network.
        parameters: of one member.
        env: with an agent axis; its horizon ends every episode.
        levels: ``[L, ...]``.
        attempts: episodes a level.
        rows_at_once: ``Q``, rounded up to a multiple of `_PLACES_MULTIPLE`; memory grows with it, hardly with the number of
            levels.
        spread: over devices. Each has its places; which rows they take is decided for all of them together.

    Raises `UserError` for numbers below 1.
    """
    for name, value in (("attempts", attempts), ("rows_at_once", rows_at_once)):
        if value < 1:
            raise UserError(f"{name} is {value}; allowed: at least 1")
    num_levels = jax.tree.leaves(levels)[0].shape[0]
    num_rows = num_levels * attempts
    num_places = -(-min(rows_at_once, num_rows) // _PLACES_MULTIPLE) * _PLACES_MULTIPLE
    if num_places % spread.number:
        spread = ALONE  # every device plays all
    rows = jnp.minimum(jnp.arange(num_places, dtype=jnp.int32), num_rows)
    start_key, play_key, refill_key = jax.random.split(key, 3)

    def levels_of(rows: jax.Array) -> Any:
        chosen = jnp.minimum(rows, num_rows - 1) // attempts
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], levels)

    @jax.jit  # traced once, for the names of the statistics and for itself
    def steps(
        piece: jax.Array, rows: jax.Array, state: rollouts.RolloutState
    ) -> tuple[rollouts.RolloutState, jax.Array, _Episodes]:
        state, rollout = rollouts.collect(
            jax.random.fold_in(play_key, piece), student, parameters, env, spread.part(levels_of(rows)), state, _PIECE,
            part=lambda tree: spread.part(tree, axis=1), num_levels=num_places,
        )  # fmt: skip
        return state, *spread.whole(_first_ends(env, rollout))

    def play_piece(play: _Play) -> _Play:
        state, has_ended, episodes = steps(play.piece, play.rows, play.state)
        age = play.age + _PIECE
        target = jnp.where(has_ended, play.rows, num_rows)  # there is no such row: nothing is written
        results = jax.tree.map(lambda all, new: all.at[target].set(new, mode="drop"), play.results, episodes)
        # A world that overruns its own horizon shall not be played for ever; its row keeps the zeros.
        play = play.replace(piece=play.piece + 1, age=age, state=state, results=results)
        return refill(play, has_ended | (age >= env.max_steps))

    def refill(play: _Play, is_free: jax.Array) -> _Play:
        turn = play.waiting + jnp.cumsum(is_free, dtype=jnp.int32) - 1
        rows = jnp.where(is_free, jnp.minimum(turn, num_rows), play.rows)
        waiting = jnp.minimum(play.waiting + jnp.sum(is_free, dtype=jnp.int32), num_rows)
        play = play.replace(rows=rows, waiting=waiting)
        if num_rows <= num_places:
            return play  # nothing ever waits
        fresh = rollouts.start(jax.random.fold_in(refill_key, play.piece), student, env, levels_of(rows))
        state = _restart(spread.part(is_free), spread.part(fresh), play.state, env.num_agents)
        return play.replace(age=jnp.where(is_free, 0, play.age), state=state)

    zeros, state = jnp.zeros(num_rows), spread.part(rollouts.start(start_key, student, env, levels_of(rows)))
    names = jax.eval_shape(steps, jnp.int32(0), rows, state)[2].statistics
    undefined = {name: jnp.full(num_rows, jnp.nan) for name in names}
    play = _Play(
        piece=jnp.int32(0),
        rows=rows,
        age=jnp.zeros_like(rows),
        waiting=jnp.int32(min(num_places, num_rows)),
        state=state,
        results=_Episodes(
            solved=zeros.astype(bool),
            returns=zeros,
            team_returns=jnp.zeros((num_rows, len(set(env.teams)))),
            lengths=zeros.astype(jnp.int32),
            statistics=undefined,
        ),
    )
    results = jax.lax.while_loop(lambda play: jnp.any(play.rows < num_rows), play_piece, play).results
    by_level = jax.tree.map(
        lambda leaf: leaf.reshape(num_levels, attempts, *leaf.shape[1:]).astype(jnp.float32), results
    )
    return LevelResults(
        solve_rate=by_level.solved.mean(axis=1),
        mean_return=by_level.returns.mean(axis=1),
        team_returns=by_level.team_returns.mean(axis=1),
        mean_length=by_level.lengths.mean(axis=1),
        statistics=jax.tree.map(jax.vmap(mean_of_defined), by_level.statistics),
    )


def _first_ends(env: Environment, rollout: rollouts.Rollout) -> tuple[jax.Array, _Episodes]:
    """Return whether an episode ended in each place, ``bool[Q]``, and what the first of them came to."""
    at = jnp.argmax(rollout.ended, axis=0)
    place = jnp.arange(at.shape[0])
    returns = rollout.returns[at, place]
    lengths, statistics = jax.tree.map(lambda leaf: leaf[at, place], (rollout.lengths, rollout.statistics))
    present = jnp.ones(returns.shape, bool) if rollout.present is None else rollout.present[at, place]
    teams = np.asarray(env.teams)[np.newaxis]
    of_teams = [mean_over_present(returns, present & (teams == team)) for team in sorted(set(env.teams))]
    episodes = _Episodes(
        solved=jax.vmap(env.is_solved)(returns),
        returns=mean_over_present(returns, present),
        team_returns=jnp.stack(of_teams, axis=-1),
        lengths=lengths,
        statistics=statistics,
    )
    return jnp.any(rollout.ended, axis=0), episodes


def _restart(
    is_free: jax.Array, fresh: rollouts.RolloutState, old: rollouts.RolloutState, num_agents: int
) -> rollouts.RolloutState:
    """Return ``fresh`` in the places that are free and ``old`` elsewhere; memories have a row an agent, ``[Q·N]``."""

    def choose(condition: jax.Array, new: Any, old: Any) -> Any:
        # `select`, because a world's state may hold typed keys.
        return jax.vmap(lambda c, n, o: jax.tree.map(lambda a, b: jax.lax.select(c, a, b), n, o))(condition, new, old)

    carry = choose(jnp.repeat(is_free, num_agents), fresh.carry, old.carry)
    return choose(is_free, fresh.replace(carry=()), old.replace(carry=())).replace(carry=carry)
