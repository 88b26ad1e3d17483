"""Folders of rasters become places and dates, cut to whole rectangles, with their offsets and what is known of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from terrashift.errors import InputError, OptionError
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate import packing
from terrashift.simulate.archive import Archive
from terrashift.simulate.packing import UNKNOWN, About, PackOptions, largest_rectangle, pack, read_about

SHAPE = (150, 170)
RECIPES = Path(__file__).parents[3] / "recipes" / "train"


def ground(seed: int = 0, shape: tuple[int, int] = SHAPE, xy: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Texture about 1000; what lies at p is seen at p + xy."""
    random = np.random.default_rng(seed)
    height, width = 256, 320
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    spectrum = (
        np.fft.rfft2(random.normal(size=(height, width))) * np.exp(-((frequency / 0.25) ** 2)) / (frequency + 0.02)
    )
    image = np.fft.irfft2(spectrum, s=(height, width))
    image = fourier_shift(torch.from_numpy(image), xy).numpy()
    return (1000 + 100 * image / image.std())[: shape[0], : shape[1]].astype(np.float32)


def write(path: Path, *bands: np.ndarray, names: tuple[str, ...] = (), **profile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = bands[0].shape
    where = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 4_000_000), "dtype": "float32", **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=len(bands), **where) as file:
            for number, band in enumerate(bands, 1):
                file.write(band.astype(where["dtype"]), number)
                if names:
                    file.set_band_description(number, names[number - 1])


def packed(folder: Path, **options) -> tuple[Archive, list[str]]:
    told: list[str] = []
    pack(folder, folder / "made.tsi", PackOptions(**options), told.append)
    return Archive.load(folder / "made.tsi"), told


def test_dates_of_a_place_become_one_view_a_band_with_the_sign_of_their_offset(tmp_path):
    xy = (0.6, -0.35)
    first, second = ([ground(seed, xy=shift) for seed in (1, 2)] for shift in ((0.0, 0.0), xy))
    write(tmp_path / "pisa" / "pisa_2016-03-04.tif", *first, names=("red", "nir"))
    write(tmp_path / "pisa" / "pisa_2018-05-06.tif", *second, names=("red", "nir"))
    archive, _ = packed(tmp_path, split="validation")
    assert [view.name for view in archive.views] == ["pisa/pisa red", "pisa/pisa nir"]
    for view in archive.views:
        assert (view.place, view.split, view.pixel_m) == ("pisa", "validation", 10.0)
        assert view.dates == ("2016-03-04", "2018-05-06")
        assert view.shifts[0] == (0.0, 0.0)
        assert view.shifts[1] == pytest.approx(xy, abs=0.02)
        assert (view.height, view.width) == SHAPE
    for view, images, truth in zip(archive.views, archive.pixels, zip(first, second, strict=True), strict=True):
        assert len(images) == len(view.dates)
        for image, pixels in zip(images, truth, strict=True):
            assert np.abs(image.values() - pixels).std() < 10  # of a deviation of 100


def test_files_beside_each_other_are_places_by_their_names_wherever_the_date_stands(tmp_path):
    for name in ("T33UUU_20160529T101031_B04", "T33UUU_20160608T101026_B04", "oslo_date1", "oslo_date2", "rome"):
        write(tmp_path / f"{name}.tif", ground(len(name)))
    archive, _ = packed(tmp_path)
    assert {view.place: view.dates for view in archive.views} == {
        "T33UUU_B04": ("2016-05-29", "2016-06-08"),
        "oslo": ("date1", "date2"),
        "rome": ("rome",),
    }


def test_unlike_files_in_one_folder_are_places_of_their_own_and_views_are_called_as_ever(tmp_path):
    for name in ("etna_20180101", "etna_20190101", "oslo_20180101"):
        write(tmp_path / "mixed" / f"{name}.tif", ground(len(name) * (name[0] == "e")))
    write(tmp_path / "alps" / "alps_20180101.tif", ground(5))
    archive, _ = packed(tmp_path)
    assert {view.name: (view.place, len(view.dates)) for view in archive.views} == {
        "alps/alps 1": ("alps", 1),
        "mixed/etna 1": ("mixed/etna", 2),
        "mixed/oslo 1": ("mixed/oslo", 1),
    }


def test_folders_below_folders_are_places_of_their_own(tmp_path):
    write(tmp_path / "north" / "site" / "a.tif", ground(1))
    write(tmp_path / "south" / "site" / "a.tif", ground(2))
    archive, _ = packed(tmp_path)
    assert [view.place for view in archive.views] == ["north/site", "south/site"]
    assert [len(view.dates) for view in archive.views] == [1, 1]


