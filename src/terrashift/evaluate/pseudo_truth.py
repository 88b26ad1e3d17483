"""Suite `pseudo-truth`: a real pair without known truth, judged by smoothed frequency correlation.

As Bertrand et al. 2025 do. What is judged is agreement where the correlator is strong, over windows that hold no
fault; at the fault its windows mix both sides, so that figures there say little. Zones: the fault, within 100 m, within
1 km, and beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from rasterio.features import rasterize
from scipy import ndimage

from ..analyse.trace import find_mask
from ..core.grid import Grid
from ..errors import InputError
from ..estimators.base import Search
from ..estimators.blocks import measure_whole
from ..estimators.frequency import Frequency
from ..estimators.search import SearchOptions, choose_search, coarse_motion
from ..io.vectors import read_lines, refuse_far
from .case import Answer, Case, Entry
from .stable import case_of_files
from .zoned import Zones

REFERENCE = Frequency(window_px=64, start_window_px=64, step_px=4)
"""Twice the usual window, so that the usual correlator is not held against itself."""
TRACED_BY = Frequency(window_px=32, step_px=1)
"""What a trace is found in: larger windows put it some pixels beside where it is."""
MEDIAN_PX = 7
SMOOTH_PX = 2.0
FAULT_PX = 3.0
MOST_PX = 1024
"""Side of the middle of the images that is looked at."""


@dataclass(frozen=True, slots=True)
class PseudoTruth:
    """See the module."""

    images: tuple[str, str] | None
    trace: Path | None = None
    name: str = "pseudo-truth"
    headline: tuple[str, ...] = ("epe_fault", "epe_100m", "epe_1km", "epe_beyond", "smooth_beyond", "valid")

    @property
    def about(self) -> str:
        """With the names of the images."""
        return f"agreement with smoothed frequency correlation on {' and '.join(self.images or ())}"

    def entries(self) -> Sequence[Entry]:
        """The one pair.

        Raises:
            InputError: none was given.
        """
        if self.images is None:
            raise InputError("pseudo-truth needs a real pair: pass it with --before and --after.")
        return [Entry(self.name, "given pair", "all", partial(self._case, *self.images))]

    def _case(self, before: str, after: str) -> Case:
        case = case_of_files(before, after, MOST_PX)
        search = choose_search(coarse_motion(case.source, "cpu"), SearchOptions())
        grid = case.source.grid
        step = REFERENCE.step_px
        coarse = smoothed(measure_whole(REFERENCE, case.source, search).xy.numpy(), step)
        truth = finer(coarse, step, grid.shape)
        fault = drawn(self.trace, grid) if self.trace else _found(case, search)
        return Case(case.source, truth, fault, search, facts={"pixel": grid.pixel_size[0]})

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Errors by zone. Without a CRS a pixel counts as 10 m."""
        pixel_m = case.facts["pixel"] if case.source.grid.crs else 10.0
        ends = [FAULT_PX, max(FAULT_PX, 100 / pixel_m), max(FAULT_PX, 1000 / pixel_m), math.inf]
        names = ("fault", "100m", "1km", "beyond")
        zones = tuple(zip(names, [0.0, *ends[:-1]], ends, strict=True))
        return Zones(border_px=32, offset_known=True, distances=zones).judge(case, answer)


def smoothed(xy: Float[ndarray, "2 height width"], step_px: int = 1) -> Float[ndarray, "2 height width"]:
    """A median over 7 px, then a Gaussian of 2 px over what is known; over 3 measurements at least. NaN stays NaN."""
    side, sigma = max(3, MEDIAN_PX // step_px), max(0.8, SMOOTH_PX / step_px)
    result = []
    for part in xy:
        known = np.isfinite(part)
        filled = np.where(known, part, np.median(part[known]) if known.any() else 0.0)
        even = ndimage.median_filter(filled, side)
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        smooth = ndimage.gaussian_filter(np.where(known, even, 0), sigma) / np.maximum(weight, 1e-6)
        result.append(np.where(known, smooth, np.nan))
    return np.stack(result).astype(np.float32)


def finer(
    xy: Float[ndarray, "2 rows columns"], step_px: int, shape: tuple[int, int]
) -> Float[ndarray, "2 height width"]:
    """Measurements at every `step_px`-th pixel, as `Grid.every` says, at every pixel; NaN where one beside it is."""
    row, column = ((np.arange(side) - step_px // 2) / step_px for side in shape)
    places = np.stack(np.meshgrid(row, column, indexing="ij"))
    found = [ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in xy]
    return np.stack(found).astype(np.float32)


def _found(case: Case, search: Search) -> Bool[ndarray, "height width"]:
    """The trace that the motion itself shows."""
    return find_mask(smoothed(measure_whole(TRACED_BY, case.source, search).xy.numpy()))


def drawn(trace: Path, grid: Grid) -> Bool[ndarray, "height width"]:
    """Pixels along the lines of a file.

    Raises:
        InputError: as `read_lines`, or the lines lie far from the images.
    """
    lines = read_lines(trace, grid.crs)
    refuse_far(lines, grid, str(trace))
    shapes = [{"type": "LineString", "coordinates": line.tolist()} for line in lines]
    return np.asarray(rasterize(shapes, grid.shape, transform=grid.transform, all_touched=True), bool)
