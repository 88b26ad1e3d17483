"""Suite `rupture`: simulated earthquakes of three sizes, always the same ones for the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..core.image import Pair
from ..core.source import ArrayPair
from ..simulate.draw import LARGEST_PX, DrawOptions, draw_pair
from .case import Answer, Case, Entry
from .imagery import Ground
from .zoned import Zones

TITLES = {
    "very-small": "very small, 0.1 to 0.6 px",
    "small": "small, 1 to 3 px",
    "medium": "medium, 3 to 10 px",
}
ZONES = Zones(border_px=24, offset_known=False)


@dataclass(frozen=True, slots=True, eq=False)
class Ruptures:
    """See the module."""

    ground: Ground
    pairs: int = 4
    """Of each class."""
    size_px: int = 256
    seed: int = 1
    name: str = "rupture"
    headline: tuple[str, ...] = ("epe_fault", "epe_near", "epe_far", "smooth_far", "within1", "within2")

    @property
    def about(self) -> str:
        """With what the ground is."""
        return f"simulated earthquakes on {self.ground.about}, {self.pairs} pairs of {self.size_px} px a class"

    def entries(self) -> Sequence[Entry]:
        """Pairs of every class."""
        return [
            Entry(self.name, f"{kind}_{number}", TITLES[kind], partial(self._case, kind, number * len(LARGEST_PX) + k))
            for k, kind in enumerate(LARGEST_PX)  # no two at the same place
            for number in range(self.pairs)
        ]

    def _case(self, kind: str, number: int) -> Case:
        options = DrawOptions(largest=kind, size_px=self.size_px, seed=self.seed)  # pyright: ignore[reportArgumentType]
        pair = draw_pair(self.ground.source(), options, number).pair
        source = ArrayPair(Pair(pair.before, pair.after))
        return Case(source, pair.flow.numpy(), pair.trace.numpy())

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """See `Zones.judge`."""
        return ZONES.judge(case, answer)
