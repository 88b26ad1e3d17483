"""Ground displacement on a grid: what a measurement ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..errors import InputError
from .grid import Grid


class Flow(NamedTuple):
    """Motion of the ground between two images, in pixels of those images, at every measured place."""

    xy: Float[Tensor, "2 height width"]
    """(x right, y down): the ground at p in `before` is at p + xy in `after`; NaN where there is none."""
    sigma: Float[Tensor, "2 height width"]
    """Standard error of x and of y in pixels; NaN where the estimator gives none."""
    score: Float[Tensor, "height width"]
    """Trust in each vector, from 0 (none) to 1 (full); kept where the vector was rejected."""
    reasons: UInt8[Tensor, "height width"]
    """Bits of `core.reasons.Reason`; 0 where the vector stands, non-zero exactly where `xy` is NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementField:
    """Displacement in metres (pixels where the grid has no CRS), east and north positive.

    The grid may be coarser than the images (step > 1); `made_by` goes into the tags of every file.
    """

    east: Float[Tensor, "height width"]
    north: Float[Tensor, "height width"]
    sigma_east: Float[Tensor, "height width"]
    sigma_north: Float[Tensor, "height width"]
    score: Float[Tensor, "height width"]
    reasons: UInt8[Tensor, "height width"]
    grid: Grid
    made_by: dict[str, Any] = field(default_factory=dict)

    BANDS = ("east", "north", "sigma_east", "sigma_north", "score", "reasons")

    def __post_init__(self) -> None:
        if tuple(self.east.shape) != self.grid.shape:
            raise InputError(f"a field of {tuple(self.east.shape)} does not fill a grid of {self.grid.shape}")

    @classmethod
    def from_flow(
        cls,
        flow: Flow,
        image_grid: Grid,
        step: int,
        first: tuple[int, int] = (0, 0),
        made_by: dict[str, Any] | None = None,
    ) -> DisplacementField:
        """Turn pixel motion measured at every `step`-th pixel of `image_grid` into ground displacement.

        `flow` may be a tile whose first measurement is `first` = (row, column) of the whole: it comes back on its own
        part of the grid, with the numbers that the whole would have there.
        """
        grid = image_grid.every(step)
        height, width = flow.score.shape
        east, north = grid.to_metres(flow.xy / step, first[0])
        sigma_east, sigma_north = _sigma_to_ground(flow.sigma / step, grid, first[0])
        if first != (0, 0) or (height, width) != grid.shape:
            grid = grid.crop(*first, height, width)
        return cls(east, north, sigma_east, sigma_north, flow.score, flow.reasons, grid, made_by or {})

    def stack(self) -> Float[Tensor, "6 height width"]:
        """The six bands of the output file in the order of `BANDS`."""
        bands = [getattr(self, name) for name in self.BANDS]
        return torch.stack([band.to(torch.float32) for band in bands])


def _sigma_to_ground(sigma: Tensor, grid: Grid, first_row: int) -> Tensor:
    """Propagate independent errors of x and y, in the grid's own pixels, through the affine's linear part."""
    along_x, along_y = sigma.clone(), sigma.clone()
    along_x[1], along_y[0] = 0, 0
    return (grid.to_metres(along_x, first_row) ** 2 + grid.to_metres(along_y, first_row) ** 2).sqrt()
