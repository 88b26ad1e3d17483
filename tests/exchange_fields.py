"""Fields whose sign nobody can mistake."""

from __future__ import annotations

from dataclasses import replace

import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid

UTM = Grid(12, 17, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
GRIDS = {
    "utm": UTM,
    "south-up": replace(UTM, transform=Affine(10, 0, 500_000, 0, 10, 4_000_000)),
    "not square": replace(UTM, transform=Affine(10, 0, 500_000, 0, -20, 4_000_000)),
    "rotated": replace(UTM, transform=Affine.translation(500_000, 4e6) @ Affine.rotation(30) @ Affine.scale(10, -20)),
    "degrees": replace(UTM, transform=Affine(1e-4, 0, 3, 0, -2e-4, 50), crs="EPSG:4326", geographic=True),
    "feet": replace(UTM, crs="EPSG:2263", metres_per_unit=1200 / 3937),
    "no CRS": Grid(12, 17, Affine.identity()),
}
DATES = {"BEFORE_DATE": "2016-02-06T10:00:00", "AFTER_DATE": "2016-11-22T10:00:00"}
EAST_PX, NORTH_PX = 0.3, -0.7


def moved(grid: Grid = UTM) -> DisplacementField:
    """Ground that moved 0.3 pixels east and 0.7 pixels SOUTH, with a gap at (2, 3), errors and scores."""
    across, down = grid.pixel_size
    east, north = torch.full(grid.shape, EAST_PX * across), torch.full(grid.shape, NORTH_PX * down)
    ramp = torch.linspace(0.2, 0.9, grid.height * grid.width).reshape(grid.shape)
    reasons = torch.zeros(grid.shape, dtype=torch.uint8)
    reasons[2, 3] = 4
    for band in (east, north):
        band[2, 3] = torch.nan
    sigma = torch.where(reasons > 0, torch.nan, ramp)
    return DisplacementField(east, north, sigma, 2 * sigma, ramp, reasons, grid, {"METHOD": "phase", **DATES})
