"""Are two trees of arrays of one form, and do they hold the same numbers? In words, where not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minied.testing.report import Failure


def form_of(tree: Any) -> dict[str, str]:
    """Return the form of each leaf by its path: ``int32[3]``, with ``weak`` where JAX may still change the type."""
    return {
        jax.tree_util.keystr(path) or "itself": _form(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _form(leaf: Any) -> str:
    shaped = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    weak = " weak" if getattr(shaped, "weak_type", not hasattr(leaf, "dtype")) else ""
    return f"{shaped.dtype}{list(shaped.shape)}{weak}"


def require_same_form(expected: Any, found: Any, told: str, look_at: Any) -> None:
    """Raise `Failure` that names the first leaf in which two trees have other shapes or types."""
    before, after = form_of(expected), form_of(found)
    if (one := jax.tree.structure(expected)) != (other := jax.tree.structure(found)):
        raise Failure(f"{told}: its structure is {other}, not {one}"[:400], look_at)
    for path, form in before.items():
        if after[path] != form:
            raise Failure(f"{told}: {path} is {after[path]}, not {form}", look_at)


def difference(expected: Any, found: Any, *, exact: bool = False) -> str:
    """Return in words the first leaf in which two trees of numbers differ, or an empty string if they are alike.

    Floating numbers may differ by rounding unless ``exact``: compiled and uncompiled programs round differently.
    """
    if jax.tree.structure(expected) != jax.tree.structure(found):
        return "their structures differ"
    pairs = zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(found), strict=True)
    for (path, one), other in pairs:
        one, other = (_numbers(each) for each in (one, other))
        if one.shape != other.shape:
            return f"{jax.tree_util.keystr(path) or 'it'} is {list(other.shape)}, not {list(one.shape)}"
        if exact or one.dtype.kind != "f":
            alike = one == other if one.dtype.kind != "f" else (one == other) | (np.isnan(one) & np.isnan(other))
        else:
            alike = np.isclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
        if not np.all(alike):
            place = tuple(int(i) for i in np.argwhere(~np.atleast_1d(alike))[0])
            values = [np.atleast_1d(each)[place] for each in (one, other)]
            return f"{jax.tree_util.keystr(path) or 'it'} is {values[1]}, not {values[0]}, at {list(place)}"
    return ""


def _numbers(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(getattr(leaf, "dtype", jnp.int32), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def row_of(tree: Any, index: Any) -> Any:
    """Return row ``index`` of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def changed_rows(before: Any, after: Any) -> np.ndarray:
    """Return in which rows two trees of arrays ``[L, ...]`` differ anywhere, ``bool[L]``; keys are not looked at."""
    changed = np.zeros(len(jax.tree.leaves(before)[0]), bool)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            changed |= np.asarray(differs(one, other)).reshape(len(changed), -1).any(axis=1)
    return changed


def differs(one: Any, other: Any) -> Any:
    """Return where two arrays differ, ``bool`` of their shape; NaN is equal to NaN."""
    return (one != other) & ~((one != one) & (other != other))


def is_renumbered(before: Any, after: Any) -> bool:
    """Return whether each leaf of two trees holds the same rows, if in another order: things that changed their numbers."""

    def rows(leaf: Any) -> list[bytes]:
        return sorted(row.tobytes() for row in np.atleast_1d(np.asarray(leaf)))

    return all(
        rows(one) == rows(other) for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    )


def num_traces(compiled: Any) -> int:
    """Return how many programs a jitted function holds."""
    return compiled._cache_size()
