"""Lines part the pixels on either side, and pieces that continue each other are one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.simulate.elastic import elastic_displacement
from terrashift.simulate.faults import AlongOptions, faults_along
from terrashift.simulate.trace import from_pixels, joined, parted_pixels, to_pixels

GRID = Grid(40, 56, Affine(10, 0, 500000, 0, -15, 4000000), "EPSG:32633")
WHOLE = np.array([[-700.0, -400.0], [-200.0, -100.0], [50.0, 30.0], [300.0, 100.0], [800.0, 450.0]])


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_line_parts_the_pixels_on_either_side_of_it():
    line = np.array([[2.0, -1.0], [2.0, 2.0], [10.0, 2.0]])  # down between columns 1 and 2, then right below row 1
    expected = np.zeros((4, 5), bool)
    expected[:2, 1] = True
    expected[1:3, 2:] = expected[:2, 2] = True
    assert np.array_equal(parted_pixels((4, 5), [line]), expected)
    assert not parted_pixels((4, 5), [line, line + 100])[3].any()


def test_a_line_that_comes_back_over_the_same_gap_parts_nothing_there():
    there_and_back = np.array([[1.2, 0.2], [1.2, 0.9], [1.3, 0.2]])
    assert not parted_pixels((2, 3), [there_and_back]).any()


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.2, 0.7)])
def test_pixels_come_back_from_metres_about_any_centre(centre):
    middle = np.array(centre) * [GRID.width, GRID.height]
    assert from_pixels(GRID, middle[None], centre) == pytest.approx(np.zeros((1, 2)))
    assert from_pixels(GRID, middle + np.eye(2), centre) == pytest.approx(np.array([[10, 0], [0, -15]]))
    assert from_pixels(GRID, to_pixels(GRID, WHOLE, centre), centre) == pytest.approx(WHOLE)


def test_two_halves_move_the_ground_as_the_whole():
    def field(lines):
        return elastic_displacement(GRID, faults_along(lines, AlongOptions(depth_km=1.0), np.random.default_rng(3)))

    halves = [WHOLE[:3], WHOLE[:1:-1]]
    whole, pieces, pinched = field([WHOLE]), field(joined(halves)), field(halves)
    assert torch.equal(whole.east, pieces.east)
    assert torch.equal(whole.north, pieces.north)
    assert torch.equal(whole.trace, pieces.trace)
    assert not torch.allclose(whole.east, pinched.east, atol=0.1)


def test_pieces_in_any_order_and_direction_are_one_line_that_runs_as_the_first():
    first, second, third, fourth = (WHOLE[k : k + 2] for k in range(4))
    assert same(joined([first, second, third, fourth]), [WHOLE])
    assert same(joined([first[::-1], third, second[::-1], fourth]), [WHOLE[::-1]])
    assert same(joined([third, fourth[::-1], first[::-1], second]), [WHOLE])
    assert same(joined([fourth[::-1], first, third, second]), [WHOLE[::-1]])


def test_what_does_not_continue_is_left_as_it_is():
    apart = [WHOLE, WHOLE + 1.0]
    crossing = [WHOLE, np.array([[50.0, 900.0], [50.0, 30.0]])]  # ends on an inner point of the other
    forked = [WHOLE[:3], WHOLE[2:], np.array([[50.0, 30.0], [0.0, 800.0]])]
    ring = [np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])]
    on_a_stem = [*ring, np.array([[0.0, 0.0], [-5.0, 0.0]])]
    for lines in ([], [WHOLE], apart, crossing, forked, ring, on_a_stem):
        assert same(joined(lines), lines)


def test_a_ring_in_pieces_stays_open():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert same(joined([corners[:2], corners[1:]]), [corners[:2], corners[1:]])
    assert same(joined([corners[:2], corners[1:3], corners[2:]]), [corners[[2, 0, 1]], corners[1:3]])
