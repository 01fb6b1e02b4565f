"""``minied resume``: go on with a run that was stopped or killed."""

from pathlib import Path

from minied.commands.shared import positional, prepare
from minied.config.parsing import parse_config
from minied.errors import UserError
from minied.run.folder import open_run
from minied.run.session import SessionOptions, resume

DESCRIPTION = """Go on with the run in folder RUN from its newest whole checkpoint. A run keeps its config: of its options
only --num-devices, --checkpoint-every, --keep-checkpoints, --max-hours and --target may be given other values, and with a
constant learning rate --updates and --env-steps."""


def main(arguments: list[str]) -> int:
    """Resume; return the exit code."""
    run, rest = positional(arguments)
    if run is None:
        if "--help" in rest or "-h" in rest:
            print(f"usage: minied resume RUN [OPTIONS]\n\n{DESCRIPTION}\n`minied resume RUN --help` lists the options.")
            return 0
        raise UserError("minied resume needs the folder of a run: minied resume RUN")
    folder = open_run(Path(run))
    saved = folder.description()["config"]
    if sweep := folder.description().get("sweep"):
        raise UserError(f"{run} is a member of a sweep; allowed: `minied sweep {sweep} --resume`")
    source = str(folder.path / "config.json")
    prepare(rest)
    parsed = parse_config(rest, saved, source, SessionOptions, program="minied resume RUN", description=DESCRIPTION)
    return resume(folder, parsed.config, parsed.command)
