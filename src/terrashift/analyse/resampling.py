"""Signs that an image was interpolated: lost detail, periodic sharpness, lines that follow from their neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d, pad

from ..ops.spectral import hann

SEGMENT_PX = 128
"""Length of the pieces of rows and columns whose power spectra are averaged."""
PIECES_PX = (4, 8)
"""Lengths of line pieces that are told from chance: short ones only in strong texture."""
SURPRISE = 14.0
"""Improbability, in natural logarithms, from which such a piece counts: about one in a million."""
FALL_OVERSAMPLED_DB = -11.6
"""Fall of power from 0.2-0.3 to 0.36-0.48 cycles/px beyond which no native image of ours lies (lowest: -10.7)."""
FALL_PERIODIC_DB = -6.8
"""The same, where the sharpness is periodic as well."""
PERIODIC = 25.0
"""Peak of the spectrum of sharpness over its median from which it counts as periodic."""
STRONGLY_PERIODIC = 300.0
"""The same, from which interpolation is sure whatever the fall; linear interpolation reaches thousands.

Native satellite scenes of ours stay below 27 without their interpolated lines, aerial mosaics cut from JPEG below 125.
"""


class Sharpness(NamedTuple):
    """How finely an image is really sampled along one axis."""

    fall_db: float
    """Power at 0.36-0.48 over that at 0.2-0.3 cycles/px, dB; NaN where there was too little to see."""
    periodicity: float
    """Strength of the periodic part of the sharpness, in medians of its spectrum."""
    period_cycles: float
    """Frequency of that part, cycles/px."""
    effective_px: float
    """Size in px of what was one sample before interpolation; 1 for a native image, NaN where unknown."""


@dataclass(slots=True)
class SharpnessMeter:
    """Gathers spectra along x (columns) over many patches; feed it transposed patches for y."""

    power: Tensor = field(default_factory=lambda: torch.zeros(SEGMENT_PX // 2 + 1, dtype=torch.float64))
    segments: int = 0
    rounding: float = 0.0
    rhythm: Tensor | None = None

    def add(self, patch: Float[Tensor, "height width"], lines: Bool[Tensor, "height width"], step: float) -> None:
        """Take one patch in, whose numbers are multiples of `step`.

        `lines` are interpolated pixels that a separate finding names; they are left out of the rhythm.
        """
        self._add_power(patch, step)
        self._add_rhythm(patch, lines)

    def _add_power(self, patch: Tensor, step: float) -> None:
        if patch.shape[1] < SEGMENT_PX:
            return
        pieces = patch.unfold(1, SEGMENT_PX, SEGMENT_PX // 2).reshape(-1, SEGMENT_PX)
        pieces = pieces[pieces.isfinite().all(1)]
        if not len(pieces):
            return
        pieces = pieces - pieces.mean(1, keepdim=True)
        # rounding to the image's numbers adds white noise, which would hide the loss of detail in dull 8-bit images
        self.rounding += len(pieces) * step**2 / 12 * float(hann(SEGMENT_PX).square().sum())
        self.power += torch.fft.rfft(pieces * hann(SEGMENT_PX)).abs().square().double().sum(0)
        self.segments += len(pieces)

    def _add_rhythm(self, patch: Tensor, lines: Tensor) -> None:
        """Interpolation makes the second difference periodically smaller (Gallagher 2005; Mahdian & Saic 2008)."""
        bend = (patch[:, :-2] - 2 * patch[:, 1:-1] + patch[:, 2:]).abs()
        touched = lines[:, :-2] | lines[:, 1:-1] | lines[:, 2:]
        bend = bend.masked_fill(touched, torch.nan)
        seen = bend[bend.isfinite()]
        if len(seen) <= 0.2 * bend.numel():
            return
        cap = seen[:: max(1, len(seen) // 20000)].quantile(0.9)  # a few edges must not outweigh the rest
        for band in bend.clamp_max(cap).split(128):
            mean = band.nanmean(0)
            if mean.isnan().any() or mean.sum() <= 0:
                continue
            wave = (mean / mean.mean() - 1) * hann(len(mean))
            spectrum = torch.fft.rfft(wave).abs().square().double()
            self.rhythm = spectrum if self.rhythm is None else self.rhythm + spectrum

    def result(self) -> Sharpness:
        """Judge what was gathered."""
        fall = self._fall_db() if self.segments >= 32 and self.power.sum() > 0 else math.nan
        strength, cycles = self._peak()
        blurred = fall < FALL_OVERSAMPLED_DB
        periodic = strength > STRONGLY_PERIODIC or (fall < FALL_PERIODIC_DB and strength > PERIODIC)
        if math.isnan(fall):
            effective = math.nan
        elif not (blurred or periodic):
            effective = 1.0
        else:
            effective = _nearest_factor(cycles, self._cutoff_px()) if periodic else self._cutoff_px()
        return Sharpness(fall, strength, cycles, effective)

    def _fall_db(self) -> float:
        return self._level(0.36, 0.48) - self._level(0.2, 0.3)

    def _level(self, low: float, high: float) -> float:
        frequency = torch.arange(len(self.power)) / SEGMENT_PX
        return float(self._decibel()[(frequency >= low) & (frequency <= high)].mean())

    def _decibel(self) -> Tensor:
        """Power without the noise of rounding; never less than a fifth of it all, as that noise is only estimated."""
        return 10 * torch.maximum(self.power - self.rounding, 0.2 * self.power).clamp_min(1e-30).log10()

    def _peak(self) -> tuple[float, float]:
        if self.rhythm is None:
            return 0.0, math.nan
        frequency = torch.arange(len(self.rhythm)) / (2 * (len(self.rhythm) - 1))
        usable = (frequency >= 0.13) & (frequency <= 0.47)  # odd-even detectors answer at 0.5
        spectrum, frequency = self.rhythm[usable], frequency[usable]
        if not len(spectrum) or spectrum.median() <= 0:
            return 0.0, math.nan
        return float(spectrum.max() / spectrum.median()), float(frequency[spectrum.argmax()])

    def _cutoff_px(self) -> float:
        """Effective pixel from where the spectrum has fallen by 14 dB from its fall-off at low frequencies."""
        frequency = torch.arange(len(self.power), dtype=torch.float64) / SEGMENT_PX
        whitened = self._decibel() + 16 * frequency.clamp_min(1 / SEGMENT_PX).log10()
        whitened = whitened - whitened[(frequency >= 0.04) & (frequency <= 0.1)].mean()
        fallen = (whitened < -14) & (frequency > 0.1)
        return 0.5 / float(frequency[fallen].min()) if fallen.any() else 1.0


def _nearest_factor(cycles: float, about_px: float) -> float:
    """Interpolation by s repeats at 1/s cycles/px, folded to below 0.5: s is 1/f or 1/(1 - f); take the nearer one."""
    return min(1 / cycles, 1 / (1 - cycles), key=lambda s: abs(math.log(s / max(about_px, 1.0))))


def interpolated_lines(patch: Float[Tensor, "height width"]) -> Bool[Tensor, "height width"]:
    """Pixels in pieces of rows or columns that are the rounded mean, or a copy, of the lines beside them.

    A piece of `PIECES_PX` pixels counts when every pixel matches and chance would make that less than about once in a
    million: in flat ground, where neighbours are equal anyway, nothing can be told and nothing is marked.
    """
    if min(patch.shape) < max(PIECES_PX) + 2:
        return torch.zeros_like(patch, dtype=torch.bool)
    quantum, eps = number_step(patch), 2e-6 * float(patch.nan_to_num().abs().max())
    down, across = _follow(patch, quantum, eps), _follow(patch.T, quantum, eps)
    return _pieces(down, _rate(across).transpose(1, 2)) | _pieces(across, _rate(down).transpose(1, 2)).T


class _Match(NamedTuple):
    """Which pixels follow from the pixels above and below: first as their mean, then as a copy of one."""

    met: Bool[Tensor, "2 height width"]
    chance: Float[Tensor, "2 height width"]
    """How likely that is by accident, from how much the rows beside bend."""


def number_step(values: Float[Tensor, "*shape"]) -> float:
    """Step of an image's numbers: 1 for whole numbers, the scale for scaled ones, about nothing for real ones."""
    distinct = values[values.isfinite()].unique()
    if len(distinct) < 2:
        return 0.0
    gaps = distinct.diff()
    gaps = gaps[gaps > 1e-6 * distinct.abs().max()]
    return float(gaps.quantile(0.2)) if len(gaps) else 0.0


