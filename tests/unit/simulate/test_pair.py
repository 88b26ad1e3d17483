"""Truth holds on the grid of `before`, with its sign, on any grid."""

from __future__ import annotations

import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.ops.warp import warp
from terrashift.simulate.pair import simulate_pair, to_pixels
from terrashift.simulate.rupture import Displacement, Rupture, displacement
from terrashift.simulate.scene import Scene, procedural_scene

ORIGIN = Affine.translation(500000, 4000000)
GRIDS = {
    "north up": Grid(90, 120, ORIGIN @ Affine.scale(10, -10), "EPSG:32633"),
    "south up, not square": Grid(90, 120, ORIGIN @ Affine.scale(10, 15), "EPSG:32633"),
    "rotated": Grid(90, 120, ORIGIN @ Affine.rotation(25) @ Affine.scale(10, -10), "EPSG:32633"),
    "degrees": Grid(90, 120, Affine(1e-4, 0, 13, 0, -1e-4, 60), "EPSG:4326", geographic=True),
    "no CRS": Grid(90, 120, Affine.identity()),
}


@pytest.fixture(scope="module")
def scene():
    drawn = procedural_scene(90 + 24, 120 + 24, 0)
    return Scene(drawn.before, drawn.before)  # the two dates look the same, so that motion alone remains


def even_motion(grid, east, north):
    ones = torch.ones(grid.shape)
    nothing = torch.zeros(grid.shape, dtype=torch.bool)
    return Displacement(east * ones, north * ones, nothing, torch.zeros(0, 2), torch.zeros(0))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_pixels_turn_back_into_the_metres_that_they_came_from(grid):
    motion = displacement(grid, Rupture(slip_m=20), 0)
    flow = to_pixels(grid, motion.east, motion.north)
    back = grid.to_metres(flow)
    assert torch.allclose(back[0], motion.east, atol=1e-4)
    assert torch.allclose(back[1], motion.north, atol=1e-4)


def test_ground_that_went_south_east_lies_lower_right_in_after(scene):
    grid = GRIDS["north up"]
    pair = simulate_pair(scene, grid, even_motion(grid, 30.0, -20.0))
    assert torch.allclose(pair.flow, torch.tensor([3.0, 2.0])[:, None, None].expand(2, *grid.shape))
    before, after = pair.before.pixels[0], pair.after.pixels[0]
    assert torch.equal(before[:-2, :-3], after[2:, 3:])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_after_warped_back_by_the_truth_lies_on_before(scene, grid):
    scale = 1 if grid.crs is None else 10
    motion = displacement(grid, Rupture(slip_m=2.5 * scale, strike_deg=50), 1)
    pair = simulate_pair(scene, grid, motion)
    back = warp(pair.after.pixels[None], pair.flow[None], "sinc")[0, 0]
    seen = back.isfinite()
    assert seen[10:-10, 10:-10].all()  # the reach of the interpolation and the motion
    error = (back - pair.before.pixels[0])[seen].abs().max()
    unmoved = (pair.after.pixels - pair.before.pixels).abs().mean()
    assert error < 1e-5
    assert unmoved > 0.005


def test_a_margin_around_the_scene_leaves_no_gap_and_none_leaves_a_frame(scene):
    grid = GRIDS["north up"]
    motion = even_motion(grid, 5.0, 5.0)
    assert simulate_pair(scene, grid, motion).before.valid.all()
    inner = Scene(*(image[:, 12:-12, 12:-12] for image in scene))
    bare = simulate_pair(inner, grid, motion)
    assert bare.after.valid.all()
    assert not bare.before.valid[0].any()
    assert bare.before.valid[8:-8, 8:-8].all()
    both = bare.before.valid
    assert torch.equal(simulate_pair(scene, grid, motion).before.pixels[:, both], bare.before.pixels[:, both])


def test_a_scene_or_motion_of_another_size_is_refused(scene):
    grid = GRIDS["north up"]
    motion = even_motion(grid, 0.0, 0.0)
    odd = Scene(*(image[:, :-1] for image in scene))
    with pytest.raises(InputError, match=r"113 x 144 px does not fit a grid of 90 x 120"):
        simulate_pair(odd, grid, motion)
    smaller = grid.crop(0, 0, 80, 110)
    with pytest.raises(InputError, match="compute it on this grid"):
        simulate_pair(Scene(*(image[:, :-10, :-10] for image in scene)), smaller, motion)
