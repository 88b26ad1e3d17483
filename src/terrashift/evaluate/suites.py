"""The suites by name, with what a user may set of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from ..errors import OptionError
from ..recipe import nearest
from .case import Suite
from .imagery import Ground
from .known_shift import KnownShift
from .landmarks import Landmarks
from .pseudo_truth import PseudoTruth
from .reference import Reference, benchmark_folder
from .rupture import Ruptures
from .stable import Stable
from .windows import Windows


class SuiteOptions(BaseModel, frozen=True, extra="forbid"):
    """What the cases are made of."""

    archive: Path | None = Field(
        default=None,
        description="Packed imagery to draw cases from (see `terrashift pack`). Default: the folder `validation` under "
        "TERRASHIFT_IMAGERY, else made-up landscapes.",
    )
    benchmark: Path | None = Field(
        default=None, description="Folder of the reference cases. Default: what TERRASHIFT_BENCHMARK names."
    )
    before: str | None = Field(default=None, description="First image of a pair for stable and pseudo-truth.")
    after: str | None = Field(default=None, description="Second image of that pair.")
    trace: Path | None = Field(
        default=None, description="Trace of the fault for pseudo-truth. Default: found in the motion."
    )
    pairs: int = Field(default=4, ge=1, description="Pairs of each class in rupture; half as many in landmarks.")
    size_px: int = Field(default=256, ge=128, le=1024, description="Side of those pairs, pixels.")
    windows: int = Field(default=100, ge=1, description="Windows of each kind in windows.")
    scenes: int = Field(default=3, ge=1, description="Crops in known-shift, places in stable.")
    seed: int = Field(default=1, ge=0, description="Another number makes other cases.")

    @property
    def images(self) -> tuple[str, str] | None:
        """The pair that was given.

        Raises:
            OptionError: only one of both was.
        """
        if (self.before is None) != (self.after is None):
            raise OptionError("--before and --after belong together: give both images, or none.")
        return (self.before, self.after) if self.before and self.after else None


def _landmarks(options: SuiteOptions, ground: Ground) -> Suite:
    return Landmarks(ground, max(1, options.pairs // 2), options.size_px, options.seed)


SUITES: dict[str, Callable[[SuiteOptions, Ground], Suite]] = {
    "reference": lambda options, ground: Reference(options.benchmark or benchmark_folder()),
    "rupture": lambda options, ground: Ruptures(ground, options.pairs, options.size_px, options.seed),
    "windows": lambda options, ground: Windows(ground, options.windows, options.seed),
    "known-shift": lambda options, ground: KnownShift(ground, options.scenes, options.seed),
    "stable": lambda options, ground: Stable(ground, options.images, options.scenes),
    "pseudo-truth": lambda options, ground: PseudoTruth(options.images, options.trace),
    "landmarks": _landmarks,
}


def suites_of(names: Sequence[str], options: SuiteOptions, cache: Path) -> list[Suite]:
    """Suites by name; `cache` keeps what has to be packed.

    Raises:
        OptionError: there is none of that name.
    """
    for name in names:
        if name not in SUITES:
            raise OptionError(f"there is no suite {name!r}. {nearest(name, SUITES)}")
    ground = Ground(options.archive, cache)
    return [SUITES[name](options, ground) for name in dict.fromkeys(names)]
