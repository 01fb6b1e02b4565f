"""Self-play against the past: in a share of the games one team is played by an earlier policy of the same student.

Snapshots of the student are taken every so many updates into a pool that has room for some of them. When it is full a new
one takes a random place or none, such that all so far have the same chance to be in it (reservoir sampling, Vitter 1985,
algorithm R): a policy that is drawn from the pool is drawn from the whole run. That opponents come from the whole past is
Bansal et al. 2018 (arXiv 1710.03748); that most games stay those of the current policy against itself is Berner et al. 2019
(arXiv 1912.06680), who have a fifth against the past. Here each team of a game is one policy, and in each iteration all
games in which a team is past meet the same past policy.

Where the past plays is fixed: the environments of a batch are equal *cycles*, in each of which the first games are against
the past, of one team after the other. So every device has as many of them.

Letters: ``K`` places of the pool, ``G`` teams, ``P`` students, ``R`` levels (environments), ``N`` agents, ``T`` steps.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.episodes import EpisodeSummary, mean_of_defined
from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.rollout import Rollout, summarise_rollout
from minied.students.base import Parameters, Student
from minied.students.networks.teams import TeamStudent, by_team

NOBODY = -1
"""Stands for the team that is past in a game of current policies alone."""

_MEANS = ("mean_return", "mean_length", "return_variance")  # of episodes, NaN where there is none

# Beyond every number of an iteration: names of branches of keys from which those of iterations are drawn too.
_OPPONENTS, _PLACES = 0x8000_00E1, 0x8000_09A5


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
    """Options of self-play against the past, off by default: then every agent is played by the current policy."""

    past_share: float = 0.0
    """Share of the environments of a batch in which one team is played by a past policy, each team in as many of them. What
    past policies do is not learnt from, and such a game gives its level no score: only games of current policies do."""
    pool_size: int = 8
    """Past policies that are kept. Each is as large as the network."""
    keep_every: int = 100
    """Student updates between two snapshots; the first is of the initial policy."""

    def __post_init__(self) -> None:
        require_range(self, "past_share", 0, 1)
        for name in ("pool_size", "keep_every"):
            require_range(self, name, 1, 2**31 - 1)

    def games_of_each_team(self, env: Environment, num_envs: int) -> int:
        """Return in how many of ``num_envs`` environments each team is past, 0 if this is off.

        Raises `UserError` for a world without opponents, and for a share that is no whole number of environments a team.
        """
        if not self.past_share:
            return 0
        num_teams, world = len(set(env.teams)), type(env).__name__
        if num_teams < 2:
            raise UserError(
                f"self_play.past_share is {self.past_share:g}; allowed for {world}, whose agents are one team: 0"
            )
        games = round(self.past_share * num_envs / num_teams)
        if not math.isclose(games * num_teams, self.past_share * num_envs, rel_tol=1e-6):
            raise UserError(
                f"self_play.past_share is {self.past_share:g}; allowed with num_envs = {num_envs} and {num_teams} teams:"
                f" multiples of {num_teams}/{num_envs}, as many environments for every team"
            )
        return games

    def num_cycles(self, env: Environment, num_envs: int) -> int:
        """Return into how many equal parts, with as many games against each team's past, a batch is cut, 0 if this is off.

        Raises `UserError` as `games_of_each_team` does.
        """
        games = self.games_of_each_team(env, num_envs)
        return math.gcd(num_envs, games) if games else 0


class Opponents(struct.PyTreeNode):
    """The past policies of one student in one iteration."""

    parameters: Parameters  # [G, ...], of team g where that is past
    num_kept: jax.Array  # i32[], policies in the pool they were drawn from


@dataclasses.dataclass(frozen=True)
class SelfPlay:
    """Who plays what in a run with past policies. Static and hashable."""

    student: Student  # of the run
    teams: tuple[int, ...]  # of each agent, 0 to G - 1
    past: tuple[int, ...]  # the team that is past in each environment of a cycle, or `NOBODY`
    config: SelfPlayConfig

    @property
    def num_teams(self) -> int:
        """G."""
        return max(self.teams) + 1

    @classmethod
    def of(cls, config: SelfPlayConfig, env: Environment, num_envs: int, student: Student) -> "SelfPlay | None":
        """Return it for ``num_envs`` environments, None if it is off. Raises `UserError` as `games_of_each_team` does."""
        games, num_cycles = config.games_of_each_team(env, num_envs), config.num_cycles(env, num_envs)
        if not games:
            return None
        numbers = sorted(set(env.teams))  # a world may number its teams as it likes
        against_past = [*range(len(numbers))] * (games // num_cycles)
        others = [NOBODY] * (num_envs // num_cycles - len(against_past))
        return cls(student, tuple(numbers.index(team) for team in env.teams), (*against_past, *others), config)

    # -- the pool ------------------------------------------------------------------------------------------------------

    def first_pool(self, parameters: Parameters) -> Any:
        """Return the pool ``[P, K, ...]`` of a run's start, which holds the first ``parameters`` ``[P, ...]``."""

        def with_room(leaf: jax.Array) -> jax.Array:
            room = jnp.zeros((leaf.shape[0], self.config.pool_size, *leaf.shape[1:]), leaf.dtype)
            return room.at[:, 0].set(leaf)

        return jax.tree.map(with_room, parameters)

    def pool_after(
        self, key: jax.Array, pool: Any, parameters: Parameters, student_updates: jax.Array, has_trained: jax.Array
    ) -> Any:
        """Return the pool ``[P, K, ...]`` with a snapshot of ``parameters`` ``[P, ...]``, if one is due and finds a place.

        Args:
            key: ``key[]`` of the schedule, the same at every call, not consumed.
            pool: before.
            parameters: of the students after this iteration.
            student_updates: ``i32[]``, this iteration's included.
            has_trained: ``bool[]``, whether this iteration had one.
        """
        number = student_updates // self.config.keep_every
        is_due = has_trained & (student_updates % self.config.keep_every == 0)
        place = jnp.where(is_due, self.place(key, number), self.config.pool_size)  # there is no such place
        return jax.tree.map(lambda kept, new: kept.at[:, place].set(new, mode="drop"), pool, parameters)

    def place(self, key: jax.Array, number: jax.Array) -> jax.Array:
        """Return where snapshot ``number`` (from 0) is kept, ``i32[]``, `pool_size` or more for nowhere."""
        drawn = jax.random.randint(jax.random.fold_in(jax.random.fold_in(key, _PLACES), number), (), 0, number + 1)
        return jnp.where(number < self.config.pool_size, number, drawn)

    def draw(self, key: jax.Array, pool: Any, student_updates: jax.Array) -> Opponents:
        """Return past policies of one student, one for each team, drawn from what its pool ``[K, ...]`` holds.

        ``key`` is not consumed: what is drawn from it here is nothing that it is split into.
        """
        num_kept = jnp.minimum(student_updates // self.config.keep_every + 1, self.config.pool_size)
        drawn = jax.random.randint(jax.random.fold_in(key, _OPPONENTS), (self.num_teams,), 0, num_kept)
        return Opponents(jax.tree.map(lambda leaf: leaf[drawn], pool), num_kept)

    # -- who plays where -----------------------------------------------------------------------------------------------

    @property
    def player(self) -> TeamStudent:
        """The student that plays all rows of a rollout with the parameters of `parameters`; its teams are our players."""
        if isinstance(self.student, TeamStudent):  # current: a player a team
            student, current = self.student.student, range(self.num_teams)
        else:
            student, current = self.student, [0] * self.num_teams
        first_past = max(current) + 1
        seats = [first_past + team if past == team else current[team] for past in self.past for team in self.teams]
        return by_team(student, tuple(seats))

    def parameters(self, current: Parameters, opponents: Opponents) -> dict[str, Parameters]:
        """Return what `player` plays with."""
        pasts = [jax.tree.map(lambda leaf, g=g: leaf[g], opponents.parameters) for g in range(self.num_teams)]
        if isinstance(self.student, TeamStudent):
            names = self.student.names
            pasts = [past[name] for past, name in zip(pasts, names, strict=True)]
            return self.player.named(*(current[name] for name in names), *pasts)
        return self.player.named(current, *pasts)

    def past_teams(self, num_levels: int) -> np.ndarray:
        """Return the team that is past in each environment, or `NOBODY`, ``i32[num_levels]``: of whole cycles."""
        return np.tile(np.asarray(self.past, np.int32), num_levels // len(self.past))

    def learners_of(self, rollout: Rollout) -> jax.Array:
        """Return who took part and is current, ``bool[T, R, N]``."""
        is_current = self.past_teams(rollout.rewards.shape[1])[:, np.newaxis] != np.asarray(self.teams)[np.newaxis]
        return _among_those_there(rollout, is_current)

    # -- what came of it -----------------------------------------------------------------------------------------------

    def of_current_policies(self, episodes: EpisodeSummary) -> EpisodeSummary:
        """Return episodes ``[R]`` without those against the past: what a level scores must not hang on its row's seats."""
        is_past = self.past_teams(episodes.num_finished.shape[0]) != NOBODY

        def without(told: jax.Array, nothing: float) -> jax.Array:
            return jnp.where(is_past, jnp.asarray(nothing, told.dtype), told)

        undefined = {name: without(getattr(episodes, name), jnp.nan) for name in _MEANS}
        return episodes.replace(
            num_finished=without(episodes.num_finished, 0),
            num_solved=without(episodes.num_solved, 0),
            max_return=without(episodes.max_return, -jnp.inf),
            statistics={name: without(value, jnp.nan) for name, value in episodes.statistics.items()},
            **undefined,
        )

    def games(self, env: Environment, rollout: Rollout, episodes: EpisodeSummary) -> tuple[jax.Array, jax.Array]:
        """Return how often each game was solved, ``f32[R]``, and what each team came to.

        That is the mean return of its agents over finished episodes, ``f32[R, G]``. NaN if none finished.
        """
        agents = [np.asarray(self.teams)[np.newaxis] == team for team in range(self.num_teams)]
        rollouts = [rollout.replace(present=_among_those_there(rollout, each)) for each in agents]
        returns = jnp.stack([summarise_rollout(env, each).mean_return for each in rollouts], axis=-1)
        return episodes.solve_rate, returns

    def metrics(self, games: tuple[jax.Array, jax.Array], opponents: Opponents) -> dict[str, jax.Array]:
        """Return what current teams came to against the past and against each other, ``f32[]``, NaN if undefined.

        Args:
            games: of `games`; what counts as solved is the victory of one team, as the world says.
            opponents: who were met.
        """
        solved, returns = games
        past = self.past_teams(solved.shape[0])

        def mean_where(games: np.ndarray, values: jax.Array) -> jax.Array:
            return mean_of_defined(jnp.where(games, values, jnp.nan))

        against_current = past == NOBODY
        metrics = {
            "past_policies": opponents.num_kept.astype(jnp.float32),
            "solve_rate_against_current": mean_where(against_current, solved),
        }
        for team in range(self.num_teams):
            against_past = (past != NOBODY) & (past != team)
            metrics |= {
                f"team_{team}/solve_rate_against_past": mean_where(against_past, solved),
                f"team_{team}/return_against_past": mean_where(against_past, returns[:, team]),
                f"team_{team}/return_against_current": mean_where(against_current, returns[:, team]),
            }
        return metrics


def _among_those_there(rollout: Rollout, agents: np.ndarray) -> jax.Array:
    """Return which of ``agents``, ``bool[R or 1, N]``, took part in each step, ``bool[T, R, N]``."""
    chosen = jnp.broadcast_to(agents[np.newaxis], rollout.rewards.shape)
    return chosen if rollout.present is None else chosen & rollout.present
