"""Turn what was measured on a pair into findings with remedies; every threshold stands here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from ..core.grid import Grid
from ..io.scenes import sun_angle
from .findings import Finding, ImageCheck, ImageFacts, OffsetCheck
from .sampling import PairSample

FEW_VALID, SOME_INVALID = 0.3, 0.95
LITTLE_TEXTURE, SOME_TEXTURE = 0.3, 0.7
MANY_SATURATED, SOME_SATURATED = 0.02, 0.001
SMALL_OVERLAP = 0.2
FILLED = 0.001
MANY_LINES = 0.005
SEASON_DAYS = 60
SUN_DEG = 12.0
"""About what the sun of middle latitudes goes through in `SEASON_DAYS`."""
SHIFTED_PX = 1.0
SCATTERED_PX = 3.0
NO_CORRELATION, LOW_CORRELATION = 0.1, 0.3
"""Unrelated places reach 0.14 at most, the same place after a change of all its crops 0.15 at least."""

NAMES = ("before", "after")


def on_grid(grid: Grid, window_px: int) -> Iterator[Finding]:
    """Size, place and unit of the overlap."""
    if min(grid.shape) < window_px:
        yield Finding(
            "error",
            "size",
            f"the overlap is {grid.height} x {grid.width} px, smaller than the window of {window_px} px",
            "Give larger images, or a smaller --window-px.",
        )
    elif grid.crs is None:
        yield Finding(
            "note", "grid", str(grid), "No CRS is known: displacement will be in pixels, with north up the image."
        )
    else:
        yield Finding("ok", "grid", str(grid))


def on_overlap(shares: tuple[float, float]) -> Iterator[Finding]:
    """How much of each image the other one covers."""
    met = f"{percent(shares[0])} of before and {percent(shares[1])} of after overlap"
    if min(shares) >= 1:
        yield Finding("ok", "overlap", "the images cover the same ground")
    elif max(shares) < SMALL_OVERLAP:
        yield Finding("warning", "overlap", met, "Only the overlap is measured: check that both show the place meant.")
    else:
        yield Finding("note", "overlap", met, "Only the overlap is measured.")


def days_between(before: datetime | None, after: datetime | None) -> int | None:
    """Calendar days from before to after; None where a date is unknown."""
    return None if before is None or after is None else (after.date() - before.date()).days


def on_dates(before: ImageFacts, after: ImageFacts) -> Iterator[Finding]:
    """Order of the dates, and the sun; where no tag tells it, the season stands for it."""
    days = days_between(before.date, after.date)
    if days is None or before.date is None or after.date is None:
        missing = " and ".join(n for n, f in zip(NAMES, (before, after), strict=True) if f.date is None)
        yield Finding("note", "dates", f"the date of {missing} is not known", "Check the order of the images yourself.")
        return
    met = f"{before.date:%Y-%m-%d} to {after.date:%Y-%m-%d}, {days} days"
    if days < 0:
        yield Finding("warning", "dates", f"{met}: after is the earlier one", "Swap the images unless you mean this.")
    elif days == 0:
        yield Finding("note", "dates", met, "Both were taken on one day: check that they are the pair you mean.")
    else:
        yield Finding("ok", "dates", met)
    if before.sun is not None and after.sun is not None:
        return
    apart = abs(before.date.timetuple().tm_yday - after.date.timetuple().tm_yday)
    apart = min(apart, 365 - apart) if apart <= 365 else 0
    if apart > SEASON_DAYS:
        yield Finding(
            "note",
            "season",
            f"the days of year are {apart} days apart: sun and shadows differ",
            "Shadow edges look like motion in steep relief and towns; prefer dates of one season if there are any.",
        )


def on_sky(before: ImageFacts, after: ImageFacts) -> Iterator[Finding]:
    """The sun and the satellite's place, where tags tell them."""
    if before.sun is not None and after.sun is not None:
        angle = sun_angle(before.sun, after.sun)
        met = f"the suns stood {angle:.1f} degrees apart"
        if angle > SUN_DEG:
            yield Finding(
                "note",
                "sun",
                f"{met}: shadows differ",
                "Shadow edges look like motion in steep relief and towns; prefer dates with one sun if there are any.",
            )
        else:
            yield Finding("ok", "sun", met)
    if before.orbit is None or after.orbit is None:
        return
    if before.orbit == after.orbit:
        yield Finding("ok", "orbit", f"both from {before.orbit}")
    else:
        yield Finding(
            "warning",
            "orbit",
            f"before is from {before.orbit}, after from {after.orbit}: relief was seen from two sides",
            "What the height model of the orthoimages got wrong looks like motion; prefer scenes of one orbit.",
        )


