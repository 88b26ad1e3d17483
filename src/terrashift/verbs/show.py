"""Show a displacement field: an interactive page, and maps for publications."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import REQUIRED, argument, model_of, parse, positional, settings, switch
from ..console import out, tell
from ..errors import InputError, OptionError
from .convert import read_source, source_arguments

REPORT = """Write one interactive page about a displacement field of any program: a single HTML file, no network.

Maps with shared zoom and values under the mouse; drag a line across a map to see its profile; statistics of stable
ground, histogram, and, with --trace, the slip along a fault."""

PLOT = """Draw a displacement field of any program for a publication, as PNG, PDF or SVG.

Maps true to scale with scale bar, arrow to the north and colours that are safe for colour-blind readers; an image or
the relief of a DEM under them, arrows, the trace of a fault, and profiles along lines below."""


def report(words: Sequence[str]) -> int:
    """`terrashift report displacement.tif -o report.html`."""
    found = parse(
        words,
        "report",
        REPORT,
        [
            positional("field", Path, REQUIRED, "Displacement field of any program.", metavar="FIELD"),
            argument("output", Path, REQUIRED, "Name of the page.", aliases=["-o"], metavar="FILE"),
            argument(
                "trace", Path | None, None, "Trace of the fault (GeoJSON): drawn, and slip along it.", metavar="FILE"
            ),
            argument("spacing", float | None, None, "Between sections across the trace, metres. Default: 40 in all."),
            argument(
                "stable",
                Path | None,
                None,
                "Raster on the field's grid, 1 where the ground stood still.",
                metavar="FILE",
            ),
            *source_arguments(),
            switch("overwrite", "Replace a page of that name."),
        ],
    )
    from ..analyse.crossings import crossings
    from ..io.atomic import check_target
    from ..page.html import Extras, write_page

    check_target(found.output, found.overwrite)
    field = read_source(found)
    trace = read_trace(found.trace, field)
    slip = crossings(field, trace, found.spacing) if trace else []
    if trace and not slip:
        tell("no profile across the trace has an offset: the page shows the trace alone")
    stable = read_mask(found.stable, field) if found.stable else None
    write_page(field, found.output, Extras(found.field.name, trace, slip, stable))
    out(f"{found.output}: {found.output.stat().st_size / 1e6:.1f} MB. Open it with any browser.")
    return 0


def plot(words: Sequence[str]) -> int:
    """`terrashift plot displacement.tif -o figure.pdf`."""
    from ..plot.publication import Overlay, PlotOptions, draw_figure

    found = parse(
        words,
        "plot",
        PLOT,
        [
            positional("field", Path, REQUIRED, "Displacement field of any program.", metavar="FIELD"),
            argument(
                "output", Path, REQUIRED, "Name of the figure: .png, .pdf or .svg.", aliases=["-o"], metavar="FILE"
            ),
            *(one for one in settings(PlotOptions) if one[0] not in ("hillshade", "vectors")),
            argument("background", Path | None, None, "Image or DEM under the displacement.", metavar="FILE"),
            switch("hillshade", "The background is a DEM: show its relief, lit from the north-west."),
            switch("vectors", "Draw arrows."),
            argument("trace", Path | None, None, "Trace of the fault (GeoJSON).", metavar="FILE"),
            argument("profiles", Path | None, None, "Lines (GeoJSON) whose profiles go below.", metavar="FILE"),
            argument("line", tuple[float, float, float, float] | None, None, "One such line: x1 y1 x2 y2 in the CRS."),
            *source_arguments(),
            switch("overwrite", "Replace a figure of that name."),
        ],
    )
    from ..io.atomic import check_target

    check_target(found.output, found.overwrite)
    options = model_of(PlotOptions, found)
    field = read_source(found)
    profiles = read_trace(found.profiles, field)
    if found.line:
        profiles.append(np.array(found.line).reshape(2, 2))
    backdrop = None
    if found.background:
        from ..io.backdrop import read_backdrop

        backdrop = read_backdrop(found.background, field.grid)
    elif found.hillshade:
        raise OptionError("--hillshade needs the heights: give the DEM with --background.")
    draw_figure(field, found.output, options, Overlay(backdrop, read_trace(found.trace, field), profiles))
    out(str(found.output))
    return 0


def read_trace(path: Path | None, field: Any) -> list[Any]:
    """Lines of a trace in the CRS of a field; none without a path."""
    if path is None:
        return []
    from ..io.vectors import read_lines, refuse_far

    lines = read_lines(path, field.grid.crs)
    refuse_far(lines, field.grid, str(path))
    return lines


def read_mask(path: Path, field: Any) -> Any:
    """True where a raster on the grid of a field is neither 0 nor nodata.

    Raises:
        InputError: it lies on another grid.
    """
    from ..io.raster import open_raster, read_whole

    raster = open_raster(str(path))
    if raster.grid.shape != field.grid.shape or raster.grid.crs != field.grid.crs:
        raise InputError(f"{path} is {raster.grid}; the field is {field.grid}: give a mask on the field's own grid.")
    values = read_whole(raster)
    mask = (values.nan_to_num(0) != 0) & field.east.isfinite()
    if not mask.any():
        raise InputError(f"{path} marks no cell that has a value: it is to be 1 where the ground stood still.")
    return mask
