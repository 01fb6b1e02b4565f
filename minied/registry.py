"""Finding worlds, teachers, scores and bonuses by name, without importing any that was not asked for.

Worlds come through the entry-point group ``minied.envs``, those shipped with minied like anybody's. Teachers, scores
and bonuses of minied are listed here by import path; those of other packages come through ``minied.teachers``,
``minied.scores`` and ``minied.bonuses``. Wherever a name is asked for, ``package.module:Object`` is understood too.

What does not import, and what two packages give one name, is an error for who asks for it, and for nobody else.
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


KINDS = {
    "environment": ("minied.envs", {}),
    "teacher": ("minied.teachers", TEACHERS),
    "score": ("minied.scores", SCORES),
    "bonus": ("minied.bonuses", BONUSES),
}
"""The entry-point group of each kind of thing, and what minied itself has of it."""


@functools.cache
def _registered(kind: str) -> dict[str, tuple[str, ...]]:
    """Return the import paths that are registered under each name: one, or more if packages are at odds."""
    group, own = KINDS[kind]
    found = {name: (path,) for name, path in own.items()}
    for entry in importlib.metadata.entry_points(group=group):
        if entry.value not in found.get(entry.name, ()):
            found[entry.name] = (*found.get(entry.name, ()), entry.value)
    return found


def names(kind: str) -> list[str]:
    """Return the registered names of ``kind`` (``environment``, ``teacher``, ``score`` or ``bonus``), sorted."""
    return sorted(_registered(kind))


def load(kind: str, name: str) -> Any:
    """Return the class or function registered as ``name``, or found at the import path ``name``.

    Raises `UserError` for an unknown name, one that several packages register, or what does not import.
    """
    paths = _registered(kind).get(name, (name,))
    path, *others = paths
    if others:
        raise UserError(
            f"the {kind} {name!r} is registered by {len(paths)} packages: {', '.join(paths)}; uninstall all but one, or"
            " name it by its import path"
        )
    if ":" not in path:
        raise unknown_name(kind, name, names(kind))
    return load_path(path, f"the {kind} {name!r}")


def load_path(path: str, told: str) -> Any:
    """Return what ``package.module:Object`` leads to. Raises `UserError` that begins with ``told`` if it does not import."""
    module, _, attribute = path.partition(":")
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # an import runs somebody else's code, scripts too
        kind = (
            ""
            if isinstance(error, (ImportError, AttributeError, ValueError, TypeError))
            else f"{type(error).__name__}: "
        )
        raise UserError(f"{told} cannot be loaded: {kind}{error}") from error


def name_of(thing: Any) -> str:
    """Return the registered name of a class or function, or its import path if it has none."""
    for kind in KINDS:
        for name, registered in _registered(kind).items():
            module, _, attribute = registered[0].partition(":")
            # A registered path may lead to a package that re-exports the thing. Only such a package is imported to see.
            near = thing.__module__ == module or thing.__module__.startswith(f"{module}.")
            if attribute == thing.__qualname__ and near and len(registered) == 1 and load(kind, name) is thing:
                return name
    return f"{thing.__module__}:{thing.__qualname__}"
