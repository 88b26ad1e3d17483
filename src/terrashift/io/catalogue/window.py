"""Fetch the window of an area out of a remote file, in the file's own pixels, into a Cloud-Optimised GeoTIFF."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.grid import Grid
from ...errors import InputError, OutputError
from ..atomic import check_space, explain, gdal_errors, give_name
from ..cog import copy_as_cog, gdal_environment
from ..georeference import parse_crs
from ..nodata import equals
from ..scenes import sidecar_of
from .area import Area
from .assets import Chosen
from .draft import Draft, plan_blocks, working
from .place import Pixels, pixels_of, place_of
from .remote import RemoteRaster
from .sidecar import Record, sha256_of
from .web import Answer

TILE_PX = 512
SECONDS_BETWEEN_LINES = 15.0
COPIES = 3
"""Blocks, an uncompressed file and the final one are on the disk at once."""


@dataclass(frozen=True)
class Source:
    """What an open remote file says of the band that is wanted."""

    grid: Grid
    window: Pixels
    share: float
    """Part of the pixels that the area needs which the file has, 0 to 1."""
    note: str
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    tile: tuple[int, int]
    counts: str
    """`Area` or `Point`."""
    masked: bool
    """True where a mask inside the file tells which pixels have data."""


class Fetched(NamedTuple):
    """A file that is there and whole."""

    path: Path
    record: Record
    again: bool
    """True where it was there already."""
    share: float = 1.0
    """Part of the area that the file covers, 0 to 1."""
    valid: float = 1.0
    """Part of its pixels with data, 0 to 1; 1 where it was not looked at."""


def look(remote: RemoteRaster, chosen: Chosen, area: Area, name: str) -> Source:
    """Open a remote file and find the window of the area in it.

    Raises:
        CatalogueError: it cannot be read.
        InputError: the area lies outside, or its pixels cannot be placed.
    """

    def look_at(file: Any) -> Source:
        if not 1 <= chosen.number <= file.count:
            raise InputError(f"{name} has {file.count} band(s), and the catalogue promises a band {chosen.number}")
        place = place_of(file, chosen.asset, name)
        window, share = pixels_of(area, place.grid, name)
        index = chosen.number - 1
        own = file.nodatavals[index]
        flags = {flag.name for flag in file.mask_flag_enums[index]}
        return Source(
            grid=place.grid,
            window=window,
            share=share,
            note=place.note,
            dtype=str(file.dtypes[index]),
            nodata=own if own is not None else _fits(chosen.band.nodata, str(file.dtypes[index])),
            scale=float(file.scales[index]),
            offset=float(file.offsets[index]),
            tile=tuple(file.block_shapes[index]),
            counts=str(file.tags().get("AREA_OR_POINT", "Area")),
            masked="per_dataset" in flags and "alpha" not in flags,
        )

    return remote.use(f"opening {name}", look_at)


def fetch_window(target: Path, remote: RemoteRaster, source: Source, answer: Answer | None, record: dict) -> Fetched:
    """Bring the pixels of a window to `target`, block by block; what has come stays when this is interrupted.

    Args:
        target: file to write; its record is written beside it.
        remote: the open file.
        source: what `look` found.
        answer: what the server says of the file, to notice that it was replaced meanwhile; None for S3.
        record: the fields of a `Record` that are known before.

    Raises:
        CatalogueError: the server fails.
        InputError: the window holds no data.
        OutputError: the disk is full or the file cannot be written.
    """
    window = source.window
    size = window.count * np.dtype(source.dtype).itemsize
    check_space(target, COPIES * size)
    plan = {"source": record["source"], "band": record["band_number"], "window": window, "dtype": source.dtype}
    plan |= {"etag": answer.etag if answer else "", "bytes": answer.size if answer else None}
    with working(target, plan) as folder:
        draft = Draft(folder, plan_blocks(window, source.tile))
        draft.check()
        _collect(draft, remote, record["band_number"], source.masked)
        valid = _valid_share(draft, source)
        if valid == 0:
            raise InputError(
                f"all {window.height} x {window.width} pixels of {record['scene']} in the box are nodata: the scene's "
                "footprint promises more than its file holds. Choose another scene"
            )
        grid = source.grid.crop(*window)
        record = record | {
            "window": tuple(window),
            "crs": grid.crs,
            "transform": tuple(grid.transform[:6]),
            "source_pixels": source.counts,
            "note": source.note,
        }
        written = _write(target, folder, draft, replace(source, grid=grid), record)
    return Fetched(target, written, False, source.share, valid)


def _collect(draft: Draft, remote: RemoteRaster, band: int, masked: bool) -> None:
    missing, total = draft.missing, len(draft.blocks)
    if len(missing) < total:
        remote.web.say(f"{total - len(missing)} of {total} blocks had come before")
    said = time.monotonic()
    try:
        for number, block in enumerate(missing, 1):
            draft.keep(block, remote.read(band, block, masked))
            if number < len(missing) and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
                remote.web.say(f"{total - len(missing) + number} of {total} blocks have come")
                said = time.monotonic()
    except KeyboardInterrupt:
        kept = total - len(draft.missing)
        raise KeyboardInterrupt(
            f"interrupted: {kept} of {total} blocks are kept; the same command goes on from there"
        ) from None


def _valid_share(draft: Draft, source: Source) -> float:
    """Part of the pixels that are not nodata."""
    missing = 0
    for block in draft.blocks:
        pixels, *mask = draft.load(block)
        gone = ~np.isfinite(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
        if source.nodata is not None:
            gone |= equals(pixels, source.nodata)
        for one in mask:
            gone |= one == 0
        missing += int(gone.sum())
    return 1 - missing / source.window.count


def _write(target: Path, folder: Path, draft: Draft, source: Source, record: dict) -> Record:
    """Blocks to an uncompressed file, to the final one, which is read back; then the record, then the name."""
    plain, cog = folder / "plain.tif", folder / "cog.tif"
    try:
        _write_plain(plain, draft, source, Record(**record, file="", sha256="", bytes=0))
        copy_as_cog(plain, cog)
        _read_back(cog, draft)
    except gdal_errors() as error:
        raise explain(target, error) from error
    plain.unlink()
    done = Record(**record, file=target.name, sha256=sha256_of(cog), bytes=cog.stat().st_size)
    text = done.model_dump_json(indent=2, exclude_none=True) + "\n"
    beside = folder / "record.json"
    beside.write_text(text, encoding="utf-8")
    # a record without its file is taken for nothing; the file comes last
    give_name(beside, sidecar_of(target))
    give_name(cog, target)
    return done


def _write_plain(path: Path, draft: Draft, source: Source, record: Record) -> None:
    import rasterio
    from rasterio.windows import Window

    grid, (top, left) = source.grid, source.window[:2]
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "dtype": source.dtype,
        "nodata": source.nodata,
        "crs": parse_crs(grid.crs or ""),
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        "bigtiff": "IF_SAFER",
    }
    with gdal_environment(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.update_tags(AREA_OR_POINT="Area", **record.tags())
        file.descriptions = (record.band,)
        if (source.scale, source.offset) != (1.0, 0.0):
            file.scales, file.offsets = (source.scale,), (source.offset,)
        for block in draft.blocks:
            place = Window(block.column - left, block.row - top, block.width, block.height)  # pyright: ignore[reportCallIssue]
            pixels, *mask = draft.load(block)
            file.write(pixels, 1, window=place)
            for one in mask:
                file.write_mask(one != 0, window=place)


def _read_back(path: Path, draft: Draft) -> None:
    """GDAL reports some failed writes late, or not at all."""
    import rasterio
    from rasterio.windows import Window

    top, left = draft.blocks[0][:2]
    with gdal_environment(), rasterio.open(path) as file:
        for block in draft.blocks:
            place = Window(block.column - left, block.row - top, block.width, block.height)  # pyright: ignore[reportCallIssue]
            if not np.array_equal(file.read(1, window=place), draft.load(block)[0], equal_nan=file.dtypes[0][0] == "f"):
                raise OutputError(
                    f"what was written to {path.parent} does not read back: most likely the disk is full. Free some "
                    "space, or write to another disk"
                )


def _fits(nodata: float | None, dtype: str) -> float | None:
    """The catalogue's nodata value, where the file's type can hold it."""
    if nodata is None or np.dtype(dtype).kind == "f":
        return nodata
    limits = np.iinfo(dtype)
    return nodata if nodata == nodata and nodata == int(nodata) and limits.min <= nodata <= limits.max else None