def test_grids_that_differ_by_a_few_pixels_are_one_place_and_the_difference_is_offset(tmp_path):
    write(tmp_path / "a" / "a_date1.tif", ground(1))
    later = Affine(10, 0, 500_000 + 20, 0, -10, 4_000_000 - 10)  # begins two columns and one row further
    write(tmp_path / "a" / "a_date2.tif", ground(1)[1:, 2:], transform=later)
    archive, _ = packed(tmp_path)
    (view,) = archive.views
    assert (view.height, view.width) == (SHAPE[0] - 1, SHAPE[1] - 2)
    assert view.shifts[1] == pytest.approx((-2.0, -1.0), abs=0.02)


@pytest.mark.parametrize(
    "other",
    [
        {"crs": "EPSG:32634"},
        {"transform": Affine(20, 0, 500_000, 0, -20, 4_000_000)},
        {"transform": Affine(10, 0, 500_200, 0, -10, 4_000_000)},
    ],
)
def test_another_crs_pixel_or_place_is_kept_apart(tmp_path, other):
    write(tmp_path / "a" / "a_date1.tif", ground(1))
    write(tmp_path / "a" / "a_date2.tif", ground(1), **other)
    archive, _ = packed(tmp_path)
    assert [(view.name, view.place, view.dates) for view in archive.views] == [
        ("a/a 1", "a", ("date1",)),
        ("a/a#1 1", "a", ("date2",)),
    ]


def test_dates_that_do_not_match_or_lie_far_apart_are_kept_by_themselves_and_told(tmp_path):
    write(tmp_path / "a" / "a_date1.tif", ground(1))
    write(tmp_path / "a" / "a_date2.tif", ground(9))
    write(tmp_path / "a" / "a_date3.tif", ground(1, xy=(3.6, 0.0)))
    write(tmp_path / "a" / "a_date4.tif", ground(1, xy=(2.5, 0.0)))
    archive, told = packed(tmp_path)
    assert [view.dates for view in archive.views] == [("date2",), ("date3",), ("date1", "date4")]
    assert archive.views[2].shifts[1] == pytest.approx((2.5, 0), abs=0.02)
    assert any("a/a 1 date2 kept by itself" in line for line in told)
    assert any("date3" in line and "(3.60, 0.00) px away" in line for line in told)


def test_gaps_are_cut_to_the_largest_whole_rectangle_of_all_dates(tmp_path):
    first, second = ground(1), ground(1)
    first[:8] = np.nan
    second[:, -12:] = 0
    write(tmp_path / "a" / "a_date1.tif", first)
    write(tmp_path / "a" / "a_date2.tif", second)
    archive, _ = packed(tmp_path)
    (view,) = archive.views
    assert (view.height, view.width) == (SHAPE[0] - 8, SHAPE[1] - 12)
    assert np.abs(archive.pixels[0][0].values() - ground(1)[8:, :-12]).std() < 10


def test_named_nodata_is_a_gap_too(tmp_path):
    image = ground(1)
    image[:, :5] = -999
    write(tmp_path / "a.tif", image, nodata=-999)
    (view,) = packed(tmp_path)[0].views
    assert (view.height, view.width) == (SHAPE[0], SHAPE[1] - 5)


def test_specks_take_the_nearest_value_and_larger_gaps_do_not(tmp_path):
    image = ground(1)
    image[40:42, 50:54] = 0
    write(tmp_path / "a.tif", image)
    archive, _ = packed(tmp_path)
    assert (archive.views[0].height, archive.views[0].width) == SHAPE
    filled = archive.pixels[0][0].values()[40:42, 50:54]
    around = ground(1)[39:43, 49:55]
    assert around.min() - 10 < filled.min() <= filled.max() < around.max() + 10
    image[145:148, 160:163] = 0  # nine pixels
    write(tmp_path / "a.tif", image)
    assert packed(tmp_path)[0].views[0].height * packed(tmp_path)[0].views[0].width < SHAPE[0] * SHAPE[1]


def test_masks_alpha_and_unwanted_bands_are_skipped_and_colours_named(tmp_path):
    bands = [ground(k) for k in range(3)]
    write(tmp_path / "a" / "a.tif", *bands, names=("red", "Original", "swir"))
    coloured = [np.clip(band / 8, 1, 255) for band in bands]
    write(tmp_path / "b" / "b.tif", *coloured, np.full(SHAPE, 255.0), dtype="uint8", photometric="RGB", alpha="yes")
    archive, _ = packed(tmp_path, without_bands=("swir", "blue"))
    assert [view.name for view in archive.views] == ["a/a red", "b/b red", "b/b green"]


def test_small_and_broken_up_images_are_left_out_and_told(tmp_path):
    write(tmp_path / "small.tif", ground(1, (127, 170)))
    holed = ground(2)
    holed[::20] = np.nan
    write(tmp_path / "holed.tif", holed)
    empty = np.full(SHAPE, np.nan, np.float32)
    write(tmp_path / "empty.tif", empty)
    write(tmp_path / "good.tif", ground(3))
    archive, told = packed(tmp_path)
    assert [view.place for view in archive.views] == ["good"]
    assert "left out: small is smaller than 128 px" in told
    assert "left out: holed 1 has gaps everywhere" in told
    assert "left out: empty 1 has gaps everywhere" in told