def on_content(sample: PairSample) -> Iterator[Finding]:
    """Whether the images hold anything at all; errors end the check."""
    if sample.valid_share == 0:
        empty = [n for n, c in zip(NAMES, (sample.before, sample.after), strict=True) if c.valid_share == 0]
        who = f"{' and '.join(empty)} without any" if empty else "both with data, but nowhere at the same place"
        yield Finding(
            "error",
            "data",
            f"no pixel of the overlap has data in both images ({who})",
            "Check the nodata value and the mask (--nodata), the band, and that both show the place meant.",
        )
        return
    for name, constant in zip(NAMES, sample.constant, strict=True):
        if constant:
            yield Finding(
                "error",
                "data",
                f"{name} has one value everywhere",
                "Choose another band with --band, or check that the file was written whole.",
            )
    if sample.identical and not any(sample.constant):
        yield Finding(
            "warning", "data", "the two images hold the same numbers", "Check that you gave two dates, not one twice."
        )


def on_valid(sample: PairSample) -> Iterator[Finding]:
    """How much data there is."""
    about = "" if sample.covers else "about "
    single = ", ".join(
        f"{percent(c.valid_share)} {n}" for n, c in zip(NAMES, (sample.before, sample.after), strict=True)
    )
    met = f"{about}{percent(sample.valid_share)} of the overlap has data in both images ({single})"
    if sample.valid_share < FEW_VALID:
        yield Finding("warning", "data", met, "Most of the result will be empty: use scenes with fewer gaps or clouds.")
    elif sample.valid_share < SOME_INVALID:
        yield Finding("note", "data", met, "Windows on the gaps give no value.")
    else:
        yield Finding("ok", "data", met)


def on_texture(sample: PairSample) -> Iterator[Finding]:
    """Whether there is something to match."""
    share = sample.texture_share
    if math.isnan(share):
        yield Finding("note", "texture", "too little data to judge the texture", "Use images with fewer gaps.")
        return
    met = f"{percent(share)} of blocks of 32 px have clear texture in both images"
    if share < LITTLE_TEXTURE:
        yield Finding("warning", "texture", met, "Use a larger --window-px or a band with more contrast; expect noise.")
    elif share < SOME_TEXTURE:
        yield Finding("note", "texture", met, "Elsewhere results are noisy: a larger --window-px helps.")
    else:
        yield Finding("ok", "texture", met)


def on_saturation(name: str, check: ImageCheck) -> Iterator[Finding]:
    """Pixels that hold a limit instead of a brightness."""
    if not check.saturated_share > SOME_SATURATED:
        return
    level = "warning" if check.saturated_share > MANY_SATURATED else "note"
    yield Finding(
        level,
        "saturation",
        f"{percent(check.saturated_share)} of {name} is at its largest value (snow, cloud, clipped numbers)",
        "Those places have nothing to match: use another band, or numbers that were not stretched to 8 bits.",
    )


def on_fill(name: str, check: ImageCheck) -> Iterator[Finding]:
    """Areas of the least value, which stand for missing data more often than not."""
    if not check.fill_share > FILLED:
        return
    value = f"{check.fill_value:.7g}"
    yield Finding(
        "warning",
        "fill",
        f"{percent(check.fill_share)} of {name} lies in areas of exactly {value}, its least value, which is not "
        "declared as nodata",
        f"If there is no data, pass --nodata {value}: else the outlines of these areas are matched like ground.",
    )


