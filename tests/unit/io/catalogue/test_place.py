"""Windows in a scene's own pixels: whole, snapped outward, right to the half pixel."""

from __future__ import annotations

import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.io.catalogue.area import Area
from terrashift.io.catalogue.place import corner_transform, pixels_of

UTM = Grid(900, 1000, Affine(10, 0, 450_000, 0, -10, 3_955_000), "EPSG:32611")


def lonlat(xs: list[float], ys: list[float], crs: str = "EPSG:32611") -> list[tuple[float, float]]:
    return list(zip(*transform(crs, "EPSG:4326", xs, ys)[:2], strict=True))


@given(
    west=st.floats(-117.54, -117.50), south=st.floats(35.66, 35.69),
    width=st.floats(1e-4, 0.05), height=st.floats(1e-4, 0.04),
)  # fmt: skip
def test_every_point_of_the_box_is_in_the_window_and_no_row_or_column_is_too_many(west, south, width, height):
    area = Area.of_box((west, south, west + width, south + height))
    window, share = pixels_of(area, UTM, "scene")
    steps = [k / 10 for k in range(11)]
    points = [(west + a * width, south + b * height) for a in steps for b in steps]
    xs, ys = transform("EPSG:4326", "EPSG:32611", [x for x, _ in points], [y for _, y in points])[:2]
    pixels = [~UTM.transform @ xy for xy in zip(xs, ys, strict=True)]
    columns, rows = [x for x, _ in pixels], [y for _, y in pixels]
    assert share == 1
    assert window.column <= min(columns) + 1e-6
    assert window.column + window.width >= max(columns) - 1e-6
    assert window.row <= min(rows) + 1e-6
    assert window.row + window.height >= max(rows) - 1e-6
    assert window.column + 1 > math.floor(min(columns) - 0.01)
    assert window.width <= max(columns) - min(columns) + 2.01
    assert window.height <= max(rows) - min(rows) + 2.01


def test_a_box_along_the_edges_of_pixels_takes_no_pixel_more():
    grid = Grid(40, 60, Affine(0.01, 0, 10, 0, -0.01, 50), "EPSG:4326", geographic=True)
    window, share = pixels_of(Area.of_box((10.1, 49.7, 10.3, 49.8)), grid, "scene")
    assert (window, share) == ((20, 10, 10, 20), 1)
    hair = 1e-9  # a ten-millionth of a pixel, as projections round
    around = Area.of_box((10.1 - hair, 49.7 - hair, 10.3 + hair, 49.8 + hair))
    assert pixels_of(around, grid, "scene") == (window, 1)
    window, _ = pixels_of(Area.of_box((10.1 - 1e-4, 49.7, 10.3, 49.8 + 1e-4)), grid, "scene")
    assert window == (19, 9, 11, 21)


def test_south_up_and_rotated_scenes_are_no_special_case():
    south_up = Grid(900, 1000, Affine(10, 0, 450_000, 0, 10, 3_946_000), "EPSG:32611")
    area = Area.of_box((-117.52, 35.67, -117.48, 35.70))
    window, _ = pixels_of(area, UTM, "scene")
    turned, _ = pixels_of(area, south_up, "scene")
    assert (turned.column, turned.width, turned.height) == (window.column, window.width, window.height)
    assert turned.row == 900 - window.row - window.height
    rotated = Grid(2000, 2000, Affine.translation(452_000, 3_962_000) @ Affine.rotation(-30) @ Affine.scale(10, -10),
                   "EPSG:32611")  # fmt: skip
    part, share = pixels_of(area, rotated, "scene")
    assert share == 1
    assert part.width > window.width
    corner = lonlat(*[[v] for v in rotated.transform @ (part.column, part.row)])[0]
    assert not (area.west <= corner[0] <= area.east and area.south <= corner[1] <= area.north)


def test_a_box_beyond_the_scene_is_cut_and_one_outside_refused():
    (west, south), (_, north) = lonlat([450_000, 450_000], [3_950_000, 3_952_000])
    window, share = pixels_of(Area.of_box((west - 0.01, south, west + 0.01, north)), UTM, "scene")
    assert window.column == 0
    assert share == pytest.approx(0.5, abs=0.03)
    with pytest.raises(InputError, match="lies outside scene: it would need columns"):
        pixels_of(Area.of_box((-118.5, 35.5, -118.4, 35.6)), UTM, "scene")


def test_a_box_across_the_antimeridian_is_one_window_in_both_utm_zones():
    area = Area.of_box((179.95, -17.0, -179.95, -16.95))
    xs, ys = transform("EPSG:4326", "EPSG:32760", [179.95], [-16.95])[:2]
    east = Grid(2000, 3000, Affine(10, 0, xs[0] - 5000, 0, -10, ys[0] + 5000), "EPSG:32760")
    window, share = pixels_of(area, east, "scene")
    assert share == 1
    assert window.width == pytest.approx(0.1 * 111_320 * math.cos(math.radians(17)) / 10, rel=0.02)
    xs, ys = transform("EPSG:4326", "EPSG:32701", [-179.95], [-17.0])[:2]
    west = Grid(2000, 3000, Affine(10, 0, xs[0] - 25_000, 0, -10, ys[0] + 12_000), "EPSG:32701")
    other, share = pixels_of(area, west, "scene")
    assert share == 1
    assert other.width == pytest.approx(window.width, abs=30)


def test_scenes_in_degrees_may_count_longitudes_from_0():
    grid = Grid(200, 400, Affine(0.01, 0, 242, 0, -0.01, 36), "EPSG:4326", geographic=True)
    window, _ = pixels_of(Area.of_box((-117.5, 35.5, -117.3, 35.6)), grid, "scene")
    assert window == (40, 50, 10, 20)


PIXEL = Affine(30, 0, 60_885, 0, -30, 115_815)
SHAPE = (7741, 7601)
CENTRES = Affine(30, 0, 60_900, 0, -30, 115_800)
EDGE_BOX = (60_885.0, 115_815.0 - 30 * 7741, 60_885.0 + 30 * 7601, 115_815.0)
CENTRE_BOX = (60_900.0, 115_800.0 - 30 * 7740, 60_900.0 + 30 * 7600, 115_800.0)


@pytest.mark.parametrize(
    ("told", "box"),
    [(PIXEL, None), (PIXEL, EDGE_BOX), (PIXEL, CENTRE_BOX), (CENTRES, EDGE_BOX), (CENTRES, CENTRE_BOX)],
)
def test_a_catalogue_that_counts_from_corners_or_from_centres_gives_one_grid(told, box):
    found = corner_transform(told, box, SHAPE)
    assert tuple(found[:6]) == pytest.approx(tuple(PIXEL[:6]), abs=1e-9)


def test_a_catalogue_that_contradicts_itself_is_refused():
    with pytest.raises(InputError, match="contradicts itself"):
        corner_transform(PIXEL @ Affine.translation(0.25, 0), EDGE_BOX, SHAPE)
