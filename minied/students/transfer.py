"""Going on from parameters that were learnt elsewhere: which are taken, which are drawn anew, and which are new?

Parameters are matched by their names, paths in the tree as `jax.tree_util.keystr` writes them. Letters: ``S`` members,
``Q`` members of the run that they come from.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError
from minied.students.base import Parameters

Reset = Literal["none", "last", "heads"]

_HEAD = re.compile(r"(policy|value)(_\d+)?(_hidden)?")
_LAST = (re.compile(r"entities/(joined|norm)"), re.compile(r"\w+_projection"), re.compile(r"memory/dense"))
"""The last dense layer before the memory, with its layer norm; before the heads where there is no memory: of a network with
entities, else of one that reads images so, else of one without memory."""


class Transfer(NamedTuple):
    """The names of a network's parameters by what becomes of them."""

    taken: tuple[str, ...]
    reset: tuple[str, ...]  # drawn anew though there were some
    new: tuple[str, ...]  # there were none


def match(
    shapes: Parameters, earlier: Mapping[str, np.ndarray], reset: Reset, source: str = "start_from.run"
) -> Transfer:
    """Return what becomes of each parameter of a network.

    ``none`` takes all that there are. ``last`` draws the last dense layer before the memory and its layer norm anew, as
    Baker et al. 2020 (arXiv 1909.07528) fine-tuned; ``heads`` the heads of the policy and the values.

    Args:
        shapes: the network's parameters, or their shapes, without members.
        earlier: parameters ``[Q, ...]`` by name.
        reset: which to draw anew.
        source: what to call ``earlier`` in errors.

    Raises `UserError` if a parameter that would be taken has another shape, if none is left to take, and if there is none of
    those to draw anew.
    """
    leaves = named(shapes)
    again = _reset_names(leaves, reset)
    taken, new = [], []
    for name, leaf in leaves.items():
        if name not in earlier:
            new.append(name)
        elif name not in again:
            there, here = earlier[name].shape[1:], leaf.shape
            if there != here:
                raise UserError(
                    f"{source} has {plain(name)} of shape {list(there)}; allowed: {list(here)}, as network and"
                    " observation have it here"
                )
            taken.append(name)
    if not taken:
        raise UserError(
            f"{source} has no parameter that this network has: {_example(earlier)} there and {_example(leaves)} here;"
            " allowed: a run with the same network and parts of the observation"
        )
    return Transfer(tuple(taken), tuple(name for name in leaves if name in again and name in earlier), tuple(new))


def take_over(fresh: Parameters, earlier: Mapping[str, np.ndarray], transfer: Transfer) -> Parameters:
    """Return ``fresh`` parameters ``[S, ...]`` with those in place that are taken: member i has those of member i mod Q."""

    def replaced(path: Any, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if name not in transfer.taken:
            return leaf
        members = np.arange(leaf.shape[0]) % earlier[name].shape[0]
        return jnp.asarray(earlier[name][members], leaf.dtype)

    return jax.tree_util.tree_map_with_path(replaced, fresh)


def named(tree: Any) -> dict[str, Any]:
    """Return the leaves by name."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def plain(name: str) -> str:
    """Return a parameter's name for people: ``encoder/own/kernel``."""
    return name.strip("[]'").replace("']['", "/")


def layers(names: tuple[str, ...]) -> str:
    """Return the layers of parameters for people, one after the other."""
    return ", ".join(dict.fromkeys(plain(name).rpartition("/")[0] or plain(name) for name in names))


def _reset_names(leaves: Mapping[str, Any], reset: Reset) -> set[str]:
    if reset == "none":
        return set()
    layer_of = {name: plain(name).rpartition("/")[0] for name in leaves}
    if reset == "heads":
        found = {name for name, layer in layer_of.items() if _HEAD.fullmatch(layer.rpartition("/")[2])}
    else:
        groups = [{name for name, layer in layer_of.items() if _ends_with(layer, last)} for last in _LAST]
        found = next((group for group in groups if group), set())
    if not found:
        raise UserError(f"start_from.reset is {reset!r}, and this network has no such layer; allowed: none, heads")
    return found


def _ends_with(layer: str, pattern: re.Pattern) -> bool:
    parts = layer.split("/")
    return any(pattern.fullmatch("/".join(parts[-length:])) for length in (1, 2))


def _example(names: Mapping[str, Any]) -> str:
    return plain(next(iter(names))) if names else "nothing"
