"""One shift from two small windows by a plain convolutional network, window by window or over a whole image at once.

Montagnon, Giffard-Roisin, Dalla Mura, Marchandon, Pathier & Hollingsworth (2024), Sub-pixel displacement estimation
with deep learning, JGR: Machine Learning and Computation. The published network standardises each window by itself, and
so must evaluate each alone. Ours sees images standardised around every pixel (`prepare`): a window's answer then
depends on the pixels inside it only, and as no convolution is padded, running them over the image gives every window's
answer at once, equal to float rounding, at a 40th of the operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from ..errors import OptionError
from ..ops.windows import cut_windows
from .estimate import Estimate, split
from .layers import keep_variance, start_at_zero
from .normalise import standardise_locally

WIDENING = (1, 2, 4, 4)
"""Feature maps of each layer as multiples of the first's."""
JOINED = 64
"""Features that a whole window is summed up in."""
PATCH_PX = 128
"""Side of the part of an image that is evaluated at a time, about: bounds the memory, and holds few offsets."""
TOGETHER_PX = 2 * PATCH_PX**2
"""Pixels evaluated at a time, where windows are cut out one by one."""


@dataclass(frozen=True, slots=True)
class Cnn4lOptions:
    """Size of the network; the default is the published cnn4l.

    Raises:
        OptionError: where the layers use up the window.
    """

    window_px: int = 16
    """Published: 8, 16, 32 and 64."""
    layers: int = 4
    """Convolutions, 1 to 4."""
    width: int = 64
    """Feature maps of the first layer: 64 as published (64-128-256-256 in all); 32 and 16 are ours."""
    scale: bool = False
    """Also tell how far each component may be off (ours)."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= len(WIDENING) or self.window_px <= 2 * self.layers or self.width < 1:
            raise OptionError(
                f"{self.layers} layers of width {self.width} on windows of {self.window_px} px: take 1 to 4 layers, "
                "windows of more than twice as many pixels, and a width of 1 or more."
            )


CNN3L_5PX = Cnn4lOptions(window_px=32, layers=3)
"""The published first step for motions up to 5 px along each axis."""


class Cnn4l(nn.Module):
    """Shift between two windows, px; `forward` for single windows, `dense` for all windows of an image.

    Weights are the same for both: the layer that sums up a window is a convolution as large as what is left of it.
    """

    def __init__(self, options: Cnn4lOptions = Cnn4lOptions()) -> None:
        super().__init__()
        self.options = options
        widths = [2, *(options.width * times for times in WIDENING[: options.layers])]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in pairwise(widths))
        self.join = nn.Conv2d(widths[-1], JOINED, options.window_px - 2 * options.layers)
        self.head = nn.Conv2d(JOINED, 4 if options.scale else 2, 1)
        keep_variance(self, slope=0.0)
        start_at_zero(self.head)

    def forward(self, windows: Float[Tensor, "batch 2 side side"]) -> Float[Tensor, "batch 2"]:
        """Shift (x right, y down) px of the ground from `before` to `after`.

        Args:
            windows: (before, after), of `window_px`, cut from prepared images.
        """
        return self.dense(windows).flow[:, :, 0, 0]

    def dense(self, pair: Float[Tensor, "batch 2 height width"], step: int = 1) -> Estimate:
        """The shift of every `step`-th window that lies inside the images.

        Result (i, j) is that of the window whose first pixel is (step*i, step*j), which is said to lie at its sample
        window_px // 2. A step costs 1/step**2 in the last two layers; the convolutions run at every pixel, and at full
        width keep some 2 kB for each.

        Raises:
            OptionError: for images smaller than a window.
        """
        side = self.options.window_px
        if min(pair.shape[-2:]) < side:
            raise OptionError(f"images of {tuple(pair.shape[-2:])} px hold no window of {side} px: take larger ones.")
        x = pair  # b 2 h w
        for convolution in self.convolutions:
            x = relu(convolution(x))  # b 64; 128; 256; 256, 2 px less each time
        x = relu(conv2d(x, self.join.weight, self.join.bias, stride=step))  # b 64 rows columns
        return split(self.head(x))  # b 2 rows columns

    def multiply_adds(self, height: int, width: int, step: int = 1) -> int:
        """What `dense` takes on one image of this size."""
        total = 0
        for layer, convolution in enumerate(self.convolutions, 1):
            assert isinstance(convolution, nn.Conv2d)
            total += convolution.weight.numel() * (height - 2 * layer) * (width - 2 * layer)
        rows, columns = ((length - self.options.window_px) // step + 1 for length in (height, width))
        return total + (self.join.weight.numel() + self.head.weight.numel()) * rows * columns


def prepare(
    image: Float[Tensor, "batch band height width"], window_px: int
) -> Float[Tensor, "batch band height width"]:
    """Standardise an image the way the network wants it: around every pixel, over the size of a window; gaps become 0.

    Pixels further than window_px // 2 from a window do not matter to it, so windows for training are cut out of crops
    that are larger by as much on every side. Weights that were trained on windows each standardised by itself, as
    published, work too: on simulated windows of 16 px with a mean error of 0.080 px instead of 0.078.
    """
    return standardise_locally(image, window_px, least_share=0.0).nan_to_num(0.0)


def margins(window_px: int) -> tuple[int, int]:
    """Pixels before and after the one that a window is said to lie at.

    >>> margins(16)
    (8, 7)
    """
    return window_px // 2, window_px - window_px // 2 - 1


class Lattice(NamedTuple):
    """Where windows lie in an image."""

    first: int = 0
    """Row and column of the first window's first pixel."""
    step: int = 1
    """Between windows, px."""
    cell: int = 1
    """Side of squares of windows that are moved alike; as many as fill the lattice."""


