"""PROBA-V scenes in one file: what went in comes out, whatever is damaged is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrashift.errors import InputError
from terrashift.io.packed_scenes import FORMAT, PackedScene, SceneArchive, held_apart, holds_scenes
from terrashift.io.probav import Scene


def scene(name: str = "imgset0000", band: str = "NIR", truth: bool = True, seed: int = 0) -> Scene:
    """Two frames of 5 x 7 px with the largest and smallest numbers, some masked."""
    random = np.random.default_rng(seed)
    frames = random.integers(0, 60001, (2, 5, 7)).astype(np.float32)
    frames[0, 0, :2] = 0, 60000
    frames[1, 2:4, 3:] = np.nan
    fine = random.integers(0, 65536, (15, 21)).astype(np.float32) if truth else None
    clear = random.random((15, 21)) < 0.7 if truth else None
    return Scene(name, band, frames, fine, clear, 45.5 if truth else None, ("000", "003"), 1 if truth else None)


def packed(*scenes: Scene) -> SceneArchive:
    return SceneArchive(tuple(PackedScene.of(one, 0, [(0.0, 0.0), (0.25, -1.5)], [True, True]) for one in scenes))


def test_scenes_come_out_as_they_went_in(tmp_path: Path):
    both = scene(), scene("imgset0007", "RED", truth=False, seed=1)
    packed(*both).save(tmp_path / "a.tsi")
    found = SceneArchive.load(tmp_path / "a.tsi")
    for one, told in zip(found.scenes, both, strict=True):
        again = one.scene
        np.testing.assert_array_equal(again.frames, told.frames)
        for part in ("truth", "clear"):
            np.testing.assert_array_equal(getattr(again, part), getattr(told, part))
        for part in ("name", "band", "baseline", "numbers", "reference"):
            assert getattr(again, part) == getattr(told, part)
    assert found.scenes[0].facts.shifts == ((0.0, 0.0), (0.25, -1.5))
    assert found.bands == {"NIR": 1, "RED": 1}
    assert [one.facts.name for one in found.only(()).scenes] == ["imgset0000"]
    assert found.only(("RED",)).scenes == ()


def test_the_same_scenes_give_the_same_bytes(tmp_path: Path):
    for name in "ab":
        packed(scene()).save(tmp_path / f"{name}.tsi")
    assert (tmp_path / "a.tsi").read_bytes() == (tmp_path / "b.tsi").read_bytes()


def test_shifts_to_another_frame_follow_from_those_to_the_clearest():
    one = packed(scene()).scenes[0]
    np.testing.assert_allclose(one.shifts_to(0), [[0, 0], [0.25, -1.5]])
    np.testing.assert_allclose(one.shifts_to(1), [[-0.25, 1.5], [0, 0]])
    assert (one.facts.home(), one.facts.home(known=True)) == (0, 1)
    lost = PackedScene.of(scene(), 0, [(0.0, 0.0)] * 2, [True, False])
    assert lost.facts.home(known=True) == 0


@given(count=st.integers(2, 60), share=st.floats(0.01, 0.9))
def test_no_scene_is_learned_from_and_held_out_and_every_band_has_both(count: int, share: float):
    names = [(band, f"imgset{n:04d}") for band in ("NIR", "RED") for n in range(count)]
    out = held_apart(names, share)
    assert out < set(names)
    assert out == held_apart(reversed(names), share)
    for band in ("NIR", "RED"):
        held = sum(one[0] == band for one in out)
        assert 0 < held < count
        assert abs(held - share * count) <= 1


def test_nothing_is_held_out_of_a_single_scene_or_without_a_share():
    assert held_apart([("NIR", "imgset0000")], 0.5) == set()
    assert held_apart([("NIR", "imgset0000"), ("NIR", "imgset0001")], 0.0) == set()
    halves = packed(*(scene(f"imgset{n:04d}") for n in range(5))).parted(0.4)
    learned, held = ({one.facts.name for one in half.scenes} for half in halves)
    assert (len(learned), len(held)) == (3, 2)
    assert not learned & held


def rewritten(path: Path, change: Any) -> None:
    """The file with another index."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    index = json.loads(members["index.json"])
    change(index)
    members["index.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 6},
        {"height": 10**9},
        {"width": 0},
        {"height": -5, "width": -7},
        {"numbers": ["000"]},
        {"numbers": ["000", "../evil"]},
        {"shifts": [[0, 0], [float("nan"), 0]]},
        {"shifts": [[0, 0]]},
        {"clearest": 2},
        {"clearest": -1},
        {"reference": 5},
        {"matched": [False, True]},
        {"name": "../evil"},
        {"band": "a/b"},
        {"baseline": float("inf")},
        {"truth": False},
        {"unknown": 1},
        {"height": "five"},
    ],
    ids=str,
)
def test_an_index_that_lies_is_refused(change: dict[str, Any], tmp_path: Path):
    path = tmp_path / "a.tsi"
    packed(scene()).save(path)
    rewritten(path, lambda index: index["scenes"][0].update(change))
    with pytest.raises(InputError, match="holds no PROBA-V scenes, or is damaged"):
        SceneArchive.load(path)


def test_what_is_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "a.tsi"
    with pytest.raises(InputError, match="pack the challenge's data first"):
        SceneArchive.load(path)
    assert not holds_scenes(path)
    path.write_bytes(b"no zip file")
    with pytest.raises(InputError, match="is damaged"):
        SceneArchive.load(path)
    assert not holds_scenes(path)
    packed(scene()).save(path)
    assert holds_scenes(path)
    rewritten(path, lambda index: index.update(format="terrashift imagery 1"))
    assert not holds_scenes(path)
    with pytest.raises(InputError, match=f"'terrashift imagery 1', not '{FORMAT}'"):
        SceneArchive.load(path)


def test_a_scene_that_is_listed_twice_is_refused(tmp_path: Path):
    path = tmp_path / "a.tsi"
    packed(scene()).save(path)
    rewritten(path, lambda index: index["scenes"].append(index["scenes"][0]))
    with pytest.raises(InputError, match="lists a scene twice"):
        SceneArchive.load(path)


def test_a_file_that_was_cut_or_changed_is_read_whole_or_refused(tmp_path: Path):
    path = tmp_path / "a.tsi"
    packed(scene()).save(path)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for k in range(60):
        place = int(random.integers(len(good)))
        path.write_bytes(good[:place] if k % 2 else good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        try:
            SceneArchive.load(path)
        except InputError:
            refused += 1
    assert refused > 40
