"""Fetching windows from a server that may misbehave."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import stac_world as world
from affine import Affine

from terrashift.errors import CatalogueError, InputError, OutputError
from terrashift.io import atomic
from terrashift.io.catalogue import window as windows
from terrashift.io.catalogue.area import Area
from terrashift.io.catalogue.draft import plan_blocks, work_folder
from terrashift.io.catalogue.endpoints import Endpoint
from terrashift.io.catalogue.fetch import Order, compare_grids, fetch_scene
from terrashift.io.catalogue.items import Scene, scene_of
from terrashift.io.catalogue.place import Pixels
from terrashift.io.catalogue.web import Web, WebOptions
from terrashift.io.raster import open_raster
from terrashift.io.scenes import Sun, sidecar_of

ENDPOINT = Endpoint("made-up", "http://127.0.0.1/stac", token_hosts=("127.0.0.1",))


def scene_at(href: str, name: str = "B-best", **asset: Any) -> Scene:
    """A scene whose red band is at `href`; `asset` adds to what the catalogue says of it."""
    ring = world.footprint(world.CORNER, (world.HEIGHT, world.WIDTH), "EPSG:32611")
    said = {"sat:relative_orbit": 27, "view:sun_elevation": 70.0, "view:sun_azimuth": 120.0, "eo:cloud_cover": 2.0}
    found = scene_of(
        world.item(name, "2019-06-28T18:39:21Z", ring, {"red": world.band(href, **asset)}, **said), "CC-BY-4.0"
    )
    assert found is not None
    return found


def fetch(href: str, folder: Path, web: Web, area: Area | None, **more: Any) -> Path:
    name, overwrite = more.pop("name", "B-best"), more.pop("overwrite", False)
    return fetch_scene(scene_at(href, name, **more), Order(ENDPOINT, folder, "red", area, overwrite), web).path


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_the_pixels_of_the_window_are_the_sources_own_and_its_corner_is_right(files, cogs, pixels, tmp_path, web, area):
    path = fetch(files.put("/red.tif", cogs[0]), tmp_path, web, area)
    with rasterio.open(path) as found:
        column, row = ~world.CORNER @ (found.transform.c, found.transform.f)
        assert abs(column - round(column)) < 1e-9
        assert abs(row - round(row)) < 1e-9
        row, column = round(row), round(column)
        values = found.read(1)
        assert values.dtype == np.uint16
        np.testing.assert_array_equal(values, pixels[0][row : row + found.height, column : column + found.width])
        assert found.height != found.width
        assert found.crs == "EPSG:32611"
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert found.tags()["AREA_OR_POINT"] == "Area"
    assert leftovers(tmp_path) == []


def test_a_long_fetch_shows_that_it_is_alive(files, cogs, tmp_path, web, area, said, monkeypatch):
    monkeypatch.setattr(windows, "SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr("terrashift.io.catalogue.draft.BLOCK_PX", 256)
    path = fetch(files.put("/red.tif", cogs[0]), tmp_path, web, area)
    total = len(plan_blocks(Pixels(*json.loads(sidecar_of(path).read_text())["window"]), (256, 256)))
    assert said == [f"{n} of {total} blocks have come" for n in range(1, total)]


def test_only_the_window_is_downloaded(files, cogs, tmp_path, web):
    small = Area.of_point((-117.5, 35.68), 0.3)
    fetch(files.put("/red.tif", cogs[0]), tmp_path, web, small)
    parts = [one.part.removeprefix("bytes=").split("-") for one in files.asked("/red.tif") if one.part]
    assert sum(int(last) - int(first) + 1 for first, last in parts) < len(cogs[0]) / 3


def test_tags_and_record_say_what_check_and_measure_need(files, cogs, tmp_path, web, area):
    href = files.put("/red.tif", cogs[0])
    path = fetch(href, tmp_path, web, area)
    image = open_raster(str(path))
    assert str(image.date) == "2019-06-28 18:39:21"
    assert (image.sun, image.orbit, image.band_name) == (Sun(70.0, 120.0), "R027", "red")
    with rasterio.open(path) as found:
        tags = found.tags()
    assert tags["PLATFORM"] == "made-up-1"
    assert tags["SOURCE"] == href
    assert tags["LICENCE"] == "CC-BY-4.0"
    record = json.loads(sidecar_of(path).read_text())
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["source_bytes"] == len(cogs[0])
    row, column, height, width = record["window"]
    assert (height, width) == image.grid.shape
    assert tuple(record["transform"]) == tuple((world.CORNER @ Affine.translation(column, row))[:6])


def test_a_file_counted_from_pixel_centres_lies_where_its_twin_does(
    files, make_cog, pixels, tmp_path, web, area, monkeypatch
):
    area_file, point_file = (
        files.put(f"/{kind}.tif", make_cog(pixels[0], tags={"AREA_OR_POINT": kind})) for kind in ("Area", "Point")
    )
    monkeypatch.setenv("GTIFF_POINT_GEO_IGNORE", "TRUE")  # a setting of GDAL that moves such files by half a pixel
    paths = [fetch(href, tmp_path, web, area, name=name) for href, name in ((area_file, "a"), (point_file, "p"))]
    one, other = (rasterio.open(path) for path in paths)
    with one, other:
        assert one.transform == other.transform
        np.testing.assert_array_equal(one.read(), other.read())
        assert other.tags()["AREA_OR_POINT"] == "Area"
    assert json.loads(sidecar_of(paths[1]).read_text())["source_pixels"] == "Point"
    assert "the same pixels: terrashift measure" in compare_grids(*paths)


def test_a_transform_of_the_catalogue_at_centres_is_told_and_the_files_own_is_used(
    files, cogs, tmp_path, web, area, said
):
    href = files.put("/red.tif", cogs[0])
    centres = list((world.CORNER @ Affine.translation(0.5, 0.5))[:6])
    right = fetch(href, tmp_path, web, area, name="right", **{"proj:transform": list(world.CORNER[:6])})
    assert said == []
    moved = fetch(href, tmp_path, web, area, name="moved", **{"proj:transform": centres})
    assert "counts from the centre of the first pixel; the file's own grid is used" in said[0]
    assert open_raster(str(right)).grid == open_raster(str(moved)).grid
    fetch(
        href,
        tmp_path,
        web,
        area,
        name="off",
        **{"proj:transform": list((world.CORNER @ Affine.translation(3, -1))[:6])},
    )
    assert "off the file's by +3.000 px in x and -1.000 px in y" in said[1]


@pytest.mark.parametrize("centred", [False, True])
def test_a_file_without_georeferencing_is_placed_by_the_catalogue_to_the_half_pixel(
    centred, files, make_cog, pixels, tmp_path, web, area
):
    from rasterio.errors import NotGeoreferencedWarning

    with pytest.warns(NotGeoreferencedWarning):
        bare = files.put("/bare.tif", make_cog(pixels[0], crs=None, transform=Affine.identity()))
    placed = files.put("/placed.tif", make_cog(pixels[0]))
    told = world.CORNER @ Affine.translation(0.5, 0.5) if centred else world.CORNER
    left, top = world.CORNER @ (0, 0)
    right, bottom = world.CORNER @ (world.WIDTH, world.HEIGHT)
    about = {"proj:transform": list(told[:6]), "proj:epsg": 32611, "proj:bbox": [left, bottom, right, top]}
    one = fetch(bare, tmp_path, web, area, name="bare", **about, **{"proj:shape": [world.HEIGHT, world.WIDTH]})
    other = fetch(placed, tmp_path, web, area, name="placed")
    with rasterio.open(one) as bare_one, rasterio.open(other) as placed_one:
        assert bare_one.transform.almost_equals(placed_one.transform, 1e-9)
        np.testing.assert_array_equal(bare_one.read(), placed_one.read())
    with pytest.raises(InputError, match="not georeferenced, and the catalogue does not say"):
        fetch(bare, tmp_path, web, area, name="nowhere")


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("int16", -9999), ("float32", np.nan), ("float64", None), ("uint16", None)]
)
def test_every_type_and_nodata_value_stays(dtype, nodata, files, make_cog, pixels, tmp_path, web, area):
    values = (pixels[0] % 200 + 1).astype(dtype)
    if nodata is not None:
        values[::3, ::5] = nodata
    path = fetch(files.put("/x.tif", make_cog(values, nodata=nodata)), tmp_path, web, area)
    record = json.loads(sidecar_of(path).read_text())
    row, column, height, width = record["window"]
    with rasterio.open(path) as found:
        assert found.dtypes == (dtype,)
        np.testing.assert_equal(found.nodata, nodata)
        np.testing.assert_array_equal(found.read(1), values[row : row + height, column : column + width])


def test_nodata_of_the_catalogue_and_masks_inside_the_file_reach_our_reader(
    files, make_cog, pixels, tmp_path, web, area
):
    values = pixels[0].copy()
    values[:, ::7] = 0
    plain = fetch(
        files.put("/p.tif", make_cog(values)), tmp_path, web, area, name="p", **{"raster:bands": [{"nodata": 0}]}
    )
    masked = fetch(files.put("/m.tif", make_cog(pixels[0], mask=values != 0)), tmp_path, web, area, name="m")
    one, other = (open_raster(str(path)).read(0, 0, 90, 80).isnan().numpy() for path in (plain, masked))
    np.testing.assert_array_equal(one, other)
    assert 0.1 < one.mean() < 0.2


def test_a_window_without_data_is_refused_and_leaves_nothing(files, make_cog, tmp_path, web, area):
    empty = np.zeros((world.HEIGHT, world.WIDTH), np.uint16)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="of B-best in the box are nodata"):
        fetch(files.put("/x.tif", make_cog(empty, nodata=0)), tmp_path / "out", web, area)
    assert list((tmp_path / "out").iterdir()) == []


def test_errors_of_the_server_are_waited_out(files, cogs, pixels, tmp_path, web, area, said):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "500", "503", "ok", "502", "502", "ok", "ok", "429", "cut:1000", "500", "500")
    path = fetch(href, tmp_path, web, area)
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])
    assert "answers 500 Internal Server Error; try 2 of 4" in said[0]
    assert not files.faults["/red.tif"]


def test_retry_after_is_heeded(files, cogs, tmp_path, web, area, said):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "429:0.4")
    start = time.monotonic()
    fetch(href, tmp_path, web, area)
    assert time.monotonic() - start > 0.4
    assert "429 Too Many Requests; try 2 of 4 in 0.4 s" in said[0]
    files.wrong("/red.tif", "ok", "ok", "ok", "429", "429", "429:0.3")  # in the middle of reading
    fetch(href, tmp_path, web, area, name="middle")
    assert said[1].endswith("429 Too Many Requests; try 2 of 4 in 0.3 s")
    files.wrong("/red.tif", "429:5000")
    with pytest.raises(CatalogueError, match="asks to wait 5000 s"):
        fetch(href, tmp_path, web, area, name="later")


def test_a_server_that_does_not_answer_is_tried_again(files, cogs, tmp_path, web, area, said):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "stall:1")
    fetch(href, tmp_path, replace(web, options=WebOptions(tries=3, wait_s=0.01, timeout_s=0.3)), area)
    assert "timed out" in said[0].lower()


def test_bodies_that_break_off_in_the_middle_of_a_block_are_read_again(files, cogs, pixels, tmp_path, web, area):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", "ok", "ok", "ok", *["cut:5000"] * 5)
    path = fetch(href, tmp_path, web, area)
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])
    assert not files.faults["/red.tif"]


def test_a_server_that_stays_broken_ends_with_what_to_do(files, cogs, tmp_path, web, area):
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", *["503"] * 50)
    with pytest.raises(CatalogueError, match=r"failed 4 times, last with: .* 503 .*more --tries"):
        fetch(href, tmp_path, web, area)
    assert len(files.asked("/red.tif")) == 4


@pytest.mark.parametrize(("path", "message"), [("/none.tif", "is not there"), ("/secret.tif", "may not be read")])
def test_what_waiting_cannot_help_is_said_at_once(path, message, files, cogs, tmp_path, web, area):
    files.put("/secret.tif", cogs[0])
    files.tokens["/secret.tif"] = "letmein"
    with pytest.raises(CatalogueError, match=message):
        fetch(files.address + path, tmp_path, web, area)
    assert len(files.asked(path)) == 1


def test_a_server_without_ranges_sends_the_whole_file_once(files, cogs, pixels, tmp_path, web, area, said):
    href = files.put("/red.tif", cogs[0])
    files.without_ranges.add("/red.tif")
    files.wrong("/red.tif", "ok", "cut:100000")
    path = fetch(href, tmp_path, web, area)
    assert "sends no parts of files; the whole file, 2.46 MB, is downloaded" in said[0]
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])
    assert leftovers(tmp_path) == []


def test_a_file_that_is_no_raster_is_refused(files, tmp_path, web, area):
    with pytest.raises(CatalogueError, match="is no raster that can be read in parts but a web page"):
        fetch(files.put("/red.tif", b"<html>please log in</html>" * 100), tmp_path, web, area)
    with pytest.raises(CatalogueError, match=r"is no raster that can be read in parts \(it starts with b'PK"):
        fetch(files.put("/red.tif", b"PK\3\4" * 100), tmp_path, web, area)


def test_jpeg_2000_is_read_in_parts(files, pixels, tmp_path, web, area):
    name = tmp_path / "x.jp2"
    about: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", "crs": "EPSG:32611"}
    about |= {"height": world.HEIGHT, "width": world.WIDTH, "count": 1, "dtype": "uint16", "transform": world.CORNER}
    with rasterio.open(name, "w", **about, blockxsize=256, blockysize=256) as file:
        file.write(pixels[0], 1)
    path = fetch(files.put("/x.jp2", name.read_bytes()), tmp_path, web, area, type="image/jp2")
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])


def test_a_redirect_to_another_server_does_not_take_the_token_along(files, cogs, tmp_path, web, area, monkeypatch):
    monkeypatch.setenv("TERRASHIFT_TOKEN", "open-sesame")
    with world.file_server() as other:
        other.put("/moved.tif", cogs[0])
        files.redirects["/red.tif"] = f"{other.address.replace('127.0.0.1', 'localhost')}/moved.tif"
        fetch(files.address + "/red.tif", tmp_path, replace(web, token_hosts=("127.0.0.1",)), area)
        assert {one.authorization for one in files.requests} == {"Bearer open-sesame"}
        assert {one.authorization for one in other.requests} == {""}


def test_a_finished_file_is_verified_and_left_without_asking_the_server(files, cogs, tmp_path, web, area):
    href = files.put("/red.tif", cogs[0])
    path = fetch(href, tmp_path, web, area)
    before, asked = path.stat(), len(files.requests)
    assert fetch(href, tmp_path, web, area) == path
    assert (path.stat().st_mtime_ns, len(files.requests)) == (before.st_mtime_ns, asked)


def test_a_file_that_was_changed_or_is_another_is_refused(files, cogs, tmp_path, web, area):
    href = files.put("/red.tif", cogs[0])
    path = fetch(href, tmp_path, web, area)
    with pytest.raises(InputError, match="holds another band, box or source"):
        fetch(href, tmp_path, web, Area.of_box((-117.51, 35.66, -117.48, 35.69)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="its checksum is not that in"):
        fetch(href, tmp_path, web, area)
    fetch(href, tmp_path, web, area, overwrite=True)
    assert bytes(data) != path.read_bytes()
    sidecar_of(path).unlink()
    with pytest.raises(InputError, match="without the record"):
        fetch(href, tmp_path, web, area)


def _fetch_and_stop(href: str, folder: Path, after: int) -> None:
    """Fetch, and be killed when `after` blocks have come."""
    from terrashift.io.catalogue.remote import RemoteRaster

    read, came = RemoteRaster.read, []

    def read_or_die(self: RemoteRaster, *arguments: Any) -> np.ndarray:
        if len(came) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        came.append(1)
        return read(self, *arguments)

    RemoteRaster.read = read_or_die  # type: ignore[method-assign]
    fetch(href, folder, Web(WebOptions(tries=2, wait_s=0.01)), Area.of_box(world.BOX))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_fetch_goes_on_with_the_blocks_that_are_missing(
    files, cogs, pixels, tmp_path, web, area, monkeypatch, said
):
    monkeypatch.setattr("terrashift.io.catalogue.draft.BLOCK_PX", 256)
    href = files.put("/red.tif", cogs[0])
    process = multiprocessing.get_context("fork").Process(target=_fetch_and_stop, args=(href, tmp_path, 3))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".fetch"]
    kept = list(work_folder(tmp_path / "B-best_red.tif").glob("*.npy"))
    assert len(kept) == 3
    kept[0].write_bytes(kept[0].read_bytes()[:-10])  # a block that a power cut damaged
    files.requests.clear()
    path = fetch(href, tmp_path, web, area)
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    blocks = len(plan_blocks(Pixels(row, column, height, width), (256, 256)))
    assert said == [f"2 of {blocks} blocks had come before"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])
    assert leftovers(tmp_path) == []


def test_blocks_of_a_file_that_was_replaced_meanwhile_are_not_mixed(
    files, cogs, pixels, tmp_path, web, area, monkeypatch
):
    monkeypatch.setattr("terrashift.io.catalogue.draft.BLOCK_PX", 256)
    href = files.put("/red.tif", cogs[0])
    files.wrong("/red.tif", *["ok"] * 5, *["500"] * 40)
    with pytest.raises(CatalogueError):
        fetch(href, tmp_path, web, area)
    assert list(work_folder(tmp_path / "B-best_red.tif").glob("*.npy"))
    files.faults.clear()
    files.put("/red.tif", cogs[1])
    path = fetch(href, tmp_path, web, area)
    row, column, height, width = json.loads(sidecar_of(path).read_text())["window"]
    with rasterio.open(path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[1][row : row + height, column : column + width])


def test_a_full_disk_is_told_and_nothing_takes_the_final_name(files, cogs, tmp_path, web, area, monkeypatch):
    href = files.put("/red.tif", cogs[0])
    usage = atomic.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OutputError, match="not enough space"):
        fetch(href, tmp_path, web, area)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(windows, "copy_as_cog", full)
    with pytest.raises(OutputError, match="the disk is full"):
        fetch(href, tmp_path, web, area)
    assert [path.suffix for path in tmp_path.iterdir()] == [".fetch"]


def test_the_token_goes_to_the_endpoints_own_host_and_into_no_file(files, cogs, tmp_path, web, area, monkeypatch, said):
    href = files.put("/red.tif", cogs[0])
    files.tokens["/red.tif"] = "open-sesame"
    monkeypatch.setenv("TERRASHIFT_TOKEN", "open-sesame")
    path = fetch(href, tmp_path, replace(web, token_hosts=("127.0.0.1",)), area)
    assert {one.authorization for one in files.requests} == {"Bearer open-sesame"}
    files.requests.clear()
    with pytest.raises(CatalogueError) as caught:
        fetch(href, tmp_path, replace(web, token_hosts=("elsewhere.org",)), area, name="other")
    assert {one.authorization for one in files.requests} == {""}
    written = b"".join(one.read_bytes() for one in (path, sidecar_of(path)))
    assert b"sesame" not in written
    assert "sesame" not in str(caught.value) + "".join(said)


def test_addresses_are_signed_for_reading_only(files, cogs, tmp_path, web, area, said):
    href = files.put("/red.tif", cogs[0])
    files.signed.add("/red.tif")
    with pytest.raises(CatalogueError, match="may not be read"):
        fetch(href, tmp_path, web, area)
    signing = replace(web, signer=files.address + "/sign")
    files.wrong("/sign", "503")
    path = fetch(href, tmp_path, signing, area)
    assert files.signatures >= 2  # one for asking, one for reading: each ends soon
    written = b"".join(one.read_bytes() for one in (path, sidecar_of(path)))
    assert b"sig=" not in written
    assert b"secret" not in written
    assert "secret" not in "".join(said)
    with pytest.raises(CatalogueError, match="no service that signs"):
        fetch(href, tmp_path, replace(web, signer=files.put("/page", b"<html>")), area, name="x")


def test_s3_is_read_with_the_account_of_the_environment(files, cogs, pixels, tmp_path, web, area, monkeypatch):
    files.put("/bucket/red.tif", cogs[0])
    storage = {"AWS_S3_ENDPOINT": files.address.removeprefix("http://"), "AWS_VIRTUAL_HOSTING": "FALSE"}
    endpoint = replace(ENDPOINT, storage={**storage, "AWS_HTTPS": "NO"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
    order = Order(endpoint, tmp_path, "red", area)
    one = fetch_scene(scene_at("s3://bucket/red.tif"), order, web)
    assert all(request.authorization.startswith("AWS4-HMAC-SHA256") for request in files.requests)
    row, column, height, width = json.loads(sidecar_of(one.path).read_text())["window"]
    with rasterio.open(one.path) as found:
        np.testing.assert_array_equal(found.read(1), pixels[0][row : row + height, column : column + width])
    assert not any(b"sesame" in path.read_bytes() for path in tmp_path.iterdir())
    with pytest.raises(CatalogueError, match=r"s3://bucket/none\.tif: Invalid AWS response"):
        fetch_scene(scene_at("s3://bucket/none.tif", "none"), order, replace(web, options=WebOptions(tries=1)))


def test_s3_without_an_account_says_which_variables_to_set(tmp_path, web, area):
    with pytest.raises(CatalogueError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        fetch("s3://bucket/red.tif", tmp_path, web, area)
    with pytest.raises(CatalogueError, match="neither http"):
        fetch("file:///etc/passwd", tmp_path, web, area)


def test_scenes_in_two_utm_zones_name_register(files, cogs, make_cog, pixels, tmp_path, web, area):
    from rasterio.warp import transform

    x, y = transform("EPSG:4326", "EPSG:32610", [-117.6], [35.75])[:2]
    other = files.put("/z.tif", make_cog(pixels[1], crs="EPSG:32610", transform=Affine(10, 0, x[0], 0, -10, y[0])))
    one = fetch(files.put("/red.tif", cogs[0]), tmp_path, web, area, name="one")
    two = fetch(other, tmp_path, web, area, name="two")
    told = compare_grids(one, two)
    assert "not on one grid" in told
    assert f"terrashift register {two} {one} -o aligned.tif" in told


@pytest.mark.parametrize("tile", [(256, 256), (1, 1300), (4000, 100)])
def test_blocks_cover_a_window_once_and_keep_to_the_sources_tiles(tile: tuple[int, int]):
    window = Pixels(700, 300, 1500, 900)
    seen = np.zeros((2300, 1300), int)
    for block in plan_blocks(window, tile):
        seen[block.row : block.row + block.height, block.column : block.column + block.width] += 1
        assert block.row == window.row or block.row % tile[0] == 0
        assert block.column == window.column or block.column % tile[1] == 0
    assert seen[700:2200, 300:1200].min() == seen.max() == 1
    assert seen.sum() == 1500 * 900
