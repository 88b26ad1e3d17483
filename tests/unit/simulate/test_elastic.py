"""Ground moves with its sign, breaks on the trace and nowhere else, and as every triangle alone would move it."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError, OptionError
from terrashift.simulate import boxes
from terrashift.simulate.boxes import motion_over
from terrashift.simulate.elastic import elastic_displacement, motion_at, random_displacement
from terrashift.simulate.faults import AlongOptions, Segment, faults_along
from terrashift.simulate.mesh import cut, per_cell
from terrashift.simulate.systems import FaultOptions
from terrashift.simulate.trace import from_crs, to_crs, to_pixels

ORIGIN = Affine.translation(500000, 4000000)
GRID = Grid(40, 56, ORIGIN @ Affine.scale(10, -10), "EPSG:32633")
GRIDS = {
    "north up": GRID,
    "south up, not square": Grid(40, 56, ORIGIN @ Affine.scale(10, 15), "EPSG:32633"),
    "rotated": Grid(40, 56, ORIGIN @ Affine.rotation(25) @ Affine.scale(10, -10), "EPSG:32633"),
    "degrees": Grid(40, 56, Affine(1e-4, 0, 13, 0, -1e-4, 60), "EPSG:4326", geographic=True),
    "no CRS": Grid(40, 56, Affine.identity()),
}


def fault(strike_deg=20.0, length_m=3000.0, middle=(0.0, 0.0), **options):
    """One segment about `middle`, rough unless told otherwise."""
    angle = math.radians(strike_deg)
    half = length_m / 2 * np.array([math.sin(angle), math.cos(angle)])
    told = AlongOptions(**{"slip_m": 2.0, "depth_km": 1.0, "roughness": 0.008, **options})
    (segment,) = faults_along([np.array([-half, half]) + middle], told, np.random.default_rng(5))
    return segment


CASES = {
    "across": fault(),
    "tip in sight": fault(length_m=4000.0, middle=(680.0, 1870.0)),
    "dipping": fault(strike_deg=70.0, dip_deg=45.0, rise_deg=40.0),
    "dipping the other way": fault(strike_deg=250.0, dip_deg=32.0, rise_deg=-40.0),
}


@cache
def alone(name):
    """How one of the cases moves the usual grid."""
    return elastic_displacement(GRID, [CASES[name]])


def crossed(grid, found, axis):
    """Which neighbours' centres (in a row for axis 1, a column for axis 0) a line parts, by turning directions."""
    rows, columns = np.meshgrid(np.arange(grid.height) + 0.5, np.arange(grid.width) + 0.5, indexing="ij")
    centre = np.stack([columns, rows], -1)
    here = centre[:, :-1] if axis == 1 else centre[:-1]
    there = centre[:, 1:] if axis == 1 else centre[1:]

    def turn(a, b, c):
        return np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    odd = np.zeros(here.shape[:2], bool)
    for line in found.lines:
        points = np.stack(~grid.transform @ tuple(line.numpy().T), 1)
        for start, end in pairwise(points):
            if (np.minimum(start, end) > [grid.width, grid.height]).any() or (np.maximum(start, end) < 0).any():
                continue
            apart = (turn(start, end, here) != turn(start, end, there)) & (
                turn(here, there, start) != turn(here, there, end)
            )
            odd ^= apart
    return odd


def jumps(found, axis):
    """Length of the difference between neighbours."""
    return sum(part.diff(dim=axis) ** 2 for part in (found.east, found.north, found.up)).sqrt().numpy()


@pytest.mark.parametrize("name", CASES)
def test_the_ground_breaks_by_the_slip_on_the_trace_and_is_smooth_off_it(name):
    case, found = CASES[name], alone(name)
    largest = float(found.slips[0].abs().max() / abs(math.cos(math.radians(case.rake_deg))))
    seen = np.zeros(GRID.shape, bool)
    for axis in (0, 1):
        cut_by, jump = crossed(GRID, found, axis), jumps(found, axis)
        assert cut_by.any()
        assert jump[~cut_by].max() < 0.1 * largest
        row, column = np.nonzero(cut_by)
        middle = np.stack([column + (0.5 if axis == 0 else 1.0), row + (1.0 if axis == 0 else 0.5)], 1)
        line = np.stack(~GRID.transform @ tuple(found.lines[0].numpy().T), 1)
        nearest = ((line[:, None] - middle) ** 2).sum(-1).argmin(0)
        slip = found.slips[0].abs().numpy()[nearest] / abs(math.cos(math.radians(case.rake_deg)))
        assert np.abs(jump[cut_by] - slip).max() < 0.08 * largest
        first, second = np.array([row, column]), np.array([row + (axis == 0), column + (axis == 1)])
        seen[tuple(first)] = seen[tuple(second)] = True
    assert np.array_equal(found.trace.numpy(), seen)


