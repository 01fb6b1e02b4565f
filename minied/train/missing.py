"""Which signals a run cannot compute, told before anything compiles."""

from minied.levels.space import LevelSpace
from minied.students.networks.config import NetworkConfig

CONDITIONS = {
    "population": "at least two students",
    "value_ensemble": "at least two value heads",
    "policy_ensemble": "at least two policy heads",
    "optimal_return": "a world with optimal_return",
    "neighbour_distances": "a teacher that keeps a buffer, and a world with describe",
}
"""What a run must have to compute a signal, for those that not every run can."""


def missing_signals(network: NetworkConfig, space: LevelSpace, world: str, num_students: int = 1) -> dict[str, str]:
    """Return the signals that a run cannot compute, each with what is lacking and how to mend it.

    Args:
        network: of the student.
        space: the levels.
        world: its name, for the sentences.
        num_students: P.
    """
    missing = {}
    if num_students < 2:
        missing["population"] = f"num_students is {num_students}, allowed: at least 2, a protagonist and an antagonist"
    if network.num_value_heads < 2:
        missing["value_ensemble"] = f"network.num_value_heads is {network.num_value_heads}, allowed: at least 2"
    if network.num_policy_heads < 2:
        missing["policy_ensemble"] = f"network.num_policy_heads is {network.num_policy_heads}, allowed: at least 2"
    if not space.has("optimal_return"):
        missing["optimal_return"] = f"{world} does not know the best return of a level (optimal_return)"
    if not space.has("describe"):
        missing["neighbour_distances"] = f"{world} does not describe its levels (describe)"
    else:
        missing["neighbour_distances"] = "only a teacher that keeps a buffer has it"
    return missing
