"""Which bands a raster has, and which one the user means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

WAVELENGTH_TOLERANCE_NM = 60
MOST_LISTED = 40
"""Bands in a message."""
_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(nm|nanomet\w*|um|[µμ]m|micromet\w*|microns?)", re.IGNORECASE)
_CODE = re.compile(r"(?<![a-z0-9])(?:(?:sr|toa|st)_)?b(?:and)?[ _-]?0*(\d+a?)(?![a-z0-9])", re.IGNORECASE)
_WAVELENGTH_KEY = re.compile(r"(?:(?:central|centre|center|band)_?)?wavelengths?(?:_(nm|um|nanomet\w*|micromet\w*))?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_ALIASES = {"panchromatic": "pan", "near infrared": "nir", "near-infrared": "nir", "grey": "gray"}
_COLOURS = re.compile(r"red|green|blue|nir|swir|infrared|pan|coastal|cirrus|tir|thermal|vapou?r|yellow", re.IGNORECASE)
_NO_COLOUR = {"undefined", "palette"}


@dataclass(frozen=True, slots=True)
class Band:
    """What a file says of one of its bands."""

    number: int
    description: str
    colour: str
    """GDAL's colour interpretation, empty where undefined."""
    wavelength_nm: float | None
    dtype: str

    @property
    def is_alpha(self) -> bool:
        """True for transparency; not where a description says that the fourth of four bands is something else.

        GDAL marks the fourth band of a four-band byte file as alpha by itself, also where it is infrared.
        """
        words = self.description.lower()
        return "alpha" in words if words else self.colour == "alpha"

    @property
    def name(self) -> str:
        """Description, else colour, else `band n`."""
        return self.description or self.colour or f"band {self.number}"

    def __str__(self) -> str:
        parts = [self.description or "no description", self.colour]
        if self.wavelength_nm is not None:
            parts.append(f"{self.wavelength_nm:g} nm")
        return f"{self.number}: " + ", ".join(part for part in parts if part)


def list_bands(dataset: DatasetReader) -> tuple[Band, ...]:
    """Describe every band of an open raster."""
    listed = _dataset_wavelengths(dataset)
    bands = []
    for number, dtype, colour in zip(dataset.indexes, dataset.dtypes, dataset.colorinterp, strict=True):
        described = dataset.descriptions[number - 1] or ""
        tags = {**dataset.tags(number), **dataset.tags(number, ns="IMAGERY")}
        wavelength = _tagged_wavelength(tags) or listed.get(number) or _described_wavelength(described)
        shown = "" if colour.name in _NO_COLOUR else colour.name
        bands.append(Band(number, described.strip(), shown, wavelength, str(dtype)))
    return tuple(bands)


def choose_band(bands: tuple[Band, ...], wanted: str | None, path: str) -> Band:
    """The band that `wanted` names (number, name or wavelength), or the only data band where it is None.

    Raises:
        InputError: where none or several fit; the message lists the bands.
    """
    data = tuple(band for band in bands if not band.is_alpha)
    if wanted is None:
        if len(data) == 1:
            return data[0]
        if not data:
            raise InputError(
                f"{path} holds nothing but an alpha band; pass --band 1 to use it as an image all the same"
            )
        raise InputError(
            f"{path} has {len(data)} bands: choose one with --band, for example --band {_hint(data)}.\n"
            + _listing(bands)
        )
    text = wanted.strip()
    if text.isdigit():
        return _by_number(bands, int(text), path)
    if match := _WAVELENGTH.fullmatch(text):
        return _by_wavelength(data, _to_nm(float(match[1]), match[2]), path)
    return _by_name(data, text, path)


def _by_number(bands: tuple[Band, ...], number: int, path: str) -> Band:
    for band in bands:
        if band.number == number:
            return band
    raise InputError(
        f"{path} has no band {number}; bands count from 1. Pass --band with one of these.\n" + _listing(bands)
    )


