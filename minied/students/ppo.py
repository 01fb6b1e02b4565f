"""Proximal policy optimisation, once (Schulman et al. 2017), for recurrent and plain students alike.

A batch is ``T`` steps of ``B`` environments with ``N`` agents. Minibatches split the environments, never time, so a
recurrent student sees each stream whole, from the memory with which the rollout began. Letters: ``M`` rows
(environments × agents) of a minibatch, ``K`` value heads, ``A`` actions.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from flax import struct

from minied.hyperparameters import Hyperparameters, require_choice, require_range
from minied.spread import ALONE, Spread
from minied.students import distributions
from minied.students.base import Parameters, RecordingStudent, Student
from minied.students.batch import Batch, Mean, mean_over, with_nothing_else

_OWN_ROWS = 0x0E4  # names the key by which heads get their rows, apart from that which permutes the environments
Anneal = Literal["constant", "linear"]
EnsembleData = Literal["same", "own"]


class PPOConfig(Hyperparameters):
    """Options of the learner. The defaults are those of the maze literature (jaxued; minimax differs in the rate)."""

    learning_rate: float = 1e-4
    """Step size of Adam at the start."""
    anneal: Anneal = "constant"
    """Schedule of the learning rate over the run, in student updates, or in environment steps where they end it; `linear`
    ends at 0."""
    num_epochs: int = 5
    """Passes over the batch in one student update."""
    num_minibatches: int = 1
    """Parts of the environments in each pass, one optimiser step each."""
    discount: float = 0.995
    """γ."""
    gae_lambda: float = 0.98
    """λ of the generalised advantage estimate."""
    clip: float = 0.2
    """ε, how far the probability ratio (and the value) may move from the rollout's."""
    clip_value: bool = True
    """Whether the value loss is clipped too."""
    value_coefficient: float = 0.5
    """Weight of the value loss."""
    entropy_coefficient: float = 1e-3
    """Weight of the entropy bonus."""
    normalize_advantages: bool = True
    """Whether advantages are brought to mean 0 and standard deviation 1 in each minibatch. If not, their size counts against
    the entropy bonus."""
    ensemble_data: EnsembleData = "same"
    """What an ensemble of value heads learns from: `same`, every head from every row; `own`, each head from rows of its
    own (an environment's agent), a Kth of the batch, drawn anew in each epoch. Under `same` heads agree in the end
    whatever the rewards do; under `own` randomness keeps them apart for ever, by as much as the learning rate lets
    through."""
    cloning_coefficient: float = 0.1
    """Weight of the divergence from another student's policy, where students clone each other (`cloning`)."""
    max_grad_norm: float = 0.5
    """Global norm to which gradients are clipped."""
    adam_epsilon: float = 1e-5
    """ε of Adam."""
    bootstrap_truncated: bool = False
    """Whether the value of the last observation stands in for what a time-out cut off. minimax and jaxued do without: a
    time-out ends the return as the goal does. DCD's maze configs do with it."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        inf = float("inf")
        for name in ("discount", "gae_lambda"):
            require_range(self, name, 0, 1)
        for name in ("learning_rate", "clip", "max_grad_norm", "adam_epsilon"):
            require_range(self, name, 0, inf, open_low=True)
        for name in ("value_coefficient", "entropy_coefficient", "cloning_coefficient"):
            require_range(self, name, 0, inf)
        for name in ("num_epochs", "num_minibatches"):
            require_range(self, name, 1, inf)
        require_choice(self, "anneal", get_args(Anneal))
        require_choice(self, "ensemble_data", get_args(EnsembleData))


class StudentState(struct.PyTreeNode):
    """Parameters and optimiser state of one student."""

    parameters: Parameters
    optimizer: optax.OptState
    bonus: Any = ()  # what a bonus of `minied.students.bonuses` remembers, if there is one


def init_student(key: jax.Array, student: Student, config: PPOConfig) -> StudentState:
    """Return a new student. Consumes ``key``."""
    parameters = student.init(key)
    return StudentState(parameters, _optimizer(config).init(parameters))


def learning_rate(config: PPOConfig, progress: jax.Array) -> jax.Array:
    """Return the rate of the coming update, ``f32[]``; ``progress`` ``f32[]`` is 1 at the run's end, where `linear` is 0."""
    if config.anneal == "linear":
        return config.learning_rate * (1.0 - progress)
    return jnp.asarray(config.learning_rate, jnp.float32)


