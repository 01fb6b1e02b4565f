"""Environments of JaxMARL as objects of the library: which there are, how they are made, what their agents see and do.

A table says what a config needs to know of them, since the library computes as it is imported. Letter: ``N`` agents.
"""

import dataclasses
import functools
import importlib
import inspect
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.base import NO_BOUND, BinnedActions, Library, in_a_line, lenient, require
from minied.adapters.settings import arguments_of, parted, plain, require_known
from minied.errors import UserError, unknown_name
from minied.spaces import Box, Dict, Discrete, Mask, MultiDiscrete, Space

LIBRARY = Library("jaxmarl", "jaxmarl", at_least="0.2.0", below="0.3", run_with="0.2.0", extra="jaxmarl")
NO_LIMIT = 2**30
"""Steps that no episode has."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What a config needs to know of an environment, as the library has it by default."""

    agents: tuple[str, ...]
    max_steps: int
    """Its time limit; of hanabi, which has none, more than a game of two takes."""
    limit: Literal["attribute", "argument", "seen", "none"] = "attribute"
    """How its time limit is taken off; ``seen``: not at all, as agents see how much time is left."""
    is_endless: bool = False
    """Whether its time limit is all that ends it."""
    options: tuple[tuple[str, Any], ...] = ()
    """Arguments that the adapter gives it unless ``set`` does."""
    mask: str = ""
    """The method that tells which actions are available, if there is one."""
    scripted: str = ""
    """The first letters of agents whose actions the library chooses itself, if there are any."""
    leaves: bool = False
    """Whether an agent can be done before the others."""
    rivals: bool = False
    """Whether each agent is a team."""


def _numbered(name: str, number: int) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(number))


def _hunt(hunters: int, prey: int, **more: Any) -> Known:
    return Known((*_numbered("adversary", hunters), *_numbered("agent", prey)), 25, **more)


_DISCRETE = (("action_type", "Discrete"),)
_RESETS = (("random_reset", True),)
ENVIRONMENTS = {
    "MPE_simple_v3": Known(_numbered("agent", 1), 25),
    "MPE_simple_tag_v3": _hunt(3, 1),
    "MPE_simple_world_comm_v3": Known(("leadadversary_0", *_hunt(3, 2).agents), 25, options=_DISCRETE),
    "MPE_simple_spread_v3": Known(_numbered("agent", 3), 25),
    "MPE_simple_crypto_v3": Known(("eve_0", "alice_0", "bob_0"), 25),
    "MPE_simple_speaker_listener_v4": Known(("speaker_0", "listener_0"), 25),
    "MPE_simple_push_v3": _hunt(1, 1),
    "MPE_simple_adversary_v3": _hunt(1, 2),
    "MPE_simple_reference_v3": Known(_numbered("agent", 2), 25),
    "MPE_simple_facmac_v1": _hunt(3, 1, scripted="agent"),
    "MPE_simple_facmac_3a_v1": _hunt(3, 1, scripted="agent"),
    "MPE_simple_facmac_6a_v1": _hunt(6, 2, scripted="agent"),
    "MPE_simple_facmac_9a_v1": _hunt(9, 3, scripted="agent"),
    "switch_riddle": Known(_numbered("agent", 3), 6),
    "SMAX": Known(
        (*_numbered("ally", 5), *_numbered("enemy", 5)), 100, "argument", mask="get_avail_actions", leaves=True
    ),
    "HeuristicEnemySMAX": Known(_numbered("ally", 5), 100, "argument", mask="get_avail_actions", leaves=True),
    "hanabi": Known(_numbered("agent", 2), 128, "none", mask="get_legal_moves"),
    "overcooked": Known(_numbered("agent", 2), 400, "seen", is_endless=True, options=_RESETS),
    "overcooked_v2": Known(_numbered("agent", 2), 400, "seen", is_endless=True, options=_RESETS),
    "coin_game": Known(("0", "1"), 100, "none", is_endless=True, rivals=True),
    "jaxnav": Known(_numbered("agent", 2), 500, "argument", options=(("act_type", "Discrete"),), leaves=True),
}
"""Environments that the adapter was run with."""
_BY_INDEX = "does not name its agents in observations, actions and rewards"
REFUSED = {
    "LearnedPolicyEnemySMAX": "needs a trained policy for the enemies",
    **dict.fromkeys(("storm", "storm_2p", "storm_np"), _BY_INDEX),
    **dict.fromkeys(("ant_4x2", "halfcheetah_6x1", "hopper_3x1", "humanoid_9|8", "walker2d_2x3"), "needs brax"),
    **dict.fromkeys(
        [f"JaxRobotarium_{name}" for name in ("navigation", "discovery", "material_transport", "warehouse")]
        + [f"JaxRobotarium_{name}" for name in ("arctic_transport", "foraging", "rware", "predator_prey")],
        "needs jaxrobotarium",
    ),
}
"""Environments that minied cannot play, and why."""
_FIRST_TEAM = ("adversary", "leadadversary", "eve", "ally")  # what agents of team 0 are called where there are two


