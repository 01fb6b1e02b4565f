"""The command ``minied``: which command is meant, and how errors end.

Everything heavy is imported by the command that needs it, so that ``minied --help`` answers at once.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from minied.errors import UserError, unknown_name

COMMANDS = {
    "train": ("minied.commands.train", "[PRESET or FILE] [OPTIONS]", "train students with a teacher"),
    "sweep": ("minied.commands.sweep", "FILE [OPTIONS]", "run a grid, a list or draws of settings, in few programs"),
    "resume": ("minied.commands.resume", "RUN [OPTIONS]", "go on with a run that was stopped or killed"),
    "eval": ("minied.commands.evaluate", "RUN [--suite NAME]…", "evaluate a run on held-out levels"),
    "compare": ("minied.commands.compare", "RUN… [--at ENV_STEPS]", "compare runs at equal environment steps"),
    "versus": (
        "minied.commands.versus",
        "RUN… [--suite NAME]",
        "play policies of a game of two teams against each other",
    ),
    "probe": ("minied.commands.probe", "RUN --env NAME", "read answers off the memory of a run's students"),
    "check": ("minied.commands.check", "TARGET [OPTIONS]", "check a world, a teacher or a score against its contract"),
    "new": ("minied.commands.new", "world NAME", "write a package with a world of your own"),
    "list": ("minied.commands.list", "[KIND] [--env NAME]", "list envs, teachers, scores, suites, presets, sweeps"),
    "bench": ("minied.commands.bench", "[--quick] [--peers [NAME…]]", "time training and worlds, and other libraries"),
    "draw": ("minied.commands.draw", "(FILE | suite:NAME | --sample N) --env NAME", "draw levels"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    2 and one line on standard error for anything that the user can mend; 130 and 143 for a run that was stopped.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("-V", "--version"):
        from minied import __version__

        print(f"minied {__version__}")
        return 0
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # after what is installed: worlds, teachers and scores in files of the user's own
    try:
        if arguments[0] not in COMMANDS:
            raise unknown_name("command", arguments[0], list(COMMANDS))
        return importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    except UserError as error:
        print(f"minied: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 2
    except SystemExit as stop:  # tyro's way to end after --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:  # of jax; anything but a lack of memory is a defect and keeps its traceback
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        told = "out of memory; try a smaller num_envs, num_steps, num_seeds or teacher.buffer_size"
        print(f"minied: error: {told}", file=sys.stderr, flush=True)
        return 1
    except BrokenPipeError:  # `minied list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _help() -> str:
    width = max(len(f"{name} {usage}") for name, (_, usage, _) in COMMANDS.items())
    lines = [f"  minied {f'{name} {usage}':<{width}}  {about}" for name, (_, usage, about) in COMMANDS.items()]
    return "\n".join([
        "minied: unsupervised environment design on accelerators.",
        "",
        *lines,
        "",
        "`minied train` trains the preset `quick`. `minied COMMAND --help` lists the options of a command.",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
