"""Bands of a raster in and out, and the step from them to a displacement field."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...core.field import DisplacementField
from ...core.grid import Grid
from ...core.reasons import Reason
from ...errors import InputError, OptionError
from ..georeference import parse_crs
from ..opening import explained, open_dataset
from ..raster import ReadOptions, open_raster, require_memory
from .options import ImportOptions

SQUARE = 1e-6
"""How far, relatively, a step along rows may differ from one along columns."""


class Bands(NamedTuple):
    """Some bands of one raster."""

    values: Float[Tensor, "band height width"]
    grid: Grid


class Look(NamedTuple):
    """What a raster shows without reading its pixels."""

    count: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    tags: dict[str, str]


def look(path: Path) -> Look | None:
    """What a raster says of itself; None where GDAL does not read the file.

    Raises:
        InputError: there is no such file, or it may not be read.
    """
    try:
        with explained(str(path)), open_dataset(str(path)) as dataset:
            names = tuple(name or "" for name in dataset.descriptions)
            units = tuple(unit or "" for unit in dataset.units)
            return Look(dataset.count, names, units, dataset.tags())
    except InputError:
        if path.is_file() and path.stat().st_size:
            return None
        raise


def read_bands(path: Path, numbers: Sequence[int], options: ImportOptions) -> Bands:
    """Bands, counted from 1, as float32 with NaN for every form of nodata.

    A raster without a CRS gets the grid of `options.like`, if given, else the CRS `options.crs`.

    Raises:
        InputError: the raster is damaged or lacks a band, or `like` has another shape.
    """
    with explained(str(path)), open_dataset(str(path)) as dataset:
        count, own_crs = dataset.count, dataset.crs
    if max(numbers) > count:
        raise InputError(f"{path} has {count} band(s): band {max(numbers)} is needed. Is --from right?")
    crs = None if own_crs or options.like else options.crs
    rasters = [open_raster(str(path), ReadOptions(band=str(number), crs=crs)) for number in numbers]
    grid = rasters[0].grid
    require_memory(str(path), grid.shape, len(rasters))
    with explained(str(path)):
        values = torch.stack([raster.read(0, 0, *grid.shape) for raster in rasters])
    return Bands(values, grid if grid.crs else like_grid(grid, path, options))


def like_grid(grid: Grid, path: Path, options: ImportOptions) -> Grid:
    """The grid that the user names for a file without one.

    Raises:
        InputError: that image has another shape.
    """
    if options.like is None:
        return grid
    other = open_raster(str(options.like), ReadOptions(band="1", crs=options.crs)).grid
    if other.shape != grid.shape:
        raise InputError(
            f"{path} has {grid.height} x {grid.width} cells, --like {options.like} has {other.height} x {other.width}: "
            "give the image that the program was run on, cropped in the same way."
        )
    return other


class Extra(NamedTuple):
    """What a file holds beside the displacement."""

    sigma: Float[Tensor, "2 height width"] | None = None
    """Of east and north, in the field's unit."""
    score: Float[Tensor, "height width"] | None = None
    """0 to 1."""


NOTHING = Extra()


def field_of(
    ground: Float[Tensor, "2 height width"], grid: Grid, made_by: dict[str, Any], extra: Extra = NOTHING
) -> DisplacementField:
    """A field from (east, north) in the unit of `grid`; cells where either is missing have the reason NODATA."""
    known = ground.isfinite().all(0)
    none = torch.full(grid.shape, torch.nan)
    east, north = torch.where(known, ground.float(), torch.nan)
    sigma = torch.stack([none, none]) if extra.sigma is None else torch.where(known, extra.sigma.float(), torch.nan)
    score = none if extra.score is None else extra.score.float().clamp(0, 1)
    reasons = torch.where(known, 0, int(Reason.NODATA)).to(torch.uint8)
    return DisplacementField(east, north, sigma[0], sigma[1], score, reasons, grid, made_by)


def ground_of(
    xy_px: Float[Tensor, "2 height width"], grid: Grid, options: ImportOptions
) -> Float[Tensor, "2 height width"]:
    """(east, north) from motion (x right, y down) in pixels of the images, on a grid that may be coarser."""
    return grid.to_metres(xy_px / image_step(grid, options))


