"""Search a catalogue for pairs around an event, and say what looser limits would find."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, Field

from ...errors import OptionError
from .area import Area
from .client import Catalogue, Interval
from .items import Scene
from .ranking import Candidate, latest, rank

WIDER = 5
"""How many times the days are stretched to see whether there is anything beyond."""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class SearchOptions(BaseModel, frozen=True, extra="forbid"):
    """Which scenes will do."""

    event: str | None = Field(
        default=None,
        description="When the ground moved: a day such as 2019-07-06, or a time (UTC) such as 2019-07-06T03:19:53.",
    )
    days: float = Field(default=60.0, gt=0, le=20000, description="How far from the event to look, days either way.")
    before: str | None = Field(
        default=None, description="Days of the first scene instead, e.g. 2019-05-01/2019-07-03; .. is an open end."
    )
    after: str | None = Field(default=None, description="Days of the second scene instead, e.g. 2019-07-07/2019-09-01.")
    cloud: float = Field(default=30.0, ge=0, le=100, description="Most cloud in a scene, per cent.")
    cover: float = Field(
        default=0.5, gt=0, le=1, description="Least part of the area that both scenes have to show, 0 to 1."
    )
    collection: str | None = Field(
        default=None, description="Collection, or several with commas. Default: the endpoint's first one."
    )
    most: int = Field(default=300, ge=1, le=10000, description="Most scenes to look at, before and after each.")


class Side(NamedTuple):
    """What was found before or after."""

    name: str
    """`before` or `after`."""
    interval: Interval
    all: tuple[Scene, ...]
    clear: tuple[Scene, ...]
    """Those under the cloud limit."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search."""

    area: Area
    before: Side
    after: Side
    pairs: tuple[Candidate, ...]
    """The best first."""
    hints: tuple[str, ...]
    """Where there is no pair: why, and which looser limits find one."""
    full: bool
    """True where the catalogue holds more scenes than were looked at."""


def find_pairs(catalogue: Catalogue, area: Area, options: SearchOptions) -> Found:
    """Search, rank, and explain where there is nothing.

    Clouds are judged here and not by the server, so that it can be told what a looser limit finds.

    Raises:
        OptionError: dates that cannot be.
        CatalogueError: the catalogue fails.
    """
    intervals = intervals_of(options)
    collections = collections_of(catalogue, options)
    sides = []
    for name, interval in zip(("before", "after"), intervals, strict=True):
        scenes = tuple(latest(catalogue.search(area, interval, collections, options.most)))
        clear = tuple(scene for scene in scenes if scene.cloud is None or scene.cloud <= options.cloud)
        sides.append(Side(name, interval, scenes, clear))
    before, after = sides
    ranked = rank(area, before.clear, after.clear)
    pairs = tuple(pair for pair in ranked if pair.cover >= options.cover)
    full = any(len(side.all) >= options.most for side in sides)
    hints: list[str] = []
    if not pairs:
        if not before.all or not after.all:
            catalogue.check_collections(collections)
        beyond = [None if side.all else _nearest_outside(catalogue, area, side, options) for side in sides]
        for side, nearest in zip(sides, beyond, strict=True):
            hints += _why_nothing(side, nearest, options)
        if not before.all and not after.all and beyond == [None, None]:
            hints.append(f"the place looked at is {area.place}: longitude comes first in --point and --box")
        if ranked:
            best = max(pair.cover for pair in ranked)
            hints.append(
                f"the scenes together show at most {100 * best:.0f} % of the area: pass "
                + (f"--cover {int(best * 100) / 100:g}, or " if best >= 0.01 else "")
                + "a smaller area"
            )
        elif before.clear and after.clear:
            hints.append("no scene before and after are of one collection: search one collection at a time")
    return Found(area, before, after, pairs, tuple(hints), full)


def collections_of(catalogue: Catalogue, options: SearchOptions) -> tuple[str, ...]:
    """What the user named, or the endpoint's first collection.

    Raises:
        OptionError: neither is there.
    """
    if options.collection:
        return tuple(filter(None, (name.strip() for name in options.collection.split(","))))
    if catalogue.endpoint.collections:
        return (catalogue.endpoint.collections[0].id,)
    raise OptionError(f"--collection is needed: nothing is known of {catalogue.endpoint.url} that would tell it")


