"""Two rasters on one lattice, or the reason why they are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.source import cut
from terrashift.errors import GridMismatchError, InputError
from terrashift.io.raster import ReadOptions, open_pair

T = Affine(10, 0, 500_000, 0, -10, 4_000_000)


def moved(x: float, y: float, transform: Affine = T) -> Affine:
    return transform @ Affine.translation(x, y)


def refused(before: str, after: str, register: bool = True, **options: object) -> str:
    with pytest.raises(GridMismatchError) as caught:
        open_pair(before, after, ReadOptions(**options))
    assert (f"terrashift register {after} {before} -o aligned.tif" in str(caught.value)) is register
    return str(caught.value).replace(str(Path(before).parent) + "/", "")


def test_one_grid_is_read_pixel_on_pixel(raster, ramp):
    pair = open_pair(raster("a.tif", ramp), raster("b.tif", ramp * 2))
    before, after = pair.read(1, 2, 3, 4)
    assert pair.grid == pair.before.grid == pair.after.grid
    assert pair.overlap_share == 1
    assert torch.equal(before * 2, after)
    assert before[0, 0] == ramp[1, 2]


def test_a_shift_moves_the_window_in_after_only(raster, ramp):
    pair = open_pair(raster("a.tif", ramp), raster("b.tif", ramp))
    before, after = pair.read(1, 2, 3, 4, (2, -1))
    assert before[0, 0] == ramp[1, 2]
    assert after[0, 0] == ramp[0, 4]


@pytest.mark.parametrize(
    "transform",
    [T, Affine(10, 0, 5, 0, 10, 7), Affine.rotation(30) @ Affine.scale(10, -20), Affine(3e-4, 0, 5, 0, -1e-4, 45)],
    ids=["north-up", "south-up", "rotated", "fine"],
)
@pytest.mark.parametrize("offset", [(2, 3), (-2, 3), (2, -3), (-2, -3)])
def test_a_whole_pixel_offset_measures_what_both_show(raster, ramp, transform, offset):
    x, y = offset
    big = torch.arange(1.0, 401).reshape(20, 20)
    pixels = [cut(big, 6 + row, 6 + column, 7, 9).numpy().astype(np.uint16) for row, column in ((0, 0), (y, x))]
    before = raster("a.tif", pixels[0], transform=transform)
    pair = open_pair(before, raster("b.tif", pixels[1], transform=moved(x, y, transform)))
    assert pair.grid.shape == (7 - abs(y), 9 - abs(x))
    assert pair.overlap_share == pytest.approx(pair.grid.height * pair.grid.width / 63)
    expected = moved(max(x, 0), max(y, 0), transform)
    assert pair.grid.transform.almost_equals(expected, 1e-6)
    one, two = pair.read(0, 0, *pair.grid.shape)
    assert torch.equal(one, two)
    assert not one.isnan().any()
    one, two = pair.read(0, 0, *pair.grid.shape, (1, 0))
    assert torch.equal(one[:, 1:], two[:, :-1])


def test_the_same_file_twice_is_allowed(raster, ramp):
    path = raster("a.tif", ramp)
    before, after = open_pair(path, path).read(0, 0, 7, 9)
    assert torch.equal(before, after)


def test_options_of_after_are_its_own_where_given(raster, ramp):
    stack = np.stack([ramp, ramp + 1])
    path = raster("a.tif", stack)
    same = open_pair(path, path, ReadOptions(band="2"))
    assert (same.before.band, same.after.band) == (2, 2)
    other = open_pair(path, path, ReadOptions(band="2"), ReadOptions(band="1"))
    assert (other.before.band, other.after.band) == (2, 1)


def test_two_crs_are_named(raster, ramp):
    text = refused(raster("a.tif", ramp), raster("b.tif", ramp, crs="EPSG:32632"))
    assert text.startswith("a.tif is in EPSG:32631, b.tif in EPSG:32632")


def test_two_spellings_of_one_crs_are_one(raster, ramp):
    wkt = "+proj=tmerc +lon_0=3.7 +datum=WGS84 +units=m"
    assert open_pair(raster("a.tif", ramp, crs=wkt), raster("b.img", ramp, crs=wkt, driver="ENVI")).overlap_share == 1


def test_a_crs_that_one_file_lacks_can_be_given(raster, ramp):
    before, after = raster("a.tif", ramp), raster("b.tif", ramp, crs=None)
    assert refused(before, after).startswith("b.tif has no CRS")
    assert "--crs EPSG:32631" in refused(before, after)
    assert refused(after, before).startswith("b.tif has no CRS")
    assert open_pair(before, after, ReadOptions(crs="EPSG:32631")).grid.crs == "EPSG:32631"


def test_other_pixel_sizes_are_named(raster, ramp):
    text = refused(raster("a.tif", ramp), raster("b.tif", ramp, transform=T @ Affine.scale(1.5, 1)))
    assert text.startswith("pixel sizes differ: a.tif has 10 x 10 m, b.tif 15 x 10")


@pytest.mark.parametrize("turn", [Affine.rotation(5), Affine.scale(1, -1)], ids=["turned", "mirrored"])
def test_turned_and_mirrored_grids_are_refused(raster, ramp, turn):
    text = refused(raster("a.tif", ramp), raster("b.tif", ramp, transform=T @ turn))
    assert text.startswith("the grids are turned or mirrored against each other")
    assert "(10, 0, 0, -10)" in text


def test_a_fraction_of_a_pixel_is_refused_with_its_size(raster, ramp):
    text = refused(raster("a.tif", ramp), raster("b.tif", ramp, transform=moved(2.3, -0.25)))
    assert "by a fraction: +0.300 px in x and -0.250 px in y" in text
    assert open_pair(raster("c.tif", ramp), raster("d.tif", ramp, transform=moved(1.009, 0))).grid.width == 8
    assert "+0.011 px" in refused(raster("e.tif", ramp), raster("f.tif", ramp, transform=moved(1.011, 0)))


def test_a_pixel_size_that_adds_up_is_refused(raster):
    pixels = np.ones((7, 900), np.uint8)
    fine = raster("b.tif", pixels, transform=T @ Affine.scale(1 + 0.5e-5, 1))
    assert open_pair(raster("a.tif", pixels), fine).overlap_share == 1
    coarse = raster("c.tif", pixels, transform=T @ Affine.scale(1 + 2e-5, 1))
    assert "pixel sizes differ" in refused(raster("a.tif", pixels), coarse)


def test_images_of_two_places_are_refused_with_their_extents(raster, ramp):
    text = refused(raster("a.tif", ramp), raster("b.tif", ramp, transform=moved(9, 0)), register=False)
    assert "a.tif covers x 500000 to 500090, y 3999930 to 4000000; b.tif covers x 500090 to 500180" in text


def test_images_without_georeferencing_need_one_shape(raster, ramp):
    plain = {"crs": None, "transform": None}
    before, after = raster("a.tif", ramp, **plain), raster("b.tif", ramp, **plain)
    assert open_pair(before, after).grid.unit == "px"
    text = refused(before, raster("c.tif", ramp[:6], **plain))
    assert text.startswith("a.tif is 7 x 9 px, c.tif is 6 x 9 px, and neither is georeferenced")


def test_a_missing_file_is_named(raster, ramp):
    with pytest.raises(InputError, match=r"none\.tif does not exist"):
        open_pair(raster("a.tif", ramp), "none.tif")


IMAGERY = Path(os.environ.get("TERRASHIFT_IMAGERY", Path(__file__).parents[4] / "shared" / "imagery"))


@pytest.mark.imagery
@pytest.mark.skipif(not IMAGERY.is_dir(), reason="set TERRASHIFT_IMAGERY to the folder of real imagery")
def test_real_pairs_open_and_other_zones_are_refused():
    folder = IMAGERY / "train"
    paris = [str(folder / "paris" / f"paris_date{n}.tif") for n in (1, 2)]
    with pytest.raises(InputError, match=r"has 3 bands(.|\n)*1: red, gray\n  2: nir\n  3: original"):
        open_pair(*paris)
    pair = open_pair(*paris, ReadOptions(band="nir"))
    assert pair.grid.crs == "EPSG:32631"
    assert all(window.isfinite().all() for window in pair.read(100, 100, 50, 50))
    zones = [str(folder / "hongkong" / f"hongkong_date{n}.tif") for n in (1, 2)]
    with pytest.raises(GridMismatchError, match=r"is in EPSG:326\d\d.*in EPSG:326\d\d"):
        open_pair(*zones, ReadOptions(band="red"))
