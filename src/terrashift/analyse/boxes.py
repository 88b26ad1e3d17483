"""Boxes across a trace, in which motion is stacked.

Distance is positive to the right of the trace's direction, as is `simulate.rupture`'s; motion along the trace is
positive in its direction, motion across it to the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..core.grid import Grid
from ..simulate.trace import from_pixels, to_pixels

Line = Float[np.ndarray, "_ 2"]
"""(east, north) from the grid's centre, in the grid's unit; see `simulate.trace.from_crs`."""


class Layout(NamedTuple):
    """Size of boxes, in the grid's unit."""

    length: float
    """Across the trace, both sides together."""
    width: float
    """Along the trace."""
    spacing: float
    """Between the middles of neighbours, along the trace."""


class Box(NamedTuple):
    """A rectangle across a trace. Lengths are in the grid's unit."""

    segment: int
    """Which of the lines it is on, from 0."""
    along: float
    """Length of trace from the first point of the first line to the box's middle; gaps between lines do not count."""
    middle: Float[np.ndarray, " 2"]
    """Where the trace passes through the box's middle, (east, north) from the grid's centre."""
    toward: Float[np.ndarray, " 2"]
    """Direction of the trace, a unit vector (east, north): that of the chord over the box's width."""
    trace: Float[np.ndarray, "_ 2"]
    """The trace within the box: (along the box's axis, to the right of it) from `middle`, the first rising."""
    crossed: bool
    """True where another line, or another part of this one, runs through the box."""

    @property
    def right(self) -> Float[np.ndarray, " 2"]:
        """Unit vector (east, north) to the right of the trace."""
        return np.array([self.toward[1], -self.toward[0]])

    @property
    def azimuth_deg(self) -> float:
        """Direction of the trace, degrees clockwise from the grid's north, 0 to 360."""
        return float(np.degrees(np.arctan2(*self.toward))) % 360

    def corners(self, layout: Layout) -> Float[np.ndarray, "5 2"]:
        """The closed outline, (east, north) from the grid's centre."""
        along, across = layout.width / 2 * self.toward, layout.length / 2 * self.right
        return self.middle + np.array(
            [-along - across, along - across, along + across, -along + across, -along - across]
        )


class Cells(NamedTuple):
    """The cells of a grid whose centres lie in a box."""

    rows: Int[np.ndarray, " cells"]
    columns: Int[np.ndarray, " cells"]
    along: Float[np.ndarray, " cells"]
    """From the box's middle, along its axis."""
    distance: Float[np.ndarray, " cells"]
    """From the trace, positive to the right of it."""


def boxes_along(lines: Sequence[Line], layout: Layout) -> Iterator[Box]:
    """Boxes at equal distances along each line, as many as fit; one in the middle of a line shorter than that."""
    walked = 0.0
    for number, line in enumerate(lines):
        at = lengths(line)
        count = 1 + max(0, int((at[-1] - layout.width) / layout.spacing + 1e-9))
        first = (at[-1] - (count - 1) * layout.spacing) / 2
        for place in first + layout.spacing * np.arange(count):
            yield _box(lines, number, float(place), layout)._replace(along=float(walked + place))
        walked += at[-1]


def lengths(line: Line) -> Float[np.ndarray, " _"]:
    """Length of a line up to each of its points."""
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))


def points_at(line: Line, places: Float[np.ndarray, " places"]) -> Float[np.ndarray, "places 2"]:
    """Points of a line at lengths from its start; before and past its ends, the ends."""
    at = lengths(line)
    return np.stack([np.interp(places, at, part) for part in line.T], 1)


def cells_in(grid: Grid, box: Box, layout: Layout, follow: bool = True) -> Cells:
    """Cells in a box, with their distance from the trace (from the box's own axis where `follow` is False).

    A trace that winds within the box is followed: distance counts across the box from where the trace passes.
    """
    winding = 2 * float(np.abs(box.trace[:, 1]).max()) if follow else 0.0
    outline = to_pixels(grid, box.corners(layout._replace(length=layout.length + winding)))
    last = [grid.width, grid.height]
    left, top = np.clip(np.floor(outline.min(0)).astype(int), 0, last)
    right, bottom = np.clip(np.ceil(outline.max(0)).astype(int) + 1, 0, last)
    rows, columns = np.mgrid[top:bottom, left:right]
    rows, columns = rows.ravel(), columns.ravel()
    place = from_pixels(grid, np.stack([columns + 0.5, rows + 0.5], 1)) - box.middle
    along, across = place @ box.toward, place @ box.right
    distance = across - np.interp(along, *box.trace.T) if follow else across
    inside = (np.abs(along) <= layout.width / 2) & (np.abs(distance) <= layout.length / 2)
    return Cells(rows[inside], columns[inside], along[inside], distance[inside])


def _box(lines: Sequence[Line], number: int, place: float, layout: Layout) -> Box:
    line = lines[number]
    ends = points_at(line, place + layout.width / 2 * np.array([-1.0, 1.0]))
    toward = ends[1] - ends[0]
    toward = toward / max(float(np.linalg.norm(toward)), 1e-12)
    right = np.array([toward[1], -toward[0]])
    middle = points_at(line, np.array([place]))[0]
    near = np.clip(place + layout.width * np.linspace(-0.75, 0.75, 61), 0, lengths(line)[-1])
    own = points_at(line, np.unique(near)) - middle
    trace = np.stack([np.maximum.accumulate(own @ toward), own @ right], 1)
    trace = trace[np.append(True, np.diff(trace[:, 0]) > 0)]
    return Box(number, place, middle, toward, trace, _is_crossed(lines, number, place, layout, (middle, toward)))


def _is_crossed(
    lines: Sequence[Line], number: int, place: float, layout: Layout, axis: tuple[np.ndarray, np.ndarray]
) -> bool:
    """True where a line enters a box, other than the piece that the box is on."""
    middle, toward = axis
    for other, line in enumerate(lines):
        end = lengths(line)[-1]
        places = np.linspace(0, end, 2 + int(4 * end / min(layout.width, layout.length)))
        if other == number:
            places = places[np.abs(places - place) > layout.width]
        away = points_at(line, places) - middle
        along, across = away @ toward, away @ np.array([toward[1], -toward[0]])
        if ((np.abs(along) < layout.width / 2) & (np.abs(across) < layout.length / 2)).any():
            return True
    return False
