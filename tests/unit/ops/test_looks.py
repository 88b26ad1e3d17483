"""What frames see of a finer grid: as by moving, blurring and gathering; the adjoint; interpolation at a shift."""

import pytest
import torch

from terrashift.ops.decimate import camera_taps, decimate
from terrashift.ops.looks import interpolate_fine, looks, nearest_fine
from terrashift.ops.warp import warp


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [2, 3])
def test_an_unmoved_frame_sees_what_the_camera_sees(scale):
    fine = torch.randn(2, 1, 10 * scale, 14 * scale, generator=random(0))
    seen = looks(torch.zeros(2, 3, 2), (10, 14), scale, 0.44).see(fine)
    expected = decimate(fine, camera_taps(torch.tensor([0.44, 0.44]), scale), scale)
    assert seen.shape == (2, 3, 1, 10, 14)
    torch.testing.assert_close(seen[:, 1, :, 3:-3, 3:-3], expected[..., 3:-3, 3:-3], atol=2e-3, rtol=0)


def test_what_lies_at_p_on_the_reference_is_seen_at_p_plus_shift():
    fine = torch.zeros(1, 1, 36, 45)
    fine[..., 16:19, 19:22] = 1.0  # coarse pixel (row 5, column 6) and, with blur, its neighbours
    shifts = torch.tensor([[[0.0, 0.0], [2.0, -1.0], [0.5, 0.0]]])
    seen = looks(shifts, (12, 15), 3, 0.3).see(fine)
    row, column = torch.arange(12.0)[:, None], torch.arange(15.0)
    for k in range(3):
        mass = seen[0, k, 0]
        x, y = float((mass * column).sum() / mass.sum()), float((mass * row).sum() / mass.sum())
        # fine pixel 3 * p + 1 is the middle of coarse pixel p
        assert x == pytest.approx((20 - 1) / 3 + float(shifts[0, k, 0]), abs=0.02)
        assert y == pytest.approx((17 - 1) / 3 + float(shifts[0, k, 1]), abs=0.02)


def test_back_is_the_adjoint_of_see():
    given = looks(torch.rand(2, 4, 2, generator=random(1)) * 4 - 2, (6, 9), 3, 0.4)
    fine, coarse = torch.randn(2, 2, 18, 27, generator=random(2)), torch.randn(2, 4, 2, 6, 9, generator=random(3))
    assert float((given.see(fine) * coarse).sum()) == pytest.approx(float((fine * given.back(coarse)).sum()), rel=1e-3)


def test_pixels_that_look_past_the_border_are_marked():
    given = looks(torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, -2.0]]]), (8, 10), 3, 0.4)
    assert given.seen[0, 0].all()
    # moved right by 3 px, a frame sees in its first three columns what lies left of the reference
    assert not given.seen[0, 1, 0, :, :3].any()
    assert given.seen[0, 1, 0, :, 3:].all()
    assert not given.seen[0, 2, 0, -2:].any()
    assert given.seen[0, 2, 0, :-2].all()


def test_a_constant_is_seen_as_itself_up_to_the_border():
    given = looks(torch.tensor([[[1.7, -0.4]]]), (8, 10), 2, 0.5)
    seen = given.see(torch.full((1, 1, 16, 20), 3.0))
    assert (seen[given.seen > 0] - 3).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_interpolation_is_the_house_warp_at_the_fine_pixels_places(scale):
    frame = torch.randn(1, 1, 12, 15, generator=random(4))
    shift = torch.tensor([[[0.3, -0.6]]])
    fine = interpolate_fine(frame[:, None], shift, scale)[0, 0, 0]
    for i, j in ((0, 0), (scale - 1, 0), (scale // 2, scale - 1)):  # every place of a fine pixel in a coarse one
        x, y = ((k - (scale - 1) / 2) / scale for k in (j, i))
        flow = torch.tensor([x, y])[None, :, None, None] + shift[0][:, :, None, None]
        expected = warp(frame, flow.expand(1, 2, 12, 15).contiguous())[0, 0]
        inside = expected.isfinite()
        assert inside.float().mean() > 0.4
        torch.testing.assert_close(fine[i::scale, j::scale][inside], expected[inside], atol=1e-5, rtol=1e-5)


def test_masks_go_with_their_frames():
    mask = torch.zeros(1, 1, 1, 6, 8)
    mask[..., 2, 5] = 1.0
    still = nearest_fine(mask, torch.zeros(1, 1, 2), 3)[0, 0, 0]
    assert still.nonzero().tolist() == [[r, c] for r in (6, 7, 8) for c in (15, 16, 17)]
    moved = nearest_fine(mask, torch.tensor([[[1.0, -1.0]]]), 3)[0, 0, 0]
    assert moved.nonzero().tolist() == [[r, c] for r in (9, 10, 11) for c in (12, 13, 14)]
    everywhere = nearest_fine(torch.ones(1, 1, 1, 6, 8), torch.tensor([[[2.0, 0.0]]]), 3)[0, 0, 0]
    assert not everywhere[:, -6:].any()
    assert everywhere[:, :-6].all()
