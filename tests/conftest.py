"""Strict settings for every test: no silent broadcasting or promotion, typed keys only, two CPU devices."""

import os

# Most of the time of the tests is XLA compiling small programs; unoptimised code comes out three to four times sooner, and
# says the same. Read when the first computation begins, and inherited by the processes that tests start.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_use_fusion_emitters=false", "--xla_backend_optimization_level=0"]
).strip()

import jax

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")
