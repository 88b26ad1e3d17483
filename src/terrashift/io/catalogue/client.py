"""Ask a STAC API for scenes, and say what is wrong where it does not answer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import CatalogueError, OptionError
from .area import INSTALL, Area
from .endpoints import Endpoint
from .items import Scene, scene_of
from .web import PASSING, Web, redact, unsigned

if TYPE_CHECKING:
    from pystac_client import Client

PAGE = 100
"""Items a request; larger pages are refused or cut by some servers."""


class Interval(NamedTuple):
    """A stretch of time, UTC; both ends belong to it, None is open."""

    start: datetime | None
    end: datetime | None

    def __str__(self) -> str:
        """As STAC wants it."""
        return "/".join(f"{date:%Y-%m-%dT%H:%M:%SZ}" if date else ".." for date in self)


@dataclass(frozen=True)
class Catalogue:
    """An open STAC API."""

    endpoint: Endpoint
    client: Client

    def search(self, area: Area, interval: Interval, collections: tuple[str, ...], most: int) -> list[Scene]:
        """Scenes that touch the area, at most `most` for each part of it; by date.

        Raises:
            CatalogueError: the server fails.
        """
        found: dict[str, Scene] = {}
        with _explained(self.endpoint), _quiet():
            for box in area.boxes:
                asked = self.client.search(
                    bbox=box, datetime=str(interval), collections=list(collections), limit=min(PAGE, most),
                    max_items=most,
                )  # fmt: skip
                for item in asked.items_as_dicts():
                    scene = scene_of(item, self.licence_of(str(item.get("collection"))))
                    if scene is not None:
                        found[scene.id] = scene
        return sorted(found.values(), key=lambda scene: (scene.date, scene.id))

    def by_ids(self, ids: tuple[str, ...], collection: str) -> list[Scene]:
        """The scenes of these names, in their order.

        Raises:
            CatalogueError: one is not there, or the server fails.
        """
        with _explained(self.endpoint), _quiet():
            items = self.client.search(ids=list(ids), collections=[collection], limit=PAGE).items_as_dicts()
            scenes = {str(item["id"]): scene_of(item, self.licence_of(collection)) for item in items}
        for name in ids:
            if scenes.get(name) is None:
                raise CatalogueError(
                    f"{self.endpoint.name} has no item {name!r} in {collection}: check --collection and --endpoint"
                )
        return [scene for name in ids if (scene := scenes[name]) is not None]

    def check_collections(self, wanted: tuple[str, ...]) -> None:
        """Make sure that the collections are there: some servers answer a wrong name with nothing at all.

        Raises:
            CatalogueError: one is not; the message lists what there is.
        """
        with _explained(self.endpoint), _quiet():
            known = [one.id for one in self.client.get_collections()]
        for name in wanted:
            if known and name not in known:
                shown = ", ".join(sorted(known)[:40]) + (", ..." if len(known) > 40 else "")
                raise CatalogueError(f"{self.endpoint.name} has no collection {name!r}. Pass --collection: {shown}")

    def licence_of(self, collection: str) -> str:
        """Licence of a collection, from the table or from the server; empty where nobody says."""
        known = self.endpoint.collection(collection)
        if known is not None:
            return known.licence
        try:
            with _quiet():
                found = self.client.get_collection(collection)  # kept by the client after the first time
        except Exception:  # the licence is worth no failure
            return ""
        link = found.get_single_link("license") if found is not None else None
        name = str(found.license or "") if found is not None else ""
        return ", ".join(filter(None, (name, unsigned(str(link.target)) if link is not None else "")))


def open_catalogue(endpoint: Endpoint, web: Web) -> Catalogue:
    """Connect to a STAC API.

    Raises:
        OptionError: pystac-client is not installed.
        CatalogueError: there is no answer, or no STAC API that can be searched.
    """
    try:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO
        from urllib3 import Retry
    except ImportError as error:
        raise OptionError(f"searching catalogues needs pystac-client: {INSTALL}") from error
    options = web.options
    patience = Retry(
        total=options.tries - 1,
        backoff_factor=options.wait_s,
        status_forcelist=PASSING,
        allowed_methods=None,  # searching is a POST that changes nothing
        raise_on_status=False,
    )
    way = StacApiIO(headers=web.headers_for(endpoint.url), timeout=options.timeout_s, max_retries=patience)
    with _explained(endpoint), _quiet():
        client = Client.open(endpoint.url, stac_io=way)
        if client.get_search_link() is None:
            raise CatalogueError(
                f"{endpoint.url} is a STAC catalogue that cannot be searched: give a STAC API, such as those of "
                "`terrashift search --list`"
            )
    return Catalogue(endpoint, client)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the client's notes on what a server leaves out of its self-description."""
    from pystac_client.warnings import PystacClientWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PystacClientWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # old items of some servers
        yield


@contextmanager
def _explained(endpoint: Endpoint) -> Iterator[None]:
    """Turn what the client says into what a user can act on."""
    from pystac.errors import STACError
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError

    try:
        yield
    except APIError as error:
        raise _answered(endpoint, error) from None
    except (ClientTypeError, STACError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CatalogueError | OptionError):
            raise
        raise CatalogueError(
            f"{endpoint.url} is no STAC API ({type(error).__name__}): give its root, which answers with JSON that has "
            f'`"type": "Catalog"`, often ending in /v1 or /stac. Known ones: `terrashift search --list`'
        ) from None


def _answered(endpoint: Endpoint, error: Any) -> CatalogueError:
    code = getattr(error, "status_code", None)
    said = redact(re.sub(r"<[^>]*>|\s+", " ", str(error)).strip())[:200]
    if code is None:
        said = said.rsplit("Caused by ", 1)[-1].rstrip(")")
        return CatalogueError(
            f"{endpoint.name} ({endpoint.url}) cannot be reached: {said}. Check the address and the connection; behind "
            "a proxy, set HTTPS_PROXY (and NO_PROXY for hosts that are near)"
        )
    if code in (401, 403):
        return CatalogueError(f"{endpoint.url} wants a login ({code} {said}): set TERRASHIFT_TOKEN")
    if code in (404, 405):
        return CatalogueError(
            f"{endpoint.url} is no STAC API ({code} {said}): give its root. Known ones: `terrashift search --list`"
        )
    if code in PASSING:
        return CatalogueError(f"{endpoint.name} is too busy or broken ({code} {said}): try again later")
    return CatalogueError(f"{endpoint.name} refuses the question ({code} {said})")
