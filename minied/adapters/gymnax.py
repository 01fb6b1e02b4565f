"""Environments of gymnax as worlds, and worlds as environments of gymnax (`as_gymnax`, `register`).

A level holds numbers among an environment's parameters (its physics) and the key from which its first state is drawn.
Letter: ``h`` parameters that vary.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import (
    NO_BOUND,
    AdaptedEnvironment,
    BinnedActions,
    Library,
    box,
    lenient,
    require,
    require_bins,
    require_finite,
)
from minied.adapters.gymnax_export import as_gymnax as as_gymnax
from minied.adapters.gymnax_export import register as register
from minied.adapters.gymnax_levels import GymnaxLevel, GymnaxLevelSpace, StartLevelSpace
from minied.adapters.gymnax_made import HORIZON, LIBRARY, Made, make, with_derived
from minied.adapters.gymnax_traced import copied, require_heard, starts_differ, state_form
from minied.adapters.gymnax_varied import Varied, varied
from minied.adapters.trees import with_types
from minied.errors import UserError
from minied.spaces import ActionSpace, Box, Dict, Discrete, Space

REWARD_THRESHOLDS = {
    "CartPole-v1": 475.0, "Acrobot-v1": -100.0, "MountainCar-v0": -110.0, "MountainCarContinuous-v0": 90.0,
    "Pendulum-v1": -200.0,
}  # fmt: skip
"""Gymnasium's ``reward_threshold``, over its horizons; of the pendulum, which has none, ours."""


class GymnaxState(struct.PyTreeNode):
    """A state of gymnax's, and the time."""

    inner: Any  # as gymnax has it, every leaf with one type for the whole episode
    time: jax.Array  # i32[], steps taken


