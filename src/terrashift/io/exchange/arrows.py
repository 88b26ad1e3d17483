"""Displacement as arrows: GeoJSON for maps and KMZ for globes."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Float

from ...core.field import DisplacementField
from ...core.grid import Grid
from ...core.reasons import Reason
from ...core.text import markup
from ...errors import InputError, OptionError
from ..cog import from_tags, to_tags
from ..georeference import parse_crs
from ..untrusted import LARGEST_VECTORS, Malformed, expect_object, parse_json, read_text
from .options import ExchangeOptions, ImportOptions

ALONG = 50
"""Arrows along the longer side, unless told."""
MARK = "terrashift_field"
MOST_CELLS = 50_000_000
"""Of a grid that arrows are read onto."""
HEAD = math.radians(155), 0.3
"""Angle from the shaft, and length as a share of it, of either side of a KMZ arrow's head."""


class Arrows(NamedTuple):
    """Arrows at some cells of a field."""

    grid: Grid
    """Of the arrows: the field's, at every n-th cell."""
    cells: np.ndarray
    """(row, column) on that grid, one line for each arrow."""
    tails: Float[np.ndarray, "arrows 2"]
    """(x, y) in the CRS: the centre of the cell."""
    tips: Float[np.ndarray, "arrows 2"]
    values: dict[str, np.ndarray]
    """Bands of the field there."""
    exaggeration: float
    """How many times longer than the motion an arrow is."""


