"""Strict settings for every test: no silent broadcasting or promotion, typed keys only, two CPU devices."""

import atexit
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Most of the time of the tests is XLA compiling small programs; unoptimised code comes out three to four times sooner, and
# says the same. Read when the first computation begins, and inherited by the processes that tests start. The flag of
# jaxlib 0.10 is gone in 0.11, where XLA ends a process that asks for it.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
    + ["--xla_cpu_use_fusion_emitters=false"] * importlib.metadata.version("jaxlib").startswith("0.10.")
).strip()

# Two workers and the processes that they start compile many of the same programs: one finds what another has compiled. The
# folder lives as long as the process that makes it, the one in charge of the workers.
if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="minied-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_do_not_pile_up() -> Iterator[None]:
    """Forget compiled programs before a process runs out of memory maps.

    Each one holds several maps, and Linux grants a process 65,530; past them XLA crashes instead of raising. A worker that
    happens to get most of the large tests comes near that.
    """
    yield
    if _memory_maps() > 20_000:
        jax.clear_caches()


def _memory_maps() -> int:
    maps = Path("/proc/self/maps")  # Linux only
    return len(maps.read_bytes().splitlines()) if maps.exists() else 0


@pytest.fixture
def minied(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: its exit code, standard output, standard error."""
    from minied.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return run
