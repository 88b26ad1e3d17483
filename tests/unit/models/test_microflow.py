"""The compact network: what holds before any training, and that it can learn."""

import pytest
import torch

from terrashift.models.equations import equations
from terrashift.models.microflow import MicroFlow, MicroFlowOptions, normalise, sample
from terrashift.ops.warp import warp

SMALL = MicroFlowOptions(channels=(8, 12, 16, 24), fine=8)


def images(shape=(2, 1, 64, 96), seed=0):
    torch.manual_seed(seed)
    rough = torch.nn.functional.interpolate(
        torch.randn(shape[0], 1, shape[2] // 2, shape[3] // 2), size=shape[2:], mode="bicubic"
    )
    return rough + 0.05 * torch.randn(shape)


def test_an_untrained_network_finds_no_motion():
    before, after = images(), images(seed=1)
    for estimate in MicroFlow(SMALL)(before, after):
        assert torch.equal(estimate.flow, torch.zeros(2, 2, 64, 96))
        assert estimate.log_scale.shape == (2, 2, 64, 96)


def test_without_training_it_keeps_the_start():
    before = images()
    start = torch.full((2, 2, 64, 96), 0.7)
    assert torch.equal(MicroFlow(SMALL)(before, before, start=start)[-1].flow, start)


def test_brightness_and_contrast_do_not_matter():
    torch.manual_seed(3)
    network = MicroFlow(SMALL)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    before, after = images(), images(seed=1)
    plain = network(before, after)[-1].flow
    altered = network(300 + 40 * before, 7 - 0 * before + 0.02 * after)[-1].flow
    assert plain.abs().max() > 0.01
    assert torch.allclose(plain, altered, atol=2e-3)


def test_pairs_of_a_batch_do_not_know_of_each_other():
    torch.manual_seed(3)
    network = MicroFlow(SMALL)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    before, after = images(), images(seed=1)
    both = network(before, after)[-1].flow
    alone = network(before[1:], after[1:])[-1].flow
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_the_warp_is_that_of_the_house_inside_the_image():
    torch.manual_seed(0)
    image = images((1, 1, 40, 64))
    flow = torch.randn(1, 2, 40, 64)
    flow[:, 0] += 1.5  # right
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    # torch's bicubic has another parameter than ours: both are near the truth on smooth ground
    smooth = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    assert (sample(smooth, flow)[inner] - warp(smooth, flow, "bicubic")[inner]).abs().max() < 0.06
    whole = flow.round()
    assert torch.allclose(sample(image, whole)[inner], warp(image, whole, "bicubic")[inner], atol=1e-5)


def test_the_equations_hold_the_least_squares_flow():
    """Where the ground moves as one by a little, the sums of products solve for it: signs and order are right."""
    x, y = torch.meshgrid(torch.arange(96.0), torch.arange(64.0), indexing="xy")

    def ground(x, y):
        return (torch.sin(0.31 * x + 0.2 * y) + torch.cos(0.17 * x - 0.36 * y + 1))[None, None]

    dx, dy = 0.12, -0.07
    found = equations(ground(x, y), ground(x - dx, y - dy))[0, :, 4:-4, 4:-4].flatten(1).sum(1)
    _, _, _, xt, yt, xx, yy, xy = found.tolist()
    solved = torch.linalg.solve(torch.tensor([[xx, xy], [xy, yy]]), torch.tensor([xt, yt]))
    assert torch.allclose(solved, torch.tensor([dx, dy]), atol=0.01)


def test_normalised_images_have_no_local_mean_and_unit_deviation():
    image = images((1, 1, 128, 160)) * torch.linspace(1, 10, 160) + torch.linspace(0, 30, 160)
    flat = normalise(image)[0, 0, 16:-16, 16:-16]
    assert abs(flat.mean()) < 0.05
    for part in flat.chunk(4, 1):
        assert 0.8 < part.std() < 1.2


def test_constant_images_do_not_break_it():
    out = MicroFlow(SMALL)(torch.full((1, 1, 32, 64), 5.0), torch.zeros(1, 1, 32, 64))[-1]
    assert out.flow.isfinite().all()


def test_every_weight_has_a_gradient():
    network = MicroFlow(SMALL)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    estimates = network(images(), images(seed=1))
    sum((e.flow.square().mean() + e.log_scale.square().mean()) for e in estimates).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_its_size_and_cost_are_as_promised():
    network = MicroFlow()
    operations = 0

    def count(layer, _, out):
        nonlocal operations
        operations += 2 * layer.weight.numel() * out.shape[-1] * out.shape[-2]

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.randn(1, 1, 64, 96), torch.randn(1, 1, 64, 96))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(2.13e6, rel=0.01)
    assert operations / (64 * 96) < 280_000  # of all three passes


def test_it_learns_a_shift():
    torch.manual_seed(0)
    wide = images((4, 1, 64, 96))
    shift = torch.tensor([[0.5, -0.3], [-0.4, 0.2], [0.1, 0.6], [-0.6, -0.5]])
    flow = shift[:, :, None, None].expand(4, 2, 64, 96)
    before = sample(wide, flow)  # before(p) = after(p + flow)
    network = MicroFlow(SMALL)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        estimates = network(before, wide)
        error = (estimates[-1].flow - flow)[:, :, 8:-8, 8:-8].norm(dim=1).mean()
        optimiser.zero_grad()
        sum((e.flow - flow).abs().mean() for e in estimates).backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_closer_an_untrained_network_keeps_the_start():
    before, after = images(), images(seed=1)
    start = torch.full((2, 2, 64, 96), 0.7)
    start[:, 1] = -1.3  # another one down
    estimates = MicroFlow(SMALL).closer(before, after, start)
    assert len(estimates) == 2
    for estimate in estimates:
        assert torch.allclose(estimate.flow, start, atol=1e-6)
        assert torch.allclose(estimate.log_scale, torch.tensor(0.5).log())  # of its own pixels, which are half as wide


def test_closer_images_of_16_px_will_do():
    before = images((1, 1, 16, 48))
    assert MicroFlow(SMALL).closer(before, before, torch.zeros(1, 2, 16, 48))[-1].flow.shape == (1, 2, 16, 48)


def test_closer_steps_count_in_pixels_of_the_images_given():
    """A head that always answers one pixel to the right moves by half a pixel a pass, at twice the resolution."""
    network = MicroFlow(SMALL)
    with torch.no_grad():
        network.head.bias[:4] = 1.0  # x of the four pixels of a cell
    before = images()
    first, second = network.closer(before, before, torch.zeros(2, 2, 64, 96))
    step = 6 * torch.tanh(torch.tensor(1 / 12))
    assert torch.allclose(first.flow[:, 0], step)
    assert torch.allclose(second.flow[:, 0], 2 * step)
    assert not first.flow[:, 1].any()
