"""Made-up landscapes as an archive: what training learns from where there is no imagery."""

import numpy as np
import pytest

from terrashift.cli import main
from terrashift.errors import OptionError
from terrashift.simulate.archive import Archive
from terrashift.simulate.places import split_of
from terrashift.simulate.scenery import pack_scenes
from terrashift.simulate.stream import Stream, StreamOptions


def test_landscapes_differ_keep_their_split_and_show_two_dates(tmp_path, monkeypatch):
    monkeypatch.setattr("terrashift.simulate.scenery.SIDE_PX", 128)
    archive = pack_scenes(3, tmp_path / "scenes.tsi", "validation")
    again = Archive.load(tmp_path / "scenes.tsi")
    assert len({view.place for view in again.views}) == 3
    for view, levels, kept in zip(again.views, archive.pixels, again.pixels, strict=True):
        assert split_of(view.place) == view.split == "validation"
        one, two = (image.values() for image in kept)
        assert one.shape == (128, 128)
        assert np.array_equal(one, levels[0].values())
        assert 0.3 < np.corrcoef(one.ravel(), two.ravel())[0, 1] < 0.999


def test_pairs_are_drawn_from_them(tmp_path, monkeypatch):
    monkeypatch.setattr("terrashift.simulate.scenery.SIDE_PX", 160)
    archive = pack_scenes(1, tmp_path / "scenes.tsi")
    batch = Stream(archive.joined(archive), StreamOptions(size_px=64, batch=4), 1).batch(0)
    assert batch.before.isfinite().all()
    assert batch.before.std() > 0.2


def test_the_command_takes_a_folder_or_a_number_of_landscapes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("terrashift.simulate.scenery.SIDE_PX", 128)
    assert main(["pack", "--scenes", "1", "-o", str(tmp_path / "scenes.tsi")]) == 0
    assert "1 views of 1 places" in capsys.readouterr().out
    assert main(["pack", "-o", str(tmp_path / "none.tsi")]) == 2
    assert main(["pack", str(tmp_path), "--scenes", "1", "-o", str(tmp_path / "both.tsi")]) == 2
    with pytest.raises(OptionError, match="1 or more"):
        pack_scenes(0, tmp_path / "none.tsi")
