"""Where the pixels of a remote file lie, and which of them an area needs: whole pixels, never resampled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from affine import Affine

from ...core.grid import Grid
from ...errors import InputError
from ..georeference import grid_in, grid_of, parse_crs
from .area import Area
from .items import Asset

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

SNAP_PX = 1e-6
"""An edge of the box that lies so near to an edge of a pixel counts as on it."""
AGREE_PX = 1e-3


class Place(NamedTuple):
    """Where a file's pixels lie."""

    grid: Grid
    note: str = ""
    """What the catalogue says otherwise; empty where it agrees or says nothing."""


class Pixels(NamedTuple):
    """A window of a file, in its own pixels."""

    row: int
    column: int
    height: int
    width: int

    @property
    def count(self) -> int:
        """Number of pixels."""
        return self.height * self.width


def place_of(dataset: DatasetReader, asset: Asset, name: str) -> Place:
    """The grid of an open file: its own, which GDAL counts from pixel corners for PixelIsPoint files too.

    The catalogue places only files that do not place themselves; `proj:transform` should count from the corner of the
    first pixel, but some catalogues count from its centre, which `proj:bbox` beside `proj:shape` gives away.

    Raises:
        InputError: neither the file nor the catalogue tells.
    """
    if not Affine(*dataset.transform[:6]).is_identity and dataset.crs:
        return Place(grid_of(dataset, name), _disagreement(dataset, asset))
    if asset.transform is None or asset.crs is None:
        grid_of(dataset, name)  # says so where there are only control points
        raise InputError(
            f"{name} is not georeferenced, and the catalogue does not say where it lies (proj:transform and proj:code):"
            " its pixels cannot be placed. Fetch it whole with --whole, or choose another asset"
        )
    shape = (dataset.height, dataset.width)
    if asset.shape is not None and asset.shape != shape:
        raise InputError(
            f"{name} is not georeferenced, and the catalogue describes {asset.shape[0]} x {asset.shape[1]} pixels "
            f"where the file has {shape[0]} x {shape[1]}: its pixels cannot be placed"
        )
    transform = corner_transform(Affine(*asset.transform), asset.bbox, shape)
    note = "the file is not georeferenced: placed as the catalogue says"
    if transform != Affine(*asset.transform):
        note += ", whose transform counts from the centre of the first pixel"
    return Place(grid_in(parse_crs(asset.crs), shape, transform, name), note)


def corner_transform(transform: Affine, bbox: tuple[float, ...] | None, shape: tuple[int, int]) -> Affine:
    """`proj:transform` counted from the corner of the first pixel, whichever way the catalogue counts.

    A `proj:bbox` as wide as `proj:shape` bounds the pixels; one that is a pixel narrower bounds their centres.

    >>> from affine import Affine
    >>> box = 60900.0, -116400.0, 288900.0, 115800.0
    >>> corner_transform(Affine(30, 0, 60900, 0, -30, 115800), box, (7741, 7601))[2]
    60885.0
    >>> corner_transform(Affine(30, 0, 60885, 0, -30, 115815), box, (7741, 7601))[2]
    60885.0

    Raises:
        InputError: the two contradict each other by more than that.
    """
    if bbox is None:
        return transform
    for pixels_of_box in (0, 1):
        for shift in (0.0, -0.5):
            moved = transform @ Affine.translation(shift, shift)
            inset = pixels_of_box / 2
            xs, ys = zip(
                *(moved @ (x, y) for x in (inset, shape[1] - inset) for y in (inset, shape[0] - inset)), strict=True
            )
            found = min(xs), min(ys), max(xs), max(ys)
            size = math.hypot(transform.a, transform.d)
            if all(abs(one - other) <= AGREE_PX * size for one, other in zip(found, bbox, strict=True)):
                return moved
    raise InputError(
        f"the catalogue contradicts itself: proj:transform {tuple(transform[:6])} with {shape[0]} x {shape[1]} pixels "
        f"does not fill proj:bbox {tuple(bbox)}. Its pixels cannot be placed: fetch the file whole with --whole"
    )


def _disagreement(dataset: DatasetReader, asset: Asset) -> str:
    """What to tell where the catalogue's transform is another one than the file's, which holds."""
    if asset.transform is None or (asset.shape is not None and asset.shape != (dataset.height, dataset.width)):
        return ""
    x, y = ~Affine(*dataset.transform[:6]) @ (asset.transform[2], asset.transform[5])
    if max(abs(x), abs(y)) <= AGREE_PX:
        return ""
    if max(abs(x - 0.5), abs(y - 0.5)) <= AGREE_PX:
        return "the catalogue's proj:transform counts from the centre of the first pixel; the file's own grid is used"
    return (
        f"the catalogue's proj:transform is off the file's by {x:+.3f} px in x and {y:+.3f} px in y; the file's is used"
    )


def pixels_of(area: Area, grid: Grid, name: str) -> tuple[Pixels, float]:
    """The smallest window of whole pixels that holds the area, cut at the edges of the file.

    Returns:
        The window, and which part of the pixels that the area needs the file has, 0 to 1.

    Raises:
        InputError: the file does not reach the area.
    """
    columns, rows = _outline_px(area, grid)
    left, right = _outward(columns)
    top, bottom = _outward(rows)
    cut = max(0, left), min(grid.width, right), max(0, top), min(grid.height, bottom)
    if cut[0] >= cut[1] or cut[2] >= cut[3]:
        raise InputError(
            f"the box {area} lies outside {name}: it would need columns {left} to {right} of {grid.width} and rows "
            f"{top} to {bottom} of {grid.height}. Longitude comes first; or choose another scene"
        )
    window = Pixels(cut[2], cut[0], cut[3] - cut[2], cut[1] - cut[0])
    return window, window.count / ((right - left) * (bottom - top))


def _outward(values: list[float]) -> tuple[int, int]:
    """First whole pixel, and the one after the last."""
    low, high = min(values), max(values)
    return math.floor(low + SNAP_PX), math.ceil(high - SNAP_PX)


def _outline_px(area: Area, grid: Grid) -> tuple[list[float], list[float]]:
    """Columns and rows of the area's outline."""
    crs = parse_crs(grid.crs or "")
    longitudes, latitudes = area.outline()
    tries = (0.0, 360.0, -360.0) if grid.geographic else (0.0,)  # files may count longitudes from 0 or from -180
    best: tuple[float, list[float], list[float]] | None = None
    for turn in tries:
        xs, ys = _project(crs, [value + turn for value in longitudes], latitudes, grid.geographic)
        points = [~grid.transform @ (x, y) for x, y in zip(xs, ys, strict=True)]
        columns, rows = [p[0] for p in points], [p[1] for p in points]
        inside = min(max(columns), grid.width) - max(min(columns), 0)
        if best is None or inside > best[0]:
            best = inside, columns, rows
    if best is None or not all(map(math.isfinite, (*best[1], *best[2]))):
        raise InputError(f"the box {area} cannot be carried into {grid.crs}: it is too far from where that is valid")
    return best[1], best[2]


def _project(crs: CRS, longitudes: list[float], latitudes: list[float], geographic: bool) -> tuple[list, list]:
    from rasterio.warp import transform

    if geographic and crs.to_epsg() == 4326:
        return longitudes, latitudes  # PROJ would wrap them
    return transform("EPSG:4326", crs, longitudes, latitudes)[:2]
