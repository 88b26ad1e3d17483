"""How the ground of a grid moves when faults slip in an elastic half-space: three components, and where it breaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from ..core.grid import Grid
from .boxes import NUDGE_PX, motion_over
from .dislocation import by_triangles
from .displacement import Displacement
from .faults import Segment
from .mesh import Mesh, cut, per_cell
from .trace import parted_pixels, to_crs, to_pixels


def elastic_displacement(grid: Grid, segments: Sequence[Segment]) -> Displacement:
    """Surface displacement of slip on `segments` at the pixel centres of `grid`: east, north and up.

    Segments are in metres from the grid's centre (a pixel is one metre without a CRS). Every position uses the grid's
    linear part at its middle row.
    """
    meshes = [cut(segment, min(grid.pixel_size)) for segment in segments]
    motion = sum((motion_over(grid, mesh) for mesh in meshes), np.zeros((3, *grid.shape)))
    east, north, up = torch.from_numpy(motion.astype(np.float32))
    trace = parted_pixels(grid.shape, [to_pixels(grid, mesh.trace) - NUDGE_PX for mesh in meshes])
    lines = tuple(torch.from_numpy(to_crs(grid, mesh.trace)) for mesh in meshes)
    slips = tuple(torch.from_numpy(mesh.lateral).float() for mesh in meshes)
    return Displacement(east, north, up, torch.from_numpy(trace), lines, slips)


def motion_at(mesh: Mesh, points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 3"]:
    """East, north and up at surface points (east, north) by every triangle of a mesh: exact, and slow."""
    moved = np.zeros((len(points), 3))
    for level in range(mesh.levels):
        slips = np.repeat(mesh.cell_slip[level], per_cell(level), 0)
        moved += by_triangles(points, mesh.cells(level, np.arange(len(mesh.cell_slip[level]))), slips)
    return moved
