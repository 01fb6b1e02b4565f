"""A recurrence that is linear in its state, and memory cells made of it: no chain of matrix products, forwards or backwards.

    h_t = a_t h_{t−1} + b_t,  elementwise, with a_t = 0 where an episode starts

Its derivative is the same recurrence run backwards. Since it is associative, a processor with many lanes may compute it by
halves in log₂ T rounds; a CPU is faster one step after the other, which reads and writes everything once.

Letters: ``T`` steps, ``M`` rows, ``E`` inputs, ``U`` units, ``P`` complex states, ``L`` layers.
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from minied.students.networks.affine import Affine, Precision, on_last_axis, product

Method = Literal["steps", "halves"]


def linear_recurrence(decay: jax.Array, inputs: jax.Array, start: jax.Array, method: Method | None = None) -> jax.Array:
    """Return h_1 … h_T, ``[T, ...]``.

    Args:
        decay: a, ``[T, ...]``, real or complex.
        inputs: b, ``[T, ...]``.
        start: h_0, ``[...]``.
        method: one step after the other, or by halves (`jax.lax.associative_scan`); by default what suits the backend.
    """
    if method is None:
        method = "steps" if jax.default_backend() == "cpu" else "halves"
    return _recurrence(method, decay, inputs, start)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(method: Method, decay: jax.Array, inputs: jax.Array, start: jax.Array) -> jax.Array:
    return _run(method, decay, inputs, start)


def _run(method: Method, decay: jax.Array, inputs: jax.Array, start: jax.Array, *, reverse: bool = False) -> jax.Array:
    if method == "steps":

        def step(state: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            state = now[0] * state + now[1]
            return state, state

        return jax.lax.scan(step, start, (decay, inputs), reverse=reverse)[1]
    first = -1 if reverse else 0
    inputs = inputs.at[first].add(decay[first] * start)
    _, states = jax.lax.associative_scan(_compose, (decay, inputs), reverse=reverse)
    return states


def _compose(earlier: tuple[jax.Array, jax.Array], later: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]


def _forward(method: Method, decay: jax.Array, inputs: jax.Array, start: jax.Array):
    states = _run(method, decay, inputs, start)
    return states, (decay, states, start)


def _backward(method: Method, saved: tuple[jax.Array, jax.Array, jax.Array], d_states: jax.Array):
    decay, states, start = saved
    # d_b[t] = d_h[t] + a[t+1] d_b[t+1]: the recurrence backwards, with the decays one step later.
    later = jnp.concatenate([decay[1:], jnp.zeros_like(decay[:1])])
    d_inputs = _run(method, later, d_states, jnp.zeros_like(start), reverse=True)
    before = jnp.concatenate([start[None], states[:-1]])
    return d_inputs * before, d_inputs, decay[0] * d_inputs[0]


_recurrence.defvjp(_forward, _backward)


class MinGRU(nn.Module):
    """minGRU: a gated unit whose gate and candidate read the input alone (Feng et al. 2024, arXiv 2410.01201, section 3.1).

    ``z_t = σ(W_z x_t)``, ``h_t = (1 − z_t) h_{t−1} + z_t g(W_h x_t)`` with ``g(x) = x + ½`` for x ≥ 0 and ``σ(x)`` below,
    which keeps states positive (appendix B.3). Then a linear map of the state, so that what heads read may have either
    sign: ours.
    """

    size: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array, reset: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``(f32[M, U], f32[T, M, E], bool[T, M]) -> (f32[M, U], f32[T, M, U])``."""
        gate, candidate = jnp.split(_dense(2 * self.size, "gate_and_candidate", inputs, self.precision), 2, axis=-1)
        gate = jax.nn.sigmoid(gate)
        candidate = jnp.where(candidate >= 0, candidate + 0.5, jax.nn.sigmoid(candidate))
        decay = jnp.where(reset[..., None], 0.0, 1.0 - gate)
        states = linear_recurrence(decay, gate * candidate, carry)
        return states[-1], _dense(self.size, "read", states, self.precision)


