"""Fetch the scenes of a pair: one band of each, the same area, in the scenes' own pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...core.grid import Grid
from ...errors import GridMismatchError, InputError, OptionError
from ..atomic import check_space, check_target
from ..georeference import grid_of
from ..lattice import Names, find_overlap
from ..opening import explained, open_dataset
from .area import Area
from .assets import Chosen, choose
from .draft import working
from .endpoints import Endpoint
from .items import Scene
from .remote import RemoteRaster, address_of, reading
from .sidecar import Wanted, described, is_complete, read_record
from .web import Answer, Web, file_name, redact
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
    job = _Job(target, address, chosen, answer, record)
    if order.area is None:
        if answer is None:
            raise OptionError(f"--whole fetches http addresses only, and {chosen.asset.key} lies at {address}")
        return fetch_whole(target, address, web, answer, record)
    with reading(web, address, order.endpoint.storage):
        if answer is not None and not answer.ranges:
            return _through_whole(job, order.area, web, answer)
        return _window(job, order.area, RemoteRaster(address, web))


class _Job(NamedTuple):
    """One file to bring."""

    target: Path
    address: str
    """Unsigned."""
    chosen: Chosen
    answer: Answer | None
    """What the server says of the file; None for S3."""
    record: dict[str, Any]
    """The fields of a `Record` that are known before."""


def _window(job: _Job, area: Area, remote: RemoteRaster) -> Fetched:
    try:
        source = look(remote, job.chosen, area, str(job.record["scene"]))
        if source.note:
            remote.web.say(f"{job.record['scene']}: {source.note}")
        return fetch_window(job.target, remote, source, job.answer, job.record)
    finally:
        remote.close()


def _through_whole(job: _Job, area: Area, web: Web, answer: Answer) -> Fetched:
    """Where a server gives no parts of files: the whole one to a temporary place, and the window out of that."""
    size = f"{answer.size / 1e6:.3g} MB" if answer.size else "of unknown size"
    place = redact(job.address)
    web.say(f"{place}: this server sends no parts of files; the whole file, {size}, is downloaded")
    name = job.target.with_name(job.target.name + ".whole")
    check_space(name, answer.size or 0)
    with working(name, {"source": job.address, "etag": answer.etag, "bytes": answer.size}) as folder:
        copy = folder / ("source" + PurePosixPath(urlsplit(job.address).path).suffix)
        download(copy, job.address, web, answer)
        return _window(job, area, RemoteRaster(job.address, web, local=str(copy)))


def _probe(web: Web, address: str) -> Answer:
    return web.keep_trying(f"asking for {file_name(address)}", lambda: web.probe(web.reach(address)))


def target_of(scene: Scene, chosen: Chosen, order: Order, address: str) -> Path:
    """Name of the file: scene and band, which differ for all files of a pair."""
    ending = ".tif"
    if order.area is None:
        ending = PurePosixPath(urlsplit(address).path).suffix or ".tif"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{scene.id}_{chosen.name}").lstrip(".")
    return order.folder / f"{re.sub(r'[.](tiff?|jp2)$', '', stem, flags=re.IGNORECASE)}{ending}"


def compare_grids(before: Path, after: Path) -> str:
    """What the next command is: `measure` where the two lie on one lattice, else why not, and `register`."""
    try:
        first, second = _grid(before), _grid(after)
        overlap = find_overlap(first, second, Names(str(before), str(after)))
    except GridMismatchError as error:
        return f"the two files are not on one grid: {error}"
    except InputError as error:  # whole files may be anything
        return f"the grids of the two files cannot be compared: {error}"
    whole = overlap.share == 1 and first.shape == second.shape
    about = "the same pixels" if whole else f"one lattice, {100 * overlap.share:.0f} % of before also in after"
    return f"{about}: terrashift measure {before} {after} -o displacement.tif"


def _grid(path: Path) -> Grid:
    with explained(str(path)), open_dataset(str(path)) as dataset:
        return grid_of(dataset, str(path))
