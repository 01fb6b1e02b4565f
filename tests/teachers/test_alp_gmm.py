"""ALP-GMM: when it fits, what it draws, what it learns of; a frontier that moves along a line; and bad options."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hand_made import outcome
from tiny_runs import N, config_of, equal, played, program_of, teacher_of
from toy_designers import CorridorParameters, ParameterCorridor
from toy_worlds import Corridor, no_probe

from minied.errors import UserError
from minied.levels.parameters import Interval, Parameters
from minied.levels.space import LevelSpace
from minied.run.checkpoint import Checkpoints
from minied.teachers import absolute_learning_progress as learning_progress
from minied.teachers.absolute_learning_progress import History
from minied.teachers.alp_gmm import ALPGMM
from minied.teachers.base import DESIGNED, NEW, Schedule
from minied.teachers.gaussian_mixtures import Mixture
from minied.train.program import _advance
from minied_envs.maze import Maze, MazeLevels

B = 25


@dataclasses.dataclass(frozen=True)
class Line(Parameters):
    """Tasks on a line, or in a rectangle."""

    ends: tuple[tuple[float, float], ...] = ((0.0, 1.0),)

    @property
    def parts(self):
        return tuple(Interval(f"x{i}", low, high) for i, (low, high) in enumerate(self.ends))

    def level(self, key, values):
        return values


@dataclasses.dataclass(frozen=True)
class LineSpace(LevelSpace):
    line: Line = Line()

    def sample(self, key):
        return jnp.zeros(len(self.line.ends))

    @property
    def parameters(self):
        return self.line


LINE = LineSpace()


def plan_at(teacher, iteration, num_levels=B):
    start = Schedule.start(jax.random.key(0))
    return teacher.plan(jax.random.key(0), start.replace(iterations=jnp.int32(iteration)), num_levels)


def proposed(teacher, state, number, space=LINE, key=0):
    """A batch of this state, without a fit: levels and what they are."""
    plan = plan_at(teacher, 1)
    assert not bool(plan.refresh)
    propose = jax.jit(lambda key: teacher.propose(key, state, plan, space, number, no_probe)[1])
    return propose(jax.random.key(key))


def with_mixture(teacher, means, deviations, weights, space=LINE):
    """A state whose mixture has these components ``[k, D]``; the other places are empty."""
    state = teacher.init(jax.random.key(0), space, B)
    means, k = np.asarray(means, np.float32), len(means)
    mixture = Mixture.none(teacher.max_components, means.shape[1])
    return state.replace(
        mixture=Mixture(
            mixture.weights.at[:k].set(jnp.asarray(weights)),
            mixture.means.at[:k].set(means),
            mixture.factors.at[:k].set(jax.vmap(jnp.diag)(jnp.asarray(deviations, jnp.float32))),
        ),
        num_components=jnp.int32(k),
    )


# -- when it fits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "num_levels", "fits"),
    [
        ({}, 25, [10, 20, 30]),
        ({}, 32, [8, 16, 24, 32]),  # 8 batches are 256 levels
        ({}, 500, [*range(1, 33)]),
        ({"fit_rate": 100}, 25, [12, 16, 20, 24, 28, 32]),  # every 4, once 10 batches are the window
        ({"fit_window": 400}, 25, [20, 30]),
    ],
)
@pytest.mark.parametrize("cast", [lambda t: t, lambda t: t.traced()], ids=["plain", "traced"])
def test_fits_come_every_so_many_levels_once_the_window_is_full(options, num_levels, fits, cast):
    teacher, schedule, seen = cast(ALPGMM(**options)), Schedule.start(jax.random.key(0)), []
    for iteration in range(33):
        plan = teacher.plan(jax.random.key(iteration), schedule, num_levels)
        assert (int(plan.kind), bool(plan.train), int(plan.rollouts), int(plan.new_batches)) == (DESIGNED, True, 1, 1)
        seen += [iteration] if bool(plan.refresh) else []
        schedule = schedule.after(plan)
    assert seen == fits


def test_a_member_whose_window_is_not_full_goes_on_uniformly():
    """Levels without a finished episode count nothing, and the plan cannot wait for one member."""
    teacher = ALPGMM(fit_window=10, max_components=3, em_iterations=2, history_size=30)
    state = teacher.init(jax.random.key(0), LINE, 10)
    fit = jax.jit(lambda state: teacher._fitted(jax.random.key(0), state))
    for stored, is_fitted in ((9, False), (10, True)):
        rows = jnp.arange(30) < stored
        history = learning_progress.add(state.history, jnp.linspace(0, 1, 30)[:, None], jnp.ones(30), rows)
        after = fit(state.replace(history=history))
        assert (int(after.num_components) > 0) == is_fitted
        assert bool(after.mixture.exists.any()) == is_fitted


def test_the_mixture_is_that_of_the_newest_levels():
    """Ten levels at 0.2 are followed by ten at 0.8: the window is the latter."""
    teacher = ALPGMM(fit_window=10, max_components=2, em_iterations=2, history_size=30)
    state = teacher.init(jax.random.key(0), LINE, 10)
    points = jnp.asarray([0.2] * 10 + [0.8] * 10)[:, None]
    history = learning_progress.add(state.history, points, jnp.asarray([0.0, 1.0] * 10), jnp.ones(20, bool))
    after = jax.jit(lambda state: teacher._fitted(jax.random.key(0), state))(state.replace(history=history))
    np.testing.assert_allclose(after.mixture.means[np.asarray(after.mixture.exists), 0], 0.8, atol=1e-5)


# -- what it draws -----------------------------------------------------------------------------------------------------

# three Gaussians on the line, far apart and narrow, of mean progress 0.1, 0.3 and 0; their weights say nothing
NARROW = {"means": [(0.2, 0.1), (0.5, 0.3), (0.8, 0.0)], "deviations": [(0.01, 0.5)] * 3, "weights": [0.1, 0.1, 0.8]}


def test_the_law_of_draws():
    teacher, n = ALPGMM(), 8000
    proposal = proposed(teacher, with_mixture(teacher, **NARROW), n)
    values, sources = np.asarray(proposal.levels)[:, 0], np.asarray(proposal.sources)
    assert set(sources.tolist()) == {NEW, DESIGNED}
    assert scipy.stats.binomtest(int((sources == NEW).sum()), n, 0.2).pvalue > 1e-3
    assert scipy.stats.kstest(values[sources == NEW], "uniform").pvalue > 1e-3
    # of a Gaussian one in four is of the first and three of the second, whatever the weights are
    drawn = values[sources == DESIGNED]
    first = np.abs(drawn - 0.2) < 0.06
    assert np.all(first | (np.abs(drawn - 0.5) < 0.06))
    assert scipy.stats.binomtest(int(first.sum()), drawn.size, 0.25).pvalue > 1e-3
    # the deviation in progress is no part of it
    assert scipy.stats.kstest((drawn[first] - 0.2) / 0.01, "norm").pvalue > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_uniform_levels(share):
    teacher = ALPGMM(random_share=share)
    sources = np.asarray(proposed(teacher, with_mixture(teacher, **NARROW), 2000).sources)
    assert scipy.stats.binomtest(int((sources == NEW).sum()), 2000, share).pvalue > 1e-3


@pytest.mark.parametrize("state", ["new", "without progress"])
def test_without_progress_every_level_is_uniform(state):
    teacher = ALPGMM(random_share=0.0)
    no_progress = NARROW | {"means": [(0.2, 0.0), (0.5, 0.0), (0.8, 0.0)]}
    of = teacher.init(jax.random.key(0), LINE, B) if state == "new" else with_mixture(teacher, **no_progress)
    proposal = proposed(teacher, of, 2000)
    np.testing.assert_array_equal(proposal.sources, NEW)
    assert scipy.stats.kstest(np.asarray(proposal.levels)[:, 0], "uniform").pvalue > 1e-3


def test_an_absent_component_is_never_drawn():
    teacher = ALPGMM(random_share=0.0)
    proposal = proposed(teacher, with_mixture(teacher, **NARROW | {"weights": [0.5, 0.0, 0.5]}), 500)
    assert np.all(np.abs(np.asarray(proposal.levels) - 0.2) < 0.06)


def test_draws_are_clipped_to_the_box_and_brought_to_scale():
    space = LineSpace(Line(((10.0, 30.0), (-2.0, 0.0))))
    teacher = ALPGMM(random_share=0.0)
    state = with_mixture(teacher, [(0.25, 0.9, 0.5)], [(0.01, 1.0, 0.01)], [1.0], space)
    values = np.asarray(proposed(teacher, state, 4000, space).levels)
    # a quarter of the way from 10 to 30 ± 0.01 · 20
    assert values[:, 0].mean() == pytest.approx(15, abs=0.02)
    assert values[:, 0].std() == pytest.approx(0.2, rel=0.1)
    assert values[:, 1].min() == -2
    assert values[:, 1].max() == 0
    # above 1 of a normal number about 0.9 with deviation 1: at its upper end; and below 0
    assert (values[:, 1] == 0).mean() == pytest.approx(scipy.stats.norm.sf(0.1), abs=0.04)
    assert (values[:, 1] == -2).mean() == pytest.approx(scipy.stats.norm.cdf(-0.9), abs=0.04)


def test_gaussians_may_lie_aslant():
    teacher = ALPGMM(random_share=0.0)
    space = LineSpace(Line(((0.0, 1.0), (0.0, 1.0))))
    state = with_mixture(teacher, [(0.5, 0.5, 0.5)], [(0.1, 0.01, 0.01)], [1.0], space)
    aslant = state.mixture.factors.at[0, 1, 0].set(0.1)
    values = np.asarray(
        proposed(teacher, state.replace(mixture=state.mixture.replace(factors=aslant)), 2000, space).levels
    )
    # covariance of 0.1 z and 0.1 z + 0.01 w
    assert np.corrcoef(values.T)[0, 1] == pytest.approx(1 / np.sqrt(1.01), abs=0.002)


def test_choices_are_whole_and_allowed():
    space = ParameterCorridor(length=5).level_space
    teacher = ALPGMM(random_share=0.3)
    state = with_mixture(teacher, [(0.9, 0.1, 0.5, 0.5)], [(0.3, 0.3, 0.3, 0.1)], [1.0], space)
    proposal = proposed(teacher, state, 1000, space)
    half, cell, slope = np.asarray(proposal.design).T
    np.testing.assert_array_equal(proposal.levels.start, 1 + cell)
    np.testing.assert_array_equal(half, cell >= 2)
    assert set(cell.tolist()) == {0, 1, 2, 3, 4}
    assert slope.min() >= -1
    assert slope.max() <= 3


def test_mazes_of_a_mixture_are_valid():
    space = Maze(height=5, width=5, levels=MazeLevels(num_walls=15)).level_space
    teacher = ALPGMM(random_share=0.2)
    # start and goal are meant to be the same cell
    state = with_mixture(teacher, [(0.7, 0.5, 0.5, 0.5)], [(0.2, 0.05, 0.05, 0.1)], [1.0], space)
    levels = proposed(teacher, state, 300, space).levels
    assert bool(jnp.all(jax.vmap(space.is_valid)(levels)))


# -- what it learns of -------------------------------------------------------------------------------------------------


def test_what_is_stored_is_what_was_played():
    """Returns from −1 to 3 as shares of that, places as points of the box, levels without an episode not at all."""
    space = LineSpace(Line(((10.0, 30.0),)))
    teacher = ALPGMM(return_low=-1.0, return_high=3.0)
    state = teacher.init(jax.random.key(0), space, B)
    proposal = proposed(teacher, state, 6, space).replace(design=jnp.asarray([[10.0], [15], [20], [25], [30], [12]]))
    results = outcome([-1.0, 1.0, 9.0, 0.0, -7.0, jnp.inf], finished=[True, True, True, False, True, True])
    history = teacher.observe(state, plan_at(teacher, 1), proposal, results, space).history
    # −1 → 0; 1 → (1 + 1) / 4; 9 and −7 are cut off; the fourth gave none and the last is no number
    assert int(history.stored) == 4
    np.testing.assert_allclose(history.points[:4, 0], [0, 0.25, 0.5, 1])
    np.testing.assert_allclose(history.returns[:4], [0, 0.5, 1, 0])


def test_metrics_tell_the_mixture_the_progress_and_the_last_batch():
    space = ParameterCorridor(length=5).level_space
    teacher = ALPGMM(fit_window=4, max_components=2, history_size=40)
    state = teacher.init(jax.random.key(0), space, B)
    new = {name: float(value) for name, value in teacher.metrics(state, space).items()}
    assert new.keys() == {"components", "mean_alp", "random_share", "chosen/half", "chosen/cell", "chosen/slope"}
    assert new.pop("components") == 0
    assert np.isnan([*new.values()]).all()
    propose = jax.jit(lambda state: teacher.propose(jax.random.key(1), state, plan_at(teacher, 1), space, B, no_probe))
    state, proposal = propose(state)
    history = History.empty(40, 3)
    history = history.replace(stored=jnp.int32(6), next_slot=jnp.int32(6), progress=jnp.arange(40.0))
    told = {name: float(value) for name, value in teacher.metrics(state.replace(history=history), space).items()}
    assert told["random_share"] == 1
    assert told["mean_alp"] == 3.5  # of the newest four: 2, 3, 4 and 5
    np.testing.assert_allclose(
        [told[f"chosen/{name}"] for name in ("half", "cell", "slope")], proposal.design.mean(axis=0), rtol=1e-5
    )
    few = state.replace(history=history.replace(stored=jnp.int32(2), next_slot=jnp.int32(2)))
    assert float(teacher.metrics(few, space)["mean_alp"]) == 0.5


# -- a frontier that moves ---------------------------------------------------------------------------------------------
#
# Tasks on a line. Below c all are solved and beyond c + 0.1 none is; between them a coin is thrown, or returns fall from 1
# to 0. Progress is in the band alone, which moves from one end to the other.


def coin(key, tasks, c):
    return jnp.where(tasks < c, 1.0, (tasks <= c + 0.1) & jax.random.bernoulli(key, 0.5, tasks.shape))


def ramp(key, tasks, c):
    return jnp.clip((c + 0.1 - tasks) / 0.1, 0.0, 1.0)


def shares_within(teacher, world, seed, num_fits):
    """At each of so many fits: c, and the share of the levels of a Gaussian that are within 0.1 of the band's middle."""
    batches = -(-teacher.fit_rate // B)

    @jax.jit
    def step(state, schedule, key, c):
        plan_key, propose_key, play_key, look_key = jax.random.split(key, 4)
        plan = teacher.plan(plan_key, schedule, B)
        state, proposal = teacher.propose(propose_key, state, plan, LINE, B, no_probe)
        _, look = teacher.propose(look_key, state, plan.replace(refresh=False), LINE, 2000, no_probe)
        of_gaussian = look.sources == DESIGNED
        near = of_gaussian & (jnp.abs(look.levels[:, 0] - (c + 0.05)) <= 0.1)
        state = teacher.observe(state, plan, proposal, outcome(world(play_key, proposal.levels[:, 0], c)), LINE)
        return state, schedule.after(plan), near.sum() / jnp.maximum(of_gaussian.sum(), 1)

    state, schedule, found = teacher.init(jax.random.key(0), LINE, B), Schedule.start(jax.random.key(0)), []
    for iteration in range(batches * num_fits + 1):
        c = 0.9 * max(iteration - batches, 0) / (batches * (num_fits - 1))
        key = jax.random.fold_in(jax.random.key(seed), iteration)
        state, schedule, share = step(state, schedule, key, c)
        if iteration and iteration % batches == 0:
            found.append((c, float(share)))
    return np.asarray(found)


@pytest.mark.parametrize("world", [pytest.param(coin, marks=pytest.mark.slow), ramp])
def test_draws_follow_a_frontier_that_moves(world):
    """It moves by 0.03 between two fits; a uniform level is within 0.1 of its middle with a chance of 0.2 at most."""
    found = np.stack([shares_within(ALPGMM(em_iterations=15, max_components=10), world, seed, 31) for seed in (0, 1)])
    assert found[..., 1].mean() > 0.8
    assert (found[..., 1] > 0.6).mean() > 0.85


@pytest.mark.parametrize("c", [0.0, 0.3, 0.62, 0.9])
def test_after_one_fit_to_uniform_tasks_more_than_sixty_percent_are_at_the_frontier(c):
    """250 uniform tasks of which those in [c, c + 0.1] have progress: the published window, and no draw of its own yet."""
    teacher = ALPGMM(random_share=0.0)
    fit = jax.jit(lambda key, state: teacher._fitted(key, state))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tasks = rng.uniform(size=(250, 1)).astype(np.float32)
        progress = np.where((tasks >= c) & (tasks <= c + 0.1), rng.uniform(size=(250, 1)), 0)[:, 0]
        state = teacher.init(jax.random.key(0), LINE, B)
        history = History.empty(teacher.history_size, 1)
        history = history.replace(
            points=history.points.at[:250].set(tasks),
            progress=history.progress.at[:250].set(progress),
            stored=jnp.int32(250),
            next_slot=jnp.int32(250),
        )
        state = fit(jax.random.key(seed), state.replace(history=history))
        drawn = np.asarray(proposed(teacher, state, 2000).levels)[:, 0]
        assert np.mean(np.abs(drawn - (c + 0.05)) <= 0.1) > 0.9  # measured: 0.99 and more; asked for: 0.6


# -- in the loop -------------------------------------------------------------------------------------------------------


def test_a_fit_sits_in_a_conditional_that_members_share():
    program = program_of(config_of("alp_gmm", num_seeds=2))
    setting, state = program._setting, jax.eval_shape(program.init)
    found = []

    def look(jaxpr, inside):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "cholesky":
                found.append(inside)
            for value in equation.params.values():
                for item in value if isinstance(value, (tuple, list)) else (value,):
                    inner = getattr(item, "jaxpr", item)
                    if hasattr(inner, "eqns"):
                        shared = equation.primitive.name == "cond" and equation.invars[0].aval.shape == ()
                        look(inner, inside or shared)

    look(_advance.trace(setting, state, jnp.int32(3)).jaxpr, False)
    assert found
    assert all(found)


def test_a_run_that_is_read_back_goes_on_bit_for_bit(tmp_path):
    """Broken off after a fit and before the next, so that the mixture and the history are needed."""
    config = config_of("alp_gmm")
    program = program_of(config)
    state, _ = program.advance(program.init(), 5)
    assert int(state.members.teacher.num_components[0]) > 0
    with Checkpoints(tmp_path, "f") as checkpoints:
        checkpoints.save(5, state, program.counters(state), {}, 3)
        again = checkpoints.restore(jax.eval_shape(program.init)).state
    assert equal(program.advance(again, N)[0], played(config)[0])


@pytest.mark.slow
def test_the_loop_compiled_or_not_gives_the_same():
    """Three batches with a fit before the third, played by a return that is the level's own."""
    teacher = ALPGMM(fit_rate=12, fit_window=12, max_components=2, em_iterations=2, history_size=24)
    space = LineSpace(Line(((0.0, 1.0), (0.0, 2.0))))

    def three():
        state, schedule = teacher.init(jax.random.key(0), space, 6), Schedule.start(jax.random.key(0))
        for i in range(3):
            plan = teacher.plan(jax.random.key(i), schedule, 6)
            state, proposal = teacher.propose(jax.random.key(10 + i), state, plan, space, 6, no_probe)
            state = teacher.observe(state, plan, proposal, outcome(jnp.sin(9 * proposal.levels[:, 0])), space)
            schedule = schedule.after(plan)
        return state

    compiled = jax.jit(three)()
    with jax.disable_jit():
        plain = three()
    assert int(compiled.num_components) == 2
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), compiled, plain)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"random_share": 1.5}, ["random_share is 1.5", "[0, 1]"]),
        ({"fit_rate": 0}, ["fit_rate is 0", "[1,"]),
        ({"min_components": 0}, ["min_components is 0", "[1,"]),
        ({"max_components": 1}, ["max_components is 1", "[2,"]),  # fewer than the fewest
        ({"fit_window": 19}, ["fit_window is 19", "[20, 500]"]),  # fewer points than Gaussians
        ({"fit_window": 501}, ["fit_window is 501", "[20, 500]"]),  # more than are kept
        ({"history_size": 100}, ["fit_window is 250", "[20, 100]"]),
        ({"em_iterations": 0}, ["em_iterations is 0", "[1,"]),
        ({"covariance_floor": 0.0}, ["covariance_floor is 0.0", "[1e-07, 1]"]),
        ({"return_low": 1.0}, ["return_low is 1", "less than return_high = 1"]),
        ({"return_low": 2.0, "return_high": -1.0}, ["return_low is 2", "less than return_high = -1"]),
        ({"return_high": float("inf")}, ["return_high is inf", "allowed: "]),
        ({"criterion": "mdl"}, ["criterion is 'mdl'", "aic, bic, aicc"]),
        ({"covariance": "tied"}, ["covariance is 'tied'", "full, diagonal"]),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, words):
    with pytest.raises(UserError) as error:
        ALPGMM(**options)
    assert all(word in str(error.value) for word in (*words, "allowed"))
    assert "\n" not in str(error.value)


