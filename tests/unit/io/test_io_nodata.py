"""Every form of nodata becomes NaN, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from terrashift.io.raster import ReadOptions, open_raster


def nans(path: str, **options) -> np.ndarray:
    image = open_raster(path, ReadOptions(**options))
    return np.isnan(image.read(0, 0, *image.grid.shape).numpy())


@pytest.fixture
def holes() -> np.ndarray:
    """True at three of the 7 x 9 pixels."""
    missing = np.zeros((7, 9), bool)
    missing[0, 0] = missing[3, 4] = missing[6, 8] = True
    return missing


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32", "float64", "int64", "uint64"])
def test_a_nodata_tag_holds_for_every_type(raster, ramp, holes, dtype):
    path = raster("a.tif", np.where(holes, 100, ramp).astype(dtype), nodata=100)
    assert (nans(path) == holes).all()
    assert "nodata value" in open_raster(path).nodata_forms[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4028234663852886e38])
def test_special_float_tags_and_values_become_nan(raster, ramp, holes, value):
    pixels = np.where(holes, value, ramp).astype(np.float32)
    assert (nans(raster("tagged.tif", pixels, nodata=value)) == holes).all()
    assert (nans(raster("bare.tif", pixels)) == holes).all()


def test_a_fill_value_whose_tag_was_rounded_is_still_nodata(raster, ramp, holes):
    path = raster("a.tif", np.where(holes, -3.4028235e38, ramp).astype(np.float32), nodata=-3.40282e38)
    assert (nans(path) == holes).all()


@pytest.mark.parametrize("tag", [b"-99\0", b"nan\0", b"inf\0"])
def test_a_tag_that_the_type_cannot_hold_hides_nothing(raster, ramp, tag):
    from pathlib import Path

    path = Path(raster("a.tif", ramp.astype(np.uint8), nodata=250))
    content = path.read_bytes()
    assert content.count(b"250\0") == 1
    path.write_bytes(content.replace(b"250\0", tag))
    assert not nans(str(path)).any()
    assert open_raster(str(path)).nodata_forms == ()


@pytest.mark.parametrize("extra", [-9999.0, 0.5, 70_000.0, float("nan")])
def test_an_extra_value_that_the_type_cannot_hold_hides_nothing(raster, ramp, extra):
    assert not nans(raster("a.tif", ramp), nodata=extra).any()


def test_an_extra_value_adds_to_the_tag(raster, ramp, holes):
    path = raster("a.tif", np.where(holes, 0, ramp).astype(np.uint16), nodata=30)
    assert (nans(path, nodata=0) == (holes | (ramp == 30))).all()
    assert open_raster(path, ReadOptions(nodata=0)).nodata_forms == ("nodata value 30", "--nodata 0")


@pytest.mark.parametrize("inside", [True, False], ids=["inside the file", "as .msk"])
def test_a_mask_and_a_tag_hold_together(raster, ramp, holes, inside):
    import rasterio

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        path = raster("a.tif", ramp, nodata=30, mask=np.where(holes, 0, 255).astype(np.uint8))
    from pathlib import Path

    assert Path(f"{path}.msk").exists() is not inside
    assert (nans(path) == (holes | (ramp == 30))).all()
    assert open_raster(path).nodata_forms == ("nodata value 30", "mask band")


def test_an_alpha_band_hides_only_what_is_fully_transparent(raster, ramp, holes):
    alpha = np.where(holes, 0, np.where(ramp % 2, 255, 1)).astype(np.uint8)
    colours = [ColorInterp.gray, ColorInterp.alpha]
    path = raster("a.tif", np.stack([ramp.astype(np.uint8), alpha]), colours=colours)
    image = open_raster(path)
    assert image.band == 1
    assert image.nodata_forms == ("alpha band 2",)
    assert (nans(path) == holes).all()


def test_alpha_tag_and_extra_value_hold_together(raster, ramp, holes):
    stack = np.stack([ramp, ramp, ramp, np.where(holes, 0, 255)]).astype(np.uint8)
    path = raster("a.tif", stack, photometric="RGB", alpha="yes", nodata=20)
    assert (nans(path, band="red", nodata=40) == (holes | (ramp == 20) | (ramp == 40))).all()


def test_a_fourth_band_that_is_described_as_infrared_is_no_alpha(raster, ramp, holes):
    """GDAL marks the fourth of four byte bands as alpha on its own."""
    infrared = np.where(holes, 0, 50).astype(np.uint8)
    stack = np.stack([*[ramp.astype(np.uint8)] * 3, infrared])
    names = ("green", "red", "nir", "swir1")
    path = raster("a.tif", stack, photometric="RGB", alpha="yes", descriptions=names)
    assert not nans(path, band="red").any()
    image = open_raster(path, ReadOptions(band="swir1"))
    assert image.band == 4
    assert image.read(3, 4, 1, 1).item() == 0
    assert open_raster(path, ReadOptions(band="green")).band == 1


def test_the_alpha_band_itself_can_be_read_by_number(raster, ramp):
    path = raster("a.tif", ramp.astype(np.uint8), colours=[ColorInterp.alpha], photometric="minisblack")
    assert not nans(path, band="1").any()
