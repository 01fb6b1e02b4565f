"""``minied sweep``: many runs from one file, as members of few programs, here or on a cluster."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from minied.commands.shared import positional, prepare, print_json
from minied.config import presets
from minied.config.options import parse
from minied.errors import UserError
from minied.hosts import HostOptions, is_primary
from minied.sweep.launch import Launcher
from minied.sweep.slurm import SlurmOptions

DESCRIPTION = """Run the sweep that a YAML file describes, or one that comes with minied (`minied list sweeps`): a base, and
a grid, a list or draws over any fields. Runs that differ in numbers alone are members of one program; the others form
groups. FILE may also be the folder of a sweep, with --resume, --group or --table. Options of `minied train` win over the
base."""


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Options of the command itself."""

    plan: bool = False
    """Print groups, members, memory and time, and start nothing."""
    plan_seconds: float = 10.0
    """About how long the timed run of each group takes that `--plan` predicts the time from; 0: none."""
    resume: bool = False
    """Go on with a sweep: only what is missing."""
    sweep_dir: str = ""
    """Folder of the sweep; by default runs/sweep-NAME-FINGERPRINT."""
    launcher: Launcher = "here"
    """Who runs the groups: this process, one after the other; processes of this machine; slurm, an array of jobs; or
    nobody, and a line a group is printed.
    """
    jobs: int = 2
    """Groups at a time, of `--launcher processes`."""
    one_program: bool = False
    """Refuse members that cannot share one program."""
    memory_gb: float = 0.0
    """Memory that a group may take; 0: what is there, of a device or on CPU of the machine."""
    slurm: SlurmOptions = dataclasses.field(default_factory=SlurmOptions)
    """What is asked of Slurm for each group."""
    pictures: bool = True
    """Draw the picture of the sweep."""
    quiet: bool = False
    """Print nothing but errors and the last lines."""
    json: bool = False
    """Print one JSON object and nothing else: the plan, or the table."""


@dataclasses.dataclass(frozen=True)
class FolderOptions(SweepOptions, HostOptions):
    """Options for the folder of a sweep."""

    group: int = -1
    """Work on this group only; what a scheduler of your own calls."""
    table: bool = False
    """Only write and print the table of what is there."""


def main(arguments: list[str]) -> int:
    """Run or go on with a sweep; return the exit code."""
    name, rest = positional(arguments)
    if name is None:
        if "--help" in rest or "-h" in rest:
            print(f"usage: minied sweep FILE [OPTIONS]\n\n{DESCRIPTION}\n`minied sweep FILE --help` lists the options.")
            return 0
        raise UserError("minied sweep needs a sweep file, or the folder of a sweep: minied sweep FILE")
    path = Path(name)
    if path.is_dir():
        return _of_folder(path, rest)
    return _of_file(path, rest)


def _of_folder(path: Path, arguments: list[str]) -> int:
    from minied.sweep.folder import open_sweep

    options = parse(FolderOptions, arguments, "minied sweep FOLDER", DESCRIPTION)
    sweep = open_sweep(path)
    if options.table:
        return _conclude(sweep, options, 0)
    prepare(arguments)
    if options.group >= 0:
        from minied.sweep.work import work_on

        sweep.group(options.group)
        code = work_on(sweep, options.group, quiet=options.quiet)
        if is_primary() and not sweep.unfinished():
            from minied.sweep.table import write

            write(sweep, pictures=options.pictures)
        return code
    if options.plan or not options.resume:
        raise UserError(f"{path} is a sweep already; allowed: --resume, --table, or --group N")
    return _launch(sweep, options)


