"""A coarser camera: its contrast is the one asked for, its middle is in the middle, its adjoint is the adjoint."""

import math

import numpy as np
import pytest
import torch

from terrashift.errors import OptionError
from terrashift.ops.decimate import SHARPEST, blur_of, camera_taps, decimate, spread
from terrashift.simulate.sensor import Sensor


@pytest.mark.parametrize("contrast", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_a_wave_at_nyquist_keeps_the_contrast_asked_for(contrast, scale):
    taps = camera_taps(torch.tensor([blur_of(contrast)]), scale)[0]
    away = (torch.arange(len(taps)) - (len(taps) - 1) / 2) / scale
    found = float((taps * torch.cos(math.pi * away)).sum())
    # a pixel made of few finer ones gathers a little more than one of many
    pixel = 1 / (scale * math.sin(math.pi / (2 * scale)))
    assert found == pytest.approx(contrast * pixel / SHARPEST, rel=0.03)


def test_the_taps_are_those_of_the_simulated_sensor():
    taps = camera_taps(torch.tensor([0.45]), 3)[0].numpy()
    np.testing.assert_allclose(taps, Sensor(0.45).taps(3), atol=1e-6)


def test_every_image_has_its_own_camera():
    blur = torch.tensor([0.3, 0.5])
    image = torch.randn(2, 2, 12, 18, generator=torch.Generator().manual_seed(0))
    both = decimate(image, camera_taps(blur, 3), 3)
    for k in (0, 1):
        alone = decimate(image[k : k + 1], camera_taps(blur[k : k + 1], 3, 0.5), 3)
        torch.testing.assert_close(both[k : k + 1], alone)


def test_brightness_is_kept_and_a_slope_has_the_coarse_pixels_middle():
    row, column = torch.arange(12.0)[:, None], torch.arange(18.0)
    image = (5 + 2 * row - 3 * column)[None, None]
    seen = decimate(image, camera_taps(torch.tensor([0.3]), 3), 3)[0, 0]
    at_row, at_column = 3 * torch.arange(4.0)[:, None] + 1, 3 * torch.arange(6.0) + 1
    torch.testing.assert_close(seen[1:-1, 1:-1], (5 + 2 * at_row - 3 * at_column)[1:-1, 1:-1])


def test_spread_is_the_adjoint_of_decimate():
    random = torch.Generator().manual_seed(1)
    taps = camera_taps(torch.tensor([0.3, 0.45]), 3).double()
    fine = torch.zeros(2, 2, 24, 30, dtype=torch.float64)
    fine[..., 9:-9, 9:-9] = torch.randn(2, 2, 6, 12, generator=random, dtype=torch.float64)
    coarse = torch.randn(2, 2, 8, 10, generator=random, dtype=torch.float64)
    one, other = (decimate(fine, taps, 3) * coarse).sum(), (fine * spread(coarse, taps, 3)).sum()
    assert float(one) == pytest.approx(float(other), rel=1e-9)


def test_a_contrast_that_no_camera_has_is_refused():
    for contrast in (0.0, 0.7):
        with pytest.raises(OptionError, match="contrast"):
            blur_of(contrast)
