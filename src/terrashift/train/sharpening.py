"""How networks that make one sharp image of several coarse ones learn, and how well they do on places held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..models.deepsum import REACH, SIDE, MeanOnly, RegNet
from ..models.sharp import MultiFrame, SharpEstimate, Stack
from ..ops.decimate import camera_taps, decimate
from ..ops.looks import interpolate_fine, nearest_fine
from ..ops.random import Random
from ..simulate.archive import Archive
from ..simulate.burst import CLASSES, VALIDATION_SEED, Burst, BurstOptions, BurstStream
from .calibrate import Errors
from .sharp_loss import SharpLossOptions, sharp_loss

RANGE = 10.0
"""Of the images in signal-to-noise ratios: ten standard deviations of a place."""
SEARCH = 3
"""Pixels of the truth by which a corrected signal-to-noise ratio may shift it."""
BATCH = 8


class SharpScore(NamedTuple):
    """Of one class of bursts."""

    name: str
    cpsnr: float
    """Corrected peak signal-to-noise ratio, dB, of ten deviations: best of the shifts by up to 3 px, bias removed."""
    gain: float
    """By how much it is above that of the mean of the registered bicubic frames, dB."""
    psnr: float
    """Without correction."""
    one_sigma: float
    """Share of the errors within one Laplace scale; 0.632 where it is calibrated, 0 where a network does not tell."""

    @property
    def text(self) -> str:
        """As a line of a log."""
        return (
            f"{self.name}: cPSNR {self.cpsnr:.2f} dB, {self.gain:+.2f} dB to bicubic + mean; PSNR {self.psnr:.2f} dB; "
            f"{self.one_sigma:.0%} within one sigma"
        )


class SharpLesson(NamedTuple):
    """What a burst teaches."""

    loss: Float[Tensor, ""]
    error: Float[Tensor, ""]
    """Mean absolute error, deviations."""
    bicubic: Float[Tensor, ""]
    """That of the reference between its pixels."""


def learn_bursts(network: nn.Module, burst: Burst, options: SharpLossOptions) -> SharpLesson:
    """The loss of a batch, with gradients. Networks are told the shifts as they would be measured."""
    if isinstance(network, MultiFrame) and isinstance(network.align, RegNet) and isinstance(network.decode, MeanOnly):
        return learn_shifts(network, burst)
    estimate = network(burst.frames, burst.usable, burst.measured_px)
    loss = sharp_loss(estimate, burst.truth, burst.known, options)
    scale = burst.truth.shape[-1] // burst.frames.shape[-1]
    if options.consistency:
        loss = loss + options.consistency * inconsistency(estimate.mean.float(), burst)
    with torch.no_grad():
        first = interpolate_fine(burst.frames[:, :1], burst.shifts_px[:, :1], scale)[:, 0]
        told = replace(options, base="l1")  # forgives what the loss forgives
        error, bicubic = (
            sharp_loss(SharpEstimate(x, None), burst.truth, burst.known, told) for x in (estimate.mean, first)
        )
    return SharpLesson(loss, error, bicubic)


def inconsistency(image: Float[Tensor, "batch band height width"], burst: Burst) -> Float[Tensor, ""]:
    """Mean absolute difference between an image, as the burst's camera sees it, and the usable pixels of the reference.

    Radiometric consistency in the sense of Razzak et al. (2023): what is added must not change what was measured.
    """
    scale = image.shape[-1] // burst.frames.shape[-1]
    seen = decimate(image, camera_taps(burst.blur_px, scale), scale)
    weight = burst.usable[:, 0].expand_as(seen)
    return (weight * (seen - burst.frames[:, 0]).abs()).sum() / weight.sum().clamp_min(1)


def learn_shifts(network: MultiFrame, burst: Burst) -> SharpLesson:
    """RegNet's pre-training: cross-entropy of its filters for whole shifts of the reference's features.

    Eight copies of each, moved by up to 4 fine px along each axis; each burst by its own numbers, whatever the batch.
    The error is the share of shifts that are not found, and beside it that of guessing.
    """
    assert isinstance(network.align, RegNet)
    with torch.no_grad():
        stack = Stack(burst.frames[:, :1], burst.usable[:, :1], burst.shifts_px[:, :1])
        features = network.encode(stack).features
        assert features is not None
        moved, tap = shifted_copies(features[:, 0], bits_of(burst.frames))
    logits = network.align.logits(moved)
    loss = cross_entropy(logits.flatten(0, 1), tap.flatten())
    wrong = (logits.argmax(2) != tap).float().mean()
    return SharpLesson(loss, wrong, loss.new_tensor(1 - 1 / SIDE**2))


def bits_of(frames: Float[Tensor, "batch frame band height width"]) -> Random:
    """Sources of random numbers that depend on nothing but each burst's own pixels."""
    numbers = frames[:, 0, 0, 0, :2].contiguous().view(torch.int32).sum(1) & 0x7FFFFFFF
    return Random.of(0, numbers.to(torch.int32), str(frames.device))


