"""Where two images lie on each other according to their georeferencing, across CRS, pixel sizes and turns."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from affine import Affine

from ..core.grid import Grid
from ..errors import GridMismatchError, InputError
from ..io.georeference import parse_crs, same_crs
from .mapping import HALF, XY, Lattice, Linear, Mapping, Step, between_grids

CELLS = 32
"""Of the lattice on which a change of CRS is computed exactly, along each side of the image at first."""
MOST_CELLS = 512
MARGIN = 12
"""Cells around the image, so that the spline's ends do not show in it."""
EXACT_PX = 1e-3
LEAST_SHARE = 0.01
"""Of the reference: less overlap is none."""


class Names(NamedTuple):
    """The two files, as messages call them."""

    moving: str
    reference: str


def is_placed(grid: Grid) -> bool:
    """True where a grid says where it lies, at least among images of the same unnamed CRS."""
    return grid.crs is not None or not grid.transform.is_identity


def georeferenced_map(reference: Grid, moving: Grid) -> Mapping:
    """Where pixels of the reference lie in the moving image by the two geotransforms, CRS change included.

    A change of CRS is computed exactly on a lattice and joined by cubic splines, to `EXACT_PX`.

    Raises:
        InputError: where one CRS cannot hold places of the other image, or one of the two has no CRS.
    """
    if (reference.crs is None) != (moving.crs is None):
        raise InputError("one image has a CRS and the other has none: give --crs for it, or --start content.")
    if reference.crs is None or moving.crs is None or same_crs(reference.crs, moving.crs):
        return Mapping((between_grids(reference, moving),))
    return Mapping(_across_crs(reference, moving))


def _across_crs(reference: Grid, moving: Grid) -> tuple[Step, ...]:
    """An affine and a lattice of what it leaves."""
    cells = CELLS
    while True:
        spacing = max(reference.width, 1) / cells, max(reference.height, 1) / cells
        first = -MARGIN * spacing[0] - 0.5, -MARGIN * spacing[1] - 0.5
        count = cells + 2 * MARGIN + 1
        x, y = (first[k] + spacing[k] * np.arange(count) for k in (0, 1))
        nodes = np.stack(np.meshgrid(x, y))
        exact = _exact(nodes, reference, moving)
        linear = _fitted(nodes, exact)
        # the lattice comes first, in reference pixels: linear(p + v(p)) = exact(p)
        steps = Lattice.through(Linear(~linear.matrix)(exact) - nodes, first, spacing), linear
        inside = nodes[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        check = inside[:, :-1, :-1] + np.reshape(spacing, (2, 1, 1)) / 2
        error = np.abs(Mapping(steps)(check) - _exact(check, reference, moving)).max()
        if error <= EXACT_PX:
            return steps
        cells *= 2
        if cells > MOST_CELLS:
            raise InputError(
                f"{reference.crs} and {moving.crs} bend against each other too much to be mapped ({error:.2g} px): "
                "reproject one of the images with gdalwarp first."
            )


def _exact(xy: XY, reference: Grid, moving: Grid) -> XY:
    """Places by PROJ itself."""
    from rasterio._err import CPLE_BaseError  # `warp.transform` lets GDAL's own errors through
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    ground = Linear(reference.transform @ HALF)(xy)
    try:
        x, y = transform(
            parse_crs(str(reference.crs)), parse_crs(str(moving.crs)), ground[0].ravel(), ground[1].ravel()
        )[:2]
        moved = np.stack([np.reshape(x, xy.shape[1:]), np.reshape(y, xy.shape[1:])]).astype(np.float64)
    except (RasterioError, CPLE_BaseError):
        moved = np.full_like(xy, np.nan)
    if not np.isfinite(moved).all():
        raise InputError(
            f"the reference reaches where {moving.crs} has no coordinates: are both images of one place? "
            "Else reproject one of them with gdalwarp first."
        )
    return Linear(~HALF @ ~moving.transform)(moved)


def _fitted(nodes: XY, values: XY) -> Linear:
    design = np.stack([nodes[0].ravel(), nodes[1].ravel(), np.ones(nodes[0].size)], 1)
    x, y = (np.linalg.lstsq(design, part.ravel(), rcond=None)[0] for part in values)
    return Linear(Affine(*x, *y))


def overlap_share(mapping: Mapping, reference: tuple[int, int], moving: tuple[int, int]) -> float:
    """Part of the reference, 0 to 1, that a map places inside the moving image; shapes are (height, width)."""
    (height, width), (rows, columns) = reference, moving
    x, y = np.meshgrid((np.arange(128) + 0.5) / 128 * width - 0.5, (np.arange(128) + 0.5) / 128 * height - 0.5)
    at = mapping(np.stack([x, y]))
    inside = (at[0] > -0.5) & (at[0] < columns - 0.5) & (at[1] > -0.5) & (at[1] < rows - 0.5)
    return float(inside.mean())


def refuse_apart(mapping: Mapping, reference: Grid, moving: Grid, names: Names) -> None:
    """Make sure that two georeferenced images show common ground.

    Raises:
        GridMismatchError: where they do not.
    """
    if overlap_share(mapping, reference.shape, moving.shape) >= LEAST_SHARE:
        return
    corners = np.array([[-0.5, reference.width - 0.5] * 2, [-0.5] * 2 + [reference.height - 0.5] * 2])
    at = mapping(corners.astype(np.float64))
    away = math.hypot(*(at.mean(1) - (np.array([moving.width, moving.height]) - 1) / 2))
    raise GridMismatchError(
        f"{names.moving} does not overlap {names.reference}: the middle of the reference lies {away:.0f} px (of "
        f"{names.moving}) from its middle. {names.reference} is {reference}; {names.moving} is {moving}. Check that "
        "both show the same place; where the georeferencing of one is wrong, pass --start content to look for the "
        "place in the images themselves."
    )
