"""Add up the motion by very many triangles over very many pixels without letting each meet each.

A box of pixels and a cell of a fault's mesh that are far apart, for their sizes, need not meet pixel by pixel and
triangle by triangle. Both are halved until the motion by the cell is smooth over the box, and is interpolated between a
few of its points, or until neither can be halved, and the pixels get it exactly (a dual-tree traversal with Chebyshev
interpolation, as in Fong & Darve 2009). Smoothness is judged cell by cell: the jump made by a cell is never
interpolated, and tips, bends, branches and crossings are no exceptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..core.grid import Grid
from .dislocation import by_triangles
from .mesh import Cells, Mesh
from .trace import from_pixels, local_matrix

SMALLEST_PX = 8  # side of the boxes that are halved no further
NODES = 6  # Chebyshev points along a box's side
APART = 2.0  # a cell's motion is smooth over a box if its ball is so many radii of the box from its middle
AFAR = 4.0  # a lump stands for its cells if its middle is so many of its radii from the box
NUDGE_PX = 1e-6  # pixel centres are moved by this: none then lies on an edge of a triangle

Numbers = Int[np.ndarray, " boxes"]


class Pairs(NamedTuple):
    """Cells of one level of a mesh, each with a box."""

    box: Numbers
    cell: Cells


class _Level(NamedTuple):
    """The cells, or the lumps, of one level of a mesh."""

    number: int
    corners: Callable[[int, Cells], Float[np.ndarray, "triangles 3 3"]]
    """Triangles of some of them."""
    slip: Float[np.ndarray, "_ 3"]
    """Of all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Square boxes of pixels, all of one size, numbered row by row; some may lie outside the grid."""

    grid: Grid
    side: int
    """Pixels along the side of what they cover together, from the grid's first pixel on."""
    size: int
    """Pixels along a box's side."""

    @property
    def across(self) -> int:
        """Boxes beside each other."""
        return self.side // self.size

    @property
    def last(self) -> bool:
        """True where they are halved no further."""
        return self.size <= SMALLEST_PX

    @property
    def radius(self) -> float:
        """Metres from the middle of a box to its farthest corner."""
        matrix = local_matrix(self.grid)
        return self.size / 2 * float(max(np.linalg.norm(matrix @ [1, 1]), np.linalg.norm(matrix @ [1, -1])))

    def middles(self, box: Numbers) -> Float[np.ndarray, "boxes 3"]:
        """East, north and up of the middle of each box."""
        return np.column_stack([self.lattice(box, np.array([self.size / 2]))[:, 0], np.zeros(len(box))])

    def lattice(self, box: Numbers, at: np.ndarray) -> Float[np.ndarray, "boxes points 2"]:
        """(east, north) of points `at` pixels from the first corner of each box, both ways, row by row."""
        row, column = (number[:, None, None] * self.size for number in np.divmod(box, self.across))
        row, column = np.broadcast_arrays(row + at[:, None], column + at)
        return from_pixels(self.grid, np.stack([column, row], -1)).reshape(len(box), len(at) ** 2, 2)

    def handed_down(self, pairs: Pairs) -> Pairs:
        """The same cells with those boxes of half the size that reach into the grid."""
        row, column = np.divmod(pairs.box, self.across)
        row = (2 * row + np.array([[0], [0], [1], [1]])).ravel()
        column = (2 * column + np.array([[0], [1], [0], [1]])).ravel()
        half = self.size // 2
        seen = (row * half < self.grid.height) & (column * half < self.grid.width)
        return Pairs((row * 2 * self.across + column)[seen], np.tile(pairs.cell, 4)[seen])


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """Triangles, each with the box that it moves."""

    box: list[np.ndarray] = field(default_factory=list)
    triangles: list[np.ndarray] = field(default_factory=list)
    slips: list[np.ndarray] = field(default_factory=list)

    def add(self, box: Numbers, triangles: np.ndarray, slips: np.ndarray) -> None:
        """Add cells, each with one box, one slip and the same number of triangles."""
        each = len(triangles) // max(1, len(box))
        self.box.append(np.repeat(box, each))
        self.triangles.append(triangles)
        self.slips.append(np.repeat(slips, each, 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """What becomes of the pairs of one size of box."""

    smooth: _Work = field(default_factory=_Work)
    """To be interpolated over the box."""
    exact: _Work = field(default_factory=_Work)
    """To be computed at each of its pixels."""
    lumps: dict[int, Pairs] = field(default_factory=dict)
    """By level: to be met by boxes of half the size."""
    cells: dict[int, Pairs] = field(default_factory=dict)
    """The same, without what lies above them."""


def motion_over(grid: Grid, mesh: Mesh) -> Float[np.ndarray, "3 height width"]:
    """East, north and up at every pixel by one segment."""
    doublings = max(0, math.ceil(math.log2(max(grid.shape) / SMALLEST_PX)))
    boxes = Boxes(grid, SMALLEST_PX * 2**doublings, SMALLEST_PX * 2**doublings)
    moved = np.zeros((3, boxes.side, boxes.side))
    top = np.arange(len(mesh.lump_slip[-1]))
    lumps, cells = {mesh.levels - 1: Pairs(np.zeros_like(top), top)}, {}
    while True:
        found = _sort(mesh, boxes, lumps, cells)
        nodes = boxes.size / 2 * (1 - np.cos(math.pi * (np.arange(NODES) + 0.5) / NODES))
        _spread(moved, boxes, found.smooth, nodes)
        if boxes.last:
            _spread(moved, boxes, found.exact, np.arange(boxes.size) + 0.5 + NUDGE_PX)
            return moved[:, : grid.height, : grid.width]
        lumps = {level: boxes.handed_down(pairs) for level, pairs in found.lumps.items()}
        cells = {level: boxes.handed_down(pairs) for level, pairs in found.cells.items()}
        boxes = replace(boxes, size=boxes.size // 2)


def _sort(mesh: Mesh, boxes: Boxes, lumps: dict[int, Pairs], cells: dict[int, Pairs]) -> _Sorted:
    """Decide for each pair whether to interpolate, to compute, to halve the cell or to leave it to smaller boxes."""
    found, opened = _Sorted(), Pairs(np.zeros(0, int), np.zeros(0, int))
    for level in reversed(range(mesh.levels)):
        pairs = _joined(opened, lumps.get(level))
        ball = mesh.around_lumps(level, pairs.cell)
        distance = np.linalg.norm(ball.centre - boxes.middles(pairs.box), axis=1)
        smooth = distance - ball.radius > APART * boxes.radius
        afar = distance > boxes.radius + AFAR * ball.radius
        done = afar & (smooth | boxes.last)
        whole = _Level(level, mesh.lumps, mesh.lump_slip[level])
        _take(found.smooth, pairs, done & smooth, whole)
        _take(found.exact, pairs, done & ~smooth, whole)
        halve = ~done & (smooth | boxes.last | (ball.radius > boxes.radius))
        found.lumps[level] = _chosen(pairs, ~done & ~halve)
        _sort_cells(mesh, boxes, level, _joined(_chosen(pairs, halve), cells.get(level)), found)
        box, cell = _chosen(pairs, halve)
        opened = Pairs(np.tile(box, 2), np.concatenate([2 * cell, 2 * cell + 1]))
    return found


def _sort_cells(mesh: Mesh, boxes: Boxes, level: int, pairs: Pairs, found: _Sorted) -> None:
    """The same for cells without what lies above them, which are never halved."""
    ball = mesh.around_cells(level, pairs.cell)
    distance = np.linalg.norm(ball.centre - boxes.middles(pairs.box), axis=1)
    smooth = distance - ball.radius > APART * boxes.radius
    row = _Level(level, mesh.cells, mesh.cell_slip[level])
    _take(found.smooth, pairs, smooth, row)
    if boxes.last:
        _take(found.exact, pairs, ~smooth, row)
    else:
        found.cells[level] = _chosen(pairs, ~smooth)


def _take(work: _Work, pairs: Pairs, which: np.ndarray, level: _Level) -> None:
    box, cell = _chosen(pairs, which)
    work.add(box, level.corners(level.number, cell), level.slip[cell])


def _chosen(pairs: Pairs, which: np.ndarray) -> Pairs:
    return Pairs(pairs.box[which], pairs.cell[which])


def _joined(pairs: Pairs, more: Pairs | None) -> Pairs:
    return pairs if more is None else Pairs(*(np.concatenate(both) for both in zip(pairs, more, strict=True)))


def _spread(moved: Float[np.ndarray, "3 side side"], boxes: Boxes, work: _Work, at: np.ndarray) -> None:
    """Compute the motion of each box at the lattice `at`, and add it at the box's pixels, interpolated between."""
    box, triangles, slips = (np.concatenate(part) for part in (work.box, work.triangles, work.slips))
    order = np.argsort(box, kind="stable")
    box, triangles, slips = box[order], triangles[order], slips[order]
    numbers, starts = np.unique(box, return_index=True)
    if not len(numbers):
        return
    ends = np.append(starts[1:], len(box))
    points = boxes.lattice(numbers, at)
    motion = np.stack(
        [by_triangles(points[i], triangles[a:b], slips[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))]
    )
    pixels = np.arange(boxes.size) + 0.5
    exact = len(at) == len(pixels) and np.allclose(at, pixels, rtol=0, atol=2 * NUDGE_PX)
    weights = np.eye(boxes.size) if exact else _weights(at, pixels)
    lattice = motion.reshape(len(numbers), len(at), len(at), 3)
    parts = np.einsum("ri,bijk,cj->bkrc", weights, lattice, weights, optimize=True)
    row, column = np.divmod(numbers, boxes.across)
    view = moved.reshape(3, boxes.across, boxes.size, boxes.across, boxes.size)
    view[:, row, :, column] += parts


def _weights(nodes: np.ndarray, at: np.ndarray) -> Float[np.ndarray, "places nodes"]:
    """What each node adds at each place to the polynomial through all (Lagrange)."""
    weights = np.ones((len(at), len(nodes)))
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i)
        weights[:, i] = np.prod((at[:, None] - others) / (node - others), axis=1)
    return weights
