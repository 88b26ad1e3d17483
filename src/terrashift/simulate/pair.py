"""Turn a scene and a displacement into the two images of an earthquake, with the truth that belongs to them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..core.grid import Grid
from ..core.image import Image
from ..errors import InputError
from ..ops.warp import warp
from .rupture import Displacement
from .scene import Scene


class SimulatedPair(NamedTuple):
    """Two images and how the ground moved between them, exactly, on the grid of `before`."""

    before: Image
    after: Image
    flow: Float[Tensor, "2 height width"]
    """(x right, y down) px: the ground at p in `before` is at p + flow(p) in `after`."""
    east: Float[Tensor, "height width"]
    """m (the grid's unit)."""
    north: Float[Tensor, "height width"]
    trace: Bool[Tensor, "height width"]
    """True on the pixels along the rupture: see `Displacement.trace`."""


def simulate_pair(scene: Scene, grid: Grid, motion: Displacement) -> SimulatedPair:
    """Move the ground of `scene` by `motion`.

    The scene's second date stays as it is and becomes `after`; `before` is the first date resampled once, by a kernel
    with an error below 0.01 px up to 0.42 cycles/px: before(p) = first(p + flow(p)). So the flow on the grid of
    `before` is known exactly, on both sides of the trace. What is finer than that moves too little: an estimator that
    gives all frequencies equal weight finds about 0.94 of a motion by a quarter of a pixel.

    A scene may be larger than the grid, by as much on each side: where the flow then stays inside that margin less
    eight pixels, `before` has no gaps; elsewhere it is NaN.

    Raises:
        InputError: the scene does not fit the grid, or the displacement is not that of the grid.
    """
    (height, width), size = grid.shape, tuple(scene.before.shape[-2:])
    margin, rest = divmod(size[0] - height, 2)
    if rest or margin < 0 or size[1] - width != 2 * margin:
        raise InputError(
            f"a scene of {size[0]} x {size[1]} px does not fit a grid of {height} x {width}: "
            "draw it as large as the grid, or larger by the same even number of pixels in both directions."
        )
    if tuple(motion.east.shape) != grid.shape:
        raise InputError(
            f"a displacement of {tuple(motion.east.shape)} does not fill the grid {grid}: compute it on this grid."
        )
    flow = to_pixels(grid, motion.east, motion.north)
    wide = torch.nn.functional.pad(flow[None], (margin,) * 4, mode="replicate") if margin else flow[None]
    inner = slice(margin, margin + height), slice(margin, margin + width)
    before = warp(scene.before[None], wide, "sinc")[0][:, inner[0], inner[1]]
    after = scene.after[:, inner[0], inner[1]]
    first = Image(before.contiguous(), grid, bands=("reflectance",), name="before")
    second = Image(after.contiguous(), grid, bands=("reflectance",), name="after")
    return SimulatedPair(first, second, flow, motion.east, motion.north, motion.trace)


def to_pixels(
    grid: Grid, east: Float[Tensor, "height width"], north: Float[Tensor, "height width"]
) -> Float[Tensor, "2 height width"]:
    """Turn displacement in metres into pixel motion (x right, y down): the inverse of `Grid.to_metres`."""
    varies = grid.crs is not None and grid.geographic  # a degree is shorter on the ground nearer to the pole
    rows = range(grid.height) if varies else [None]
    inverse = [~grid.metric_transform(row) for row in rows]
    a, b, d, e = (torch.tensor([getattr(m, k) for m in inverse]).to(east)[:, None] for k in "abde")
    return torch.stack([a * east + b * north, d * east + e * north])
