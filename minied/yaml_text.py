"""How is YAML read such that nothing of it is executed, and nothing is lost in silence? Host only."""

import functools
from typing import Any

import yaml

from minied.errors import UserError


def read_yaml(text: str, what: str) -> Any:
    """Return the data of ``text``: what PyYAML's safe loader makes of it, but that ``1e-3`` is a number, as in YAML 1.2.

    Raises `UserError`, which names ``what`` and the line, for text that is no YAML, for a key that comes twice, of which
    YAML would keep the last, and for a key that is not a word, such as ``on``, which YAML takes for true.
    """
    try:
        return yaml.load(text, Loader=_strict_loader())
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise UserError(f"{what} is not valid YAML: {error.problem or error.context}{place}") from error
    except (yaml.YAMLError, ValueError) as error:  # also of dates that do not exist
        raise UserError(f"{what} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{what} is not valid YAML: it is nested too deep") from error


@functools.cache
def _strict_loader() -> type[yaml.SafeLoader]:
    import re

    class StrictLoader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for index, ((key_node, _), key) in enumerate(zip(node.value, keys, strict=True)):
                if not isinstance(key, str):
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is not a word", key_node.start_mark
                    )
                if key in keys[:index]:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            return super().construct_mapping(node, deep=deep)

    number = re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)$")
    StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return StrictLoader
