"""The cut never shows: any tile size and any number of threads give the same bits as the whole image at once."""

from __future__ import annotations

import math

import pytest
import torch
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_estimator import MemoryStore, Tiny, pair_of

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.consistency import WithBackward
from terrashift.resources import RunOptions
from terrashift.runner import run_tiles

SEARCH = Search(centre=(1, 0), radius=(2, 3))
GRIDS = {
    "projected": Grid(70, 53, Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32631"),
    "rotated": Grid(41, 66, Affine.translation(1e5, 2e5) @ Affine.rotation(30) @ Affine.scale(2, -3), "EPSG:32631"),
    "no CRS": Grid(45, 60, Affine.scale(3, -2)),
    "geographic": Grid(64, 37, Affine(1e-4, 0, 12, 0, -1e-4, 60), "EPSG:4326", geographic=True),
    "geographic rotated": Grid(
        50, 37, Affine.translation(12, 60) @ Affine.rotation(20) @ Affine.scale(1e-4, -1e-4), "EPSG:4326", 1.0, True
    ),
}


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """NaN equals NaN here, and 0 does not equal -0."""
    return bool((a.contiguous().view(torch.int32) == b.contiguous().view(torch.int32)).all())


def tiled(estimator, source, **options) -> torch.Tensor:
    store = MemoryStore()
    run_tiles(estimator, source, SEARCH, store, RunOptions(**options))
    return store.whole(source.grid, estimator.step_px)


def whole(estimator, source) -> torch.Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    flow = measure_whole(estimator, source, SEARCH)
    torch.set_num_threads(before)
    return DisplacementField.from_flow(flow, source.grid, estimator.step_px).stack()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("step", [1, 2, 4])
def test_tiles_and_threads_leave_no_trace(grid, step):
    estimator, source = Tiny(step_px=step), pair_of(grid)
    expected = whole(estimator, source)
    assert expected.isfinite().float().mean() > 0.3
    for tile_px in (1, 16, 17, 48, 4096):
        for threads in (1, 2, 3):
            assert same_bits(tiled(estimator, source, tile_px=tile_px, threads=threads), expected)


def test_tiles_leave_no_trace_with_the_backward_check():
    source = pair_of(GRIDS["projected"])
    estimator = WithBackward(Tiny(step_px=2), 0.5)
    expected = whole(estimator, source)
    assert same_bits(tiled(estimator, source, tile_px=16, threads=2), expected)
    assert same_bits(tiled(estimator, source, tile_px=32, threads=3), expected)


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    step=st.sampled_from([1, 2, 4]),
    tile_px=st.integers(1, 80),
)
def test_any_shape_is_covered_once(height, width, step, tile_px):
    grid = Grid(height, width, Affine.scale(1, -1))
    assume(0 not in grid.every(step).shape)
    estimator = Tiny(step_px=step, window_px=3)
    source = pair_of(grid, hole=False)
    assert same_bits(tiled(estimator, source, tile_px=tile_px, threads=1), whole(estimator, source))


def test_a_tile_of_a_geographic_field_has_the_metres_of_its_own_latitude():
    grid = Grid(4000, 3, Affine(0.01, 0, 0, 0, -0.01, 80), "EPSG:4326", geographic=True)
    source = pair_of(grid, move=(1, 0), hole=False)
    values = tiled(Tiny(), source, tile_px=1024, threads=2)
    assert values.shape == (6, 4000, 3)
    flow = torch.zeros(2, 2, 3)
    flow[0] = 1
    east, _ = grid.to_metres(flow, first_row=2000)
    assert math.isclose(float(east[0, 0]), 1113.2 * math.cos(math.radians(80 - 20.0)), rel_tol=3e-3)