def known_of(id: str) -> Known:
    """Return what is known of an environment. Raises `UserError` for an unknown one, and for one that cannot be played."""
    if id in REFUSED:
        raise UserError(f"id is {id!r}, which {REFUSED[id]}; allowed: {', '.join(ENVIRONMENTS)}")
    if id not in ENVIRONMENTS:
        raise unknown_name("environment of JaxMARL", id, list(ENVIRONMENTS))
    return ENVIRONMENTS[id]


def teams_by_name(id: str, agents: tuple[str, ...]) -> tuple[int, ...]:
    """Return the team of each agent: hunters 0 and hunted 1, allies 0 and enemies 1; all 0 where there is one kind."""
    if ENVIRONMENTS[id].rivals:
        return tuple(range(len(agents)))
    teams = [int(name.rpartition("_")[0] not in _FIRST_TEAM) for name in agents]
    return tuple(teams) if len(set(teams)) == 2 else (0,) * len(agents)


# -- making ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """An environment of the library, and what is known of its arrays."""

    env: Any
    id: str
    agents: tuple[str, ...]
    max_steps: int
    """The library's own limit."""
    state_form: Any
    """Shapes and types of a state."""
    shapes: tuple[tuple[int, ...], ...]
    """Of each agent's observation."""
    numbers: tuple[int, ...]
    """Choices of each agent, of actions that are choices."""
    bins: BinnedActions | None
    """Of actions that are numbers."""

    @property
    def actions(self) -> Discrete | MultiDiscrete:
        """The actions of every agent: as many as of that which has most."""
        return Discrete(max(self.numbers)) if self.bins is None else self.bins.space

    @property
    def mask(self) -> str:
        """The library's method that tells which actions are available, if there is one."""
        return ENVIRONMENTS[self.id].mask

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what an agent sees, as it is read: an image, or a vector that has room for everyone's."""
        first = self.shapes[0]
        if len(set(self.shapes)) == 1 and len(first) == 3 and min(first[:2]) >= 3:
            return first
        return (max(math.prod(shape) for shape in self.shapes),)

    @property
    def observation_space(self) -> Dict:
        """What an agent sees; which it is, where there are several; which actions it has, where that is to be told."""
        spaces = [self.env.observation_space(name) for name in self.agents]
        low = min(float(np.min(getattr(space, "low", 0))) for space in spaces)
        # NumPy first: within a traced function the library's numbers would be traced too
        tops = [space.high if hasattr(space, "high") else np.asarray(space.num_categories) - 1 for space in spaces]
        high = max(float(np.max(top)) for top in tops)
        low, high = max(min(low, 0.0), -NO_BOUND), min(max(high, 0.0), NO_BOUND)
        parts: list[tuple[str, Space]] = [("seen", Box(low, high, self.shape))]
        if len(self.agents) > 1:
            parts.append(("agent", Discrete(len(self.agents))))
        if self.has_mask:
            parts.append(("available", Mask(self.actions.n)))
        return Dict(tuple(parts))

    @property
    def has_mask(self) -> bool:
        """Whether agents differ in their actions, or not all are always available."""
        return bool(self.mask) or len(set(self.numbers)) > 1

    def read(self, observations: dict[str, jax.Array], state: Any) -> dict[str, jax.Array]:
        """Return what the agents observe, ``[N, ...]``."""
        rows = [self._padded(observations[name]) for name in self.agents]
        read = {"seen": jnp.stack(rows)}
        if len(rows) > 1:
            read["agent"] = jnp.arange(len(rows), dtype=jnp.int32)
        if self.has_mask:
            read["available"] = self.available(state)
        return read

    def _padded(self, observation: jax.Array) -> jax.Array:
        values = jnp.asarray(observation, jnp.float32)
        if len(self.shape) == 3:
            return values
        return jnp.pad(values.ravel(), (0, self.shape[0] - values.size))

    def available(self, state: Any) -> jax.Array:
        """Return which actions each agent has, ``bool[N, n]``, at least one."""
        total = self.actions.n
        own = jnp.asarray(np.arange(total) < np.asarray(self.numbers)[:, None])
        if not self.mask:
            return own
        told = getattr(self.env, self.mask)(state)
        rows = [jnp.pad(told[name].astype(bool), (0, total - told[name].shape[0])) for name in self.agents]
        available = jnp.stack(rows) & own
        return jnp.where(jnp.any(available, axis=1, keepdims=True), available, own)

    def action_of(self, actions: jax.Array) -> dict[str, jax.Array]:
        """Return actions ``i32[N]`` by agent, as the library takes them; beyond an agent's own its last one."""
        if self.bins is not None:
            return {name: self.bins.decode(actions[index]) for index, name in enumerate(self.agents)}
        own = jnp.minimum(actions, jnp.asarray(self.numbers, jnp.int32) - 1)
        return {name: own[index] for index, name in enumerate(self.agents)}

    def observed(self, state: Any) -> dict[str, jax.Array]:
        """Return the library's first observations of an episode that starts in ``state``, by agent."""
        if self.id == "hanabi":  # of a move as well, which at first is none
            return self.env.get_obs(state, state, self.env.num_moves - 1)
        return self.env.get_obs(state)


