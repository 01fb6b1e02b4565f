"""The world under the eyes of the kit: levels of it, and what happens on them, compiled once and looked at by many checks.

Letters: ``R`` rows, each a level and a plan of actions; ``L`` levels; ``T`` steps; ``N`` agents.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment
from minied.levels.space import LevelSpace
from minied.testing.permitted import permitted
from minied.testing.report import Skip

MOST_STEPS = 2_000
"""Steps of a row that the kit plays at most, unless it is told otherwise."""
_KEPT_BYTES = 32 * 2**20  # of observations that are brought to the host


class Ends(NamedTuple):
    """How rows ended when nobody started them anew, ``[T, R]`` by NumPy."""

    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool

    @property
    def ended(self) -> np.ndarray:
        """Either."""
        return self.terminated | self.truncated

    @property
    def first(self) -> np.ndarray:
        """The step, from 1, at which each row ended first, ``i64[R]``; 0 for never."""
        return np.where(self.ended.any(axis=0), self.ended.argmax(axis=0) + 1, 0)


class Play(NamedTuple):
    """What was seen in rows that were started anew on their level at every end, ``[T, R]`` by NumPy."""

    rewards: np.ndarray  # f32[T, R] or f32[T, R, N]
    ended: np.ndarray  # bool
    finite: np.ndarray  # bool, whether reward, observation and what is told of the step were
    observations: Any  # [T', R, ...], of every few steps, the true last ones among them
    returns: np.ndarray  # f32[T, R] or [T, R, N], of the episode so far


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """A world and how closely it is looked at."""

    env: Environment
    seed: int = 0
    num_levels: int = 16
    """L."""
    most_steps: int = MOST_STEPS
    min_solvable: float = 0.5
    """Share of sampled levels that must be solvable, where the world can tell."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured on the way."""

    @property
    def space(self) -> LevelSpace:
        """Its levels."""
        return self.env.level_space

    def key(self, *numbers: int) -> jax.Array:
        """Return a key of this look."""
        return functools.reduce(jax.random.fold_in, numbers, jax.random.key(self.seed))

    @functools.cached_property
    def levels(self) -> Any:
        """Levels of the generator, ``[L, ...]``."""
        return jax.jit(jax.vmap(self.space.sample))(jax.random.split(self.key(1), self.num_levels))

    def level(self, index: int) -> Any:
        """Return one of them."""
        return jax.tree.map(lambda leaf: leaf[index % self.num_levels], self.levels)

    def action(self, number: int) -> jax.Array:
        """Return that action of every agent, ``i32[]`` or ``i32[N]``."""
        action = jnp.int32(number % self.env.action_space.n)
        return action if self.env.num_agents == 1 else jnp.full(self.env.num_agents, action)

    def permitted(self, observation: Any, action: jax.Array) -> jax.Array:
        """Return what is played of an action, ``i32[]`` or ``i32[N]``: what the observation's mask allows."""
        return permitted(self.env, observation, action)

    @functools.cached_property
    def reset(self) -> Any:
        """The compiled reset."""
        return jax.jit(self.env.reset)

    @functools.cached_property
    def step(self) -> Any:
        """The compiled step."""
        return jax.jit(self.env.step)

    @functools.cached_property
    def resets(self) -> Any:
        """The compiled reset of a batch."""
        return jax.jit(jax.vmap(self.env.reset))

    @functools.cached_property
    def are_valid(self) -> Any:
        """`is_valid` of the level space, compiled for a batch."""
        return jax.jit(jax.vmap(self.space.is_valid))

    def blame(self, method: str) -> Any:
        """Return the world's own method of this name, to look at."""
        return getattr(type(self.env), method)

    def culprit(self, method: str) -> Any:
        """Return what is to blame where an error names no line: a method of the world or of its levels, else the world."""
        named = [getattr(owner, method, None) if method else None for owner in (type(self.env), type(self.space))]
        return next((each for each in named if each is not None), type(self.env))

    def blame_levels(self, method: str) -> Any:
        """Return the level space's own method of this name."""
        return getattr(type(self.space), method)

    # -- rows --------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def shortened(self) -> "World":
        """The world itself, or with a smaller ``max_steps`` if its episodes are longer than the kit plays."""
        if 2 * self.env.max_steps + 1 <= self.most_steps:
            return self
        fields = {field.name for field in dataclasses.fields(self.env) if field.init}  # type: ignore[arg-type]
        if "max_steps" not in fields:
            raise Skip(
                f"max_steps is {self.env.max_steps}, more than is played, and no option of the world (--most-steps)"
            )
        fitting = (self.most_steps - 1) // 2
        try:
            shorter = dataclasses.replace(self.env, max_steps=fitting)  # type: ignore[call-arg]
        except Exception as error:  # whatever a world refuses its options by
            told = f"it refuses max_steps {fitting}, all that fits into --most-steps {self.most_steps}: {error}"
            raise Skip(told) from error
        return dataclasses.replace(self, env=shorter)

    @functools.cached_property
    def num_rows(self) -> int:
        """R: every plan of actions at least once, every level likewise."""
        return max(self.num_levels, 4 + min(8, self.env.action_space.n))

    @functools.cached_property
    def row_levels(self) -> Any:
        """The level of each row, ``[R, ...]``."""
        index = np.arange(self.num_rows) % self.num_levels
        return jax.tree.map(lambda leaf: leaf[index], self.levels)

    def plans(self, num_steps: int) -> jax.Array:
        """Return actions ``i32[T, R]`` or ``i32[T, R, N]``: random rows, rows of one action, rows that alternate.

        What is played of them is what the observations' masks allow: see `permitted`.
        """
        number, rows, agents = self.env.action_space.n, self.num_rows, self.env.num_agents
        random = jax.random.randint(self.key(2), (num_steps, rows, agents), 0, number)
        actions = np.array(random)
        constant = np.linspace(0, number - 1, min(8, number)).astype(np.int32)
        actions[:, : len(constant)] = constant[None, :, None]
        actions[:, len(constant)] = np.where(np.arange(num_steps) % 2, 0, number - 1)[:, None]
        actions[:, len(constant) + 1] = (np.arange(num_steps) // 4 % number)[:, None]
        return jnp.asarray(actions[..., 0] if agents == 1 else actions, jnp.int32)

    @functools.cached_property
    def ends(self) -> Ends:
        """How rows end, played on past their ends for twice ``max_steps`` steps and one, never started anew."""
        env, num_steps, levels = self.env, 2 * self.env.max_steps + 1, self.row_levels

        def step(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            observations, states = carry
            keys, actions = inputs
            actions = jax.vmap(self.permitted)(observations, actions)
            observations, states, _, terminated, truncated, _ = jax.vmap(env.step)(keys, states, actions, levels)
            return (observations, states), (terminated, truncated)

        @jax.jit
        def played(keys: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.lax.scan(step, jax.vmap(env.reset)(keys[0], levels), (keys[1:], actions))[1]

        keys = jax.random.split(self.key(3), (num_steps + 1, self.num_rows))
        return Ends(*map(np.asarray, played(keys, self.plans(num_steps))))

    @functools.cached_property
    def play(self) -> Play:
        """What rows show within two episodes of full length, started anew on their level at every end."""
        env, num_steps, levels = self.env, 2 * self.env.max_steps, self.row_levels
        stride = self._stride(num_steps)

        def step(carry: tuple[Any, Any, jax.Array], inputs: tuple[jax.Array, jax.Array]) -> Any:
            before, states, returns = carry
            keys, actions = inputs
            actions = jax.vmap(self.permitted)(before, actions)
            observations, states, rewards, terminated, truncated, info = jax.vmap(env.step)(
                keys[:, 0], states, actions, levels
            )
            ended, returns = terminated | truncated, returns + rewards
            told = {name: each for name, each in info.items() if name != "statistics"}  # of which NaN means undefined
            finite = jax.vmap(_is_finite)((observations, rewards, told))
            first = jax.vmap(env.reset)(keys[:, 1], levels)
            goes_on = jax.vmap(lambda over, new, old: jax.tree.map(lambda a, b: jax.lax.select(over, a, b), new, old))(
                ended, first, (observations, states)
            )
            seen = rewards, ended, finite, returns
            kept = returns * (1 - ended.reshape(-1, *(1,) * (returns.ndim - 1)))
            return (*goes_on, kept), (seen, observations)

        def stretch(carry: Any, inputs: Any) -> Any:
            carry, (seen, observations) = jax.lax.scan(step, carry, inputs)
            # Of every stretch the step that ended something, else the last: true last observations are what is wrong.
            index = jnp.where(seen[1].any(axis=0), seen[1].argmax(axis=0), stride - 1)
            rows = jnp.arange(self.num_rows)
            return carry, (seen, jax.tree.map(lambda leaf: leaf[index, rows], observations))

        @jax.jit
        def played(keys: jax.Array, actions: jax.Array) -> Any:
            observations, states = jax.vmap(env.reset)(keys[0, 0, :, 0], levels)
            shape = (self.num_rows,) if env.num_agents == 1 else (self.num_rows, env.num_agents)
            _, (seen, later) = jax.lax.scan(stretch, (observations, states, jnp.zeros(shape)), (keys, actions))
            both = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), observations, later)
            return seen, both

        stretches = num_steps // stride
        keys = jax.random.split(self.key(4), (stretches, stride, self.num_rows, 2))
        actions = self.plans(stretches * stride)
        seen, observations = jax.device_get(played(keys, actions.reshape(stretches, stride, *actions.shape[1:])))
        flat = [each.reshape(-1, *each.shape[2:]) for each in seen]
        return Play(flat[0], flat[1], flat[2], observations, flat[3])

    def _stride(self, num_steps: int) -> int:
        """Return of how many steps one observation is kept, for all to fit."""
        observation = jax.eval_shape(self.env.reset, self.key(0), self.level(0))[0]
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(observation)) * self.num_rows
        return int(np.clip(-(-num_steps * size // _KEPT_BYTES), 1, num_steps))


def _is_finite(tree: Any) -> jax.Array:
    """Return whether every floating number of ``tree`` is finite, ``bool[]``."""
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in numbers])) if numbers else jnp.asarray(True)
