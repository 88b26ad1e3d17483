"""The runner: memory, failures, interruption, resuming."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch
from affine import Affine
from tiny_estimator import MemoryStore, Tiny, pair_of

from terrashift import runner
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import IncompleteError, OptionError, OutputError
from terrashift.estimators.base import Search
from terrashift.io.sinks import MemorySink, StoredFlow
from terrashift.regularise.blocks import regularise_whole
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv
from terrashift.runner import (
    RESERVE_BYTES,
    Ground,
    RunOptions,
    count_workers,
    parse_bytes,
    require_regularise_memory,
    resident_bytes,
    run_regularise,
    run_tiles,
)

GRID = Grid(64, 48, Affine.scale(10, -10), "EPSG:32631")
SEARCH = Search(radius=(2, 2))
SMALL = RunOptions(tile_px=16, threads=2)


class Failing(Tiny):
    """Raises on the call after `after` calls."""

    def __init__(self, act, at):
        super().__init__()
        object.__setattr__(self, "act", act)
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "calls", [])

    def __call__(self, before, after, search):
        self.calls.append(1)
        if len(self.calls) in self.at:
            self.act()
        return super().__call__(before, after, search)


def boom():
    raise ArithmeticError("the window is haunted")


@pytest.mark.parametrize(
    ("text", "size"),
    [("3GiB", 3 << 30), ("800MB", 800_000_000), ("2.5 g", 5 << 29), ("1024", 1024), ("1kib", 1024)],
)
def test_sizes_in_memory_are_read_with_their_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["lots", "3 XB", "-1GB", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="number and a unit"):
        parse_bytes(text)


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(OptionError, match=r"--max-memory 100MB is too little.*Give it \d+MiB or more"):
        count_workers(Tiny(), SEARCH, 64**2, RunOptions(max_memory="100MB"))


def test_more_memory_allows_more_threads_up_to_what_was_asked():
    class Big(Tiny):
        def memory(self, search):
            return 1 << 30

    few = count_workers(Big(), SEARCH, 256, RunOptions(max_memory="5GiB", threads=64))
    many = count_workers(Big(), SEARCH, 256, RunOptions(max_memory="20GiB", threads=64))
    assert 1 <= few <= 4
    assert few < many <= 19
    assert count_workers(Big(), SEARCH, 256, RunOptions(max_memory="20GiB", threads=2)) == 2


def test_the_tile_is_a_whole_number_of_blocks():
    assert RunOptions(tile_px=17).tile_side(Tiny(step_px=2), GRID) == 16
    assert RunOptions().tile_side(Tiny(), GRID) == 16
    assert RunOptions().tile_side(Tiny(), Grid(20000, 100, Affine.identity())) == 1024


def test_a_failing_tile_does_not_stop_the_others_and_is_tried_again():
    store, source = MemoryStore(), pair_of(GRID)
    with pytest.raises(IncompleteError, match=r"2 of 12 tiles failed") as raised:
        run_tiles(Failing(boom, {3, 5}), source, SEARCH, store, SMALL)
    assert "ArithmeticError: the window is haunted" in str(raised.value)
    assert "--resume" in str(raised.value)
    assert len(store.tiles) == 10
    again = Failing(boom, set())
    run_tiles(again, source, SEARCH, store, SMALL)
    assert len(again.calls) == 2
    assert len(store.tiles) == 12


def test_a_full_disk_ends_the_run_at_once():
    class Full(MemoryStore):
        def write(self, tile, values):
            raise OutputError("no space left")

    estimator = Failing(boom, set())
    with pytest.raises(OutputError, match="no space left"):
        run_tiles(estimator, pair_of(GRID), SEARCH, Full(), RunOptions(tile_px=16, threads=1))
    assert len(estimator.calls) < 12


def test_ctrl_c_keeps_the_finished_tiles_and_drops_the_running_ones():
    def interrupt():  # to the process, as a terminal does: only the main thread can act on it
        os.kill(os.getpid(), signal.SIGINT)

    store = MemoryStore()
    estimator = Failing(interrupt, {6})
    with pytest.raises(KeyboardInterrupt, match=r"of 12 tiles are finished and kept.*--resume"):
        run_tiles(estimator, pair_of(GRID), SEARCH, store, RunOptions(tile_px=16, threads=1))
    assert 4 <= len(store.tiles) < 12
    run_tiles(Tiny(), pair_of(GRID), SEARCH, store, SMALL)
    assert len(store.tiles) == 12


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


def test_progress_counts_every_tile_once_from_the_calling_thread():
    seen = []

    def progress(done, total):
        assert threading.current_thread() is threading.main_thread()
        seen.append((done, total))

    run_tiles(Tiny(), pair_of(GRID), SEARCH, MemoryStore(), SMALL, progress)
    assert seen == [(n, 12) for n in range(13)]


def test_torch_threads_are_given_back():
    before = torch.get_num_threads()
    run_tiles(Tiny(), pair_of(GRID), SEARCH, MemoryStore(), SMALL)
    assert torch.get_num_threads() == before


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
            boom()
        return real(regulariser, source, core, *more)

    monkeypatch.setattr(runner, "regularise_tile", once)
    arguments = Quadratic(), source, Ground(GRID, 1), store, SMALL
    with pytest.raises(IncompleteError, match=r"1 of 12 tiles of the smoothing failed[\s\S]*1\.0: .*haunted"):
        run_regularise(*arguments)
    assert len(store.tiles) == 11
    run_regularise(*arguments)
    assert len(seen) == 2
    assert len(store.tiles) == 12


def test_a_smoothing_that_will_not_fit_is_refused_with_what_it_needs():
    wide = 4000, 4000
    options = RunOptions(max_memory=f"{resident_bytes() + RESERVE_BYTES + (300 << 20)}B", tile_px=16)
    require_regularise_memory(Quadratic(), wide, options)
    with pytest.raises(OptionError, match=r"too little.*one tile (\d+) MiB.*a weaker --regularize"):
        require_regularise_memory(Tv(strength_px=5), wide, options)
    require_regularise_memory(Tv(strength_px=5), (64, 48), options)
    with pytest.raises(OptionError, match="a smaller --tile-px"):
        require_regularise_memory(Quadratic(), wide, options.model_copy(update={"tile_px": 2000}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_asking_for_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(OptionError, match="no GPU"):
        run_tiles(Tiny(), pair_of(GRID), SEARCH, MemoryStore(), RunOptions(device="cuda"))
