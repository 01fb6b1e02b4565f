"""What does a policy keep in mind? A linear classifier on its memory, which is all that learns.

The policy plays a world that asks a question, ``info["label"]``; whether the answer can be read off its memory at the end of
an episode is measured on levels that the classifier has not seen, against the best guess without looking. After Baker et al.
2020 (arXiv 1909.07528), whose object counting is such a question. Letters: ``L`` levels, ``U`` numbers of a memory, ``C``
labels.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied import rollout as rollouts
from minied.env import Environment
from minied.errors import UserError
from minied.students.base import Parameters
from minied.students.networks.actor_critic import ActorCritic

MAX_ITERATIONS = 1000


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """How well answers are read."""

    accuracy: float
    """Share of the unseen levels on which the classifier is right."""
    chance: float
    """The same of the answer that is the most frequent among the levels that it learnt from."""


def memories(
    key: jax.Array, student: ActorCritic, parameters: Parameters, env: Environment, levels: Any
) -> tuple[jax.Array, jax.Array]:
    """Return the memory at the end of an episode on each level, ``f32[L, U]``, and the answers, ``i32[L]``.

    The memory is that of the policy, after the last observation before the episode's end. Consumes ``key``.

    Args:
        key: consumed.
        student: with a memory.
        parameters: of it.
        env: a world with one agent and an agent axis, whose episodes all have ``max_steps``.
        levels: ``[L, ...]``.

    Raises `UserError` for a network without a memory, and a world that asks nothing.
    """
    start_key, play_key = jax.random.split(key)
    start = rollouts.start(start_key, student, env, levels)
    end, played = rollouts.collect(
        play_key, student, parameters, env, levels, start, env.max_steps, keep=frozenset({"info"})
    )
    label = played.info.get("label")
    if label is None or label.ndim != 2 or not jnp.issubdtype(label.dtype, jnp.integer):
        raise UserError(
            "the world asks nothing: info['label'] is missing or no i32[]; allowed: one that asks, as object_counting does"
        )
    parts = jax.tree.leaves(student.policy_memory(end.carry))
    if not parts:
        raise UserError(
            f"network.memory is {student.config.memory!r}; allowed with a probe: a memory to read"
            " (train with --network.memory gru, say)"
        )
    number = label.shape[1]
    return jnp.concatenate([leaf.reshape(number, -1) for leaf in parts], axis=-1), label[-1]


def probe(
    features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, answers: np.ndarray, ridge: float
) -> ProbeResult:
    """Return how well a classifier of ``features`` reads the answers of ``unseen`` levels.

    Args:
        features: ``f32[L, U]``, to learn from.
        labels: ``i32[L]``, their answers.
        unseen: ``f32[M, U]``.
        answers: ``i32[M]``, of the unseen ones.
        ridge: see `fit`.
    """
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-8, deviation, 1.0)
    number = int(max(labels.max(), answers.max())) + 1
    weights = fit((features - mean) / scale, labels, number, ridge)
    chosen = np.argmax(_with_one((unseen - mean) / scale) @ weights, axis=1)
    guess = np.argmax(np.bincount(labels, minlength=number))
    return ProbeResult(float(np.mean(chosen == answers)), float(np.mean(guess == answers)))


def fit(features: np.ndarray, labels: np.ndarray, num_labels: int, ridge: float) -> np.ndarray:
    """Return the weights ``f64[U + 1, C]`` of multinomial logistic regression, the last row for a one beside the features.

    They minimise the mean of ``−log softmax(x W)_label`` and ``ridge / 2`` times the sum of the squares of all but the last
    row.

    Args:
        features: ``f64[L, U]``, of like sizes.
        labels: ``i32[L]``.
        num_labels: C.
        ridge: weight of the squares, above 0: else there may be no minimum.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    inputs = _with_one(features)
    shape = (inputs.shape[1], num_labels)
    is_penalised = np.arange(shape[0])[:, np.newaxis] < shape[0] - 1
    wanted = np.eye(num_labels)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        log_p = log_softmax(inputs @ weights, axis=1)
        value = -np.mean(np.sum(wanted * log_p, axis=1)) + 0.5 * ridge * np.sum(np.where(is_penalised, weights, 0) ** 2)
        gradient = inputs.T @ (np.exp(log_p) - wanted) / len(labels) + ridge * np.where(is_penalised, weights, 0)
        return float(value), gradient.ravel()

    options = {"maxiter": MAX_ITERATIONS}
    return minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)


def _with_one(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)
