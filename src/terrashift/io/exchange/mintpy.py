"""MintPy's ifgramStack.h5 with pixel offsets: range holds east and azimuth holds north, as for COSI-Corr."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from ...core.field import DisplacementField
from ...core.grid import Grid
from ...errors import InputError, OptionError
from ..georeference import grid_in, parse_crs
from ..untrusted import require_room
from .bands import Extra, field_of
from .netcdf import damage_told, need_hdf5, text_of
from .options import ImportOptions

EAST, NORTH, SNR = "rangeOffset", "azimuthOffset", "offsetSNR"
MAP_PROCESSORS = ("cosicorr", "terrashift")
"""Programs whose offsets are along the map; those of radar programs are along the orbit."""


def is_mintpy(names: dict[str, Any]) -> bool:
    """A stack of offsets."""
    return text_of(names[""].get("FILE_TYPE", "")) == "ifgramStack" and {EAST, NORTH} <= set(names)


def read_mintpy(path: Path, options: ImportOptions) -> DisplacementField:
    """One pair of a stack of offsets in metres: `rangeOffset` is east and `azimuthOffset` north.

    That is how MintPy loads COSI-Corr's files (its `prep_cosicorr`), and what `write_mintpy` writes.

    Raises:
        InputError: radar offsets, no map coordinates, or several pairs of which none was chosen.
    """
    h5py = need_hdf5()
    with damage_told(path), h5py.File(path) as file:
        about = {key: text_of(value) for key, value in file.attrs.items()}
        if not {EAST, NORTH} <= set(file):
            raise InputError(f"{path} holds no offsets ({', '.join(file)}): {EAST} and {NORTH} are needed.")
        dates = ["_".join(text_of(date) for date in pair) for pair in file["date"][:]] if "date" in file else [""]
        k = _choose(dates, options.pair, path)
        names = [name for name in (EAST, NORTH, f"{EAST}Std", f"{NORTH}Std", SNR) if name in file]
        shapes = {file[name].shape for name in names}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or shape[0] != len(dates):
            raise InputError(f"{path} is damaged: its offsets are not {len(dates)} images of one size.")
        require_room(4 * len(names) * shape[1] * shape[2], "one of its pairs")
        values = {name: np.asarray(file[name][k], np.float32) for name in names}
    processor = about.get("PROCESSOR", "")
    if processor not in MAP_PROCESSORS:
        raise InputError(
            f"{path} holds offsets of {processor or 'an unknown program'}, along the radar's range and azimuth: only "
            f"those along the map ({', '.join(MAP_PROCESSORS)}) can be read as east and north."
        )
    grid = _grid(about, values[EAST].shape, options, path)
    planes = {name: torch.from_numpy(value) for name, value in values.items()}
    ground = torch.stack([planes[EAST], planes[NORTH]])
    sigma = [planes.get(f"{name}Std") for name in (EAST, NORTH)]
    made_by: dict[str, Any] = {"METHOD": processor, "FIELD": path.name}
    for role, date in zip(("BEFORE_DATE", "AFTER_DATE"), dates[k].split("_"), strict=False):
        if _is_date(date):
            made_by[role] = datetime.strptime(date, "%Y%m%d").isoformat()
    known = None if sigma[0] is None or sigma[1] is None else torch.stack([sigma[0], sigma[1]])
    return field_of(ground, grid, made_by, Extra(known, planes.get(SNR)))


def _is_date(text: str) -> bool:
    with suppress(ValueError):
        return len(text) == 8 and bool(datetime.strptime(text, "%Y%m%d"))
    return False


def write_mintpy(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """A stack of one pair: offsets and their deviations in metres, SNR (our score), dates and attributes as text.

    Raises:
        OptionError: no CRS, rows that do not run west to east, or dates that are not known.
    """
    h5py = need_hdf5()
    if field.grid.crs is None or field.grid.is_oblique:
        raise OptionError("MintPy needs a map with a CRS whose rows run west to east: write --to cf instead.")
    dates = [str(field.made_by.get(role, ""))[:10].replace("-", "") for role in ("BEFORE_DATE", "AFTER_DATE")]
    if options.pair:
        dates = options.pair.split("_")
    if len(dates) != 2 or not all(len(date) == 8 and date.isdigit() for date in dates):
        raise OptionError("MintPy names pairs by their dates: give --pair, such as 20160206_20161122.")
    planes = {
        EAST: field.east,
        NORTH: field.north,
        f"{EAST}Std": field.sigma_east,
        f"{NORTH}Std": field.sigma_north,
        SNR: field.score,
    }
    with h5py.File(paths[0], "w") as file:
        for name, band in planes.items():
            values, most = band[None].float().numpy(), (None, *field.grid.shape)
            file.create_dataset(name, data=values, maxshape=most, compression="lzf", chunks=True)
        file["date"] = np.array([dates], "S8")
        file["bperp"] = np.zeros(1, np.float32)
        file["dropIfgram"] = np.ones(1, np.bool_)
        file.attrs.update(_attributes(field.grid, dates))


def _attributes(grid: Grid, dates: list[str]) -> dict[str, str]:
    t, size = grid.transform, grid.pixel_size
    crs = parse_crs(grid.crs or "")
    corners = {f"{axis}_REF{k}": v for axis, vs in _corners(grid).items() for k, v in enumerate(vs, 1)}
    about = {
        "FILE_TYPE": "ifgramStack",
        "PROCESSOR": "terrashift",
        "LENGTH": grid.height,
        "WIDTH": grid.width,
        "X_FIRST": t.c,
        "Y_FIRST": t.f,
        "X_STEP": t.a,
        "Y_STEP": t.e,
        "X_UNIT": "degrees" if grid.geographic else "meters",
        "Y_UNIT": "degrees" if grid.geographic else "meters",
        "RANGE_PIXEL_SIZE": size[0],
        "AZIMUTH_PIXEL_SIZE": size[1],
        "ALOOKS": 1,
        "RLOOKS": 1,
        "P_BASELINE_TOP_HDR": 0.0,
        "P_BASELINE_BOTTOM_HDR": 0.0,
        "DATE12": f"{dates[0][2:]}-{dates[1][2:]}",
        "CENTER_LINE_UTC": 0,
        "NO_DATA_VALUE": "nan",
    } | corners
    if code := crs.to_epsg():
        about["EPSG"] = code
        if 32600 < code <= 32660 or 32700 < code <= 32760:
            about["UTM_ZONE"] = f"{code % 100}{'N' if code < 32700 else 'S'}"
    else:
        about["CRS_WKT"] = crs.to_wkt()
    return {key: str(value) for key, value in about.items()}


def _corners(grid: Grid) -> dict[str, tuple[float, ...]]:
    """First line near and far, last line near and far, in the order that MintPy's prep_cosicorr uses."""
    t = grid.transform
    west, north = t.c, t.f
    east, south = t @ (grid.width, grid.height)
    return {"LAT": (south, south, north, north), "LON": (west, east, west, east)}


