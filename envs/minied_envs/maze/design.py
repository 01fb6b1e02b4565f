"""In which steps is a maze built, and what may be asked for? The options of a designer and the script they stand for.

A design follows a script: which kind of decision each step takes depends on its number alone, so that all designs of a batch
are at the same kind of step. `minied_envs.maze.designer` plays it. Letters: ``H W`` grid.
"""

import dataclasses
from typing import Literal, get_args

from minied.errors import UserError, unknown_name

Order = Literal["goal_last", "goal_first", "edits"]
Noise = Literal["resampled", "held"]

# Kinds of steps. What the action means: a number of walls, cells, a direction, 0 for no and 1 for yes, a cell.
BUDGET, WALL, GOAL, AGENT, DIRECTION, TOGGLE, HAS_TELEVISION, TELEVISION, DONE = range(9)


@dataclasses.dataclass(frozen=True)
class MazeDesign:
    """How a teacher builds a maze."""

    order: Order = "goal_last"
    """goal_last: walls, goal, agent (PAIRED, DCD, minimax). goal_first: goal, direction, agent, then walls are built or torn
    down (jaxued). edits: only the latter, on a level that is given and keeps its goal and agent."""
    num_wall_steps: int = 60
    """Steps that build or change walls."""
    replace_walls: bool = True
    """goal_last only: a wall may be built where one is, which changes nothing; if false, never."""
    vary_num_walls: bool = False
    """goal_last only: a first step chooses how many of the wall steps count."""
    choose_direction: bool = False
    """goal_last only: a last step chooses the agent's direction, which is random otherwise."""
    border: bool = False
    """Show the wall around the grid too (minimax and DCD do, jaxued does not)."""
    noise_size: int = 16
    """Random numbers among what the teacher sees (DCD and minimax's command: 50)."""
    noise: Noise = "resampled"
    """resampled: fresh at every step, as published. held: drawn once a design."""

    def __post_init__(self) -> None:
        for name, kinds in (("order", Order), ("noise", Noise)):
            if getattr(self, name) not in get_args(kinds):
                raise unknown_name(f"design.{name}", getattr(self, name), get_args(kinds))
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        for name in ("replace_walls", "vary_num_walls", "choose_direction"):
            if self.order != "goal_last" and getattr(self, name) != usual[name]:
                raise UserError(
                    f"design.{name} is {getattr(self, name)} with order {self.order!r}; allowed: only with 'goal_last'"
                )
        least = 1 if self.order == "edits" or self.vary_num_walls else 0
        if self.num_wall_steps < least:
            reason = " with vary_num_walls" if self.vary_num_walls else f" with order {self.order!r}"
            raise UserError(f"design.num_wall_steps is {self.num_wall_steps}; allowed{reason}: at least {least}")
        if self.noise_size < 0:
            raise UserError(f"design.noise_size is {self.noise_size}; allowed: at least 0")

    def most_walls(self, height: int, width: int) -> int:
        """Return the highest number that ``vary_num_walls`` lets a design choose: an action is below ``H W``."""
        return min(self.num_wall_steps, height * width - 1)

    def script(self, noisy_tv: bool) -> tuple[int, ...]:
        """Return the kind of each step. ``noisy_tv``: whether the maze may have a television."""
        television = (HAS_TELEVISION, TELEVISION) if noisy_tv else ()
        if self.order == "edits":
            return (TOGGLE,) * self.num_wall_steps
        if self.order == "goal_first":
            return (GOAL, DIRECTION, AGENT, *(TOGGLE,) * self.num_wall_steps, *television)
        walls = (BUDGET,) * self.vary_num_walls + (WALL,) * self.num_wall_steps
        return (*walls, GOAL, AGENT, *(DIRECTION,) * self.choose_direction, *television)

    def check_fits(self, height: int, width: int, noisy_tv: bool) -> None:
        """Raise `UserError` that names the first step which would leave nothing to choose in a maze of this size."""
        cells, script = height * width, self.script(noisy_tv)
        where = f"allowed in a {height}x{width} maze"
        must_be_new = self.order == "goal_last" and not self.replace_walls and not self.vary_num_walls
        if must_be_new and self.num_wall_steps > cells:
            raise UserError(
                f"design.num_wall_steps is {self.num_wall_steps}: step {cells + 1} of a design would have no cell left;"
                f" {where} without replace_walls: 0 to {cells}"
            )
        if DIRECTION in script and cells < 4:
            name = "choose_direction" if self.order == "goal_last" else "order"
            other = "False" if self.order == "goal_last" else "'goal_last' or 'edits'"
            raise UserError(
                f"design.{name} is {getattr(self, name)!r}: step {script.index(DIRECTION) + 1} of a design chooses one of 4"
                f" directions, and there are {cells} actions; {where}: {other}"
            )
        taken = 3 if noisy_tv else 2  # goal, agent, and the television of the level that is given
        if self.order == "edits" and cells <= taken:
            raise UserError(
                f"design.order is 'edits': step 1 of a design would have no cell left beside goal and agent"
                f"{' and television' * noisy_tv}; {where}: 'goal_last'"
            )
