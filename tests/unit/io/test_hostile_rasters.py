"""Any mixture of size, type, nodata, grid and CRS is read with the promised values, unit and signs, or refused."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from terrashift.errors import InputError, TerrashiftError
from terrashift.io.raster import ReadOptions, open_raster

UTM, FEET, DEGREES = "EPSG:32631", "EPSG:2263", "EPSG:4326"
LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'
COMPOUND = "EPSG:32631+5773"
METRES_PER_UNIT = {UTM: 1.0, COMPOUND: 1.0, LOCAL: 1.0, FEET: 1200 / 3937}
GRIDS = {
    "north-up": Affine(10, 0, 500_000, 0, -10, 4_000_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine(10, 0, 500_000, 0, -10, 4_000_000) @ Affine.rotation(30),
    "sheared": Affine(10, 3, 500_000, 0, -10, 4_000_000),
    "oblong": Affine(12, 0, 500_000, 0, -8, 4_000_000),
    "huge": Affine(3e5, 0, 0, 0, -3e5, 0),
    "tiny": Affine(1e-6, 0, 1, 0, -1e-6, 1),
    "none": None,
}
DEGREE = Affine(1e-4, 0, 3, 0, -1e-4, 36)
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "int64", "uint64", "complex64")
GAPS = ("none", "tag", "told", "tag and told", "mask", "alpha", "nan", "infinite", "told what the type cannot hold")


class Form(NamedTuple):
    """What a file is like."""

    shape: tuple[int, int]
    dtype: str
    gaps: str
    grid: str
    crs: str | None
    tiled: bool
    compress: str | None
    one_bit: bool = False


forms = st.builds(
    Form,
    shape=st.one_of(st.just((1, 1)), st.tuples(st.integers(1, 40), st.integers(1, 50)), st.just((300, 20))),
    dtype=st.sampled_from(TYPES),
    gaps=st.sampled_from(GAPS),
    grid=st.sampled_from(sorted(GRIDS)),
    crs=st.sampled_from([None, UTM, FEET, DEGREES, LOCAL, COMPOUND]),
    tiled=st.booleans(),
    compress=st.sampled_from([None, "deflate", "lzw"]),
    one_bit=st.booleans(),
)


def fits(form: Form) -> bool:
    """Whether the file can be made."""
    floating = form.dtype.startswith("float")
    return (floating or form.gaps not in ("nan", "infinite")) and not (form.one_bit and form.dtype != "uint8")


class Made(NamedTuple):
    """A file, and what is to be read."""

    path: str
    pixels: np.ndarray
    gap: np.ndarray
    options: ReadOptions


def make(form: Form, folder: str) -> Made:
    """Write a file with numbers 2 to 100 (0 and 1 where it has one bit), and gaps in a corner."""
    dice = np.random.default_rng(sum(form.shape))
    pixels = dice.integers(2, 101, form.shape) if not form.one_bit else dice.integers(0, 2, form.shape)
    gap = np.zeros(form.shape, bool)
    stored, options, profile = pixels.astype(form.dtype), ReadOptions(), {}
    if form.gaps != "none" and not form.one_bit and "cannot" not in form.gaps:
        gap[: form.shape[0] // 2 + 1, : form.shape[1] // 3] = True
    fills: dict[str, Any] = {"tag": 1, "told": 1, "tag and told": 1, "nan": np.nan, "infinite": np.inf}
    if form.gaps in fills:
        stored[gap] = fills[form.gaps]
    if form.gaps in ("tag", "tag and told") and not form.one_bit:
        profile["nodata"] = 1
    if form.gaps == "tag and told":
        stored[gap & (np.indices(form.shape)[0] == 0)] = 0
        options = ReadOptions(nodata=0) if not form.one_bit else ReadOptions()
    if form.gaps == "told" and not form.one_bit:
        options = ReadOptions(nodata=1)
    if "cannot" in form.gaps:
        options = ReadOptions(nodata=-1e300)
    bands = [stored]
    if form.gaps == "alpha" and not form.one_bit:
        bands.append(np.where(gap, 0, 100).astype(form.dtype))
        profile |= {"alpha": "yes", "photometric": "minisblack"}
    if form.tiled:
        profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16}
    if form.one_bit:
        profile["nbits"] = 1
    transform = DEGREE if form.crs == DEGREES and GRIDS[form.grid] is not None else GRIDS[form.grid]
    profile |= {"crs": form.crs, "transform": transform, "compress": form.compress}
    path = str(Path(folder) / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", dtype=form.dtype, count=len(bands), height=form.shape[0],
                width=form.shape[1], **{key: value for key, value in profile.items() if value is not None},
            ) as dataset,
        ):  # fmt: skip
            dataset.write(np.stack(bands))
            if form.gaps == "mask" and not form.one_bit:
                dataset.write_mask(~gap)
    return Made(path, pixels, gap, options)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(form=forms.filter(fits))
def test_any_raster_is_read_with_its_values_unit_and_signs_or_refused(form):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        made = make(form, folder)
        warnings.simplefilter("error")
        if form.dtype.startswith("complex"):
            with pytest.raises(InputError, match=r"is complex .*give its amplitude"):
                open_raster(made.path, made.options)
            return
        raster = open_raster(made.path, made.options)
        found = raster.read(-2, -1, form.shape[0] + 4, form.shape[1] + 2)
    wanted = np.full((form.shape[0] + 4, form.shape[1] + 2), np.nan, np.float32)
    wanted[2:-2, 1:-1] = np.where(made.gap, np.nan, made.pixels)
    assert np.array_equal(found.numpy(), wanted, equal_nan=True)
    placed = form.crs if form.grid != "none" else None
    assert raster.grid.unit == ("m" if placed else "px")
    check_signs(raster.grid, form, placed)


def check_signs(grid, form: Form, crs: str | None) -> None:
    """One pixel to the right and one down, in metres east and north."""
    right, down = (
        grid.to_metres(torch.tensor(xy).reshape(2, 1, 1).expand(2, *grid.shape))[:, 0, 0]
        for xy in ((1.0, 0.0), (0.0, 1.0))
    )
    if crs is None:
        wanted = (1, 0), (0, -1)
    elif crs == DEGREES:
        wanted = (111_320e-4 * math.cos(math.radians(36)), 0), (0, -110_960e-4)
    else:
        t, m = GRIDS[form.grid], METRES_PER_UNIT[crs]
        assert t is not None
        wanted = (t.a * m, t.d * m), (t.b * m, t.e * m)
    assert right.tolist() == pytest.approx(wanted[0], rel=2e-3, abs=1e-9)
    assert down.tolist() == pytest.approx(wanted[1], rel=2e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("transform", "crs", "said"),
    [
        (
            Affine(10, 0, 500_000, 0, -10, 4_000_000),
            DEGREES,
            "said to be in degrees, but reaches to 500090 of longitude",
        ),
        (Affine(0.1, 0, 10, 0, -0.1, 4_000_000), DEGREES, "of latitude: its CRS is another one"),
        (Affine(1e-200, 0, 0, 0, -1e-200, 0), UTM, "pixels of no area"),
        (Affine(math.nan, 0, 0, 0, -1, 0), UTM, "pixels of no area, or of no finite one"),
        (Affine(1, 0, math.inf, 0, -1, 0), UTM, "of no finite one"),
        (Affine(1e300, 0, 0, 0, -1e300, 0), UTM, "of no finite one"),
    ],
)
def test_a_grid_that_would_give_a_wrong_length_is_refused(raster, ramp, transform, crs, said):
    path = raster("a.tif", ramp, transform=transform, crs=crs)
    with pytest.raises(InputError, match=said):
        open_raster(path)


def test_a_whole_earth_that_reaches_half_a_pixel_past_the_poles_is_read(raster, ramp):
    assert open_raster(
        raster("a.tif", ramp, transform=Affine(40, 0, -180, 0, -25.8, 90.3), crs=DEGREES)
    ).grid.geographic


@pytest.mark.parametrize("text", ['PROJCS["x",GARBAGE', "EPSG:999999", "\x1b[2J", "", "+proj=nonsense"])
def test_a_broken_crs_is_refused_or_none_but_never_another_error(tmp_path, text):
    (tmp_path / "a.vrt").write_text(
        f"<VRTDataset rasterXSize='4' rasterYSize='3'><SRS>{text.replace(chr(27), '')}</SRS>"
        "<GeoTransform>0,1,0,0,0,-1</GeoTransform><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"
    )
    said = ""
    try:
        crs = open_raster(str(tmp_path / "a.vrt")).grid.crs
    except TerrashiftError as error:
        crs, said = None, str(error)
    assert crs is None
    assert not said or "a.vrt" in said
    if text:
        with pytest.raises(InputError, match="is not a CRS that PROJ knows"):
            open_raster(str(tmp_path / "a.vrt"), ReadOptions(crs=text))


@pytest.mark.parametrize("name", ["a\0b.tif", "a\udcff.tif"], ids=["zero byte", "not UTF-8"])
def test_a_name_that_gdal_does_not_take_is_refused(name):
    with pytest.raises(InputError, match="is no name that GDAL takes"):
        open_raster(name)


def test_a_nodata_tag_that_the_type_cannot_hold_marks_nothing(raster):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = Path(raster("a.tif", pixels, nodata=255))
    path.write_bytes(path.read_bytes().replace(b"255\0", b"-99\0"))
    assert open_raster(str(path)).read(0, 0, 3, 4).tolist() == pixels.tolist()


@pytest.mark.parametrize(
    ("tag", "value", "date"),
    [
        ("ACQUISITION_DATE", "0001-01-01T00:00:00+23:59", None),
        ("ACQUISITION_DATE", "9999-12-31T23:59:59-23:59", None),
        ("wavelength", "1e999", None),
        ("ACQUISITION_DATE", "2020-01-02", "2020-01-02T00:00:00"),
    ],
)
def test_tags_of_any_content_are_borne(raster, ramp, tag, value, date):
    found = open_raster(raster("a.tif", ramp, tags={tag: value})).date
    assert (found and found.isoformat()) == date
