"""The page itself: summary and tables around the figures; every text that came from a file is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..analyse.crossings import Crossing
from ..analyse.quiet import StableGround, stable_ground
from ..analyse.section import ENOUGH
from ..core.field import DisplacementField
from ..core.reasons import Reason
from ..core.text import markup
from ..errors import OptionError
from ..io.atomic import atomic_path
from ..plot.frame import Frame, thin
from ..report import Spread, Summary, percent, summarise
from .figures import Content, Figures, causes_legend, figures
from .overview import LONGEST_CELLS, grid_json, layers
from .script import SCRIPT, STYLE

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; connect-src data:"
)
"""What the browser may load: only what the page itself holds. Bokeh makes functions of callbacks: `unsafe-eval`."""
HINT = "Point at a map to read its values. Drag across a map to draw a line; turn the wheel to zoom; the hand moves."


@dataclass(frozen=True, slots=True, eq=False)
class Extras:
    """What may be told beside the field."""

    name: str = ""
    """Of the file, for the title."""
    trace: Sequence[np.ndarray] = ()
    """Lines of the fault, (x, y) in the CRS of the field."""
    slip: Sequence[Crossing] = ()
    """Offsets along it."""
    stable: Tensor | None = None
    """True where the ground is known to have stood still."""
    notes: Sequence[str] = field(default=())


def write_page(displacement: DisplacementField, path: Path | str, extras: Extras | None = None) -> None:
    """Write the page about a field: one HTML file that needs no server and no network.

    Fields with more than 640 cells along a side are shown at every n-th cell; numbers in tables are of all cells.

    Raises:
        InputError: the field has no cells.
        OptionError: the plotting library is not installed.
        OutputError: the file cannot be written; nothing is left behind then.
    """
    text = page(displacement, extras or Extras())
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def page(displacement: DisplacementField, extras: Extras) -> str:
    """The text of the page: see `write_page`."""
    try:
        from bokeh.document import Document
        from bokeh.embed import components
        from bokeh.models import CustomJS
        from bokeh.resources import Resources
    except ImportError as error:
        raise OptionError("the page needs a plotting library: pip install terrashift[report]") from error

    summary = summarise(displacement)
    quiet = stable_ground(displacement, extras.stable)
    small = thin(displacement, LONGEST_CELLS)
    frame = Frame.of(small.grid)
    every = -(-max(displacement.grid.shape) // max(small.grid.shape))
    shown = quiet.blocks if quiet and extras.stable is None else []
    blocks = [(a / every, b / every, c / every, d / every) for a, b, c, d in shown]
    content = Content(small, frame, blocks, extras.trace, extras.slip)
    made = figures(content)
    document = Document()
    roots = made.maps | made.others
    for root in roots.values():
        document.add_root(root)
    document.js_on_event("document_ready", CustomJS(args=made.handles, code=_start(made)))
    script, parts = components(roots)
    data = _about(content, quiet, extras)
    libraries = Resources(mode="inline", components=["bokeh"]).render()
    return _whole(
        title=markup(extras.name or "displacement"),
        head=f"{libraries}\n<script>{SCRIPT}</script>",
        body=_body(summary, quiet, extras, parts, every),
        tail=f'<script type="application/json" id="layers">{_safe_json(data)}</script>\n'
        f"<script>terrashift.prepare();</script>\n{script}",
    )


def _start(made: Figures) -> str:
    return f"terrashift.start({{{', '.join(made.handles)}}})"


def _about(content: Content, quiet: StableGround | None, extras: Extras) -> dict[str, Any]:
    grid = content.field.grid
    left, right, bottom, top = content.frame.extent(grid)
    middle = (bottom + top) / 2
    noise = [quiet.east.nmad, quiet.north.nmad] if quiet else [0.0, 0.0]
    names = ("distance", "parallel", "perpendicular", "sigma")
    return {
        "grid": grid_json(grid),
        "frame": content.frame.to_json(),
        "extent": [left, right, bottom, top],
        "layers": layers(content.field),
        "line": [[left + 0.04 * (right - left), right - 0.04 * (right - left)], [middle, middle]],
        "noise": noise,
        "enough": ENOUGH,
        "hint": HINT,
        "digits": max(2, 2 - math.floor(math.log10(min(grid.pixel_size)))),
        "place_digits": 6 if grid.geographic and grid.crs else 1,
        "reasons": [reason.meaning for reason in Reason],
        "slip": {name: [getattr(c, name) for c in extras.slip] for name in names},
    }


def _safe_json(data: Any) -> str:
    """JSON that no text in it can end early."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _whole(title: str, head: str, body: str, tail: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: displacement</title>
