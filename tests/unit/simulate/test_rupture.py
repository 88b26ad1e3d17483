"""The jump is the slip, its sense is the one documented, and it decays as the papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.simulate.rupture import Rupture, displacement

ORIGIN = Affine.translation(500000, 4000000)
GRID = Grid(240, 200, ORIGIN @ Affine.scale(10, -10), "EPSG:32633")
STRAIGHT = {"roughness": 0.0, "slip_variation": 0.0}


def test_the_jump_between_neighbours_across_the_trace_is_the_local_slip():
    rupture = Rupture(slip_m=4, strike_deg=0, roughness=0.005)
    found = displacement(GRID, rupture, 3)
    north = found.north
    jump = north[:, :-1] - north[:, 1:]  # right-lateral along a trace to the north: west goes north, east goes south
    crossing = found.trace[:, :-1] & found.trace[:, 1:] & (jump.abs() > 1)
    assert (crossing.sum(1) == 1).all()
    along, slip = found.lines[0][:, 1], found.slips[0]
    rows_north = torch.tensor([(GRID.transform @ (0, row + 0.5))[1] for row in range(GRID.height)])
    local = np.interp(rows_north, along, slip)
    assert np.abs(jump[crossing].numpy() / local - 1).max() < 0.01
    assert slip.max() > slip.min() + 0.5  # it does vary along the trace


@pytest.mark.parametrize("strike", [0.0, 35.0, 120.0, 250.0])
@pytest.mark.parametrize("slip", [2.0, -2.0])
def test_seen_from_either_side_the_other_moves_right_where_slip_is_positive(strike, slip):
    found = displacement(GRID, Rupture(slip_m=slip, strike_deg=strike, **STRAIGHT), 0)
    angle = math.radians(strike)
    toward = np.array([math.sin(angle), math.cos(angle)])  # east, north
    to_the_right = np.array([toward[1], -toward[0]])
    for side in (1, -1):
        facing = side * to_the_right
        right_hand = np.array([facing[1], -facing[0]])
        place = (GRID.width / 2 + 30 * facing[0], GRID.height / 2 - 30 * facing[1])
        column, row = (int(v) for v in place)
        motion = np.array([found.east[row, column], found.north[row, column]])
        assert math.copysign(1, motion @ right_hand) == math.copysign(1, slip)
        assert abs(motion @ facing) < 1e-6


def test_the_motion_of_a_straight_endless_rupture_follows_the_arctangent():
    found = displacement(GRID, Rupture(slip_m=3, depth_km=0.5, strike_deg=0, **STRAIGHT), 0)
    east_of_trace_m = 10 * (torch.arange(GRID.width) + 0.5 - GRID.width / 2)
    expected = -1.5 * east_of_trace_m.sign() * (1 - 2 / math.pi * torch.atan(east_of_trace_m.abs() / 500))
    assert torch.allclose(found.north, expected.expand(GRID.shape), atol=1e-3)
    assert found.east.abs().max() < 1e-6


def test_a_rupture_with_tips_in_sight_ends_there():
    rupture = Rupture(slip_m=3, strike_deg=0, length_km=1.0, roughness=0.0, slip_variation=0.2, depth_km=1.0)
    found = displacement(GRID, rupture, 1)
    rows = torch.nonzero(found.trace.any(1)).flatten()
    assert (rows[0], rows[-1]) == (70, 169)  # 1 km is 100 rows about the middle
    jump = (found.north[:, 99] - found.north[:, 100]).abs()
    assert jump[:65].max() < 0.1
    assert jump[175:].max() < 0.1
    assert jump[80:160].max() > 2
    slip = found.slips[0]
    assert slip[0] == slip[-1] == 0
    assert slip.max() == 3
    assert found.north[0].abs().max() < 0.35 * found.north.abs().max()


def test_the_trace_lies_where_the_motion_breaks_and_nowhere_else():
    found = displacement(GRID, Rupture(slip_m=5, strike_deg=20), 7)
    jump = torch.zeros(GRID.shape)
    across, down = found.north.diff(dim=1).abs(), found.north.diff(dim=0).abs()
    for part, change in (((slice(None), slice(1, None)), across), ((slice(None), slice(-1)), across)):
        jump[part] = torch.maximum(jump[part], change)
    for part, change in ((slice(1, None), down), (slice(-1), down)):
        jump[part] = torch.maximum(jump[part], change)
    assert jump[found.trace].min() > 5 * jump[~found.trace].max()


def test_the_line_runs_along_the_trace():
    found = displacement(GRID, Rupture(strike_deg=60), 5)
    inverse = ~GRID.transform
    columns, rows = (np.asarray(v) for v in inverse @ tuple(found.lines[0].T.numpy()))
    inside = (columns > 2) & (columns < GRID.width - 2) & (rows > 2) & (rows < GRID.height - 2)
    assert inside.sum() > 200
    assert found.trace[rows[inside].astype(int), columns[inside].astype(int)].float().mean() > 0.95


def test_the_middle_of_the_trace_lies_where_the_centre_says():
    found = displacement(GRID, Rupture(strike_deg=0, length_km=1.0, centre=(0.3, 0.75), **STRAIGHT), 1)
    rows, columns = torch.nonzero(found.trace).T
    assert (rows.min(), rows.max()) == (130, 229)  # 100 rows about row 180
    assert (columns.min(), columns.max()) == (59, 60)
    east, north = found.lines[0].mean(0).tolist()
    assert (east, north) == pytest.approx(GRID.transform @ (60, 180))


def test_ground_moves_alike_on_grids_turned_or_flipped():
    rupture = Rupture(strike_deg=70)
    south_up = Grid(240, 200, ORIGIN @ Affine.scale(10, 10), "EPSG:32633")
    a, b = displacement(GRID, rupture, 2), displacement(south_up, rupture, 2)
    assert torch.allclose(a.east, b.east.flip(0), atol=1e-6)
    assert torch.allclose(a.north, b.north.flip(0), atol=1e-6)
    quarter = Grid(200, 240, ORIGIN @ Affine.rotation(90) @ Affine.scale(10, -10), "EPSG:32633")
    c = displacement(quarter, rupture, 2)
    assert torch.allclose(a.north, c.north.rot90(1), atol=1e-6)


def test_the_closed_form_moves_the_ground_in_its_plane_only():
    found = displacement(GRID, Rupture(), 0)
    assert found.up.shape == found.east.shape
    assert not found.up.any()


def test_the_same_seed_gives_the_same_rupture_and_another_seed_another():
    one, two, three = (displacement(GRID, Rupture(), seed) for seed in (4, 4, 5))
    assert torch.equal(one.east, two.east)
    assert not torch.equal(one.trace, three.trace)
