"""A raster on a server, read in parts through GDAL's own HTTP and S3 access, opened anew where a try fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from ...errors import CatalogueError
from ..cog import gdal_environment
from ..opening import gdal_message, open_dataset
from .items import Asset
from .place import Pixels
from .web import TOKEN, PassingError, Web, redact

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Result = TypeVar("Result")
GDAL_TRIES = 2
"""Tries of GDAL itself at one request, before ours, which heed the server's Retry-After and sign again."""
RASTERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""How TIFF, BigTIFF and JPEG 2000 start."""
FINAL = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchKey", "NoSuchBucket", "ExpiredToken")
FINAL += ("No valid AWS credentials", "InvalidCredentials")


def address_of(asset: Asset) -> str:
    """The address to read an asset from: HTTP where there is one and no S3 account is set up, else S3.

    Raises:
        CatalogueError: neither is there.
    """
    known = [asset.href, *asset.alternates.values()]
    web = [one for one in known if urlsplit(one).scheme in ("http", "https")]
    s3 = [one for one in known if urlsplit(one).scheme == "s3"]
    with_account = bool(os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE"))
    order = s3 + web if with_account and asset.href.startswith("s3") else web + s3
    if asset.href in web:  # what the catalogue itself puts first needs no account, most likely
        order = [asset.href, *order]
    if not order:
        raise CatalogueError(
            f"asset {asset.key} lies at {redact(asset.href)}, which is neither http(s):// nor s3://: it cannot be "
            "fetched"
        )
    return order[0]


@dataclass
class RemoteRaster:
    """One file on a server. Use it within `reading`."""

    address: str
    """Unsigned."""
    web: Web
    local: str = ""
    """Path of a copy to read instead, where the server gives no parts of files."""
    _dataset: DatasetReader | None = field(default=None, repr=False)

    def use(self, what: str, action: Callable[[DatasetReader], Result]) -> Result:
        """Do something with the open file; opened anew, and signed anew, after each failure that may pass.

        Raises:
            CatalogueError: it is not there, may not be read, or failed too often.
        """
        return self.web.keep_trying(what, lambda: self._attempt(action))

    def read(self, band: int, part: Pixels, masked: bool = False) -> np.ndarray:
        """A part (1, height, width) in the file's own type; `masked` adds a layer that is 1 with data, else 0."""
        from rasterio.windows import Window

        window = Window(part.column, part.row, part.width, part.height)  # pyright: ignore[reportCallIssue]

        def read_it(file: DatasetReader) -> np.ndarray:
            pixels = file.read(band, window=window)[None]
            if not masked:
                return pixels
            return np.concatenate([pixels, (file.read_masks(band, window=window) != 0)[None].astype(pixels.dtype)])

        return self.use(f"rows {part.row} to {part.row + part.height}", read_it)

    def close(self) -> None:
        """Let go of the file, and of all that GDAL remembers of it."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def _attempt(self, action: Callable[[DatasetReader], Result]) -> Result:
        from rasterio.errors import RasterioError

        try:
            dataset = self._dataset or open_dataset(self.local or self._path())
            self._dataset = dataset
            return action(dataset)
        except RasterioError as error:
            self.close()
            said = redact(gdal_message(error))
            if self.local or any(word in said for word in FINAL):
                raise CatalogueError(
                    f"{redact(self.address)} cannot be read: {said}. Check the account (AWS_ variables) and that the "
                    "file is a raster"
                ) from None
            if self.address.startswith("http"):
                self.web.probe(self.web.reach(self.address))  # waits as the server asks, or says that it is in vain
                if "not recognized" in said:
                    self._refuse_other_things()
            raise PassingError(f"{redact(self.address)}: {said}") from None

    def _refuse_other_things(self) -> None:
        """A page instead of a file stays one, however often it is asked for; a damaged start may not."""
        start = self.web.start_of(self.web.reach(self.address), 16)
        if not start.startswith(RASTERS):
            page = " but a web page, as servers send it that want a login" if start.lstrip()[:1] == b"<" else ""
            raise CatalogueError(
                f"{redact(self.address)} is no raster that can be read in parts{page} (it starts with {start!r}). "
                "Choose another asset with --band, or see docs/fetch.md, Accounts"
            )

    def _path(self) -> str:
        if self.address.startswith("s3://"):
            return "/vsis3/" + self.address.removeprefix("s3://")
        return "/vsicurl/" + self.web.reach(self.address)


@contextmanager
def reading(web: Web, address: str, storage: Mapping[str, str]) -> Iterator[None]:
    """GDAL set up for one server: no listing of folders, no side files, nothing remembered, timeouts, few own tries."""
    import rasterio
    from rasterio.session import DummySession

    options: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/",  # a damaged answer must not stay
        "GDAL_HTTP_MAX_RETRY": GDAL_TRIES - 1,
        "GDAL_HTTP_RETRY_DELAY": web.options.wait_s,
        "GDAL_HTTP_CONNECTTIMEOUT": max(1, round(web.options.timeout_s)),
        "GDAL_HTTP_LOW_SPEED_TIME": max(1, round(web.options.timeout_s)),
        "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
        "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
        "GTIFF_POINT_GEO_IGNORE": False,  # PixelIsPoint files are moved by half a pixel, as they should be
        "GDAL_HTTP_USERAGENT": "terrashift",
    }
    if token := web.token_for(address):
        options |= {"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": token}
    if address.startswith("s3://"):
        options |= {key: value for key, value in storage.items() if key not in os.environ}
        if not os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_PROFILE"):
            raise CatalogueError(
                f"{address} needs an account: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or, for https "
                f"addresses, {TOKEN}). See docs/fetch.md, Accounts"
            )
    # GDAL's own S3 access reads the AWS_ variables; rasterio's would need boto3
    with gdal_environment(), rasterio.Env(session=DummySession(), **options):
        yield
