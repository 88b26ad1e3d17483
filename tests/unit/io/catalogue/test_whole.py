"""Fetching whole files: going on where a try ended, checked by the catalogue's checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stac_world as world

from terrashift.errors import CatalogueError, InputError
from terrashift.io.catalogue.draft import work_folder
from terrashift.io.catalogue.endpoints import Endpoint
from terrashift.io.catalogue.fetch import Order, fetch_scene
from terrashift.io.catalogue.items import scene_of
from terrashift.io.catalogue.sidecar import check_multihash
from terrashift.io.catalogue.web import Web
from terrashift.io.catalogue.whole import PIECE
from terrashift.io.catalogue.window import Fetched
from terrashift.io.raster import open_raster
from terrashift.io.scenes import Sun, sidecar_of

ENDPOINT = Endpoint("made-up", "http://127.0.0.1/stac")


def whole(href: str, folder: Path, web: Web, checksum: str | None = None, overwrite: bool = False) -> Fetched:
    ring = world.footprint(world.CORNER, (world.HEIGHT, world.WIDTH), "EPSG:32611")
    said: dict[str, Any] = {"sat:relative_orbit": 27, "view:sun_elevation": 70.0, "view:sun_azimuth": 120.0}
    asset = world.band(href, **({"file:checksum": checksum} if checksum else {}))
    scene = scene_of(world.item("B-best", "2019-06-28T18:39:21Z", ring, {"red": asset}, **said))
    assert scene is not None
    return fetch_scene(scene, Order(ENDPOINT, folder, "red", None, overwrite), web)


def sha256(data: bytes) -> str:
    return "1220" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "prefix", [("1220", "sha256"), ("1114", "sha1"), ("1340", "sha512"), ("d50110", "md5"), ("1620", "sha3_256")]
)
def test_a_whole_file_is_compared_with_the_catalogues_checksum(prefix, files, cogs, tmp_path, web):
    code, name = prefix
    one = whole(
        files.put("/red.TIF", cogs[0]), tmp_path, web, code + hashlib.new(name.replace("_", "-"), cogs[0]).hexdigest()
    )
    assert one.record.verified
    assert one.path.name == "B-best_red.TIF"
    assert one.path.read_bytes() == cogs[0]
    assert one.record.sha256 == hashlib.sha256(cogs[0]).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["B-best_red.TIF", "B-best_red.TIF.json"]


def test_a_wrong_checksum_is_refused_and_nothing_is_left(files, cogs, tmp_path, web):
    href = files.put("/red.tif", cogs[0])
    with pytest.raises(InputError, match=r"not what the catalogue describes: its sha256 is .*fetch again"):
        whole(href, tmp_path, web, sha256(cogs[1]))
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_of_an_unknown_kind_is_not_taken_for_verified(files, cogs, tmp_path, web):
    assert not whole(files.put("/red.tif", cogs[0]), tmp_path, web, "1e20" + "00" * 32).record.verified
    assert not check_multihash(tmp_path / "B-best_red.tif", "not hexadecimal")


def test_a_download_that_breaks_off_goes_on_from_there(files, cogs, tmp_path, web, said):
    href = files.put("/red.tif", cogs[0])
    half = 19 * PIECE
    assert half < len(cogs[0]) - 4 * PIECE
    files.wrong("/red.tif", "ok", f"cut:{half}", "500", "ok", f"cut:{PIECE}", f"cut:{PIECE + 1}", "cut:0")
    assert whole(href, tmp_path, web, sha256(cogs[0])).record.verified
    parts = [one.part for one in files.asked("/red.tif")]
    assert f"bytes={half}-" in parts
    assert parts[-1] == f"bytes={half + 2 * PIECE}-"
    assert any(f"going on from {half} bytes" in line for line in said)


def test_what_came_stays_for_the_next_run(files, cogs, tmp_path, web, said):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "ok", "cut:720000", *["503"] * 30)
    with pytest.raises(CatalogueError, match="What is finished is kept"):
        whole(href, tmp_path, web)
    assert [path.name for path in tmp_path.iterdir()] == [".B-best_red.tif.fetch"]
    assert (work_folder(tmp_path / "B-best_red.tif") / "whole.part").stat().st_size == 10 * PIECE
    files.faults.clear()
    files.requests.clear()
    assert whole(href, tmp_path, web).path.read_bytes() == cogs[0]
    assert [one.part for one in files.asked("/red.tif")] == ["bytes=0-0", f"bytes={10 * PIECE}-"]
    assert "27 % had come before" in said


def test_the_halves_of_two_files_are_never_joined(files, cogs, tmp_path, web):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "ok", "cut:720000", *["503"] * 30)
    with pytest.raises(CatalogueError):
        whole(href, tmp_path, web)
    files.faults.clear()
    files.put("/red.tif", cogs[1])
    assert whole(href, tmp_path, web).path.read_bytes() == cogs[1]


def test_a_file_that_is_replaced_during_the_download_starts_anew(files, tmp_path, web):
    old, new = bytes(5 * PIECE), bytes([1]) * 5 * PIECE
    href = files.put("/red.tif", old)
    files.wrong("/red.tif", "ok", f"cut:{2 * PIECE}")
    one = whole(href, tmp_path, replace(web, say=lambda text: files.put("/red.tif", new)))
    assert one.path.read_bytes() == new


def test_a_server_without_ranges_starts_anew(files, cogs, tmp_path, web):
    href = files.put("/red.tif", cogs[0])
    files.without_ranges.add("/red.tif")
    files.wrong("/red.tif", "ok", "cut:500000")
    assert whole(href, tmp_path, web).path.read_bytes() == cogs[0]


def test_a_whole_file_is_recognised_by_its_record(files, cogs, tmp_path, web):
    one = whole(files.put("/red.tif", cogs[0]), tmp_path, web)
    image = open_raster(str(one.path))
    assert str(image.date) == "2019-06-28 18:39:21"
    assert (image.sun, image.orbit) == (Sun(70.0, 120.0), "R027")
    sidecar_of(one.path).write_text(json.dumps({"date": "2001-01-01"}))
    assert open_raster(str(one.path)).date is None


def test_a_whole_file_that_is_there_is_verified_and_left(files, cogs, tmp_path, web):
    href = files.put("/red.tif", cogs[0])
    path = whole(href, tmp_path, web).path
    files.requests.clear()
    assert whole(href, tmp_path, web).again
    assert files.requests == []
    path.write_bytes(cogs[0][:-1] + b"x")
    with pytest.raises(InputError, match="was changed since it was fetched"):
        whole(href, tmp_path, web)
    assert whole(href, tmp_path, web, overwrite=True).path.read_bytes() == cogs[0]
