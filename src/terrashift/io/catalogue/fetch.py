"""Fetch the scenes of a pair: one band of each, the same area, in the scenes' own pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ...core.grid import Grid
from ...errors import GridMismatchError, OptionError
from ..atomic import check_target
from ..lattice import Names, find_overlap
from ..raster import open_raster
from .area import Area
from .assets import Chosen, choose
from .draft import working
from .endpoints import Endpoint
from .items import Scene
from .remote import RemoteRaster, address_of, reading
from .sidecar import Wanted, described, is_complete, read_record
from .web import Answer, Web, redact
from .whole import download, fetch_whole
from .window import Fetched, fetch_window, look


@dataclass(frozen=True)
class Order:
    """What to fetch of each scene, and where to."""

    endpoint: Endpoint
    folder: Path
    band: str
    area: Area | None
    """None fetches whole files."""
    overwrite: bool = False


def fetch_scene(scene: Scene, order: Order, web: Web) -> Fetched:
    """Fetch one band of one scene; a file that is there, the same and whole, is left as it is.

    Raises:
        CatalogueError: the server fails.
        InputError: no such band, the area lies outside, there is no data, or a file of that name is something else.
        OutputError: the disk is full or the folder cannot be written.
    """
    chosen = choose(scene, order.band, order.endpoint.collection(scene.collection))
    address = address_of(chosen.asset)
    target = target_of(scene, chosen, order, address)
    box = order.area.bounds if order.area is not None else None
    if not order.overwrite and is_complete(target, Wanted(address, chosen.number, box)):
        record = read_record(target)
        assert record is not None
        return Fetched(target, record, True)
    check_target(target, order.overwrite)
    record = described(scene, chosen, order.endpoint.name)
    record |= {"source": address, "box": box, "fetched": datetime.now(UTC), "version": version("terrashift")}
    answer = None if address.startswith("s3://") else _probe(web, address)
    if answer is not None:
        record |= {"source_bytes": answer.size, "source_etag": answer.etag}
    if order.area is None:
        if answer is None:
            raise OptionError(f"--whole fetches http addresses only, and {chosen.asset.key} lies at {address}")
        return fetch_whole(target, address, web, answer, record)
    with reading(web, address, order.endpoint.storage):
        if answer is not None and not answer.ranges:
            return _through_whole(target, address, web, answer, chosen, order.area, record)
        return _window(target, RemoteRaster(address, web), chosen, order.area, answer, record)


def _window(
    target: Path, remote: RemoteRaster, chosen: Chosen, area: Area, answer: Answer | None, record: Mapping[str, Any]
) -> Fetched:  # fmt: skip
    try:
        source = look(remote, chosen, area, str(record["scene"]))
        if source.note:
            remote.web.say(f"{record['scene']}: {source.note}")
        return fetch_window(target, remote, source, answer, dict(record))
    finally:
        remote.close()


def _through_whole(
    target: Path, address: str, web: Web, answer: Answer, chosen: Chosen, area: Area, record: Mapping[str, Any]
) -> Fetched:  # fmt: skip
    """Where a server gives no parts of files: the whole one to a temporary place, and the window out of that."""
    size = f"{answer.size / 1e6:.3g} MB" if answer.size else "of unknown size"
    web.say(f"{redact(address)}: this server sends no parts of files; the whole file, {size}, is downloaded")
    name = target.with_name(target.name + ".whole")
    with working(name, {"source": address, "etag": answer.etag, "bytes": answer.size}) as folder:
        copy = folder / ("source" + PurePosixPath(urlsplit(address).path).suffix)
        download(copy, address, web, answer)
        return _window(target, RemoteRaster(address, web, local=str(copy)), chosen, area, answer, record)


def _probe(web: Web, address: str) -> Answer:
    return web.keep_trying(f"asking for {redact(address)}", lambda: web.probe(web.reach(address)))


def target_of(scene: Scene, chosen: Chosen, order: Order, address: str) -> Path:
    """Name of the file: scene and band, which differ for all files of a pair."""
    ending = ".tif"
    if order.area is None:
        ending = PurePosixPath(urlsplit(address).path).suffix or ".tif"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{scene.id}_{chosen.name}").lstrip(".")
    return order.folder / f"{re.sub(r'[.](tiff?|jp2)$', '', stem, flags=re.IGNORECASE)}{ending}"


def compare_grids(before: Path, after: Path) -> str:
    """What the next command is: `measure` where the two lie on one lattice, else why not, and `register`."""
    names = Names(str(before), str(after))
    first, second = (_grid(path) for path in (before, after))
    try:
        overlap = find_overlap(first, second, names)
    except GridMismatchError as error:
        return f"the two files are not on one grid: {error}"
    whole = overlap.share == 1 and first.shape == second.shape
    about = "the same pixels" if whole else f"one lattice, {100 * overlap.share:.0f} % of before also in after"
    return f"{about}: terrashift measure {before} {after} -o displacement.tif"


def _grid(path: Path) -> Grid:
    return open_raster(str(path)).grid
