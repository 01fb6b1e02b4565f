"""Which rulesets of XLand-MiniGrid are in a file? Read from NumPy's ``.npz``, with all that can be wrong told in a line.

The library's own files are pickles, which may hold code, and are not read: who trusts one converts it. Letters: ``n``
rulesets, ``R`` rules, ``I`` things.
"""

import functools
import os
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from minied.adapters.base import in_a_line
from minied.adapters.xminigrid_rulesets import are_goals, are_rules, are_tiles
from minied.errors import UserError

LARGEST_BENCHMARK = 2**26
"""Bytes of a benchmark's arrays, which become constants of the compiled program."""
_LAST = {"goals": (5,), "rules": (None, 7), "init_tiles": (None, 2)}  # of each shape all but n; None: any number
_KNOWN = {"goals": are_goals, "rules": are_rules, "init_tiles": are_tiles}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Benchmark(struct.PyTreeNode):
    """Rulesets of a file, ``n`` of them."""

    goals: jax.Array  # u8[n, 5]
    rules: jax.Array  # u8[n, R, 7]
    init_tiles: jax.Array  # u8[n, I, 2]


@functools.cache
def read_benchmark(path: str) -> Benchmark:
    """Return the rulesets of a file of NumPy's (``.npz``). Raises `UserError` for another file, and for other numbers."""
    told = f"benchmark is {path!r}"
    if path.rpartition(".")[2] != "npz":
        raise UserError(
            f"{told}; allowed: a file .npz, such as b = xminigrid.load_benchmark(name); numpy.savez(file, goals=b.goals,"
            " rules=b.rules, init_tiles=b.init_tiles) writes (the library's own are pickles, which may hold code)"
        )
    if not os.path.isfile(path):
        raise UserError(f"{told}, and there is no such file; allowed: a file of rulesets")
    try:
        with zipfile.ZipFile(path) as file:
            headers = {name: _header(file, name) for name in _LAST}
        _check_shapes(told, headers)  # before what they say is taken into memory
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _LAST}
    except UserError:
        raise
    except Exception as error:  # a damaged file is found out by whatever reads it
        raise UserError(f"{told}, which cannot be read ({in_a_line(error)}); allowed: {', '.join(_LAST)}") from error
    return Benchmark(**{name: _bytes(told, name, array) for name, array in arrays.items()})


def _header(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type of an array in a file, without reading it."""
    with file.open(f"{name}.npy") as member:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(member)](member)
    return shape, dtype


def _check_shapes(told: str, headers: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    number = headers["goals"][0][:1]
    for name, (shape, dtype) in headers.items():
        fits = len(shape) == 1 + len(_LAST[name]) and all(
            want in (None, have) for want, have in zip(_LAST[name], shape[1:], strict=True)
        )
        if not fits or dtype.kind not in "iu" or 0 in shape or shape[:1] != number:
            raise UserError(f"{told}, whose {name} is {dtype}{list(shape)}; allowed: integers, n rows of {_LAST[name]}")
    size = sum(int(np.prod(shape, dtype=object)) for shape, _ in headers.values())
    if size > LARGEST_BENCHMARK:
        raise UserError(f"{told} of {size} bytes; allowed: at most {LARGEST_BENCHMARK}, a part of it")


def _bytes(told: str, name: str, array: np.ndarray) -> jax.Array:
    """Return integers as bytes ``u8[...]``. Raises `UserError` for a row that stands for nothing."""
    is_byte = (array >= 0) & (array < 256)
    with jax.ensure_compile_time_eval():
        found: Any = jnp.asarray(array, jnp.uint8)
        wrong = ~is_byte.all(axis=-1) | ~np.asarray(_KNOWN[name](found))
    if wrong.any():
        place = np.argwhere(wrong)[0].tolist()
        row = array[tuple(place)].tolist()
        raise UserError(
            f"{told}, whose {name}{place} is {row}; allowed: kinds, tiles and colours of xminigrid's encoding"
        )
    return found
