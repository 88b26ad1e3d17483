"""A small world of scenes for tests: a server of files that can misbehave, scenes to serve, and a real STAC API."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
from affine import Affine

BOX = (-117.52, 35.66, -117.48, 35.70)
"""Inside all scenes of `SCENES` near Ridgecrest."""
CORNER = Affine(10, 0, 449_000, 0, -10, 3_955_000)
HEIGHT, WIDTH = 1100, 1300
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


class Request(NamedTuple):
    """What somebody asked the server for."""

    path: str
    part: str
    """The Range header."""
    authorization: str


@dataclass
class FileServer:
    """Files over HTTP with ranges. `faults[path]` holds what to do wrong with the next requests, one word each:

    `500`, `429:0.2` (with Retry-After), `stall:2` (seconds without an answer), `cut:100` (bytes of the body that come
    before the connection breaks), `ok`.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    without_ranges: set[str] = field(default_factory=set)
    tokens: dict[str, str] = field(default_factory=dict)
    """Paths that need this bearer token."""
    signed: set[str] = field(default_factory=set)
    """Paths that need `?sig=` of the newest signature."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Paths that lie elsewhere."""
    signatures: int = 0
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, data: bytes) -> str:
        """Serve data; gives its address."""
        self.files[path] = data
        return self.address + path

    def wrong(self, path: str, *faults: str) -> None:
        """Misbehave at the next requests for a path."""
        self.faults[path].extend(faults)

    def asked(self, path: str) -> list[Request]:
        """Requests for a path so far."""
        return [one for one in self.requests if one.path == path]


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False
    world: FileServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        world: FileServer = self.server.world
        parts = urlsplit(self.path)
        with world.lock:
            world.requests.append(
                Request(parts.path, self.headers.get("Range", ""), self.headers.get("Authorization", ""))
            )
            faults = world.faults[parts.path]
            fault = faults.popleft() if faults else "ok"
        kind, _, value = fault.partition(":")
        if kind == "stall":
            time.sleep(float(value))
            self.close_connection = True
            return
        if kind.isdigit():
            self._plain(int(kind), b"no", {"Retry-After": value} if value else {})
            return
        if parts.path in world.redirects:
            self._plain(302, b"", {"Location": world.redirects[parts.path]})
            return
        if parts.path == "/sign":
            self._sign(world, parse_qs(parts.query)["href"][0])
            return
        self._file(world, parts, int(value) if kind == "cut" else None)

    do_HEAD = do_GET

    def _sign(self, world: FileServer, address: str) -> None:
        with world.lock:
            world.signatures += 1
            signed = f"{address}?sig=secret{world.signatures}"
        self._plain(200, json.dumps({"href": signed}).encode(), {"Content-Type": "application/json"})

    def _file(self, world: FileServer, parts: Any, cut: int | None) -> None:
        data = world.files.get(parts.path)
        if parts.path in world.signed and parts.query != f"sig=secret{world.signatures}":
            return self._plain(403, b"signature")
        if parts.path in world.tokens and self.headers.get("Authorization") != f"Bearer {world.tokens[parts.path]}":
            return self._plain(401, b"token")
        if data is None:
            return self._plain(404, b"nothing here")
        etag = f'"{hash(data) & 0xFFFFFFFF:08x}"'
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        ranged = part is not None and parts.path not in world.without_ranges
        if self.headers.get("If-Range") not in (None, etag):
            ranged = False
        headers = {"ETag": etag}
        if ranged and part is not None:
            first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data = data[first : last + 1]
        self._plain(206 if ranged else 200, data, headers, cut)
        return None

    def _plain(self, code: int, data: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        try:
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data if cut is None else data[:cut])
            if cut is not None:
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Run a `FileServer` on loopback."""
    world = FileServer()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.world = world
    world.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def picture(seed: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Texture with data everywhere."""
    return np.random.default_rng(seed).integers(100, 4000, shape).astype(np.uint16)


def cog(folder: Path, pixels: np.ndarray, **profile: Any) -> bytes:
    """A Cloud-Optimised GeoTIFF of (row, column) pixels; `tags` and `mask` are set on it."""
    import rasterio
    import rasterio.shutil

    tags, mask = profile.pop("tags", {}), profile.pop("mask", None)
    options = {"driver": "GTiff", "count": 1, "height": pixels.shape[0], "width": pixels.shape[1]}
    options |= {"dtype": pixels.dtype, "crs": "EPSG:32611", "transform": CORNER} | profile
    plain, final = folder / "plain.tif", folder / "cog.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(plain, "w", **options) as file:
            file.update_tags(**tags)
            file.write(pixels, 1)
            if mask is not None:
                file.write_mask(mask)
        rasterio.shutil.copy(plain, final, driver="COG", BLOCKSIZE=256, COMPRESS="DEFLATE", OVERVIEWS="NONE")
    return final.read_bytes()


