"""Errors count in the zone that they lie in, and the step across the fault has the width that it has."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from terrashift.analyse.metrics import LAPLACE_SHARES
from terrashift.evaluate.case import Answer, Case, pair_of
from terrashift.evaluate.zoned import Zones

SHAPE = (90, 120)
FAULT_COLUMN = 60  # the pixels on either side of the border at 59.5


def case() -> Case:
    """1.2 px of motion along y right of column 60, and its trace."""
    truth = np.zeros((2, *SHAPE), np.float32)
    truth[1, :, FAULT_COLUMN:] = 1.2
    fault = np.zeros(SHAPE, bool)
    fault[:, FAULT_COLUMN - 1 : FAULT_COLUMN + 1] = True
    image = torch.zeros(SHAPE)
    return Case(pair_of(image, image), truth, fault)


def distance() -> np.ndarray:
    """Of each column from the nearest pixel of the trace."""
    column = np.arange(SHAPE[1])
    return np.minimum(np.abs(column - FAULT_COLUMN), np.abs(column - FAULT_COLUMN + 1))


def test_the_truth_has_no_error_and_keeps_the_step():
    one = case()
    found = Zones(border_px=5).judge(one, Answer(one.truth))
    assert found["epe"] == found["epe_fault"] == found["epe_far"] == found["p90_near"] == 0
    assert found["valid"] == 1
    assert found["height"] == pytest.approx(1)
    assert 0.7 < found["width"] < 1.2
    assert "within1" not in found


def test_an_error_counts_in_its_zone_with_its_numbers():
    one = case()
    xy = one.truth.copy()
    xy[0, :, distance() <= 3] += 0.3
    xy[:, :, distance() > 16] += np.array([0.03, -0.04])[:, None, None]
    found = Zones(border_px=5).judge(one, Answer(xy))
    assert found["epe_fault"] == pytest.approx(0.3, rel=1e-5)
    assert found["mae_fault"] == pytest.approx(0.15, rel=1e-5)
    assert found["epe_far"] == pytest.approx(0.05, rel=1e-5)
    assert found["mae_far"] == pytest.approx(0.035, rel=1e-5)
    columns = (distance() <= 16).sum()
    assert found["epe_near"] == pytest.approx(0.3 * 8 / columns, rel=1e-5)


def test_what_is_left_out_along_the_edges_counts_for_nothing():
    one = case()
    xy = one.truth.copy()
    xy[:, :5], xy[:, :, -5:] = 50, np.nan
    found = Zones(border_px=5).judge(one, Answer(xy))
    assert found["epe"] == 0
    assert found["valid"] == 1


def test_gaps_count_as_missing_and_not_as_errors():
    one = case()
    xy = one.truth.copy()
    xy[:, 10:20] = np.nan
    found = Zones(border_px=5).judge(one, Answer(xy))
    assert found["epe"] == 0
    assert found["valid"] == pytest.approx(70 / 80)


def test_an_offset_of_the_whole_is_forgiven_only_where_the_truths_own_is_not_known():
    one = case()
    shifted = Answer(one.truth + 0.25)
    assert Zones(border_px=5, offset_known=False).judge(one, shifted)["epe"] == pytest.approx(0, abs=1e-6)
    assert Zones(border_px=5).judge(one, shifted)["epe"] == pytest.approx(0.25 * math.sqrt(2), rel=1e-5)


def test_a_smeared_step_is_as_wide_as_its_smearing():
    one = case()
    smeared = ndimage.uniform_filter1d(one.truth, 15, axis=2, mode="nearest")
    found = Zones(border_px=5).judge(one, Answer(smeared))
    assert found["width"] == pytest.approx(0.8 * 15, abs=0.7)
    assert 0.7 < found["width_truth"] < 1.2
    assert found["height"] == pytest.approx(1, abs=0.02)


def test_half_of_the_slip_is_half_of_the_height():
    one = case()
    assert Zones(border_px=5).judge(one, Answer(one.truth / 2))["height"] == pytest.approx(0.5)


def test_a_coarser_answer_is_judged_where_it_measured():
    one = case()
    fine = Answer(one.truth, None, 4)
    coarse = Answer(fine.at(one.truth), None, 4)
    found = Zones(border_px=5).judge(one, coarse)
    assert found["epe"] == 0
    assert math.isnan(found["width"])
    column = np.arange(2, SHAPE[1], 4)
    assert fine.at(np.broadcast_to(np.arange(SHAPE[1]), SHAPE))[0].tolist() == column.tolist()


def test_sigma_is_judged_on_both_components():
    one = case()
    random = np.random.default_rng(3)
    error = 0.1 * random.laplace(size=(2, *SHAPE)).astype(np.float32)
    sigma = np.full((2, *SHAPE), 0.1, np.float32)
    found = Zones(border_px=5).judge(one, Answer(one.truth + error, sigma))
    assert found["within1"] == pytest.approx(LAPLACE_SHARES[0], abs=0.02)
    assert found["within2"] == pytest.approx(LAPLACE_SHARES[1], abs=0.02)
    assert found["sigma"] == pytest.approx(0.1)


def test_without_a_trace_all_of_it_is_far():
    one = case()
    found = Zones(border_px=5).judge(Case(one.source, one.truth), Answer(one.truth + 1))
    assert found["epe_far"] == pytest.approx(math.sqrt(2), rel=1e-5)
    assert math.isnan(found["epe_fault"])
