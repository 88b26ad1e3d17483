"""The registration network on pairs of any size: tiles, levels, masks, starts and fine-tuning."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from terrashift.errors import InputError
from terrashift.models.linear_deformable import LinearDeformable, LinearDeformableOptions, level
from terrashift.ops.random import Random, waves
from terrashift.ops.warp import warp
from terrashift.register import network as module
from terrashift.register.network import NetworkOptions, folded, levels, phase_start, register_by_network

SMALL = {"encoder": [8, 8, 8, 8], "decoder": [8, 8, 8, 8], "levels": [4, 2, 1]}


def ground(height, width, seed=1):
    """Detail from 3 to 60 px."""
    random = Random.of(seed, [0])
    knots = (8, 20, 50, max(height, width) // 3)
    return sum(waves(random, f"w{k}", 1, k, (height, width))[0, 0] for k in knots)


def save_weights(path, change=lambda net: None, options=SMALL, seed=0):
    torch.manual_seed(seed)
    net = LinearDeformable(LinearDeformableOptions(**{k: tuple(v) for k, v in options.items()}))
    with torch.no_grad():
        change(net)
    save_file(net.state_dict(), path, {"network": "linear-deformable", "options": json.dumps(options)})
    return str(path)


@pytest.fixture
def still(tmp_path):
    """Weights that find no motion."""
    return save_weights(tmp_path / "still.safetensors")


@pytest.fixture
def drift(tmp_path):
    """Weights that add (1, -0.5) px of the level at every pass, wherever they look."""
    return save_weights(
        tmp_path / "drift.safetensors", lambda net: net.affine.bias.copy_(torch.tensor([1.0, -0.5, 0.0]))
    )


@pytest.fixture
def wild(tmp_path):
    def change(net):
        for head in (net.gradients, net.affine):
            nn.init.normal_(head.weight, std=0.05)

    return save_weights(tmp_path / "wild.safetensors", change)


def test_levels_halve_from_what_catches_the_offset_to_the_finest():
    assert levels((256, 256), NetworkOptions()) == [8, 4, 2, 1]
    assert levels((1000, 2000), NetworkOptions(largest_px=50)) == [32, 16, 8, 4, 2, 1]
    assert levels((100, 2000), NetworkOptions(largest_px=50)) == [4, 2, 1]
    assert levels((256, 256), NetworkOptions(largest_px=1)) == [1]
    assert levels((256, 256), NetworkOptions(finest_px=2)) == [8, 4, 2]


def test_no_motion_is_found_where_the_weights_find_none(still):
    image = ground(90, 130)
    found = register_by_network(image, image, NetworkOptions(weights=still))
    assert torch.equal(found.flow, torch.zeros(2, 90, 130))
    assert found.both.all()
    assert found.score[20:70, 20:110].min() > 0.5
    assert found.folded == 0


@pytest.fixture
def trusting(monkeypatch):
    """Every pass is kept, whether it brings the images closer or not."""
    monkeypatch.setattr(module, "kept", lambda judge, old, new, times, gain: new)


def test_passes_add_up_over_levels_in_pixels_of_the_image(drift, trusting):
    found = register_by_network(
        ground(100, 130),
        ground(100, 130, 2),
        NetworkOptions(weights=drift, parts="deformable", largest_px=7, start="none"),
    )
    x, y = 1 - 0.01, -0.5  # tanh takes a little
    assert found.flow[0].mean().item() == pytest.approx(7 * x, rel=0.01)
    assert found.flow[1].mean().item() == pytest.approx(7 * y, rel=0.01)
    assert found.flow.std(dim=(1, 2)).max() < 1e-2


def test_a_start_is_what_the_map_goes_on_from(still, drift, trusting):
    start = torch.zeros(2, 90, 130)
    start[0] = 3.0
    start[1] = torch.arange(130.0) / 20
    found = register_by_network(ground(90, 130), ground(90, 130), NetworkOptions(weights=still), start)
    assert (found.flow - start)[:, 8:-8, 8:-8].abs().max() < 1e-3
    on = register_by_network(
        ground(90, 130), ground(90, 130), NetworkOptions(weights=drift, parts="deformable", largest_px=1), start
    )
    assert (on.flow - start)[0, 8:-8, 8:-8].mean().item() == pytest.approx(0.99, abs=0.01)


def test_a_clear_shift_of_the_whole_is_the_start(still):
    """The ground at p is at p + (12.4, -17) in the moving image."""
    wide = ground(200, 220)
    flow = torch.zeros(1, 2, 200, 220)
    flow[:, 0], flow[:, 1] = -12.4, 17.0
    moving = warp(wide[None, None], flow)[0, 0]
    found = register_by_network(wide[20:180, 20:200], moving[20:180, 20:200], NetworkOptions(weights=still))
    assert found.flow.mean((1, 2)).tolist() == pytest.approx([12.4, -17.0], abs=0.15)
    assert phase_start(wide[None, None], ground(200, 220, 5)[None, None]) is None
    options = NetworkOptions(weights=still, start="none", passes=1)
    assert register_by_network(wide, moving, options).flow.abs().max() == 0


def test_a_new_map_is_kept_where_it_brings_the_images_closer():
    """The ground of the right half is 3 px to the right in the other image, that of the left half is not."""
    image = ground(120, 200)
    other = image.clone()
    other[:, 100:] = image.roll(3, 1)[:, 100:]
    pair = level(image[None, None], other[None, None], 1)
    old, new = torch.zeros(1, 2, 60, 100), torch.zeros(1, 2, 60, 100)
    new[:, 0] = 1.5  # half as many pixels of the coarser level
    found = module.kept(pair, old, new, 2, 0.01)
    assert found[0, 0, 10:-10, 80:90].min() > 1.4
    assert found[0, 0, 10:-10, 10:20].abs().max() < 0.1
    back = module.kept(pair, new, old, 2, -0.01)
    assert back[0, 0, 10:-10, 80:90].min() > 1.4
    assert found.diff(dim=3).abs().max() < 0.3
    nothing = level(image[None, None], torch.full_like(other, torch.nan)[None, None], 1)
    assert module.kept(nothing, old, new, 2).isfinite().all()


def test_tiles_leave_no_edges(wild, monkeypatch):
    """With many tiles the map is as smooth as with one: no step from one pixel to the next beyond what a tile has."""
    image, other = ground(200, 170), ground(200, 170, 2)
    options = NetworkOptions(weights=wild, largest_px=3)
    whole = register_by_network(image, other, options).flow
    monkeypatch.setattr(module, "TILE_PX", 96)
    monkeypatch.setattr(module, "OVERLAP_PX", 48)
    tiled = register_by_network(image, other, options).flow
    assert not torch.equal(whole, tiled)
    for axis in (1, 2):
        assert tiled.diff(dim=axis).abs().max() < 2 * whole.diff(dim=axis).abs().max() + 0.05


def test_every_pixel_is_in_a_tile_and_the_weights_are_never_nothing():
    for length in (24, 255, 256, 257, 300, 449, 1000):
        seen = torch.zeros(length)
        for rows, _ in module._windows(length, 24):
            assert 0 <= rows.start < rows.stop <= length
            seen[rows] += module._ramp(rows, length, seen)
        assert seen.min() > 0


def test_a_tile_of_the_moving_image_is_that_under_the_map():
    """Cut out where the flow points to, a tile sees what the whole image shows there."""
    image = level(ground(120, 150)[None, None], ground(120, 150, 3)[None, None], 1)
    flow = torch.zeros(1, 2, 120, 150)
    flow[:, 0], flow[:, 1] = 25.3, -18.6
    rows, columns = slice(40, 100), slice(30, 110)
    local, origin = module._local(image, flow[..., rows, columns], rows, columns)
    seen = local.moved(flow[..., rows, columns] + origin)
    whole = image.moved(flow)
    assert local.after.shape[-1] < 120
    assert torch.allclose(seen.image, whole.image[..., rows, columns], atol=1e-4)
    assert torch.equal(seen.both, whole.both[..., rows, columns])


def test_gaps_are_told_and_the_map_goes_on_across_them(wild):
    image, other = ground(120, 140), ground(120, 140, 2)
    image[10:40, 20:60] = torch.nan
    other[70:, 100:] = torch.nan
    found = register_by_network(image, other, NetworkOptions(weights=wild, largest_px=3))
    assert found.flow.isfinite().all()
    assert not found.both[10:40, 20:60].any()
    assert not found.both[90:, 120:].any()
    assert torch.equal(found.score.isfinite(), found.both)


def test_a_moving_image_of_another_shape_counts_from_the_same_first_pixel(drift):
    whole = ground(120, 140)
    options = NetworkOptions(weights=drift, largest_px=1, start="none", passes=1)
    found = register_by_network(whole[:80, :90], whole, options)
    assert found.flow.shape == (2, 80, 90)
    assert found.both.all() or found.both[1:, :].all()
    smaller = register_by_network(whole, whole[:80, :90], options)
    assert not smaller.both[82:].any()
    assert not smaller.both[:, 92:].any()


def test_an_affine_map_of_many_tiles_is_one_affine_map(wild, monkeypatch):
    monkeypatch.setattr(module, "TILE_PX", 96)
    monkeypatch.setattr(module, "OVERLAP_PX", 48)
    options = NetworkOptions(weights=wild, largest_px=3, parts="affine")
    found = register_by_network(ground(200, 170), ground(200, 170, 2), options)
    assert found.flow.abs().max() > 0.01
    for axis in (1, 2):
        assert found.flow.diff(n=2, dim=axis).abs().max() < 1e-4


def test_folds_are_counted():
    flow = torch.zeros(2, 20, 30)
    assert folded(flow) == 0
    flow[0, :, 10] = 3.0  # to the right of what is to its right
    assert folded(flow) == pytest.approx(1 / 29)
    flow[0] = -2 * torch.arange(30.0)  # mirrored
    assert folded(flow) == 1


def test_fine_tuning_lowers_the_loss_and_keeps_the_packaged_weights_as_they_are(tmp_path):
    weights = save_weights(tmp_path / "start.safetensors", seed=3)
    before = ground(64, 64)
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0] = 1.0
    after = warp(before[None, None], -flow).nan_to_num(0.0)[0, 0]
    options = NetworkOptions(weights=weights, largest_px=1, start="none", fine_tune=8, fine_tune_rate=5e-3)
    tuned = register_by_network(before, after, options)
    plain = register_by_network(before, after, options.model_copy(update={"fine_tune": 0}))
    assert plain.tuned is None
    assert tuned.tuned[1] < tuned.tuned[0]
    assert torch.equal(plain.flow, torch.zeros_like(plain.flow))
    assert (tuned.flow - flow[0]).norm(dim=0).mean() < 0.9
    again = register_by_network(before, after, options)
    assert torch.equal(again.flow, tuned.flow)


def test_what_cannot_be_registered_is_named(still, tmp_path):
    image, gap = ground(60, 60), torch.full((60, 60), torch.nan)
    with pytest.raises(InputError, match="reference image has no data"):
        register_by_network(gap, image, NetworkOptions(weights=still))
    with pytest.raises(InputError, match="moving image is only"):
        register_by_network(image, image[:10], NetworkOptions(weights=still))
    with pytest.raises(InputError, match="no weights 'none'"):
        register_by_network(image, image, NetworkOptions(weights="none"))
    with pytest.raises(InputError, match="method network runs the network linear-deformable"):
        register_by_network(image, image, NetworkOptions(weights="cnn4l-uni16"))
