"""What is said of a run that is valid, but will not do what its user expects."""

import dataclasses

import pytest

from minied.config import load_config
from minied.config.presets import available
from minied.run.doubts import doubts

PROBED = ["hide_and_seek/fort_memory", "--env", "object_counting", "--env.max-hiders", "1", "--env.max-seekers", "1"]


@pytest.mark.parametrize("name", [name for name in available() if name.startswith("hide_and_seek/")])
def test_presets_leave_no_doubt(name):
    assert doubts(load_config(name)) == []


def test_episodes_that_never_finish():
    config = load_config("hide_and_seek/fort", ["--num-steps", "39"])
    (line,) = doubts(config)
    assert line.startswith("num_steps is 39, less than the world's max_steps = 40: ")
    assert doubts(dataclasses.replace(config, num_steps=40)) == []


def test_a_world_in_which_nothing_is_rewarded():
    (line,) = doubts(load_config(PROBED[0], PROBED[1:]))
    assert line == (
        "ObjectCounting rewards nothing, so that nothing is learnt: it is for `minied probe`, with a run of another world"
    )
