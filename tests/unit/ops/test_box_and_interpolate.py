import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from terrashift.ops.box import box_sum
from terrashift.ops.interpolate import sinc_weights
from terrashift.ops.spectral import fourier_shift, phase_correlate


@settings(max_examples=40, deadline=None)
@given(h=st.integers(1, 20), w=st.integers(1, 25), side=st.integers(1, 20), step=st.integers(1, 4))
def test_a_box_sum_is_the_sum_of_every_window(h, w, side, step):
    if side > min(h, w):
        return
    image = torch.randn(h, w, generator=torch.Generator().manual_seed(h * w), dtype=torch.float64)
    windows = image.unfold(0, side, 1).unfold(1, side, 1)[::step, ::step].sum((2, 3))
    assert torch.allclose(box_sum(image, side, step), windows)


def test_a_box_sum_has_the_same_bits_wherever_the_window_lies():
    image = torch.randn(60, 70, generator=torch.Generator().manual_seed(0))
    assert torch.equal(box_sum(image, 9)[7:20, 11:30], box_sum(image[7:28, 11:38], 9))


def test_sinc_weights_reproduce_slow_waves_between_samples():
    for frequency in (0.05, 0.2, 0.3):
        for offset in (-0.7, -0.2, 0.35, 0.5):
            taps = torch.arange(-6, 7, dtype=torch.float64)
            wave = torch.cos(2 * torch.pi * frequency * taps + 0.4)
            value = (sinc_weights(torch.tensor(offset, dtype=torch.float64), 6) * wave).sum()
            assert abs(value - torch.cos(torch.tensor(2 * torch.pi * frequency * offset + 0.4))) < 0.05


def texture(height, width):
    noise = torch.randn(height, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    return torch.fft.irfft2(torch.fft.rfft2(noise) / (0.05 + (fx**2 + fy**2).sqrt()), s=(height, width))


def test_a_whole_fourier_shift_is_a_roll_to_the_right_and_down():
    image = texture(30, 41)
    assert torch.allclose(fourier_shift(image, (3.0, -2.0)), image.roll((-2, 3), (0, 1)))


def test_fourier_shifts_there_and_back_cancel_on_odd_sides():
    image = texture(31, 41)
    assert torch.allclose(fourier_shift(fourier_shift(image, (0.3, -0.7)), (-0.3, 0.7)), image)


def test_phase_correlation_finds_the_shift_with_its_sign_on_a_non_square_patch():
    image = texture(96, 128)
    peak = phase_correlate(image[None].float(), fourier_shift(image, (5.0, -3.0))[None].float())
    assert (peak.xy[0] - torch.tensor([5.0, -3.0])).abs().max() < 0.1
    assert peak.strength[0] > 7


def test_phase_correlation_of_unrelated_noise_is_weak():
    noise = torch.randn(20, 64, 64, generator=torch.Generator().manual_seed(0))
    peak = phase_correlate(noise[:10], noise[10:])
    assert peak.strength.max() < 6
