"""A displacement field as an xarray data set, and as NetCDF by the CF conventions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from affine import Affine

from ...core.field import DisplacementField
from ...core.grid import Grid
from ...core.reasons import Reason
from ...errors import InputError, OptionError, TerrashiftError
from ..cog import from_tags, to_tags
from ..georeference import grid_in, parse_crs
from ..untrusted import require_room
from .bands import Extra, compass_sigma, compass_to_ground, field_of, unit_of
from .options import ImportOptions

if TYPE_CHECKING:
    import xarray

INSTALL = "pip install terrashift[exchange]"
LONG_NAMES = {
    "east": "ground displacement toward the east of the grid",
    "north": "ground displacement toward the north of the grid",
    "sigma_east": "standard error of the displacement toward the east",
    "sigma_north": "standard error of the displacement toward the north",
    "score": "trust in the displacement, 0 to 1",
    "reasons": "why there is no displacement",
}
EAST_NAMES = ("east", "ew", "e", "dx", "displacement_east", "east_displacement")
NORTH_NAMES = ("north", "ns", "n", "dy", "displacement_north", "north_displacement")
X_NAMES, Y_NAMES = ("x", "lon", "longitude", "easting"), ("y", "lat", "latitude", "northing")
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, MemoryError, AttributeError)
"""What the libraries raise on damaged files: hardly ever errors of their own."""
REGULAR = 1e-3
"""Coordinates may lie so many cells away from even steps: some programs store them in 32 bits."""
OWN = ("Conventions", "title", "comment")
PLACE = "spatial_ref"
CELL_TAG = "image_pixels_per_cell"


def to_xarray(field: DisplacementField) -> xarray.Dataset:
    """A field as a data set that follows CF 1.8: six variables on (y, x), the CRS in `spatial_ref`.

    x and y are the centres of the cells; grids whose rows do not run west to east have no such coordinates, and are
    placed by `spatial_ref`'s GeoTransform alone. Displacement is in metres (pixels without a CRS), NaN without a value.

    >>> grid = Grid(2, 3, Affine(10, 0, 0, 0, -10, 40), "EPSG:32631")
    >>> nan = torch.full(grid.shape, torch.nan)
    >>> one = torch.ones(grid.shape)
    >>> field = DisplacementField(one, -one, nan, nan, one, torch.zeros(grid.shape, dtype=torch.uint8), grid)
    >>> float(to_xarray(field).north.sel(x=15, y=35))
    -1.0

    Raises:
        OptionError: xarray is not installed.
    """
    xarray = _xarray()
    unit = {"m": "m", "px": "pixel"}[field.grid.unit]
    variables: dict[str, Any] = {}
    for name in field.BANDS:
        values = np.asarray(getattr(field, name).cpu())
        about: dict[str, Any] = {"long_name": LONG_NAMES[name], "grid_mapping": PLACE}
        if name == "reasons":
            about["flag_masks"] = np.array([int(reason) for reason in Reason], np.uint8)
            about["flag_meanings"] = " ".join((reason.name or "").lower() for reason in Reason)
        else:
            about["units"] = "1" if name == "score" else unit
        variables[name] = (("y", "x"), values, about)
    variables[PLACE] = ((), np.int32(0), _place(field.grid))
    about = {"Conventions": "CF-1.8", "title": "Ground displacement", "comment": "positive toward the east and north"}
    return xarray.Dataset(variables, _coordinates(field.grid), about | to_tags(field.made_by))


def from_xarray(
    data: xarray.Dataset, options: ImportOptions | None = None, name: str = "the data set"
) -> DisplacementField:
    """The field of a data set with variables for east and north on a regular grid.

    Takes what `to_xarray` gives, and data sets of others: variables east / north (or ew / ns, e / n, dx / dy with dy
    to the NORTH) in metres, or in pixels where their `units` say so; rows from north to south or the other way round.

    Raises:
        InputError: no such variables, an irregular grid, or more than one date.
        OptionError: metres without a CRS.
    """
    options = options or ImportOptions()
    names = {str(key).lower(): str(key) for key in data.data_vars}
    found = [next((names[n] for n in wanted if n in names), None) for wanted in (EAST_NAMES, NORTH_NAMES)]
    if found[0] is None or found[1] is None:
        raise InputError(
            f"{name} has no variables east and north (it has: {', '.join(map(str, data.data_vars))}). Rename them, or "
            "give --from where another program wrote the file."
        )
    grid = grid_of_dataset(data, found[0], options, name)
    values = torch.stack([plane(data[key], name) for key in found if key])
    units = [str(data[key].attrs.get("units", "")) for key in found if key]
    ground = compass_to_ground(values, grid, unit_of(units), options)
    score = plane(data["score"], name) if "score" in data else None
    sigma = None
    if "sigma_east" in data and "sigma_north" in data:
        sigma = torch.stack([plane(data[key], name) for key in ("sigma_east", "sigma_north")])
        sigma = compass_sigma(sigma, grid, unit_of(units), options)
    made_by = from_tags({key: text_of(value) for key, value in data.attrs.items() if key not in OWN})
    field = field_of(ground, grid, made_by, Extra(sigma, score))
    if "reasons" not in data:
        return field
    reasons = plane(data["reasons"], name).nan_to_num(float(Reason.NODATA)).to(torch.uint8)
    missing = field.east.isnan()
    kept = torch.where(missing & (reasons == 0), int(Reason.NODATA), torch.where(missing, reasons, 0))
    return replace(field, reasons=kept.to(torch.uint8))


def plane(variable: Any, name: str) -> torch.Tensor:
    """The only (y, x) plane of a variable as float32, first row first.

    Raises:
        InputError: there are several.
    """
    if any(size != 1 for size in variable.shape[:-2]):
        raise InputError(f"{name} holds several dates ({dict(variable.sizes)}): keep one, with `.isel(time=0)`.")
    values = np.asarray(variable.values, np.float32)
    return torch.from_numpy(np.array(values.reshape(variable.shape[-2:])))


def grid_of_dataset(data: xarray.Dataset, variable: str, options: ImportOptions, name: str) -> Grid:
    """The grid of a variable: its CRS by CF (`crs_wkt`) or GDAL (`spatial_ref`), its place by coordinates.

    Raises:
        InputError: coordinates that are missing or irregular, or a CRS that PROJ does not know.
    """
    one = data[variable]
    place = next((data[key].attrs for key in _mappings(one) if key in data.variables), {})
    height, width = one.shape[-2:]
    transform = _transform(data, one, place, name)
    text = place.get("crs_wkt") or place.get("spatial_ref") or options.crs
    cell = int(place.get(CELL_TAG, 1))
    if not text:
        return Grid(height, width, transform, cell_px=cell)
    crs = parse_crs(str(text))
    return grid_in(crs, (height, width), transform, name)


def _mappings(variable: Any) -> Sequence[str]:
    named = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping")
    return [str(named)] if named else [PLACE, "mapping", "crs"]


def _transform(data: xarray.Dataset, one: Any, place: Mapping[str, Any], name: str) -> Affine:
    across, down = one.dims[-1], one.dims[-2]
    x, y = (_centres(data, dim, known) for dim, known in ((across, X_NAMES), (down, Y_NAMES)))
    if (x is None or y is None) and "GeoTransform" in place:
        return Affine.from_gdal(*map(float, str(place["GeoTransform"]).split()))
    if x is None or y is None:
        return Affine.identity()
    steps = []
    for centres in (x, y):
        if len(centres) < 2:
            raise InputError(f"{name} has a single row or column: its cells have no size.")
        even = np.linspace(centres[0], centres[-1], len(centres))
        step = (centres[-1] - centres[0]) / (len(centres) - 1)
        if not step or not np.abs(centres - even).max() < REGULAR * abs(step):
            raise InputError(f"{name} is on an irregular grid: put it on even steps of x and y first.")
        steps.append(step)
    return Affine(steps[0], 0, x[0] - steps[0] / 2, 0, steps[1], y[0] - steps[1] / 2)


def _centres(data: xarray.Dataset, dim: Any, known: Sequence[str]) -> np.ndarray | None:
    for key in (str(dim), *known):
        if key in data.variables and data[key].dims == (dim,):
            return np.asarray(data[key].values, float)
    return None


def _coordinates(grid: Grid) -> dict[str, Any]:
    if grid.is_oblique:
        return {}
    names = ("longitude", "latitude") if grid.geographic else ("projection_x_coordinate", "projection_y_coordinate")
    units = ("degrees_east", "degrees_north") if grid.geographic else ("m", "m")
    if grid.metres_per_unit != 1:
        units = (f"{grid.metres_per_unit:.12g} m",) * 2
    t = grid.transform
    values = (
        t.c + t.a * (np.arange(grid.width) + 0.5),
        t.f + t.e * (np.arange(grid.height) + 0.5),
    )
    if grid.crs is None:
        return {key: (key, v, {"long_name": f"{key}, no CRS"}) for key, v in zip("xy", values, strict=True)}
    return {
        key: (key, value, {"standard_name": standard, "units": unit, "axis": key.upper()})
        for key, value, standard, unit in zip("xy", values, names, units, strict=True)
    }


def _place(grid: Grid) -> dict[str, Any]:
    """Attributes of a CF grid mapping; all of the CRS is in its WKT, the rest serves older readers."""
    about: dict[str, Any] = {"GeoTransform": " ".join(f"{v:.17g}" for v in grid.transform.to_gdal())}
    if grid.crs is None:
        return about | {CELL_TAG: grid.cell_px}
    crs = parse_crs(grid.crs)
    wkt = crs.to_wkt()
    about |= {"crs_wkt": wkt, "spatial_ref": wkt}
    code = crs.to_epsg() or 0
    if grid.geographic:
        about["grid_mapping_name"] = "latitude_longitude"
    elif 32600 < code <= 32660 or 32700 < code <= 32760:  # UTM on WGS 84
        about |= {
            "grid_mapping_name": "transverse_mercator",
            "longitude_of_central_meridian": 6.0 * (code % 100) - 183,
            "latitude_of_projection_origin": 0.0,
            "scale_factor_at_central_meridian": 0.9996,
            "false_easting": 500_000.0,
            "false_northing": 10_000_000.0 if code > 32700 else 0.0,
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
        }
    return about


def read_cf(path: Path, options: ImportOptions) -> DisplacementField:
    """A NetCDF file with east and north: see `from_xarray`."""
    with open_netcdf(path) as data:
        return from_xarray(data, options, str(path))


def write_cf(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """NetCDF 4 by CF 1.8: see `to_xarray`."""
    save(to_xarray(field), paths[0], {name: {"dtype": "float32"} for name in field.BANDS if name != "reasons"})


def save(data: xarray.Dataset, path: Path, encoding: dict[str, dict[str, Any]]) -> None:
    """Write a data set as compressed NetCDF 4."""
    need_hdf5()
    small = {"zlib": True, "complevel": 4, "shuffle": True}
    for name in data.data_vars:
        if data[name].ndim == 2:
            encoding[str(name)] = small | encoding.get(str(name), {})
    for name in ("x", "y"):
        if name in data.coords:
            encoding[name] = {"_FillValue": None}
    data.to_netcdf(path, engine="h5netcdf", encoding=encoding)


@contextmanager
def open_netcdf(path: Path) -> Iterator[xarray.Dataset]:
    """Open a NetCDF file, old or new, with NaN for its fill values.

    Raises:
        InputError: the file is missing, damaged or no NetCDF.
        OptionError: a library is not installed.
    """
    xarray = _xarray()
    engine = netcdf_kind(path)
    if engine is None:
        raise InputError(f"{path} is no NetCDF file, or it does not exist.")
    if engine == "h5netcdf":
        need_hdf5()
    settings: dict[str, Any] = {"engine": engine, "decode_times": False, "decode_coords": False}
    with damage_told(path), xarray.open_dataset(path, **settings) as file:
        require_room(sum(4 * variable.size for variable in file.variables.values()), "what it claims to hold")
        data = file.load()
    with damage_told(path):
        yield data


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what HDF5 and NetCDF libraries raise on damaged files into one error, and leave their warnings unsaid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TerrashiftError:
        raise
    except DAMAGE as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged or truncated: {said}. Download or copy it again.") from error


def netcdf_kind(path: Path) -> Any:
    """The xarray engine that reads a file, by its first bytes; None where it is no NetCDF or HDF5."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError:
        return None
    if start.startswith(b"CDF"):
        return "scipy"
    return "h5netcdf" if start == b"\x89HDF\r\n\x1a\n" else None


def need_hdf5() -> Any:
    """The HDF5 library.

    Raises:
        OptionError: it is not installed.
    """
    try:
        import h5netcdf  # noqa: F401
        import h5py
    except ImportError as error:
        raise OptionError(f"NetCDF and HDF5 files need another library: {INSTALL}") from error
    return h5py


def variables_of(path: Path) -> dict[str, dict[str, Any]]:
    """Names and attributes of what an HDF5 or NetCDF file holds at its root, itself under the name "".

    Raises:
        InputError: a damaged file.
        OptionError: a library is not installed.
    """
    if netcdf_kind(path) == "scipy":
        with open_netcdf(path) as data:
            return {str(key): dict(data[key].attrs) for key in data.variables} | {"": dict(data.attrs)}
    h5py = need_hdf5()
    with damage_told(path), h5py.File(path) as file:
        return {key: dict(file[key].attrs) for key in file} | {"": dict(file.attrs)}
    raise AssertionError  # the block above returns or raises


def text_of(value: Any) -> str:
    """An attribute as text: files hold bytes, arrays of one and text."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise OptionError(f"xarray is not installed: {INSTALL}") from error
    return xarray
