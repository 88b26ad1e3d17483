"""Stripes of a displacement field along and across the satellite's track, found and taken out.

A pushbroom camera leaves two families of them in a field (Leprince et al. 2007; Ayoub et al. 2008): the seams and
misalignments of its detectors, constant along the track, and its jitter, constant across it. Both are taken out by what
sets them apart from motion of the ground: they run straight across the whole field, and ground does not. A smooth
version of the field is set aside first, and what is left is clipped, so that a fault weighs no more than noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from scipy import ndimage

from ..core.field import DisplacementField
from ..errors import InputError, OptionError
from .trends import taken

Component = Float[np.ndarray, "rows columns"]

CLIP = 3.0
"""Residuals count as no larger than so many robust deviations."""
LEAST_IN_LINE = 0.2
"""Share of the longest line's cells that a line needs to have a stripe taken out; shorter ones say too little."""
BLOCK_CELLS = 16
"""Along a line, longer than neighbours agree because their windows overlap."""
NEIGHBOURS = 9
"""Lines over which the strength of stripes is looked at."""
SWEEPS = 3
"""Stripes are taken out in turn: each time the smooth field, and the other family, are seen without what was found."""
CLEAR = 6.0
"""Contrast (standard deviations) from which lines of one direction are stripes rather than chance."""
MOST_OF_LINE = 4.0
HALF_NORMAL = math.sqrt(2 / math.pi)
"""Mean size of a normal number."""
FOUND_PX = 768
"""Side of the middle of a field in which the direction is looked for."""


class StripeOptions(BaseModel, frozen=True, extra="forbid"):
    """What is taken for a stripe."""

    stripes: Literal["along", "across", "both"] = Field(
        default="both", description="Stripes to take out: along the track (detectors), across it (jitter), or both."
    )
    method: Literal["median", "wedge", "both"] = Field(
        default="median",
        description="median: of each line, for stripes from edge to edge; wedge: of the spectrum, for shorter too.",
    )
    longest_cells: int = Field(
        default=64, ge=8, description="Longest wavelength across the stripes that is taken out, cells of the field."
    )
    wedge_deg: float = Field(
        default=3.0, gt=0.0, lt=45.0, description="Half the opening of the wedge in the spectrum, degrees."
    )


@dataclass(frozen=True, slots=True, eq=False)
class Destriped:
    """A field without its stripes, and the stripes: what was measured is the sum of both."""

    corrected: DisplacementField
    removed: DisplacementField
    angle_deg: float
    removed_rms: tuple[float, float]
    """Of what was taken out of east and north, in the unit of the field."""

    def to_json(self) -> dict[str, Any]:
        """The numbers."""
        return {"track_deg": self.angle_deg, "removed_rms": dict(zip(("east", "north"), self.removed_rms, strict=True))}


def destripe(displacement: DisplacementField, angle_deg: float, options: StripeOptions | None = None) -> Destriped:
    """Take stripes out of both components of a field.

    Args:
        displacement: cells without a value stay without one.
        angle_deg: of the track in the field: from up the image to the right, degrees; see `found_angle`.
        options: which stripes; the defaults unless told.

    Raises:
        InputError: no cell has a value.
        OptionError: waves longer than the field.
    """
    options = options or StripeOptions()
    if 2 * options.longest_cells > max(displacement.grid.shape):
        raise OptionError(
            f"--longest-cells {options.longest_cells} is more than half of a field of {displacement.grid.shape}: give "
            f"{max(displacement.grid.shape) // 4} or so."
        )
    removed = []
    for values in (displacement.east, displacement.north):
        component = values.numpy(force=True).astype(np.float64)
        if not np.isfinite(component).any():
            raise InputError("no cell of the field has a value: there is nothing to take stripes out of.")
        removed.append(stripes_of(component, angle_deg, options))
    east, north = (torch.from_numpy(part).to(displacement.east) for part in removed)
    rms = tuple(float(np.sqrt(np.mean(part**2))) for part in removed)
    corrected = replace(displacement, east=displacement.east - east, north=displacement.north - north)
    return Destriped(corrected, taken(displacement, east, north), angle_deg, (rms[0], rms[1]))