def update(
    key: jax.Array,
    student: Student,
    state: StudentState,
    batch: Batch,
    config: PPOConfig,
    rate: jax.Array,
    num_agents: int,
    spread: Spread = ALONE,
) -> tuple[StudentState, dict[str, jax.Array]]:
    """Return the student after one update (all epochs and minibatches), and the means of its losses.

    Args:
        key: consumed, by the permutations of the environments (unused with one minibatch).
        student: the network.
        state: before.
        batch: rows ``M = B·N``, environment-major: row ``b·N + n`` is agent n of environment b. Losses, metrics and the
            normalisation of advantages are means over what counts (`Batch.counts`), on all devices together.
        config: of the learner.
        rate: ``f32[]``, step size of this update.
        num_agents: N; the agents of an environment stay together in a minibatch.
        spread: over devices; ``batch`` holds the rows of this one.
    """

    def minibatch_step(state: StudentState, minibatch: Batch) -> tuple[StudentState, dict[str, jax.Array]]:
        mean = mean_over(minibatch.counts, spread)
        if config.normalize_advantages:
            minibatch = minibatch.replace(advantages=_normalized(minibatch.advantages, mean, spread))
        gradient, metrics = jax.grad(_loss, has_aux=True)(state.parameters, student, minibatch, config, mean)
        # Averaged here, not inside of the loss: with unchecked replication the derivative of a mean over devices is wrong.
        gradient, ratio_error = spread.mean(gradient), spread.highest(metrics["ratio_error"])
        metrics = spread.mean(metrics) | {"ratio_error": ratio_error}
        direction, optimizer = _optimizer(config).update(gradient, state.optimizer, state.parameters)
        step = jax.tree.map(lambda leaf: -rate * leaf, direction)
        metrics["gradient_norm"] = optax.tree.norm(gradient)
        return state.replace(parameters=optax.apply_updates(state.parameters, step), optimizer=optimizer), metrics

    def epoch(
        state: StudentState, number_and_key: tuple[jax.Array, jax.Array]
    ) -> tuple[StudentState, dict[str, jax.Array]]:
        number, epoch_key = number_and_key
        own = _own_rows(epoch_key, whole, config, spread)
        if config.num_minibatches == 1:  # a permutation would only change the order of a sum
            earlier = batch.earlier and batch.earlier.replace(hold=batch.earlier.hold & (number == 0))
            return minibatch_step(state, batch.replace(earlier=earlier, head_of_row=own))
        with_own = whole.replace(head_of_row=own)
        minibatches = _split(epoch_key, with_own, config.num_minibatches, num_agents, spread)
        return jax.lax.scan(minibatch_step, state, minibatches)

    batch = with_nothing_else(batch)
    whole = _whole(batch.replace(earlier=None), spread) if config.num_minibatches > 1 else batch
    epochs = (jnp.arange(config.num_epochs), jax.random.split(key, config.num_epochs))
    state, metrics = jax.lax.scan(epoch, state, epochs)
    first_ratio_error = metrics.pop("ratio_error").reshape(-1)[0]
    means = {name: value.mean() for name, value in metrics.items()}
    # On the first minibatch the parameters are those that acted: any ratio other than 1 means that actions, memories, resets
    # or observations of the update are not aligned with those of the rollout. Where the first pass is spared (`Earlier`), it
    # reads neither memories nor resets, and only heads and actions are seen to be aligned.
    return state, means | {"first_ratio_error": first_ratio_error, "learning_rate": rate}


