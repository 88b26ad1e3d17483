"""The runner: both passes, tile by tile."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from affine import Affine
from tiny_estimator import MemoryStore, Tiny, pair_of

from terrashift import runner
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import IncompleteError, OptionError
from terrashift.estimators.base import Search
from terrashift.io.sinks import MemorySink, StoredFlow
from terrashift.regularise.blocks import regularise_whole
from terrashift.regularise.quadratic import Quadratic
from terrashift.resources import RunOptions
from terrashift.runner import Ground, run_regularise, run_tiles

GRID = Grid(64, 48, Affine.scale(10, -10), "EPSG:32631")
SEARCH = Search(radius=(2, 2))
SMALL = RunOptions(tile_px=16, threads=2)


def test_ctrl_c_drops_a_running_tile_at_its_next_block():
    calls = []

    class Slow(Tiny):
        def __call__(self, before, after, search):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            return super().__call__(before, after, search)

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt, match="0 of 1 tiles"):
        run_tiles(Slow(), pair_of(GRID), SEARCH, store, RunOptions(tile_px=64, threads=1))
    assert store.tiles == {}
    assert len(calls) < 12, "all twelve blocks of the tile were measured first"


def measured_flow() -> StoredFlow:
    """The flow of the pair, as a first pass keeps it."""
    sink = MemorySink.of(GRID)
    run_tiles(Tiny(), pair_of(GRID), SEARCH, sink, SMALL, in_pixels=True)
    return StoredFlow(sink)


def test_a_first_pass_keeps_pixels_from_which_the_metres_come():
    metres = MemorySink.of(GRID)
    run_tiles(Tiny(), pair_of(GRID), SEARCH, metres, SMALL)
    flow = measured_flow().read(slice(0, 64), slice(0, 48))
    assert flow.reasons.dtype == torch.uint8
    assert flow.xy[0].nanmedian() == pytest.approx(1, abs=0.2)
    again = Ground(GRID, 1).bands(flow, (slice(0, 64), slice(0, 48)))
    torch.testing.assert_close(again, metres.values, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_second_pass_is_the_smoothing_of_the_whole_block_by_block(monkeypatch, threads):
    monkeypatch.setattr(runner, "BLOCK", 16)
    source, sink = measured_flow(), MemorySink.of(GRID)
    narrow = Quadratic(reach=0.3)  # so that no block sees the whole field
    run_regularise(narrow, source, Ground(GRID, 1), sink, RunOptions(threads=threads))
    flow = regularise_whole(narrow, source.read(slice(0, 64), slice(0, 48)), side=16)
    expected = DisplacementField.from_flow(flow, GRID, 1).stack()
    torch.testing.assert_close(sink.values, expected, rtol=0, atol=0, equal_nan=True)
    assert expected.isnan().any()


def test_a_block_that_cannot_be_smoothed_does_not_stop_the_others_and_is_tried_again(monkeypatch):
    monkeypatch.setattr(runner, "BLOCK", 16)
    source, store, seen = measured_flow(), MemoryStore(), []
    real = runner.regularise_tile

    def once(regulariser, source, core, *more):
        if core == (slice(16, 32), slice(0, 16)) and not seen.append(core) and len(seen) == 1:
            raise ArithmeticError("the window is haunted")
        return real(regulariser, source, core, *more)

    monkeypatch.setattr(runner, "regularise_tile", once)
    arguments = Quadratic(), source, Ground(GRID, 1), store, SMALL
    with pytest.raises(IncompleteError, match=r"1 of 12 tiles of the smoothing failed[\s\S]*1\.0: .*haunted"):
        run_regularise(*arguments)
    assert len(store.tiles) == 11
    run_regularise(*arguments)
    assert len(seen) == 2
    assert len(store.tiles) == 12


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_asking_for_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(OptionError, match="no GPU"):
        run_tiles(Tiny(), pair_of(GRID), SEARCH, MemoryStore(), RunOptions(device="cuda"))
