"""Whose parameters act for an agent: those that all share, or those of its team.

Letters: ``T`` steps, ``B`` environments, ``N`` agents, ``M = B·N`` rows: row ``b·N + n`` is agent n of environment b.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment
from minied.errors import UserError
from minied.spaces import Space
from minied.students.base import Activations, Carry, Earlier, Parameters, RecordingStudent, Student
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig


def student_of(env: Environment, config: NetworkConfig) -> RecordingStudent:
    """Return the student that plays ``env``. Raises `UserError` as `ActorCritic.of` does, and for agents without a team."""
    student, teams = ActorCritic.of(env, config), tuple(env.teams)
    if len(teams) != env.num_agents:
        raise UserError(
            f"teams of {type(env).__name__} is {teams}; allowed: one number an agent, {env.num_agents} of them"
        )
    return TeamStudent(student, teams) if config.parameters == "team" and len(set(teams)) > 1 else student


def require_same_teams(student: Any, env: Environment) -> None:
    """Raise `UserError` if ``student`` has parameters for other teams than those of ``env``: it would mix them up."""
    if isinstance(student, TeamStudent) and student.teams != tuple(env.teams):
        raise UserError(
            f"the teams of {type(env).__name__} are {env.teams}; allowed with network.parameters 'team': those of the run's"
            f" own world, {student.teams}"
        )


def by_team(student: Student, teams: tuple[int, ...]) -> "TeamStudent":
    """Return the student that plays each of ``teams`` with parameters of its own: ``student`` itself if it does so."""
    return student if isinstance(student, TeamStudent) else TeamStudent(student, teams)


def two_teams(
    student: Student, teams: tuple[int, ...], first: Parameters, second: Parameters
) -> tuple["TeamStudent", dict[str, Parameters]]:
    """Return the student and the parameters with which ``first`` plays the first of two teams and ``second`` the other.

    Each is a whole set of parameters of ``student``; where teams have parameters of their own, their team's part is taken.
    """
    player = by_team(student, teams)
    one, other = player.names
    if isinstance(student, TeamStudent):
        first, second = first[one], second[other]
    return player, player.named(first, second)


@dataclasses.dataclass(frozen=True)
class TeamStudent:
    """A whole set of parameters for every team, a `RecordingStudent` around one that is applied to each team's rows.

    Parameters are ``{"team_0": ..., "team_1": ...}``. All that has rows keeps their order.
    """

    student: Any  # a `Student`; a `RecordingStudent`, if it is to record
    teams: tuple[int, ...]  # of each agent; or of all agents of several environments, which rows then repeat

    @property
    def observation_space(self) -> Space:
        """Of the student."""
        return self.student.observation_space

    def init(self, key: jax.Array) -> Parameters:
        """Return fresh parameters, each team's drawn anew. Consumes ``key``."""
        keys = jax.random.split(key, len(self._agents))
        return {name: self.student.init(each) for each, name in zip(keys, self._agents, strict=True)}

    def initial_carry(self, num_rows: int) -> Carry:
        """Return the memory of ``num_rows`` rows at the start of their episodes."""
        # Of the student's own rows: which policy of an ensemble acts is the environment's, whoever plays there.
        return self.student.initial_carry(num_rows)

    def apply(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run over a sequence, see `Student.apply`."""
        return self._run(self.student.apply, parameters, carry, (observation, reset))

    def record(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array
    ) -> tuple[Carry, jax.Array, jax.Array, Activations]:
        """Run over a sequence and keep its activations, see `RecordingStudent.record`."""
        return self._run(self.student.record, parameters, carry, (observation, reset))

    def repeat(
        self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, earlier: Earlier
    ) -> tuple[Carry, jax.Array, jax.Array]:
        """Run over a sequence from its activations, see `RecordingStudent.repeat`."""

        def repeat(parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array, activations: Activations):
            return self.student.repeat(parameters, carry, observation, reset, Earlier(activations, earlier.hold))

        return self._run(repeat, parameters, carry, (observation, reset, earlier.activations))

    def policies(self, parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array) -> jax.Array:
        """Return what every policy says, see `Student.policies`."""

        def policies(parameters: Parameters, carry: Carry, observation: Any, reset: jax.Array):
            return carry, self.student.policies(parameters, carry, observation, reset)

        return self._run(policies, parameters, carry, (observation, reset))[1]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the teams' parameters, by number of the team."""
        return tuple(self._agents)

    def named(self, *parameters: Parameters) -> dict[str, Parameters]:
        """Return the parameters of each team, given in the order of `names`, as those of all."""
        return dict(zip(self.names, parameters, strict=True))

    @property
    def _agents(self) -> dict[str, list[int]]:
        """The agents of each team, by the name of its parameters."""
        number = range(len(self.teams))
        return {f"team_{team}": [n for n in number if self.teams[n] == team] for team in sorted(set(self.teams))}

    def _run(self, run: Callable[..., tuple], parameters: Parameters, carry: Carry, sequence: tuple) -> Any:
        """Return what ``run(parameters, carry, *sequence)`` gives for each team's rows, carry first, in order of rows."""
        results = [
            run(parameters[name], self._rows(carry, agents, axis=0), *self._rows(sequence, agents, axis=1))
            for name, agents in self._agents.items()
        ]
        carries, *outputs = zip(*results, strict=True)
        return self._joined(carries, axis=0), *(self._joined(each, axis=1) for each in outputs)

    def _rows(self, tree: Any, agents: list[int], axis: int) -> Any:
        """Return the rows of ``agents`` in leaves whose rows are along ``axis``, environment-major as before."""

        def of_agents(leaf: jax.Array) -> jax.Array:
            by_agent = _split_axis(leaf, len(self.teams), axis)
            if agents == [*range(agents[0], agents[-1] + 1)]:  # a slice, which costs less than a gather
                by_agent = jax.lax.slice_in_dim(by_agent, agents[0], agents[-1] + 1, axis=axis + 1)
            else:
                by_agent = jnp.take(by_agent, np.asarray(agents), axis=axis + 1)
            return _merge_axis(by_agent, axis)

        return jax.tree.map(of_agents, tree)

    def _joined(self, trees: Any, axis: int) -> Any:
        """Return the rows of all agents in order, from those of each team."""
        order = [agent for agents in self._agents.values() for agent in agents]

        def in_order(*leaves: jax.Array) -> jax.Array:
            sizes = [len(agents) for agents in self._agents.values()]
            parts = [_split_axis(leaf, size, axis) for leaf, size in zip(leaves, sizes, strict=True)]
            by_agent = jnp.concatenate(parts, axis=axis + 1)
            if order != sorted(order):
                by_agent = jnp.take(by_agent, np.argsort(order), axis=axis + 1)
            return _merge_axis(by_agent, axis)

        return jax.tree.map(in_order, *trees)


def _split_axis(leaf: jax.Array, number: int, axis: int) -> jax.Array:
    """Return rows ``[..., M, ...]`` as ``[..., M / number, number, ...]``."""
    return leaf.reshape(*leaf.shape[:axis], leaf.shape[axis] // number, number, *leaf.shape[axis + 1 :])


def _merge_axis(leaf: jax.Array, axis: int) -> jax.Array:
    return leaf.reshape(*leaf.shape[:axis], leaf.shape[axis] * leaf.shape[axis + 1], *leaf.shape[axis + 2 :])
