"""Whether several frames tell more than one."""

from __future__ import annotations

import math

import torch
from planted_bursts import CONTRAST, SHIFTS, burst

from terrashift.superres import check
from terrashift.superres.back_projection import BackProjection
from terrashift.superres.check import held_out
from terrashift.superres.frames import Frames

QUICK = BackProjection(iterations=8)
SHORT = SHIFTS[:4]


def test_frames_of_one_ground_predict_each_other_better_than_the_reference_does():
    planted = burst((60, 66), 2, SHORT, noise=0.5)
    found = held_out(planted.frames, QUICK, 2, CONTRAST)
    assert found.method < 0.8 * found.reference
    assert not found.worse


def test_frames_that_contradict_each_other_are_found_out(monkeypatch):
    """Frame 1 lies where it is said to lie, the two others do not."""
    planted = burst((60, 66), 2, SHORT)
    wrong = planted.shifts + torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.5, -1.5], [-1.5, 1.5]])
    monkeypatch.setattr(check, "MOST_HELD_OUT", 1)
    assert held_out(Frames.shifted(planted.pixels, wrong), QUICK, 2, CONTRAST).worse
    assert not held_out(planted.frames, QUICK, 2, CONTRAST).worse


def test_two_frames_cannot_be_judged():
    planted = burst((60, 66), 2, SHORT)
    found = held_out(Frames.shifted(planted.pixels[:2], SHORT[:2]), QUICK, 2, CONTRAST)
    assert math.isnan(found.method)
    assert not found.worse