def two_steps(
    coarse: Cnn4l,
    fine: Cnn4l,
    before: Float[Tensor, "batch 1 height width"],
    after: Float[Tensor, "batch 1 height width"],
    step: int = 1,
) -> Estimate:
    """Motion of several pixels: the coarse network's answer, rounded, moves the window in which the fine one looks.

    Result (i, j) lies at pixel (step*i + m, step*j + m), m being the coarse window's side // 2.

    Args:
        coarse: for the whole pixels, `CNN3L_5PX` as published; its window is not smaller than the fine one's.
        before, after: any brightness and contrast; NaN counts as flat ground.

    Raises:
        OptionError: where the coarse window is the smaller one, or the images hold none.
    """
    wide, narrow = coarse.options.window_px, fine.options.window_px
    if wide < narrow:
        raise OptionError(f"the coarse network has windows of {wide} px, the fine one of {narrow}: swap them.")
    pair = torch.cat([prepare(before, wide), prepare(after, wide)], 1)
    offsets = coarse.dense(pair, step).flow.round().long()
    first = wide // 2 - narrow // 2
    return recentred(
        fine, torch.cat([prepare(before, narrow), prepare(after, narrow)], 1), offsets, Lattice(first, step)
    )


def recentred(
    network: Cnn4l,
    pair: Float[Tensor, "batch 2 height width"],
    offsets: Int[Tensor, "batch 2 rows columns"],
    lattice: Lattice,
) -> Estimate:
    """Whole-pixel offset of every window, and the shift that is left after it, added up.

    Result (i, j) compares the window of `before` whose first pixel is (first + step*i, first + step*j) with that of
    `after` moved as a whole by its own offset. An offset that would take it out of the image is shortened.

    Where many windows of one offset lie together, all are evaluated at once; others by themselves, cell by cell.

    Args:
        pair: prepared images.
        offsets: (x right, y down) px; alike in all windows of a cell.
    """
    side, (first, step, cell) = network.options.window_px, lattice
    rows, columns = (first + step * torch.arange(n, device=offsets.device) for n in offsets.shape[-2:])
    room = [length - side - step * (cell - 1) for length in pair.shape[-2:]]  # for the first window of a cell
    top, left = (line - step * (torch.arange(len(line), device=line.device) % cell) for line in (rows, columns))
    x = torch.minimum(torch.maximum(offsets[:, 0], -left), room[1] - left)
    y = torch.minimum(torch.maximum(offsets[:, 1], -top[:, None]), room[0] - top[:, None])
    offsets = torch.stack([x, y], 1)
    rest = offsets.new_zeros(len(offsets), 4, *offsets.shape[2:], dtype=torch.float32)
    along = cell * max(1, PATCH_PX // (step * cell))
    for number, up, across in product(range(len(pair)), *(range(0, n, along) for n in offsets.shape[2:])):
        patch = slice(up, up + along), slice(across, across + along)
        corner = int(rows[up]), int(columns[across])
        here = _Patch(pair[number], offsets[number][:, *patch], corner, lattice)
        _fill(rest[number][:, *patch], network, here)
    return Estimate(offsets + rest[:, :2], rest[:, 2:])


class _Patch(NamedTuple):
    """Windows of one pair that are evaluated at a time."""

    images: Float[Tensor, "2 height width"]
    """The whole of them."""
    offsets: Int[Tensor, "2 rows columns"]
    corner: tuple[int, int]
    """First row and column of the first window, px."""
    lattice: Lattice


def _fill(result: Float[Tensor, "4 rows columns"], network: Cnn4l, patch: _Patch) -> None:
    """Write shift and log-scale of all windows of a patch into `result`."""
    side, (_, step, cell) = network.options.window_px, patch.lattice
    alone_px = side + step * (cell - 1)
    alone = torch.zeros_like(patch.offsets[0], dtype=torch.bool)
    for offset in patch.offsets.flatten(1).unique(dim=1).T:
        here = (patch.offsets == offset[:, None, None]).all(0)
        row, column = here.nonzero(as_tuple=True)
        top, left = int(row.min()), int(column.min())
        down, across = int(row.max()) - top, int(column.max()) - left  # steps
        height, width = down * step + side, across * step + side
        cells = -(-len(row) // cell**2)
        if network.multiply_adds(height, width, step) > cells * network.multiply_adds(alone_px, alone_px, step):
            alone |= here
            continue
        x, y = (int(part) for part in offset)
        up, start = patch.corner[0] + step * top, patch.corner[1] + step * left
        before = patch.images[0, up : up + height, start : start + width]
        after = patch.images[1, up + y : up + y + height, start + x : start + x + width]
        found = torch.cat(network.dense(torch.stack([before, after])[None], step), 1)[0]
        result[:, here] = found[:, row - top, column - left]
    if alone.any():
        _fill_alone(result, network, patch, alone)


def _fill_alone(
    result: Float[Tensor, "4 rows columns"], network: Cnn4l, patch: _Patch, where: Bool[Tensor, "rows columns"]
) -> None:
    """The same for the cells that `where` touches, each cut out with its own offset."""
    side, (_, step, cell) = network.options.window_px, patch.lattice
    size = side + step * (cell - 1)
    row, column = where[::cell, ::cell].nonzero(as_tuple=True)
    x, y = patch.offsets[:, ::cell, ::cell][:, row, column]
    middle = patch.corner[0] + step * cell * row + size // 2, patch.corner[1] + step * cell * column + size // 2
    for some in torch.arange(len(row), device=row.device).split(max(1, TOGETHER_PX // size**2)):
        down, across = (line[some] for line in middle)
        before = cut_windows(patch.images[0], down, across, size)
        after = cut_windows(patch.images[1], down + y[some], across + x[some], size)
        found = torch.cat(network.dense(torch.stack([before, after], 1), step), 1)  # cells 4 cell cell
        for i, j in product(range(cell), repeat=2):
            result[:, cell * row[some] + i, cell * column[some] + j] = found[:, :, i, j].T