def _follow(patch: Tensor, quantum: float, eps: float) -> _Match:
    """Match each pixel with the pixels above and below it; the first and last row match nothing."""
    above, middle, below = patch[:-2], patch[1:-1], patch[2:]
    bend = (2 * middle - above - below).abs()
    near = torch.minimum((middle - above).abs(), (middle - below).abs())
    usual = _usual_bend(bend)
    met = torch.stack([bend <= quantum * 1.01 + eps, near <= eps])
    scale = quantum + eps + 1e-30
    chance = torch.stack([2 * scale / (usual + 2 * scale), 3 * scale / (usual + 3 * scale)])
    return _Match(pad(met, (0, 0, 1, 1)), pad(chance, (0, 0, 1, 1), value=1.0))


def _rate(match: _Match) -> Tensor:
    """Share of matches in the 17 px around each pixel: across the lines, it is what chance does here."""
    along = avg_pool1d(match.met.float(), 17, 1, 8, count_include_pad=False)
    return avg_pool1d(along.transpose(1, 2), 17, 1, 8, count_include_pad=False).transpose(1, 2)


def _pieces(match: _Match, rate_across: Tensor) -> Tensor:
    """Pixels of rows in pieces of matches that chance does not explain."""
    chance = torch.maximum(match.chance, rate_across).clamp(1e-6, 1)
    surprise = torch.where(match.met, -chance.log(), torch.full_like(chance, -1e4))
    found = torch.zeros_like(match.met)
    for length in PIECES_PX:
        starts = (avg_pool1d(surprise, length, 1) * length > SURPRISE).float()
        # each piece reaches forward from its start, so spread starts forward by its length
        found |= max_pool1d(pad(starts, (length - 1, length - 1)), length, 1) > 0
    return found.any(0)


def _usual_bend(bend: Tensor) -> Tensor:
    """Mean second difference around each pixel in the rows beside its own, which interpolation did not touch."""
    level = avg_pool1d(bend.nan_to_num(), 9, 1, 4)
    padded = torch.cat([level[:1], level, level[-1:]])
    return torch.minimum(padded[:-2], padded[2:])
