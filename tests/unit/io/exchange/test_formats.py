"""Other programs' files: every sign, unit and gap, through our writers and from files made as the others make them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from affine import Affine
from exchange_fields import DATES, EAST_PX, GRIDS, NORTH_PX, UTM, moved

from terrashift.core.reasons import Reason
from terrashift.errors import InputError, OptionError, OutputError
from terrashift.io.exchange.formats import BY_NAME, FORMATS, FormatName, detect, read_any, write_any
from terrashift.io.exchange.options import ExchangeOptions, ImportOptions

NETCDF = ("cf", "itslive", "mintpy")
ENDS = {one.name: one.suffixes[0] for one in FORMATS}
EXACT = ("terrashift", "cosicorr", "pair", "micmac", "asp", "cf", "mintpy", "geojson", "autorift")
OTHER_PX = 10.0


def need(name: str) -> None:
    if name in NETCDF:
        pytest.importorskip("h5py", reason="needs h5py")


def target(folder: Path, name: str) -> Path:
    return folder / ("run-F.tif" if name == "asp" else f"out{ENDS[name]}")


def options_for(name: str, **more) -> ExchangeOptions:
    if name == "geojson":
        more["vector_every"] = 1
    return ExchangeOptions(**more)


def px(field):
    """(east, north) in pixels of the grid, away from the gap."""
    across, down = field.grid.pixel_size
    return float(field.east[5, 5]) / across, float(field.north[5, 5]) / down


def test_every_format_has_a_name_and_an_ending():
    assert {one.name for one in FORMATS} == set(get_args(FormatName)) == set(BY_NAME)


def holds(name, place):
    """Whether a format has such grids: some are maps only, and pixels are the same along both axes in others."""
    grid = GRIDS[place]
    if name == "mintpy":
        return bool(grid.crs) and not grid.is_oblique
    return name != "autorift" or place not in ("not square", "rotated", "degrees")


@pytest.mark.parametrize(("name", "place"), [(n, p) for n in EXACT for p in GRIDS if holds(n, p)])
def test_what_is_written_is_found_and_reads_back(name, place, tmp_path):
    need(name)
    grid = GRIDS[place]
    field = moved(grid)
    image_pixel = grid.pixel_size[0] if name == "autorift" and grid.crs else None
    options = options_for(name, image_pixel=image_pixel)
    files = write_any(field, target(tmp_path, name), name, options)
    assert all(file.exists() for file in files)
    assert detect(files[0]) == name
    found = read_any(files[0], options=options)
    assert found.grid.shape == grid.shape
    assert found.grid.crs == grid.crs
    assert found.grid.transform.almost_equals(grid.transform, 1e-9 * abs(grid.transform.c or 1))
    tight = {"rtol": 1e-5, "atol": 1e-5, "equal_nan": True}
    torch.testing.assert_close(found.east, field.east, **tight)
    torch.testing.assert_close(found.north, field.north, **tight)
    if name in ("cosicorr", "pair", "cf", "terrashift"):
        torch.testing.assert_close(found.score, field.score, **tight)
    if name in ("cf", "mintpy", "terrashift", "geojson"):
        torch.testing.assert_close(found.sigma_north, field.sigma_north, **tight)
    assert (found.reasons != 0).equal(found.east.isnan())
    assert int(found.reasons[2, 3]) == (Reason.LOW_SCORE if name in ("cf", "terrashift") else Reason.NODATA)


def test_a_file_of_velocities_reads_back_to_its_rounding(tmp_path):
    need("itslive")
    field = moved()
    files = write_any(field, tmp_path / "v.nc", "itslive")
    assert detect(files[0]) == "itslive"
    found = read_any(files[0])
    days = 290
    assert px(found) == pytest.approx((EAST_PX, NORTH_PX), abs=0.5 * days / 365 / OTHER_PX)
    assert px(found)[0] > 0 > px(found)[1]
    assert found.east.isnan().equal(field.east.isnan())
    assert found.made_by["AFTER_DATE"] == DATES["AFTER_DATE"]
    assert float(found.sigma_north[0, 0]) == pytest.approx(2 * float(found.sigma_east[0, 0]), rel=1e-5)
    import xarray

    with xarray.open_dataset(files[0]) as data:
        assert data.vx.attrs["units"] == "meter/year"
        assert float(data.vx[5, 5]) == round(3 * 365 / days)
        assert float(data.vy[5, 5]) == round(-7 * 365 / days)
    with pytest.raises(OptionError, match="16 bits"):
        write_any(field, tmp_path / "w.nc", "itslive", ExchangeOptions(days=0.01))


def test_cosicorr_in_metres_with_its_own_band_names(raster):
    values = np.full((3, 12, 17), [[[3.0]], [[-7.0]], [[0.95]]], np.float32)
    path = raster("correlation.tif", values, descriptions=("East/West", "North/South", "SNR"))
    assert detect(Path(path)) == "cosicorr"
    found = read_any(path)
    assert px(found) == pytest.approx((EAST_PX, NORTH_PX))
    assert float(found.score[0, 0]) == pytest.approx(0.95)


def test_cosicorr_in_pixels_where_it_says_so_or_there_is_no_crs(raster):
    values = np.full((3, 12, 17), [[[0.3]], [[-0.7]], [[0.95]]], np.float32)
    names = ("East/West", "North/South", "SNR")
    found = read_any(raster("a.tif", values, descriptions=names), options=ImportOptions(units="px"))
    assert (float(found.east[0, 0]), float(found.north[0, 0])) == pytest.approx((3, -7))
    plain = raster("b.tif", values, descriptions=names, crs=None, transform=None)
    found = read_any(plain)
    assert found.grid.unit == "px"
    assert (float(found.east[0, 0]), float(found.north[0, 0])) == pytest.approx((0.3, -0.7))
    with pytest.raises(OptionError, match="metres, but the file has no CRS"):
        read_any(plain, options=ImportOptions(units="m"))


def test_micmac_counts_steps_of_columns_and_rows(raster):
    x, y = np.full((12, 17), 6.0, np.float32), np.full((12, 17), 14.0, np.float32)
    plain = {"crs": None, "transform": None}
    first = raster("Px1_Num6_DeZoom1_LeChantier.tif", x, **plain)
    raster("Px2_Num6_DeZoom1_LeChantier.tif", y, **plain)
    raster("Correl_LeChantier_Num_4.tif", np.zeros((12, 17), np.uint8), **plain)
    raster("Correl_LeChantier_Num_5.tif", np.full((12, 17), 230, np.uint8), **plain)
    like = raster("before.tif", np.ones((12, 17), np.uint16))
    assert detect(Path(first)) == "micmac"
    found = read_any(first, options=ImportOptions(like=like))
    assert px(found) == pytest.approx((EAST_PX, NORTH_PX))
    assert found.grid == UTM
    assert float(found.score[0, 0]) == pytest.approx(230 / 127.5 - 1)
    without = read_any(first)
    assert (float(without.east[0, 0]), float(without.north[0, 0])) == pytest.approx((0.3, -0.7))
    coarse = read_any(first, options=ImportOptions(like=like, micmac_step=0.1))
    assert px(coarse) == pytest.approx((0.6, -1.4))


def test_asp_disparity_is_right_and_down_and_masked(raster):
    values = np.full((3, 12, 17), [[[0.3]], [[0.7]], [[1.0]]], np.float32)
    values[:, 0, 0] = 0
    path = raster("run-F.tif", values)
    assert detect(Path(path)) == "asp"
    found = read_any(path)
    assert px(found) == pytest.approx((EAST_PX, NORTH_PX))
    assert found.east.isnan().nonzero().tolist() == [[0, 0]]
    assert int(found.reasons[0, 0]) == Reason.NODATA


def test_autorift_offsets_are_right_and_up_in_pixels_of_the_images(raster):
    values = np.full((4, 12, 17), [[[0.3]], [[-0.7]], [[0.0]], [[32.0]]], np.float32)
    values[:2, 0, 0] = np.nan
    values[2, 1, 1] = 1
    path = raster("offset.tif", values, transform=Affine(120, 0, 500_000, 0, -120, 4_000_000), photometric="MINISBLACK")
    assert detect(Path(path)) == "autorift"
    found = read_any(path, options=ImportOptions(image_pixel=OTHER_PX))
    assert (float(found.east[5, 5]), float(found.north[5, 5])) == pytest.approx((3, -7))
    assert bool(found.east[0, 0].isnan())
    assert [float(found.score[k, k]) for k in (1, 2)] == [0, 1]
    with pytest.raises(OptionError, match="--image-pixel"):
        read_any(path)


@pytest.mark.parametrize(
    "names", [("a_EW.tif", "a_NS.tif"), ("x_east.tif", "x_north.tif"), ("p_ew_i0.tif", "p_ns_i0.tif")]
)
def test_a_pair_is_found_from_either_of_its_files(names, raster):
    for name, value in zip(names, (3.0, -7.0), strict=True):
        path = raster(name, np.full((12, 17), value, np.float32), nodata=-9999)
        assert names[0] not in path or Path(path).exists()
    for name in names:
        file = Path(path).with_name(name)
        assert detect(file) == "pair"
        assert px(read_any(file)) == pytest.approx((EAST_PX, NORTH_PX))
    in_pixels = read_any(path, options=ImportOptions(units="px"))
    assert px(in_pixels) == pytest.approx((3, -7))


@pytest.mark.parametrize("up", [False, True], ids=["north first", "south first"])
def test_itslive_velocities_become_metres(up, tmp_path):
    need("itslive")
    import xarray

    x, y = 500_005 + 120.0 * np.arange(17), 4_000_000 - 120.0 * np.arange(12)
    vx, vy = np.full((12, 17), 3.0), np.full((12, 17), -7.0)
    vx[0, 0] = vy[0, 0] = np.nan
    order = slice(None, None, -1) if up else slice(None)
    about = {"units": "meter/year", "grid_mapping": "mapping"}
    data = xarray.Dataset(
        {
            "vx": (("y", "x"), vx[order], about | {"error": 1.5}),
            "vy": (("y", "x"), vy[order], about | {"error": 2.5}),
            "interp_mask": (("y", "x"), np.zeros((12, 17), np.uint8)),
            "mapping": ((), b"", {"spatial_ref": "EPSG:32631", "grid_mapping_name": "universal_transverse_mercator"}),
            "img_pair_info": ((), b"", {"date_dt": 182.5, "acquisition_date_img1": "20160206T10:11:12.500000"}),
        },
        {"x": x, "y": y[order]},
    )
    encoding = {name: {"dtype": "int16", "_FillValue": -32767} for name in ("vx", "vy")}
    data.to_netcdf(tmp_path / "pair.nc", engine="h5netcdf", encoding=encoding)
    assert detect(tmp_path / "pair.nc") == "itslive"
    found = read_any(tmp_path / "pair.nc")
    assert (float(found.east[5, 5]), float(found.north[5, 5])) == pytest.approx((1.5, -3.5))
    assert float(found.sigma_north[5, 5]) == pytest.approx(1.25)
    assert found.east.isnan().nonzero().tolist() == [[11 if up else 0, 0]]
    assert found.grid.transform.almost_equals(
        Affine(120, 0, 499_945, 0, 120 if up else -120, 4_000_060 if not up else 4_000_060 - 12 * 120)
    )
    assert found.made_by["BEFORE_DATE"].startswith("2016-02-06T10:11:12")


def stack(path, processor="cosicorr", pairs=1):
    """An ifgramStack.h5 as MintPy's load_data writes it."""
    import h5py

    with h5py.File(path, "w") as file:
        ramp = np.arange(1, pairs + 1, dtype=np.float32)[:, None, None]
        file["rangeOffset"] = np.full((pairs, 12, 17), 3.0, np.float32) * ramp
        file["azimuthOffset"] = np.full((pairs, 12, 17), -7.0, np.float32) * ramp
        file["date"] = np.array([[b"20160206", f"201611{20 + k}".encode()] for k in range(pairs)])
        about = {"FILE_TYPE": "ifgramStack", "PROCESSOR": processor, "X_FIRST": "500000.0", "Y_FIRST": "4000000.0"}
        file.attrs.update(
            about | {"X_STEP": "10.0", "Y_STEP": "-10.0", "LENGTH": "12", "WIDTH": "17", "UTM_ZONE": "31N"}
        )


