"""The tabular student of the benchmarks, and what tests do with it and with policies that design.

In a module of its own, so that tests of several folders share it. Letters: ``M`` rows, ``K`` value heads, ``L`` steps of a
design.
"""

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied import rollout as rollouts
from minied.env import with_agent_axis
from minied.experience import advantages_of, batch_of
from minied.students import distributions

_BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@functools.cache
def benchmark(name):
    """A file of the benchmarks as a module, under its own name, by which they import each other."""
    spec = importlib.util.spec_from_file_location(name, _BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TabularStudent = benchmark("tabular_student").TabularStudent


def batch_from(key, env, student, parameters, levels, config, num_steps=1):
    """What a learner reads of a rollout on levels, as the loop makes it: rows `M`."""
    env = with_agent_axis(env)
    start_key, play_key = jax.random.split(key)
    start = rollouts.start(start_key, student, env, levels)
    end, rollout = rollouts.collect(play_key, student, parameters, env, levels, start, num_steps)
    last_values = rollouts.last_values(student, parameters, end)
    return batch_of(rollout, advantages_of(config, rollout, last_values), start.carry)


def design_probabilities(teacher, space, state, prefix=(), member: Any = 0):
    """The exact probabilities of a parameter teacher's next choice after the choices `prefix`, `f64[n]`.

    Of one member, or with a slice of several, `f64[S, n]`.
    """
    designer = with_agent_axis(teacher.designer_of(space))
    policy, nothing = teacher._policy(designer), teacher.designer_of(space).empty()
    observation, design = designer.reset(jax.random.key(0), nothing)
    for choice in prefix:
        observation, design, *_ = designer.step(jax.random.key(1), design, jnp.full(1, choice, jnp.int32), nothing)
    sequence = jax.tree.map(lambda leaf: leaf[None], observation)

    def probabilities(parameters):  # there is no memory, of which the steps before would be lost
        _, logits, _ = policy.apply(parameters, policy.initial_carry(1), sequence, jnp.ones((1, 1), bool))
        return jnp.exp(distributions.log_probabilities(logits))[0, 0]

    every = jax.vmap(probabilities)(state.members.teacher.learner.parameters)
    return np.asarray(every, np.float64)[member]
