"""The folder of a working store: whose it is, what may be done with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from terrashift.errors import OutputError
from terrashift.io.store import TileStore
from terrashift.io.store_folder import discard, work_folder

SHAPE, SIDE = (37, 53), 16
KEY = {"recipe": {"window_px": 32, "method": "frequency"}, "inputs": ["abc", "def"]}


def open_store(folder: Path, resume: bool = False, **changes) -> TileStore:
    return TileStore.open(folder, SHAPE, SIDE, KEY | changes, resume=resume)


def test_the_work_folder_lies_beside_the_output():
    assert work_folder("a/field.tif") == Path("a/field.tif.terrashift-work")


def test_an_unfinished_run_is_neither_resumed_nor_lost_unasked(tmp_path: Path):
    open_store(tmp_path / "w").close()
    with pytest.raises(OutputError, match="keeps an unfinished run: pass --resume to go on with it, or --overwrite"):
        open_store(tmp_path / "w")
    with open_store(tmp_path / "w", resume=True) as store:
        assert store.done() == set()


def test_another_run_is_refused_with_what_differs(tmp_path: Path):
    open_store(tmp_path / "w").close()
    recipe = {"window_px": 64, "method": "frequency", "step_px": 4}
    for resume in (True, False):
        with pytest.raises(OutputError) as caught:
            open_store(tmp_path / "w", resume=resume, recipe=recipe, inputs=("abc", "xyz"))
        text = str(caught.value)
        assert "recipe.window_px: 32 then, 64 now" in text
        assert "recipe.step_px: null then, 4 now" in text
        assert 'inputs: ["abc", "def"] then, ["abc", "xyz"] now' in text
        assert "method" not in text
        assert "--overwrite to start again" in text
    with pytest.raises(OutputError, match="tile: 16 then, 8 now"):
        TileStore.open(tmp_path / "w", SHAPE, 8, KEY, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(OutputError, match="left alone"):
        discard(folder)
    with pytest.raises(OutputError, match="holds files of something else"):
        open_store(folder)
    assert (folder / "cat.jpg").read_bytes() == b"cat"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    with pytest.raises(OutputError, match=r"cannot write .*none/w: "):
        open_store(tmp_path / "none" / "w")


def test_a_removal_cut_short_leaves_no_finished_tiles(tmp_path: Path):
    with open_store(tmp_path / "w") as store:
        store.write(next(store.tiles()), torch.zeros(6, SIDE, SIDE))
    (tmp_path / "w" / "manifest.json").unlink()
    with open_store(tmp_path / "w", resume=True) as store:
        assert store.done() == set()


def test_what_an_earlier_run_left_is_discarded_and_nothing_is_no_fault(tmp_path: Path):
    open_store(tmp_path / "w").close()
    discard(tmp_path / "w")
    discard(tmp_path / "w")
    assert os.listdir(tmp_path) == []
