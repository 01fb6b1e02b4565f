"""The scripts that tell of the gridworld and of crafting: their options are right, and what they print is what there is."""

import pytest
from tabular import benchmark

from minied.config import load_config
from minied.errors import UserError
from minied.run.folder import create
from minied.run.metrics import JsonlSink

families, crafting_tasks = benchmark("gridworld_families"), benchmark("crafting_tasks")


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_family_is_a_world_and_those_of_others_are_beside_it(name):
    cases = families.group(name, 32, list(families.LIBRARIES))
    ours = [case for case in cases if case.script == "minied_maze"]
    assert [case.by for case in ours] == ["minied", "minied, as MiniGrid"]
    for case, sees_through in zip(ours, (True, False), strict=True):
        arguments = list(case.arguments)
        options = arguments[arguments.index("--observe") + 2 :]
        env = load_config("gridworld/door_key", options).env
        assert env.see_through_walls == sees_through
        assert env.max_steps == env.family.max_steps
    assert len(families.group(name, 32, [])) == 2


def run_of(path, scores, env_steps=100, items=("wood", "stone", "iron")):
    """A finished run of members × items."""
    folder, sink_row = create(path, load_config("crafting/uniform", ["--num-seeds", str(len(scores))])), {}
    for index, item in enumerate(items):
        rates = [member[index] for member in scores]
        sink_row[item] = {"solve_rate": rates if len(rates) > 1 else rates[0], "num_levels": 1, "horizon": 9}
    counters = {"iterations": 1, "student_updates": 1, "train_steps": env_steps, "env_steps": env_steps}
    sink = JsonlSink(folder)
    sink.write("evaluations", counters | {"suite": "items", "attempts": 1, "entries": sink_row})
    for step, number in ((1e6, 1.0), (2e6, 2.0), (3e6, 1.0)):
        done = {"teacher/tasks_above_5_percent": [number] * len(scores)}
        sink.write("metrics", counters | {"env_steps": int(step), "metrics": done})
    sink.flush()
    sink.close()
    return path


def test_items_are_counted_by_member(tmp_path):
    path = run_of(tmp_path / "lp", [[0.9, 0.05, 0.0], [0.6, 0.5, 0.04]])
    (row,) = crafting_tasks.table([path], until=2)
    assert row.startswith("| lp | 0.0 | 2.0 [2.0, 2.0] (2 2) | 1.5 [")  # 0.05 counts, 0.04 does not; half: one, and two
    assert "(0.317 0.380)" in row  # 0.95 / 3 and 1.14 / 3
    assert row.endswith("| 2.00 [2.00, 2.00] (2.00 2.00) |")  # when two were first done; later there is one again
    assert crafting_tasks.table([path], until=3)[0].endswith("| not in 2 of 2 |")


def test_one_member_has_no_interval(tmp_path):
    (row,) = crafting_tasks.table([run_of(tmp_path / "one", [[1.0, 0.0, 0.0]])], until=1)
    assert "| 1.0 (one member, no interval) |" in row


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"env_steps": 200}, "other has 200 env_steps, lp 100; allowed: equal ones"),
        ({"items": ("wood", "stone", "gold")}, "other was evaluated on other items than lp; allowed: the same"),
    ],
)
def test_runs_are_compared_at_equal_steps_and_items(tmp_path, other, words):
    paths = [run_of(tmp_path / "lp", [[1, 0, 0]]), run_of(tmp_path / "other", [[1, 0, 0]], **other)]
    with pytest.raises(UserError) as error:
        crafting_tasks.table(paths, until=1)
    assert words in str(error.value)