def shifted_copies(
    features: Float[Tensor, "batch feature height width"], random: Random, copies: int = 8
) -> tuple[Float[Tensor, "batch frame feature rows columns"], Int[Tensor, "batch copies"]]:
    """The middle of features, and of copies moved by whole pixels, copy(p + shift) = features(p), with the filter tap
    that undoes it: row 4 + y, column 4 + x of the shift (x right, y down)."""
    low, high = REACH, -REACH
    bounds = [features[..., low:high, low:high]]
    shift = torch.stack([random.split(f"copy {k}").whole("tap", SIDE**2) for k in range(copies)], 1)
    rows, columns = shift // SIDE - REACH, shift % SIDE - REACH
    height, width = features.shape[-2:]
    for k in range(copies):
        parts = [
            one[:, REACH - y : height - REACH - y, REACH - x : width - REACH - x]
            for one, y, x in zip(features, rows[:, k].tolist(), columns[:, k].tolist(), strict=True)
        ]
        bounds.append(torch.stack(parts))
    return torch.stack(bounds, 1), shift


def mean_of_registered(burst: Burst) -> Float[Tensor, "batch band height width"]:
    """Mean of what is usable of all frames, each interpolated at its exact shift; of all where nothing is."""
    scale = burst.truth.shape[-1] // burst.frames.shape[-1]
    fine = interpolate_fine(burst.frames, burst.shifts_px, scale)
    weight = nearest_fine(burst.usable, burst.shifts_px, scale)
    return (fine * weight).sum(1) / weight.sum(1).clamp_min(1) + fine.mean(1) * (weight.sum(1) == 0)


def corrected_psnr(
    estimate: Float[Tensor, "batch band height width"],
    truth: Float[Tensor, "batch band height width"],
    known: Bool[Tensor, "batch 1 height width"] | Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio of ten deviations, dB: best over whole shifts by up to 3 px, bias removed."""
    options = SharpLossOptions(base="mse", border=SEARCH, bias=True, least_known=0.0)
    best = [
        sharp_loss(SharpEstimate(e[None], None), t[None], k[None].to(t.dtype), options)
        for e, t, k in zip(estimate.double(), truth.double(), known, strict=True)
    ]
    return -10 * torch.log10(torch.stack(best) / RANGE**2)


class SharpValidation:
    """Fixed bursts of each class, made once, and the mean of their registered frames to compare with.

    Args:
        archive: places that nothing was learned from.
        bursts: of each class.
        size_px: side of their frames.
        device: where they are kept.
        like: what the network learns from: scale, bands and the largest number of frames are taken from it.
        seed: another one gives other bursts.
    """

    def __init__(
        self,
        archive: Archive,
        bursts: int,
        size_px: int,
        device: str,
        like: BurstOptions,
        seed: int = VALIDATION_SEED,
    ) -> None:
        self.sets: dict[str, list[Burst]] = {}
        self._plain: dict[str, float] = {}
        for name, options in CLASSES.items():
            options = replace(
                options, size_px=size_px, scale=like.scale, bands=like.bands, frames=(like.frames[1],) * 2
            )
            stream = BurstStream(archive, options, seed, device)
            self.sets[name] = [stream.bursts(range(k, min(k + BATCH, bursts))) for k in range(0, bursts, BATCH)]
            plain = [corrected_psnr(mean_of_registered(b), b.truth, b.known) for b in self.sets[name]]
            self._plain[name] = float(torch.cat(plain).mean())

    def __call__(self, run: Callable[[Tensor, Tensor, Tensor], SharpEstimate]) -> list[SharpScore]:
        """Score a network given as (frames, usable, shifts) -> estimate."""
        return [self._score(name, bursts, run) for name, bursts in self.sets.items()]

    def _score(
        self, name: str, bursts: list[Burst], run: Callable[[Tensor, Tensor, Tensor], SharpEstimate]
    ) -> SharpScore:
        corrected, plain, within = [], [], []
        for burst in bursts:
            found = run(burst.frames, burst.usable, burst.measured_px)
            error = (found.mean.float() - burst.truth).abs()
            corrected.append(corrected_psnr(found.mean, burst.truth, burst.known))
            plain.append(-10 * torch.log10(error.square().mean((1, 2, 3)) / RANGE**2))
            if found.log_scale is not None:
                within.append((error < found.log_scale.float().exp()).float().mean())
        score, psnr = float(torch.cat(corrected).mean()), float(torch.cat(plain).mean())
        covered = float(torch.stack(within).mean()) if within else 0.0
        return SharpScore(name, score, score - self._plain[name], psnr, covered)


def sharp_errors(
    validation: SharpValidation, run: Callable[[Tensor, Tensor, Tensor], SharpEstimate]
) -> dict[str, Errors]:
    """Errors and scales on the validation bursts of each class, of a network that tells its scale."""
    found = {}
    for name, bursts in validation.sets.items():
        parts = []
        for burst in bursts:
            estimate = run(burst.frames, burst.usable, burst.measured_px)
            assert estimate.log_scale is not None
            error = (estimate.mean.float() - burst.truth).abs()
            parts.append(torch.stack([error, estimate.log_scale.float()]).flatten(1))
        found[name] = Errors(*torch.cat(parts, 1).cpu())
    return found
