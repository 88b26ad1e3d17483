"""One page about a result: how much was measured, how much the ground moved, and why cells have no value."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .analyse.robust import NMAD
from .core.field import DisplacementField
from .core.grid import Grid
from .core.reasons import Reason
from .errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

KEPT_CELLS = 1 << 18  # the standard error of their median is 0.25 % of their standard deviation
ROWS_AT_A_TIME = 512


class Spread(NamedTuple):
    """Values of all valid cells in a few numbers, in the field's unit."""

    median: float
    nmad: float
    """1.4826 times the median distance from the median: the standard deviation, were the values normal."""
    low: float
    """2nd percentile."""
    high: float
    """98th percentile."""
    max: float


class Cause(NamedTuple):
    """One reason why cells have no value; a cell may have several."""

    name: str
    cells: int
    share: float
    """Of all cells."""
    meaning: str
    advice: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A displacement field in numbers."""

    height: int
    width: int
    cell_size: tuple[float, float]
    """Ground length of a cell along rows and along columns, in `unit`."""
    unit: str
    crs: str | None
    cells: int
    valid: int
    causes: tuple[Cause, ...]
    """Why the others have no value, the most frequent first."""
    east: Spread | None
    """None where no cell is valid; likewise the next three."""
    north: Spread | None
    magnitude: Spread | None
    score_median: float | None
    """Of valid cells."""
    sampled: int
    """Valid cells that medians and percentiles come from: all of them, or as many as are kept."""
    made_by: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def valid_share(self) -> float:
        """Of all cells; 0 for a field without any."""
        return self.valid / self.cells if self.cells else 0.0

    def to_json(self) -> str:
        """All numbers as JSON; null where there is none."""
        content = asdict(self) | {
            "valid_share": self.valid_share,
            "causes": [cause._asdict() for cause in self.causes],
            **{name: part and part._asdict() for name, part in self._spreads().items()},
        }
        return json.dumps(content, indent=2, allow_nan=False, default=str)

    def _spreads(self) -> dict[str, Spread | None]:
        return {"east": self.east, "north": self.north, "magnitude": self.magnitude}


class Accumulator:
    """Collects a `Summary` from blocks of a field of any size, in bounded memory.

    Counts and largest values are exact. Medians and percentiles come from a random sample of 262,144 valid cells, each
    as likely to be kept as any other, and are exact as long as there are no more. The same blocks in the same order
    give the same numbers.
    """

    def __init__(self, grid: Grid, seed: int = 0) -> None:
        self._grid = grid
        self._random = torch.Generator().manual_seed(seed)
        self._kept = torch.empty(3, 0)  # east, north, score
        self._lot = torch.empty(0, dtype=torch.float64)  # drawn by every cell; those of the smallest numbers are kept
        self._largest = torch.full((3,), -torch.inf)  # east, north, magnitude
        self._cells = self._valid = 0
        self._causes = dict.fromkeys(Reason, 0)

    def add(self, values: Float[Tensor, "6 height width"]) -> None:
        """Take in a block: the bands of `DisplacementField.BANDS`. NaN among the reasons counts as nodata."""
        east, north, _, _, score, reasons = values.detach().cpu()
        valid = east.isfinite() & north.isfinite()
        self._cells += valid.numel()
        self._valid += int(valid.sum())
        bits = reasons.nan_to_num(float(Reason.NODATA)).to(torch.uint8)[~valid]
        for reason in Reason:
            self._causes[reason] += int((bits & int(reason) != 0).sum())
        found = torch.stack([east[valid], north[valid], score[valid]]).float()
        if not found.numel():
            return
        sizes = torch.stack([found[0], found[1], torch.hypot(found[0], found[1])])
        self._largest = torch.maximum(self._largest, sizes.amax(1))
        self._keep_some(found)

    def _keep_some(self, found: Tensor) -> None:
        """Let each new cell draw a number, and keep the cells with the smallest of all so far."""
        lot = torch.cat([self._lot, torch.rand(found.shape[1], generator=self._random, dtype=torch.float64)])
        kept = torch.cat([self._kept, found], 1)
        if len(lot) > KEPT_CELLS:
            lot, which = lot.topk(KEPT_CELLS, largest=False)
            kept = kept[:, which]
        self._lot, self._kept = lot, kept

    def summary(self, made_by: dict[str, Any] | None = None, extra: dict[str, Any] | None = None) -> Summary:
        """What was seen so far."""
        east, north, score = self._kept.double()
        magnitude = torch.hypot(east, north)
        spreads = [spread(*pair) for pair in zip((east, north, magnitude), self._largest.tolist(), strict=True)]
        known = score[score.isfinite()]
        return Summary(
            *self._grid.shape,
            self._grid.pixel_size,
            self._grid.unit,
            self._grid.crs,
            self._cells,
            self._valid,
            self._named_causes(),
            *spreads,
            score_median=_quantile(known.sort().values, 0.5) if len(known) else None,
            sampled=len(self._lot),
            made_by=made_by or {},
            extra=extra or {},
        )

    def _named_causes(self) -> tuple[Cause, ...]:
        """The reasons that occurred, the most frequent first."""
        ranked = sorted(self._causes.items(), key=lambda item: -item[1])
        return tuple(
            Cause(reason.name or "", count, count / self._cells, reason.meaning, reason.advice)
            for reason, count in ranked
            if count
        )


def spread(values: Float[Tensor, " cells"], largest: float) -> Spread | None:
    """Robust statistics of a sample, and the largest of all that it stands for.

    >>> spread(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), 4.0).median
    2.0
    """
    if not len(values):
        return None
    values = values.sort().values
    median, low, high = (_quantile(values, share) for share in (0.5, 0.02, 0.98))
    nmad = NMAD * _quantile((values - median).abs().sort().values, 0.5)
    return Spread(median, nmad, low, high, largest)


def _quantile(ranked: Tensor, share: float) -> float:
    """Linear interpolation between ranked values."""
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return float(ranked[below] + (place - below) * (ranked[above] - ranked[below]))


def summarise(field: DisplacementField, extra: dict[str, Any] | None = None) -> Summary:
    """Describe a field in numbers; `extra` holds whatever else the page should say, such as the time taken.

    Raises:
        InputError: where the field has no cells.
    """
    height, _ = field.grid.shape
    if 0 in field.grid.shape:
        raise InputError(
            f"a field on {field.grid} has no cells to describe: measure a larger image or take smaller steps."
        )
    accumulator = Accumulator(field.grid)
    bands = [getattr(field, name) for name in field.BANDS]
    for top in range(0, height, ROWS_AT_A_TIME):
        accumulator.add(torch.stack([band[top : top + ROWS_AT_A_TIME].float() for band in bands]))
    return accumulator.summary(field.made_by, extra)


def render(summary: Summary) -> RenderableType:
    """One page for the terminal: inputs and method, displacement, why cells have no value and what to change."""
    from rich.console import Group

    parts: list[RenderableType] = [_origin_table(summary)]
    parts.append(_displacement_table(summary) if summary.valid else "No cell has a value.")
    if summary.causes:
        parts.append(_causes_table(summary))
    return Group(*parts)


def _origin_table(summary: Summary) -> Table:
    """What was measured, how, and how much of it."""
    table = _table("Inputs and method")
    table.show_header = False
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for role in ("BEFORE", "AFTER"):
        if name := summary.made_by.get(role):
            date = str(summary.made_by.get(f"{role}_DATE") or "")[:10]
            table.add_row(role.lower(), f"{name} ({date})" if date else str(name))
    if method := summary.made_by.get("METHOD"):
        table.add_row("method", str(method))
    dx, dy = summary.cell_size
    size = f"{dx:.4g} {summary.unit}" if abs(dx - dy) < 1e-6 * dx else f"{dx:.4g} x {dy:.4g} {summary.unit}"
    table.add_row("cells", f"{summary.height} x {summary.width} (rows x columns) of {size}")
    table.add_row("with a value", f"{summary.valid:,} of {summary.cells:,} ({percent(summary.valid_share)})")
    if summary.score_median is not None:
        table.add_row("median score", f"{summary.score_median:.2f}")
    for key, value in summary.extra.items():
        table.add_row(key, str(value))
    return table


def _displacement_table(summary: Summary) -> Table:
    """Robust statistics of the components and of the size."""
    table = _table(f"Displacement ({summary.unit}; east and north positive)")
    table.add_column("")
    for name in ("median", "NMAD", "2 %", "98 %", "max"):
        table.add_column(name, justify="right")
    for name, part in summary._spreads().items():
        if part is not None:
            table.add_row(name, *(f"{value:.3f}" for value in part))
    if summary.sampled < summary.valid:
        table.caption = f"all but max from {summary.sampled:,} cells chosen at random"
    return table


def _causes_table(summary: Summary) -> Table:
    """Why cells have no value, and what a user can change."""
    table = _table("Cells without a value (one may have several reasons)")
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("reason", ratio=1)
    table.add_column("what to change", ratio=1)
    for cause in summary.causes:
        table.add_row(percent(cause.share), cause.meaning, cause.advice)
    return table


def _table(title: str) -> Table:
    """A table in the style of the page."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, caption_justify="left")


def percent(share: float) -> str:
    """A share to be read; never rounded to nothing or to all.

    >>> [percent(v) for v in (0.0, 0.0002, 0.25, 0.9999, 1.0)]
    ['0 %', '< 0.1 %', '25.0 %', '> 99.9 %', '100 %']
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"
