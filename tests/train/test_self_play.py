"""Games against the past: which policies are kept and met, who plays where, and who learns from it.

Letters: ``B`` levels, ``T`` steps, ``N`` agents, ``G`` teams, ``K`` places of the pool, ``P`` students, ``S`` members.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spread_runs import WITH_MEMORY, config_of
from tiny_runs import copy, equal, raw
from toy_duel import Duel
from toy_worlds import Corridor, Meeting, no_probe

from minied.errors import UserError
from minied.experience import batch_of
from minied.run.checkpoint import Checkpoints
from minied.scores import score
from minied.scores.base import score_levels
from minied.spread import ALONE, Spread, best_spread
from minied.students import distributions, ppo
from minied.students.networks.teams import TeamStudent, student_of
from minied.students.ppo import PPOConfig
from minied.teachers.base import NEW, Plan
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.train.playing import play, probe_of
from minied.train.program import Program, _advance
from minied.train.self_play import NOBODY, Opponents, SelfPlay, SelfPlayConfig
from minied.train.setting import Setting
from minied.train.update import _learn

B, T, N = 8, 7, 3  # two episodes of three steps, and a bit of a third
TEAMS = (0, 1, 0)
HALF = SelfPlayConfig(past_share=0.5, pool_size=2, keep_every=2)  # of 8 games 2 against each team's past
OWN = dataclasses.replace(WITH_MEMORY, parameters="team")


def duel_config(**options):
    return config_of(
        **{"env": Duel(), "network": WITH_MEMORY, "num_envs": B, "num_steps": 6, "self_play": HALF} | options
    )


def seated(config=HALF, env=None, num_envs=B) -> Any:
    return SelfPlay.of(config, env or Duel(), num_envs, TeamStudent(None, TEAMS))


# -- who plays where ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_envs", "share", "teams", "past"),
    [
        # 2 games against each team's past are 2 cycles of 4
        (8, 0.5, (0, 1), [0, 1, -1, -1, 0, 1, -1, -1]),
        (8, 0.25, (0, 1, 0), [0, 1, -1, -1, -1, -1, -1, -1]),
        (4, 1.0, (0, 1), [0, 1, 0, 1]),
        # 6 each: 2 cycles of 10
        (20, 0.6, (1, 0), [0, 1, 0, 1, 0, 1, -1, -1, -1, -1] * 2),
        (6, 0.5, (5, 3, 9), [0, 1, 2, -1, -1, -1]),  # teams are counted from 0
    ],
)
def test_games_against_the_past_are_as_many_of_each_team_and_lie_in_equal_cycles(num_envs, share, teams, past):
    self_play = seated(SelfPlayConfig(past_share=share), Duel(teams_of=teams), num_envs)
    np.testing.assert_array_equal(self_play.past_teams(num_envs), past)
    np.testing.assert_array_equal(self_play.past_teams(3 * num_envs), past * 3)


@pytest.mark.parametrize("share", [0.5, 0.4])  # two cycles of four and of ten environments, one of them more than heads
@pytest.mark.parametrize("parameters", ["shared", "team"])
def test_which_policy_of_an_ensemble_acts_is_the_environments(share, parameters):
    num_envs = 8 if share == 0.5 else 10
    network = dataclasses.replace(WITH_MEMORY, num_policy_heads=3, parameters=parameters)
    student = student_of(Duel(), network)
    self_play = SelfPlay.of(SelfPlayConfig(past_share=share), Duel(), num_envs, student)
    assert self_play is not None
    (_, heads), (_, alone) = self_play.player.initial_carry(num_envs * N), student.initial_carry(num_envs * N)
    np.testing.assert_array_equal(heads, np.arange(num_envs).repeat(N) % 3)
    np.testing.assert_array_equal(alone, heads)


def test_nothing_is_there_if_it_is_off():
    off = SelfPlayConfig(pool_size=3)
    assert SelfPlay.of(off, Corridor(), B, TeamStudent(None, TEAMS)) is None
    assert off.num_cycles(Duel(), B) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past_share": 1.5}, r"past_share is 1.5; allowed: \[0, 1\]"),
        ({"past_share": float("nan")}, "past_share is nan"),
        ({"past_share": 0.5, "pool_size": 0}, "pool_size is 0; allowed"),
        ({"past_share": 0.5, "keep_every": 0}, "keep_every is 0; allowed"),
        ({"past_share": 0.4}, "self_play.past_share is 0.4; allowed with num_envs = 8 and 2 teams: multiples of 2/8"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told_in_one_line(options, message):
    with pytest.raises(UserError, match=message) as error:
        duel_config(self_play=SelfPlayConfig(**options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env", [Corridor(), Meeting()])
def test_a_world_of_one_team_has_no_opponents(env):
    with pytest.raises(UserError, match=f"past_share is 0.5; allowed for {type(env).__name__}, whose agents are one"):
        duel_config(env=env)


def test_devices_have_whole_cycles():
    with pytest.raises(
        UserError, match=r"num_devices is 2, .* and the equal parts .* past policies, 1; allowed: a div"
    ):
        Program(duel_config(self_play=SelfPlayConfig(past_share=0.25), num_devices=2))
    # of 24 environments in 3 cycles: 3 devices, and 2 only if nobody is past
    assert best_spread(4, 0, 1, 24, 1) == Spread("environments", 3)
    assert best_spread(2, 0, 1, 24, 1) == Spread("environments", 2)
    assert best_spread(4, 0, 1, 24, 1, 3) == Spread("environments", 3)
    assert best_spread(2, 0, 1, 24, 1, 3) == ALONE
    assert best_spread(2, 0, 2, 24, 1, 3) == Spread("members", 2)


# -- the pool ----------------------------------------------------------------------------------------------------------


def test_every_snapshot_so_far_has_the_same_chance_to_be_kept():
    self_play = seated(SelfPlayConfig(past_share=0.5, pool_size=3))
    places = jax.vmap(lambda key: jax.vmap(lambda n: self_play.place(key, n))(jnp.arange(10)))
    pools = np.full((2000, 3), -1)
    for number, at in enumerate(np.asarray(places(jax.random.split(jax.random.key(0), 2000))).T):
        kept = at < 3
        pools[kept, at[kept]] = number
    assert all(len({*pool}) == 3 for pool in pools)
    # each of 10 is in a pool of 3 in 600 of 2,000 cases; their deviation is √(2,000 · 0.3 · 0.7) = 20
    counts = np.bincount(pools.ravel(), minlength=10)
    assert np.abs(counts - 600).max() < 80


@pytest.mark.parametrize(("student_updates", "num_kept"), [(0, 1), (1, 1), (2, 2), (5, 3), (100, 4)])
def test_opponents_are_drawn_uniformly_from_what_is_kept_for_each_team_by_itself(student_updates, num_kept):
    self_play = seated(SelfPlayConfig(past_share=0.5, pool_size=4, keep_every=2))
    pool = {"a": jnp.arange(4), "b": 10.0 * jnp.arange(4)[:, None]}
    keys = jax.random.split(jax.random.key(1), 4000)
    found = jax.vmap(lambda key: self_play.draw(key, pool, jnp.int32(student_updates)))(keys)
    np.testing.assert_array_equal(found.parameters["b"][..., 0], 10.0 * found.parameters["a"])  # one policy each
    np.testing.assert_array_equal(found.num_kept, num_kept)
    pairs = np.zeros((4, 4))
    np.add.at(pairs, tuple(np.asarray(found.parameters["a"]).T), 1)
    assert pairs[:num_kept, :num_kept].sum() == 4000
    expected = 4000 / num_kept**2
    assert np.abs(pairs[:num_kept, :num_kept] - expected).max() < 5 * np.sqrt(expected)


@functools.cache
def played(num_iterations=7, **options):
    """The program, the states before and after each iteration, and the metrics of each."""
    program, rows = Program(duel_config(**options)), []
    states = [program.init()]
    for until in range(1, num_iterations + 1):
        state, row = program.advance(copy(states[-1]), until)
        states.append(state)
        rows.append(row)
    return program, states, rows


def test_pool_holds_the_policies_of_the_updates_that_the_schedule_says():
    """Two students, each with a pool of its own; snapshots after 0, 2, 4 and 6 updates, two of which find place."""
    program, states, rows = played(num_students=2)
    self_play = program._setting.self_play
    expected = [None, None]
    for updates, state in enumerate(states):
        parameters = jax.tree.map(lambda leaf: leaf[0], state.members).population.parameters
        if updates % 2 == 0:
            place = int(self_play.place(state.schedule.key, jnp.int32(updates // 2)))
            expected = [parameters if place == k else each for k, each in enumerate(expected)]
        for k, each in enumerate(expected):
            found = jax.tree.map(lambda leaf, k=k: leaf[0, :, k], state.members.pool)
            assert equal(found, jax.tree.map(jnp.zeros_like, found) if each is None else each)
    for row in rows:
        assert row["student/past_policies"] == row["student_1/past_policies"]
    assert [int(row["student/past_policies"][0]) for row in rows] == [1, 1, 2, 2, 2, 2, 2]
    places = [int(self_play.place(states[0].schedule.key, jnp.int32(number))) for number in range(4)]
    assert places[:2] == [0, 1]
    assert min(places[2:]) < 2  # something was replaced
    assert not equal(expected[0], expected[1])


def test_nothing_is_kept_where_nothing_is_learnt():
    self_play, key = seated(), jax.random.key(0)
    pool = {"w": jnp.zeros((1, 2, 1))}

    def after(updates, trained):
        new = {"w": jnp.ones((1, 1))}
        return np.asarray(self_play.pool_after(key, pool, new, jnp.int32(updates), jnp.bool_(trained))["w"])[0, :, 0]

    np.testing.assert_array_equal(after(2, True), [0, 1])
    np.testing.assert_array_equal(after(2, False), [0, 0])
    np.testing.assert_array_equal(after(3, True), [0, 0])


# -- a rollout ---------------------------------------------------------------------------------------------------------


@score(needs=("values",))
def mean_value(signals):
    """Mean of the values of those who take part."""
    return signals.over_episodes(signals.values.mean(axis=-1))


def drawn(shapes, seed):
    """Parameters in general position: fresh ones make the policy uniform whatever it sees."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(0.8 * rng.normal(size=leaf.shape), jnp.float32), shapes)


