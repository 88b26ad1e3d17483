"""Find a pair of scenes in a catalogue, and fetch their pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import out, show, tell, warn
from ..errors import CatalogueError, OptionError

if TYPE_CHECKING:
    from ..io.catalogue.area import Area
    from ..io.catalogue.find import Found
    from ..io.catalogue.pairfile import PairFile
    from ..io.catalogue.window import Fetched

SEARCH = """Search a STAC catalogue for pairs of scenes before and after an event, the best pair first.

Pairs seen from one orbit come first, since parallax over relief looks like motion; then those that share a grid; then
those with the nearest suns, the least cloud, the most of the area and the least time between them. -o writes the pair
for `terrashift fetch`. Longitude comes first everywhere."""
FETCH = """Fetch one band of the scenes of a pair: only the window of the area, in the scenes' own pixels.

Takes the file of `terrashift search -o`, or the ids of one or two items with --collection and --box. Writes one
Cloud-Optimised GeoTIFF for each scene and a record (.json) beside it. The same command goes on after an interruption,
and leaves finished files as they are once their checksum is verified."""
Numbers2, Numbers4 = tuple[float, float], tuple[float, float, float, float]


def _area_arguments() -> list[Argument]:
    return [
        argument("box", Numbers4 | None, None, "Area: west south east north, degrees.", metavar="W S E N"),
        argument("point", Numbers2 | None, None, "Middle of the area: longitude latitude, degrees.", metavar="LON LAT"),
        argument("radius_km", float, 10.0, "With --point: how far the area reaches on each side, km."),
    ]


def _area(found: Any) -> Area | None:
    from ..io.catalogue.area import Area

    if found.box is not None and found.point is not None:
        raise OptionError("--box and --point are two areas: pass one of them")
    if found.box is not None:
        return Area.of_box(found.box)
    return Area.of_point(found.point, found.radius_km) if found.point is not None else None


def search(words: Sequence[str]) -> int:
    """`terrashift search --point LON LAT --event 2019-07-06 -o pair.json`."""
    from ..io.catalogue.find import SearchOptions
    from ..io.catalogue.web import WebOptions

    more = [
        *_area_arguments(),
        argument("endpoint", str, "earth-search", "Catalogue: short name (see --list) or URL.", aliases=["-e"]),
        *settings(SearchOptions),
        *settings(WebOptions),
        argument("output", Path | None, None, "Write the chosen pair here.", aliases=["-o"], metavar="FILE"),
        argument("pick", int, 1, "Which pair of the table to write, from 1."),
        argument("rows", int, 10, "Most pairs to show."),
        switch("json", "Print the pairs as JSON."),
        switch("list", "Print the catalogues that have a short name."),
        switch("overwrite", "Replace a pair of that name."),
    ]
    found = parse(words, "search", SEARCH, more)
    from ..io.catalogue.client import open_catalogue
    from ..io.catalogue.endpoints import endpoint_of
    from ..io.catalogue.find import find_pairs, intervals_of
    from ..io.catalogue.tables import render_endpoints, render_pairs, to_json
    from ..io.catalogue.web import Web

    if found.list:
        show(render_endpoints())
        return 0
    area, options, endpoint = _area(found), model_of(SearchOptions, found), endpoint_of(found.endpoint)
    if area is None:
        raise OptionError("where? Pass --point LON LAT, or --box W S E N")
    intervals_of(options)
    if found.output is not None:
        from ..io.atomic import check_target

        check_target(found.output, found.overwrite)
    web = Web(model_of(WebOptions, found), endpoint.token_hosts, say=tell)
    result = find_pairs(open_catalogue(endpoint, web), area, options)
    if result.full:
        warn(f"there are more than the {options.most} scenes that were looked at: pass --most, or fewer --days")
    if found.json:
        out(json.dumps(to_json(result, found.rows), indent=2))
    if not result.pairs:
        raise CatalogueError("no pair was found.\n" + "\n".join(f"  {hint}" for hint in result.hints))
    if not found.json:
        show(render_pairs(result, found.rows))
    if found.output is not None:
        _write_choice(found, result, endpoint.name)
    return 0


def _write_choice(found: Any, result: Found, endpoint: str) -> None:
    from ..io.catalogue.endpoints import ENDPOINTS
    from ..io.catalogue.pairfile import PairFile, write_pair

    if not 1 <= found.pick <= len(result.pairs):
        raise OptionError(f"--pick {found.pick}: there are {len(result.pairs)} pairs")
    chosen = result.pairs[found.pick - 1]
    box = result.area.bounds
    pair = PairFile(endpoint=endpoint, box=box, event=found.event, before=chosen.before, after=chosen.after)
    write_pair(found.output, pair)
    known = ENDPOINTS.get(endpoint)
    sign = f" --sign {known.signer}" if known and known.signer else ""
    collection = known.collection(chosen.before.collection) if known else None
    band = "pan" if collection and "pan" in collection.bands else "red"
    tell(f"wrote {found.output}; next: terrashift fetch {found.output} --band {band} -o images{sign}")


def fetch(words: Sequence[str]) -> int:
    """`terrashift fetch pair.json --band red -o images`."""
    from ..io.catalogue.web import WebOptions

    more = [
        positional("what", tuple[str, ...], REQUIRED, "A pair's file, or one or two ids of items.", metavar="PAIR"),
        argument("band", str, REQUIRED, "Asset, band or wavelength: red, B04, image:nir, 842nm."),
        argument("output", Path, REQUIRED, "Folder for the files; made where missing.", aliases=["-o"], metavar="DIR"),
        argument("endpoint", str | None, None, "Catalogue of the ids: short name or URL.", aliases=["-e"]),
        argument("collection", str | None, None, "Collection of the ids."),
        *_area_arguments(),
        switch("whole", "Fetch whole files as they are, and compare them with the catalogue's checksum."),
        argument("sign", str | None, None, "Service that signs addresses: planetary-computer, or a URL."),
        *settings(WebOptions),
        switch("overwrite", "Fetch again what is there."),
        switch("json", "Print the records as JSON."),
    ]
    found = parse(words, "fetch", FETCH, more)
    from ..io.atomic import make_folder
    from ..io.catalogue.endpoints import endpoint_of, signer_of
    from ..io.catalogue.fetch import Order, compare_grids, fetch_scene
    from ..io.catalogue.web import Web

    pair, area, trusted = _what(found)
    endpoint = endpoint_of(pair.endpoint if pair is not None else found.endpoint)
    # the token goes to hosts that the table or the user names, never to those that only a file names
    hosts = endpoint.token_hosts if trusted or endpoint.url != endpoint.name else ()
    web = Web(model_of(WebOptions, found), hosts, signer_of(found.sign) if found.sign else "", tell)
    scenes = (pair.before, pair.after) if pair is not None else _by_ids(found, endpoint, web)
    make_folder(found.output)
    order = Order(endpoint, found.output, found.band, None if found.whole else area, found.overwrite)
    fetched = []
    try:
        for scene in scenes:
            fetched.append(one := fetch_scene(scene, order, web))
            _report(one, found.json)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or "interrupted: what came is kept; the same command goes on") from None
    if found.json:
        out(json.dumps([one.record.model_dump(mode="json") | {"path": str(one.path)} for one in fetched], indent=2))
    if len(fetched) == 2:
        tell(compare_grids(fetched[0].path, fetched[1].path))
    return 0


def _what(found: Any) -> tuple[PairFile | None, Area | None, bool]:
    """The pair file if one was given, the area, and whether the user named the endpoint."""
    from ..io.catalogue.pairfile import read_pair

    area = _area(found)
    named = [word for word in found.what if word.endswith(".json") or Path(word).is_file()]
    if named and len(found.what) == 1:
        pair = read_pair(Path(named[0]))
        if found.endpoint not in (None, pair.endpoint):
            raise OptionError(f"{named[0]} is of {pair.endpoint}, and --endpoint says {found.endpoint}: leave it out")
        return pair, area or pair.area, found.endpoint is not None
    if not found.what:
        raise OptionError("what? Give the file that `terrashift search -o` wrote, or one or two ids of items")
    if named:
        raise OptionError("give one file of a pair, or one or two ids of items")
    if not 1 <= len(found.what) <= 2:
        raise OptionError(
            f"{len(found.what)} ids were given: give that of the scene before and that of the scene after"
        )
    missing = [flag for flag in ("endpoint", "collection") if getattr(found, flag) is None]
    if area is None and not found.whole:
        missing.append("box")
    if missing:
        raise OptionError(f"ids of items need {' and '.join('--' + flag for flag in missing)}")
    return None, area, True


def _by_ids(found: Any, endpoint: Any, web: Any) -> Sequence[Any]:
    from ..io.catalogue.client import open_catalogue

    return open_catalogue(endpoint, web).by_ids(tuple(found.what), found.collection)


def _report(one: Fetched, quiet: bool) -> None:
    if one.share < 0.999:
        warn(f"{one.record.scene} shows {100 * one.share:.0f} % of the area; the file ends at the scene's edge")
    if one.valid < 0.999:
        warn(f"{100 * (1 - one.valid):.0f} % of {one.path.name} is nodata")
    if one.record.whole and not one.record.verified:
        why = "gives no checksum" if not one.record.source_checksum else "gives a checksum of an unknown kind"
        warn(f"{one.path.name}: the catalogue {why}; only the length was verified")
    if not quiet:
        state = "there already, checksum verified" if one.again else f"{one.record.bytes / 1e6:.3g} MB"
        out(f"{one.path}  {one.record.date:%Y-%m-%d}  {one.record.band}  {state}")
