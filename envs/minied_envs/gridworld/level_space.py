import dataclasses
from minied.levels.space import LevelSpace
from minied_envs.gridworld import level as levels


@dataclasses.dataclass(frozen=True)
class GridLevelSpace(LevelSpace):
    world: object

    def sample(self, key): ...
    def check(self, level):
        levels.check(level, self.world.height, self.world.width)
