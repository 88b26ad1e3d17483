"""Write a displacement field, or layers derived from one, as one Cloud-Optimised GeoTIFF, and read a field back."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Float
from torch import Tensor

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..core.reasons import Reason
from ..errors import InputError
from .atomic import atomic_path, check_target, explain, gdal_errors, scratch
from .bands import list_bands
from .georeference import grid_of, parse_crs
from .opening import explained, open_dataset
from .raster import require_memory
from .refusals import refuse_impossible
from .untrusted import Malformed, parse_json

if TYPE_CHECKING:
    from rasterio.windows import Window

BANDS = DisplacementField.BANDS
BLOCK_PX = 512
CACHE_BYTES = 256_000_000  # GDAL would take a twentieth of the machine's memory
FORMAT_TAG, FORMAT = "TERRASHIFT_FIELD", "1"
TRANSFORM_TAG = "TERRASHIFT_NO_CRS"
_OWN_TAGS = (FORMAT_TAG, TRANSFORM_TAG, "TERRASHIFT_GEOREFERENCING", "AREA_OR_POINT", "OVR_RESAMPLING_ALG")


class _Content(NamedTuple):
    """What the bands of a file are."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    tags: Mapping[str, str]


class _Written(NamedTuple):
    """A window that was handed to GDAL, and what it held."""

    window: Window
    crc: int


