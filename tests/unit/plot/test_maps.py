"""A quicklook shows the right colour at the right place, and lengths and directions that can be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import OutputError
from terrashift.plot.maps import LARGEST_PX, _head, _Layout, north_on_screen, quicklook, robust_limit, scale_bar

ORIGIN = Affine.translation(500000, 4000000)
PLAIN = Grid(80, 100, ORIGIN @ Affine.scale(10, -10), "EPSG:32633")


def field_of(east, north, grid, **made_by):
    nothing = torch.full(grid.shape, math.nan)
    reasons = (east.isnan() * 4).to(torch.uint8)
    return DisplacementField(east, north, nothing, nothing, torch.ones(grid.shape), reasons, grid, made_by)


def halves(grid):
    """East: west half negative, east half positive. North: upper half positive, lower half negative."""
    height, width = grid.shape
    east = torch.where(torch.arange(width) < width // 2, -1.0, 1.0).expand(height, width).clone()
    north = torch.where(torch.arange(height)[:, None] < height // 2, 1.0, -1.0).expand(height, width).clone()
    return east, north


def picture(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def colour_at(image, layout, panel, across, down):
    """Colour at a place of a panel, given as shares from its upper left corner."""
    left, bottom, width, height = layout.panel(panel)
    rows, columns = image.shape[:2]
    return image[int((1 - bottom - height * (1 - down)) * rows), int((left + width * across) * columns)]


@pytest.mark.parametrize(
    "grid",
    [PLAIN, Grid(40, 240, PLAIN.transform, PLAIN.crs), Grid(300, 40, PLAIN.transform, PLAIN.crs)],
    ids=["plain", "wide", "tall"],
)
def test_warm_is_east_and_north_and_cold_is_west_and_south(grid, tmp_path):
    east, north = halves(grid)
    east[:, : grid.width // 8] = north[:, : grid.width // 8] = math.nan
    quicklook(field_of(east, north, grid), tmp_path / "map.png")
    image, layout = picture(tmp_path / "map.png"), _Layout.of(grid)
    assert np.allclose(image.shape[:2], [150 * inches for inches in layout.size[::-1]], atol=1)

    def redness(panel, across, down):
        red, _, blue = colour_at(image, layout, panel, across, down)
        return red - blue

    assert redness(0, 0.8, 0.5) > 0.2
    assert redness(0, 0.3, 0.5) < -0.2
    assert redness(1, 0.5, 0.2) > 0.2
    assert redness(1, 0.5, 0.8) < -0.2
    grey = colour_at(image, layout, 0, 0.05, 0.5)
    assert grey.max() - grey.min() < 0.02
    assert 0.5 < grey.mean() < 0.8
    assert image[0, 0].min() == 1


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1), (60, 60)])
def test_fields_without_a_value_or_of_one_row_are_drawn_too(shape, tmp_path):
    grid = Grid(*shape, Affine.identity())
    nothing = torch.full(shape, math.nan)
    quicklook(field_of(nothing, nothing, grid), tmp_path / "nothing.png")
    quicklook(field_of(torch.zeros(shape), torch.zeros(shape), grid), tmp_path / "zero.png")
    assert picture(tmp_path / "nothing.png").std() > 0.01
    assert picture(tmp_path / "nothing.png").shape == picture(tmp_path / "zero.png").shape


def test_a_large_field_is_thinned_out_and_keeps_its_place(tmp_path):
    grid = Grid(200, 2 * LARGEST_PX + 7, PLAIN.transform, PLAIN.crs)
    quicklook(field_of(*halves(grid), grid), tmp_path / "large.png")
    image, layout = picture(tmp_path / "large.png"), _Layout.of(grid)
    red, _, blue = colour_at(image, layout, 0, 0.52, 0.5)
    assert red > blue
    red, _, blue = colour_at(image, layout, 0, 0.48, 0.5)
    assert red < blue


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (PLAIN, (0, 1)),
        (Grid(80, 100, ORIGIN @ Affine.scale(10, 10), "EPSG:32633"), (0, -1)),
        (Grid(80, 100, ORIGIN @ Affine.scale(-10, -10), "EPSG:32633"), (0, 1)),
        (Grid(80, 100, ORIGIN @ Affine.scale(10, -25), "EPSG:32633"), (0, 1)),
        (Grid(80, 100, ORIGIN @ Affine.rotation(30) @ Affine.scale(10, -25), "EPSG:32633"), (0.5, math.sqrt(0.75))),
        (Grid(80, 100, Affine.identity()), (0, 1)),
    ],
    ids=["north up", "south up", "mirrored", "not square", "rotated", "no CRS"],
)
def test_the_arrow_points_to_the_north(grid, expected):
    assert north_on_screen(grid) == pytest.approx(expected, abs=1e-9)


def test_the_scale_bar_has_a_round_length_and_the_right_one():
    bar = scale_bar(Grid(80, 100, ORIGIN @ Affine.scale(30, -10), "EPSG:32633"), 4.0, 1.6)
    assert bar.label == "1 km"
    assert bar.inches == pytest.approx(1000 / (100 * 30 / 4.0))
    degrees = Grid(80, 100, Affine(1e-4, 0, 13, 0, -1e-4, 60.004), "EPSG:4326", geographic=True)
    bar = scale_bar(degrees, 4.0, 2.0)
    assert bar.label == "200 m"
    assert bar.inches == pytest.approx(200 / (100 * 1e-4 * 55800 / 4.0), rel=1e-3)
    assert scale_bar(Grid(80, 100, Affine.identity()), 4.0, 1.6).label == "20 px"


def test_panels_are_true_to_scale_on_pixels_that_are_not_square():
    layout = _Layout.of(Grid(80, 100, ORIGIN @ Affine.scale(10, -20), "EPSG:32633"))
    assert layout.height / layout.width == pytest.approx(80 * 20 / (100 * 10))


def test_both_components_share_a_limit_that_outliers_do_not_set():
    east, north = np.full((100, 100), 0.5), np.full((100, 100), -2.0)
    east[0, 0], north[0, :50] = 900.0, np.nan
    assert robust_limit([east, north]) == 2.0
    assert robust_limit([np.full((2, 2), np.nan)]) == 1.0


def test_the_title_says_dates_method_and_images():
    made_by = {"METHOD": "frequency", "BEFORE": "a.tif", "AFTER": "b.tif"}
    dates = {"BEFORE_DATE": "2016-10-20T10:00:00", "AFTER_DATE": "2016-11-03T10:00:00"}
    assert _head(made_by | dates) == (
        "Ground displacement, 2016-10-20 to 2016-11-03",
        "frequency method: a.tif to b.tif",
    )
    assert _head({}) == ("Ground displacement", "")


def test_a_picture_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    field = field_of(*halves(PLAIN), PLAIN)
    with pytest.raises(OutputError, match=r"map\.png"):
        quicklook(field, tmp_path / "missing" / "map.png")
    quicklook(field, tmp_path / "map.png")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
