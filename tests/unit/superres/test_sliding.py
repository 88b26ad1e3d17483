"""More frames than a network takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from terrashift.models.sharp import Fused, MultiFrame, Same, SharpEstimate, Stack
from terrashift.superres.sliding import SlidingWindow, windows

COUNT = 3


class Mean(nn.Module):
    """The mean of the frames in a window, weighted by their order."""

    def forward(self, stack: Stack) -> Fused:
        weights = torch.tensor([4.0, 2.0, 1.0])[:, None, None, None]
        return Fused((stack.frames * weights).sum(1))


class Tell(nn.Module):
    """As fused."""

    def forward(self, fused: Fused, _: Stack) -> SharpEstimate:
        return SharpEstimate(fused.features, None)


def network() -> MultiFrame:
    return MultiFrame(Same(), Same(), Same(), Mean(), Tell(), frames=COUNT, reach_px=4.0)


def burst(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of one value each, ever less clear."""
    frames = 10.0 ** torch.arange(count)[None, :, None, None, None].expand(2, count, 1, 5, 20)
    usable = torch.ones(2, count, 1, 5, 20)
    for number in range(count):
        usable[:, number, :, 0, :number] = 0  # of 100 pixels
    return frames.contiguous(), usable, torch.zeros(2, count, 2)


def test_as_few_frames_as_the_network_takes_are_one_window():
    given = burst(COUNT)
    assert torch.equal(SlidingWindow(network())(*given).mean, network()(*given).mean)


def test_the_estimates_of_all_windows_are_averaged_and_the_reference_is_first_in_each():
    found = SlidingWindow(network())(*burst(5)).mean
    expected = (4 * 1 + 2 * 10 + 1 * 100 + 4 * 1 + 2 * 100 + 1 * 1000 + 4 * 1 + 2 * 1000 + 1 * 10_000) / 3
    assert found.shape == (2, 1, 5, 20)
    assert torch.allclose(found, torch.full_like(found, expected))


def test_the_order_of_the_other_frames_changes_nothing():
    frames, usable, shifts = burst(6)
    order = [0, 4, 2, 5, 1, 3]
    turned = frames[:, order], usable[:, order], shifts[:, order]
    sliding = SlidingWindow(network())
    assert torch.equal(sliding(frames, usable, shifts).mean, sliding(*turned).mean)


def test_frames_that_are_hidden_or_too_far_off_take_no_part():
    frames, usable, shifts = burst(6)
    few = SlidingWindow(network())(*burst(4)).mean
    hidden, far = usable.clone(), shifts.clone()
    hidden[:, 4] = 0
    far[:, 5, 1] = -5.0
    assert torch.equal(SlidingWindow(network())(frames, hidden, far).mean, few)


def test_positions_are_bounded():
    found = list(windows(torch.linspace(1, 0.95, 30), 9, 7))
    assert len(found) == 7
    assert max(map(max, found)) == 14  # the 15 clearest
    assert all(len(one) == 9 and one[0] == 0 for one in found)


@pytest.mark.parametrize(("clear", "kept"), [([0.0, 0.95, 0.88, 0.5], 2), ([0.0, 0.95, 0.95, 0.95], 3)])
def test_less_clear_frames_are_taken_only_until_a_window_is_full(clear, kept):
    found = list(windows(torch.tensor(clear), COUNT, 7))
    assert {number for one in found for number in one} == {0, *range(1, kept + 1)}
