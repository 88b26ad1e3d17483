"""How a network does on scenes of the PROBA-V challenge that it never learned from, in the challenge's own terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..analyse.kelvins import BORDER_PX, Registered, cpsnr, kelvins_score
from ..io.packed_scenes import PackedScene, SceneArchive
from ..models.sharp import SharpEstimate
from ..simulate.burst import Burst
from .calibrate import Errors
from .scenes import Ready, SceneOptions, all_ready
from .sharpening import mean_of_registered

Run = Callable[[Tensor, Tensor, Tensor], SharpEstimate]
"""(frames, usable, shifts) -> estimate."""


class KelvinsScore(NamedTuple):
    """Means over the scenes of one band."""

    name: str
    """Of the band."""
    scenes: int
    cpsnr: float
    """Corrected peak signal-to-noise ratio, dB, for 65535: best of the shifts by up to 3 px, bias removed."""
    gain: float
    """By how much it is above that of the mean of the registered bicubic frames, dB."""
    score: float | None
    """The challenge's: the baseline's cPSNR over it; below 1 beats the baseline. None without norm.csv."""
    one_sigma: float
    """Share of the errors, as registered, within one Laplace scale; 0 where a network does not tell."""

    @property
    def text(self) -> str:
        """As a line of a log."""
        score = "" if self.score is None else f"; score {self.score:.4f}"
        sigma = f"; {self.one_sigma:.0%} within one sigma" if self.one_sigma else ""
        return (
            f"{self.name} ({self.scenes} held out): cPSNR {self.cpsnr:.2f} dB, {self.gain:+.2f} dB to bicubic + mean"
            f"{score}{sigma}"
        )


class _Judged(NamedTuple):
    cpsnr: float
    errors: Errors | None


class KelvinsValidation:
    """Whole scenes with the clearest frames, prepared when they are first looked at and kept.

    Args:
        archive: scenes that nothing was learned from.
        options: the number of frames and the reference are taken from it.
        most: scenes of each band, the first by name.
        device: where the network runs.
    """

    def __init__(self, archive: SceneArchive, options: SceneOptions, most: int, device: str) -> None:
        self._options, self._device = options, device
        self._sets: dict[str, list[PackedScene]] = {}
        for band in archive.bands:
            self._sets[band] = [one for one in archive.scenes if one.facts.band == band][:most]
        self._ready: dict[tuple[str, str], Ready] = {}
        self._plain: dict[tuple[str, str], float] = {}

    def __call__(self, run: Run) -> list[KelvinsScore]:
        """Score a network."""
        return [self._score(band, scenes, run) for band, scenes in self._sets.items()]

    def errors(self, run: Run) -> dict[str, Errors]:
        """Errors, as registered and brightened, with their scales, by band, of a network that tells its scale."""
        found = {}
        for band, scenes in self._sets.items():
            parts = [judged.errors for judged in self._judged(scenes, run) if judged.errors is not None]
            if parts:
                found[band] = Errors(*(torch.cat(part) for part in zip(*parts, strict=True)))
        return found

    def _score(self, band: str, scenes: list[PackedScene], run: Run) -> KelvinsScore:
        judged = list(self._judged(scenes, run))
        values = np.array([one.cpsnr for one in judged])
        norms = [one.facts.baseline for one in scenes]
        known = np.array([(v, norm) for v, norm in zip(values, norms, strict=True) if norm is not None])
        score = kelvins_score(known[:, 0], known[:, 1]) if len(known) else None
        parts = [one.errors for one in judged if one.errors is not None]
        within = [float((one.error < one.log_scale.exp()).float().mean()) for one in parts]
        gain = float(values.mean()) - float(np.mean([self._plain[_key(one)] for one in scenes]))
        return KelvinsScore(
            band, len(scenes), float(values.mean()), gain, score, float(np.mean(within)) if within else 0.0
        )

    def _judged(self, scenes: list[PackedScene], run: Run) -> Iterator[_Judged]:
        new = [packed for packed in scenes if _key(packed) not in self._ready]
        made = all_ready(new, self._options.reference)
        self._ready.update(zip(map(_key, new), made, strict=True))
        for packed in scenes:
            name = _key(packed)
            burst = whole_burst(self._ready[name], self._options.frames[1])
            if name not in self._plain:
                self._plain[name] = self._registered(packed, mean_of_registered(burst)).value
            given = (part.to(self._device) for part in (burst.frames, burst.usable, burst.measured_px))
            found = run(*given)
            best = self._registered(packed, found.mean.float().cpu())
            errors = None
            if found.log_scale is not None:
                errors = self._errors(packed, SharpEstimate(found.mean.cpu(), found.log_scale.cpu()), best)
            yield _Judged(best.value, errors)

    def _registered(self, packed: PackedScene, mean: Tensor) -> Registered:
        """The challenge's cPSNR, in its numbers."""
        truth, clear = _truth(packed)
        scene = self._ready[_key(packed)]
        image = mean[0, 0].double() * scene.contrast + scene.level
        return cpsnr(image.numpy(), truth, clear)

    def _errors(self, packed: PackedScene, found: SharpEstimate, best: Registered) -> Errors:
        """Deviations of the scene, over the clear pixels of the truth."""
        truth, clear = _truth(packed)
        assert found.log_scale is not None
        scene = self._ready[_key(packed)]
        inner = (slice(BORDER_PX, truth.shape[0] - BORDER_PX), slice(BORDER_PX, truth.shape[1] - BORDER_PX))
        x, y = best.shift
        part = tuple(slice(one.start + move, one.stop + move) for one, move in zip(inner, (y, x), strict=True))
        seen = torch.from_numpy(clear[part])
        target = (torch.from_numpy(truth[part]) - scene.level - best.brightness) / scene.contrast
        error = (found.mean[0, 0].float()[inner] - target).abs()
        return Errors(error[seen].float(), found.log_scale[0, 0].float()[inner][seen])


def whole_burst(scene: Ready, most: int) -> Burst:
    """A scene as one burst of its reference and its clearest frames, `most` of them; measured shifts for exact ones."""
    frames, usable, shifts = scene.pixels[None, :most], scene.usable[None, :most].float(), scene.shifts[None, :most]
    nobody = torch.full((1,), torch.nan)
    first = torch.zeros(1, dtype=torch.long)
    return Burst(frames, usable, shifts, shifts, nobody, scene.truth[None], scene.known[None].float(), first)


def _key(packed: PackedScene) -> tuple[str, str]:
    return packed.facts.band, packed.facts.name


def _truth(packed: PackedScene) -> tuple[np.ndarray, np.ndarray]:
    scene = packed.scene
    assert scene.truth is not None
    assert scene.clear is not None
    return scene.truth, scene.clear
