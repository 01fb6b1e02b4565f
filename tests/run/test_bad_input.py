"""Whatever is wrong with the input: exit code 2, one line that names it, nothing written."""

import json
from pathlib import Path

import pytest
import yaml
from run_world import ENV

OPTIONS = [
    # options, words that the line must have
    (["--ppo.learning-rte", "1"], ["--ppo.learning-rte", "did you mean '--ppo.learning-rate'"]),
    (["--lerning-rate", "1"], ["--lerning-rate", "did you mean '--ppo.learning-rate'"]),
    (["--num_sede=3"], ["--num_sede", "did you mean"]),
    (["--sed", "3"], ["--sed", "'--seed'"]),
    (["--env.sise", "3"], ["--env.sise", "'--env.size'"]),
    (["--teacher.temprature", "3"], ["--teacher.temprature", "'--teacher.temperature'"]),
    (["--seed", "three"], ["--seed", "'three' is not a whole number", "allowed: INT"]),
    (["--seed", "1.5"], ["--seed", "'1.5' is not a whole number"]),
    (["--ppo.clip", "wide"], ["--ppo.clip", "'wide' is not a number", "allowed: FLOAT"]),
    (["--seed"], ["--seed needs a value"]),
    (["--seed", "3", "4"], ["unexpected argument '4'"]),
    (["other.yaml"], ["unexpected argument 'other.yaml' after", "one at a time, then options"]),
    (["--teacher", "domain_randomization", "--teacher.score", "max_mc"], ["'--teacher.score'", "has no options"]),
    (["--env.kind", "opn"], ["--env.kind is 'opn'", "did you mean 'open'", "allowed: open, closed"]),
    (["--teacher.score", "max_m"], ["--teacher.score is 'max_m'", "'max_mc'", "positive_value_loss"]),
    (["--ppo.clip", "-1"], ["ppo.clip is -1.0", "allowed: (0, ∞)"]),
    (["--ppo.discount", "1.5"], ["ppo.discount is 1.5", "allowed: [0, 1]"]),
    (["--ppo.discount", "nan"], ["ppo.discount is nan", "allowed: [0, 1]"]),
    (["--env.size", "1"], ["env.size is 1", "at least 2"]),
    (["--env.levels.farthest", "0"], ["env.levels.farthest is 0", "at least 1"]),
    (["--teacher.temperature", "0"], ["teacher.temperature is 0.0", "allowed: (0, ∞)"]),
    (["--num-envs", "0"], ["num_envs is 0", "at least 1"]),
    (["--seed", "-1"], ["seed is -1", "at least 0"]),
    (["--ppo.num-minibatches", "3"], ["ppo.num_minibatches is 3", "num_envs = 4", "divisor"]),
    (["--checkpoint-every", "3"], ["checkpoint_every is 3", "multiple of log_every = 2"]),
    (["--env", "mazee"], ["unknown environment 'mazee'", "did you mean 'maze'"]),
    (["--env="], ["unknown environment ''"]),
    (["--env"], ["--env needs a value"]),
    (["--env", "run_world:Nothing"], ["run_world:Nothing", "cannot be loaded"]),
    (["--env", "run_world:Picky"], ["run_world:Picky", "subclasses Environment"]),
    (["--teacher", "robust_prl"], ["unknown teacher 'robust_prl'", "did you mean 'robust_plr'"]),
    (
        ["--bonus.coefficient", "0.1"],
        ["'--bonus.coefficient'", "no bonus is chosen: --bonus NAME", "known: achievements, counts"],
    ),
    (["--bonus", "none", "--bonus.coefficient", "0.1"], ["'--bonus.coefficient'", "no bonus is chosen: --bonus NAME"]),
    (["--bonus", "count"], ["unknown bonus 'count'", "did you mean 'counts'"]),
    (["--bonus", "counts", "--bonus.coeficient", "1"], ["'--bonus.coeficient'", "'--bonus.coefficient'"]),
    (["--bonus", "counts", "--bonus.coefficient", "-1"], ["bonus.coefficient is -1.0", "allowed: [0, ∞)"]),
    (["--bonus", "counts", "--bonus.feature", "sky"], ["bonus.feature is 'sky'", "allowed: state, observation"]),
    (["--bonus", "run_world:Picky"], ["run_world:Picky", "subclasses BonusChoice"]),
    (["--bonus", "minied.students.bonuses.base:Bonus"], ["lacks init, pay"]),
    (["--suite", "end"], ["unknown suite 'end'", "did you mean 'ends'", "all"]),
    (["--wandb", "on"], ["--wandb is 'on'", "disabled, offline, online"]),
]


def check(result, words):
    code, out, err = result
    assert code == 2, (out, err)
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("minied: error: ")
    for word in words:
        assert word in err, (word, err)


