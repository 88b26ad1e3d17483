"""Ramps: planted ones are found and taken out, a fault keeps its offset, gaps stay gaps."""

import numpy as np
import pytest
from planted_fields import CELL_M, fault, field_of, grid, offset_of, places, trace_of

from terrashift.errors import InputError
from terrashift.register.traces import distance, sides
from terrashift.register.trends import TrendOptions, detrend, robust_fit, terms

H, W = 150, 220


def noise(seed=0, scale=0.05):
    return np.random.default_rng(seed).normal(0, scale, (H, W))


def ramp(degree, seed=3):
    """A polynomial of metres, and its coefficients in the terms of the fit."""
    row, column = places(H, W)
    x, y = (column + 0.5 - W / 2) / (W / 2), (row + 0.5 - H / 2) / (W / 2)
    drawn = np.random.default_rng(seed).normal(0, 1, len(terms(degree)))
    return sum(c * x**i * y**j for c, (_, i, j) in zip(drawn, terms(degree), strict=True)), drawn


@pytest.mark.parametrize("degree", range(4))
def test_a_planted_polynomial_comes_back_with_its_coefficients(degree):
    east, drawn = ramp(degree)
    found = detrend(field_of(east, 0 * east), TrendOptions(degree=degree))
    assert list(found.east.coefficients.values()) == pytest.approx(list(drawn), abs=1e-4)
    assert found.corrected.east.abs().max() < 1e-3
    assert found.corrected.north.abs().max() < 1e-6


def test_x_is_to_the_right_and_y_is_down():
    row, column = places(H, W)
    found = detrend(field_of(0.01 * column, 0.02 * row))
    assert found.east.coefficients["x"] == pytest.approx(0.01 * W / 2, rel=1e-4)
    assert found.north.coefficients["y"] == pytest.approx(0.02 * W / 2, rel=1e-4)
    assert abs(found.east.coefficients["y"]) < 1e-4


def test_nothing_is_taken_out_of_nothing():
    found = detrend(field_of(np.zeros((H, W)), np.zeros((H, W))))
    assert found.removed.east.abs().max() == 0
    assert found.corrected.north.abs().max() == 0


def test_what_is_left_and_what_was_taken_add_up_to_what_was_measured():
    east, _ = ramp(2)
    measured = field_of(east + noise(), noise(1))
    found = detrend(measured, TrendOptions(degree=2))
    assert (found.corrected.east + found.removed.east - measured.east).abs().max() < 1e-5
    assert (found.corrected.north + found.removed.north - measured.north).abs().max() < 1e-5
    assert found.removed.sigma_east.isnan().all()
    assert (found.corrected.sigma_north == 0.2 * found.corrected.score).all()


def test_a_ramp_under_a_fault_goes_and_the_offset_stays_to_one_percent():
    """A ramp of 3 m across the field beneath an offset of 2 m, with noise and gaps; the trace is known."""
    step, across = fault(H, W, 2.0)
    plane, _ = ramp(1)
    east, north = step + 1.5 * plane + noise(), -0.5 * step + plane + noise(1)
    east[20:60, 30:80] = np.nan
    north[20:60, 30:80] = np.nan
    found = detrend(field_of(east, north), TrendOptions(degree=1), traces=[trace_of(H, W)])
    assert offset_of(found.corrected.east.numpy(), across) == pytest.approx(2.0, rel=0.01)
    assert offset_of(found.corrected.north.numpy(), across) == pytest.approx(-1.0, rel=0.02)
    left = found.removed.east.numpy() - 1.5 * plane
    assert np.ptp(left) < 0.01 * np.ptp(1.5 * plane)  # but for a constant
    assert found.east.steps == pytest.approx([2.0], rel=0.01) or found.east.steps == pytest.approx([-2.0], rel=0.01)
    assert found.corrected.east[30, 40].isnan()
    assert found.removed.east[30, 40].isfinite()


