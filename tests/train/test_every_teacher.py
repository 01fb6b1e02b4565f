"""What holds for every teacher: steps counted as simulated, real branches, members, chunks, one trace, budgets, sets.

Letters: ``S`` members, ``B`` levels in a batch, ``T`` steps, ``N`` iterations, see `tiny_runs`.
"""

import collections
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tiny_runs import (
    COUNTS,
    ENV,
    OF_TASKS,
    TEACHERS,
    B,
    N,
    T,
    buffer_of,
    compiled_programs,
    config_of,
    copy,
    counts,
    equal,
    float_fields,
    played,
    program_of,
    raw,
    teacher_of,
)
from toy_designers import EditableCorridor, EditableCorridorLevels
from toy_worlds import no_probe

from minied.run.evaluation import evaluate
from minied.scores.base import needs_of
from minied.teachers.base import NEW, Plan
from minied.teachers.designing import Designing
from minied.teachers.scoring import ScoringTeacher
from minied.train.playing import play
from minied.train.program import _advance

S = 2
EVENTS = collections.defaultdict(list)
"""What really ran on the device, one entry for each level of each member."""


def note(name, operand):
    """Tell the host when this is executed, not when it is traced; of a batched operand for each of the batch.

    A callback in the compiled loop is what minied itself never has: nothing else shows here which branch really ran.
    """
    jax.debug.callback(lambda _: EVENTS[name].append(1), operand)


@dataclasses.dataclass(frozen=True)
class CountedLevels(EditableCorridorLevels):
    def sample(self, key):
        level = super().sample(key)
        note("sample", level.start)
        return level

    def mutate(self, key, level):
        level = super().mutate(key, level)
        note("mutate", level.start)
        return level


@dataclasses.dataclass(frozen=True)
class CountedCorridor(EditableCorridor):
    """The same world, which says what is really done in it."""

    @property
    def level_space(self):
        return CountedLevels(self.length, self.max_steps)

    def step(self, key, state, action, level):
        note("step", state.time)
        return super().step(key, state, action, level)


COUNTED = CountedCorridor(length=ENV.length, max_steps=ENV.max_steps)
OWN_BRANCHES = (
    "accel", "alp_gmm", "learned_mixture", "learning_progress", "ncc", "parallel_accel", "sfl",
)  # fmt: skip
"""Teachers with an own `plan` and `propose`; but for plain PLR, which `test_loop` follows, and PAIRED and REPAIRED, whose
members `test_population` compares with their solo runs. The others share theirs."""
BY_DEFAULT = [name if name in OWN_BRANCHES else pytest.param(name, marks=pytest.mark.slow) for name in TEACHERS]

DRAWN = {
    # teacher: batches of B levels that the generator draws, and that are edited, in N = 7 iterations (see `COUNTS`)
    "alp_gmm": (0, 0),  # its levels are made of parameters
    "domain_randomization": (7, 0),
    "fixed_curriculum": (0, 0),
    "minimax_adversary": (0, 0),  # the policy builds them
    "paired": (0, 0),
    "repaired": (0, 0),
    "plr": (2, 0),
    "robust_plr": (2, 0),
    "uniform_replay": (2, 0),
    "parallel_plr": (8, 0),
    "accel": (2, 2),  # new new R M R M R
    "parallel_accel": (9, 6),  # [new new new], then 6 times [R new M]
    "map_elites": (2, 2),
    "learned_mixture": (
        7,
        0,
    ),  # in each iteration new ones are drawn beside the replayed ones, and some of both are played
    "sfl": (7 + 12, 0),  # half of each batch is of a new one; three times 4 batches of candidates
    "ncc": (3, 0),  # one at each refresh
    **dict.fromkeys(OF_TASKS, (0, 0)),  # levels come from the tasks
}


