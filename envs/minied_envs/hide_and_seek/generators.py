"""How are levels of hide and seek drawn?"""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minied_envs.hide_and_seek.world import HideAndSeek


@dataclasses.dataclass(frozen=True)
class HideAndSeekLevels:
    """How levels are drawn and edited."""

    def check_fits(self, world: "HideAndSeek") -> None:
        """Raise `UserError` unless levels like this fit the world."""
