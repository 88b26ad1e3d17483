"""Where an open raster lies on the ground, as a `Grid`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from affine import Affine

from ..core.grid import Grid
from ..errors import InputError

EDGE_DEGREES = 1.0
"""How far an image may reach past a pole: whole images of the Earth often do, by half a pixel."""

if TYPE_CHECKING:
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader


def grid_of(dataset: DatasetReader, path: str, crs_if_missing: str | None = None) -> Grid:
    """The grid of a raster; rotated, south-up and non-square ones are kept as they are.

    Raises:
        InputError: where the image is only tied to the ground by control points or RPCs, or its CRS is unusable.
    """
    height, width = dataset.shape
    transform = Affine(*dataset.transform[:6])
    if transform.is_identity:
        _refuse_unrectified(dataset, path)
        if crs_if_missing is not None and not dataset.crs:
            raise InputError(
                f"--crs {crs_if_missing} cannot place {path}: the file has no geotransform either. Add one (a world "
                "file or gdal_edit.py -a_ullr), or leave --crs out to measure in pixels."
            )
        return Grid(height, width, Affine.identity())  # a CRS without a geotransform places nothing
    if not all(map(math.isfinite, (*transform[:6], transform.determinant))) or transform.determinant == 0:
        raise InputError(
            f"{path} has pixels of no area, or of no finite one (geotransform {tuple(transform[:6])}); correct it with "
            "gdal_edit.py -a_ullr"
        )
    crs = dataset.crs or (parse_crs(crs_if_missing) if crs_if_missing is not None else None)
    if not crs:
        return Grid(height, width, transform)
    return grid_in(crs, (height, width), transform, path)


def grid_in(crs: CRS, shape: tuple[int, int], transform: Affine, path: str) -> Grid:
    """The grid of (height, width) cells that `transform` lays out in `crs`; `path` is named in messages.

    Raises:
        InputError: longitude and latitude that are not in degrees.
    """
    unit, factor = crs.units_factor
    if crs.is_geographic and not unit.lower().startswith("degree"):
        raise InputError(
            f"{path} counts longitude and latitude in {unit}, not degrees; reproject it with gdalwarp -t_srs"
        )
    if crs.is_geographic:
        _refuse_off_the_globe(shape, transform, path)
    metres = 1.0 if crs.is_geographic else float(factor)
    if not (math.isfinite(metres) and metres > 0):
        raise InputError(f"{path} counts in units of {metres:g} m: its CRS is damaged; set it with gdal_edit.py -a_srs")
    return Grid(*shape, transform, crs_name(crs), metres, bool(crs.is_geographic))


def _refuse_off_the_globe(shape: tuple[int, int], transform: Affine, path: str) -> None:
    """Find metres that pass for degrees: they would be measured with a wrong unit, and no word."""
    corners = [transform @ (x, y) for x in (0, shape[1]) for y in (0, shape[0])]
    longitude, latitude = (max(abs(corner[axis]) for corner in corners) for axis in (0, 1))
    if latitude > 90 + EDGE_DEGREES or longitude > 540:
        raise InputError(
            f"{path} is said to be in degrees, but reaches to {longitude:.6g} of longitude and {latitude:.6g} of "
            "latitude: its CRS is another one; set it with gdal_edit.py -a_srs"
        )


def parse_crs(text: str) -> CRS:
    """Read a CRS given as EPSG code, PROJ string or WKT."""
    import rasterio
    from rasterio.errors import CRSError

    try:
        with rasterio.Env():  # sends PROJ's own complaint to the log, off the terminal
            return rasterio.CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"'{text}' is not a CRS that PROJ knows: give one such as EPSG:32631") from error


def crs_name(crs: CRS) -> str:
    """`EPSG:n` where there is such a code, else WKT."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def same_crs(one: str, other: str) -> bool:
    """True where two names mean one CRS."""
    return one == other or parse_crs(one) == parse_crs(other)


def _refuse_unrectified(dataset: DatasetReader, path: str) -> None:
    points, _ = dataset.gcps
    if not (points or dataset.rpcs):
        return
    what = f"{len(points)} ground control points" if points else "a camera model (RPC)"
    command = "gdalwarp -tps" if points else "gdalwarp -rpc -to RPC_DEM=dem.tif"
    raise InputError(
        f"{path} is not on a map grid: it holds only {what}. Orthorectify both images to one grid first, for example "
        f"`{command} -t_srs EPSG:n -tr 10 10 -r cubic {path} ortho.tif`."
    )
