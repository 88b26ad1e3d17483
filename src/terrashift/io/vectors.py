"""Read and write lines, such as the trace of a fault: GeoJSON here, GeoPackage and shapefiles through GDAL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..core.grid import Grid
from ..errors import InputError, OptionError
from . import ogr
from .atomic import atomic_write_text
from .georeference import parse_crs, same_crs
from .untrusted import LARGEST_VECTORS, parse_json, read_text

Line = Float[np.ndarray, "_ 2"]
WGS84 = "OGC:CRS84"
PIXELS = "pixels"
"""Value of the member `coordinates` of a file whose numbers are columns and rows."""
JSON_SUFFIXES = (".geojson", ".json")
OGR_SUFFIXES = (".gpkg", ".shp", ".fgb", ".kml", ".gml", ".sqlite", ".tab")
NEAR = 1.0
"""A line farther from an image than so many of its diagonals is a mistake."""


def read_lines(path: str | Path, crs: str | None) -> list[Line]:
    """Lines of a vector file as (x, y) in `crs`, points that repeat their predecessor left out.

    GeoJSON: LineString and MultiLineString, bare, in features or collections. Coordinates are longitude and latitude
    (WGS 84) unless the old `crs` member names another CRS. GeoPackage, shapefile and FlatGeobuf (by their suffix; for
    one of several layers `FILE|layername=NAME`): coordinates are in the CRS that the file names. With `crs` None they
    are taken as they are: columns and rows of an image without georeferencing, corners being whole numbers.

    Raises:
        InputError: the file is missing, is of another kind, holds no line or something else, or cannot be placed in
            `crs`.
        OptionError: the file is no GeoJSON, and the packages that read others are missing.
    """
    name = str(path)
    if Path(name.partition(ogr.LAYER)[0]).suffix.lower() in OGR_SUFFIXES:
        return _read_ogr(name, crs)
    data = _load(name)
    lines = [_points(part, name) for part in _parts(data, name)]
    if not lines:
        raise InputError(f"{name} is empty: it holds no line. Draw the trace as a LineString, and save it as GeoJSON.")
    source = crs_of(data, name)
    if crs is None:
        if source is not None:
            raise InputError(
                f"{name} is in {source}, but the image has no CRS to lay it on: give --crs, or a trace in columns and "
                'rows of the image without a "crs" member.'
            )
        return lines
    if data.get("coordinates_are") == PIXELS:
        raise InputError(f"{name} counts columns and rows, but the image is in {crs}: draw the trace in a CRS.")
    return [_moved(line, source or WGS84, crs, name) for line in lines]


def collection(crs: str | None) -> dict[str, Any]:
    """GeoJSON without features yet, which says what its coordinates are: columns and rows of an image for None.

    A CRS with an EPSG code is named. Where no member says anything, coordinates must be longitude and latitude.
    """
    data: dict[str, Any] = {"type": "FeatureCollection"}
    if crs is None:
        data["coordinates_are"] = PIXELS
    elif crs.upper().startswith("EPSG:"):
        data["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs[5:]}"}}
    return data


def write_lines(
    path: str | Path, lines: Sequence[Line], crs: str | None, properties: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write lines, (x, y) in `crs`, whole or not at all: GeoPackage where the suffix is .gpkg, else GeoJSON.

    GeoJSON: a CRS with a code is named by the `crs` member that GDAL and QGIS read; others become longitude and
    latitude. Without a CRS the file says that it counts pixels.

    Args:
        path: file to write; one of that name is replaced.
        lines: each with two points or more.
        crs: of the points.
        properties: of each line, if any.

    Raises:
        OutputError: where the file cannot be written.
    """
    if Path(path).suffix.lower() in ogr.WRITERS:
        ogr.write(path, lines, crs, properties)
        return
    data = collection(crs)
    if crs is not None and "crs" not in data:
        lines = [_moved(np.asarray(line), crs, WGS84, str(path)) for line in lines]
    data["features"] = [
        {
            "type": "Feature",
            "properties": dict(properties[number]) if properties else {},
            "geometry": {"type": "LineString", "coordinates": np.asarray(line, float).round(9).tolist()},
        }
        for number, line in enumerate(lines)
    ]
    atomic_write_text(path, json.dumps(data))


