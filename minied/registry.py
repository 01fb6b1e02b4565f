"""Finding worlds, teachers, scores and bonuses by name, without importing any that was not asked for.

Worlds come through the entry-point group ``minied.envs``, those shipped with minied like anybody's. Teachers, scores
and bonuses of minied are listed here by import path. Wherever a name is asked for, ``package.module:Object`` is understood
too.
"""

import functools
import importlib
import importlib.metadata
import operator
from typing import Any

from minied.errors import UserError, unknown_name

TEACHERS = {
    "domain_randomization": "minied.teachers.domain_randomization:DomainRandomization",
    "accel": "minied.teachers.accel:Accel",
    "alp_gmm": "minied.teachers.alp_gmm:ALPGMM",
    "fixed_curriculum": "minied.teachers.fixed_curriculum:FixedCurriculum",
    "learning_progress": "minied.teachers.learning_progress:LearningProgress",
    "learned_mixture": "minied.teachers.mixture:LearnedMixture",
    "map_elites": "minied.teachers.map_elites:MapElites",
    "ncc": "minied.teachers.ncc:NCC",
    "minimax_adversary": "minied.teachers.paired:MinimaxAdversary",
    "ordered_tasks": "minied.teachers.ordered_tasks:OrderedTasks",
    "paired": "minied.teachers.paired:Paired",
    "parallel_accel": "minied.teachers.accel:ParallelAccel",
    "parallel_plr": "minied.teachers.prioritized_level_replay:ParallelPrioritizedLevelReplay",
    "plr": "minied.teachers.prioritized_level_replay:PrioritizedLevelReplay",
    "repaired": "minied.teachers.repaired:Repaired",
    "robust_plr": "minied.teachers.prioritized_level_replay:RobustPrioritizedLevelReplay",
    "sfl": "minied.teachers.sampling_for_learnability:SamplingForLearnability",
    "uniform_tasks": "minied.teachers.tasks:UniformTasks",
    "windowed_slope": "minied.teachers.windowed_slope:WindowedSlope",
    "uniform_replay": "minied.teachers.prioritized_level_replay:UniformReplay",
}
SCORES = {
    "max_mc": "minied.scores.max_mc:max_mc",
    "positive_value_loss": "minied.scores.positive_value_loss:positive_value_loss",
    "l1_value_loss": "minied.scores.value_errors:l1_value_loss",
    "signed_gae": "minied.scores.value_errors:signed_gae",
    "one_step_td": "minied.scores.value_errors:one_step_td",
    "negative_advantage_if_solved": "minied.scores.negative_advantage_if_solved:negative_advantage_if_solved",
    "entropy": "minied.scores.uncertainty:entropy",
    "least_confidence": "minied.scores.uncertainty:least_confidence",
    "min_margin": "minied.scores.uncertainty:min_margin",
    "value_disagreement": "minied.scores.disagreement:value_disagreement",
    "policy_disagreement": "minied.scores.disagreement:policy_disagreement",
    "learnability": "minied.scores.learnability:learnability",
    "generalized_learnability": "minied.scores.learnability:generalized_learnability",
    "return_variance": "minied.scores.learnability:return_variance",
    "mean_return": "minied.scores.returns:mean_return",
    "negative_return": "minied.scores.returns:negative_return",
    "exact_regret": "minied.scores.returns:exact_regret",
    "relative_regret": "minied.scores.regret:relative_regret",
    "mean_relative_regret": "minied.scores.regret:mean_relative_regret",
    "flexible_regret": "minied.scores.regret:flexible_regret",
    "population_regret": "minied.scores.regret:population_regret",
    "novelty": "minied.scores.novelty:novelty",
    "parameter_change": "minied.scores.parameter_change:parameter_change",
}
BONUSES = {
    "none": "minied.students.bonuses.base:NoBonus",
    "achievements": "minied.students.bonuses.achievements:AchievementBonus",
    "counts": "minied.students.bonuses.counts:CountBonus",
    "forward_dynamics": "minied.students.bonuses.forward_dynamics:ForwardDynamicsBonus",
    "random_network_distillation": "minied.students.bonuses.random_network_distillation:RandomNetworkDistillation",
}


@functools.cache
def _worlds() -> dict[str, str]:
    """Return the import path of each installed world by name. Two packages with one name are an error."""
    found: dict[str, str] = {}
    for entry in importlib.metadata.entry_points(group="minied.envs"):
        if found.get(entry.name, entry.value) != entry.value:
            raise UserError(f"two installed packages register the environment {entry.name!r}: uninstall one of them")
        found[entry.name] = entry.value
    return found


_TABLES = {
    "environment": _worlds, "teacher": lambda: TEACHERS, "score": lambda: SCORES, "bonus": lambda: BONUSES,
}  # fmt: skip


def names(kind: str) -> list[str]:
    """Return the registered names of ``kind`` (``environment``, ``teacher``, ``score`` or ``bonus``), sorted."""
    return sorted(_TABLES[kind]())


def load(kind: str, name: str) -> Any:
    """Return the class or function registered as ``name``, or found at the import path ``name``.

    Raises `UserError` for an unknown name, or a path that does not import.
    """
    path = _TABLES[kind]().get(name, name)
    if ":" not in path:
        raise unknown_name(kind, name, names(kind))
    module, _, attribute = path.partition(":")
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last two: no module, a relative one
        raise UserError(f"the {kind} {name!r} cannot be loaded: {error}") from error


def name_of(thing: Any) -> str:
    """Return the registered name of a class or function, or its import path if it has none."""
    for kind, table in _TABLES.items():
        for name, registered in table().items():
            module, _, attribute = registered.partition(":")
            # A registered path may lead to a package that re-exports the thing. Only such a package is imported to see.
            near = thing.__module__ == module or thing.__module__.startswith(f"{module}.")
            if attribute == thing.__qualname__ and near and load(kind, name) is thing:
                return name
    return f"{thing.__module__}:{thing.__qualname__}"
