"""Where maps, colour scales and profiles go on a figure, so that maps are true to scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..core.grid import Grid
from .frame import Frame

CM = 1 / 2.54
TALLEST_CM = 11.0
"""Of a map."""
# inches
LEFT, RIGHT, TOP, GAP, BAR, BELOW = 0.52, 0.08, 0.3, 0.2, 0.3, 0.42
PROFILE, PROFILE_GAP = 1.15, 0.42


class Wanted(NamedTuple):
    """What is to be placed."""

    width_cm: float
    maps: int
    profiles: int
    title: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything goes, in inches from the lower left corner."""

    width: float
    """Of one map."""
    height: float
    left: float
    across: int
    """Maps beside each other; the others follow below."""
    maps: int
    profiles: int
    total: float
    """Width of the figure."""
    head: float

    @classmethod
    def of(cls, grid: Grid, wanted: Wanted) -> Plan:
        """Fit the maps into the width, and below a height."""
        total, count = wanted.width_cm * CM, wanted.maps
        ratio = Frame.of(grid).ratio
        across = 1 if ratio < 0.45 and count > 1 else min(count, 3 if total > 5 else 2 if total > 4 else 1)
        width = (total - LEFT - RIGHT - (across - 1) * GAP) / across
        height = width * ratio
        if height > TALLEST_CM * CM:
            height = TALLEST_CM * CM
            width = max(height / ratio, 0.4)
        used = across * width + (across - 1) * GAP
        left = LEFT + max(0.0, (total - LEFT - RIGHT - used) / 2)
        head = TOP + (0.24 if wanted.title else 0)
        return cls(width, max(height, 0.3), left, across, count, wanted.profiles, total, head)

    @property
    def rows(self) -> int:
        """Of maps."""
        return -(-self.maps // self.across)

    @property
    def below_maps(self) -> float:
        """Height of the profiles and what is between them."""
        return self.profiles * (PROFILE + PROFILE_GAP)

    @property
    def size(self) -> tuple[float, float]:
        """Of the figure."""
        row = self.height + BELOW + BAR
        return self.total, self.head + self.rows * row + (self.rows - 1) * TOP + self.below_maps + 0.12

    def map(self, k: int) -> tuple[float, float, float, float]:
        """Axes of a map, in shares of the figure."""
        row, column = divmod(k, self.across)
        top = self.size[1] - self.head - row * (self.height + BELOW + BAR + TOP)
        return self._share(self.left + column * (self.width + GAP), top - self.height, self.width, self.height)

    def bar(self, k: int) -> tuple[float, float, float, float]:
        """Axes of its colour scale."""
        row, column = divmod(k, self.across)
        top = self.size[1] - self.head - row * (self.height + BELOW + BAR + TOP)
        left = self.left + column * (self.width + GAP)
        return self._share(left + 0.1 * self.width, top - self.height - BELOW - 0.02, 0.8 * self.width, 0.07)

    def profile(self, k: int) -> tuple[float, float, float, float]:
        """Axes of a profile."""
        bottom = self.below_maps - (k + 1) * (PROFILE + PROFILE_GAP) + PROFILE_GAP
        return self._share(LEFT, bottom, self.total - LEFT - RIGHT - 0.05, PROFILE)

    def _share(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        full = self.size
        return left / full[0], bottom / full[1], width / full[0], height / full[1]
