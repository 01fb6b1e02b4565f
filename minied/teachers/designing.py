"""How a policy builds levels and is paid for them: what every teacher has that is itself a learner.

It plays an environment of its own, the world's `designer` or the choice of its `parameters`; its one reward comes with
the last step, after students have played what it built; and it learns by the PPO of the students. Letters: ``B``
levels, ``L`` steps of a design.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import struct

from minied import rollout as rollouts
from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.experience import advantages_of, batch_of
from minied.hyperparameters import Hyperparameters, require_choice, require_range
from minied.levels.designer import Designer
from minied.levels.parameters import ParameterDesigner
from minied.levels.space import LevelSpace
from minied.rollout import Rollout
from minied.scores.base import Signals
from minied.spaces import Dict, Mask
from minied.students import ppo
from minied.students.base import Earlier, Student
from minied.students.networks.actor_critic import ActorCritic
from minied.students.networks.config import NetworkConfig
from minied.students.networks.mixed import MixedWithUniform
from minied.students.ppo import PPOConfig, StudentState
from minied.teachers.base import DESIGNED, Plan, Proposal, propose_levels, sample_levels
from minied.teachers.designer_validation import Start, validate_designer
from minied.teachers.pay import Pay, RunningPay

Builds = Literal["auto", "steps", "parameters"]

PUBLISHED_NETWORK = NetworkConfig(conv_filters=128, embedding_size=10)
"""The designer of the maze literature: every feature of 128 filters goes into the memory."""


UNENDED = 2**29
"""Fault of a designer whose last step is not terminal, or an earlier one is."""
DIVERGED = 2**30
"""Fault of a policy whose parameters are no finite numbers. Its actions would be uniform, and nothing else would tell."""


class Design(struct.PyTreeNode):
    """How a batch of levels was built. With a run spread over devices, each holds the designs of its part of the levels."""

    rollout: Rollout  # [L, B, ...], with one agent
    carry: Any  # the policy's memory before the first step, [B, ...]
    key: jax.Array  # key[], of the update


class DesignerState(struct.PyTreeNode):
    """The policy that designs, and what it knows of its pay."""

    learner: StudentState
    pay: RunningPay
    metrics: dict[str, jax.Array]  # of the last update, f32[] each
    designs: jax.Array  # f32[], levels built so far, exact to 16.7 million
    fault: jax.Array  # i32[], 1 + the first step of a design whose mask left nothing, or `UNENDED`; 0: all is well


class Designing(Hyperparameters):
    """Options and functions of a policy that builds levels. A teacher inherits them beside those of its kind."""

    builds: Builds = "auto"
    """What the policy does: `steps` plays the world's designer, `parameters` chooses the numbers of a level; `auto`: the
    designer if the world has one."""
    num_bins: int = 16
    """With `parameters`: bins into which a number of an interval is cut; within a bin it is uniform."""
    start_from: Start = "empty"
    """With `steps`: what building starts from, `empty` or a random level of the `generator`, which is then edited. A
    designer that only edits needs the latter."""
    uniform_share: float = 0.0
    """ε: each action is uniform (over what is allowed) with this probability; the policy learns as the mixture that it
    is. AutoDIME's parameter teachers have 0.1 to 0.2 of it."""
    pay: Pay = Pay()
    """What a level earns its designer."""
    network: NetworkConfig = PUBLISHED_NETWORK
    """The policy's network."""
    ppo: PPOConfig = PPOConfig()
    """The policy's learner."""

    def check(self) -> None:
        """Raise `UserError` for a value out of range."""
        super().check()
        require_choice(self, "builds", get_args(Builds))
        require_choice(self, "start_from", get_args(Start))
        require_range(self, "num_bins", 2, 2**16)
        require_range(self, "uniform_share", 0, 1)
        if self.network.num_policy_heads > 1:
            raise UserError(f"network.num_policy_heads is {self.network.num_policy_heads}; allowed for a designer: 1")
        if self.network.parameters != "shared":
            raise UserError(
                f"network.parameters is {self.network.parameters!r}; allowed for a designer, one agent: shared"
            )

    def validate_design(self, space: LevelSpace, num_levels: int, missing: Mapping[str, str]) -> None:
        """Raise `UserError` if the world has nothing to build with, or the pay cannot be computed."""
        designer = self.designer_of(space)
        self._policy(with_agent_axis(designer))  # which raises for a mask that does not fit
        if num_levels % self.ppo.num_minibatches:
            raise UserError(
                f"teacher.ppo.num_minibatches is {self.ppo.num_minibatches}, which does not divide num_envs = {num_levels};"
                " allowed: a divisor of num_envs"
            )
        if self.ppo.ensemble_data == "own" and self.network.num_value_heads < 2:
            raise UserError(
                "teacher.ppo.ensemble_data is 'own' and teacher.network.num_value_heads is"
                f" {self.network.num_value_heads}; allowed: at least 2"
            )
        if self.ppo.bootstrap_truncated:
            raise UserError("teacher.ppo.bootstrap_truncated is True; allowed: False, as a design is never cut off")
        self.pay.validate(missing)
        validate_designer(designer, space, self.start_from)

    @property
    def num_minibatches(self) -> int:
        """Parts of the levels in each pass of the policy's learner."""
        return self.ppo.num_minibatches

    def designer_of(self, space: LevelSpace) -> Designer:
        """Return the environment in which the policy builds. Raises `UserError` if the world has none."""
        name = f"the teacher {type(self).__name__}"
        if self.builds == "auto" and not space.has("designer") and not space.has("parameters"):
            space.require("designer", f"{name}, where there are no `parameters` either,")
        if self.builds == "steps" and not space.has("designer") and space.has("parameters"):
            name = f"teacher.builds is 'steps' (allowed here: parameters, auto): {name}"
        if self.builds == "steps" or (self.builds == "auto" and space.has("designer")):
            space.require("designer", name)
            if not isinstance(space.designer, Designer):
                raise UserError(
                    f"`designer` of {type(space).__name__} is {space.designer!r}; allowed: an instance of"
                    " minied.levels.designer.Designer, by a property"
                )
            return space.designer
        space.require("parameters", name)
        return ParameterDesigner(space.parameters, self.num_bins)

    def init_designer(self, key: jax.Array, space: LevelSpace) -> DesignerState:
        """Return a policy that has built nothing. Consumes ``key``."""
        policy = self._policy(with_agent_axis(self.designer_of(space)))
        return DesignerState(
            learner=ppo.init_student(key, policy, self.ppo),
            pay=RunningPay.start(),
            metrics={name: jnp.full((), jnp.nan) for name in (*_METRICS, *_chosen(self.designer_of(space)))},
            designs=jnp.zeros(()),
            fault=jnp.zeros((), jnp.int32),
        )

    def design(self, key: jax.Array, state: DesignerState, plan: Plan, space: LevelSpace, num_levels: int) -> Proposal:
        """Return levels ``[B, ...]`` that the policy builds, with how it did in `Proposal.design`. Consumes ``key``.

        Every design begins with an empty memory, and the last of its L steps ends it.
        """
        level_key, start_key, rollout_key, update_key = jax.random.split(key, 4)
        designer = self.designer_of(space)
        env, spread = with_agent_axis(designer), plan.spread
        policy = self._policy(env)
        if self.start_from == "generator":
            given = sample_levels(level_key, space, num_levels)
        else:
            given = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_levels, *leaf.shape)), designer.empty())
        start, given = spread.part((rollouts.start(start_key, policy, env, given), given))
        _, rollout = rollouts.collect(
            rollout_key,
            policy,
            state.learner.parameters,
            env,
            given,
            start,
            env.max_steps,
            keep=frozenset({"info"}),
            keep_activations_of=start.resets.shape[0] if self.ppo.num_minibatches == 1 else 0,
            part=lambda tree: spread.part(tree, axis=1),
            num_levels=num_levels,
        )
        built = jax.tree.map(lambda leaf: leaf[-1], rollout.info["level"])
        design = Design(rollout.replace(info=rollouts.UNKEPT), start.carry, update_key)
        return propose_levels(spread.whole(built), DESIGNED).replace(design=design)

    def learn_from_pay(
        self, state: DesignerState, plan: Plan, design: Design, signals: Signals, space: LevelSpace
    ) -> DesignerState:
        """Return the policy after it was paid for its levels and learnt.

        Args:
            state: before.
            plan: of the iteration.
            design: of the levels.
            signals: ``[B, ...]``, what students did on them.
            space: of the levels.

        A level without a score (no episode finished) is paid the mean of the others.
        """
        pay, paid = self.pay.of(state.pay, signals)
        designer = self.designer_of(space)
        policy = self._policy(with_agent_axis(designer))
        rollout = design.rollout
        activations, rollout = rollout.activations, rollout.replace(activations=())
        rewards = jnp.zeros_like(rollout.rewards).at[-1].set(plan.spread.part(pay)[:, None])
        rollout = rollout.replace(rewards=rewards)
        # The last step is terminal: what follows it is worth nothing, whatever these said.
        after_the_end = jnp.zeros_like(rollout.values[0])
        batch = batch_of(rollout, advantages_of(self.ppo, rollout, after_the_end), design.carry)
        if jax.tree.leaves(activations):
            batch = batch.replace(earlier=Earlier(activations, hold=jnp.bool_(True)))
        rate = ppo.learning_rate(self.ppo, plan.progress)
        learner, metrics = ppo.update(design.key, policy, state.learner, batch, self.ppo, rate, 1, plan.spread)
        return state.replace(
            learner=learner,
            pay=paid,
            metrics={name: metrics[name] for name in _METRICS} | plan.spread.mean(_chosen(designer, rollout.actions)),
            designs=state.designs + pay.shape[0],
            fault=jnp.maximum(
                state.fault, jnp.maximum(_first_choiceless(rollout, policy, plan), _unended(rollout, plan))
            ),
        )

    def designer_metrics(self, state: DesignerState) -> dict[str, jax.Array]:
        """Return what the policy's last update was like, its pay, and the mean of each parameter where it chooses them."""
        of_policy = {f"designer/{name}": value for name, value in state.metrics.items()}
        return of_policy | state.pay.metrics() | {"designs": state.designs}

    def designer_fault(self, state: DesignerState) -> jax.Array:
        """Return the first step, from 1, at which a mask left no action, `UNENDED`, `DIVERGED`, or 0, ``i32[]``."""
        leaves = jax.tree.leaves(state.learner.parameters)
        is_finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))
        return jnp.where(is_finite, state.fault, DIVERGED)

    def explain_designer(self, fault: int, space: LevelSpace) -> str:
        """Return the sentence for a `designer_fault`."""
        if fault == DIVERGED:
            rate = self.ppo.learning_rate
            return f"teacher.ppo.learning_rate is {rate:g}, allowed here: probably less, as the designer is not finite"
        if fault == UNENDED:
            return "a design does not end with its step max_steps, and there alone; allowed: `build` makes `time` one higher"
        designer, where = self.designer_of(space), f"at step {fault} of a design"
        if isinstance(designer, ParameterDesigner):
            where += f", where {designer.parameters.parts[fault - 1].name!r} is chosen"
        return f"the designer's mask leaves no action {where}; allowed: at least one in every step"

    def _policy(self, env: Environment) -> Student:
        return MixedWithUniform(ActorCritic.of(env, self.network), self.uniform_share)


