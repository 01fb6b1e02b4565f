"""Where does the time of one update go? Each part of an iteration compiled by itself and timed on what it gets in the whole.

In the whole, parts fuse and overlap: what one of them computes need not be written to memory for the next, and what nobody
reads is not computed. So the parts need not add up to it; they say where to look. ``forward`` is one pass over the batch, of
which ``epoch`` (one epoch with one minibatch or more: forward, backward and optimiser) has one as well and ``learn`` (all
epochs) as many as there are epochs, but for the first where the student keeps the rollout's; ``score`` is in ``observe``.

All on one device, the whole too. Letters: ``R`` levels that are proposed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from minied import registry
from minied import rollout as rollouts
from minied.experience import advantages_of, batch_of
from minied.rollout import Rollout, RolloutState
from minied.scores.base import score_levels
from minied.students import ppo
from minied.students.base import Earlier, Parameters, RecordingStudent
from minied.students.ppo import Batch, StudentState
from minied.teachers.base import Outcome, Plan, Proposal
from minied.teachers.contract import checked_plan
from minied.teachers.scoring import ScoringTeacher
from minied.train.config import TrainConfig
from minied.train.loop import iterate_members
from minied.train.playing import probe_of
from minied.train.program import Program
from minied.train.setting import Setting
from minied.train.signals import KEPT_BY_ROLLOUT, signals_of
from minied.train.state import Member, RunState

_MOST_ITERATIONS = 50  # until one of a run's iterations learns

Parts = dict[str, Callable[[], Any]]


def parts_of_update(config: TrainConfig) -> Parts:
    """Return each part of one iteration that learns, and the "whole", as functions that compute it anew at every call.

    Runs the first iterations of ``config``, and every part once for what the next of them reads. Of a population, the
    student's parts are those of one; of a teacher that designs, "propose levels" is its rollout and "observe" its
    learning. Of self-play, the parts are those of games without past policies.

    Args:
        config: with one member; spread over one device, whatever it says.
    """
    config = dataclasses.replace(config, num_devices=1)
    program = Program(config)
    setting = Setting.of(config)
    state, plan = _state_that_learns(program, setting)
    member: Member = jax.tree.map(lambda leaf: leaf[0], state.members)
    key = jax.random.fold_in(member.key, state.schedule.iterations)
    propose_key, play_key, update_key, _ = jax.random.split(key, 4)  # as the loop splits it
    parameters = member.student.parameters

    parts: Parts = {}

    def part(name: str, function: Callable[..., Any], *arguments: Any, setting: Setting = setting) -> Any:
        compiled = jax.jit(function)
        parts[name] = lambda: compiled(setting, *arguments)
        return parts[name]()

    proposal: Proposal = part("propose levels", _propose, propose_key, member, plan)
    start, end, rollout = part("rollout", _roll_out, play_key, parameters, proposal.levels)
    last_values, advantages = part("advantages", _value_estimates, parameters, end, rollout)
    played = (parameters, start, rollout, last_values, advantages, proposal)
    outcome: Outcome = part("episodes and signals", _outcome, *played)
    batch = _batch(setting, rollout, advantages, start)
    part("forward", _forward, parameters, batch)
    once = Setting.of(dataclasses.replace(config, ppo=dataclasses.replace(config.ppo, num_epochs=1)))
    afresh = batch.replace(earlier=None)
    part("epoch: forward, backward, optimiser", _learn, update_key, member.student, afresh, setting=once)
    part("learn: all epochs", _learn, update_key, member.student, batch)
    if isinstance(setting.teacher, ScoringTeacher) and "neighbour_distances" not in setting.needs:
        part("score", _score, outcome)
    part("observe", _observe, member.teacher, plan, proposal, outcome)
    part("whole", iterate_members, state)
    return parts


def _state_that_learns(program: Program, setting: Setting) -> tuple[RunState, Plan]:
    """Return a run before an iteration that learns, other than its first, and the plan of that."""
    state, _ = program.advance(program.init(), 1)
    for number in range(2, _MOST_ITERATIONS):
        key = jax.random.fold_in(state.schedule.key, state.schedule.iterations)
        plan = checked_plan(setting.teacher, key, state.schedule, setting.num_levels)
        if bool(plan.train):
            return state, plan
        state, _ = program.advance(state, number)
    raise ValueError(f"none of the first {_MOST_ITERATIONS} iterations learns")


def _propose(setting: Setting, key: jax.Array, member: Member, plan: Plan) -> Proposal:
    probe = probe_of(setting, member.student.parameters)
    return setting.teacher.propose(key, member.teacher, plan, setting.space, setting.num_levels, probe)[1]


def _roll_out(
    setting: Setting, key: jax.Array, parameters: Parameters, levels: Any
) -> tuple[RolloutState, RolloutState, Rollout]:
    start_key, rollout_key = jax.random.split(key)
    start = rollouts.start(start_key, setting.student, setting.env, levels)
    end, rollout = rollouts.collect(
        rollout_key,
        setting.student,
        parameters,
        setting.env,
        levels,
        start,
        setting.num_steps,
        bootstrap_truncated=setting.ppo.bootstrap_truncated,
        keep=setting.needs & KEPT_BY_ROLLOUT,
        keep_activations_of=_num_rows(setting) if _starts_from_activations(setting) else 0,
    )
    return start, end, rollout


def _value_estimates(
    setting: Setting, parameters: Parameters, end: RolloutState, rollout: Rollout
) -> tuple[jax.Array, jax.Array]:
    last_values = rollouts.last_values(setting.student, parameters, end)
    return last_values, advantages_of(setting.ppo, rollout, last_values)


def _outcome(
    setting: Setting,
    parameters: Parameters,
    start: RolloutState,
    rollout: Rollout,
    last_values: jax.Array,
    advantages: jax.Array,
    proposal: Proposal,
) -> Outcome:
    episodes = rollouts.summarise_rollout(setting.env, rollout)
    levels, max_returns = proposal.levels, proposal.max_returns
    signals = signals_of(
        setting, parameters, start.carry, rollout, last_values, advantages, episodes, levels, max_returns
    )
    if "population" in setting.needs:  # what it costs does not depend on who they are
        signals = signals.replace(population=_repeated(episodes, setting.num_students))
    return Outcome(episodes, signals)


def _repeated(tree: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], number, axis=1), tree)


def _batch(setting: Setting, rollout: Rollout, advantages: jax.Array, start: RolloutState) -> Batch:
    """Return what the student learns from: the first levels of a proposal, with the activations if they were kept."""
    number, rows = setting.num_levels, _num_rows(setting)
    first = jax.tree.map(lambda leaf: leaf[:, :number], rollout.replace(activations=()))
    batch = batch_of(first, advantages[:, :number], jax.tree.map(lambda leaf: leaf[:rows], start.carry))
    if not jax.tree.leaves(rollout.activations):
        return batch
    return batch.replace(earlier=Earlier(rollout.activations, hold=jnp.bool_(True)))


def _forward(setting: Setting, parameters: Parameters, batch: Batch) -> tuple[jax.Array, jax.Array]:
    _, logits, values = setting.student.apply(parameters, batch.carry, batch.observations, batch.resets)
    return logits, values


def _learn(setting: Setting, key: jax.Array, student: StudentState, batch: Batch) -> StudentState:
    rate = ppo.learning_rate(setting.ppo, jnp.float32(0))
    return ppo.update(key, setting.student, student, batch, setting.ppo, rate, setting.env.num_agents)[0]


def _score(setting: Setting, outcome: Outcome) -> Any:
    assert isinstance(setting.teacher, ScoringTeacher)
    return score_levels(registry.load("score", setting.teacher.score), outcome.signals, 0.0)


def _observe(setting: Setting, state: Any, plan: Plan, proposal: Proposal, outcome: Outcome) -> Any:
    return setting.teacher.observe(state, plan, proposal, outcome, setting.space)


def _starts_from_activations(setting: Setting) -> bool:
    return setting.ppo.num_minibatches == 1 and isinstance(setting.student, RecordingStudent)


def _num_rows(setting: Setting) -> int:
    return setting.num_levels * setting.env.num_agents
