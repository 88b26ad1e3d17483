"""Read masks and traces as places of the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from jaxtyping import Bool, Float

from ..core.grid import Grid
from ..errors import InputError, OptionError
from ..io import ogr
from ..io.atomic import gdal_errors
from ..io.georeference import parse_crs, same_crs
from ..io.raster import ReadOptions, open_raster
from ..io.untrusted import LARGEST_VECTORS, expect_object, parse_json, read_text
from ..io.vectors import PIXELS, WGS84, crs_of, read_lines, refuse_far
from .exclude import Chooser, Ground, RasterMask, Trace

JSON = (".geojson", ".json")
VECTORS = (*JSON, ".gpkg", ".shp", ".fgb", ".kml")
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, *gdal_errors())
"""What drawing raises on polygons that are none."""
LARGEST_PX = 4096
"""Longer side of the raster that outlines are drawn on."""


@dataclass(frozen=True, slots=True, eq=False)
class PolygonMask:
    """True inside outlines, drawn once on a raster of at most `LARGEST_PX`."""

    inside: Bool[np.ndarray, "rows columns"]
    reference: Grid

    def __call__(self, xy: Float[np.ndarray, "2 n"]) -> Bool[np.ndarray, " n"]:
        """See `Chooser`."""
        rows, columns = self.inside.shape
        column = np.floor((xy[0] + 0.5) / self.reference.width * columns).astype(np.int64)
        row = np.floor((xy[1] + 0.5) / self.reference.height * rows).astype(np.int64)
        known = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        return known & self.inside[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]


def read_ground(
    excluded: Iterable[Path], stable: Iterable[Path], trace: Path | None, keep_off: float, reference: Grid
) -> Ground:
    """What may be fitted to.

    Args:
        excluded: rasters (neither 0 nor nodata: left out) or vector files (polygons).
        stable: the same; only what they cover counts.
        trace: GeoJSON lines.
        keep_off: distance from the trace within which ground is left out, metres or, without a CRS, pixels.
        reference: that places are counted on.

    Raises:
        InputError: a file cannot be read or lies elsewhere.
        OptionError: a distance without a trace.
    """
    if keep_off and trace is None:
        raise OptionError("--keep-off-m is the distance from a trace: give one with --trace FILE, or leave it out.")
    masks = [tuple(read_mask(path, reference) for path in paths) for paths in (excluded, stable)]
    pixel = math.sqrt(abs(np.prod(reference.pixel_size)))
    return Ground(masks[0], masks[1], None if trace is None else read_trace(trace, reference), keep_off / pixel)


def read_trace(path: Path, reference: Grid) -> Trace:
    """Lines of a GeoJSON file in pixels of the reference.

    Raises:
        InputError: see `io.vectors.read_lines`; or the lines lie far from the reference.
    """
    lines = read_lines(path, reference.crs)
    refuse_far(lines, reference, str(path))
    inverse = ~reference.transform
    return Trace([np.array([inverse @ (float(x), float(y)) for x, y in line]) for line in lines])


def read_mask(path: Path, reference: Grid) -> Chooser:
    """A raster or vector mask.

    Raises:
        InputError: it cannot be read, or holds no polygon.
    """
    if path.suffix.lower() not in VECTORS:
        return RasterMask(open_raster(str(path), ReadOptions()), reference)
    geometries, crs = _read_json(path) if path.suffix.lower() in JSON else _read_package(path)
    polygons = [geometry for geometry in geometries if geometry.get("type") in ("Polygon", "MultiPolygon")]
    if not polygons:
        raise InputError(f"{path} holds no polygon: draw the ground meant as polygons, or give a line as --trace.")
    factor = max(1.0, max(reference.shape) / LARGEST_PX)
    rows, columns = (math.ceil(n / factor) for n in reference.shape)
    cells = reference.transform @ Affine.scale(reference.width / columns, reference.height / rows)
    try:
        inside = _drawn(polygons, crs, reference.crs, (rows, columns), cells)
    except DAMAGE as error:
        raise InputError(f"{path} is damaged: it holds polygons that cannot be drawn ({error}).") from error
    if not inside.any():
        raise InputError(f"{path} covers nothing of the reference: check that it is of this place, and its CRS.")
    return PolygonMask(inside, reference)


def _drawn(
    polygons: list[Any], crs: str | None, target: str | None, shape: tuple[int, int], cells: Affine
) -> Bool[np.ndarray, "rows columns"]:
    """True in cells whose middle lies in a polygon."""
    from rasterio.features import rasterize
    from rasterio.warp import transform_geom

    if target is not None and crs is not None and not same_crs(crs, target):
        polygons = [transform_geom(parse_crs(crs), parse_crs(target), polygon) for polygon in polygons]
    return np.asarray(rasterize(polygons, shape, transform=cells, dtype="uint8"), bool)


def _read_json(path: Path) -> tuple[list[Any], str | None]:
    try:
        data = expect_object(parse_json(read_text(path, LARGEST_VECTORS)))
        features = data.get("features", [data])
        geometries = [part for one in features for part in _parts(one.get("geometry", one))]
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; paths count from {Path.cwd()}") from error
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not GeoJSON: `ogr2ogr -f GeoJSON mask.geojson {path}` makes it.") from error
    if data.get("coordinates_are") == PIXELS:
        return geometries, None
    return geometries, crs_of(dict(data), str(path)) or WGS84


def _parts(geometry: Any) -> list[dict[str, Any]]:
    """A geometry, or those of a collection."""
    if geometry is None:
        return []
    found = geometry["geometries"] if geometry.get("type") == "GeometryCollection" else [geometry]
    return [dict(expect_object(one)) for one in found]


def _read_package(path: Path) -> tuple[list[Any], str | None]:
    try:
        import pyogrio.raw
        import shapely
    except ImportError as error:
        raise OptionError(
            f"{path} needs pyogrio and shapely: `pip install terrashift[vectors]`, or convert it to GeoJSON"
        ) from error
    with ogr.explained(str(path)):
        about, _, shapes, _ = pyogrio.raw.read(path, columns=[])
        geometries = [shapely.geometry.mapping(shape) for shape in shapely.from_wkb(shapes) if shape is not None]
    return geometries, about["crs"]
