"""What the adapters share: a library that may be missing or of another version, and worlds that it has the rules of.

An adapter is a family of modules. It names its `Library`, imports it by `require` inside functions only, and describes the
worlds of it as an `AdaptedEnvironment`, whose fields are strings and numbers: the library's own object is made of them when
it is needed (and kept by a cache), so that a world stays hashable and a config stays text.
"""

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import io
import math
import sys
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

NO_BOUND = 1e38
"""Finite, and so is twice of it: networks are shaped by a sample of a space."""
MOST_BINS = 64
"""Values up to which a number of an action is cut: each is a choice that a policy weighs."""


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
    import, naming the extra that installs it, and for a version that is not supported. ``require(world.library)`` is all
    that is to be asked before a world is played, be it the class of an `AdaptedEnvironment` or one of its instances.
    """
    try:
        found = importlib.metadata.version(library.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(f"{library.package} is not installed; {mend(library)}") from error
    if not _numbers(library.at_least) <= _numbers(found) < _numbers(library.below):
        raise UserError(
            f"{library.package} is {found}; allowed: {library.at_least} or newer, below {library.below} (the adapter was"
            f" run with {library.run_with}); {mend(library)}"
        )
    return _imported(library)


@functools.cache
def _imported(library: Library) -> types.ModuleType:
    try:
        with (
            _kept_streams(),
            quiet(),
            jax.ensure_compile_time_eval(),
        ):  # modules hold arrays, which a trace must not own
            return importlib.import_module(library.module)
    except (Exception, SystemExit) as error:  # it is somebody else's code, which may also want to end ours
        raise UserError(f"{library.package} does not import ({in_a_line(error)}); {mend(library)}") from error


@contextlib.contextmanager
def _kept_streams():
    """Keep the streams as they are: JaxMARL 0.2.0 without brax sets them anew as it is imported, and prints."""
    kept = sys.stdout, sys.stderr, sys.__stdout__
    sys.__stdout__ = io.StringIO()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout, sys.stderr, sys.__stdout__ = kept


def in_a_line(error: BaseException) -> str:
    """Return what an error says without its line breaks, or its kind if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


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


def is_installed(library: Library) -> bool:
    """Return whether some version of ``library`` is installed; it is not imported."""
    try:
        importlib.metadata.version(library.package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def mend(library: Library) -> str:
    """Return the command that installs ``library`` in a version that minied was run with."""
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


def require_bins(number: int) -> None:
    """Raise `UserError` for an option ``action_bins`` that cannot be."""
    if not 2 <= number <= MOST_BINS:
        raise UserError(f"action_bins is {number}; allowed: 2 to {MOST_BINS}")


def require_finite(name: str, value: float) -> None:
    """Raise `UserError` for an option that is infinite or NaN."""
    if not math.isfinite(value):
        raise UserError(f"{name} is {value}; allowed: a finite number")


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
        require_bins(self.bins)
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
