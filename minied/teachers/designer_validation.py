"""Whether a designer can be played by a teacher: what it starts from, what it observes, and the form of what it builds."""

from typing import Any, Literal

import jax

from minied.errors import UserError
from minied.levels.designer import Designer
from minied.levels.parameters import ParameterDesigner
from minied.levels.space import LevelSpace

Start = Literal["empty", "generator"]
"""What a design begins with."""


def validate_designer(designer: Designer, space: LevelSpace, start_from: Start) -> None:
    """Raise `UserError` for a designer that is none, or that is to edit and gets nothing to. Nothing is computed."""
    name = type(designer).__name__
    if designer.num_agents != 1:
        raise UserError(f"the designer {name} has num_agents {designer.num_agents}; allowed: 1")
    if designer.needs_level and start_from == "empty":
        raise UserError(
            f"teacher.start_from is 'empty'; allowed where {name} only edits levels (in mazes env.design.order"
            " 'edits'): generator"
        )
    if start_from == "generator" and isinstance(designer, ParameterDesigner):
        raise UserError("teacher.start_from is 'generator'; allowed where parameters are chosen: empty")
    key = jax.eval_shape(lambda: jax.random.key(0))  # only shapes are asked for
    observation, state = jax.eval_shape(lambda key: designer.reset(key, _first(designer, space, key)), key)
    names = [name for name, _ in getattr(designer.observation_space, "parts", ())]
    if names and (not isinstance(observation, dict) or set(observation) != set(names)):
        found = sorted(observation) if isinstance(observation, dict) else type(observation).__name__
        raise UserError(f"the observation of {name} has {found}; allowed: the parts of its space, {sorted(names)}")
    if isinstance(designer, ParameterDesigner):
        name = f"level of {type(designer.parameters).__name__} makes"
    else:
        name = f"the designer {name} builds"
    require_levels_of(space, name, jax.eval_shape(designer.level_of, state))


def require_levels_of(space: LevelSpace, who: str, built: Any) -> None:
    """Raise `UserError` unless ``built`` has the shapes and types of a level of ``space``; ``who`` "makes" it."""
    sampled = jax.eval_shape(lambda: space.sample(jax.random.key(0)))
    if jax.tree.map(_form, built) != jax.tree.map(_form, sampled):
        raise UserError(
            f"{who} levels {_forms(built)}; allowed: as {type(space).__name__} samples them, {_forms(sampled)}"
        )


def _first(designer: Designer, space: LevelSpace, key: jax.Array) -> Any:
    """Return a level for a design to start from: the empty one, or one of the generator where it is only edited."""
    return space.sample(key) if designer.needs_level else designer.empty()


def _form(leaf: jax.ShapeDtypeStruct) -> str:
    return f"{leaf.dtype.name}{list(leaf.shape)}"


def _forms(level: Any) -> str:
    """Return the leaves of a level in words."""
    leaves = jax.tree_util.tree_leaves_with_path(level)
    return ", ".join(f"{jax.tree_util.keystr(path).lstrip('.') or 'a'} {_form(leaf)}" for path, leaf in leaves)