def test_the_trace_ends_where_the_slip_does():
    found = alone("tip in sight")
    rows = np.nonzero(found.trace.numpy().any(1))[0]
    tip = (~GRID.transform @ (0, float(found.lines[0][0, 1])))[1]  # the line starts at its southern tip
    assert 5 < tip < GRID.height - 5
    assert abs(rows[-1] + 0.5 - tip) <= 1.5
    assert found.slips[0][0] == found.slips[0][-1] == 0


@pytest.mark.parametrize(
    ("grid", "case"),
    [
        (GRID, CASES["tip in sight"]),
        (GRID, CASES["dipping the other way"]),
        (GRIDS["south up, not square"], CASES["across"]),
        (GRIDS["south up, not square"], CASES["dipping"]),
    ],
    ids=["tip", "dipping", "not square", "not square, dipping"],
)
def test_what_is_interpolated_is_what_every_triangle_would_give(grid, case):
    mesh = cut(case, min(grid.pixel_size))
    found = motion_over(grid, mesh)
    random = np.random.default_rng(0)
    row, column = random.integers(0, grid.height, 40), random.integers(0, grid.width, 40)
    m = grid.metric_transform()
    x, y = column + 0.5 - grid.width / 2, row + 0.5 - grid.height / 2
    exact = motion_at(mesh, np.stack([m.a * x + m.b * y, m.d * x + m.e * y], 1) + 1e-7)
    assert np.abs(found[:, row, column].T - exact).max() < 1e-4 * case.slip_m.max()


def test_with_as_many_nodes_as_pixels_a_box_is_still_interpolated_between_its_nodes(monkeypatch):
    mesh = cut(CASES["across"], 10.0)
    usual = motion_over(GRID, mesh)
    monkeypatch.setattr(boxes, "NODES", boxes.SMALLEST_PX)
    assert np.abs(motion_over(GRID, mesh) - usual).max() < 1e-4 * CASES["across"].slip_m.max()


def test_on_a_wide_grid_most_pixels_are_interpolated_and_true(monkeypatch):
    grid = Grid(130, 200, ORIGIN @ Affine.scale(10, -10), "EPSG:32633")
    segment = fault(length_m=6000.0, depth_km=3.0, dip_deg=70.0)
    mesh = cut(segment, 10.0)
    pairs = []

    def counted(points, triangles, slips):
        pairs.append(len(points) * len(triangles))
        return by_triangles(points, triangles, slips)

    by_triangles = boxes.by_triangles
    monkeypatch.setattr(boxes, "by_triangles", counted)
    found = motion_over(grid, mesh)
    triangles = sum(per_cell(level) * len(slip) for level, slip in enumerate(mesh.cell_slip))
    assert sum(pairs) < 0.015 * triangles * grid.height * grid.width
    random = np.random.default_rng(1)
    row, column = random.integers(0, grid.height, 30), random.integers(0, grid.width, 30)
    points = np.stack([10 * (column + 0.5 - 100), -10 * (row + 0.5 - 65)], 1)
    assert np.abs(found[:, row, column].T - motion_at(mesh, points)).max() < 1e-4 * segment.slip_m.max()


