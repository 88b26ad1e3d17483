"""Recover what lies below the pixel in optical satellite images taken on different dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analyse.fault_offset import fit_offsets as fit_offsets
    from .analyse.profile import stack_profiles as stack_profiles
    from .analyse.section import section as section
    from .analyse.strain import strain as strain
    from .analyse.trace import find_trace as find_trace
    from .core.field import DisplacementField as DisplacementField
    from .core.grid import Grid as Grid
    from .errors import TerrashiftError as TerrashiftError
    from .estimators.cnn4l import Cnn4l as Cnn4l
    from .estimators.frequency import Frequency as Frequency
    from .estimators.geoflownet import GeoFlowNet as GeoFlowNet
    from .estimators.iterative import Iterative as Iterative
    from .estimators.microflow import MicroFlow as MicroFlow
    from .estimators.searaft import SeaRaft as SeaRaft
    from .estimators.search import SearchOptions as SearchOptions
    from .estimators.spatial import Spatial as Spatial
    from .io.cog import read_field as read_field
    from .io.exchange.formats import read_any as read_any
    from .io.exchange.formats import write_any as write_any
    from .io.exchange.netcdf import from_xarray as from_xarray
    from .io.exchange.netcdf import to_xarray as to_xarray
    from .io.raster import ReadOptions as ReadOptions
    from .page.html import write_page as write_page
    from .pipeline import check as check
    from .pipeline import measure as measure
    from .pipeline import measure_arrays as measure_arrays
    from .presets import preset as preset
    from .recipe import Recipe as Recipe
    from .regularise.log_tv import LogTv as LogTv
    from .regularise.quadratic import Quadratic as Quadratic
    from .regularise.tv import Tv as Tv
    from .resources import RunOptions as RunOptions

_HOMES = {
    "Cnn4l": "estimators.cnn4l",
    "DisplacementField": "core.field",
    "Frequency": "estimators.frequency",
    "GeoFlowNet": "estimators.geoflownet",
    "Grid": "core.grid",
    "Iterative": "estimators.iterative",
    "LogTv": "regularise.log_tv",
    "MicroFlow": "estimators.microflow",
    "Quadratic": "regularise.quadratic",
    "ReadOptions": "io.raster",
    "Recipe": "recipe",
    "RunOptions": "resources",
    "SeaRaft": "estimators.searaft",
    "SearchOptions": "estimators.search",
    "Spatial": "estimators.spatial",
    "TerrashiftError": "errors",
    "Tv": "regularise.tv",
    "check": "pipeline",
    "find_trace": "analyse.trace",
    "fit_offsets": "analyse.fault_offset",
    "from_xarray": "io.exchange.netcdf",
    "measure": "pipeline",
    "measure_arrays": "pipeline",
    "preset": "presets",
    "read_any": "io.exchange.formats",
    "read_field": "io.cog",
    "section": "analyse.section",
    "stack_profiles": "analyse.profile",
    "strain": "analyse.strain",
    "to_xarray": "io.exchange.netcdf",
    "write_any": "io.exchange.formats",
    "write_page": "page.html",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the package itself stays light."""
    if name == "__version__":
        from importlib.metadata import version

        return version("terrashift")
    if name not in _HOMES:
        raise AttributeError(f"module 'terrashift' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
