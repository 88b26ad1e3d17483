"""Where one image lies on another as a whole: by correlation, and by content alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.register.content import map_from_content
from terrashift.register.correlate import detail, masked_correlation, whole_shift
from terrashift.register.mapping import Linear
from terrashift.register.sources import ArrayImage


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    image = torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(image, 3, 1, 1)[0, 0]


def test_a_shift_comes_back_with_its_sign_over_gaps_and_between_shapes():
    whole = picture(160, 170)
    first, second = whole[40:120, 50:150].clone(), whole[25:135, 41:161].clone()
    first[10:40, 30:70] = torch.nan
    second[60:90, :50] = torch.nan
    found = whole_shift(first, second)
    # the first pixel of `first` is row 15, column 9 of `second`
    assert found is not None
    assert found.xy == pytest.approx((9, 15), abs=0.1)
    assert found.correlation > 0.99
    assert found.strength > 20
    swapped = whole_shift(second, first)
    assert swapped is not None
    assert swapped.xy == pytest.approx((-9, -15), abs=0.1)


def test_the_correlation_of_one_shift_is_that_of_the_overlap():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 9, 12))
    a[2, 3] = np.nan
    surface, known = masked_correlation(a, b, 0.1)
    x, y = 3, -2  # a[r, c] meets b[r - 2, c + 3]
    one, other = a[2:, :9], b[:7, 3:]
    have = np.isfinite(one)
    expected = np.corrcoef(one[have], other[have])[0, 1]
    assert known[y + 8, x + 11]
    assert surface[y + 8, x + 11] == pytest.approx(expected, abs=1e-9)


def test_gaps_alone_match_nothing():
    empty = torch.full((30, 40), torch.nan)
    assert whole_shift(empty, picture(30, 40)) is None
    assert detail(empty).isnan().all()


def test_the_fraction_of_a_pixel_is_found(see, grid):
    moved = see(grid, move=lambda x, y: (x - 0.4, y + 0.3), noise_seed=2)
    found = whole_shift(detail(see(grid).pixels), detail(moved.pixels))
    assert found is not None
    assert found.xy == pytest.approx((0.4, -0.3), abs=0.12)


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0.0), (1.0, 25.0), (1.4, -70.0), (0.7, 160.0)])
def test_turn_scale_and_shift_are_found_from_content(see, scale, degrees):
    height, width = 180, 230
    grid = Grid(height, width, Affine(10, 0, 502_000, 0, -10, 3_998_000))
    middle = Affine.translation(width / 2 + 7, height / 2 - 4)
    to_reference = (
        middle @ Affine.rotation(-degrees) @ Affine.scale(1 / scale)
        @ Affine.translation(-110 * scale, -100 * scale)
    )  # fmt: skip
    moving = Grid(int(200 * scale), int(220 * scale), grid.transform @ to_reference)
    reference, image = see(grid, noise=10.0), see(moving, noise=10.0, noise_seed=2)
    bare = [ArrayImage(i.pixels, Grid(*i.grid.shape, Affine.identity())) for i in (reference, image)]
    found = map_from_content(bare[0], bare[1])
    truth = Linear.between_corners(~to_reference)
    places = np.array([[20.0, 200.0, 115.0], [20.0, 30.0, 150.0]])
    assert np.abs(found.mapping(places) - truth(places)).max() < 3.0 * max(1, scale)
    assert found.similarity.scale == pytest.approx(scale, rel=0.03)
    turn = math.degrees(found.similarity.angle) - degrees
    assert abs((turn + 180) % 360 - 180) < 2


def test_another_place_is_not_recognised(see):
    grid = Grid(180, 230, Affine(10, 0, 502_000, 0, -10, 3_998_000))
    with pytest.raises(InputError, match=r"recognised.*--band"):
        map_from_content(see(grid), see(grid, seed=5))
