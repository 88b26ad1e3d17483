"""The correlation network: where it looks, what it upsamples, the published size, and that it learns."""

import math

import pytest
import torch

from terrashift.models.counting import cost, count_weights
from terrashift.models.layers import convex_upsample, sample
from terrashift.models.searaft import (
    SMALL,
    SeaRaft,
    SeaRaftEstimate,
    SeaRaftOptions,
    correlation_pyramid,
    look_up,
    mixture_loss,
)

NARROW = SeaRaftOptions(blocks=(1, 1, 1), maps=(8, 8, 16), hidden=16)


def ground(count, height, width, seed=0):
    torch.manual_seed(seed)
    rough = torch.randn(count, 1, height // 2 + 1, width // 2 + 1)
    return torch.nn.functional.interpolate(rough, size=(height, width), mode="bicubic", align_corners=False)


def awake(seed=0):
    torch.manual_seed(seed)
    network = SeaRaft(NARROW)
    torch.nn.init.normal_(network.flow_head[-1].weight, std=0.02)
    return network


def test_an_untrained_network_finds_no_motion():
    estimates = SeaRaft(NARROW)(ground(2, 64, 96), ground(2, 64, 96, seed=1))
    assert len(estimates) == 1 + 4
    for estimate in estimates:
        assert torch.equal(estimate.flow, torch.zeros(2, 2, 64, 96))
        assert estimate.ordinary.shape == estimate.log_scale.shape == (2, 1, 64, 96)


def test_what_the_head_says_in_cells_is_added_up_in_pixels():
    network = SeaRaft(NARROW)
    network.flow_head[-1].bias.data = torch.tensor([0.5, -0.25, 1.5, 2.5])
    for number, estimate in enumerate(network(ground(1, 64, 72), ground(1, 64, 72, seed=1), iterations=2), 1):
        assert torch.allclose(estimate.flow[0, :, 30, 40], number * torch.tensor([4.0, -2.0]), atol=1e-5)
        assert torch.allclose(estimate.ordinary, torch.tensor(1.5))
        assert torch.allclose(estimate.log_scale, torch.tensor(2.5))


def test_any_size_of_image_gives_a_flow_of_its_size():
    network = awake().eval()
    with torch.no_grad():
        for height, width in ((70, 91), (20, 130), (64, 64)):
            estimates = network(ground(1, height, width), ground(1, height, width, seed=1), iterations=2)
            assert [estimate.flow.shape for estimate in estimates] == 3 * [(1, 2, height, width)]
            assert estimates[-1].flow.std() > 0


def test_correlations_are_those_of_all_pairs_of_places():
    torch.manual_seed(0)
    one, other = torch.randn(2, 5, 8, 12), torch.randn(2, 5, 8, 12)
    pyramid = correlation_pyramid(one, other)
    assert [tuple(level.shape) for level in pyramid] == [
        (2 * 96, 1, 8, 12), (2 * 96, 1, 4, 6), (2 * 96, 1, 2, 3), (2 * 96, 1, 1, 1)
    ]  # fmt: skip
    place = 96 + 3 * 12 + 7  # second sample, row 3, column 7
    product = (one[1, :, 3, 7] * other[1, :, 6, 2]).sum() / math.sqrt(5)
    assert pyramid[0][place, 0, 6, 2] == pytest.approx(product.item(), abs=1e-5)


def test_the_look_up_finds_what_lies_where_the_flow_points():
    """The volume of one level, with a peak 3 cells to the right of and 2 below each place."""
    rows, columns = 16, 24
    volume = torch.zeros(rows * columns, 1, rows, columns)
    for row in range(rows - 2):
        for column in range(columns - 3):
            volume[row * columns + column, 0, row + 2, column + 3] = 1
    flow = torch.zeros(1, 2, rows, columns)
    looks = look_up([volume], flow, 4).reshape(1, 9, 9, rows, columns)
    assert torch.allclose(looks[0, 4 + 2, 4 + 3, 5, 6], torch.tensor(1.0), atol=1e-5)  # (down, right)
    assert looks[0, :, :, 5, 6].sum() == pytest.approx(1, abs=1e-5)
    flow[:, 0], flow[:, 1] = 3.0, 1.5
    looks = look_up([volume], flow, 4).reshape(1, 9, 9, rows, columns)
    assert torch.allclose(looks[0, 4:6, 4, 5, 6], torch.tensor([0.5, 0.5]), atol=1e-5)


def test_coarser_levels_are_looked_up_at_the_same_place():
    """A volume that is the column of the cell: half-way into its cell, every level gives the same."""
    rows, columns = 16, 32
    across = torch.arange(columns).float().expand(rows * columns, 1, rows, columns)
    flow = torch.zeros(1, 2, rows, columns)
    flow[:, 0] = 0.5
    levels = [across, torch.nn.functional.avg_pool2d(across, 2), torch.nn.functional.avg_pool2d(across, 4)]
    looks = look_up(levels, flow, 0)
    assert torch.allclose(looks[0, :, 8, 15], torch.full((3,), 15.5), atol=1e-4)


def test_upsampling_keeps_a_uniform_flow_and_its_order():
    torch.manual_seed(0)
    uniform = torch.tensor([1.5, -2.0])[None, :, None, None].expand(1, 2, 3, 5)
    assert torch.allclose(
        convex_upsample(uniform, torch.randn(1, 9 * 64, 3, 5), 8), torch.tensor([1.5, -2.0]).reshape(1, 2, 1, 1)
    )
    coarse = torch.randn(1, 2, 3, 5)
    logits = torch.full((1, 16, 9, 3, 5), -1e4)
    logits[:, :, 4] = 0  # all weight on the cell itself
    fine = convex_upsample(coarse, logits.reshape(1, 144, 3, 5), 4)
    assert torch.equal(fine, coarse.repeat_interleave(4, 2).repeat_interleave(4, 3))
    logits[:, 4 * 1 + 3] = -1e4
    logits[:, 4 * 1 + 3, 5] = 0  # row 1, column 3 of each cell takes its right neighbour
    fine = convex_upsample(coarse, logits.reshape(1, 144, 3, 5), 4)
    assert torch.equal(fine[..., 1::4, 3::4][..., :-1], coarse[..., 1:])


def test_the_loss_is_the_likelihood_of_the_mixture():
    flow = torch.tensor([0.7, -1.2]).reshape(1, 2, 1, 1)
    estimate = SeaRaftEstimate(torch.zeros(1, 2, 1, 1), torch.full((1, 1, 1, 1), 0.4), torch.full((1, 1, 1, 1), 1.3))
    share = 1 / (1 + math.exp(-0.4))

    def density(error, fixed):
        return share * math.exp(-error / fixed) / (2 * fixed) + (1 - share) * math.exp(
            -error / fixed / math.exp(1.3)
        ) / (2 * fixed * math.exp(1.3))

    for fixed in (1.0, 0.1):
        found = mixture_loss(estimate, flow, fixed)[0, :, 0, 0]
        assert found.tolist() == pytest.approx(
            [-math.log(density(0.7, fixed)), -math.log(density(1.2, fixed))], rel=1e-4
        )


def test_the_published_size_and_cost():
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 64, 64)
    found = cost(SeaRaft(), image, image)
    # published: 19.66 million with three bands, whose first layers have 24 thousand weights more
    assert found.weights == pytest.approx(19.66e6, rel=2e-3)
    small = cost(SeaRaft(SeaRaftOptions(blocks=(2, 2, 2), iterations=0)), image, image)
    assert small.weights == 8_855_554
    # by hand, per pixel: 49 stem at 1/2, the stages, 1 x 1, twice for the features of two images, once for the context
    stages = 4 * 9 * 64**2 / 4 + (9 * 64 * 128 + 3 * 9 * 128**2 + 64 * 128) / 16
    stages += (9 * 128 * 256 + 3 * 9 * 256**2 + 128 * 256 + 256**2) / 64
    encoders = 3 * stages + (2 + 2) * 49 * 64 / 4
    mix, pairs = 9 * 256**2 / 64, 256 * 64 / 64
    heads = (2 * 9 * 128 * 256 + 9 * 256 * 4 + 256 * 576) / 64
    assert small.multiply_adds_per_pixel == pytest.approx(encoders + mix + pairs + heads, rel=1e-9)


