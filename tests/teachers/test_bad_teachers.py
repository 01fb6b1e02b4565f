"""Whatever is wrong with a teacher, its score or its levels: one line that names it, before anything compiles."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from tiny_runs import (
    ENV,
    NETWORK,
    OPTIONS,
    TEACHERS,
    UNSCORED,
    B,
    compiled_programs,
    config_of,
    float_fields,
    teacher_of,
)
from toy_designers import CorridorDesigner, EditableCorridor, EditableCorridorLevels
from toy_worlds import Corridor, Meeting, MeetingLevel, MeetingLevels

from minied import registry
from minied.config import load_config
from minied.errors import UserError
from minied.scores import score
from minied.teachers.base import Teacher
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.program import Program

SCORED = [name for name in TEACHERS if name not in UNSCORED]
HERE = "test_bad_teachers"  # the registry finds scores of this module by their import path


def says(words, make):
    """`make()` raises one line with all these words in it."""
    with pytest.raises(UserError) as error:
        make()
    line = str(error.value)
    assert "\n" not in line, line
    for word in words:
        assert word in line, (word, line)


# -- numbers -----------------------------------------------------------------------------------------------------------

SHARES = {
    "replay_probability", "minimum_fill", "score_smoothing", "staleness_coefficient", "score_max_share",
    "exploration", "forgetting", "buffer_share", "uniform_share", "random_share",
    "mastered_from", "review_share", "slow_rate", "magnified",
}  # fmt: skip
NOT_ZERO = {
    "minimum_fill", "score_smoothing", "temperature", "step_size", "floor", "covariance_floor", "slow_rate", "magnified",
    "sharpness",
}  # fmt: skip
NOT_ONE = {"score_max_share", "magnified"}
ANY_SIGN = {"return_low", "return_high", "focus"}
NUMBERS = {
    "temperature",
    "rate",
    "entropy_coefficient",
    "step_power",
    "step_size",
    "floor",
    "covariance_floor",
    "sharpness",
} | ANY_SIGN
FLOATS = [(name, field) for name in TEACHERS for field in float_fields(registry.load("teacher", name))]


def test_every_number_of_every_teacher_is_a_share_or_has_another_range():
    assert {field for _, field in FLOATS} == SHARES | NUMBERS
    assert not SHARES & NUMBERS


@pytest.mark.parametrize(("name", "field"), FLOATS)
def test_numbers_out_of_range(name, field):
    bad = [float("nan"), float("inf"), -float("inf"), 1e39]  # the last is more than float32 holds
    bad += [-0.1] if field not in ANY_SIGN else []
    bad += [1.1] if field in SHARES else []
    bad += [0.0] if field in NOT_ZERO or (field == "replay_probability" and name not in ("plr",)) else []
    for value in bad:
        says(
            [f"{field} is {value!r}".replace("is 0.0", "is 0"), "allowed: "],
            lambda v=value: teacher_of(name, **{field: v}),
        )
    good = [1.0] if field in SHARES - NOT_ONE else []
    good += [0.0] if field in SHARES - NOT_ZERO - {"replay_probability"} else []
    for value in good:
        assert getattr(teacher_of(name, **{field: value}), field) == value


COUNTS = [
    ("plr", "buffer_size", 0), ("plr", "buffer_size", 2**24 + 1), ("plr", "top_k", 0), ("plr", "top_k", 13),
    ("accel", "num_parents", 0), ("sfl", "buffer_size", 0), ("sfl", "num_candidates", 0),
    ("sfl", "candidate_rollouts", 0), ("sfl", "refresh_every", 0), ("ncc", "buffer_size", 0), ("ncc", "probe_rollouts", 0),
    ("ncc", "refresh_every", -1), ("ncc", "rescored_batches", -1), ("ncc", "new_batches", -1),
    ("alp_gmm", "fit_rate", 0), ("alp_gmm", "fit_window", 2), ("alp_gmm", "max_components", 0),
    ("alp_gmm", "min_components", 0), ("alp_gmm", "history_size", 2**24 + 1), ("alp_gmm", "em_iterations", 0),
    ("fixed_curriculum", "updates_per_level", 0), ("fixed_curriculum", "levels_at_once", 0),
    ("uniform_tasks", "attempts_per_measurement", 0), ("windowed_slope", "window", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "field", "value"), COUNTS)
def test_counts_out_of_range(name, field, value):
    says([f"{field} is {value}", "allowed: ["], lambda: teacher_of(name, **{field: value}))


CHOICES = [
    ("plr", "prioritization", "ranks", "rank, power, softmax, top_k, uniform"),
    ("alp_gmm", "criterion", "mdl", "aic, bic, aicc"),
    ("alp_gmm", "covariance", "tied", "full, diagonal"),
    ("plr", "eviction", "oldest", "weight, score"),
    ("plr", "replay_decision", "random", "fixed, proportionate"),
    ("accel", "parents", "all", "batch, easy, hard"),
    ("fixed_curriculum", "order", "reverse", "sequential, random"),
]


@pytest.mark.parametrize(("name", "field", "value", "allowed"), CHOICES)
def test_choices(name, field, value, allowed):
    says([f"{field} is {value!r}", f"allowed: {allowed}"], lambda: teacher_of(name, **{field: value}))


def test_sfl_has_at_least_as_many_candidates_as_places():
    says(
        ["num_candidates is 11", "at least buffer_size = 12"],
        lambda: teacher_of("sfl", buffer_size=12, num_candidates=11),
    )
    teacher_of("sfl", buffer_size=12, num_candidates=12)


# -- buffers and batches -----------------------------------------------------------------------------------------------

LEAST = dict.fromkeys(SCORED, (B, f"at least num_envs = {B}")) | {
    "parallel_plr": (2 * B, "at least num_envs x 2 = 8"),
    "parallel_accel": (3 * B, "at least num_envs x 3 = 12"),
    "ncc": (B, f"a multiple of num_envs = {B}, such as 4"),
}
SMALL = {"ncc": {"rescored_batches": 1, "new_batches": 1}, "sfl": {"num_candidates": 14}}


@pytest.mark.parametrize("name", SCORED)
def test_a_buffer_holds_what_is_offered_at_once(name):
    least, allowed = LEAST[name]
    options = SMALL.get(name, {})
    small = teacher_of(name, buffer_size=least - 1, **options)
    says([f"teacher.buffer_size is {least - 1}", f"allowed: {allowed}"], lambda: config_of(small))
    config_of(teacher_of(name, buffer_size=least, **options))


def test_ncc_has_whole_batches():
    says(
        ["teacher.buffer_size is 10", "a multiple of num_envs = 4, such as 8"],
        lambda: config_of(teacher_of("ncc", buffer_size=10)),
    )
    for field in ("rescored_batches", "new_batches"):
        says(
            [f"teacher.{field} is 4", "at most buffer_size / num_envs = 3"],
            lambda f=field: config_of(teacher_of("ncc", **{f: 4})),
        )


# -- worlds that lack something ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class BareLevels(MeetingLevels):
    """Levels that can be edited, or built by some designer, and of which nothing else is known."""

    def mutate(self, key, level):
        return MeetingLevel(level.positions[::-1])

    @property
    def designer(self):
        return CorridorDesigner(self.length)


@dataclasses.dataclass(frozen=True)
class BareMeeting(Meeting):
    @property
    def level_space(self):
        return BareLevels(self.length)


@dataclasses.dataclass(frozen=True)
class DescribedLevels(EditableCorridorLevels):
    def describe(self, level):
        return {name: level.start.astype(jnp.float32) for name in ("start", "b", "c", "d")}


@dataclasses.dataclass(frozen=True)
class DescribedCorridor(EditableCorridor):
    @property
    def level_space(self):
        return DescribedLevels(self.length, self.max_steps)


@pytest.mark.parametrize(
    ("name", "by"), [("accel", "ACCEL"), ("parallel_accel", "parallel ACCEL"), ("map_elites", "ACCEL")]
)
def test_levels_that_cannot_be_edited(name, by):
    words = [f"{by} needs `mutate`", "CorridorLevels does not have", "optimal_return, describe"]
    says(words, lambda: config_of(name, env=Corridor(length=5, max_steps=6)))
    # edits would leave a finite set
    says(
        [f"{by} needs `mutate`", "would leave the 3 levels of num_train_levels"],
        lambda: config_of(name, num_train_levels=3),
    )


def test_map_elites_needs_features_to_tell_kinds_apart():
    says(
        ["MAP-Elites needs `describe`", "BareLevels", "it has: mutate, designer)"],
        lambda: config_of(teacher_of("map_elites", score="max_mc"), env=BareMeeting()),
    )
    for features in ((), ("finish",), ("start", "start"), ("start", "walls")):
        says(
            [f"teacher.features is {features}", "one or more different ones of start"],
            lambda f=features: config_of(teacher_of("map_elites", features=f)),
        )


@pytest.mark.parametrize(
    "ranges",
    [(1.0,), (1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0), (2.0, 1.0), (1.0, 1.0), (1.0, float("inf")), (-float("inf"), 1.0),
     (float("nan"), 1.0), (1.0, float("nan"))],
)  # fmt: skip
def test_ranges_of_features(ranges):
    words = [f"teacher.feature_ranges is {ranges}", "allowed: "]
    says(words, lambda: config_of(teacher_of("map_elites", feature_ranges=ranges)))


def test_an_archive_has_two_bins_a_feature():
    # 4 features want 2^4 = 16 cells
    env = DescribedCorridor(length=5, max_steps=6)
    options = {"features": ("start", "b", "c", "d"), "feature_ranges": ()}
    says(
        ["teacher.buffer_size is 15", "at least 2^4, two bins a feature"],
        lambda: config_of(teacher_of("map_elites", buffer_size=15, **options), env=env),
    )
    config_of(teacher_of("map_elites", buffer_size=16, **options), env=env)


# -- scores ------------------------------------------------------------------------------------------------------------

ONE_HEAD = dataclasses.replace(NETWORK, num_value_heads=1, num_policy_heads=1)
ABSENT = {
    "value_disagreement": (ENV, ["value_ensemble", "network.num_value_heads is 1, allowed: at least 2"]),
    "policy_disagreement": (ENV, ["policy_ensemble", "network.num_policy_heads is 1, allowed: at least 2"]),
    "exact_regret": (BareMeeting(), ["optimal_return", "BareMeeting does not know the best return"]),
    "novelty": (BareMeeting(), ["neighbour_distances", "BareMeeting does not describe its levels"]),
}


@pytest.mark.parametrize("scored", ABSENT)
@pytest.mark.parametrize("name", SCORED)
def test_scores_that_need_what_the_run_lacks(name, scored):
    env, words = ABSENT[scored]
    options = {"file": ""} if name == "learned_mixture" else {}
    teacher = teacher_of(name, score=scored, **options)
    says([f"score {scored!r} needs the signal", *words], lambda: config_of(teacher, env=env, network=ONE_HEAD))


@pytest.mark.parametrize("name", SCORED)
def test_a_share_of_the_highest_step_is_for_scores_that_go_by_steps(name):
    words = ["teacher.score_max_share is 0.5", "allowed: 0", "'learnability' does not go by steps"]
    says(words, lambda: config_of(teacher_of(name, score="learnability", score_max_share=0.5)))
    config_of(teacher_of(name, score="max_mc", score_max_share=0.5))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("max_m", ["unknown score 'max_m'", "did you mean 'max_mc'", "learnability"]),
        ("", ["unknown score ''"]),
        ("toy_worlds:nothing", ["'toy_worlds:nothing' cannot be loaded", "nothing"]),
        ("no_such_module:score", ["'no_such_module:score' cannot be loaded", "no_such_module"]),
        ("toy_worlds:undeclared_score", ["'toy_worlds:undeclared_score' declares no signals", "@minied.scores.score"]),
        ("toy_worlds:Corridor", ["'toy_worlds:Corridor' declares no signals"]),
    ],
)
@pytest.mark.parametrize("name", ["plr", "sfl", "ncc"])
def test_scores_that_are_none(name, named, words):
    says(words, lambda: config_of(teacher_of(name, score=named)))


def test_scores_whose_signals_do_not_exist():
    says(["unknown signals ['regret']", "known: ended, episodes"], lambda: score(needs=("regret",)))
    text: Any = "values"  # for ("values",)
    says(["a score needs 'values'", "a tuple of signals"], lambda: score(needs=text))


@score(needs=("rewards",))
def pair_score(signals) -> Any:
    return signals.rewards.sum(), signals.rewards.mean()


@score(needs=("rewards",))
def nothing_score(signals) -> Any:
    signals.rewards.sum()


@score(needs=("rewards",))
def forgetful_score(signals):
    """Reads a signal that it did not declare."""
    return signals.values.mean() + signals.rewards.sum()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("toy_worlds:wide_score", ["score 'wide_score' returns (", "allowed: one number, shape ()"]),
        (f"{HERE}:pair_score", ["score 'pair_score' returns ((), ())", "allowed: one number"]),
        (f"{HERE}:nothing_score", ["score 'nothing_score' returns None", "allowed: one number"]),
        (f"{HERE}:forgetful_score", ["score 'forgetful_score' fails", "signal that it does not declare", "values"]),
    ],
)
@pytest.mark.parametrize("name", ["plr", "sfl", "ncc"])
def test_scores_that_are_wrong_are_told_when_the_program_is_checked(name, named, words):
    program = Program(config_of(teacher_of(name, score=named)))
    before = compiled_programs()
    says(words, program.check)
    assert compiled_programs() == before


def test_correlations_with_regret():
    def correlating(*names, **options):
        return lambda: config_of("domain_randomization", log_score_correlations=names, **options)

    says(["log_score_correlations needs exact regret", "Meeting does not know"], correlating("max_mc", env=Meeting()))
    says(["unknown score 'max_m'", "'max_mc'"], correlating("max_m"))
    says(["declares no signals"], correlating("entropy", "toy_worlds:undeclared_score"))
    says(["'value_disagreement'", "num_value_heads is 1"], correlating("value_disagreement", network=ONE_HEAD))
    says(["'novelty'", "only a teacher that keeps a buffer has it"], correlating("novelty"))
    correlating("max_mc", "exact_regret", "policy_disagreement")()


# -- levels of the user ------------------------------------------------------------------------------------------------

GIVEN = [("fixed_curriculum", "a fixed curriculum"), ("learned_mixture", "a learned mixture")]


@pytest.mark.parametrize(("name", "by"), GIVEN)
def test_level_files(name, by, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    for file, text in {
        "good.txt": "S.G\n\nSG\n",
        "empty.txt": "",
        "blank.txt": "\n\n  \n",
        "long.txt": "SG\n\nS.....G\n",
        "odd.txt": "SxG\n",
    }.items():
        (tmp_path / file).write_text(text)
    for file, words in {
        "none.txt": ["none.txt cannot be read", "No such file"],
        "folder": ["folder cannot be read"],
        "bytes.txt": ["bytes.txt cannot be read", "not UTF-8"],
        "empty.txt": ["empty.txt holds no level"],
        "blank.txt": ["blank.txt holds no level"],
        "long.txt": ["long.txt", "starts on line 3", "'S.....G'", "allowed: S, at most 4 dots, G"],
        "odd.txt": ["odd.txt", "starts on line 1", "'SxG'", "allowed: "],
        "suite:end": ["unknown suite 'end'", "did you mean 'ends'"],
        "suite:": ["unknown suite ''"],
        "suite:long": ["teacher.file is 'suite:long'", "levels of another size", "allowed: a suite of its own size"],
    }.items():
        says(words, lambda f=file: config_of(teacher_of(name, file=f)))
    config_of(teacher_of(name, file="good.txt"))
    # a world that cannot read
    says(
        [f"{by} needs `from_text`", "CorridorLevels does not have"],
        lambda: config_of(teacher_of(name, file="good.txt"), env=Corridor(length=5, max_steps=6)),
    )


def test_a_curriculum_has_levels():
    words = ["teacher.file is empty", "allowed: a text file of levels, or suite:NAME"]
    says(words, lambda: config_of(teacher_of("fixed_curriculum", file="")))
    words = ["teacher.levels_at_once is 3", "allowed: 1 to 2", "a file of 2 levels", "num_envs = 4"]
    says(words, lambda: config_of(teacher_of("fixed_curriculum", levels_at_once=3)))
    words = ["teacher.levels_at_once is 2", "allowed with order random: 1"]
    says(words, lambda: config_of(teacher_of("fixed_curriculum", levels_at_once=2, order="random")))


@pytest.mark.parametrize(("name", "by"), GIVEN)
def test_levels_of_the_user_are_of_no_finite_set(name, by):
    says(
        ["num_train_levels is 3", f"allowed with {by} on levels of your own: 0"],
        lambda: config_of(name, num_train_levels=3),
    )


# -- teachers of the user ----------------------------------------------------------------------------------------------


class Unfinished(DomainRandomization):
    """A teacher that breaks its contract in the way that ``flaw`` says."""

    flaw: str = ""

    def plan(self, key, schedule, num_levels) -> Any:
        plan = super().plan(key, schedule, num_levels)
        faults = {"no plan": True, "wide plan": plan.replace(train=jnp.ones(num_levels, bool))}
        return faults.get(self.flaw, plan)

    def propose(self, key, state, plan, space, num_levels, probe) -> Any:
        state, proposal = super().propose(key, state, plan, space, num_levels, probe)
        half = jax.tree.map(lambda leaf: leaf[: num_levels // 2], proposal)
        faults = {
            "no state": proposal,
            "half a batch": (state, half),
            "half the sources": (state, proposal.replace(sources=half.sources)),
            "other state": ({"seen": jnp.zeros(3)}, proposal),
        }
        return faults.get(self.flaw, (state, proposal))

    def init(self, key, space, num_levels):
        return {"seen": jnp.zeros(2)}

    def observe(self, state, plan, proposal, outcome, space):
        faults = {"lost": {}, "other name": {"sin": state["seen"]}, "integers": {"seen": jnp.zeros(2, jnp.int32)}}
        return faults.get(self.flaw, state)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no plan", ["plan of the teacher Unfinished returns bool", "a Plan"]),
        ("wide plan", ["plan", "gives train as bool[4]", "one number"]),
        ("no state", ["propose of the teacher Unfinished returns Proposal", "a pair, its state and a Proposal"]),
        ("half a batch", ["propose", "gives levels as", "[2", "num_batches x num_envs = 4"]),
        ("half the sources", ["propose", "gives sources as int32[2]", "num_batches x num_envs = 4"]),
        ("other state", ["propose", "a state whose ['seen'] is float32[3]", "float32[2]"]),
        ("lost", ["observe of the teacher Unfinished returns a state of structure", "that of its init"]),
        ("other name", ["observe", "'sin'", "'seen'"]),
        ("integers", ["observe", "['seen'] is int32[2]", "float32[2]"]),
    ],
)
def test_a_teacher_that_breaks_its_contract_is_told_before_anything_compiles(fault, words):
    program = Program(config_of(Unfinished(flaw=fault)))
    before = compiled_programs()
    says(words, program.check)
    assert compiled_programs() == before


def test_a_teacher_that_keeps_it_passes():
    Program(config_of(Unfinished())).check()


class Abstract(Teacher):
    """A teacher of which only one part is written."""

    def init(self, key, space, num_levels):
        return ()


def test_a_teacher_that_lacks_a_method_is_told_which():
    says(
        [f"the teacher '{HERE}:Abstract' lacks observe, plan, propose", "a subclass of Teacher"],
        lambda: load_config("quick", ["--teacher", f"{HERE}:Abstract"]),
    )


def test_the_right_ones_are_accepted():
    """The errors above are of what was made wrong, not of what they started from."""
    assert {*OPTIONS} == {*TEACHERS}
    for name in TEACHERS:
        assert config_of(name).teacher == teacher_of(name)
