"""What is timed? Each case is a script of ``peers`` with its arguments, and what to call it in a table.

The standard workload of the literature: 13×13 maze, 32 environments × 256 steps, 5 epochs × 1 minibatch, convolution of 16
filters, LSTM of 256 units, as the presets ``maze/minimax_*`` have it and as minimax ships it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from minied import registry
from minied.bench.peers.environments import OURSELVES
from minied.bench.peers.process import SCRIPTS
from minied.config.options import fields_of

Updates = Literal["mixed", "replay"]
"""Which iterations of a replaying teacher are timed: new and replayed batches as they come, or replays only."""
Restart = Literal["same", "fresh"]

TEACHERS = {
    "domain_randomization": "DR",
    "plr": "PLR",
    "robust_plr": "PLR⊥",
    "accel": "ACCEL",
    "parallel_plr": "PLR∥",
    "parallel_accel": "ACCEL∥",
    "paired": "PAIRED",
}
"""The teachers that minimax has too, and what they are called in tables."""
PRESETS = {
    "robust_plr": "maze/minimax_robust_plr",
    "accel": "maze/minimax_accel",
    "parallel_plr": "maze/minimax_parallel_plr",
    "parallel_accel": "maze/minimax_parallel_accel",
    "paired": "maze/minimax_paired",
    "sfl": "maze/sfl",
    "ncc": "maze/ncc",
}
"""The recipe of each teacher that has one at this workload; the others stand in that of domain randomisation."""
LEARN_FROM_REPLAYS = ("robust_plr", "accel")
"""Those that by chance replay and learn, or play new levels and do not."""
STEADY = ("--teacher.minimum-fill", "0.001")
"""Replay from the second iteration on, so that the state that most of a training is in is timed."""
_OF_MINIMAX = {"domain_randomization": "dr"}  # what minimax_training calls a teacher, where it differs
_OTHER_WORLDS = (
    ("xminigrid_world", "MiniGrid-EmptyRandom-8x8"),
    ("xminigrid_world", "MiniGrid-DoorKey-8x8"),
    ("navix_world", "Navix-Empty-8x8-v0"),
    ("navix_world", "Navix-DoorKey-8x8-v0"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A process to be timed."""

    what: Literal["training", "world"]
    name: str  # of the teacher or the world
    by: str  # whose code runs, and how it is set
    script: str  # one of `peers.process.SCRIPTS`
    arguments: tuple[str, ...]
    counted: str  # the count by which it is compared: "learnt" or "steps"
    num_envs: int
    note: str = ""  # what the name does not say: how levels follow, which updates
    variables: tuple[tuple[str, str], ...] = ()  # of the environment of the process

    @property
    def title(self) -> str:
        """What is timed, in words."""
        parts = (self.what, self.name, self.note, f"{self.num_envs} environments", f"by {self.by}")
        return ", ".join(part for part in parts if part)

    @property
    def peer(self) -> str:
        """Whose interpreter runs it: a name of `peers.environments.PEERS`, or minied."""
        return SCRIPTS[self.script]


def training(
    teacher: str = "domain_randomization",
    options: Sequence[str] = (),
    *,
    by: str = OURSELVES,
    iterations: int = 8,
    num_envs: int = 32,
    updates: Updates = "mixed",
    student: str = "",
    variables: tuple[tuple[str, str], ...] = (),
) -> Case:
    """Return the case of a training with minied.

    Args:
        teacher: registered name.
        options: of `minied train`, on top of the recipe.
        by: what to call it.
        iterations: of the loop in a call.
        num_envs: environments of a batch.
        updates: `replay` for a teacher that can be told to replay in every iteration.
        student: ``FILE.py:Class`` in the network's place.
        variables: of the process's environment.

    Raises `UserError` for an unknown teacher.
    """
    preset = PRESETS.get(teacher, PRESETS["robust_plr"] if teacher == "plr" else "maze/minimax_dr")
    fields = fields_of(registry.load("teacher", teacher))
    chosen = ["--preset", preset, "--iterations-per-timing", str(iterations)]
    chosen += ["--student", student] if student else []
    chosen += ["--teacher", teacher, "--num-envs", str(num_envs)]
    chosen += STEADY if "minimum_fill" in fields else ()
    chosen += ["--teacher.replay-probability", "1"] if updates == "replay" and "replay_probability" in fields else []
    return Case(
        "training",
        TEACHERS.get(teacher, teacher),
        by,
        "minied_training",
        (*chosen, *options),
        "learnt",
        num_envs,
        note=_note(updates),
        variables=variables,
    )


def minimax_training(
    teacher: str, metrics: Literal["on", "off"], num_envs: int = 32, updates: Updates = "mixed"
) -> Case:
    """Return the case of a training with minimax's own trainer, with its metrics of every level on, as shipped, or off."""
    method = _OF_MINIMAX.get(teacher, teacher)
    arguments = ("--method", method, "--metrics", metrics, "--updates", updates, "--num-envs", str(num_envs))
    by = "minimax" if metrics == "on" else "minimax, no metrics"
    return Case(
        "training", TEACHERS[teacher], by, "minimax_training", arguments, "learnt", num_envs, note=_note(updates)
    )  # fmt: skip


def world(
    peer: Literal["minied", "minimax", "jaxued"], num_envs: int, restart: Restart, observe: str = "images"
) -> Case:
    """Return the case of a maze alone, 13×13; ``observe`` is minied's: images as the others return, or codes."""
    arguments = ["--num-envs", str(num_envs), "--restart", restart]
    by = peer
    if peer == OURSELVES:
        arguments += ["--observe", observe]
        by = peer if observe == "images" else f"{peer}, {observe}"
    note = f"{restart} level"
    return Case("world", "maze 13×13", by, f"{peer}_maze", tuple(arguments), "steps", num_envs, note=note)


def hide_and_seek(teams: Literal["1v1", "2v2"], num_envs: int, restart: Restart) -> Case:
    """Return the case of hide and seek alone, 12×12: one against one and nothing else, or with 4 boxes and 2 ramps."""
    hiders, boxes, ramps = {"1v1": (1, 0, 0), "2v2": (2, 4, 2)}[teams]
    counts = {"hiders": hiders, "seekers": hiders, "boxes": boxes, "ramps": ramps}
    options = ["--env.lidar", "8"]
    for kind, number in counts.items():
        options += [f"--env.max-{kind}", str(number), f"--env.levels.min-{kind}", str(number)]
    arguments = ("--num-envs", str(num_envs), "--restart", restart, "--preset", "hide_and_seek/quadrant", *options)
    name, note = f"hide and seek 12×12, {teams}", f"{restart} level"
    return Case("world", name, OURSELVES, "minied_maze", arguments, "steps", num_envs, note=note)


def other_worlds(num_envs: int) -> list[Case]:
    """Return the cases of worlds that minied does not have: near in kind, so that a ratio is of another world's work."""
    note = "another world"
    return [
        Case(
            "world",
            name,
            SCRIPTS[script],
            script,
            ("--num-envs", str(num_envs), "--world", name),
            "steps",
            num_envs,
            note,
        )
        for script, name in _OTHER_WORLDS
    ]


def _note(updates: Updates) -> str:
    return "" if updates == "mixed" else "replays"
