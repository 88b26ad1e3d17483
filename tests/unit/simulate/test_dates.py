"""Truth of pairs made from real dates: exact, with its sign, on both sides of the trace, whatever the dates' offset."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.core.image import Image
from terrashift.errors import GridMismatchError, InputError
from terrashift.ops.spectral import fourier_shift
from terrashift.ops.warp import warp
from terrashift.simulate import dates
from terrashift.simulate.dates import REACH_PX, DateOptions, pair_from_dates, windows_from_dates
from terrashift.simulate.displacement import Displacement
from terrashift.simulate.misregistration import Misregistration
from terrashift.simulate.pair import to_pixels
from terrashift.simulate.radiometry import OFF, Radiometry
from terrashift.simulate.rupture import Rupture, displacement

ORIGIN = Affine.translation(500000, 4000000)
GRIDS = {
    "north up": Grid(120, 150, ORIGIN @ Affine.scale(10, -10), "EPSG:32633"),
    "south up, not square": Grid(120, 150, ORIGIN @ Affine.scale(10, 15), "EPSG:32633"),
    "rotated": Grid(120, 150, ORIGIN @ Affine.rotation(25) @ Affine.scale(10, -10), "EPSG:32633"),
    "degrees": Grid(120, 150, Affine(1e-4, 0, 13, 0, -1e-4, 60), "EPSG:4326", geographic=True),
    "no CRS": Grid(120, 150, Affine.identity()),
}
PLAIN = GRIDS["north up"]
MARGIN = 24
STILL = Misregistration((0.0, 0.0), (0.0, 0.0), 1.0)
UNTOUCHED = DateOptions(resample="before", offset=STILL, one_date=OFF, one_date_noise=0.0)
SHIFTED = replace(UNTOUCHED, resample="both")


def texture(grid: Grid, seed: int = 0, finest: float = 0.3) -> torch.Tensor:
    """Noise around 1000 without anything finer than `finest` cycles/px; periodic."""
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(grid.shape))
    frequency = torch.hypot(torch.fft.fftfreq(grid.height)[:, None], torch.fft.rfftfreq(grid.width))
    spectrum = torch.fft.rfft2(noise) * (frequency < finest)
    return (1000 + 300 * torch.fft.irfft2(spectrum, s=grid.shape)).float()


def wide(grid: Grid) -> Grid:
    return grid.crop(-MARGIN, -MARGIN, grid.height + 2 * MARGIN, grid.width + 2 * MARGIN)


def image(grid: Grid, seed: int = 0) -> Image:
    return Image(texture(grid, seed)[None], grid)


def even_motion(grid: Grid, x: float, y: float) -> Displacement:
    """Everything moves by (x right, y down) px."""
    east, north = grid.to_metres(torch.tensor([x, y], dtype=torch.float32)[:, None, None].expand(2, *grid.shape))
    return Displacement(east, north, torch.zeros_like(east), torch.zeros(grid.shape, dtype=torch.bool), (), ())


@functools.cache
def rupture(grid: Grid) -> Displacement:
    """A jump of 2.5 px or so across a trace through the middle."""
    return displacement(grid, Rupture(slip_m=25.0 if grid.crs else 2.5, strike_deg=50), 1)


def seen_again(pair) -> torch.Tensor:
    """`after`, brought back by the truth, less `before`."""
    back = warp(pair.after.pixels[None], pair.flow[None], "sinc")[0, 0]
    return (back - pair.before.pixels[0])[REACH_PX + 4 : -REACH_PX - 4, REACH_PX + 4 : -REACH_PX - 4]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("options", [UNTOUCHED, SHIFTED], ids=["before", "both"])
def test_after_at_the_truth_looks_like_before_on_both_sides_of_the_trace(grid, options):
    motion = rupture(grid)
    first = image(wide(grid))
    pair = pair_from_dates(first, first, motion, options, seed=4)
    error = seen_again(pair)
    assert error.isfinite().all()
    assert motion.trace.any()
    assert error.std() < 0.01 * pair.before.pixels.std()
    assert (pair.after.pixels - pair.before.pixels).std() > 0.5 * pair.before.pixels.std()  # it does move
    east, north = grid.to_metres(pair.flow)
    assert torch.equal(pair.east, east)
    assert torch.equal(pair.north, north)


def test_ground_that_went_south_east_lies_lower_right_in_after():
    first = image(wide(PLAIN))
    pair = pair_from_dates(first, first, even_motion(PLAIN, 3, 2), UNTOUCHED)
    assert torch.equal(pair.flow, torch.tensor([3.0, 2.0])[:, None, None].expand(2, *PLAIN.shape))
    before, after = pair.before.pixels[0], pair.after.pixels[0]
    assert torch.equal(before[:-2, :-3], after[2:, 3:])


def test_nothing_moved_gives_both_dates_as_they_are():
    first, second = image(PLAIN, 0), image(PLAIN, 1)
    pair = pair_from_dates(first, second, even_motion(PLAIN, 0, 0), UNTOUCHED)
    assert torch.equal(pair.before.pixels, first.pixels)
    assert torch.equal(pair.after.pixels, second.pixels)
    assert not pair.flow.any()


@pytest.mark.parametrize("frequency", [(0.4, 0.0), (0.0, 0.4), (0.28, 0.28), (0.05, 0.1)])
@pytest.mark.parametrize("options", [UNTOUCHED, SHIFTED], ids=["before", "both"])
def test_a_wave_of_up_to_0_4_cycles_per_px_is_moved_right_to_a_hundredth_of_a_pixel(frequency, options):
    grid = wide(PLAIN)
    row, column = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    turns = 2 * math.pi * (frequency[0] * column + frequency[1] * row)
    first = Image((1000 + 300 * turns.cos())[None].float(), grid)
    window = torch.hann_window(PLAIN.height)[:, None] * torch.hann_window(PLAIN.width)
    wave = window * torch.exp(-1j * turns[MARGIN:-MARGIN, MARGIN:-MARGIN])
    for move in [(0.25, -0.25), (0.5, 0.5), (-1.3, 2.6)]:
        pair = pair_from_dates(first, first, even_motion(PLAIN, *move), options, seed=1)
        phase = [torch.angle(((p.pixels[0] - 1000) * wave).sum()) for p in (pair.before, pair.after)]
        true = 2 * math.pi * (pair.flow[:, 0, 0] * torch.tensor(frequency)).sum()
        wrapped = torch.remainder(phase[0] - phase[1] - true + math.pi, 2 * math.pi) - math.pi
        assert abs(float(wrapped)) / (2 * math.pi * math.hypot(*frequency)) < 0.005


@pytest.mark.parametrize("shift", [(0.37, -0.82), (-1.6, 0.2)])
def test_the_offset_between_the_dates_is_found_and_belongs_to_the_truth(shift):
    grid = Grid(300, 260, PLAIN.transform, PLAIN.crs)
    first = image(grid)
    noise = 60 * torch.randn(grid.shape, generator=torch.Generator().manual_seed(0))
    second = Image(0.8 * fourier_shift(first.pixels, shift) + 50 + noise, grid)
    options = DateOptions(resample="before")
    pair = pair_from_dates(first, second, even_motion(grid, 0.5, 1.5), options)
    assert pair.offset.xy == pytest.approx(shift, abs=0.05)
    assert pair.still == pytest.approx(pair.offset.xy, abs=1e-6)
    assert pair.flow[:, 0, 0].tolist() == pytest.approx([0.5 + shift[0], 1.5 + shift[1]], abs=0.05)
    assert torch.equal(pair.after.pixels, second.pixels)
    assert max(pair.offset.spread) < 0.05


def test_with_both_shifted_the_shifts_are_part_of_the_truth_too():
    known = replace(SHIFTED, offset=Misregistration((0.3, -0.2), (0.0, 0.0), 1.0))
    first = image(wide(PLAIN))
    second = Image(fourier_shift(first.pixels, (0.3, -0.2)), first.grid)
    stills = set()
    for seed in range(3):
        pair = pair_from_dates(first, second, even_motion(PLAIN, 1.1, 0.6), known, seed)
        assert seen_again(pair).std() < 0.01 * first.pixels.std()
        assert max(abs(part) for part in pair.still) <= 1.3
        stills.add(pair.still)
    assert len(stills) == 3


def test_each_image_is_resampled_once(monkeypatch):
    sizes = []

    def counted(row, crops, flow):
        sizes.append(row.numel())
        return original(row, crops, flow)

    original = dates.sample_moved
    monkeypatch.setattr(dates, "sample_moved", counted)
    first, second = image(wide(PLAIN), 0), image(wide(PLAIN), 1)
    pair_from_dates(first, second, even_motion(PLAIN, 0.4, 0.2), SHIFTED)
    assert sizes == [4 * first.pixels.numel()] * 2


def test_fine_texture_keeps_its_strength_in_both_images():
    grid = wide(PLAIN)
    column = torch.arange(grid.width).expand(grid.shape)
    first = Image((1000 + 300 * torch.cos(2 * math.pi * 0.42 * column))[None].float(), grid)
    pair = pair_from_dates(first, first, even_motion(PLAIN, 0.5, 0.5), SHIFTED, seed=2)
    for one in (pair.before, pair.after):
        assert one.pixels.std() / first.pixels.std() == pytest.approx(1, abs=0.01)


def test_a_gap_is_lost_with_the_reach_of_resampling_and_no_more():
    first = image(wide(PLAIN))
    first.pixels[0, MARGIN + 60, MARGIN + 70] = torch.nan
    half = pair_from_dates(first, first, even_motion(PLAIN, 2.5, 0.5), UNTOUCHED)
    lost = (~half.before.valid).nonzero()
    assert lost.amin(0).tolist() == pytest.approx([59.5 - REACH_PX, 67.5 - REACH_PX], abs=1)
    assert lost.amax(0).tolist() == pytest.approx([59.5 + REACH_PX, 67.5 + REACH_PX], abs=1)
    assert (~half.after.valid).nonzero().tolist() == [[60, 70]]
    whole = pair_from_dates(first, first, even_motion(PLAIN, 2, 1), UNTOUCHED)
    assert (~whole.before.valid).nonzero().tolist() == [[59, 68]]
    assert half.flow.isfinite().all()


def test_values_beside_a_gap_are_right_where_there_are_any():
    first = image(wide(PLAIN))
    holed = Image(first.pixels.clone(), first.grid)
    holed.pixels[0, 40:60, 50:90] = torch.nan
    motion = even_motion(PLAIN, 0.5, 0.5)
    good, found = (pair_from_dates(one, one, motion, UNTOUCHED).before.pixels for one in (first, holed))
    assert 1000 < found.isnan().sum() < 2500
    error = (found - good)[found.isfinite()].abs()  # what a gap held is not known: its finest detail is felt from afar
    assert error.max() < 0.1 * first.pixels.std()
    assert error.quantile(0.9) < 0.01 * first.pixels.std()


def test_without_a_margin_an_edge_of_the_motion_and_the_reach_is_missing():
    first = image(PLAIN)
    pair = pair_from_dates(first, first, even_motion(PLAIN, 2.5, 0.5), UNTOUCHED)
    assert pair.before.valid[REACH_PX + 1 : -REACH_PX - 2, REACH_PX + 1 : -REACH_PX - 4].all()
    assert not pair.before.valid[0].any()
    assert not pair.before.valid[:, -REACH_PX - 2 :].any()
    assert pair.after.valid.all()


def test_one_date_is_changed_in_after_and_two_dates_are_not_unless_asked():
    first, second = image(PLAIN, 0), image(PLAIN, 1)
    motion = even_motion(PLAIN, 0, 0)
    alone = pair_from_dates(first, None, motion, DateOptions(resample="before"))
    assert (alone.after.pixels - first.pixels).std() > 0.05 * first.pixels.std()
    assert alone.offset.xy == (0.0, 0.0)
    assert 0 < (alone.before.pixels - first.pixels).std() < 0.06 * first.pixels.std()
    noisy = replace(UNTOUCHED, two_dates=replace(OFF, noise=0.5))
    asked = pair_from_dates(first, second, motion, noisy, seed=3)
    assert torch.equal(asked.before.pixels, first.pixels)
    assert 0 < (asked.after.pixels - second.pixels).std() < 0.6 * first.pixels.std()
    assert asked.after.pixels.mean() == pytest.approx(1000, rel=0.01)


def test_the_same_seed_gives_the_same_pair_and_another_seed_another():
    first, motion = image(PLAIN), even_motion(PLAIN, 0.5, 0)
    one, two, three = (pair_from_dates(first, None, motion, DateOptions(one_date=Radiometry()), s) for s in (1, 1, 2))
    assert torch.equal(one.after.pixels.nan_to_num(), two.after.pixels.nan_to_num())
    assert not torch.equal(one.after.pixels.nan_to_num(), three.after.pixels.nan_to_num())
    assert one.still != three.still


@pytest.mark.parametrize("options", [UNTOUCHED, SHIFTED], ids=["before", "both"])
def test_windows_move_by_the_flow_asked_for_whatever_the_offset_of_the_dates(options):
    first = image(wide(PLAIN))
    second = Image(fourier_shift(first.pixels, (0.3, -0.6)), first.grid)
    known = replace(options, offset=Misregistration((0.3, -0.6), (0.0, 0.0), 1.0))
    corners = torch.tensor([[20, 30], [60, 90], [41, 52]])
    flow = torch.tensor([[0.7, -0.4], [0.0, 1.0], [-0.9, 0.3]])[:, :, None, None].expand(3, 2, 64, 64)
    windows = windows_from_dates((first, second), corners, flow, known, seed=5)
    back = warp(windows.after[:, None], flow, "sinc")[:, 0]
    error = (back - windows.before)[:, 10:-10, 10:-10]
    assert error.std() < 0.01 * first.pixels.std()
    assert (windows.after - windows.before).std() > 0.3 * first.pixels.std()


def test_what_cannot_be_used_is_refused():
    first, motion = image(PLAIN), even_motion(PLAIN, 1, 0)
    with pytest.raises(GridMismatchError, match="put them on one grid first"):
        pair_from_dates(first, image(GRIDS["rotated"]), motion)
    with pytest.raises(InputError, match="an image of 3 bands"):
        pair_from_dates(Image(first.pixels.expand(3, -1, -1), PLAIN), None, motion)
    with pytest.raises(InputError, match="holds no data at all"):
        pair_from_dates(Image(torch.full_like(first.pixels, torch.nan), PLAIN), None, motion)
    with pytest.raises(InputError, match="is 7 everywhere"):
        pair_from_dates(first, Image(torch.full_like(first.pixels, 7.0), PLAIN), motion)
    with pytest.raises(InputError, match=r"a motion of 120 x 150 px does not fit images of 120 x 149"):
        pair_from_dates(image(PLAIN.crop(0, 0, 120, 149)), None, motion)
    with pytest.raises(InputError, match="match nowhere"):
        pair_from_dates(first, image(PLAIN, 9), motion, DateOptions())


def test_the_flow_is_the_motion_in_pixels():
    grid = GRIDS["degrees"]
    motion = rupture(grid)
    pair = pair_from_dates(image(grid), None, motion, UNTOUCHED)
    assert torch.equal(pair.flow, to_pixels(grid, motion.east, motion.north))
    assert torch.allclose(pair.east, motion.east, atol=1e-4)
