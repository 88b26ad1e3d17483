"""When a scene was taken, under which sun and from which orbit, from its tags or its file name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

SIDECAR_KEY = "terrashift_fetch"
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

_SUN_TAGS = (
    ("SUN_ELEVATION", "SUN_AZIMUTH"),
    ("SUN_ELEVATION_ANGLE", "SUN_AZIMUTH_ANGLE"),
    ("MEAN_SUN_EL", "MEAN_SUN_AZ"),
)
_ORBIT_TAGS = ("RELATIVE_ORBIT", "DATATAKE_1_SENSING_ORBIT_NUMBER", "SENSING_ORBIT_NUMBER")

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


class Sun(NamedTuple):
    """Where the sun stood, degrees."""

    elevation: float
    """Above the horizon."""
    azimuth: float
    """Clockwise from north, 0 to 360."""


def sun_angle(one: Sun, other: Sun) -> float:
    """Angle between two directions to the sun, degrees.

    >>> round(sun_angle(Sun(30, 350), Sun(40, 350)), 6)
    10.0
    """
    (up, turn), (up_too, turn_too) = (map(math.radians, sun) for sun in (one, other))
    cosine = math.sin(up) * math.sin(up_too) + math.cos(up) * math.cos(up_too) * math.cos(turn - turn_too)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def scene_sun(tags: Mapping[str, str]) -> Sun | None:
    """Where the sun stood, from tags such as Landsat's, Maxar's or those of `terrashift fetch`; None without.

    >>> scene_sun({"SUN_ELEVATION": "41.5", "SUN_AZIMUTH": "-200"})
    Sun(elevation=41.5, azimuth=160.0)
    """
    upper = {key.upper(): value.strip(" \"'") for key, value in tags.items()}
    for names in _SUN_TAGS:
        with suppress(KeyError, ValueError):
            elevation, azimuth = (float(upper[name]) for name in names)
            if -90 <= elevation <= 90 and math.isfinite(azimuth):
                return Sun(elevation, azimuth % 360)
    return None


def scene_orbit(tags: Mapping[str, str]) -> str | None:
    """The relative orbit (`R065`) or the path and row (`path 041 row 035`), where tags tell it.

    >>> scene_orbit({"WRS_PATH": "41", "WRS_ROW": "35"})
    'path 041 row 035'
    """
    upper = {key.upper(): value.strip(" \"'") for key, value in tags.items()}
    if "WRS_PATH" in upper and "WRS_ROW" in upper:
        return f"path {upper['WRS_PATH'].zfill(3)} row {upper['WRS_ROW'].zfill(3)}"
    orbit = next((upper[name] for name in _ORBIT_TAGS if upper.get(name)), None)
    return f"R{int(orbit):03d}" if orbit and orbit.isdigit() else orbit


def sidecar_of(path: str | Path) -> Path:
    """The record of `terrashift fetch` beside a file."""
    return Path(f"{path}.json")


def sidecar_tags(path: str) -> dict[str, str]:
    """What that record says of a file that was fetched whole and has no tags of ours; nothing where there is none."""
    try:
        said = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(said, dict) or SIDECAR_KEY not in said:
        return {}
    sun = said.get("sun") or (None, None)
    told = {"ACQUISITION_DATETIME": said.get("date"), "RELATIVE_ORBIT": said.get("orbit")}
    told |= {"SUN_ELEVATION": sun[0], "SUN_AZIMUTH": sun[1]}
    return {key: str(value) for key, value in told.items() if value is not None}


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
