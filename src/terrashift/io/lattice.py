"""Whether two grids share one pixel lattice, and where they overlap."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..core.grid import Grid
from ..errors import GridMismatchError
from .georeference import same_crs

TOLERANCE_PX = 0.01  # how far pixels may be off each other anywhere in the image


class Names(NamedTuple):
    """The two files, as an error message calls them."""

    before: str
    after: str

    @property
    def remedy(self) -> str:
        """What puts them on one grid."""
        return f"Put them on one grid first: `terrashift register {self.after} {self.before} -o aligned.tif`."


class Overlap(NamedTuple):
    """The part of the ground that both images show."""

    grid: Grid
    before: tuple[int, int]
    """(row, column) of `grid`'s first pixel in `before`."""
    after: tuple[int, int]
    """(row, column) of `grid`'s first pixel in `after`."""
    share: float
    """Part of the pixels of `before` that lie in it, 0 to 1."""


def find_overlap(before: Grid, after: Grid, names: Names) -> Overlap:
    """Lay `after` on `before`, whole pixels apart.

    Raises:
        GridMismatchError: where the CRS, the pixels or the lattices differ, or nothing overlaps.
    """
    _compare_crs(before, after, names)
    _compare_pixels(before, after, names)
    rows, columns = _whole_offset(before, after, names)
    top, left = max(0, rows), max(0, columns)
    height = min(before.height, rows + after.height) - top
    width = min(before.width, columns + after.width) - left
    if height <= 0 or width <= 0:
        raise GridMismatchError(
            f"the images do not overlap: {names.before} covers {_extent(before)}; {names.after} covers "
            f"{_extent(after)}. Check that both show the same place."
        )
    whole = (top, left, height, width) == (0, 0, *before.shape)
    grid = before if whole else before.crop(top, left, height, width)
    share = height * width / (before.height * before.width)
    return Overlap(grid, (top, left), (top - rows, left - columns), share)


def _compare_crs(before: Grid, after: Grid, names: Names) -> None:
    if before.crs is None and after.crs is None:
        unplaced = before.transform.is_identity and after.transform.is_identity
        if unplaced and before.shape != after.shape:
            raise GridMismatchError(
                f"{names.before} is {before.height} x {before.width} px, {names.after} is {after.height} x "
                f"{after.width} px, and neither is georeferenced: nothing says which pixels belong together. Crop both "
                f"to one shape. {names.remedy}"
            )
        return
    if before.crs is None or after.crs is None:
        lacking, crs = (names.before, after.crs) if before.crs is None else (names.after, before.crs)
        raise GridMismatchError(
            f"{lacking} has no CRS (or no geotransform); the other image is in {_short(crs)}. If both share it and "
            f"only the CRS is missing, say so with --crs {_short(crs)}. {names.remedy}"
        )
    if not same_crs(before.crs, after.crs):
        raise GridMismatchError(
            f"{names.before} is in {_short(before.crs)}, {names.after} in {_short(after.crs)}: their pixels do not "
            f"line up. {names.remedy}"
        )


def _compare_pixels(before: Grid, after: Grid, names: Names) -> None:
    """Compare the linear parts; a difference may add up to `TOLERANCE_PX` across `after`."""
    step = ~before.transform @ after.transform  # pixels of `after` -> pixels of `before`
    allowed_x, allowed_y = TOLERANCE_PX / after.width, TOLERANCE_PX / after.height
    if max(abs(step.a - 1), abs(step.d)) <= allowed_x and max(abs(step.b), abs(step.e - 1)) <= allowed_y:
        return
    longer_x, longer_y = math.hypot(step.a, step.d), math.hypot(step.b, step.e)
    if abs(longer_x - 1) > allowed_x or abs(longer_y - 1) > allowed_y:
        raise GridMismatchError(
            f"pixel sizes differ: {names.before} has {_pixel_size(before)}, {names.after} {_pixel_size(after)}. "
            f"{names.remedy}"
        )
    raise GridMismatchError(
        f"the grids are turned or mirrored against each other: the geotransform of {names.before} has the linear part "
        f"{_linear(before)}, that of {names.after} {_linear(after)}. {names.remedy}"
    )


def _whole_offset(before: Grid, after: Grid, names: Names) -> tuple[int, int]:
    """(row, column) of the first pixel of `after`, counted in `before`."""
    corner = ~before.transform @ (after.transform.c, after.transform.f)
    columns, rows = (round(value) for value in corner)
    x, y = corner[0] - columns, corner[1] - rows
    if max(abs(x), abs(y)) > TOLERANCE_PX:
        raise GridMismatchError(
            f"the pixels of {names.after} lie off those of {names.before} by a fraction: {x:+.3f} px in x and {y:+.3f} "
            f"px in y, which would be measured as displacement. {names.remedy}"
        )
    return rows, columns


def _pixel_size(grid: Grid) -> str:
    t = grid.transform
    unit = "degrees" if grid.geographic else "m" if grid.crs and grid.metres_per_unit == 1 else "units"
    return f"{math.hypot(t.a, t.d):.10g} x {math.hypot(t.b, t.e):.10g} {unit}"


def _linear(grid: Grid) -> str:
    t = grid.transform
    return f"({t.a:.8g}, {t.b:.8g}, {t.d:.8g}, {t.e:.8g})"


def _extent(grid: Grid) -> str:
    corners = [grid.transform @ (x, y) for x in (0, grid.width) for y in (0, grid.height)]
    xs, ys = zip(*corners, strict=True)
    return f"x {min(xs):.10g} to {max(xs):.10g}, y {min(ys):.10g} to {max(ys):.10g}"


def _short(crs: str | None) -> str:
    """A CRS that fits into a sentence: its code, or the name that its WKT starts with."""
    if crs is None:
        return "no CRS"
    return crs if len(crs) < 20 or '"' not in crs else f"'{crs.split(chr(34))[1]}'"
