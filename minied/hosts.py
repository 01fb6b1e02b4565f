"""Several processes as one run, each with devices of its own: who starts them, who writes, and what they agree on.

All processes compute the same program on their parts, and the same Python around it. The first one, the *primary*, alone
writes and prints; what it alone knows (a file, a clock) is told to the others before anything is decided by it. Without
`start` there is one process, and nothing here costs anything.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from minied.errors import UserError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class HostOptions:
    """How the processes of a run meet. All of them are started with the same options, but for their number."""

    distributed: bool = False
    """One run over several processes, which meet by Slurm's variables: under srun."""
    coordinator: str = ""
    """One run over several processes, which meet at this host:port, that of the first of them."""
    num_processes: int = 0
    """How many processes, with --coordinator."""
    process_id: int = -1
    """Which of them this is, from 0, with --coordinator."""


def start(coordinator: str = "", num_processes: int = 0, process_id: int = -1, *, slurm: bool = False) -> None:
    """Join the processes of a run, before anything is computed.

    Args:
        coordinator: address ``host:port`` of the first process, at which it listens.
        num_processes: how many there are.
        process_id: which one this is, from 0.
        slurm: take all three from Slurm's variables.

    Raises `UserError` for options that do not go together, and if the others are not met.
    """
    if not (coordinator or slurm):
        if num_processes or process_id >= 0:
            raise UserError("--num-processes and --process-id are set without --coordinator; allowed: all three")
        return
    if slurm and coordinator:
        raise UserError("--distributed and --coordinator are both set; allowed: one, Slurm's variables or yours")
    arguments: dict[str, Any] = {}
    if slurm:
        missing = [name for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID") if name not in os.environ]
        if missing:
            raise UserError(
                f"--distributed needs Slurm's variables, and {', '.join(missing)} is not set; allowed: under srun, or"
                " --coordinator HOST:PORT --num-processes N --process-id I"
            )
        if int(os.environ["SLURM_NTASKS"]) == 1:
            return
        if os.environ.get("SLURM_NTASKS") == os.environ.get("SLURM_NNODES"):
            # One process a host: all of its accelerators are its own, where jax would take one a process.
            visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
            arguments = {"local_device_ids": list(range(len(visible)))} if visible else {}
    else:
        if num_processes < 1 or not 0 <= process_id < num_processes:
            raise UserError(
                f"--num-processes is {num_processes} and --process-id is {process_id}; allowed with --coordinator: at least"
                " 1, and 0 to that less 1"
            )
        if ":" not in coordinator:
            raise UserError(f"--coordinator is {coordinator!r}; allowed: HOST:PORT")
        arguments = {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
    try:
        jax.distributed.initialize(**arguments)
    except RuntimeError as error:
        raise UserError(f"the processes of the run did not meet: {' '.join(str(error).split())[:300]}") from error


def count() -> int:
    """Return how many processes there are."""
    return jax.process_count()


def is_primary() -> bool:
    """Return whether this process writes and prints."""
    return jax.process_index() == 0


def agreed(value: int) -> int:
    """Return the primary's value. All processes have to ask."""
    return value if count() == 1 else int(shared(np.asarray(value, np.int32)))


def any_says(value: int) -> int:
    """Return the highest value of any process. All processes have to ask."""
    if count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.asarray(value, np.int32))))


def meet(name: str) -> None:
    """Wait until all processes are here."""
    if count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def shared(tree: T) -> T:
    """Return the primary's NumPy arrays; the others give arrays of the same shapes and types. All have to ask."""
    if count() == 1:
        return tree
    from jax.experimental import multihost_utils

    leaves, structure = jax.tree.flatten(tree)
    # As bytes: they survive the sum over processes by which they travel, whatever they stand for.
    raw = [np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) for leaf in leaves]
    told = multihost_utils.broadcast_one_to_all(raw)
    found = [
        np.asarray(each).astype(np.uint8).view(np.asarray(leaf).dtype).reshape(np.shape(leaf))
        for each, leaf in zip(told, leaves, strict=True)
    ]
    return structure.unflatten(found)


def shared_text(text: str) -> str:
    """Return the primary's text. All have to ask."""
    if count() == 1:
        return text
    data = np.frombuffer(text.encode(), np.uint8)
    size = agreed(data.size)
    return shared(data if is_primary() else np.zeros(size, np.uint8)).tobytes().decode()


def shared_arrays(arrays: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return the primary's arrays by name; the others give None. All have to ask."""
    if count() == 1:
        return dict(arrays or {})
    import json

    form = {name: (str(each.dtype), each.shape) for name, each in (arrays or {}).items()}
    form = json.loads(shared_text(json.dumps(form)))
    blank = {name: np.zeros(shape, np.dtype(dtype)) for name, (dtype, shape) in form.items()}
    return shared(dict(arrays) if arrays is not None else blank)