def write_field(
    path: str | Path,
    grid: Grid,
    blocks: Iterable[tuple[int, int, Float[Tensor, "6 height width"]]],
    tags: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the bands of `DisplacementField.BANDS` to a Cloud-Optimised GeoTIFF, block by block.

    The file appears under its name when it is complete and has been read back whole; memory stays bounded.

    Args:
        path: file to write.
        grid: where the field lies; one without a CRS gives a file without georeferencing, and a tag that says so.
        blocks: (row, column) of the first cell, and the six bands there; cells in no block stay NaN in all bands.
        tags: see `to_tags`.
        overwrite: replace a file of that name.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    content = _Content(BANDS, (grid.unit,) * 4 + ("1", ""), {**tags, FORMAT_TAG: FORMAT})
    _write(Path(path), grid, blocks, content, overwrite)


def write_layers(
    path: str | Path,
    grid: Grid,
    layers: Mapping[str, Float[np.ndarray, "height width"]],
    made_by: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write named layers without unit, such as strain, to a Cloud-Optimised GeoTIFF, one float32 band each.

    Args:
        path: file to write.
        grid: where the layers lie.
        layers: values by name, in the order of the bands; NaN where there is none.
        made_by: what goes into the tags, see `to_tags`.
        overwrite: replace a file of that name.

    Raises:
        OutputError: where the file cannot be written; nothing is left behind then.
    """
    stack = torch.from_numpy(np.stack([np.asarray(layer, np.float32) for layer in layers.values()]))
    blocks = ((top, 0, stack[:, top : top + BLOCK_PX]) for top in range(0, grid.height, BLOCK_PX))
    _write(Path(path), grid, blocks, _Content(tuple(layers), ("1",) * len(layers), to_tags(made_by)), overwrite)


def _write(
    target: Path, grid: Grid, blocks: Iterable[tuple[int, int, Tensor]], content: _Content, overwrite: bool
) -> None:
    """Bands to an uncompressed file, from there to the final one, which is read back."""
    plain_bytes = len(content.names) * 4 * grid.height * grid.width
    check_target(target, overwrite, plain_bytes)
    with atomic_path(target, 2 * plain_bytes) as cog, scratch(target) as plain:
        try:
            written = _write_plain(plain, grid, blocks, content)
            copy_as_cog(plain, cog)
            fault = _find_fault(cog, grid, written, content)
        except gdal_errors() as error:
            raise explain(target, error, 2 * plain_bytes) from error
        if fault:
            raise explain(target, OSError(f"what was written does not read back ({fault})"), 2 * plain_bytes)


def read_field(path: str | Path) -> DisplacementField:
    """Read a field that `write_field` wrote; cells in no block come back with the reason NODATA.

    Raises:
        InputError: where the file is not one of ours, or is damaged.
    """
    name = str(path)
    with explained(name), open_dataset(name) as dataset:
        tags = dataset.tags()
        if tags.get(FORMAT_TAG) != FORMAT or tuple(dataset.descriptions) != BANDS:
            raise InputError(
                f"{name} is not a displacement field that TerraShift wrote (its bands: "
                f"{', '.join(str(text) for text in dataset.descriptions)}). Give the result of `terrashift measure`."
            )
        grid = grid_of(dataset, name)
        require_memory(name, grid.shape, len(BANDS))
        refuse_impossible(dataset, list_bands(dataset)[0], name)
        values = torch.from_numpy(dataset.read(out_dtype=np.float32))
    if TRANSFORM_TAG in tags:
        grid = _in_pixels(grid, tags[TRANSFORM_TAG], name)
    east, north, sigma_east, sigma_north, score, reasons = values
    reasons = reasons.nan_to_num(nan=float(Reason.NODATA)).to(torch.uint8)
    return DisplacementField(east, north, sigma_east, sigma_north, score, reasons, grid, made_by=from_tags(tags))


def _in_pixels(grid: Grid, text: str, name: str) -> Grid:
    """The grid of a field without a CRS, from its tag."""
    try:
        *transform, cell_px = parse_json(text)
        return replace(grid, transform=Affine(*(float(number) for number in transform)), cell_px=int(cell_px))
    except (Malformed, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name} is damaged: its tag {TRANSFORM_TAG} is {text[:99]!r}. Copy or measure it again."
        ) from error


def blocks_of(
    field: DisplacementField, rows: int = BLOCK_PX
) -> Iterable[tuple[int, int, Float[Tensor, "6 height width"]]]:
    """Cut a field in memory into strips for `write_field`."""
    for top in range(0, field.grid.height, rows):
        part = slice(top, top + rows)
        yield top, 0, torch.stack([getattr(field, name)[part].float() for name in BANDS])


def to_tags(made_by: Mapping[str, Any]) -> dict[str, str]:
    """Provenance as GeoTIFF tags: text as it is, anything else as JSON.

    >>> to_tags({"version": "0.1", "inputs": ["a.tif"]})
    {'version': '0.1', 'inputs': '["a.tif"]'}
    """
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in made_by.items()
    }


def from_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """Provenance from GeoTIFF tags: JSON objects and lists as such, all else (numbers too) as text."""
    return {key: _decoded(value) for key, value in tags.items() if key not in _OWN_TAGS}


def _decoded(text: str) -> Any:
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            return parse_json(text)
    return text


def _write_plain(
    path: Path, grid: Grid, blocks: Iterable[tuple[int, int, Tensor]], content: _Content
) -> list[_Written]:
    """Write an uncompressed tiled GeoTIFF, which takes blocks in any order."""
    import rasterio
    from rasterio.windows import Window

    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(content.names),
        "dtype": "float32",
        "nodata": float("nan"),
        "interleave": "pixel",
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "bigtiff": "IF_SAFER",
        "sparse_ok": True,
    }
    if grid.crs is not None:
        profile |= {"crs": parse_crs(grid.crs), "transform": grid.transform}
    written = []
    with gdal_environment(), rasterio.open(path, "w", **profile) as dataset:
        dataset.update_tags(**content.tags, **_own_tags(grid))
        dataset.descriptions = content.names
        dataset.units = content.units
        for row, column, values in blocks:
            block = np.ascontiguousarray(values.numpy(force=True), np.float32)
            _, height, width = block.shape
            if row < 0 or column < 0 or row + height > grid.height or column + width > grid.width:
                raise ValueError(f"block of {height} x {width} at ({row}, {column}) leaves a field of {grid.shape}")
            window = Window(column, row, width, height)  # pyright: ignore
            dataset.write(block, window=window)
            written.append(_Written(window, zlib.crc32(block.data)))
    return written


@contextmanager
def gdal_environment() -> Iterator[None]:
    """GDAL with a bounded cache, no side files, and no warning about fields that have no georeferencing on purpose."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with rasterio.Env(GDAL_PAM_ENABLED=False, GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _own_tags(grid: Grid) -> dict[str, str]:
    tags = {"AREA_OR_POINT": "Area"}
    if grid.crs is None:
        tags[TRANSFORM_TAG] = json.dumps([*grid.transform[:6], grid.cell_px])
        tags["TERRASHIFT_GEOREFERENCING"] = "none: the images have no CRS, lengths are in pixels, north is up the image"
    return tags


def copy_as_cog(plain: Path, cog: Path) -> None:
    """Copy a GeoTIFF into a Cloud-Optimised one, values unchanged; overviews hold every n-th value."""
    import rasterio.shutil

    with gdal_environment():
        rasterio.shutil.copy(
            plain,
            cog,
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR="YES",  # the one for the type: differences of integers, or bytes of floats
            LEVEL=1,  # a third quicker than the usual 6, and no larger: noise does not compress
            BLOCKSIZE=BLOCK_PX,
            BIGTIFF="IF_SAFER",
            OVERVIEWS="IGNORE_EXISTING",
            OVERVIEW_RESAMPLING="NEAREST",  # the reasons are bits, and no mean may cross a gap
            NUM_THREADS="ALL_CPUS",
        )


def _find_fault(path: Path, grid: Grid, written: list[_Written], content: _Content) -> str | None:
    """Read everything back: GDAL reports some failed writes late, or not at all."""
    import rasterio

    with gdal_environment(), rasterio.open(path) as dataset:
        if (dataset.count, *dataset.shape) != (len(content.names), *grid.shape):
            return f"{dataset.count} bands of {dataset.shape}"
        if tuple(dataset.descriptions) != content.names or content.tags.items() - dataset.tags().items():
            return "its tags are lost"
        for window, crc in written:
            if zlib.crc32(np.ascontiguousarray(dataset.read(window=window)).data) != crc:
                return f"other values at row {window.row_off}, column {window.col_off}"
    return None
