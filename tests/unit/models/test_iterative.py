"""Passes around a pair network: what is warped by what, what is learned from, and that it learns."""

import pytest
import torch
from torch import nn

from terrashift.errors import OptionError
from terrashift.models.counting import cost, count_weights
from terrashift.models.estimate import Estimate
from terrashift.models.geoflownet import GeoFlowNet, GeoFlowNetOptions
from terrashift.models.iterative import IterativeOptions, IterativeRefinement, for_passes, published_microflow
from terrashift.models.layers import sample
from terrashift.ops.warp import warp

NARROW = GeoFlowNetOptions(width=1 / 16)
PUBLISHED = IterativeOptions(backbone=NARROW)


def ground(count, height, width, seed=0):
    torch.manual_seed(seed)
    rough = torch.randn(count, 1, height // 2 + 1, width // 2 + 1)
    return torch.nn.functional.interpolate(rough, size=(height, width), mode="bicubic", align_corners=False)


def awake(options=PUBLISHED, seed=0):
    torch.manual_seed(seed)
    network = published_microflow(options)
    for backbone in network.networks:
        for head in backbone.heads:
            nn.init.normal_(head.weight, std=0.05)
    return network


class Told(nn.Module):
    """Always answers the same, and keeps what it was shown."""

    def __init__(self, x, y):
        super().__init__()
        self.step = nn.Parameter(torch.tensor([x, y]))
        self.seen = []

    def forward(self, before, after):
        self.seen.append((before, after))
        flow = self.step[:, None, None].expand(len(before), 2, *before.shape[-2:])
        return [Estimate(flow, torch.zeros_like(flow))]


def test_the_sampler_is_the_warp_of_the_house_inside_and_repeats_the_border_outside():
    image, flow = ground(2, 30, 47), 3 * torch.randn(2, 2, 30, 47)
    sampled, warped = sample(image, flow), warp(image, flow)
    inside = ~warped.isnan()
    assert 0.5 < inside.float().mean() < 1
    assert torch.allclose(sampled[inside], warped[inside], atol=1e-5)
    far = torch.zeros(2, 2, 30, 47)
    far[:, 0] = 1000.0
    assert torch.equal(sample(image, far), image[..., -1:].expand_as(image))
    assert torch.equal(sample(image, -far.flip(1)), image[..., :1, :].expand_as(image))


def test_the_sampler_hands_gradients_to_the_flow_and_the_image():
    image = ground(1, 4, 5).double().requires_grad_()
    flow = (0.3 + 0.2 * torch.rand(1, 2, 4, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(sample, (image, flow))


def test_flows_add_up_and_after_is_always_warped_from_the_original():
    before, after = ground(1, 30, 44), ground(1, 30, 44, seed=1)
    networks = [Told(1.0, 0.0), Told(0.5, -2.0), Told(0.25, 0.25)]
    flows = IterativeRefinement(networks, IterativeOptions(normalisation="mean-deviation"))(before, after)
    assert [flow[0, :, 5, 7].tolist() for flow, _ in flows] == [[1.0, 0.0], [1.5, -2.0], [1.75, -1.75]]
    for number, moved in enumerate((after, sample(after, flows[0].flow), sample(after, flows[1].flow))):
        shown = networks[number].seen[0][1]
        assert torch.allclose(shown.mean(), torch.tensor(0.0), atol=1e-5)
        expected = (moved - moved.mean()) / moved.std(correction=0)
        assert torch.allclose(shown, expected, atol=1e-5)


def test_every_pass_sees_images_between_zero_and_one_whatever_their_brightness():
    network = Told(0.4, 0.3)
    refine = IterativeRefinement([network], IterativeOptions(shared=True))
    before, after = ground(2, 20, 30), ground(2, 20, 30, seed=1)
    refine(1000 + 50 * before, after)
    for images in network.seen:
        for image in images:
            assert image.amin((2, 3)).abs().max() < 1e-6
            assert (image.amax((2, 3)) - 1).abs().max() < 1e-6
    plain, altered = awake()(before, after)[-1].flow, awake()(1000 + 50 * before, 3 + 0.1 * after)[-1].flow
    assert plain.std() > 1e-3
    assert torch.allclose(plain, altered, atol=1e-3)


def test_an_untrained_one_keeps_its_start():
    start = torch.full((2, 2, 32, 48), 0.7)
    before, after = ground(2, 32, 48), ground(2, 32, 48, seed=1)
    network = published_microflow(PUBLISHED)
    assert all((flow == 0).all() for flow, _ in network(before, after))
    assert all(torch.equal(flow, start) for flow, _ in network(before, after, start=start))


def test_shared_weights_run_any_number_of_passes_separate_ones_no_more_than_there_are():
    images = ground(1, 20, 30), ground(1, 20, 30, seed=1)
    shared = published_microflow(IterativeOptions(shared=True, backbone=NARROW))
    assert len(shared.networks) == 1
    assert len(shared(*images, passes=5)) == 5
    separate = published_microflow(PUBLISHED)
    assert len(separate(*images, passes=2)) == 2
    with pytest.raises(OptionError, match="1 to 3"):
        separate(*images, passes=4)
    with pytest.raises(OptionError, match="give 3"):
        IterativeRefinement([GeoFlowNet(NARROW)])
    with pytest.raises(OptionError, match="1 or more"):
        IterativeOptions(passes=0)


def gradients_of_the_last_flow(options):
    network = awake(options)
    network(ground(1, 20, 30), ground(1, 20, 30, seed=1))[-1].flow.square().mean().backward()
    return [all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()) for part in network.networks]


def test_a_pass_learns_from_later_ones_only_where_that_is_wanted():
    assert gradients_of_the_last_flow(PUBLISHED) == [False, False, True]
    assert gradients_of_the_last_flow(IterativeOptions(through_warp=True, backbone=NARROW)) == [True, True, True]


def test_every_weight_has_a_gradient_from_the_flows_of_all_passes():
    network = awake()
    flows = network(ground(1, 32, 48), ground(1, 32, 48, seed=1))
    sum(flow.square().mean() for flow, _ in flows).backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_the_cost_is_that_published_and_a_narrow_one_fits_into_16_mebibytes():
    image = torch.zeros(1, 1, 16, 16)
    narrow = cost(published_microflow(IterativeOptions(backbone=GeoFlowNetOptions(1 / 4))), image, image)
    assert narrow.weights == 7_173_102 == 3 * count_weights(GeoFlowNet(GeoFlowNetOptions(1 / 4)))
    assert narrow.mebibytes < 14
    full = cost(published_microflow(IterativeOptions(shared=True)), image, image)
    assert 2 * full.multiply_adds_per_pixel == pytest.approx(5.7e6, rel=2e-3)  # FLOP


def test_pairs_of_a_batch_do_not_know_of_each_other():
    network, before, after = awake(), ground(3, 20, 30), ground(3, 20, 30, seed=1)
    assert torch.allclose(network(before, after)[-1].flow[1:2], network(before[1:2], after[1:2])[-1].flow, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_nearly_the_same(dtype):
    network, before, after = awake(), ground(1, 37, 50), ground(1, 37, 50, seed=1)
    with torch.no_grad():
        full = network(before, after)[-1].flow
        with torch.autocast("cpu", dtype):
            low = network(before, after)[-1].flow
    assert low.dtype == torch.float32
    assert (low - full).abs().max() < 0.1 * full.abs().max()


def test_the_order_of_values_in_memory_does_not_matter():
    network, before, after = awake(), ground(2, 20, 30), ground(2, 20, 30, seed=1)
    with torch.no_grad():
        plain = network(before, after)[-1].flow
        other = network.to(memory_format=torch.channels_last)(before, after)[-1].flow
    assert torch.allclose(plain, other, atol=1e-4)


def test_it_learns_shifts():
    after = ground(2, 32, 32)
    shift = torch.tensor([[0.8, -0.5], [-0.7, 0.3]])
    flow = shift[:, :, None, None].expand(-1, 2, 32, 32)
    before = sample(after, flow)  # before(p) = after(p + flow)
    torch.manual_seed(0)
    network = published_microflow(IterativeOptions(normalisation="mean-deviation", backbone=GeoFlowNetOptions(1 / 12)))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    errors = []
    for _ in range(30):
        flows = [flow for flow, _ in network(before, after)]
        optimiser.zero_grad()
        sum(0.8 ** (2 - k) * (f - flow).abs().mean() for k, f in enumerate(flows)).backward()
        optimiser.step()
        errors.append((flows[-1] - flow).abs().mean().item())
    assert errors[-1] < 0.5 * errors[0]


def test_a_single_pass_begins_several_and_several_begin_the_one_they_share_as_their_mean():
    one = {"networks.0.a.weight": torch.tensor([1.0, 2.0]), "networks.0.b": torch.tensor([5.0])}
    three = for_passes(one, 3)
    assert sorted(three) == sorted(f"networks.{k}.{name}" for k in range(3) for name in ("a.weight", "b"))
    three["networks.2.b"] = torch.tensor([8.0])
    back = for_passes(three, 1)
    assert torch.equal(back["networks.0.a.weight"], one["networks.0.a.weight"])
    assert torch.equal(back["networks.0.b"], torch.tensor([6.0]))
    assert for_passes(three, 3) == three
    assert for_passes({"head.weight": torch.zeros(1)}, 3) == {"head.weight": torch.zeros(1)}
