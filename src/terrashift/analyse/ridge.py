"""Where motion jumps: an oriented edge detector for fields of vectors with noise and gaps, and its ridge.

At every cell and for several directions, the mean motion on either side of a line through the cell is compared: the
two lobes are halves of a derivative of a Gaussian across the line, drawn out along it (Canny 1986; oriented filters:
Freeman & Adelson 1991), each normalised by the cells that have a value (Knutsson & Westin 1993). What the same
comparison gives on both sides further away is taken off, so that a steady gradient is no jump. The rest is counted in
robust standard deviations of itself over the whole field, so that noise of any correlation sets its own threshold.
Taking off makes no jump where there was none: what is left has the direction of the comparison, and at most its size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import fft
from scipy.ndimage import map_coordinates

from .robust import nmad

DIRECTIONS = 12
BACKGROUND = 3.0
"""Distance at which the comparison is repeated, in scales."""
LEAST_SHARE = 0.4
"""Of a lobe's weight that must have values."""
FLOOR = 0.05
"""Of the largest jump: the least noise level, however quiet the field."""

RAMP_CELLS = 10

Band = Float[np.ndarray, "height width"]


class Jumps(NamedTuple):
    """The most significant comparison at every cell."""

    strength: Band
    """Jump in robust standard deviations; NaN where too few cells have a value."""
    direction: Int[np.ndarray, "height width"]
    """Number of the direction: the normal (x right, y down) is (cos, sin) of it times pi / DIRECTIONS."""
    jump: Float[np.ndarray, "2 height width"]
    """Motion on the side of the normal against the other, in the field's unit, less the background."""


def normal_of(direction: np.ndarray) -> np.ndarray:
    """Unit vectors (x, y), stacked first, of the normals of directions."""
    angle = direction * (np.pi / DIRECTIONS)
    return np.stack([np.cos(angle), np.sin(angle)])


def find_jumps(
    motion: Float[np.ndarray, "2 height width"],
    sigma: Float[np.ndarray, "2 height width"] | None,
    scale: float,
    along: float,
) -> Jumps:
    """Compare both sides of every cell.

    Args:
        motion: any two components; NaN where there is none.
        sigma: standard errors, whose ratios make cells weigh by 1 / sigma squared; None, or NaN throughout: alike.
        scale: standard deviation of the lobes across, cells.
        along: standard deviation along, cells.
    """
    valid = np.asarray(np.isfinite(motion).all(0))
    motion = np.stack([_without_ramp(part) for part in np.where(valid, motion, np.nan)])
    weight = valid * _weights(sigma, valid)
    planes = np.stack([valid, weight, *(np.where(valid, part, 0) * weight for part in motion)]).astype(np.float32)
    reach = int(np.ceil(3 * max(scale, along)))
    shape = [int(fft.next_fast_len(n + reach, real=True) or 0) for n in motion.shape[1:]]
    spectra = np.asarray(fft.rfft2(planes, shape))
    everything = [
        _prominence(spectra, shape, motion.shape[1:], (normal_of(np.array(number)), scale, along, reach))
        for number in range(DIRECTIONS)
    ]
    largest = max(float(np.nanmax(np.abs(plain), initial=0)) for plain, _ in everything)
    best = np.full(motion.shape[1:], -np.inf, np.float32)
    direction, jump = np.zeros(motion.shape[1:], int), np.zeros(motion.shape, np.float32)
    for number, (plain, rest) in enumerate(everything):
        found = _limited(plain, rest)
        noises = [nmad(part[np.isfinite(part)]) for part in rest]
        noise = np.fmax(noises, max(FLOOR * largest, 1e-9)).astype(np.float32)
        squares = ((found / noise[:, None, None]) ** 2).sum(0)
        better = squares > best
        best[better], direction[better] = squares[better], number
        jump[:, better] = found[:, better]
    strength = np.where(np.isfinite(best) & valid, np.sqrt(np.maximum(best, 0)), np.nan)
    return Jumps(strength.astype(float), direction, jump.astype(float))


def _without_ramp(band: Band) -> Band:
    """Values less their steady gradient, told by the median of all differences over some cells (no fault moves it)."""
    result = band
    for axis in (0, 1):
        run = max(1, min(RAMP_CELLS, band.shape[axis] - 1))
        rises = (np.roll(band, -run, axis) - band)[: band.shape[0] - run * (1 - axis), : band.shape[1] - run * axis]
        known = rises[np.isfinite(rises)]
        places = np.arange(band.shape[axis]).reshape(-1, 1) if axis == 0 else np.arange(band.shape[axis])
        result = result - (float(np.median(known)) / run if known.size else 0.0) * places
    return result


