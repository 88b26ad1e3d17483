"""The crew of a run: failures, interruption, resuming, progress."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from affine import Affine
from tiny_estimator import MemoryStore, Tiny, pair_of

from terrashift.core.grid import Grid
from terrashift.errors import IncompleteError, OutputError
from terrashift.estimators.base import Search
from terrashift.resources import RunOptions
from terrashift.runner import run_tiles

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
