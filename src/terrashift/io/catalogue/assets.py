"""Which file of a scene, and which band in it, the user means."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import InputError
from ..bands import WAVELENGTH_TOLERANCE_NM
from .endpoints import Collection
from .items import Asset, AssetBand, Scene

_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(nm|um|µm|μm)", re.IGNORECASE)
_SENTINEL_2 = {"coastal": "b01", "blue": "b02", "green": "b03", "red": "b04", "rededge1": "b05", "rededge2": "b06"}
_SENTINEL_2 |= {"rededge3": "b07", "nir": "b08", "nir08": "b8a", "nir09": "b09", "swir16": "b11", "swir22": "b12"}
_OTHER_NAMES = _SENTINEL_2 | {code: name for name, code in _SENTINEL_2.items()} | {"panchromatic": "pan"}


class Chosen(NamedTuple):
    """A band of a scene."""

    asset: Asset
    number: int
    """Of the band within the file, from 1."""

    @property
    def band(self) -> AssetBand:
        """What the catalogue says of it."""
        bands = self.asset.bands
        return bands[self.number - 1] if self.number <= len(bands) else AssetBand()

    @property
    def name(self) -> str:
        """Asset, with the band where the file holds several."""
        if len(self.asset.bands) < 2:
            return self.asset.key
        return f"{self.asset.key}:{self.band.name or self.number}"


def choose(scene: Scene, wanted: str, collection: Collection | None = None) -> Chosen:
    """The band that `wanted` names: an asset (`red`, `B04_10m`), a band in one (`B04`, `image:nir`), or a wavelength.

    Of several files with one band, the finest pixels win, then GeoTIFF over JPEG 2000.

    Args:
        scene: where it is looked for.
        wanted: as the user wrote it.
        collection: what the table of endpoints says of the scene's collection.

    Raises:
        InputError: none fits; the message lists the bands.
    """
    text = wanted.strip().lower()
    if collection is not None and text in collection.bands and collection.bands[text] in scene.assets:
        return Chosen(scene.assets[collection.bands[text]], 1)
    everything = [Chosen(asset, n + 1) for asset in scene.images for n in range(max(1, len(asset.bands)))]
    for fits in _tiers(text):
        found = [one for one in everything if fits(one)]
        if found:
            return min(found, key=_preference)
    if match := _WAVELENGTH.fullmatch(text):
        return _by_wavelength(scene, everything, float(match[1]) / (1 if match[2].lower() != "nm" else 1000))
    raise InputError(f"{scene.id} has no band called {wanted!r}. Pass --band with one of these.\n{listing(scene)}")


def _tiers(text: str):
    """From the surest match to the loosest."""
    other = _OTHER_NAMES.get(text)
    key, _, inside = text.partition(":")
    yield lambda one: one.asset.key.lower() == text and one.number == 1 and len(one.asset.bands) < 2
    yield lambda one: one.asset.key.lower() == key and inside in {str(one.number), *_names(one)} - {""}
    for name in filter(None, (text, other)):
        yield lambda one, name=name: name in _names(one)
        yield lambda one, name=name: _key(one) == name


def _names(one: Chosen) -> set[str]:
    return {one.band.name.lower(), one.band.common_name.lower()} - {""}


def _key(one: Chosen) -> str:
    """An asset's name without its pixel size or format: `B04_10m` and `red-jp2` are B04 and red."""
    return re.sub(r"([-_]jp2|_\d+m)$|\.tiff?$", "", one.asset.key.lower()) if len(one.asset.bands) < 2 else ""


def _preference(one: Chosen) -> tuple[float, bool, int]:
    jp2 = "jp2" in one.asset.media_type.lower() or one.asset.href.lower().endswith(".jp2")
    return one.asset.gsd or 1e9, jp2, len(one.asset.key)


def _by_wavelength(scene: Scene, everything: list[Chosen], wanted_um: float) -> Chosen:
    known = [(abs(one.band.wavelength_um - wanted_um), one) for one in everything if one.band.wavelength_um is not None]
    near = [pair for pair in known if pair[0] * 1000 <= WAVELENGTH_TOLERANCE_NM]
    if not near:
        met = "tells no wavelengths" if not known else f"has no band within {WAVELENGTH_TOLERANCE_NM} nm of it"
        raise InputError(
            f"--band {wanted_um * 1000:g}nm: {scene.id} {met}. Pass --band with one of these.\n{listing(scene)}"
        )
    nearest = min(distance for distance, _ in near)
    return min((one for distance, one in near if distance <= nearest + 1e-9), key=_preference)


def listing(scene: Scene) -> str:
    """The scene's images, one a line."""
    lines = []
    for asset in scene.images:
        size = f"{asset.gsd:g} m" if asset.gsd else ""
        bands = ", ".join(filter(None, (_described(band) for band in asset.bands)))
        lines.append("  " + "  ".join(filter(None, (f"{asset.key:12}", size, bands, asset.title))))
    return "\n".join(lines) or "  (no images: this item holds metadata only)"


def _described(band: AssetBand) -> str:
    wave = f"{band.wavelength_um * 1000:g} nm" if band.wavelength_um else ""
    names = dict.fromkeys(filter(None, (band.name, band.common_name)))
    return " ".join(filter(None, ("/".join(names), wave)))
