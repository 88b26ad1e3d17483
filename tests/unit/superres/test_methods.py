"""Laws that every method keeps, and what the baselines are good for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from planted_bursts import SHIFTS, burst, psnr

from terrashift.errors import InputError, OptionError
from terrashift.ops.decimate import blur_of, camera_taps, decimate
from terrashift.superres.average import Average
from terrashift.superres.back_projection import BackProjection
from terrashift.superres.camera import Camera
from terrashift.superres.frames import Frames
from terrashift.superres.methods import BASELINES, baseline
from terrashift.superres.shift_add import ShiftAndAdd
from terrashift.superres.upsample import upsample

EVERY = sorted(BASELINES)
FEW = BackProjection(iterations=4)
MULTI = [name for name in EVERY if name != "bicubic"]


def quick(name: str):
    return FEW if name == "ibp" else baseline(name)


def holed(pixels: torch.Tensor) -> torch.Tensor:
    """Another hole in every frame, and one place that no frame shows."""
    pixels = pixels.clone()
    for k, frame in enumerate(pixels):
        frame[:, 3 * k : 3 * k + 5, 4 : 9 + k] = torch.nan
        frame[:, 24:27, 30:34] = torch.nan
    return pixels


@pytest.mark.parametrize("name", EVERY)
def test_a_flat_scene_stays_flat_up_to_the_border(name):
    frames = Frames.shifted(torch.full((4, 2, 12, 17), 7.0), SHIFTS[:4])
    mean = quick(name)(frames, 3).mean
    assert mean.shape == (2, 36, 51)
    torch.testing.assert_close(mean, torch.full_like(mean, 7.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [0.0, 1e6])
def test_what_unusable_pixels_hold_changes_nothing(name, value):
    """A band that is usable where another is not does not count either."""
    planted = burst(bands=2)
    pixels = holed(planted.pixels)
    gap = pixels[:, :1].isnan()
    other = torch.cat([pixels[:, :1], torch.where(gap, value, planted.pixels[:, 1:])], 1)
    one, two = (quick(name)(Frames.shifted(part, planted.shifts), 2).mean for part in (pixels, other))
    assert torch.equal(one.isnan(), two.isnan())
    torch.testing.assert_close(one, two, equal_nan=True)
    assert one[:, 49:53, 62:66].isnan().all()
    assert one.isfinite().float().mean() > (0.9 if name == "bicubic" else 0.97)


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_the_frames_changes_nothing(name):
    planted = burst(noise=1.0)
    pixels, order = holed(planted.pixels), [3, 5, 0, 4, 1, 2]
    one = quick(name)(Frames.shifted(pixels, planted.shifts), 2)
    two = quick(name)(Frames.shifted(pixels[order], planted.shifts[order], home=2), 2)
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-5, atol=1e-3, equal_nan=True)
    torch.testing.assert_close(one.sigma, two.sigma, rtol=1e-3, atol=1e-2, equal_nan=True)


@pytest.mark.parametrize("name", EVERY)
def test_a_part_with_its_halo_gives_what_the_whole_gives(name):
    planted = burst((56, 70), noise=1.0)
    method = baseline(name)
    whole = method(Frames.shifted(holed(planted.pixels), planted.shifts), 2).mean
    halo = method.halo
    rows, columns = slice(20 - halo, 32 + halo), slice(24 - halo, 45 + halo)
    part = method(Frames.shifted(holed(planted.pixels)[:, :, rows, columns], planted.shifts), 2).mean
    inner = part[:, 2 * halo : -2 * halo, 2 * halo : -2 * halo]
    torch.testing.assert_close(inner, whole[:, 40:64, 48:90], rtol=0, atol=0.02, equal_nan=True)  # of a deviation of 20


@pytest.mark.parametrize("name", MULTI)
def test_shifts_of_the_wrong_sign_or_axis_spoil_the_result(name):
    planted = burst()
    method = baseline(name)
    right = psnr(method(planted.frames, 2).mean, planted.truth)
    mirrored = psnr(method(Frames.shifted(planted.pixels, -planted.shifts), 2).mean, planted.truth)
    swapped = psnr(method(Frames.shifted(planted.pixels, planted.shifts.flip(1)), 2).mean, planted.truth)
    assert right > max(mirrored, swapped) + 0.5


def test_methods_are_in_the_published_order_and_back_projection_is_the_best():
    planted = burst((40, 52), 3, finest=0.33)
    score = {name: psnr(baseline(name)(planted.frames, 3).mean, planted.truth) for name in EVERY}
    assert score["bicubic-mean"] > score["bicubic"]
    assert score["shift-and-add"] > score["bicubic-mean"]
    assert score["ibp"] > score["bicubic-mean"] + 2.5


def test_noise_is_averaged_out():
    flat = Frames.shifted(100 + torch.randn(9, 1, 30, 40, generator=torch.Generator().manual_seed(0)), SHIFTS[:1] * 9)
    one = baseline("bicubic")(flat, 2).mean.std()
    for name in ("bicubic-mean", "bicubic-median", "shift-and-add"):
        found = baseline(name)(flat, 2)
        assert found.mean.std() < 0.5 * one
    mean, noise = Average("mean").combine(flat, 2)
    assert 0.8 < float((mean - 100).square().mean().sqrt() / noise.square().mean().sqrt()) < 1.25


def test_the_median_forgets_what_one_frame_alone_shows():
    planted = burst()
    pixels = planted.pixels.clone()
    pixels[2, :, 10:20, 10:20] += 200
    for name in ("bicubic-median", "shift-and-add"):
        clean, spoilt = (baseline(name)(Frames.shifted(p, planted.shifts), 2).mean for p in (planted.pixels, pixels))
        assert (clean - spoilt)[:, 24:36, 24:36].abs().mean() < 6
    plain = ShiftAndAdd(robust=False)(Frames.shifted(pixels, planted.shifts), 2).mean
    assert (plain - planted.truth)[:, 24:36, 24:36].abs().mean() > 20


def test_the_residual_of_back_projection_falls_at_every_iteration():
    planted = burst((24, 33), 3, noise=3.0, bands=2)
    frames = Frames.shifted(
        holed(torch.nn.functional.pad(planted.pixels, (0, 3, 0, 4), value=torch.nan)), planted.shifts
    )
    start = torch.zeros(2, *frames.fine_shape(3)) + 100
    residuals = [step.residual for step in BackProjection(iterations=15).iterate(frames, 3, start)]
    assert all(later < earlier for earlier, later in pairwise(residuals))
    assert residuals[-1] < 0.5 * residuals[0]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -0.6), (-1.2, 2.3)])
@pytest.mark.parametrize("scale", [2, 3])
def test_the_cameras_two_ways_agree_and_back_is_the_transpose_of_see(shift, scale):
    random = torch.Generator().manual_seed(1)
    fine = torch.rand(2, 12 * scale, 15 * scale, generator=random)
    frames = Frames.shifted(torch.rand(1, 2, 12, 15, generator=random), [shift])
    camera = Camera.of(frames, scale, 0.25)
    ramp = torch.linspace(-0.5, 0.5, 15) * 0.03  # just too much for one shift
    bent = Camera.of(Frames(frames.pixels, frames.flow + ramp * torch.tensor([1.0, 0.0])[:, None, None]), scale, 0.25)
    assert (camera.frames.bent, bent.frames.bent) == ([False], [True])
    seen = camera.see(fine, 0)
    assert (seen - bent.see(fine, 0))[:, 4:-4, 4:-4].abs().max() < 0.05
    other = torch.zeros(2, 12, 15)
    other[:, 5:7, 5:9] = torch.rand(2, 2, 4, generator=random)
    for one in (camera, bent):
        left, right = (one.see(fine, 0) * other).sum(), (fine * one.back(other, 0)).sum()
        assert abs(float(left - right)) < (1e-4 if one is camera else 2e-2) * float(left)


def test_a_camera_without_motion_is_the_plain_one():
    fine = torch.rand(1, 24, 33)
    camera = Camera.of(Frames.shifted(torch.zeros(1, 1, 8, 11), [(0.0, 0.0)]), 3, 0.25)
    taps = camera_taps(torch.tensor([blur_of(0.25)]), 3)
    torch.testing.assert_close(camera.see(fine, 0), decimate(fine[None], taps, 3)[0])


def test_a_whole_pixel_of_shift_moves_what_a_frame_sees_by_one_pixel():
    """frame(p + shift) = reference(p): a frame moved by 1 to the right shows the ground of p at p + 1."""
    fine = torch.rand(1, 24, 33)
    still, right, down = (
        Camera.of(Frames.shifted(torch.zeros(1, 1, 8, 11), [s]), 3, 0.25).see(fine, 0) for s in ((0, 0), (1, 0), (0, 1))
    )
    torch.testing.assert_close(right[:, :, 3:], still[:, :, 2:-1])
    torch.testing.assert_close(down[:, 3:], still[:, 2:-1])


def test_a_scale_that_is_not_whole_gives_rounded_sides():
    planted = burst()
    for name in ("bicubic", "bicubic-mean", "shift-and-add"):
        assert baseline(name)(planted.frames, 1.5).mean.shape == (1, 54, 66)
    with pytest.raises(OptionError, match="whole scales"):
        baseline("ibp")(planted.frames, 1.5)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("scale", [1, 0.5])
def test_a_scale_that_makes_nothing_sharper_is_refused(name, scale):
    with pytest.raises(OptionError, match=r"above 1|whole scales"):
        baseline(name)(burst().frames, scale)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(OptionError, match="Did you mean bicubic-mean"):
        baseline("bicubicmean")


def test_a_reference_that_is_not_among_the_frames_is_refused():
    with pytest.raises(InputError, match="number of a frame"):
        Frames.shifted(torch.zeros(2, 1, 4, 5), [(0, 0), (0, 0)], home=2)


def test_upsampling_samples_the_frame_where_the_reference_places_it():
    """Of a plane bicubic values are exact: fine pixel P looks at (P + 0.5)/s - 0.5 + shift."""
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(14.0), indexing="ij")
    frames = Frames.shifted((2 * x + 5 * y)[None, None], [(0.25, -0.5)])
    values = upsample(frames, 0, 3).values[0].numpy()
    rows, columns = np.meshgrid((np.arange(30) + 0.5) / 3 - 0.5, (np.arange(42) + 0.5) / 3 - 0.5, indexing="ij")
    np.testing.assert_allclose(values[9:-9, 9:-9], (2 * (columns + 0.25) + 5 * (rows - 0.5))[9:-9, 9:-9], atol=5e-3)