def test_without_the_trace_a_plane_swallows_a_part_of_the_offset():
    step, across = fault(H, W, 2.0)
    found = detrend(field_of(step + noise(), step + noise(1)))
    assert offset_of(found.corrected.east.numpy(), across) < 1.9


def test_ground_that_moved_is_left_out_by_a_mask_and_near_a_trace():
    row, column = places(H, W)
    plane, _ = ramp(1)
    slid = (row > 40) & (row < 110) & (column > 60) & (column < 140)
    east = plane + 5.0 * slid + noise()
    masked = detrend(field_of(east, east), stable=~slid)
    assert np.abs(masked.removed.east.numpy() - plane).max() < 0.02
    row_line = np.array([grid(H, W).transform @ (c, 75.0) for c in (60.0, 140.0)])
    near = detrend(field_of(east, east), TrendOptions(exclude_m=45 * CELL_M), traces=[row_line])
    assert np.abs(near.removed.east.numpy() - plane).max() < 0.02
    assert "does not cut the field" in near.warnings[0]


def test_a_fifth_of_wild_cells_does_not_pull():
    plane, drawn = ramp(1)
    east = plane + noise()
    wild = np.random.default_rng(5).random((H, W)) < 0.2
    east[wild] += 30.0
    found = detrend(field_of(east, east))
    assert list(found.east.coefficients.values()) == pytest.approx(list(drawn), abs=0.01)
    assert found.east.outliers == pytest.approx(wild.sum(), rel=0.02)
    assert found.east.scale == pytest.approx(0.05, rel=0.4)


def test_a_thinned_fit_is_that_of_all_cells(monkeypatch):
    from terrashift.register import trends

    plane, _ = ramp(2)
    whole = detrend(field_of(plane, plane), TrendOptions(degree=2)).removed.east
    monkeypatch.setattr(trends, "MOST_CELLS", 2000)
    assert (detrend(field_of(plane, plane), TrendOptions(degree=2)).removed.east - whole).abs().max() < 1e-3


def test_too_few_cells_and_cells_on_a_line_are_refused():
    east = np.full((H, W), np.nan)
    east[3, :30] = 1.0
    with pytest.raises(InputError, match="only 30 cells"):
        detrend(field_of(east, east))
    east[3, :] = 1.0
    with pytest.raises(InputError, match="on a line"):
        detrend(field_of(east, east))
    with pytest.raises(InputError, match="only 0 cells"):
        detrend(field_of(np.full((H, W), np.nan), np.zeros((H, W))))


def test_distances_are_metres_and_count_from_cell_middles():
    transform = grid(10, 30).transform
    line = np.array([transform @ (12.0, -5.0), transform @ (12.0, 40.0)])
    found = distance([line], grid(10, 30))
    assert found[4, 12] == pytest.approx(10.0, abs=0.5)
    assert found[4, 20] == pytest.approx(170.0, abs=0.5)
    assert found[0, 2] == pytest.approx(190.0, abs=0.5)
    assert distance([line], grid(10, 30), 2)[2, 10] == pytest.approx(found[4, 20])


def test_two_sides_of_a_trace_and_no_side_of_a_patch():
    far = np.ones((40, 50), bool)
    far[:, 20] = False
    far[10, 40:43] = far[12, 40:43] = far[11, 39] = far[11, 43] = False
    found = sides(far)
    assert found.count == 2
    assert found.number[0, 0] != found.number[0, 30] != 0
    assert found.number[11, 41] == 0
    assert found.number[5, 20] == 0


def test_a_robust_fit_of_exact_numbers_is_exact():
    design = np.stack([np.ones(50), np.linspace(-1, 1, 50)], 1)
    solution, weight, scale = robust_fit(design, design @ [3.0, -2.0])
    assert solution == pytest.approx([3.0, -2.0])
    assert scale < 1e-6
    assert (weight > 0).all()
