"""1, 2, 4 and 8 devices learn the same, to rounding: each in a process of its own, which has as many."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import TEACHERS

SCRIPT = """
import json, sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.train.program import Program
from tiny_runs import config_of, teacher_of
name, rows = sys.argv[1], {}
for devices in (1, 2, 4, 8):
    # With a small epsilon Adam would divide the rounding of a gradient that is next to nothing by itself.
    ppo = PPOConfig(learning_rate=0.01, num_epochs=1, adam_epsilon=1e-3)
    options = {"buffer_size": 24} if hasattr(teacher_of(name), "buffer_size") and name != "sfl" else {}
    config = config_of(teacher_of(name, **options), num_envs=8, num_devices=devices, ppo=ppo)
    program = Program(config)
    assert program.spread.number == devices, program.spread
    state = program.init()
    told = []
    for until in (3, 6):
        state, metrics = program.advance(state, until)
        told.append({key: [None if np.isnan(x) else float(x) for x in value] for key, value in metrics.items()})
    leaves = [float(np.sum(np.abs(np.asarray(leaf)))) for leaf in jax.tree.leaves(state.members.student.parameters)]
    rows[devices] = {"metrics": told, "parameters": leaves, "counters": program.counters(state)}
print(json.dumps(rows))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", TEACHERS)
def test_any_number_of_devices_learns_the_same(name):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT, name]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    rows = json.loads(told.splitlines()[-1])
    one = rows.pop("1")
    assert sorted(rows) == ["2", "4", "8"]
    for row in rows.values():
        assert row["counters"] == one["counters"]
        np.testing.assert_allclose(row["parameters"], one["parameters"], rtol=1e-4)
        for mine, theirs in zip(row["metrics"], one["metrics"], strict=True):
            assert mine.keys() == theirs.keys()
            for key, value in theirs.items():
                ours, other = (np.asarray(each, float) for each in (mine[key], value))
                np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-4, err_msg=key)
