"""Lines in GeoPackage, shapefile and other vector files, read and written by GDAL through pyogrio."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InputError, OptionError, OutputError
from .atomic import atomic_path

Line = Float[np.ndarray, "_ 2"]
WRITERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}
"""GDAL's drivers by suffix; one file each, so that writing is one step."""
LAYER = "|layername="
"""How QGIS names a layer in a file."""


class Found(NamedTuple):
    """Lines of a file."""

    lines: tuple[Line, ...]
    crs: str | None
    """None where the file names none."""


def read(name: str) -> Found:
    """Every line of a vector file; parts of a MultiLineString are lines of their own, heights are left out.

    Args:
        name: path; `path|layername=NAME` for one of several layers.

    Raises:
        InputError: the file is missing or damaged, holds no line or something else, or several layers of lines.
        OptionError: pyogrio or shapely is missing.
    """
    pyogrio, shapely = libraries()
    path, _, layer = name.partition(LAYER)
    if not Path(path).exists():
        raise InputError(f"{path} does not exist; paths count from {Path.cwd()}")
    with explained(path):
        layers = _line_layers(pyogrio.list_layers(path), path, layer)
        meta, _, geometries, _ = pyogrio.raw.read(path, layer=layers, columns=[], force_2d=True)
        shapes = shapely.from_wkb(geometries)
    lines = tuple(line for shape in shapes if shape is not None for line in _lines_of(shape, name))
    return Found(lines, meta["crs"])


def write(
    path: str | Path,
    lines: Sequence[Line],
    crs: str | None,
    properties: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write lines with their properties as one layer, whole or not at all; a file of that name is replaced.

    Args:
        path: its suffix decides the format, see `WRITERS`.
        lines: (x, y), each with two points or more.
        crs: of the points; None writes none.
        properties: of each line, all with the same keys; None and NaN become null.

    Raises:
        OutputError: where the file cannot be written.
        OptionError: pyogrio or shapely is missing.
    """
    pyogrio, shapely = libraries()
    from pyogrio.errors import DataSourceError

    target = Path(path)
    shapes = np.array([shapely.linestrings(line) for line in lines], dtype=object)
    names = list(properties[0]) if properties else []
    columns = [_column([one[name] for one in properties]) for name in names]
    with atomic_path(target) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a missing CRS is meant
        try:
            pyogrio.raw.write(
                temporary,
                shapely.to_wkb(shapes) if len(lines) else np.array([], dtype=object),
                columns,
                np.array(names, dtype=object),
                crs=crs,
                geometry_type="LineString",
                driver=WRITERS[target.suffix.lower()],
                layer=target.stem,
            )
        except DataSourceError as error:
            raise OutputError(f"cannot write {target}: {error}") from error


def _column(values: Sequence[Any]) -> np.ndarray:
    """One property of all lines as GDAL takes it: text, whole numbers, truth values or float."""
    if all(isinstance(v, str) for v in values):
        return np.array(values, dtype=object)
    if all(isinstance(v, bool | np.bool_) for v in values):
        return np.array(values, dtype=bool)
    if all(isinstance(v, int | np.integer) for v in values):
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _line_layers(layers: np.ndarray, path: str, wanted: str) -> str:
    """The one layer of lines, or the one asked for."""
    names = [str(name) for name, kind in layers if kind is not None]
    if wanted:
        if wanted not in names:
            raise InputError(f"{path} has no layer {wanted!r}; its layers: {', '.join(names) or 'none'}.")
        return wanted
    lines = [str(name) for name, kind in layers if kind is not None and "LineString" in kind] or names
    if len(lines) != 1:
        raise InputError(
            f"{path} has {len(lines)} layers ({', '.join(lines) or 'none with shapes'}): give one layer of lines"
            + (f", such as '{path}{LAYER}{lines[0]}'." if lines else ".")
        )
    return lines[0]


def _lines_of(shape: Any, name: str) -> Iterator[Line]:
    kind = shape.geom_type
    if kind in ("MultiLineString", "GeometryCollection"):
        for part in shape.geoms:
            yield from _lines_of(part, name)
    elif kind == "LineString":
        yield np.array(shape.coords, float).reshape(len(shape.coords), -1)[:, :2]
    else:
        raise InputError(f"{name} holds a {kind}, not a line: draw the trace as a LineString or MultiLineString.")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what pyogrio and shapely raise on damaged files into one error."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # GDAL's own, about files of dubious make
            yield
    except (DataSourceError, DataLayerError, FeatureError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as lines ({error}). Give GeoJSON, GeoPackage or a shapefile with all its parts."
        ) from error


def libraries() -> tuple[Any, Any]:
    """pyogrio and shapely.

    Raises:
        OptionError: one of them is missing.
    """
    try:
        import pyogrio
        import shapely
    except ImportError as error:
        raise OptionError(
            "GeoPackage and shapefiles need two more packages: `pip install terrashift[vectors]`, or use GeoJSON."
        ) from error
    return pyogrio, shapely
