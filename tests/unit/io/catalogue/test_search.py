"""Searching a real STAC API (rustac's), and fetching what was found, as a user does."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import rasterio
import stac_world as world

from terrashift import cli
from terrashift.errors import OptionError
from terrashift.io.catalogue.find import SearchOptions, intervals_of
from terrashift.io.catalogue.pairfile import read_pair

POINT = ("--point", "-117.5", "35.68", "--radius-km", "2")
EVENT = ("--event", "2019-07-06")
QUICK = ("--tries", "2", "--wait-s", "0.01", "--timeout-s", "5")


@pytest.fixture
def run(served, capfd, monkeypatch, tmp_path):
    """`run(verb, ...)` gives (exit code, stdout, stderr); searches are of the made-up collection."""
    monkeypatch.chdir(tmp_path)
    api, _ = served

    def run_it(verb: str, *words: str) -> tuple[int, str, str]:
        usual = (*QUICK, "-e", api, "--collection", "made-up") if verb == "search" and "-e" not in words else QUICK
        code = cli.main([verb, *words, *usual])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run_it


def test_the_best_pair_is_found_shown_and_written(run, tmp_path):
    code, table, said = run("search", *POINT, *EVENT, "-o", "pair.json")
    assert code == 0
    first = table.splitlines()[1].split()
    assert first[:5] == ["1", "2019-06-28", "2019-07-08", "10", "R027"]
    assert first[5:] == ["same", "1.1°", "2/3", "100", "%"]
    assert "8 pairs of 4 clear of 5 scenes before and 3 clear of 3 scenes after" in table
    assert "next: terrashift fetch pair.json --band red -o images" in said
    pair = read_pair(tmp_path / "pair.json")
    assert (pair.before.id, pair.after.id, pair.event) == ("B-best", "A-best", "2019-07-06")
    assert pair.before.licence == "CC-BY-4.0"


def test_json_holds_the_pairs_in_the_same_order_and_another_can_be_picked(run, tmp_path):
    _, text, _ = run("search", *POINT, *EVENT, "--json", "--rows", "3", "--pick", "2", "-o", "pair.json")
    found = json.loads(text)
    names = [(pair["before"]["id"], pair["after"]["id"]) for pair in found["pairs"]]
    assert names[:2] == [("B-best", "A-best"), ("B-old", "A-best")]
    assert len(names) == 3
    assert found["pairs"][0]["sun_deg"] == pytest.approx(1.06, abs=0.01)
    assert found["scenes"]["before"] == {"all": 5, "clear": 4}
    assert read_pair(tmp_path / "pair.json").before.id == "B-old"


def test_scenes_of_the_day_of_the_event_are_on_neither_side(run):
    _, text, _ = run("search", *POINT, *EVENT, "--json", "--rows", "100")
    assert "event-day" not in text
    _, text, _ = run("search", *POINT, "--event", "2019-07-06T19:00:00", "--json", "--rows", "100")
    assert {pair["before"]["id"] for pair in json.loads(text)["pairs"]} >= {"event-day"}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--cloud 0 --before 2019-06-18", "before: 1 scene, the clearest with 81 % cloud: pass --cloud 81"),
        ("--days 2", "before: no scene in 2019-07-04/2019-07-05; the nearest beyond is of 2019-07-03, 0 % cloud"),
        ("--days 2", "2019-07-03, 0 % cloud: pass --days 4"),
        ("--after 2019-12-01/2019-12-31", "after: no scene in 2019-12-01/2019-12-31, nor in 5 times as many days"),
        ("--after 2019-07-09/2019-08-20", "the nearest beyond is of 2019-08-22, 0 % cloud: pass --after with a range"),
    ],
)
def test_where_nothing_is_found_it_is_said_what_looser_limits_find(words, hint, run):
    code, _, said = run("search", *POINT, *EVENT, *words.split())
    assert code == 1
    assert "no pair was found" in said
    assert hint in said


def test_where_there_is_nothing_at_all_the_place_is_named(run):
    code, _, said = run("search", "--point", "35.68", "17.5", *EVENT)
    assert code == 1
    assert "the place looked at is 17.50 N 35.68 E: longitude comes first" in said


def test_a_pair_that_shows_too_little_is_left_out_and_named(run):
    box = ("--box", "-117.60", "35.60", "-117.30", "35.80")
    code, _, said = run("search", *box, *EVENT)
    assert code == 1
    assert "the scenes together show at most 24 % of the area: pass --cover 0.23" in said
    code, table, _ = run("search", *box, *EVENT, "--cover", "0.2")
    assert code == 0
    assert "24 %" in table


def test_a_collection_that_is_not_there_is_named_with_those_that_are(run, served):
    code, _, said = run("search", *POINT, *EVENT, "-e", served[0], "--collection", "sentinel-9")
    assert code == 1
    assert "has no collection 'sentinel-9'. Pass --collection: made-up" in said


def test_addresses_that_are_no_stac_api_are_told_apart(run, served, files):
    def said(url: str) -> str:
        code, _, text = run("search", *POINT, *EVENT, "-e", url, "--collection", "x")
        assert code == 1
        return text

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert "cannot be reached" in said(nobody)
    assert "is no STAC API (404" in said(served[0] + "/nowhere")
    assert "is no STAC API" in said(served[0] + "/collections")
    assert "is no STAC API" in said(files.put("/page.html", b"<html>hello</html>"))
    static = {"type": "Catalog", "id": "s", "stac_version": "1.0.0", "description": "d", "links": []}
    assert "cannot be searched" in said(files.put("/catalog.json", json.dumps(static).encode()))
    files.wrong("/busy", *["503"] * 9)
    assert "too busy or broken" in said(files.put("/busy", b"{}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--event", "2019-07-06"), "where? Pass --point LON LAT, or --box W S E N"),
        ((*POINT, "--box", "1", "2", "3", "4", *EVENT), "two areas"),
        ((*POINT,), "when did the ground move?"),
        (("--point", "35.68", "-117.5", *EVENT), "Did you mean --point -117.5 35.68?"),
        ((*POINT, "--event", "6 July 2019"), "--event 6 July 2019 is no date"),
        ((*POINT, "--before", "2019-08-01", "--after", "2019-07-01"), "have to end before those after"),
        ((*POINT, *EVENT, "-e", "earthsearch"), "there is no endpoint 'earthsearch': give one of earth-search"),
        ((*POINT, *EVENT, "-e", "http://me:pw@127.0.0.1/"), "holds a password, token or signature"),
        ((*POINT, *EVENT, "--cloud", "200"), "--cloud is 200"),
        ((*POINT, *EVENT, "-o", "no/such/pair.json"), "does not exist"),
    ],
)
def test_mistakes_are_named_at_the_door(words, message, run):
    code, out, said = run("search", *words)
    assert code in (1, 2)
    assert message in out + said
    assert "Traceback" not in said


def test_the_list_of_catalogues_needs_no_network(run):
    code, table, _ = run("search", "--list")
    assert code == 0
    for word in ("earth-search", "planetary-computer", "copernicus", "usgs", "(B04_10m)", "landsat-c2l1"):
        assert word in table


def test_a_box_across_the_antimeridian_finds_scenes_on_both_sides(served, tmp_path, run):
    def place(west: float) -> list[list[float]]:
        return [[west, -18.0], [west + 0.9, -18.0], [west + 0.9, -15.0], [west, -15.0], [west, -18.0]]

    items = [
        world.item(name, date, place(west), {"red": world.band("http://127.0.0.1:1/x.tif")})
        for name, date, west in (("b", "2019-07-01T00:00:00Z", 179.1), ("a", "2019-07-09T00:00:00Z", -180.0))
    ]
    with world.stac_api(tmp_path, items) as api:
        words = ["--box", "179.5", "-17", "-179.5", "-16", "--event", "2019-07-06", "--collection", "made-up", "--json"]
        _, text, _ = run("search", *words, "-e", api)
    assert json.loads(text)["scenes"] == {"before": {"all": 1, "clear": 1}, "after": {"all": 1, "clear": 1}}


def test_a_pair_is_fetched_checked_and_left_when_it_is_there(run, tmp_path, pixels):
    run("search", *POINT, *EVENT, "-o", "pair.json")
    code, listing, said = run("fetch", "pair.json", "--band", "B04", "-o", "images")
    assert code == 0
    before, after = (Path("images") / name for name in ("B-best_red.tif", "A-best_red.tif"))
    assert [line.split()[0] for line in listing.splitlines()] == [str(before), str(after)]
    assert f"the same pixels: terrashift measure {before} {after} -o displacement.tif" in said
    with rasterio.open(before) as one, rasterio.open(after) as other:
        assert one.transform == other.transform
        column, row = (round(v) for v in ~world.CORNER @ (one.transform.c, one.transform.f))
        place = np.s_[row : row + one.height, column : column + one.width]
        np.testing.assert_array_equal(one.read(1), pixels[0][place])
        np.testing.assert_array_equal(other.read(1), pixels[1][place])
    code, listing, _ = run("fetch", "pair.json", "--band", "red", "-o", "images")
    assert code == 0
    assert listing.count("there already, checksum verified") == 2


def test_check_tells_the_suns_and_the_orbit_of_fetched_files(run, capfd):
    run("search", *POINT, *EVENT, "-o", "pair.json")
    run("fetch", "pair.json", "--band", "red", "-o", "images")
    cli.main(["check", "images/B-best_red.tif", "images/A-best_red.tif"])
    table = " ".join(capfd.readouterr().out.split())
    assert "2019-06-28 to 2019-07-08, 10 days" in table
    assert "the suns stood 1.1 degrees apart" in table
    assert "both from R027" in table


def test_items_are_fetched_by_their_ids(run, served, tmp_path):
    ids = ("B-best", "A-best", "-e", served[0], "--collection", "made-up", "--box", *map(str, world.BOX))
    code, listing, _ = run("fetch", *ids, "--band", "red", "-o", "out", "--json")
    assert code == 0
    records = json.loads(listing)
    assert [record["scene"] for record in records] == ["B-best", "A-best"]
    code, _, said = run("fetch", "nobody", *ids[2:], "--band", "red", "-o", "out")
    assert code == 1
    assert "has no item 'nobody' in made-up" in said
    code, _, said = run("fetch", "B-best", "--band", "red", "-o", "out")
    assert code == 2
    assert "ids of items need --endpoint and --collection and --box" in said
    code, _, said = run("fetch", "--band", "red", "-o", "out")
    assert code == 2
    assert "what? Give the file" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--band", "swir"), "has no band called 'swir'. Pass --band with one of these"),
        (("--band", "red", "--box", "-10", "50", "-9", "51"), "lies outside B-best"),
        (("--band", "red", "--sign", "somebody"), "--sign somebody is no service"),
        (("--band", "red", "-e", "usgs"), "leave it out"),
    ],
)
def test_what_cannot_be_fetched_is_said_at_the_door(words, message, run):
    run("search", *POINT, *EVENT, "-o", "pair.json")
    code, _, said = run("fetch", "pair.json", *words, "-o", "images")
    assert code == 2
    assert message in said
    assert list(Path("images").glob("*")) == []


def test_a_file_that_is_no_pair_is_refused(run, tmp_path):
    (tmp_path / "pair.json").write_text('{"terrashift_pair": 1}')
    code, _, said = run("fetch", "pair.json", "--band", "red", "-o", "images")
    assert code == 2
    assert "is no pair that `terrashift search -o` wrote (endpoint: Field required)" in said


def test_a_token_does_not_go_where_only_the_pairs_file_points(run, served, monkeypatch):
    api, server = served
    run("search", *POINT, *EVENT, "-o", "pair.json")
    monkeypatch.setenv("TERRASHIFT_TOKEN", "open-sesame")
    server.requests.clear()
    run("fetch", "pair.json", "--band", "red", "-o", "one")
    assert {one.authorization for one in server.requests} == {""}
    server.requests.clear()
    run("fetch", "pair.json", "--band", "red", "-o", "two", "-e", api)
    assert {one.authorization for one in server.requests} == {"Bearer open-sesame"}
    assert all(b"sesame" not in path.read_bytes() for folder in ("one", "two") for path in Path(folder).iterdir())


def test_an_open_range_and_a_single_day_are_ranges():
    options = SearchOptions(before="../2019-07-01", after="2019-07-09")
    assert [str(one) for one in intervals_of(options)] == [
        "../2019-07-01T23:59:59Z",
        "2019-07-09T00:00:00Z/2019-07-09T23:59:59Z",
    ]
    east = SearchOptions(event="2019-07-06T03:19:53+02:00", days=1)
    assert str(intervals_of(east)[1]) == "2019-07-06T01:19:54Z/2019-07-07T01:19:53Z"
    with pytest.raises(OptionError, match="ends before it begins"):
        intervals_of(SearchOptions(before="2019-07-02/2019-07-01", after="2019-08-01"))
    with pytest.raises(OptionError, match="leave it out"):
        intervals_of(SearchOptions(event="2019-07-06", before="2019-07-01", after="2019-08-01"))