def _grid(about: dict[str, str], shape: tuple[int, ...], options: ImportOptions, path: Path) -> Grid:
    try:
        t = Affine(
            float(about["X_STEP"]), 0, float(about["X_FIRST"]), 0, float(about["Y_STEP"]), float(about["Y_FIRST"])
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} is in radar coordinates, not on a map: geocode it with MintPy first.") from error
    text = _crs_text(about) or options.crs
    if not text:
        raise InputError(f"{path} names no CRS (EPSG or UTM_ZONE): give --crs.")
    return grid_in(parse_crs(text), (shape[0], shape[1]), t, str(path))


def _crs_text(about: dict[str, str]) -> str | None:
    if "EPSG" in about:
        return f"EPSG:{about['EPSG']}"
    if "CRS_WKT" in about:
        return about["CRS_WKT"]
    if zone := about.get("UTM_ZONE"):
        return f"EPSG:{32600 if zone.upper().endswith('N') else 32700}"[:-2] + f"{int(zone[:-1]):02d}"
    return "EPSG:4326" if about.get("X_UNIT", "").startswith("deg") else None


def _choose(dates: list[str], wanted: str | None, path: Path) -> int:
    if wanted in dates:
        return dates.index(str(wanted))
    if wanted is None and len(dates) == 1:
        return 0
    shown = ", ".join(dates[:6]) + (", ..." if len(dates) > 6 else "")
    raise InputError(f"{path} holds {len(dates)} pairs ({shown}): choose one with --pair.")
