"""The linear and deformable network on one pair of images of any size: one dense map from coarse to fine.

See `models.linear_deformable`. Each level is cut into tiles that overlap; what the network finds in them is blended,
so there are no edges, and is composed with the map so far, so nothing is ever resampled twice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from ..core.tiles import plan_tiles
from ..errors import InputError
from ..estimators.networks import network, network_options
from ..models.linear_deformable import (
    PARTS,
    Level,
    LinearDeformable,
    coarser,
    finer,
    level,
    places,
    weighted_fit,
)
from ..ops.box import box_sum
from ..ops.random import Random
from ..ops.similarity import Similarity, correlation
from ..ops.spectral import refined_correlate
from .objective import AlignmentOptions, alignment_loss

TILE_PX, OVERLAP_PX = 256, 64
AROUND_PX = 16
"""Of `moving` around where a tile is thought to lie."""
LEAST_SIDE_PX = 24
"""Of the coarsest level's image."""
CAUGHT_PX = 1.75
"""Largest motion, in pixels of the coarsest level, that the network surely catches there."""
LEAST_SHARE = 0.02
"""Of a tile, that both images must show for it to be looked at."""
SCORE_PX, SCORE_TILE_PX, SCORE_HALO_PX = 9, 1024, 8
JUDGED_FINER = 4
"""A pass is judged on images so many times finer than its own, or on the finest."""
JUDGED_PX, AROUND_JUDGED_PX = 25, 49
"""Windows that are correlated for that, and over which their correlation is averaged."""
TOLERATED, DEMANDED = 0.02, 0.01
"""Loss of correlation at which nothing of a new affine map is kept, and gain at which all of a new deformation is."""
PHASE_PX = 512
"""Largest side of the images whose phase is taken."""
CLEAR = 10.0
"""Height of the peak of a phase correlation, in deviations of its surroundings, from which it is a start."""
TUNED_ON = 4
"""Tiles on which fine-tuning is judged."""


class NetworkOptions(BaseModel, frozen=True, extra="forbid"):
    """How the network is used on a pair."""

    weights: str = Field(
        default="register", description="Trained weights: a name of the package's, or a .safetensors file."
    )
    parts: Literal["both", "affine", "deformable"] = Field(
        default="both", description="Maps to look for: an affine one, a deformation, or one after the other."
    )
    start: Literal["phase", "none"] = Field(
        default="phase",
        description="Begin with the shift of the whole images by phase correlation, where that is clear.",
    )
    largest_px: float = Field(
        default=14.0, gt=0, description="Largest offset that is looked for beyond that start, pixels."
    )
    passes: int = Field(default=1, ge=1, description="Times that each level is gone over.")
    finest_px: Literal[1, 2, 4, 8] = Field(
        default=1, description="Stop at images that are so many times coarser: 2 is four times quicker."
    )
    fine_tune: int = Field(
        default=0, ge=0, description="Train the network on the pair itself for so many steps before using it."
    )
    fine_tune_rate: float = Field(default=1e-4, gt=0, description="Learning rate of that.")
    similarity: Similarity = Field(
        default="ncc", description="What fine-tuning compares images by: ncc, census, robust or square."
    )


class DenseMap(NamedTuple):
    """Where every pixel of the reference lies in the moving image."""

    flow: Float[Tensor, "2 height width"]
    """What is at p in the reference is at p + flow in moving, (x right, y down) px. A number everywhere: where one of
    the images has no data it goes on from around."""
    both: Bool[Tensor, "height width"]
    """True where both images have data there."""
    score: Float[Tensor, "height width"]
    """Correlation (-1 to 1) of 9 x 9 px around each pixel after registration; NaN outside `both`."""
    folded: float
    """Share of the pixels around which the map is not one to one; 0 for all but broken results."""
    tuned: tuple[float, float] | None = None
    """Mean loss on the pair before and after fine-tuning, where that was asked for."""