def _weights(sigma: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
    """1 / sigma squared, relative to its median and within 1/16 to 16."""
    if sigma is None:
        return np.ones(valid.shape)
    size = np.hypot(*sigma)
    known = valid & np.isfinite(size) & (size > 0)
    if not known.any():
        return np.ones(valid.shape)
    middle = float(np.median(size[known]))
    return np.clip((middle / np.where(known, size, middle)) ** 2, 1 / 16, 16)


def _prominence(
    spectra: np.ndarray, padded: list[int], shape: tuple[int, ...], lobe: tuple[np.ndarray, float, float, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Jump across one direction; and what it is above the mean of the jumps further away on both sides."""
    away, scale, along, reach = lobe
    sides = []
    for sign in (1, -1):
        kernel, full = _lobe(sign * away, scale, along, reach, padded)
        known, weight, x, y = np.asarray(fft.irfft2(spectra * fft.rfft2(kernel), padded))[:, : shape[0], : shape[1]]
        enough = (known > LEAST_SHARE * full) & (weight > 0)  # cells count, however little they weigh
        sides.append(np.where(enough, np.stack([x, y]) / np.where(enough, weight, 1), np.nan))
    jump = sides[0] - sides[1]
    step = np.round(BACKGROUND * scale * away).astype(int)
    others = np.stack([_moved(jump, step), _moved(jump, -step)])
    known = np.isfinite(others)
    background = np.where(known, others, 0).sum(0) / np.maximum(known.sum(0), 1)
    return jump, jump - background


def _limited(jump: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The part of a jump that its surroundings leave: in its direction, between nothing and all of it."""
    size = (jump**2).sum(0)
    share = (jump * rest).sum(0) / np.where(size > 0, size, 1)
    return jump * np.clip(share, 0, 1)


def _lobe(away: np.ndarray, scale: float, along: float, reach: int, padded: list[int]) -> tuple[np.ndarray, float]:
    """Kernel of one side, laid out for a correlation by FFT, and its sum."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    across, length = x * away[0] + y * away[1], y * away[0] - x * away[1]
    kernel = np.where(across > 0, across / scale, 0) * np.exp(-((across / scale) ** 2 + (length / along) ** 2) / 2)
    laid = np.zeros(padded, np.float32)
    rows, columns = np.mod(-y, padded[0]), np.mod(-x, padded[1])
    np.add.at(laid, (rows, columns), kernel)
    return laid, float(kernel.sum())


def _moved(planes: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Values from `step` = (x, y) cells away; NaN past the edge."""
    height, width = planes.shape[-2:]
    x, y = int(step[0]), int(step[1])
    result = np.full_like(planes, np.nan)
    if abs(x) < width and abs(y) < height:
        to = np.s_[..., max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
        source = np.s_[..., max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
        result[to] = planes[source]
    return result


def ridge_cells(jumps: Jumps, low: float) -> Bool[np.ndarray, "height width"]:
    """Cells above `low` that are not below either neighbour across their direction (non-maximum suppression)."""
    rows, columns = np.nonzero(np.nan_to_num(jumps.strength) > low)
    before, here, after = across(jumps, rows, columns)
    kept = (here >= before) & (here >= after)
    found = np.zeros(jumps.strength.shape, bool)
    found[rows[kept], columns[kept]] = True
    return found


def across(
    jumps: Jumps, rows: Int[np.ndarray, " cells"], columns: Int[np.ndarray, " cells"]
) -> Float[np.ndarray, "3 cells"]:
    """Strength one cell against the normal, at the cell, and one cell along the normal."""
    x, y = normal_of(jumps.direction[rows, columns])
    filled = np.nan_to_num(jumps.strength)
    places = [[rows + k * y, columns + k * x] for k in (-1, 0, 1)]
    return np.stack([map_coordinates(filled, place, order=1, mode="nearest") for place in places])


def summits(
    jumps: Jumps, rows: Int[np.ndarray, " cells"], columns: Int[np.ndarray, " cells"]
) -> Float[np.ndarray, "cells 2"]:
    """Ridge cells as (column, row), centres at + 0.5, moved to the top of the parabola across, half a cell at most."""
    before, here, after = across(jumps, rows, columns)
    curve = before - 2 * here + after
    shift = np.where(curve < 0, 0.5 * (before - after) / np.where(curve < 0, curve, -1), 0).clip(-0.5, 0.5)
    x, y = normal_of(jumps.direction[rows, columns])
    return np.stack([columns + 0.5 + shift * x, rows + 0.5 + shift * y], 1)
