"""What a check of a pair found: numbers, and findings that each say what was met and what to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError
from ..io.scenes import Sun

if TYPE_CHECKING:
    from rich.console import RenderableType

Level = Literal["ok", "note", "warning", "error"]

SIGNS: dict[Level, tuple[str, str]] = {
    "ok": ("+", "green"),
    "note": ("·", "cyan"),
    "warning": ("!", "yellow"),
    "error": ("×", "bold red"),
}
"""Sign and colour of each level; all within Latin-1, which every terminal shows."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known about an image without looking at its pixels."""

    name: str
    date: datetime | None = None
    dtype: str = "float32"
    """Type of the numbers in the file."""
    saturation: float | None = None
    """Value from which a pixel is saturated; None where unknown."""
    scale: float = 1.0
    """What stored numbers were multiplied by, before `offset` was added."""
    offset: float = 0.0
    overlap_share: float = 1.0
    """Part of this image's pixels that the other one covers too, 0 to 1."""
    sun: Sun | None = None
    """Where the sun stood; None where no tag tells it."""
    orbit: str | None = None
    """Relative orbit, or path and row; None where no tag tells it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    level: Level
    topic: str
    met: str
    """What was met, with its number."""
    remedy: str = ""
    """What to do about it; empty where all is well."""


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """What one image's pixels say. Shares are 0 to 1; NaN where it could not be told."""

    valid_share: float
    texture_share: float
    """Part of its blocks of 32 px whose deviation stands clear of the image's noise."""
    noise: float
    """Noise of one pixel, in the image's own numbers; an upper estimate where all is textured."""
    saturated_share: float
    fill_share: float
    """Part of its pixels with data that lie in areas of its least value; most likely a fill that nobody declared."""
    fill_value: float
    """That value as it is stored in the file; NaN where there is no such area."""
    effective_px: tuple[float, float]
    """Size along (x, y), px, of what was one sample before interpolation; 1 for a native image."""
    lines_share: float
    """Part of pixels in pieces of lines that are the mean or a copy of their neighbours."""


@dataclass(frozen=True, slots=True)
class OffsetCheck:
    """Where the content of `before` lies in `after`, over several large windows."""

    xy_px: tuple[float, float]
    """Median (x right, y down); NaN where no window had a clear match."""
    spread_px: float
    """Robust deviation of single windows about the median."""
    ground: tuple[float, float]
    """The same offset as (east, north), in the grid's unit."""
    correlation: float
    """Median zero-normalised correlation after the offset is removed, -1 to 1."""
    strength: float
    """Median height of the phase-correlation peak, in deviations of its surroundings."""
    matched: int
    """Windows with a clear match."""
    windows: int
    """Windows with enough data."""


@dataclass(frozen=True, slots=True)
class PairCheck:
    """The result of looking at a pair before any work."""

    findings: tuple[Finding, ...]
    grid: str
    unit: str
    overlap_shares: tuple[float, float]
    """Part of (before, after) that both cover."""
    before: ImageCheck
    after: ImageCheck
    valid_share: float
    """Part of the overlap where both have data."""
    texture_share: float
    """Part of the blocks with enough contrast in both."""
    same_lines_share: float
    """Part of pixels in interpolated lines at the same place of both images."""
    days: int | None
    """Days from before to after; None where a date is unknown."""
    offset: OffsetCheck

    @property
    def ok(self) -> bool:
        """False where an error forbids measuring; warnings do not."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that forbid measuring."""
        return tuple(f for f in self.findings if f.level == "error")

    def raise_for_errors(self) -> None:
        """Stop where measuring is pointless.

        Raises:
            InputError: with every error and its remedy.
        """
        if self.errors:
            raise InputError("\n".join(f"{f.topic}: {f.met}. {f.remedy}" for f in self.errors))

    def to_json(self) -> dict[str, Any]:
        """Everything as values that `json.dumps` takes; a number that is not known becomes None."""
        return _plain({"ok": self.ok, **asdict(self)})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def render(check: PairCheck) -> RenderableType:
    """A check for the terminal: one line per finding with a sign, its remedy under it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in check.findings:
        sign, colour = SIGNS[finding.level]
        said = Text(finding.met)
        if finding.remedy:
            said.append(f"\n{finding.remedy}", style="italic")
        table.add_row(Text(sign, style=colour), Text(finding.topic, style=colour), said)
    return table
