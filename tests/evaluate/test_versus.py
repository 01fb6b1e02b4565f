"""`minied versus`: a game that can be worked out by hand, what is kept of it, and whatever is wrong with the input.

Letters: ``n`` policies, ``L`` levels.
"""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from spread_runs import SMALL, config_of
from toy_duel import Duel
from toy_entities import Arena
from toy_worlds import Corridor, Meeting

from minied.cli import main
from minied.errors import UserError
from minied.evaluate.ratings import ratings
from minied.run import figures
from minied.run.checkpoint import Checkpoints
from minied.run.evaluation import evaluate
from minied.run.folder import create
from minied.run.policies import Policy
from minied.run.versus import parts_of, play
from minied.train.program import Program

COUNTERS = {"iterations": 0, "train_steps": 0}
OWN = dataclasses.replace(SMALL, parameters="team")


@functools.cache
def program_of(**options):
    return Program(config_of(**{"env": Duel()} | options))


@functools.cache
def first_state(program):
    return program.init()


def naming(parameters, *numbers):
    """Parameters that always name a number; where teams have their own, each its own number."""
    if "team_0" in parameters:
        return {f"team_{k}": naming(parameters[f"team_{k}"], number) for k, number in enumerate(numbers)}
    final = parameters["policy"]
    bias = jnp.zeros_like(final["bias"]).at[numbers[0]].set(50.0)
    return parameters | {"policy": {"kernel": jnp.zeros_like(final["kernel"]), "bias": bias}}


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """Write the folder of a run: `checkpoints` maps iterations to the numbers that the members name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path.parent / "cache"))

    def make(name, checkpoints, **options):
        config = config_of(**{"env": Duel(), "suite": "fair"} | options)
        folder = create(tmp_path / name, config)
        if not checkpoints:
            return folder.path
        program = program_of(**{"suite": "fair"} | options)
        state = first_state(program)
        with Checkpoints(folder.checkpoints, config.fingerprint) as saved:
            for step, numbers in checkpoints.items():
                given = state.members.student.parameters
                members = [naming(jax.tree.map(lambda leaf: leaf[0], given), number) for number in numbers]
                parameters = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
                student = state.members.student.replace(parameters=parameters)
                other = state.replace(members=state.members.replace(student=student))
                counters = COUNTERS | {"student_updates": 2 * step, "env_steps": 100 * step}
                saved.save(step, other, counters, {}, keep=10)
        return folder.path

    return make


@pytest.fixture
def versus(capsys):
    def run(*arguments):
        code = main(["versus", *(str(each) for each in arguments)])
        return code, *capsys.readouterr()

    return run


# -- the table ---------------------------------------------------------------------------------------------------------

# On three levels team 0 is given −½, +½ and nothing. A higher number wins every point and so the episode on each, a lower
# one none, and of equal ones team 0 wins on the level +½ alone, loses on −½, and on the third nobody has a point.
# Episodes have 3, 3 and 4 steps: returns of team 0 are 10/3 for the higher number, −10/3 for the lower, (−3 + 3 + 0)/3.
WINS = np.array([[1 / 3, 0, 1], [1, 1 / 3, 1], [0, 0, 1 / 3]])  # of 1, 2, 0 as team 0 against the same as team 1
RETURNS = np.array([[0, -10 / 3, 10 / 3], [10 / 3, 0, 10 / 3], [-10 / 3, -10 / 3, 0]])


def test_checkpoints_of_a_run_play_every_pair_on_every_level(versus, make_run, tmp_path):
    make_run("run", {4: [1], 8: [2], 12: [0]})
    code, out, err = versus("run", "--suite", "handicaps", "--attempts", "2", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    np.testing.assert_allclose(report["win_rate"], WINS, atol=1e-6)
    np.testing.assert_allclose(report["mean_return"], RETURNS, atol=1e-5)
    assert [each["label"] for each in report["policies"]] == ["4", "8", "12"]
    assert [each["env_steps"] for each in report["policies"]] == [400, 800, 1200]
    assert {each["run"] for each in report["policies"]} == {"run"}
    assert (report["suite"], report["attempts"], report["levels"], report["teams"]) == ("handicaps", 2, 3, [0, 1])
    expected = ratings(WINS, 2 * 3)
    found = report["ratings"]
    np.testing.assert_allclose([each["value"] for each in found["first_team"]], expected.first, atol=1e-3)
    np.testing.assert_allclose([each["value"] for each in found["second_team"]], expected.second, atol=1e-3)
    np.testing.assert_allclose(found["role"]["value"], expected.advantage, atol=1e-3)
    for each in (*found["first_team"], *found["second_team"], found["role"]):
        low, high = each["interval"]
        assert low - 1e-3 <= each["value"] <= high + 1e-3
    kept = tmp_path / "run" / "evaluation" / "versus-handicaps-4-to-12"
    assert report["files"] == [
        "run/evaluation/versus-handicaps-4-to-12.json",
        "run/evaluation/versus-handicaps-4-to-12.png",
    ]
    assert json.loads(kept.with_suffix(".json").read_text()) == {k: v for k, v in report.items() if k != "files"}
    with Image.open(kept.with_suffix(".png")) as picture:
        assert np.asarray(picture.convert("RGB")).std() > 3


def test_the_student_before_training_plays_too(versus, make_run):
    make_run("run", {4: [1]})
    code, out, err = versus("run", "--untrained", "--suite", "handicaps", "--attempts", "2", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert [(each["label"], each["env_steps"]) for each in report["policies"]] == [("untrained", 0), ("4", 400)]
    assert np.asarray(report["win_rate"])[1, 1] == pytest.approx(WINS[0, 0])  # the checkpoint against itself
    code, _, err = versus("run", "--suite", "handicaps")
    assert (code, "keeps 1 checkpoints; allowed: at least two" in err) == (2, True)


def test_a_table_for_people(versus, make_run):
    make_run("run", {4: [1], 8: [2], 12: [0]})
    code, out, err = versus(
        "run", "--suite", "handicaps", "--attempts", "1", "--no-pictures", "--checkpoints", "12", "8"
    )
    assert code == 0
    assert "playing 4 pairs on 'handicaps'" in err
    for words in (
        "wins of team 0 (line) against team 1 (column) on 'handicaps', 3 levels",
        "33%",
        "3.33",
        "Elo as",
        "+0",
    ):
        assert words in " ".join(out.split())
    assert "team 0 is worth" in out
    assert out.splitlines()[-1] == "written: run/evaluation/versus-handicaps-12-to-8.json"


def test_newest_policies_of_several_runs_and_another_member(versus, make_run):
    make_run("low", {4: [2, 0], 8: [2, 0]}, num_seeds=2)
    make_run("high", {6: [0, 2], 20: [0, 1]}, num_seeds=2)
    code, out, err = versus("low", "high", "--member", "1", "--attempts", "3", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    # nobody is given anything: 1 beats 0, and equals win nothing
    np.testing.assert_allclose(report["win_rate"], [[0, 0], [1, 0]], atol=1e-6)
    assert [(each["label"], each["checkpoint"], each["member"]) for each in report["policies"]] == [
        ("low", 8, 1), ("high", 20, 1),
    ]  # fmt: skip
    assert report["suite"] == "fair"  # the first run's own
    assert report["files"][0] == "low/evaluation/versus-fair-8-of-2-runs.json"
    first = Path(report["files"][0]).read_bytes()
    # Another contest is kept beside it, the same one over it.
    for options, file in (
        (["--member", "0", "--attempts", "3"], "runs-2"),
        (["--member", "1", "--attempts", "3"], "runs"),
    ):
        told = json.loads(versus("low", "high", *options, "--json")[1])
        assert told["files"][0] == f"low/evaluation/versus-fair-8-of-2-{file}.json"
    assert Path(report["files"][0]).read_bytes() == first


def test_what_cannot_be_drawn_is_one_line_and_the_numbers_are_kept(versus, make_run, monkeypatch):
    def fail(*_):
        raise RuntimeError("no\npaint")

    monkeypatch.setattr(figures, "draw_versus", fail)
    make_run("run", {4: [1], 8: [2], 12: [0]})
    code, out, err = versus("run", "--suite", "handicaps", "--attempts", "2", "--json")
    assert code == 0
    assert err == "minied: versus-handicaps-4-to-12.png could not be written: RuntimeError: no paint\n"
    assert json.loads(out)["files"] == ["run/evaluation/versus-handicaps-4-to-12.json"]


def test_teams_with_parameters_of_their_own_play_their_own_part():
    program = program_of(network=OWN)
    given = jax.tree.map(lambda leaf: leaf[0], first_state(program).members.student.parameters)
    policies = [Policy("", None, 0, 0, {}, naming(given, *numbers)) for numbers in ((2, 0), (1, 1))]
    results = play(program, policies, parts_of(program, "fair"), 1)
    # as team 0 they name 2 and 1, as team 1 they name 0 and 1
    np.testing.assert_array_equal(results.wins.mean(axis=-1), [[1, 1], [1, 0]])


def test_against_itself_a_policy_does_what_its_evaluation_says():
    program = program_of()
    state = first_state(program)
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), state.members.student.parameters
    )
    state = state.replace(members=state.members.replace(student=state.members.student.replace(parameters=drawn)))
    counters = program.counters(state)
    row = evaluate(program, state, "handicaps", 40, counters)
    policy = Policy("", None, 0, 0, {}, jax.tree.map(lambda leaf: leaf[0], drawn))
    results = play(program, [policy], parts_of(program, "handicaps"), 40)
    expected = [each["solve_rate"] for each in row["entries"].values()]
    np.testing.assert_allclose(results.wins[0, 0], expected, atol=1e-6)
    assert 0 < results.wins.min() < results.wins.max() < 1


# -- what cannot be ----------------------------------------------------------------------------------------------------

BARE = {  # runs without checkpoints: what is wrong is told before any is read
    "duel": {},
    "corridor": {"env": Corridor(), "suite": ""},
    "meeting": {"env": Meeting(), "suite": ""},
    "trio": {"env": Duel(teams_of=(0, 1, 2))},
    "crowd": {"env": Duel(teams_of=(0, 1, 1, 0))},
    "turned": {"env": Duel(teams_of=(1, 0, 1))},
    "blind": {"env": Duel(shows_time=False)},
    "many": {"env": Duel(numbers=4)},
    "arena": {"env": Arena(), "suite": ""},
    "large": {"network": dataclasses.replace(SMALL, memory_size=6)},
    "by_team": {"network": OWN},
    "two_members": {"num_seeds": 2},
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["minied versus needs the folder of a run"]),
        (["nothing"], ["nothing is not a run folder: it does not exist"]),
        (["duel", "--attempts", "-1"], ["--attempts is -1; allowed: at least 1"]),
        (["duel", "--checkpoint", "3"], ["unknown option '--checkpoint'", "'--checkpoints'"]),
        (["corridor"], ["Corridor has 1 team; allowed: worlds with two teams"]),
        (["meeting"], ["Meeting has 1 team; allowed"]),
        (["trio"], ["Duel has 3 teams; allowed: worlds with two teams"]),
        (["duel", "arena"], ["env is 'toy_duel:Duel' in duel and 'toy_entities:Arena' in arena; allowed: one world"]),
        (["duel", "corridor"], ["'toy_duel:Duel'", "'toy_worlds:Corridor'"]),
        (
            ["duel", "crowd"],
            ["the teams of agents are (0, 1, 0) in duel and (0, 1, 1, 0) in crowd; allowed: the same for all runs"],
        ),
        (["duel", "turned"], ["the teams of agents are (0, 1, 0) in duel and (1, 0, 1) in turned"]),
        (["duel", "trio"], ["the teams of agents are (0, 1, 0) in duel and (0, 1, 2) in trio"]),
        (["duel", "blind"], ["env.shows_time is True in duel and False in blind: observations differ; allowed"]),
        (["duel", "many"], ["env.numbers is 3 in duel and 4 in many: actions differ; allowed"]),
        (["duel", "large"], ["network.memory_size is 4 in duel and 6 in large; allowed: the same network"]),
        (["duel", "by_team"], ["network.parameters is 'shared' in duel and 'team' in by_team"]),
        (["duel", "two_members", "--member", "1"], ["--member is 1; allowed: 0 to 0, the members of duel"]),
        (["duel", "--member", "-1"], ["--member is -1; allowed: 0 to 0"]),
        (["duel", "two_members", "duel"], ["duel is given twice; allowed: each run once"]),
        (["duel", "two_members", "--checkpoints", "4"], ["--checkpoints is given with 2 runs; allowed: one run"]),
        (["duel", "--checkpoints", "4", "8", "4"], ["--checkpoints has 4 twice"]),
        (["duel", "--suite", "far"], ["unknown suite 'far'", "did you mean 'fair'"]),
        (["arena"], ["Arena has no suites to play"]),
        (["duel"], ["duel has no checkpoint; allowed: runs that have saved one"]),
        (["two_members", "duel"], ["two_members has no checkpoint"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_in_one_line(versus, make_run, arguments, words):
    for name in dict.fromkeys(arguments):
        if name in BARE:
            make_run(name, {}, **BARE[name])
    check(versus(*arguments), words)


def check(result, words):
    code, out, err = result
    assert (code, out) == (2, ""), (code, out, err)
    assert err.count("\n") == 1
    assert err.startswith("minied: error: ")
    for word in words:
        assert word in err, (word, err)


def test_bad_checkpoints(versus, make_run, monkeypatch):
    make_run("run", {4: [1], 8: [2]})
    make_run("single", {4: [1]})
    monkeypatch.setattr(Program, "play_against", None)  # nothing is played
    for arguments, words in (
        (["run", "--checkpoints", "4", "5"], ["--checkpoints has 5; allowed: 4, 8, those that run keeps"]),
        (["run", "--checkpoints", "4"], ["--checkpoints has 1; allowed: at least two", "kept: 4, 8"]),
        (
            ["single"],
            ["single keeps 1 checkpoints; allowed: at least two that play each other (kept: 4), one with --un"],
        ),
    ):
        check(versus(*arguments), words)


def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_plays(versus, make_run):
    damaged = make_run("run", {4: [1], 8: [2]})
    make_run("other", {6: [0]})
    page = damaged / "checkpoints" / "8" / "meta" / "metadata"
    page.write_text(page.read_text()[:-5])
    code, out, err = versus("run", "other", "--attempts", "1", "--json", "--no-pictures")
    assert code == 0
    assert "run: the checkpoint of iteration 8 is damaged" in err
    assert "taking that of iteration 4" in err
    np.testing.assert_allclose(json.loads(out)["win_rate"], [[0, 1], [0, 0]], atol=1e-6)


def test_a_suite_with_other_teams_than_two_is_refused():
    program = program_of(env=Duel(teams_of=(0, 1)))

    @dataclasses.dataclass(frozen=True)
    class Config:
        env: object

    class Space:
        def suite(self, name):
            return [
                dataclasses.replace(part, env=Duel(teams_of=(0, 1, 2))) for part in Duel().level_space.suite("fair")
            ]

    class World:
        level_space = Space()

    class Fake:
        config = Config(World())
        student = program.student

    with pytest.raises(UserError, match="the suite 'fair' has a world with 3 teams; allowed: two"):
        parts_of(Fake(), "fair")