def files(folder):
    return sorted(path.relative_to(folder) for path in Path(folder).rglob("*"))


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=[" ".join(options) for options, _ in OPTIONS])
def test_bad_options(minied, config_file, tmp_path, options, words):
    before = files(tmp_path)
    check(minied("train", config_file, *options), words)
    assert files(tmp_path) == before


YAMLS = [
    ({"sede": 1}, ["small.yaml", "unknown key 'sede'", "did you mean 'seed'"]),
    ({"ppo": {"learning_rte": 1}}, ["small.yaml", "'ppo.learning_rte'", "did you mean 'ppo.learning_rate'"]),
    ({"env": {"name": ENV, "levels": {"walls": 1}}}, ["small.yaml", "'env.levels.walls'"]),
    ({"seed": "three"}, ["small.yaml", "seed is 'three'", "a whole number"]),
    ({"seed": 1.5}, ["small.yaml", "seed is 1.5", "a whole number"]),
    ({"seed": True}, ["small.yaml", "seed is True", "a whole number"]),
    ({"seed": None}, ["small.yaml", "seed is None", "a whole number"]),
    ({"seed": [1]}, ["small.yaml", "seed is [1]", "a whole number"]),
    ({"seed": {"a": 1}}, ["small.yaml", "seed is {'a': 1}", "a whole number"]),
    (
        {"bonus": {"coefficient": 0.1}},
        ["small.yaml", "'bonus.coefficient'", "no bonus is chosen", "`name` in its section"],
    ),
    ({"bonus": {"name": "counts", "coeficient": 0.1}}, ["small.yaml", "'bonus.coeficient'", "'bonus.coefficient'"]),
    ({"bonus": 3}, ["small.yaml", "bonus is 3", "a mapping with a name and options"]),
    ({"ppo": {"clip": "0.1"}}, ["small.yaml", "ppo.clip is '0.1'", "a number"]),
    ({"ppo": {"clip_value": "yes"}}, ["small.yaml", "ppo.clip_value is 'yes'", "true or false"]),
    ({"ppo": 3}, ["small.yaml", "ppo is 3", "a mapping"]),
    ({"suite": 3}, ["small.yaml", "suite is 3", "a word"]),
    ({"env": [3]}, ["small.yaml", "env is [3]", "a mapping"]),
    ({"env": {"name": 3}}, ["small.yaml", "env.name is 3"]),
    ({"env": None}, ["names no env", "include: quick", "known:"]),
    ({"env": {"name": ENV, "kind": "opn"}}, ["env.kind", "'opn'", "open, closed"]),
    ({"env": {"name": ENV, "bonus": ["x"]}}, ["env.bonus", "'x'"]),
    ({"updates": 0}, ["updates is 0", "at least 1"]),
    ({"include": "quik"}, ["unknown preset 'quik'", "did you mean 'quick'"]),
    ({"include": 3}, ["small.yaml", "include is 3"]),
    ({"include": "other.yaml"}, ["other.yaml does not exist"]),
]


@pytest.mark.parametrize(("change", "words"), YAMLS, ids=[str(change) for change, _ in YAMLS])
def test_bad_yaml(minied, document, tmp_path, change, words):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(document | change))
    check(minied("train", path), words)
    assert files(tmp_path) == [Path("small.yaml")]


TEXTS = [
    ("seed: 1\nseed: 2\n", ["a.yaml", "duplicate key 'seed'", "line 2"]),
    ("ppo: {clip: 0.1, clip: 0.2}\n", ["a.yaml", "duplicate key 'clip'"]),
    ("seed: [1\n", ["a.yaml", "not valid YAML", "line"]),
    ("- 1\n", ["a.yaml is a list", "a mapping"]),
    ("", ["a.yaml is empty", "a mapping"]),
    ("3: 4\n", ["a.yaml", "the key 3"]),
    ("seed: \x00", ["a.yaml", "not valid YAML"]),
]


