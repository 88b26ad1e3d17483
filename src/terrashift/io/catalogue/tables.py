"""Pairs and catalogues as tables for the terminal, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .endpoints import ENDPOINTS
from .find import Found, Side
from .items import Scene
from .ranking import Candidate

if TYPE_CHECKING:
    from rich.console import RenderableType


def render_pairs(found: Found, rows: int) -> RenderableType:
    """The best pairs, one a row, and how many scenes they were chosen from."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1))
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=True)  # pyright: ignore[reportArgumentType]
    for number, pair in enumerate(found.pairs[:rows], 1):
        table.add_row(*_row(number, pair))
    names = "\n".join(
        f"{number:2}  {pair.before.id}\n    {pair.after.id}" for number, pair in enumerate(found.pairs[:rows], 1)
    )
    more = f"; {len(found.pairs) - rows} more: --rows" if len(found.pairs) > rows else ""
    count = f"{len(found.pairs)} pair{'s' * (len(found.pairs) > 1)}"
    last = f"{count} of {_count(found.before)} and {_count(found.after)}{more}"
    return Group(table, "", Text(names, no_wrap=True, overflow="ignore"), "", last)


_COLUMNS = (
    ("#", "right"),
    ("before", "left"),
    ("after", "left"),
    ("days", "right"),
    ("orbit", "left"),
    ("grid", "left"),
    ("sun", "right"),
    ("cloud %", "right"),
    ("area", "right"),
)


def _row(number: int, pair: Candidate) -> list[str]:
    clouds = "/".join("?" if one is None else f"{one:.0f}" for one in pair.clouds)
    sun = "?" if pair.sun_deg is None else f"{pair.sun_deg:.1f}°"
    return [
        str(number),
        f"{pair.before.date:%Y-%m-%d}",
        f"{pair.after.date:%Y-%m-%d}",
        f"{pair.days:.0f}",
        _orbits(pair),
        {True: "same", None: "?", False: "other UTM zone"}[pair.same_grid],
        sun,
        clouds,
        f"{100 * pair.cover:.0f} %",
    ]


def _orbits(pair: Candidate) -> str:
    one, other = pair.before.orbit, pair.after.orbit
    if pair.same_orbit:
        return one or "same view"
    if pair.same_orbit is None:
        return "?"
    return f"{one or '?'} / {other or '?'}"


def _count(side: Side) -> str:
    return f"{len(side.clear)} clear of {len(side.all)} scenes {side.name}"


def to_json(found: Found, rows: int) -> dict[str, Any]:
    """Everything of the table as values that `json.dumps` takes."""
    return {
        "box": list(found.area.bounds),
        "scenes": {side.name: {"all": len(side.all), "clear": len(side.clear)} for side in (found.before, found.after)},
        "pairs": [_pair(pair) for pair in found.pairs[:rows]],
        "hints": list(found.hints),
    }


def _pair(pair: Candidate) -> dict[str, Any]:
    return {
        "before": _scene(pair.before),
        "after": _scene(pair.after),
        "same_orbit": pair.same_orbit,
        "same_grid": pair.same_grid,
        "sun_deg": None if pair.sun_deg is None else round(pair.sun_deg, 3),
        "cover": round(pair.cover, 4),
        "days": round(pair.days, 3),
        "points": round(pair.points, 3),
    }


def _scene(scene: Scene) -> dict[str, Any]:
    names = {"id", "collection", "date", "platform", "cloud", "orbit", "frame", "sun", "crs", "licence", "source"}
    return scene.model_dump(mode="json", include=names)


def render_endpoints() -> RenderableType:
    """Every catalogue with a short name, its collections and the bands that suit displacement."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for one in ENDPOINTS.values():
        table.add_row(Text(one.name, style="bold"), one.url)
        for collection in one.collections:
            bands = ", ".join(
                name if name == asset else f"{name} ({asset})" for name, asset in collection.bands.items()
            )
            table.add_row(f"  {collection.id}", f"{collection.about}: {bands}")
        table.add_row("", Text(one.note, style="italic"))
        table.add_row("", "")
    return table