def counted_run(name):
    """The state of S members after N iterations in the counted world, and what ran after the start."""
    program = program_of(config_of(name, env=COUNTED, num_seeds=S))
    state = program.init()
    jax.effects_barrier()
    EVENTS.clear()
    state, _ = program.advance(state, N)
    jax.effects_barrier()
    return state, {kind: len(events) for kind, events in EVENTS.items()}


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_what_is_counted_is_what_was_simulated_and_members_equal_their_solo_runs(name):
    state, events = counted_run(name)
    _, _, rollouts = COUNTS[name]
    # Every step of the world that was executed is in the account; so no branch that was not taken was paid for.
    assert counts(state) == COUNTS[name]
    assert events["step"] == S * rollouts * B * T
    assert program_of(config_of(name, env=COUNTED, num_seeds=S)).counters(state)["env_steps"] * S == events["step"]
    drawn, edited = DRAWN[name]
    assert events.get("sample", 0) == S * drawn * B
    assert events.get("mutate", 0) == S * edited * B
    for member in range(S):
        solo, _ = played(config_of(name, seed=5 + member))
        mine = jax.tree.map(lambda leaf, member=member: leaf[member], state.members)
        theirs = jax.tree.map(lambda leaf: leaf[0], solo.members)
        for a, b in zip(raw(mine), raw(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        assert equal(state.schedule, solo.schedule)
    assert not equal(
        jax.tree.map(lambda leaf: leaf[0], state.members), jax.tree.map(lambda leaf: leaf[1], state.members)
    )


# -- real branches -----------------------------------------------------------------------------------------------------


def equations(jaxpr, inside=()):
    """Yield (equation, primitives around it) everywhere."""
    for equation in jaxpr.eqns:
        yield equation, inside
        for value in equation.params.values():
            for item in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns"):
                    yield from equations(inner, (*inside, equation.primitive.name))


def traced(name):
    program = program_of(config_of(name, env=COUNTED, num_seeds=S))
    return _advance.trace(program._setting, jax.eval_shape(program.init), jnp.int32(N))


def conditionals(name):
    return [
        each for each, inside in equations(traced(name).jaxpr) if each.primitive.name == "cond" and "while" in inside
    ]


def test_trap_18_the_three_ways_of_accel_are_one_switch():
    found = conditionals("accel")
    assert all(each.invars[0].aval.shape == () for each in found)
    assert max(len(each.params["branches"]) for each in found) == 3


@pytest.mark.parametrize("name", ["sfl", "ncc"])
def test_trap_18_probes_sit_in_a_conditional(name):
    """A candidate is played for 2 T steps, a batch for T: the scans tell themselves apart by their length."""
    assert all(each.invars[0].aval.shape == () for each in conditionals(name))
    scans = [(e.params["length"], inside) for e, inside in equations(traced(name).jaxpr) if e.primitive.name == "scan"]
    probes = [inside for length, inside in scans if length == 2 * T]
    assert probes
    assert all("cond" in inside for inside in probes)
    assert any("cond" not in inside for length, inside in scans if length == T)


@pytest.mark.parametrize(("name", "at_least"), [("accel", 3), ("sfl", 1)])
def test_trap_18_the_compiled_program_keeps_them(name, at_least):
    """Of ACCEL to propose, to learn and to store; of SFL, which always learns, to refresh."""
    text: Any = traced(name).lower().compile().as_text()
    assert text.count(" conditional(") >= at_least


# -- chunks, traces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEACHERS)
def test_chunks_do_not_matter_bit_for_bit(name):
    whole, _ = played(config_of(name), (6,))
    parts, _ = played(config_of(name), (3, 6))
    assert equal(whole, parts)
    assert not equal(whole.members, played(config_of(name), (3,))[0].members)


def other_numbers(teacher):
    """The same teacher with every number changed that may change."""
    values = {name: getattr(teacher, name) for name in float_fields(teacher)}
    changed = {name: 0.5 * value if value else 0.1 for name, value in values.items()}
    if isinstance(teacher, ScoringTeacher) and "ended" not in needs_of(teacher._score):
        changed["score_max_share"] = 0.0  # the score does not go by steps
    if isinstance(teacher, Designing):
        learner = {name: 0.5 * getattr(teacher.ppo, name) for name in float_fields(teacher.ppo)}
        changed["ppo"] = dataclasses.replace(teacher.ppo, **learner)
    return dataclasses.replace(teacher, **changed)


@pytest.mark.parametrize("name", TEACHERS)
def test_one_program_serves_all_seeds_and_numbers(name):
    # Played here and now: of a result that is remembered from another test the program may be forgotten (conftest.py).
    reference, _ = played.__wrapped__(config_of(name))
    teacher = other_numbers(teacher_of(name))
    configs = [
        config_of(name, seed=11, schedule_seed=3),
        config_of(name, updates=90, env_steps=10**6),
        config_of(teacher),
    ]
    before = compiled_programs()
    states = [played(config)[0] for config in configs]
    assert compiled_programs() == before
    assert not equal(states[0].members, reference.members)
    assert equal(states[1].members, reference.members)
    # The numbers were no constants of the program.
    if float_fields(teacher):
        assert not equal(states[2].members, reference.members)
    else:
        assert name in ("domain_randomization", "fixed_curriculum")


# -- budgets -----------------------------------------------------------------------------------------------------------

ITERATIONS_OF_FIVE_BATCHES = dict.fromkeys(TEACHERS, 5) | {
    "parallel_plr": 3,  # 2 a iteration: 4 are too few
    "parallel_accel": 2,  # 3 an iteration
    "sfl": 1,  # 1 + 4 · 2 in the first
    "ncc": 1,  # 1 + (3 + 1) · 2 in the first
    "paired": 3,  # 2 an iteration, one a student
    "repaired": 3,
    "learning_progress": 3,  # 1 + 2 in the first
}


@pytest.mark.parametrize("name", TEACHERS)
def test_budget_of_steps_ends_the_run_at_the_first_iteration_that_reaches_it(name):
    last = ITERATIONS_OF_FIVE_BATCHES[name]
    config = config_of(name, env_steps=4 * B * T + 1)  # a step more than 4 batches
    program = program_of(config)
    state = program.init()
    for until in range(1, last + 1):
        assert not program.is_finished(state)
        state, _ = program.advance(state, until)
    assert program.is_finished(state)
    assert program.counters(state)["env_steps"] >= config.env_steps
    assert equal(state, played(config, (50,))[0])
    after, _ = program.advance(copy(state), 50)
    assert equal(after, state)


# -- ensembles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parallel_accel", "sfl"])
def test_every_head_of_an_ensemble_learns(name):
    """2 value heads and 2 policies: each has parameters of its own, and its own experience."""
    before = program_of(config_of(name)).init().members.student.parameters
    after = played(config_of(name))[0].members.student.parameters
    for heads in (("policy", "policy_1"), ("value_0", "value_1")):
        kernels = [np.asarray(after[head]["kernel"]) for head in heads]
        assert all(not np.array_equal(k, before[head]["kernel"]) for k, head in zip(kernels, heads, strict=True))
        assert not np.array_equal(kernels[0], kernels[1])


# -- a finite set of levels --------------------------------------------------------------------------------------------

LONG = EditableCorridor(length=200, max_steps=6)
FINITE = ("robust_plr", *(pytest.param(name, marks=pytest.mark.slow) for name in ("parallel_plr", "sfl", "ncc")))


@pytest.mark.parametrize("name", FINITE)
def test_a_finite_set_is_all_that_is_ever_proposed(name):
    options = {"env": LONG, "num_train_levels": 3, "num_seeds": S}
    program = program_of(config_of(name, **options))
    levels: Any = program.training_levels()
    assert levels.start.shape == (3,)
    known = {*levels.start.tolist()}
    assert len(known) == 3
    same: Any = program_of(config_of(name, seed=90, **options)).training_levels()
    assert known == {*same.start.tolist()}
    other: Any = program_of(config_of(name, train_levels_seed=1, **options)).training_levels()
    assert known != {*other.start.tolist()}
    for seed in (5, 90):
        config = config_of(name, seed=seed, **options)
        state = program_of(config).init()
        for until in range(1, N + 1):
            state, _ = program_of(config).advance(state, until)
            assert {*program_of(config).proposals(state, B).start.tolist()} <= known
            buffer = buffer_of(config, state)
            assert {*np.asarray(buffer.levels.start).ravel().tolist()} <= known  # those of slots without a score too
        for member in range(S):
            filled = np.asarray(buffer.filled)[member]
            assert {*np.asarray(buffer.levels.start)[member][filled].tolist()} == known or name == "sfl"


def test_evaluation_of_a_finite_set_has_the_generalisation_gap():
    config = config_of("robust_plr", env=LONG, num_train_levels=3, num_seeds=S)
    program = program_of(config)
    state, _ = played(config)
    row = evaluate(program, state, "ends", 3, program.counters(state))
    assert len(row["generalization_gap"]) == len(row["train_solve_rate"]) == S
    np.testing.assert_allclose(
        row["generalization_gap"], np.subtract(row["train_solve_rate"], row["test_solve_rate"]), atol=1e-6
    )
    # The unseen levels are those that a larger set would go on with.
    larger = program_of(config_of("robust_plr", env=LONG, num_train_levels=203)).training_levels()
    unseen = program.unseen_levels()
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[3:], b[: 200 - 3]), larger, unseen)
    assert program_of(config_of("robust_plr")).training_levels() is None


