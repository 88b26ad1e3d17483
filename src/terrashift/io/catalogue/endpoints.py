"""Catalogues that are known by a short name: their address, their optical collections, and how their files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from ...errors import OptionError
from .web import unsigned

SENTINEL = "Copernicus Sentinel data, free and open: https://sentinels.copernicus.eu/documents/247904/690755/"
SENTINEL += "Sentinel_Data_Legal_Notice"
LANDSAT = "public domain, cite USGS: https://www.usgs.gov/information-policies-and-instructions/copyrights-and-credits"

_S2_NAMES = MappingProxyType({"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"})
_S2_COLOURS = MappingProxyType({name: name for name in _S2_NAMES})
_S2_10M = MappingProxyType({name: f"{band}_10m" for name, band in _S2_NAMES.items()})
_LANDSAT = MappingProxyType({name: name for name in ("blue", "green", "red", "nir08")})
_LANDSAT_PAN = MappingProxyType({"pan": "pan", **_LANDSAT})


class Collection(NamedTuple):
    """One collection of optical scenes."""

    id: str
    about: str
    bands: Mapping[str, str]
    """Asset of each band that suits displacement, by the band's common name; a catalogue's items may hold more."""
    licence: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A STAC API."""

    name: str
    url: str
    collections: tuple[Collection, ...] = ()
    """The first one is searched unless another is asked for."""
    signer: str = ""
    """Service that signs the addresses of its files, by its name in `SIGNERS`."""
    token_hosts: tuple[str, ...] = ()
    """Only hosts that are one of these, or end in one that starts with a dot, are sent the user's token."""
    storage: Mapping[str, str] = field(default_factory=dict)
    """GDAL's options for addresses that start with s3://."""
    note: str = ""

    def collection(self, name: str) -> Collection | None:
        """What is known of a collection; None for one that is not in the table."""
        return next((one for one in self.collections if one.id == name), None)


SIGNERS = {"planetary-computer": "https://planetarycomputer.microsoft.com/api/sas/v1/sign"}
"""Address of services that turn `?href=ADDRESS` into `{"href": SIGNED}`."""

EARTH_SEARCH = Endpoint(
    "earth-search",
    "https://earth-search.aws.element84.com/v1",
    (
        Collection("sentinel-2-l2a", "Sentinel-2 surface reflectance, 10 m", _S2_COLOURS, SENTINEL),
        Collection("sentinel-2-c1-l2a", "the same, reprocessed as Collection 1", _S2_COLOURS, SENTINEL),
        Collection("sentinel-2-l1c", "Sentinel-2 top of atmosphere, 10 m (s3, requester pays)", _S2_COLOURS, SENTINEL),
        Collection("landsat-c2-l2", "Landsat surface reflectance, 30 m (s3, requester pays)", _LANDSAT, LANDSAT),
    ),
    storage={"AWS_REQUEST_PAYER": "requester"},
    note="no account needed for sentinel-2-l2a and sentinel-2-c1-l2a",
)
PLANETARY_COMPUTER = Endpoint(
    "planetary-computer",
    "https://planetarycomputer.microsoft.com/api/stac/v1",
    (
        Collection("sentinel-2-l2a", "Sentinel-2 surface reflectance, 10 m", _S2_NAMES, SENTINEL),
        Collection("landsat-c2-l2", "Landsat surface reflectance, 30 m", _LANDSAT, LANDSAT),
    ),
    signer="planetary-computer",
    note="fetch with --sign planetary-computer; no account needed",
)
COPERNICUS = Endpoint(
    "copernicus",
    "https://stac.dataspace.copernicus.eu/v1",
    (
        Collection("sentinel-2-l2a", "Sentinel-2 surface reflectance, 10 m", _S2_10M, SENTINEL),
        Collection("sentinel-2-l1c", "Sentinel-2 top of atmosphere, 10 m", _S2_NAMES, SENTINEL),
    ),
    token_hosts=(".dataspace.copernicus.eu",),
    storage={"AWS_S3_ENDPOINT": "eodata.dataspace.copernicus.eu", "AWS_VIRTUAL_HOSTING": "FALSE"},
    note="files need an account: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or TERRASHIFT_TOKEN",
)
USGS = Endpoint(
    "usgs",
    "https://landsatlook.usgs.gov/stac-server",
    (
        Collection("landsat-c2l1", "Landsat top of atmosphere, 15 m panchromatic", _LANDSAT_PAN, LANDSAT),
        Collection("landsat-c2l2-sr", "Landsat surface reflectance, 30 m", _LANDSAT, LANDSAT),
    ),
    storage={"AWS_REQUEST_PAYER": "requester", "AWS_REGION": "us-west-2"},
    note="files need AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (requester pays)",
)
ENDPOINTS = {one.name: one for one in (EARTH_SEARCH, PLANETARY_COMPUTER, COPERNICUS, USGS)}


def endpoint_of(text: str) -> Endpoint:
    """The endpoint of a short name or a URL; the token goes to that URL's own host only.

    Raises:
        OptionError: a name that is not known.
    """
    if text in ENDPOINTS:
        return ENDPOINTS[text]
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError(
            f"there is no endpoint {text!r}: give one of {', '.join(ENDPOINTS)}, or the URL of a STAC API, such as "
            f"{EARTH_SEARCH.url}"
        )
    if unsigned(text) != text:
        raise OptionError(
            "the URL of the endpoint holds a password, token or signature, which would end up in files: take it out, "
            "and set TERRASHIFT_TOKEN instead"
        )
    known = next((one for one in ENDPOINTS.values() if one.url == text.rstrip("/")), None)
    return known or Endpoint(text, text, token_hosts=(parts.hostname,))


def signer_of(text: str) -> str:
    """Address of a signing service, by name or URL.

    Raises:
        OptionError: neither.
    """
    if text in SIGNERS:
        return SIGNERS[text]
    if urlsplit(text).scheme in ("http", "https"):
        return text
    raise OptionError(f"--sign {text} is no service: give {', '.join(SIGNERS)}, or the URL of one alike")
