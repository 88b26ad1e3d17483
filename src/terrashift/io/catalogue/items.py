"""A STAC item as we use it: when, from where and under which sun a scene was taken, and where its files are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from pydantic import BaseModel

from ..scenes import Sun
from .web import unsigned

_TRACK = re.compile(r"_R(\d{3})(?=_|$)")
_IMAGES = ("tiff", "jp2", "jpeg2000", "vnd.stac.geotiff")
_ENDINGS = (".tif", ".tiff", ".jp2")
_NO_DATA_ROLES = {"thumbnail", "overview", "metadata", "visual"}


class AssetBand(BaseModel, frozen=True):
    """What an item says of one band of a file."""

    name: str = ""
    common_name: str = ""
    wavelength_um: float | None = None
    nodata: float | None = None


class Asset(BaseModel, frozen=True):
    """One file of a scene. Its addresses hold no signature."""

    key: str
    href: str
    alternates: dict[str, str] = {}
    """Further addresses, by protocol: `s3`, `https`."""
    media_type: str = ""
    title: str = ""
    roles: tuple[str, ...] = ()
    gsd: float | None = None
    """Ground length of a pixel, metres."""
    bands: tuple[AssetBand, ...] = ()
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    """`proj:transform`: six numbers from (column, row) to CRS coordinates, as the catalogue has them."""
    shape: tuple[int, int] | None = None
    """`proj:shape`: (height, width)."""
    bbox: tuple[float, float, float, float] | None = None
    """`proj:bbox` in the CRS."""
    checksum: str | None = None
    """`file:checksum`, a multihash."""
    size: int | None = None
    """`file:size`, bytes."""

    @property
    def is_image(self) -> bool:
        """True for rasters that can hold pixels of a scene."""
        if _NO_DATA_ROLES & set(self.roles):
            return False
        kind = self.media_type.lower()
        return any(word in kind for word in _IMAGES) or (not kind and self.href.lower().endswith(_ENDINGS))


class View(BaseModel, frozen=True):
    """Direction from which a scene was seen, degrees."""

    incidence: float
    azimuth: float


class Scene(BaseModel, frozen=True):
    """One item of a catalogue."""

    id: str
    collection: str
    date: datetime
    """When it was taken, UTC, without a time zone attached."""
    platform: str = ""
    geometry: dict[str, Any]
    """Footprint, GeoJSON."""
    cloud: float | None = None
    """Per cent."""
    orbit: str | None = None
    """Relative orbit, or WRS path and row: scenes of one orbit were seen from one place in the sky."""
    frame: str | None = None
    """Tile or row: scenes of one frame have one pixel grid."""
    sun: Sun | None = None
    view: View | None = None
    crs: str | None = None
    baseline: str | None = None
    licence: str = ""
    source: str = ""
    """Address of the item."""
    assets: dict[str, Asset]

    @property
    def images(self) -> tuple[Asset, ...]:
        """Files that can hold pixels."""
        return tuple(asset for asset in self.assets.values() if asset.is_image)


def scene_of(item: Mapping[str, Any], licence: str = "") -> Scene | None:
    """Read a STAC item (versions 1.0 and 1.1); None for one without date or footprint.

    Args:
        item: the item as JSON.
        licence: of its collection, where the item itself names none.
    """
    said: dict[str, Any] = item.get("properties") or {}
    date = _date(said.get("datetime") or said.get("start_datetime"))
    if date is None or not item.get("geometry"):
        return None
    links = {link.get("rel"): str(link.get("href", "")) for link in item.get("links") or []}
    source = links.get("self", "")
    assets = (_asset(key, found, said, source) for key, found in (item.get("assets") or {}).items())
    return Scene(
        id=str(item["id"]),
        collection=str(item.get("collection") or ""),
        date=date,
        platform=str(said.get("platform") or said.get("eo:platform") or said.get("constellation") or ""),
        geometry=dict(item["geometry"]),
        cloud=_number(said, "eo:cloud_cover"),
        orbit=_orbit(str(item["id"]), said),
        frame=_frame(said),
        sun=_sun(said),
        view=_view(said),
        crs=_crs(said),
        baseline=_text(said, "s2:processing_baseline", "processing:version", "landsat:collection_number"),
        licence=unsigned(_licence(said.get("license"), links.get("license"))) or licence,
        source=unsigned(source),
        assets={asset.key: asset for asset in assets if asset is not None},
    )


def _asset(key: str, found: Mapping[str, Any], item: Mapping[str, Any], base: str) -> Asset | None:
    """A file; what it does not say of its place, the item says for all."""
    if not found.get("href"):
        return None
    said = {name: value for name, value in item.items() if name.startswith(("proj:", "gsd"))} | dict(found)
    alternates = found.get("alternate") or {}
    transform, shape, bbox = (said.get(f"proj:{name}") for name in ("transform", "shape", "bbox"))
    return Asset(
        key=key,
        href=unsigned(urljoin(base, str(found["href"]))),
        alternates={str(k): unsigned(str(v["href"])) for k, v in alternates.items() if v.get("href")},
        media_type=str(found.get("type") or ""),
        title=str(found.get("title") or ""),
        roles=tuple(map(str, found.get("roles") or ())),
        gsd=_first((_number(said, "raster:spatial_resolution"), _number(said, "gsd"), _side(transform))),
        bands=tuple(_bands(found)),
        crs=_crs(said),
        transform=tuple(map(float, transform[:6])) if transform and len(transform) >= 6 else None,
        shape=(int(shape[0]), int(shape[1])) if shape and len(shape) == 2 else None,
        bbox=tuple(map(float, bbox)) if bbox and len(bbox) == 4 else None,  # pyright: ignore[reportArgumentType]
        checksum=_text(found, "file:checksum"),
        size=found.get("file:size"),
    )


def _bands(found: Mapping[str, Any]) -> Iterator[AssetBand]:
    """STAC 1.1 has `bands`; 1.0 has `eo:bands` and `raster:bands` side by side."""
    new, old, raster = (found.get(name) or [] for name in ("bands", "eo:bands", "raster:bands"))
    listed = [band for band in new or old if isinstance(band, Mapping)]
    if not listed and (raster or "nodata" in found):
        listed = [{}] * max(1, len(raster))
    for index, band in enumerate(listed):
        pixels = raster[index] if index < len(raster) else {}
        nodata = band.get("nodata", pixels.get("nodata", found.get("nodata")))
        yield AssetBand(
            name=str(band.get("name") or ""),
            common_name=str(band.get("eo:common_name") or band.get("common_name") or ""),
            wavelength_um=_first((_number(band, "eo:center_wavelength"), _number(band, "center_wavelength"))),
            nodata=_value(nodata),
        )


def _value(nodata: Any) -> float | None:
    """STAC writes "nan" and "inf" as text."""
    try:
        return None if nodata is None else float(nodata)
    except (TypeError, ValueError):
        return None


def _side(transform: Any) -> float | None:
    return abs(float(transform[0])) or None if transform and len(transform) >= 6 else None


def _orbit(name: str, said: Mapping[str, Any]) -> str | None:
    """Relative orbit; Earth Search tells it in the name of the product only."""
    if (number := said.get("sat:relative_orbit")) is not None:
        return f"R{int(number):03d}"
    if path := _text(said, "landsat:wrs_path"):
        row = _text(said, "landsat:wrs_row")
        return f"path {path.zfill(3)}" + (f" row {row.zfill(3)}" if row else "")
    for text in (str(said.get("s2:product_uri") or ""), str(said.get("s2:granule_id") or ""), name):
        if match := _TRACK.search(text.split(".")[0]):
            return f"R{match[1]}"
    return None


def _frame(said: Mapping[str, Any]) -> str | None:
    if tile := _text(said, "s2:mgrs_tile", "grid:code"):
        return tile.removeprefix("MGRS-").lstrip("T")
    if zone := _text(said, "mgrs:utm_zone"):
        return zone + str(said.get("mgrs:latitude_band", "")) + str(said.get("mgrs:grid_square", ""))
    row = _text(said, "landsat:wrs_row")
    return f"{_text(said, 'landsat:wrs_path') or ''}/{row}" if row else None


def _sun(said: Mapping[str, Any]) -> Sun | None:
    elevation = _first((_number(said, "view:sun_elevation"), _number(said, "eo:sun_elevation")))
    azimuth = _first(_number(said, key) for key in ("view:sun_azimuth", "eo:sun_azimuth", "s2:mean_solar_azimuth"))
    zenith = _number(said, "s2:mean_solar_zenith")
    if elevation is None and zenith is not None:
        elevation = 90 - zenith
    return None if elevation is None or azimuth is None else Sun(elevation, azimuth % 360)


def _view(said: Mapping[str, Any]) -> View | None:
    incidence = _first(_number(said, key) for key in ("view:incidence_angle", "view:off_nadir"))
    azimuth = _number(said, "view:azimuth")
    return None if incidence is None or azimuth is None else View(incidence=incidence, azimuth=azimuth % 360)


def _crs(said: Mapping[str, Any]) -> str | None:
    if code := said.get("proj:code"):
        return str(code)
    if code := said.get("proj:epsg"):
        return f"EPSG:{int(code)}"
    return _text(said, "proj:wkt2")


def _licence(name: Any, link: str | None) -> str:
    """A licence that says something by itself, else its link."""
    vague = str(name or "").lower() in ("", "proprietary", "various", "other")
    return link or "" if vague else f"{name}, {link}" if link else str(name)


def _date(text: Any) -> datetime | None:
    if not text:
        return None
    try:
        date = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
    except ValueError:
        return None
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def _number(said: Mapping[str, Any], key: str) -> float | None:
    value = said.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(said: Mapping[str, Any], *keys: str) -> str | None:
    return next((str(said[key]) for key in keys if said.get(key) not in (None, "")), None)


def _first(values: Any) -> Any:
    return next((value for value in values if value is not None), None)
