"""Boxes: order of numbers, the antimeridian, how much a footprint covers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrashift.errors import OptionError
from terrashift.io.catalogue.area import Area


def ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def polygon(*box: float) -> dict:
    return {"type": "Polygon", "coordinates": [ring(*box)]}


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((35.5, -117.6, 35.7, -117.4), "longitude comes first. Did you mean --box -117.6 35.5 -117.4 35.7?"),
        ((-117, 36, -116, 35), "give west south east north, that is --box -117 35 -116 36"),
        ((-117, 36, -116, 36), "has no height"),
        ((-117, 35, -117, 36), "has no width"),
        ((10, 0, -10, 1), "west and east seem swapped"),
        ((-500, 0, 1, 1), "a longitude of -500"),
        ((float("nan"), 0, 1, 1), "holds no numbers"),
        ((-60, -40, 60, 40), "km wide or high"),
    ],
)
def test_a_box_that_cannot_be_meant_is_refused_with_what_may_be(box, message):
    with pytest.raises(OptionError) as caught:
        Area.of_box(box)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("point", "radius", "message"),
    [
        ((35.5, -117.6), 5, "Did you mean --point -117.6 35.5?"),
        ((0, 89.99), 10, "of a pole"),
        ((0, 0), 0, "--radius-km is 0"),
        ((0, 0), 1e6, "at most 2000"),
    ],
)
def test_a_point_that_cannot_be_meant_is_refused(point, radius, message):
    with pytest.raises(OptionError) as caught:
        Area.of_point(point, radius)
    assert message in str(caught.value)


@given(longitude=st.floats(-180, 180), latitude=st.floats(-80, 80), radius=st.floats(0.1, 100))
def test_the_square_around_a_point_reaches_as_far_to_all_sides(longitude, latitude, radius):
    area = Area.of_point((longitude, latitude), radius)
    turned = (longitude - (area.west + area.east) / 2 + 180) % 360 - 180
    assert math.isclose(turned, 0, abs_tol=1e-9)
    assert math.isclose((area.south + area.north) / 2, latitude, abs_tol=1e-9)
    assert -180 <= area.west <= 180
    km_per_degree = math.radians(1) * 6371
    assert math.isclose((area.north - area.south) * km_per_degree, 2 * radius, rel_tol=0.01)
    width = (area.east - area.west) * km_per_degree * math.cos(math.radians(latitude))
    assert math.isclose(width, 2 * radius, rel_tol=0.01)


def test_a_box_across_the_antimeridian_is_asked_for_in_two_parts_and_comes_back_as_it_was():
    area = Area.of_box((179.5, -17.0, -179.25, -16.0))
    assert area.crosses
    assert area.boxes == ((179.5, -17.0, 180.0, -16.0), (-180.0, -17.0, -179.25, -16.0))
    assert area.bounds == (179.5, -17.0, -179.25, -16.0)
    assert Area.of_box(area.bounds) == area
    longitudes, latitudes = area.outline()
    assert (min(longitudes), max(longitudes)) == (179.5, 180.75)
    assert (min(latitudes), max(latitudes)) == (-17.0, -16.0)
    assert not Area.of_box((-117.5, 35, -117, 36)).crosses


def test_longitudes_may_count_from_0_to_360():
    assert Area.of_box((242.5, 35, 243, 36)).bounds == (-117.5, 35.0, -117.0, 36.0)


def test_cover_is_the_part_of_the_box_in_all_footprints():
    area = Area.of_box((10, 50, 12, 51))
    assert area.cover([polygon(9, 49, 13, 52)]) == 1
    assert area.cover([polygon(9, 49, 11.5, 52)]) == pytest.approx(0.75)
    assert area.cover([polygon(9, 49, 11.5, 52), polygon(10.5, 49, 13, 52)]) == pytest.approx(0.5)
    assert area.cover([polygon(13, 49, 14, 52)]) == 0
    concave = {"type": "Polygon", "coordinates": [[[10, 50], [12, 50], [12, 51], [11, 50], [10, 51], [10, 50]]]}
    assert area.cover([concave]) == pytest.approx(0.5)


def test_footprints_cut_or_not_at_the_antimeridian_cover_alike():
    area = Area.of_box((179, -17, -179, -16))
    halves = [[ring(179.5, -18, 180, -15)], [ring(-180, -18, -178, -15)]]
    assert area.cover([{"type": "MultiPolygon", "coordinates": halves}]) == pytest.approx(0.75)
    assert area.cover([polygon(179.5, -18, 182, -15)]) == pytest.approx(0.75)
    uncut = {"type": "Polygon", "coordinates": [[[179.5, -18], [-178, -18], [-178, -15], [179.5, -15], [179.5, -18]]]}
    assert area.cover([uncut]) == pytest.approx(0.75)
