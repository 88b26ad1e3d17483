"""From a displacement field to what it says of a fault: trace, profiles, offsets and strain, written as files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel

from .analyse.fault_offset import Offset, OffsetOptions, fit_offsets
from .analyse.profile import Profile, ProfileOptions, layout_of, stack_profiles
from .analyse.slip_curve import SlipCurve, slip_curve
from .analyse.strain import Strain, StrainOptions, strain
from .analyse.tables import box_lines, box_rows, csv_text, curve_rows, offset_rows, profile_rows
from .analyse.trace import FoundTrace, TraceOptions, find_trace
from .core.field import DisplacementField
from .errors import InputError, OptionError
from .io.atomic import atomic_folder, atomic_write_text, check_folder, check_target
from .io.cog import write_layers
from .io.exchange.formats import read_any
from .io.ogr import libraries
from .io.vectors import check_line_format, read_lines, refuse_far, write_lines
from .plot.faultmaps import draw_strain, draw_trace
from .plot.profiles import draw_profiles, draw_slip

SIGNS = (
    "distance is positive to the right of the trace's direction; parallel motion is positive along it, perpendicular "
    "motion to the right; lateral offset is positive where right-lateral (dextral), opening where the sides move apart"
)
STRAIN_SIGNS = "extension, growth of area and anticlockwise rotation are positive; east and north are the grid's"
PROFILE_FILES = ("profiles.csv", "boxes.geojson", "boxes.gpkg", "profiles.png", "summary.json", "trace.geojson")
OFFSET_FILES = ("offsets.csv", "offsets.geojson", "offsets.gpkg", "slip.csv", "slip.png", *PROFILE_FILES)

Line = Float[np.ndarray, "_ 2"]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What to read and where to write."""

    field: Path
    output: Path
    trace: str | None = None
    """File of lines; None finds the trace in the field (or, for strain, takes none)."""
    overwrite: bool = False
    tell: Tell = lambda text: None
    """Hears what is going on."""


class Trace(NamedTuple):
    """Lines on a field, and where they come from."""

    lines: tuple[Line, ...]
    """(x, y) in the CRS of the field's grid."""
    source: str
    found: FoundTrace | None
    """None where the lines were given."""


def trace_for(field: DisplacementField, path: str | None, options: TraceOptions | None = None) -> Trace:
    """The trace in a file, or the one found in the field.

    Raises:
        InputError: the file cannot be read or lies elsewhere, or no trace stands clear of the noise.
    """
    if path is not None:
        lines = read_lines(path, field.grid.crs)
        refuse_far(lines, field.grid, path)
        return Trace(tuple(lines), path, None)
    found = find_trace(field, options or TraceOptions())
    if not found.lines:
        raise InputError(
            "no trace stands clear of the noise in this field: give one with --trace FILE, or look closer with "
            "`terrashift trace --low 2.5 --high 4`."
        )
    return Trace(found.lines, "found in the field", found)


def trace(task: Task, options: TraceOptions) -> FoundTrace:
    """Find the trace in a field; write its lines, and a map beside them under the same name with .png."""
    picture = task.output.with_suffix(".png")
    check_line_format(task.output)
    for target in (task.output, picture):
        check_target(target, task.overwrite)
    field = read_any(task.field)
    trace_found = trace_for(field, None, options).found
    assert trace_found is not None
    write_lines(task.output, trace_found.lines, field.grid.crs, trace_found.properties)
    draw_trace(field, trace_found.lines, [_label(one) for one in trace_found.properties], picture)
    return trace_found


def profile(task: Task, options: ProfileOptions) -> tuple[Profile, ...]:
    """Stack profiles across a trace; write a folder with tables, boxes, a picture and a summary."""
    check_folder(task.output, PROFILE_FILES, task.overwrite)
    field = read_any(task.field)
    lines = _told(trace_for(field, task.trace), task)
    profiles = stack_profiles(field, lines.lines, options)
    with atomic_folder(task.output) as folder:
        _write_profiles(folder, field, lines, profiles, options)
        draw_profiles(profiles, folder / "profiles.png")
        _write_summary(folder / "summary.json", task, lines, [options], {"profiles": len(profiles)})
    return profiles


class Offsets(NamedTuple):
    """Offsets along a trace, and their curves."""

    offsets: tuple[Offset, ...]
    curves: dict[str, SlipCurve]
    """By component, `lateral` and `opening`."""
    summary: dict[str, Any]


def offset(task: Task, profile_options: ProfileOptions, options: OffsetOptions) -> Offsets:
    """Find the offset along a trace; write a folder with tables, vectors, pictures and a summary."""
    check_folder(task.output, OFFSET_FILES, task.overwrite)
    field = read_any(task.field)
    lines = _told(trace_for(field, task.trace), task)
    profiles = stack_profiles(field, lines.lines, profile_options)
    offsets = fit_offsets(profiles, options)
    curves = {name: slip_curve(offsets, name) for name in ("lateral", "opening")}
    summary = summarise(offsets, curves["lateral"])
    grid = field.grid
    rows = offset_rows(offsets, grid)
    places = box_lines(profiles, grid, layout_of(grid, profile_options))
    with atomic_folder(task.output) as folder:
        _write_profiles(folder, field, lines, profiles, profile_options)
        atomic_write_text(folder / "offsets.csv", csv_text(rows))
        _write_vectors(folder / "offsets.geojson", places, field, rows)
        slip_rows = [row for name, curve in curves.items() for row in curve_rows(curve, name, grid.unit)]
        atomic_write_text(folder / "slip.csv", csv_text(slip_rows))
        draw_profiles(profiles, folder / "profiles.png", offsets)
        draw_slip(curves, offsets, folder / "slip.png")
        _write_summary(folder / "summary.json", task, lines, [profile_options, options], summary)
    return Offsets(offsets, curves, summary)


