"""When a scene was taken, from its tags or its file name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit

EARLIEST_YEAR, LATEST_YEAR = 1972, 2100  # from the first Landsat on; other eight-digit numbers are no dates

# acquisition first: TIFFTAG_DATETIME is often the day on which some program wrote the file
_DAY_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
    "SENSING_TIME",
    "DATATAKE_1_DATATAKE_SENSING_START",
    "DATATAKE_SENSING_START",
    "PRODUCT_START_TIME",
    "START_TIME",
    "IMAGING_DATE",
)
_TIME_TAGS = ("SCENE_CENTER_TIME", "SCENE_CENTRE_TIME", "ACQUISITION_TIME", "IMAGING_TIME")
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y:%m:%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y")

_SENTINEL_2 = re.compile(r"(?:S2[A-D]_(?:\w+?_)?|T\d{2}[A-Z]{3}_)(\d{8}(?:T\d{6})?)(?!\d)")
_LANDSAT = re.compile(r"L[CETMO]\d{2}_[A-Z0-9]{4}_\d{6}_(\d{8})_")
_LANDSAT_OLD = re.compile(r"(?<![A-Z])L[CETMO]\d\d{6}(\d{7})[A-Z]{3}\d{2}")  # year and day of year
_DAY = r"(?<!\d)(\d{4})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[T_ -]?([01]\d|2[0-3])[-:]?([0-5]\d)[-:]?([0-5]\d))?(?!\d)"
_ANY = re.compile(_DAY + _CLOCK)


def scene_date(path: str, tags: Mapping[str, str]) -> datetime | None:
    """Date of acquisition in UTC (without a time zone attached), None where nothing tells it.

    Looked for in the tags of acquisition, then in the file name, then in TIFFTAG_DATETIME.

    >>> scene_date("T33UUU_20230115T101234_B04.jp2", {})
    datetime.datetime(2023, 1, 15, 10, 12, 34)
    >>> scene_date("LC08_L2SP_198031_20200101_20200113_02_T1_SR_B4.TIF", {})
    datetime.datetime(2020, 1, 1, 0, 0)
    """
    upper = {key.upper(): value.strip(" \"'") for key, value in tags.items()}
    for date in (_acquired(upper), _named(path), _parse(upper.get("TIFFTAG_DATETIME", ""))):
        if date is not None:
            return date
    return None


def _acquired(tags: Mapping[str, str]) -> datetime | None:
    for name in _DAY_TAGS:
        day = tags.get(name, "")
        for time in [tags[key] for key in _TIME_TAGS if key in tags] + [""]:
            # Landsat keeps day and time apart; a day that has its own time fails to parse with another one behind it
            date = _parse(f"{day}T{time}" if time else day)
            if date is not None:
                return date
    return None


def _named(path: str) -> datetime | None:
    """The file's own name first; folders only where a mission's pattern leaves no doubt."""
    address = urlsplit(path).path if "://" in path else path.replace("\\", "/")
    parts = PurePosixPath(address).parts[::-1]
    if not parts:
        return None
    texts = [*_mission(parts[0]), *_generic(parts[0])]
    for folder in parts[1:]:
        texts.extend(_mission(folder))
    return next((date for date in map(_parse, texts) if date is not None), None)


def _mission(name: str) -> Iterator[str]:
    """Dates of acquisition in the names of Sentinel-2 and Landsat products."""
    for pattern in (_SENTINEL_2, _LANDSAT, _LANDSAT_OLD):
        yield from (match[1] for match in pattern.finditer(name))


def _generic(name: str) -> Iterator[str]:
    """Anything in a name that reads as year, month, day, and perhaps a time."""
    for match in _ANY.finditer(name):
        year, _, month, day, hour, minute, second = match.groups()
        yield f"{year}-{month}-{day}" + (f"T{hour}:{minute}:{second}" if hour else "")


def _parse(text: str) -> datetime | None:
    """Read one date in any of the usual forms; None if it is none or not plausible."""
    date = None
    if re.fullmatch(r"\d{7}", text):
        formats: tuple[str, ...] = ("%Y%j",)
    else:
        # Landsat writes seven digits of a second, more than microseconds
        text = re.sub(r"(\.\d{6})\d+", r"\1", text)
        formats = _FORMATS
        with suppress(ValueError):
            date = datetime.fromisoformat(text)
    for form in formats if date is None else ():
        with suppress(ValueError):
            date = datetime.strptime(text, form)
            break
    if date is None:
        return None
    if not EARLIEST_YEAR <= date.year <= LATEST_YEAR:
        return None
    return date if date.tzinfo is None else date.astimezone(UTC).replace(tzinfo=None)
