"""What sweep files say: points in order, every value typed by the one validator, every mistake in one line."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from minied.config import presets
from minied.config.parsing import NoOptions
from minied.errors import UserError
from minied.sweep import file as files
from minied.sweep.draws import Draws, Range
from minied.sweep.fields import nested
from minied.sweep.points import groups_of, points_of, refuse_several_programs
from minied.train.lanes import program_key
from minied.yaml_text import read_yaml


def parsed(text):
    return files.parse(read_yaml(text, "it"), "it", "it")


def members(text, *arguments):
    return points_of(parsed(text), arguments, NoOptions, "it")


def test_a_grid_is_every_combination_the_last_field_fastest():
    points = list(parsed("{base: quick, grid: {ppo.learning_rate: [1e-4, 1e-3], seed: [0, 1]}}").points())
    assert points == [
        ("quick", {"ppo.learning_rate": 1e-4, "seed": 0}),
        ("quick", {"ppo.learning_rate": 1e-4, "seed": 1}),
        ("quick", {"ppo.learning_rate": 1e-3, "seed": 0}),
        ("quick", {"ppo.learning_rate": 1e-3, "seed": 1}),
    ]


def test_nested_and_dotted_fields_are_the_same():
    dotted = parsed("{base: quick, grid: {ppo.learning-rate: [0.1], teacher: [plr, accel]}}")
    by_section = parsed("{base: quick, grid: {ppo: {learning_rate: [0.1]}, teacher: {name: [plr, accel]}}}")
    assert dotted.grid == by_section.grid == {"ppo.learning_rate": (0.1,), "teacher.name": ("plr", "accel")}
    assert nested({"ppo.clip": 1, "ppo.gamma": 2, "seed": 3}) == {"ppo": {"clip": 1, "gamma": 2}, "seed": 3}


def test_bases_list_and_grid_are_combined():
    text = """
    base: [quick, maze/minimax_dr]
    list: [{teacher.name: plr, teacher.staleness_coefficient: 0.1}, {num_envs: 16}]
    grid: {seed: [0, 1]}
    """
    points = list(parsed(text).points())
    assert len(points) == 2 * 2 * 2
    assert points[0] == ("quick", {"teacher.name": "plr", "teacher.staleness_coefficient": 0.1, "seed": 0})
    assert points[-1] == ("maze/minimax_dr", {"num_envs": 16, "seed": 1})
    assert parsed(text).fields == ("teacher.name", "teacher.staleness_coefficient", "num_envs", "seed")


def test_points_become_checked_configs():
    text = (
        "{base: quick, options: {updates: 7}, grid: {ppo.learning_rate: [1e-3], teacher: [plr, domain_randomization]}}"
    )
    plr, dr = members(text, "--num-envs", "16")
    assert [type(point.config.teacher).__name__ for point in (plr, dr)] == [
        "PrioritizedLevelReplay",
        "DomainRandomization",
    ]
    assert {(point.config.updates, point.config.num_envs, point.config.ppo.learning_rate) for point in (plr, dr)} == {
        (7, 16, 1e-3)
    }
    assert plr.preset == "quick"
    assert plr.fields == {"ppo.learning_rate": 1e-3, "teacher.name": "plr"}


def test_several_seeds_of_a_base_are_as_many_members():
    points = members("{base: quick, options: {num_seeds: 3, seed: 4}, grid: {ppo.clip: [0.1, 0.2]}}")
    assert [(point.fields, point.config.seed, point.config.num_seeds) for point in points][:4] == [
        ({"ppo.clip": 0.1, "seed": 4}, 4, 1),
        ({"ppo.clip": 0.1, "seed": 5}, 5, 1),
        ({"ppo.clip": 0.1, "seed": 6}, 6, 1),
        ({"ppo.clip": 0.2, "seed": 4}, 4, 1),
    ]


def test_groups_are_what_can_share_a_program():
    points = members("{base: quick, grid: {num_envs: [16, 32], ppo.learning_rate: [0.1, 0.2, 0.3]}}")
    configs = [point.config for point in points]
    assert groups_of(configs) == [[0, 1, 2], [3, 4, 5]]
    assert groups_of(configs, most={program_key(configs[0]): 2}) == [[0, 1], [2], [3, 4, 5]]
    with pytest.raises(UserError, match="these fields split them: num_envs; allowed with --one-program"):
        refuse_several_programs(configs)
    refuse_several_programs(configs[:3])


# -- draws -------------------------------------------------------------------------------------------------------------


def test_draws_lie_in_their_ranges_and_repeat():
    text = """
    base: quick
    draws:
      number: 64
      fields:
        ppo.learning_rate: {low: 1e-5, high: 1e-3, scale: log}
        ppo.num_epochs: {low: 1, high: 4, scale: integer}
        teacher.temperature: {low: 0.1, high: 1.0}
        ppo.anneal: {choices: [constant, linear]}
    """
    for method in ("random", "sobol"):
        data = yaml.safe_load(text.replace("1e-5", "0.00001").replace("1e-3", "0.001"))
        data["draws"]["method"] = method
        file = files.parse(data, "it")
        drawn = [fields for _, fields in file.points()]
        assert drawn == [fields for _, fields in files.parse(data, "it").points()]
        data["draws"]["seed"] = 1
        assert drawn != [fields for _, fields in files.parse(data, "it").points()]
        assert {fields["ppo.num_epochs"] for fields in drawn} == {1, 2, 3, 4}
        assert {fields["ppo.anneal"] for fields in drawn} == {"constant", "linear"}
        rates = [fields["ppo.learning_rate"] for fields in drawn]
        assert all(1e-5 <= rate <= 1e-3 for rate in rates)
        assert 20 < sum(rate < 1e-4 for rate in rates) < 44  # half of them by logarithm; a tenth if it were linear
    # A sequence fills evenly: of 64 points 16 in every quarter, give or take what the shift moves over an edge.
    quarters = [int(4 * (fields["teacher.temperature"] - 0.1) / 0.9) for fields in drawn]
    assert all(15 <= quarters.count(quarter) <= 17 for quarter in range(4))


@given(st.floats(0, 1, exclude_max=True))
def test_a_share_of_a_range_is_in_it(share):
    assert 2.0 <= Range(2.0, 5.0).at(share) <= 5.0
    assert Range(2, 5, "integer").at(share) in (2, 3, 4, 5)
    assert Range(1, 1000, "log_integer").at(share) in range(1, 1001)
    value = Range(1e-4, 1e-1, "log").at(share)
    assert math.log10(value) == pytest.approx(-4 + 3 * share, abs=1e-4)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "it is no sweep; allowed: a mapping"),
        ("{base: quick}", "it varies nothing; allowed: a grid, a list, draws"),
        ("{grid: {seed: [1]}}", "it: base is None; allowed: the name of a preset"),
        ("{base: quick, gird: {seed: [1]}}", "unknown key 'gird' (did you mean 'grid'?)"),
        ("{base: quick, grid: {}}", "it: grid is empty; allowed: fields"),
        ("{base: quick, grid: {seed: []}}", "it: grid.seed is []; allowed: a list of at least one value"),
        ("{base: quick, grid: {seed: 3}}", "it: grid.seed is 3; allowed: a list of at least one value"),
        ("{base: quick, grid: {seed: [1, 1]}}", "it: grid.seed is [1, 1]; allowed: each value once"),
        ("{base: quick, grid: {seed: [1], seed: [2]}}", "duplicate key 'seed'"),
        ("{base: quick, grid: {seed: [1]}, list: [{seed: 2}]}", "seed is listed twice, in grid and list"),
        ("{base: quick, options: {seed: 1}, grid: {seed: [1, 2]}}", "seed is listed twice, in options and grid"),
        (
            "{base: quick, grid: {ppo.clip: [1]}, draws: {number: 2, fields: {ppo.clip: {low: 0, high: 1}}}}",
            "listed twice",
        ),
        ("{base: quick, list: [{seed: 2}, {seed: 2}]}", "list has {'seed': 2} twice"),
        ("{base: quick, list: [3]}", "it: list is [3]; allowed: a list of mappings"),
        ("{base: quick, draws: {number: 0, fields: {seed: {low: 0, high: 3}}}}", "draws.number is 0; allowed: a whole"),
        (
            "{base: quick, draws: {number: 2, method: halton, fields: {seed: {low: 0, high: 3}}}}",
            "draws.method is 'halton'",
        ),
        ("{base: quick, draws: {number: 2, fields: {}}}", "draws.fields is {}"),
        ("{base: quick, draws: {number: 2, fields: {seed: {low: 3}}}}", "draws.fields.seed is {'low': 3}; allowed:"),
        (
            "{base: quick, draws: {number: 2, fields: {seed: {low: 3, high: 1}}}}",
            "seed.high is 1; allowed: more than low",
        ),
        ("{base: quick, draws: {number: 2, fields: {seed: {low: x, high: 1}}}}", "seed.low is 'x'; allowed: a number"),
        (
            "{base: quick, draws: {number: 2, fields: {seed: {low: 0, high: 1, scale: log}}}}",
            "with scale log: more than 0",
        ),
        ("{base: quick, draws: {number: 2, fields: {seed: {low: 0, high: 1, scale: cube}}}}", "scale is 'cube'"),
        ("{base: quick, draws: {number: 2, nubmer: 2, fields: {seed: {choices: [1]}}}}", "unknown key 'draws.nubmer'"),
        ("{base: quick, draws: {number: 2, fields: {seed: {choices: []}}}}", "choices is []; allowed: a list"),
        ("{base: quick, draws: {number: 2, fields: {seed: {low: 0.5, high: 3, scale: integer}}}}", "whole numbers"),
        ("{base: quick, grid: {ppo.clip: [1], ppo: {clip: [2]}}}", "ppo.clip is listed twice in one section"),
        ("{base: [quick, quick], grid: {seed: [1]}}", "allowed: each once"),
        ("{base: quick, grid: {seed: [1]}, halving: {}}", "halving.first_env_steps is None; allowed: a whole number"),
        ("{base: quick, grid: {seed: [1]}, halving: {first_env_steps: 5, factor: 1}}", "halving.factor is 1; allowed"),
        ("{base: quick, grid: {seed: [1]}, halving: {first: 5}}", "unknown key 'halving.first'"),
        (
            "{base: quick, grid: {seed: [" + ", ".join(map(str, range(20_000))) + "]}}",
            "has 20000 points; allowed: at most",
        ),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(text, told):
    with pytest.raises(UserError) as caught:
        parsed(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("{base: quick, grid: {ppo.lr: [1]}}", (), "unknown key 'ppo.lr'"),
        ("{base: quick, grid: {updatse: [1]}}", (), "unknown key 'updatse' (did you mean 'updates'?)"),
        ("{base: quick, grid: {ppo.learning_rate: [fast]}}", (), "ppo.learning_rate is 'fast'; allowed: a number"),
        ("{base: quick, grid: {ppo.learning_rate: [-1.0]}}", (), "ppo.learning_rate is -1.0; allowed"),
        ("{base: quick, grid: {num_envs: [32, 33], ppo.num_minibatches: [4]}}", (), "does not divide num_envs = 33"),
        ("{base: nothing, grid: {seed: [1]}}", (), "unknown preset 'nothing'"),
        ("{base: quick, grid: {seed: [1, 2]}}", ("--seed", "3"), "seed is listed twice, in it and as --seed"),
        (
            "{base: quick, grid: {teacher: [plr]}}",
            ("--teacher=accel",),
            "teacher.name is listed twice, in it and as --teacher",
        ),
        (
            "{base: quick, grid: {ppo.normalize_advantages: [true, false]}}",
            ("--ppo.no-normalize-advantages",),
            "ppo.normalize_advantages is listed twice",
        ),
        ("{base: quick, list: [{seed: 0}, {schedule_seed: 0}]}", (), "the members 0 and 1 are the same run"),
        ("{base: quick, options: {num_seeds: 2}, grid: {seed: [0, 1]}}", (), "the members 1 and 2 are the same run"),
    ],
)
def test_a_mistake_in_a_point_is_told_in_one_line(text, arguments, told):
    with pytest.raises(UserError) as caught:
        members(text, *arguments)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_draws_need_no_scipy_warning_for_any_number():
    for number in (1, 3, 5, 100):
        draws = Draws(number, "sobol", 0, {"ppo.clip": Range(0.0, 1.0), "seed": Range(0, 9, "integer")})
        assert len(draws.points()) == number


@pytest.mark.parametrize("name", presets.sweeps())
def test_the_sweeps_that_come_with_minied_can_be_run(name):
    path = presets.sweeps()[name]
    points = points_of(files.read(path), (), NoOptions, str(path))
    assert len(points) >= 8
    assert presets.description(path)
    assert name not in presets.available()
