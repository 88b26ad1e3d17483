"""Two images brought onto each other by an affine map and a deformation that cannot fold, found together.

Vakalopoulou, Christodoulidis, Sahasrabudhe, Mougiakakou & Paragios (2019), Image registration of satellite imagery with
deep convolutional neural networks, IGARSS, doi:10.1109/IGARSS.2019.8898220. Four dilated convolutions, all their
features together into four plain ones, and two heads: an affine map, and spatial gradients of the sampling grid
between 0 and 2, which are summed up along rows and columns. The deformation is applied first, then the affine map.

As published: `LinearDeformableOptions.published()`. Ours, by default: coarse to fine with the same weights at every
level, `moving` resampled along the map so far; cells of 4 px; among the inputs the entries of the least-squares flow,
of the images and of how steep they are, which stays when fields turn from dark to bright between dates; the affine map
as a weighted fit to local motions; gradients that are means over some cells; the constant of the sums is the affine
map's shift; masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad, pixel_unshuffle

from ..errors import OptionError
from .equations import equations
from .layers import full_precision, keep_variance, sample_linear, start_at_zero
from .normalise import standardise_locally

SLOPE = 0.1
REACH_PX = 6.0
"""Largest local motion that a pass adds to the affine fit, in pixels of its level."""
WINDOWS = (3, 9)
"""Sides in cells of the squares over which least-squares motions are given to the network."""
GENTLE = 0.1
"""Of the head of gradients: sums of many make much of little."""
LINEAR_RIDGE, SHIFT_RIDGE = 3e-3, 1e-4
"""Pull of the fit toward no motion: only where nothing is seen does it matter."""

Parts = Literal["both", "affine", "deformable"]
PARTS: dict[str, tuple[float, float]] = {"both": (1.0, 1.0), "affine": (1.0, 0.0), "deformable": (0.0, 1.0)}
"""Whether the linear part and the deformation act; the shift belongs to either."""


@dataclass(frozen=True, slots=True)
class LinearDeformableOptions:
    """Size of the network, and how it goes from coarse to fine.

    Raises:
        OptionError: no level, levels that do not divide each other from coarse to fine, or no cell.
    """

    encoder: tuple[int, int, int, int] = (32, 48, 64, 96)
    dilations: tuple[int, int, int, int] = (1, 2, 3, 5)
    decoder: tuple[int, int, int, int] = (64, 64, 32, 32)
    cell_px: int = 4
    """Side of the cells of pixels that the convolutions see; 1 as published."""
    inputs: Literal["images", "equations"] = "equations"
    """images: the two of them, as published; equations: what their least-squares flow, and that of their steepness, is
    made of too."""
    affine: Literal["pool", "fit"] = "fit"
    """pool: from the mean of the features, as published; fit: to local motions, weighted."""
    smooth_cells: int = 5
    """Side, odd, of the square of cells over which gradients are averaged, which keeps them between 0 and 2; 1 as
    published."""
    corner: bool = False
    """Let the sums of gradients begin with nothing at the first row and column, as published; else their mean is
    nothing, and the shift is the affine map's."""
    levels: tuple[int, ...] = (8, 4, 2, 1)
    """Pixels of the image along a side of a pixel of each pass, from coarse to fine; (1,) as published."""

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 1 or any(a % b for a, b in pairwise(self.levels)):
            raise OptionError(f"levels {self.levels}: each must be a multiple of the next, from coarse to fine.")
        if self.cell_px < 1:
            raise OptionError(f"cells of {self.cell_px} px: take 1 or more.")
        if self.smooth_cells < 1 or self.smooth_cells % 2 == 0:
            raise OptionError(f"gradients over {self.smooth_cells} cells: take an odd number.")

    @staticmethod
    def published() -> LinearDeformableOptions:
        """The network of the paper; widths of its decoder and its dilations are ours, as it does not tell them."""
        return LinearDeformableOptions(
            (16, 32, 64, 128), (1, 2, 3, 5), (128, 64, 32, 16), 1, "images", "pool", 1, True, (1,)
        )