def _why_nothing(side: Side, nearest: Scene | None, options: SearchOptions) -> list[str]:
    """What stands against any pair on one side, and the limit that would help; `nearest` lies beyond the dates."""
    if side.clear:
        return []
    if side.all:
        least = min(scene.cloud or 0.0 for scene in side.all)
        count = f"{len(side.all)} scene{'s' * (len(side.all) > 1)}"
        return [f"{side.name}: {count}, the clearest with {least:.0f} % cloud: pass --cloud {-(-least // 1):.0f}"]
    if nearest is None:
        return [f"{side.name}: no scene in {_shown(side.interval)}, nor in {WIDER} times as many days"]
    cloud = "" if nearest.cloud is None else f", {nearest.cloud:.0f} % cloud"
    remedy = f"pass --{side.name} with a range that holds it"
    if options.event and not getattr(options, side.name):
        away = abs((nearest.date - _event(options.event)[0]).total_seconds()) / 86400
        remedy = f"pass --days {int(away) + 2}"
    return [
        f"{side.name}: no scene in {_shown(side.interval)}; the nearest beyond is of {nearest.date:%Y-%m-%d}{cloud}: "
        + remedy
    ]


def _nearest_outside(catalogue: Catalogue, area: Area, side: Side, options: SearchOptions) -> Scene | None:
    start, end = side.interval
    length = end - start if start and end else timedelta(days=options.days)
    more = length * (WIDER - 1)
    beyond = []
    if side.name == "before" and start:
        beyond = catalogue.search(
            area, Interval(_earlier(start, more), start), collections_of(catalogue, options), 1000
        )
        return beyond[-1] if beyond else None
    if side.name == "after" and end:
        beyond = catalogue.search(area, Interval(end, _later(end, more)), collections_of(catalogue, options), 1000)
    return beyond[0] if beyond else None


def intervals_of(options: SearchOptions) -> tuple[Interval, Interval]:
    """When the first and the second scene may have been taken; the day of the event itself belongs to neither.

    >>> [str(one) for one in intervals_of(SearchOptions(event="2019-07-06", days=5))]
    ['2019-07-01T00:00:00Z/2019-07-05T23:59:59Z', '2019-07-07T00:00:00Z/2019-07-11T23:59:59Z']

    Raises:
        OptionError: dates that are none, are missing, or in the wrong order.
    """
    before = _range(options.before, "--before") if options.before else None
    after = _range(options.after, "--after") if options.after else None
    if before is None or after is None:
        if not options.event:
            raise OptionError("when did the ground move? Pass --event 2019-07-06, or both --before and --after")
        start, end = _event(options.event)
        span = timedelta(days=options.days)
        before = before or Interval(_earlier(start, span), start - SECOND)
        after = after or Interval(end, _later(end, span) - SECOND)
    elif options.event:
        raise OptionError("--event is of no use beside both --before and --after: leave it out")
    if before.end is None or after.start is None or after.start <= before.end:
        raise OptionError(
            f"the scenes before ({_shown(before)}) have to end before those after ({_shown(after)}) begin: correct "
            "--before, --after or --event"
        )
    return before, after


def _event(text: str) -> tuple[datetime, datetime]:
    """First moment of the event, and the moment from which all is after it."""
    day = _moment(text, "--event")
    return (day, day + SECOND) if "T" in text or ":" in text else (day, day + DAY)


def _range(text: str, flag: str) -> Interval:
    first, slash, last = text.partition("/")
    if not slash:
        last = first
    start = None if first.strip() in ("", "..") else _moment(first, flag)
    end = None if last.strip() in ("", "..") else _moment(last, flag)
    if end is not None and "T" not in last and ":" not in last:
        end += DAY - SECOND
    if start is not None and end is not None and end < start:
        raise OptionError(f"{flag} {text} ends before it begins")
    return Interval(start, end)


def _moment(text: str, flag: str) -> datetime:
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError:
        raise OptionError(f"{flag} {text} is no date: give year-month-day, such as 2019-07-06") from None
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def _earlier(date: datetime, span: timedelta) -> datetime:
    return max(date - span, datetime(1970, 1, 1)) if date.year > 1970 else date


def _later(date: datetime, span: timedelta) -> datetime:
    return min(date + span, datetime(2999, 1, 1)) if date.year < 2999 else date


def _shown(interval: Interval) -> str:
    first, last = (f"{date:%Y-%m-%d}" if date else ".." for date in interval)
    return f"{first}/{last}"
