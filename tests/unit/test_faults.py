"""The verbs trace, profile, offset and strain: what they write is whole, reads back and says what the API says."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.cli import main
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.faults import OFFSET_FILES, PROFILE_FILES
from terrashift.io.cog import blocks_of, read_field, write_field
from terrashift.io.vectors import read_lines, write_lines
from terrashift.simulate.rupture import Rupture, displacement

GRID = Grid(90, 100, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
SIZE = ["--length-m", "300", "--width-m", "200"]


def save(path, grid=GRID, slip_m=-3.0, noise=0.1):
    truth = displacement(grid, Rupture(slip_m=slip_m, strike_deg=60, roughness=0.003, slip_variation=0), 4)
    random = np.random.default_rng(5)
    errors = torch.from_numpy(noise * random.standard_normal((2, *grid.shape)).astype(np.float32))
    sigma, reasons = torch.full(grid.shape, noise), torch.zeros(grid.shape, dtype=torch.uint8)
    field = DisplacementField(
        truth.east + errors[0], truth.north + errors[1], sigma, sigma, torch.ones(grid.shape), reasons, grid
    )
    write_field(path, grid, blocks_of(field), {}, True)
    return [np.asarray(line, float) for line in truth.lines]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A field with a left-lateral fault, and its trace."""
    folder = tmp_path_factory.mktemp("faults")
    lines = save(folder / "displacement.tif")
    write_lines(folder / "fault.geojson", lines, GRID.crs)
    return folder


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_offset_writes_all_that_it_says(place, tmp_path, capsys):
    target = tmp_path / "offsets"
    words = ["offset", f"{place}/displacement.tif", "--trace", f"{place}/fault.geojson", "-o", str(target), *SIZE]
    assert main([*words, "--resamples", "50"]) == 0
    assert "lateral_median_m" in capsys.readouterr().out
    written = {item.name for item in target.iterdir()}
    assert written == set(OFFSET_FILES) - {"trace.geojson"}
    rows = [row for row in table(target / "offsets.csv") if not row["note"]]
    assert len(rows) >= 3
    lateral = np.array([float(row["lateral_m"]) for row in rows])
    assert lateral == pytest.approx(np.full(len(rows), -3), abs=0.3)
    assert all(float(row["lateral_low95_m"]) < float(row["lateral_m"]) < float(row["lateral_high95_m"]) for row in rows)
    assert all(0 < float(row["lateral_error_sigma_m"]) < 0.5 for row in rows)
    summary = json.loads((target / "summary.json").read_text())
    assert summary["lateral_median_m"] == pytest.approx(np.median(lateral), rel=1e-4)
    assert "right-lateral" in summary["signs"]
    assert summary["options"]["length_m"] == 300
    boxes = read_lines(target / "offsets.gpkg", GRID.crs)
    assert len(boxes) == len(table(target / "offsets.csv"))
    assert np.linalg.norm(boxes[0][1] - boxes[0][0]) == pytest.approx(300)
    again = read_lines(target / "offsets.geojson", GRID.crs)
    assert np.allclose(boxes[0], again[0])
    # the line runs to the positive side: the right of a trace to the north-east is the south-east
    assert boxes[0][1][0] > boxes[0][0][0]
    assert boxes[0][1][1] < boxes[0][0][1]
    slip = table(target / "slip.csv")
    assert {row["component"] for row in slip} == {"lateral", "opening"}
    json.loads((target / "offsets.geojson").read_text(), parse_constant=lambda word: pytest.fail(word))


def test_a_folder_is_replaced_only_when_asked_and_only_if_it_is_one_of_ours(place, tmp_path, capsys):
    target = tmp_path / "profiles"
    words = ["profile", f"{place}/displacement.tif", "--trace", f"{place}/fault.geojson", "-o", str(target), *SIZE]
    assert main(words) == 0
    assert {item.name for item in target.iterdir()} == set(PROFILE_FILES) - {"trace.geojson"}
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    before = (target / "profiles.csv").read_text()
    assert main([*words, "--overwrite", "--statistic", "mean"]) == 0
    assert (target / "profiles.csv").read_text() != before
    (target / "mine.txt").write_text("keep me")
    assert main([*words, "--overwrite"]) == 1
    assert "mine.txt" in capsys.readouterr().err
    assert (target / "mine.txt").read_text() == "keep me"
    assert [item.name for item in tmp_path.iterdir()] == ["profiles"]


def test_the_profiles_written_are_those_of_the_api(place, tmp_path):
    from terrashift.analyse.profile import ProfileOptions, stack_profiles

    target = tmp_path / "p"
    words = ["profile", f"{place}/displacement.tif", "--trace", f"{place}/fault.geojson", "-o", str(target), *SIZE]
    assert main(words) == 0
    field = read_field(place / "displacement.tif")
    lines = read_lines(place / "fault.geojson", GRID.crs)
    found = stack_profiles(field, lines, ProfileOptions(length_m=300, width_m=200))
    rows = table(target / "profiles.csv")
    assert [float(row["parallel_m"]) for row in rows] == pytest.approx(
        np.concatenate([p.parallel for p in found]), rel=1e-4
    )
    assert int(rows[-1]["profile"]) == len(found) - 1


