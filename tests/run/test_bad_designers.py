"""Whatever is wrong with a teacher that designs, at the command line: exit code 2, one line that names it, nothing written.

And what is right: a world of a user's own, with a designer, goes through training, looking, stopping and going on.
"""

import shutil
import sys

import jax
import pytest
import yaml
from tiny_runs import equal

import minied.train.program as real_program
from minied.registry import SCORES, TEACHERS
from minied.run.checkpoint import Checkpoints
from minied.run.folder import open_run

CORRIDOR = "toy_designers:EditableCorridor"
BARE = "toy_worlds:Meeting"
PLACED = "toy_designers:ParameterCorridor"
STUCK = "toy_designers:StuckCorridor"
TINY = {"memory": "none", "memory_size": 4, "head_size": 4, "embedding_size": 2}


@pytest.fixture(autouse=True)
def _real_program(_workplace, monkeypatch):
    """In this file runs are computed."""
    monkeypatch.setitem(sys.modules, "minied.train.program", real_program)


def document(**changes):
    return {
        "env": {"name": CORRIDOR, "length": 5, "max_steps": 6},
        "teacher": {"name": "paired", "network": dict(TINY), "ppo": {"num_epochs": 1}},
        "network": dict(TINY),
        "ppo": {"num_epochs": 1},
        "num_students": 2,
        "num_envs": 4, "num_steps": 12, "updates": 4, "attempts": 1,
        "log_every": 1, "checkpoint_every": 1, "evaluate_every": 0,
    } | changes  # fmt: skip


@pytest.fixture
def train(minied, tmp_path):
    """Train the document with these options: exit code, standard output, standard error."""

    def run(*options, **changes):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(document(**changes)))
        return minied("train", "run.yaml", "--run-dir", "run", "--no-pictures", "--quiet", *options)

    return run


def check(result, words, tmp_path, is_written=False):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("minied: error: ")
    for word in words:
        assert word in err, (word, err)
    assert (tmp_path / "run").exists() == is_written


