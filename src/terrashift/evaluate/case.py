"""A pair of images to be measured, what is known of its motion, and what a method answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from affine import Affine
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from ..core.grid import Grid
from ..core.image import Image, Pair
from ..core.source import ArrayPair
from ..estimators.base import Search


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A pair and its truth."""

    source: ArrayPair
    truth: Float[ndarray, "2 height width"] | None = None
    """(x right, y down) px on the grid of `before`; None where nothing is known but what the suite knows."""
    fault: Bool[ndarray, "height width"] | None = None
    """True on the pixels along a rupture."""
    search: Search | None = None
    """Where to look; None: found from the pair, at the method's own cost."""
    smooth: bool = True
    """False where every vector is a measurement by itself, so that regularisers stay out."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the suite drew: shifts, noise, ..."""

    @property
    def pixels(self) -> int:
        """Of one image."""
        return math.prod(self.source.grid.shape)


class Answer(NamedTuple):
    """What a method found on a case, at every `step_px`-th pixel as `Grid.every` says."""

    xy: Float[ndarray, "2 rows columns"]
    """(x right, y down) px; NaN where there is none."""
    sigma: Float[ndarray, "2 rows columns"] | None = None
    """Standard error of each component, px; None where the method gives none."""
    step_px: int = 1
    timed: bool = True
    """False where it was not measured here, so that its cost says nothing."""

    @property
    def valid(self) -> Bool[ndarray, "rows columns"]:
        """True where there is a vector."""
        return np.asarray(np.isfinite(self.xy).all(0))

    def at(self, band: ndarray) -> ndarray:
        """The values of an image where this answer has its own."""
        first = self.step_px // 2
        return band[..., first :: self.step_px, first :: self.step_px]


@runtime_checkable  # the tests check every annotation
class Method(Protocol):
    """One contender."""

    @property
    def name(self) -> str:
        """As it stands in the table."""
        ...

    def __call__(self, entry: Entry, case: Case) -> Answer | None:
        """Measure a case; None where this method has no answer to it, such as a program whose results are stored.

        Raises:
            TerrashiftError: it cannot.
        """
        ...


class Entry(NamedTuple):
    """A case by name; its pixels come when they are asked for."""

    suite: str
    name: str
    group: str
    """Class that means are taken over."""
    load: Callable[[], Case]

    @property
    def stem(self) -> str:
        """Its name as that of a file."""
        return self.name.replace("/", "_")


@runtime_checkable
class Suite(Protocol):
    """A set of cases and how answers to them are judged."""

    @property
    def name(self) -> str:
        """As it is asked for."""
        ...

    @property
    def about(self) -> str:
        """What it shows, in a sentence."""
        ...

    @property
    def headline(self) -> tuple[str, ...]:
        """Metrics that its table shows, see `analyse.metrics.METRICS`."""
        ...

    def entries(self) -> Sequence[Entry]:
        """The cases, always the same for the same settings.

        Raises:
            InputError: what it needs is not there.
        """
        ...

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Every metric of one answer; NaN where there is none."""
        ...


def pair_of(
    before: Float[Tensor, "height width"], after: Float[Tensor, "height width"], grid: Grid | None = None
) -> ArrayPair:
    """Two arrays on one grid, in pixels unless another is given."""
    height, width = before.shape
    grid = grid or Grid(height, width, Affine.identity())
    return ArrayPair(Pair(Image(before[None].float(), grid), Image(after[None].float(), grid)))


def images_of(case: Case) -> tuple[Float[ndarray, "height width"], Float[ndarray, "height width"]]:
    """Both images as arrays."""
    pair = case.source.pair
    return pair.before.pixels[0].numpy(), pair.after.pixels[0].numpy()


def tensor(values: ndarray) -> Tensor:
    """As float32."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
