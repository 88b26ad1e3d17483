"""The trace found in a field is the one that was planted, and noise alone has none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine
from scipy.ndimage import distance_transform_edt, gaussian_filter

from terrashift.analyse.ridge import find_jumps, normal_of
from terrashift.analyse.skeleton import chains, pruned, thinned
from terrashift.analyse.trace import TraceOptions, find_mask, find_pieces, find_trace
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.simulate.rupture import Rupture, displacement
from terrashift.simulate.trace import parted_pixels

UTM = "EPSG:32631"
SHAPE = (110, 130)


def stepped(angle_deg, height=1.0, noise=0.2, seed=0):
    """Motion (x, y) that jumps across a line through the middle whose normal has this angle (x right, y down)."""
    rows, columns = np.indices(SHAPE) + 0.5
    angle = math.radians(angle_deg)
    side = (columns - 65.2) * math.cos(angle) + (rows - 55.3) * math.sin(angle) > 0
    random = np.random.default_rng(seed)
    motion = noise * random.standard_normal((2, *SHAPE))
    motion[0] += height * (side - 0.5)
    return motion, side


def near(mask, other, cells=2.0):
    """Share of the cells of a mask that lie within some cells of another."""
    return float((distance_transform_edt(~other)[mask] <= cells).mean())


def border(side):
    return (side[:-1, :-1] != side[1:, 1:]) | (side[:-1, 1:] != side[1:, :-1])


@pytest.mark.parametrize("angle_deg", [0, 20, 45, 90, 118, 157])
def test_a_straight_step_is_found_in_every_direction(angle_deg):
    motion, side = stepped(angle_deg)
    (piece,) = find_pieces(motion)
    mask = parted_pixels(SHAPE, [piece.line])
    truth = np.pad(border(side), ((0, 1), (0, 1)))
    assert near(mask, truth) > 0.9
    assert near(truth, mask) > 0.95
    assert piece.confidence > 0.99
    assert piece.jump == pytest.approx(1, rel=0.25)
    assert np.array_equal(mask, find_mask(motion))


def test_the_jump_is_that_of_the_side_of_the_normal():
    motion, _ = stepped(30, height=2.0, noise=0.01)
    found = find_jumps(motion, None, 2.0, 8.0)
    x, y = normal_of(found.direction[55:56, 65])
    assert (x[0], y[0]) == pytest.approx((math.cos(math.pi / 6), 0.5))
    assert found.jump[0, 55, 65] == pytest.approx(2, rel=0.15)
    assert abs(found.jump[1, 55, 65]) < 0.05
    assert found.strength[55, 65] > 15


@pytest.mark.parametrize("smooth", [0.0, 1.5, 3.0])
def test_noise_alone_has_no_trace(smooth):
    random = np.random.default_rng(1)
    noise = random.standard_normal((2, 160, 150))
    assert find_pieces(np.stack([gaussian_filter(part, smooth) for part in noise])) == ()


@pytest.mark.parametrize("motion", [np.zeros((2, 40, 50)), np.full((2, 40, 50), math.nan), np.ones((2, 1, 3))])
def test_nothing_moving_nothing_measured_and_next_to_no_cells_have_no_trace(motion):
    assert find_pieces(motion) == ()
    assert not find_mask(motion).any()


def test_a_steady_gradient_is_no_jump():
    rows, columns = np.indices(SHAPE, float)
    assert find_pieces(np.stack([0.05 * columns + 0.02 * rows, -0.03 * columns])) == ()


def test_gaps_are_neither_traces_nor_hide_one():
    motion, side = stepped(35)
    motion[:, 20:34, 10:110] = math.nan
    motion[:, :, 120:] = math.nan
    pieces = find_pieces(motion)
    mask = parted_pixels(SHAPE, [piece.line for piece in pieces])
    truth = np.pad(border(side), ((0, 1), (0, 1))) & np.isfinite(motion[0])
    assert near(mask & np.isfinite(motion[0]), truth) > 0.9
    assert near(truth, mask, 5) > 0.85


def test_cells_of_large_sigma_weigh_less():
    motion, _ = stepped(0, height=0.6, noise=0.1, seed=2)
    random = np.random.default_rng(3)
    bad = random.random(SHAPE) < 0.25
    motion[:, bad] += 4 * random.standard_normal((2, int(bad.sum())))
    sigma = np.broadcast_to(np.where(bad, 4.0, 0.1), (2, *SHAPE)).copy()
    without, told = (find_jumps(motion, s, 2.0, 8.0).strength[20:90, 63:67].max(1) for s in (None, sigma))
    assert np.median(told) > 1.5 * np.median(without)


def test_a_fault_whose_cells_are_less_certain_is_found_whole():
    motion, side = stepped(35, noise=0.1)
    away = distance_transform_edt(side) + distance_transform_edt(~side)
    sigma = np.broadcast_to(np.where(away < 8, 2.0, 0.1), motion.shape).copy()
    piece = find_pieces(motion, sigma)[0]
    assert near(np.pad(border(side), ((0, 1), (0, 1))), parted_pixels(SHAPE, [piece.line])) > 0.95


def test_two_faults_are_two_pieces_and_a_short_jump_is_left_out():
    motion, _ = stepped(90, noise=0.1)
    motion[1, :, 100:] += 1.0
    motion[1, 20:26, 20:26] += 3.0
    found = find_pieces(motion, None, TraceOptions(gap_cells=3))
    assert sum(piece.length for piece in found) == pytest.approx(130 + 110, rel=0.15)
    assert all(piece.confidence > 0.9 for piece in found)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, -10, 4_000_000),
        Affine(10, 0, 500_000, 0, 10, 4_000_000),
        Affine.translation(500_000, 4_000_000) @ Affine.rotation(25) @ Affine.scale(10, -10),
    ],
    ids=["north up", "south up", "rotated"],
)
def test_a_rupture_is_found_on_every_grid(transform):
    grid = Grid(120, 140, transform, UTM)
    truth = displacement(grid, Rupture(slip_m=-3, strike_deg=60), 4)
    random = np.random.default_rng(5)
    noise = torch.from_numpy(0.4 * random.standard_normal((2, *grid.shape)).astype(np.float32))
    sigma, reasons = torch.full(grid.shape, 0.4), torch.zeros(grid.shape, dtype=torch.uint8)
    field = DisplacementField(
        truth.east + noise[0], truth.north + noise[1], sigma, sigma, torch.ones(grid.shape), reasons, grid
    )
    found = find_trace(field)
    lines = [np.stack(~transform @ tuple(line.T), 1) for line in found.lines]
    mask, planted = parted_pixels(grid.shape, lines), np.asarray(truth.trace)
    assert near(mask, planted) > 0.95
    assert near(planted, mask) > 0.95
    assert found.properties[0]["confidence"] > 0.99
    assert found.properties[0]["length_m"] == pytest.approx(10 * planted.sum() / 2, rel=0.35)


def test_thinning_keeps_what_is_connected_and_is_one_cell_wide():
    mask = np.zeros((30, 40), bool)
    mask[10:15, 3:37] = True
    mask[3:28, 20:24] = True
    thin = thinned(mask)
    assert (thin & ~mask).sum() == 0
    assert thin.sum() < 70
    assert not (thin[:-1, :-1] & thin[1:, 1:] & thin[1:, :-1] & thin[:-1, 1:]).any()
    assert np.array_equal(thinned(thin), thin)
    assert len(chains(thin)) == 4
    slanted = np.eye(25, dtype=bool) | np.eye(25, k=1, dtype=bool)
    (chain,) = chains(thinned(slanted))
    assert len(chain) >= 24
    assert (np.abs(np.diff(chain, axis=0)).max(1) == 1).all()


def test_short_branches_are_pruned_and_the_rest_becomes_one_chain():
    skeleton = np.zeros((20, 40), bool)
    skeleton[10, 2:38] = True
    skeleton[6:10, 20] = True
    assert len(chains(skeleton)) == 3
    (chain,) = chains(pruned(skeleton, 8))
    assert sorted(chain[:, 1]) == list(range(2, 38))
    assert len(chains(pruned(skeleton, 3))) == 3


def test_a_ring_is_a_chain_too():
    rows, columns = np.indices((30, 30)) - 15
    ring = np.abs(np.hypot(rows, columns) - 9) < 1.2
    found = chains(thinned(ring))
    assert len(found) == 1
    assert len(found[0]) > 20
