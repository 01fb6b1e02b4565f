"""Is a random key used twice? Read off a traced function, whether its keys are typed or raw words.

JAX's own check of key reuse knows typed keys. Many worlds keep raw ones, and keep them in their state, from where the
same key is taken at every step. Here every value of a program gets a number, equal for values that are computed alike
from equal inputs, through calls, branches and loops; and no key may be consumed (split, or bits drawn) under one number
twice. Two draws by ``fold_in`` of different data are different keys.

What JAX does with a key within one call of its own, of `jax.random.poisson` for one, is its own affair: it computes
several ways to draw from one key, and takes the result of one of them.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from minied.testing.report import is_users

_CONSUMES = ("random_bits", "random_gamma", "random_split", "threefry2x32")
_OF_RANDOM = os.path.join(os.path.dirname(os.path.abspath(jax.__file__)), "_src", "random")  # a module or a package
_LOOPS = ("scan", "while")
_CONSTANT = ("constant",)


@dataclasses.dataclass(frozen=True)
class Reuse:
    """A key that is used again."""

    where: str
    """``file:line`` of the second use, if it is known."""
    first: str
    """Of the first."""
    constant: bool
    """Whether the key is made of constants alone: the same numbers at every call."""


def key_reuses(function: Callable[..., Any], *arguments: Any) -> list[Reuse]:
    """Return every use of a key in ``function(*arguments)`` that was used before, in the order of the program."""
    closed = jax.make_jaxpr(function)(*arguments)
    reader = _Reader()
    inputs = [reader.number(("input", index)) for index in range(len(closed.jaxpr.invars))]
    reader.read(closed.jaxpr, inputs, [reader.constant(value) for value in closed.consts])
    return reader.found


class Use(NamedTuple):
    """Where a key was consumed."""

    place: str
    call: Any
    """Of a function of `jax.random`: what tells the calls apart. None for no such call."""
    stack: Any
    """The lines of `jax.random` itself on the way."""


def _is_one_call(one: Use, other: Use) -> bool:
    """Return whether two uses of a key lie within one call of `jax.random`.

    A function that is compiled within the program is one call each time that it is read. One that JAX writes out into the
    program is known by the place it was called from; the same lines of it a second time are a second call.
    """
    if one.call is None or one.call != other.call:
        return False
    return isinstance(one.call, int) or one.stack != other.stack


class _Reader:
    """Numbers the values of a program and remembers which keys were consumed, and where."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.from_input: set[int] = set()
        self.used: dict[int, tuple[Use, ...]] = {}
        self.repeated: set[int] = set()
        """What holds one key several times."""
        self.found: list[Reuse] = []
        self.place = ""
        """Of the innermost call in the user's code: what it calls may have been traced elsewhere before."""
        self.call = 0
        """The compiled function of `jax.random` that is being read, a number of its own for each call; 0 outside."""
        self.num_calls = 0

    def number(self, origin: Any, parents: tuple[int, ...] = ()) -> int:
        number = self.numbers.setdefault(origin, len(self.numbers))
        if origin[0] == "input" or any(parent in self.from_input for parent in parents):
            self.from_input.add(number)
        return number

    def constant(self, value: Any) -> int:
        small = getattr(value, "size", 1) <= 16 and not jnp.issubdtype(
            getattr(value, "dtype", jnp.int32), jax.dtypes.extended
        )
        return self.number((*_CONSTANT, str(value) if small else id(value)))

    def read(self, jaxpr: Any, inputs: list[int], constants: list[int]) -> list[int]:
        """Return the numbers of what ``jaxpr`` returns, given those of its inputs and constants."""
        known = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, inputs, strict=True))

        def number_of(atom: Any) -> int:
            return self.constant(atom.val) if hasattr(atom, "val") else known[atom]

        outer = self.place
        for equation in jaxpr.eqns:
            numbers = [number_of(atom) for atom in equation.invars]
            self.place = _place(equation) or outer
            known.update(zip(equation.outvars, self._outputs(equation, numbers), strict=True))
        self.place = outer
        return [number_of(atom) for atom in jaxpr.outvars]

    def _outputs(self, equation: Any, inputs: list[int]) -> list[int]:
        name, params = equation.primitive.name, equation.params
        if name == "cond":
            return self._branches(equation, inputs)
        if name in _LOOPS:
            return self._loop(equation, inputs)
        inner = params.get("jaxpr") or params.get("call_jaxpr") or params.get("fun_jaxpr")
        if inner is not None and hasattr(getattr(inner, "jaxpr", inner), "eqns"):
            closed = inner if hasattr(inner, "consts") else None
            jaxpr = inner.jaxpr if closed is not None else inner
            constants = [self.constant(value) for value in closed.consts] if closed is not None else []
            if len(jaxpr.invars) == len(inputs):
                return self._called(jaxpr, inputs, constants)
        if name in _CONSUMES:
            self._consume(equation, tuple(inputs[: 2 if name == "threefry2x32" else 1]))
        if name == "random_wrap" or name == "random_unwrap":
            # A key and its words are the same thing, however often it is wrapped.
            return inputs
        described = (name, str(params) if len(params) < 12 else id(equation), tuple(inputs))
        outputs = [self.number((described, index), tuple(inputs)) for index in range(len(equation.outvars))]
        if name == "broadcast_in_dim" and equation.outvars[0].aval.size > equation.invars[0].aval.size:
            self.repeated.update(outputs)
        return outputs

    def _called(self, jaxpr: Any, inputs: list[int], constants: list[int]) -> list[int]:
        """Read what a call holds, as a call of `jax.random` if it is one that stands in the user's code."""
        outer = self.call
        if not outer and _is_of_random(_source(jaxpr)):
            self.num_calls += 1
            self.call = self.num_calls
        outputs = self.read(jaxpr, inputs, constants)
        self.call = outer
        return outputs

    def _consume(self, equation: Any, key: tuple[int, ...]) -> None:
        number = self.number(("key", key), key)
        is_constant, earlier = number not in self.from_input, self.used.get(number, ())
        use = Use(self.place, self.call or _call(equation), 0 if self.call else _stack(equation))
        is_again = bool(earlier) and not all(_is_one_call(use, other) for other in earlier)
        if is_again or is_constant or not self.repeated.isdisjoint(key):
            self.found.append(Reuse(self.place, earlier[0].place if earlier else self.place, is_constant))
        self.used[number] = (*earlier, use)

    def _branches(self, equation: Any, inputs: list[int]) -> list[int]:
        """Read each branch as if it were the only one: a key that both use is used once."""
        before, after = dict(self.used), dict(self.used)
        for branch in equation.params["branches"]:
            self.used = dict(before)
            self.read(branch.jaxpr, inputs[1:], [self.constant(value) for value in branch.consts])
            after.update(self.used)
        self.used = after
        return self._fresh(equation, inputs)

    def _loop(self, equation: Any, inputs: list[int]) -> list[int]:
        """Read the body twice: what it does not get anew in each turn keeps its number, and is then used again."""
        params = equation.params
        if equation.primitive.name == "scan":
            body, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
            fixed, carry, many = (
                inputs[:num_consts],
                inputs[num_consts : num_consts + num_carry],
                inputs[num_consts + num_carry :],
            )
            turns = min(2, params["length"])
        else:
            num_condition, num_body = params["cond_nconsts"], params["body_nconsts"]
            body, num_carry, many, turns = params["body_jaxpr"], len(inputs) - num_condition - num_body, [], 2
            fixed, carry = inputs[num_condition : num_condition + num_body], inputs[num_condition + num_body :]
        constants = [self.constant(value) for value in body.consts]
        for turn in range(turns):
            slices = [self.number(("slice", number, turn), (number,)) for number in many]
            carry = self.read(body.jaxpr, [*fixed, *carry, *slices], constants)[:num_carry]
        rest = self._fresh(equation, inputs)
        return [*carry, *rest[num_carry:]]

    def _fresh(self, equation: Any, inputs: list[int]) -> list[int]:
        return [
            self.number(("of", id(equation), index, tuple(inputs)), tuple(inputs))
            for index in range(len(equation.outvars))
        ]