def test_an_iteration_costs_as_published():
    """21.0 GMAC for 540 x 960 px, the difference of the published L (12 iterations) and M (4), over 8."""
    network, image = SeaRaft(SeaRaftOptions(blocks=(1, 1, 1))), torch.zeros(1, 1, 64, 64)
    runs = [cost(Iterated(network, n), image, image).multiply_adds_per_pixel for n in (1, 2)]
    assert (runs[1] - runs[0]) * 544 * 960 == pytest.approx((655.1e9 - 486.9e9) / 8, rel=0.005)


class Iterated(torch.nn.Module):
    def __init__(self, network, iterations):
        super().__init__()
        self.network, self.iterations = network, iterations

    def forward(self, before, after):
        return self.network(before, after, self.iterations)


def test_a_small_one_fits_into_16_mebibytes():
    assert count_weights(SeaRaft(SMALL)) == 6_814_154
    assert 2 * 6_814_154 / 2**20 < 13


def test_every_weight_has_a_gradient():
    network = awake()
    estimates = network(ground(2, 64, 80), ground(2, 64, 80, seed=1), iterations=2)
    sum(mixture_loss(e, torch.full((2, 2, 64, 80), 0.5)).mean() for e in estimates).backward()
    # the scale is cut off at 0 at the start: its weights learn from places where it is above
    assert [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_pairs_of_a_batch_do_not_know_of_each_other_once_it_is_trained():
    network = awake().eval()  # in training, batch normalisation joins them
    before, after = ground(3, 64, 80), ground(3, 64, 80, seed=1)
    with torch.no_grad():
        both, alone = network(before, after)[-1].flow, network(before[1:2], after[1:2])[-1].flow
    assert torch.allclose(both[1:2], alone, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_nearly_the_same(dtype):
    network, before, after = awake().eval(), ground(1, 70, 91), ground(1, 70, 91, seed=1)
    with torch.no_grad():
        full = network(before, after)[-1].flow
        with torch.autocast("cpu", dtype):
            low = network(before, after)[-1].flow
    assert low.dtype == torch.float32
    assert (low - full).abs().max() < 0.1 * full.abs().max()


def test_the_order_of_values_in_memory_does_not_matter():
    network, before, after = awake().eval(), ground(2, 64, 80), ground(2, 64, 80, seed=1)
    with torch.no_grad():
        plain = network(before, after)[-1].flow
        other = network.to(memory_format=torch.channels_last)(before, after)[-1].flow
    assert torch.allclose(plain, other, atol=1e-3 * plain.abs().max().item())


def test_it_learns_shifts():
    after = ground(2, 64, 64)
    shift = torch.tensor([[4.0, -2.0], [-3.0, 1.5]])
    flow = shift[:, :, None, None].expand(-1, 2, 64, 64)
    before = sample(after, flow)  # before(p) = after(p + flow)
    torch.manual_seed(0)
    network = SeaRaft(NARROW)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    errors = []
    for _ in range(20):
        estimates = network(before, after, iterations=2)
        optimiser.zero_grad()
        sum(mixture_loss(e, flow).mean() for e in estimates).backward()
        optimiser.step()
        errors.append((estimates[-1].flow - flow).abs().mean().item())
    assert errors[-1] < 0.5 * errors[0]
