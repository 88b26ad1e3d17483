"""`terrashift register`: files in, files out, and what it says of bad input."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from terrashift import cli
from terrashift.core.grid import Grid
from terrashift.io.points import write_points
from terrashift.io.raster import open_raster
from terrashift.register.masks import read_ground

FAST = ("--window", "32", "--rounds", "2")
SMALL = Grid(150, 170, Affine(10, 0, 502_000, 0, -10, 3_998_000), "EPSG:32631")


@pytest.fixture
def pair(see, save) -> tuple[str, str]:
    """A moving image of two bands on another grid, 1.5 px right and 2.25 px up of where it says, and its reference."""
    grid = replace(SMALL, height=170, width=190, transform=SMALL.transform @ Affine.translation(-10.25, -8))
    moving = see(grid, move=lambda x, y: (x - 1.5, y + 2.25), noise_seed=2)
    moving.pixels[60:70, 80:95] = np.nan
    return save("moving_2020-05-06.tif", moving, 2), save("reference.tif", see(SMALL))


def run(*words: str) -> int:
    return cli.main(["register", *map(str, words)])


def refused(capsys, *words: str) -> str:
    assert run(*words) == 2
    return capsys.readouterr().err


def test_every_band_comes_onto_the_grid_of_the_reference(pair, tmp_path, capsys):
    aligned = tmp_path / "aligned.tif"
    ties = tmp_path / "ties.geojson"
    assert run(*pair, "-o", aligned, "--band", "1", "--model", "translation", "--ties", ties, *FAST) == 0
    assert "CE90 after" in capsys.readouterr().out
    with rasterio.open(aligned) as image, rasterio.open(pair[1]) as reference:
        assert image.transform == reference.transform
        assert image.crs == reference.crs
        assert (image.shape, image.count, image.dtypes[0]) == (reference.shape, 2, "float32")
        assert image.descriptions == ("b1", "b2")
        one, two = image.read()
        base = reference.read(1)
        assert image.tags()["ACQUISITION_DATE"] == "2020-05-06"
    have = np.isfinite(one)
    assert 0.004 < 1 - have.mean() < 0.02  # the gap
    assert np.corrcoef(one[have], base[have])[0, 1] > 0.97
    np.testing.assert_allclose(two[have], 2 * one[have], rtol=1e-5, atol=1e-3)
    numbers = json.loads(aligned.with_suffix(".json").read_text())
    # by georeferencing alone its content was 1.5 px right and 2.25 px up
    assert numbers["shift at the middle px"] == pytest.approx([1.5, -2.25], abs=0.05)
    assert numbers["ce90 after px"] < 0.2 < numbers["ce90 before px"]
    points = json.loads(ties.read_text())
    first = points["features"][0]["properties"]
    assert first["shift_east_m"] == pytest.approx(10 * first["shift_x_px"])
    assert first["shift_north_m"] == pytest.approx(-10 * first["shift_y_px"])
    east, north = points["features"][0]["geometry"]["coordinates"]
    assert (east - 502_000) / 10 - 0.5 == pytest.approx(first["reference_x"])
    assert (3_998_000 - north) / 10 - 0.5 == pytest.approx(first["reference_y"])
    assert first["moving_x"] == pytest.approx(first["reference_x"] + 10.25 + first["shift_x_px"])
    assert {one["properties"]["flag"] for one in points["features"]} <= {"used", "outlier", "excluded"}
    assert aligned.with_suffix(".png").stat().st_size > 20_000
    page = aligned.with_suffix(".html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("data:", "")


def test_tie_points_are_a_geopackage_by_default(pair, tmp_path):
    raw = pytest.importorskip("pyogrio.raw")
    assert run(*pair, "-o", tmp_path / "a.tif", "--band", "1", *FAST) == 0
    about, _, geometry, columns = raw.read(tmp_path / "a.ties.gpkg")
    assert about["crs"] == "EPSG:32631"
    assert about["geometry_type"] == "Point"
    assert len(geometry) == len(columns[0]) > 10
    assert "flag" in list(about["fields"])


def test_nothing_is_replaced_unasked_and_no_input_ever(pair, tmp_path, capsys):
    taken = tmp_path / "a.tif"
    taken.write_text("mine")
    assert run(*pair, "-o", taken, "--band", "1") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert taken.read_text() == "mine"
    assert "is an input" in refused(capsys, *pair, "-o", pair[1], "--band", "1", "--overwrite")
    assert "call it" in refused(capsys, *pair, "-o", tmp_path / "a.png")


def test_a_failed_run_leaves_nothing_behind(see, save, tmp_path, capsys):
    names = save("one.tif", see(SMALL)), save("two.tif", see(SMALL, seed=5, noise_seed=2))
    folder = tmp_path / "out"
    folder.mkdir()
    assert "do not match" in refused(capsys, *names, "-o", folder / "a.tif", *FAST)
    assert list(folder.iterdir()) == []


def test_what_is_missing_is_named(pair, tmp_path, capsys):
    assert "give the moving image and its reference" in refused(capsys, pair[0], "-o", tmp_path / "a.tif")
    assert "--band" in refused(capsys, *pair, "-o", tmp_path / "a.tif")  # two bands
    assert "does not exist" in refused(capsys, tmp_path / "no.tif", pair[1], "-o", tmp_path / "a.tif")
    keep = ("--band", "1", "--keep-off-m", "100")
    assert "--trace" in refused(capsys, *pair, "-o", tmp_path / "a.tif", *keep)


def test_a_group_of_files_comes_with_its_table(see, save, tmp_path, capsys):
    shifts = {"s_2020-03-01.tif": (0.0, 0.0), "s_2020-01-01.tif": (1.5, -1.0), "s_2020-02-01.tif": (-0.5, 0.75)}
    files = [
        save(f"in/{name}", see(SMALL, move=lambda c, r, x=x, y=y: (c - x, r - y), noise_seed=k))
        for k, (name, (x, y)) in enumerate(shifts.items())
    ]
    folder = tmp_path / "out"
    words = ("--group", *files, "-o", folder, "--reference", files[0], "--model", "translation", *FAST)
    assert run(*words) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([*shifts, "group.json", "group.png", "offsets.csv"])
    images = json.loads((folder / "group.json").read_text())["images"]
    assert [one["name"] for one in images] == sorted(shifts)  # by date
    for one in images:
        assert one["shift at the middle px"] == pytest.approx(shifts[one["name"]], abs=0.05)
    lines = (folder / "offsets.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("first,second,x_px,y_px")
    first, second = (open_raster(str(folder / name)).read(20, 20, 100, 100) for name in sorted(shifts)[:2])
    assert np.corrcoef(first.flatten(), second.flatten())[0, 1] > 0.98
    assert "is not among" in refused(capsys, "--group", *files, "-o", folder, "--reference", "x.tif", "--overwrite")
    assert run(*words) == 1
    assert "--overwrite" in capsys.readouterr().err


def square(low: float, high: float) -> dict:
    ring = [[low, 0], [high, 0], [high, 9e6], [low, 9e6], [low, 0]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_masks_of_every_kind_say_the_same(see, save, tmp_path):
    """West of column 60 is left out."""
    east = SMALL.transform.c + 600
    polygon = tmp_path / "west.geojson"
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    polygon.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [
        {"type": "Feature", "properties": {}, "geometry": square(SMALL.transform.c - 50, east)}]}))  # fmt: skip
    coarse = Grid(75, 85, SMALL.transform @ Affine.scale(2), SMALL.crs)
    image = see(coarse)
    image.pixels[:] = 0
    image.pixels[:, :30] = 1
    raster = save("west.tif", image)
    places = np.array([[0.0, 58.0, 61.0, 160.0], [5.0, 100.0, 100.0, 20.0]])
    for path in (polygon, Path(raster)):
        chooser = read_ground([path], [], None, 0.0, SMALL).excluded[0]
        assert chooser(places).tolist() == [True, True, False, False]


def test_points_without_pyogrio_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    monkeypatch.setitem(sys.modules, "pyogrio.errors", None)
    with pytest.raises(ValueError, match=r"terrashift\[vectors\]"):
        write_points(tmp_path / "a.gpkg", np.zeros((2, 1)), "EPSG:32631", {})
    write_points(tmp_path / "a.geojson", np.zeros((2, 1)), None, {"v": np.array([np.nan])})
    data = json.loads((tmp_path / "a.geojson").read_text())
    assert data["coordinates_are"] == "pixels"
    assert data["features"][0]["properties"] == {"v": None}
