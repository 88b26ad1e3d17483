"""Masks thinned to lines one cell wide, and those lines as chains of cells.

Thinning: Zhang & Suen (1984), in the form of Lü & Wang (1986) that keeps slanting lines of two cells; what that leaves
two cells wide at stairs goes by the connectivity number of Yokoi, Toriwaki & Fukumura (1975).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int
from scipy.ndimage import binary_dilation, convolve, label

Mask = Bool[np.ndarray, "height width"]
Chain = Int[np.ndarray, "cells 2"]
"""(row, column) of cells, each a neighbour of the one before it."""
EIGHT = np.ones((3, 3), int)
RING = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
"""(row, column) in a block of 3 x 3, clockwise from the top."""


def thinned(mask: Mask) -> Mask:
    """The mask's middle lines: connected as it was, and one cell wide."""
    mask = np.pad(mask, 1)
    while True:
        before = mask.sum()
        for first in (True, False):
            north, south, west, east = (_shifted(mask, *s) for s in ((-1, 0), (1, 0), (0, -1), (0, 1)))
            nw, ne, sw, se = (_shifted(mask, *s) for s in ((-1, -1), (-1, 1), (1, -1), (1, 1)))
            ring = [north, ne, east, se, south, sw, west, nw]
            count = sum(part.astype(int) for part in ring)
            turns = sum((~ring[k] & ring[(k + 1) % 8]).astype(int) for k in range(8))
            if first:
                open_side = ~(north & east & south) & ~(east & south & west)
            else:
                open_side = ~(north & east & west) & ~(north & south & west)
            mask = mask & ~((count >= 3) & (count <= 6) & (turns == 1) & open_side)
        if mask.sum() == before:
            return _without_stairs(mask)[1:-1, 1:-1]


def _without_stairs(mask: Mask, stubs: Mask | None = None) -> Mask:
    """Remove, one by one, cells that connect nothing: all that is beside them stays connected without them.

    Only corners go, which have neighbours above or below and to a side, so that lines keep their ends; where `stubs` is
    true, any such cell with two neighbours.
    """
    mask = mask.copy()
    for row, column in np.argwhere(mask):
        around = mask[row - 1 : row + 2, column - 1 : column + 2]
        ring = [bool(around[r, c]) for r, c in RING]
        corner = (ring[0] or ring[4]) and (ring[2] or ring[6])
        if (corner or (stubs is not None and stubs[row, column] and sum(ring) >= 2)) and _parts(ring) == 1:
            mask[row, column] = False
    return mask


def _parts(ring: list[bool]) -> int:
    """How many pieces the cells around one form that only it connects (8-connected)."""
    off = [not part for part in ring]
    return sum(off[k] - (off[k] and off[(k + 1) % 8] and off[(k + 2) % 8]) for k in (0, 2, 4, 6))


def _forks(skeleton: Mask) -> Mask:
    """Cells that three stretches or more leave from."""
    padded = np.pad(skeleton, 1)
    found = np.zeros_like(skeleton)
    for row, column in np.argwhere(skeleton):
        around = padded[row : row + 3, column : column + 3]
        ring = [bool(around[r, c]) for r, c in RING]
        found[row, column] = sum(ring[k] and not ring[k - 1] for k in range(8)) >= 3
    return found


def chains(skeleton: Mask) -> list[Chain]:
    """Every stretch of a skeleton between its ends and forks, with the fork's cell at the end of each that meets there.

    A ring is cut at one of its cells. Single cells are left out.
    """
    forks = _forks(skeleton)
    numbers, count = numbered(skeleton & ~grown(forks))
    return [chain for k in range(1, count + 1) if len(chain := _ordered(numbers == k, forks)) > 1]


def pruned(skeleton: Mask, least: int) -> Mask:
    """A skeleton without side branches of fewer than `least` cells, from a fork to a free end."""
    skeleton = skeleton.copy()
    for _ in range(3):
        neighbours = np.asarray(convolve(skeleton.astype(int), EIGHT, mode="constant")) - 1
        forks = _forks(skeleton)
        numbers, count = numbered(skeleton & ~grown(forks))
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        ends = np.bincount(numbers[skeleton & (neighbours == 1)], minlength=count + 1)
        beside = np.unique(numbers[grown(forks, 2)])
        at_fork = np.isin(np.arange(count + 1), beside)
        gone = (sizes < least) & (ends > 0) & at_fork
        gone[0] = False
        if not gone.any():
            break
        skeleton &= ~gone[numbers]
        stubs = grown(forks) & ~forks
        skeleton = _without_stairs(np.pad(skeleton, 1), np.pad(stubs, 1))[1:-1, 1:-1]
    return skeleton


def numbered(mask: Mask) -> tuple[np.ndarray, int]:
    """Number the connected parts of a mask from 1, corners counting as contact, and how many there are."""
    numbers = np.zeros(mask.shape, np.int32)
    count = label(mask, EIGHT, output=numbers)
    return numbers, int(count)  # pyright: ignore[reportArgumentType] a number where an output is given


def grown(mask: Mask, cells: int = 1) -> Mask:
    """A mask with all within so many steps of it, corners counting as contact."""
    return np.asarray(binary_dilation(mask, EIGHT, cells)) if cells else mask


def _shifted(mask: Mask, rows: int, columns: int) -> Mask:
    """The mask's value at (row + rows, column + columns); the mask has an empty margin."""
    return np.roll(mask, (-rows, -columns), (0, 1))


def _ordered(mask: Mask, forks: Mask) -> Chain:
    """The cells of a stretch from one end to the other: the longest of the shortest ways through it."""
    cells = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    far = _way(min(cells), cells)[-1]
    chain = _way(far, cells)
    return np.array([*_fork_at(chain[0], forks), *chain, *_fork_at(chain[-1], forks)])


def _way(start: tuple[int, int], cells: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """The shortest way from a cell to the one that is farthest from it."""
    before = {start: start}
    line = [start]
    for cell in line:  # grows while it is walked
        for near in _near(cell, cells):
            if near not in before:
                before[near] = cell
                line.append(near)
    way = [line[-1]]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _near(cell: tuple[int, int], cells: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    row, column = cell
    for r in (row - 1, row, row + 1):
        for c in (column - 1, column, column + 1):
            if (r, c) != cell and (r, c) in cells:
                yield r, c


def _fork_at(cell: tuple[int, int], forks: Mask) -> list[tuple[int, int]]:
    """The fork's cell near an end of a stretch, which stops short of it, if there is one."""
    row, column = cell
    top, left = max(row - 2, 0), max(column - 2, 0)
    found = np.argwhere(forks[top : row + 3, left : column + 3])
    if not len(found):
        return []
    found = found + np.array([top, left])
    nearest = found[np.abs(found - np.array([row, column])).sum(1).argmin()]
    return [(int(nearest[0]), int(nearest[1]))]
