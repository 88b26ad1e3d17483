"""Suite `landmarks`: two dates that do not line up, by a shift, an affine map or a smooth one of up to 10 px.

As in the table of Vakalopoulou et al. 2019, the error is what is left at landmarks: corners of the ground, as many in
each part of the image. A method that measures motion is judged by its vectors there, one that registers by its map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import ndimage

from ..analyse import metrics
from ..core.grid import Grid
from ..core.image import Pair
from ..core.source import ArrayPair
from ..simulate.dates import inner_grid, pair_from_dates
from ..simulate.displacement import Displacement
from ..simulate.draw import DrawOptions
from ..simulate.places import Look
from .case import Answer, Case, Entry
from .imagery import Ground

KINDS = {"translation": "shifts", "affine": "affine maps", "smooth": "smooth maps"}
LARGEST_PX = 10.0
MARGIN_PX = 20
CELLS = 6
"""Landmarks along each axis."""
BORDER_PX = 24


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """See the module."""

    ground: Ground
    pairs: int = 2
    """Of each kind of map."""
    size_px: int = 256
    seed: int = 1
    name: str = "landmarks"
    headline: tuple[str, ...] = ("landmarks", "ce90", "kept", "valid")

    @property
    def about(self) -> str:
        """With what the ground is."""
        return f"dates of {self.ground.about} that lie up to {LARGEST_PX:g} px apart"

    def entries(self) -> Sequence[Entry]:
        """Pairs of every kind."""
        return [
            Entry(self.name, f"{kind}_{number}", title, partial(self._case, kind, number))
            for kind, title in KINDS.items()
            for number in range(self.pairs)
        ]

    def _case(self, kind: str, number: int) -> Case:
        random = np.random.default_rng([self.seed, list(KINDS).index(kind), number])
        side = self.size_px + 2 * MARGIN_PX
        place = self.ground.source().place(random, side)
        height, width = place.grid.shape
        row, column = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        look: Look = place.look(row, column, side, side)
        grid = inner_grid(look.first.grid, MARGIN_PX, (self.size_px, self.size_px))
        motion = _motion(grid, kind, random)
        dates = DrawOptions(pixel_m=1.0).dates(place)
        pair = pair_from_dates(look.first, look.second, motion, dates, int(random.integers(2**31)))
        return Case(ArrayPair(Pair(pair.before, pair.after)), pair.flow.numpy())

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Errors at the landmarks, and what part of the error before that is."""
        assert case.truth is not None
        rows, columns = landmarks_of(case.source.pair.before.pixels[0].numpy()) // answer.step_px
        truth = answer.at(case.truth)[:, rows, columns]
        error = metrics.endpoint_error(answer.xy[:, rows, columns], truth)
        left = metrics.mean_of(error)
        return {
            "landmarks": left,
            "ce90": metrics.percentile_of(error, 90),
            "kept": left / metrics.mean_of(np.hypot(*truth)),
            "valid": float(np.isfinite(error).mean()),
        }


def landmarks_of(image: Float[ndarray, "height width"]) -> Int[ndarray, "2 points"]:
    """(row, column) of the strongest corner (Shi and Tomasi 1994) of each of 6 x 6 parts of an image."""
    smooth = ndimage.gaussian_filter(np.nan_to_num(image.astype(np.float64), nan=float(np.nanmedian(image))), 1.0)
    down, across = np.gradient(smooth)
    a, b, c = (ndimage.gaussian_filter(part, 3.0) for part in (across**2, across * down, down**2))
    strength = (a + c) / 2 - np.hypot((a - c) / 2, b)
    places = []
    rows, columns = (np.linspace(BORDER_PX, side - BORDER_PX, CELLS + 1).astype(int) for side in image.shape)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = strength[top:bottom, left:right]
            row, column = np.unravel_index(cell.argmax(), cell.shape)
            places.append((top + int(row), left + int(column)))
    return np.array(places).T


def _motion(grid: Grid, kind: str, random: np.random.Generator) -> Displacement:
    """East and north of a map in the grid's unit; its largest vector has between half of 10 px and all of it."""
    height, width = grid.shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    if kind == "translation":
        flow = np.broadcast_to(random.normal(size=(2, 1, 1)), (2, height, width))
    elif kind == "affine":
        flow = random.normal(size=(2, 1, 1)) / 3 + np.tensordot(random.normal(size=(2, 2)), np.stack([x, y]), 1)
    else:
        coarse = random.normal(size=(2, 5, 5))
        flow = np.stack(
            [np.asarray(ndimage.zoom(part, (height / 5, width / 5), order=3, mode="nearest")) for part in coarse]
        )
    flow = flow * random.uniform(0.5, 1) * LARGEST_PX / np.hypot(*flow).max()
    east, north = grid.to_metres(torch.from_numpy(np.ascontiguousarray(flow, np.float32)))
    whole = torch.zeros(grid.shape, dtype=torch.bool)
    return Displacement(east, north, torch.zeros_like(east), whole, (), ())
