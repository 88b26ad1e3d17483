"""Figures for publications: right colours at right places, true lengths, and profiles that are the section's."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from exchange_fields import GRIDS, UTM, moved

from terrashift.cli import main
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import InputError, OptionError, OutputError
from terrashift.io.backdrop import read_backdrop
from terrashift.io.exchange.bands import write_bands
from terrashift.io.exchange.formats import write_any
from terrashift.plot.plan import Plan, Wanted
from terrashift.plot.publication import Overlay, PlotOptions, draw_figure, relief

MAP = Grid(60, 80, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
SMALL = PlotOptions(dpi=80)


def halves(grid=MAP):
    """East: west half to the west, east half to the east. North: upper half up, lower half down, as the image lies."""
    height, width = grid.shape
    east = torch.where(torch.arange(width) < width // 2, -1.0, 1.0).expand(grid.shape).clone()
    north = torch.where(torch.arange(height)[:, None] < height // 2, 1.0, -1.0).expand(grid.shape).clone()
    sigma = torch.full(grid.shape, 0.25)
    none = torch.zeros(grid.shape, dtype=torch.uint8)
    return DisplacementField(east, north, sigma, sigma, torch.ones(grid.shape), none, grid, {})


def picture(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def redness(image, plan, k, across, down):
    """At a place of a map, given as shares from its upper left corner."""
    left, bottom, width, height = plan.map(k)
    rows, columns = image.shape[:2]
    red, _, blue = image[int((1 - bottom - height * (1 - down)) * rows), int((left + width * across) * columns)]
    return red - blue


@pytest.mark.parametrize("place", ["north up", "south up", "no CRS", "rotated"])
def test_warm_is_east_and_north_where_it_was_measured(place, tmp_path):
    turned = Affine.translation(5e5, 4e6) @ Affine.rotation(20) @ Affine.scale(10, -10)
    grid = {
        "north up": MAP,
        "south up": replace(MAP, transform=Affine(10, 0, 500_000, 0, 10, 4_000_000)),
        "no CRS": Grid(60, 80, Affine.identity()),
        "rotated": replace(MAP, transform=turned),
    }[place]
    field = halves(grid)
    field.east[:, :8] = field.north[:, :8] = math.nan
    draw_figure(field, tmp_path / "map.png", SMALL)
    image, plan = picture(tmp_path / "map.png"), Plan.of(grid, Wanted(17, 2, 0, False))
    assert np.allclose(image.shape[:2], [80 * inches for inches in plan.size[::-1]], atol=1)
    assert redness(image, plan, 0, 0.8, 0.4) > 0.2
    assert redness(image, plan, 0, 0.3, 0.4) < -0.2
    first_row_up = 0.2 if place != "south up" else 0.6
    assert redness(image, plan, 1, 0.4, first_row_up) > 0.2
    assert redness(image, plan, 1, 0.4, 0.8 - first_row_up) < -0.2
    assert abs(redness(image, plan, 1, 0.05, 0.5)) < 0.02


def test_maps_are_true_to_scale_and_stacked_where_they_are_wide():
    plan = Plan.of(MAP, Wanted(17, 2, 1, True))
    assert plan.height / plan.width == pytest.approx(60 / 80)
    assert plan.size[0] == pytest.approx(17 / 2.54)
    tall = Plan.of(replace(MAP, height=300), Wanted(17, 2, 0, False))
    assert tall.height == pytest.approx(11 / 2.54)
    assert tall.height / tall.width == pytest.approx(300 / 80)
    wide = Plan.of(replace(MAP, height=20), Wanted(17, 3, 0, False))
    assert (wide.across, wide.rows) == (1, 3)
    boxes = [wide.map(k) for k in range(3)]
    assert all(above[1] > below[1] + below[3] for above, below in pairwise(boxes))
    corners = [value for k in range(3) for value in (*wide.map(k), *wide.bar(k))]
    assert min(corners) >= 0
    assert max(corners) <= 1


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_figure_holds_everything_that_was_asked_for(kind, tmp_path):
    overlay = Overlay(
        np.random.default_rng(0).random((60, 80)),
        [np.array([[500_400.0, 3_999_400], [500_400, 4_000_000]])],
        [np.array([[500_050.0, 3_999_500], [500_750, 3_999_700]])],
    )
    options = PlotOptions(bands=("east", "north", "magnitude", "sigma", "score"), vectors=True, title="Here", dpi=60)
    file = tmp_path / f"figure.{kind}"
    draw_figure(halves(), file, options, overlay)
    first = file.read_bytes()
    assert len(first) > 5000
    draw_figure(halves(), file, options, overlay)
    assert file.read_bytes() == first
    if kind == "svg":
        text = first.decode()
        for word in ("(e) Score", "Stated error", "easting (km)", "200 m", "A–A′", "Here", "distance (m)"):
            assert word in text, word


@pytest.mark.parametrize("place", GRIDS)
def test_every_grid_can_be_drawn(place, tmp_path):
    field = moved(GRIDS[place])
    line = np.array([GRIDS[place].transform @ p for p in ((1, 1), (15, 9))])
    draw_figure(field, tmp_path / "a.png", PlotOptions(vectors=True, dpi=60), Overlay(profiles=[line]))
    assert picture(tmp_path / "a.png").std() > 0.05
    nothing = torch.full(field.grid.shape, math.nan)
    draw_figure(replace(field, east=nothing, north=nothing), tmp_path / "b.png", PlotOptions(vectors=True, dpi=60))


def test_the_profile_below_is_the_section(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    seen = {}
    plot = Axes.plot

    def remember(self, x, y, *more, **about):
        if "label" in about:
            seen[about["label"]] = np.asarray(x), np.asarray(y)
        return plot(self, x, y, *more, **about)

    monkeypatch.setattr(Axes, "plot", remember)
    line = np.array([[500_050.0, 3_999_755], [500_750, 3_999_755]])
    draw_figure(halves(), tmp_path / "a.png", SMALL, Overlay(profiles=[line]))
    x, east = seen["east"]
    assert (x[0], x[-1]) == pytest.approx((0, 700))
    assert (east[5], east[-5]) == pytest.approx((-1, 1))
    along = PlotOptions(components="line", dpi=60)
    draw_figure(halves(), tmp_path / "a.png", along, Overlay(profiles=[line[::-1]]))
    assert seen["along A–A′".replace("–", "")][1][5] == pytest.approx(-1)  # westward, over ground that moved east


def test_slopes_toward_the_north_west_are_lit():
    rows, columns = np.mgrid[:30, :40].astype(float)
    up_to_south_east = 10 * (rows + columns) * 0.5  # the ground rises away from the light, so it faces it
    assert relief(up_to_south_east, replace(MAP, height=30, width=40))[10, 10] > 0.9
    assert relief(-up_to_south_east, replace(MAP, height=30, width=40))[10, 10] < 0.4
    south_up = replace(MAP, height=30, width=40, transform=Affine(10, 0, 500_000, 0, 10, 4_000_000))
    assert relief(10 * (columns - rows) * 0.5, south_up)[10, 10] > 0.9
    flat = relief(np.zeros((30, 40)), MAP)
    assert flat == pytest.approx(np.full((30, 40), math.sqrt(0.5)))
    gap = np.zeros((30, 40))
    gap[5, 5] = np.nan
    assert np.isnan(relief(gap, MAP)).any()
    assert np.isfinite(relief(gap, MAP)[20:]).all()


def quarter(folder: Path, grid: Grid) -> Path:
    """An image whose north-western quarter is bright, as it lies on the ground."""
    values = np.full(grid.shape, 10, np.float32)
    rows = slice(None, grid.height // 2) if grid.transform.e < 0 else slice(grid.height // 2, None)
    values[rows, : grid.width // 2] = 200
    write_bands(folder / "image.tif", values[None], grid)
    return folder / "image.tif"


@pytest.mark.parametrize("field_up", [False, True], ids=["north first", "south first"])
@pytest.mark.parametrize("image_up", [False, True], ids=["image north first", "image south first"])
def test_a_backdrop_lies_where_it_is_on_the_ground(field_up, image_up, tmp_path):
    image = Grid(90, 120, Affine(20 / 3, 0, 500_000, 0, -20 / 3, 4_000_000), MAP.crs)
    if image_up:
        image = replace(image, transform=Affine(20 / 3, 0, 500_000, 0, 20 / 3, 3_999_400))
    grid = replace(MAP, transform=Affine(10, 0, 500_000, 0, 10, 3_999_400)) if field_up else MAP
    found = read_backdrop(quarter(tmp_path, image), grid)
    assert found.shape == (90, 120)
    corner = found[80, 10] if field_up else found[10, 10]
    other = found[10, 10] if field_up else found[80, 10]
    assert (corner, other, found[10, 110]) == pytest.approx((200, 10, 10))


def test_a_backdrop_in_another_crs_is_warped_and_one_elsewhere_refused(tmp_path):
    degrees = Grid(100, 100, Affine(2e-4, 0, 2.995, 0, -2e-4, 36.155), "EPSG:4326", geographic=True)
    found = read_backdrop(quarter(tmp_path, degrees), MAP)
    assert found.shape == (60, 80)
    assert np.isfinite(found).all()
    far = replace(MAP, transform=Affine(10, 0, 600_000, 0, -10, 4_000_000))
    with pytest.raises(InputError, match="shows none of the area"):
        read_backdrop(quarter(tmp_path, far), MAP)
    plain = Grid(60, 80, Affine.identity())
    assert read_backdrop(quarter(tmp_path, replace(plain, height=120, width=160)), plain).shape == (120, 160)
    with pytest.raises(InputError, match="whole number"):
        read_backdrop(quarter(tmp_path, MAP), plain)


def test_mistakes_are_named_and_nothing_is_left(tmp_path):
    field = halves()
    with pytest.raises(OptionError, match=r"figure\.png"):
        draw_figure(field, tmp_path / "figure.jpg")
    nothing = torch.full(MAP.shape, math.nan)
    with pytest.raises(OptionError, match="no errors"):
        draw_figure(replace(field, sigma_east=nothing), tmp_path / "a.png", PlotOptions(bands=("sigma",)))
    with pytest.raises(OutputError):
        draw_figure(field, tmp_path / "missing" / "a.png", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_plot_draws_other_programs_results(tmp_path, capsys):
    write_any(halves(), tmp_path / "c.tif", "cosicorr")
    image = quarter(tmp_path, MAP)
    words = ["plot", str(tmp_path / "c.tif"), "-o", str(tmp_path / "f.png"), "--dpi", "60"]
    line = ["--line", "500050", "3999500", "500750", "3999700"]
    assert main([*words, *line, "--background", str(image), "--vectors", "--bands", "east", "magnitude"]) == 0
    assert capsys.readouterr().out.strip().endswith("f.png")
    assert main(words) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--hillshade"]) == 2
    assert "--background" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--opacity", "3"]) == 2
    assert UTM.crs == MAP.crs
