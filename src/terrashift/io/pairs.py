"""Pairs with their truth on disk: a folder of GeoTIFFs each, or all in one Zarr group or one .npz file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.field import DisplacementField
from ..core.image import Image
from .atomic import atomic_path, atomic_write_text, explain, explaining
from .cog import blocks_of, to_tags, write_field
from .georeference import parse_crs
from .opening import open_dataset
from .vectors import Line, write_lines


class PairFiles(NamedTuple):
    """What the folder of a pair holds."""

    before: Image
    after: Image
    truth: DisplacementField
    lines: Sequence[Line]
    """Traces of the rupture in the CRS of the grid."""
    about: Mapping[str, Any]
    """Becomes pair.json."""


class ArrayPlan(NamedTuple):
    """One array of a data set."""

    shape: tuple[int, ...]
    """Of one pair."""
    dtype: str
    dimensions: tuple[str, ...]
    meaning: str


def write_pair(folder: Path, pair: PairFiles, dates: Sequence[str] = ()) -> None:
    """Write before.tif, after.tif, truth.tif, trace.geojson and pair.json into a folder that appears when complete.

    Raises:
        OutputError: where it cannot be written; nothing is left behind then.
    """
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        with explaining(folder):
            part.mkdir()
            taken = [*dates, "", ""]
            for image, name, date in ((pair.before, "before.tif", taken[0]), (pair.after, "after.tif", taken[1])):
                write_image(part / name, image, {"ACQUISITION_DATE": date} if date[:1].isdigit() else {})
            write_field(part / "truth.tif", pair.truth.grid, blocks_of(pair.truth), to_tags(pair.truth.made_by))
            write_lines(part / "trace.geojson", pair.lines, pair.truth.grid.crs)
            atomic_write_text(part / "pair.json", json.dumps(pair.about, indent=1, ensure_ascii=False))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_image(path: Path, image: Image, tags: Mapping[str, str]) -> None:
    """Write one band as a float32 GeoTIFF, NaN without data, and read it back.

    Raises:
        OutputError: where it cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError

    grid, pixels = image.grid, image.pixels[0].numpy()
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "float32", "count": 1, "nodata": float("nan")}
    profile |= {"height": grid.height, "width": grid.width, "compress": "deflate", "predictor": 3}
    if grid.crs is not None:
        profile |= {"crs": parse_crs(grid.crs), "transform": grid.transform}
    needed = 4 * pixels.size
    with atomic_path(path, needed) as temporary:
        try:
            with _quiet(), rasterio.open(temporary, "w", **profile) as dataset:
                dataset.write(pixels, 1)
                dataset.update_tags(**tags)
            with open_dataset(str(temporary)) as dataset:
                back = dataset.read(1)
        except RasterioError as error:
            raise explain(path, error, needed) from error
        if not np.array_equal(back, pixels, equal_nan=True):  # GDAL reports some failed writes late, or not at all
            raise explain(path, OSError("what was written does not read back"), needed)


def create_arrays(group: Path, count: int, chunk: int, plan: Mapping[str, ArrayPlan], about: Mapping[str, Any]) -> None:
    """Make a Zarr group of arrays with `count` pairs along their first axis, `chunk` of them to a file; whole or not.

    Raises:
        OutputError: where it cannot be written.
    """
    import zarr

    with explaining(group):
        part = group.with_name(f".{group.name}.part")
        root = zarr.create_group(str(part), overwrite=True, attributes=dict(about))
        for name, array in plan.items():
            root.create_array(
                name,
                shape=(count, *array.shape),
                chunks=(min(chunk, count), *array.shape),
                dtype=array.dtype,
                dimension_names=("pair", *array.dimensions),
                attributes={"meaning": array.meaning},
            )
        os.replace(part, group)


def write_arrays(group: Path, chunk: int, number: int, values: Mapping[str, np.ndarray]) -> None:
    """Write chunk `number` of every array, and bring it to the disk.

    Raises:
        OutputError: where it cannot be written.
    """
    import zarr

    with explaining(group):
        root = zarr.open_group(str(group), mode="r+")
        for name, pairs in values.items():
            array: Any = root[name]
            array[number * chunk : number * chunk + len(pairs)] = pairs
            for file in (group / name / "c" / str(number)).rglob("*"):
                if file.is_file():
                    with open(file, "rb+") as written:
                        os.fsync(written.fileno())


def arrays_to_npz(group: Path, path: Path, chunk: int) -> None:
    """Copy a Zarr group into one .npz file, a few pairs at a time.

    Raises:
        OutputError: where it cannot be written.
    """
    import zarr

    root = zarr.open_group(str(group), mode="r")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in sorted(root.array_keys()):
            array: Any = root[name]
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                np.lib.format.write_array_header_2_0(member, header)
                for start in range(0, array.shape[0], chunk):
                    member.write(np.ascontiguousarray(array[start : start + chunk]).tobytes())


def _quiet() -> Any:
    """GDAL without side files, nor the warning about images that have no georeferencing on purpose."""
    import warnings
    from contextlib import ExitStack

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    stack = ExitStack()
    stack.enter_context(rasterio.Env(GDAL_PAM_ENABLED=False))
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    return stack
