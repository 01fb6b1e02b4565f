"""``minied train``: a new run from a preset or a config file."""

import dataclasses
from pathlib import Path

from minied import registry
from minied.commands.shared import positional, prepare
from minied.config import presets
from minied.config.parsing import parse_config
from minied.run.session import SessionOptions

DESCRIPTION = """Train students with a teacher. The first argument is a preset (`minied list presets`) or a YAML file;
options after it win over it. Choose the world with --env NAME (known: {environments}) and the teacher with
--teacher NAME (known: {teachers}), and what the learner adds to the rewards for exploring with --bonus NAME (known:
{bonuses}); their options, --env.…, --teacher.… and --bonus.…, are listed for the ones chosen."""


@dataclasses.dataclass(frozen=True)
class TrainOptions(SessionOptions):
    """Options of the command itself."""

    run_dir: str = ""
    """Folder of the run, which must not exist; by default runs/PRESET-SEED-FINGERPRINT."""


def main(arguments: list[str]) -> int:
    """Train; return the exit code."""
    preset, rest = positional(arguments, presets.DEFAULT_PRESET)
    assert preset is not None
    file = presets.find(preset)
    description = DESCRIPTION.format(
        environments=", ".join(registry.names("environment")),
        teachers=", ".join(registry.names("teacher")),
        bonuses=", ".join(registry.names("bonus")),
    )
    prepare(rest)
    parsed = parse_config(
        rest, presets.read(file), str(file), TrainOptions, program="minied train [PRESET]", description=description
    )
    from minied.run.folder import default_path
    from minied.run.session import train

    path = Path(parsed.command.run_dir) if parsed.command.run_dir else default_path(preset, parsed.config)
    return train(parsed.config, path, parsed.command, preset)
