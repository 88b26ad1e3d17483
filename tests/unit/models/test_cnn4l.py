"""The window network: one answer in both forms, whole-pixel offsets, the published sizes, and that it learns."""

from itertools import pairwise

import pytest
import torch

from terrashift.errors import OptionError
from terrashift.models.cnn4l import CNN3L_5PX, Cnn4l, Cnn4lOptions, Lattice, margins, prepare, recentred, two_steps
from terrashift.models.counting import cost, count_weights
from terrashift.models.estimate import split
from terrashift.models.layers import sample

NARROW = Cnn4lOptions(window_px=16, layers=4, width=4)


def ground(count, height, width, seed=0):
    torch.manual_seed(seed)
    rough = torch.randn(count, 1, height // 2 + 1, width // 2 + 1)
    return torch.nn.functional.interpolate(rough, size=(height, width), mode="bicubic", align_corners=False)


def awake(options, seed=0):
    """A network with random weights everywhere: its last layer starts at zero."""
    torch.manual_seed(seed)
    network = Cnn4l(options)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network


def windows_of(pair, side, step=1):
    """(rows * columns, 2, side, side), row by row."""
    cut = pair[0].unfold(1, side, step).unfold(2, side, step)
    return cut.permute(1, 2, 0, 3, 4).reshape(-1, 2, side, side)


def test_an_untrained_network_finds_no_motion():
    assert torch.equal(Cnn4l(NARROW)(torch.randn(3, 2, 16, 16)), torch.zeros(3, 2))


@pytest.mark.parametrize("step", [1, 3, 4])
@pytest.mark.parametrize(("side", "layers"), [(8, 1), (8, 3), (16, 4), (32, 2)])
def test_the_whole_image_gives_what_its_windows_give(side, layers, step):
    network = awake(Cnn4lOptions(side, layers, width=4))
    pair = prepare(torch.cat([ground(1, 37, 46), ground(1, 37, 46, seed=1)], 1), side)
    dense = network.dense(pair, step).flow
    rows, columns = (37 - side) // step + 1, (46 - side) // step + 1
    alone = network(windows_of(pair, side, step)).T.reshape(1, 2, rows, columns)
    assert dense.shape == (1, 2, rows, columns)
    assert dense.std() > 1e-3
    assert torch.allclose(dense, alone, atol=2e-6)


def test_a_step_takes_every_so_manieth_answer():
    network = awake(NARROW)
    pair = torch.randn(2, 2, 40, 33)
    assert torch.allclose(network.dense(pair, 4).flow, network.dense(pair).flow[..., ::4, ::4], atol=2e-6)


def test_a_window_cut_from_a_crop_is_prepared_like_the_whole_image():
    """Training windows need half a window around them, and no more."""
    image = 300 + 40 * ground(1, 90, 80)
    whole = prepare(image, 16)[..., 40:56, 30:46]
    crop = prepare(image[..., 32:64, 22:54], 16)[..., 8:24, 8:24]
    assert torch.allclose(whole, crop, atol=1e-4)
    assert not torch.allclose(whole, prepare(image[..., 40:56, 30:46], 16), atol=1e-2)


def test_gaps_and_flat_ground_become_nothing():
    image = ground(1, 40, 40)
    image[..., :20, :] = 7
    image[..., 30:, :] = torch.nan
    prepared = prepare(image, 8)
    assert prepared.isfinite().all()
    assert (prepared[..., 2:14, :].abs() < 0.2).all()
    assert (prepared[..., 30:, :] == 0).all()


def test_a_window_lies_at_the_sample_after_its_middle():
    assert margins(16) == (8, 7)
    assert margins(9) == (4, 4)


def naive_recentred(network, pair, offsets, first, step):
    side = network.options.window_px
    height, width = pair.shape[-2:]
    out = torch.zeros(offsets.shape)
    for i in range(offsets.shape[2]):
        for j in range(offsets.shape[3]):
            row, column = first + step * i, first + step * j
            x = min(max(int(offsets[0, 0, i, j]), -column), width - side - column)
            y = min(max(int(offsets[0, 1, i, j]), -row), height - side - row)
            before = pair[:, :1, row : row + side, column : column + side]
            after = pair[:, 1:, row + y : row + y + side, column + x : column + x + side]
            out[0, :, i, j] = torch.tensor([x, y]) + network(torch.cat([before, after], 1))[0]
    return out


@pytest.mark.parametrize("kind", ["together", "scattered"])
@pytest.mark.parametrize(("first", "step"), [(0, 1), (3, 2)])
def test_windows_are_moved_as_a_whole_and_their_offset_is_added(kind, first, step):
    network = awake(Cnn4lOptions(8, 2, width=4))
    pair = torch.randn(1, 2, 26, 31)
    rows, columns = (26 - 8 - 2 * first) // step + 1, (31 - 8 - 2 * first) // step + 1
    torch.manual_seed(1)
    offsets = torch.randint(-5, 6, (1, 2, rows, columns))
    if kind == "together":
        offsets[:] = torch.tensor([3, -2])[:, None, None]
        offsets[..., columns // 2 :] = torch.tensor([-1, 4])[:, None, None]
    with torch.no_grad():
        found = recentred(network, pair, offsets, Lattice(first, step)).flow
        assert torch.allclose(found, naive_recentred(network, pair, offsets, first, step), atol=2e-6)


@pytest.mark.parametrize(("step", "cell"), [(1, 4), (2, 2), (3, 3)])
@pytest.mark.parametrize("patch_px", [12, 128])
def test_windows_of_a_cell_go_together_however_they_are_evaluated(step, cell, patch_px, monkeypatch):
    """Cells of many offsets, some evaluated at once and some by themselves, none beyond the image."""
    monkeypatch.setattr("terrashift.models.cnn4l.PATCH_PX", patch_px)
    monkeypatch.setattr("terrashift.models.cnn4l.TOGETHER_PX", 500)
    network = awake(Cnn4lOptions(8, 2, width=4))
    rows, columns = 5 * cell, 7 * cell
    margin = 3
    pair = torch.randn(1, 2, step * (rows - 1) + 8 + 2 * margin, step * (columns - 1) + 8 + 2 * margin)
    torch.manual_seed(1)
    few = torch.randint(-margin, margin + 1, (1, 2, 5, 7))
    few[..., :3] = 2
    offsets = few.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    with torch.no_grad():
        found = recentred(network, pair, offsets, Lattice(margin, step, cell)).flow
        assert torch.allclose(found, naive_recentred(network, pair, offsets, margin, step), atol=2e-6)


def test_two_steps_find_whole_pixels_first():
    """With a coarse network that always says (2.6, -1.7) the fine one looks 3 px to the right and 2 px up."""
    coarse, fine = Cnn4l(Cnn4lOptions(16, 1, width=4)), awake(Cnn4lOptions(8, 2, width=4))
    coarse.head.bias.data = torch.tensor([2.6, -1.7])
    before, after = ground(1, 40, 52), ground(1, 40, 52, seed=1)
    found = two_steps(coarse, fine, before, after, step=2).flow
    assert found.shape == (1, 2, 13, 19)
    pair = torch.cat([prepare(before, 8), prepare(after, 8).roll((2, -3), (2, 3))], 1)
    alone = fine.dense(pair, 1).flow[..., 4:, 4:][..., :26:2, :38:2]  # the window of 8 px in the middle of that of 16
    inner = (slice(None), slice(None), slice(1, None), slice(0, -2))
    expected = alone + torch.tensor([3.0, -2.0])[:, None, None]
    assert torch.allclose(found[inner], expected[inner], atol=2e-6)


def test_two_steps_learnt_by_heart_find_a_shift_of_several_pixels():
    """Both networks are made, not trained: they answer with where a single bright pixel lies."""
    before, after = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    before[..., 20, 20], after[..., 17, 24] = 1, 1  # 4 px right, 3 px up

    class Centroid(Cnn4l):
        def dense(self, pair, step=1):
            side = self.options.window_px
            weights = pair.unfold(2, side, step).unfold(3, side, step).clamp_min(0)
            weights = weights / weights.sum((-1, -2), keepdim=True).clamp_min(1e-6)
            place = torch.arange(side, dtype=torch.float32)
            x, y = (weights * place).sum((-1, -2)), (weights * place[:, None]).sum((-1, -2))
            return split(torch.stack([x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]], 1))

    found = two_steps(Centroid(Cnn4lOptions(16, 1, 4)), Centroid(Cnn4lOptions(8, 1, 4)), before, after).flow
    assert torch.allclose(found[0, :, 12, 12], torch.tensor([4.0, -3.0]), atol=0.3)  # the pixel (20, 20)


def test_the_published_sizes_and_costs():
    whole = cost(Cnn4l(), torch.zeros(1, 2, 16, 16))
    coarse = count_weights(Cnn4l(CNN3L_5PX))
    maps = (2, 64, 128, 256, 256)
    layers = sum(9 * a * b + b for a, b in pairwise(maps))
    assert whole.weights == layers + (16384 * 64 + 64) + (64 * 2 + 2)  # flattened: 16384
    assert whole.multiply_adds == sum(
        9 * a * b * n * n for a, b, n in zip(maps, maps[1:], (14, 12, 10, 8), strict=False)
    ) + (16384 * 64 + 64 * 2)
    assert coarse == 2 * 64 * 9 + 64 + 64 * 128 * 9 + 128 + 128 * 256 * 9 + 256 + 26 * 26 * 256 * 64 + 64 + 130


def test_the_whole_image_costs_a_fortieth_and_a_step_saves_in_the_last_layers():
    network = Cnn4l()
    assert network.multiply_adds(16, 16) == cost(network, torch.zeros(1, 2, 16, 16)).multiply_adds
    assert network.multiply_adds(1039, 1039) / 1024**2 < network.multiply_adds(16, 16) / 37
    every, fourth = network.multiply_adds(271, 271), network.multiply_adds(271, 271, 4)
    assert every - fourth == (16384 * 64 + 64 * 2) * (256**2 - 64**2)


@pytest.mark.parametrize("step", [1, 4])
def test_the_cost_is_what_is_counted(step):
    network = Cnn4l(NARROW)
    assert network.multiply_adds(31, 26, step) == cost(Dense(network, step), torch.zeros(1, 2, 31, 26)).multiply_adds


class Dense(torch.nn.Module):
    def __init__(self, network, step):
        super().__init__()
        self.network, self.step = network, step

    def forward(self, pair):
        return self.network.dense(pair, self.step)


def test_settings_that_cannot_work_are_refused():
    for wrong in ({"layers": 5}, {"layers": 0}, {"window_px": 8, "layers": 4}, {"width": 0}):
        with pytest.raises(OptionError):
            Cnn4lOptions(**wrong)
    with pytest.raises(OptionError, match="larger"):
        Cnn4l(NARROW).dense(torch.zeros(1, 2, 15, 40))
    with pytest.raises(OptionError, match="swap"):
        two_steps(Cnn4l(Cnn4lOptions(8, 1, 4)), Cnn4l(NARROW), torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40))


