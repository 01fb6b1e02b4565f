"""Teachers of arenas under self-play: the ordinary ones, through the ordinary contracts, as the presets have them; small.

Letters: ``B`` arenas in a batch, ``T`` steps of a rollout.
"""

import jax
import numpy as np
import pytest

from minied.config import load_config, presets
from minied.scores.base import score_levels
from minied.scores.learnability import learnability
from minied.teachers.designing import Designing
from minied.teachers.scoring import ScoringTeacher
from minied.train.playing import play
from minied.train.program import Program

B, T = 4, 16  # two episodes of 8 steps
SMALL = [
    "--env.height", "6", "--env.width", "6", "--env.max-steps", "8", "--num-envs", str(B), "--num-steps", str(T),
    "--ppo.num-minibatches", "1", "--ppo.num-epochs", "1", "--network.entity-size", "4", "--network.memory-size", "4",
    "--network.head-size", "4", "--log-every", "1", "--evaluate-every", "0", "--checkpoint-every", "0",
    "--num-devices", "1",
]  # fmt: skip
BUFFER = ["--teacher.buffer-size", "8"]
OPTIONS = {
    "domain_randomization": [],
    "paired": ["--teacher.network.memory-size", "4", "--teacher.network.head-size", "4", "--teacher.ppo.num-epochs", "1"],
    "robust_plr": [*BUFFER, "--teacher.replay-probability", "1.0"],
    "sfl": [*BUFFER, "--teacher.num-candidates", "8", "--teacher.candidate-rollouts", "1", "--teacher.refresh-every", "2"],
}  # fmt: skip
PRESETS = [name for name in presets.available() if name.startswith("hide_and_seek/arenas")]
SCORES = {
    "learnability": "learnability",
    "value_disagreement": "value_disagreement",
    "value_prediction_error": "l1_value_loss",
    "policy_disagreement": "policy_disagreement",
}


def small(preset):
    teacher = load_config(preset, []).to_dict()["teacher"]["name"]
    return load_config(preset, [*SMALL, *OPTIONS[teacher]])


def test_there_is_a_preset_for_every_pair_of_a_teacher_and_a_score():
    names = {f"hide_and_seek/arenas{by}_{score}" for score in SCORES for by in ("", "_plr")}
    assert set(PRESETS) == names | {"hide_and_seek/arenas"}


QUICK = ("arenas_plr_policy_disagreement",)  # has all that the plain ones have, and replays
EACH = [
    pytest.param(name, marks=() if name.partition("/")[2] in QUICK else pytest.mark.slow, id=name.partition("/")[2])
    for name in PRESETS
]


@pytest.mark.parametrize("preset", EACH)
def test_a_teacher_chooses_arenas_by_its_score(preset):
    config = small(preset)
    score = next((each for name, each in SCORES.items() if preset.endswith(name)), None)
    teacher = config.teacher
    if isinstance(teacher, ScoringTeacher):
        assert teacher.score == score
    elif isinstance(teacher, Designing):
        assert teacher.pay.score == score
    program = Program(config)
    before = program.init()
    parameters = jax.tree.map(np.asarray, before.members.student.parameters)
    state, metrics = program.advance(before, until=4)
    assert program.counters(state)["iterations"] == 4
    changed = jax.tree.map(
        lambda old, new: np.any(old != np.asarray(new)), parameters, state.members.student.parameters
    )
    assert any(jax.tree.leaves(changed))
    # Every arena that was played is a valid one, of two agents, and its episodes are told.
    levels = program.proposals(state, B)
    assert np.all(jax.vmap(config.env.level_space.is_valid)(levels))
    sources = [
        name.split("/")[0] for name, value in metrics.items() if name.endswith("/episode/hidden") and np.isfinite(value)
    ]
    assert sources == {"robust_plr": ["new", "replay"], "paired": ["designed"], "sfl": ["new", "replay"]}.get(
        config.to_dict()["teacher"]["name"], ["new"]
    )
    for source in sources:
        assert 0 <= metrics[f"{source}/episode/hidden"][0] <= 1
        assert metrics[f"{source}/return"][0] == pytest.approx(0, abs=1e-6)  # a game of two sides has no mean return


def test_the_uncertainty_of_the_winner_is_p_of_one_minus_p():
    config = small("hide_and_seek/arenas_plr_learnability")
    program = Program(config)
    setting, state = program._setting, program.init()
    levels = program.proposals(state, B)
    member = jax.tree.map(lambda leaf: leaf[0], state.members)
    played = play(setting, member.student.parameters, jax.random.key(5), levels, np.full(B, -np.inf, np.float32))
    # The hider's return of an episode is positive iff it was hidden in more of the counted steps than it was seen in.
    hider = np.asarray(played.rollout.returns)[[7, 15], :, 0]  # [episodes, B]
    rate = (hider > 0).mean(axis=0)
    scores, valid, _ = score_levels(learnability, played.outcome.signals)
    assert np.all(valid)
    np.testing.assert_allclose(scores, rate * (1 - rate), atol=1e-6)