class Level(NamedTuple):
    """A pair at one resolution, locally standardised, 0 without data; two bands where steepness is the second."""

    before: Float[Tensor, "batch bands height width"]
    after: Float[Tensor, "batch bands rows columns"]
    has_before: Float[Tensor, "batch 1 height width"]
    """1 with data, 0 without."""
    has_after: Float[Tensor, "batch 1 rows columns"]

    def moved(self, flow: Float[Tensor, "batch 2 height width"]) -> Moved:
        """`after`, which may be of another size, as it looks from the pixels of `before`; where both have data."""
        height, width = self.after.shape[-2:]
        at = flow.detach()
        column = torch.arange(flow.shape[3], device=flow.device) + at[:, :1]
        row = torch.arange(flow.shape[2], device=flow.device)[:, None] + at[:, 1:]
        inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        seen = (sample_linear(self.has_after, at) > 0.999) & inside
        return Moved(sample_linear(self.after, flow), self.has_before * seen)


class Moved(NamedTuple):
    """`after` seen along a flow."""

    image: Float[Tensor, "batch bands height width"]
    both: Float[Tensor, "batch 1 height width"]
    """1 where both images have data, else 0."""


class Pass(NamedTuple):
    """What a pass found; gradients reach the pass's own weights only."""

    flow: Float[Tensor, "batch 2 height width"]
    """The whole map so far, (x right, y down) in pixels of the level."""
    affine: Float[Tensor, "batch 2 3"]
    """Of this pass alone: motion by (x, y, 1), x and y counted from the middle in halves of the longer side, and so is
    the motion; 0 is identity."""
    gradients: Float[Tensor, "batch 2 rows columns"]
    """Of this pass alone: those of the sampled x along x, and of the sampled y along y, 0 to 2; 1 is identity."""
    bent: Float[Tensor, "batch 2 rows columns"]
    """Their sums, pixels of the level, one for each cell."""
    pair: Level
    px: int
    """Pixels of the image along a side of a pixel of the level."""

    def full(self, shape: tuple[int, int]) -> Float[Tensor, "batch 2 height width"]:
        """The map at every pixel of images of `shape`, in their pixels."""
        return finer(self.flow, self.px, shape)


