"""Truth holds on the grid of `before`, with its sign, on any grid."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from affine import Affine
from scipy import ndimage

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.ops.warp import warp
from terrashift.simulate.displacement import Displacement
from terrashift.simulate.pair import simulate_pair, to_pixels
from terrashift.simulate.rupture import Rupture, displacement
from terrashift.simulate.scene import SceneOptions, procedural_ground
from terrashift.simulate.sensor import Sensor

ORIGIN = Affine.translation(500000, 4000000)
GRIDS = {
    "north up": Grid(90, 120, ORIGIN @ Affine.scale(10, -10), "EPSG:32633"),
    "south up, not square": Grid(90, 120, ORIGIN @ Affine.scale(10, 15), "EPSG:32633"),
    "rotated": Grid(90, 120, ORIGIN @ Affine.rotation(25) @ Affine.scale(10, -10), "EPSG:32633"),
    "degrees": Grid(90, 120, Affine(1e-4, 0, 13, 0, -1e-4, 60), "EPSG:4326", geographic=True),
    "no CRS": Grid(90, 120, Affine.identity()),
}


@pytest.fixture(scope="module")
def ground():
    drawn = procedural_ground(90 + 24, 120 + 24, 0, SceneOptions(noise=0.0, shot=0.0))
    return replace(drawn, after=drawn.before)  # the two dates look the same, so that motion alone remains


def even_motion(grid, east, north):
    ones = torch.ones(grid.shape)
    nothing = torch.zeros(grid.shape, dtype=torch.bool)
    return Displacement(east * ones, north * ones, 0 * ones, nothing, (), ())


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_pixels_turn_back_into_the_metres_that_they_came_from(grid):
    motion = displacement(grid, Rupture(slip_m=20), 0)
    flow = to_pixels(grid, motion.east, motion.north)
    back = grid.to_metres(flow)
    assert torch.allclose(back[0], motion.east, atol=1e-4)
    assert torch.allclose(back[1], motion.north, atol=1e-4)


def test_ground_that_went_south_east_lies_lower_right_in_after(ground):
    grid = GRIDS["north up"]
    pair = simulate_pair(ground, grid, even_motion(grid, 30.0, -20.0))
    assert torch.allclose(pair.flow, torch.tensor([3.0, 2.0])[:, None, None].expand(2, *grid.shape))
    before, after = pair.before.pixels[0], pair.after.pixels[0]
    assert torch.allclose(before[:-2, :-3], after[2:, 3:], atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_after_warped_back_by_the_truth_lies_on_before(ground, grid):
    scale = 1 if grid.crs is None else 10
    motion = displacement(grid, Rupture(slip_m=2.5 * scale, strike_deg=50), 1)
    smooth = replace(ground, sensor=Sensor(blur_px=1.0, noise=0.0, shot=0.0))  # so that pixels can be interpolated
    pair = simulate_pair(smooth, grid, motion)
    back = warp(pair.after.pixels[None], pair.flow[None], "sinc")[0, 0]
    inside = slice(10, -10)  # the reach of the interpolation and the motion
    away = torch.from_numpy(ndimage.distance_transform_edt(~pair.trace.numpy()) > 4)[inside, inside]
    error = (back - pair.before.pixels[0])[inside, inside].abs()[away]
    unmoved = (pair.after.pixels - pair.before.pixels)[0, inside, inside].abs()[away]
    assert error.mean() < 0.02 * unmoved.mean()
    assert error.max() < 0.1 * unmoved.max()


def test_each_side_of_the_trace_moves_by_its_own_motion_up_to_the_trace(ground):
    grid = GRIDS["north up"]
    right = torch.arange(grid.width).expand(grid.shape) >= 60
    trace = torch.zeros(grid.shape, dtype=torch.bool)
    trace[:, 59:61] = True
    north = torch.where(right, -30.0, 30.0)
    broken = Displacement(0 * north, north, 0 * north, trace, (), ())
    sharp = replace(ground, sensor=Sensor(blur_px=0.0, noise=0.0, shot=0.0))  # pixels see nothing of their neighbours
    pair = simulate_pair(sharp, grid, broken)
    for side, columns in ((30.0, slice(0, 60)), (-30.0, slice(60, None))):
        whole = simulate_pair(sharp, grid, even_motion(grid, 0.0, side))
        seen = pair.before.pixels[0, :, columns], whole.before.pixels[0, :, columns]
        assert torch.allclose(*seen, atol=1e-6)


def test_a_margin_around_the_ground_leaves_no_gap_and_none_leaves_a_frame(ground):
    grid = GRIDS["north up"]
    motion = even_motion(grid, 5.0, 5.0)
    assert simulate_pair(ground, grid, motion).before.valid.all()
    inner = replace(ground, before=ground.before[24:-24, 24:-24], after=ground.after[24:-24, 24:-24])
    bare = simulate_pair(inner, grid, motion)
    assert bare.after.valid.all()
    assert not bare.before.valid[0].any()
    assert bare.before.valid[4:-4, 4:-4].all()
    both = bare.before.valid
    full = simulate_pair(ground, grid, motion).before.pixels
    # splines reach past the frame, faintly
    assert torch.allclose(full[:, both], bare.before.pixels[:, both], atol=2e-3)


def test_the_two_images_have_noise_of_their_own(ground):
    noisy = replace(ground, sensor=Sensor(noise=0.01, shot=0.0))
    reach = noisy.sensor.margin_px(ground.density)  # of both images as many pixels are seen then
    grid = Grid(114 - 2 * reach, 144 - 2 * reach, Affine.identity())
    still = even_motion(grid, 0.0, 0.0)
    clean = simulate_pair(ground, grid, still)
    pair = simulate_pair(noisy, grid, still)
    first, second = (getattr(pair, date).pixels - getattr(clean, date).pixels for date in ("before", "after"))
    assert 0.0095 < float(first.std()) < 0.0105
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.05


def test_ground_or_motion_of_another_size_is_refused(ground):
    grid = GRIDS["north up"]
    motion = even_motion(grid, 0.0, 0.0)
    odd = replace(ground, before=ground.before[:, :-2], after=ground.after[:, :-2])
    with pytest.raises(InputError, match=r"114 x 143 px does not fit a grid of 90 x 120"):
        simulate_pair(odd, grid, motion)
    smaller = grid.crop(0, 0, 80, 110)
    less = replace(ground, before=ground.before[:-20, :-20], after=ground.after[:-20, :-20])
    with pytest.raises(InputError, match="compute it on this grid"):
        simulate_pair(less, smaller, motion)
