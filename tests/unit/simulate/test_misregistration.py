"""The offset between two dates comes back with its sign, and noise is not taken for a match."""

import math

import pytest
import torch

from terrashift.ops.random import Random
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.misregistration import Misregistration, misregistration


def ground(height: int = 200, width: int = 260, seed: int = 0) -> torch.Tensor:
    frequency = torch.fft.fftfreq(height)[:, None].hypot(torch.fft.rfftfreq(width))
    white = torch.fft.rfft2(Random.of(seed, [0]).normal("ground", height, width)[0])
    image = torch.fft.irfft2(white * torch.exp(-((frequency / 0.25) ** 2)) / (frequency + 0.02), s=(height, width))
    return (image - image.mean()) / image.std()


def noise(like: torch.Tensor, seed: int) -> torch.Tensor:
    return Random.of(seed, [0]).normal("noise", *like.shape)[0]


@pytest.mark.parametrize("xy", [(0.0, 0.0), (0.4, -0.25), (-1.3, 0.75), (2.0, 2.9)])
def test_what_is_at_p_on_the_first_date_is_at_p_plus_xy_on_the_second(xy):
    first = ground()
    found = misregistration(first + 0.05 * noise(first, 1), fourier_shift(first, xy) + 0.05 * noise(first, 2))
    assert found.xy == pytest.approx(xy, abs=0.01)
    assert found.matched == 1
    assert found.count == 6
    assert max(found.spread) < 0.03


def test_dates_exchanged_reverse_the_offset():
    first = ground()
    second = fourier_shift(first, (0.6, -0.3))
    one, other = misregistration(first, second).xy, misregistration(second, first).xy
    assert one == pytest.approx([-v for v in other], abs=0.01)


def test_dates_that_show_different_places_do_not_match():
    found = misregistration(ground(), ground(seed=7))
    assert found.matched < 0.3


def test_windows_without_data_are_left_out():
    first = ground(200, 300)
    second = fourier_shift(first, (0.5, 0.25))
    second[:, :140] = torch.nan
    found = misregistration(first, second)
    assert found.xy == pytest.approx((0.5, 0.25), abs=0.02)
    assert (found.matched, found.count) == (1, 2)
    nothing = misregistration(first, torch.full_like(first, torch.nan))
    assert math.isnan(nothing.xy[0])
    assert (nothing.matched, nothing.count) == (0.0, 0)


def test_a_part_that_moved_by_itself_does_not_sway_the_rest():
    first = ground(300, 300)
    second = fourier_shift(first, (0.2, 0.1))
    second[:110, :110] = fourier_shift(first, (4.0, -3.0))[:110, :110]
    assert misregistration(first, second).xy == pytest.approx((0.2, 0.1), abs=0.02)


def test_images_smaller_than_a_window_are_one_window():
    first = ground(100, 90)
    found = misregistration(first, fourier_shift(first, (-0.4, 0.3)))
    assert found.xy == pytest.approx((-0.4, 0.3), abs=0.02)
    assert found.count == 1


def test_the_error_shrinks_with_the_windows():
    few, many = (Misregistration((0.0, 0.0), (0.03, 0.04), 1.0, count) for count in (4, 400))
    assert few.error == pytest.approx(1.25 * 0.05)
    assert many.error == pytest.approx(few.error / 10)