def _by_wavelength(bands: tuple[Band, ...], wanted_nm: float, path: str) -> Band:
    known = [(abs(band.wavelength_nm - wanted_nm), band) for band in bands if band.wavelength_nm is not None]
    if not known:
        raise InputError(
            f"--band {wanted_nm:g}nm: the metadata of {path} holds no wavelengths. Choose by number or name.\n"
            + _listing(bands)
        )
    distance_nm, band = min(known, key=lambda pair: pair[0])
    if distance_nm > WAVELENGTH_TOLERANCE_NM:
        raise InputError(
            f"--band {wanted_nm:g}nm: no band of {path} lies within {WAVELENGTH_TOLERANCE_NM} nm. Pass --band with "
            "one of these.\n" + _listing(bands)
        )
    return band


def _by_name(bands: tuple[Band, ...], text: str, path: str) -> Band:
    """Try the whole description, then a band code such as B04, then a word in it, then the colour."""
    name = _plain(text)
    code = _CODE.fullmatch(text)
    word = re.compile(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])")
    tiers = (
        lambda band: name in (_plain(band.description), _plain(re.sub(r"\s*[(\[,].*$", "", band.description))),
        lambda band: code is not None and code[1].lower() in map(str.lower, _CODE.findall(band.description)),
        lambda band: word.search(_plain(band.description)) is not None,
        # a description that names a colour outweighs the interpretation, which GDAL also sets by position alone
        lambda band: _plain(band.colour) == name and not _COLOURS.search(band.description),
    )
    for fits in tiers:
        found = [band for band in bands if fits(band)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(
                f"--band {text} fits {len(found)} bands of {path}; choose by number.\n" + _listing(tuple(found))
            )
    raise InputError(f"{path} has no band called {text}. Pass --band with one of these.\n" + _listing(bands))


def _hint(bands: tuple[Band, ...]) -> str:
    first = bands[0]
    return first.description if first.description.isalnum() else str(first.number)


def _listing(bands: tuple[Band, ...]) -> str:
    more = [f"  and {len(bands) - MOST_LISTED} more"] if len(bands) > MOST_LISTED else []
    return "\n".join([*(f"  {band}" for band in bands[:MOST_LISTED]), *more])


def _plain(text: str) -> str:
    lowered = text.strip().lower()
    return _ALIASES.get(lowered, lowered)


def _to_nm(value: float, unit: str | None) -> float:
    """Nanometres; without a unit, numbers below 100 can only be micrometres."""
    letter = (unit or "").lower()[:1]
    micrometres = letter in {"u", "µ", "μ", "m"} if letter else value < 100
    return round(value * 1000, 6) if micrometres else value


def _tagged_wavelength(tags: dict[str, str]) -> float | None:
    lower = {key.lower(): value for key, value in tags.items()}
    for key, value in lower.items():
        match, number = _WAVELENGTH_KEY.fullmatch(key), _NUMBER.search(value)
        if match and number:
            inside = _WAVELENGTH.search(value)
            unit = match[1] or (inside[2] if inside else None) or lower.get("wavelength_units")
            return _to_nm(float(number[0]), unit) if float(number[0]) > 0 else None
    return None


def _described_wavelength(description: str) -> float | None:
    match = _WAVELENGTH.search(description)
    return _to_nm(float(match[1]), match[2]) if match else None


def _dataset_wavelengths(dataset: DatasetReader) -> dict[int, float]:
    """A list of one wavelength per band among the file's own tags, as ENVI headers have it."""
    tags = {key.lower(): value for key, value in {**dataset.tags(), **dataset.tags(ns="ENVI")}.items()}
    for key, value in tags.items():
        match = _WAVELENGTH_KEY.fullmatch(key)
        numbers = [float(number) for number in _NUMBER.findall(value)]
        if match and len(numbers) == dataset.count:
            unit = match[1] or tags.get("wavelength_units")
            return {band: _to_nm(number, unit) for band, number in enumerate(numbers, 1)}
    return {}
