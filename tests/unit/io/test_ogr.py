"""Lines in GeoPackage and shapefiles come back where they were drawn, and what is no trace is refused."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from terrashift.errors import InputError, OptionError, OutputError
from terrashift.io.vectors import check_line_format, read_lines, write_lines

pyogrio = pytest.importorskip("pyogrio")
shapely = pytest.importorskip("shapely")

UTM = "EPSG:32631"
BENT = np.array([[500000.0, 4000000.0], [503000.0, 4001500.0], [504000.0, 4004000.0]])
SHORT = np.array([[500100.0, 4000000.0], [500200.0, 4000700.0]])


def save(path, shapes, crs=UTM, layer=None, append=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array(shapes, dtype=object)),
            [np.arange(len(shapes))],
            np.array(["number"], dtype=object),
            crs=crs,
            geometry_type=shapes[0].geom_type,
            layer=layer,
            append=append,
        )
    return path


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb"])
def test_lines_of_other_formats_are_read_in_their_own_crs(name, tmp_path):
    path = save(tmp_path / name, [shapely.linestrings(BENT), shapely.linestrings(SHORT)])
    one, other = sorted(read_lines(path, UTM), key=len, reverse=True)
    assert np.allclose(one, BENT, atol=1e-6)
    assert np.allclose(other, SHORT, atol=1e-6)


def test_they_are_brought_to_the_crs_of_the_image(tmp_path):
    path = save(tmp_path / "a.gpkg", [shapely.linestrings([[3.0, 36.0], [3.0, 36.1]])], "EPSG:4326")
    found = read_lines(path, UTM)[0]
    assert found[:, 0] == pytest.approx([500000, 500000], abs=1e-3)
    assert found[1, 1] - found[0, 1] == pytest.approx(11092, abs=10)


def test_parts_of_a_multi_line_are_lines_and_heights_are_left_out(tmp_path):
    shape = shapely.multilinestrings(
        [shapely.linestrings(np.c_[BENT, [1, 2, 3]]), shapely.linestrings(np.c_[SHORT, [1, 2]])]
    )
    found = read_lines(save(tmp_path / "a.gpkg", [shape]), UTM)
    assert [line.tolist() for line in found] == [BENT.tolist(), SHORT.tolist()]


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", None])
def test_a_geopackage_that_is_written_reads_back_with_its_properties(crs, tmp_path):
    path = tmp_path / "a.gpkg"
    lines = [np.array([[3.0, 36.0], [3.25, 36.5]]), np.array([[1.0, 2.0], [2.5, 3.0], [4.0, 8.0]])]
    write_lines(path, lines, crs, [{"slip_m": 2.5, "note": "a", "n": 1}, {"slip_m": None, "note": "", "n": 2}])
    for one, other in zip(lines, read_lines(path, crs), strict=True):
        assert np.allclose(one, other)
    fields, columns = (pyogrio.raw.read(path)[k] for k in (0, 3))
    assert list(fields["fields"]) == ["slip_m", "note", "n"]
    assert columns[0][0] == 2.5
    assert np.isnan(columns[0][1])
    assert columns[2].tolist() == [1, 2]
    assert [item.name for item in tmp_path.iterdir()] == ["a.gpkg"]


def test_of_several_layers_one_must_be_named(tmp_path):
    path = save(tmp_path / "a.gpkg", [shapely.linestrings(BENT)], layer="main")
    save(path, [shapely.linestrings(SHORT)], layer="other", append=True)
    with pytest.raises(InputError, match=r"2 layers.*main.*layername="):
        read_lines(path, UTM)
    assert read_lines(f"{path}|layername=other", UTM)[0].tolist() == SHORT.tolist()
    with pytest.raises(InputError, match="no layer 'third'"):
        read_lines(f"{path}|layername=third", UTM)


def test_what_is_no_trace_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_lines(tmp_path / "none.gpkg", UTM)
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(InputError, match="cannot be read as lines"):
        read_lines(tmp_path / "text.gpkg", UTM)
    with pytest.raises(InputError, match="Point, not a line"):
        read_lines(save(tmp_path / "points.gpkg", [shapely.points(BENT[0])]), UTM)
    with pytest.raises(InputError, match="names no CRS"):
        read_lines(save(tmp_path / "bare.shp", [shapely.linestrings(BENT)], None), UTM)
    with pytest.raises(InputError, match="the image has no CRS"):
        read_lines(save(tmp_path / "utm.gpkg", [shapely.linestrings(BENT)]), None)


def test_a_name_of_no_known_format_is_refused_before_any_work(tmp_path):
    with pytest.raises(OptionError, match=r"\.geojson or \.gpkg"):
        check_line_format(tmp_path / "trace.txt")
    check_line_format(tmp_path / "trace.gpkg")
    check_line_format(tmp_path / "trace.GeoJSON")


def test_a_missing_folder_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(OutputError):
        write_lines(tmp_path / "none" / "a.gpkg", [SHORT], UTM)


def test_geojson_is_still_read_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}))
    assert len(read_lines(tmp_path / "a.geojson", None)) == 1
    (tmp_path / "a.gpkg").touch()
    with pytest.raises(OptionError, match=r"terrashift\[vectors\]"):
        read_lines(tmp_path / "a.gpkg", None)
