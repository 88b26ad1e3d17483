"""Normalised cross-correlation of small windows at whole pixels and at fractions of one.

With a(p) the window of `before` around p and b_d(p) that of `after` around p + d, the covariance of a and b_d is linear
in the pixels of `after`. So at a fractional d it is the same sinc interpolation of its values at whole d as that of the
image. Only the variance of b_d needs the interpolated image; it is tabulated at every phase of the finest lattice.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..ops.box import box_sum
from ..ops.interpolate import sinc_weights

LOBES = 6  # half-width of the interpolating sinc, px
TINY = 1e-12
ROUNDING = 1e-6  # of a window's energy about the block's mean, in single precision


class Places(NamedTuple):
    """Where windows stand in the arrays: first pixel of both axes, spacing, how many; and their side."""

    first: int
    step: int
    count: int
    window_px: int

    @property
    def span(self) -> int:
        """Pixels from the first to the last measured one, inclusive."""
        return (self.count - 1) * self.step + 1


class Match(NamedTuple):
    """Everything that correlations of one block are made of."""

    covariance: Float[Tensor, "dy dx rows columns"]
    """At whole shifts from -(radius + LOBES) to radius + LOBES along y and x."""
    variance_before: Float[Tensor, "rows columns"]
    variance_after: Float[Tensor, "phases phases height width"]
    """At phase (y, x) / phases of a pixel, for every whole pixel of the search."""
    flat: Bool[Tensor, "rows columns"]
    """True where a window of either image, unmoved, varies no more than rounding does."""
    radius: tuple[int, int]
    places: Places

    def at_whole_shifts(self) -> Float[Tensor, "ky kx rows columns"]:
        """Correlation at all whole shifts within the radius."""
        rx, ry = self.radius
        core = self.covariance[LOBES : LOBES + 2 * ry + 1, LOBES : LOBES + 2 * rx + 1]
        planes = [
            [_normalise(core[i, j], self.variance_before, self._whole_variance(i, j)) for j in range(2 * rx + 1)]
            for i in range(2 * ry + 1)
        ]
        return torch.stack([torch.stack(row) for row in planes])

    def _whole_variance(self, i: int, j: int) -> Tensor:
        span, step = self.places.span, self.places.step
        return self.variance_after[0, 0, i : i + span : step, j : j + span : step]

    def taps_around(self, whole: Int[Tensor, "2 rows columns"]) -> Float[Tensor, "taps taps rows columns"]:
        """Covariances at the 13 x 13 whole shifts around each place's own."""
        rx, ry = self.radius
        width = self.covariance.shape[1]
        taps = 2 * LOBES + 1
        flat = self.covariance.flatten(2).flatten(0, 1)
        corner = ((whole[1] + ry) * width + whole[0] + rx).flatten()
        along = torch.arange(taps, device=corner.device)[:, None]
        rows = [flat.gather(0, corner + k * width + along) for k in range(taps)]
        return torch.stack(rows).unflatten(2, whole.shape[1:])

    def around(
        self,
        taps: Float[Tensor, "taps taps rows columns"],
        whole: Int[Tensor, "2 rows columns"],
        offset: Float[Tensor, "2 rows columns"],
        spacing: float,
    ) -> Float[Tensor, "3 3 rows columns"]:
        """Correlation at the 3 x 3 shifts `spacing` px apart around whole + offset (x, y)."""
        phases = self.variance_after.shape[0]
        lattice = torch.arange(-phases, phases + 1, device=offset.device) / phases
        table = sinc_weights(lattice, LOBES).T.contiguous()  # tap, offset
        steps = (torch.tensor([-1, 0, 1], device=offset.device) * round(spacing * phases))[:, None, None]
        at_x, at_y = ((offset[k] * phases).round().long() + steps for k in (0, 1))
        along_x, along_y = table[:, at_x + phases], table[:, at_y + phases]  # tap, 3, rows, columns
        lines = torch.zeros(taps.shape[0], 3, *offset.shape[1:], device=offset.device)
        for k in range(taps.shape[1]):
            lines.addcmul_(taps[:, k, None], along_x[k])
        covariance = torch.zeros(3, 3, *offset.shape[1:], device=offset.device)
        for k in range(taps.shape[0]):
            covariance.addcmul_(lines[k, None], along_y[k, :, None])
        variance = self._variance(whole, at_x, at_y, phases)
        return _normalise(covariance, self.variance_before, variance)

    def _variance(self, whole: Tensor, at_x: Tensor, at_y: Tensor, phases: int) -> Tensor:
        """Variance of the windows of `after` at whole + (at_x, at_y) / phases, for every pair of the two."""
        rx, ry = self.radius
        step, count = self.places.step, self.places.count
        place = torch.arange(count, device=whole.device) * step
        y = place[:, None] + whole[1] + ry + at_y.div(phases, rounding_mode="floor")
        x = place + whole[0] + rx + at_x.div(phases, rounding_mode="floor")
        height, width = self.variance_after.shape[2:]
        y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
        line = ((at_y % phases) * phases * height + y) * width
        point = (at_x % phases) * height * width + x
        return self.variance_after.flatten()[line[:, None] + point[None]]