<style>{STYLE}</style>
{head}
</head>
<body>
{body}
{tail}
</body>
</html>
"""


def _body(summary: Summary, quiet: StableGround | None, extras: Extras, parts: dict[str, str], every: int) -> str:
    maps = "\n".join(_figure(part) for name, part in parts.items() if name not in ("profile", "histogram", "slip"))
    legend = "".join(f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in causes_legend())
    thinned = (
        f"The maps and profiles show every {_ordinal(every)} cell along rows and columns; the tables count all of them."
        if every > 1
        else ""
    )
    sections = [
        _head(summary, extras),
        _cards(summary, quiet),
        f'<h2>Maps</h2>\n<p class="note">East and north are the motion of the ground from before to after, positive '
        f"toward the east and the north of the grid. Grey: no value. {thinned}</p>",
        '<div class="bar tools"><label><input type="checkbox" id="show-vectors" checked> arrows</label>'
        '<label><input type="checkbox" id="show-stable"> stable ground</label>'
        '<button id="reset">whole map</button></div>',
        f'<div id="readout"></div>\n<div class="maps">\n{maps}\n</div>\n<div class="legend">{legend}</div>',
        _profile(summary, parts["profile"], quiet),
    ]
    if "slip" in parts:
        sections.append(_slip(parts["slip"], len(extras.slip)))
    sections += [
        "<h2>Numbers</h2>",
        f'<div class="columns"><div>{_statistics(summary)}</div><div>{_stable(quiet)}</div></div>',
        _figure(parts["histogram"]),
        _causes(summary),
        _provenance(summary),
    ]
    return "\n".join(sections)


def _figure(part: str) -> str:
    """A figure, and the picture of it that is printed in its place."""
    return f'<div class="fig">{part}<img class="still" alt=""></div>'


def _head(summary: Summary, extras: Extras) -> str:
    made_by = summary.made_by
    dates = [str(made_by.get(f"{role}_DATE") or "")[:10] for role in ("BEFORE", "AFTER")]
    names = [str(made_by.get(role) or "") for role in ("BEFORE", "AFTER")]
    lines = [" to ".join(dates) if all(dates) else "", " → ".join(names) if all(names) else ""]
    if made_by.get("METHOD"):
        lines.append(f"{made_by['METHOD']} method")
    about = " &nbsp;·&nbsp; ".join(markup(line) for line in lines if line)
    notes = "".join(f'<p class="note">{markup(note)}</p>' for note in extras.notes)
    return f'<h1>{markup(extras.name or "Displacement")}</h1>\n<p class="sub">{about}</p>{notes}'


def _cards(summary: Summary, quiet: StableGround | None) -> str:
    unit = summary.unit
    dx, dy = summary.cell_size
    size = f"{dx:.4g}" if abs(dx - dy) < 1e-6 * dx else f"{dx:.4g} × {dy:.4g}"
    crs = summary.crs if summary.crs and len(summary.crs) < 20 else ("a custom CRS" if summary.crs else "no CRS")
    cards = [
        (f"{summary.height} × {summary.width}", f"cells of {size} {unit}, {markup(crs)}"),
        (percent(summary.valid_share), "of the cells have a value"),
    ]
    if summary.magnitude:
        cards.append((f"{summary.magnitude.high:.3g} {unit}", "98 % of the cells moved less"))
    if quiet:
        cards.append((f"{quiet.east.nmad:.3g} / {quiet.north.nmad:.3g} {unit}", "noise of a cell, east / north (NMAD)"))
    if summary.score_median is not None:
        cards.append((f"{summary.score_median:.2f}", "median score"))
    inside = "".join(f'<div class="card"><b>{value}</b><span>{text}</span></div>' for value, text in cards)
    return f'<div class="cards">{inside}</div>'


def _profile(summary: Summary, part: str, quiet: StableGround | None) -> str:
    stated = "the field's own standard error where it states one"
    other = ", else the noise on stable ground" if quiet else ""
    return (
        '<h2>Profile</h2>\n<div class="bar"><label><input type="radio" name="components" value="compass" checked> '
        'east and north</label><label><input type="radio" name="components" value="turned"> along and across the line '
        '(left positive)</label><button id="save-profile">save as CSV</button></div>\n'
        f'<p class="note" id="line-text"></p>\n{_figure(part)}\n'
        f'<p class="note">The band is one standard deviation either way: {stated}{other}.</p>'
    )


def _slip(part: str, count: int) -> str:
    return (
        f'<h2>Slip along the trace</h2>\n<div class="bar"><button id="save-slip">save as CSV</button></div>\n'
        f'{_figure(part)}\n<p class="note">{count} sections across the trace: motion of the left side '
        "less that of the right side, as seen along the trace; bars are one standard error.</p>"
    )


def _statistics(summary: Summary) -> str:
    rows: list[tuple[str, Spread | None]] = [
        ("east", summary.east), ("north", summary.north), ("size", summary.magnitude)
    ]  # fmt: skip
    head = "<tr><th></th><th>median</th><th>NMAD</th><th>2 %</th><th>98 %</th><th>largest</th></tr>"
    lines = "".join(
        f"<tr><td>{name}</td>{''.join(f'<td>{value:.3f}</td>' for value in part)}</tr>" for name, part in rows if part
    )
    if not lines:
        return "<p>No cell has a value.</p>"
    drawn = ""
    if summary.sampled < summary.valid:
        drawn = f'<p class="note">All but the largest from {summary.sampled:,} cells drawn at random.</p>'
    return f"<h3>All cells ({summary.unit})</h3><table>{head}{lines}</table>{drawn}"


def _stable(quiet: StableGround | None) -> str:
    if quiet is None:
        return "<h3>Stable ground</h3><p>No part of the field has enough values to judge its noise.</p>"
    lines = "".join(
        f"<tr><td>{name}</td><td>{part.median:.4f}</td><td>{part.nmad:.4f}</td></tr>"
        for name, part in (("east", quiet.east), ("north", quiet.north))
    )
    ratio = ""
    if math.isfinite(quiet.sigma_ratio):
        ratio = f" The noise is {quiet.sigma_ratio:.2f} times the error that the field states there (1 would be right)."
    return (
        f"<h3>Stable ground</h3><table><tr><th></th><th>median</th><th>NMAD</th></tr>{lines}</table>"
        f'<p class="note">{quiet.cells:,} cells: {markup(quiet.chosen)}. NMAD is counted around the median of each '
        f"block.{ratio}</p>"
    )


def _causes(summary: Summary) -> str:
    if not summary.causes:
        return ""
    lines = "".join(
        f'<tr><td>{percent(cause.share)}</td><td class="text">{cause.meaning}</td>'
        f'<td class="text">{cause.advice}</td></tr>'
        for cause in summary.causes
    )
    head = '<tr><th>share</th><th class="text">reason</th><th class="text">what to change</th></tr>'
    return f"<h3>Cells without a value (one may have several reasons)</h3><table>{head}{lines}</table>"


def _provenance(summary: Summary) -> str:
    text = json.dumps(summary.made_by, indent=2, ensure_ascii=False, default=str)
    by = f"TerraShift {version('terrashift')}"
    return (
        f"<h2>Origin</h2>\n<details><summary>everything that the file says of how it was made</summary>"
        f'<pre>{markup(text)}</pre></details>\n<p class="note">Page by {by}. Colours by Crameri: even to the eye, and '
        "safe for colour-blind readers.</p>"
    )


def _ordinal(n: int) -> str:
    """`2nd`, `3rd`, ...

    >>> [_ordinal(n) for n in (2, 3, 4, 11, 22)]
    ['2nd', '3rd', '4th', '11th', '22nd']
    """
    end = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{end}"
