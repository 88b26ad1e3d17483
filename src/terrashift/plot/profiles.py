"""Pictures of profiles across a fault, of the lines fitted to them, and of slip along strike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyse.fault_offset import Offset
from ..analyse.profile import Profile
from ..analyse.slip_curve import SlipCurve
from ..io.atomic import atomic_path
from .maps import DOTS_PER_INCH, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 24
COLUMNS = 4
PANEL = (3.1, 2.3)  # inches
PARALLEL, PERPENDICULAR = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe & Ito (2008), told apart by all."""
SMALL_PT, FONT_PT = 7.5, 9.5


def draw_profiles(profiles: Sequence[Profile], path: Path, offsets: Sequence[Offset] = ()) -> None:
    """Write a PNG of up to 24 profiles, evenly spread along the trace: motion along the trace and across it.

    Bars are standard errors where sigma is known. With `offsets`, the lines of both sides and the zone that they leave
    out (grey) are drawn too, and the title tells the offset.

    Raises:
        OutputError: where the file cannot be written.
    """
    from matplotlib.figure import Figure

    chosen = np.unique(np.linspace(0, len(profiles) - 1, min(MOST_PANELS, len(profiles))).round().astype(int))
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure((columns * PANEL[0] + 0.5, rows * PANEL[1] + 0.9), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes in panels.flat[len(chosen) :]:
        axes.set_axis_off()
    for number, axes in zip(chosen.tolist(), panels.flat, strict=False):
        _draw_profile(axes, profiles[number], number, offsets[number] if offsets else None)
    unit = profiles[0].unit
    figure.supxlabel(f"distance to the right of the trace ({_length_unit(unit)})", fontsize=FONT_PT, color=INK)
    figure.supylabel(f"displacement ({unit})", fontsize=FONT_PT, color=INK)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=FONT_PT, frameon=False)
    _save(figure, path)


def _draw_profile(axes: Axes, profile: Profile, number: int, offset: Offset | None) -> None:
    scale = _scale(profile.unit)
    parts = (
        (profile.parallel, profile.sigma_parallel, PARALLEL, "along the trace"),
        (profile.perpendicular, profile.sigma_perpendicular, PERPENDICULAR, "across it, to the right"),
    )
    for k, (motion, sigma, colour, label) in enumerate(parts):
        bars = np.nan_to_num(sigma)
        axes.errorbar(
            profile.distance / scale, motion, bars, fmt=".", markersize=2.5, elinewidth=0.5, color=colour, label=label
        )
        if offset is not None and offset.lines is not None:
            for line, side in zip(offset.lines[k], (profile.distance <= 0, profile.distance >= 0), strict=True):
                places = np.append(profile.distance[side], 0.0)
                places = np.array([places.min(), places.max()])
                axes.plot(places / scale, line(places), color=colour, linewidth=1.1)
    title = f"{number}: {_length(profile.box.along, profile.unit)}"
    if offset is not None:
        axes.axvspan(offset.zone[0] / scale, offset.zone[1] / scale, color="0.9", linewidth=0)
        title += f", {offset_text(offset)}"
    axes.axvline(0, color="0.5", linewidth=0.6, linestyle=":")
    axes.set_title(title, fontsize=SMALL_PT + 0.5, color=INK, loc="left")
    _tidy(axes)


def offset_text(offset: Offset) -> str:
    """The lateral offset in words."""
    value = offset.lateral.value
    if math.isnan(value):
        return "no offset"
    sense = "right" if value >= 0 else "left"
    return f"{sense}-lateral {abs(value):.3g} ± {offset.lateral.error_bootstrap:.2g} {offset.profile.unit}"


def draw_slip(curves: dict[str, SlipCurve], offsets: Sequence[Offset], path: Path) -> None:
    """Write a PNG of slip along strike: offsets with 95 % intervals, their smooth curve and its envelope, and widths.

    Raises:
        OutputError: where the file cannot be written.
    """
    from matplotlib.figure import Figure

    unit = offsets[0].profile.unit
    scale = _scale(unit)
    figure = Figure((8.6, 7.4), dpi=DOTS_PER_INCH, layout="constrained")
    panels: Any = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.7, 1.5))
    told = {"lateral": "right-lateral offset", "opening": "opening"}
    colours = {"lateral": PARALLEL, "opening": PERPENDICULAR}
    for axes, (name, curve) in zip(panels, curves.items(), strict=False):
        bars = [np.maximum(curve.offset - curve.low, 0), np.maximum(curve.high - curve.offset, 0)]
        axes.errorbar(
            curve.along / scale, curve.offset, bars, fmt="o", markersize=2.5, elinewidth=0.6, color=colours[name],
            label="profiles, 95 %",
        )  # fmt: skip
        for segment in np.unique(curve.segment):
            own = curve.segment == segment
            label = None if segment != curve.segment[0] else "smoothed, and its envelope"
            axes.plot(curve.along[own] / scale, curve.smooth[own], color=INK, linewidth=1.2, label=label)
            axes.fill_between(curve.along[own] / scale, curve.lower[own], curve.upper[own], color="0.88", linewidth=0)
        axes.axhline(0, color="0.5", linewidth=0.6)
        axes.set_ylabel(f"{told[name]} ({unit})", fontsize=FONT_PT, color=INK)
        axes.legend(fontsize=SMALL_PT, frameon=False, loc="best")
    along = np.array([o.profile.box.along for o in offsets]) / scale
    marks = (("inflection points", "bell", "o"), ("erf, 10-90 %", "erf", "^"), ("arctan, 10-90 %", "arctan", "v"))
    for label, name, mark in marks:
        widths = np.array([getattr(o, name).width for o in offsets])
        panels[2].plot(along, widths, mark, markersize=3, label=label, fillstyle="none")
    panels[2].set_ylim(bottom=0)
    panels[2].set_ylabel(f"zone width ({unit})", fontsize=FONT_PT, color=INK)
    panels[2].set_xlabel(f"length along the trace ({_length_unit(unit)})", fontsize=FONT_PT, color=INK)
    panels[2].legend(fontsize=SMALL_PT, frameon=False, ncols=3, loc="best")
    for axes in panels:
        _tidy(axes)
    _save(figure, path)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=SMALL_PT, colors=INK, width=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("0.5")


def _scale(unit: str) -> float:
    """Lengths along and across a trace are drawn in km."""
    return 1000.0 if unit == "m" else 1.0


def _length_unit(unit: str) -> str:
    return "km" if unit == "m" else unit


def _length(value: float, unit: str) -> str:
    return f"{value / _scale(unit):.3g} {_length_unit(unit)}"


def _save(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
