import pytest
import yaml
from run_world import ENV, OTHER_ENV, TEACHER, Line, OtherLine, Picky

from minied.config import config_from_dict, load_config, presets
from minied.config.parsing import parse_config
from minied.errors import UserError
from minied.registry import name_of
from minied.students.bonuses.achievements import AchievementBonus
from minied.students.bonuses.base import NoBonus
from minied.students.bonuses.counts import CountBonus
from minied.teachers.domain_randomization import DomainRandomization
from minied.train.config import TrainConfig


def from_options(*arguments):
    return parse_config(arguments, {}, "nothing").config


def test_yaml_equals_options(config_file):
    options = f"""--env {ENV} --env.size 5 --env.levels.farthest 2 --teacher {TEACHER} --teacher.temperature 0.5
        --num-envs 4 --updates 10 --log-every 2 --evaluate-every 4 --checkpoint-every 4 --attempts 2"""
    config = load_config(config_file)
    assert config == from_options(*options.split())
    assert config == from_options(*options.replace("-every", "_every").replace("num-envs", "num_envs").split())
    assert type(config) is TrainConfig
    assert type(config.env) is Line
    assert type(config.teacher) is Picky
    assert config.env.levels.farthest == 2


def test_later_wins_and_equals_signs(config_file):
    config = load_config(config_file, ["--env.size=7", "--seed", "3", "--env.size", "6", "--ppo.learning-rate=1e-3"])
    assert (config.env.size, config.seed, config.ppo.learning_rate) == (6, 3, 1e-3)


def test_booleans_and_lists(config_file):
    config = load_config(config_file, ["--env.levels.no-fair", "--env.bonus", "3", "4", "5", "--ppo.no-clip-value"])
    assert config.env.levels.fair is False
    assert config.env.bonus == (3, 4, 5)
    assert config.ppo.clip_value is False


def test_round_trip(config_file):
    arguments = [
        "--env.levels.no-fair",
        "--env.bonus",
        "3",
        "--env.kind",
        "closed",
        "--ppo.learning-rate=3.3e-7",
        "--env.levels.spread",
        "inf",
    ]
    config = load_config(config_file, arguments)
    assert config_from_dict(config.to_dict()) == config
    assert config_from_dict(config.to_dict()).fingerprint == config.fingerprint


def test_round_trip_of_an_empty_list(config_file):
    config = load_config(config_file, ["--env.bonus"])
    assert config.env.bonus == ()
    assert config_from_dict(config.to_dict()) == config


def test_another_teacher_drops_the_presets_options(config_file):
    config = load_config(config_file, ["--teacher", "domain_randomization", "--seed", "2"])
    assert config.teacher == DomainRandomization()
    assert (config.seed, config.env.size) == (2, 5)
    assert load_config(config_file, ["--teacher", TEACHER]).teacher == Picky(temperature=0.5)


def test_another_env_drops_the_presets_options(config_file):
    config = load_config(config_file, [f"--env={OTHER_ENV}", "--env.colour", "blue"])
    assert config.env == OtherLine(colour="blue")
    assert config.teacher == Picky(temperature=0.5)


def test_a_bonus_is_chosen_by_name(config_file, tmp_path):
    assert load_config(config_file).bonus == NoBonus()
    chosen = load_config(config_file, ["--bonus", "counts", "--bonus.coefficient", "0.2"])
    assert chosen.bonus == CountBonus(coefficient=0.2)
    assert chosen.to_dict()["bonus"]["name"] == "counts"
    assert config_from_dict(chosen.to_dict()) == chosen
    path = tmp_path / "with_counts.yaml"
    path.write_text("include: small.yaml\nbonus: {name: counts, feature: observation, reward_weight: 0}\n")
    counts = CountBonus(feature="observation", reward_weight=0.0)
    assert load_config(str(path)).bonus == counts
    assert load_config(str(path), ["--bonus", "none"]).bonus == NoBonus()
    assert (
        load_config(str(path), ["--bonus", "achievements"]).bonus == AchievementBonus()
    )  # the other's options are gone
    by_path = "minied.students.bonuses.counts:CountBonus"
    assert load_config(str(path), ["--bonus", by_path]).bonus == counts


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1", 1.0), ("1.5E+2", 150.0), (".5", 0.5), ("5e0", 5.0)])
def test_yaml_numbers_are_floats(tmp_path, document, text, value):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(document) + f"ppo: {{learning_rate: {text}}}\n")
    assert load_config(str(path)).ppo.learning_rate == value


