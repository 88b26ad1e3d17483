"""Frames with known shifts to one sharp image: back-projection unrolled, with learned trust and a learned prior. Ours.

Every frame is an observation of one fine image through a known camera (`ops.looks`). A first image is the mean of all
usable pixels laid where they belong (shift-and-add, Elad & Hel-Or 2001). Then each stage sees what the frames say
against the image so far (iterative back-projection, Irani & Peleg 1991): a small network weighs every pixel of every
frame by that (ground that changed, thin cloud), the weighted disagreement is laid back onto the fine grid, and a
network at the coarse resolution, which sees all fine pixels of a coarse one as features, changes the image.

Sums over frames alone join them: their order does not matter, their number is free, and a pixel that is not usable
changes nothing. The cost hardly grows with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, leaky_relu, pixel_shuffle, pixel_unshuffle

from ..errors import OptionError
from ..ops.consistency import back_project, constrain_low_frequencies
from ..ops.decimate import blur_of
from ..ops.looks import Looks, interpolate_fine, looks
from .layers import full_precision, keep_variance, start_at_zero
from .sharp import Fused, MultiFrame, Same, SharpEstimate, Stack

SLOPE = 0.1
NARROW, WIDE = 0.2, 0.6
"""Deviations in coarse px of the Gaussians that lay pixels onto the fine grid: to place them, and to fill between."""
FALL_BACK = 0.02
"""Weight of the wide mean where the narrow one has pixels."""
FLAT = 0.05
"""Variance (of standardised images) below which contrasts are not compared."""
MOST_GAIN = 2.0


@dataclass(frozen=True, slots=True)
class UnrolledOptions:
    """Size of the network, and the camera that it takes for granted."""

    scale: int = 3
    bands: int = 1
    width: int = 64
    """Features of a coarse pixel."""
    blocks: int = 4
    """Residual blocks of a stage."""
    stages: int = 2
    trust: int = 12
    """Features of the network that weighs the frames' pixels."""
    contrast: float = 0.25
    """At half a cycle per coarse pixel, of the camera; the networks make up for others near it."""
    consistency: Literal["none", "low-frequency", "back-projection"] = "none"
    """What is done at the end so that the image, seen by the camera again, returns the reference: nothing; its low
    frequencies replaced by the reference's; back-projection until it returns the reference, noise and all."""

    def __post_init__(self) -> None:
        if min(self.scale, self.bands, self.width, self.stages, self.trust) < 1 or self.blocks < 0:
            raise OptionError(f"{self}: scale, bands, width, stages and trust take 1 or more.")
        blur_of(self.contrast)


def unrolled(options: UnrolledOptions) -> MultiFrame:
    """The network as parts of the one structure."""
    return MultiFrame(Harmonise(), GivenShifts(options), Same(), Unrolled(options), Tell(options))


class Harmonise(nn.Module):
    """Bring every frame to the reference's brightness and contrast, from what both show clear. No weights."""

    def forward(self, stack: Stack) -> Stack:
        """Each band by itself; hardly at all where little is seen by both, or all is flat."""
        frames, usable, shifts = stack.frames.float(), stack.usable.float(), stack.shifts_px.float()
        batch, number = frames.shape[:2]
        moved = _moved(torch.cat([frames * usable, usable], 2).flatten(0, 1), shifts.flatten(0, 1))
        moved = moved.unflatten(0, (batch, number))
        smooth = avg_pool2d(moved.flatten(0, 1), 3, 1, 1, count_include_pad=False).unflatten(0, (batch, number))
        share = smooth[:, :, -1:]
        value = smooth[:, :, :-1] / share.clamp_min(1e-6)
        both = (share > 0.9) & (share[:, :1] > 0.9)
        count = both.sum((3, 4), keepdim=True)
        weight = both.float()

        def moments(image: Tensor) -> tuple[Tensor, Tensor]:
            mean = (image * weight).sum((3, 4), keepdim=True) / count.clamp_min(1)
            return mean, ((image - mean).square() * weight).sum((3, 4), keepdim=True) / count.clamp_min(1)

        (mean, variance), (goal, spread) = moments(value), moments(value[:, :1].expand_as(value))
        gain = ((spread + FLAT) / (variance + FLAT)).sqrt().clamp(1 / MOST_GAIN, MOST_GAIN)
        enough = count > 16
        gain, offset = torch.where(enough, gain, 1.0), torch.where(enough, goal - gain * mean, 0.0)
        return stack._replace(frames=frames * gain + offset, usable=usable, shifts_px=shifts)


