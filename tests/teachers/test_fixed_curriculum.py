"""The fixed curriculum: the levels of a file in their order, each for its updates; and levels that users give."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from toy_designers import EditableCorridor
from toy_worlds import Meeting, no_probe

from minied.errors import UserError
from minied.levels.finite import FiniteLevelSpace
from minied.teachers.base import GIVEN, Schedule
from minied.teachers.fixed_curriculum import CurriculumState, FixedCurriculum
from minied.teachers.given_levels import as_arrays, count

SPACE = EditableCorridor(length=9).level_space
B = 4


@pytest.fixture
def file(tmp_path):
    """Starts 2, 4, 1, 9 and 5, in this order."""
    path = tmp_path / "levels.txt"
    path.write_text("\n\n".join("S" + "." * (start - 1) + "G" for start in (2, 4, 1, 9, 5)))
    return str(path)


def batches(teacher, iterations, num_levels=B):
    """The starts of each iteration's batch."""
    state, seen = teacher.init(jax.random.key(0), SPACE, num_levels), []
    schedule = Schedule.start(jax.random.key(0))
    for k in range(iterations):
        plan = teacher.plan(jax.random.key(k), schedule, num_levels)
        assert (int(plan.kind), bool(plan.train), int(plan.new_batches), int(plan.rollouts)) == (GIVEN, True, 0, 1)
        state, proposal = teacher.propose(jax.random.key(k), state, plan, SPACE, num_levels, no_probe)
        assert proposal.sources.tolist() == [GIVEN] * num_levels
        assert proposal.slots.tolist() == [-1] * num_levels
        seen.append(proposal.levels.start.tolist())
        state = teacher.observe(state, plan, proposal, None, SPACE)
        schedule = schedule.after(plan)
    return seen, state


def test_levels_come_in_the_order_of_the_file_each_for_its_updates_and_the_last_stays(file):
    seen, _ = batches(FixedCurriculum(file=file, updates_per_level=2), 13)
    assert seen == [[start] * 4 for start in (2, 2, 4, 4, 1, 1, 9, 9, 5, 5, 5, 5, 5)]


def test_levels_that_share_a_batch_move_on_together_and_the_last_ones_stay(file):
    seen, _ = batches(FixedCurriculum(file=file, updates_per_level=1, levels_at_once=2), 6)
    assert seen == [[2, 4, 2, 4], [4, 1, 4, 1], [1, 9, 1, 9], [9, 5, 9, 5], [9, 5, 9, 5], [9, 5, 9, 5]]
    seen, _ = batches(FixedCurriculum(file=file, updates_per_level=1, levels_at_once=3), 3)
    assert seen[0] == [2, 4, 1, 2]
    assert seen[2] == [1, 9, 5, 1]


def test_a_whole_file_at_once_never_moves(file):
    seen, _ = batches(FixedCurriculum(file=file, updates_per_level=1, levels_at_once=5), 4, num_levels=5)
    assert seen == [[2, 4, 1, 9, 5]] * 4


def test_in_random_order_each_environment_has_any_of_the_levels_always(file):
    seen, _ = batches(FixedCurriculum(file=file, order="random"), 8, num_levels=200)
    starts, counts = np.unique(np.asarray(seen), return_counts=True)
    assert starts.tolist() == [1, 2, 4, 5, 9]
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    assert seen[0] != seen[1]


def test_levels_are_in_the_state_so_that_they_are_saved_with_the_run(file):
    state = FixedCurriculum(file=file).init(jax.random.key(0), SPACE, B)
    assert isinstance(state, CurriculumState)
    assert state.levels.start.tolist() == [2, 4, 1, 9, 5]
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_progress_is_the_share_of_the_file_that_had_its_turn(file):
    teacher = FixedCurriculum(file=file, updates_per_level=2)
    progress = [float(teacher.metrics(batches(teacher, n)[1], SPACE)["curriculum_progress"]) for n in (0, 1, 5, 10, 30)]
    assert progress == pytest.approx([0.0, 0.1, 0.5, 1.0, 1.0])
    assert FixedCurriculum(file=file, order="random").metrics(None, SPACE) == {}


def test_a_suite_of_the_world_is_as_good_as_a_file():
    seen, _ = batches(FixedCurriculum(file="suite:ends", updates_per_level=1), 3)
    assert seen == [[1] * 4, [9] * 4, [9] * 4]


