"""The registration network's parts: maps with known values and signs, masks, levels, and no folds."""

import pytest
import torch
from torch import nn

from terrashift.errors import OptionError
from terrashift.models.catalogue import make, options_of
from terrashift.models.counting import count_weights
from terrashift.models.linear_deformable import (
    PARTS,
    LinearDeformable,
    LinearDeformableOptions,
    cell_places,
    coarser,
    finer,
    least_squares,
    level,
    places,
    shrink,
    weighted_fit,
)

SMALL = LinearDeformableOptions(encoder=(8, 8, 8, 8), decoder=(8, 8, 8, 8), levels=(2, 1))
PLAIN = LinearDeformableOptions((4, 4, 4, 4), (1, 2, 3, 5), (4, 4, 4, 4), 1, "images", "pool", 1, True, (1,))


def untrained(options, seed=0):
    torch.manual_seed(seed)
    return LinearDeformable(options).eval().requires_grad_(False)


def wild(options, seed=0, scale=3.0):
    """A network whose heads say anything."""
    net = untrained(options, seed)
    for head in (net.gradients, net.affine):
        nn.init.normal_(head.weight, std=scale)
        nn.init.normal_(head.bias, std=scale)
    return net


def ground(height=48, width=64, batch=1, seed=1):
    torch.manual_seed(seed)
    noise = torch.randn(batch, 1, height, width)
    return nn.functional.avg_pool2d(noise, 5, 1, 2, count_include_pad=False)


def constant(net, affine, phi=(0.0, 0.0)):
    """Make both heads say one thing everywhere."""
    with torch.no_grad():
        for head in (net.affine, net.gradients):
            head.weight.zero_()
        net.affine.bias.copy_(torch.tensor(affine))
        net.gradients.bias.copy_(torch.tensor(phi))
    return net


@pytest.mark.parametrize("options", [SMALL, PLAIN], ids=["ours", "published"])
def test_before_training_the_map_is_identity(options):
    passes = untrained(options)(ground(), ground(seed=2))
    assert [p.px for p in passes] == list(options.levels)
    for found in passes:
        assert torch.equal(found.flow, torch.zeros_like(found.flow))
        assert torch.equal(found.gradients, torch.ones_like(found.gradients))


def test_a_shift_of_the_fit_is_the_shift_of_the_map_in_x_and_y():
    net = constant(untrained(SMALL), [2.0, -1.0, 0.0])
    found = net.step(level(ground(), ground(), 1), torch.zeros(1, 2, 48, 64), torch.tensor([[1.0, 0.0]]))
    motion = 6 * torch.tanh(torch.tensor([2.0, -1.0]) / 6)
    assert torch.allclose(found.flow, motion[None, :, None, None].expand_as(found.flow), atol=2e-3)


def test_the_published_affine_map_moves_by_its_matrix_about_the_middle():
    """Bias (a, b, c, d, e, f): x moves by a x + b y + c, y by d x + e y + f, in halves of the longer side."""
    net = constant(untrained(PLAIN), [0.1, 0.2, 0.05, -0.3, 0.0, -0.1])
    found = net.step(level(ground(), ground(), 1), torch.zeros(1, 2, 48, 64), torch.tensor([[1.0, 0.0]]))
    x, y = places((48, 64))[0]
    expected = 32 * torch.stack([0.1 * x + 0.2 * y + 0.05, -0.3 * x - 0.1])
    assert torch.allclose(found.flow[0], expected, atol=1e-4)
    assert found.flow[0, 0, 0, 63] > found.flow[0, 0, 0, 0]
    assert found.flow[0, 1, 0, 63] < found.flow[0, 1, 0, 0]


def test_gradients_above_one_stretch_along_their_own_axis():
    net = constant(untrained(SMALL), [0.0, 0.0, 0.0], (5.0, 0.0))
    found = net.step(level(ground(), ground(), 1), torch.zeros(1, 2, 48, 64), torch.tensor([[0.0, 1.0]]))
    x, y = found.flow[0]
    slope = 2 / (1 + torch.exp(torch.tensor(-0.5))) - 1
    assert torch.allclose(x[:, 10:50].diff(dim=1), slope.expand(48, 39), atol=1e-4)
    assert y.abs().max() < 1e-4
    assert abs(float(x.mean())) < 0.05  # the sums' constant is the shift's


