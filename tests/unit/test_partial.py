"""Runs some of whose tiles fail: what is said, what is kept, and what `--allow-partial` writes."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from terrashift import cli
from terrashift.core.reasons import Reason
from terrashift.core.tiles import Tile
from terrashift.errors import IncompleteError
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.search import SearchOptions
from terrashift.io.cog import read_field
from terrashift.io.store import TileStore
from terrashift.io.store_folder import work_folder
from terrashift.losses import FAILED_TILES, Losses
from terrashift.pipeline import measure
from terrashift.recipe import Recipe
from terrashift.regularise.quadratic import Quadratic
from terrashift.resources import RunOptions
from terrashift.watch import Watch

SHAPE = (600, 300)
RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=8),
    search=SearchOptions(search_px=2),
    run=RunOptions(tile_px=64, threads=1, device="cpu"),
)
PARTIAL = RECIPE.model_copy(update={"run": RECIPE.run.model_copy(update={"allow_partial": True})})


@pytest.fixture
def pair(tmp_path) -> tuple[str, str]:
    noise = torch.randn(SHAPE[0] + 1, SHAPE[1], generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.avg_pool2d(noise[None, None], 3, 1, 1)[0, 0].numpy()
    names = []
    for name, part in (("before", smooth[1:]), ("after", smooth[:-1])):  # the ground moves down by one pixel
        path = tmp_path / f"{name}.tif"
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": SHAPE[0], "width": SHAPE[1]}
        place = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6), "blockysize": 1}
        with rasterio.open(path, "w", **profile, **place) as dataset:
            dataset.write((1000 + 200 * part).astype(np.float32), 1)
        names.append(str(path))
    return names[0], names[1]


def bits(path: Path) -> bytes:
    with rasterio.open(path) as dataset:
        return dataset.read().tobytes()


def failing_at(monkeypatch, *calls: int) -> None:
    """Let these blocks fail, counted from 1 in the order in which one thread takes them."""
    real, count = Frequency.__call__, []

    def once(self, before, after, search):
        count.append(1)
        if len(count) in calls:
            raise ArithmeticError("haunted")
        return real(self, before, after, search)

    monkeypatch.setattr(Frequency, "__call__", once)


def test_a_file_cut_off_during_the_run_is_named_and_the_run_goes_on_once_it_is_whole(pair, tmp_path):
    measure(*pair, tmp_path / "whole.tif", RECIPE)
    content = Path(pair[1]).read_bytes()

    def cut(done: int, total: int) -> None:
        if done == 2:
            os.truncate(pair[1], len(content) // 3)

    output = tmp_path / "d.tif"
    with pytest.raises(IncompleteError, match=r"of \d+ tiles failed \(row\.column of the tile: cause\)") as raised:
        measure(*pair, output, RECIPE, watch=Watch(tiles=cut))
    assert not output.exists()
    assert {key.split(".")[0] for key in raised.value.failed} >= {"2"}
    assert all("after.tif" in cause or "Read" in cause for cause in raised.value.failed.values())
    Path(pair[1]).write_bytes(content)
    measure(*pair, output, RECIPE, resume=True)
    assert bits(output) == bits(tmp_path / "whole.tif")


def test_a_partial_result_has_all_that_was_measured_and_says_what_failed(pair, tmp_path, monkeypatch):
    measure(*pair, tmp_path / "whole.tif", RECIPE)
    whole, said = read_field(tmp_path / "whole.tif"), []
    with monkeypatch.context() as patch:
        failing_at(patch, 2)
        summary = measure(*pair, tmp_path / "d.tif", PARTIAL, watch=Watch(warn=said.append))
    found = read_field(tmp_path / "d.tif")
    (failed,) = found.made_by[FAILED_TILES]
    assert failed["cause"] == "ArithmeticError: haunted"
    lost = torch.zeros(found.grid.shape, dtype=torch.bool)
    lost[slice(*failed["rows"]), slice(*failed["columns"])] = True
    assert failed["rows"][0] == 0 < failed["columns"][0]
    assert (found.reasons[lost] == int(Reason.FAILED)).all()
    assert found.east[lost].isnan().all()
    for name in ("east", "north", "score", "reasons"):
        one, other = getattr(found, name)[~lost], getattr(whole, name)[~lost]
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert whole.east[lost].isfinite().any()
    assert len(said) == 1
    assert "1 of " in said[0]
    assert "ArithmeticError: haunted" in said[0]
    assert summary.extra["failed tiles"].startswith("1;")
    assert {cause.name for cause in summary.causes} >= {"FAILED"}
    assert json.loads((tmp_path / "d.json").read_text())["made_by"][FAILED_TILES] == [failed]
    assert not work_folder(tmp_path / "d.tif").exists()


def test_a_smoothed_partial_result_lacks_the_failed_tile_and_no_more(pair, tmp_path, monkeypatch):
    recipe = PARTIAL.model_copy(update={"regularise": Quadratic(fill_px=3)})
    with monkeypatch.context() as patch:
        failing_at(patch, 2)
        measure(*pair, tmp_path / "d.tif", recipe)
    found, plain = read_field(tmp_path / "d.tif"), tmp_path / "plain.tif"
    measure(*pair, plain, recipe)
    lost = (found.reasons & int(Reason.FAILED)) > 0
    (failed,) = found.made_by[FAILED_TILES]
    assert lost.sum() == np.prod([np.diff(failed[axis])[0] for axis in ("rows", "columns")])
    assert torch.equal(found.east.isnan() & ~lost, read_field(plain).east.isnan() & ~lost)


def test_the_exit_code_and_the_list_of_failed_tiles(pair, tmp_path, monkeypatch, capsys):
    text = "--method frequency --window 16 --start-window-px 32 --step 8 --search-px 2 --tile-px 64 --threads 1"
    words = text.split()
    command = ["measure", *pair, "-o", str(tmp_path / "d.tif"), *words, "--device", "cpu"]
    with monkeypatch.context() as patch:
        failing_at(patch, 2)
        assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "0.1: ArithmeticError: haunted" in said
    assert "--resume --allow-partial" in said
    with monkeypatch.context() as patch:
        failing_at(patch, 1)
        assert cli.main([*command, "--resume", "--allow-partial"]) == 0
    page = capsys.readouterr()
    assert "failed and have no value" in page.err
    assert "failed tiles" in page.out


def test_where_every_tile_failed_nothing_is_written(pair, tmp_path, monkeypatch):
    failing_at(monkeypatch, *range(100))
    with pytest.raises(IncompleteError, match="haunted"):
        measure(*pair, tmp_path / "d.tif", PARTIAL)
    assert not (tmp_path / "d.tif").exists()


def test_a_run_that_lost_its_cluster_is_cut_short_and_not_partial(tmp_path):
    losses = Losses(PARTIAL, pytest.fail)
    with TileStore.open(tmp_path / "w", (4, 6), 4, {}) as store:
        with pytest.raises(IncompleteError, match="no worker"), losses.borne(store):
            raise IncompleteError("no worker has been left for long")  # which names no tile
        assert store.done() == set()
    assert losses.tags == {}


def test_a_tile_that_was_given_up_is_tried_again_by_the_next_run(tmp_path):
    key, tile = {"recipe": 1}, Tile(0, 1, (slice(0, 4), slice(4, 6)))
    with TileStore.open(tmp_path / "w", (4, 6), 4, key) as store:
        store.write(Tile(0, 0, (slice(0, 4), slice(0, 4))), torch.zeros(6, 4, 4))
        store.give_up(tile)
        values = store.read(tile)
        assert values[:5].isnan().all()
        assert (values[5] == float(Reason.FAILED)).all()
        store.next_pass(4).close()
    with TileStore.open(tmp_path / "w", (4, 6), 4, key, resume=True) as store:
        assert store.done() == {"0.0"}
        assert not (store.folder / "next-pass").exists()


def test_the_causes_come_along_when_an_error_is_sent_to_another_process():
    error = IncompleteError("2 tiles failed", {"0.0": "cut off", "1.2": "no such file"})
    sent = copy.copy(error)  # as sending does: by what makes the error anew
    assert (str(sent), sent.failed) == ("2 tiles failed", error.failed)
