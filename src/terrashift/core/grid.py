"""Where pixels lie on the ground: the only place where a unit or a sign changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from affine import Affine
from jaxtyping import Float
from torch import Tensor

EQUATORIAL_RADIUS_M = 6378137.0  # WGS 84
FLATTENING = 1 / 298.257223563  # WGS 84


@dataclass(frozen=True, slots=True)
class Grid:
    """A raster's shape and its place on the ground.

    `transform` maps (column, row) of a pixel *corner* to CRS coordinates, as in GDAL; the centre of pixel
    (row, column) is at `transform @ (column + 0.5, row + 0.5)`. North-up, south-up, rotated and non-square grids
    are all alike. Without a CRS lengths are in pixels, and `unit` says so.
    """

    height: int
    width: int
    transform: Affine
    crs: str | None = None
    """`EPSG:32631`-like code or WKT; None where the file has none."""
    metres_per_unit: float = 1.0
    """Length of one unit of a projected CRS (0.3048 for feet); unused for a geographic one."""
    geographic: bool = False
    """True where the CRS counts degrees of longitude and latitude."""
    cell_px: int = 1
    """Side of a cell in image pixels, the unit of length without a CRS; more than 1 for a field with a step."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def unit(self) -> str:
        """`m`, or `px` where no CRS is known."""
        return "m" if self.crs else "px"

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Ground length of one column step and of one row step, in `unit`, at the grid's centre."""
        metres = self.metric_transform()
        return math.hypot(metres.a, metres.d), math.hypot(metres.b, metres.e)

    @property
    def is_oblique(self) -> bool:
        """True where rows do not run west to east (rotated or sheared grids)."""
        scale = max(abs(self.transform.a), abs(self.transform.e))
        return max(abs(self.transform.b), abs(self.transform.d)) > 1e-9 * scale

    def metric_transform(self, row: float | int | None = None) -> Affine:
        """The linear part that turns (x right, y down) pixels into (east, north) in `unit`, at image row `row`.

        For a geographic CRS the length of a degree is that of the WGS 84 ellipsoid at the row's latitude
        (default: the middle row). Without a CRS the unit is an image pixel, and north is up the image.
        """
        if self.crs is None:
            return Affine.scale(self.cell_px, -self.cell_px)
        t = self.transform
        if not self.geographic:
            return Affine(t.a, t.b, 0, t.d, t.e, 0) @ Affine.scale(self.metres_per_unit)
        row = self.height / 2 if row is None else row
        latitude = math.radians((t @ (self.width / 2, row + 0.5))[1])
        east, north = metres_per_degree(latitude)
        return Affine(t.a * east, t.b * east, 0, t.d * north, t.e * north, 0)

    def to_metres(self, flow: Float[Tensor, "2 height width"], first_row: int = 0) -> Float[Tensor, "2 height width"]:
        """Turn pixel motion (x right, y down) of cells of this grid into (east, north), in `unit`.

        `flow` may cover a part of the grid that starts at `first_row` (a tile then gets the same metres as the whole).
        It must be counted in this grid's own pixels: see `DisplacementField.from_flow` for coarser fields.
        """
        x, y = flow
        if not (self.crs and self.geographic):
            m = self.metric_transform()
            return torch.stack([m.a * x + m.b * y, m.d * x + m.e * y])
        rows = [self.metric_transform(row) for row in range(first_row, first_row + flow.shape[1])]
        a, b, d, e = (torch.tensor([getattr(m, k) for m in rows]).to(flow)[:, None] for k in "abde")
        return torch.stack([a * x + b * y, d * x + e * y])

    def to_pixels(self, ground: Float[Tensor, "2 height width"], first_row: int = 0) -> Float[Tensor, "2 height width"]:
        """The inverse of `to_metres`: (east, north), in `unit`, as motion (x right, y down) in cells of this grid."""
        if not (self.crs and self.geographic):
            rows = [self.metric_transform()]
        else:
            rows = [self.metric_transform(row) for row in range(first_row, first_row + ground.shape[1])]
        a, b, d, e = (torch.tensor([getattr(m, k) for m in rows], dtype=torch.float64)[:, None] for k in "abde")
        east, north = ground.double()
        area = a * e - b * d
        return torch.stack([(e * east - b * north) / area, (a * north - d * east) / area]).to(ground.dtype)

    def crop(self, row: int, column: int, height: int, width: int) -> Grid:
        """The part that starts at pixel (row, column); may reach past the edges."""
        return replace(self, height=height, width=width, transform=self.transform @ Affine.translation(column, row))

    def every(self, step: int) -> Grid:
        """The grid of measurements at every `step`-th pixel: cells of `step` pixels, each centred on a pixel.

        Cell (i, j) is centred on the centre of pixel (step*i + step//2, step*j + step//2), for even steps too, so
        that a value stands exactly where it was measured.
        """
        if step == 1:
            return self
        first = step // 2 - (step - 1) / 2  # 0 for odd steps, half a pixel for even ones
        height, width = (measured_along(n, step) for n in self.shape)
        moved = self.transform @ Affine.translation(first, first) @ Affine.scale(step)
        cell_px = 1 if self.crs else self.cell_px * step
        return replace(self, height=height, width=width, transform=moved, cell_px=cell_px)

    def __str__(self) -> str:
        dx, dy = self.pixel_size
        where = self.crs if self.crs and len(self.crs) < 20 else ("a custom CRS" if self.crs else "no CRS")
        x, y = self.transform.c, self.transform.f
        return f"{self.height} x {self.width} px of {dx:g} x {dy:g} {self.unit}, {where}, origin ({x:.10g}, {y:.10g})"


def measured_along(length: int, step: int) -> int:
    """How many measurements at pixels step//2, step//2 + step, ... fit into `length` pixels."""
    return max(0, -(-(length - step // 2) // step))


def metres_per_degree(latitude: float) -> tuple[float, float]:
    """Length of a degree of longitude and of latitude on WGS 84 at `latitude` (radians).

    >>> [round(v) for v in metres_per_degree(0.0)]
    [111319, 110574]
    """
    e2 = FLATTENING * (2 - FLATTENING)
    w = math.sqrt(1 - e2 * math.sin(latitude) ** 2)
    prime_vertical = EQUATORIAL_RADIUS_M / w
    meridian = EQUATORIAL_RADIUS_M * (1 - e2) / w**3
    return math.radians(prime_vertical * math.cos(latitude)), math.radians(meridian)
