"""The one warp: resample an image along a flow; also the inverse and the composition of flows."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

Kernel = Literal["bilinear", "bicubic", "sinc"]
TAPS: dict[str, int] = {"bilinear": 2, "bicubic": 4, "sinc": 16}
"""Pixels along each axis that a sample between pixels is made of."""
KAISER = 4.5  # of the sinc's window: smaller keeps more of the highest frequencies, and is worse on the lowest
CUBIC = -0.5  # Keys' parameter that reproduces quadratics; -0.75, common in graphics, does not


def warp(
    image: Float[Tensor, "batch band height width"],
    flow: Float[Tensor, "batch 2 height width"],
    kernel: Kernel = "bicubic",
) -> Float[Tensor, "batch band height width"]:
    """Sample an image at moved places: result(p) = image(p + flow(p)), flow = (x right, y down) in pixels.

    The image counts as surrounded by NaN, and a result is NaN where its kernel touches NaN (of the same band) or its
    flow is NaN. A whole-pixel component of the flow touches one pixel along its axis, so whole shifts are exact and
    lose nothing. Places are kept as whole pixel and rest, so that the accuracy is the same in images of any size.

    Args:
        image: float32 or float64; gradients reach it and, through bilinear and bicubic, the flow.
        flow: of the image's type.
        kernel: bilinear (2x2), bicubic (4x4, Keys 1981), or sinc (16x16, Kaiser window) for simulated truth: it places
            every frequency up to 0.4 cycles per pixel right to 0.0042 px, to 0.42 right to 0.007, and moves what is
            finer too little.

    >>> warp(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[[[1.0] * 3], [[0.0] * 3]]])).tolist()
    [[[[2.0, 3.0, nan]]]]
    """
    taps = TAPS[kernel]
    at_x, at_y = _split(flow[:, 0], taps, 2), _split(flow[:, 1], taps, 1)
    padded = pad(image, (taps,) * 4, value=torch.nan)
    stride = padded.shape[-1]
    first = ((at_y.whole + taps) * stride + at_x.whole + taps).flatten(1)[:, None]  # batch 1 pixels
    first = first.expand(-1, image.shape[1], -1)
    holes = touched(padded, taps).flatten(2).gather(2, first)
    needed = (1 << (2 * (at_y.rest != 0) + (at_x.rest != 0))).to(torch.uint8).flatten(1)[:, None]
    lost = ((holes & needed) != 0) | flow.isnan().any(1).flatten(1)[:, None]

    values = padded.nan_to_num(0.0).flatten(2)
    across, down = (weights_of(at.rest.flatten(1)[:, None], kernel) for at in (at_x, at_y))
    result = torch.zeros_like(image).flatten(2)
    for j, weight_y in enumerate(down):
        line = torch.zeros_like(result)
        for i, weight_x in enumerate(across):
            offset = (j - taps // 2 + 1) * stride + i - taps // 2 + 1
            line = line + weight_x * values.gather(2, first + offset)
        result = result + weight_y * line
    return torch.where(lost, torch.nan, result).reshape(image.shape)


def compose(
    first: Float[Tensor, "batch 2 height width"], second: Float[Tensor, "batch 2 height width"]
) -> Float[Tensor, "batch 2 height width"]:
    """The flow that goes along `first` and from there along `second`: first(p) + second(p + first(p)).

    With `first` from image A to B and `second` from B to C the result goes from A to C. NaN where the way leaves
    the image.
    """
    return first + warp(second, first, "bilinear")


def invert_flow(
    flow: Float[Tensor, "batch 2 height width"], iterations: int = 20
) -> Float[Tensor, "batch 2 height width"]:
    """The flow back: where `flow` takes p to q, the result takes q to p. NaN where nothing inside the image comes from.

    Fixed-point iteration g <- -flow(q + g(q)) (Chen et al. 2008). Each round shrinks the error by the flow's steepest
    gradient, so smooth flows need few; across a fault, where ground opens or overlaps, there is no inverse, and the
    values of one or the other side come back.
    """
    height, width = flow.shape[-2:]
    row = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    column = torch.arange(width, dtype=flow.dtype, device=flow.device)
    back = -flow.nan_to_num(0.0)
    for _ in range(iterations):
        x = torch.minimum(
            torch.maximum(back[:, 0], -column), width - 1 - column
        )  # a guess may pass the edge on its way
        y = torch.minimum(torch.maximum(back[:, 1], -row), height - 1 - row)
        inside = torch.stack([x, y], 1)
        back = -warp(flow, inside, "bilinear")
        back = torch.where(back.isnan(), inside, back)
    return -warp(flow, back, "bilinear")


class _Place(NamedTuple):
    """Where samples fall along one axis: a whole pixel, kept near the image, and the rest in [0, 1)."""

    whole: Tensor
    rest: Tensor


def _split(move: Tensor, taps: int, axis: int) -> _Place:
    """Cut the moved place of each pixel into whole pixel and rest; NaN counts as no motion."""
    move = move.nan_to_num(0.0)
    floor = move.detach().floor()
    shape = [1, 1, 1]
    shape[axis] = length = move.shape[axis]
    pixel = torch.arange(length, device=move.device).reshape(shape)
    reach = taps // 2 + 1  # further out nothing but the padding is touched
    far = float(length + reach)
    whole = (pixel + floor.clamp(-far, far).long()).clamp(-reach, length - 1 + reach - 1)
    return _Place(whole, move - floor)


def weights_of(rest: Tensor, kernel: Kernel) -> list[Tensor]:
    """What each tap counts for at `rest` pixels after the tap number taps//2 - 1; they add up to one."""
    if kernel == "bilinear":
        return [1 - rest, rest]
    half = TAPS[kernel] // 2
    away = [rest - k for k in range(1 - half, half + 1)]
    if kernel == "bicubic":
        return [_cubic(distance.abs(), far=k in (0, 3)) for k, distance in enumerate(away)]
    parts = [torch.sinc(d) * torch.special.i0(KAISER * (1 - (d / half) ** 2).clamp_min(0).sqrt()) for d in away]
    total = torch.stack(parts).sum(0)
    # the sine of a whole number of turns is not exactly zero in floating point
    return [torch.where(rest == 0, float(k == half - 1), part / total) for k, part in enumerate(parts)]


def _cubic(distance: Tensor, far: bool) -> Tensor:
    """Keys' cubic convolution kernel, nearer (0 to 1 px) or further (1 to 2 px) piece."""
    if far:
        return CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1


def touched(padded: Tensor, taps: int) -> Tensor:
    """Four bits a pixel: is there NaN in it alone, in its row of taps, its column of taps, its square of taps."""
    bad = padded.detach().isnan().to(torch.float32)
    before, after = taps // 2 - 1, taps // 2
    row = max_pool2d(pad(bad, (before, after, 0, 0), value=1.0), (1, taps), 1)
    column = max_pool2d(pad(bad, (0, 0, before, after), value=1.0), (taps, 1), 1)
    square = max_pool2d(pad(row, (0, 0, before, after), value=1.0), (taps, 1), 1)
    return (bad + 2 * row + 4 * column + 8 * square).to(torch.uint8)