class LinearDeformable(nn.Module):
    """Affine and deformable maps between two images of any size."""

    def __init__(self, options: LinearDeformableOptions = LinearDeformableOptions()) -> None:
        super().__init__()
        self.options = options
        bands = self._seen()
        widths = (bands, *options.encoder)
        self.encoder = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=d, dilation=d)
            for (a, b), d in zip(pairwise(widths), options.dilations, strict=True)
        )
        together = sum(options.encoder) + 2 + (bands if options.inputs == "equations" else 0)
        self.decoder = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((together, *options.decoder)))
        last = options.decoder[-1]
        self.gradients = nn.Conv2d(last, 2, 3, padding=1)
        self.affine = nn.Conv2d(last, 6, 1) if options.affine == "pool" else nn.Conv2d(last, 3, 3, padding=1)
        keep_variance(self, SLOPE)
        for head in (self.gradients, self.affine):
            start_at_zero(head)

    def forward(
        self,
        before: Float[Tensor, "batch 1 height width"],
        after: Float[Tensor, "batch 1 height width"],
        parts: Float[Tensor, "batch 2"] | None = None,
        start: Float[Tensor, "batch 2 height width"] | None = None,
        levels: tuple[int, ...] | None = None,
    ) -> list[Pass]:
        """The map of `before` onto `after` after every pass, from coarse to fine.

        Args:
            before: of any brightness and contrast, NaN without data.
            after: likewise.
            parts: which parts act in each pair, see `PARTS`; both unless told.
            start: a first idea of the flow, px.
            levels: others than those of the options.
        """
        levels = levels or self.options.levels
        parts = before.new_ones(len(before), 2) if parts is None else parts.to(before)
        passes: list[Pass] = []
        flow, known, pair = None, 0, None
        for px in levels:
            if pair is None or px != known:
                pair = level(before, after, px, self.bands)
                shape = (pair.before.shape[-2], pair.before.shape[-1])
                if flow is None:
                    flow = before.new_zeros(len(before), 2, *shape) if start is None else coarser(start, px)
                else:
                    flow = finer(flow, known // px, shape)
                known = px
            assert flow is not None  # from the first level on
            found = self.step(pair, flow, parts)
            passes.append(found._replace(px=px))
            flow = found.flow.detach()
        return passes

    def step(self, pair: Level, flow: Float[Tensor, "batch 2 height width"], parts: Float[Tensor, "batch 2"]) -> Pass:
        """One pass at one level, from the map so far."""
        cell, smooth = self.options.cell_px, self.options.smooth_cells
        moved = pair.moved(flow)
        seen = self._see(pair.before, moved)
        share = avg_pool2d(_whole(moved.both, cell), cell)
        features = self._features(seen, parts)
        height, width = flow.shape[-2:]
        half = max(height, width) / 2
        with full_precision(flow.device.type):
            features = features.float()
            phi = 2 * torch.sigmoid(GENTLE * self.gradients(features))
            phi = avg_pool2d(phi, smooth, 1, smooth // 2, count_include_pad=False) if smooth > 1 else phi
            phi = 1 + (phi - 1) * parts[:, 1, None, None, None]
            bent = self._sums(phi, share)
            affine = self._affine(features, share, (height, width)) / half
            affine = affine * torch.stack([parts[:, 0], parts[:, 0], self._shifts(parts)], 1)[:, None]
            # cells have their values at their middles
            smooth = interpolate(bent, scale_factor=cell, mode="bilinear") if cell > 1 else bent
            smooth = smooth[..., :height, :width]
            place = places((height, width), flow.device) + smooth / half  # b 2 h w
            map_ = smooth + half * (torch.einsum("bij,bjhw->bihw", affine[..., :2], place) + affine[..., 2, None, None])
            whole = map_ + sample_linear(flow, map_)
        return Pass(whole, affine, phi, bent, pair, 1)

    @property
    def bands(self) -> int:
        """Of the pairs that it looks at: the image, and its steepness."""
        return 1 if self.options.inputs == "images" else 2

    def _seen(self) -> int:
        """Bands of a cell that the first convolution sees."""
        area = self.options.cell_px**2
        return 3 * area if self.options.inputs == "images" else 2 * area + 11 + 6 * len(WINDOWS)

    def _see(self, before: Tensor, moved: Moved) -> Float[Tensor, "batch bands rows columns"]:
        """What the first convolution sees of each cell."""
        cell = self.options.cell_px
        images = torch.cat([before[:, :1], moved.image[:, :1]], 1) * moved.both
        if self.options.inputs == "images":
            return pixel_unshuffle(_whole(torch.cat([images, moved.both], 1), cell), cell)
        # a gradient beside a gap is none
        inner = 1 - max_pool2d(1 - moved.both, 3, 1, 1)
        found = []
        for k in range(2):
            products = equations(before[:, k : k + 1], moved.image[:, k : k + 1])[:, 3:] * inner
            sums = avg_pool2d(_whole(torch.cat([products, inner], 1), cell), cell)  # b 6 r c
            found += [least_squares(avg_pool2d(sums, side, 1, side // 2)) for side in WINDOWS]
            found.append(sums[:, :5] if k else sums)
        return torch.cat([pixel_unshuffle(_whole(images, cell), cell), *found], 1)

    def _features(self, seen: Tensor, parts: Tensor) -> Float[Tensor, "batch maps rows columns"]:
        maps = [] if self.options.inputs == "images" else [seen]
        for layer in self.encoder:
            seen = nn.functional.leaky_relu(layer(seen), SLOPE)
            maps.append(seen)
        maps.append(parts[:, :, None, None].expand(-1, -1, *seen.shape[-2:]).to(seen.dtype))
        together = torch.cat([part.to(seen.dtype) for part in maps], 1)
        for layer in self.decoder:
            together = nn.functional.leaky_relu(layer(together), SLOPE)
        return together

    def _sums(self, phi: Tensor, share: Tensor) -> Float[Tensor, "batch 2 rows columns"]:
        """Motion in the middle of each cell, px: each row's x and each column's y keep their order."""
        rest = phi - 1
        x = rest[:, 0].cumsum(2) - rest[:, 0] / 2
        y = rest[:, 1].cumsum(1) - rest[:, 1] / 2
        bent = self.options.cell_px * torch.stack([x, y], 1)
        if self.options.corner:
            return bent
        middle = (bent * share).sum((2, 3), keepdim=True) / share.sum((2, 3), keepdim=True).clamp_min(1e-6)
        return bent - middle

    def _shifts(self, parts: Tensor) -> Tensor:
        """Whether the shift acts: with the affine map, and where it is the constant of the sums."""
        return parts[:, 0] if self.options.corner else parts.amax(1)

    def _affine(self, features: Tensor, share: Tensor, shape: tuple[int, int]) -> Float[Tensor, "batch 2 3"]:
        """Motion in pixels of the level by (x, y, 1)."""
        told = self.affine(features)
        if self.options.affine == "pool":
            total = (told * share).sum((2, 3)) / share.sum((2, 3)).clamp_min(1e-6)
            return total.reshape(-1, 2, 3) * (max(shape) / 2)
        motion = REACH_PX * torch.tanh(told[:, :2] / REACH_PX)
        weight = share * torch.exp(3 * torch.tanh(told[:, 2:] / 3))
        return weighted_fit(
            motion, weight, cell_places(tuple(told.shape[-2:]), self.options.cell_px, shape, told.device)
        )


def level(
    before: Float[Tensor, "batch 1 height width"], after: Float[Tensor, "batch 1 rows columns"], px: int, bands: int = 2
) -> Level:
    """A pair at `px` times coarser pixels, each a mean of those with data, and none where fewer than half have any.

    Args:
        before: NaN without data.
        after: likewise, of any shape.
        px: how much coarser.
        bands: 1 for the images alone, 2 for their steepness too.
    """
    parts = []
    for image in (before, after):
        image = standardise_locally(shrink(image, px).float())
        has = image.isfinite()
        stack = [image, standardise_locally(steepness(image))][:bands]
        parts.append((torch.cat(stack, 1).nan_to_num(0.0), has.float()))
    return Level(parts[0][0], parts[1][0], parts[0][1], parts[1][1])


def steepness(image: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """Length of the gradient, the same for bright on dark as for dark on bright; NaN where the image is."""
    wide = pad(image, (1, 1, 1, 1), mode="replicate")
    right = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]).nan_to_num(0.0)
    down = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]).nan_to_num(0.0)
    return (right.square() + down.square() + 0.01).sqrt() + 0 * image


def shrink(image: Float[Tensor, "batch 1 height width"], px: int) -> Float[Tensor, "batch 1 rows columns"]:
    """Means over squares of `px` px, from the first; NaN where fewer than half of one have data.

    >>> shrink(torch.tensor([[[[1.0, 3.0, 5.0], [1.0, 3.0, torch.nan]]]]), 2)
    tensor([[[[2., nan]]]])
    """
    if px == 1:
        return image
    valid = image.isfinite()
    sums = avg_pool2d(_whole(torch.cat([image.nan_to_num(0.0) * valid, valid.to(image)], 1), px), px)
    return torch.where(sums[:, 1:] >= 0.5, sums[:, :1] / sums[:, 1:].clamp_min(1e-6), torch.nan)


def coarser(flow: Float[Tensor, "batch 2 height width"], px: int) -> Float[Tensor, "batch 2 rows columns"]:
    """A flow at `px` times coarser pixels, in those."""
    height, width = (px * -(-side // px) for side in flow.shape[-2:])
    wide = pad(flow, (0, width - flow.shape[-1], 0, height - flow.shape[-2]), mode="replicate")
    return avg_pool2d(wide, px) / px


def finer(
    flow: Float[Tensor, "batch 2 height width"], times: int, shape: tuple[int, int]
) -> Float[Tensor, "batch 2 rows columns"]:
    """A flow at `times` finer pixels, in those, on an image of `shape`."""
    if times == 1:
        return flow
    return times * interpolate(flow, scale_factor=times, mode="bilinear")[..., : shape[0], : shape[1]]


def places(shape: tuple[int, int], device: torch.device | str | None = None) -> Float[Tensor, "1 2 height width"]:
    """(x, y) of every pixel from the middle of an image, in halves of its longer side."""
    return cell_places(shape, 1, shape, device)


def cell_places(
    cells: tuple[int, int], cell_px: int, shape: tuple[int, int], device: torch.device | str | None = None
) -> Float[Tensor, "1 2 rows columns"]:
    """(x, y) of the middles of cells of an image of `shape`; see `places`."""
    half = max(shape) / 2
    y, x = (
        (cell_px * (torch.arange(count, device=device) + 0.5) - side / 2) / half
        for count, side in zip(cells, shape, strict=True)
    )
    return torch.stack(torch.broadcast_tensors(x, y[:, None]))[None]


def weighted_fit(
    motion: Float[Tensor, "batch 2 rows columns"],
    weight: Float[Tensor, "batch 1 rows columns"],
    place: Float[Tensor, "1 2 rows columns"],
) -> Float[Tensor, "batch 2 3"]:
    """The affine motion by (x, y, 1) nearest to local ones; none where nothing has weight."""
    base = torch.cat([place, torch.ones_like(place[:, :1])], 1).flatten(2)  # 1 3 n
    weight = (weight / weight.mean((2, 3), keepdim=True).clamp_min(1e-6)).flatten(2) / base.shape[2]
    ridge = torch.tensor([LINEAR_RIDGE, LINEAR_RIDGE, SHIFT_RIDGE], device=motion.device).diag()
    normal = (base * weight) @ base.transpose(1, 2) + ridge
    right = (base * weight) @ motion.flatten(2).transpose(1, 2)  # b 3 2
    return torch.linalg.solve(normal, right).transpose(1, 2)


def least_squares(sums: Float[Tensor, "batch 6 rows columns"]) -> Float[Tensor, "batch 3 rows columns"]:
    """Motion (x right, y down) px from the entries of the least-squares flow, and how firm it is.

    Args:
        sums: of x, y gradient times the rest; x x, y y and x y gradients; and of data (0 to 1).
    """
    right, down, xx, yy, xy, share = sums.unbind(1)
    firm = 0.01 * share + 1e-4
    xx, yy = xx + firm, yy + firm
    determinant = xx * yy - xy * xy
    motion = torch.stack([yy * right - xy * down, xx * down - xy * right], 1) / determinant[:, None]
    # the smaller eigenvalue, nearly
    strength = (determinant / (xx + yy) / firm).clamp_min(1.0).log()
    return torch.cat([REACH_PX * torch.tanh(motion / REACH_PX), strength[:, None]], 1)


def _whole(image: Tensor, multiple: int) -> Tensor:
    """Add rows and columns of zeros at the end to whole multiples."""
    rows, columns = (-side % multiple for side in image.shape[-2:])
    return pad(image, (0, columns, 0, rows)) if rows or columns else image
