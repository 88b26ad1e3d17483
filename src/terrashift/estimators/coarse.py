"""A first shift for every measurement, from large windows placed sparsely."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..ops.spectral import phase_correlate
from ..ops.windows import cut_windows

TRUSTED_STRENGTH = 6.0  # standard deviations of the correlation surface; noise alone rarely reaches 5


class Knots(NamedTuple):
    """Where the large windows stand."""

    window_px: int
    """Their side."""
    spacing_px: int
    """Between their middles."""


def start_shifts(
    before: Float[Tensor, "rows columns"],
    after: Float[Tensor, "rows columns"],
    places: Int[Tensor, " n"],
    coarse: Knots,
    radius: tuple[int, int],
) -> Float[Tensor, "windows 2"]:
    """Starting shift (x, y) px at every pixel of `places` x `places` (row-major), never beyond `radius`.

    Each large window takes the median of its trusted neighbours; in between, linear.
    """
    window_px, spacing = coarse
    half = window_px // 2
    first, last = int(places[0]), int(places[-1])
    count = max(2, -(-(last - first) // spacing) + 1)
    knots = first + spacing * torch.arange(-1, count + 1, device=before.device)
    knots = knots.clamp(half, before.shape[0] - half)
    rows, columns = (m.flatten() for m in torch.meshgrid(knots, knots, indexing="ij"))
    peak = [
        phase_correlate(cut_windows(before, r, c, window_px), cut_windows(after, r, c, window_px))
        for r, c in zip(rows.split(64), columns.split(64), strict=True)
    ]
    xy = torch.cat([p.xy for p in peak])
    strength = torch.cat([p.strength for p in peak])
    limit = torch.tensor(radius, device=before.device)
    trusted = (strength > TRUSTED_STRENGTH) & (xy.abs() <= limit + 0.5).all(1)
    xy = xy.masked_fill(~trusted[:, None], torch.nan).T.unflatten(1, (len(knots), len(knots)))
    smooth = neighbour_median(xy)
    at = (places - first) / spacing + 1
    return _bilinear(smooth, at).flatten(1).T.contiguous()


def neighbour_median(xy: Float[Tensor, "2 rows columns"]) -> Float[Tensor, "2 rows columns"]:
    """Median over 3x3 neighbours with a value; 0 where there is none."""
    padded = torch.nn.functional.pad(xy, (1, 1, 1, 1), value=torch.nan)
    around = padded.unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    return around.nanmedian(3).values.nan_to_num(0.0)


def _bilinear(values: Float[Tensor, "2 rows columns"], at: Float[Tensor, " n"]) -> Float[Tensor, "2 n n"]:
    """Sample a regular grid at the same fractional places along both axes."""
    low = at.floor().long().clamp(0, values.shape[1] - 2)
    f = at - low
    rows = values[:, low] * (1 - f)[:, None] + values[:, low + 1] * f[:, None]
    return rows[:, :, low] * (1 - f) + rows[:, :, low + 1] * f
