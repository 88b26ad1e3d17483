"""A sensor blurs and gathers as its contrast says, adds the noise that it should, and keeps gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.errors import OptionError
from terrashift.simulate.sensor import Sensor, see

QUIET = Sensor(noise=0.0, shot=0.0)


@pytest.mark.parametrize("density", [1, 2, 3, 4])
@pytest.mark.parametrize("blur_px", [0.0, 0.3, 0.7])
def test_weights_sum_to_one_and_lie_evenly_about_the_middle(density, blur_px):
    taps = Sensor(blur_px=blur_px).taps(density)
    assert taps.sum() == pytest.approx(1)
    assert np.allclose(taps, taps[::-1])
    assert len(taps) % 2 == density % 2


def test_even_light_comes_through_unchanged_up_to_the_border():
    seen = see(torch.full((40, 60), 0.2), 2, QUIET, 0, "any")
    assert seen.shape == (1, 20, 30)
    assert torch.allclose(seen, torch.tensor(0.2), atol=1e-6)


def test_without_blur_a_pixel_is_the_mean_of_its_samples():
    light = torch.from_numpy(np.random.default_rng(0).random((12, 18), np.float32))
    wanted = light.reshape(6, 2, 9, 2).mean((1, 3))
    assert torch.allclose(see(light, 2, Sensor(0.0, 0.0, 0.0), 0, "any")[0], wanted, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_keeps_the_share_of_its_amplitude_that_the_contrast_says(axis):
    at = (np.arange(120) + 0.5) / 2 - 0.5
    wave = np.cos(2 * np.pi * 0.3 * at).astype(np.float32)
    light = torch.from_numpy(
        np.tile(0.5 + 0.3 * (wave[:, None] if axis == 0 else wave), (1, 120) if axis == 0 else (120, 1))
    )
    line = see(light, 2, QUIET, 0, "any")[0].mean(1 - axis)[10:50].numpy()  # twelve whole waves
    wave = np.exp(2j * np.pi * 0.3 * np.arange(10, 50))
    assert 2 * abs((line * wave).mean()) / 0.3 == pytest.approx(QUIET.contrast(0.3, 2), abs=1e-3)


def test_the_usual_sensor_passes_a_quarter_of_the_contrast_at_half_a_cycle_per_pixel():
    assert Sensor().contrast(0.5, 2) == pytest.approx(0.26, abs=0.01)
    assert Sensor().contrast(0.0, 2) == pytest.approx(1)


def test_noise_grows_with_the_signal_and_is_the_same_for_the_same_seed_and_date():
    sensor = Sensor(noise=0.002, shot=1e-4)
    dark, bright = torch.full((400, 400), 0.05), torch.full((400, 400), 0.5)
    for light in (dark, bright):
        level = float(light[0, 0])
        seen = see(light, 2, sensor, 7, "before")
        assert float(seen.std()) == pytest.approx((0.002**2 + 1e-4 * level) ** 0.5, rel=0.02)
        assert float(seen.mean()) == pytest.approx(level, abs=2e-4)
    again, later = see(dark, 2, sensor, 7, "before"), see(dark, 2, sensor, 7, "after")
    assert torch.equal(again, see(dark, 2, sensor, 7, "before"))
    assert not torch.equal(again, later)
    assert not torch.equal(again, see(dark, 2, sensor, 8, "before"))


def test_a_gap_takes_the_pixels_that_its_light_would_reach_and_no_others():
    light = torch.full((40, 40), 0.2)
    light[20, 20] = torch.nan
    lost = see(light, 2, QUIET, 0, "any")[0].isnan()
    reach = QUIET.margin_px(2)
    assert lost[10, 10]
    assert not lost[:, : 10 - reach].any()
    assert not lost[10 + reach + 1 :].any()


def test_light_that_does_not_fill_whole_pixels_is_refused():
    with pytest.raises(OptionError, match="crop it"):
        see(torch.ones(9, 10), 2, QUIET, 0, "any")
