"""What the adapters share: a library that may be missing or of another version, and levels that hold a start.

An adapter is one file. It names its `Library`, imports it by `require` inside functions only, and describes the worlds of
it as an `AdaptedEnvironment`, whose fields are strings and numbers: the library's own object is made of them when it is
needed (and kept by a cache), so that a world stays hashable and a config stays text.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import io
import json
import math
import types
import warnings
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from minied.env import Environment, LevelT, StateT
from minied.errors import UserError
from minied.levels.space import Suite
from minied.spaces import Box, Discrete, MultiDiscrete


@dataclasses.dataclass(frozen=True)
class Library:
    """Another library, and the versions of it that an adapter is for."""

    package: str
    """Its name where packages are installed from."""
    module: str
    """What is imported."""
    at_least: str
    """The first version that is supported."""
    below: str
    """The first version that is not supported any more."""
    run_with: str
    """The version that the adapter was run with."""
    extra: str
    """The extra of minied that installs it; empty: minied itself needs it."""


def require(library: Library) -> types.ModuleType:
    """Return the imported module of ``library``.

    What a library prints or warns of as it is imported is not shown. Raises `UserError` if it is not installed or does not
    import, naming the extra that installs it, and for a version that is not supported.
    """
    try:
        found = importlib.metadata.version(library.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(f"{library.package} is not installed; {_mend(library)}") from error
    if not _numbers(library.at_least) <= _numbers(found) < _numbers(library.below):
        raise UserError(
            f"{library.package} is {found}; allowed: {library.at_least} or newer, below {library.below} (the adapter was"
            f" run with {library.run_with}); {_mend(library)}"
        )
    return _imported(library)


@functools.cache
def _imported(library: Library) -> types.ModuleType:
    try:
        with quiet(), jax.ensure_compile_time_eval():  # modules hold arrays, which a trace must not own
            return importlib.import_module(library.module)
    except Exception as error:  # it is somebody else's code
        raise UserError(f"{library.package} does not import ({error}); {_mend(library)}") from error


@contextlib.contextmanager
def quiet():
    """Swallow what another library prints and warns of, as it is imported or makes its objects."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def lenient():
    """As `quiet`; another library may also promote ranks and use keys of the old kind, whatever is set for our code."""
    with quiet(), jax.numpy_rank_promotion("allow"), jax.legacy_prng_key("allow"):
        yield


def _mend(library: Library) -> str:
    return f"pip install '{f'minied[{library.extra}]' if library.extra else 'minied'}'"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, ``1.0.1rc1`` as (1, 0)."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


class AdaptedEnvironment(Environment[LevelT, StateT]):
    """A world of another library. Subclass as a frozen dataclass whose fields are plain values."""

    library: ClassVar[Library]
    """Where the world is from."""
    offers: ClassVar[tuple[str, ...]] = ()
    """What its levels have beyond `sample`, told in lists without importing the library."""


# -- levels that hold a start ------------------------------------------------------------------------------------------


def pack(tree: Any) -> Any:
    """Return ``tree`` with typed keys as their words, ``u32[...]``: levels are compared and hashed by their numbers."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf), tree)


def unpack(packed: Any, like: Any) -> Any:
    """Return ``packed`` with keys where ``like`` (of the same structure: arrays, or shapes and types) has typed keys."""
    return jax.tree.map(lambda leaf, form: jax.random.wrap_key_data(leaf) if _is_key(form) else leaf, packed, like)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", jnp.int32), jax.dtypes.prng_key)


def tree_to_text(tree: Any) -> str:
    """Return a packed level as one line of JSON: its arrays by their paths. Host only."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return json.dumps(
        {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf).tolist() for path, leaf in leaves}
    )


def tree_from_text(text: str, like: Any) -> Any:
    """Return the level that `tree_to_text` wrote; ``like`` has its structure, shapes and types. Host only.

    Raises `UserError` for what is no JSON, and naming the array that is missing, unknown, or of other numbers.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"a level is no JSON ({error}); allowed: one object of arrays by name") from error
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    forms = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    if not isinstance(found, dict) or set(found) != set(forms):
        names = sorted(found) if isinstance(found, dict) else type(found).__name__
        raise UserError(f"a level has the arrays {names}; allowed: {', '.join(forms)}")
    return jax.tree.unflatten(structure, [_array_of(name, found[name], form) for name, form in forms.items()])


def _array_of(name: str, value: Any, form: Any) -> jax.Array:
    allowed = f"{form.dtype}{list(form.shape)}"
    try:
        array = np.asarray(value)
        exact = array.astype(form.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{name} of a level is no array ({error}); allowed: {allowed}") from error
    kinds = {"b": "b", "i": "i", "u": "i", "f": "if"}[form.dtype.kind]  # of what is read, by what it is to be
    if (array.size and array.dtype.kind not in kinds) or array.shape != form.shape:
        raise UserError(f"{name} of a level is {array.dtype}{list(array.shape)}; allowed: {allowed}")
    if form.dtype.kind in "iu" and not np.array_equal(exact, array):
        raise UserError(f"{name} of a level has numbers beyond {form.dtype}; allowed: {allowed}")
    return jnp.asarray(exact)


def sampled_suite(env: Environment, name: str, number: int, seed: int, description: str) -> tuple[Suite, ...]:
    """Return a suite of ``number`` levels of the world's own generator, drawn from ``seed``, the same at every call."""
    with jax.ensure_compile_time_eval():
        keys = jax.random.split(jax.random.key(seed), number)
        levels = jax.jit(jax.vmap(env.level_space.sample))(keys)
    return (Suite(name, env, levels, tuple(f"{name} {index}" for index in range(number)), description),)


# -- spaces ------------------------------------------------------------------------------------------------------------


def box(low: Any, high: Any, shape: tuple[int, ...]) -> Box:
    """Return the smallest `Box` that holds one whose bounds may differ from number to number."""
    return Box(float(np.min(np.asarray(low, np.float64))), float(np.max(np.asarray(high, np.float64))), tuple(shape))


@dataclasses.dataclass(frozen=True)
class BinnedActions:
    """Actions that are numbers in a box, cut into bins: minied's policies choose among finitely many.

    Number i of an action takes one of ``bins`` values, evenly from ``low[i]`` to ``high[i]``, both included.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    bins: int

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise UserError(f"action_bins is {self.bins}; allowed: at least 2")
        if not np.isfinite([*self.low, *self.high]).all():
            raise UserError(f"actions go from {self.low} to {self.high}; allowed: finite bounds, to be cut into bins")

    @classmethod
    def of(cls, low: Any, high: Any, shape: tuple[int, ...], bins: int) -> "BinnedActions":
        """Return the bins of a box with scalar bounds or a bound for each number."""
        bounds = (np.broadcast_to(np.asarray(bound, np.float64), shape).ravel().tolist() for bound in (low, high))
        return cls(*map(tuple, bounds), shape=tuple(shape), bins=bins)

    @property
    def space(self) -> Discrete | MultiDiscrete:
        """One choice of a bin for each number."""
        number = math.prod(self.shape)
        return Discrete(self.bins) if number == 1 else MultiDiscrete((self.bins,) * number)

    def decode(self, action: jax.Array) -> jax.Array:
        """Return the numbers ``f32[shape]`` of an action ``i32[]``."""
        space = self.space
        choices = jnp.stack(space.split(action)) if isinstance(space, MultiDiscrete) else action[None]
        low, high = (jnp.asarray(bound, jnp.float32) for bound in (self.low, self.high))
        return (low + (high - low) * choices.astype(jnp.float32) / (self.bins - 1)).reshape(self.shape)