def test_mintpy_holds_east_in_range_and_north_in_azimuth(tmp_path):
    need("mintpy")
    stack(tmp_path / "one.h5")
    assert detect(tmp_path / "one.h5") == "mintpy"
    found = read_any(tmp_path / "one.h5")
    assert px(found) == pytest.approx((EAST_PX, NORTH_PX))
    assert found.grid == UTM
    stack(tmp_path / "three.h5", pairs=3)
    with pytest.raises(InputError, match=r"3 pairs .20160206_20161120.*--pair"):
        read_any(tmp_path / "three.h5")
    second = read_any(tmp_path / "three.h5", options=ImportOptions(pair="20160206_20161121"))
    assert px(second) == pytest.approx((0.6, -1.4))
    stack(tmp_path / "radar.h5", "isce")
    with pytest.raises(InputError, match="radar's range and azimuth"):
        read_any(tmp_path / "radar.h5")


def test_arrows_point_to_the_south_east_of_the_map(tmp_path):
    field = moved()
    for name in ("geojson", "kmz"):
        write_any(field, tmp_path / f"arrows.{name}", None, ExchangeOptions(vector_every=4))
    data = json.loads((tmp_path / "arrows.geojson").read_text())
    lines = [feature["geometry"]["coordinates"] for feature in data["features"]]
    assert len(lines) == 3 * 4
    for (x0, y0), (x1, y1) in lines:
        assert x1 > x0
        assert y1 < y0
        assert (x1 - x0) * np.cos(np.radians(y0)) / (y0 - y1) == pytest.approx(3 / 7, rel=0.03)
    assert data["features"][0]["properties"]["azimuth_deg"] == pytest.approx(
        180 - np.degrees(np.arctan(3 / 7)), abs=0.1
    )
    with zipfile.ZipFile(tmp_path / "arrows.kmz") as archive:
        root = ElementTree.fromstring(archive.read("doc.kml"))
    kml = "{http://www.opengis.net/kml/2.2}"
    shafts = [line.text.split() for line in root.iter(f"{kml}coordinates")]
    assert len(shafts) == len(lines)
    tail, tip = (np.array([float(v) for v in point.split(",")]) for point in shafts[0][:2])
    assert np.allclose([tail, tip], lines[0], atol=1e-6)