_METRICS = (
    "policy_loss", "value_loss", "entropy", "approximate_kl", "gradient_norm", "first_ratio_error", "learning_rate",
)  # fmt: skip


def _chosen(designer: Designer, actions: jax.Array | None = None) -> dict[str, jax.Array]:
    """Return the mean of each parameter that ``actions`` ``i32[L, B, 1]`` chose, NaN before any, none of other designers."""
    if not isinstance(designer, ParameterDesigner):
        return {}
    if actions is None:
        means = {part.name: jnp.full((), jnp.nan) for part in designer.parameters.parts}
    else:
        means = designer.means(actions[..., 0])
    return {f"chosen/{name}": value for name, value in means.items()}


def _unended(rollout: Rollout, plan: Plan) -> jax.Array:
    """Return `UNENDED` if a design ends elsewhere than with its last step, else 0, ``i32[]``."""
    is_whole = jnp.all(rollout.terminated[-1]) & ~jnp.any(rollout.ended[:-1])
    return plan.spread.highest(jnp.where(is_whole, 0.0, float(UNENDED))).astype(jnp.int32)


def _first_choiceless(rollout: Rollout, policy: Student, plan: Plan) -> jax.Array:
    """Return 1 + the first step whose mask left no action in some design, ``i32[]``, or 0."""
    space = policy.observation_space  # type: ignore[attr-defined]
    masks = [name for name, part in (space.parts if isinstance(space, Dict) else ()) if isinstance(part, Mask)]
    if not masks:
        return jnp.zeros((), jnp.int32)
    is_left = jnp.any(rollout.observations[masks[0]], axis=-1)
    nothing = jnp.any(~is_left, axis=tuple(range(1, is_left.ndim)))
    step = jnp.where(jnp.any(nothing), jnp.argmax(nothing) + 1, 0).astype(jnp.float32)
    return plan.spread.highest(step).astype(jnp.int32)  # of all devices, one of the steps will do