@dataclasses.dataclass(frozen=True)
class Gymnax(AdaptedEnvironment[GymnaxLevel, GymnaxState]):
    """An environment of gymnax (run with 1.0.1): a level is a start, and numbers among its parameters that vary.

    It differs from gymnax's `step` in that it never resets itself, and in that an episode which ends at its last step is
    terminated, not truncated too. Images ``[H, W]`` get a channel; what is too small for an image is a vector. Vectors have
    no bounds to speak of: some of gymnax's are wrong (MemoryChain, UmbrellaChain, MetaMaze, GaussianBandit), and parameters
    that vary move others. What follows from parameters that vary does so too (CartPole's total_mass and polemass_length,
    which gymnax leaves as they are). Actions that are numbers are cut into bins.
    """

    library: ClassVar[Library] = LIBRARY
    offers: ClassVar[tuple[str, ...]] = (
        "mutate", "parameters", "is_valid", "describe", "draw", "to_text", "from_text", "suites",
    )  # fmt: skip

    id: str = "CartPole-v1"
    """Which environment, as gymnax.make knows it; those that were registered by others too."""
    vary: tuple[str, ...] = ("usual",)
    """Parameters that differ from level to level: NAME, NAME=LOW:HIGH, and `usual` for the usual ones of classic control (of
    other environments none). Whole numbers and flags (0:1) can be; arrays cannot. Of none, a level is a start alone."""
    spread: float = 1.0
    """How far those go that are only named: from default / (1 + spread) to default * (1 + spread), uniformly."""
    set: tuple[str, ...] = ()
    """What is not as gymnax has it in any level: NAME=VALUE, a parameter (gravity=12, resample_goal_pos=true) or an argument
    of the environment's class (size=10)."""
    max_steps: int = 0
    """Steps after which an episode is truncated; 0: gymnax's max_steps_in_episode."""
    action_bins: int = 5
    """Values of each number of an action, from its lower to its upper bound, where actions are numbers."""
    solved_return: float = 0.0
    """Return from which an episode is solved; 0: the usual one of classic control (`REWARD_THRESHOLDS`), of others any that
    is positive."""
    edit_size: float = 0.1
    """How far an edit moves a number at most, as a share of its range; a whole number by one at least."""

    def __post_init__(self) -> None:
        for name in ("spread", "edit_size"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name} is {getattr(self, name)}; allowed: more than 0, finite")
        if self.edit_size > 1:
            raise UserError(f"edit_size is {self.edit_size}; allowed: at most 1, the whole range")
        require_finite("solved_return", self.solved_return)
        if not 0 <= self.max_steps < 2**24:
            raise UserError(f"max_steps is {self.max_steps}; allowed: 0 to {2**24 - 1}")
        require_bins(self.action_bins)
        made = make(self.id, self.set)
        if self.max_steps == 0:
            object.__setattr__(self, "max_steps", int(made.defaults.get(HORIZON, 0)))
            if self.max_steps < 1:
                raise UserError(f"{self.id!r} has no {HORIZON}; allowed: a max_steps of your own")
        self.varied  # noqa: B018, what is wrong with it is told here
        _action_kind(self)
        state_form(self)
        require_heard(self)

    @property
    def varied(self) -> tuple[Varied, ...]:
        """The h parameters that vary, in the order of ``vary``."""
        return varied(self.id, self.set, self.vary, self.spread)

    @property
    def starts_differ(self) -> bool:
        """Whether first states differ with the key that they are drawn from."""
        return starts_differ(self)

    @property
    def action_space(self) -> ActionSpace:
        """What gymnax has, or the bins of its numbers."""
        kind = _action_kind(self)
        return kind.space if isinstance(kind, BinnedActions) else kind

    @property
    def observation_space(self) -> Space:
        """What gymnax has, but see the class."""
        return _observation_space(self)

    @property
    def level_space(self) -> StartLevelSpace:
        """Starts and numbers; with `mutate` and `parameters` where something varies."""
        return GymnaxLevelSpace(self) if self.varied else StartLevelSpace(self)

    def reset(self, key: jax.Array, level: GymnaxLevel) -> tuple[Any, GymnaxState]:
        """Return the level's first observation and state. ``key`` is not used."""
        with lenient():
            observation, inner = self.made.env.reset_env(
                jax.random.wrap_key_data(level.start), self.parameters_of(level)
            )
        state = GymnaxState(copied(with_types(inner, state_form(self))), jnp.int32(0))
        return copied(_value_in(self.observation_space, observation)), state

    def step(self, key: jax.Array, state: GymnaxState, action: jax.Array, level: GymnaxLevel):
        """Take gymnax's step, without its reset. Consumes ``key``."""
        env, parameters = self.made.env, self.parameters_of(level)
        with lenient():
            observation, inner, reward, terminated, _ = env.step_env(key, state.inner, self.taken(action), parameters)
            truncated = env.is_truncated(inner, parameters)
        time = state.time + 1
        terminated = jnp.asarray(terminated, bool).reshape(())
        late = jnp.asarray(truncated, bool).reshape(()) | (time >= self.max_steps)
        state = GymnaxState(with_types(inner, state_form(self)), time)
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        return _value_in(self.observation_space, observation), state, reward, terminated, late & ~terminated, {}

    def is_solved(self, episode_return: jax.Array) -> jax.Array:
        """Return whether the return is at least ``solved_return``; where that is 0 see there."""
        least = self.solved_return or self._usual_return
        return episode_return >= least if least else episode_return > 0

    @property
    def _usual_return(self) -> float:
        usual = REWARD_THRESHOLDS.get(self.id, 0.0)
        if self.id == "CartPole-v1":  # 1 a step, until it falls
            return usual * self.max_steps / 500
        if self.id in ("Acrobot-v1", "MountainCar-v0"):  # -1 a step, until the goal is reached: in time at least
            return max(usual, 1.0 - self.max_steps)
        return usual

    def parameters_of(self, level: GymnaxLevel) -> Any:
        """Return gymnax's parameters on ``level``."""
        return self.parameters_with({each.name: level.numbers[each.name].astype(each.dtype) for each in self.varied})

    def parameters_with(self, numbers: dict[str, Any]) -> Any:
        """Return gymnax's parameters with these ``numbers`` by name, and with what follows from them."""
        return with_derived(dataclasses.replace(self.fixed_parameters, **numbers), numbers)

    @property
    def fixed_parameters(self) -> Any:
        """The parameters where nothing varies."""
        made = self.made
        horizon = {HORIZON: type(made.defaults[HORIZON])(self.max_steps)} if HORIZON in made.defaults else {}
        return dataclasses.replace(made.parameters, **horizon)

    @property
    def made(self) -> Made:
        """What gymnax made."""
        return make(self.id, self.set)

    def taken(self, action: jax.Array) -> jax.Array:
        """Return an action ``i32[]`` as the environment takes it."""
        kind = _action_kind(self)
        return kind.decode(action) if isinstance(kind, BinnedActions) else action

    def ends(self) -> list[Any]:
        """Return gymnax's parameters with all that varies at its lower, and at its upper end."""
        found = [self.fixed_parameters]
        for end in ("low", "high") if self.varied else ():
            numbers = {each.name: jnp.asarray(getattr(each, end), each.dtype) for each in self.varied}
            found.append(self.parameters_with(numbers))
        return found


