"""The numbers that scenes are held against are those of textures whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from terrashift.simulate.statistics import likeness, texture
from terrashift.simulate.terrain import fractal


@pytest.mark.parametrize("power", [1.0, 2.0, 2.8])
def test_the_slope_of_a_power_law_is_its_power(power):
    found = [texture(1 + 0.1 * fractal((256, 300), power, np.random.default_rng(seed))).slope for seed in range(4)]
    assert np.mean(found) == pytest.approx(-power, abs=0.15)


def test_white_noise_has_no_length_and_a_blurred_one_that_of_the_blur():
    noise = np.random.default_rng(0).standard_normal((256, 256))
    assert texture(1 + 0.1 * noise).length_px < 1
    for blur in (2.0, 5.0):
        # a Gaussian of deviation s correlates as exp(-d^2 / 4 s^2)
        assert texture(10 + ndimage.gaussian_filter(noise, blur)).length_px == pytest.approx(2 * blur, rel=0.15)


def test_contrast_and_kurtosis_of_gaussian_and_blocky_images():
    random = np.random.default_rng(0)
    even = texture(1 + 0.1 * random.standard_normal((256, 256)))
    assert even.variation == pytest.approx(0.1, rel=0.02)
    assert even.kurtosis == pytest.approx(0, abs=0.1)
    assert texture(2 + np.kron(random.random((16, 16)), np.ones((16, 16)))).kurtosis > 10


def test_likeness_is_the_share_of_common_variance_whatever_gain_and_offset():
    random = np.random.default_rng(0)
    first, other = random.standard_normal((2, 200, 240))
    assert likeness(first, 3 + 2 * first) == pytest.approx(1, abs=1e-6)
    assert likeness(first, other) == pytest.approx(0, abs=0.03)
    assert likeness(first, first + other) == pytest.approx(0.5**0.5, abs=0.03)
    assert likeness(first, np.roll(first, 1, 1)) == pytest.approx(0, abs=0.03)
