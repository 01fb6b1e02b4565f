"""Every planted bug is caught by the check that is there for it, and the honest twin passes all."""

import pytest
from planted import BUGS, load

from minied.testing.environment import ENVIRONMENT_CHECKS, check_env
from minied.testing.levels import LEVEL_CHECKS, check_level_space

OF_THE_WORLD = {check.name for check in ENVIRONMENT_CHECKS}
COSTLY = ("jit", "one_trace", "vmap", "non_square", "speed", "parameters", "mutations", "suites", "every_part_matters")


def report_of(world, **chosen):
    """What the kit says of a world, or of one check."""
    small = {"num_levels": 8}
    only = chosen.get("only", ())
    if not only:
        return check_env(world, **small) + check_level_space(world, **small)
    check = check_env if only[0] in OF_THE_WORLD else check_level_space
    return check(world, **small, **chosen)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug):
    world = load(bug.name, *bug.edits).Lake()
    report = report_of(world, only=(bug.check,))
    assert [finding.check for finding in report.failures] == [bug.check]
    assert report.failures[0].breaks


def test_the_honest_twin_passes_every_check():
    report = report_of(load("nothing").Lake()).require()
    verdicts = {finding.check: finding.verdict for finding in report.findings}
    assert len(verdicts) == len(ENVIRONMENT_CHECKS) + len(LEVEL_CHECKS)
    assert {name for name, verdict in verdicts.items() if verdict != "passed"} == {"tasks", "designer"}  # it has none