@functools.cache
def rollouts(network):
    """A setting, a current and two past policies, and games: against the past, without, against itself as the past."""
    teacher = RobustPrioritizedLevelReplay(buffer_size=16, score="test_self_play:mean_value")
    setting = Setting.of(duel_config(network=network, num_steps=T, teacher=teacher))
    shapes = jax.eval_shape(setting.student.init, jax.random.key(0))
    current, *past = (drawn(shapes, seed) for seed in range(3))
    levels = jnp.linspace(-1.0, 1.0, B)

    @jax.jit
    def run(parameters, past):
        opponents = Opponents(jax.tree.map(lambda *leaves: jnp.stack(leaves), *past), jnp.int32(2))
        known, key = jnp.full(B, -jnp.inf), jax.random.key(5)
        keep = B * N
        return (
            play(setting, parameters, key, levels, known, num_activations=keep, opponents=opponents),
            play(setting, parameters, key, levels, known, num_activations=keep),
        )

    return setting, current, past, run(current, past), run(current, [current, current])


@pytest.mark.parametrize("network", [WITH_MEMORY, OWN], ids=["shared", "by team"])
def test_every_row_is_played_by_whom_it_should_be(network):
    setting, current, past, (against_past, _), _ = rollouts(network)
    rollout = against_past.rollout
    batch = batch_of(rollout.replace(present=None), against_past.advantages, against_past.carry)

    @jax.jit
    def probabilities(parameters):
        _, logits, values = setting.student.apply(parameters, batch.carry, batch.observations, batch.resets)
        return distributions.log_probability(logits, batch.actions), values

    by_player = [probabilities(each) for each in (current, *past)]
    for b in range(B):
        for n in range(N):
            is_past = TEAMS[n] == [0, 1, NOBODY, NOBODY, 0, 1, NOBODY, NOBODY][b]
            players = [
                k
                for k, (log_probs, values) in enumerate(by_player)
                if np.allclose(log_probs[:, b * N + n], rollout.log_probs[:, b, n], atol=1e-5)
                and np.allclose(values[:, b * N + n], rollout.values[:, b, n], atol=1e-5)
            ]
            assert players == [1 + TEAMS[n] if is_past else 0]


