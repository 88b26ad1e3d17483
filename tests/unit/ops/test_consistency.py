"""Laws of the low-frequency constraint, and of back-projection, which alone returns the coarse image."""

import pytest
import torch

from terrashift.errors import OptionError
from terrashift.ops.consistency import back_project, constrain_low_frequencies, low_pass
from terrashift.ops.looks import interpolate_fine, looks


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(0)
    return [torch.randn(2, 2, 24, 33, generator=random, dtype=torch.float64) for _ in (0, 1)]


def test_with_the_ideal_filter_low_frequencies_are_the_smooth_images(images):
    sharp, smooth = images
    result = constrain_low_frequencies(sharp, smooth, 3, "ideal")
    torch.testing.assert_close(low_pass(result, 3, "ideal"), low_pass(smooth, 3, "ideal"), atol=1e-10, rtol=0)
    rest = result - low_pass(result, 3, "ideal")
    torch.testing.assert_close(rest, sharp - low_pass(sharp, 3, "ideal"), atol=1e-10, rtol=0)


def test_with_the_ideal_filter_twice_is_once(images):
    once = constrain_low_frequencies(*images, 3, "ideal")
    torch.testing.assert_close(constrain_low_frequencies(once, images[1], 3, "ideal"), once, atol=1e-10, rtol=0)


def test_with_the_camera_s_filter_the_result_is_a_mixture(images):
    sharp, smooth = images
    expected = low_pass(smooth, 3) + sharp - low_pass(sharp, 3)
    torch.testing.assert_close(constrain_low_frequencies(sharp, smooth, 3), expected)
    again = constrain_low_frequencies(expected, smooth, 3)
    assert (again - expected).abs().max() > 0.01


def test_the_camera_s_filter_passes_the_contrast_told_at_nyquist():
    x = torch.arange(48, dtype=torch.float64) + 0.5
    wave = torch.cos(torch.pi * x / 3).expand(1, 1, 12, 48)  # half a cycle per 3 px, even about the border
    torch.testing.assert_close(low_pass(wave, 3, contrast=0.3), 0.3 * wave, atol=1e-9, rtol=0)


def test_images_that_agree_stay_as_they_are(images):
    for kind in ("ideal", "gaussian"):
        torch.testing.assert_close(constrain_low_frequencies(images[0], images[0], 3, kind), images[0])
    with pytest.raises(OptionError, match="between 0 and 1"):
        constrain_low_frequencies(*images, 3, contrast=1.0)


def test_back_projection_returns_the_coarse_image():
    random = torch.Generator().manual_seed(1)
    fine = torch.randn(1, 1, 36, 45, generator=random)
    still = torch.zeros(1, 1, 2)
    given = looks(still, (12, 15), 3, 0.44)
    coarse = given.see(torch.randn(1, 1, 36, 45, generator=random))[:, 0]

    def see(x):
        return given.see(x)[:, 0]

    def up(y):
        return interpolate_fine(y[:, None], still, 3)[:, 0]

    left = [float((see(back_project(fine, coarse, see, up, n)) - coarse).abs().max()) for n in (0, 5, 20)]
    assert left[1] < 0.5 * left[0]
    assert left[2] < 0.1 * left[0]
    same = back_project(fine, see(fine), see, up)
    torch.testing.assert_close(same, fine)
