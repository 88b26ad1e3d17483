"""NetCDF of autoRIFT and ITS_LIVE: velocities in whole metres per year along x and y of the map."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.field import DisplacementField
from ...core.grid import Grid
from ...errors import InputError, OptionError
from ..georeference import parse_crs
from .bands import Extra, field_of
from .netcdf import grid_of_dataset, open_netcdf, plane, save, text_of, to_xarray
from .options import ImportOptions

DAYS_PER_YEAR = 365.0
"""As autoRIFT counts: metres per year are pixels times pixel size, by seconds, times 365 * 24 * 3600."""
FILL = -32767
DATE_FORMATS = ("%Y%m%dT%H:%M:%S.%f", "%Y%m%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y%m%d", "%Y-%m-%d")


def is_itslive(names: dict[str, Any]) -> bool:
    """Velocities vx and vy, and what is known of the pair or of the map."""
    return {"vx", "vy"} <= set(names) and bool({"img_pair_info", "mapping"} & set(names))


def read_itslive(path: Path, options: ImportOptions) -> DisplacementField:
    """Velocity times the days between the images: displacement in metres.

    vx and vy are along x and y of the map, positive east and north on a north-up map. Sigma is the scene's error
    (attribute `error`, older `vx_error`) everywhere; the score is 1 where a value was measured, 0 where interpolated.
    On polar maps x and y are not east and north: they stay those of the grid, as everywhere.

    Raises:
        OptionError: the file does not tell the days between the images: give `options.days`.
    """
    with open_netcdf(path) as data:
        grid = grid_of_dataset(data, "vx", options, str(path))
        info = data["img_pair_info"].attrs if "img_pair_info" in data.variables else {}
        days = options.days or _days(info)
        if not days:
            raise OptionError(f"{path} does not tell the days between its images: give --days.")
        units = text_of(data["vx"].attrs.get("units", "meter/year")).lower()
        factor = days if "day" in units else days / DAYS_PER_YEAR
        ground = torch.stack([plane(data[name], str(path)) for name in ("vx", "vy")]) * factor
        errors = [_error(data[name].attrs, name) for name in ("vx", "vy")]
        sigma = None if None in errors else torch.tensor(errors)[:, None, None].expand_as(ground) * factor
        score = None
        if "interp_mask" in data.variables:
            score = 1 - plane(data["interp_mask"], str(path)).nan_to_num(0)
    made_by: dict[str, Any] = {"METHOD": "autoRIFT", "FIELD": path.name, "DAYS": days}
    for role, number in (("BEFORE", 1), ("AFTER", 2)):
        if date := _date(info.get(f"acquisition_date_img{number}", info.get(f"acquisition_img{number}"))):
            made_by[f"{role}_DATE"] = date.isoformat()
    return field_of(ground, _need_crs(grid, path), made_by, Extra(sigma, score))


def write_itslive(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Velocities as 16-bit metres per year with the variables and attributes of an ITS_LIVE image pair.

    Raises:
        OptionError: no days between the images, no CRS, or velocities that 16 bits do not hold.
    """
    days = options.days or days_between(field.made_by)
    if not days:
        raise OptionError("ITS_LIVE files hold velocities: give the days between the images with --days.")
    if field.grid.crs is None or field.grid.is_oblique:
        raise OptionError("ITS_LIVE files need a map with a CRS whose rows run west to east: write --to cf instead.")
    vx, vy = (band * (DAYS_PER_YEAR / days) for band in (field.east, field.north))
    v = torch.hypot(vx, vy)
    if float(v.nan_to_num(0).max()) > -FILL - 1:
        raise OptionError(
            f"velocities reach {float(v.nan_to_num(0).max()):.0f} m/year over {days:g} days, more than the format's "
            "16 bits hold: write --to cf instead."
        )
    ours = to_xarray(field)
    place = ours["spatial_ref"].attrs | {"spatial_epsg": parse_crs(field.grid.crs).to_epsg() or 0}
    data = ours.drop_vars(["spatial_ref", *field.BANDS])
    scale = DAYS_PER_YEAR / days
    errors = [_median(sigma) * scale for sigma in (field.sigma_east, field.sigma_north)]
    for name, values, axis, error in (("vx", vx, "x", errors[0]), ("vy", vy, "y", errors[1])):
        data[name] = _variable(values, f"land_ice_surface_{axis}_velocity", f"velocity component in {axis} direction")
        data[name].attrs["error"] = error
    data["v"] = _variable(v, "land_ice_surface_velocity", "velocity magnitude")
    interpolated = (field.east.isfinite() & (field.score == 0)).to(torch.uint8).numpy()
    about = {"description": "light interpolation mask", "grid_mapping": "mapping"}
    about |= {"flag_meanings": "measured interpolated", "flag_values": np.array([0, 1], np.uint8)}
    data["interp_mask"] = (("y", "x"), interpolated, about)
    data["mapping"] = ((), np.int8(0), place)
    data["img_pair_info"] = ((), np.int8(0), _info(field.made_by, days))
    data.attrs |= {"GDAL_AREA_OR_POINT": "Area", "motion_coordinates": "map", "motion_detection_method": "feature"}
    save(data, paths[0], {name: {"dtype": "int16", "_FillValue": FILL} for name in ("vx", "vy", "v")})


def days_between(made_by: dict[str, Any]) -> float | None:
    """Days from BEFORE_DATE to AFTER_DATE; None where one is missing.

    >>> days_between({"BEFORE_DATE": "2016-10-20T10:00:00", "AFTER_DATE": "2016-11-03T22:00:00"})
    14.5
    """
    dates = [made_by.get(f"{role}_DATE") for role in ("BEFORE", "AFTER")]
    if not all(dates):
        return None
    before, after = (datetime.fromisoformat(str(date)).replace(tzinfo=None) for date in dates)
    return (after - before) / timedelta(days=1)


def _variable(values: torch.Tensor, standard: str, description: str) -> tuple[Any, ...]:
    about = {"standard_name": standard, "description": description, "units": "meter/year", "grid_mapping": "mapping"}
    return ("y", "x"), values.round().float().numpy(), about


def _info(made_by: dict[str, Any], days: float) -> dict[str, Any]:
    about: dict[str, Any] = {"date_dt": float(days)}
    for role, number in (("BEFORE", 1), ("AFTER", 2)):
        if date := made_by.get(f"{role}_DATE"):
            moment = datetime.fromisoformat(str(date)).replace(tzinfo=None)
            about[f"acquisition_date_img{number}"] = moment.strftime(DATE_FORMATS[0])
        if name := made_by.get(role):
            about[f"id_img{number}"] = str(name)
    return about


def _days(info: dict[str, Any]) -> float | None:
    if "date_dt" in info:
        return float(text_of(info["date_dt"]))
    dates = [_date(info.get(f"acquisition_date_img{k}", info.get(f"acquisition_img{k}"))) for k in (1, 2)]
    if dates[0] is None or dates[1] is None:
        return None
    return (dates[1] - dates[0]) / timedelta(days=1)


def _date(value: Any) -> datetime | None:
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(text_of(value), form)
        except ValueError:
            continue
    return None


def _error(about: dict[str, Any], name: str) -> float | None:
    value = about.get("error", about.get(f"{name}_error"))
    number = float(text_of(value)) if value is not None else np.nan
    return number if np.isfinite(number) else None


def _median(sigma: torch.Tensor) -> float:
    known = sigma[sigma.isfinite()]
    return float(known.median()) if len(known) else float("nan")


def _need_crs(grid: Grid, path: Path) -> Grid:
    if grid.crs is None:
        raise InputError(f"{path} names no CRS: give --crs.")
    return grid
