"""Cut a fault segment into triangles: as wide as a pixel along its trace, kilometres at depth, coarser from afar.

The segment is a row of cells at each level. Cells of level 0 lie at the surface, those of each further level below,
twice as wide and twice as high, so that a cell is about as large as it is deep. A *lump* is a cell of some level
together with all that lie above it, as one flat cell up to the surface with their mean slip: what they look like from
afar. Any mixture of cells and lumps that covers the segment is watertight. So it bounds the same dislocation, and
ground outside the slivers between two such surfaces moves alike (Burgers 1939), as far as the slip is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .faults import Segment
from .slip import slip_at

Cells = Int[np.ndarray, " cells"]
Vectors = Float[np.ndarray, "cells 3"]
"""East, north, up."""


class Spheres(NamedTuple):
    """A ball around each cell."""

    centre: Vectors
    radius: Float[np.ndarray, " cells"]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A segment in cells. Metres from the scene's centre; z is up, the surface at 0."""

    trace: Float[np.ndarray, "points 2"]
    """Corners of the cells of level 0 at the surface."""
    slip: Vectors
    """Slip at each point of `trace`: motion of the right-hand side, seen along the trace, less that of the left."""
    leaning: Float[np.ndarray, " 3"]
    """Way along the dip for one metre of depth."""
    depths: Float[np.ndarray, " edges"]
    """Upper edge of level 0, 1, ..., and the lower edge of the last."""
    cell_slip: tuple[Vectors, ...]
    """For each level, the slip of its cells."""
    lump_slip: tuple[Vectors, ...]
    """For each level, the slip of its lumps: the mean over their area."""

    @property
    def levels(self) -> int:
        """How many rows of cells lie below each other."""
        return len(self.depths) - 1

    def cells(self, level: int, which: Cells) -> Float[np.ndarray, "triangles 3 3"]:
        """Triangles of cells, in their order, `per_cell(level)` for each."""
        if level == 0:
            return self.lumps(0, which)
        step = 2**level
        top, foot = self.depths[level], self.depths[level + 1]
        left, middle, right = (self._at(which * step + k, top) for k in (0, step // 2, step))
        left_foot, right_foot = self._at(which * step, foot), self._at((which + 1) * step, foot)
        return _triangles((left, left_foot, middle), (middle, left_foot, right_foot), (middle, right_foot, right))

    def lumps(self, level: int, which: Cells) -> Float[np.ndarray, "triangles 3 3"]:
        """Triangles of lumps, in their order, two for each."""
        step = 2**level
        foot = self.depths[level + 1]
        left, right = self._at(which * step, 0.0), self._at((which + 1) * step, 0.0)
        left_foot, right_foot = self._at(which * step, foot), self._at((which + 1) * step, foot)
        return _triangles((left, left_foot, right), (right, left_foot, right_foot))

    def around_cells(self, level: int, which: Cells) -> Spheres:
        """Balls around cells."""
        return self._around(level, which, self.depths[level])

    def around_lumps(self, level: int, which: Cells) -> Spheres:
        """Balls around lumps."""
        return self._around(level, which, 0.0)

    def _around(self, level: int, which: Cells, top: float) -> Spheres:
        step, foot = 2**level, self.depths[level + 1]
        corners = [self._at(which * step + k, depth) for k in (0, step) for depth in (top, foot)]
        centre = sum(corners) / 4
        return Spheres(centre, np.max([np.linalg.norm(corner - centre, axis=1) for corner in corners], axis=0))

    def _at(self, point: Cells, depth: float) -> Vectors:
        surface = np.column_stack([self.trace[point], np.zeros(len(point))])
        return surface + depth * self.leaning


def per_cell(level: int) -> int:
    """Triangles of one cell: three below a joint of two cells above."""
    return 3 if level else 2


def cut(segment: Segment, finest_m: float) -> Mesh:
    """Cut a segment into cells whose length at the surface is near `finest_m` (0.6 to 1.5 of it).

    Slip is that of the patch at a cell's middle. Its direction follows the trace as seen at the depth of the lowest
    cells: across finer bends both sides slide past each other in one direction, as stiff blocks do.
    """
    levels = max(1, round(math.log2(segment.depth_m / finest_m + 1)))
    columns = max(1, round(segment.length_m / (finest_m * 2 ** (levels - 1)))) * 2 ** (levels - 1)
    along = np.linspace(0, 1, columns + 1)
    trace = segment.resampled(along)
    depths = segment.depth_m * (2.0 ** np.arange(levels + 1) - 1) / (2**levels - 1)
    leaning = np.append(segment.right / math.tan(math.radians(segment.dip_deg)), -1.0)
    direction = _slip_direction(segment, trace[:: 2 ** (levels - 1)], along)
    cells, lumps = [], []
    for level in range(levels):
        middle = (along[: -(2**level) : 2**level] + along[2**level :: 2**level]) / 2
        toward = direction[:-1].reshape(len(middle), -1, 3).mean(1)
        down = (depths[level] + depths[level + 1]) / 2 / segment.depth_m
        cells.append(slip_at(segment.slip_m, middle, down)[:, None] * toward)
        above = lumps[-1].reshape(len(middle), 2, 3).mean(1) if level else cells[-1]
        share = depths[level] / depths[level + 1]  # of a lump's area, above its lowest cell
        lumps.append(share * above + (1 - share) * cells[-1])
    surface = slip_at(segment.slip_m, along, depths[1] / 2 / segment.depth_m)[:, None] * direction
    return Mesh(trace, surface, leaning, depths, tuple(cells), tuple(lumps))


def _slip_direction(segment: Segment, coarse: np.ndarray, along: np.ndarray) -> Vectors:
    """Unit vectors of slip at each of `along`: strike of the coarse trace, rake, dip."""
    chord = np.diff(coarse, axis=0)
    middle = (np.arange(len(chord)) + 0.5) / len(chord)
    strike = np.stack([np.interp(along, middle, part) for part in chord.T], 1)
    strike /= np.linalg.norm(strike, axis=1, keepdims=True)
    east, north = strike.T
    rake, dip = math.radians(segment.rake_deg), math.radians(segment.dip_deg)
    up_dip = np.stack([-math.cos(dip) * north, math.cos(dip) * east, np.full_like(east, math.sin(dip))], 1)
    return math.cos(rake) * np.column_stack([strike, np.zeros_like(east)]) + math.sin(rake) * up_dip


def _triangles(*corners: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Float[np.ndarray, "triangles 3 3"]:
    """The triangles of each cell after each other; corners run so that the normal points to the right of the trace."""
    return np.stack([np.stack(three, 1) for three in corners], 1).reshape(-1, 3, 3)
