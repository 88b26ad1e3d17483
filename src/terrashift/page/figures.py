"""Maps, profile, histogram and slip curve of the page, with the Bokeh library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analyse.crossings import Crossing
from ..analyse.section import to_cells
from ..core.field import DisplacementField
from ..core.reasons import Reason
from ..io.exchange.arrows import arrows_of
from ..plot.frame import Frame
from ..plot.maps import robust_limit
from .overview import has_sigma, valid

MAP_WIDTH, MAP_TALLEST, MAP_LOWEST = 338, 560, 130
WIDE, FLAT = 1350, 300
NO_VALUE = "#b3b8bc"
EAST_COLOUR, NORTH_COLOUR, INK = "#b5493c", "#1f6f8b", "#1f2933"
CAUSES = ("#eef2f4", "#46327e", "#277f8e", "#d1783c", "#8c8c3a", "#9f2a63", "#4ac16d", "#6b7280")
"""Of the map of reasons: a value, then the bits of `Reason` in their order."""
ARROWS = 20
BINS = 90
TOOLS = "wheel_zoom,pan,box_zoom,reset,save"


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What is drawn."""

    field: DisplacementField
    """Thinned out."""
    frame: Frame
    blocks: Sequence[tuple[float, float, float, float]]
    """Stable ground, (row, column, height, width) in cells of the thinned field."""
    trace: Sequence[np.ndarray]
    """(x, y) in the CRS."""
    slip: Sequence[Crossing]


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """Bokeh's models, and what the script needs of them."""

    maps: dict[str, Any]
    others: dict[str, Any]
    handles: dict[str, Any]


def figures(content: Content) -> Figures:
    """All figures; the maps hold no pixels yet: the page's script puts them in."""
    from bokeh.models import ColumnDataSource, CustomJS, Range1d

    left, right, bottom, top = content.frame.extent(content.field.grid)
    ranges = Range1d(start=left, end=right), Range1d(start=bottom, end=top)
    shared = {
        "drawn": ColumnDataSource({"xs": [], "ys": []}),
        "line": ColumnDataSource({"x": [], "y": []}),
    }
    maps, images, tools = {}, {}, []
    for name, (title, palette, low, high) in _layers(content).items():
        figure, source, own = _map(content, ranges, shared, _Look(title, palette, low, high))
        maps[name], images[name] = figure, source
        tools.append(own)
    _link(maps, tools)
    vectors = _vectors(maps["magnitude"], content)
    stable = _stable(maps["magnitude"], content)
    profile, of_profile = _profile(content)
    others = {"profile": profile, "histogram": _histogram(content)}
    if content.slip:
        others["slip"] = _slip(content)
    handles = shared | {"images": images} | of_profile
    handles |= {"vectors": vectors, "stable": stable, "ranges": list(ranges), "tools": tools}
    shared["drawn"].js_on_change("change", CustomJS(code="terrashift.drawn()"))
    shared["drawn"].js_on_change("data", CustomJS(code="terrashift.drawn()"))
    return Figures(maps, others, handles)


@dataclass(frozen=True, slots=True)
class _Look:
    title: str
    palette: list[str]
    low: float
    high: float


def _layers(content: Content) -> dict[str, tuple[str, list[str], float, float]]:
    field = content.field
    unit = field.grid.unit
    east, north = field.east.numpy(), field.north.numpy()
    limit = robust_limit([east, north])
    size = robust_limit([np.hypot(east, north)])
    found = {
        "east": (f"East ({unit})", palette_of("vik"), -limit, limit),
        "north": (f"North ({unit})", palette_of("vik"), -limit, limit),
        "magnitude": (f"Size ({unit})", palette_of("batlowW_r"), 0.0, size),
    }
    if has_sigma(field):
        sigma = np.hypot(field.sigma_east.numpy(), field.sigma_north.numpy())
        title = f"Stated error ({unit})"
        found["sigma"] = (title, palette_of("lajolla_r"), 0.0, robust_limit([sigma]))
    found["score"] = ("Score", palette_of("batlow"), 0.0, 1.0)
    found["cause"] = ("Cells without a value, and why", list(CAUSES), -0.5, len(CAUSES) - 0.5)
    return found


