"""Where to look for matches: a coarse pass over the whole pair, before anything is measured."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.source import PairSource
from ..ops.spectral import phase_correlate
from .base import Search

SIDES = (256, 128, 64, 32)  # window sides to choose from, px
MOST_WINDOWS = 2500
STRONG = 7.0  # peak height in deviations of its surface; windows without a match reach about 6
ALIKE_PX = 2.0  # neighbours that differ by less confirm each other
MARGIN_PX = 1.5  # what windows of this size may hide
FULL_SHARE = 0.95  # of pixels with data; the outlines of gaps match by themselves, wherever they lie
FALLBACK_PX = 4  # radius where nothing was recognised


class SearchOptions(BaseModel, frozen=True, extra="forbid"):
    """How far to look."""

    search_px: float | Literal["auto"] = Field(
        default="auto",
        description="Largest motion to look for, pixels around the pair's own offset; auto: from a coarse pass.",
    )


class CoarseMotion(NamedTuple):
    """Motion in large windows spread evenly over a pair."""

    xy: Float[Tensor, "2 rows columns"]
    """(x right, y down) px."""
    trusted: Bool[Tensor, "rows columns"]
    """True where the peak is strong and a neighbour says the same."""
    window_px: int


def coarse_motion(source: PairSource, device: str = "cpu") -> CoarseMotion:
    """Correlate at most `MOST_WINDOWS` large windows; the same ones for the same grid, however big the image."""
    height, width = source.grid.shape
    side = next((s for s in SIDES if 4 * s <= min(height, width)), SIDES[-1])
    spacing = max(side // 2, math.ceil(math.sqrt(height * width / MOST_WINDOWS)))
    rows, columns = (_starts(n, side, spacing) for n in (height, width))
    lines = [_line(source, row, columns, side, device) for row in rows]
    xy = torch.stack([line.xy for line in lines]).permute(2, 0, 1).cpu()
    strength = torch.stack([line.strength for line in lines]).cpu()
    strong = (strength > STRONG) & (xy.abs() < side / 3).all(0)
    return CoarseMotion(xy, strong & _confirmed(xy, strong), side)


def choose_search(motion: CoarseMotion, options: SearchOptions) -> Search:
    """The box that holds every trusted motion and a margin, or the radius asked for around the median motion."""
    found = motion.xy[:, motion.trusted]
    if options.search_px != "auto":
        radius = max(1, math.ceil(options.search_px))
        middle = found.median(1).values if found.numel() else torch.zeros(2)
        return Search(_whole(middle), (radius, radius))
    if not found.numel():
        return Search((0, 0), (FALLBACK_PX, FALLBACK_PX))
    low, high = found.amin(1), found.amax(1)
    centre = _whole((low + high) / 2)
    reach = torch.maximum(high - torch.tensor(centre), torch.tensor(centre) - low) + MARGIN_PX
    return Search(centre, (math.ceil(reach[0]), math.ceil(reach[1])))


def _whole(xy: Tensor) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))


def _starts(length: int, side: int, spacing: int) -> list[int]:
    """First pixels of windows that cover `length` evenly."""
    count = max(1, math.ceil((length - side) / spacing) + 1)
    return [round(k * max(0, length - side) / max(1, count - 1)) for k in range(count)]


def _line(source: PairSource, row: int, columns: list[int], side: int, device: str):
    """Peaks of one line of windows; windows with gaps have no strength."""
    pairs = [source.read(row, column, side, side) for column in columns]
    before, after = (torch.stack([pair[k] for pair in pairs]).to(device) for k in (0, 1))
    peak = phase_correlate(before, after)
    full = (_content(before) & _content(after)).float().mean((1, 2)) > FULL_SHARE
    return peak._replace(strength=torch.where(full, peak.strength, 0.0))


def _content(patch: Float[Tensor, "windows height width"]) -> Bool[Tensor, "windows height width"]:
    """Pixels with data above the window's least value, which may be a fill value that nobody declared."""
    least = patch.nan_to_num(torch.inf).amin((1, 2), keepdim=True)
    return patch.isfinite() & (patch > least)


def _confirmed(
    xy: Float[Tensor, "2 rows columns"], strong: Bool[Tensor, "rows columns"]
) -> Bool[Tensor, "rows columns"]:
    """Where at least one of the eight neighbours is strong and alike; everywhere, where there are no neighbours."""
    if strong.numel() == 1:
        return strong
    known = torch.nn.functional.pad(xy.masked_fill(~strong, torch.nan), (1, 1, 1, 1), value=torch.nan)
    around = known.unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    alike = ((around - xy[..., None]).abs() < ALIKE_PX).all(0)
    return alike.sum(-1) > 1  # itself is one of the nine