class S5(nn.Module):
    """A stack of S5 layers (Smith, Warrington and Linderman 2023, arXiv 2208.04933) that forgets at resets (Lu et al. 2023).

    A layer: ``x_t = Λ̄ x_{t−1} + B̄ u_t``, ``y_t = 2 Re(C x_t) + D u_t``, zero-order hold with a step size of each state; then
    a gated linear unit of ``gelu(y)``, added to what came in, which was normalised first. Λ starts as ``−½ + iπn`` (S4D-Lin,
    Gu et al. 2022), where S5 has the eigenvalues of HiPPO-LegS: the same spectrum to first order, without its computation.
    """

    size: int
    num_layers: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, carry: jax.Array, inputs: jax.Array, reset: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``(f32[M, L, 2, P], f32[T, M, E], bool[T, M]) -> (f32[M, L, 2, P], f32[T, M, U])``."""
        stream, ends = _dense(self.size, "encode", inputs, self.precision), []
        for layer in range(self.num_layers):
            state = jax.lax.complex(carry[:, layer, 0], carry[:, layer, 1])
            state, stream = S5Layer(self.size, self.precision, name=f"layer_{layer}")(state, stream, reset)
            ends.append(jnp.stack([state.real, state.imag], axis=1))
        return jnp.stack(ends, axis=1), stream


class S5Layer(nn.Module):
    """One layer, see `S5`; ``P = U / 2``."""

    size: int
    precision: Precision = "float32"

    @nn.compact
    def __call__(self, state: jax.Array, inputs: jax.Array, reset: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``(c64[M, P], f32[T, M, U], bool[T, M]) -> (c64[M, P], f32[T, M, U])``."""
        num_states = self.size // 2
        read_init = nn.initializers.lecun_normal()
        real = self.param("log_decay", lambda _, n: jnp.full(n, np.log(0.5), jnp.float32), num_states)
        imaginary = self.param("frequency", lambda _, n: jnp.pi * jnp.arange(n, dtype=jnp.float32), num_states)
        log_step = self.param("log_step", _log_steps, num_states)
        into = self.param("B", read_init, (self.size, 2 * num_states))
        out = self.param("C", read_init, (2 * num_states, self.size))
        through = self.param("D", nn.initializers.normal(1.0), (self.size,))

        eigenvalues = jax.lax.complex(-jnp.exp(real), imaginary)
        decay = jnp.exp(eigenvalues * jnp.exp(log_step))
        signal = nn.LayerNorm(name="norm")(inputs)
        driven = product(signal, into, self.precision)
        driven = jax.lax.complex(driven[..., :num_states], driven[..., num_states:])
        driven = driven * on_last_axis((decay - 1.0) / eigenvalues, driven)
        states = linear_recurrence(jnp.where(reset[..., None], 0.0, on_last_axis(decay, driven)), driven, state)
        seen = product(jnp.concatenate([states.real, -states.imag], axis=-1), 2.0 * out, self.precision)
        seen = seen + on_last_axis(through, signal) * signal
        value, gate = jnp.split(_dense(2 * self.size, "gated", nn.gelu(seen), self.precision), 2, axis=-1)
        return states[-1], inputs + value * jax.nn.sigmoid(gate)


def _dense(size: int, name: str, inputs: jax.Array, precision: Precision) -> jax.Array:
    """Return a new layer's outputs; to be called inside of a compact module."""
    return Affine(size, name=name)(inputs.shape[-1])(inputs, precision)


def _log_steps(key: jax.Array, number: int) -> jax.Array:
    """Return logarithms of step sizes, log-uniform in [0.001, 0.1] as S5 has them."""
    return jax.random.uniform(key, (number,), minval=np.log(1e-3), maxval=np.log(1e-1))