def test_images_without_a_crs_are_packed_by_their_size(tmp_path):
    for date in ("date1", "date2"):
        write(tmp_path / f"a_{date}.tif", ground(1), crs=None, transform=Affine.identity())
    (view,) = packed(tmp_path)[0].views
    assert (view.dates, view.pixel_m) == (("date1", "date2"), 0.0)


def test_an_empty_or_missing_folder_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("no raster")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no raster of 128 px"):
            pack(folder, tmp_path / "made.tsi", PackOptions())
    assert not (tmp_path / "made.tsi").exists()


def test_a_file_that_is_no_raster_is_told_by_name(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not really")
    with pytest.raises(InputError, match=r"broken\.tif"):
        pack(tmp_path, tmp_path / "made.tsi", PackOptions())


def test_an_archive_too_large_is_refused_and_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "LARGEST_BYTES", 1000)
    write(tmp_path / "a.tif", ground(1))
    with pytest.raises(InputError, match=r"more than 0: leave out bands or places"):
        pack(tmp_path, tmp_path / "made.tsi", PackOptions())
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_the_first_pattern_that_fits_tells_of_a_view(tmp_path):
    write(tmp_path / "pisa" / "pisa.tif", ground(1), ground(2), names=("red", "nir"))
    write(tmp_path / "rome" / "rome.tif", ground(3))
    about = (About("pisa/* nir", "camera one", "CC0", "Ada"), About("pisa/*", "camera two", "CC-BY-4.0"))
    archive, told = packed(tmp_path, about=about)
    assert [(view.sensor, view.licence, view.source) for view in archive.views] == [
        ("camera two", "CC-BY-4.0", UNKNOWN),
        ("camera one", "CC0", "Ada"),
        (UNKNOWN, UNKNOWN, UNKNOWN),
    ]
    assert told == ["licence unknown: rome"]


def test_what_is_known_is_read_from_yaml(tmp_path):
    (tmp_path / "about.yaml").write_text(
        "- {views: ['a/*', 'b/*'], sensor: s, licence: l}\n- {views: c, sensor: t, licence: m, source: o}\n"
    )
    assert read_about(tmp_path / "about.yaml") == (
        About("a/*", "s", "l"),
        About("b/*", "s", "l"),
        About("c", "t", "m", "o"),
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("views: a", InputError),
        ("", InputError),
        ("- [unclosed", InputError),
        ("- a", OptionError),
        ("- {views: a, sensor: s}", OptionError),
        ("- {views: a, sensor: s, licence: l, colour: red}", OptionError),
        ("- {views: a, sensor: 5, licence: l}", OptionError),
    ],
)
def test_yaml_of_another_form_is_told(tmp_path, text, error):
    (tmp_path / "about.yaml").write_text(text)
    with pytest.raises(error, match=r"about\.yaml"):
        read_about(tmp_path / "about.yaml")


def test_missing_yaml_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_about(tmp_path / "about.yaml")


def test_the_imagery_of_the_recipes_is_known():
    about = read_about(RECIPES / "imagery.yaml")
    found = {name: packing._about(name, about) for name in ("pisa/pisa red", "naip_dakota/naip nir", "elsewhere/x red")}
    assert "Copernicus Sentinel data" in found["pisa/pisa red"].source
    assert found["naip_dakota/naip nir"].licence == "public domain (USDA)"
    assert found["elsewhere/x red"].licence == UNKNOWN


@pytest.mark.imagery
def test_every_place_of_the_real_imagery_is_known(imagery):
    about = read_about(RECIPES / "imagery.yaml")
    groups = [group for split in ("train", "validation") for group in packing._groups(imagery / split)]
    names = [f"{group.name} {band}" for group in groups for _, band in group.dates[0].bands]
    assert len(names) > 90
    assert [name for name in names if UNKNOWN in packing._about(name, about)] == []


def test_the_largest_rectangle_is_found_among_all():
    random = np.random.default_rng(3)
    for _ in range(30):
        good = random.random((6, 7)) < 0.7
        rows, columns = largest_rectangle(good)
        assert good[rows, columns].all()
        areas = [
            (bottom - top) * (right - left)
            for top in range(6)
            for bottom in range(top + 1, 7)
            for left in range(7)
            for right in range(left + 1, 8)
            if good[top:bottom, left:right].all()
        ]
        assert good[rows, columns].size == max(areas, default=0)
    assert largest_rectangle(np.zeros((3, 4), bool)) == (slice(0, 0), slice(0, 0))
