"""The satellite's track: known directions, with their sign, in grids of every kind."""

import dataclasses

import numpy as np
import pytest
from affine import Affine
from planted_fields import field_of

from terrashift.core.grid import Grid
from terrashift.register.track import ORBITS, orbit_of, track_angle, track_azimuth

S2 = "S2A_MSIL1C_20200101T101234_N0208_R022_T31TCF_20200101T121234.SAFE"
LANDSAT = "LC08_L1TP_198031_20200101_20200113_02_T1_B8.TIF"


NORTH_UP = Affine(10, 0, 499_000, 0, -10, 4_982_000)


def field_at(before, after, transform=NORTH_UP, crs="EPSG:32631"):
    plain = np.zeros((200, 200))
    grid = Grid(200, 200, transform, crs)
    return dataclasses.replace(field_of(plain, plain), grid=grid, made_by={"BEFORE": before, "AFTER": after})


def test_missions_are_known_by_both_names():
    assert orbit_of(field_at(S2, S2.replace("2A", "2B")))[0] == "Sentinel-2"
    assert orbit_of(field_at("T31TCF_20200101T101234_B04.jp2", "x/" + S2))[0] == "Sentinel-2"
    assert orbit_of(field_at(LANDSAT, LANDSAT))[0] == "Landsat"
    assert orbit_of(field_at(S2, LANDSAT)) is None
    assert orbit_of(field_at("before.tif", "after.tif")) is None


@pytest.mark.parametrize(("latitude", "azimuth"), [(0.0, 192.1), (45.0, 194.4), (-45.0, 194.4), (60.0, 198.7)])
def test_the_descending_track_leans_west_and_more_so_toward_the_pole(latitude, azimuth):
    assert track_azimuth(ORBITS["Landsat"][1], latitude) == pytest.approx(azimuth, abs=0.8)


def test_near_the_pole_there_is_no_one_direction():
    assert track_azimuth(ORBITS["Sentinel-2"][1], 81.2) is None


def test_in_a_north_up_image_the_track_runs_from_the_upper_right_to_the_lower_left():
    mission, angle = track_angle(field_at(S2, S2))
    assert mission == "Sentinel-2"
    assert angle == pytest.approx(14.5, abs=1.0)


def test_turned_and_south_up_grids_turn_the_track_with_them():
    plain = track_angle(field_at(S2, S2))[1]
    south_up = track_angle(field_at(S2, S2, Affine(10, 0, 499_000, 0, 10, 4_982_000)))[1]
    assert south_up == pytest.approx(-plain, abs=0.02)
    # rows run 30 degrees south of east: the image was turned clockwise, so the track turns the other way in it
    turned = Affine.translation(499_000, 4_982_000) @ Affine.rotation(-30) @ Affine.scale(10, -10)
    assert track_angle(field_at(S2, S2, turned))[1] == pytest.approx(plain - 30, abs=0.1)


def test_without_a_crs_or_a_mission_nothing_is_told():
    assert track_angle(field_at(S2, S2, Affine.identity(), None)) is None
    assert track_angle(field_at("a.tif", "b.tif")) is None