def register_by_network(
    reference: Float[Tensor, "height width"],
    moving: Float[Tensor, "rows columns"],
    options: NetworkOptions | None = None,
    start: Float[Tensor, "2 height width"] | None = None,
) -> DenseMap:
    """Find where every pixel of `reference` lies in `moving`.

    Args:
        reference: NaN without data; of any brightness and contrast.
        moving: likewise, on pixels of the same size; it may be of another shape, its first pixel is that of the other.
        options: which maps, and how; the defaults unless told.
        start: a first idea of the flow, such as that of a global registration; only what is left is looked for.

    Raises:
        InputError: images without data or too small, or weights of another network.
    """
    options = options or NetworkOptions()
    for name, image in (("reference", reference), ("moving", moving)):
        if min(image.shape) < LEAST_SIDE_PX:
            raise InputError(f"the {name} image is only {tuple(image.shape)} px: give {LEAST_SIDE_PX} px or more.")
        if not bool(image.isfinite().any()):
            raise InputError(f"the {name} image has no data at all: check its nodata value.")
    device = str(reference.device)
    network_options(options.weights, "linear-deformable", "network")
    net: LinearDeformable = network(options.weights, device)
    pair = reference[None, None].float(), moving[None, None].float()
    if start is None and options.start == "phase":
        start = phase_start(*pair)
    tuned = None
    if options.fine_tune:
        net, tuned = fine_tuned(net, pair, options, start)
    with torch.no_grad():
        flow = dense_flow(net, pair, options, start)
        both, score = _judge(pair, flow)
    return DenseMap(flow[0], both, score, folded(flow[0]), tuned)


def phase_start(
    reference: Float[Tensor, "1 1 height width"], moving: Float[Tensor, "1 1 rows columns"]
) -> Float[Tensor, "2 height width"] | None:
    """One shift for all pixels, from the phase of the whole images; None where no shift stands out."""
    height, width = reference.shape[2:]
    px = 2 ** max(0, math.ceil(math.log2(max(height, width) / PHASE_PX)))
    images = level(reference, moving, px, 1)
    rows, columns = images.before.shape[2:]
    other = torch.zeros_like(images.before)
    part = images.after[..., :rows, :columns]
    other[..., : part.shape[2], : part.shape[3]] = part
    found = refined_correlate(images.before[:, 0], other[:, 0])
    if float(found.strength) < CLEAR:
        return None
    return (px * found.xy[0])[:, None, None].expand(2, height, width).contiguous()