def test_without_a_trace_one_is_found_and_written(place, tmp_path, capsys):
    target = tmp_path / "o"
    assert main(["profile", f"{place}/displacement.tif", "-o", str(target), *SIZE]) == 0
    assert "trace found in the field: 1 segments" in capsys.readouterr().err
    (found,) = read_lines(target / "trace.geojson", GRID.crs)
    planted = read_lines(place / "fault.geojson", GRID.crs)[0]
    away = np.linalg.norm(found[:, None] - planted[None], axis=-1).min(1)
    assert np.median(away) < 15


@pytest.mark.parametrize("name", ["trace.geojson", "trace.gpkg"])
def test_trace_writes_lines_with_their_confidence_and_a_map(name, place, tmp_path, capsys):
    assert main(["trace", f"{place}/displacement.tif", "-o", str(tmp_path / name)]) == 0
    assert "confidence" in capsys.readouterr().out
    assert len(read_lines(tmp_path / name, GRID.crs)) == 1
    assert (tmp_path / "trace.png").stat().st_size > 10_000
    assert main(["trace", f"{place}/displacement.tif", "-o", str(tmp_path / name)]) == 1


def test_strain_is_a_geotiff_that_says_its_scale(place, tmp_path, capsys):
    import rasterio

    target = tmp_path / "strain.tif"
    words = ["strain", f"{place}/displacement.tif", "-o", str(target)]
    assert main([*words, "--trace", f"{place}/fault.geojson", "--scale-m", "40"]) == 0
    assert "smoothed over 40 m (4 x 4 cells)" in capsys.readouterr().out
    with rasterio.open(target) as dataset:
        assert dataset.crs.to_epsg() == 32631
        assert dataset.transform == GRID.transform
        assert dataset.descriptions[:6] == (
            "strain_ee", "strain_nn", "strain_en", "dilatation", "curl", "max_shear",
        )  # fmt: skip
        assert dataset.descriptions[6:] == tuple("sigma_" + name for name in dataset.descriptions[:6])
        assert dataset.tags()["STRAIN_SMOOTHING_SCALE_M"] == "40"
        shear = dataset.read(6)
    assert np.nanpercentile(shear, 99) < 0.01
    summary = json.loads((tmp_path / "strain.json").read_text())
    assert summary["layers"]["max_shear"]["median"] == pytest.approx(float(np.nanmedian(shear)), rel=1e-3)
    over = tmp_path / "over.tif"
    assert main([*words[:-1], str(over), "--kind", "finite"]) == 0
    with rasterio.open(over) as dataset:
        assert "rotation" in dataset.descriptions
        assert np.nanmax(dataset.read(6)) > 0.01


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile", "no.tif", "-o", "p"], "no.tif"),
        (["strain", "FIELD", "-o", "s.tif", "--across-trace"], "--trace FILE"),
        (["trace", "FIELD", "-o", "trace.txt"], ".geojson or .gpkg"),
        (["profile", "FIELD", "--trace", "none.gpkg", "-o", "p"], "does not exist"),
        (["profile", "FIELD", "--trace", "far.geojson", "-o", "p"], "does not lie on the image"),
        (["offset", "FIELD", "--trace", "TRACE", "-o", "p", "--length-m", "40"], "no profile gave an offset"),
        (["offset", "FIELD", "-o", "p", "--length-m", "-1"], "--length-m"),
    ],
)
def test_what_cannot_be_is_an_error_that_leaves_nothing(words, said, place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines("far.geojson", [np.array([[100_000.0, 100_000.0], [101_000.0, 100_000.0]])], GRID.crs)
    names = {"FIELD": f"{place}/displacement.tif", "TRACE": f"{place}/fault.geojson"}
    assert main([names.get(word, word) for word in words]) in (1, 2)
    assert said in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["far.geojson"]


def test_a_field_where_nothing_moved_has_no_trace_and_says_what_to_do(tmp_path, capsys):
    save(tmp_path / "still.tif", slip_m=1e-9)
    assert main(["offset", f"{tmp_path}/still.tif", "-o", f"{tmp_path}/o"]) == 2
    assert "--trace FILE" in capsys.readouterr().err


def test_a_field_without_crs_is_analysed_in_pixels(tmp_path):
    grid = Grid(90, 100, Affine.identity())
    lines = save(tmp_path / "d.tif", grid, slip_m=2.0)
    write_lines(tmp_path / "t.geojson", lines, None)
    words = ["offset", f"{tmp_path}/d.tif", "--trace", f"{tmp_path}/t.geojson", "-o", f"{tmp_path}/o"]
    assert main([*words, "--length-m", "40", "--width-m", "20", "--resamples", "50"]) == 0
    rows = [row for row in table(tmp_path / "o" / "offsets.csv") if not row["note"]]
    assert np.median([float(row["lateral_px"]) for row in rows]) == pytest.approx(2, abs=0.7)
    assert not math.isnan(float(rows[0]["zone_to_px"]))
