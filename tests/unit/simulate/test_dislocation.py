"""Triangles move the ground as closed forms say that are written down here without them: Okada's rectangle, a screw."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.simulate.dislocation import by_triangles
from terrashift.simulate.elastic import elastic_displacement, motion_at
from terrashift.simulate.faults import Segment
from terrashift.simulate.mesh import cut

UNIFORM = np.ones((2, 2))


class Rectangle(NamedTuple):
    """As in Okada (1985): x along strike, y to the left of it, the lower edge from x = 0 to `length` below y = 0."""

    length: float
    width: float
    depth: float
    """Of the lower edge."""
    dip_deg: float


def okada(rectangle: Rectangle, x: np.ndarray, y: np.ndarray, dip_slip: bool) -> np.ndarray:
    """Surface motion (x, y, up) by unit slip, left-lateral or reverse: Okada (1985, eqs. 24-30), Poisson ratio 0.25."""
    angle = math.radians(rectangle.dip_deg)
    sine, cosine = math.sin(angle), 0.0 if rectangle.dip_deg == 90 else math.cos(angle)
    p = y * cosine + rectangle.depth * sine
    q = y * sine - rectangle.depth * cosine
    far, low = x - rectangle.length, p - rectangle.width
    signed = ((x, p, 1), (x, low, -1), (far, p, -1), (far, low, 1))
    return sum(sign * _corner(xi, eta, q, sine, cosine, dip_slip) for xi, eta, sign in signed)


def _corner(xi, eta, q, sine, cosine, dip_slip) -> np.ndarray:
    """f(xi, eta) in Chinnery's notation."""
    y, d = eta * cosine + q * sine, eta * sine - q * cosine
    r = np.sqrt(xi**2 + eta**2 + q**2)
    i1, i2, i3, i4, i5 = _integrals(xi, eta, q, r, y, d, sine, cosine)
    turn = np.arctan(xi * eta / (q * r))
    if dip_slip:
        parts = (
            q / r - i3 * sine * cosine,
            y * q / (r * (r + xi)) + cosine * turn - i1 * sine * cosine,
            d * q / (r * (r + xi)) + sine * turn - i5 * sine * cosine,
        )
    else:
        parts = (
            xi * q / (r * (r + eta)) + turn + i1 * sine,
            y * q / (r * (r + eta)) + q * cosine / (r + eta) + i2 * sine,
            d * q / (r * (r + eta)) + q * sine / (r + eta) + i4 * sine,
        )
    return -np.stack(parts, -1) / (2 * math.pi)


def _integrals(xi, eta, q, r, y, d, sine, cosine):
    """I1 to I5; mu / (lambda + mu) is 1/2."""
    log = np.log(r + eta)
    if cosine == 0:
        i1 = -xi * q / (r + d) ** 2 / 4
        i3 = (eta / (r + d) + y * q / (r + d) ** 2 - log) / 4
        i4, i5 = -q / (r + d) / 2, -xi * sine / (r + d) / 2
    else:
        x = np.hypot(xi, q)
        i5 = np.arctan((eta * (x + q * cosine) + x * (r + x) * sine) / (xi * (r + x) * cosine)) / cosine
        i4 = (np.log(r + d) - sine * log) / (2 * cosine)
        i3 = (y / (cosine * (r + d)) - log) / 2 + sine / cosine * i4
        i1 = -xi / (2 * cosine * (r + d)) - sine / cosine * i5
    return i1, -log / 2 - i3, i3, i4, i5


@pytest.mark.parametrize(
    ("dip_slip", "published"), [(False, (-8.689e-3, -4.298e-3, -2.747e-3)), (True, (-4.682e-3, -3.527e-2, -3.564e-2))]
)
def test_the_rectangle_written_here_gives_the_published_numbers(dip_slip, published):
    """Table 2, case 2 of Okada (1985)."""
    found = okada(Rectangle(3, 2, 4, 70), np.array([2.0]), np.array([3.0]), dip_slip)
    assert found[0] == pytest.approx(published, rel=2e-4)


