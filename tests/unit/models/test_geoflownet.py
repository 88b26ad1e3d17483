"""The backbone: the published size, any image size, and that it learns."""

import pytest
import torch

from terrashift.errors import OptionError
from terrashift.models.counting import cost
from terrashift.models.geoflownet import GeoFlowNet, GeoFlowNetOptions
from terrashift.models.layers import sample

NARROW = GeoFlowNetOptions(width=1 / 16)


def ground(count, height, width, seed=0):
    torch.manual_seed(seed)
    rough = torch.randn(count, 1, height // 2 + 1, width // 2 + 1)
    return torch.nn.functional.interpolate(rough, size=(height, width), mode="bicubic", align_corners=False)


def awake(seed=0):
    torch.manual_seed(seed)
    network = GeoFlowNet(NARROW)
    for head in network.heads:
        torch.nn.init.normal_(head.weight, std=0.05)
    return network


def test_an_untrained_network_finds_no_motion_at_any_scale():
    flows = [flow for flow, _ in GeoFlowNet(NARROW)(ground(2, 32, 48), ground(2, 32, 48, seed=1))]
    assert [tuple(flow.shape) for flow in flows] == [
        (2, 2, 2, 3), (2, 2, 4, 6), (2, 2, 8, 12), (2, 2, 16, 24), (2, 2, 32, 48)
    ]  # fmt: skip
    assert all((flow == 0).all() for flow in flows)


def test_any_size_of_image_gives_a_flow_of_its_size():
    network = awake()
    for height, width in ((37, 50), (16, 16), (5, 70), (33, 16)):
        flow = network(ground(1, height, width), ground(1, height, width, seed=1))[-1].flow
        assert flow.shape == (1, 2, height, width)
        assert flow.std() > 0


def test_odd_sizes_are_continued_by_their_last_row_and_column():
    network = awake()
    before, after = ground(1, 37, 50), ground(1, 37, 50, seed=1)
    wide = [torch.nn.functional.pad(image, (0, 14, 0, 11), mode="replicate") for image in (before, after)]
    cut, whole = network(before, after), network(*wide)
    assert torch.equal(cut[-1].flow, whole[-1].flow[..., :37, :50])
    assert torch.equal(cut[0].flow, whole[0].flow)


def test_the_published_size_and_cost():
    found = cost(GeoFlowNet(), torch.zeros(1, 1, 16, 32), torch.zeros(1, 1, 16, 32))
    assert found.weights == pytest.approx(38.0e6, rel=1e-3)
    assert found.multiply_adds_per_pixel == pytest.approx(0.95e6, rel=2e-3)
    # the same by hand: (kernel, in, out, cell side, taps seen by an output of a stride-2 upsampling)
    down = [(9, 2, 64, 1), (9, 64, 128, 1), (9, 128, 256, 2), (9, 256, 256, 2), (9, 256, 512, 4), (9, 512, 512, 4),
            (9, 512, 512, 8), (9, 512, 512, 8), (9, 512, 1024, 16), (9, 1024, 1024, 16)]  # fmt: skip
    up = [(4, 1024, 512, 8), (4, 1026, 256, 4), (4, 770, 128, 2), (4, 386, 64, 1)]
    heads = [(9, 1024, 2, 16), (9, 1026, 2, 8), (9, 770, 2, 4), (9, 386, 2, 2), (9, 194, 2, 1)]
    flows = [(4, 2, 2, 8), (4, 2, 2, 4), (4, 2, 2, 2), (4, 2, 2, 1)]
    by_hand = sum(taps * a * b / cell**2 for taps, a, b, cell in down + up + heads + flows)
    assert found.multiply_adds_per_pixel == pytest.approx(by_hand, rel=1e-12)


def test_a_narrow_one_fits_into_16_mebibytes():
    found = cost(GeoFlowNet(GeoFlowNetOptions(7 / 16)), torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    assert found.weights == 7_294_690
    assert found.mebibytes < 14
    with pytest.raises(OptionError, match="1/64"):
        GeoFlowNetOptions(0.001)


def test_every_weight_has_a_gradient_from_the_finest_flow_alone_or_from_all():
    network = awake()
    flows = network(ground(2, 32, 48), ground(2, 32, 48, seed=1))
    flows[-1].flow.square().mean().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_pairs_of_a_batch_do_not_know_of_each_other():
    network = awake()
    before, after = ground(3, 32, 48), ground(3, 32, 48, seed=1)
    for both, alone in zip(network(before, after), network(before[1:2], after[1:2]), strict=True):
        assert torch.allclose(both.flow[1:2], alone.flow, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_nearly_the_same(dtype):
    network, before, after = awake(), ground(1, 37, 50), ground(1, 37, 50, seed=1)
    with torch.no_grad():
        full = network(before, after)[-1].flow
        with torch.autocast("cpu", dtype):
            low = network(before, after)[-1].flow
    assert low.dtype == torch.float32
    assert (low - full).abs().max() < 0.05 * full.abs().max()


def test_the_order_of_values_in_memory_does_not_matter():
    network, before, after = awake(), ground(2, 32, 48), ground(2, 32, 48, seed=1)
    with torch.no_grad():
        plain = network(before, after)[-1].flow
        other = network.to(memory_format=torch.channels_last)(before, after)[-1].flow
    assert torch.allclose(plain, other, atol=1e-5)


def test_it_learns_shifts():
    after = ground(4, 32, 48)
    shift = torch.tensor([[0.8, -0.5], [-0.7, 0.3], [0.2, 0.9], [-0.9, -0.8]])
    flow = shift[:, :, None, None].expand(-1, 2, 32, 48)
    before = sample(after, flow)  # before(p) = after(p + flow)
    torch.manual_seed(0)
    network = GeoFlowNet(GeoFlowNetOptions(1 / 8))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        flows = network(before, after)
        loss = sum((f.flow - shift[:, :, None, None]).abs().mean() for f in flows) / len(flows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
