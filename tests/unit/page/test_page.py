"""The page: in a real browser a line drawn by the mouse gives the numbers of the Python function."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from exchange_fields import GRIDS

from terrashift.analyse.crossings import crossings
from terrashift.analyse.section import section
from terrashift.cli import main
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.io.exchange.bands import write_bands
from terrashift.io.exchange.formats import write_any
from terrashift.page.html import Extras, page, write_page
from terrashift.page.overview import LONGEST_CELLS, pack, step_of
from terrashift.plot.frame import Frame, thin

pytest.importorskip("bokeh", reason="needs bokeh")

BIG = Grid(90, 130, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
CHROMIUM = os.environ.get("TERRASHIFT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("distance", "x", "y", "east", "north", "sigma_east", "sigma_north", "along", "across", "sigma_along")


def faulted(grid: Grid = BIG, seed: int = 1) -> DisplacementField:
    """Two sides that slid past each other, noise, errors, and a hole."""
    random = torch.Generator().manual_seed(seed)
    side = torch.where(torch.arange(grid.width) < grid.width // 2, 1.0, -1.0)
    noise = 0.3 * torch.randn(4, *grid.shape, generator=random)
    east, north = 0.4 * side + noise[0], 2.5 * side + noise[1]
    sigma_east, sigma_north = 0.2 + noise[2].abs(), 0.4 + noise[3].abs()
    reasons = torch.zeros(grid.shape, dtype=torch.uint8)
    reasons[20:40, 30:50] = 4
    reasons[20:30, 30:40] = 8
    for band in (east, north, sigma_east, sigma_north):
        band[reasons > 0] = math.nan
    score = torch.rand(grid.shape, generator=random)
    made_by = {"METHOD": "frequency", "BEFORE": "a.tif", "AFTER": "b.tif"}
    return DisplacementField(east, north, sigma_east, sigma_north, score, reasons, grid, made_by)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; the tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM:
        pytest.skip("needs Chromium: install it, or set TERRASHIFT_CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        one = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield one
        one.close()


class Open:
    """A page in the browser, and all that went wrong or out."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        self.requests: list[str] = []
        self.mistakes: list[str] = []
        self.tab.on("request", lambda one: self.requests.append(one.url))
        self.tab.on("pageerror", lambda error: self.mistakes.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.mistakes.append("dialog"), dialog.dismiss()))
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("body.ready", timeout=60_000)

    def on_screen(self, map_number: int, x: float, y: float) -> tuple[float, float]:
        """Where a place on the axes of a map is on the screen, by Bokeh's own scales."""
        script = """([k, x, y]) => {
            const figure = document.querySelectorAll(".maps .bk-Figure")[k];
            const id = Bokeh.documents[0].roots()[k].id, view = Bokeh.index.find_one_by_id(id);
            const box = view.canvas.el.getBoundingClientRect(), frame = view.frame;
            return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)];
        }"""
        return tuple(self.tab.evaluate(script, [map_number, x, y]))

    def drag(self, map_number: int, begin: np.ndarray, end: np.ndarray) -> None:
        """Draw a line with the mouse."""
        (x0, y0), (x1, y1) = (self.on_screen(map_number, *place) for place in (begin, end))
        mouse = self.tab.mouse
        mouse.move(x0, y0)
        mouse.down()
        mouse.move((x0 + x1) / 2, (y0 + y1) / 2 + 9, steps=4)
        mouse.move(x1, y1, steps=4)
        mouse.up()
        self.tab.wait_for_timeout(150)

    def profile(self) -> dict[str, np.ndarray]:
        found = json.loads(
            self.tab.evaluate("JSON.stringify(terrashift.state.profile, (_, v) => Number.isNaN(v) ? null : v)")
        )
        return {name: np.array([math.nan if v is None else v for v in values]) for name, values in found.items()}


TRACE = np.array([[500_650.0, 3_999_100], [500_650, 4_000_000]])


def shown_field() -> DisplacementField:
    """What the shared page shows: two sides, a hole, and one cell that nobody can mistake."""
    field = faulted()
    field.east[33, 77] = 12.34
    return field


