"""Displacement fields with known ramps, stripes and faults."""

from __future__ import annotations

import numpy as np
import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid

CELL_M = 20.0


def grid(height, width):
    """Cells of 20 m, north up."""
    return Grid(height, width, Affine(CELL_M, 0, 5e5, 0, -CELL_M, 4e6), "EPSG:32631")


def field_of(east, north):
    """A field of two components with plain other bands."""
    east, north = (torch.from_numpy(np.asarray(part, np.float32)) for part in (east, north))
    reasons = east.isnan().to(torch.uint8)
    return DisplacementField(
        east, north, torch.full_like(east, 0.1), torch.full_like(east, 0.2), torch.ones_like(east), reasons,
        grid(*east.shape), {"BEFORE": "a.tif"},
    )  # fmt: skip


def places(height, width):
    """Row and column of every cell."""
    return np.meshgrid(np.arange(height), np.arange(width), indexing="ij")


def fault(height, width, offset, angle_deg=20.0):
    """A step across a line through the middle, that runs at an angle from up the image to the right.

    Half of the offset on the right of the line, half of it with the other sign on its left.
    """
    angle = np.radians(angle_deg)
    row, column = places(height, width)
    across = (column - width / 2 + 0.5) * np.cos(angle) + (row - height / 2 + 0.5) * np.sin(angle)
    return np.where(across > 0, offset / 2, -offset / 2), across


def trace_of(height, width, angle_deg=20.0):
    """The line of `fault` in the CRS of the grid, well beyond the field at both ends."""
    angle = np.radians(angle_deg)
    reach = 2 * max(height, width)
    middle = np.array([width / 2, height / 2])
    along = np.array([np.sin(angle), -np.cos(angle)])
    transform = grid(height, width).transform
    return np.array([transform @ tuple(middle + k * reach * along) for k in (-1, 1)])


def offset_of(values, across, reach=60, gap=4):
    """Median on the right of a fault less that on its left, near it."""
    right = (across > gap) & (across < reach)
    left = (across < -gap) & (across > -reach)
    return float(np.nanmedian(values[right]) - np.nanmedian(values[left]))
