"""The gridworld against MiniGrid, step for step: every family, the same random actions, exactly."""

import gridworld_oracle as oracle
import pytest

FAMILIES = {
    "empty": ("Empty-8x8-v0", "Empty-Random-6x6-v0"),
    "four_rooms": ("FourRooms-v0",),
    "door_key": ("DoorKey-8x8-v0",),
    "multi_room": ("MultiRoom-N2-S4-v0", "MultiRoom-N6-v0"),
    "key_corridor": ("KeyCorridorS3R1-v0", "KeyCorridorS4R3-v0"),
    "unlock": ("Unlock-v0",),
    "unlock_pickup": ("UnlockPickup-v0", "BlockedUnlockPickup-v0"),
    "lava_gap": ("LavaGapS7-v0",),
    "crossing": ("LavaCrossingS9N2-v0", "SimpleCrossingS11N5-v0"),
    "memory": ("MemoryS7-v0", "MemoryS13Random-v0"),
    "obstructed_maze": ("ObstructedMaze-1Dlhb-v0", "ObstructedMaze-2Dlhb-v1", "ObstructedMaze-Full-v1"),
}
NAMES = [f"MiniGrid-{name}" for names in FAMILIES.values() for name in names]
QUICK = [
    f"MiniGrid-{name}" for name in ("Empty-Random-6x6-v0", "DoorKey-8x8-v0", "MemoryS7-v0", "ObstructedMaze-1Dlhb-v0")
]


@pytest.mark.parametrize("name", QUICK)
def test_minigrid_agrees_step_for_step(name):
    oracle.compare(name, num_levels=8, num_steps=100)


@pytest.mark.parametrize("view_size", [3, 9])
def test_minigrid_agrees_for_other_views(view_size):
    won, lost = oracle.compare("MiniGrid-LavaGapS5-v0", 8, 80, agent_view_size=view_size)
    assert lost > 3
    assert won + lost < 8 * 80


def test_minigrid_agrees_where_ends_and_limits_meet():
    won, _ = oracle.compare("MiniGrid-Empty-Random-5x5-v0", 8, 120, max_steps=7)
    assert won > 5


@pytest.mark.parametrize(
    "name", ["DoorKey-5x5-v0", "KeyCorridorS3R1-v0", "Unlock-v0", "ObstructedMaze-1Dlh-v0", "MemoryS7-v0"]
)
def test_minigrid_agrees_on_whole_solutions(name):
    """Random actions seldom open a locked door: the shortest solution of each level is played too, and wins in both."""
    won, lost = oracle.compare(f"MiniGrid-{name}", num_levels=3, num_steps=40, player=oracle.solve)
    assert won == 3
    assert lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_minigrid_agrees_on_200_levels(name):
    won, lost = oracle.compare(name, num_levels=200, num_steps=200, seed=1)
    if any(word in name for word in ("Empty", "LavaGap", "LavaCrossing", "Memory")):
        assert won + lost > 20
