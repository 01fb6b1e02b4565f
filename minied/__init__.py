"""minied: unsupervised environment design on accelerators.

Teachers that invent training levels, students that learn on them, and fully tensorised worlds, compiled together into
one program. Start from the command line (``minied train``) or from `minied.train.program.Program`.
"""

import importlib.metadata

from minied.errors import UserError

try:
    __version__ = importlib.metadata.version("minied")
except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
__all__ = ["UserError", "__version__"]
