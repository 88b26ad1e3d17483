"""Frames that show other ground than the reference count next to nothing."""

from __future__ import annotations

import torch
from planted_bursts import burst, psnr

from terrashift.superres.align import smoothed
from terrashift.superres.back_projection import BackProjection
from terrashift.superres.frames import Frames
from terrashift.superres.trust import agreeing, disagreement


def quiet_of(frames: Frames) -> torch.Tensor:
    still, other = (smoothed(frames.pixels[k]) for k in (frames.home, 3))
    return disagreement(still, other)


def test_the_same_ground_keeps_its_trust_and_its_pixels():
    planted = burst((40, 48), noise=0.5)
    frames = planted.frames
    found = agreeing(frames, quiet_of(frames))
    assert found.trust is not None
    assert torch.equal(found.trust[0], torch.ones(40, 48))
    assert found.trust[1:].median() > 0.4
    assert (found.pixels - frames.pixels)[:, :, 6:-6, 6:-6].abs().mean() < 0.3
    assert torch.equal(found.pixels[0], frames.pixels[0])


def test_fields_of_another_colour_take_the_references_and_keep_their_detail():
    planted = burst((48, 48))
    pixels = planted.pixels.clone()
    pixels[2, :, :, 20:] += 40
    found = agreeing(Frames.shifted(pixels, planted.shifts), torch.ones(1))
    off = (found.pixels - planted.pixels)[2, 0]
    assert off[:, 32:].abs().mean() < 1.0
    assert off[:, :8].abs().mean() < 1.0


def test_other_ground_is_not_trusted_where_it_shows_and_the_result_is_better_for_it():
    planted, other = burst((48, 56)), burst((48, 56), seed=9)
    pixels = planted.pixels.clone()
    pixels[2:, :, :, 28:] = other.pixels[2:, :, :, 28:]
    frames = Frames.shifted(pixels, planted.shifts)
    found = agreeing(frames, torch.full((1,), 0.5))
    assert found.trust is not None
    assert found.trust[2:, :, 34:].median() < 0.1
    assert found.trust[2:, :, :22].median() > 0.4
    method = BackProjection(iterations=10)
    careful, careless = (psnr(method(one, 2).mean, planted.truth) for one in (found, frames))
    assert careful > careless + 2


def test_nothing_is_said_where_the_reference_shows_nothing():
    planted = burst((40, 48))
    pixels = planted.pixels.clone()
    pixels[0, :, 10:30, 10:30] = torch.nan
    frames = Frames.shifted(pixels, planted.shifts)
    found = agreeing(frames, quiet_of(planted.frames))
    assert found.trust is not None
    assert (found.trust[1:, 17:23, 17:23] == 1).all()
    assert found.pixels[1:].isfinite().all()
