"""Teachers of minied pass; each mistake that a teacher can make is caught by the check that is there for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minied import registry
from minied.teachers.base import NEW, Plan, propose_levels, propose_new, sample_levels
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.testing import check_teacher, teacher_runs
from minied.testing.teacher import TEACHER_CHECKS


def small(name):
    """A teacher of minied, small enough for a few iterations to show all that it does."""
    cls = registry.load("teacher", name)
    options = {"buffer_size": 16, "minimum_fill": 0.5}
    return cls(**{key: value for key, value in options.items() if key in cls.__dataclass_fields__})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robust_plr", "accel", "alp_gmm", "paired", "sfl", "parallel_plr"])
def test_a_teacher_of_minied_passes(name):
    report = check_teacher(small(name)).require()
    assert len(report.findings) == len(TEACHER_CHECKS)


def test_domain_randomisation_passes_what_is_quick():
    check_teacher(small("domain_randomization"), only=("accepts", "forms", "keys", "levels", "accounting")).require()


class SameKeyForAll(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        return state, propose_levels(jax.vmap(space.sample)(jnp.broadcast_to(key, (num_levels,))), NEW)


class KeyUsedTwice(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        new = propose_new(key, space, num_levels)
        other = sample_levels(key, space, num_levels)
        return state, new.replace(levels=jax.tree.map(lambda a, b: jnp.where(False, a, b), new.levels, other))


class CountsNoProbe(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        level_key, probe_key = jax.random.split(key)
        proposal = propose_new(level_key, space, num_levels)
        outcome = probe(probe_key, proposal.levels)
        best = jnp.nan_to_num(outcome.episodes.mean_return)
        return state, proposal.replace(max_returns=jnp.maximum(proposal.max_returns, best))


class DrawsByNumPy(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        return state, propose_new(
            jax.random.fold_in(key, int(np.random.default_rng().integers(2**31))), space, num_levels
        )


class InvalidLevels(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        proposal = propose_new(key, space, num_levels)
        return state, proposal.replace(levels=proposal.levels.replace(goal=proposal.levels.start))


class StateOfAnotherForm(DomainRandomization):
    def init(self, key, space, num_levels):
        return jnp.int32(0)

    def observe(self, state, plan, proposal, outcome, space):
        return outcome.episodes.mean_return.mean()


class NanMetric(DomainRandomization):
    def metrics(self, state, space):
        return {"best": jnp.float32(jnp.inf)}


class StopsWhereNothingFinishes(DomainRandomization):
    def init(self, key, space, num_levels):
        return jnp.int32(0)

    def observe(self, state, plan, proposal, outcome, space):
        return state + (~outcome.episodes.valid).any()

    def broken_scores(self, state):
        return state.astype(jnp.int32)


class MutatesUnasked(DomainRandomization):
    def propose(self, key, state, plan, space, num_levels, probe):
        new_key, edit_key = jax.random.split(key)
        proposal = propose_new(new_key, space, num_levels)
        edited = jax.vmap(space.mutate)(jax.random.split(edit_key, num_levels), proposal.levels)
        return state, proposal.replace(levels=edited)


class FloatShapesTheProgram(DomainRandomization):
    """``part`` is a number, and what is made of it shapes arrays: another part, another program."""

    part: float = 0.0
    size: int = 1

    def __post_init__(self):
        object.__setattr__(self, "size", 1 + int(self.part * 16))
        super().__post_init__()

    def init(self, key, space, num_levels):
        return jnp.zeros(self.size)


class TrainsNever(DomainRandomization):
    def plan(self, key, schedule, num_levels):
        return Plan.of(NEW, train=False, new_batches=1)


@pytest.mark.parametrize(
    ("planted", "check"),
    [(SameKeyForAll, "keys"), (KeyUsedTwice, "keys"), (CountsNoProbe, "accounting"), (InvalidLevels, "levels"),
     (StateOfAnotherForm, "forms"), (NanMetric, "soundness"), (StopsWhereNothingFinishes, "unfinished_episodes"),
     (FloatShapesTheProgram, "one_trace"),
     pytest.param(DrawsByNumPy, "members", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_planted_mistake_is_caught(planted, check):
    finding = check_teacher(planted(), only=(check,)).of(check)
    assert finding.verdict == "failed", finding
    assert finding.breaks


def test_a_float_of_zero_is_tried_with_another_value():
    """0 times a share is 0 again."""

    class Idle(DomainRandomization):
        part: float = 0.0

    assert check_teacher(Idle(), only=("one_trace",)).of("one_trace").detail.endswith("another part")


def test_a_run_is_compiled_once_whatever_was_run_before(monkeypatch):
    """Traces are counted in a program of the check's own: a second look sees them all again."""
    seen = []
    real = teacher_runs.num_traces
    monkeypatch.setattr(teacher_runs, "num_traces", lambda compiled: seen.append(real(compiled)) or seen[-1])
    for _ in range(2):
        check_teacher(DomainRandomization(), only=("one_trace",)).require()
    assert seen == [1, 1]


def test_an_error_without_a_line_is_at_the_method_that_is_most_to_blame():
    """The error is raised by JAX, called by the kit: no frame of it is the author's."""

    class Deep(DomainRandomization):
        def plan(self, key, schedule, num_levels):
            return Plan.of(NEW, train=True, new_batches=1)

        propose = staticmethod(jnp.sin)

    finding = check_teacher(Deep(), only=("soundness",)).of("soundness")
    assert finding.verdict == "failed"
    assert finding.where


def test_a_teacher_that_never_trains_is_noted():
    assert check_teacher(TrainsNever(), only=("soundness",)).of("soundness").verdict == "noted"


def test_what_a_bare_world_lacks_is_told_by_validate():
    told = check_teacher(small("accel"), only=("accepts",)).of("accepts")
    assert told.verdict == "passed"
    assert "mutate" in told.detail


def test_a_finding_of_robust_plr_s_counters_is_right():
    """Warm-up iterations of robust PLR do not learn: the kit sees both kinds."""
    teacher = RobustPrioritizedLevelReplay(buffer_size=8, minimum_fill=0.5, replay_probability=1.0)
    told = check_teacher(teacher, only=("soundness",)).of("soundness").detail
    assert "8 iterations, 7 of them with learning" in told
