"""The working store: finished tiles survive whatever ends a run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from terrashift.core.tiles import plan_tiles
from terrashift.errors import OutputError
from terrashift.io.store import TileStore
from terrashift.io.store_folder import discard

SHAPE, SIDE = (37, 53), 16
TILES = list(plan_tiles(SHAPE, SIDE))
KEY = {"recipe": {"window_px": 32, "method": "frequency"}, "inputs": ["abc", "def"]}


def content(tile, shift: float = 0.0) -> torch.Tensor:
    """Six bands of noise with holes that only depend on the tile."""
    rows, columns = (c.stop - c.start for c in tile.core)
    seed = torch.Generator().manual_seed(1000 * tile.row + tile.column)
    values = torch.randn(6, rows, columns, generator=seed) + shift
    values[:4, ::3] = torch.nan
    return values


def open_store(folder: Path, resume: bool = False, **changes) -> TileStore:
    return TileStore.open(folder, SHAPE, SIDE, KEY | changes, resume=resume)


def assert_holds(store: TileStore, tile) -> None:
    torch.testing.assert_close(store.read(tile), content(tile), rtol=0, atol=0, equal_nan=True)


def test_tiles_come_back_exactly(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        assert store.done() == set()
        for tile in TILES:
            store.write(tile, content(tile))
        assert store.done() == {tile.key for tile in TILES}
        for tile in TILES:
            assert_holds(store, tile)


def test_a_tile_without_any_value_is_kept_like_others(tmp_path: Path):
    tile = TILES[-1]
    with open_store(tmp_path / "w") as store:
        store.write(tile, torch.full_like(content(tile), torch.nan))
        assert store.read(tile).isnan().all()


def test_a_run_is_resumed_where_it_ended(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        for tile in TILES[:5]:
            store.write(tile, content(tile))
    with open_store(tmp_path / "w", resume=True) as store:
        assert store.done() == {tile.key for tile in TILES[:5]}
        store.write(TILES[5], content(TILES[5]))
        for tile in TILES[:6]:
            assert_holds(store, tile)
        with pytest.raises(OutputError, match=r"tile 1\.2 of .* is not finished: go on with --resume"):
            store.read(TILES[6])


def test_resume_without_an_earlier_run_starts_one(tmp_path: Path):
    with open_store(tmp_path / "w", resume=True) as store:
        assert store.done() == set()


def test_a_second_run_on_the_same_store_is_refused(tmp_path: Path):
    with open_store(tmp_path / "w"):
        for attempt in (lambda: open_store(tmp_path / "w", resume=True), lambda: discard(tmp_path / "w")):
            with pytest.raises(OutputError, match=f"process {os.getpid()} is working on .*w at this moment"):
                attempt()
    open_store(tmp_path / "w", resume=True).close()


def test_removing_leaves_nothing(tmp_path: Path):
    store = open_store(tmp_path / "w")
    store.write(TILES[0], content(TILES[0]))
    store.remove()
    assert os.listdir(tmp_path) == []


def test_a_damaged_tile_is_noticed(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        store.write(TILES[0], content(TILES[0]))
        chunk = tmp_path / "w" / "field.zarr" / "c" / "0" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-3])
        with pytest.raises(OutputError, match=r"tile 0\.0 in .* is damaged: delete .*0\.0 and pass --resume"):
            store.read(TILES[0])


def filled(folder: Path) -> TileStore:
    store = open_store(folder)
    for tile in TILES:
        store.write(tile, content(tile))
    return store


@pytest.mark.parametrize(
    ("rows", "columns"),
    [((0, 37), (0, 53)), ((16, 32), (32, 48)), ((15, 17), (31, 33)), ((5, 6), (7, 50)), ((30, 37), (40, 53))],
)
def test_a_window_is_the_same_part_of_the_whole_whatever_the_tiles(tmp_path: Path, rows, columns):
    whole = torch.empty(6, *SHAPE)
    for tile in TILES:
        whole[:, *tile.core] = content(tile)
    part = slice(*rows), slice(*columns)
    with filled(tmp_path / "w") as store:
        torch.testing.assert_close(store.window(*part), whole[:, *part], rtol=0, atol=0, equal_nan=True)
    with TileStore.open(tmp_path / "one", SHAPE, 100, KEY) as store:
        store.write(next(store.tiles()), whole)
        torch.testing.assert_close(store.window(*part), whole[:, *part], rtol=0, atol=0, equal_nan=True)


def test_a_window_needs_every_tile_it_touches(tmp_path: Path):
    with filled(tmp_path / "w") as store:
        (tmp_path / "w" / "done" / "1.1").unlink()
        with pytest.raises(OutputError, match=r"tile 1\.1 of .* is not finished"):
            store.window(slice(0, 17), slice(0, 17))
        assert store.window(slice(0, 16), slice(0, 53)).shape == (6, 16, 53)
        chunk = tmp_path / "w" / "field.zarr" / "c" / "0" / "0" / "2"
        chunk.write_bytes(chunk.read_bytes()[::-1])
        with pytest.raises(OutputError, match=r"tile 0\.2 in .* is damaged"):
            store.window(slice(0, 16), slice(0, 53))


def test_a_second_pass_goes_on_where_it_ended_and_goes_with_the_first(tmp_path: Path):
    tiles = list(plan_tiles(SHAPE, 30))
    with filled(tmp_path / "w") as store:
        with store.next_pass(30) as second:
            second.write(tiles[1], content(tiles[1]))
        with store.next_pass(30) as second:
            assert second.done() == {"0.1"}
            assert_holds(second, tiles[1])
            assert [tile.key for tile in second.tiles()] == ["0.0", "0.1", "1.0", "1.1"]
        assert store.done() == {tile.key for tile in TILES}
        store.remove()
    assert os.listdir(tmp_path) == []


def test_a_removal_cut_short_leaves_no_second_pass_for_another_run(tmp_path: Path):
    with filled(tmp_path / "w") as store, store.next_pass(30) as second:
        tile = next(second.tiles())
        second.write(tile, content(tile))
    (tmp_path / "w" / "manifest.json").unlink()
    with open_store(tmp_path / "w", inputs=["other"]) as store, store.next_pass(30) as second:
        assert second.done() == set()


def test_a_second_pass_of_another_run_is_never_taken_over(tmp_path: Path):
    with filled(tmp_path / "w") as store:
        store.next_pass(30).close()
        manifest = tmp_path / "w" / "next-pass" / "manifest.json"
        manifest.write_text(manifest.read_text().replace("frequency", "spatial"))
        with pytest.raises(OutputError, match=r'recipe\.method: "spatial" then, "frequency" now'):
            store.next_pass(30)


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_io_store import TILES, content, open_store
from pathlib import Path

store = open_store(Path(sys.argv[1]), resume=True)
print("ready", flush=True)
while True:
    for tile in TILES:
        store.write(tile, content(tile))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_leaves_only_whole_tiles(tmp_path: Path, seed):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "w"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(OutputError, match=f"process {writer.pid} is working on"):
            open_store(tmp_path / "w", resume=True)
        time.sleep(random.Random(seed).uniform(0.02, 0.2))
        writer.kill()
    with open_store(tmp_path / "w", resume=True) as store:
        for tile in TILES:
            if tile.key in store.done():
                assert_holds(store, tile)
            else:
                store.write(tile, content(tile))
        assert len(store.done()) == len(TILES)


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import torch
from terrashift.core.tiles import plan_tiles
from terrashift.errors import OutputError
from terrashift.io.store import TileStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tiles = list(plan_tiles((8, 200), 100))
store = TileStore.open(Path(sys.argv[1]), (8, 200), 100, {})
store.write(tiles[0], torch.zeros(6, 8, 100))
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    store.write(tiles[1], torch.randn(6, 8, 100))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of file size on Windows")
def test_a_full_disk_keeps_the_tiles_before(tmp_path: Path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "w"), str(Path(__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "the disk is full, or a limit of file size or quota is reached" in run.stdout
    with TileStore.open(tmp_path / "w", (8, 200), 100, {}, resume=True) as store:
        assert store.done() == {"0.0"}
        assert torch.equal(store.read(next(plan_tiles((8, 200), 100))), torch.zeros(6, 8, 100))


def test_reading_options_costs_no_import_of_zarr_or_rasterio():
    modules = "terrashift.io.raster, terrashift.io.cog, terrashift.io.store"
    check = f"import sys, {modules}; print({{'zarr', 'rasterio'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "set()", run.stderr


def test_a_guest_writes_what_the_host_reads(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        guest = TileStore.join(tmp_path / "w", store.admit())
        assert (guest.shape, guest.tile) == (SHAPE, SIDE)
        guest.write(TILES[4], content(TILES[4]))
        assert store.done() == {TILES[4].key}
        assert_holds(store, TILES[4])
        guest.close()
        with pytest.raises(OutputError, match="is working on"):
            open_store(tmp_path / "w", resume=True)


def test_a_guest_is_admitted_by_the_last_ticket_only(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        early = TileStore.join(tmp_path / "w", store.admit())
        late = TileStore.join(tmp_path / "w", store.admit())
        with pytest.raises(OutputError, match="no longer"):
            early.write(TILES[0], content(TILES[0]))
        late.write(TILES[0], content(TILES[0]))
        store.dismiss()
        with pytest.raises(OutputError, match="no longer"):
            late.write(TILES[1], content(TILES[1]))
        with pytest.raises(OutputError, match="no longer"):
            TileStore.join(tmp_path / "w", late.ticket)
        assert store.done() == {TILES[0].key}


def test_opening_a_store_sends_guests_of_earlier_runs_away(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        guest = TileStore.join(tmp_path / "w", store.admit())
        guest.write(TILES[0], content(TILES[0]))
    with open_store(tmp_path / "w", resume=True), pytest.raises(OutputError, match="no longer"):
        guest.write(TILES[1], content(TILES[1]))


def test_a_guest_leaves_a_finished_tile_alone(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        store.write(TILES[0], content(TILES[0]))
        TileStore.join(tmp_path / "w", store.admit()).write(TILES[0], content(TILES[0], shift=1.0))
        assert_holds(store, TILES[0])


def test_there_is_nothing_to_join_where_no_store_is(tmp_path: Path):
    with pytest.raises(OutputError, match="is not to be seen from process"):
        TileStore.join(tmp_path / "w", "x")
