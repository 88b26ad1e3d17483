"""The card of a data set: what a reader must know of it before using it, as JSON and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..core.text import markdown, printable

EDGES_PX = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
OFFSETS = 100
"""More than so many pairs of dates are not listed."""


def histogram(motion: Float[Tensor, "2 ..."]) -> list[int]:
    """How many places move by a length between each two of `EDGES_PX`, and above the last."""
    lengths = motion.norm(dim=0).flatten().numpy()
    return np.histogram(lengths, [*EDGES_PX, np.inf])[0].tolist()


def summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Places, shares and motion of a data set, from what is known of its pairs.

    A record may stand for several `windows` of one place.
    """
    places: dict[str, dict[str, Any]] = {}
    shares: Counter[str] = Counter()
    offsets: dict[tuple[float, ...], list[float | None]] = {}
    for record in records:
        count = record.get("windows", 1)
        new = {"sensors": [], "licences": [], "sources": [], "pixel_m": record["pixel_m"], "dates": [], "pairs": 0}
        place = places.setdefault(record["place"], new)
        place["dates"] = sorted({*place["dates"], *filter(None, record["dates"])})
        for key in ("sensor", "licence", "source"):  # views of one place may be another's work
            place[f"{key}s"] = sorted({*place[f"{key}s"], record[key]})
        place["pairs"] += count
        shares[record["generator"]] += count
        if record.get("offset_of_dates_px"):
            offsets[tuple(record["offset_of_dates_px"])] = record["offset_spread_px"]
    motion = np.sum([record["histogram"] for record in records], 0)
    return {
        "places": dict(sorted(places.items())),
        "offsets_of_dates_px": [{"offset": [*xy], "spread": spread} for xy, spread in offsets.items()][:OFFSETS],
        "generators": {name: count / sum(shares.values()) for name, count in sorted(shares.items())},
        "motion_px": {"edges": [*EDGES_PX, None], "share": (motion / motion.sum()).tolist()},
    }


def page(card: dict[str, Any]) -> str:
    """The card in Markdown."""
    lines = [f"# Simulated pairs ({card['kind']}): {card['pairs']}", ""]
    command = " ".join(printable(card["command"]).split())
    lines += [f"Made by TerraShift {card['version']}, seed {card['seed']}:", "", f"    {command}", ""]
    height, width = card["size_px"]
    lines += [f"{height} x {width} px, stored as {card['stored_as']}. Split: {card['split'] or 'none'}.", ""]
    lines += [f"Convention: {card['convention']}.", "", "## Places", ""]
    lines += ["| place | pairs | dates | sensor | pixel | licence | source |", "|---|---|---|---|---|---|---|"]
    for name, place in card["places"].items():
        pixel = f"{place['pixel_m']:g} m" if place["pixel_m"] else "unknown"
        dates = markdown(", ".join(place["dates"]) or "unknown")
        sensors, licences, sources = (markdown("; ".join(place[key])) for key in ("sensors", "licences", "sources"))
        lines.append(
            f"| {markdown(name)} | {place['pairs']} | {dates} | {sensors} | {pixel} | {licences} | {sources} |"
        )
    lines += ["", "## Motion of the ground", "", "| length, px | share of pixels |", "|---|---|"]
    edges = card["motion_px"]["edges"]
    for low, high, share in zip(edges[:-1], edges[1:], card["motion_px"]["share"], strict=True):
        if share:
            lines.append(f"| {low:g} to {high:g} | {share:.2%} |" if high else f"| above {low:g} | {share:.2%} |")
    lines += ["", "## Generators", ""]
    lines += [f"* {name}: {share:.0%} of the pairs" for name, share in card["generators"].items()]
    if card["offsets_of_dates_px"]:
        lines += ["", "## Offset between the dates, part of the truth", ""]
        for one in card["offsets_of_dates_px"][:10]:
            lines.append(f"* x {one['offset'][0]:+.3f}, y {one['offset'][1]:+.3f} px{_spread(one['spread'])}")
    return "\n".join(lines) + "\n"


def _spread(spread: list[float | None]) -> str:
    if None in spread or not any(spread):
        return ""
    return f"; local offsets deviate from it by {spread[0]:.3f} and {spread[1]:.3f} px"
