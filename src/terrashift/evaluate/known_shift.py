"""Suite `known-shift`: ground that moved as a whole by an exactly known fraction of a pixel.

Crops are made periodic (Moisan 2011), so that their Fourier shift is exact and no edge rings into it. Bias against the
fraction is the pixel-locking curve; then noise is laid over both images, or part of the second is other ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..analyse import metrics
from ..estimators.base import Search
from ..ops.spectral import fourier_shift
from ..simulate.archive import Archive
from .case import Answer, Case, Entry, pair_of
from .imagery import Ground
from .zoned import inner_part

FRACTIONS_PX = tuple(k / 10 for k in range(10))
MIXED_PX = (0.3, -0.2)
NOISES = (0.1, 0.3, 1.0)
"""Deviation of the noise in both images over that of the ground."""
CHANGES = (0.1, 0.3, 0.5)
"""Share of the second image's variance that is other ground."""
CROP_PX = (192, 256)  # not square
MARGIN_PX = 40
"""Left out along the edges, where windows would reach past them."""
SEARCH = Search()


@dataclass(frozen=True, slots=True, eq=False)
class KnownShift:
    """See the module."""

    ground: Ground
    scenes: int = 3
    seed: int = 1
    name: str = "known-shift"
    headline: tuple[str, ...] = ("bias_x", "bias_y", "nmad", "p95", "valid")

    @property
    def about(self) -> str:
        """With what the ground is."""
        return f"exact shifts of {self.scenes} crops of {self.ground.about}"

    def entries(self) -> Sequence[Entry]:
        """Every shift of every scene, then noise, then change."""
        kinds = [(f"shift {x:+.1f} {y:+.1f}", "shift", x, y, 0.0, 0.0) for x, y in shifts()]
        kinds += [(f"noise {noise:g}", f"noise {noise:g}", *MIXED_PX, noise, 0.0) for noise in NOISES]
        kinds += [(f"change {part:g}", f"change {part:g}", *MIXED_PX, 0.0, part) for part in CHANGES]
        return [
            Entry(self.name, f"{name}, scene {scene}", group, partial(self._case, scene, (x, y), noise, change))
            for name, group, x, y, noise, change in kinds
            for scene in range(self.scenes)
        ]

    def _case(self, scene: int, xy: tuple[float, float], noise: float, change: float) -> Case:
        ground, other = (crop_of(self.ground.archive(), self.seed + 1000 * k, scene) for k in (0, 1))
        random = torch.Generator().manual_seed(self.seed + scene)
        mixed = (1 - change) ** 0.5 * ground + change**0.5 * other
        before, after = ground, fourier_shift(mixed, xy)
        if noise:
            before, after = (
                image + noise * torch.randn(image.shape, generator=random, dtype=image.dtype)
                for image in (before, after)
            )
        truth = np.broadcast_to(np.array(xy, np.float32)[:, None, None], (2, *CROP_PX)).copy()
        facts = {"x": xy[0], "y": xy[1], "noise": noise, "change": change}
        return Case(pair_of(before, after), truth, search=SEARCH, smooth=False, facts=facts)

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Bias and spread of the error, and the shift that was asked for."""
        assert case.truth is not None
        inner = answer.at(inner_part(CROP_PX, MARGIN_PX))
        error = answer.xy - answer.at(case.truth)
        valid = metrics.share(answer.valid, inner)
        return metrics.still(error, inner) | {"valid": valid} | dict(case.facts)


def shifts() -> list[tuple[float, float]]:
    """Every fraction along x, then along y, then a mixed one."""
    return [(f, 0.0) for f in FRACTIONS_PX] + [(0.0, f) for f in FRACTIONS_PX[1:]] + [MIXED_PX]


def crop_of(archive: Archive, seed: int, number: int) -> Float[Tensor, "height width"]:
    """A crop of one view of an archive, another view for each number as far as they go; periodic, deviation 1."""
    large = [k for k, view in enumerate(archive.views) if view.height >= CROP_PX[0] and view.width >= CROP_PX[1]]
    random = np.random.default_rng([seed, number])
    order = np.random.default_rng(seed).permutation(len(large))
    chosen = large[order[number % len(large)]]
    view, pixels = archive.views[chosen], archive.pixels[chosen]
    row, column = (
        int(random.integers(full - part + 1)) for full, part in zip((view.height, view.width), CROP_PX, strict=True)
    )
    crop = pixels[0].values()[row : row + CROP_PX[0], column : column + CROP_PX[1]]
    ground = periodic_component(torch.from_numpy(np.ascontiguousarray(crop)))
    return (ground - ground.mean()) / ground.std()


def periodic_component(image: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """The image less the smoothest image that has the same jumps between opposite edges (Moisan 2011); float64."""
    image = image.double()
    height, width = image.shape
    jump = torch.zeros_like(image)
    down, across = image[-1] - image[0], image[:, -1] - image[:, 0]
    jump[0] += down
    jump[-1] -= down
    jump[:, 0] += across
    jump[:, -1] -= across
    row = 2 * torch.cos(2 * torch.pi * torch.arange(height, dtype=torch.float64) / height)
    column = 2 * torch.cos(2 * torch.pi * torch.arange(width // 2 + 1, dtype=torch.float64) / width)
    laplacian = row[:, None] + column - 4
    laplacian[0, 0] = 1
    smooth = torch.fft.rfft2(jump) / laplacian
    smooth[0, 0] = 0
    return image - torch.fft.irfft2(smooth, s=image.shape)