def on_resampling(name: str, check: ImageCheck) -> Iterator[Finding]:
    """Signs that the image was interpolated to a finer grid."""
    sizes = [v for v in check.effective_px if not math.isnan(v)]
    if not sizes:
        yield Finding("note", "resampling", f"{name} has too few whole rows and columns to judge its sharpness")
        return
    if max(sizes) <= 1:
        yield Finding("ok", "resampling", f"{name} is as sharp as its pixels")
        return
    x, y = check.effective_px
    size = " and ".join(f"{v:.2g} px {along}" for v, along in ((x, "wide"), (y, "high")) if not math.isnan(v))
    yield Finding(
        "warning",
        "resampling",
        f"{name} looks interpolated: one real sample is about {size}",
        "Use the native pixels if you can; otherwise judge errors in real samples, and raise --window-px and --step-px "
        "by that factor.",
    )


def on_lines(sample: PairSample) -> Iterator[Finding]:
    """A pattern at the same pixels of both images does not move with the ground."""
    if sample.same_lines_share > MANY_LINES:
        yield Finding(
            "warning",
            "lines",
            f"{percent(sample.same_lines_share)} of pixels lie in interpolated lines at the same place of both images",
            "They pull the measurement toward zero: get a product without them if there is one, or use larger windows.",
        )
        return
    share = max(sample.before.lines_share, sample.after.lines_share)
    if share > MANY_LINES:
        yield Finding(
            "note", "lines", f"up to {percent(share)} of pixels lie in interpolated lines", "They add some noise."
        )


def on_offset(offset: OffsetCheck, unit: str) -> Iterator[Finding]:
    """Where the one image lies on the other, and how alike they are then."""
    if offset.windows == 0:
        yield Finding("note", "offset", "no large window has enough data to estimate an offset", "Nothing to do.")
        return
    lost = offset.matched < max(1, 0.3 * offset.windows) or offset.spread_px > SCATTERED_PX
    if lost or offset.correlation < NO_CORRELATION:
        yield Finding(
            "warning",
            "match",
            f"the images hardly match: {offset.matched} of {offset.windows} large windows have a clear peak, "
            f"correlation {offset.correlation:.2f}",
            "Check that both show the same place and band; else use dates closer together, or `terrashift register`.",
        )
        return
    yield _on_shift(offset, unit)
    if offset.correlation < LOW_CORRELATION:
        yield Finding(
            "warning",
            "match",
            f"low correlation {offset.correlation:.2f} after the offset is removed",
            "The surface changed much: use a larger --window-px, or dates closer together or of one season.",
        )
    else:
        yield Finding("ok", "match", f"correlation {offset.correlation:.2f} after the offset is removed")


def _on_shift(offset: OffsetCheck, unit: str) -> Finding:
    x, y = offset.xy_px
    east, north = offset.ground
    met = (
        f"the whole scene moved by {x:+.2f} px in x and {y:+.2f} px in y ({east:+.3g} {unit} east, {north:+.3g} {unit} "
        f"north), windows spread {offset.spread_px:.2f} px"
    )
    if math.hypot(x, y) > SHIFTED_PX:
        return Finding(
            "warning",
            "offset",
            met,
            "If that is not ground motion, align the images first: "
            "`terrashift register after.tif before.tif -o aligned.tif`.",
        )
    if max(abs(abs(x) - 0.5), abs(abs(y) - 0.5)) < 0.06 and offset.spread_px < 0.1:
        return Finding(
            "note",
            "offset",
            met,
            "Half a pixel in both directions often means that a tool mixed up pixel centres and corners.",
        )
    return Finding("ok", "offset", met)


def percent(share: float) -> str:
    """A share for reading: never 0 % for something, nor 100 % for less.

    >>> percent(0.00012), percent(0.9999), percent(0.25), percent(1.0)
    ('0.01 %', '99.9 %', '25 %', '100 %')
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.01:
        return f"{100 * max(share, 1e-4):.1g} %"
    if share > 0.99:
        return f"{min(100 * share, 99.9):.1f} %"
    return f"{100 * share:.2g} %"
