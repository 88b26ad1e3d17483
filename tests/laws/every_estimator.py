"""Every estimator that the laws hold for, in one list, and scenes whose motion is known exactly."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from _pytest.mark import ParameterSet
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.core.image import Image, Pair
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Estimator
from terrashift.estimators.cnn4l import Cnn4l
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.geoflownet import GeoFlowNet
from terrashift.estimators.iterative import Iterative
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.searaft import SeaRaft
from terrashift.estimators.spatial import Spatial
from terrashift.io.weights import available
from terrashift.ops.spectral import fourier_shift


class Case(NamedTuple):
    """An estimator, and how far it may be off."""

    estimator: Estimator
    bias_px: float
    """Allowed for the median on ground that moved by the same fraction of a pixel everywhere."""
    error_px: float
    """Allowed for 19 of 20 windows that lie wholly inside the images."""
    still_px: float = 0.005
    """Allowed for any window where the images are the same; a network never learned that this is special."""
    step_px: float = 0.02
    """Allowed between measurements of the same place with different steps."""

    @property
    def missing(self) -> list[str]:
        """Weights that it needs and the package does not hold."""
        needed = (getattr(self.estimator, key, None) for key in ("weights", "coarse"))
        return sorted({name for name in needed if name} - {*available(), "none"})


CASES = {
    "frequency": Case(Frequency(), 0.006, 0.03),
    "frequency 16": Case(Frequency(window_px=16, start_window_px=32), 0.015, 0.06),
    "spatial": Case(Spatial(), 0.01, 0.06, step_px=0.05),  # paths run through other places
    "microflow": Case(MicroFlow(precision="float32"), 0.05, 0.1, 0.06),
    # weights of half an hour to two hours on one core of a CPU: bounds a third above what was measured, to be tightened
    "geoflownet": Case(GeoFlowNet(precision="float32"), 0.06, 0.46, 0.16),
    "iterative": Case(Iterative(precision="float32"), 0.06, 0.15, 0.22),
    "searaft": Case(SeaRaft(precision="float32"), 0.08, 0.3, 0.33),
    "cnn4l": Case(Cnn4l(precision="float32"), 0.08, 0.25, 0.21),
    "spatial unregularised": Case(Spatial(window_px=15, reg=0.0, max_slope=None), 0.005, 0.03),
}
"""Add a new estimator here, and every law is asked of it."""


def as_params(cases: dict[str, Case]) -> list[ParameterSet]:
    """The cases for `pytest.mark.parametrize`; those whose weights are not there yet are skipped and say so."""
    return [
        pytest.param(
            case,
            id=name,
            marks=pytest.mark.skipif(
                bool(case.missing), reason=f"the package does not hold the weights {', '.join(case.missing)} yet"
            ),
        )
        for name, case in cases.items()
    ]


NORTH_UP = Affine(10, 0, 5e5, 0, -10, 4e6)


def stepped(estimator: Estimator, step: int) -> Estimator:
    """The same estimator, measuring at every `step`-th pixel."""
    return type(estimator)(**{**estimator.model_dump(), "step_px": step})


def texture(shape: tuple[int, int] = (140, 190), seed: int = 0) -> torch.Tensor:
    """Random ground without anything above 0.35 cycles/px, so that a Fourier shift of it is exact; float64."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator, dtype=torch.float64))
    frequency = (torch.fft.fftfreq(shape[0])[:, None] ** 2 + torch.fft.rfftfreq(shape[1]) ** 2).sqrt()
    ground = torch.fft.irfft2(spectrum * (frequency < 0.35) / (0.05 + frequency), s=shape)
    return 1000 + 100 * (ground - ground.mean()) / ground.std()


def pair_of_arrays(before: torch.Tensor, after: torch.Tensor, transform: Affine = NORTH_UP) -> ArrayPair:
    """Two arrays on one grid."""
    grid = Grid(*before.shape, transform, "EPSG:32631")
    return ArrayPair(Pair(Image(before[None].float(), grid), Image(after[None].float(), grid)))


def moved_pair(xy: tuple[float, float], transform: Affine = NORTH_UP, shape: tuple[int, int] = (140, 190)) -> ArrayPair:
    """Ground that moved by exactly (x right, y down) px everywhere."""
    ground = texture(shape)
    return pair_of_arrays(ground, fourier_shift(ground, xy), transform)
