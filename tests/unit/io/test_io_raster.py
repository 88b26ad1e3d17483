"""Reading one raster: windows, types, georeferencing, and files that cannot be used."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terrashift.core.grid import Grid
from terrashift.core.source import cut
from terrashift.errors import InputError
from terrashift.io.raster import ReadOptions, checksum, open_raster


def whole(path: str, options: ReadOptions | None = None) -> torch.Tensor:
    image = open_raster(path, options)
    return image.read(0, 0, *image.grid.shape)


@pytest.fixture
def path_of_ramp(raster, ramp) -> str:
    return raster("a.tif", ramp, nodata=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-9, 9), column=st.integers(-11, 11), height=st.integers(0, 20), width=st.integers(0, 20))
def test_any_window_equals_a_slice_of_the_whole(path_of_ramp, ramp, row, column, height, width):
    expected = torch.tensor(ramp.astype(np.float32))
    expected[expected == 5] = torch.nan
    window = open_raster(path_of_ramp).read(row, column, height, width)
    torch.testing.assert_close(window, cut(expected, row, column, height, width), equal_nan=True, rtol=0, atol=0)


REAL_TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


@pytest.mark.parametrize("dtype", REAL_TYPES)
def test_every_real_type_is_read_as_float32(raster, dtype):
    pixels = np.arange(12).reshape(3, 4).astype(dtype)
    image = open_raster(raster("a.tif", pixels))
    values = image.read(0, 0, 3, 4)
    assert values.dtype == torch.float32
    assert image.dtype == dtype
    assert values.tolist() == pixels.tolist()
    expected = None if dtype.startswith("float") else float(np.iinfo(dtype).max)
    assert image.saturation == expected


def test_one_bit_and_twelve_bit_images_saturate_at_their_own_maximum(raster):
    assert open_raster(raster("a.tif", np.eye(4, dtype=np.uint8), nbits=1)).saturation == 1
    assert open_raster(raster("b.tif", np.eye(4, dtype=np.uint16), nbits=12)).saturation == 4095


def test_scale_and_offset_are_applied_after_nodata_is_compared(raster, ramp):
    path = raster("a.tif", ramp, scale=0.5, offset=-3.0, nodata=10)
    image = open_raster(path, ReadOptions(nodata=20))
    values = image.read(0, 0, 7, 9).numpy()
    expected = ramp * 0.5 - 3
    expected[(ramp == 10) | (ramp == 20)] = np.nan
    np.testing.assert_array_equal(values, expected.astype(np.float32))
    assert image.saturation == 65535 * 0.5 - 3


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 5, 0, 10, 7),
        Affine.translation(5, 7) @ Affine.rotation(30) @ Affine.scale(10, -20),
        Affine(15, 0, 0, 0, -30, 0),
        Affine(-10, 0, 5, 0, -10, 7),
    ],
    ids=["south-up", "rotated", "non-square", "mirrored"],
)
def test_the_affine_is_kept_as_it_is(raster, ramp, transform):
    grid = open_raster(raster("a.tif", ramp, transform=transform)).grid
    assert grid.transform.almost_equals(transform, 1e-12)
    assert grid == Grid(7, 9, grid.transform, "EPSG:32631")


def test_the_unit_of_the_crs_is_known(raster, ramp):
    feet = open_raster(raster("feet.tif", ramp, crs="EPSG:2263")).grid
    assert feet.metres_per_unit == pytest.approx(1200 / 3937)
    assert not feet.geographic
    degrees = open_raster(raster("deg.tif", ramp, crs="EPSG:4326", transform=Affine(1e-4, 0, 3, 0, -1e-4, 50))).grid
    assert degrees.geographic
    assert degrees.crs == "EPSG:4326"
    with pytest.raises(InputError, match=r"in grad, not degrees.*gdalwarp"):
        open_raster(raster("grad.tif", ramp, crs="EPSG:4807"))


def test_a_custom_crs_is_kept_as_wkt(raster, ramp):
    grid = open_raster(raster("a.tif", ramp, crs="+proj=tmerc +lon_0=3.7 +datum=WGS84 +units=km")).grid
    assert grid.crs is not None
    assert grid.crs.startswith("PROJCS[")
    assert grid.metres_per_unit == 1000


def test_a_file_without_georeferencing_is_measured_in_pixels_and_warns_nobody(raster, ramp):
    path = raster("a.tif", ramp, crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = open_raster(path).grid
    assert grid == Grid(7, 9, Affine.identity())
    assert grid.unit == "px"
    with pytest.raises(
        InputError, match=r"--crs EPSG:32631 cannot place .*a\.tif: the file has no geotransform either"
    ):
        open_raster(path, ReadOptions(crs="EPSG:32631"))


def test_a_missing_crs_can_be_given(raster, ramp):
    path = raster("a.tif", ramp, crs=None, transform=Affine(15, 0, 0, 0, -15, 0))
    assert open_raster(path).grid == Grid(7, 9, Affine(15, 0, 0, 0, -15, 0))
    assert open_raster(path, ReadOptions(crs="epsg:32631")).grid.crs == "EPSG:32631"
    other = raster("b.tif", ramp, crs="EPSG:2263")
    assert open_raster(other, ReadOptions(crs="EPSG:32631")).grid.crs == "EPSG:2263"
    with pytest.raises(InputError, match="'EPSG:999999' is not a CRS"):
        open_raster(path, ReadOptions(crs="EPSG:999999"))


def test_control_points_and_camera_models_must_be_rectified_first(raster, ramp):
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    corners = [GroundControlPoint(r, c, 3 + c / 1000, 45 - r / 1000) for r in (0, 7) for c in (0, 9)]
    path = raster("gcp.tif", ramp, transform=None, crs="EPSG:4326", gcps=corners)
    with pytest.raises(InputError, match=r"only 4 ground control points.*`gdalwarp -tps"):
        open_raster(path)
    model = RPC(0, 1, 45, 0.1, [1.0] * 20, [1.0] * 20, 3, 4, 0.1, 5, [1.0] * 20, [1.0] * 20, 4, 5, 1.0, 1.0)
    path = raster("rpc.tif", ramp, transform=None, crs=None, rpcs=model)
    with pytest.raises(InputError, match=r"only a camera model \(RPC\).*`gdalwarp -rpc"):
        open_raster(path)


def test_complex_and_palette_images_are_refused_with_a_way_out(raster, ramp):
    with pytest.raises(InputError, match=r"is complex \(complex64\).*abs\(A\)"):
        open_raster(raster("a.tif", ramp.astype(np.complex64)))
    from rasterio.enums import ColorInterp

    path = raster("b.tif", ramp.astype(np.uint8), colours=[ColorInterp.palette], photometric="palette")
    with pytest.raises(InputError, match=r"colour numbers of a palette.*-expand gray"):
        open_raster(path)


def test_what_is_no_raster_is_named(tmp_path: Path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "page.tif").write_text("<!DOCTYPE html><html>Please log in</html>")
    (tmp_path / "words.txt").write_text("hello")
    for name, message in {
        "": "is a folder: give the raster file",
        "none.tif": r"none\.tif does not exist",
        "empty.tif": r"empty \(0 bytes\)",
        "page.tif": "is not a raster that GDAL reads: it is a web page.*login",
        "words.txt": "is not a raster that GDAL reads; convert it",
    }.items():
        with pytest.raises(InputError, match=message):
            open_raster(str(tmp_path / name))


def test_an_address_that_does_not_answer_is_an_input_error():
    with pytest.raises(InputError, match=r"could not be read.*Check the address and the connection"):
        open_raster("http://127.0.0.1:9/image.tif")


LAYOUTS = {
    "plain": {},
    "deflate": {"compress": "deflate"},
    "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "lzw"},
    "cog": {"driver": "COG", "blocksize": 128},
    "png": {"driver": "PNG"},
    "envi": {"driver": "ENVI"},
}


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_short_never_becomes_numbers(raster, tmp_path, layout, kept):
    pixels = np.random.default_rng(1).integers(1, 60_000, (300, 310)).astype(np.uint16)
    source = Path(raster("a.img", pixels, **LAYOUTS[layout]))
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match=r"truncated.*ownload or copy it again"):
        whole(str(source))


def test_a_cut_tiff_is_found_when_it_is_opened(raster):
    source = Path(raster("a.tif", np.ones((300, 310), np.uint16)))
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged or truncated"):
        open_raster(str(source))


def test_a_header_that_claims_more_than_the_file_holds_is_found(raster):
    path = Path(raster("a.img", np.ones((20, 30), np.int16), driver="ENVI"))
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace("lines   = 20", "lines   = 21"))
    with pytest.raises(InputError, match="its header claims 1260 bytes, the file has 1200"):
        open_raster(str(path))


def test_damage_in_the_middle_is_found_when_it_is_read(raster):
    pixels = np.random.default_rng(1).integers(1, 60_000, (300, 310)).astype(np.uint16)
    source = Path(raster("a.tif", pixels, compress="deflate"))
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    source.write_bytes(content)
    image = open_raster(str(source))
    with pytest.raises(InputError, match="damaged or truncated"):
        image.read(0, 0, 300, 310)


def test_threads_and_other_processes_read_the_same(raster):
    pixels = np.random.default_rng(2).integers(0, 60_000, (200, 200)).astype(np.uint16)
    image = open_raster(raster("a.tif", pixels, tiled=True, blockxsize=16, blockysize=16, compress="deflate"))
    corners = [(r, c) for r in range(0, 200, 25) for c in range(0, 200, 25)]
    with ThreadPoolExecutor(8) as pool:
        windows = list(pool.map(lambda corner: image.read(*corner, 40, 40), corners))
    copy = pickle.loads(pickle.dumps(image))
    full = torch.tensor(pixels.astype(np.float32))
    for (r, c), window in zip(corners, windows, strict=True):
        torch.testing.assert_close(window, cut(full, r, c, 40, 40), equal_nan=True)
    assert torch.equal(copy.read(3, 4, 5, 6), image.read(3, 4, 5, 6))
    assert copy.grid == image.grid


def test_a_checksum_is_that_of_the_content(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert checksum(str(tmp_path / "a")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum("https://example.org/a.tif") is None


def test_options_explain_themselves_and_refuse_unknown_keys():
    assert all(field.description for field in ReadOptions.model_fields.values())
    with pytest.raises(ValueError, match="Extra inputs"):
        ReadOptions.model_validate({"bands": "1"})
