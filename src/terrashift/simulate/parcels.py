"""Land cut up by people: districts between country roads, fields in them, blocks and plots in towns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from .terrain import finer, fractal

ENDLESS = 1e6
LEVELS = 12  # halvings at most


class Districts(NamedTuple):
    """Land between country roads. Lengths in pixels; arrays have some samples a pixel."""

    number: Int[np.ndarray, "height width"]
    road_px: Float[np.ndarray, "height width"]
    """Distance to the border; a road runs along it."""
    along: Float[np.ndarray, "height width"]
    """Bent coordinates in which the fields of a district have sides of constant `along` or `across`."""
    across: Float[np.ndarray, "height width"]
    count: int
    size_px: float


class Cut(NamedTuple):
    """Parts that land was cut into, nearly rectangles."""

    number: Int[np.ndarray, "*samples"]
    edge_px: Float[np.ndarray, "*samples"]
    """Distance to the nearest cut less half its width: negative on paths and streets."""
    box: Float[np.ndarray, "parts 4"]
    """First and last `along`, first and last `across` of each part."""


class Cutting(NamedTuple):
    """How to cut."""

    goal_px: Float[np.ndarray, " parts"]
    """Of each part to start with: about the length of the sides to end with."""
    width_px: float = 0.0
    """Of the path along a cut."""
    tilt: float = 0.04
    """Deviation of the slant of cuts; 0 gives right angles."""
    longest: float = 2.0
    """Sides longer than this many goals are always cut, shorter than 1 goal never."""


def districts(shape: tuple[int, int], density: int, size_px: float, orderly: bool, random: Generator) -> Districts:
    """Scatter one point to each square of `size_px`, give each sample to the nearest, and bend the borders.

    Where orderly, the districts are squares of one bearing, as in land that was surveyed before it was settled.
    """
    bend_px = 0.6 if orderly else 5.0
    row, column = (
        (np.arange(n * density, dtype=np.float32) + 0.5).reshape([-1, 1] if axis == 0 else [1, -1]) / density
        + finer(bend_px * fractal(shape, 5.5, random, 260.0), density)
        for axis, n in enumerate(shape)
    )
    turn = random.uniform(-0.25, 0.25) if orderly else 0.0
    row, column = np.cos(turn) * row + np.sin(turn) * column, np.cos(turn) * column - np.sin(turn) * row
    low = np.array([row.min(), column.min()]) - 2 * size_px
    row, column = (row - low[0]).astype(np.float32), (column - low[1]).astype(np.float32)
    lattice = int(row.max() / size_px) + 3, int(column.max() / size_px) + 3
    jitter = 0.5 + (0 if orderly else 1) * random.uniform(-0.36, 0.36, (2, *lattice))
    points = ((np.indices(lattice) + jitter) * size_px).astype(np.float32)
    number, road = _nearest(row, column, points, size_px)
    # neighbours lean alike
    angle = np.zeros(lattice) if orderly else 1.3 * fractal(lattice, 2.5, random)
    sine, cosine = (wave(angle).astype(np.float32).ravel()[number] for wave in (np.sin, np.cos))
    down, right = (coordinate - points[k].ravel()[number] for k, coordinate in enumerate((row, column)))
    along, across = cosine * right + sine * down, cosine * down - sine * right
    return Districts(number, road, along, across, points[0].size, size_px)


def _nearest(row: np.ndarray, column: np.ndarray, points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Number of the nearest point to each place, and the distance to where another is as near."""
    width = points.shape[2]
    home = (row / size).astype(np.int32) * width + (column / size).astype(np.int32)
    flat_row, flat_column = points[0].ravel(), points[1].ravel()
    first, second = (np.full(row.shape, ENDLESS**2, np.float32) for _ in (0, 1))
    number, other = home.copy(), home.copy()
    for step in [i * width + j for i in (-1, 0, 1) for j in (-1, 0, 1)]:
        at = home + step
        far = (row - flat_row[at]) ** 2 + (column - flat_column[at]) ** 2
        nearer = far < first
        late = ~nearer & (far < second)
        np.copyto(second, first, where=nearer)
        np.copyto(other, number, where=nearer)
        np.copyto(first, far, where=nearer)
        np.copyto(number, at, where=nearer)
        np.copyto(second, far, where=late)
        np.copyto(other, at, where=late)
    apart = np.hypot(flat_row[number] - flat_row[other], flat_column[number] - flat_column[other])
    return number, (second - first) / np.maximum(2 * apart, 1e-3)