# -- correlations with regret ------------------------------------------------------------------------------------------


def by_hand(episodes, optimal_return):
    """Each score of levels from the episodes, in NumPy, as its docstring has it."""
    rate = np.asarray(episodes.num_solved) / np.maximum(np.asarray(episodes.num_finished), 1)
    return {
        "exact_regret": optimal_return - np.asarray(episodes.mean_return),
        "negative_return": -np.asarray(episodes.mean_return),
        "learnability": rate * (1 - rate),
        "return_variance": np.asarray(episodes.return_variance),
    }


def test_score_correlations_equal_scipy_on_iterations_run_by_hand():
    """The score is of the play that is learnt from, the regret of a second play of the same levels."""
    names = ("exact_regret", "negative_return", "learnability", "return_variance", "entropy")
    # 4 steps do not reach the goal from 5 or 6 cells: the best return there is 0.
    env, rows = EditableCorridor(length=6, max_steps=4), 12
    config = config_of("domain_randomization", env=env, num_envs=rows, log_score_correlations=names)
    program = program_of(config)
    setting, state = program._setting, program.init()
    known, defined = jnp.full(rows, -jnp.inf), collections.Counter()

    @jax.jit
    def play_twice(parameters, keys, levels):
        return [play(setting, parameters, key, levels, known).outcome.episodes for key in keys]

    for iteration in range(4):
        member = jax.tree.map(lambda leaf: leaf[0], copy(state.members))
        propose_key, play_key, _, regret_key = jax.random.split(jax.random.fold_in(member.key, iteration), 4)
        plan = Plan.of(NEW, train=True, new_batches=1)
        _, proposal = config.teacher.propose(propose_key, (), plan, config.level_space, rows, no_probe)
        first, again = play_twice(member.student.parameters, (play_key, regret_key), proposal.levels)
        optimal_return = (np.asarray(proposal.levels.start) <= 4).astype(np.float32)
        finished = (np.asarray(first.num_finished) > 0) & (np.asarray(again.num_finished) > 0)
        regret = by_hand(again, optimal_return)["exact_regret"][finished]
        state, row = program.advance(state, iteration + 1)
        for name in names:
            value = row[f"new/correlation_with_regret/{name}"][0]
            assert np.isnan(row[f"replay/correlation_with_regret/{name}"][0])  # of none
            assert np.isnan(value) or -1 - 1e-6 <= value <= 1 + 1e-6
            if name == "entropy":
                assert np.isfinite(value)
                continue
            scores = by_hand(first, optimal_return)[name][finished]
            if np.ptp(scores) == 0 or np.ptp(regret) == 0:
                assert np.isnan(value)
                continue
            expected: Any = scipy.stats.spearmanr(scores, regret)[0]
            np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=name)
            defined[name] += 1
    assert min(defined[name] for name in names[:4]) >= 2
    # The second play is in the account: two batches an iteration, of which the student learns from one.
    counters = program.counters(state)
    assert counters["env_steps"] == 2 * counters["train_steps"] == 2 * 4 * rows * T
