"""One iteration of the loop: propose levels, roll the students out on them, perhaps learn, tell the teacher.

Every algorithm of minied is this function with another teacher. Letters: ``T`` steps, ``B`` levels that are learnt from,
``R ≥ B`` levels that are proposed, ``N`` agents.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from minied.episodes import EpisodeSummary
from minied.experience import advantages_of, batch_of, experience_of
from minied.rollout import Rollout
from minied.students import distributions, ppo
from minied.students.base import Earlier, Parameters, RecordingStudent
from minied.students.batch import Batch
from minied.students.bonuses.base import Bonus, Paid
from minied.students.ppo import StudentState
from minied.teachers.base import Outcome, Plan, Proposal, Schedule
from minied.teachers.contract import checked_observation, checked_proposal
from minied.train.metrics import Metrics, level_metrics, metrics_by_student, score_correlations
from minied.train.playing import Played, play, probe_of
from minied.train.setting import Setting
from minied.train.state import Member, map_members

_BONUS = 0xB0C05  # names the branch of an update's key from which its bonus draws; the others are its epochs'


def iterate(setting: Setting, schedule: Schedule, plan: Plan, member: Member) -> tuple[Member, Metrics]:
    """Return one member after an iteration that follows ``plan``, and its metrics, each ``f32[]``, NaN if undefined."""
    key = jax.random.fold_in(member.key, schedule.iterations)
    propose_key, play_key, update_key, regret_key = jax.random.split(key, 4)
    teacher, space, parameters = setting.teacher, setting.space, member.student.parameters

    probe = probe_of(setting, parameters)
    teacher_state, proposal = checked_proposal(
        teacher, propose_key, member.teacher, plan, space, setting.num_levels, probe
    )
    # What the teacher knew before it sees what is paid.
    mastery = teacher.mastery(teacher_state) if setting.bonus else None
    population, outcome, metrics = _students(setting, schedule, plan, member, proposal, mastery, play_key, update_key)
    teacher_state = checked_observation(teacher, teacher_state, plan, proposal, outcome, space)

    metrics |= {f"teacher/{name}": value for name, value in teacher.metrics(teacher_state, space).items()}
    metrics |= level_metrics(*_of_first_student(setting, proposal, outcome))
    if setting.correlations:
        again = probe(regret_key, proposal.levels).episodes
        metrics |= score_correlations(setting.correlations, proposal.sources, outcome, again)
    pool = _pool_after(setting, schedule, plan, member.pool, population)
    return member.with_population(population).replace(teacher=teacher_state, pool=pool), metrics


def _students(
    setting: Setting,
    schedule: Schedule,
    plan: Plan,
    member: Member,
    proposal: Proposal,
    mastery: jax.Array | None,
    play_key: jax.Array,
    update_key: jax.Array,
) -> tuple[StudentState, Outcome, Metrics]:
    """Return the students ``[P, ...]`` after each played its levels and perhaps learnt, what they did, and their metrics.

    Consumes both keys.
    """
    population, self_play = member.population, setting.self_play
    num_students, own = setting.num_students, setting.teacher.num_own_batches > 0
    num_activations = _num_rows(setting) if _starts_from_activations(setting) else 0

    def one(
        student: tuple[jax.Array, StudentState, Any, tuple[Any, jax.Array]],
    ) -> tuple[StudentState, Outcome, Metrics]:
        number, state, pool, batch = student
        # The keys of a single student are those of the loop.
        keys = [jax.random.fold_in(key, number) if num_students > 1 else key for key in (play_key, update_key)]
        levels, max_returns = batch or (proposal.levels, proposal.max_returns)
        opponents = None if self_play is None else self_play.draw(keys[0], pool, schedule.student_updates)
        played = play(
            setting,
            state.parameters,
            keys[0],
            levels,
            max_returns,
            num_activations=num_activations,
            opponents=opponents,
        )
        model = _model_of(setting, number, population)
        state, metrics = _learn(setting, plan, state, played, keys[1], model, mastery)
        if self_play is not None and opponents is not None:
            metrics |= self_play.metrics(played.games, opponents)
        return state, played.outcome, metrics

    numbers = jnp.arange(num_students, dtype=jnp.int32)
    batches = _own_batches(proposal, num_students) if own else ()
    population, outcomes, metrics = map_members(one, (numbers, population, member.pool, batches))
    outcome = _joined(outcomes, own, "population" in setting.needs)
    number_of_levels = outcomes.episodes.valid.shape[1]
    sources = jnp.broadcast_to(proposal.sources.reshape(-1, number_of_levels), (num_students, number_of_levels))
    return population, outcome, metrics_by_student(metrics, sources, outcomes.episodes)


def _pool_after(setting: Setting, schedule: Schedule, plan: Plan, pool: Any, population: StudentState) -> Any:
    """Return the past policies after an iteration that left ``population``, ``()`` where there are none."""
    if setting.self_play is None:
        return pool
    # Counted and placed by the schedule: the members' pools hold the policies of the same updates.
    updates = schedule.student_updates + plan.train
    return setting.self_play.pool_after(schedule.key, pool, population.parameters, updates, plan.train)


def _of_first_student(
    setting: Setting, proposal: Proposal, outcome: Outcome
) -> tuple[jax.Array, EpisodeSummary, Metrics]:
    """Return sources, episodes and features of the levels that the first student played."""
    number = outcome.episodes.valid.shape[0] // max(setting.teacher.num_own_batches, 1)
    sources, episodes, levels = jax.tree.map(
        lambda leaf: leaf[:number], (proposal.sources, outcome.episodes, proposal.levels)
    )
    return sources, episodes, jax.vmap(setting.space.describe)(levels)


def _own_batches(proposal: Proposal, num_students: int) -> tuple[Any, jax.Array]:
    """Return the levels and highest returns of each student's own batch, ``[P, B, ...]``."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(num_students, leaf.shape[0] // num_students, *leaf.shape[1:]),
        (proposal.levels, proposal.max_returns),
    )


