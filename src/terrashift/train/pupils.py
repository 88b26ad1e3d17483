"""How each kind of network learns from a batch, and what it makes of whole images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from ..models.cnn4l import Cnn4l, margins, prepare
from ..models.estimate import Estimate
from ..models.linear_deformable import LinearDeformable
from ..models.microflow import MicroFlow
from ..models.searaft import SeaRaft, as_laplace
from ..models.sharp import MultiFrame, SharpEstimate
from ..simulate.burst import Burst
from ..simulate.stream import Batch
from .alignment import align_batch, aligned
from .losses import LossOptions, Truth, mixture_sequence_loss, sequence_loss
from .sharpening import learn_bursts

Images = Float[Tensor, "batch 1 height width"]


class Lesson(NamedTuple):
    """What a batch teaches."""

    loss: Float[Tensor, ""]
    error_px: Float[Tensor, ""]
    """Mean endpoint error of the last pass; of a sharp image its mean absolute error, deviations of the place."""
    still_px: Float[Tensor, ""]
    """That of an estimate without motion; each pair's mean removed where the pair is more than a single vector, but not
    where images are registered. Of a sharp image that of the reference between its pixels."""


def learn(network: nn.Module, batch: Batch | Burst, options: LossOptions) -> Lesson:
    """Look at a batch; the loss has the gradients."""
    if isinstance(batch, Burst):
        return Lesson(*learn_bursts(network, batch, options.sharp))
    if isinstance(network, LinearDeformable):
        loss, flow = align_batch(network, batch, options.alignment)
        return Lesson(loss, (flow.detach() - batch.flow).norm(dim=1).mean(), batch.flow.norm(dim=1).mean())
    before, after = batch.before[:, None], batch.after[:, None]
    truth = Truth(batch.flow, batch.trace)
    if isinstance(network, Cnn4l):
        middle = slice(batch.flow.shape[-1] // 2, batch.flow.shape[-1] // 2 + 1)
        truth = Truth(*(part[..., middle, middle] for part in truth))
        estimates = [network.dense(_window(before, after, network.options.window_px))]
        loss = sequence_loss(estimates, truth, options)
    elif isinstance(network, SeaRaft):
        estimates = network(before, after)
        loss = mixture_sequence_loss(estimates, truth, options, network.options.fixed_px)
    else:
        estimates = network(before, after)
        loss = sequence_loss(estimates, truth, options)
        if options.closer:
            assert isinstance(network, MicroFlow)
            loss = loss + options.closer * _closer_loss(network, (before, after), estimates[-1].flow, truth, options)
    with torch.no_grad():
        mean = truth.flow.mean((2, 3), keepdim=True) if truth.flow[0, 0].numel() > 1 else 0.0
        error = (estimates[-1].flow.float() - truth.flow).norm(dim=1).mean()
        return Lesson(loss, error, (truth.flow - mean).norm(dim=1).mean())


def _closer_loss(
    network: MicroFlow, images: tuple[Images, Images], flow: Tensor, truth: Truth, options: LossOptions
) -> Float[Tensor, ""]:
    """Of the passes at twice the resolution, where there is most of a fault."""
    side = flow.shape[-1] // 2
    corners = most_of(truth.trace, side)
    parts = (*images, flow.detach().float(), truth.flow, truth.trace[:, None])
    before, after, start, motion, trace = (cut(part, corners, side) for part in parts)
    return sequence_loss(network.closer(before, after, start), Truth(motion, trace[:, 0]), options)


def most_of(where: Bool[Tensor, "batch height width"], side: int) -> Int[Tensor, "batch 2"]:
    """First row and column of the square of this side that has most of each mask."""
    share = avg_pool2d(where.float()[:, None], side, stride=1)[:, 0]
    columns = share.shape[-1]
    best = share.flatten(1).argmax(1)
    return torch.stack([best // columns, best % columns], 1)


def cut(
    part: Shaped[Tensor, "batch band height width"], corners: Int[Tensor, "batch 2"], side: int
) -> Shaped[Tensor, "batch band side side"]:
    """The squares of this side whose first rows and columns are given."""
    return torch.stack(
        [one[:, row : row + side, column : column + side]
         for one, (row, column) in zip(part, corners.tolist(), strict=True)]
    )  # fmt: skip


def sharpen(
    network: nn.Module,
    frames: Float[Tensor, "batch frame band height width"],
    usable: Float[Tensor, "batch frame 1 height width"],
    shifts_px: Float[Tensor, "batch frame 2"],
) -> SharpEstimate:
    """What a network makes of bursts."""
    assert isinstance(network, MultiFrame)
    return network(frames, usable, shifts_px)


def answer(network: nn.Module, before: Images, after: Images) -> Estimate:
    """What a network finds at every pixel of whole images, without NaN."""
    if isinstance(network, Cnn4l):
        side = network.options.window_px
        ahead, behind = margins(side)
        pair = torch.cat([prepare(before, side), prepare(after, side)], 1)
        return network.dense(pad(pair, (ahead, behind, ahead, behind), mode="replicate"))
    if isinstance(network, LinearDeformable):
        return aligned(network, before, after)
    if isinstance(network, SeaRaft):
        return as_laplace(network(before, after)[-1], network.options.fixed_px)
    return network(before, after)[-1]


def _window(before: Images, after: Images, side: int) -> Float[Tensor, "batch 2 side side"]:
    """The windows in the middle of crops, which are prepared with what is around them."""
    first = (before.shape[-1] - side) // 2
    pair = torch.cat([prepare(before, side), prepare(after, side)], 1)
    return pair[..., first : first + side, first : first + side]