class GivenShifts(nn.Module):
    """Take the shifts as they are told, to fractions of a pixel. No weights."""

    def __init__(self, options: UnrolledOptions) -> None:
        super().__init__()
        self.scale, self.blur_px = options.scale, blur_of(options.contrast)

    def forward(self, stack: Stack) -> Stack:
        """Nothing is resampled: the stack learns how each frame sees the fine grid."""
        size = (stack.frames.shape[3], stack.frames.shape[4])
        return stack._replace(looks=looks(stack.shifts_px, size, self.scale, self.blur_px))


class Unrolled(nn.Module):
    """Stages of weighing, laying back and changing the image."""

    def __init__(self, options: UnrolledOptions) -> None:
        super().__init__()
        self.options = options
        self.stages = nn.ModuleList(Stage(options, first=k == 0) for k in range(options.stages))

    def forward(self, stack: Stack) -> Fused:
        """The image after the last stage, and the features it came from."""
        given = stack.looks
        assert given is not None
        weight = stack.usable * given.seen
        # what is not usable must not matter, however large its numbers
        frames = torch.where(stack.usable > 0, stack.frames, 0.0)
        level = (frames * weight).sum((1, 3, 4), keepdim=True) / weight.sum((1, 3, 4), keepdim=True).clamp_min(1)
        frames = frames - level
        image, hidden = self._start(frames, weight, stack), None
        for stage in self.stages:
            image, hidden = stage(image, hidden, frames, weight, given)
        assert hidden is not None
        return Fused(hidden, image + level[:, 0])

    def _start(self, frames: Tensor, weight: Tensor, stack: Stack) -> Tensor:
        size, scale = (frames.shape[3], frames.shape[4]), self.options.scale
        with full_precision(frames.device.type):
            narrow, wide = (looks(stack.shifts_px, size, scale, blur, pixel=False) for blur in (NARROW, WIDE))
            near, far = narrow.back(weight), FALL_BACK * wide.back(weight)
            total = narrow.back(weight * frames) + FALL_BACK * wide.back(weight * frames)
            return total / (near + far).clamp_min(1e-6)