def _frames(equation: Any) -> list[tuple[str, int, int]]:
    """Return file, line and instruction of the Python calls that an equation comes from, outermost first."""
    stack = equation.source_info.traceback
    frame, found = None if stack is None else stack.as_python_traceback(), []
    while frame is not None:
        found.append((frame.tb_frame.f_code.co_filename, frame.tb_lineno, frame.tb_lasti))
        frame = frame.tb_next
    return found


def _place(equation: Any) -> str:
    """Return ``file:line`` of the user's code that an equation comes from, if it is known."""
    places = [f"{file}:{line}" for file, line, _ in _frames(equation) if is_users(file)]
    return places[-1] if places else ""


def _call(equation: Any) -> Any:
    """Return from where `jax.random` was called, None if it was not."""
    frames = _frames(equation)
    inside = [index for index, (file, *_) in enumerate(frames) if _is_of_random(file)]
    return tuple(frames[: inside[0]]) if inside else None


def _stack(equation: Any) -> Any:
    return tuple(frame for frame in _frames(equation) if _is_of_random(frame[0]))


def _is_of_random(file: str) -> bool:
    return os.path.abspath(file).startswith((_OF_RANDOM + os.sep, _OF_RANDOM + ".py"))


def _source(jaxpr: Any) -> str:
    """Return the file of the function that was traced into ``jaxpr``, if it is known."""
    told = getattr(getattr(jaxpr, "debug_info", None), "func_src_info", None) or ""
    return told.rpartition(" at ")[2].rpartition(":")[0] or "<unknown>"
