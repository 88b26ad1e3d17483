"""Which band is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from terrashift.errors import InputError
from terrashift.io.raster import ReadOptions, open_raster


@pytest.fixture
def stack() -> np.ndarray:
    """Three bands of constant 1, 2 and 3."""
    return np.arange(1, 4, dtype=np.uint16)[:, None, None] * np.ones((3, 4, 5), np.uint16)


def chosen(path: str, band: str | None) -> int:
    image = open_raster(path, ReadOptions(band=band))
    assert image.read(0, 0, 1, 1).item() == image.band
    return image.band


def test_one_band_needs_no_choice(raster, stack):
    assert chosen(raster("a.tif", stack[0]), None) == 1


def test_several_bands_are_listed_until_one_is_chosen(raster, stack):
    path = raster("a.tif", stack, descriptions=("red", "nir", "original"))
    with pytest.raises(InputError) as caught:
        open_raster(path)
    text = str(caught.value)
    assert "has 3 bands: choose one with --band, for example --band red." in text
    assert [line.strip() for line in text.splitlines()[1:]] == ["1: red, gray", "2: nir", "3: original"]


@pytest.mark.parametrize(("wanted", "number"), [("2", 2), ("NIR", 2), (" red ", 1), ("Original", 3)])
def test_a_band_is_chosen_by_number_or_name(raster, stack, wanted, number):
    assert chosen(raster("a.tif", stack, descriptions=("red", "nir", "original")), wanted) == number


def test_what_is_not_there_is_answered_with_what_is(raster, stack):
    path = raster("a.tif", stack, descriptions=("red", "nir", "original"))
    for wanted, message in {
        "4": r"has no band 4; bands count from 1(.|\n)*3: original",
        "0": r"has no band 0",
        "blue": r"has no band called blue(.|\n)*2: nir",
        "842nm": r"holds no wavelengths. Choose by number or name",
    }.items():
        with pytest.raises(InputError, match=message):
            open_raster(path, ReadOptions(band=wanted))


def test_a_description_outweighs_the_colour_that_gdal_sets_by_position(raster, stack):
    path = raster("a.tif", stack.astype(np.uint8), photometric="RGB", descriptions=("nir", "red", "green"))
    assert chosen(path, "red") == 2
    assert chosen(path, "green") == 3
    with pytest.raises(InputError, match="no band called blue"):
        open_raster(path, ReadOptions(band="blue"))


def test_colours_serve_where_nothing_is_described(raster, stack):
    path = raster("a.tif", stack.astype(np.uint8), photometric="RGB")
    assert [chosen(path, colour) for colour in ("red", "Green", "BLUE")] == [1, 2, 3]


@pytest.mark.parametrize(
    "names",
    [
        ("B4, central wavelength 665 nm", "B8, central wavelength 842 nm", "B8A, central wavelength 865 nm"),
        ("B04", "B08", "B8A"),
        ("SR_B4", "SR_B8", "SR_B8A"),
        ("Band 4 (Red)", "Band 8 (NIR)", "Band 8A (narrow NIR)"),
    ],
)
def test_band_codes_are_found_however_they_are_written(raster, stack, names):
    path = raster("a.tif", stack, descriptions=names)
    for wanted, number in {"B4": 1, "b04": 1, "B08": 2, "band 8": 2, "B8A": 3, "b08a": 3}.items():
        assert chosen(path, wanted) == number


def test_a_word_that_fits_two_bands_is_asked_about(raster, stack):
    path = raster("a.tif", stack, descriptions=("nir one", "nir two", "Red (665 nm)"))
    with pytest.raises(InputError, match=r"--band nir fits 2 bands of .*\n  1: nir one, gray\n  2: nir two$"):
        open_raster(path, ReadOptions(band="nir"))
    assert chosen(path, "red") == 3


WAVELENGTHS = {"665 nm": 1, "0.842um": 2, "835NM": 2, "0.85 µm": 2, "1600nm": 3, "605nm": 1}


@pytest.mark.parametrize(
    "tags",
    [
        {"wavelength": "{0.665, 0.842, 1.61}"},
        {"wavelength": "665,842,1610", "wavelength_units": "Nanometers"},
        {"CENTRAL_WAVELENGTH_NM": "665 842 1610"},
    ],
)
def test_the_nearest_wavelength_of_the_file_is_taken(raster, stack, tags):
    path = raster("a.tif", stack, tags=tags)
    assert {wanted: chosen(path, wanted) for wanted in WAVELENGTHS} == WAVELENGTHS
    with pytest.raises(InputError, match=r"no band of .* lies within 60 nm(.|\n)*1: no description, gray, 665 nm"):
        open_raster(path, ReadOptions(band="604nm"))


@pytest.mark.parametrize("key", ["wavelength", "central_wavelength", "CENTRAL_WAVELENGTH_UM", "Center_Wavelength"])
def test_the_wavelength_of_a_band_is_read_from_its_own_tags(raster, stack, key):
    import rasterio

    path = raster("a.tif", stack)
    with rasterio.open(path, "r+") as dataset:
        for number, micrometres in enumerate((0.665, 0.842, 1.61), 1):
            dataset.update_tags(number, **{key: f"{micrometres}"})
    assert {wanted: chosen(path, wanted) for wanted in WAVELENGTHS} == WAVELENGTHS


def test_the_wavelengths_of_an_envi_header_are_read(raster, stack):
    path = Path(raster("a.img", stack, driver="ENVI"))
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text() + "wavelength = { 665, 842, 1610 }\nwavelength units = Nanometers\n")
    assert {wanted: chosen(str(path), wanted) for wanted in WAVELENGTHS} == WAVELENGTHS


def test_nothing_but_alpha_is_no_image(raster, stack):
    path = raster("a.tif", stack[0].astype(np.uint8), descriptions=("alpha",))
    with pytest.raises(InputError, match="nothing but an alpha band; pass --band 1"):
        open_raster(path)
    assert chosen(path, "1") == 1