@pytest.fixture(scope="module")
def shown(browser, tmp_path_factory) -> Open:
    """One page for several tests: opening it takes longest."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    field = shown_field()
    write_page(field, path, Extras("slip.tif", [TRACE], crossings(field, [TRACE])))
    return Open(browser, path)


def same(found: dict[str, np.ndarray], field: DisplacementField, loose: float) -> None:
    ends = np.stack([np.array([found["x"][k], found["y"][k]]) for k in (0, -1)])
    expected = section(field, ends)._asdict()
    for name in NAMES:
        assert found[name] == pytest.approx(expected[name], rel=1e-6, abs=loose, nan_ok=True), name


def test_a_line_drawn_by_the_mouse_gives_the_numbers_of_the_python_function(shown):
    field = shown_field()
    frame = Frame.of(BIG)
    cells = np.array([[10.0, 45.0], [110.0, 15.0]])
    for map_number in (0, 3):
        shown.drag(map_number, *frame.place(cells))
        found = shown.profile()
        # the mouse hits a place to a pixel of the screen, a third of a cell
        ends = np.array([[found["x"][k], found["y"][k]] for k in (0, -1)])
        expected = np.array([BIG.transform @ tuple(cell) for cell in cells])
        assert np.abs(ends - expected).max() < 8
        same(found, field, step_of(BIG))
        assert np.isnan(found["east"]).sum() > 5
        assert np.nanmax(found["sigma_north"]) > 0.4
        cells = cells[::-1]
    assert shown.tab.evaluate("Bokeh.documents[0].roots().length") == 9
    assert shown.mistakes == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("place", ["south-up", "rotated", "degrees", "no CRS"])
def test_sections_are_the_same_on_every_grid(place, browser, tmp_path):
    grid = replace(GRIDS[place], height=40, width=60)
    field = faulted(grid)
    write_page(field, tmp_path / "page.html")
    shown = Open(browser, tmp_path / "page.html")
    (x0, y0), (x1, y1) = Frame.of(grid).place(np.array([[4.0, 33.0], [50.0, 11.0]]))
    shown.tab.evaluate("([xs, ys]) => terrashift.profile(xs, ys)", [[x0, x1], [y0, y1]])
    found = shown.profile()
    assert [found["x"][0], found["y"][0]] == pytest.approx(list(grid.transform @ (4, 33)))
    same(found, field, step_of(grid))
    assert shown.mistakes == []


def test_the_map_shows_the_right_colour_at_the_right_place(shown):
    from io import BytesIO

    from matplotlib.image import imread

    shown.tab.wait_for_timeout(300)
    image = imread(BytesIO(shown.tab.screenshot(full_page=True)))
    frame = Frame.of(BIG)

    def colour(cell):
        x, y = shown.on_screen(1, *frame.place(np.array(cell, float)))
        return image[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4, :3].mean((0, 1))

    west, east, hole = colour([20, 70]), colour([110, 20]), colour([44, 23])
    assert west[0] - west[2] > 0.2  # north: warm
    assert east[2] - east[0] > 0.2
    assert np.ptp(hole) < 0.05


def test_pointing_tells_the_values_of_the_cell(shown):
    field = shown_field()
    shown.tab.mouse.move(*shown.on_screen(0, *Frame.of(BIG).place(np.array([77.5, 33.5]))))
    text = shown.tab.locator("#readout").inner_text()
    assert "east 12.34" in text
    assert f"north {float(field.north[33, 77]):.2f}" in text
    x, y = BIG.transform @ (77.5, 33.5)
    assert f"x {x:.1f}" in text
    assert f"y {y:.1f}" in text
    shown.tab.mouse.move(*shown.on_screen(0, *Frame.of(BIG).place(np.array([35.5, 25.5]))))
    assert "no texture to match" in shown.tab.locator("#readout").inner_text()


def test_text_from_a_file_stays_text(browser, tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    field = faulted()
    field.made_by.update(METHOD=evil, BEFORE=evil, AFTER=evil, OTHER={"a": [evil]})
    write_page(field, tmp_path / "page.html", Extras(evil, notes=[evil]))
    text = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    shown = Open(browser, tmp_path / "page.html")
    assert shown.mistakes == []
    assert shown.tab.locator("h1").inner_text() == evil
    assert shown.tab.locator("img[src=x]").count() == 0


def test_slip_and_profile_are_saved_as_tables(shown):
    slip = crossings(shown_field(), [TRACE])
    rows = {}
    for name in ("slip", "profile"):
        with shown.tab.expect_download() as download:
            shown.tab.click(f"#save-{name}")
        rows[name] = Path(download.value.path()).read_text().splitlines()
    assert rows["slip"][0] == "distance,parallel,perpendicular,sigma"
    first = [float(v) for v in rows["slip"][1].split(",")]
    assert first == pytest.approx([slip[0].distance, slip[0].parallel, slip[0].perpendicular, slip[0].sigma])
    assert first[1] == pytest.approx(5, abs=0.5)
    assert rows["profile"][0].startswith("distance,x,y,east,north")
    assert shown.mistakes == []


def test_pictures_stand_in_for_the_figures_on_paper(shown):
    shown.tab.evaluate("terrashift.still()")
    shown.tab.emulate_media(media="print")
    shown.tab.wait_for_timeout(100)
    sizes = shown.tab.evaluate("[...document.querySelectorAll('.still')].map(i => [i.naturalWidth, i.offsetWidth])")
    assert len(sizes) == 9
    assert min(min(size) for size in sizes) > 200
    assert not shown.tab.locator("#save-profile").is_visible()
    shown.tab.emulate_media(media="screen")


def test_a_large_field_is_thinned_out_where_it_was_measured():
    grid = Grid(30, 3 * LONGEST_CELLS + 5, BIG.transform, BIG.crs)
    field = faulted(grid)
    small = thin(field, LONGEST_CELLS)
    assert small.grid.shape == (7, (3 * LONGEST_CELLS + 5) // 4)
    assert float(small.east[3, 100]) == pytest.approx(float(field.east[14, 402]), nan_ok=True)
    assert small.grid == grid.every(4)
    assert thin(faulted(), LONGEST_CELLS).east.shape == BIG.shape


def test_packed_numbers_keep_their_step_and_their_gaps():
    import base64
    import zlib

    values = torch.tensor([[0.1234, -3.2], [math.nan, 30.0]])
    for largest, kind in ((30.0, "int16"), (300.0, "int32")):
        values[1, 1] = largest
        packed = pack(values, 0.001)
        assert packed["kind"] == kind
        raw = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<i2" if kind == "int16" else "<i4")
        assert raw.tolist() == [123, -3200, packed["missing"], round(largest * 1000)]


@pytest.mark.parametrize("place", GRIDS)
def test_the_axes_lead_to_cells_and_back(place):
    grid = GRIDS[place]
    frame = Frame.of(grid)
    left, right, bottom, top = frame.extent(grid)
    assert left < right
    assert bottom < top
    across, down = grid.pixel_size
    assert frame.ratio == pytest.approx(grid.height * down / (grid.width * across))
    if place == "utm":
        assert (left, top) == pytest.approx((500, 4000))


def test_a_field_without_values_or_errors_still_makes_a_page():
    nothing = torch.full(BIG.shape, math.nan)
    empty = replace(faulted(), east=nothing, north=nothing, sigma_east=nothing, sigma_north=nothing)
    text = page(empty, Extras("empty.tif"))
    assert "No cell has a value" in text
    assert "Stated error" not in text
    with pytest.raises(InputError, match="no cells"):
        page(without_cells(), Extras())


def without_cells() -> DisplacementField:
    band = torch.zeros(0, 5)
    return DisplacementField(band, band, band, band, band, band.to(torch.uint8), Grid(0, 5, BIG.transform, BIG.crs))


def test_report_reads_any_format_a_trace_and_a_mask(tmp_path, capsys):
    field = faulted()
    write_any(field, tmp_path / "c.tif", "cosicorr")
    line = [[500_650, 3_999_100], [500_650, 4_000_000]]
    data = {"type": "LineString", "coordinates": line, "crs": {"type": "name", "properties": {"name": "EPSG:32631"}}}
    (tmp_path / "trace.json").write_text(json.dumps(data))
    mask = np.zeros(BIG.shape, np.uint8)
    mask[60:] = 1
    stable = str(tmp_path / "mask.tif")
    write_bands(Path(stable), mask[None], BIG)
    words = ["report", str(tmp_path / "c.tif"), "-o", str(tmp_path / "r.html"), "--trace", str(tmp_path / "trace.json")]
    assert main([*words, "--stable", stable]) == 0
    assert "r.html" in capsys.readouterr().out
    text = (tmp_path / "r.html").read_text()
    assert "Slip along the trace" in text
    assert "cells of the mask" in text
    assert main(words) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--stable", str(tmp_path / "c.tif")]) != 0


def test_a_mask_on_another_grid_is_refused(tmp_path, capsys):
    write_any(faulted(), tmp_path / "c.tif", "cosicorr")
    other = str(tmp_path / "other.tif")
    write_bands(Path(other), np.ones((1, 5, 5), np.uint8), replace(BIG, height=5, width=5))
    assert main(["report", str(tmp_path / "c.tif"), "-o", str(tmp_path / "r.html"), "--stable", other]) == 2
    assert "on the field's own grid" in capsys.readouterr().err
