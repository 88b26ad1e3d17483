"""Which pair comes first."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from terrashift.io.catalogue.area import Area
from terrashift.io.catalogue.items import Scene, View
from terrashift.io.catalogue.ranking import latest, rank
from terrashift.io.scenes import Sun, sun_angle

EVENT = datetime(2019, 7, 6)
AREA = Area.of_box((0, 0, 1, 1))
WHOLE = {"type": "Polygon", "coordinates": [[[-1, -1], [2, -1], [2, 2], [-1, 2], [-1, -1]]]}


def scene(name: str, days: float, **said: Any) -> Scene:
    usual: dict[str, Any] = {"cloud": 1.0, "orbit": "R027", "frame": "f", "sun": Sun(60, 130), "crs": "EPSG:32611"}
    usual |= {"collection": "c", "geometry": WHOLE, "assets": {}}
    return Scene(id=name, date=EVENT + timedelta(days=days), **(usual | said))


def best(*before: Scene, after: Scene | None = None) -> str:
    names = {rank(AREA, order, [after or scene("after", 5)])[0].before.id for order in permutations(before)}
    assert len(names) == 1, "the order of the catalogue decides"
    assert len(latest(before)) == len(before), "scenes of one moment count as one"
    return names.pop()


def half(east: float) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[-1, -1], [east, -1], [east, 2], [-1, 2], [-1, -1]]]}


def test_one_orbit_outweighs_sun_cloud_area_and_time():
    worse = scene("same", -50, cloud=25.0, sun=Sun(50, 150), geometry=half(0.7))
    assert best(worse, scene("other", -1, orbit="R127")) == "same"
    assert best(worse, scene("unknown", -1, orbit=None)) == "same"
    assert best(scene("unknown", -2, orbit=None), scene("other", -1, orbit="R127")) == "unknown"


def test_where_no_orbit_is_told_the_view_decides():
    after = scene("after", 5, orbit=None, view=View(incidence=8, azimuth=100))
    same = scene("same", -9, orbit=None, view=View(incidence=8.5, azimuth=101))
    across = scene("across", -1, orbit=None, view=View(incidence=8, azimuth=280))
    assert best(same, across, after=after) == "same"
    down = scene("down", -9, orbit=None, view=View(incidence=0.1, azimuth=0))
    also = scene("after", 5, orbit=None, view=View(incidence=0.1, azimuth=180))
    assert rank(AREA, [down], [also])[0].same_orbit is True


def test_one_utm_zone_outweighs_all_but_the_orbit():
    assert best(scene("same", -50, cloud=20.0), scene("zone", -1, crs="EPSG:32610")) == "same"
    assert best(scene("zone", -2, crs="EPSG:32610"), scene("orbit", -1, orbit="R127")) == "zone"


@pytest.mark.parametrize(
    "worse",
    [
        {"sun": Sun(55, 130)},
        {"sun": Sun(60, 142)},
        {"sun": None},
        {"cloud": 12.0},
        {"cloud": None},
        {"geometry": half(0.8)},
        {"date": EVENT - timedelta(days=60)},
    ],
)
def test_among_one_orbit_and_grid_each_of_sun_cloud_area_and_time_counts(worse):
    assert best(scene("good", -5), scene("a-worse", -5.5).model_copy(update=worse)) == "good"


def test_the_order_is_that_of_the_clock_so_a_pair_is_before_and_after():
    pair = rank(AREA, [scene("b", -5)], [scene("a", 5)])[0]
    assert (pair.before.id, pair.after.id, pair.days) == ("b", "a", 10)


def test_pairs_of_neighbouring_tiles_go_where_there_is_a_pair_of_one_tile():
    before = [scene("b", -5), scene("b-next", -5.1, frame="g")]
    after = [scene("a", 5), scene("a-next", 5.1, frame="g")]
    assert {(p.before.frame, p.after.frame) for p in rank(AREA, before, after)} == {("f", "f"), ("g", "g")}
    assert len(rank(AREA, before[:1], after[1:])) == 1


def test_scenes_of_two_collections_are_no_pair():
    assert rank(AREA, [scene("b", -5)], [scene("a", 5, collection="d")]) == []


def test_of_a_scene_processed_twice_the_later_is_kept():
    old, new = scene("S2_20190701_N0207", -5, baseline="02.07"), scene("S2_20190701_N0500", -5, baseline="05.00")
    assert latest([new, old]) == [new]
    assert len(latest([old, scene("other", -4)])) == 2
    assert len(latest([scene("x", -5, frame=None), scene("y", -5, frame=None)])) == 2


def test_the_angle_between_suns_counts_azimuth_less_when_they_stand_high():
    assert sun_angle(Sun(0, 90), Sun(0, 100)) == pytest.approx(10)
    assert sun_angle(Sun(60, 90), Sun(60, 100)) == pytest.approx(5, abs=0.02)
    assert sun_angle(Sun(90, 0), Sun(90, 180)) == pytest.approx(0, abs=1e-6)
    assert sun_angle(Sun(30, 359), Sun(30, 1)) == sun_angle(Sun(30, 1), Sun(30, 359)) < 2