@functools.cache
def made(id: str, set: tuple[str, ...], max_steps: int, action_bins: int) -> Made:
    """Return an environment whose time limit does not end it before ``max_steps``; 0: the library's own.

    Raises `UserError` for what the library does not take.
    """
    known = known_of(id)
    options = dict(known.options) | _options(id, set)
    if max_steps and known.limit != "attribute":
        options |= {"seen": {"max_steps": max_steps}, "argument": {"max_steps": NO_LIMIT}, "none": {}}[known.limit]
    with jax.ensure_compile_time_eval(), lenient():
        try:
            env = require(LIBRARY).make(id, **resolved(id, options))
            agents, limit = tuple(env.agents), int(getattr(env, "max_steps", 0)) or known.max_steps
            observations, state = jax.eval_shape(env.reset, jax.random.key(0))
        except UserError:
            raise
        except Exception as error:  # it is somebody else's code
            told = f"set is {set}, of which {id} makes nothing ({in_a_line(error)})"
            raise UserError(f"{told}; allowed: its arguments, with values that it takes") from error
        if not agents or len(agents) != env.num_agents:
            raise UserError(f"set is {set}, with which {id} has {env.num_agents} agents; allowed: at least 1")
        if id == "coin_game":
            limit = env.num_inner_steps * env.num_outer_steps
        if max_steps and known.limit == "attribute":
            env.max_steps = NO_LIMIT
        numbers, bins = _actions(id, [env.action_space(name) for name in agents], action_bins)
    form = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    return Made(env, id, agents, limit, form, tuple(observations[name].shape for name in agents), numbers, bins)


def _options(id: str, set: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments that are set. Raises `UserError` for one that the environment's class does not have."""
    options = {name: plain(text) for name, text in parted(set, "num_agents=4").items()}
    if "max_steps" in options:
        raise UserError("set has 'max_steps'; allowed: other arguments; a time limit is given by max_steps")
    require_known(f"argument of {id}", options, _arguments(id) if options else None)
    return options


@functools.cache
def _arguments(id: str) -> list[str] | None:
    """Return the names that ``set`` may have; None: any, as far as can be told."""
    with jax.ensure_compile_time_eval(), lenient():
        env = require(LIBRARY).make(id, **dict(known_of(id).options))
    own, inner = list(inspect.signature(type(env).__init__).parameters)[1:-1], vars(env).get("_env")
    # What plays one side of another environment is no subclass of it, and passes on what it does not know.
    found = arguments_of(type(env)) if inner is None else [*own, *(arguments_of(type(inner)) or ())]
    return found and [name for name in found if name != "max_steps"]


def resolved(id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return ``options`` with layouts and scenarios in place of their names. Raises `UserError` for an unknown one."""
    options = dict(options)
    for name, known in _named(id).items():
        if name in options:
            if str(options[name]) not in known:
                raise unknown_name(f"{name} of {id}", str(options[name]), list(known))
            options[name] = known[str(options[name])]
    return options


def _named(id: str) -> dict[str, dict[str, Any]]:
    """Return what may be given by name, by the argument."""
    if id == "overcooked":
        return {"layout": importlib.import_module("jaxmarl.environments.overcooked").overcooked_layouts}
    if id == "overcooked_v2":
        layouts = importlib.import_module("jaxmarl.environments.overcooked_v2.layouts").overcooked_v2_layouts
        return {"layout": {name: name for name in layouts}}
    if id.endswith("SMAX"):
        return {"scenario": importlib.import_module("jaxmarl.environments.smax.smax_env").MAP_NAME_TO_SCENARIO}
    return {}


def _actions(id: str, spaces: list[Any], bins: int) -> tuple[tuple[int, ...], BinnedActions | None]:
    if all(hasattr(space, "n") for space in spaces):
        return tuple(int(space.n) for space in spaces), None
    boxes = {(str(space.low), str(space.high), space.shape) for space in spaces if hasattr(space, "low")}
    if len(boxes) != 1 or not all(hasattr(space, "low") for space in spaces):
        raise UserError(f"the actions of {id} differ between agents and are numbers; allowed: choices, or equal boxes")
    binned = BinnedActions.of(spaces[0].low, spaces[0].high, spaces[0].shape, bins)
    return (binned.space.n,) * len(spaces), binned
