"""Is a random key used twice? Read off a traced function, whether its keys are typed or raw words.

JAX's own check of key reuse knows typed keys. Many worlds keep raw ones, and keep them in their state, from where the
same key is taken at every step. Here every value of a program gets a number, equal for values that are computed alike
from equal inputs, through calls, branches and loops; and no key may be consumed (split, or bits drawn) under one number
twice. Two draws by ``fold_in`` of different data are different keys.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from minied.testing.report import is_users

_CONSUMES = ("random_bits", "random_split", "threefry2x32")
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


class _Reader:
    """Numbers the values of a program and remembers which keys were consumed, and where."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.from_input: set[int] = set()
        self.used: dict[int, str] = {}
        self.repeated: set[int] = set()
        """What holds one key several times."""
        self.found: list[Reuse] = []
        self.place = ""
        """Of the innermost call in the user's code: what it calls may have been traced elsewhere before."""

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
                return self.read(jaxpr, inputs, constants)
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

    def _consume(self, equation: Any, key: tuple[int, ...]) -> None:
        number = self.number(("key", key), key)
        is_constant = number not in self.from_input
        if number in self.used or is_constant or not self.repeated.isdisjoint(key):
            self.found.append(Reuse(self.place, self.used.get(number, self.place), is_constant))
        self.used.setdefault(number, self.place)

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


def _place(equation: Any) -> str:
    """Return ``file:line`` of the user's code that an equation comes from, if it is known."""
    stack = equation.source_info.traceback
    if stack is None:
        return ""
    frame, found = stack.as_python_traceback(), ""
    while frame is not None:
        if is_users(frame.tb_frame.f_code.co_filename):
            found = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
        frame = frame.tb_next
    return found