@pytest.mark.parametrize("dip_deg", [90.0, 75.0, 40.0])
@pytest.mark.parametrize("rake_deg", [0.0, 90.0])
@pytest.mark.parametrize("strike_deg", [0.0, 130.0])
def test_a_segment_of_even_slip_moves_the_ground_as_okadas_rectangle(dip_deg, rake_deg, strike_deg):
    length, depth = 6000.0, 2000.0
    angle = math.radians(strike_deg)
    toward = np.array([math.sin(angle), math.cos(angle)])
    left = np.array([-toward[1], toward[0]])
    segment = Segment(np.array([-length / 2 * toward, length / 2 * toward]), UNIFORM, depth, dip_deg, rake_deg)
    random = np.random.default_rng(4)
    along, across = random.uniform(-6000, 6000, 60), random.uniform(-6000, 6000, 60)
    found = motion_at(cut(segment, 100.0), along[:, None] * toward + across[:, None] * left)
    width = depth / math.sin(math.radians(dip_deg))
    lower = depth / math.tan(math.radians(dip_deg))  # the lower edge lies to the right of the trace
    rectangle = Rectangle(length, width, depth, dip_deg)
    x, y, up = okada(rectangle, along + length / 2, across + lower, dip_slip=rake_deg == 90).T
    expected = np.column_stack([x[:, None] * toward + y[:, None] * left, up])
    assert np.abs(expected).max() > 0.05
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("strike_deg", "dip_deg", "rake_deg"), [(0.0, 90.0, 0.0), (70.0, 60.0, 90.0), (205.0, 40.0, 0.0)]
)
def test_every_pixel_of_a_grid_moves_as_okadas_rectangle_says(strike_deg, dip_deg, rake_deg):
    grid = Grid(72, 104, Affine(10, 0, 500000, 0, -15, 4000000), "EPSG:32633")
    length, depth, slip = 4000.0, 1500.0, 2.0
    angle = math.radians(strike_deg)
    toward = np.array([math.sin(angle), math.cos(angle)])
    left = np.array([-toward[1], toward[0]])
    tip = np.array([33.0, -77.0])  # in sight
    segment = Segment(np.array([tip, tip + length * toward]), slip * UNIFORM, depth, dip_deg, rake_deg)
    found = elastic_displacement(grid, [segment])
    row, column = np.indices(grid.shape) + 0.5
    place = np.stack([10 * (column - grid.width / 2), 15 * (grid.height / 2 - row)], -1) - tip
    lower = depth / math.tan(math.radians(dip_deg))
    rectangle = Rectangle(length, depth / math.sin(math.radians(dip_deg)), depth, dip_deg)
    x, y, up = np.moveaxis(okada(rectangle, place @ toward, place @ left + lower, dip_slip=rake_deg == 90), -1, 0)
    expected = slip * np.stack([x * toward[0] + y * left[0], x * toward[1] + y * left[1], up])
    assert np.abs(expected).max() > 0.4 * slip
    moved = np.stack([found.east, found.north, found.up])
    assert np.abs(moved - expected).max() < 1e-4 * slip


def test_a_very_long_vertical_fault_moves_the_ground_as_a_screw_dislocation():
    depth = 1000.0
    segment = Segment(np.array([[0, -400e3], [0, 400e3]]), UNIFORM, depth)
    east = np.array([-20e3, -3e3, -800.0, -15.0, 15.0, 800.0, 3e3, 20e3])
    found = motion_at(cut(segment, 500.0), np.column_stack([east, np.zeros(8)]))
    expected = -np.arctan(depth / east) / math.pi  # right-lateral: the east goes south
    assert np.abs(found[:, 1] - expected).max() < 1e-4
    assert np.abs(found[:, [0, 2]]).max() < 1e-4


def test_the_side_that_a_triangles_normal_points_to_moves_by_half_the_slip():
    east_facing = np.array([[[0, -50e3, 0], [0, 0, -50e3], [0, 50e3, 0]]], float)
    normal = np.cross(east_facing[0, 1] - east_facing[0, 0], east_facing[0, 2] - east_facing[0, 0])
    assert normal[0] > 0
    for slip in np.eye(3):
        sides = by_triangles(np.array([[1.0, 0.0], [-1.0, 0.0]]), east_facing, slip[None])
        assert sides[0] - sides[1] == pytest.approx(slip, abs=1e-3)


def test_coarse_and_fine_meshes_of_a_straight_segment_move_the_ground_alike():
    segment = Segment(np.array([[-3000.0, 0.0], [3000.0, 500.0]]), UNIFORM, 2000.0, 60.0, 150.0)
    points = np.random.default_rng(0).uniform(-4000, 4000, (40, 2))
    fine, coarse = (motion_at(cut(segment, finest), points) for finest in (60.0, 700.0))
    assert np.abs(fine - coarse).max() < 1e-9
