"""Lines come back where they were drawn, in any CRS, and whatever is no line is refused with the way out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError, OutputError
from terrashift.io.vectors import read_lines, refuse_far, write_lines

BENT = [[500000.0, 4000000.0], [503000.0, 4001500.0], [504000.0, 4004000.0]]
SHORT = [[1.5, 2.0], [3.0, 8.5]]
UTM = "EPSG:32631"
GRID = Grid(100, 150, Affine(10, 0, 500_000, 0, -10, 4_000_000), UTM)


def line(points):
    return {"type": "LineString", "coordinates": points}


def feature(geometry):
    return {"type": "Feature", "properties": {}, "geometry": geometry}


@pytest.fixture
def geojson(tmp_path):
    def write(data, name="trace.geojson"):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (line(SHORT), [SHORT]),
        (feature(line(SHORT)), [SHORT]),
        ({"type": "MultiLineString", "coordinates": [SHORT, BENT]}, [SHORT, BENT]),
        (
            {"type": "FeatureCollection", "features": [feature(line(SHORT)), feature(None), feature(line(BENT))]},
            [SHORT, BENT],
        ),
        ({"type": "GeometryCollection", "geometries": [line(SHORT)]}, [SHORT]),
        (line([[1.5, 2.0, 99.0], [1.5, 2.0, 98.0], [3.0, 8.5, 97.0]]), [SHORT]),
    ],
    ids=["line", "feature", "multi", "collection", "geometries", "heights and repeated points"],
)
def test_lines_of_every_form_are_read_as_columns_and_rows_where_there_is_no_crs(data, expected, geojson):
    found = read_lines(geojson(data), None)
    assert [one.tolist() for one in found] == expected


def test_longitude_and_latitude_are_brought_to_the_image(geojson):
    found = read_lines(geojson(line([[3.0, 0.0], [3.0, 36.0]])), UTM)[0]
    # the central meridian of UTM zone 31: easting 500 km, northing 0 and 0.9996 of the meridian's arc to 36 degrees
    assert found[:, 0] == pytest.approx([500000, 500000], abs=1e-3)
    assert found[:, 1] == pytest.approx([0, 0.9996 * 3985567.4], abs=150)


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::32631", "EPSG:32631"])
def test_the_old_crs_member_is_obeyed(name, geojson):
    data = line(BENT) | {"crs": {"type": "name", "properties": {"name": name}}}
    assert read_lines(geojson(data), UTM)[0].tolist() == BENT
    assert not np.allclose(read_lines(geojson(data), "EPSG:32632")[0], BENT, atol=1000)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", None, "+proj=laea +lat_0=36 +lon_0=3 +units=m"])
def test_what_is_written_reads_back(crs, tmp_path):
    lines = [np.array([[3.0, 36.0], [3.25, 36.5]]), np.array(SHORT)]
    write_lines(tmp_path / "a.geojson", lines, crs, [{"slip_m": 2.5}, {}])
    back = read_lines(tmp_path / "a.geojson", crs)
    for one, other in zip(lines, back, strict=True):
        assert np.allclose(one, other, atol=1e-4)
    assert json.loads((tmp_path / "a.geojson").read_text())["features"][0]["properties"] == {"slip_m": 2.5}


def test_pixels_are_not_taken_for_a_place_nor_a_place_for_pixels(geojson, tmp_path):
    write_lines(tmp_path / "pixels.geojson", [np.array(SHORT)], None)
    with pytest.raises(InputError, match="counts columns and rows, but the image is in EPSG:32631"):
        read_lines(tmp_path / "pixels.geojson", UTM)
    write_lines(tmp_path / "utm.geojson", [np.array(BENT)], UTM)
    with pytest.raises(InputError, match="but the image has no CRS"):
        read_lines(tmp_path / "utm.geojson", None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "Polygon", "coordinates": [[*SHORT, SHORT[0]]]}, "holds a Polygon, not a line"),
        (feature({"type": "Point", "coordinates": [1, 2]}), "holds a Point, not a line"),
        ({"type": "FeatureCollection", "features": []}, "is empty"),
        (line([[1, 2]]), "fewer than two different points"),
        (line([[1, 2], [1, 2]]), "fewer than two different points"),
        (line([[1, 2], ["east", 2]]), "points are not numbers"),
        (line([1, 2, 3]), "points are not numbers"),
        ({"type": "LineString"}, "a LineString without coordinates"),
        (line([[500, 2], [500, 1e9]]), "are they really in longitude and latitude"),
        (line(SHORT) | {"crs": {"type": "link"}}, "names no CRS"),
        (line(SHORT) | {"crs": {"type": "name", "properties": {"name": "EPSG:0"}}}, "'EPSG:0' is not a CRS"),
        ("<kml></kml>", r"not GeoJSON. Convert it: `ogr2ogr -f GeoJSON trace.geojson"),
        ("[1, 2]", "JSON, but not GeoJSON"),
    ],
)
def test_whatever_is_no_line_is_refused_with_the_way_out(data, message, geojson):
    with pytest.raises(InputError, match=message):
        read_lines(geojson(data), UTM)


def test_a_drawing_names_the_command_that_converts_it(tmp_path):
    (tmp_path / "fault.dxf").write_bytes(b"\x00\x00\x27\x0a\xff\xfe")
    with pytest.raises(InputError, match=r"ogr2ogr -f GeoJSON fault.geojson .*fault.dxf"):
        read_lines(tmp_path / "fault.dxf", UTM)
    with pytest.raises(InputError, match="does not exist"):
        read_lines(tmp_path / "nowhere.geojson", UTM)


def test_a_trace_beside_the_image_passes_and_one_far_away_is_named_with_both_places():
    refuse_far([np.array([[502000.0, 3999000.0], [503000.0, 3999500.0]])], GRID, "t.geojson")
    refuse_far([np.array([[400000.0, 3999000.0], [600000.0, 3999500.0]])], GRID, "t.geojson")
    with pytest.raises(
        InputError, match=r"x 510000 to 511000, .* x 500000 to 501500, y 3999000 to 4000000 \(EPSG:32631\)"
    ):
        refuse_far([np.array([[510000.0, 3999000.0], [511000.0, 3999500.0]])], GRID, "t.geojson")


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_lines(tmp_path / "nowhere" / "a.geojson", [np.array(SHORT)], None)
