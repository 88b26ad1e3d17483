"""Sections: the right place, the right direction, the right error, and nothing where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine
from exchange_fields import GRIDS, UTM

from terrashift.analyse.crossings import crossings
from terrashift.analyse.quiet import BLOCK_CELLS, stable_ground
from terrashift.analyse.section import section, to_cells, to_crs
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import InputError


def field_on(grid, east, north, sigma=0.0):
    full = torch.full(grid.shape, float(sigma))
    east, north = (torch.as_tensor(v, dtype=torch.float32).expand(grid.shape).clone() for v in (east, north))
    none = torch.zeros(grid.shape, dtype=torch.uint8)
    return DisplacementField(east, north, full, 2 * full, torch.ones(grid.shape), none, grid)


def centre(grid, row, column):
    return to_crs(grid, np.array([[column + 0.5, row + 0.5]]))[0]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_plane_is_sampled_exactly_between_cells(grid):
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(17.0), indexing="ij")
    field = field_on(grid, 2 * columns - rows, 3 * rows + 1)
    found = section(field, np.stack([centre(grid, 1, 2), centre(grid, 9, 13)]))
    cells = to_cells(grid, np.stack([found.x, found.y], 1)) - 0.5
    assert np.allclose(found.east, 2 * cells[:, 0] - cells[:, 1], atol=1e-4)
    assert np.allclose(found.north, 3 * cells[:, 1] + 1, atol=1e-4)
    assert (cells[0], cells[-1]) == (pytest.approx([2, 1]), pytest.approx([13, 9]))
    assert len(found.distance) == 1 + math.ceil(math.hypot(8, 11))


def test_distances_are_on_the_ground_and_add_up_round_a_corner():
    line = np.stack([centre(UTM, 2, 2), centre(UTM, 2, 12), centre(UTM, 8, 12)])
    found = section(field_on(UTM, 0, 0), line)
    assert found.distance[-1] == pytest.approx(160)
    assert np.diff(found.distance) == pytest.approx(np.full(16, 10.0))
    degrees = GRIDS["degrees"]
    east = section(field_on(degrees, 0, 0), np.stack([centre(degrees, 5, 2), centre(degrees, 5, 12)]))
    assert east.distance[-1] == pytest.approx(10 * 1e-4 * 111_319 * math.cos(math.radians(49.9989)), rel=3e-3)


@pytest.mark.parametrize(
    ("end", "along", "across"),
    [((2, 12), 3, -7), ((8, 2), 7, 3), ((2, 0), -3, 7)],
    ids=["eastward", "southward", "westward"],
)
def test_along_is_forward_and_across_is_to_the_left(end, along, across):
    found = section(field_on(UTM, 3, -7), np.stack([centre(UTM, 2, 2), centre(UTM, *end)]))
    assert found.along == pytest.approx(np.full(len(found.along), along))
    assert found.across == pytest.approx(np.full(len(found.along), across))


def test_errors_are_those_of_the_cells_turned_with_the_line():
    found = section(field_on(UTM, 0, 0, 0.5), np.stack([centre(UTM, 2, 2), centre(UTM, 8, 8)]))
    assert found.sigma_east == pytest.approx(np.full(len(found.x), 0.5))
    assert found.sigma_north == pytest.approx(np.full(len(found.x), 1.0))
    assert found.sigma_along == pytest.approx(np.full(len(found.x), math.sqrt((0.25 + 1) / 2)))


def test_a_value_reaches_half_a_cell_into_a_gap_and_not_beyond_the_field():
    field = field_on(UTM, 3, -7)
    field.east[4, 6:9] = math.nan
    line = np.stack([centre(UTM, 4, 2), centre(UTM, 4, 12)])
    found = section(field, line + np.array([2.0, 0]))
    assert np.isnan(found.east).nonzero()[0].tolist() == [4, 5, 6]  # 6.2, 7.2, 8.2 columns
    assert np.isfinite(found.north).all()
    outside = section(field, np.array([[499_900.0, 3_999_955], [500_055, 3_999_955]]))
    assert np.isnan(outside.north[:10]).all()
    assert np.isfinite(outside.north[-3:]).all()


def test_a_point_is_no_line():
    with pytest.raises(InputError, match="two different points"):
        section(field_on(UTM, 0, 0), np.array([[5.0, 5.0], [5.0, 5.0]]))


def fault(noise=0.0, grid=None):
    """Right-lateral slip of 4 m on a fault that runs to the north along column 100: the left (west) moves north."""
    grid = grid or Grid(120, 200, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
    west = torch.arange(grid.width) < 100
    random = torch.Generator().manual_seed(5)
    field = field_on(grid, torch.where(west, -0.5, 0.5), torch.where(west, 2.0, -2.0))
    for band in (field.east, field.north):
        band += noise * torch.randn(grid.shape, generator=random)
    return field


def test_the_left_side_forward_is_right_lateral_and_apart_is_positive():
    field = fault()
    trace = np.array([[501_000.0, 3_998_800], [501_000, 4_000_000]])
    found = crossings(field, [trace])
    assert len(found) == 40
    assert [c.parallel for c in found] == pytest.approx([4.0] * 40)
    assert [c.perpendicular for c in found] == pytest.approx([1.0] * 40)
    assert found[0].distance == pytest.approx(15)
    assert found[0].middle == pytest.approx((501_000, 3_998_815))
    turned = crossings(field, [trace[::-1]])
    assert [c.parallel for c in turned] == pytest.approx([4.0] * 40)
    assert [c.perpendicular for c in turned] == pytest.approx([1.0] * 40)


def test_a_trace_of_two_lines_counts_on_and_stations_without_a_side_are_left_out():
    field = fault()
    lower = np.array([[501_000.0, 3_998_800], [501_000, 3_999_400]])
    upper = np.array([[501_000.0, 3_999_400], [501_000, 4_000_000]])
    field.east[:60, :100] = math.nan
    found = crossings(field, [lower, upper], 100.0)
    assert [c.distance for c in found] == pytest.approx([50, 150, 250, 350, 450, 550])
    assert [c.distance for c in crossings(fault(), [upper], 300.0)] == pytest.approx([150, 450])


def test_the_error_of_an_offset_grows_with_the_noise():
    trace = np.array([[501_000.0, 3_998_800], [501_000, 4_000_000]])
    found = crossings(fault(0.4), [trace])
    errors = np.array([c.parallel - 4 for c in found])
    assert np.abs(errors / [c.sigma for c in found]).mean() < 1.5
    assert 0.02 < np.median([c.sigma for c in found]) < 0.5


def quiet_and_loud():
    grid = Grid(4 * BLOCK_CELLS, 4 * BLOCK_CELLS + 7, UTM.transform, UTM.crs)
    field = field_on(grid, 5.0, -5.0, 0.2)
    quiet = torch.zeros(grid.shape, dtype=torch.bool)
    quiet[:BLOCK_CELLS] = True
    random = torch.Generator().manual_seed(2)
    for band, bias in ((field.east, 0.1), (field.north, -0.2)):
        band[quiet] = bias
        band += 0.2 * torch.randn(grid.shape, generator=random)
    return field, quiet


def test_the_blocks_that_moved_least_are_found_and_described():
    field, _ = quiet_and_loud()
    found = stable_ground(field)
    assert {row for row, *_ in found.blocks} == {0}
    assert (found.east.median, found.north.median) == pytest.approx((0.1, -0.2), abs=0.01)
    assert (found.east.nmad, found.north.nmad) == pytest.approx((0.2, 0.2), rel=0.05)
    assert found.sigma_ratio == pytest.approx(0.75, rel=0.05)  # sigma of north is stated twice as large
    assert "moved least" in found.chosen


def test_a_mask_decides_alone():
    field, quiet = quiet_and_loud()
    found = stable_ground(field, ~quiet)
    assert (found.east.median, found.north.median) == pytest.approx((5, -5), abs=0.01)
    assert found.cells == int((~quiet).sum())
    assert "mask" in found.chosen


def test_a_field_without_values_has_no_stable_ground():
    assert stable_ground(field_on(UTM, math.nan, math.nan)) is None
    assert stable_ground(field_on(UTM, 1, 1)).sigma_ratio != 1
