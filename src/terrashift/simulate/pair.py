"""Turn drawn ground and a displacement into the two images of an earthquake, with the truth that belongs to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from ..core.grid import Grid
from ..core.image import Image
from ..errors import InputError
from .displacement import Displacement
from .scene import Ground
from .sensor import see
from .terrain import finer

SPLINE = 5
STRIP = 256  # rows moved at a time: places need twice the memory of the light


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


def simulate_pair(ground: Ground, grid: Grid, motion: Displacement) -> SimulatedPair:
    """Move `ground` by `motion` between its two dates, and see both through its sensor.

    The ground moves before anything is blurred or sampled: all that the sensor lets pass has moved by the truth, and
    noise and false detail from undersampling are those of two real acquisitions. `after` shows the second date as it
    was drawn; the light of `before` at p is that of the first date at p + flow(p). So the flow on the grid of `before`
    is known exactly, on both sides of the trace. Between pixel centres it is linear, and constant within pixels along
    the trace.

    False detail is not free: what is finer than the pixels shows as coarser waves that move the other way. With the
    usual sensor an estimator that gives all frequencies equal weight finds about 0.92 of a motion by a quarter of a
    pixel, and with `Sensor.blur_px` of 0.85 px and no noise 0.99.

    The ground may be larger than the grid, by as much on each side: where the flow then stays inside that margin less
    the reach of the sensor's blur, 2 px as a rule, `before` has no gaps; elsewhere it is NaN.

    Raises:
        InputError: the ground does not fit the grid, or the displacement is not that of the grid.
    """
    (height, width), size = grid.shape, ground.shape
    margin, rest = divmod(size[0] - height, 2)
    if rest or margin < 0 or size[1] - width != 2 * margin:
        raise InputError(
            f"ground of {size[0]} x {size[1]} px does not fit a grid of {height} x {width}: "
            "draw it as large as the grid, or larger by the same even number of pixels in both directions."
        )
    if tuple(motion.east.shape) != grid.shape:
        raise InputError(
            f"a displacement of {tuple(motion.east.shape)} does not fill the grid {grid}: compute it on this grid."
        )
    flow = to_pixels(grid, motion.east, motion.north)
    density, sensor, seed = ground.density, ground.sensor, ground.seed
    reach = sensor.margin_px(density)
    moved = _moved(ground.before, _fine_flow(flow, motion.trace, reach, density), (margin - reach) * density)
    before = see(moved, density, sensor, seed, "before")[:, reach : reach + height, reach : reach + width]
    after = see(ground.after, density, sensor, seed, "after")[:, margin : margin + height, margin : margin + width]
    first = Image(before.contiguous(), grid, bands=("reflectance",), name="before")
    second = Image(after.contiguous(), grid, bands=("reflectance",), name="after")
    return SimulatedPair(first, second, flow, motion.east, motion.north, motion.trace)


def _fine_flow(
    flow: Float[Tensor, "2 height width"], trace: Bool[Tensor, "height width"], border: int, density: int
) -> Float[np.ndarray, "2 fine_height fine_width"]:
    """Flow of every sample of the ground, in samples, with `border` pixels more around it.

    Linear between pixel centres; along the trace that of the pixel, so that no sample moves by a mixture of both sides.
    """
    wide = [np.pad(part.numpy(), border, mode="edge") for part in (*flow, trace)]
    smooth = np.stack([finer(part, density) for part in wide[:2]])
    stepped = np.stack(wide[:2]).repeat(density, 1).repeat(density, 2)
    broken = finer(wide[2].astype(np.float32), density) > 0
    return density * np.where(broken, stepped, smooth)


def _moved(
    light: Float[Tensor, "high wide"], flow: Float[np.ndarray, "2 height width"], corner: int
) -> Float[Tensor, "height width"]:
    """Light at moved places: result(p) = light(corner + p + flow(p)), in samples, by quintic splines; NaN outside.

    A spline moves the finest waves too little, but at two samples a pixel those are finer than the sensor sees.
    """
    spline = np.empty(tuple(light.shape), np.float32)
    ndimage.spline_filter(light.numpy(), SPLINE, output=spline, mode="mirror")  # pyright: ignore[reportArgumentType]
    last = np.array(light.shape) - 1
    rows = []
    for top in range(0, flow.shape[1], STRIP):
        strip = flow[:, top : top + STRIP]
        column = np.arange(strip.shape[2]) + corner + strip[0].astype(np.float64)
        row = np.arange(top, top + strip.shape[1])[:, None] + corner + strip[1].astype(np.float64)
        values = ndimage.map_coordinates(
            spline, [row, column], output=np.float32, order=SPLINE, mode="mirror", prefilter=False
        )
        inside = (row >= 0) & (row <= last[0]) & (column >= 0) & (column <= last[1])
        rows.append(np.where(inside, values, np.float32(np.nan)))
    return torch.from_numpy(np.concatenate(rows))


def to_pixels(
    grid: Grid, east: Float[Tensor, "height width"], north: Float[Tensor, "height width"]
) -> Float[Tensor, "2 height width"]:
    """Turn displacement in metres into pixel motion (x right, y down): the inverse of `Grid.to_metres`."""
    varies = grid.crs is not None and grid.geographic  # a degree is shorter on the ground nearer to the pole
    rows = range(grid.height) if varies else [None]
    inverse = [~grid.metric_transform(row) for row in rows]
    a, b, d, e = (torch.tensor([getattr(m, k) for m in inverse]).to(east)[:, None] for k in "abde")
    return torch.stack([a * east + b * north, d * east + e * north])
