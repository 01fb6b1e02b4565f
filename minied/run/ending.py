"""What is told at the end of a session: what came of the run, where it lies, what to do next."""

from typing import TYPE_CHECKING

from minied.run.console import print_table, results_table
from minied.run.folder import RunFolder
from minied.run.milestones import reached_lines
from minied.run.policies import num_teams
from minied.run.training import ON_TARGET, OUT_OF_TIME, Member
from minied.train.config import TrainConfig

if TYPE_CHECKING:
    from minied.run.session import SessionOptions


def conclude(
    folder: RunFolder,
    config: TrainConfig,
    options: "SessionOptions",
    member: Member,
    *,
    num_kept: int,
) -> None:
    """Print what came of it, where it lies, and what to do next. ``num_kept`` checkpoints are there."""
    updates = member.counters["student_updates"]
    if not member.ended:
        print(f"stopped after {updates} updates; go on with: minied resume {folder.path}", flush=True)
        return
    rows = folder.read_rows("evaluations")
    if rows and not options.quiet:
        shown = [("before", rows[0])] if len(rows) > 1 and rows[0]["iterations"] == 0 else []
        shown.append((f"after {rows[-1]['student_updates']} updates", rows[-1]))
        print_table(results_table(shown, config.env.solved_means))
        print(f"evaluate elsewhere with: minied eval {folder.path} --suite NAME   (minied list suites)")
    if num_teams(config.env) == 2 and num_kept > 1 and not options.quiet:
        print(f"play its checkpoints against each other with: minied versus {folder.path}")
    for line in [] if options.quiet else reached_lines(config.env.milestones, folder):
        print(line)
    print(f"{_why(config, member)}: {folder.path}", flush=True)


def _why(config: TrainConfig, member: Member) -> str:
    updates = member.counters["student_updates"]
    if member.ended == ON_TARGET:
        return f"reached the target {config.target:.0%} after {updates} updates"
    if member.ended == OUT_OF_TIME:
        return f"ended after {updates} updates by max_hours = {config.max_hours:g}; `minied resume` with more goes on"
    return f"finished {updates} updates"
