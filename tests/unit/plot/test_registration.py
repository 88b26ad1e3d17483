"""Pictures of a registration."""

from __future__ import annotations

import numpy as np

from terrashift.plot.registration import checkerboard, stretched


def test_the_first_square_is_of_the_first_image_and_squares_alternate_both_ways():
    board = checkerboard(np.zeros((6, 9)), np.ones((6, 9)), 3)
    assert board[0].tolist() == [0] * 3 + [1] * 3 + [0] * 3
    assert board[3:, 0].tolist() == [1] * 3


def test_brightness_follows_the_image_it_is_held_against():
    image = np.array([[0.0, 50.0], [100.0, np.nan]])
    shown = stretched(image, np.array([[0.0, 100.0], [0.0, 100.0]]))
    assert shown[0, 0] == 0
    assert shown[1, 0] == 1
    assert abs(shown[0, 1] - 0.5) < 0.01
    assert shown[1, 1] == 0
    assert (stretched(np.full((2, 2), np.nan), np.full((2, 2), np.nan)) == 0).all()
