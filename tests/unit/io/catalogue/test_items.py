"""STAC items of several catalogues, as they write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from terrashift.errors import InputError
from terrashift.io.catalogue.assets import choose
from terrashift.io.catalogue.endpoints import COPERNICUS, PLANETARY_COMPUTER, USGS, endpoint_of
from terrashift.io.catalogue.items import Scene, scene_of
from terrashift.io.catalogue.remote import address_of
from terrashift.io.scenes import Sun

PLACE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def scene(name: str = "x", assets: dict[str, Any] | None = None, collection: str = "c", **said: Any) -> Scene:
    properties = {"datetime": "2023-01-01T10:23:39.024000Z", **said}
    found = scene_of(
        {"id": name, "collection": collection, "geometry": PLACE, "properties": properties, "assets": assets or {}}
    )
    assert found is not None
    return found


def planetary() -> Scene:
    def band(code: str, common: str, wavelength: float, gsd: float) -> dict[str, Any]:
        bands = [{"name": code, "common_name": common, "center_wavelength": wavelength}]
        return {"href": f"https://x.blob.core.windows.net/{code}.tif", "type": TIFF, "gsd": gsd, "eo:bands": bands}

    return scene(
        "S2B_MSIL2A_20230101T102339_R065_T32UPC_20240806T223544",
        {
            "B04": band("B04", "red", 0.665, 10),
            "B08": band("B08", "nir", 0.842, 10),
            "B8A": band("B8A", "rededge", 0.865, 20),
            "SCL": {"href": "https://x/SCL.tif", "type": TIFF, "gsd": 20},
            "tilejson": {"href": "https://x/tilejson", "type": "application/json", "roles": ["tiles"]},
            "rendered": {"href": "https://x/preview.png", "type": "image/png", "roles": ["overview"]},
        },
        "sentinel-2-l2a",
        **{"sat:relative_orbit": 65, "s2:mean_solar_zenith": 76.5, "s2:mean_solar_azimuth": 163.0},
        **{"eo:cloud_cover": 12.5, "s2:mgrs_tile": "32UPC", "proj:code": "EPSG:32632", "platform": "Sentinel-2B"},
    )


def test_planetary_computer_tells_the_sun_by_its_zenith():
    found = planetary()
    assert found.sun == Sun(13.5, 163.0)
    assert (found.orbit, found.frame, found.crs, found.cloud) == ("R065", "32UPC", "EPSG:32632", 12.5)
    assert found.date == datetime(2023, 1, 1, 10, 23, 39, 24000)


def test_earth_search_tells_the_orbit_in_the_name_of_the_product_only():
    found = scene(
        "S2B_32UPC_20230101_0_L2A",
        **{"s2:product_uri": "S2B_MSIL2A_20230101T102339_N0509_R065_T32UPC_20230101T120000.SAFE"},
        **{"grid:code": "MGRS-32UPC", "view:sun_elevation": 13.5, "view:sun_azimuth": -197.0, "proj:epsg": 32632},
    )
    assert (found.orbit, found.frame, found.crs) == ("R065", "32UPC", "EPSG:32632")
    assert found.sun == Sun(13.5, 163.0)


def test_landsat_is_known_by_path_and_row():
    found = scene(**{"landsat:wrs_path": "041", "landsat:wrs_row": "35", "eo:sun_elevation": 60, "eo:sun_azimuth": 99})
    assert (found.orbit, found.frame, found.sun) == ("path 041 row 035", "041/35", Sun(60.0, 99.0))


def test_an_item_that_tells_little_is_read_all_the_same():
    found = scene()
    assert (found.orbit, found.sun, found.view, found.cloud, found.crs) == (None,) * 5
    assert scene_of({"id": "x", "geometry": None, "properties": {"datetime": "2023-01-01T00:00:00Z"}}) is None
    assert scene_of({"id": "x", "geometry": PLACE, "properties": {"datetime": None}}) is None
    nanoseconds = scene_of({"id": "x", "geometry": PLACE, "properties": {"datetime": "2023-01-01T00:00:00.1234567Z"}})
    assert nanoseconds is not None
    assert nanoseconds.date.microsecond == 123456


def test_signatures_and_passwords_are_taken_off_what_a_catalogue_tells():
    assets = {
        "a": {"href": "https://u:secret@h/a.tif?st=1&sig=secret", "type": TIFF},
        "b": {"href": "https://h/b.tif?X-Amz-Signature=secret", "alternate": {"s3": {"href": "s3://b/b.tif"}}},
        "c": {"href": "https://h/c.tif?version=2", "type": TIFF},
    }
    found = scene(assets=assets)
    assert "secret" not in found.model_dump_json()
    assert found.assets["a"].href == "https://h/a.tif"
    assert found.assets["c"].href == "https://h/c.tif?version=2"


@pytest.mark.parametrize(
    ("wanted", "key"),
    [("red", "B04"), ("B04", "B04"), ("b8a", "B8A"), ("nir", "B08"), ("842nm", "B08"), ("0.86um", "B8A")],
)
def test_a_band_is_found_by_its_code_common_name_or_wavelength(wanted, key):
    assert choose(planetary(), wanted, PLANETARY_COMPUTER.collection("sentinel-2-l2a")).asset.key == key


@pytest.mark.parametrize("wanted", ["swir", "11um", "tilejson", "rendered", ""])
def test_a_band_that_is_not_there_lists_those_that_are(wanted):
    with pytest.raises(InputError) as caught:
        choose(planetary(), wanted)
    assert "B04           10 m  B04/red 665 nm" in str(caught.value)
    assert "tilejson" not in str(caught.value).split("\n", 1)[1]


def test_the_finest_file_of_a_band_wins_and_tiff_over_jpeg_2000():
    def one(href: str, kind: str, gsd: float) -> dict[str, Any]:
        return {"href": href, "type": kind, "gsd": gsd}

    copernicus = scene(
        assets={f"B04_{gsd}m": one(f"https://h/{gsd}.jp2", "image/jp2", gsd) for gsd in (60, 10, 20)},
        collection="sentinel-2-l2a",
    )
    assert choose(copernicus, "B04").asset.key == "B04_10m"
    assert choose(copernicus, "red").asset.key == "B04_10m"
    assert choose(copernicus, "B04_20m").asset.key == "B04_20m"
    assert choose(copernicus, "red", COPERNICUS.collection("sentinel-2-l2a")).asset.key == "B04_10m"
    named = [{"name": "red", "common_name": "red"}]
    both = scene(
        assets={
            "visual-red": {**one("https://h/v.jp2", "image/jp2", 10), "eo:bands": named},
            "red2": {**one("https://h/r.tif", TIFF, 10), "eo:bands": named},
        }
    )
    assert choose(both, "red").asset.key == "red2"
    assert choose(scene(assets={"red": one("https://h/r.tif", TIFF, 10)}), "B04").asset.key == "red"


def test_one_file_of_several_bands_gives_the_number_of_the_band():
    bands = [{"name": name, "common_name": name.lower()} for name in ("Red", "Green", "Blue", "NIR")]
    naip = scene(assets={"image": {"href": "https://h/i.tif", "type": TIFF, "eo:bands": bands}})
    assert choose(naip, "nir")[1] == 4
    assert choose(naip, "image:green")[1] == 2
    assert choose(naip, "image:3").name == "image:Blue"
    with pytest.raises(InputError, match="no band called 'image'"):
        choose(naip, "image")


def test_stac_1_1_bands_are_read_like_those_of_1_0():
    new = {"href": "https://h/r.tif", "type": TIFF, "nodata": 0, "bands": [{"name": "B04", "eo:common_name": "red"}]}
    old = {"href": "https://h/r.tif", "type": TIFF, "eo:bands": [{"name": "B04", "common_name": "red"}]}
    old["raster:bands"] = [{"nodata": 0}]
    for asset in (new, old):
        assert choose(scene(assets={"x": asset}), "red").band.nodata == 0
    unnamed = {"href": "https://h/r.tif", "type": TIFF, "raster:bands": [{"nodata": "nan"}]}
    assert str(choose(scene(assets={"x": unnamed}), "x").band.nodata) == "nan"


def test_http_is_read_where_s3_would_need_an_account(monkeypatch):
    asset = {"href": "s3://eodata/x.jp2", "alternate": {"https": {"href": "https://download/x.jp2"}}}
    found = scene(assets={"B04_10m": asset}).assets["B04_10m"]
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert address_of(found) == "https://download/x.jp2"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    assert address_of(found) == "s3://eodata/x.jp2"


def test_known_endpoints_are_found_by_name_and_by_url():
    assert endpoint_of("usgs") is USGS
    assert endpoint_of(PLANETARY_COMPUTER.url + "/") is PLANETARY_COMPUTER
    assert endpoint_of("https://my.org/stac").token_hosts == ("my.org",)
