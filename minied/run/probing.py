"""What do the students of a run keep in mind of another world? Their parameters, read there, and a linear classifier.

Letters: ``S`` members, ``L`` levels.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.evaluate import statistics
from minied.evaluate.linear_probe import ProbeResult, memories, probe
from minied.run.checkpoint import Checkpoints
from minied.run.files import free_stem, write_all
from minied.run.folder import RunFolder
from minied.run.reports import versions, with_interval
from minied.run.transfer import STUDENT
from minied.students.base import Parameters
from minied.students.networks.actor_critic import ActorCritic
from minied.students.transfer import layers, match, take_over
from minied.train.config import TrainConfig

_KEY = 0x9A0BE  # names the key of all that is random here: every run is asked about the same levels


def probe_run(
    folder: RunFolder,
    env: Environment,
    checkpoint: int | None,
    num_levels: int,
    ridge: float,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, Any], list[str]]:
    """Return how well answers to the question of ``env`` are read off the memories of a run's students, as JSON data.

    Beside them stand fresh networks, and chance. The first two thirds of the levels are learnt from, the others asked about.

    Args:
        folder: of the run.
        env: a world with one agent that tells ``info["label"]``.
        checkpoint: its iteration, None: the newest whole one.
        num_levels: how many are played.
        ridge: of the classifier.
        tell: is told what takes a while, once nothing can be wrong any more.

    Also returns lines to tell about. Raises `UserError` if parameters do not fit the world's observations, and as
    `minied.evaluate.linear_probe.memories` does.
    """
    config = folder.config()
    if env.num_agents != 1:
        raise UserError(f"--env has {env.num_agents} agents; allowed: a world with one")
    student = ActorCritic.of(env, config.network)
    with Checkpoints(folder.checkpoints, folder.description()["fingerprint"], read_only=True) as checkpoints:
        restored = checkpoints.restore_part(STUDENT, checkpoint)
    transfer = match(jax.eval_shape(student.init, jax.random.key(0)), restored.state, "none", source=str(folder.path))
    fresh = _fresh(student, config)
    lines = [f"{line}; taking that of iteration {restored.step}" for line in restored.skipped]
    if transfer.new:
        lines.append(f"not in the run, and drawn at random: {layers(transfer.new)}")
    asked = dataclasses.replace(config, env=env).to_dict()["env"]
    env = with_agent_axis(env)
    jax.eval_shape(functools.partial(_remembered, student, env, num_levels), fresh)
    tell(f"playing {num_levels} levels and reading memories")
    measured = {
        "trained": _probe_members(student, take_over(fresh, restored.state, transfer), env, num_levels, ridge),
        "untrained": _probe_members(student, fresh, env, num_levels, ridge),
    }
    report = {"run": str(folder.path), "checkpoint": restored.step, "env": asked}
    report |= {"levels": num_levels, "ridge": ridge, "versions": versions()}
    for name, results in measured.items():
        accuracy = np.array([[each.accuracy] for each in results])
        report[name] = {"members": accuracy[:, 0].tolist()} | with_interval(statistics.mean, accuracy)
    return report | {"chance": measured["trained"][0].chance}, lines


def write_probe(folder: RunFolder, report: dict[str, Any]) -> tuple[list[Path], list[str]]:
    """Write a report into ``evaluation/`` of the run; return the file, or a line that says why it could not be.

    That of the same question is written over, one with other levels, say, is not.
    """
    world = report["env"]["name"].rpartition(":")[2].rpartition(".")[2]  # of an import path, the class
    place = folder.path / "evaluation"
    stem = free_stem(place, f"probe-{world}-{report['checkpoint']}", report, ("env", "levels", "ridge"))
    text = json.dumps(report, allow_nan=False, indent=2) + "\n"
    return write_all({place / f"{stem}.json": lambda path: path.write_text(text, encoding="utf-8")})


def _fresh(student: ActorCritic, config: TrainConfig) -> Parameters:
    """Return parameters ``[S, ...]`` that have learnt nothing."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), _KEY), config.num_seeds)
    return jax.lax.map(student.init, keys)


def _probe_members(
    student: ActorCritic, parameters: Parameters, env: Environment, num_levels: int, ridge: float
) -> list[ProbeResult]:
    features, labels = (np.asarray(each) for each in _remembered(student, env, num_levels, parameters))
    split = 2 * num_levels // 3
    return [
        probe(of_member[:split], answers[:split], of_member[split:], answers[split:], ridge)
        for of_member, answers in zip(features, labels, strict=True)
    ]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _remembered(
    student: ActorCritic, env: Environment, num_levels: int, parameters: Parameters
) -> tuple[jax.Array, jax.Array]:
    """Return the memories ``f32[S, L, U]`` and the answers ``i32[S, L]``, on the same levels for all members."""
    level_key, play_key = jax.random.split(jax.random.key(_KEY))
    levels = jax.vmap(env.level_space.sample)(jax.random.split(level_key, num_levels))
    return jax.lax.map(lambda each: memories(play_key, student, each, env, levels), parameters)