# -- once for each world -----------------------------------------------------------------------------------------------


@functools.cache
def _action_kind(world: Gymnax) -> Discrete | BinnedActions:
    spaces = require(LIBRARY).environments.spaces
    with lenient(), jax.ensure_compile_time_eval():
        found = [world.made.env.action_space(parameters) for parameters in world.ends()]
        if isinstance(found[0], spaces.Discrete):
            return Discrete(int(found[0].n))
        if isinstance(found[0], spaces.Box):
            # The widest bounds of any level: where they are narrower, gymnax's environments clip.
            shape = tuple(found[0].shape)
            low, high = (
                combine(
                    [np.broadcast_to(np.asarray(getattr(each, bound), np.float64), shape) for each in found], axis=0
                )
                for bound, combine in (("low", np.min), ("high", np.max))
            )
            return BinnedActions.of(low, high, shape, world.action_bins)
    raise UserError(f"{world.id!r} has the actions {found[0]}; allowed: Discrete or Box")


@functools.cache
def _observation_space(world: Gymnax) -> Space:
    with lenient(), jax.ensure_compile_time_eval():
        return _space(world.made.env.observation_space(world.fixed_parameters), world.id)


# -- observations ------------------------------------------------------------------------------------------------------


def _space(space: Any, name: str) -> Space:
    """Return a space of gymnax's as one of minied's. Raises `UserError` for one of another kind."""
    spaces = require(LIBRARY).environments.spaces
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        shape = tuple(space.shape)
        if len(shape) == 2:
            shape = (*shape, 1)
        if len(shape) == 3 and min(shape[:2]) >= 3:  # what a filter reads
            return box(space.low, space.high, shape)
        return Box(-NO_BOUND, NO_BOUND, (math.prod(shape),))
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return Dict(tuple((str(key), _space(part, name)) for key, part in parts))
    raise UserError(f"{name!r} has observations in {space}; allowed: Discrete, Box, Dict and Tuple")


def _value_in(space: Space, value: Any) -> Any:
    """Return an observation of gymnax's as it is in ``space``, what `_space` made of its own."""
    if isinstance(space, Dict):
        if isinstance(value, (tuple, list)):
            value = {str(index): part for index, part in enumerate(value)}
        return {name: _value_in(part, value[name] if isinstance(value, Mapping) else getattr(value, name))
                for name, part in space.parts}  # fmt: skip
    assert isinstance(space, (Discrete, Box))
    dtype = jnp.int32 if isinstance(space, Discrete) else jnp.float32
    return jnp.asarray(value, dtype).reshape(space.shape)
