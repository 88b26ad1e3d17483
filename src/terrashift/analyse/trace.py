"""The trace of a fault found in a displacement field: the ridge of its jump, thinned and drawn as lines.

From cells to lines: non-maximum suppression and hysteresis (Canny 1986), thinning (see `skeleton`), short side branches
pruned, pieces that continue each other joined, points moved to the ridge's top between cells, and lines simplified
(Douglas & Peucker 1973). Confidence is a-contrario (Desolneux, Moisan & Morel 2001): how many lines at least as long
and strong noise alone would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from scipy.ndimage import binary_closing, gaussian_filter1d, map_coordinates, maximum_filter

from ..core.field import DisplacementField
from ..simulate.trace import parted_pixels
from .ridge import Jumps, find_jumps, ridge_cells, summits
from .skeleton import EIGHT, Chain, chains, grown, numbered, pruned, thinned

SMOOTH_CELLS = 2.0
"""Of the points along a line."""
BEND_COS = 0.7
"""Least cosine of the angle between two pieces that are joined across a gap."""
TAIL = 8
"""Points at an end that tell where a piece goes."""
HOOK = 4
BESIDE = 0.4
"""Of the strongest jump nearby: weaker ridges right beside it are its own blur, bent by noise or an edge."""

Line = Float[np.ndarray, "_ 2"]


class TraceOptions(BaseModel, frozen=True, extra="forbid"):
    """How a trace is looked for. Lengths are in cells of the field."""

    scale_cells: float = Field(
        default=2.0, gt=0.5, le=50, description="Half-width of the two sides that are compared, cells."
    )
    along_cells: float = Field(
        default=8.0, gt=0.5, le=100, description="Length along the fault over which they are averaged, cells."
    )
    low: float = Field(default=3.0, gt=0, description="Jump in noise levels that a trace must keep.")
    high: float = Field(default=5.0, gt=0, description="Jump in noise levels that a trace must reach somewhere.")
    least_length_cells: float = Field(default=15.0, ge=2, description="Shorter traces are left out, cells.")
    branch_cells: int = Field(default=8, ge=0, description="Shorter side branches are left out, cells.")
    gap_cells: float = Field(default=12.0, ge=0, description="Gaps up to this are closed where the pieces are in line.")
    tolerance_cells: float = Field(default=0.3, ge=0, description="How far a simplified line may lie off, cells.")
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="Traces of less confidence are left out.")


DEFAULT = TraceOptions()


class Piece(NamedTuple):
    """One line of a trace."""

    line: Line
    """(column, row), corners of cells being whole numbers."""
    confidence: float
    """1 / (1 + number of lines as long and strong as this that noise alone is expected to give): 0 to 1."""
    strength: float
    """Median jump along it in noise levels."""
    jump: float
    """Median size of the jump along it, in the field's unit; smaller than the slip where the trace is blurred."""
    length: float
    """Cells."""


def find_pieces(
    motion: Float[np.ndarray, "2 height width"],
    sigma: Float[np.ndarray, "2 height width"] | None = None,
    options: TraceOptions = DEFAULT,
) -> tuple[Piece, ...]:
    """Lines along which motion jumps, the longest first; none where nothing does.

    Args:
        motion: two components on square cells, such as (x, y) in px or (east, north) in metres; NaN where there is
            none.
        sigma: their standard errors; only their ratios count. None, or NaN throughout, where unknown.
        options: see there.
    """
    jumps = find_jumps(motion, sigma, options.scale_cells, options.along_cells)
    cells = _with_hysteresis(jumps, options)
    skeleton = pruned(thinned(binary_closing(np.pad(cells, 2), EIGHT, 1)[2:-2, 2:-2]), options.branch_cells)
    lines = [_placed(chain, jumps) for chain in chains(skeleton)]
    lines = [line for line in _joined(lines, options) if _length(line) >= options.least_length_cells]
    pieces = [_judged(line, jumps, _noise(jumps, lines, options), options) for line in lines]
    kept = [piece for piece in pieces if piece.confidence >= options.min_confidence]
    return tuple(sorted(kept, key=lambda piece: -piece.length))


def find_mask(
    motion: Float[np.ndarray, "2 height width"],
    sigma: Float[np.ndarray, "2 height width"] | None = None,
    options: TraceOptions = DEFAULT,
) -> Bool[np.ndarray, "height width"]:
    """True on the cells, of either side, that a found trace parts from one of their four neighbours.

    The same arguments as `find_pieces`; the same meaning as the `trace` of a simulated pair.
    """
    return parted_pixels(motion.shape[1:], [piece.line for piece in find_pieces(motion, sigma, options)])


class FoundTrace(NamedTuple):
    """Traces on a field's grid."""

    lines: tuple[Line, ...]
    """(x, y) in the grid's CRS (columns and rows of the field without one)."""
    properties: tuple[dict[str, Any], ...]
    """Of each: `segment`, `confidence`, `strength`, `jump` and `length` in the unit of the grid's lengths."""


def find_trace(field: DisplacementField, options: TraceOptions = DEFAULT) -> FoundTrace:
    """Find the trace of a fault in a displacement field."""
    motion, sigma = (
        np.stack([np.asarray(part, float) for part in parts])
        for parts in ((field.east, field.north), (field.sigma_east, field.sigma_north))
    )
    pieces = find_pieces(motion, sigma, options)
    grid = field.grid
    cell = float(np.mean(grid.pixel_size))
    lines = tuple(np.stack(grid.transform @ tuple(piece.line.T), 1) for piece in pieces)
    unit = grid.unit
    told = tuple(
        {
            "segment": number,
            "confidence": round(piece.confidence, 4),
            "strength": round(piece.strength, 2),
            f"jump_{unit}": round(piece.jump, 6),
            f"length_{unit}": round(piece.length * cell, 3),
        }
        for number, piece in enumerate(pieces)
    )
    return FoundTrace(lines, told)


