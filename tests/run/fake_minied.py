"""``minied`` with the fake program of `run_world`, for tests that need a process of its own."""

import sys
import types

import run_world


def fake_program_module() -> types.ModuleType:
    """Return what stands in for ``minied.train.program``."""
    module = types.ModuleType("minied.train.program")
    module.Program = run_world.Program  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    sys.modules["minied.train.program"] = fake_program_module()
    from minied.cli import main

    sys.exit(main())