def test_a_name_in_a_kmz_is_text(tmp_path):
    field = moved()
    field.made_by["BEFORE"] = "<b>&"
    (file,) = write_any(field, tmp_path / "a.kmz")
    with zipfile.ZipFile(file) as archive:
        assert b"&lt;b&gt;&amp;" in archive.read("doc.kml")


def test_a_style_is_warm_for_east_and_shows_the_band_that_was_asked_for(tmp_path):
    (file,) = write_any(moved(), tmp_path / "a.qml", None, ExchangeOptions(style_band="north", style_limit=5))
    text = file.read_text()
    assert text.startswith("<!DOCTYPE qgis")
    renderer = ElementTree.fromstring(text.split("\n", 1)[1]).find("pipe/rasterrenderer")
    assert renderer.get("band") == "2"
    items = list(renderer.iter("item"))
    values = [float(item.get("value")) for item in items]
    assert (values[0], values[-1]) == (-5, 5)
    assert values == sorted(values)
    red = [int(items[k].get("color")[1:3], 16) - int(items[k].get("color")[5:7], 16) for k in (4, -5)]
    assert red[0] < -50
    assert red[1] > 50


def test_what_is_not_recognised_says_what_can_be_given(raster, tmp_path):
    with pytest.raises(InputError, match=r"is no displacement field.*--from"):
        read_any(raster("two.tif", np.zeros((2, 5, 5), np.float32)))
    with pytest.raises(InputError, match="does not exist"):
        read_any(tmp_path / "nowhere.tif")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match="no arrows"):
        read_any(tmp_path / "a.json")
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(InputError, match="GDAL does not read it"):
        read_any(tmp_path / "text.tif")
    with pytest.raises(OptionError, match="can only be written"):
        read_any(tmp_path / "text.tif", "kmz")
    with pytest.raises(InputError, match="band 3 is needed"):
        read_any(raster("one.tif", np.zeros((5, 5), np.float32)), "asp")
    with pytest.raises(InputError, match="no partner"):
        read_any(raster("lonely_EW.tif", np.zeros((5, 5), np.float32)), "pair")