def palette_of(name: str) -> list[str]:
    """256 colours of a map of `cmcrameri`, even to the eye and safe for colour-blind readers (Crameri et al. 2020)."""
    from cmcrameri import cm
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in getattr(cm, name)(np.arange(256))]


def _map(content: Content, ranges: Any, shared: dict[str, Any], look: _Look) -> tuple[Any, Any, list[Any]]:
    from bokeh.models import ColorBar, ColumnDataSource, CustomJS, FreehandDrawTool, LinearColorMapper
    from bokeh.plotting import figure

    frame = content.frame
    height = int(min(MAP_TALLEST, max(MAP_LOWEST, MAP_WIDTH * frame.ratio)))
    width = int(min(MAP_WIDTH, max(MAP_LOWEST, height / frame.ratio))) if height == MAP_TALLEST else MAP_WIDTH
    plot: Any = figure(
        frame_width=width, frame_height=height, x_range=ranges[0], y_range=ranges[1], title=look.title, tools=TOOLS,
        active_scroll="wheel_zoom", active_drag=None, toolbar_location="above", output_backend="canvas",
    )  # fmt: skip
    mapper = LinearColorMapper(palette=look.palette, low=look.low, high=look.high, nan_color=NO_VALUE)
    left, right, bottom, top = frame.extent(content.field.grid)
    source = ColumnDataSource({"image": [np.full((1, 1), np.nan, np.float32)]})
    plot.image(
        "image", source=source, x=left, y=bottom, dw=right - left, dh=top - bottom, color_mapper=mapper, level="image"
    )
    if look.palette != list(CAUSES):
        bar = ColorBar(color_mapper=mapper, width=9, padding=4, bar_line_color="#9aa5ae", border_line_color=None)
        bar.major_label_text_font_size = "11px"
        plot.add_layout(bar, "right")
    for line in content.trace:
        x, y = frame.place(to_cells(content.field.grid, np.asarray(line))).T
        plot.line(x, y, line_color="white", line_width=3, line_alpha=0.8)
        plot.line(x, y, line_color=INK, line_width=1.4)
    loose = plot.multi_line("xs", "ys", source=shared["drawn"], line_color=INK, line_alpha=0.0, line_width=1)
    plot.line("x", "y", source=shared["line"], line_color="white", line_width=4.5, line_alpha=0.9)
    plot.line("x", "y", source=shared["line"], line_color="#d6006c", line_width=2.2)
    plot.scatter("x", "y", source=shared["line"], size=7, fill_color="#d6006c", line_color="white", line_width=1.5)
    lines: Any = [loose]
    draw = FreehandDrawTool(renderers=lines, num_objects=1, description="Draw a line: its profile appears below")
    plot.add_tools(draw)
    plot.toolbar.active_drag = draw
    plot.js_on_event("mousemove", CustomJS(code="terrashift.point(cb_obj)"))
    _dress(plot, frame)
    drags = [draw, *(tool for tool in plot.tools if type(tool).__name__ in ("PanTool", "BoxZoomTool"))]
    return plot, source, drags


def _link(maps: dict[str, Any], tools: list[list[Any]]) -> None:
    """One cross-hair over all maps, and one chosen tool."""
    from bokeh.models import CrosshairTool, CustomJS, Span

    look: dict[str, Any] = {"line_width": 0.8, "line_alpha": 0.7, "line_dash": "dotted"}
    spans = Span(dimension="width", **look), Span(dimension="height", **look)
    for plot in maps.values():
        plot.add_tools(CrosshairTool(overlay=spans))
    for own in tools:
        for tool in own:
            tool.js_on_change("change:active", CustomJS(code="terrashift.sync(cb_obj)"))