def footprint(transform: Affine, shape: tuple[int, int], crs: str) -> list[list[float]]:
    """Corners as longitude and latitude."""
    from rasterio.warp import transform as carry

    height, width = shape
    corners = [transform @ xy for xy in ((0, 0), (width, 0), (width, height), (0, height), (0, 0))]
    xs, ys = carry(crs, "EPSG:4326", [x for x, _ in corners], [y for _, y in corners])[:2]
    return [[x, y] for x, y in zip(xs, ys, strict=True)]


def item(name: str, date: str, ring: list[list[float]], assets: dict[str, Any], **said: Any) -> dict[str, Any]:
    """A STAC item of the collection `made-up`, or of `collection`."""
    collection = said.pop("collection", "made-up")
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    south, north = min(y for _, y in ring), max(y for _, y in ring)
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [ring]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "geometry": said.pop("geometry", geometry),
        "bbox": said.pop("bbox", [west, south, east, north]),
        "properties": {"datetime": date, "platform": "made-up-1", **said},
        "links": [],
        "assets": assets,
    }


def band(href: str, **said: Any) -> dict[str, Any]:
    """One red asset."""
    bands = [{"name": "B04", "common_name": "red", "center_wavelength": 0.665}]
    return {"href": href, "type": COG_TYPE, "roles": ["data"], "gsd": 10, "eo:bands": bands, **said}


@contextmanager
def stac_api(folder: Path, items: list[dict[str, Any]]) -> Iterator[str]:
    """Run rustac's STAC API with these items on loopback; gives its address."""
    program = shutil.which("rustac", path=str(Path(sys.executable).parent)) or shutil.which("rustac")
    assert program is not None, "rustac is installed without its program"
    names = sorted({one["collection"] for one in items})
    files = []
    for name in names:
        collection = {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": "made up for tests",
            "license": "CC-BY-4.0",
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "links": [],
        }
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(collection))
    files.append(folder / "items.json")
    files[-1].write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "serve", *map(str, files), "--addr", f"127.0.0.1:{port}"]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "rustac ended"
            time.sleep(0.05)
    raise AssertionError("rustac does not answer")


def made_up_items(address: str) -> list[dict[str, Any]]:
    """Scenes near Ridgecrest around 6 July 2019, their red band at ADDRESS/NAME.tif."""
    ring = footprint(CORNER, (HEIGHT, WIDTH), "EPSG:32611")
    half = footprint(CORNER, (HEIGHT, WIDTH * 55 // 100), "EPSG:32611")
    common: dict[str, Any] = {"proj:epsg": 32611, "s2:mgrs_tile": "11SMV"}

    def scene(name: str, date: str, orbit: int, cloud: float, sun: tuple[float, float], **more: Any) -> dict[str, Any]:
        sunny = {"view:sun_elevation": sun[0], "view:sun_azimuth": sun[1]}
        said = common | {"sat:relative_orbit": orbit, "eo:cloud_cover": cloud} | sunny
        place = more.pop("ring", ring)
        return item(name, date, place, {"red": band(f"{address}/{quote(name)}.tif")}, **(said | more))

    return [
        scene("B-best", "2019-06-28T18:39:21Z", 27, 2, (70.0, 120.0)),
        scene("B-other-orbit", "2019-07-03T18:29:21Z", 127, 0, (70.1, 121.0)),
        scene("B-old", "2019-05-19T18:39:21Z", 27, 1, (66.0, 135.0)),
        scene("B-cloudy", "2019-06-18T18:39:21Z", 27, 81, (70.0, 120.0)),
        scene("B-half", "2019-06-23T18:39:21Z", 27, 0, (70.0, 120.0), ring=half),
        scene("event-day", "2019-07-06T18:39:21Z", 27, 0, (70.0, 120.0)),
        scene("A-best", "2019-07-08T18:39:21Z", 27, 3, (69.0, 121.0)),
        scene("A-zone", "2019-07-08T18:39:22Z", 27, 0, (69.0, 121.0), **{"proj:epsg": 32610, "s2:mgrs_tile": "10SGE"}),
        scene("A-late", "2019-08-22T18:39:21Z", 27, 0, (58.0, 145.0)),
    ]