@dataclasses.dataclass(frozen=True)
class OtherForm(CorridorParameters):
    def level(self, key, values):
        return values


@dataclasses.dataclass(frozen=True)
class OtherCorridor(Corridor):
    parameters: Parameters | None = None

    @property
    def level_space(self):
        class Space(type(Corridor().level_space)):
            parameters = self.parameters

        return Space(self.length, self.max_steps)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"env": Corridor(length=5, max_steps=6)}, ["ALP-GMM needs `parameters`, which CorridorLevels does not have"]),
        ({"num_train_levels": 3}, ["ALP-GMM needs `parameters`, which would leave the 3 levels of num_train_levels"]),
        ({"num_envs": 17}, ["teacher.history_size is 16; allowed: at least num_envs = 17"]),
        (
            {"env": OtherCorridor(parameters=OtherForm(5))},
            ["level of OtherForm makes levels a float32[3]; allowed: as"],
        ),
        ({"env": OtherCorridor(parameters=None)}, ["`parameters` of a level space is None; allowed: an instance of"]),
        (
            {"env": OtherCorridor(parameters=CorridorParameters(5, wrong=True))},
            ["allowed of CorridorParameters gives [2]"],
        ),
    ],
    ids=["no-parameters", "finite", "batch", "form", "none", "shape"],
)
def test_what_the_world_or_the_run_lacks_is_told_in_one_line(options, words):
    with pytest.raises(UserError) as error:
        config_of(teacher_of("alp_gmm"), **options)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