def _with_hysteresis(jumps: Jumps, options: TraceOptions) -> np.ndarray:
    """Ridge cells above `low` that are connected, over a gap of one cell, to several above `high`."""
    ridge = ridge_cells(jumps, options.low)
    size = 2 * int(np.ceil(3 * options.scale_cells)) + 1
    ridge &= jumps.strength > BESIDE * maximum_filter(np.nan_to_num(jumps.strength), size)
    numbers, count = numbered(grown(ridge))
    strong = np.bincount(numbers[ridge & (jumps.strength > options.high)], minlength=count + 1) >= 3
    return ridge & strong[numbers]


def _placed(chain: Chain, jumps: Jumps) -> Line:
    """A chain of cells as a smooth line along the ridge's top."""
    points = summits(jumps, chain[:, 0], chain[:, 1])
    smooth = np.stack([gaussian_filter1d(part, SMOOTH_CELLS, mode="nearest") for part in points.T], 1)
    smooth[[0, -1]] = points[[0, -1]]
    return _without_hook(_without_hook(smooth)[::-1])[::-1]


def _without_hook(line: Line) -> Line:
    """A line without a start that turns away sharply, as ridges do at the edge of the field."""
    while len(line) > 3 * TAIL:
        if _cosine(line[HOOK] - line[0], line[HOOK + TAIL] - line[HOOK]) > BEND_COS:
            break
        line = line[1:]
    return line


def _joined(lines: Sequence[Line], options: TraceOptions) -> list[Line]:
    """Join ends that lie near each other and in line, the nearest first; then simplify."""
    lines = list(lines)
    while best := _best_link(lines, options.gap_cells):
        one, other, flip_one, flip_other = best
        first, second = (lines[k][::-1] if turned else lines[k] for k, turned in ((one, flip_one), (other, flip_other)))
        lines = [line for k, line in enumerate(lines) if k not in (one, other)] + [np.concatenate([first, second])]
    return [_simplified(line, options.tolerance_cells) for line in lines]


def _best_link(lines: Sequence[Line], gap: float) -> tuple[int, int, bool, bool] | None:
    """The pair of ends to join next: (one, other, turn one round, turn other round)."""
    found = []
    for one, first in enumerate(lines):
        for other, second in enumerate(lines[:one]):
            for flip_one in (False, True):
                for flip_other in (False, True):
                    a, b = (first[::-1] if flip_one else first), (second[::-1] if flip_other else second)
                    link = b[0] - a[-1]
                    far = float(np.hypot(*link))
                    if far > gap:
                        continue
                    ahead, onward = a[-1] - a[-min(TAIL, len(a))], b[min(TAIL, len(b)) - 1] - b[0]
                    straight = _cosine(ahead, onward)
                    if straight > BEND_COS and (far < 2 or min(_cosine(ahead, link), _cosine(link, onward)) > BEND_COS):
                        found.append((far - straight, one, other, flip_one, flip_other))
    return min(found)[1:] if found else None


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(np.hypot(*one) * np.hypot(*other), 1e-12))


def _simplified(line: Line, tolerance: float) -> Line:
    """The fewest points that stay within `tolerance` of the line (Douglas & Peucker)."""
    kept = np.zeros(len(line), bool)
    kept[[0, -1]] = True
    stack = [(0, len(line) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        inner, run = line[first + 1 : last] - line[first], line[last] - line[first]
        size = float(run @ run)
        share = np.clip(inner @ run / size, 0, 1) if size > 0 else np.zeros(len(inner))
        away = np.hypot(*(inner - share[:, None] * run).T)
        k = int(away.argmax())
        if away[k] > tolerance:
            kept[first + 1 + k] = True
            stack += [(first, first + 1 + k), (first + 1 + k, last)]
    return line[kept]


def _length(line: Line) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _noise(jumps: Jumps, lines: Sequence[Line], options: TraceOptions) -> Float[np.ndarray, " cells"]:
    """Strength, rising, of all cells that lie well away from the lines."""
    near = parted_pixels(jumps.strength.shape, lines)
    near = grown(near, int(np.ceil(4 * options.scale_cells)))
    return np.sort(jumps.strength[np.isfinite(jumps.strength) & ~near])


def _judged(line: Line, jumps: Jumps, noise: np.ndarray, options: TraceOptions) -> Piece:
    """Count how many such lines noise would give."""
    length = _length(line)
    places = np.linspace(0, 1, max(2, int(length)))
    at = np.append(0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))) / length
    column, row = (np.interp(places, at, part) - 0.5 for part in line.T)
    strength = map_coordinates(np.nan_to_num(jumps.strength), [row, column], order=1, mode="nearest")
    sizes = map_coordinates(np.nan_to_num(np.hypot(*jumps.jump)), [row, column], order=1, mode="nearest")
    level = float(np.percentile(strength, 25))
    tail = (1 + len(noise) - np.searchsorted(noise, level)) / (1 + len(noise))
    independent = max(length / (2 * options.along_cells), 1.0)
    expected = np.log(max(len(noise), 1)) + independent * np.log(tail)
    confidence = 1 / (1 + np.exp(np.clip(expected, -50, 50)))
    return Piece(line, float(confidence), float(np.median(strength)), float(np.median(sizes)), length)
