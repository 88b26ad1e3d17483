"""The same problem at half the resolution: where motion of a whole region is found in few steps.

A field that is constant over cells of 2 x 2 pixels costs in the data term what its weighted means cost, and a straight
edge between cells costs the price of two edges. So `sum w` over a cell, the mean of what was measured, and twice the
price make a problem like the one it came from, which is here divided by four. Its dual, as a flux through faces of
twice the length, is a start for the finer one (nested iteration; Brandt 1977).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from .quads import Data, Edges


def halved(data: Data, price: Float[Tensor, "rows columns"], edges: Edges) -> tuple[Data, Tensor, Edges]:
    """The problem on cells of 2 x 2 pixels: `(data, price, edges)`; an edge counts by how much of it is open."""
    height, width = data.region.shape
    more = (0, width % 2, 0, height % 2)
    weight, region = pad(data.weight, more), pad(data.region, more)
    measured = _twice(_mean(weight) > 0)
    says = torch.where(measured, weight, region.float())  # first guesses count alike where there is nothing else
    value = _mean(says * pad(data.value, more)) / _mean(says).clamp_min(1e-12)
    across = avg_pool2d(pad(edges.across[:, ::2], more)[None], (2, 1))[0]
    down = avg_pool2d(pad(edges.down[::2], more)[None], (1, 2))[0]
    coarse = Data(value, _mean(weight), _mean(region[None].float())[0] > 0)
    return coarse, _at_corners(price, more) / 2, Edges(across, down)


def refined(
    field: Float[Tensor, "band height width"],
    dual: Float[Tensor, "4 band rows columns"],
    data: Data,
    edges: Edges,
) -> tuple[Tensor, Tensor]:
    """A start for the problem of `data` and `edges` from the answer of `halved`: `(field, dual)`."""
    height, width = data.region.shape
    found = torch.where(data.region, _twice(field)[:, :height, :width], data.value)
    size = [2 * n - 1 for n in dual.shape[2:]]
    wide = interpolate(dual, size=size, mode="bilinear", align_corners=True)[..., : height + 1, : width + 1]
    return found, wide.mul(2).mul_(edges.on_quads()[:, None])


def _at_corners(price: Tensor, more: tuple[int, int, int, int]) -> Tensor:
    """Means over 3 x 3 quads, the middle ones counting twice, about the corners of cells."""
    left, right, top, bottom = (extra + 1 for extra in more)
    wide = pad(price[None, None], (left, right, top, bottom), mode="replicate")
    return avg_pool2d(avg_pool2d(wide, 2, 1), 2)[0, 0]


def _twice(cells: Tensor) -> Tensor:
    """Every cell as 2 x 2 pixels."""
    return cells.repeat_interleave(2, -2).repeat_interleave(2, -1)


def _mean(bands: Tensor) -> Tensor:
    """Over cells of 2 x 2."""
    return avg_pool2d(bands[None], 2)[0]
