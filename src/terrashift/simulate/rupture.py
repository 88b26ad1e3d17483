"""A strike-slip earthquake in closed form: rough trace, slip that dies toward the tips, arctangent decay to the sides.

Screw dislocation in an elastic half-space, slipping from the surface down to a locking depth (Weertman & Weertman 1964;
Savage & Burford 1973, the coseismic counterpart of their eq. 1). One vertical fault, horizontal motion only.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator
from pydantic import BaseModel, Field
from scipy import ndimage

from ..core.grid import Grid
from ..ops.edges import beside
from .displacement import Displacement
from .selfaffine import self_affine_profile
from .trace import from_pixels, to_crs

SAMPLES = 4096  # along the trace
WIDTHS = 12  # along-strike averages of the slip that the field at a distance is looked up from


class Rupture(BaseModel, frozen=True, extra="forbid"):
    """One strike-slip rupture. Without a CRS a pixel of the grid counts as one metre."""

    slip_m: float = Field(
        default=3.0, description="Largest slip in sight, m; positive is right-lateral, negative left-lateral."
    )
    depth_km: float = Field(default=8.0, gt=0, description="Depth that the slip reaches down to, km.")
    strike_deg: float = Field(default=35.0, description="Direction of the trace, degrees clockwise from grid north.")
    length_km: float | None = Field(
        default=None, gt=0, description="From tip to tip, km. Empty: past the scene on both sides."
    )
    centre: tuple[float, float] = Field(
        default=(0.5, 0.5),
        description="Middle of the trace, as shares of the scene's width and height from its first pixel.",
    )
    roughness: float = Field(
        default=0.01, ge=0, description="Standard deviation of the trace about a line, share of its length."
    )
    hurst: float = Field(default=0.8, gt=0, lt=1, description="Hurst exponent of the trace; smaller is more jagged.")
    slip_variation: float = Field(
        default=0.2, ge=0, lt=1, description="Standard deviation of the slip along strike, share of it."
    )


def displacement(grid: Grid, rupture: Rupture, seed: int) -> Displacement:
    """Surface displacement of `rupture` at the pixel centres of `grid`; the same seed gives the same rupture.

    At distance d from a trace of slip s each side moves along strike by s/2 * (1 - 2/pi * atan(d / depth)). There s is
    an average along strike (a Gaussian of width d / 2), so that detail of the slip fades with distance while the jump
    across the trace is the local slip. Seen from either side, the other moves to the right where the slip is positive.

    Every position uses the grid's linear part at its middle row; distances are measured across the mean strike.
    """
    random = np.random.default_rng(seed)
    along_m, across_m = _strike_coordinates(grid, rupture)
    reach = math.hypot(*(side * size for side, size in zip(grid.shape[::-1], grid.pixel_size, strict=True)))
    length_m = 1000 * rupture.length_km if rupture.length_km else 4 * reach
    at = np.linspace(-length_m / 2, length_m / 2, SAMPLES)
    profile = rupture.roughness * length_m * self_affine_profile(SAMPLES, rupture.hurst, random)
    slip = rupture.slip_m * _slip_shape(rupture, random)

    offset = across_m - np.interp(along_m, at, profile)  # positive to the right of strike
    far = np.abs(offset)
    local = _averaged(slip, along_m / length_m + 0.5, far / (2 * length_m))
    motion = 0.5 * local * (1 - 2 / math.pi * np.arctan(far / (1000 * rupture.depth_km)))
    motion = np.where(offset > 0, -motion, motion)  # right-lateral: the right side moves back along strike
    toward_east, toward_north = _strike(rupture)
    east, north = motion * toward_east, motion * toward_north
    trace = beside(torch.from_numpy(offset > 0)) & torch.from_numpy(np.abs(along_m) < length_m / 2)
    line = np.stack([at * toward_east + profile * toward_north, at * toward_north - profile * toward_east], 1)
    flat_east, flat_north = (torch.from_numpy(part.astype(np.float32)) for part in (east, north))
    lines, slips = (torch.from_numpy(to_crs(grid, line, rupture.centre)),), (torch.from_numpy(slip).float(),)
    return Displacement(flat_east, flat_north, torch.zeros_like(flat_east), trace, lines, slips)


def _strike(rupture: Rupture) -> tuple[float, float]:
    """Unit vector along strike, (east, north)."""
    angle = math.radians(rupture.strike_deg)
    return math.sin(angle), math.cos(angle)


def _strike_coordinates(grid: Grid, rupture: Rupture) -> tuple[np.ndarray, np.ndarray]:
    """Metres along strike, and to the right of it, of every pixel centre from the middle of the trace."""
    column, row = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    east, north = np.moveaxis(from_pixels(grid, np.stack([column, row], -1), rupture.centre), -1, 0)
    toward_east, toward_north = _strike(rupture)
    return east * toward_east + north * toward_north, east * toward_north - north * toward_east


def _slip_shape(rupture: Rupture, random: Generator) -> Float[np.ndarray, " points"]:
    """Slip along the trace: elliptical toward the tips if it has any, times a fractal factor (Hurst 0.7).

    The largest is 1; on an endless trace, in the middle quarter, which is what a scene around its centre shows.
    """
    factor = np.maximum(1 + rupture.slip_variation * self_affine_profile(SAMPLES, 0.7, random), 0.05)
    if rupture.length_km:
        factor *= np.sqrt(1 - np.linspace(-1, 1, SAMPLES) ** 2)
        return factor / factor.max()
    return factor / factor[3 * SAMPLES // 8 : 5 * SAMPLES // 8].max()


def _averaged(slip: np.ndarray, along: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Slip at `along` (0 to 1 from tip to tip), averaged along strike by a Gaussian of width `far` (same unit).

    Nothing slips past the tips. Looked up between a few widths, 0 among them, that grow by a constant factor.
    """
    widths = np.concatenate([[0.0], np.geomspace(1, SAMPLES, WIDTHS - 1)])
    beyond = SAMPLES  # samples past each tip
    padded = np.pad(slip, beyond)
    table = np.stack([padded] + [ndimage.gaussian_filter1d(padded, w, mode="constant", truncate=3) for w in widths[1:]])
    rank = np.interp(far * SAMPLES, widths, np.arange(WIDTHS))
    place = np.clip(along, -0.99, 1.99) * (SAMPLES - 1) + beyond
    return ndimage.map_coordinates(table, [rank, place], order=1, mode="nearest")
