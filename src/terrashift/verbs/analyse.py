"""What a displacement field says of a fault: its trace, profiles across it, offsets along it, strain around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import out, tell

TRACE = """Find the trace of a fault in a displacement field, with a confidence for each segment.

Writes lines (GeoJSON, or GeoPackage where the name ends in .gpkg), and a map beside them (.png)."""
SIGNS = """Distance is positive to the right of the trace's direction, motion along the trace in its direction, motion
across it to the right. Offsets do not depend on how the trace was drawn: lateral is positive where right-lateral,
opening where the sides move apart."""
PROFILE = f"""Stack profiles of displacement across a trace, in boxes along it.

{SIGNS}

Writes a folder: profiles.csv, boxes.geojson (.gpkg), profiles.png, summary.json."""
OFFSET = f"""Measure the offset of a fault along its trace: two robust lines per profile outside the fault zone, and
their gap at the trace, with errors; the width of the zone, the share of slip on the fault, and the slip curve.

{SIGNS}

Writes a folder: offsets.csv, offsets.geojson (.gpkg), slip.csv, slip.png, profiles.csv, profiles.png, boxes.geojson
(.gpkg), summary.json."""
STRAIN = """Compute strain from a displacement field, by local polynomials that do not look across a given trace.

Extension, growth of area and anticlockwise rotation are positive. Writes a GeoTIFF with one band per quantity and one
per standard error, and beside it a map (.png) and a summary (.json)."""
TRACE_FILE = "Lines of the fault: GeoJSON, GeoPackage or shapefile."


def _common(output: str, metavar: str, trace: str | None = None) -> list[Argument]:
    """The field, the result and, with `trace`, the lines."""
    given = [argument("trace", str | None, None, f"{TRACE_FILE} {trace}", metavar="FILE")] if trace else []
    return [
        positional(
            "field",
            Path,
            REQUIRED,
            "Displacement field of any program.",
            metavar="DISPLACEMENT",
        ),
        argument("output", Path, REQUIRED, output, aliases=["-o"], metavar=metavar),
        *given,
        switch("overwrite", "Replace results of the same name."),
    ]


def _task(found: Any) -> Any:
    from ..faults import Task

    return Task(found.field, found.output, getattr(found, "trace", None), found.overwrite, tell)


def trace(words: Sequence[str]) -> int:
    """`terrashift trace displacement.tif -o trace.geojson`."""
    from ..analyse.trace import TraceOptions

    found = parse(words, "trace", TRACE, [*_common("Name of the lines.", "FILE"), *settings(TraceOptions)])
    from ..faults import trace as run

    result = run(_task(found), model_of(TraceOptions, found))
    for one in result.properties:
        out("  ".join(f"{name} {value}" for name, value in one.items()))
    return 0


def profile(words: Sequence[str]) -> int:
    """`terrashift profile displacement.tif --trace fault.gpkg -o profiles`."""
    from ..analyse.profile import ProfileOptions

    more = _common("Name of the new folder.", "FOLDER", "Default: found in the field.")
    found = parse(words, "profile", PROFILE, [*more, *settings(ProfileOptions)])
    from ..faults import profile as run

    result = run(_task(found), model_of(ProfileOptions, found))
    out(f"{found.output}: {len(result)} profiles. Look at profiles.png in it.")
    return 0


def offset(words: Sequence[str]) -> int:
    """`terrashift offset displacement.tif --trace fault.gpkg -o offsets`."""
    from ..analyse.fault_offset import OffsetOptions
    from ..analyse.profile import ProfileOptions

    more = _common("Name of the new folder.", "FOLDER", "Default: found in the field.")
    found = parse(words, "offset", OFFSET, [*more, *settings(ProfileOptions), *settings(OffsetOptions)])
    from ..faults import offset as run

    result = run(_task(found), model_of(ProfileOptions, found), model_of(OffsetOptions, found))
    for name, value in result.summary.items():
        out(f"{name:38} {'-' if value is None else value}")
    out(f"{found.output}: look at slip.png and profiles.png in it.")
    return 0


def strain(words: Sequence[str]) -> int:
    """`terrashift strain displacement.tif --trace fault.gpkg -o strain.tif`."""
    from ..analyse.strain import StrainOptions

    more = _common("Name of the resulting GeoTIFF.", "FILE", "Default: none, and the fault is smoothed over.")
    found = parse(words, "strain", STRAIN, [*more, *settings(StrainOptions)])
    from ..faults import strain_map as run

    result = run(_task(found), model_of(StrainOptions, found))
    x, y = result.scale_cells
    scale = f"{result.scale:g} {result.grid.unit} ({x:.3g} x {y:.3g} cells)"
    out(f"{found.output}: {found.kind} strain, smoothed over {scale}.")
    return 0
