"""An extension of griffe, which reads the code for the pages of the API: what stands behind a field documents it.

minied writes the shape and the meaning of an array in a comment on its line, ``scores: jax.Array  # f32[C], …``, where
griffe looks for a string below it. A field that has both keeps the string.
"""

import re
from pathlib import Path
from typing import Any

import griffe

_NOTHING = "\u200b"  # a space of no width, which is not stripped
_COMMENT = re.compile(r"\s#\s(?!type:|noqa|fmt:|pyright:)(.*)$")


class FieldComments(griffe.Extension):
    """Take the comment at the end of a field's line for its docstring."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Give ``attr`` a docstring if it has none: of a class an empty one at least, as what has none is not shown."""
        if attr.docstring is not None or attr.endlineno is None or not isinstance(attr.filepath, Path):
            return
        found = _COMMENT.search(attr.lines_collection[attr.filepath][attr.endlineno - 1])
        if found or (attr.annotation and attr.parent and attr.parent.is_class):
            attr.docstring = griffe.Docstring(found[1] if found else _NOTHING, lineno=attr.endlineno, parent=attr)