DISAGREEMENT = ["--num-students", "1", "--teacher.pay.score"]
OPTIONS = [
    (["--env", BARE], ["where there are no `parameters` either, needs `designer`, which MeetingLevels does",
                       "it has: only sample"]),
    (["--env", BARE, "--teacher", "repaired"], ["the teacher Repaired", "needs `designer`", "only sample"]),
    (["--env", "toy_worlds:Corridor"], ["needs `designer`", "it has: optimal_return, describe"]),
    (["--env", PLACED, "--teacher.builds", "steps"], ["the teacher Paired needs `designer`",
                                                      "it has: optimal_return, parameters, describe"]),
    (["--env", "toy_worlds:Corridor", "--teacher.builds", "parameters"], ["the teacher Paired needs `parameters`",
                                                                          "it has: optimal_return, describe"]),
    (["--num-train-levels", "3"], ["needs `designer`, which would leave the 3 levels of num_train_levels"]),
    (["--env", PLACED, "--teacher.start-from", "generator"],
     ["teacher.start_from is 'generator'; allowed where parameters are chosen: empty"]),
    (["--num-students", "1"], ["'relative_regret'", "num_students is 1, allowed: at least 2"]),
    ([*DISAGREEMENT, "value_disagreement"], ["'value_disagreement'", "network.num_value_heads is 1, allowed: at least 2"]),
    ([*DISAGREEMENT, "policy_disagreement"],
     ["'policy_disagreement'", "network.num_policy_heads is 1, allowed: at least 2"]),
    (["--teacher", "repaired", "--num-students", "3"], ["num_students is 3; allowed with repaired: 2"]),
    (["--teacher", "repaired", "--teacher.score", "relative_regret"],
     ["'relative_regret'", "population", "levels of its own"]),
    (["--num-students", "1", "--teacher", "minimax_adversary", "--cloning", "all"],
     ["cloning is 'all' and num_students is 1; allowed: at least 2"]),
    (["--teacher", "repaired", "--teacher.pay.score", "novelty"],
     ["'novelty'", "neighbour_distances", "what is designed is paid before any buffer sees it"]),
    (["--teacher.ppo.bootstrap-truncated"],
     ["teacher.ppo.bootstrap_truncated is True; allowed: False, as a design is never cut off"]),
    (["--cloning", "both"], ["cloning is 'both'", "none, protagonist, all"]),
    (["--ppo.ensemble-data", "own"], ["ppo.ensemble_data is 'own' and network.num_value_heads is 1; allowed: at least 2"]),
    (["--teacher.ppo.ensemble-data", "own"],
     ["teacher.ppo.ensemble_data is 'own' and teacher.network.num_value_heads is 1; allowed: at least 2"]),
    (["--teacher.ppo.num-minibatches", "3"],
     ["teacher.ppo.num_minibatches is 3, which does not divide num_envs = 4; allowed: a divisor of num_envs"]),
    (["--teacher.ppo.num-minibatches", "4", "--num-devices", "2"], ["num_devices is 2, which divides neither"]),
    (["--teacher.pay.score", "relative_regrets"], ["relative_regrets", "did you mean 'relative_regret'"]),
    (["--teacher.pay.scor", "entropy"], ["--teacher.pay.scor", "did you mean '--teacher.pay.score'"]),
    (["--teacher.pay.reduction", "median"], ["--teacher.pay.reduction is 'median'", "mean, first, max, sum"]),
    (["--teacher.pay.max-share", "2"], ["teacher.pay.max_share is 2.0", "allowed: [0, 1]"]),
    (["--teacher.pay.reduction", "max"], ["teacher.pay.reduction is max; allowed: mean", "'relative_regret' does not go"]),
    (["--teacher.uniform-share", "1.5"], ["teacher.uniform_share is 1.5", "allowed: [0, 1]"]),
    (["--teacher.num-bins", "1"], ["teacher.num_bins is 1", "allowed: [2, 65536]"]),
    (["--teacher.network.num-policy-heads", "2"], ["teacher.network.num_policy_heads is 2; allowed for a designer: 1"]),
    (["--teacher.network.memory", "lstn"], ["--teacher.network.memory is 'lstn'", "lstm"]),
    (["--teacher.ppo.learning-rate", "0"], ["teacher.ppo.learning_rate is 0.0", "allowed: (0, ∞)"]),
    (["--env", "maze", "--env.design.order", "edits", "--env.levels.holdout", "0",
      "--env.levels.no-solvable-only"],
     ["teacher.start_from is 'empty'; allowed where MazeDesigner only edits levels", "'edits'): generator"]),
    (["--env", PLACED, "--env.wrong"],
     ["allowed of CorridorParameters gives [2] for the parameter 'cell'; allowed: one bool for each of its 5 choices"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=[" ".join(options) for options, _ in OPTIONS])
def test_bad_options(train, tmp_path, options, words):
    check(train(*options), words, tmp_path)


def test_a_mask_that_leaves_nothing_keeps_what_was_saved(train, minied, tmp_path):
    """It is seen when it happens: here where three moves in a row led away from the goal, which takes some designs."""
    stuck = {"name": STUCK, "length": 5, "max_steps": 6, "stuck_at": 3, "stuck_start": 4}
    result = train("--seed", "3", env=stuck, updates=100)
    words = [
        "the designer's mask leaves no action at step 4 of a design; allowed: at least one in every step",
        "; what was saved before is kept",
    ]
    check(result, words, tmp_path, is_written=True)
    broken_at = int(result[2].partition("in iteration ")[2].partition(";")[0])
    assert 2 <= broken_at < 100
    folder = open_run(tmp_path / "run")
    assert int(restored(folder).schedule.iterations) == broken_at - 1
    assert int(restored(folder).members.teacher.fault[0]) == 0
    assert [row["iterations"] for row in folder.read_rows("metrics")] == [*range(1, broken_at)]
    # To resume says the same, and harms nothing.
    before = restored(folder)
    code, out, err = minied("resume", "run", "--no-pictures", "--quiet")
    assert (code, out) == (2, "")
    assert err.endswith(result[2])
    assert equal(restored(folder), before)


def test_teachers_and_scores_are_listed(minied):
    code, out, _ = minied("list", "teachers")
    assert code == 0
    for name in ("minimax_adversary", "paired", "repaired"):
        assert name in TEACHERS
        (line,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
        assert len(line) > len(name) + 20  # with a sentence about it
    code, out, _ = minied("list", "scores")
    assert code == 0
    for name in ("relative_regret", "mean_relative_regret", "flexible_regret", "population_regret"):
        assert name in SCORES
        assert any(line.split()[:1] == [name] for line in out.splitlines())


def test_what_is_listed_tells_what_it_needs_and_what_it_has(minied):
    _, scores, _ = minied("list", "scores")
    ends = {line.split()[0]: line.rpartition(". ")[2] for line in scores.splitlines() if line.split()}
    assert ends["relative_regret"] == "Needs at least two students."
    assert ends["value_disagreement"] == "Needs at least two value heads."
    assert ends["policy_disagreement"] == "Needs at least two policy heads."
    assert ends["exact_regret"] == "Needs a world with optimal_return."
    assert not any("Needs" in line for line in scores.splitlines() if line.split()[0] in {"learnability", "max_mc"})
    _, worlds, _ = minied("list", "envs")
    has = {line.split()[0]: line.rpartition("Levels have ")[2].rstrip(".").split(", ") for line in worlds.splitlines()}
    assert {"designer", "parameters", "mutate", "draw"} < {*has["maze"]}
    assert "parameters" in has["corridor"]
    assert "designer" not in has["corridor"]


WORLD = '''
"""A garden: plant a row of four beds; the student walks along it and is paid for every flower."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.env import Environment
from minied.levels.designer import Designer
from minied.levels.space import LevelSpace, Suite
from minied.spaces import Box, Dict, Discrete, Mask


class Bed(struct.PyTreeNode):
    flowers: jax.Array  # bool[4]


class Planting(struct.PyTreeNode):
    flowers: jax.Array
    time: jax.Array


@dataclasses.dataclass(frozen=True)
class Planter(Designer):
    max_steps = 4
    action_space = Discrete(2)  # nothing, a flower; at most two flowers
    observation_space = Dict((("row", Box(0.0, 1.0, (4,))), ("time", Discrete(5)), ("mask", Mask(2))))

    def empty(self):
        return Bed(jnp.zeros(4, bool))

    def reset(self, key, level):
        return self.seen(Planting(level.flowers, jnp.int32(0)))

    def build(self, key, state, action):
        flowers = state.flowers.at[state.time].set(action == 1)
        return self.seen(Planting(flowers, state.time + 1))

    def level_of(self, state):
        return Bed(state.flowers)

    def seen(self, state):
        mask = jnp.stack([jnp.asarray(True), state.flowers.sum() < 2])
        return {"row": state.flowers.astype(jnp.float32), "time": state.time, "mask": mask}, state


@dataclasses.dataclass(frozen=True)
class Beds(LevelSpace):
    def sample(self, key):
        return Bed(jax.random.bernoulli(key, 0.5, (4,)))

    @property
    def designer(self):
        return Planter()

    def describe(self, level):
        return {"flowers": level.flowers.sum().astype(jnp.float32)}

    def draw(self, level, state=None):
        picture = np.full((8, 32, 3), 200, np.uint8)
        picture[:, :, 1] = np.repeat(np.asarray(level.flowers) * 255, 8)[None]
        return picture

    @property
    def suites(self):
        return {"full": "A row of flowers."}

    def suite(self, name):
        return (Suite("full", Garden(), Bed(jnp.ones((1, 4), bool)), ("full",)),)


@dataclasses.dataclass(frozen=True)
class Garden(Environment):
    """Pick or pass."""

    max_steps = 4
    action_space = Discrete(2)
    observation_space = Dict((("flower", Discrete(2)),))
    level_space = Beds()

    def reset(self, key, level):
        return {"flower": level.flowers[0].astype(jnp.int32)}, jnp.int32(0)

    def step(self, key, state, action, level):
        flower = level.flowers[state]
        reward = jnp.where(action == 1, jnp.where(flower, 1.0, -1.0), 0.0)
        after = state + 1
        seen = {"flower": level.flowers[jnp.minimum(after, 3)].astype(jnp.int32)}
        return seen, after, reward, after >= 4, jnp.asarray(False), {}
'''


def test_a_world_of_a_user_s_own_is_designed_trained_looked_at_and_gone_on_with(train, minied, tmp_path, monkeypatch):
    (tmp_path / "garden.py").write_text(WORLD)
    monkeypatch.syspath_prepend(str(tmp_path))
    garden = {"name": "garden:Garden"}
    code, _, err = train("--cloning", "protagonist", "--pictures", env=garden)
    assert (code, err) == (0, "")
    assert [*(tmp_path / "run" / "pictures").iterdir()]  # among them what the designer builds
    folder = open_run(tmp_path / "run")
    rows = list(folder.read_rows("metrics"))
    assert [row["iterations"] for row in rows] == [1, 2, 3, 4]
    flowers = [row["metrics"]["designed/levels/flowers"] for row in rows]
    assert 0 < max(flowers) <= 2  # as the mask has it
    assert rows[-1]["env_steps"] == 4 * 2 * 4 * 12
    # stopped half-way and resumed: the same
    whole = restored(folder)
    code, _, err = minied("train", "run.yaml", "--run-dir", "half", "--no-pictures", "--quiet", "--cloning", "protagonist",
                          "--updates", "4", "--checkpoint-every", "2")  # fmt: skip
    assert (code, err) == (0, "")
    newest = max((tmp_path / "half" / "checkpoints").iterdir(), key=lambda path: path.name)
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    assert int(restored(open_run(tmp_path / "half")).schedule.iterations) == 2
    assert minied("resume", "half", "--no-pictures", "--quiet")[0] == 0
    assert equal(restored(open_run(tmp_path / "half")), whole)
    assert minied("draw", "suite:full", "--env", "garden:Garden")[0] == 0
    code, out, _ = minied("eval", "run", "--suite", "full", "--attempts", "1")
    assert code == 0
    assert "full" in out


def restored(folder):
    program = real_program.Program(folder.config())
    with Checkpoints(folder.checkpoints, program.config.fingerprint) as checkpoints:
        return checkpoints.restore(jax.eval_shape(program.init)).state