def stripes_of(component: Component, angle_deg: float, options: StripeOptions) -> Component:
    """The stripes of one component, a number everywhere."""
    angles = {"along": [angle_deg], "across": [angle_deg + 90], "both": [angle_deg, angle_deg + 90]}[options.stripes]
    total = np.zeros_like(component)
    for take in (line_stripes, wedge_stripes):
        if options.method not in ("both", "median" if take is line_stripes else "wedge"):
            continue
        for _ in range(SWEEPS):
            for angle in angles:
                total += take(component - total, angle, options)
    return total


def line_stripes(component: Component, angle_deg: float, options: StripeOptions) -> Component:
    """Middle of what is left of each line that runs at an angle, laid along the line; 0 where lines are too short.

    The middle is the median, and then the mean of what is within three deviations of it (Huber 1964): the other family
    of stripes may cut a line into two levels, and a median would be one or the other.

    Args:
        angle_deg: of the lines, from up the image to the right.
    """
    rest = residual(component, options.longest_cells)
    across = _across(component.shape, angle_deg)
    number = np.rint(across).astype(int)
    first = number.min()
    known = np.isfinite(rest)
    lines, values, limit = number[known] - first, rest[known], CLIP * _deviation(rest)
    count = int(number.max() - first) + 1
    sizes = np.bincount(lines, minlength=count)
    middles = _middles(values, lines, count, limit)
    column, row = _places(component.shape)
    along = _along(column, row, angle_deg)[known]
    kept = sizes >= max(8, LEAST_IN_LINE * sizes.max(initial=0))
    middles = np.where(kept, middles * _trust(middles, (values, lines, along), kept, limit), 0.0)
    middles -= _smooth_line(middles, sizes, options.longest_cells)
    return np.interp(across, np.arange(count) + first, middles)


def _trust(
    middles: np.ndarray, cells: tuple[np.ndarray, np.ndarray, np.ndarray], kept: np.ndarray, limit: float
) -> Float[np.ndarray, " lines"]:
    """Share of each line's middle that is stripe rather than chance (Wiener), judged by how its two halves, every other
    block of it, differ.

    Lines of noise would otherwise be taken for stripes, and leave stripes of their own behind.

    Args:
        middles: of each line.
        cells: value, line, and place along it of every cell.
        kept: lines that are long enough.
        limit: of `_middles`.
    """
    values, lines, along = cells
    late = np.floor(along / BLOCK_CELLS) % 2 == 1
    halves, sizes = [], []
    rest = np.clip(values - middles[lines], -limit, limit)
    for half in (late, ~late):
        sizes.append(np.bincount(lines[half], minlength=len(middles)))
        halves.append(np.bincount(lines[half], rest[half], len(middles)) / np.maximum(sizes[-1], 1))
    total = np.maximum(sizes[0] + sizes[1], 1)
    both = kept & (np.minimum(*sizes) >= 4)
    if not both.any():
        return np.ones(len(middles))
    # of one cell, neighbours that agree because their windows overlap counted in; 0.455: median of chi-squared
    variance = float(np.median(((halves[0] - halves[1]) ** 2 * sizes[0] * sizes[1] / total)[both])) / 0.455
    power = ndimage.uniform_filter1d(np.where(kept, middles, 0.0) ** 2, NEIGHBOURS) / np.maximum(
        ndimage.uniform_filter1d(kept.astype(float), NEIGHBOURS), 1e-9
    )
    chance = variance / total
    return np.clip(1 - chance / np.maximum(power, 1e-30), 0, 1)


