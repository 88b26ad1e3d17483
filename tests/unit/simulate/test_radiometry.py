"""Each switch changes what it says and nothing else, and nothing in the image moves."""

from dataclasses import fields, replace

import pytest
import torch

from terrashift.ops.random import Random, waves
from terrashift.ops.spectral import refined_correlate
from terrashift.simulate.radiometry import OFF, SENSOR_ONLY, Radiometry, alter

SWITCHES = [field.name for field in fields(Radiometry) if field.name != "shadows"]
FULL = Radiometry(clouds=1.0)


def images(batch: int, height: int = 64, width: int = 80) -> torch.Tensor:
    """Coloured noise of unit deviation."""
    frequency = torch.fft.fftfreq(height)[:, None].hypot(torch.fft.rfftfreq(width))
    white = Random.of(99, range(batch)).normal("image", height, width)
    image = torch.fft.irfft2(torch.fft.rfft2(white) / (frequency + 0.03), s=(height, width))
    return (image - image.mean((1, 2), keepdim=True)) / image.std((1, 2), keepdim=True)


def only(switch: str) -> Radiometry:
    return replace(OFF, shadows=FULL.shadows, **{switch: getattr(FULL, switch)})


def altered(image: torch.Tensor, radiometry: Radiometry, seed: int = 1) -> torch.Tensor:
    return alter(image, radiometry, Random.of(seed, range(len(image))))


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(first, second, strict=True)]
    )


def test_with_every_switch_at_zero_nothing_changes_at_all():
    image = images(4)
    assert torch.equal(altered(image, OFF), image)


def test_the_given_image_is_left_as_it_was():
    image = images(4)
    kept = image.clone()
    altered(image, FULL)
    assert torch.equal(image, kept)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_alone_changes_images(switch):
    image = images(40)
    changed = (altered(image, only(switch)) - image).abs().amax((1, 2)) > 1e-3
    assert changed.float().mean() > (0.5 if switch == "mtf_px" else 0.85)  # a blur below 0.15 px is none


@pytest.mark.parametrize("switch", SWITCHES)
def test_one_switch_off_leaves_the_others_as_they_are(switch):
    # what one part draws must not shift what another draws
    image = images(4)
    others = [name for name in SWITCHES if name != switch][:1]
    both = replace(OFF, **{name: getattr(FULL, name) for name in (*others, switch)})
    alone, together = altered(image, only(others[0])), altered(image, both)
    assert not torch.equal(alone, together)
    assert torch.equal(altered(image, replace(both, **{switch: 0.0})), alone)


@pytest.mark.parametrize("switch", SWITCHES)
def test_an_image_is_changed_alike_in_any_batch(switch):
    image = images(6)
    together = altered(image, only(switch))
    alone = alter(image[4:5], only(switch), Random.of(1, [4]))
    assert torch.allclose(together[4:5], alone, atol=1e-5)


@pytest.mark.parametrize("switch", [*SWITCHES, "all"])
def test_no_switch_moves_the_image(switch):
    image = images(192)
    radiometry = replace(FULL, clouds=0.1) if switch == "all" else only(switch)
    if switch == "clouds":
        radiometry = replace(OFF, clouds=0.1, shadows=0.8)
    found = refined_correlate(image, altered(image, radiometry))
    clear = found.xy[(found.strength > 8) & (found.xy.abs().amax(1) < 2)]
    assert len(clear) > 150
    assert clear.mean(0).abs().max() < 0.01
    assert clear.median(0).values.abs().max() < 0.005


@pytest.mark.parametrize("switch", ["mtf_px", "gain", "haze"])
def test_blur_and_light_move_no_single_image_either(switch):
    image = images(48)
    found = refined_correlate(image, altered(image, only(switch)))
    assert found.xy.abs().max() < 0.02


def test_gain_scales_about_the_mean_of_the_place():
    image = images(600, 16, 16)
    ratio = altered(image, replace(OFF, gain=0.3)) / image
    first = ratio[:, 0, 0]
    assert torch.allclose(ratio, first[:, None, None].expand_as(ratio), rtol=1e-4)
    assert 0.7 < first.min() < 0.71
    assert 1.29 < first.max() < 1.3


def test_noise_is_white_and_of_a_deviation_up_to_the_largest():
    image = images(300)
    noise = altered(image, replace(OFF, noise=0.15)) - image
    deviation = noise.std((1, 2))
    assert 0.14 < deviation.max() < 0.155
    assert abs(deviation.mean() - 0.05) < 0.006  # the mean square of a uniform number is a third
    strong = noise[deviation > 0.05]
    for axis in (1, 2):
        length = strong.shape[axis] - 1
        products = strong.narrow(axis, 1, length) * strong.narrow(axis, 0, length)
        assert (products.mean((1, 2)) / strong.var((1, 2))).mean().abs() < 0.01
    assert correlation(strong, image[deviation > 0.05]).abs().mean() < 0.04