def arrows_of(field: DisplacementField, every: int | None = None, scale: float | None = None) -> Arrows:
    """Arrows at every n-th cell that has a value, centred on `Grid.every(n)`."""
    every = every or max(1, -(-max(field.grid.shape) // ALONG))
    pick = slice(every // 2, None, every), slice(every // 2, None, every)
    grid = field.grid.every(every)
    bands = {name: getattr(field, name)[pick] for name in field.BANDS}
    known = bands["east"].isfinite()
    cells = known.nonzero().numpy()
    ground = torch.stack([bands["east"], bands["north"]])
    moved = grid.to_pixels(ground)[:, known].T.double().numpy()  # (x right, y down) in cells of that grid
    if scale is None:
        sizes = np.hypot(*moved.T)
        longest = np.percentile(sizes, 98) if len(sizes) else 0.0
        scale = float(f"{1 / longest:.2g}") if longest > 0 else 1.0
    centres = cells[:, ::-1] + 0.5
    tails, tips = (_to_crs(grid, points) for points in (centres, centres + scale * moved))
    return Arrows(grid, cells, tails, tips, {name: band[known].numpy() for name, band in bands.items()}, scale)


def write_geojson(field: DisplacementField, paths: Sequence[Path], options: ExchangeOptions) -> None:
    """Arrows as lines from tail to tip in longitude and latitude (RFC 7946), with the values as properties.

    Without a CRS coordinates are columns and rows, and a member `coordinates_are` says so.
    """
    arrows = arrows_of(field, options.vector_every, options.vector_scale)
    tails, tips = (_lonlat(points, field.grid) for points in (arrows.tails, arrows.tips))
    grid = arrows.grid
    about: dict[str, Any] = {
        "shape": list(grid.shape),
        "transform": list(grid.transform[:6]),
        "crs": grid.crs,
        "cell_px": grid.cell_px,
        "unit": grid.unit,
        "exaggeration": arrows.exaggeration,
        "tags": to_tags(field.made_by),
    }
    data: dict[str, Any] = {"type": "FeatureCollection", MARK: about}
    if grid.crs is None:
        data["coordinates_are"] = "pixels"
    data["features"] = [
        {
            "type": "Feature",
            "properties": _properties(arrows, k),
            "geometry": {"type": "LineString", "coordinates": [tails[k].round(9).tolist(), tips[k].round(9).tolist()]},
        }
        for k in range(len(tails))
    ]
    paths[0].write_text(json.dumps(data, allow_nan=False), encoding="utf-8")


def read_geojson(path: Path, options: ImportOptions) -> DisplacementField:
    """The field that `write_geojson` drew: exact at the arrows, on their grid.

    Raises:
        InputError: arrows of another program: they do not say which grid they are on.
    """
    try:
        data = expect_object(parse_json(read_text(path, LARGEST_VECTORS)))
        about = data[MARK]
        rows, columns = (int(n) for n in about["shape"])
        if not 0 < rows * columns <= MOST_CELLS or min(rows, columns) < 1:
            raise Malformed(f"it claims a grid of {rows} x {columns} cells")
        transform = Affine(*(float(number) for number in about["transform"]))
        grid = Grid(rows, columns, transform, cell_px=int(about["cell_px"]))
        bands = {name: torch.full(grid.shape, torch.nan) for name in DisplacementField.BANDS}
        for feature in data["features"]:
            found = feature["properties"]
            row, column = int(found["row"]), int(found["column"])
            if not (0 <= row < rows and 0 <= column < columns):
                raise Malformed(f"an arrow lies at ({row}, {column}), outside of {rows} x {columns} cells")
            for name, band in bands.items():
                value = found.get(name)
                band[row, column] = torch.nan if value is None else float(value)
        crs, tags = about["crs"], {str(key): str(value) for key, value in about["tags"].items()}
        if crs is not None and not isinstance(crs, str):
            raise Malformed("its CRS is no text")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is no GeoJSON of arrows that TerraShift wrote: a field cannot be made of it ({error})."
        ) from error
    if crs:
        from ..georeference import grid_in

        grid = grid_in(parse_crs(crs), grid.shape, grid.transform, str(path))
    reasons = torch.where(bands["east"].isfinite(), 0, int(Reason.NODATA)).to(torch.uint8)
    return DisplacementField(**(bands | {"reasons": reasons}), grid=grid, made_by=from_tags(tags))


def write_kmz(field: DisplacementField, paths: Sequence[Path], options: ExchangeOptions) -> None:
    """Arrows with heads, each with its values, for Google Earth and others.

    Raises:
        OptionError: without a CRS.
    """
    if field.grid.crs is None:
        raise OptionError("KMZ files need a place on the globe, but the field has no CRS: write --to geojson instead.")
    arrows = arrows_of(field, options.vector_every, options.vector_scale)
    tails, tips = (_lonlat(points, field.grid) for points in (arrows.tails, arrows.tips))
    names = [str(field.made_by.get(key, "")) for key in ("METHOD", "BEFORE", "AFTER")]
    about = f"Arrows are {arrows.exaggeration:g} times longer than the motion. {' '.join(filter(None, names))}"
    places = "\n".join(_placemark(arrows, k, tails[k], tips[k]) for k in range(len(tails)))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n'
        f"<name>Ground displacement</name><description>{markup(about)}</description>\n"
        '<Style id="a"><LineStyle><color>ff1c3fd6</color><width>1.6</width></LineStyle></Style>\n'
        f"{places}\n</Document></kml>\n"
    )
    with zipfile.ZipFile(paths[0], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("doc.kml"), text, zipfile.ZIP_DEFLATED)


def _placemark(arrows: Arrows, k: int, tail: np.ndarray, tip: np.ndarray) -> str:
    """One arrow with its head, true in angle at its latitude."""
    stretch = np.array([math.cos(math.radians(tail[1])), 1.0])
    shaft = (tip - tail) * stretch
    path = [tail, tip]
    for angle in (HEAD[0], -HEAD[0]):
        c, s = math.cos(angle) * HEAD[1], math.sin(angle) * HEAD[1]
        path += [tip + np.array([c * shaft[0] - s * shaft[1], s * shaft[0] + c * shaft[1]]) / stretch, tip]
    points = " ".join(f"{x:.7f},{y:.7f}" for x, y in path)
    data = "".join(
        f'<Data name="{key}"><value>{value}</value></Data>'
        for key, value in _properties(arrows, k).items()
        if value is not None
    )
    return (
        f"<Placemark><styleUrl>#a</styleUrl><ExtendedData>{data}</ExtendedData>"
        f"<LineString><tessellate>1</tessellate><coordinates>{points}</coordinates></LineString></Placemark>"
    )


def _properties(arrows: Arrows, k: int) -> dict[str, Any]:
    row, column = (int(v) for v in arrows.cells[k])
    found: dict[str, Any] = {"row": row, "column": column}
    for name, values in arrows.values.items():
        value = float(values[k])
        found[name] = value if math.isfinite(value) else None
    found["magnitude"] = math.hypot(found["east"], found["north"])
    found["azimuth_deg"] = round(math.degrees(math.atan2(found["east"], found["north"])) % 360, 2)
    del found["reasons"]
    return found


def _to_crs(grid: Grid, points: np.ndarray) -> np.ndarray:
    t = grid.transform
    return np.stack([t.a * points[:, 0] + t.b * points[:, 1] + t.c, t.d * points[:, 0] + t.e * points[:, 1] + t.f], 1)


def _lonlat(points: np.ndarray, grid: Grid) -> np.ndarray:
    if grid.crs is None or not len(points):
        return points
    from rasterio.warp import transform

    x, y = transform(parse_crs(grid.crs), parse_crs("OGC:CRS84"), *points.T.tolist())[:2]
    return np.stack([x, y], 1)
