"""Shifts, brightness and outliers of frames."""

from __future__ import annotations

import pytest
import torch
from planted_bursts import SHIFTS, burst

from terrashift.superres.align import align, clearest, match
from terrashift.superres.average import Average
from terrashift.superres.brightness import Light, anchored, gathered, light_of, lit
from terrashift.superres.frames import Frames
from terrashift.superres.outliers import outliers, without_outliers

WIDE = (*SHIFTS, (2.6, -1.3), (-3.0, 4.0))


def test_shifts_come_back_with_their_signs():
    planted = burst((48, 60), 2, WIDE)
    aligned = align(planted.pixels, 0)
    assert aligned.used == tuple(range(len(WIDE)))
    torch.testing.assert_close(aligned.frames.shifts, planted.shifts, rtol=0, atol=0.03)
    assert aligned.frames.home == 0


def test_shifts_are_found_through_clouds_other_light_and_noise():
    planted = burst((60, 72), 3, noise=2.0, finest=0.33)
    pixels = planted.pixels.clone()
    pixels[1] = 0.6 * pixels[1] + 50
    pixels[2, :, :25, :40] = torch.nan
    pixels[3, :, 30:45, 20:50] = 400.0  # a cloud that no mask tells of
    shifts = align(pixels, 0).frames.shifts
    torch.testing.assert_close(shifts, planted.shifts, rtol=0, atol=0.08)


def test_what_a_frame_is_moved_against_decides_the_sign():
    planted = burst((48, 60))
    there, back = (match(planted.pixels[a], planted.pixels[b]) for a, b in ((0, 1), (1, 0)))
    assert there is not None
    assert back is not None
    assert abs(there.shift[0] + back.shift[0]) + abs(there.shift[1] + back.shift[1]) < 0.02
    assert there.shift == pytest.approx(SHIFTS[1], abs=0.03)
    assert there.error_px < 0.03


def test_a_frame_of_another_place_matches_nothing():
    planted, other = burst((48, 60)), burst((48, 60), seed=5)
    aligned = align(torch.cat([planted.pixels[:3], other.pixels[:1]]), 0)
    assert aligned.used == (0, 1, 2)


def test_constant_and_empty_frames_match_nothing():
    planted = burst((48, 60))
    flat, empty = torch.full((1, 48, 60), 9.0), torch.full((1, 48, 60), torch.nan)
    assert match(planted.pixels[0], flat) is None
    assert match(planted.pixels[0], empty) is None
    assert align(torch.stack([planted.pixels[0], flat, empty]), 0).used == (0,)


def test_the_clearest_frame_is_the_reference_unless_told():
    pixels = burst().pixels.clone()
    pixels[0, :, :9] = torch.nan
    pixels[1, :, 0, 0] = torch.nan
    assert clearest(pixels[:2]) == 1
    assert align(pixels[:2]).frames.home == 1


def test_gain_and_offset_bring_a_frame_to_the_brightness_of_the_reference():
    planted = burst((48, 60), bands=2)
    dim = planted.pixels[1] * torch.tensor([0.5, 1.6])[:, None, None] + torch.tensor([30.0, -20.0])[:, None, None]
    dim[:, 5:15, 5:15] = 900.0
    light = light_of(planted.pixels[0], dim, SHIFTS[1])
    torch.testing.assert_close(light.gain, torch.tensor([2.0, 1 / 1.6]), rtol=0.02, atol=0)
    torch.testing.assert_close(light.offset, torch.tensor([-60.0, 20 / 1.6]), rtol=0, atol=2.0)
    frames = lit(Frames.shifted(dim[None], [SHIFTS[1]]), [light])
    assert abs(float(frames.pixels[0, :, 20:].mean() - planted.pixels[1, :, 20:].mean())) < 1


def test_a_frame_that_shows_the_contrary_keeps_its_contrast():
    planted = burst((48, 60))
    assert float(light_of(planted.pixels[0], 200 - planted.pixels[0]).gain) == 1.0


def test_an_unmasked_cloud_is_found_and_edges_are_not():
    planted = burst((48, 60), noise=0.5)
    pixels = planted.pixels.clone()
    pixels[2, :, 10:25, 12:30] += 60
    wrong = outliers(Frames.shifted(pixels, planted.shifts))
    assert wrong[2, 12:23, 14:28].all()
    assert wrong[[0, 1, 3, 4, 5]].float().mean() < 0.02
    assert wrong[2, 30:].float().mean() < 0.02
    assert without_outliers(Frames.shifted(pixels, planted.shifts)).usable[2, 15, 20].logical_not()


def test_two_frames_cannot_outvote_each_other():
    pixels = burst().pixels[:2].clone()
    pixels[1] += 500
    assert not outliers(Frames.shifted(pixels, SHIFTS[:2])).any()


@pytest.mark.parametrize("scale", [2, 3])
def test_the_result_gathered_again_is_the_reference(scale):
    planted = burst((36, 44), scale, noise=1.0, bands=2)
    mean = Average("mean")(planted.frames, scale).mean + 25 + torch.linspace(-8, 8, 44 * scale)
    reference = planted.pixels[0]
    exact = gathered(anchored(mean, reference, scale, "exact"), scale)
    torch.testing.assert_close(exact, reference, rtol=0, atol=1e-3)
    low = gathered(anchored(mean, reference, scale), scale) - reference
    squares = low.unfold(1, 12, 12).unfold(2, 11, 11).mean((3, 4))
    assert squares.abs().max() < 0.4  # of a deviation of 20, and 25 + 8 off before
    assert torch.equal(anchored(mean, reference, scale, "none"), mean)


def test_where_the_reference_is_not_usable_its_surroundings_decide():
    planted = burst((60, 60))
    reference = planted.pixels[0].clone()
    reference[:, 20:30, 20:30] = torch.nan
    fine = planted.truth + 30
    fixed = anchored(fine, reference, 2) - planted.truth
    assert fixed.isfinite().all()
    assert fixed[:, 44:56, 44:56].mean().abs() < 3
    far = anchored(fine, torch.full_like(reference, torch.nan), 2)
    assert torch.equal(far, fine)
    assert Light(torch.ones(1), torch.zeros(1)).gain == 1