def test_blur_takes_from_high_frequencies_and_leaves_low_ones_and_the_mean():
    image = images(64)
    blurred = altered(image, replace(OFF, mtf_px=0.6))
    power = torch.fft.rfft2(blurred).abs().square() / torch.fft.rfft2(image).abs().square()
    frequency = torch.fft.fftfreq(64)[:, None].hypot(torch.fft.rfftfreq(80))
    high, low = (
        power[:, frequency > 0.45].median(1).values,
        power[:, (frequency < 0.05) & (frequency > 0)].median(1).values,
    )
    assert (high < 1.001).all()
    assert (high < 0.9).float().mean() > 0.4
    assert high.min() < 0.2
    assert (low - 1).abs().max() < 0.1
    assert (blurred.mean((1, 2)) - image.mean((1, 2))).abs().max() < 0.02
    flat = torch.full((4, 20, 30), 2.5)
    assert torch.allclose(altered(flat, replace(OFF, mtf_px=0.6)), flat, atol=1e-6)


def test_blur_follows_the_gaussian_of_its_deviation():
    spike = torch.zeros(200, 11, 13)
    spike[:, 5, 6] = 1
    blurred = altered(spike, replace(OFF, mtf_px=0.6))
    assert torch.allclose(blurred.sum((1, 2)), torch.ones(200), atol=1e-5)
    assert torch.allclose(blurred, blurred.flip(1, 2), atol=1e-7)
    assert torch.allclose(blurred[:, :, 6] * blurred[:, 5:6, 6], blurred[:, 5:6, 6] * blurred[:, 5, 1:12], atol=1e-7)
    # ratio of neighbours of a Gaussian: exp(-1 / (2 deviation^2)), largest for the widest
    ratio = blurred[:, 5, 7] / blurred[:, 5, 6]
    assert 0.23 < ratio.max() < torch.tensor(-0.5 / 0.36).exp()


def test_change_comes_in_patches_and_leaves_the_ground_between():
    image = images(64)
    difference = (altered(image, replace(OFF, change=0.5)) - image).abs()
    strong = difference.flatten(1).amax(1) > 0.2
    untouched = (difference[strong] < 0.05 * difference[strong].amax((1, 2), keepdim=True)).flatten(1).float().mean(1)
    assert strong.float().mean() > 0.5
    assert 0.4 < untouched.mean() < 0.95


def test_haze_is_smooth_and_takes_contrast():
    flat = torch.zeros(64, 64, 80)
    veil = altered(flat, replace(OFF, haze=0.5))
    assert veil.std((1, 2)).max() < 0.5
    assert veil.std() > 0.05
    assert veil.diff(dim=2).abs().max() < 0.2
    image = images(64)
    assert ((altered(image, replace(OFF, haze=0.5)) - veil).std((1, 2)) / image.std((1, 2))).mean() < 0.95


def test_the_sun_brightens_one_side_and_darkens_the_other():
    flat = torch.zeros(64, 64, 80)
    light = altered(flat, replace(OFF, sun=0.4))
    assert light.mean((1, 2)).abs().max() < 0.1
    assert 0.3 < light.abs().amax((1, 2)).max() <= 0.8
    assert 0.35 < (light > 0).float().mean() < 0.65


def test_clouds_come_to_their_share_of_images_bright_with_dark_shadows():
    flat = torch.zeros(500, 32, 40)
    clouded = altered(flat, replace(OFF, clouds=0.3, shadows=0.8))
    present = clouded.flatten(1).any(1)
    assert abs(present.float().mean() - 0.3) < 0.06
    assert torch.equal(clouded[~present], flat[~present])
    assert clouded.max() <= 4
    assert clouded.max() > 3
    assert -0.81 < clouded.min() < -0.5


def test_clouds_without_shadows_darken_nothing_and_lie_where_they_did():
    flat = torch.zeros(60, 32, 40)
    bare, shaded = (altered(flat, replace(OFF, clouds=1.0, shadows=dark)) for dark in (0.0, 0.8))
    assert bare.min() >= 0
    assert bare.max() > 3
    assert (bare - shaded).min() > -1e-6
    assert (shaded < -0.4).any()
    cloud = bare > 3.96
    assert cloud.any()
    assert (shaded[cloud] > 3.9).all()


def test_shadows_darken_in_proportion_and_are_nothing_without_clouds():
    flat = torch.zeros(60, 32, 40)
    bare, half, whole = (altered(flat, replace(OFF, clouds=1.0, shadows=dark)) for dark in (0.0, 0.4, 0.8))
    assert torch.allclose(bare - half, (bare - whole) / 2, atol=1e-5)
    image = images(3)
    assert torch.equal(altered(image, replace(OFF, shadows=0.8)), image)


def test_real_dates_keep_their_own_light():
    assert (SENSOR_ONLY.haze, SENSOR_ONLY.change, SENSOR_ONLY.sun) == (0, 0, 0)


def test_waves_pass_through_their_knots_and_have_unit_deviation_or_less():
    random = Random.of(3, range(200))
    knots = random.normal("w", 2, 5, 6 - 1)
    found = waves(random, "w", 2, 5, (33, 65))
    assert found.shape == (200, 2, 33, 65)
    assert torch.allclose(found[:, :, ::8, ::16], knots, atol=1e-5)
    assert 0.6 < found.std() < 1