def _of_file(path: Path, arguments: list[str]) -> int:
    from minied.run.console import make_reporter
    from minied.sweep import file as files
    from minied.sweep import points as members
    from minied.sweep.folder import create, default_path, fingerprint_of, open_sweep, refuse_existing, require_same

    if not path.is_file():
        known = presets.sweeps()
        if str(path) not in known:
            raise UserError(
                f"the sweep file or folder {path} does not exist; allowed: a YAML file, the folder of a sweep, or one of"
                f" {', '.join(known)}"
            )
        path = known[str(path)]
    file = files.read(path)
    options = members.options_of(file, arguments, SweepOptions, str(path), DESCRIPTION)
    _check(options)
    if options.resume and options.plan:
        raise UserError("--plan and --resume are both set; allowed: one, a plan starts nothing")
    prepare()
    points = members.points_of(file, arguments, SweepOptions, str(path))
    if options.one_program:
        members.refuse_several_programs([point.config for point in points])
    if file.halving and any(not _has_suite(point.config) for point in points):
        raise UserError(f"{path}: halving goes by evaluations; allowed: worlds with suites")
    folder = Path(options.sweep_dir) if options.sweep_dir else default_path(file.name, points, file.halving)
    fingerprint = fingerprint_of(points, file.halving)
    if options.resume:
        if not folder.exists():
            others = sorted(str(each) for each in folder.parent.glob(f"sweep-{file.name}-*"))
            found = f"; there are {', '.join(others)}: `minied sweep FOLDER --resume`" if others else ""
            raise UserError(
                f"there is no sweep {folder}: its members are those of the file and the same options{found}"
            )
        sweep = open_sweep(folder)
        require_same(sweep, fingerprint)
        return _launch(sweep, options)
    if not options.plan:
        refuse_existing(folder, fingerprint)
    from minied.sweep import plan

    if not (options.plan or options.memory_gb or options.launcher in ("here", "processes")):
        # Another machine has another memory; and nobody wants a login node to compile for minutes.
        groups = members.groups_of([point.config for point in points])
        for each in groups:
            plan.trained_of([points[number].config for number in each]).check()
        sweep = create(folder, points, groups, file.halving, file.name)
        _tell(f"made {sweep.path}: {len(points)} members in {plan.counted(len(groups), 'group')}", options)
        return _launch(sweep, options)
    with make_reporter(quiet=options.quiet or options.json) as reporter:
        limit = int(options.memory_gb * 2**30) or plan.available_bytes()
        if options.launcher == "processes":
            limit //= options.jobs
        groups, needs, trained = plan.fitted(points, limit, reporter.phase)
        if options.plan and options.plan_seconds:
            for i, each in enumerate(needs):
                reporter.phase(f"timing group {i} of {len(needs)}")
                configs = [points[number].config for number in each.members]
                needs[i] = plan.timed(trained[i], configs, each, options.plan_seconds)
    _print_plan(points, needs, limit, options)
    if options.plan:
        return 0
    sweep = create(folder, points, groups, file.halving, file.name)
    _tell(f"made {sweep.path}; if it is stopped: minied sweep {sweep.path} --resume", options)
    return _launch(sweep, options, dict(enumerate(trained)))


def _tell(line: str, options: SweepOptions) -> None:
    if not (options.quiet or options.json):
        print(line, file=sys.stderr, flush=True)


def _has_suite(config: Any) -> bool:
    from minied.run.evaluation import suite_of

    return bool(suite_of(config, config.env.level_space))


def _check(options: SweepOptions) -> None:
    if options.launcher == "slurm":
        options.slurm.check()
    if options.jobs < 1:
        raise UserError(f"--jobs is {options.jobs}; allowed: at least 1")
    for name in ("memory_gb", "plan_seconds"):
        if not getattr(options, name) >= 0:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(options, name)}; allowed: at least 0")


def _launch(sweep: Any, options: SweepOptions, trained: Any = None) -> int:
    """Start what is missing, by whom the options say, and conclude."""
    from minied.run.console import make_reporter
    from minied.sweep import launch

    _check(options)
    missing = sweep.unfinished()
    if options.launcher == "print":
        print("\n".join(launch.lines_of(sweep, missing)))
        _tell(f"run these in any order; the last one writes the table, or: minied sweep {sweep.path} --table", options)
        return 0
    code = 0
    if not missing:
        pass
    elif options.launcher == "here":
        code = launch.run_here(sweep, missing, quiet=options.quiet or options.json, trained=trained)
    elif options.launcher == "processes":
        import subprocess

        with make_reporter(quiet=options.quiet or options.json) as reporter:
            code = launch.run_processes(sweep, missing, options.jobs, reporter, subprocess.Popen)
    else:
        from minied.sweep.slurm import submit

        with make_reporter(quiet=options.quiet or options.json) as reporter:
            code = submit(sweep, missing, options.slurm, reporter)
        if not (options.slurm.wait or options.slurm.cluster == "debug"):
            return code
    return _conclude(sweep, options, code)


def _conclude(sweep: Any, options: SweepOptions, code: int) -> int:
    """Write and print what came of it; return ``code``."""
    if not is_primary():
        return code
    from minied.run.console import print_table
    from minied.sweep import table

    if code >= 128:
        print(f"stopped; go on with: minied sweep {sweep.path} --resume", flush=True)
        return code
    files, failures = table.write(sweep, pictures=options.pictures)
    lines = table.lines_of(sweep)
    if options.json:
        print_json({"sweep": str(sweep.path), "settings": [dataclasses.asdict(line) for line in lines], "files": files})
        return code
    if not options.quiet:
        print_table(table.printed(lines))
    for failure in failures:
        print(failure, flush=True)
    for number in range(len(sweep.groups)):
        status = sweep.status(number)
        if status["state"] not in ("finished", "waiting"):
            print(f"group {number} {status['state']}: {status.get('error', 'go on with --resume')}", flush=True)
    unfinished = sweep.unfinished()
    what = (
        "finished"
        if not unfinished
        else f"{len(sweep.groups) - len(unfinished)} of {len(sweep.groups)} groups finished"
    )
    print(f"{what}: {sweep.path}", flush=True)
    return code


def _print_plan(points: Any, needs: Any, limit: int, options: SweepOptions) -> None:
    from minied.sweep import plan

    if options.json:
        if options.plan:
            print_json(plan.to_dict(points, needs, limit))
        return
    if not options.quiet or options.plan:
        for line in plan.told(points, needs, limit):
            print(line, flush=True)