@pytest.mark.parametrize("strike", [0.0, 110.0, 250.0])
@pytest.mark.parametrize("slip", [2.0, -2.0])
def test_seen_from_either_side_the_other_moves_right_where_slip_is_positive(strike, slip):
    segment = fault(strike, slip_m=slip, roughness=0.0)
    found = elastic_displacement(GRID, [segment])
    assert float(found.slips[0][len(found.slips[0]) // 2]) * slip > 0
    angle = math.radians(strike)
    for side in (1, -1):
        facing = side * np.array([math.cos(angle), -math.sin(angle)])
        column, row = int(28 + 12 * facing[0]), int(20 - 12 * facing[1])
        motion = np.array([found.east[row, column], found.north[row, column]])
        right_hand = np.array([facing[1], -facing[0]])
        assert motion @ right_hand * slip > 0.5


@pytest.mark.parametrize(("rise", "sign"), [(90.0, 1), (-90.0, -1)])
def test_the_side_that_a_fault_dips_to_goes_up_in_a_reverse_earthquake(rise, sign):
    found = elastic_displacement(GRID, [fault(0.0, dip_deg=60.0, rise_deg=rise, roughness=0.0)])
    east, west = found.up[20, 33], found.up[20, 22]
    assert sign * (east - west) > 0.5
    assert sign * east > 0.5
    assert sign * (found.east[20, 33] - found.east[20, 22]) < -0.3  # shortened by a reverse, stretched by a normal one
    assert found.slips[0].abs().max() < 1e-6


def test_twice_the_slip_moves_twice_and_two_faults_move_by_their_sum():
    one, other = CASES["across"], CASES["tip in sight"]
    doubled = Segment(one.trace, 2 * one.slip_m, one.depth_m, one.dip_deg, one.rake_deg)
    a, b = alone("across"), alone("tip in sight")
    twice, both = elastic_displacement(GRID, [doubled]), elastic_displacement(GRID, [one, other])
    for part in ("east", "north", "up"):
        assert torch.allclose(getattr(twice, part), 2 * getattr(a, part), atol=1e-6)
        assert torch.allclose(getattr(both, part), getattr(a, part) + getattr(b, part), atol=1e-6)
    assert torch.equal(both.trace, a.trace | b.trace)
    assert len(both.lines) == len(both.slips) == 2


def test_nothing_moves_where_nothing_slips():
    still = Segment(CASES["across"].trace, np.zeros((2, 2)), 1000.0)
    found = elastic_displacement(GRID, [still])
    assert not torch.stack([found.east, found.north, found.up]).any()


def test_ground_moves_alike_on_grids_turned_or_flipped():
    segment = CASES["dipping"]
    south_up = Grid(40, 56, ORIGIN @ Affine.scale(10, 10), "EPSG:32633")
    quarter = Grid(56, 40, ORIGIN @ Affine.rotation(90) @ Affine.scale(10, -10), "EPSG:32633")
    a = alone("dipping")
    b, c = (elastic_displacement(grid, [segment]) for grid in (south_up, quarter))
    for part in ("east", "north", "up"):
        assert torch.allclose(getattr(a, part), getattr(b, part).flip(0), atol=1e-3)
        assert torch.allclose(getattr(a, part), getattr(c, part).rot90(1), atol=1e-3)
    assert torch.equal(a.trace, b.trace.flip(0))
    assert torch.equal(a.trace, c.trace.rot90(1))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_lines_lie_on_the_trace_of_any_grid_and_come_back_from_its_crs(grid):
    segment = fault(60.0, length_m=4000.0, roughness=0.001)
    found = elastic_displacement(grid, [segment])
    column, row = to_pixels(grid, from_crs(grid, found.lines[0].numpy())).T
    back = ~grid.transform @ tuple(found.lines[0].numpy().T)
    assert np.allclose(back, (column, row), atol=1e-6)
    inside = (column > 1) & (column < grid.width - 1) & (row > 1) & (row < grid.height - 1)
    assert inside.sum() > 20
    assert found.trace[row[inside].astype(int), column[inside].astype(int)].float().mean() > 0.9
    assert np.allclose(to_crs(grid, segment.trace[[0, -1]]), found.lines[0][[0, -1]])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_random_faults_move_the_ground_by_the_motion_asked_for(grid):
    found = random_displacement(grid, 1, 3.0, FaultOptions(in_sight=1.0, oblique=0.0))
    longest = float(torch.hypot(found.east, found.north).max())
    horizontal = max(float(torch.hypot(found.east.diff(dim=axis), found.north.diff(dim=axis)).max()) for axis in (0, 1))
    assert found.trace.any()
    assert max(longest, horizontal) == pytest.approx(3.0, rel=0.1)
    assert longest <= 3.0 + 1e-5
    assert found.up.abs().max() > 0


def test_beside_the_trace_the_longest_motion_is_the_one_asked_for():
    found = random_displacement(GRID, 3, 0.5, FaultOptions(in_sight=0.0))
    assert not found.trace.any()
    assert float(torch.hypot(found.east, found.north).max()) == pytest.approx(0.5, rel=1e-5)


def test_the_same_seed_gives_the_same_displacement_and_half_the_motion_half_of_it():
    one, two, half, other = (
        random_displacement(GRID.crop(0, 0, 16, 24), *asked) for asked in ((7, 2.0), (7, 2.0), (7, 1.0), (8, 2.0))
    )
    assert torch.equal(one.east, two.east)
    assert torch.allclose(one.north, 2 * half.north, atol=1e-6)
    assert torch.allclose(one.slips[0], 2 * half.slips[0], atol=1e-5)
    assert not torch.allclose(one.east, other.east)


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(InputError, match="0 fault segments"):
        elastic_displacement(GRID, [])
    with pytest.raises(OptionError, match="largest slip 0 m"):
        random_displacement(GRID, 0, 0.0)
