"""Cut a fault segment into triangles: as wide as a pixel along its trace, kilometres at depth, coarser from afar.

The segment is a row of cells at each level. Cells of level 0 lie at the surface, those of each further level below,
twice as wide and twice as high, so that a cell is about as large as it is deep; together they leave no gap. A *lump* is
what a cell and all that lie above it look like from afar: one flat cell from the surface down, with the same moment
(slip times area) about the same centre.
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
    slip: Float[np.ndarray, "points 3"]
    """Slip at each point of `trace`: motion of the right-hand side, seen along the trace, less that of the left."""
    lateral: Float[np.ndarray, " points"]
    """The part of `slip` along the trace, positive where right-lateral."""
    leaning: Float[np.ndarray, " 3"]
    """Way along the dip for one metre of depth."""
    depths: Float[np.ndarray, " edges"]
    """Upper edge of level 0, 1, ..., and the lower edge of the last."""
    cell_slip: tuple[Float[np.ndarray, "_ 3"], ...]
    """For each level, the slip of its cells."""
    lump_slip: tuple[Float[np.ndarray, "_ 3"], ...]
    """For each level, the slip of its lumps."""
    lump_foot: tuple[Float[np.ndarray, " _"], ...]
    """For each level, the depth of the lower edge of its lumps."""
    lump_shift: tuple[Float[np.ndarray, " _"], ...]
    """For each level, how far its lumps are moved along the trace, as a share of their width."""

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
        left, left_foot, right, right_foot = self._lump_corners(level, which)
        return _triangles((left, left_foot, right), (right, left_foot, right_foot))

    def around_cells(self, level: int, which: Cells) -> Spheres:
        """Balls around cells."""
        step = 2**level
        edges = self.depths[level], self.depths[level + 1]
        return _around([self._at(which * step + k, depth) for k in (0, step) for depth in edges])

    def around_lumps(self, level: int, which: Cells) -> Spheres:
        """Balls around lumps."""
        return _around(self._lump_corners(level, which))

    def _lump_corners(self, level: int, which: Cells) -> list[Vectors]:
        """At the surface and at the lower edge, of the first and of the second side."""
        step = 2**level
        first, second = self._at(which * step, 0.0), self._at((which + 1) * step, 0.0)
        shift = self.lump_shift[level][which, None] * (second - first)
        down = self.lump_foot[level][which, None] * self.leaning
        return [first + shift, first + shift + down, second + shift, second + shift + down]

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
        lumps.append(_lump(cells[-1], depths[level : level + 2], lumps[-1] if lumps else None))
    size = slip_at(segment.slip_m, along, depths[1] / 2 / segment.depth_m)
    lateral = -math.cos(math.radians(segment.rake_deg)) * size
    slip, foot, shift = zip(*lumps, strict=True)
    return Mesh(trace, size[:, None] * direction, lateral, leaning, depths, tuple(cells), slip, foot, shift)


class _Lumps(NamedTuple):
    """The lumps of one level: see `Mesh`."""

    slip: Vectors
    foot: Float[np.ndarray, " cells"]
    shift: Float[np.ndarray, " cells"]


def _lump(slip: Vectors, edges: Float[np.ndarray, " 2"], above: _Lumps | None) -> _Lumps:
    """Cells between two depths as one with the pairs of lumps above: the sum of their moments, at its centre."""
    if above is None:
        return _Lumps(slip, np.full(len(slip), edges[1]), np.zeros(len(slip)))
    high = edges[1] - edges[0]
    over = above.slip * above.foot[:, None] / 2  # per width of the cell below, which is two of theirs
    moments = np.stack([slip * high, over[::2], over[1::2]])
    weight = np.linalg.norm(moments, axis=2)
    whole = weight.sum(0)
    still = whole == 0
    weight, whole = np.where(still, 1.0, weight), np.where(still, 3.0, whole)
    depth = np.stack([np.full(len(slip), edges.mean()), above.foot[::2] / 2, above.foot[1::2] / 2])
    place = np.stack([np.zeros(len(slip)), above.shift[::2] / 2 - 0.25, above.shift[1::2] / 2 + 0.25])
    foot = 2 * (weight * depth).sum(0) / whole
    return _Lumps(moments.sum(0) / foot[:, None], foot, (weight * place).sum(0) / whole)


def _around(corners: list[Vectors]) -> Spheres:
    centre = np.mean(corners, axis=0)
    return Spheres(centre, np.max([np.linalg.norm(corner - centre, axis=1) for corner in corners], axis=0))


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
