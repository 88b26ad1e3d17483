"""Normalisation: brightness and contrast do not matter, gaps stay out of it, flat ground stays flat."""

import pytest
import torch

from terrashift.errors import OptionError
from terrashift.models.normalise import fill_gaps, min_max, standardise, standardise_locally


def image(count=2, height=50, width=66, seed=0):
    torch.manual_seed(seed)
    return torch.nn.functional.avg_pool2d(torch.randn(count, 1, height + 2, width + 2), 3, 1)


ALL = [min_max, standardise, standardise_locally]


@pytest.mark.parametrize("normalise", ALL)
def test_brightness_and_contrast_do_not_matter(normalise):
    plain = image()
    assert torch.allclose(normalise(plain), normalise(8000 + 900 * plain), atol=2e-2)
    assert torch.allclose(normalise(plain), normalise(0.3 + 0.01 * plain), atol=2e-4)


@pytest.mark.parametrize("normalise", ALL)
def test_samples_and_bands_do_not_know_of_each_other(normalise):
    both = torch.cat([image(), 5 + 3 * image(seed=1)], 1)
    assert torch.allclose(normalise(both)[1:, 1:], normalise(both[1:, 1:]), atol=1e-6)


@pytest.mark.parametrize("normalise", ALL)
def test_a_constant_image_becomes_nothing(normalise):
    for value in (0.0, 7.3, -12345.6):
        assert normalise(torch.full((1, 1, 40, 30), value)).abs().max() < 0.2


@pytest.mark.parametrize("normalise", ALL)
def test_gaps_stay_gaps_and_count_for_nothing(normalise):
    whole = image()
    holed = whole.clone()
    holed[0, :, 10:13, 20:25] = torch.nan
    wild = torch.where(holed.isnan(), 1e6, whole)
    assert torch.equal(normalise(holed).isnan(), holed.isnan())
    far = normalise(holed)[1]
    assert torch.allclose(far, normalise(whole)[1], atol=1e-6)
    assert (normalise(holed)[0] - normalise(whole)[0]).nan_to_num(0).abs().mean() < 0.05
    assert (normalise(wild)[0] - normalise(whole)[0]).abs().mean() > 0.05


@pytest.mark.parametrize("normalise", ALL)
def test_an_image_of_gaps_alone_stays_one(normalise):
    assert normalise(torch.full((1, 1, 40, 30), torch.nan)).isnan().all()


def test_min_max_reaches_from_zero_to_one():
    out = min_max(300 + 7 * image())
    assert (out.amin((2, 3)) == 0).all()
    assert torch.allclose(out.amax((2, 3)), torch.ones(2, 1))


def test_standardised_images_have_mean_zero_and_deviation_one():
    out = standardise(300 + 7 * image())
    assert out.mean((2, 3)).abs().max() < 1e-4
    assert torch.allclose(out.std((2, 3), correction=0), torch.ones(2, 1), atol=1e-4)


@pytest.mark.parametrize("side", [7, 8])
def test_locally_standardised_pixels_are_those_of_the_window_around_them(side):
    plain = image(1)
    out = standardise_locally(plain, side, largest=None, least_share=0.0)
    for row, column in ((20, 30), (25, 11)):
        first = row - side // 2, column - side // 2
        window = plain[0, 0, first[0] : first[0] + side, first[1] : first[1] + side]
        expected = (plain[0, 0, row, column] - window.mean()) / window.std(correction=0)
        assert out[0, 0, row, column] == pytest.approx(expected.item(), abs=1e-4)


def test_a_crop_is_normalised_like_the_whole_beyond_the_reach_of_the_border():
    whole = image(1, 120, 130)
    reach = 17 * 4 // 2
    crop = standardise_locally(whole[..., 10:115, 15:125])
    inner = standardise_locally(whole)[..., 10 + reach : 115 - reach, 15 + reach : 125 - reach]
    assert torch.allclose(crop[..., reach:-reach, reach:-reach], inner, atol=1e-4)


def test_flat_ground_beside_rough_stays_flat_and_bright_roofs_are_cut_off():
    plain = image(1)
    plain[..., :25, :] *= 1e-3
    plain[..., 40, 40] = 1000.0
    out = standardise_locally(plain)
    assert out[..., :10, :].abs().max() < 0.2
    assert standardise_locally(plain, least_share=0.0)[..., :10, :].abs().max() > 1
    assert out.max() == 4.0
    assert standardise_locally(plain, largest=None).max() > 4


def test_gaps_are_filled_with_what_lies_around_them():
    holed = image(1) + torch.linspace(0, 100, 66)
    holed[..., 20:24, 30:34] = torch.nan
    filled = fill_gaps(holed, 9)
    assert filled.image.isfinite().all()
    assert torch.equal(filled.valid, ~holed.isnan())
    assert torch.equal(filled.image[filled.valid], holed[filled.valid])
    assert (filled.image[0, 0, 22, 31] - 100 * 31 / 65).abs() < 3


def test_wide_gaps_get_the_mean_of_the_image_and_empty_images_nothing():
    holed = 7 + 0 * image(2)
    holed[0, :, :, :40] = torch.nan
    holed[1] = torch.nan
    filled = fill_gaps(holed, 9).image
    assert torch.allclose(filled[0], torch.tensor(7.0))
    assert (filled[1] == 0).all()
    full = image()
    assert fill_gaps(full).image is full


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(OptionError):
        standardise_locally(image(), 1)
    with pytest.raises(OptionError):
        standardise_locally(image(), least_share=-0.1)