def check_line_format(path: str | Path) -> None:
    """Make sure that lines can be written under this name, before any work.

    Raises:
        OptionError: the suffix is of no format that is written, or needs a package that is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix in ogr.WRITERS:
        ogr.libraries()
    elif suffix not in JSON_SUFFIXES:
        raise OptionError(
            f"lines are not written as {suffix or 'a file without suffix'}: call the result .geojson or .gpkg."
        )


def _read_ogr(name: str, crs: str | None) -> list[Line]:
    found = ogr.read(name)
    lines = [_points(line, name) for line in found.lines]
    if not lines:
        raise InputError(f"{name} is empty: it holds no line. Draw the trace as a line, and save it.")
    if crs is None:
        if found.crs is not None:
            raise InputError(
                f"{name} is in {found.crs[:40]}, but the image has no CRS to lay it on: give a trace in columns and "
                "rows of the image, without a CRS."
            )
        return lines
    if found.crs is None:
        raise InputError(f"{name} names no CRS (a shapefile needs its .prj): set it to the one it was drawn in.")
    return [_moved(line, found.crs, crs, name) for line in lines]


def refuse_far(lines: Sequence[Line], grid: Grid, name: str) -> None:
    """Make sure that lines in the CRS of `grid` lie on it or beside it.

    Raises:
        InputError: every line is more than the image's diagonal away from it.
    """
    corners = np.array([grid.transform @ (x, y) for x in (0, grid.width) for y in (0, grid.height)])
    low, high = corners.min(0), corners.max(0)
    reach = NEAR * np.linalg.norm(high - low)
    for line in lines:
        if (line.max(0) >= low - reach).all() and (line.min(0) <= high + reach).all():
            return
    points = np.concatenate(lines)
    raise InputError(
        f"{name} does not lie on the image: the trace covers {_bounds(points.min(0), points.max(0))}; the image covers "
        f"{_bounds(low, high)}{f' ({grid.crs})' if grid.crs and len(grid.crs) < 20 else ''}. Check that both are of "
        "one place, and that the coordinates of the trace are in the CRS that the file says (without a word: WGS 84 "
        "longitude and latitude)."
    )


def _load(name: str) -> dict[str, Any]:
    path = Path(name)
    advice = f"Convert it: `ogr2ogr -f GeoJSON {path.with_suffix('.geojson').name} {name}`."
    try:
        if path.stat().st_size > LARGEST_VECTORS:
            raise InputError(f"{name} is larger than {LARGEST_VECTORS / 1e6:.0f} MB: keep the fault's trace only.")
        data = parse_json(read_text(path, LARGEST_VECTORS))
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; paths count from {Path.cwd()}") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}): give a GeoJSON file. {advice}") from error
    except ValueError as error:  # no text, or no JSON
        raise InputError(f"{name} is not GeoJSON. {advice}") from error
    if not isinstance(data, dict) or "type" not in data:
        raise InputError(f"{name} is JSON, but not GeoJSON. {advice}")
    return data


def _parts(data: Any, name: str) -> Iterator[Any]:
    """Coordinates of every line below a GeoJSON object."""
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "FeatureCollection":
        for feature in _list(data, "features", name):
            yield from _parts(feature, name)
    elif kind == "Feature":
        if data.get("geometry") is not None:
            yield from _parts(data["geometry"], name)
    elif kind == "GeometryCollection":
        for geometry in _list(data, "geometries", name):
            yield from _parts(geometry, name)
    elif kind == "MultiLineString":
        yield from _list(data, "coordinates", name)
    elif kind == "LineString":
        yield _list(data, "coordinates", name)
    else:
        raise InputError(f"{name} holds a {kind}, not a line: draw the trace as a LineString or MultiLineString.")


def _list(data: dict[str, Any], key: str, name: str) -> list[Any]:
    if not isinstance(data.get(key), list):
        raise InputError(f"{name} is damaged: a {data['type']} without {key}. Save it again as GeoJSON.")
    return data[key]


def _points(coordinates: Any, name: str) -> Line:
    try:
        line = np.array([point[:2] for point in coordinates], float).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is damaged: a line whose points are not numbers. Save it again as GeoJSON."
        ) from error
    if not np.isfinite(line).all():
        raise InputError(f"{name} is damaged: a line with points that are not finite. Save it again as GeoJSON.")
    if len(line):
        line = line[np.append(True, (np.diff(line, axis=0) != 0).any(1))]
    if len(line) < 2:
        raise InputError(f"{name} has a line of fewer than two different points: a trace needs two ends.")
    return line


def crs_of(data: dict[str, Any], name: str) -> str | None:
    """The CRS that the old `crs` member of GeoJSON names.

    Raises:
        InputError: it names none.
    """
    member = data.get("crs")
    if member is None:
        return None
    properties = member.get("properties") if isinstance(member, dict) else None
    if not isinstance(properties, dict) or not isinstance(properties.get("name"), str):
        raise InputError(f'{name} has a "crs" member that names no CRS: remove it, or name one such as EPSG:32631.')
    return properties["name"]


def _moved(line: Line, source: str, target: str, name: str) -> Line:
    if source == target or same_crs(source, target):
        return line
    from rasterio._err import CPLE_BaseError  # `warp.transform` lets GDAL's own errors through
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        x, y = transform(parse_crs(source), parse_crs(target), *line.T.tolist())[:2]
        moved = np.stack([x, y], 1)
    except (RasterioError, CPLE_BaseError):
        moved = np.full_like(line, np.nan)
    if not np.isfinite(moved).all():
        raise InputError(
            f"{name} has points that {target} cannot hold (x {line[0, 0]:g}, y {line[0, 1]:g}, ...): are they really "
            f"in {'longitude and latitude' if source == WGS84 else source}?"
        )
    return moved


def _bounds(low: np.ndarray, high: np.ndarray) -> str:
    return f"x {low[0]:.10g} to {high[0]:.10g}, y {low[1]:.10g} to {high[1]:.10g}"
