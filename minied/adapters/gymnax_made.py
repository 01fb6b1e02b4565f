"""What does gymnax make of a name and of settings, and what are the numbers that can be chosen in it?

Letter: ``h`` parameters that vary.
"""

import dataclasses
import functools
import math
import operator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from minied.adapters.base import Library, in_a_line, lenient, require
from minied.adapters.settings import arguments_of, parted, plain, require_known
from minied.errors import UserError, unknown_name

LIBRARY = Library(package="gymnax", module="gymnax", at_least="1.0.1", below="2", run_with="1.0.1", extra="")

USUAL = {
    "CartPole-v1": ("force_mag", "length", "masspole"),
    "Acrobot-v1": ("link_length_1", "link_mass_1", "link_mass_2", "link_moi"),
    "Pendulum-v1": ("g", "m", "l"),
    "MountainCar-v0": ("force", "gravity"),
    "MountainCarContinuous-v0": ("power", "gravity"),
}
"""What ``usual`` stands for: what Packer et al. (2018, "Assessing generalization in deep reinforcement learning") vary, as
far as gymnax has it as a parameter. Of other environments nothing."""

DERIVED = {
    "total_mass": (("masscart", "masspole"), operator.add),
    "polemass_length": (("masspole", "length"), operator.mul),
}
"""Parameters (of CartPole) that follow from others, of which gymnax does not compute them again."""

HORIZON = "max_steps_in_episode"

Kind = Literal["float", "int", "bool"]


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
    """An environment of gymnax and its parameters, one object for equal names and settings."""

    name: str
    env: Any
    parameters: Any

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters by name, those included that follow from others."""
        if not dataclasses.is_dataclass(self.parameters):
            return {}
        return {field.name: getattr(self.parameters, field.name) for field in dataclasses.fields(self.parameters)}

    def with_numbers(self, numbers: dict[str, Any]) -> Any:
        """Return the parameters with other ``numbers``, and with what follows from them."""
        return with_derived(dataclasses.replace(self.parameters, **numbers), numbers) if numbers else self.parameters


def with_derived(parameters: Any, changed: Any) -> Any:
    """Return ``parameters`` with those of `DERIVED` computed again that follow from one of the names in ``changed``."""
    for name, (sources, combine) in DERIVED.items():
        is_known = all(hasattr(parameters, each) for each in (name, *sources))
        if is_known and any(source in changed for source in sources):
            value = combine(*(getattr(parameters, source) for source in sources))
            parameters = dataclasses.replace(parameters, **{name: value})
    return parameters


@functools.cache
def make(name: str, settings: tuple[str, ...]) -> Made:
    """Return the environment that gymnax has under ``name``, with ``settings``, each ``NAME=VALUE``.

    A setting is a parameter or else an argument of the environment's class. Raises `UserError` for an unknown name and for
    what gymnax refuses.
    """
    gymnax = require(LIBRARY)
    if name not in gymnax.registered_envs:
        raise unknown_name("environment of gymnax", name, list(gymnax.registered_envs))
    with lenient(), jax.ensure_compile_time_eval():  # what it makes are constants, whoever is being traced
        found = _made(gymnax, name, {})
        given = parted(settings, "gravity=12")
        arguments = {key: plain(text) for key, text in given.items() if key not in found.defaults}
        if arguments:
            known = arguments_of(type(found.env))
            if known is not None and not type(found.env).__module__.startswith("minied."):
                require_known(f"parameter or argument of {found.name}", arguments, [*found.defaults, *known])
            found = _made(gymnax, name, arguments)
        values = {key: _value(found, key, text) for key, text in given.items() if key in found.defaults}
        return dataclasses.replace(found, parameters=found.with_numbers(values))


def _made(gymnax: Any, name: str, arguments: dict[str, Any]) -> Made:
    try:
        return Made(name, *gymnax.make(name, **arguments))
    except Exception as error:  # it is somebody else's code
        told = f" with {arguments}" if arguments else ""
        raise UserError(f"gymnax does not make {name!r}{told}: {in_a_line(error)}") from error


def _value(found: Made, name: str, text: str) -> Any:
    """Return a parameter's value. Raises `UserError` for one of another kind than the default."""
    require_free(found, name, "set")
    default, value = found.defaults[name], plain(text)
    if np.ndim(default):
        array = np.asarray(value if isinstance(value, list) else 0.0)
        if array.shape != np.shape(default) or array.dtype.kind not in "iuf":
            raise UserError(
                f"set has {name}={text}; allowed: {list(np.shape(default))} numbers as a list, such as {name}="
                f"{np.asarray(default).tolist()}"
            )
        return jnp.asarray(array, np.asarray(default).dtype)
    kind = kind_of(default)
    kinds = {"float": (int, float), "int": (int,), "bool": (bool,), None: ()}[kind]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind != "bool") or not math.isfinite(value):
        words = {
            "float": "a number",
            "int": "a whole number",
            "bool": "true or false",
            None: "no setting: it is no number",
        }
        raise UserError(f"set has {name}={text}; allowed: {words[kind]}")
    return float(value) if kind == "float" else value


def kind_of(default: Any) -> Kind | None:
    """Return what kind of number the default of a parameter is; None: it is no single number."""
    is_scalar = isinstance(default, (bool, int, float)) or (hasattr(default, "dtype") and np.ndim(default) == 0)
    kinds: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool"}
    return kinds.get(np.asarray(default).dtype.kind) if is_scalar else None


def require_free(found: Made, name: str, field: str) -> None:
    """Raise `UserError` for a parameter that nobody may choose: it has an option of its own, or follows from others."""
    if name == HORIZON:
        raise UserError(f"{field} has {name!r}; allowed: parameters but this one, which is the option max_steps")
    sources = DERIVED[name][0] if name in DERIVED else ()
    if sources and all(source in found.defaults for source in sources):
        raise UserError(f"{field} has {name!r}, which follows from {' and '.join(sources)}; allowed: those")