# -- given levels ------------------------------------------------------------------------------------------------------


def test_given_levels_are_arrays_of_the_host_one_after_the_other(file):
    for source, expected in ((file, [2, 4, 1, 9, 5]), ("suite:ends", [1, 9])):
        levels = FixedCurriculum(file=source).read_given_levels(SPACE, "a fixed curriculum")
        assert isinstance(levels.start, np.ndarray)
        assert levels.start.tolist() == expected
        assert count(levels) == len(expected)
        assert as_arrays(levels).start.dtype == jnp.int32


def test_given_levels_may_be_read_while_a_program_is_traced(file):
    teacher = FixedCurriculum(file=file)
    starts = jax.jit(lambda: as_arrays(teacher.read_given_levels(SPACE, "a fixed curriculum")).start)()
    assert starts.tolist() == [2, 4, 1, 9, 5]


def test_what_a_file_says_is_part_of_the_config_and_the_file_is_needed_no_more(file, tmp_path):
    teacher = FixedCurriculum(file=file)
    other = tmp_path / "other.txt"
    other.write_text("S....G\n")
    assert teacher.levels_text != FixedCurriculum(file=str(other)).levels_text
    Path(file).unlink()
    again = FixedCurriculum(file=file, levels_text=teacher.levels_text)  # as a resumed run is made
    assert again == teacher
    assert again.init(jax.random.key(0), SPACE, B).levels.start.tolist() == [2, 4, 1, 9, 5]
    assert FixedCurriculum(levels_text="S.G").init(jax.random.key(0), SPACE, B).levels.start.tolist() == [2]


# -- what a user may get wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"updates_per_level": 0}, ("updates_per_level is 0", "[1,")),
        ({"levels_at_once": 0}, ("levels_at_once is 0", "[1,")),
        ({"order": "falling"}, ("order is 'falling'", "sequential, random")),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(options, parts):
    with pytest.raises(UserError) as error:
        FixedCurriculum(**options)
    assert all(part in str(error.value) for part in (*parts, "allowed"))


def test_files_that_do_not_fit_are_told_in_one_line(file, tmp_path):
    (tmp_path / "long.txt").write_text("SG\n\nS..........G\n")  # eleven cells in a corridor of nine
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "nothing.txt").write_text("")
    cases = [
        ({"file": ""}, SPACE, ("teacher.file is empty", "allowed")),
        ({"file": "none.txt"}, SPACE, ("none.txt cannot be read", "No such file")),
        ({"file": str(tmp_path / "empty.txt")}, SPACE, ("empty.txt holds no level",)),
        ({"file": str(tmp_path / "long.txt")}, SPACE, ("long.txt", "line 3", "at most 8 dots")),
        ({"file": "suite:long"}, SPACE, ("teacher.file is 'suite:long'", "another size", "a suite of its own size")),
        ({"file": "suite:huge"}, SPACE, ("teacher.file is 'suite:huge'", "another size", "a suite of its own size")),
        ({"file": "suite:end"}, SPACE, ("unknown suite 'end'", "did you mean 'ends'")),
        ({"file": file}, Meeting().level_space, ("a fixed curriculum needs `from_text`", "MeetingLevels")),
        ({"file": str(tmp_path / "nothing.txt")}, SPACE, ("nothing.txt holds no level",)),
        ({"file": file, "order": "random", "levels_at_once": 2}, SPACE, ("levels_at_once is 2", "order random: 1")),
        ({"file": file}, FiniteLevelSpace(SPACE, 5, 0), ("num_train_levels is 5", "a fixed curriculum", "0")),
        ({"file": file, "levels_at_once": 6}, SPACE, ("levels_at_once is 6", "1 to 4", "5 levels", "num_envs = 4")),
        ({"file": "suite:ends", "levels_at_once": 3}, SPACE, ("levels_at_once is 3", "1 to 2", "2 levels")),
    ]
    for options, space, parts in cases:
        with pytest.raises(UserError) as error:
            FixedCurriculum(**options).validate(space, B, {})
        assert all(part in str(error.value) for part in parts), (options, str(error.value))
        assert "\n" not in str(error.value)
    FixedCurriculum(file=file, levels_at_once=4).validate(SPACE, B, {})
