"""The house: who may import whom, what exists once, and that importing minied costs and does nothing."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def home(package):
    """The folder of an importable package, found without importing it: the installed one, or that of the checkout."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None, f"{package} has no __init__"
    return Path(spec.origin).resolve().parent


CORE = home("minied")
WORLDS = home("minied_envs")


def module_name(path):
    base = CORE.parent if path.is_relative_to(CORE) else WORLDS.parent
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(folder):
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


assert sources(CORE), CORE
TREES = {module_name(path): ast.parse(path.read_text()) for path in [*sources(CORE), *sources(WORLDS)]}


def is_type_checking(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def walk(node):
    """All nodes but those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from walk(child)


def imports_of(tree, package=""):
    """Every module that is imported, anywhere in the file; `from a import b` gives a and a.b if that is a module."""
    found = set()
    for node in walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {package}"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & set(TREES)
            found |= modules
            if modules != names:
                found.add(node.module)
    return found


IMPORTS = {name: imports_of(tree, name) for name, tree in TREES.items()}
# A package's `__init__` that is named on the way to a module says nothing; the modules themselves count.


def below(module, *packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


def ours(name):
    return {module for module in IMPORTS[name] if below(module, "minied", "minied_envs")}


def offenders(names, allowed):
    return {f"{name} imports {module}" for name in names for module in ours(name) if not below(module, *allowed)}


def modules_of(*packages):
    return [name for name in TREES if below(name, *packages)]


ENV_SIDE = ("minied.env", "minied.spaces", "minied.errors", "minied.hashing")
EVERYWHERE = (*ENV_SIDE, "minied.registry", "minied.hyperparameters")


def test_the_parser_sees_what_is_imported():
    """The checks below are worth as much as this: known imports are seen, lazy ones inside functions too."""
    assert "minied.levels.buffer" in IMPORTS["minied.teachers.prioritized_level_replay"]
    assert "minied.students.ppo" in IMPORTS["minied.train.update"]
    assert "difflib" in IMPORTS["minied.errors"]  # inside a function
    assert "minied.levels.space" not in IMPORTS["minied.env"]  # under TYPE_CHECKING only
    assert modules_of("minied_envs")


def test_worlds_import_the_contract_only():
    building = ("minied.levels.designer", "minied.levels.parameters", "minied.levels.tasks")
    allowed = (*ENV_SIDE, "minied.levels.space", *building, "minied.yaml_text", "minied_envs")
    assert offenders(modules_of("minied_envs"), allowed) == set()


def test_minied_never_imports_a_world_by_name():
    assert {name for name in modules_of("minied") if any(below(m, "minied_envs") for m in IMPORTS[name])} == set()


def test_students_know_nothing_of_levels_teachers_or_worlds():
    assert offenders(modules_of("minied.students"), (*EVERYWHERE, "minied.students", "minied.spread")) == set()


def test_the_spread_over_devices_knows_nothing_of_what_it_spreads():
    assert offenders(["minied.spread"], ("minied.errors",)) == set()


def test_levels_know_the_contract_only():
    assert offenders(modules_of("minied.levels"), (*ENV_SIDE, "minied.levels")) == set()


def test_scores_know_episodes_and_nothing_above():
    assert offenders(modules_of("minied.scores"), (*EVERYWHERE, "minied.scores", "minied.episodes")) == set()


def test_teachers_know_levels_scores_and_the_contract():
    designing = "minied.teachers.designing"  # the one that is itself a learner
    teachers = [n for n in modules_of("minied.teachers") if n != designing]
    allowed = (*EVERYWHERE, "minied.teachers", "minied.levels", "minied.scores", "minied.episodes", "minied.spread")
    assert offenders(teachers, allowed) == set()
    assert offenders([designing], (*allowed, "minied.students", "minied.rollout", "minied.experience")) == set()


def test_experience_knows_rollouts_and_learners_only():
    assert offenders(["minied.experience"], ("minied.rollout", "minied.students")) == set()


def test_rollout_and_episodes_know_no_level_teacher_or_score():
    assert offenders(["minied.episodes"], ENV_SIDE) == set()
    assert offenders(["minied.rollout"], (*EVERYWHERE, "minied.episodes", "minied.students")) == set()


def test_evaluation_knows_no_teacher_and_no_run():
    allowed = (*EVERYWHERE, "minied.rollout", "minied.episodes", "minied.students", "minied.levels", "minied.evaluate")
    assert offenders(modules_of("minied.evaluate"), (*allowed, "minied.spread")) == set()


def test_adapters_know_the_contract_and_each_library_only_inside_functions():
    """Who trains on mazes pays for no other library; who lacks one is told so when it is asked for."""
    adapters = modules_of("minied.adapters")
    assert adapters
    allowed = (*EVERYWHERE, "minied.levels", "minied.adapters", "minied.evaluate", "minied.rollout")
    assert offenders(adapters, allowed) == set()
    known = {"jax", "numpy", "flax", "minied", *sys.stdlib_module_names}
    for name in adapters:
        for node in TREES[name].body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                assert {module.partition(".")[0] for module in modules} <= known, name


def test_the_kit_knows_no_files_and_commands():
    forbidden = ("minied.run", "minied.commands", "minied.cli", "minied.config", "minied.sweep", "minied.adapters")
    assert {f"{n} {m}" for n in modules_of("minied.testing") for m in ours(n) if below(m, *forbidden)} == set()


def test_training_knows_nothing_of_files_and_commands():
    forbidden = (
        "minied.run",
        "minied.commands",
        "minied.cli",
        "minied.config.parsing",
        "minied.adapters",
        "minied.bench",
    )
    core = modules_of(
        "minied.train", "minied.evaluate", "minied.teachers", "minied.students", "minied.levels", "minied.scores",
        "minied.rollout", "minied.episodes", "minied.env", "minied.spaces", "minied.registry", "minied.hyperparameters",
        "minied.spread",
    )  # fmt: skip
    assert {f"{n} imports {m}" for n in core for m in ours(n) if below(m, *forbidden)} == set()


def only_in(package, allowed):
    return {name for name in TREES if any(below(m, package) for m in IMPORTS[name]) and not below(name, *allowed)}


def test_orbax_is_imported_by_the_checkpoint_alone():
    assert only_in("orbax", ("minied.run.checkpoint",)) == set()
    assert any(below(m, "orbax") for m in IMPORTS["minied.run.checkpoint"])


def test_yaml_is_read_in_one_place_that_knows_errors_only():
    assert only_in("yaml", ("minied.yaml_text",)) == set()
    assert offenders(["minied.yaml_text"], ("minied.errors",)) == set()


def test_gymnax_is_imported_by_adapters_alone():
    assert only_in("gymnax", ("minied.adapters",)) == set()


@pytest.mark.parametrize("package", ["pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"])
def test_nothing_is_pickled(package):
    assert only_in(package, ()) == set()
    calls = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    }
    assert calls == set()


@pytest.mark.parametrize(
    ("function", "home"),
    [
        ("generalized_advantages", "minied.students.advantages"),
        ("update", "minied.students.ppo"),
        ("collect", "minied.rollout"),
        ("summarise", "minied.episodes"),
        ("finished_step_weights", "minied.episodes"),
        ("replay_distribution", "minied.levels.buffer"),
        ("insert", "minied.levels.buffer"),
        ("insert_at", "minied.levels.buffer"),
        ("revisit", "minied.levels.buffer"),
        ("project", "minied.teachers.ncc"),
        ("rank_correlation", "minied.scores.correlation"),
        ("interquartile_mean", "minied.evaluate.statistics"),
        ("evaluate_levels", "minied.evaluate.episodes"),
        ("score_levels", "minied.scores.base"),
        ("iterate", "minied.train.update"),
        ("advance", "minied.train.loop"),
    ],
)
def test_what_every_algorithm_shares_is_defined_once(function, home):
    """A second top-level definition under the same name is a copy; methods of that name may delegate to it."""
    homes = {
        name
        for name, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == function
    }
    assert homes == {home}


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (
            ("gae", "advantage"),
            {
                "minied.students.advantages": 1,
                "minied.experience": 1,  # which maps it over agents and levels
                "minied.scores.value_errors": 1,  # scores named after what they read
                "minied.scores.negative_advantage_if_solved": 1,
            },
        ),
        (("ppo",), {}),
        (("rollout",), {"minied.rollout": 1, "minied.train.config": 1}),  # a property that counts them
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_no_function_by_another_name_does_it_again(words, allowed):
    counts = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            # At the start of a part of the name: there is a "ppo" in "opponents".
            if isinstance(node, ast.FunctionDef) and any(f"_{word}" in f"_{node.name.lower()}" for word in words):
                counts[name] = counts.get(name, 0) + 1
    assert counts == allowed


def test_values_of_logits_are_clipped_in_one_place_only():
    """The clip of PPO, by its arithmetic rather than by a name: `1 + clip` occurs in one module."""
    found = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and isinstance(node.left, ast.Constant)
        and node.left.value == 1.0
        and "clip" in ast.unparse(node.right)
    }
    assert found == {"minied.students.ppo"}


def python(code, **environment):
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    variables |= {"PYTHONPATH": f"{CORE.parent}:{WORLDS.parent}", "JAX_PLATFORMS": "cpu"} | environment
    return subprocess.run([sys.executable, "-W", "error", "-c", code], env=variables, capture_output=True, text=True)


def test_importing_minied_prints_nothing_and_loads_nothing_heavy():
    done = python(
        "import sys, minied\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'wandb', 'gymnax', 'matplotlib', 'scipy', 'tyro', 'rich', 'yaml', 'PIL',"
        " 'chex', 'minied_envs'}\n"
        "found = sorted(heavy & set(sys.modules))\n"
        "assert not found, found"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


def test_importing_the_program_loads_no_tool_of_the_edges():
    # (`rich` is not among them: flax.linen itself loads it.)
    done = python(
        "import sys, minied.train.program, minied.teachers.prioritized_level_replay\n"
        "edges = {'orbax', 'wandb', 'gymnax', 'matplotlib', 'PIL', 'tyro', 'minied_envs', 'minied.run'}\n"
        "found = sorted(edges & set(sys.modules))\n"
        "assert not found, found"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_no_module_computes_with_jax_when_it_is_imported():
    """With a platform that does not exist the first computation fails, and importing everything must not."""
    modules = sorted(name for name in TREES if not below(name, "minied.adapters") and name != "minied.__main__")
    code = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)
    done = python(code, JAX_PLATFORMS="nonexistent")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""
    control = python("import jax.numpy as jnp; jnp.zeros(1)", JAX_PLATFORMS="nonexistent")
    assert control.returncode != 0


def test_reading_any_preset_computes_nothing():
    """After a computation it is too late to say how many devices there are, and a command says so from the config."""
    done = python(
        "import jax\n"
        "from minied.config import load_config, presets\n"
        "for name, path in presets.available().items():\n"
        # Worlds of other libraries ask those what their options mean, which may compute: commands are prepared for it.
        "    if path.parent.name not in ('gymnax', 'xland', 'craftax', 'jumanji', 'jaxmarl', 'navix'):\n"
        "        load_config(name, [])\n"
        "jax.config.update('jax_num_cpu_devices', 3)\n"  # raises once the devices are there
        "assert len(jax.devices()) == 3\n"
    )
    assert done.returncode == 0, done.stderr
