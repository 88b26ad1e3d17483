"""The reader of the PROBA-V challenge's folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from probav_scenes import write_data, write_png, write_references, write_scene

from terrashift.errors import InputError
from terrashift.io.probav import find_scenes, read_norm, read_references, read_scene, read_scenes


def test_scenes_are_read_with_masks_truth_and_baseline(tmp_path: Path):
    root = write_data(tmp_path / "probav")
    scenes = list(read_scenes(root))
    assert [(s.name, s.band, s.baseline) for s in scenes] == [
        ("imgset0001", "NIR", 46.5),
        ("imgset0002", "NIR", 47.5),
        ("imgset0000", "RED", 45.5),
    ]
    one = scenes[0]
    assert one.frames.shape == (6, 40, 40)
    assert one.truth is not None
    assert one.clear is not None
    assert one.truth.shape == one.clear.shape == (120, 120)
    assert one.clearance[0] == 1
    assert np.isnan(one.frames[2, 8:14, 5:15]).all()
    assert np.nanmax(one.frames) < 16000  # what the masks hide
    assert not one.clear[:10, :30].any()
    assert one.clear[10:].all()
    coarse = one.truth.reshape(40, 3, 40, 3).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), one.frames[0].ravel())[0, 1] > 0.9


def test_one_scene_alone_and_one_without_truth_are_read(tmp_path: Path):
    write_scene(tmp_path / "imgset0007", truth=False)
    (scene,) = read_scenes(tmp_path / "imgset0007")
    assert (scene.truth, scene.clear, scene.baseline) == (None, None, None)


def test_norms_are_read_whatever_parts_their_columns(tmp_path: Path):
    path = tmp_path / "norm.csv"
    path.write_text("imgset;norm\nimgset0000;45.5\nimgset0001,46\n\nimgset0002 47.25\n")
    assert read_norm(path) == {"imgset0000": 45.5, "imgset0001": 46.0, "imgset0002": 47.25}
    path.write_text("imgset0000 45.5\nimgset0001 much\n")
    with pytest.raises(InputError, match=r"line 2 .*not a scene and its score"):
        read_norm(path)


def test_damaged_frames_are_left_out(tmp_path: Path):
    write_scene(tmp_path / "imgset0000")
    bad = np.full((40, 40), 65000, np.uint16)
    write_png(tmp_path / "imgset0000" / "LR001.png", bad)
    assert len(read_scene(tmp_path / "imgset0000").frames) == 5
    for k in range(6):
        write_png(tmp_path / "imgset0000" / f"LR{k:03d}.png", bad)
    with pytest.raises(InputError, match="no brightness"):
        read_scene(tmp_path / "imgset0000")


def test_what_is_missing_or_of_another_size_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="is no folder"):
        find_scenes(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no scene"):
        find_scenes(tmp_path)
    scene = tmp_path / "imgset0000"
    write_scene(scene)
    (scene / "QM002.png").unlink()
    with pytest.raises(InputError, match=r"QM002.png is missing"):
        read_scene(scene)
    write_png(scene / "QM002.png", np.ones((39, 40), np.uint8))
    with pytest.raises(InputError, match="not one scene"):
        read_scene(scene)
    write_png(scene / "QM002.png", np.ones((40, 40), np.uint8))
    write_png(scene / "HR.png", np.ones((100, 120), np.uint16))
    with pytest.raises(InputError, match="three times the frames"):
        read_scene(scene)
    (scene / "LR003.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="not a raster"):
        read_scene(scene)


def test_the_frame_of_the_truth_is_read_where_proba_v_ref_tells_it(tmp_path: Path):
    root = write_data(tmp_path / "probav")
    write_png(root / "train" / "NIR" / "imgset0002" / "LR001.png", np.full((40, 40), 65000, np.uint16))
    told = {("NIR", "imgset0001"): "003", ("NIR", "imgset0002"): "001", ("RED", "imgset0009"): "001"}
    references = read_references(write_references(tmp_path / "reference.json", told))
    assert references == told
    scenes = {scene.name: scene for scene in read_scenes(root, references)}
    assert scenes["imgset0001"].reference == 3
    assert scenes["imgset0001"].numbers == ("000", "001", "002", "003", "004", "005")
    assert scenes["imgset0002"].numbers == ("000", "002", "003", "004", "005")
    assert scenes["imgset0002"].reference is None  # a damaged frame
    assert scenes["imgset0000"].reference is None  # not told
    after_a_gap = read_scene(root / "train" / "NIR" / "imgset0002", reference="004")
    assert after_a_gap.reference == 3  # of those that are left


@pytest.mark.parametrize(
    "text",
    ["no json", "[1]", '{"NIR": 3}', '{"NIR": {"imgset0000": "001"}}', '{"NIR": {"imgset0000": {"reference": 1}}}',
     '{"NIR": {"imgset0000": {"reference": "../1"}}}', '{"NIR": {"here": {"reference": "001"}}}'],
)  # fmt: skip
def test_what_is_no_file_of_references_is_refused(text: str, tmp_path: Path):
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"is not PROBA-V-REF's reference.json"):
        read_references(path)
    with pytest.raises(InputError, match=r"is not PROBA-V-REF's reference.json"):
        read_references(tmp_path / "nowhere.json")


def test_a_reference_that_a_scene_never_had_is_refused(tmp_path: Path):
    write_scene(tmp_path / "imgset0000")
    with pytest.raises(InputError, match="has no frame 017"):
        read_scene(tmp_path / "imgset0000", reference="017")