def test_the_published_sums_begin_at_the_corner():
    net = constant(untrained(PLAIN), [0.0] * 6, (0.0, -5.0))
    found = net.step(level(ground(), ground(), 1), torch.zeros(1, 2, 48, 64), torch.tensor([[0.0, 1.0]]))
    slope = 2 / (1 + torch.exp(torch.tensor(0.5))) - 1
    assert found.flow[0, 1, 0].tolist() == pytest.approx([float(slope) / 2] * 64)
    assert found.flow[0, 1, 40].tolist() == pytest.approx([float(slope) * 40.5] * 64, rel=1e-4)
    assert found.flow[0, 0].abs().max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [SMALL, PLAIN], ids=["ours", "published"])
def test_however_wild_the_gradients_rows_and_columns_keep_their_order(options, seed):
    net = wild(options, seed, 30.0)
    pair = level(ground(), ground(seed=2), 1)
    found = net.step(pair, torch.zeros(1, 2, 48, 64), torch.tensor([[0.0, 1.0]]))
    assert found.flow.abs().max() > 2
    assert (1 + found.flow[0, 0].diff(dim=1)).min() > -1e-4
    assert (1 + found.flow[0, 1].diff(dim=0)).min() > -1e-4


def test_each_part_alone_is_that_part_alone():
    net = wild(SMALL, scale=0.3)
    pair = level(ground(), ground(seed=2), 1)
    zero = torch.zeros(1, 2, 48, 64)
    affine, bent = (net.step(pair, zero, torch.tensor([PARTS[name]])) for name in ("affine", "deformable"))
    assert torch.equal(affine.gradients, torch.ones_like(affine.gradients))
    second = affine.flow.diff(n=2, dim=3).abs().max() + affine.flow.diff(n=2, dim=2).abs().max()
    assert second < 1e-4
    assert torch.equal(bent.affine[..., :2], torch.zeros(1, 2, 2))
    assert bent.affine[..., 2].abs().max() > 0  # the constant of the sums


def test_the_deformation_is_applied_before_the_affine_map():
    """p -> A(p + bend(p)): the linear map sees the bent place."""
    net = constant(untrained(PLAIN), [0.5, 0.0, 0.0, 0.0, 0.0, 0.0], (5.0, 0.0))
    pair = level(ground(), ground(), 1)
    both = net.step(pair, torch.zeros(1, 2, 48, 64), torch.tensor([[1.0, 1.0]])).flow
    bend = net.step(pair, torch.zeros(1, 2, 48, 64), torch.tensor([[0.0, 1.0]])).flow
    place = places((48, 64)) + bend / 32
    assert torch.allclose(both[:, 0], bend[:, 0] + 32 * 0.5 * place[:, 0], atol=1e-4)


def test_a_pass_goes_on_from_the_map_so_far_by_composition():
    net = constant(untrained(PLAIN), [0.0, 0.0, 4 / 32, 0.0, 0.0, 0.0])
    start = torch.zeros(1, 2, 48, 64)
    start[:, 1] = torch.arange(64.0) / 10
    found = net.step(level(ground(), ground(), 1), start, torch.tensor([[1.0, 1.0]]))
    assert torch.allclose(found.flow[0, 0], torch.full((48, 64), 4.0), atol=1e-4)
    assert found.flow[0, 1, 20, 30] == pytest.approx(3.4, abs=1e-3)  # what stands four pixels to the right


def test_least_squares_find_a_small_shift_with_its_sign():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")

    def waves(dx, dy):
        return (torch.sin((x + dx) / 1.5) + torch.cos((y + dy) / 1.6) + torch.sin((x + dx + y + dy) / 2.2))[None, None]

    net = untrained(SMALL)
    # after(p + (0.4, -0.3)) is before(p)
    pair = level(waves(0, 0), waves(-0.4, 0.3), 1)
    seen = net._see(pair.before, pair.moved(torch.zeros(1, 2, 64, 64)))
    motion = seen[:, 2 * 16 + 3 : 2 * 16 + 5, 4:12, 4:12].mean((0, 2, 3))
    assert motion.tolist() == pytest.approx([0.4, -0.3], abs=0.08)


def test_flat_ground_has_no_least_squares_motion():
    found = least_squares(torch.zeros(1, 6, 3, 4))
    assert torch.equal(found, torch.zeros(1, 3, 3, 4))