def _loss(
    parameters: Parameters, student: Student, batch: Batch, config: PPOConfig, mean: Mean = jnp.mean
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return ``policy + c_v · value − c_e · entropy`` and its parts; the advantages are normalised already."""
    sequence = (parameters, batch.carry, batch.observations, batch.resets)
    if batch.earlier is None:
        _, logits, values = student.apply(*sequence)
    else:
        assert isinstance(student, RecordingStudent)
        _, logits, values = student.repeat(*sequence, batch.earlier)
    log_ratio = distributions.log_probability(logits, batch.actions) - batch.log_probs
    ratio = jnp.exp(log_ratio)
    clipped_ratio = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
    policy_loss = -mean(jnp.minimum(ratio * batch.advantages, clipped_ratio * batch.advantages))
    value_loss = _value_loss(values, batch, config, mean)
    entropy = mean(distributions.entropy(logits))
    loss = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
    cloning = {}
    if batch.cloned is not None:
        divergence = mean(distributions.divergence(batch.cloned, logits))
        loss = loss + config.cloning_coefficient * divergence
        cloning = {"cloning_divergence": divergence}
    metrics = cloning | {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approximate_kl": mean((ratio - 1.0) - log_ratio),
        "clip_fraction": mean(jnp.abs(ratio - 1.0) > config.clip),
        "ratio_error": batch.where_it_counts(jnp.abs(ratio - 1.0)).max(),
    }
    return loss, metrics


def _normalized(advantages: jax.Array, mean: Mean, spread: Spread) -> jax.Array:
    """Return advantages less their mean over their standard deviation, of the whole minibatch, agents together."""
    centred = advantages - spread.mean(mean(advantages))
    return centred / (jnp.sqrt(spread.mean(mean(jnp.square(centred)))) + 1e-5)


def _value_loss(values: jax.Array, batch: Batch, config: PPOConfig, mean: Mean) -> jax.Array:
    """Return ``½ max((v − y)², (clip(v, v_old ± ε) − y)²)``, mean over steps, rows and heads.

    Where each row has a head of its own, the mean over rows of that head's.
    """
    targets = batch.targets[..., None]
    error = jnp.square(values - targets)
    if config.clip_value:
        clipped = batch.values + jnp.clip(values - batch.values, -config.clip, config.clip)
        error = jnp.maximum(error, jnp.square(clipped - targets))
    if batch.head_of_row is not None:
        error = jnp.take_along_axis(error, batch.head_of_row[..., None], axis=-1)
    return 0.5 * mean(error)


def _own_rows(key: jax.Array, batch: Batch, config: PPOConfig, spread: Spread) -> jax.Array | None:
    """Return the value head that alone learns from each row, ``i32[T, M]``, or None where all do. Consumes ``key``.

    Equally many rows a head, or one more; drawn for the rows of all devices. With one minibatch ``batch`` holds those
    of this device and so is what comes back; with several it holds all.
    """
    num_heads = batch.values.shape[-1]
    if config.ensemble_data == "same" or num_heads == 1:
        return None
    num_steps, num_rows = batch.actions.shape
    is_part = config.num_minibatches == 1
    total = num_rows * spread.shares(spread.number) if is_part else num_rows
    heads = jax.random.permutation(jax.random.fold_in(key, _OWN_ROWS), jnp.arange(total, dtype=jnp.int32) % num_heads)
    heads = spread.part(heads) if is_part else heads
    return jnp.broadcast_to(heads[None, :], (num_steps, num_rows))


def _split(key: jax.Array, batch: Batch, num_minibatches: int, num_agents: int, spread: Spread) -> Batch:
    """Return ``batch`` with its environments permuted and split: leaves ``[num_minibatches, T, M / num_minibatches]``.

    ``batch`` is the whole one; of each minibatch, this device gets its part.
    """
    num_rows = batch.actions.shape[1]
    environments = jax.random.permutation(key, num_rows // num_agents)
    rows = (environments[:, None] * num_agents + jnp.arange(num_agents)[None, :]).reshape(num_minibatches, -1)
    rows = spread.part(rows, axis=1)
    timed, carry = batch.replace(carry=()), batch.carry
    timed = jax.tree.map(lambda leaf: jnp.moveaxis(leaf[:, rows], 1, 0), timed)
    return timed.replace(carry=jax.tree.map(lambda leaf: leaf[rows], carry))


def _whole(batch: Batch, spread: Spread) -> Batch:
    """Return the batch of all devices."""
    timed, carry = batch.replace(carry=()), batch.carry
    return spread.whole(timed, axis=1).replace(carry=spread.whole(carry))


def _optimizer(config: PPOConfig) -> optax.GradientTransformation:
    """Return the direction of descent; the rate is applied by the caller, so that no schedule hides in the optimiser."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(eps=config.adam_epsilon),
    )
