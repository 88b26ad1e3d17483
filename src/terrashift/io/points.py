"""Write points with their values, such as tie points, as GeoPackage or GeoJSON."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError, OptionError, OutputError
from .atomic import atomic_path, atomic_write_text, explain
from .georeference import parse_crs, same_crs
from .vectors import WGS84, collection

SUFFIXES = (".gpkg", ".geojson", ".json")


def best_suffix() -> str:
    """`.gpkg` where pyogrio is installed, else `.geojson`."""
    return ".gpkg" if importlib.util.find_spec("pyogrio") else ".geojson"


def write_points(
    path: str | Path, xy: Float[np.ndarray, "2 n"], crs: str | None, fields: Mapping[str, np.ndarray]
) -> None:
    """Write points, (x, y) in `crs`, whole or not at all; an existing file is replaced.

    Args:
        path: ends in .gpkg (needs pyogrio), .geojson or .json. GeoJSON names a CRS that has a code, and holds
            longitude and latitude for others.
        crs: of the points; None for columns and rows of an image, corners being whole numbers.
        fields: one array of numbers or words for each column, of n values.

    Raises:
        OptionError: another ending, or pyogrio is not there.
        OutputError: where the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"{target}: points are written as {', '.join(SUFFIXES)}")
    if any(len(values) != xy.shape[1] for values in fields.values()):
        raise ValueError("every column takes one value for each point")
    if suffix == ".gpkg":
        _write_package(target, xy, crs, fields)
    else:
        _write_json(target, xy, crs, fields)


def _write_package(target: Path, xy: np.ndarray, crs: str | None, fields: Mapping[str, np.ndarray]) -> None:
    try:
        import pyogrio.errors
        import pyogrio.raw
    except ImportError as error:
        raise OptionError(
            f"{target} needs pyogrio: `pip install terrashift[vectors]`, or give a name that ends in .geojson"
        ) from error
    geometry = np.array([struct.pack("<BIdd", 1, 1, x, y) for x, y in xy.T.tolist()] + [None], object)[:-1]
    try:
        with atomic_path(target) as temporary:
            pyogrio.raw.write(
                temporary,
                geometry,
                field_data=[_column(values) for values in fields.values()],
                fields=list(fields),
                driver="GPKG",
                layer=target.stem,
                geometry_type="Point",
                crs=None if crs is None else parse_crs(crs).to_wkt(),
            )
    except pyogrio.errors.DataSourceError as error:
        raise explain(target, OSError(str(error))) from error


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(object) if values.dtype.kind in "US" else np.ascontiguousarray(values)


def _write_json(target: Path, xy: np.ndarray, crs: str | None, fields: Mapping[str, np.ndarray]) -> None:
    data = collection(crs)
    if crs is not None and "crs" not in data and xy.shape[1] and not same_crs(crs, WGS84):
        xy = _to_degrees(xy, crs, target)
    columns = {name: values.tolist() for name, values in fields.items()}
    data["features"] = [
        {
            "type": "Feature",
            "properties": {name: _plain(values[k]) for name, values in columns.items()},
            "geometry": {"type": "Point", "coordinates": point},
        }
        for k, point in enumerate(xy.T.round(9).tolist())
    ]
    atomic_write_text(target, json.dumps(data))


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _to_degrees(xy: np.ndarray, crs: str, target: Path) -> np.ndarray:
    from rasterio._err import CPLE_BaseError  # `warp.transform` lets GDAL's own errors through
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        moved = np.array(transform(parse_crs(crs), parse_crs(WGS84), *xy.tolist())[:2])
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(f"{target}: {crs} cannot be turned into longitude and latitude; write a .gpkg") from error
    if not np.isfinite(moved).all():
        raise InputError(f"{target}: points without longitude and latitude; write a .gpkg")
    return moved