def dense_flow(
    net: LinearDeformable,
    pair: tuple[Tensor, Tensor],
    options: NetworkOptions,
    start: Float[Tensor, "2 height width"] | None = None,
) -> Float[Tensor, "1 2 height width"]:
    """The map from coarse to fine, by tiles.

    For both parts each level is gone over by the affine map alone, and then by both: what is affine is found more
    firmly by itself, and a deformation must show that it is worth it.
    """
    shape = (pair[0].shape[2], pair[0].shape[3])
    flow, known = None, 0
    for px in levels(shape, options):
        images = level(*pair, px, net.bands)
        small = (images.before.shape[2], images.before.shape[3])
        if flow is not None:
            flow = finer(flow, known // px, small)
        else:
            flow = pair[0].new_zeros(1, 2, *small) if start is None else coarser(start[None].to(pair[0]), px)
        finer_px = max(px // JUDGED_FINER, options.finest_px)
        judge = images if finer_px == px else level(*pair, finer_px, net.bands)
        for _ in range(options.passes):
            for name in (options.parts,) if options.parts != "both" else ("affine", "both"):
                new = _one_level(net, images, flow, pair[0].new_tensor([PARTS[name]]))
                flow = kept(judge, flow, new, px // finer_px, DEMANDED if name == "both" else -TOLERATED)
        known = px
        if options.parts == "affine":
            flow = _one_affine(images, flow)
    assert flow is not None
    return finer(flow, known, shape)


def kept(
    judge: Level,
    old: Float[Tensor, "1 2 height width"],
    new: Float[Tensor, "1 2 height width"],
    times: int,
    gain: float = 0.0,
) -> Float[Tensor, "1 2 height width"]:
    """The new map where it brings the images closer than the old one, the old one where it drives them apart.

    The images are compared by correlation of wide windows at a finer level, where two dates that differ much
    still agree in one place only. From place to place one goes over smoothly into the other.

    Args:
        judge: the pair at the finer level.
        old: the map before a pass.
        new: after it.
        times: how much finer the level is than the maps.
        gain: of correlation at which all of the new map is kept, and nothing without any; below 0, the loss at which
            nothing is kept, and all without any.
    """
    shape = (judge.before.shape[2], judge.before.shape[3])
    seen = [judge.moved(finer(flow, times, shape)) for flow in (old, new)]
    both = seen[0].both * seen[1].both
    was, now = (
        correlation(judge.before, moved.image, moved.both, JUDGED_PX).clamp_min(0).mean(1, keepdim=True)
        for moved in seen
    )
    better = _around((now - was) * both) / _around(both).clamp_min(1e-3)
    weight = better / max(gain, 1e-6) if gain >= 0 else 1 - better / gain
    weight = _around(weight.clamp(0, 1))
    rows, columns = old.shape[2] * times - shape[0], old.shape[3] * times - shape[1]
    weight = avg_pool2d(pad(weight, (0, columns, 0, rows), mode="replicate"), times) if times > 1 else weight
    return old + weight * (new - old)


def _around(image: Tensor) -> Tensor:
    """Mean of the square around each pixel, of what of it is in the image."""
    wide = [pad(part, (AROUND_JUDGED_PX // 2,) * 4) for part in (image, torch.ones_like(image))]
    return box_sum(wide[0], AROUND_JUDGED_PX) / box_sum(wide[1], AROUND_JUDGED_PX)


def levels(shape: tuple[int, int], options: NetworkOptions) -> list[int]:
    """Pixels of the image along a side of a pixel of each level, halving from coarse to fine.

    >>> levels((256, 256), NetworkOptions())
    [8, 4, 2, 1]
    """
    coarsest = 2 ** max(0, math.ceil(math.log2(options.largest_px / CAUGHT_PX)))
    while coarsest > 1 and min(shape) / coarsest < LEAST_SIDE_PX:
        coarsest //= 2
    coarsest = max(coarsest, options.finest_px)
    return [coarsest // 2**k for k in range(int(math.log2(coarsest // options.finest_px)) + 1)]


def folded(flow: Float[Tensor, "2 height width"]) -> float:
    """Share of the pixels whose neighbours to the right and below are mapped around them the other way."""
    right, down = flow.diff(dim=2)[:, :-1], flow.diff(dim=1)[:, :, :-1]
    turn = (1 + right[0]) * (1 + down[1]) - right[1] * down[0]
    return float((turn <= 0).double().mean())


def fine_tuned(
    net: LinearDeformable,
    pair: tuple[Tensor, Tensor],
    options: NetworkOptions,
    start: Float[Tensor, "2 height width"] | None = None,
) -> tuple[LinearDeformable, tuple[float, float]]:
    """A copy of the network that was trained on the pair itself, without truth; the original where that helps nothing.

    Returns:
        The network, and its mean loss on the same few tiles before and after.
    """
    tuned = copy.deepcopy(net).requires_grad_(True).train()
    loss_options = AlignmentOptions(similarity=options.similarity)
    parts = pair[0].new_tensor([PARTS[options.parts]])
    with torch.no_grad():
        rough = dense_flow(net, pair, options.model_copy(update={"finest_px": 8}), start)
    shape = (pair[0].shape[2], pair[0].shape[3])
    steps = [px for px in levels((min(shape[0], TILE_PX), min(shape[1], TILE_PX)), options) if px <= 8] or [1]

    def loss(model: LinearDeformable, crop: tuple[Tensor, Tensor]) -> Tensor:
        return alignment_loss(model(*crop, parts, levels=tuple(steps)), loss_options).mean()

    crops = [_crop(pair, rough, number) for number in range(TUNED_ON)]
    if shape[0] <= TILE_PX and shape[1] <= TILE_PX:
        crops = crops[:1]
    optimiser = torch.optim.Adam(tuned.parameters(), options.fine_tune_rate)
    with torch.no_grad():
        before = float(sum(loss(net, crop) for crop in crops) / len(crops))
    for number in range(options.fine_tune):
        optimiser.zero_grad()
        loss(tuned, crops[0] if len(crops) == 1 else _crop(pair, rough, number)).backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimiser.step()
    tuned = tuned.requires_grad_(False).eval()
    with torch.no_grad():
        after = float(sum(loss(tuned, crop) for crop in crops) / len(crops))
    return (tuned, (before, after)) if after < before else (net, (before, before))


def _one_level(net: LinearDeformable, images: Level, flow: Tensor, parts: Tensor) -> Float[Tensor, "1 2 height width"]:
    """One pass over all tiles of a level."""
    height, width = flow.shape[2:]
    total, weights = torch.zeros_like(flow), torch.zeros_like(flow[:, :1])
    for rows, columns in _windows(height, width):
        part = flow[..., rows, columns]
        local, origin = _local(images, part, rows, columns)
        moved = local.moved(part + origin)
        if float(moved.both.mean()) >= LEAST_SHARE:
            part = net.step(local, part + origin, parts).flow - origin
        weight = _ramp(rows, height, flow)[:, None] * _ramp(columns, width, flow)
        total[..., rows, columns] += weight * part
        weights[..., rows, columns] += weight
    return total / weights


def _windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Tiles that overlap, of nearly one size."""
    spans = []
    for length in (height, width):
        count = max(1, math.ceil((length - OVERLAP_PX) / (TILE_PX - OVERLAP_PX)))
        side = min(length, TILE_PX)
        spans.append(
            [slice(s, s + side) for s in (round(k * (length - side) / max(1, count - 1)) for k in range(count))]
        )
    for rows in spans[0]:
        for columns in spans[1]:
            yield rows, columns


def _local(images: Level, flow: Tensor, rows: slice, columns: slice) -> tuple[Level, Float[Tensor, "1 2 1 1"]]:
    """A tile of the reference and what of the moving image may lie on it; what that adds to the flow."""
    spans, origin = [], []
    for axis, part, length in ((0, columns, images.after.shape[3]), (1, rows, images.after.shape[2])):
        low = part.start + math.floor(float(flow[0, axis].min())) - AROUND_PX
        high = part.stop + math.ceil(float(flow[0, axis].max())) + AROUND_PX
        low = min(max(low, 0), length - 1)
        spans.append(slice(low, max(low + 1, min(high, length))))
        origin.append(float(part.start - low))
    around = (spans[1], spans[0])
    local = Level(
        images.before[..., rows, columns],
        images.after[..., *around],
        images.has_before[..., rows, columns],
        images.has_after[..., *around],
    )
    return local, flow.new_tensor(origin)[None, :, None, None]


def _ramp(part: slice, length: int, like: Tensor) -> Float[Tensor, " side"]:
    """Weight of each pixel of a tile: down to nothing over the overlap, but not at the border of the image."""
    place = torch.arange(part.start, part.stop, device=like.device, dtype=like.dtype) + 0.5
    rise = (place - part.start) / OVERLAP_PX if part.start > 0 else torch.ones_like(place)
    fall = (part.stop - place) / OVERLAP_PX if part.stop < length else torch.ones_like(place)
    return torch.minimum(rise, fall).clamp(max=1.0)


def _one_affine(images: Level, flow: Tensor) -> Float[Tensor, "1 2 height width"]:
    """The affine map nearest to what the tiles found."""
    shape = (flow.shape[2], flow.shape[3])
    place = places(shape, flow.device)
    fit = weighted_fit(flow, images.moved(flow).both, place)
    return torch.einsum("bij,bjhw->bihw", fit[..., :2], place) + fit[..., 2, None, None]


def _crop(pair: tuple[Tensor, Tensor], rough: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """A tile of the pair for fine-tuning, `moving` shifted by whole pixels so that little motion is left."""
    height, width = rough.shape[2:]
    random = Random.of(0, [number])
    sides = min(height, TILE_PX), min(width, TILE_PX)
    starts = [int(random.whole(name, n - side + 1)) for name, n, side in zip("yx", (height, width), sides, strict=True)]
    rows, columns = (slice(s, s + side) for s, side in zip(starts, sides, strict=True))
    # a whole image is taken as it is: its motion is what the network has to learn
    whole = sides == (height, width)
    x, y = (0, 0) if whole else (round(float(v)) for v in rough[0, :, rows, columns].flatten(1).median(1).values)
    after = torch.full_like(pair[0][..., rows, columns], torch.nan)
    place = [(rows.start + y, after.shape[2], pair[1].shape[2]), (columns.start + x, after.shape[3], pair[1].shape[3])]
    source, target = [], []
    for first, side, length in place:
        low, high = max(first, 0), min(first + side, length)
        source.append(slice(low, max(low, high)))
        target.append(slice(low - first, max(low, high) - first))
    after[..., *target] = pair[1][..., *source]
    return pair[0][..., rows, columns], after


def _judge(pair: tuple[Tensor, Tensor], flow: Tensor) -> tuple[Bool[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Where both images have data, and how well they correlate there, strip by strip."""
    height, width = flow.shape[2:]
    both = torch.zeros(height, width, dtype=torch.bool, device=flow.device)
    score = torch.full((height, width), torch.nan, device=flow.device)
    images = level(*pair, 1, 1)
    for tile in plan_tiles((height, width), SCORE_TILE_PX):
        wide = [
            slice(max(0, c.start - SCORE_HALO_PX), min(n, c.stop + SCORE_HALO_PX))
            for c, n in zip(tile.core, (height, width), strict=True)
        ]
        local, origin = _local(images, flow[..., *wide], wide[0], wide[1])
        moved = local.moved(flow[..., *wide] + origin)
        likeness = torch.where(moved.both > 0, correlation(local.before, moved.image, moved.both, SCORE_PX), torch.nan)
        inner = [slice(c.start - w.start, c.stop - w.start) for c, w in zip(tile.core, wide, strict=True)]
        both[tile.core] = moved.both[0, 0, *inner] > 0
        score[tile.core] = likeness[0, 0, *inner]
    return both, score
