"""Dates from tags and names."""

from __future__ import annotations

from datetime import datetime

import pytest

from terrashift.io.scenes import Sun, scene_date, scene_orbit, scene_sun


@pytest.mark.parametrize(
    ("path", "date"),
    [
        ("S2A_MSIL1C_20230115T101234_N0509_R022_T33UUU_20230115T120000.SAFE", datetime(2023, 1, 15, 10, 12, 34)),
        ("a/T33UUU_20160529T101032_B04.jp2", datetime(2016, 5, 29, 10, 10, 32)),
        ("https://h/S2B_33UUU_20200131_0_L2A/B04.tif?sign=20190101", datetime(2020, 1, 31)),
        ("S2B_MSIL2A_20200131T100000_X.SAFE/GRANULE/B04_10m.jp2", datetime(2020, 1, 31, 10)),
        ("LC08_L2SP_198031_20200101_20200113_02_T1_SR_B4.TIF", datetime(2020, 1, 1)),
        ("LE71980312000101ABC00_B8.TIF", datetime(2000, 4, 10)),
        ("naip_2010-06-29.tif", datetime(2010, 6, 29)),
        ("x_20200131_v2.tif", datetime(2020, 1, 31)),
        ("x_20200131T235959.tif", datetime(2020, 1, 31, 23, 59, 59)),
        ("C:\\data\\2019.08.07.tif", datetime(2019, 8, 7)),
        ("x_19711231.tif", None),
        ("x_21010101.tif", None),
        ("x_20201331_20200230.tif", None),
        ("tile_120200131.tif", None),
        ("2020-01-31/image.tif", None),
        ("image.tif", None),
        ("", None),
    ],
)
def test_a_name_gives_the_day_of_acquisition(path, date):
    assert scene_date(path, {}) == date


@pytest.mark.parametrize(
    ("tags", "date"),
    [
        ({"TIFFTAG_DATETIME": "2020:01:31 10:20:30"}, datetime(2020, 1, 31, 10, 20, 30)),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
        ({"ACQUISITION_DATE": "2020-01-31"}, datetime(2020, 1, 31)),
        (
            {"date_acquired": "2020-01-31", "SCENE_CENTER_TIME": '"10:20:30.1234567Z"'},
            datetime(2020, 1, 31, 10, 20, 30, 123456),
        ),
        ({"PRODUCT_START_TIME": "2020-01-31T10:20:30.456Z"}, datetime(2020, 1, 31, 10, 20, 30, 456000)),
        ({"PRODUCT_START_TIME": "2020-01-31T10:20:30+02:00"}, datetime(2020, 1, 31, 8, 20, 30)),
        ({"ACQUISITION_DATE": "2020-01-31", "TIFFTAG_DATETIME": "2024:05:06 00:00:00"}, datetime(2020, 1, 31)),
        ({"ACQUISITION_DATE": "unknown"}, None),
        ({"VERSION": "20200131"}, None),
    ],
)
def test_a_tag_gives_the_day_of_acquisition(tags, date):
    assert scene_date("image.tif", tags) == date


def test_the_name_outweighs_the_day_on_which_the_file_was_written():
    assert scene_date("x_20200131.tif", {"TIFFTAG_DATETIME": "2024:05:06 00:00:00"}) == datetime(2020, 1, 31)
    assert scene_date("x_20200131.tif", {"ACQUISITION_DATE": "2020-01-30"}) == datetime(2020, 1, 30)


@pytest.mark.parametrize(
    ("tags", "sun"),
    [
        ({"SUN_ELEVATION": "41.5", "SUN_AZIMUTH": "150"}, Sun(41.5, 150.0)),
        ({"sun_elevation": '"41.5"', "sun_azimuth": "-30"}, Sun(41.5, 330.0)),
        ({"MEAN_SUN_EL": "20", "MEAN_SUN_AZ": "170"}, Sun(20.0, 170.0)),
        ({"SUN_ELEVATION": "41.5"}, None),
        ({"SUN_ELEVATION": "high", "SUN_AZIMUTH": "150"}, None),
        ({"SUN_ELEVATION": "141", "SUN_AZIMUTH": "150"}, None),
        ({}, None),
    ],
)
def test_a_tag_tells_the_sun(tags, sun):
    assert scene_sun(tags) == sun


@pytest.mark.parametrize(
    ("tags", "orbit"),
    [
        ({"RELATIVE_ORBIT": "R065"}, "R065"),
        ({"DATATAKE_1_SENSING_ORBIT_NUMBER": "65"}, "R065"),
        ({"WRS_PATH": "41", "WRS_ROW": "035"}, "path 041 row 035"),
        ({"WRS_PATH": "41"}, None),
    ],
)
def test_a_tag_tells_the_orbit(tags, orbit):
    assert scene_orbit(tags) == orbit
