"""What of another library's trees of arrays becomes a level: its types, and its text.

All but `with_types` are for the host only.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.errors import UserError


def is_key(leaf: Any) -> bool:
    """Return whether an array, or a shape and type, is of typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def with_types(tree: Any, form: Any) -> Any:
    """Return ``tree`` with the types of ``form``, none of them weak: one program for all. Keys stay as they are."""
    cast = [
        leaf if is_key(like) else jnp.asarray(leaf, like.dtype)
        for leaf, like in zip(jax.tree.leaves(tree), jax.tree.leaves(form), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(form), cast)


def tree_to_text(tree: Any) -> str:
    """Return a level as one line of JSON: its arrays, none of them keys, by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return json.dumps(
        {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf).tolist() for path, leaf in leaves}
    )


def tree_from_text(text: str, like: Any) -> Any:
    """Return the level that `tree_to_text` wrote; ``like`` has its structure, shapes and types.

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


def require_finite_leaves(level: Any) -> None:
    """Raise `UserError` naming an array of a level that has a number which is infinite or NaN."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(level):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(np.asarray(leaf)).all():
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise UserError(f"{name} of a level has numbers that are infinite or NaN; allowed: finite numbers")
