"""Total variation and the squared gradient as prices, on their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.ops.membrane import quadratic
from terrashift.ops.quads import NORM2, Data, Edges, Stop, length_of, shrink
from terrashift.ops.tv import total_variation

SHAPE = (23, 31)
EXACT = Stop(1e-6, 4000)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ragged(shape: tuple[int, int] = SHAPE, seed: int = 1) -> torch.Tensor:
    """A region with holes."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.2


def everywhere(value: torch.Tensor) -> Data:
    """Measurements of equal weight without gaps."""
    return Data(value, torch.ones_like(value), torch.ones(value.shape[1:], dtype=torch.bool))


def uniform(data: Data, price: float) -> torch.Tensor:
    return price * Edges.within(data.region).share()


def gradient(edges: Edges, field: torch.Tensor) -> torch.Tensor:
    """Changes along the four edges of every quad, in the order of a dual."""
    bands = zip(*edges.changes(field), strict=True)
    return torch.stack([Edges(across, down).on_quads() for across, down in bands], 1) / 2**0.5


def energy(field: torch.Tensor, data: Data, price: float) -> float:
    """What total variation minimises."""
    edges = Edges.within(data.region)
    return data.energy(field) + price * (edges.share() * edges.steepness(field)).sum().item()


def noisy_step(shape: tuple[int, int] = SHAPE, noise: float = 0.1) -> torch.Tensor:
    """Two sides moving apart along a slanted fault."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    side = torch.where(columns + 0.4 * rows > shape[1] * 0.7, 0.5, -0.5)
    return torch.stack([side, -0.4 * side]) + noise * draw(2, *shape)


def test_the_divergence_is_minus_the_adjoint_of_the_gradient():
    edges = Edges(*(part.double() for part in Edges.within(ragged())))
    field = draw(2, *SHAPE).double()
    dual = draw(4, 2, SHAPE[0] + 1, SHAPE[1] + 1, seed=3).double()
    left = (gradient(edges, field) * dual).sum()
    torch.testing.assert_close(edges.work(field, dual).sum(), left)
    right = -(field * edges.divergence(dual)).sum()
    assert left.abs() > 1
    torch.testing.assert_close(left, right)


def test_the_gradient_is_never_longer_than_the_steps_allow():
    edges = Edges.within(torch.ones(40, 41, dtype=torch.bool))
    field = draw(1, 40, 41)
    for _ in range(300):
        field = -edges.divergence(gradient(edges, field))
        length = field.norm()
        field = field / length
    assert 0.95 * NORM2 < length < NORM2


def test_the_steepness_of_a_straight_fault_is_its_height_along_its_length():
    field = torch.zeros(2, *SHAPE)
    field[0, :, 12:], field[1, :, 12:] = 3, 4
    region = torch.ones(SHAPE, dtype=torch.bool)
    region[10:12, 8:20] = False  # a gap, past which it goes on
    edges = Edges.within(region)
    found = edges.steepness(field)
    torch.testing.assert_close(found[1:10, 12], torch.full((9,), 5.0))
    torch.testing.assert_close((edges.share() * found).sum(), torch.tensor(5.0 * (SHAPE[0] - 2)))
    torch.testing.assert_close((found / edges.share())[:, 12].amax(), torch.tensor(5.0))
    assert found[:, :12].sum() == 0


def test_the_steepness_is_the_length_of_the_gradient():
    edges, field = Edges.within(ragged()), draw(2, *SHAPE)
    torch.testing.assert_close(edges.steepness(field), length_of(gradient(edges, field)))


@pytest.mark.parametrize(
    "turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT, lambda x: x.rot90(1, (-2, -1))]
)
def test_turning_the_field_turns_its_steepness(turn):
    region, field = ragged(), draw(2, *SHAPE)
    one = turn(Edges.within(region).steepness(field))
    other = Edges.within(turn(region)).steepness(turn(field))
    torch.testing.assert_close(one, other)


def test_a_dual_is_shrunk_to_its_price_and_never_turned():
    dual, price = draw(4, 2, 7, 9), torch.rand(7, 9, generator=torch.Generator().manual_seed(1)) * 4
    dual[:, :, 2, 3], price[2, 3], price[4, 4] = 0.0, 0.0, 0.0
    found = dual.clone()
    shrink(found, price)
    torch.testing.assert_close(length_of(found), torch.minimum(dual.square().sum((0, 1)).sqrt(), price))
    assert (found * dual >= 0).all()
    short = length_of(dual) < price
    assert short.any()
    assert torch.equal(found[..., short], dual[..., short])


def test_total_variation_takes_price_over_width_from_a_strip():
    # each side of a straight fault gives way by price * length / area
    value = torch.zeros(1, 2, 30)
    value[:, :, 20:] = 1.0
    data, price = everywhere(value), 0.3
    found = total_variation(data, uniform(data, price), Edges.within(data.region), EXACT).field
    torch.testing.assert_close(found[:, :, :20], torch.full((1, 2, 20), price / 20), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, :, 20:], torch.full((1, 2, 10), 1 - price / 10), atol=1e-5, rtol=0)


def test_total_variation_takes_four_prices_from_a_single_wrong_vector():
    value = torch.zeros(2, 15, 16)
    value[:, 7, 8] = torch.tensor([3.0, -4.0])
    data = everywhere(value)
    found = total_variation(data, uniform(data, 0.25), Edges.within(data.region), EXACT).field
    torch.testing.assert_close(found[:, 7, 8], torch.tensor([3.0, -4.0]) * (1 - 4 * 0.25 / 5), atol=1e-4, rtol=0)


def test_the_bound_on_the_error_holds_and_says_something():
    data = everywhere(noisy_step())
    data = data._replace(weight=0.2 + 3 * torch.rand(data.value.shape, generator=torch.Generator().manual_seed(5)))
    edges, price = Edges.within(data.region), uniform(data, 0.2)
    best = total_variation(data, price, edges, EXACT).field
    for most in (5, 20, 80):
        found = total_variation(data, price, edges, Stop(0.0, most))
        error = ((data.weight * (found.field - best) ** 2).sum() / data.weight.sum()).sqrt().item()
        assert error <= found.error_px < 20 * error


def test_total_variation_ends_once_it_is_good_enough():
    data = everywhere(noisy_step())
    args = data, uniform(data, 0.2), Edges.within(data.region)
    rough, fine = (total_variation(*args, Stop(tolerance, 2000)) for tolerance in (1e-2, 1e-4))
    assert rough.iterations < fine.iterations < 2000
    assert fine.error_px <= 1e-4 < rough.error_px <= 1e-2
    again = total_variation(*args, Stop(1e-4, 2000), fine)
    assert again.iterations == 0
    assert torch.equal(again.field, fine.field)


def test_a_hole_without_weight_is_bridged_as_cheaply_as_can_be():
    value = noisy_step((20, 28), 0.0)
    weight = torch.ones_like(value)
    value[:, 8:12, 8:14], weight[:, 8:12, 8:14] = 9.0, 0.0
    data = Data(value.clamp(-1, 1), weight, torch.ones(20, 28, dtype=torch.bool))
    found = total_variation(data, uniform(data, 0.01), Edges.within(data.region), Stop(1e-5, 4000)).field
    truth = noisy_step((20, 28), 0.0)
    assert (found - truth)[:, 8:12, 8:11].abs().max() < 0.05
    assert energy(found, data, 0.01) <= energy(torch.where(weight > 0, value, truth), data, 0.01)


@pytest.mark.parametrize("price", [0.1, 0.3])
def test_the_energy_is_not_above_that_of_scikit_image(price):
    restoration = pytest.importorskip("skimage.restoration")
    data = everywhere(noisy_step()[:1])
    ours = total_variation(data, uniform(data, price), Edges.within(data.region), Stop(1e-4, 2000)).field
    theirs = restoration.denoise_tv_chambolle(data.value[0].numpy(), weight=price, eps=1e-9, max_num_iter=3000)
    assert energy(ours, data, price) <= 1.001 * energy(torch.from_numpy(theirs).float()[None], data, price)


def test_where_both_prices_are_alike_scikit_image_finds_the_same():
    restoration = pytest.importorskip("skimage.restoration")
    line = noisy_step((1, 60))[:1]
    data = everywhere(line)
    ours = total_variation(data, uniform(data, 0.3), Edges.within(data.region), EXACT).field
    theirs = restoration.denoise_tv_chambolle(line[0, 0].numpy(), weight=0.3, eps=1e-12, max_num_iter=20_000)
    np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=2e-3)


def test_the_quadratic_price_agrees_with_a_dense_solution():
    region = ragged((7, 9))
    value = torch.where(region, draw(2, 7, 9), 0.0)
    weight = torch.where(region, 0.1 + torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(2)), 0.0)
    found = quadratic(Data(value, weight, region), 3.0, Edges.within(region), Stop(1e-6, 500)).field
    places = [tuple(place) for place in region.nonzero().tolist()]
    for band in range(2):
        matrix = np.diag([weight[band][place].item() for place in places])
        right = matrix @ np.array([value[band][place].item() for place in places])
        for i, (row, column) in enumerate(places):
            for neighbour in ((row + 1, column), (row, column + 1)):
                if neighbour in places:
                    j = places.index(neighbour)
                    matrix[[i, j], [i, j]] += 3
                    matrix[[i, j], [j, i]] -= 3
        expected = np.linalg.solve(matrix, right)
        np.testing.assert_allclose([found[band][place].item() for place in places], expected, atol=1e-5)


def test_the_quadratic_bound_holds():
    data = everywhere(noisy_step())
    data = data._replace(weight=0.1 + 3 * torch.rand(data.value.shape, generator=torch.Generator().manual_seed(5)) ** 4)
    edges = Edges.within(data.region)
    best = quadratic(data, 9.0, edges, Stop(1e-7, 500)).field
    for most in (2, 5, 10, 20):
        found = quadratic(data, 9.0, edges, Stop(0.0, most))
        error = (found.field - best).square().mean().sqrt().item()
        assert error <= found.error_px
        assert found.iterations == most


@pytest.mark.parametrize("solve", [quadratic, lambda d, p, e, s: total_variation(d, uniform(d, p), e, s)])
def test_a_very_large_price_leaves_the_weighted_mean_of_each_island(solve):
    region = torch.ones(6, 11, dtype=torch.bool)
    region[:, 5] = False
    value = torch.where(region, draw(2, 6, 11), 0.0)
    weight = torch.where(region, 0.5 + torch.rand(2, 6, 11, generator=torch.Generator().manual_seed(2)), 0.0)
    found = solve(Data(value, weight, region), 1e4, Edges.within(region), Stop(1e-4, 5000)).field
    for island in (slice(0, 5), slice(6, 11)):
        mean = (weight * value)[..., island].sum((1, 2)) / weight[..., island].sum((1, 2))
        torch.testing.assert_close(found[..., island], mean[:, None, None].expand(2, 6, 5), atol=2e-3, rtol=0)


@pytest.mark.parametrize("solve", [quadratic, lambda d, p, e, s: total_variation(d, uniform(d, p), e, s)])
def test_nowhere_to_answer_is_no_mistake(solve):
    region = torch.zeros(4, 5, dtype=torch.bool)
    data = Data(torch.zeros(2, 4, 5), torch.zeros(2, 4, 5), region)
    found = solve(data, 0.1, Edges.within(region), Stop())
    assert found.iterations == 0
    assert torch.equal(found.field, torch.zeros(2, 4, 5))