@pytest.mark.parametrize("start", [b"CDF\x01", b"\x89HDF\r\n\x1a\n"])
def test_a_truncated_netcdf_says_so(start, tmp_path):
    need("cf")
    (tmp_path / "cut.nc").write_bytes(start + b"\0\0")
    with pytest.raises(InputError, match="damaged or truncated"):
        read_any(tmp_path / "cut.nc")


def test_all_files_are_written_or_none(tmp_path):
    (tmp_path / "out_NS.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"out_NS\.tif exists already"):
        write_any(moved(), tmp_path / "out.tif", "pair")
    assert [path.name for path in tmp_path.iterdir()] == ["out_NS.tif"]
    assert len(write_any(moved(), tmp_path / "out.tif", "pair", overwrite=True)) == 3
    with pytest.raises(OptionError, match="no CRS"):
        write_any(moved(GRIDS["no CRS"]), tmp_path / "a.kmz")
    assert not list(tmp_path.glob("*.kmz")) + list(tmp_path.glob(".*"))
    with pytest.raises(OptionError, match="call the file"):
        write_any(moved(), tmp_path / "a.nc", "cosicorr")
    with pytest.raises(OptionError, match="which format is wanted"):
        write_any(moved(), tmp_path / "a.xyz")


def test_convert_goes_from_one_program_to_another(raster, tmp_path, capsys):
    from terrashift.cli import main

    values = np.full((3, 12, 17), [[[3.0]], [[-7.0]], [[0.95]]], np.float32)
    path = raster("c.tif", values, descriptions=("East/West", "North/South", "SNR"))
    assert main(["convert", path, "-o", str(tmp_path / "m.tif"), "--to", "micmac"]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.split()] == ["m_Px1.tif", "m_Px2.tif", "m_Correl.tif"]
    assert main(["convert", str(tmp_path / "m_Px2.tif"), "-o", str(tmp_path / "ours.tif")]) == 0
    assert px(read_any(tmp_path / "ours.tif", "terrashift")) == pytest.approx((EAST_PX, NORTH_PX))
    assert main(["convert", path, "-o", str(tmp_path / "ours.tif")]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert main(["convert", path, "-o", str(tmp_path / "z.tif"), "--from", "cosicorr", "--units", "px"]) == 0
    assert px(read_any(tmp_path / "z.tif")) == pytest.approx((3, -7))
