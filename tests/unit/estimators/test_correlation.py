import pytest
import torch

from terrashift.estimators.correlation import LOBES, Places, cheapest, match_windows, paraboloid_bottom
from terrashift.ops.interpolate import sinc_weights

SIDE = 5
RADIUS = 2, 1
PHASES = 8


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 44, 44, generator=generator)


@pytest.fixture(scope="module")
def match(images):
    first = SIDE // 2 + max(RADIUS) + LOBES + 1
    return match_windows(images[0], images[1], Places(first, 3, 5, SIDE), RADIUS, PHASES)


def correlation(a, b):
    a, b = (x.double() - x.double().mean() for x in (a, b))
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def window(image, row, column):
    half = SIDE // 2
    return image[row - half : row + half + 1, column - half : column + half + 1]


def test_whole_shifts_give_the_textbook_correlation(images, match):
    table = match.at_whole_shifts()
    assert table.shape == (3, 5, 5, 5)
    for dy, dx, i, j in ((-1, -2, 0, 0), (0, 0, 2, 3), (1, 2, 4, 1), (1, -1, 3, 4)):
        row, column = match.places.first + 3 * i, match.places.first + 3 * j
        direct = correlation(window(images[0], row, column), window(images[1], row + dy, column + dx))
        assert table[dy + 1, dx + 2, i, j].item() == pytest.approx(direct, abs=1e-5)


def test_fractions_give_the_correlation_with_the_interpolated_image(images, match):
    whole = torch.zeros(2, 5, 5, dtype=torch.long)
    whole[0], whole[1] = 1, -1
    offset = torch.zeros(2, 5, 5)
    offset[0], offset[1] = 0.25, -0.375
    table = match.around(match.taps_around(whole), whole, offset, 0.125)
    x, y = 1 + 0.25 + 0.125, -1 - 0.375 - 0.125  # the candidate up and to the right of the middle
    taps = range(-LOBES, LOBES + 1)
    wx = sinc_weights(torch.tensor(x - 1, dtype=torch.float64), LOBES)
    wy = sinc_weights(torch.tensor(y + 1, dtype=torch.float64), LOBES)
    moved = sum(
        wy[i] * wx[j] * images[1].double().roll((1 - k, -1 - m), (0, 1))
        for i, k in enumerate(taps)
        for j, m in enumerate(taps)
    )
    row = column = match.places.first + 3 * 2
    direct = correlation(window(images[0], row, column), window(moved, row, column))
    assert table[0, 2, 2, 2].item() == pytest.approx(direct, abs=1e-4)


def test_a_paraboloid_gives_its_bottom_back_even_when_it_leans():
    y, x = torch.meshgrid(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0), indexing="ij")
    bowl = 2 * (x - 0.3) ** 2 + 3 * (y + 0.4) ** 2 + 1.5 * (x - 0.3) * (y + 0.4)
    bottom = paraboloid_bottom(bowl[:, :, None, None])
    assert bottom[:, 0, 0].tolist() == pytest.approx([0.3, -0.4], abs=1e-5)


def test_a_saddle_has_no_bottom():
    y, x = torch.meshgrid(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0), indexing="ij")
    assert paraboloid_bottom((x**2 - y**2 + 0.1 * x)[:, :, None, None]).abs().max() == 0


def test_the_cheapest_candidate_is_named_x_first():
    cost = torch.ones(3, 5, 1, 1)
    cost[0, 4] = 0
    assert cheapest(cost, 0.5)[:, 0, 0].tolist() == [1.0, -0.5]