def cut(along: np.ndarray, across: np.ndarray, part: Cut, cutting: Cutting, random: Generator) -> Cut:
    """Halve parts, across their longer side and not quite in the middle, until they are about as small as wished.

    Args:
        along: coordinates of the samples, in the frame of the boxes.
        across: the other.
        part: what is there already; its `edge_px` is carried on.
        cutting: how.
        random: where the cuts lie.
    """
    number, edge = part.number, part.edge_px
    box, goal = part.box.astype(np.float64), cutting.goal_px
    fresh = np.arange(len(box))  # parts that may be cut still
    for _ in range(LEVELS):
        lines, fresh, box, goal = _halve(box, goal, fresh, cutting, random)
        if not len(fresh):
            break
        side = lines.along[number] * along + lines.across[number] * across - lines.offset[number]
        edge = np.minimum(edge, np.abs(side) - cutting.width_px / 2)
        number = lines.child[number] + (side > 0)
    return Cut(number, edge, box)


class _Lines(NamedTuple):
    """Of each part, the line that cuts it, along * x + across * y = offset, and the number of the part below that.

    Where nothing is cut, all samples lie above a line far away, and the part above it is the part itself.
    """

    along: Float[np.ndarray, " parts"]
    across: Float[np.ndarray, " parts"]
    offset: Float[np.ndarray, " parts"]
    child: Int[np.ndarray, " parts"]


def _halve(
    box: np.ndarray, goal: np.ndarray, fresh: np.ndarray, cutting: Cutting, random: Generator
) -> tuple[_Lines, np.ndarray, np.ndarray, np.ndarray]:
    """(lines of all parts, numbers of the new parts, boxes and goals with them at the end)."""
    count = len(box)
    sides = np.stack([box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]])[:, fresh]
    due = sides.max(0) > goal[fresh] * random.uniform(1.0, cutting.longest, len(fresh))
    cut_now = fresh[due]
    wide = sides[0, due] * random.uniform(0.75, 1.33, len(cut_now)) > sides[1, due]
    low, high = (np.where(wide, box[cut_now, k], box[cut_now, k + 2]) for k in (0, 1))
    at = low + (high - low) * random.uniform(0.36, 0.64, len(cut_now))
    tilt = cutting.tilt * random.standard_normal(len(cut_now))
    middle = np.where(wide, box[cut_now, 2] + box[cut_now, 3], box[cut_now, 0] + box[cut_now, 1]) / 2
    along, across, offset = np.zeros(count), np.zeros(count), np.full(count, -ENDLESS)
    along[cut_now], across[cut_now] = np.where(wide, 1, tilt), np.where(wide, tilt, 1)
    offset[cut_now] = at + tilt * middle
    child = np.arange(count, dtype=np.int32) - 1
    child[cut_now] = count + 2 * np.arange(len(cut_now))
    halves = np.repeat(box[cut_now], 2, axis=0)
    halves[0::2, 1] = np.where(wide, at, halves[0::2, 1])
    halves[1::2, 0] = np.where(wide, at, halves[1::2, 0])
    halves[0::2, 3] = np.where(wide, halves[0::2, 3], at)
    halves[1::2, 2] = np.where(wide, halves[1::2, 2], at)
    new = count + np.arange(2 * len(cut_now))
    lines = _Lines(along.astype(np.float32), across.astype(np.float32), offset.astype(np.float32), child)
    return lines, new, np.concatenate([box, halves]), np.concatenate([goal, np.repeat(goal[cut_now], 2)])