def _joined(outcomes: Outcome, own: bool, with_population: bool) -> Outcome:
    """Return what students ``[P]`` did as the one `Outcome` that a teacher reads."""
    if own:
        return jax.tree.map(lambda leaf: jax.lax.collapse(leaf, 0, 2) if leaf.ndim > 1 else leaf[0], outcomes)
    first = jax.tree.map(lambda leaf: leaf[0], outcomes)
    if not with_population:
        return first
    by_level = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), outcomes.episodes)
    return first.replace(signals=first.signals.replace(population=by_level))


class Model(struct.PyTreeNode):
    """Whom a student clones."""

    parameters: Parameters
    counts: jax.Array  # bool[], whether this student clones anybody


def _model_of(setting: Setting, number: jax.Array, population: StudentState) -> Model | None:
    """Return whom student ``number`` clones, as that was before this iteration; None where nobody clones."""
    if setting.cloning == "none":
        return None
    following = (number + 1) % setting.num_students
    parameters = jax.tree.map(lambda leaf: leaf[following], population.parameters)
    return Model(parameters, counts=(number == 0) | (setting.cloning == "all"))


def _learn(
    setting: Setting,
    plan: Plan,
    state: StudentState,
    played: Played,
    key: jax.Array,
    model: Model | None = None,
    mastery: jax.Array | None = None,
) -> tuple[StudentState, Metrics]:
    """Return the student after learning from the first B levels, or as it was where the plan does not train.

    Consumes ``key``.
    """
    num_agents = setting.env.num_agents
    num_levels = _num_rows(setting) // num_agents
    rollout, advantages = jax.tree.map(
        lambda leaf: leaf[:, :num_levels], (played.rollout.replace(activations=()), played.advantages)
    )
    last_values, last_observations = jax.tree.map(
        lambda leaf: leaf[:num_levels], (played.last_values, played.last_observations)
    )
    carry = jax.tree.map(lambda leaf: leaf[: _num_rows(setting)], played.carry)
    batch = batch_of(rollout, advantages, carry)
    if kept := played.rollout.activations:
        batch = batch.replace(earlier=Earlier(kept, hold=jnp.bool_(True)))
    rate = ppo.learning_rate(setting.ppo, plan.progress)

    @jax.jit  # traced once, for its shapes and for itself
    def learn() -> tuple[StudentState, Metrics]:
        cloned = None if model is None else _policy_to_clone(setting, model, batch)
        learnt_from, student, paid = batch.replace(cloned=cloned), state, {}
        if setting.bonus:
            experience = experience_of(rollout, last_observations)
            bonus_key = jax.random.fold_in(key, _BONUS)
            earned = setting.bonus.pay(bonus_key, state.bonus, experience, mastery, setting.surroundings)
            student, paid = state.replace(bonus=earned.state), earned.metrics
            learnt_from = _with_pay(setting, setting.bonus, earned, learnt_from, rollout, last_values, advantages)
        after, metrics = ppo.update(
            key, setting.student, student, learnt_from, setting.ppo, rate, num_agents, setting.spread
        )
        return after, metrics | paid

    def skip() -> tuple[StudentState, Metrics]:
        nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), jax.eval_shape(learn)[1])
        return state, nothing

    return jax.lax.cond(plan.train, learn, skip)


def _with_pay(
    setting: Setting,
    bonus: Bonus,
    paid: Paid,
    batch: Batch,
    rollout: Rollout,
    last_values: jax.Array,
    advantages: jax.Array,
) -> Batch:
    """Return the batch with what a bonus pays: in one stream with the world's rewards, or beside it.

    ``advantages`` ``f32[T, B, N]`` and ``last_values`` ``f32[B, N, K]`` are of the world's rewards.
    """
    if paid.advantages is not None:
        both = batch_of(rollout, bonus.reward_weight * advantages + paid.advantages, batch.carry)
        return batch.replace(advantages=both.advantages)  # the student's own values learn the world's rewards alone
    assert paid.rewards is not None
    rewarded = rollout.replace(rewards=bonus.reward_weight * rollout.rewards + paid.rewards)
    both = batch_of(rollout, advantages_of(setting.ppo, rewarded, last_values), batch.carry)
    return batch.replace(advantages=both.advantages, targets=both.targets)


def _policy_to_clone(setting: Setting, model: Model, batch: Batch) -> jax.Array:
    """Return the log-probabilities that another student gives in a student's place, ``f32[T, M, A]``.

    All of them `distributions.MASKED` where nobody is cloned: such a policy has no weight anywhere.
    """
    _, logits, _ = setting.student.apply(model.parameters, batch.carry, batch.observations, batch.resets)
    return jnp.where(model.counts, distributions.log_probabilities(logits), distributions.MASKED)


def _starts_from_activations(setting: Setting) -> bool:
    """Return whether the learner's first pass is that of the rollout: over the same rows in the same order.

    They are recorded whether the plan will learn or not: 5 KB a row and step with 256 units, 42 MB at the standard workload,
    for nothing where nothing is learnt.
    """
    return setting.ppo.num_minibatches == 1 and isinstance(setting.student, RecordingStudent)


def _num_rows(setting: Setting) -> int:
    """Return how many rows of a batch the network sees on each device."""
    return setting.num_levels // setting.spread.shares(setting.num_levels) * setting.env.num_agents