def test_it_learns_shifts_and_every_weight_has_a_gradient():
    after = ground(32, 40, 40)
    shift = 2 * torch.rand(32, 2) - 1
    before = sample(after, shift[:, :, None, None].expand(-1, 2, 40, 40))
    windows = prepare(torch.cat([before, after], 1), 16)[..., 12:28, 12:28]
    torch.manual_seed(0)
    network = Cnn4l(Cnn4lOptions(16, 4, width=8))
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        loss = (network(windows) - shift).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_windows_of_a_batch_do_not_know_of_each_other():
    network, windows = awake(NARROW), torch.randn(5, 2, 16, 16)
    assert torch.allclose(network(windows)[3:], network(windows[3:]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_gives_nearly_the_same(dtype):
    network, pair = awake(NARROW), torch.randn(1, 2, 30, 37)
    with torch.no_grad():
        full = network.dense(pair).flow
        with torch.autocast("cpu", dtype):
            low = network.dense(pair).flow
    assert low.dtype == torch.float32
    assert (low - full).abs().max() < 0.05 * full.abs().max()


def test_the_order_of_values_in_memory_does_not_matter():
    network, pair = awake(NARROW), torch.randn(2, 2, 30, 37)
    with torch.no_grad():
        plain = network.dense(pair).flow
        other = (
            network.to(memory_format=torch.channels_last).dense(pair.contiguous(memory_format=torch.channels_last)).flow
        )
    assert torch.allclose(plain, other, atol=2e-6)