def match_windows(
    before: Float[Tensor, "height width"],
    after: Float[Tensor, "height width"],
    places: Places,
    radius: tuple[int, int],
    phases: int,
) -> Match:
    """Tabulate what the correlations need; no NaN allowed in either image."""
    side = places.window_px
    rx, ry = radius
    start = places.first - side // 2
    length = places.span + side - 1
    a = before[start : start + length, start : start + length]
    sum_a = box_sum(a, side, places.step)
    energy_a = box_sum(a * a, side, places.step)
    variance_a = energy_a - sum_a**2 / side**2
    sum_b = box_sum(after, side)
    mean_a = sum_a / side**2
    reach_x, reach_y = rx + LOBES, ry + LOBES
    covariance = a.new_empty(2 * reach_y + 1, 2 * reach_x + 1, places.count, places.count)
    for i in range(2 * reach_y + 1):
        for j in range(2 * reach_x + 1):
            y, x = start + i - reach_y, start + j - reach_x
            product = box_sum(a * after[y : y + length, x : x + length], side, places.step)
            total_b = sum_b[y : y + places.span : places.step, x : x + places.span : places.step]
            covariance[i, j] = product - mean_a * total_b
    after_part = after[start - ry - LOBES :, start - rx - LOBES :]
    size = length + 2 * ry + 2 * LOBES, length + 2 * rx + 2 * LOBES
    variance_b = interpolated_variance(after_part[: size[0], : size[1]], side, phases)
    unmoved = slice(ry, ry + places.span, places.step), slice(rx, rx + places.span, places.step)
    b = after[start : start + length, start : start + length]
    flat_b = variance_b[0, 0][unmoved] <= ROUNDING * box_sum(b * b, side, places.step)
    return Match(covariance, variance_a, variance_b, (variance_a <= ROUNDING * energy_a) | flat_b, radius, places)


def interpolated_variance(
    image: Float[Tensor, "height width"], side: int, phases: int
) -> Float[Tensor, "phases phases rows columns"]:
    """Sum of squares about the mean of windows of `image` interpolated at every (y, x) / phases of a pixel."""
    weights = sinc_weights(torch.arange(phases, device=image.device) / phases, LOBES)
    height, width = image.shape[0] - 2 * LOBES, image.shape[1] - 2 * LOBES
    taps = range(2 * LOBES + 1)
    table = image.new_empty(phases, phases, height - side + 1, width - side + 1)
    for j in range(phases):
        across = _blend(weights[j], [image[:, k : k + width] for k in taps])
        for i in range(phases):
            moved = _blend(weights[i], [across[k : k + height] for k in taps])
            table[i, j] = box_sum(moved * moved, side) - box_sum(moved, side) ** 2 / side**2
    return table


def _blend(weights: Tensor, parts: list[Tensor]) -> Tensor:
    """Weighted sum, in the order given."""
    total = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total.add_(weight * part)
    return total


def _normalise(covariance: Tensor, variance_a: Tensor, variance_b: Tensor) -> Tensor:
    """Correlation from covariance and variances; 0 where one of the windows is flat."""
    return covariance * (variance_a.clamp_min(TINY) * variance_b.clamp_min(TINY)).rsqrt()


def cheapest(cost: Float[Tensor, "ky kx rows columns"], spacing: float) -> Float[Tensor, "2 rows columns"]:
    """(x, y) px from the middle candidate to the one with the lowest cost."""
    ky, kx = cost.shape[:2]
    index = cost.flatten(0, 1).argmin(0)
    return torch.stack([index % kx - kx // 2, index // kx - ky // 2]).float() * spacing


def paraboloid_bottom(cost: Float[Tensor, "3 3 rows columns"]) -> Float[Tensor, "2 rows columns"]:
    """(x, y) of the lowest point of the least-squares paraboloid through 3 x 3 values, at most 1 from the middle."""
    low_x, mid_x, high_x = cost.sum(0)
    low_y, mid_y, high_y = cost.sum(1)
    gx, gy = (high_x - low_x) / 6, (high_y - low_y) / 6
    xx, yy = (low_x - 2 * mid_x + high_x) / 3, (low_y - 2 * mid_y + high_y) / 3
    xy = (cost[0, 0] + cost[2, 2] - cost[0, 2] - cost[2, 0]) / 4
    determinant = xx * yy - xy * xy
    bowl = (xx > 0) & (yy > 0) & (determinant > 0.1 * xx * yy)
    safe = torch.where(bowl, determinant, 1.0)
    x = torch.where(bowl, (xy * gy - yy * gx) / safe, 0.0)
    y = torch.where(bowl, (xy * gx - xx * gy) / safe, 0.0)
    return torch.stack([x, y]).clamp(-1, 1)
