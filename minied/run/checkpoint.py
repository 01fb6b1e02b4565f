"""Checkpoints of the whole state of a run: the only module that knows orbax.

A checkpoint holds every leaf of the state, as NumPy arrays, and a small JSON page: counters, how many rows each file of
the run folder had, the config's fingerprint, and a digest of all leaves. It counts as saved once it has been read back
and its digest agrees; only then do older ones go. A damaged one is never deleted, and an older one stands in for it.
"""

import functools
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from minied import hosts
from minied.errors import UserError
from minied.run.folder import SCHEMA_VERSION
from minied.spread import fetched

_ITEMS = ("state", "meta")


class Restored(NamedTuple):
    """A checkpoint that was read back whole."""

    state: Any
    step: int
    counters: dict[str, Any]
    row_counts: dict[str, Any]
    notes: dict[str, Any]
    skipped: tuple[str, ...]  # one line for each newer checkpoint that is damaged


class _Found(NamedTuple):
    """A checkpoint as one process read it."""

    step: int
    meta: dict[str, Any]
    skipped: list[str]
    leaves: dict[str, np.ndarray]
    state: Any


class DamagedError(Exception):
    """A checkpoint is unreadable, torn, or not what was saved."""


class Checkpoints:
    """The checkpoints of one run, by iteration. Use as a context manager, or `close`."""

    def __init__(self, directory: Path, fingerprint: str, *, read_only: bool = False) -> None:
        _quieten_orbax()
        self.directory = directory
        self._manager: Any = None
        self._damaged: set[int] = set()  # seen by `restore`: they count for nothing, and stay as they are
        self.fingerprint = fingerprint
        if not hosts.is_primary():  # which writes and reads for all
            return
        alone = ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="minied"
        )
        options = ocp.CheckpointManagerOptions(
            multiprocessing_options=alone if hosts.count() > 1 else ocp.options.MultiprocessingOptions(),
            # Deletion is ours (see `_delete_older`): a policy of orbax's would delete before we have read back.
            preservation_policy=checkpoint_managers.LatestN(n=None),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            save_root_metadata=False,
            read_only=read_only,
            create=False,
        )
        self._manager = ocp.CheckpointManager(directory.absolute(), item_names=_ITEMS, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of orbax's threads."""
        if self._manager:
            self._manager.close()

    def steps(self) -> list[int]:
        """Return the iterations of all committed checkpoints, oldest first; damaged ones may be among them."""
        return json.loads(hosts.shared_text(json.dumps(self._steps() if hosts.is_primary() else [])))

    def _steps(self) -> list[int]:
        return sorted(int(step) for step in self._manager.all_steps())

    def save(
        self,
        step: int,
        state: Any,
        counters: Mapping[str, Any],
        row_counts: Mapping[str, Any],
        keep: int,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Save ``state`` as the checkpoint of iteration ``step``, then keep the newest ``keep``.

        Of several runs together ``counters`` and ``row_counts`` are by the number of each. ``notes`` are JSON data to be had
        back.
        Nothing old is deleted before the new one is read back. ``state`` may be donated once this returns. Raises
        `OSError` if what was written cannot be read back.
        """
        leaves = _host_leaves(state)
        key_impls = _key_impls(state)
        if hosts.is_primary():
            self._write(step, leaves, key_impls, counters, row_counts, keep, notes)
        hosts.meet(f"saved {step}")

    def _write(
        self,
        step: int,
        leaves: Mapping[str, np.ndarray],
        key_impls: Mapping[str, str],
        counters: Mapping[str, Any],
        row_counts: Mapping[str, Any],
        keep: int,
        notes: Mapping[str, Any] | None,
    ) -> None:
        meta = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": self.fingerprint,
            "counters": dict(counters),
            "row_counts": dict(row_counts),
            "notes": dict(notes or {}),
            "digest": _digest(leaves),
            "leaves": {name: [str(leaf.dtype), list(leaf.shape)] for name, leaf in leaves.items()},
            "key_impls": dict(key_impls),
        }
        self._make_room(step)
        saved = ocp.args.Composite(state=ocp.args.StandardSave(_numbered(leaves)), meta=ocp.args.JsonSave(meta))
        self._manager.save(step, args=saved, force=True)
        self._manager.wait_until_finished()
        try:
            self._read(step)
        except DamagedError as error:
            raise OSError(f"the checkpoint {self.directory / str(step)} was not written whole: {error}") from error
        self._delete_older(step, keep)

    def restore(self, template: Any, step: int | None = None) -> Restored:
        """Return the newest whole checkpoint, or that of iteration ``step``, in the structure of ``template``.

        ``template`` is a state, or its shapes (`jax.eval_shape`). Raises `UserError` if there is none, or if it belongs
        to another config.
        """
        return self._newest(step, lambda leaves, meta: _rebuild(template, leaves, meta["key_impls"]))

    def restore_part(self, part: str, step: int | None = None) -> Restored:
        """Return the leaves below ``part`` of a state, by the rest of their paths as `jax.tree_util.keystr` writes them.

        For who knows nothing of the run that saved them; arguments and errors as of `restore`.
        """

        def below(leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name.removeprefix(part): leaf for name, leaf in leaves.items() if name.startswith(part)}

        return self._newest(step, lambda leaves, _: below(leaves))

    def _newest(self, step: int | None, made_of: Callable[[dict[str, np.ndarray], dict[str, Any]], Any]) -> Restored:
        """Return what is ``made_of`` the leaves and the page of the newest whole checkpoint, or that of ``step``."""
        found = self._found(step, made_of) if hosts.count() == 1 else self._found_by_primary(step, made_of)
        meta = found.meta
        return Restored(
            found.state, found.step, meta["counters"], meta["row_counts"], meta.get("notes", {}), tuple(found.skipped)
        )

    def _found_by_primary(
        self, step: int | None, made_of: Callable[[dict[str, np.ndarray], dict[str, Any]], Any]
    ) -> "_Found":
        """Return on every process what is made of the bytes that the primary reads, or raise what it raises."""
        found, error = None, ""
        if hosts.is_primary():
            try:
                found = self._found(step, made_of)
            except UserError as raised:
                error = str(raised)
        page = [error] + ([found.step, found.meta, found.skipped] if found else [])
        error, *rest = json.loads(hosts.shared_text(json.dumps(page)))
        if error:
            raise UserError(error)
        leaves = hosts.shared_arrays(found.leaves if found else None)
        number, meta, skipped = rest
        return _Found(number, meta, skipped, leaves, made_of(leaves, meta))

    def _found(self, step: int | None, made_of: Callable[[dict[str, np.ndarray], dict[str, Any]], Any]) -> "_Found":
        steps = self._steps()
        if step is not None and step not in steps:
            raise UserError(f"--checkpoint is {step}; allowed: {', '.join(map(str, steps)) or 'none, none was saved'}")
        skipped = []
        for candidate in reversed(steps) if step is None else (step,):
            try:
                leaves, meta = self._read(candidate)
                state = made_of(leaves, meta)
            except DamagedError as error:
                skipped.append(f"the checkpoint of iteration {candidate} is damaged ({error})")
                self._damaged.add(candidate)
                continue
            if meta["fingerprint"] != self.fingerprint:
                raise UserError(f"{self.directory / str(candidate)} belongs to another config than config.json")
            return _Found(candidate, meta, skipped, leaves, state)
        raise UserError("; ".join(skipped) or f"{self.directory} has no checkpoint")

    def _read(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the leaves and the JSON page of a checkpoint. Raises `DamagedError` if anything is amiss."""
        try:
            page = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
            meta = dict(page["meta"])
            blank = {name: np.empty(shape, np.dtype(dtype)) for name, (dtype, shape) in meta["leaves"].items()}
            wanted = ocp.args.StandardRestore(_numbered(blank))
            arrays = self._manager.restore(step, args=ocp.args.Composite(state=wanted))["state"]
            leaves = {name: np.asarray(arrays.get(str(i), leaf)) for i, (name, leaf) in enumerate(blank.items())}
            digest, version = meta["digest"], meta["schema_version"]
        except Exception as error:  # orbax and tensorstore raise anything at all for a file that is broken
            raise DamagedError(f"unreadable: {type(error).__name__}") from error
        if version != SCHEMA_VERSION:
            raise UserError(f"the checkpoint {step} has schema_version {version!r}; allowed: {SCHEMA_VERSION}")
        if _digest(leaves) != digest:
            raise DamagedError("its digest differs from what was saved")
        return leaves, meta

    def _make_room(self, step: int) -> None:
        """Move a checkpoint of the same iteration out of the way: a damaged one, which a resumed run now repeats."""
        old = self.directory / str(step)
        if step not in self._steps():
            return
        aside = self.directory / "damaged"
        aside.mkdir(exist_ok=True)
        place = next(place for n in range(10**6) if not (place := aside / f"{step}-{n}").exists())
        old.rename(place)
        self._manager.reload()

    def _delete_older(self, step: int, keep: int) -> None:
        """Delete all but the newest ``keep`` checkpoints up to ``step``, which has been read back."""
        older = [each for each in self._steps() if each < step and each not in self._damaged]
        for each in older[: max(0, len(older) - (keep - 1))]:
            self._manager.delete(each)


@functools.cache
def _quieten_orbax() -> None:
    """Keep orbax's own words off the terminal: what is amiss with a checkpoint is told by us, in one line.

    It logs at every step, and reads of a damaged file that are still under way when it gives up end in a closed event
    loop, which Python would report with a traceback.
    """
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others


def _host_leaves(state: Any) -> dict[str, np.ndarray]:
    """Return copies of all leaves by path; typed keys as their data, with their kind in the name."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        # A copy, not a view: on CPU the array may share the device's memory, which the next chunk takes over.
        data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        leaves[_name(path, leaf)] = np.array(fetched(data), copy=True)
    return leaves


def _name(path: Any, leaf: Any) -> str:
    return jax.tree_util.keystr(path) + (f":{leaf.dtype}" if _is_key(leaf) else "")


def _numbered(leaves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the leaves under the names that orbax sees: a path holds signs that mean something to it.

    Without the arrays that have no elements, which orbax refuses: their shape on the JSON page says all.
    """
    return {str(i): leaf for i, leaf in enumerate(leaves.values()) if leaf.size}


def _rebuild(template: Any, leaves: Mapping[str, np.ndarray], key_impls: Mapping[str, str]) -> Any:
    """Return ``leaves`` in the structure of ``template``, whose leaves may be shapes.

    Raises `UserError` if they are not the leaves of such a state.
    """
    expected: dict[str, Any] = {}
    with_paths, treedef = jax.tree_util.tree_flatten_with_path(template)
    for path, like in with_paths:
        expected[_name(path, like)] = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
    for name in dict.fromkeys([*expected, *leaves]):
        want, found = (_shape(each.get(name)) for each in (expected, leaves))
        if want != found:
            raise UserError(f"the checkpoint does not fit this minied: {name} is {found}; allowed: {want}")
    arrays = {name: jax.numpy.array(leaves[name], copy=True) for name in expected}
    for name, impl in key_impls.items():
        arrays[name] = jax.random.wrap_key_data(arrays[name], impl=impl)
    return treedef.unflatten(arrays.values())


def _shape(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_impls(state: Any) -> dict[str, str]:
    """Return the name of the implementation of each typed key of ``state``."""
    with_paths = jax.tree_util.tree_leaves_with_path(state)
    return {_name(path, leaf): str(jax.random.key_impl(leaf)) for path, leaf in with_paths if _is_key(leaf)}


def _digest(leaves: Mapping[str, np.ndarray]) -> str:
    """Return a SHA-256 over the names, types, shapes and bytes of all leaves."""
    digest = hashlib.sha256()
    for name in sorted(leaves):
        leaf = leaves[name]
        digest.update(f"{name}|{leaf.dtype}|{leaf.shape}|".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
