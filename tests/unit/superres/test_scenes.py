"""Scenes of the PROBA-V challenge: registered when packed, prepared as for sharpening."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_bursts import SHIFTS
from probav_scenes import write_data, write_references, write_scene

from terrashift.errors import InputError
from terrashift.io.probav import read_references, read_scenes
from terrashift.superres.align import align
from terrashift.superres.scenes import frames_of, pack_scenes, prepared, registered


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "probav")


def test_every_frame_has_its_shift_against_the_clearest(root: Path):
    said = []
    archive = pack_scenes(root, tell=said.append)
    assert said[0] == "NIR imgset0001: 6 of 6 frames match the clearest"
    for packed in archive.scenes:
        assert packed.facts.clearest == 0
        np.testing.assert_allclose(packed.facts.shifts, SHIFTS, atol=0.06)
        assert all(packed.facts.matched)
        assert packed.facts.baseline in (45.5, 46.5, 47.5)


def test_a_frame_of_other_ground_is_told_and_left_out(root: Path):
    one, other = list(read_scenes(root))[:2]
    mixed = np.concatenate([one.frames[:3], other.frames[:1], one.frames[3:]])
    packed = registered(replace(one, frames=mixed, numbers=tuple(f"{k:03d}" for k in range(7))))
    assert packed.facts.matched == (True, True, True, False, True, True, True)
    assert packed.facts.shifts[3] == (0.0, 0.0)
    assert frames_of(packed, 0).count == 6


def test_the_reference_comes_first_and_shifts_are_to_it(root: Path, tmp_path: Path):
    told = write_references(tmp_path / "reference.json", {("NIR", "imgset0001"): "003"})
    packed = pack_scenes(root / "train" / "NIR", read_references(told)).scenes[0]
    home = packed.facts.home(known=True)
    assert home == 3
    frames = frames_of(packed, home)
    assert frames.home == 0
    assert torch.equal(frames.shifts[0], torch.zeros(2))
    np.testing.assert_allclose(frames.shifts[1], np.subtract(SHIFTS[0], SHIFTS[3]), atol=0.1)  # the clearest next
    masked = ~np.isfinite(packed.scene.frames[3])
    assert not frames.usable[0].numpy()[masked].any()


def test_they_are_prepared_as_scores_prepare_them(root: Path):
    packed = pack_scenes(root / "train" / "RED").scenes[0]
    pixels = torch.from_numpy(packed.scene.frames)[:, None]
    aligned = align(pixels, 0).frames
    both = frames_of(packed, 0), prepared(aligned)
    torch.testing.assert_close(both[0].pixels, both[1].pixels, equal_nan=True, rtol=1e-5, atol=0.05)
    torch.testing.assert_close(both[0].shifts, both[1].shifts, rtol=0, atol=1e-5)


def test_folders_with_other_names_are_refused(tmp_path: Path):
    write_scene(tmp_path / "near infrared" / "imgset0000", frames=2)
    with pytest.raises(InputError, match=r"near infrared imgset0000 cannot be a scene.* are called NIR"):
        pack_scenes(tmp_path)
