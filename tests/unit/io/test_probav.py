"""The reader of the PROBA-V challenge's folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from probav_scenes import write_data, write_png, write_scene

from terrashift.errors import InputError
from terrashift.io.probav import find_scenes, read_norm, read_scene, read_scenes


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
