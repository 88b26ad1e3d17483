"""Bursts: the truth of every frame is its shift and the camera's kernel, and a burst is the same in any company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_imagery import Ground, view_of

from terrashift.errors import InputError, OptionError
from terrashift.ops.decimate import camera_taps, decimate
from terrashift.ops.warp import warp
from terrashift.simulate import archive as packed
from terrashift.simulate.archive import Archive
from terrashift.simulate.burst import CLASSES, BurstOptions, BurstStream

PLAIN = BurstOptions(
    size_px=16, batch=6, frames=(5, 5), binning=(1,), noise=(0.0, 0.0), gain=0.0, offset=0.0, clouds=0.0, gaps=0.0,
    change=0.0, contrast=(0.3, 0.3),
)  # fmt: skip


@pytest.fixture(scope="module")
def archive() -> Archive:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "FINENESS", 0.0)
        places = [((150, 190), [(0.0, 0.0), (0.8, -0.4)]), ((200, 170), [(0.0, 0.0)])]
        return Archive.of(
            (view_of(f"place {k}", shape, shifts), [Ground(k).seen(shape, shift) for shift in shifts])
            for k, (shape, shifts) in enumerate(places)
        )


def brought_back(burst, scale):
    """Frames less what the camera sees of the truth moved by scale * shift, away from the border."""
    taps = camera_taps(burst.blur_px, scale)
    rest = []
    for t in range(burst.frames.shape[1]):
        flow = (-scale * burst.shifts_px[:, t])[:, :, None, None].expand(-1, 2, *burst.truth.shape[-2:])
        moved = warp(burst.truth, flow.contiguous(), "sinc")  # what lies at q on the frame lay at q - shift
        seen = decimate(moved.nan_to_num(0.0), taps, scale)
        clear = decimate(moved.isnan().float(), taps, scale)[..., 3:-3, 3:-3] == 0
        rest.append(torch.where(clear, (burst.frames[:, t] - seen)[..., 3:-3, 3:-3], 0.0).abs().amax())
        assert clear.float().mean() > 0.1
    return torch.stack(rest)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("change", [0.0, 1.0])
def test_every_frame_is_the_truth_moved_by_its_shift_and_seen_by_the_camera(archive, scale, change):
    # with `change` frames come of other dates, which lie apart by some tenths of a pixel and show the same ground
    options = replace(PLAIN, scale=scale, size_px=24, change=change, other=1.0)
    stream = BurstStream(archive, options, 3)
    for number in range(0, 64, 16):
        burst = stream.bursts(range(number, number + 6))
        assert burst.shifts_px[:, 1:].abs().max() > 0.5
        assert brought_back(burst, scale).max() < 0.03


def test_a_wrong_sign_of_the_shift_would_be_seen(archive):
    burst = BurstStream(archive, replace(PLAIN, size_px=24), 3).batch(0)
    assert brought_back(burst._replace(shifts_px=-burst.shifts_px), 3).max() > 0.3


def test_the_reference_is_first_unmoved_and_in_the_light_of_the_truth(archive):
    burst = BurstStream(archive, replace(PLAIN, gain=0.3, offset=1.0, measured_px=0.1), 5).batch(0)
    assert not burst.shifts_px[:, 0].any()
    assert not burst.measured_px[:, 0].any()
    difference = decimate(burst.truth, camera_taps(burst.blur_px, 3), 3) - burst.frames[:, 0]
    assert difference[..., 4:-4, 4:-4].abs().max() < 1e-4
    away = (burst.frames[:, 1:].mean((2, 3, 4)) - burst.frames[:, :1].mean((2, 3, 4))).abs()
    assert away.max() > 0.3


def test_a_burst_is_the_same_in_any_company(archive):
    options = replace(PLAIN, frames=(2, 9), noise=(0.0, 0.2), clouds=0.7, gaps=0.3, change=0.5, gain=0.1)
    stream = BurstStream(archive, options, 1)
    many = stream.bursts(range(10, 26))
    for number in (10, 17, 25):
        alone = stream.bursts([number])
        count = alone.frames.shape[1]
        for name in ("frames", "usable", "shifts_px", "measured_px"):
            one, other = getattr(alone, name)[0], getattr(many, name)[number - 10, :count]
            # how many are drawn together changes the rounding of products of matrices
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(alone.truth[0], many.truth[number - 10])
        assert not many.usable[number - 10, count:].any()
    other = BurstStream(archive, options, 2).bursts([10])
    assert not torch.equal(other.truth, stream.bursts([10]).truth)


def test_mirrored_and_transposed_bursts_occur(archive):
    stream = BurstStream(archive, PLAIN, 0)
    turns = {tuple((stream._together([16 * k]).uniform("turn", 3) < 0.5)[0].tolist()) for k in range(60)}
    assert len(turns) == 8


def test_noise_has_the_deviation_told_and_grows_with_brightness(archive):
    still = replace(PLAIN, shift_px=0.0, frames=(8, 8), size_px=24)
    quiet = BurstStream(archive, still, 4).bursts(range(64))
    noisy = BurstStream(archive, replace(still, noise=(0.1, 0.1), shot=1.0), 4).bursts(range(64))
    noise, ground = noisy.frames - quiet.frames, quiet.frames
    middle, bright = noise[ground.abs() < 0.3], noise[ground > 1.5]
    assert float(middle.std()) == pytest.approx(0.1, rel=0.03)
    assert float(bright.std()) == pytest.approx(0.1 * float((1 + ground[ground > 1.5] / 3).mean()) ** 0.5, rel=0.05)


def test_clouds_and_gaps_are_masked_and_nothing_else_is(archive):
    clear = BurstStream(archive, PLAIN, 4).bursts(range(32))
    options = replace(PLAIN, clouds=1.0, gaps=0.5)
    covered = BurstStream(archive, options, 4).bursts(range(32))
    changed = ((covered.frames - clear.frames).abs() > 0.1).float()
    assert (changed * covered.usable).sum() == 0
    assert clear.usable.all()
    assert 0.2 < float(covered.usable.mean()) < 0.9
    assert float(covered.usable[:, 0].mean()) > float(covered.usable[:, 1:].mean())


def test_binning_averages_squares_and_halves_the_shifts_of_dates(archive):
    options = replace(PLAIN, size_px=14, shift_px=0.3, binning=(2,))
    burst = BurstStream(archive, replace(options, change=1.0, other=1.0), 3).bursts(range(6))
    assert brought_back(burst, 3).max() < 0.03  # averaging leaves some of what lies beyond the last frequency
    mean = archive.pixels[1][0].values().reshape(100, 2, 85, 2).mean((1, 3))
    mean = (mean - mean.mean()) / mean.std()
    cut = BurstStream(Archive(archive.views[1:], archive.pixels[1:]), options, 3).bursts([0])
    side = cut.truth.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(mean, (side, side))
    turned = [f(cut.truth[0, 0].numpy()) for f in (lambda a: a, np.flipud, np.fliplr, np.rot90, lambda a: a.T,
              lambda a: np.rot90(a, 2), lambda a: np.rot90(a, 3), lambda a: np.rot90(a, 2).T)]  # fmt: skip
    assert min(np.abs(windows - one).max((2, 3)).min() for one in turned) < 1e-4


def test_bands_of_a_place_are_drawn_together():
    ground = Ground(1).seen((150, 160))
    views = [replace(view_of("here", (150, 160), [(0.0, 0.0)]), name=band, band=band) for band in ("red", "nir")]
    archive = Archive.of(zip(views, ([ground], [-ground]), strict=True))
    burst = BurstStream(archive, replace(PLAIN, bands=2), 0).batch(0)
    assert burst.frames.shape == (6, 5, 2, 16, 16)
    torch.testing.assert_close(burst.frames[:, :, 0], -burst.frames[:, :, 1], atol=0.05, rtol=0)
    with pytest.raises(InputError, match="3 bands"):
        BurstStream(archive, replace(PLAIN, bands=3), 0)


def test_what_cannot_be_made_is_refused(archive):
    with pytest.raises(InputError, match="make smaller frames"):
        BurstStream(archive, replace(PLAIN, size_px=64))
    for wrong in ({"scale": 0}, {"contrast": (0.2, 0.7)}, {"frames": (5, 3)}, {"noise": (-0.1, 0.1)}):
        with pytest.raises(OptionError):
            BurstOptions(**wrong)


def test_the_classes_that_methods_are_judged_on_are_fixed():
    assert list(CLASSES) == ["clean", "noisy", "clouded, changed"]
    assert all(options.frames == (9, 9) and options.scale == 3 for options in CLASSES.values())