@pytest.mark.parametrize("network", [WITH_MEMORY, OWN], ids=["shared", "by team"])
def test_games_of_current_policies_are_those_of_a_run_without_past_ones(network):
    _, _, _, (against_past, alone), (against_itself, _) = rollouts(network)
    nobody = np.asarray([2, 3, 6, 7])
    for name in ("observations", "actions", "rewards", "returns", "ended"):  # bit for bit
        found, expected = (np.asarray(getattr(each.rollout, name)) for each in (against_past, alone))
        np.testing.assert_array_equal(found[:, nobody], expected[:, nobody])
    of_network = [
        (each.rollout.log_probs, each.rollout.values, each.advantages, each.rollout.activations)
        for each in (against_past, alone)
    ]
    for found, expected in zip(*(raw(each) for each in of_network), strict=True):
        # to rounding: a product of more rows is added up otherwise
        found, expected = (leaf.reshape(T, B, N, -1)[:, nobody] for leaf in (found, expected))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(against_past.rollout.actions, alone.rollout.actions)
    # and if the past is the current policy, all games are
    found, expected = (each.rollout.replace(present=None) for each in (against_itself, alone))
    for a, b in zip(raw(found), raw(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_scores_and_learners_see_current_players_alone():
    _, _, _, (against_past, alone), _ = rollouts(WITH_MEMORY)
    past = [0, 1, NOBODY, NOBODY] * 2
    expected = np.asarray([[team != of_game for team in TEAMS] for of_game in past])
    np.testing.assert_array_equal(against_past.rollout.present, np.broadcast_to(expected, (T, B, N)))
    signals = against_past.outcome.signals.present
    np.testing.assert_array_equal(signals, np.broadcast_to(expected[:, None], (B, T, N)))
    assert alone.rollout.present is None
    assert alone.outcome.signals.present is None


def test_who_was_away_stays_away():
    self_play = seated()
    rollout = rollouts(WITH_MEMORY)[3][1].rollout
    there = jnp.asarray(np.random.default_rng(0).random((T, B, N)) < 0.6)
    found = self_play.learners_of(rollout.replace(present=there))
    np.testing.assert_array_equal(found, there & self_play.learners_of(rollout))


# -- learning ----------------------------------------------------------------------------------------------------------


def test_parameters_after_an_update_are_those_of_the_current_rows_alone():
    learner = PPOConfig(learning_rate=0.01, num_epochs=2, adam_epsilon=1e-3)
    setting, current, _, (against_past, _), _ = rollouts(WITH_MEMORY)
    setting = setting.replace(ppo=learner.traced())
    state = ppo.init_student(jax.random.key(0), setting.student, learner).replace(parameters=current)
    plan = Plan.of(NEW, train=True, new_batches=1)
    key = jax.random.key(7)
    found, metrics = jax.jit(lambda: _learn(setting, plan, state, against_past, key))()

    rows = np.flatnonzero(np.asarray(against_past.rollout.present)[0].reshape(-1))
    batch = batch_of(against_past.rollout.replace(present=None), against_past.advantages, against_past.carry)

    chosen = jax.tree.map(lambda leaf: leaf[:, rows], batch.replace(carry=()))
    chosen = chosen.replace(carry=jax.tree.map(lambda leaf: leaf[rows], batch.carry))
    update = functools.partial(ppo.update, key, setting.student, state, chosen, setting.ppo, num_agents=1)
    expected, told = jax.jit(lambda: update(rate=jnp.float32(0.01)))()
    for a, b in zip(raw(found.parameters), raw(expected.parameters), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    for name in ("policy_loss", "value_loss", "entropy", "gradient_norm"):
        np.testing.assert_allclose(metrics[name], told[name], rtol=1e-4, atol=1e-6)
    assert metrics["first_ratio_error"] < 1e-5
    assert metrics["gradient_norm"] > 1e-2


def test_metrics_are_of_the_games_they_name():
    program, states, rows = played(num_students=2)
    setting, state = program._setting, states[2]
    member = jax.tree.map(lambda leaf: leaf[0], state.members)
    propose_key, play_key, _, _ = jax.random.split(jax.random.fold_in(member.key, state.schedule.iterations), 4)
    plan = setting.teacher.plan(propose_key, state.schedule, B)
    _, proposal = setting.teacher.propose(propose_key, member.teacher, plan, setting.space, B, no_probe)

    @jax.jit
    def by_hand(number, parameters):
        key = jax.random.fold_in(play_key, number)
        pool = jax.tree.map(lambda leaf: leaf[number], member.pool)
        opponents = setting.self_play.draw(key, pool, state.schedule.student_updates)
        played = play(setting, parameters, key, proposal.levels, jnp.full(B, -jnp.inf), opponents=opponents)
        return played.rollout.returns[jnp.asarray([2, 5])]  # two episodes of three steps in each game

    for number, name in ((0, "student"), (1, "student_1")):
        parameters = jax.tree.map(lambda leaf, i=number: leaf[i], member.population.parameters)
        returns = np.asarray(
            by_hand(number, parameters)
        )  # of team 0 that of the first agent, of team 1 that of the second
        solved = returns[..., 0] > 0
        nobody, past_0, past_1 = [2, 3, 6, 7], [0, 4], [1, 5]
        expected = {
            "solve_rate_against_current": solved[:, nobody],
            "team_0/solve_rate_against_past": solved[:, past_1],
            "team_1/solve_rate_against_past": solved[:, past_0],
            "team_0/return_against_past": returns[:, past_1, 0],
            "team_1/return_against_past": returns[:, past_0, 1],
            "team_0/return_against_current": returns[:, nobody, 0],
            "team_1/return_against_current": returns[:, nobody, 1],
        }
        for each, values in expected.items():
            np.testing.assert_allclose(rows[2][f"{name}/{each}"][0], values.mean(), atol=1e-6)
        assert len({float(values.mean()) for values in expected.values()}) > 4


def test_probes_play_current_against_current():
    setting, current, *_ = rollouts(WITH_MEMORY)
    off = setting.replace(self_play=None)
    levels = jnp.linspace(-1.0, 1.0, B)
    found, expected = (jax.jit(lambda s=s: probe_of(s, current)(jax.random.key(3), levels))() for s in (setting, off))
    assert equal(found, expected)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    program, states, rows = played(num_students=2)
    with Checkpoints(tmp_path, "same") as checkpoints:
        checkpoints.save(3, states[3], program.counters(states[3]), {}, keep=2)
        restored = checkpoints.restore(jax.eval_shape(program.init)).state
    assert equal(restored.members.pool, states[3].members.pool)
    for until in range(4, 8):
        restored, row = program.advance(restored, until)
        assert equal(restored, states[until])
        assert equal(row, rows[until - 1])


def close(a, b, rtol=1e-3, atol=5e-5):
    for x, y in zip(raw(a), raw(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def test_on_two_devices_a_run_learns_what_it_does_on_one():
    (_, one, rows), (program, two, other_rows) = (played(num_students=2, **more) for more in ({}, {"num_devices": 2}))
    assert program.spread == Spread("environments", 2)
    close(two[4], one[4])
    close(other_rows[:4], rows[:4])


@pytest.mark.slow
def test_on_two_devices_with_minibatches_of_a_replay():
    learner = PPOConfig(learning_rate=0.01, num_epochs=2, num_minibatches=2, adam_epsilon=1e-3)
    teacher = RobustPrioritizedLevelReplay(
        buffer_size=16, minimum_fill=0.5, replay_probability=1.0, score="positive_value_loss"
    )
    (_, one, rows), (_, two, other_rows) = (
        played(num_iterations=4, ppo=learner, teacher=teacher, num_devices=number) for number in (1, 2)
    )
    close(two[-1], one[-1])
    close(other_rows, rows)
    assert int(one[-1].schedule.student_updates) == 3  # the first batch only fills the buffer


@pytest.mark.slow
def test_a_member_is_its_solo_run():
    (_, alone, _), (_, both, _) = (played(num_iterations=4, seed=5), played(num_iterations=4, seed=4, num_seeds=2))
    second = jax.tree.map(lambda leaf: leaf[1:], both[-1].members)
    close(second, alone[-1].members)
    pools = jax.tree.leaves(both[-1].members.pool)
    assert any(not np.array_equal(leaf[0], leaf[1]) for leaf in pools)


def test_off_is_the_program_without_it():
    off = SelfPlayConfig(pool_size=3, keep_every=7)
    texts = []
    for options in ({}, {"self_play": off}):
        program = Program(config_of(env=Duel(), network=WITH_MEMORY, **options))
        state = jax.eval_shape(program.init)
        assert state.members.pool == ()
        assert program._setting.self_play is None
        texts.append(_advance.lower(program._setting, state, jnp.int32(0)).as_text())
    assert texts[0] == texts[1]
    assert (
        "student/past_policies" not in jax.eval_shape(lambda s: _advance(program._setting, s, jnp.int32(1)), state)[1]
    )


def test_games_against_the_past_give_no_score():
    against_past = rollouts(WITH_MEMORY)[3][0]
    found, valid, broken = score_levels(mean_value, against_past.outcome.signals)
    # Of each four games the first two are against either team's past.
    assert valid.tolist() == [False, False, True, True] * 2
    assert not broken.any()
    # two whole episodes of three steps each, of seven
    by_step = np.asarray(against_past.rollout.values)[:6, ..., 0].mean(axis=-1)
    np.testing.assert_allclose(found[valid], by_step.mean(axis=0)[valid], rtol=1e-5)
    assert against_past.outcome.episodes.num_finished.tolist() == [0, 0, 2, 2] * 2
    assert (against_past.outcome.episodes.num_solved <= against_past.outcome.episodes.num_finished).all()
    assert np.isnan(against_past.outcome.episodes.mean_return).tolist() == [True, True, False, False] * 2
    assert np.isfinite(against_past.games[0]).all()  # what came of them is told apart


def test_a_teacher_that_scores_needs_games_of_current_policies():
    everything = SelfPlayConfig(past_share=1)
    duel_config(self_play=everything)
    with pytest.raises(UserError, match=r"past_share is 1; allowed with robust_plr, .* less than 1"):
        duel_config(self_play=everything, teacher=RobustPrioritizedLevelReplay(buffer_size=16, score="max_mc"))