def test_a_weighted_fit_finds_the_affine_motion_of_what_has_weight():
    place = cell_places((6, 8), 4, (24, 32))
    motion = torch.stack([3 * place[0, 0] - place[0, 1] + 2, 0.5 * place[0, 1] - 4])[None]
    weight = torch.ones(1, 1, 6, 8)
    motion[..., 2, 3] = 50.0
    weight[..., 2, 3] = 0.0
    fit = weighted_fit(motion, weight, place)
    assert torch.allclose(fit, torch.tensor([[[3.0, -1.0, 2.0], [0.0, 0.5, -4.0]]]), atol=0.05)
    assert torch.equal(weighted_fit(motion, 0 * weight, place), torch.zeros(1, 2, 3))


def test_data_behind_a_mask_cannot_change_the_map():
    net = wild(SMALL, scale=0.3)
    before, after = ground(), ground(seed=2)
    after[..., 10:30, 20:40] = torch.nan
    found = net(before, after)[-1].flow
    before[..., 14:26, 24:36] += 100.0  # not even through the local mean, as the squares of that end at the mask's rim
    other = net(before, after)[-1]
    assert found.isfinite().all()
    assert not other.pair.moved(other.flow).both[..., 14:26, 24:36].any()


def test_nothing_but_nodata_is_no_motion_of_the_affine_part():
    net = wild(SMALL)
    gap = torch.full((1, 1, 48, 64), torch.nan)
    found = net(gap, ground(), torch.tensor([[1.0, 0.0]]))[-1]
    assert torch.equal(found.flow, torch.zeros_like(found.flow))


def test_moved_images_are_seen_where_both_have_data():
    before, after = ground(), ground(seed=2)
    after[..., 5] = torch.nan
    pair = level(before, after, 1)
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0] = 3.0
    seen = pair.moved(flow)
    assert torch.allclose(seen.image[..., 10:20], pair.after[..., 13:23], atol=1e-4)
    assert not seen.both[..., 2].any()  # the gap
    assert not seen.both[..., 61:].any()  # beyond the image
    assert seen.both[..., 3:61].all()


def test_a_coarser_level_keeps_places_and_motion():
    """A flow that is linear in the place stays itself from one level to another, away from the border."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(64.0), indexing="ij")
    flow = torch.stack([0.1 * x, 0.2 * y - 1])[None]
    again = finer(coarser(flow, 4), 4, (32, 64))
    assert torch.allclose(again[..., 4:-4, 4:-4], flow[..., 4:-4, 4:-4], atol=1e-4)
    image = shrink(x[None, None], 4)
    assert image[0, 0, 0].tolist() == [1.5 + 4 * k for k in range(16)]


def test_odd_sides_are_measured_like_even_ones():
    net = wild(SMALL, scale=0.1)
    before, after = ground(37, 51), ground(37, 51, seed=2)
    found = net(before, after)
    assert found[-1].flow.shape == (1, 2, 37, 51)
    assert found[0].flow.shape == (1, 2, 19, 26)
    assert found[0].full((37, 51)).shape == (1, 2, 37, 51)


def test_pairs_of_a_batch_do_not_see_each_other():
    net = wild(SMALL, scale=0.1)
    before, after = ground(batch=3), ground(batch=3, seed=2)
    parts = torch.tensor([PARTS[name] for name in ("both", "affine", "deformable")])
    whole = net(before, after, parts)[-1].flow
    for k in range(3):
        alone = net(before[k : k + 1], after[k : k + 1], parts[k : k + 1])[-1].flow
        assert torch.allclose(whole[k], alone[0], atol=1e-4)


def test_the_gradient_of_a_pass_reaches_every_weight():
    net = wild(SMALL, scale=0.1).requires_grad_(True)
    net(ground(), ground(seed=2))[-1].flow.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_default_has_a_few_hundred_thousand_weights_and_the_catalogue_makes_it():
    net = make("linear-deformable", options_of("linear-deformable", {}))
    assert 2e5 < count_weights(net) < 5e5
    assert make("linear-deformable", LinearDeformableOptions.published()).options.levels == (1,)


@pytest.mark.parametrize("values", [{"levels": []}, {"levels": [3, 2]}, {"levels": [1, 2]}, {"cell_px": 0}])
def test_impossible_options_are_refused(values):
    with pytest.raises(OptionError):
        options_of("linear-deformable", values)