@pytest.mark.parametrize(("text", "words"), TEXTS)
def test_bad_yaml_text(minied, tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    check(minied("train", "a.yaml"), words)


def test_bad_files(minied, tmp_path):
    check(minied("train", "none.yaml"), ["none.yaml does not exist; allowed:", "minied list presets"])
    (tmp_path / "folder.yaml").mkdir()
    check(minied("train", "folder.yaml"), ["folder.yaml is not a file"])
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    check(minied("train", "bytes.yaml"), ["bytes.yaml cannot be read", "not UTF-8"])
    check(minied("train", "quik"), ["unknown preset 'quik'", "did you mean 'quick'"])
    check(minied("trian"), ["unknown command 'trian'", "did you mean 'train'"])
    check(minied("list", "teacher"), ["unknown kind of thing to list 'teacher'", "teachers"])
    check(minied("list", "suites", "--env", "mazee"), ["unknown environment 'mazee'"])


@pytest.fixture
def finished(minied, config_file, tmp_path):
    code, _, err = minied("train", config_file, "--run-dir", "run", "--no-pictures", "--quiet")
    assert (code, err) == (0, "")
    return tmp_path / "run"


def test_run_folders(minied, config_file, finished, tmp_path):
    before = files(tmp_path)
    check(minied("train", config_file, "--run-dir", "run"), ["run exists already", "minied resume run", "--run-dir"])
    check(minied("train", config_file, "--run-dir", "small.yaml"), ["small.yaml", "exists already"])
    check(minied("train", config_file, "--run-dir", "small.yaml/x"), ["small.yaml/x", "cannot be made"])
    for command in ("resume", "eval"):
        check(minied(command), [command, "folder of a run"])
        check(minied(command, "nowhere"), ["nowhere is not a run folder", "does not exist; allowed:", "minied train"])
        check(minied(command, "run/checkpoints"), ["not a run folder", "config.json"])
        check(minied(command, "small.yaml"), ["not a run folder", "a file"])
    check(minied("eval", "run", "--suite", "end"), ["unknown suite 'end'", "'ends'"])
    check(minied("eval", "run", "--attempts", "-1"), ["--attempts is -1"])
    check(minied("eval", "run", "--attempts", "x"), ["--attempts", "'x'"])
    check(minied("eval", "run", "--checkpoint", "3"), ["--checkpoint is 3", "allowed:", "20"])
    check(minied("eval", "run", "--sute", "ends"), ["--sute", "'--suite'"])
    assert files(tmp_path) == before


def test_changed_config(minied, finished):
    changed = ["--seed", "4", "--ppo.clip", "0.3", "--env.size", "6", "--teacher", "domain_randomization"]
    # Of another teacher the name says it all: that it has other options goes without saying.
    words = ["these differ: env.size, teacher.name, ppo.clip, seed;", "checkpoint_every, keep_checkpoints"]
    check(minied("resume", "run", *changed), words)
    check(minied("resume", "run", "--seeed", "4"), ["--seeed", "'--seed'"])
    assert minied("resume", "run", "--keep-checkpoints", "5", "--checkpoint-every", "2", "--seed", "0")[0] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, ["schema_version 2", "allowed: 1"]),
        ({"schema_version": None}, ["schema_version None", "allowed: 1"]),
        ({"config": 3}, ["config.json does not describe a run"]),
    ],
)
def test_descriptions(minied, finished, change, words):
    file = finished / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    check(minied("resume", "run"), words)
    check(minied("eval", "run"), words)


def test_broken_descriptions(minied, finished):
    file = finished / "config.json"
    data = json.loads(file.read_text())
    file.write_text("{")
    check(minied("resume", "run"), ["config.json cannot be read"])
    file.write_text("[]")
    check(minied("resume", "run"), ["config.json does not describe a run"])
    file.write_text(json.dumps(data | {"config": data["config"] | {"sede": 3}}))
    check(minied("resume", "run"), ["config.json", "unknown key 'sede'"])
    file.write_text(json.dumps(data | {"config": data["config"] | {"seed": 3}}))
    check(minied("resume", "run"), ["config.json was edited"])


LEVELS = [
    ("G..\n\n...\n", ["levels.txt", "line 3", "0 goals"]),
    ("", ["levels.txt holds no level"]),
]


@pytest.mark.parametrize(("text", "words"), LEVELS)
def test_draw_levels(minied, tmp_path, text, words):
    (tmp_path / "levels.txt").write_text(text)
    check(minied("draw", "levels.txt", "--env", ENV), words)
    assert files(tmp_path) == [Path("levels.txt")]


def test_draw_arguments(minied, tmp_path):
    check(minied("draw", "none.txt", "--env", ENV), ["none.txt cannot be read", "No such file"])
    check(minied("draw", "suite:end", "--env", ENV), ["unknown suite 'end'", "'ends'"])
    check(
        minied("draw", "suite:ends"),
        ["unknown suite 'ends'", "labyrinths", "(the world is 'maze'; another one: --env NAME)"],
    )
    check(minied("draw", "--env", ENV), ["one of", "--sample N"])
    check(minied("draw", "suite:ends", "--sample", "3", "--env", ENV), ["one of", "--sample N"])
    check(minied("draw", "--sample", "-3", "--env", ENV), ["--sample is -3", "allowed: 1 to 64"])
    check(minied("draw", "--sample", "3", "--seed", "-1", "--env", ENV), ["--seed is -1"])
    check(minied("draw", "suite:ends", "--env", ENV, "-o", "a.gif"), ["--output is 'a.gif'", ".png"])
    check(
        minied("draw", "suite:ends", "--env", ENV, "-o", "no/a.png"), ["--output is 'no/a.png'", "folder that exists"]
    )
    check(minied("draw", "suite:ends", "--env", ENV, "--env.size", "1"), ["env.size is 1"])
    check(minied("draw", "suite:ends", "--env", ENV, "--env.sise", "1"), ["--env.sise", "'--env.size'"])
    assert files(tmp_path) == []
