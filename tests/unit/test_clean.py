"""What a user meets who takes ramps and stripes out of a field: files, messages, exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from planted_fields import fault, field_of, grid, offset_of, places, trace_of

from terrashift import cli
from terrashift.io.cog import blocks_of, read_field, to_tags, write_field
from terrashift.io.vectors import write_lines

H, W = 160, 220


def save(name, east, north, **made_by):
    field = field_of(east, north)
    write_field(name, field.grid, blocks_of(field), to_tags(made_by or field.made_by))
    return field


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, request):
    """An empty folder with a field: a ramp, a fault, noise, a gap. Pictures, which take longest, are drawn but once."""
    monkeypatch.chdir(tmp_path)
    if "picture" not in request.node.name:
        monkeypatch.setattr("terrashift.plot.maps.quicklook", lambda field, path: path.touch())
    row, column = places(H, W)
    step, _ = fault(H, W, 2.0)
    east = step + 0.01 * column - 0.005 * row + np.random.default_rng(0).normal(0, 0.05, (H, W))
    east[30:50, 100:130] = np.nan
    save("field.tif", east, -east)
    write_lines("trace.geojson", [trace_of(H, W)], "EPSG:32631")
    return tmp_path


def test_detrend_writes_the_field_what_it_removed_and_its_numbers(folder, capsys):
    assert cli.main(["detrend", "field.tif", "-o", "flat.tif", "--trace", "trace.geojson"]) == 0
    flat, removed, measured = (read_field(name) for name in ("flat.tif", "flat.removed.tif", "field.tif"))
    _, across = fault(H, W, 2.0)
    assert offset_of(flat.east.numpy(), across) == pytest.approx(2.0, rel=0.01)
    assert (removed.east[0, -1] - removed.east[0, 0]).item() == pytest.approx(0.01 * (W - 1), rel=0.02)
    assert (flat.east + removed.east - measured.east).nan_to_num(0.0).abs().max() < 1e-5
    assert flat.east.isnan().sum() == 600
    assert flat.grid == measured.grid
    numbers = json.loads((folder / "flat.json").read_text())
    assert abs(numbers["east"]["steps"][0]) == pytest.approx(2.0, rel=0.01)
    assert flat.made_by["BEFORE"] == "a.tif"
    assert flat.made_by["CLEANED_FROM"] == "field.tif"
    assert flat.made_by["CLEANED_BY"]["detrend"]["degree"] == 1
    assert "offsets kept" in capsys.readouterr().out


def test_destripe_writes_the_field_and_the_stripes(folder, capsys):
    _, column = places(H, W)
    stripes = 0.3 * np.sign(np.sin(2 * np.pi * (column + 0.5) / 12))
    plain = np.random.default_rng(0).normal(0, 0.1, (H, W))
    save("striped.tif", plain + stripes, plain)
    assert cli.main(["destripe", "striped.tif", "-o", "s.tif", "--longest", "32"]) == 0
    assert "found, contrast" in capsys.readouterr().out
    removed = read_field("s.removed.tif").east.numpy()
    assert np.std(removed - stripes) < 0.2 * np.std(stripes)
    numbers = json.loads((folder / "s.json").read_text())
    assert numbers["track_deg"] == pytest.approx(0.0, abs=0.5)
    assert cli.main(["destripe", "striped.tif", "-o", "t.tif", "--longest", "32", "--direction", "0"]) == 0
    assert "(given)" in capsys.readouterr().out


def test_destripe_takes_the_direction_from_the_names_of_the_images(capsys):
    plain = np.random.default_rng(0).normal(0, 0.1, (H, W))
    name = "LC08_L1TP_198031_20200101_20200113_02_T1_B8.TIF"
    save("landsat.tif", plain, plain, BEFORE=name, AFTER=name)
    assert cli.main(["destripe", "landsat.tif", "-o", "s.tif", "--longest", "32"]) == 0
    assert "orbit of Landsat" in capsys.readouterr().out


def test_a_picture_of_the_field_and_of_what_was_removed_is_drawn(folder):
    assert cli.main(["detrend", "field.tif", "-o", "flat.tif", "--degree", "0"]) == 0
    for name in ("flat.png", "flat.removed.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"


def test_a_mask_chooses_what_is_fitted_to(folder):
    mask = np.zeros((H, W), np.uint8)
    mask[:, : W // 3] = 1
    about = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": "EPSG:32631"}
    with rasterio.open("stable.tif", "w", height=H, width=W, transform=grid(H, W).transform, **about) as file:
        file.write(mask, 1)
    assert cli.main(["detrend", "field.tif", "-o", "flat.tif", "--stable", "stable.tif"]) == 0
    numbers = json.loads((folder / "flat.json").read_text())
    assert numbers["east"]["used"] + numbers["east"]["outliers"] == mask.sum()
    with rasterio.open("other.tif", "w", height=H, width=W - 1, transform=grid(H, W).transform, **about) as file:
        file.write(mask[:, 1:], 1)
    assert cli.main(["detrend", "field.tif", "-o", "x.tif", "--stable", "other.tif"]) == 2


def test_nothing_is_overwritten_unless_told(folder, capsys):
    (folder / "flat.removed.tif").write_text("mine")
    assert cli.main(["detrend", "field.tif", "-o", "flat.tif"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "flat.removed.tif").read_text() == "mine"
    assert not (folder / "flat.tif").exists()
    assert cli.main(["detrend", "field.tif", "-o", "flat.tif", "--overwrite"]) == 0
    assert cli.main(["detrend", "field.tif", "-o", "field.tif", "--overwrite"]) == 1
    assert "itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detrend", "none.tif", "-o", "x.tif"], "none.tif"),
        (["detrend", "stranger.tif", "-o", "x.tif"], "is no displacement field"),
        (["detrend", "cut.tif", "-o", "x.tif"], "cut.tif"),
        (["detrend", "empty.tif", "-o", "x.tif"], "only 0 cells"),
        (["detrend", "field.tif", "-o", "x.tif", "--degree", "4"], "--degree is 4: give 3 or less"),
        (["detrend", "field.tif", "-o", "x.tif", "--exclude-m", "100"], "give --trace"),
        (["detrend", "field.tif", "-o", "x.tif", "--trace", "none.geojson"], "does not exist"),
        (["destripe", "field.tif", "-o", "x.tif", "--direction", "north"], "--direction is 'north'"),
        (["destripe", "field.tif", "-o", "x.tif", "--direction", "metadata"], "tell no mission"),
        (["destripe", "field.tif", "-o", "x.tif", "--longest", "3"], "--longest is 3: give 8 or more"),
        (["destripe", "empty.tif", "-o", "x.tif", "--direction", "0", "--longest", "20"], "no cell"),
        (["destripe", "empty.tif", "-o", "x.tif"], "no direction"),
    ],
)
def test_what_cannot_be_used_is_named_and_leaves_nothing(words, said, folder, capsys):
    with rasterio.open("stranger.tif", "w", driver="GTiff", height=5, width=5, count=1, dtype="float32",
                       crs="EPSG:32631", transform=grid(5, 5).transform) as file:  # fmt: skip
        file.write(np.ones((1, 5, 5), np.float32))
    (folder / "cut.tif").write_bytes((folder / "field.tif").read_bytes()[:3000])
    gap = np.full((H, W), np.nan)
    save("empty.tif", gap, gap)
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
    assert list(folder.glob("x*")) == []
    assert list(folder.glob(".x*")) == []