def test_include(tmp_path, config_file):
    path = tmp_path / "b.yaml"
    path.write_text("include: small.yaml\nseed: 5\nenv: {size: 9}\n")
    config = load_config(str(path))
    assert (config.seed, config.env.size, config.env.levels.farthest, config.updates) == (5, 9, 2, 10)
    path.write_text("include: small.yaml\nteacher: {name: domain_randomization}\n")
    assert load_config(str(path)).teacher == DomainRandomization()
    path.write_text("include: b.yaml\n")
    with pytest.raises(UserError, match="circle"):
        load_config(str(path))


def test_no_code_comes_out_of_a_file(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("seed: !!python/object/apply:os.system ['touch ran']\n")
    with pytest.raises(UserError, match=r"evil\.yaml is not valid YAML"):
        load_config(str(path))
    assert not (tmp_path / "ran").exists()


# Every preset is parsed against the installed classes; the worlds they name must be registered.
@pytest.mark.parametrize("name", list(presets.available()))
def test_presets_are_valid(name):
    config = load_config(name)
    assert config_from_dict(config.to_dict()) == config
    assert presets.description(presets.find(name))
    assert not config.suite or config.suite in config.env.level_space.suites


def test_published_values():
    """The figures of the recipes, from the table of published hyper-parameters, not from the files."""
    expected = {
        "minimax_dr": (1e-4, 0.995, 0.98, 1e-3, "minimax", 60),
        "minimax_robust_plr": (3e-4, 0.999, 0.98, 0.0, "minimax", 60),
        "jaxued_dr": (1e-4, 0.995, 0.98, 1e-3, "jaxued", 25),
        "jaxued_robust_plr": (1e-4, 0.995, 0.98, 1e-3, "jaxued", 25),
        "dcd_dr_25": (1e-4, 0.995, 0.95, 0.01, "dcd", 25),
        "dcd_plr_25": (1e-4, 0.995, 0.95, 0.01, "dcd", 25),
        "dcd_robust_plr_25": (1e-4, 0.995, 0.95, 0.01, "dcd", 25),
        "dcd_robust_plr_60": (1e-4, 0.995, 0.95, 0.0, "dcd", 60),
    }
    replay = {
        "minimax_robust_plr": ("robust_plr", "max_mc", 0.5, 0.3, 0.3),
        "jaxued_robust_plr": ("robust_plr", "max_mc", 0.8, 0.3, 0.3),
        "dcd_plr_25": ("plr", "max_mc", 0.5, 0.1, 0.3),
        "dcd_robust_plr_25": ("robust_plr", "max_mc", 0.5, 0.1, 0.3),
        "dcd_robust_plr_60": ("robust_plr", "positive_value_loss", 0.5, 0.3, 0.3),
    }
    for name, values in expected.items():
        config = load_config(f"maze/{name}")
        ppo, levels = config.ppo, config.env.levels
        found = (
            ppo.learning_rate,
            ppo.discount,
            ppo.gae_lambda,
            ppo.entropy_coefficient,
            levels.generator,
            levels.num_walls,
        )
        assert found == values, name
        assert (config.num_envs, config.num_steps, ppo.num_epochs, ppo.num_minibatches) == (32, 256, 5, 1)
        assert (ppo.clip, ppo.clip_value, ppo.value_coefficient, ppo.max_grad_norm, ppo.adam_epsilon) == (
            0.2,
            True,
            0.5,
            0.5,
            1e-5,
        )
        assert ppo.anneal == ("linear" if "jaxued" in name else "constant")
        teacher = config.teacher
        if name in replay:
            found = (
                name_of(type(teacher)),
                teacher.score,
                teacher.replay_probability,
                teacher.temperature,
                teacher.staleness_coefficient,
            )
            assert found == replay[name], name
            assert (teacher.buffer_size, teacher.minimum_fill) == (4000, 0.5)
        else:
            assert teacher == DomainRandomization()