def summarise(offsets: Sequence[Offset], curve: SlipCurve) -> dict[str, Any]:
    """All offsets in a few numbers, in the unit of the profiles; None where there is none.

    Raises:
        InputError: no profile gave an offset.
    """
    good = [o for o in offsets if not o.note]
    if not good:
        raise InputError(
            f"no profile gave an offset; the first says: {offsets[0].note}. Give longer profiles (--length-m), or a "
            "narrower --fault-zone-m."
        )
    unit = good[0].profile.unit
    along, strongest = curve.strongest()
    errors = [o.lateral.error_bootstrap for o in good], [o.lateral.error_sigma for o in good]
    numbers = {
        f"lateral_median_{unit}": np.median([o.lateral.value for o in good]),
        f"lateral_error_bootstrap_median_{unit}": np.median(errors[0]),
        f"lateral_error_sigma_median_{unit}": _median(errors[1]),
        f"lateral_strongest_smoothed_{unit}": strongest,
        f"strongest_at_{unit}": along,
        f"opening_median_{unit}": np.median([o.opening.value for o in good]),
        f"zone_median_{unit}": np.median([o.zone[1] - o.zone[0] for o in good]),
        f"width_inflection_median_{unit}": _median([o.bell.width for o in good]),
        f"width_erf_median_{unit}": _median([o.erf.width for o in good]),
        f"width_arctan_median_{unit}": _median([o.arctan.width for o in good]),
        "on_fault_share_median": _median([o.on_fault for o in good]),
        "correlation_bins": good[0].correlation_bins,
    }
    counts = {"profiles": len(offsets), "profiles_with_offset": len(good)}
    return counts | {name: _plain(value) for name, value in numbers.items()}


def strain_map(task: Task, options: StrainOptions) -> Strain:
    """Compute strain; write its layers as a GeoTIFF, and a map and a summary beside it (.png, .json)."""
    beside = [task.output.with_suffix(suffix) for suffix in (".png", ".json")]
    if options.across_trace and task.trace is None:
        raise OptionError("--across-trace is about a trace: give one with --trace FILE, or leave it out.")
    for target in (task.output, *beside):
        check_target(target, task.overwrite)
    field = read_any(task.field)
    lines = trace_for(field, task.trace) if task.trace is not None else Trace((), "none", None)
    found = strain(field, options, lines.lines)
    unit = field.grid.unit
    about = {
        "from": str(task.field),
        "trace": lines.source,
        "across_trace": str(options.across_trace).lower(),
        f"smoothing_scale_{unit}": f"{found.scale:g}",
        "smoothing": f"Gaussian weights, standard deviation {found.scale:g} {unit}; degree {options.degree}",
        "kind": options.kind,
        "signs": STRAIN_SIGNS,
    }
    write_layers(task.output, field.grid, found.layers, {**field.made_by, **_tags(about)}, task.overwrite)
    draw_strain(found.layers, field.grid, beside[0])
    spread = {name: _spread(layer) for name, layer in found.layers.items()}
    atomic_write_text(beside[1], json.dumps({**about, "layers": spread}, indent=2) + "\n")
    return found


def _tags(about: dict[str, str]) -> dict[str, str]:
    return {f"STRAIN_{name.upper()}": value for name, value in about.items()}


def _spread(layer: np.ndarray) -> dict[str, float | None]:
    known = layer[np.isfinite(layer)]
    if not known.size:
        return {"median": None, "p02": None, "p98": None}
    low, middle, high = np.percentile(known, (2, 50, 98))
    return {"median": _plain(middle), "p02": _plain(low), "p98": _plain(high)}


def _told(lines: Trace, task: Task) -> Trace:
    if lines.found is not None:
        told = [f"{p['confidence']:.2f}" for p in lines.found.properties]
        task.tell(f"trace found in the field: {len(told)} segments of confidence {', '.join(told[:8])}")
    return lines


def _write_profiles(
    folder: Path, field: DisplacementField, lines: Trace, profiles: Sequence[Profile], options: ProfileOptions
) -> None:
    """The table of all profiles, their lines on the map, and the trace if it was found."""
    atomic_write_text(folder / "profiles.csv", csv_text(list(profile_rows(profiles))))
    places = box_lines(profiles, field.grid, layout_of(field.grid, options))
    _write_vectors(folder / "boxes.geojson", places, field, box_rows(profiles, field.grid))
    if lines.found is not None:
        write_lines(folder / "trace.geojson", lines.lines, field.grid.crs, lines.found.properties)


def _write_vectors(path: Path, lines: Sequence[Line], field: DisplacementField, rows: Sequence[dict[str, Any]]) -> None:
    """GeoJSON, and GeoPackage where the packages for it are installed."""
    write_lines(path, lines, field.grid.crs, rows)
    try:
        libraries()
    except OptionError:
        return
    write_lines(path.with_suffix(".gpkg"), lines, field.grid.crs, rows)


def _write_summary(path: Path, task: Task, lines: Trace, options: Sequence[BaseModel], found: dict[str, Any]) -> None:
    settings = {name: value for part in options for name, value in part.model_dump().items()}
    about = {"field": str(task.field), "trace": lines.source, "signs": SIGNS, "options": settings}
    atomic_write_text(path, json.dumps({**about, **found}, indent=2) + "\n")


def _label(properties: dict[str, Any]) -> str:
    return f"{properties['segment']}: confidence {properties['confidence']:.2f}"


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