def wedge_stripes(component: Component, angle_deg: float, options: StripeOptions) -> Component:
    """What the spectrum holds in a wedge about the direction across the lines, but for waves that are too long.

    Args:
        angle_deg: of the lines, from up the image to the right.
    """
    rest = residual(component, options.longest_cells)
    limit = CLIP * _deviation(rest)
    filled = np.clip(np.nan_to_num(rest), -limit, limit)
    reach = options.longest_cells
    # mirrored beyond the border, or the jump from edge to edge would lie in a wedge of its own
    wide = np.pad(filled, [(min(reach, n - 1),) * 2 for n in filled.shape], mode="symmetric")
    spectrum = np.fft.rfft2(wide)
    down, right = np.fft.fftfreq(wide.shape[0])[:, None], np.fft.rfftfreq(wide.shape[1])[None, :]
    radius = np.hypot(down, right)
    along = np.abs(_along(right, down, angle_deg))
    # a wave across the lines has no frequency along them; the finite field blurs that by one cell of the spectrum
    blur = 1 / min(wide.shape)
    open_ = np.maximum(radius * math.sin(math.radians(options.wedge_deg)), blur)
    wedge = np.clip(2 - along / open_, 0, 1) * np.clip(2 * radius * options.longest_cells - 1, 0, 1)
    found = np.fft.irfft2(spectrum * wedge, s=wide.shape)
    rows, columns = (slice((w - n) // 2, (w - n) // 2 + n) for w, n in zip(wide.shape, filled.shape, strict=True))
    return found[rows, columns]


class Direction(NamedTuple):
    """Where stripes run."""

    angle_deg: float
    """From up the image to the right, -90 to 90."""
    contrast: float
    """How far the means of lines are above those of noise, in standard deviations."""


def found_angle(
    displacement: DisplacementField, longest_cells: int, near_deg: float = 0.0, within_deg: float = 45.0
) -> Direction:
    """Direction along or across which both components together are striped most.

    Both families count, so the answer is the direction of either of them that is nearer to `near_deg`.

    Raises:
        InputError: no direction stands out.
    """
    parts = []
    for values in (displacement.east, displacement.north):
        rest = residual(_middle(values.numpy(force=True).astype(np.float64)), max(8, longest_cells // 2))
        limit = CLIP * _deviation(rest)
        parts.append(np.clip(rest, -limit, limit) / max(limit, 1e-30))

    def contrast(angle: float) -> float:
        return max(_contrast(parts, angle), _contrast(parts, angle + 90))

    step = 1.0
    angles = near_deg + np.arange(-within_deg, within_deg + step / 2, step)
    best = max(angles, key=contrast)
    while step > 0.05:
        step /= 3
        best = max((best - step, best, best + step), key=contrast)
    clear = contrast(best)
    if clear < CLEAR:
        raise InputError(
            f"no direction of the field is striped (contrast {clear:.1f}, {CLEAR:g} would be clear): there is nothing "
            "to take out; or give --direction in degrees, from up the image to the right."
        )
    return Direction(float((best + 90) % 180 - 90), clear)


def residual(component: Component, longest_cells: int) -> Component:
    """A component less a version of it that knows no wave shorter than `longest_cells`: means of blocks, joined.

    Means without wild values: a median of few broad stripes would be that of one or the other. NaN stays NaN.
    """
    edges = [np.linspace(0, n, max(2, round(n / longest_cells)) + 1).astype(int) for n in component.shape]
    knots = np.array([[_plain_mean(component[a:b, c:d]) for c, d in pairwise(edges[1])] for a, b in pairwise(edges[0])])
    if not np.isfinite(knots).any():
        return component.copy()
    missing = ~np.isfinite(knots)
    nearest = np.asarray(ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True))
    knots = np.pad(
        knots[nearest[0], nearest[1]], 1, mode="reflect", reflect_type="odd"
    )  # goes on straight at the border
    places = []
    for n, edge in zip(component.shape, edges, strict=True):
        middles = (edge[:-1] + edge[1:]) / 2
        middles = np.pad(middles, 1, mode="reflect", reflect_type="odd")
        places.append(np.interp(np.arange(n) + 0.5, middles, np.arange(len(middles))))
    return component - ndimage.map_coordinates(knots, np.meshgrid(*places, indexing="ij"), order=1)


def _plain_mean(block: np.ndarray) -> float:
    """Mean of what is known, wild values cut off; NaN where too little is."""
    known = block[np.isfinite(block)]
    if known.size < max(1, 0.05 * block.size):
        return np.nan
    middle, limit = float(np.median(known)), CLIP * _deviation(known)
    return float(np.clip(known, middle - limit, middle + limit).mean())


def _contrast(parts: list[Component], angle_deg: float) -> float:
    """How much larger the means of lines are than those of as many cells at random."""
    across = np.rint(_across(parts[0].shape, angle_deg)).astype(int)
    across -= across.min()
    count = int(across.max()) + 1
    total = 0.0
    for part in parts:
        known = np.isfinite(part)
        if not known.any():
            continue
        line = across[known]
        sizes = np.bincount(line, minlength=count)
        sums = np.bincount(line, part[known], count)
        kept = sizes >= 8
        deviation = float(np.std(part[known])) or 1.0
        # normal for noise; cut off, so that many lines tell more than the few along a fault
        size = np.minimum(np.abs(sums[kept]) / np.sqrt(sizes[kept]) / deviation, MOST_OF_LINE)
        total += float((size - HALF_NORMAL).sum()) / math.sqrt((1 - HALF_NORMAL**2) * max(1, kept.sum()))
    return total / math.sqrt(len(parts))


def _middle(component: Component) -> Component:
    parts = []
    for n in component.shape:
        cut = max(0, n - FOUND_PX) // 2
        parts.append(slice(cut, n - cut))
    return component[tuple(parts)]


def _across(shape: tuple[int, ...], angle_deg: float) -> Float[np.ndarray, "rows columns"]:
    """Distance of each cell from the line at an angle through the first cell, to its right."""
    row, column = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    angle = math.radians(angle_deg)
    return column * math.cos(angle) + row * math.sin(angle)


def _places(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every cell, ready to meet `rows columns`."""
    return np.arange(shape[1])[None, :], np.arange(shape[0])[:, None]


def _along(right: np.ndarray, down: np.ndarray, angle_deg: float) -> np.ndarray:
    """Component along a direction, from up the image to the right."""
    angle = math.radians(angle_deg)
    return right * math.sin(angle) - down * math.cos(angle)


def _medians(values: np.ndarray, groups: np.ndarray, count: int) -> Float[np.ndarray, " count"]:
    """Median of each group; 0 of empty ones."""
    # one sort of plain numbers: the group before the point, the value behind it
    largest = max(float(np.abs(values).max(initial=0.0)), 1e-30)
    ordered = np.sort(groups + (values / largest + 1) * 0.4999)
    sizes = np.bincount(groups, minlength=count)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    some = sizes > 0
    low, high = starts + (sizes - 1) // 2, starts + sizes // 2
    result = np.zeros(count)
    behind = (ordered[low[some]] + ordered[high[some]]) / 2 - np.nonzero(some)[0]
    result[some] = (behind / 0.4999 - 1) * largest
    return result


def _middles(values: np.ndarray, groups: np.ndarray, count: int, limit: float) -> Float[np.ndarray, " count"]:
    """Mean of each group, what is farther than `limit` from its median cut off; 0 of empty ones."""
    middles = _medians(values, groups, count)
    sizes = np.maximum(np.bincount(groups, minlength=count), 1)
    for _ in range(2):
        rest = np.clip(values - middles[groups], -limit, limit)
        middles = middles + np.bincount(groups, rest, count) / sizes
    return middles


def _smooth_line(medians: np.ndarray, sizes: np.ndarray, longest_cells: int) -> np.ndarray:
    """Triangular mean of neighbours, weighted by their size: waves longer than `longest_cells` are no stripes."""
    top, bottom = medians * sizes, sizes.astype(float)
    for _ in range(2):
        top, bottom = (ndimage.uniform_filter1d(part, longest_cells, mode="constant") for part in (top, bottom))
    return top / np.maximum(bottom, 1e-9)


def _deviation(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(known - np.median(known)))) if known.size else 0.0