def _dress(plot: Any, frame: Frame | None = None) -> None:
    """The look that all figures share."""
    from bokeh.models import BasicTickFormatter, CustomJSTickFormatter

    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    plot.title.text_font_size = "14px"
    plot.title.text_color = INK
    plot.outline_line_color = "#9aa5ae"
    plot.xgrid.grid_line_color = plot.ygrid.grid_line_color = None if frame else "#e6eaee"
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = "12px"
    plot.axis.major_label_text_font_size = "11px"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = "#9aa5ae"
    plot.axis.minor_tick_line_color = None
    if frame is None:
        return
    plot.axis.formatter = BasicTickFormatter(use_scientific=False)
    plot.xaxis.ticker.desired_num_ticks = plot.yaxis.ticker.desired_num_ticks = 4
    plot.xaxis.axis_label, plot.yaxis.axis_label = frame.labels
    if frame.from_corner:
        plot.yaxis.formatter = CustomJSTickFormatter(code="return String(Math.abs(tick))")


def _vectors(plot: Any, content: Content) -> list[Any]:
    """Arrows over the size of the displacement, and one of known length beside them."""
    field, frame = content.field, content.frame
    every = max(1, -(-max(field.grid.shape) // ARROWS))
    arrows = arrows_of(field, every)
    if not len(arrows.tails):
        return []
    tails, tips = (frame.place(to_cells(field.grid, points)) for points in (arrows.tails, arrows.tips))
    true = np.array([1.0, abs(frame.dy / frame.dx) * field.grid.pixel_size[0] / field.grid.pixel_size[1]])
    shafts = (tips - tails) / true  # in one unit along both axes
    xs, ys = [], []
    for tail, tip, shaft in zip(tails, tips, shafts, strict=True):
        points = [tail, tip]
        for angle in (2.65, -2.65):
            c, s = 0.35 * np.cos(angle), 0.35 * np.sin(angle)
            points += [tip + np.array([c * shaft[0] - s * shaft[1], s * shaft[0] + c * shaft[1]]) * true, tip]
        x, y = np.array(points).T
        xs.append(x)
        ys.append(y)
    under = plot.multi_line(xs, ys, line_color="white", line_width=2.8, line_alpha=0.7, level="annotation")
    over = plot.multi_line(xs, ys, line_color=INK, line_width=1.1, level="annotation")
    return [under, over]


def _stable(plot: Any, content: Content) -> list[Any]:
    if not content.blocks:
        return []
    row, column, height, width = np.array(content.blocks, float).T
    begin, end = (content.frame.place(np.stack(c, -1)) for c in ((column, row), (column + width, row + height)))
    sides = {"left": begin[:, 0], "right": end[:, 0], "bottom": end[:, 1], "top": begin[:, 1]}
    shown = plot.quad(**sides, fill_color=None, line_color="#ffffff", line_width=1.4, line_dash="dashed", visible=False)
    return [shown]


def _profile(content: Content) -> tuple[Any, dict[str, Any]]:
    """The figure of the drawn line, and what the script changes in it."""
    from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem
    from bokeh.plotting import figure

    unit = content.field.grid.unit
    names = ("east", "north", "along", "across")
    columns = ["distance", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    source = ColumnDataSource({name: [] for name in columns})
    plot: Any = figure(
        width=WIDE, height=FLAT + 30, tools="pan,box_zoom,wheel_zoom,reset,save", toolbar_location="above",
        title="Displacement along the line", sizing_mode="stretch_width", max_width=WIDE,
    )  # fmt: skip
    kinds = [("east", EAST_COLOUR), ("north", NORTH_COLOUR), ("along", EAST_COLOUR), ("across", NORTH_COLOUR)]
    made = []
    for name, colour in kinds:
        band = plot.varea("distance", f"{name}_low", f"{name}_high", source=source, fill_color=colour, fill_alpha=0.18)
        shown = plot.line("distance", name, source=source, line_color=colour, line_width=1.8)
        made.append([band, shown])
    tips = [("distance", f"@distance{{0.0}} {unit}"), *((name, f"@{name}{{0.0000}} {unit}") for name in names)]
    plot.add_tools(HoverTool(tooltips=tips, mode="vline", renderers=[made[0][1]], line_policy="nearest"))
    items = [LegendItem(label=name, renderers=[one[1]]) for (name, _), one in zip(kinds, made, strict=True)]
    plot.add_layout(Legend(items=items), "above")
    compass, turned = [*made[0], *made[1]], [*made[2], *made[3]]
    for hidden in (*turned, *items[2:]):
        hidden.visible = False
    plot.xaxis.axis_label = f"distance along the line ({unit})"
    plot.yaxis.axis_label = f"displacement ({unit})"
    _dress(plot)
    _legend(plot)
    return plot, {"profile": source, "compass": compass, "turned": turned, "legend": items}


def _legend(plot: Any) -> None:
    plot.legend.click_policy = "hide"
    plot.legend.location = "top_left"
    legend = plot.legend[0]
    if legend in plot.center:
        plot.center.remove(legend)
        plot.add_layout(legend, "above")
    plot.legend.background_fill_alpha = 0.75
    plot.legend.border_line_color = None
    plot.legend.label_text_font_size = "12px"
    plot.legend.orientation = "horizontal"


def _histogram(content: Content) -> Any:
    from bokeh.plotting import figure

    field, unit = content.field, content.field.grid.unit
    plot: Any = figure(
        width=WIDE, height=FLAT, tools="pan,box_zoom,wheel_zoom,reset,save", toolbar_location="above",
        title="How often each displacement occurs", sizing_mode="stretch_width", max_width=WIDE,
    )  # fmt: skip
    known = valid(field)
    bands = [(name, getattr(field, name)[known].double().numpy()) for name in ("east", "north")]
    limit = 1.25 * robust_limit([values for _, values in bands])
    for (name, values), colour in zip(bands, (EAST_COLOUR, NORTH_COLOUR), strict=True):
        counts, edges = np.histogram(values, BINS, (-limit, limit))
        share = 100 * counts / max(1, len(values))
        plot.quad(
            left=edges[:-1], right=edges[1:], bottom=0, top=share, fill_color=colour, fill_alpha=0.35,
            line_color=colour, line_width=0.6, legend_label=name,
        )  # fmt: skip
    plot.xaxis.axis_label, plot.yaxis.axis_label = f"displacement ({unit})", "% of the cells with a value"
    plot.y_range.start = 0
    _dress(plot)
    _legend(plot)
    return plot


def _slip(content: Content) -> Any:
    """Offsets along the trace, with their errors."""
    from bokeh.models import ColumnDataSource, HoverTool, Whisker
    from bokeh.plotting import figure

    unit = content.field.grid.unit
    plot: Any = figure(
        width=WIDE, height=FLAT + 40, tools="pan,box_zoom,wheel_zoom,reset,save", toolbar_location="above",
        title="Offset across the trace", sizing_mode="stretch_width", max_width=WIDE,
    )  # fmt: skip
    distance = np.array([c.distance for c in content.slip])
    sigma = np.array([c.sigma for c in content.slip])
    for name, colour, label in (
        ("parallel", EAST_COLOUR, "along the trace (right-lateral positive)"),
        ("perpendicular", NORTH_COLOUR, "across it (opening positive)"),
    ):
        value = np.array([getattr(c, name) for c in content.slip])
        source = ColumnDataSource(
            {"distance": distance, "value": value, "low": value - sigma, "high": value + sigma, "sigma": sigma}
        )
        bars: Any = Whisker(
            source=source, base="distance", lower="low", upper="high", line_color=colour, line_alpha=0.6
        )
        bars.upper_head.size = bars.lower_head.size = 5
        bars.upper_head.line_color = bars.lower_head.line_color = colour
        plot.add_layout(bars)
        plot.line("distance", "value", source=source, line_color=colour, line_width=1.2, legend_label=label)
        dots = plot.scatter("distance", "value", source=source, size=6, color=colour, legend_label=label)
        tips = [("distance", f"@distance{{0}} {unit}"), (name, f"@value{{0.000}} ± @sigma{{0.000}} {unit}")]
        plot.add_tools(HoverTool(tooltips=tips, renderers=[dots]))
    plot.xaxis.axis_label, plot.yaxis.axis_label = f"distance along the trace ({unit})", f"offset ({unit})"
    _dress(plot)
    _legend(plot)
    return plot


def causes_legend() -> list[tuple[str, str]]:
    """(colour, meaning) of the map of reasons."""
    return [(CAUSES[0], "has a value"), *zip(CAUSES[1:], (reason.meaning for reason in Reason), strict=True)]