def image_step(grid: Grid, options: ImportOptions) -> float:
    """How many image pixels a cell spans: 1 unless `options.image_pixel` says otherwise.

    Raises:
        OptionError: cells of the grid have no such pixels.
    """
    if options.image_pixel is None:
        return float(grid.cell_px)
    if grid.crs is None:
        raise OptionError("--image-pixel is in metres, but the file has no CRS: leave it out.")
    across, down = (size / options.image_pixel for size in grid.pixel_size)
    if across < 1 - SQUARE:
        raise OptionError(f"--image-pixel is {options.image_pixel:g} m, but the cells are {grid.pixel_size[0]:g} m.")
    if abs(across - down) > 1e-3 * across and not grid.geographic:
        raise OptionError(f"cells of {grid.pixel_size} m are no whole of square pixels of {options.image_pixel:g} m.")
    return across


def pixels_of(field: DisplacementField, options: ImportOptions) -> Float[Tensor, "2 height width"]:
    """Motion (x right, y down) in image pixels, from a field."""
    return field.grid.to_pixels(torch.stack([field.east, field.north])) * image_step(field.grid, options)


def compass_to_ground(
    values: Float[Tensor, "2 height width"], grid: Grid, unit: str, options: ImportOptions
) -> Float[Tensor, "2 height width"]:
    """(east, north) in the unit of `grid` from (east, north) in metres or image pixels, as `unit` or the user says.

    East and north in pixels are taken along the image: to the right, and up.

    Raises:
        OptionError: metres without a CRS.
    """
    wanted = options.units if options.units != "auto" else unit or ("m" if grid.crs else "px")
    if wanted == "px":
        return ground_of(torch.stack([values[0], -values[1]]), grid, options)
    if grid.crs is None:
        raise OptionError("the values are in metres, but the file has no CRS: give --crs, or --like an image.")
    return values


def compass_sigma(
    sigma: Float[Tensor, "2 height width"], grid: Grid, unit: str, options: ImportOptions
) -> Float[Tensor, "2 height width"]:
    """Independent errors of east and north as `compass_to_ground` turns the values themselves."""
    alone = torch.eye(2)[:, :, None, None] * sigma.nan_to_num(0)
    parts = [compass_to_ground(one, grid, unit, options) for one in alone]
    return torch.where(sigma.isfinite(), (parts[0] ** 2 + parts[1] ** 2).sqrt(), torch.nan)


def unit_of(names: Sequence[str]) -> str:
    """`m`, `px` or nothing from what a file calls its units.

    >>> [unit_of(["Meters"]), unit_of(["pixel"]), unit_of([""])]
    ['m', 'px', '']
    """
    known = {"m": "m", "meter": "m", "metre": "m", "px": "px", "pixel": "px", "pix": "px"}
    return next((known[key] for name in names if (key := name.strip().lower().removesuffix("s")) in known), "")


def write_bands(path: Path, values: np.ndarray, grid: Grid, names: Sequence[str] = (), **profile: Any) -> None:
    """Write (band, height, width) as a compressed GeoTIFF; `unit` and `tags` may be among `profile`."""
    import rasterio

    unit, tags = profile.pop("unit", None), profile.pop("tags", {})
    place: dict[str, Any] = {"crs": parse_crs(grid.crs), "transform": grid.transform} if grid.crs else {}
    shape: dict[str, Any] = {
        "count": values.shape[0],
        "height": grid.height,
        "width": grid.width,
        "dtype": values.dtype,
    }
    base: dict[str, Any] = {
        "driver": "GTiff",
        "compress": "deflate",
        "photometric": "MINISBLACK",
        "bigtiff": "IF_SAFER",
    }
    with _quiet(), rasterio.open(path, "w", **(base | shape | place | profile)) as dataset:
        dataset.write(values)
        if names:
            dataset.descriptions = tuple(names)
        if unit:
            dataset.units = (unit,) * min(2, len(values)) + ("",) * (len(values) - 2)
        dataset.update_tags(**tags)


@contextmanager
def _quiet() -> Iterator[None]:
    """No side files, and no warning about rasters without georeferencing on purpose."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with rasterio.Env(GDAL_PAM_ENABLED=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
