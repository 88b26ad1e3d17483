"""Trained networks as methods, and the errors that methods tell."""

from __future__ import annotations

import math

import pytest
import torch
from planted_bursts import burst

from terrashift.errors import OptionError
from terrashift.models.catalogue import make, options_of
from terrashift.models.sharp import SharpEstimate
from terrashift.superres.frames import Frames
from terrashift.superres.learned import Learned
from terrashift.superres.methods import baseline, method_for
from terrashift.superres.options import SuperresOptions
from terrashift.superres.unresolved import deviation_around, with_unresolved


class Echo:
    """Repeats the reference's pixels, and remembers what it was given."""

    def __call__(self, frames, usable, shifts):
        self.given = frames, usable, shifts
        fine = frames[:, 0].repeat_interleave(2, 2).repeat_interleave(2, 3)
        return SharpEstimate(fine, torch.zeros_like(fine))


def frames_of(bands: int = 2, home: int = 2) -> Frames:
    planted = burst((20, 26), bands=bands)
    pixels = planted.pixels.clone()
    pixels[1, :, 3:7, 4:9] = torch.nan
    return Frames.shifted(pixels, planted.shifts - planted.shifts[home], home)


@pytest.mark.parametrize("bands", [1, 2])
def test_a_network_gets_standardised_frames_with_the_reference_first(bands):
    echo, frames = Echo(), frames_of()
    found = Learned("echo", echo, 2, bands)(frames, 2)
    given, usable, shifts = echo.given
    assert given.shape == ((2, 6, 1, 20, 26) if bands == 1 else (1, 6, 2, 20, 26))
    assert usable.shape == (len(given), 6, 1, 20, 26)
    assert torch.equal(shifts[0, 0], torch.zeros(2))
    torch.testing.assert_close(shifts[0, 1], frames.shifts[0])
    assert usable[0, 2, 0, 3:7, 4:9].max() == 0  # frame 1 comes third: reference, 0, 1
    assert int((usable[0] == 0).sum()) == 20
    assert abs(float(given[:, 0].mean())) < 1e-4
    assert float(given[:, 0].std()) == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(found.mean[:, ::2, ::2], frames.pixels[2], rtol=1e-4, atol=1e-3)
    deviation = frames.pixels[2].flatten(1).std(1, correction=0)
    torch.testing.assert_close(found.sigma[:, 0, 0], math.sqrt(2) * deviation, rtol=5e-3, atol=0)


def test_parts_are_standardised_like_the_whole():
    echo, frames = Echo(), frames_of()
    told = Frames(frames.pixels, frames.flow, 2, torch.tensor([90.0, 80.0]), torch.tensor([10.0, 40.0]))
    Learned("echo", echo, 2)(told, 2)
    torch.testing.assert_close(echo.given[0][1, 0, 0], (frames.pixels[2, 1] - 80) / 40)


def test_what_a_network_was_not_trained_for_is_refused():
    with pytest.raises(OptionError, match="give --scale 2"):
        Learned("echo", Echo(), 2)(frames_of(), 3)
    with pytest.raises(OptionError, match="trained for 3 bands"):
        Learned("echo", Echo(), 2, 3)(frames_of(), 2)


def test_an_untrained_network_of_ours_fits_the_protocol():
    options = options_of("unrolled", {"scale": 2, "width": 8, "blocks": 1, "stages": 1, "trust": 4})
    network = make("unrolled", options).eval()
    frames = frames_of(bands=1)
    method = Learned("unrolled", network, 2)
    found = method(frames, 2)
    assert found.mean.shape == (1, 40, 52)
    assert found.mean.isfinite().all()
    order = [3, 2, 0, 5, 1, 4]
    other = method(Frames.shifted(frames.pixels[order], frames.shifts[order], 1), 2)
    torch.testing.assert_close(found.mean, other.mean, rtol=1e-4, atol=1e-2)


def test_the_default_is_a_packaged_network_for_the_scale_else_back_projection():
    assert method_for(SuperresOptions(scale=7), 1).name == "ibp"
    chosen = method_for(SuperresOptions(scale=7, method="ibp", iterations=3, contrast=0.1), 4)
    assert (chosen.iterations, chosen.contrast) == (3, 0.1)  # pyright: ignore


def test_the_deviation_around_is_of_a_pixel_and_its_neighbours():
    flat = torch.full((1, 20, 30), 5.0)
    assert deviation_around(flat, 2).max() == 0
    step = flat.clone()
    step[:, :, 15:] = 9
    found = deviation_around(step, 2)
    assert found[0, 10, 14] == pytest.approx(2, abs=0.05)
    assert found[0, 10, [11, 18]].max() < 0.01
    assert found[0, 10, 16] > 1
    sigma = with_unresolved(torch.full_like(step, 3.0), step, 2, 2.0)
    assert float(sigma[0, 10, 14]) == pytest.approx(5, abs=0.1)
    assert float(sigma[0, 0, 0]) == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("name", ["bicubic", "bicubic-mean", "shift-and-add", "ibp"])
def test_errors_are_of_the_size_that_sigma_says(name):
    """On ground as rough as real ground; the shares were set on real places."""
    planted = burst((40, 48), 3, noise=2.0, finest=0.3)
    found = baseline(name)(planted.frames, 3)
    inner = slice(12, -12)
    ratio = (found.mean - planted.truth)[:, inner, inner].abs() / found.sigma[:, inner, inner]
    assert 0.4 < float((ratio < 1).float().mean()) < 0.9