class Stage(nn.Module):
    """One look at what the frames say against the image so far, and one change of it."""

    def __init__(self, options: UnrolledOptions, first: bool) -> None:
        super().__init__()
        self.scale = options.scale
        width, cells = options.width, options.scale**2
        self.trust = nn.Sequential(
            nn.Conv2d(6, options.trust, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(options.trust, options.trust, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(options.trust, 1, 1),
        )
        given = cells * (2 * options.bands + 3) + (0 if first else width)
        self.enter = nn.Conv2d(given, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(options.blocks))
        self.change = nn.Conv2d(width, cells * options.bands, 3, padding=1)
        keep_variance(self, SLOPE)
        for block in self.blocks:
            assert isinstance(block, Block)
            start_at_zero(block.second)
        for last in (self.change, self.trust[-1]):
            assert isinstance(last, nn.Conv2d)
            start_at_zero(last)

    def forward(
        self, image: Tensor, hidden: Tensor | None, frames: Tensor, weight: Tensor, given: Looks
    ) -> tuple[Tensor, Tensor]:
        """The image after the stage, and its features."""
        with full_precision(image.device.type):
            rest = weight * (frames - given.see(image))
            seen = self._evidence(rest, weight)
        trusted = weight * 2 * self.trust(seen.flatten(0, 1)).float().sigmoid().unflatten(0, weight.shape[:2])
        with full_precision(image.device.type):
            total = given.back(trusted).clamp_min(1e-3)
            against = given.back(trusted * rest) / total
            doubt = given.back(trusted * rest.abs().mean(2, keepdim=True)) / total
            square = given.back(trusted * trusted) / total
            maps = torch.cat([image, against, doubt, total.log(), square], 1)
            cells = pixel_unshuffle(maps, self.scale)
        features = self.enter(cells if hidden is None else torch.cat([cells, hidden.to(cells.dtype)], 1))
        for block in self.blocks:
            features = block(features)
        features = leaky_relu(features, SLOPE)
        return image + against + pixel_shuffle(self.change(features).float(), self.scale), features

    @staticmethod
    def _evidence(rest: Tensor, weight: Tensor) -> Tensor:
        """What tells for or against a pixel: its own disagreement, that around it, of its frame, of all frames."""
        size = rest.abs().mean(2, keepdim=True)
        around = avg_pool2d(torch.cat([size, weight], 2).flatten(0, 1), 5, 1, 2).unflatten(0, size.shape[:2])
        near = around[:, :, :1] / around[:, :, 1:].clamp_min(1e-3)
        frame = size.sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True).clamp_min(1)
        burst = size.sum((1, 3, 4), keepdim=True) / weight.sum((1, 3, 4), keepdim=True).clamp_min(1)
        return torch.cat(
            [rest.mean(2, keepdim=True), size, near, frame.expand_as(size), burst.expand_as(size), weight], 2
        )


class Block(nn.Module):
    """Two convolutions whose result is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """The features changed."""
        return x + self.second(leaky_relu(self.first(leaky_relu(x, SLOPE)), SLOPE))


class Tell(nn.Module):
    """The image as it is, made consistent with the reference where that is asked for, and the scale of its error."""

    def __init__(self, options: UnrolledOptions) -> None:
        super().__init__()
        self.options = options
        self.scale_head = nn.Conv2d(options.width, options.bands * options.scale**2, 3, padding=1)
        start_at_zero(self.scale_head)
        assert self.scale_head.bias is not None
        nn.init.constant_(self.scale_head.bias, -2.0)

    def forward(self, fused: Fused, stack: Stack) -> SharpEstimate:
        """Mean and log-scale."""
        assert fused.image is not None
        image = fused.image if self.options.consistency == "none" else self._consistent(fused.image, stack)
        return SharpEstimate(image, pixel_shuffle(self.scale_head(fused.features).float(), self.options.scale))

    def _consistent(self, image: Tensor, stack: Stack) -> Tensor:
        """Changed so that the reference comes back; where that is not usable, it counts as what the image tells."""
        assert stack.looks is not None
        first = Looks(*(part[:, :1] for part in stack.looks))
        still = torch.zeros_like(stack.shifts_px[:, :1])
        with full_precision(image.device.type):
            coarse = torch.where(stack.usable[:, :1] > 0, stack.frames[:, :1], first.see(image))
            if self.options.consistency == "back-projection":
                return back_project(image, coarse[:, 0], lambda x: first.see(x)[:, 0], lambda y: self._up(y, still))
            smooth = self._up(coarse[:, 0], still)
            return constrain_low_frequencies(image, smooth, self.options.scale, contrast=self.options.contrast)

    def _up(self, coarse: Tensor, still: Tensor) -> Tensor:
        return interpolate_fine(coarse[:, None], still, self.options.scale)[:, 0]


def _moved(
    images: Float[Tensor, "batch band height width"], shifts_px: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch band height width"]:
    """Images seen from the reference, image(p + shift), bilinear; 0 outside."""
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) + shifts_px[:, :1]
    y = torch.arange(height, device=images.device) + shifts_px[:, 1:]
    place = torch.stack(
        torch.broadcast_tensors(
            (x * (2 / max(1, width - 1)) - 1)[:, None, :], (y * (2 / max(1, height - 1)) - 1)[:, :, None]
        ),
        3,
    )
    return grid_sample(images, place, align_corners=True)
