"""Fields as xarray data sets, and CF attributes that other programs can rely on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from affine import Affine
from exchange_fields import GRIDS, UTM, moved

from terrashift.core.field import DisplacementField
from terrashift.errors import InputError, OptionError
from terrashift.io.exchange.formats import write_any
from terrashift.io.exchange.netcdf import from_xarray, to_xarray

xarray = pytest.importorskip("xarray", reason="needs xarray")


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_field_goes_to_xarray_and_back_unchanged(grid):
    field = moved(grid)
    found = from_xarray(to_xarray(field))
    for name in DisplacementField.BANDS:
        torch.testing.assert_close(getattr(found, name), getattr(field, name), rtol=0, atol=1e-6, equal_nan=True)
    assert found.grid.transform.almost_equals(grid.transform, 1e-9 * abs(grid.transform.c or 1))
    assert (found.grid.shape, found.grid.crs, found.grid.unit) == (grid.shape, grid.crs, grid.unit)
    assert found.made_by == field.made_by


def test_a_value_lies_at_the_coordinates_of_its_cell():
    field = moved()
    field.east[2, 7] = 99
    data = to_xarray(field)
    assert float(data.east.sel(x=500_075, y=3_999_975)) == 99
    assert data.x[0] == 500_005
    assert data.y[0] > data.y[-1]
    assert (data.east.attrs["units"], data.score.attrs["units"]) == ("m", "1")
    assert data.attrs["Conventions"].startswith("CF-")


def test_the_crs_is_told_by_cf_and_by_wkt():
    about = to_xarray(moved()).spatial_ref.attrs
    assert about["grid_mapping_name"] == "transverse_mercator"
    assert about["longitude_of_central_meridian"] == 3
    assert "UTM zone 31N" in about["crs_wkt"]
    assert Affine.from_gdal(*map(float, about["GeoTransform"].split())) == UTM.transform


@pytest.mark.parametrize("place", ["utm", "south-up", "not square", "degrees"])
def test_gdal_finds_the_file_where_the_field_is(place, tmp_path):
    pytest.importorskip("h5py", reason="needs h5py")
    import rasterio

    grid = GRIDS[place]
    (file,) = write_any(moved(grid), tmp_path / "field.nc")
    with rasterio.open(f"NETCDF:{file}:north") as dataset:
        assert dataset.crs == rasterio.CRS.from_string(grid.crs)
        flipped = place == "south-up"  # GDAL lays the first row in the north
        expected = grid.transform @ Affine(1, 0, 0, 0, -1, grid.height) if flipped else grid.transform
        assert Affine(*dataset.transform[:6]).almost_equals(expected, 1e-6)
        values = dataset.read(1)
    assert np.isnan(values[-3 if flipped else 2, 3])
    assert values[0, 0] == pytest.approx(float(moved(grid).north[0, 0]), rel=1e-5)


def foreign(x, y, east, north, **about):
    names = {"ew": (("lat", "lon"), east, about), "ns": (("lat", "lon"), north, about)}
    place = {"crs": ((), 0, {"crs_wkt": "EPSG:32631"})}
    return xarray.Dataset(names | place, {"lon": x, "lat": y})


def test_a_data_set_of_others_with_rows_from_the_south():
    x, y = 500_005 + 10.0 * np.arange(5), 4_000_005 + 10.0 * np.arange(4)
    east, north = np.full((4, 5), 3.0), np.full((4, 5), -7.0)
    field = from_xarray(foreign(x, y, east, north, units="m"))
    assert field.grid.transform == Affine(10, 0, 500_000, 0, 10, 4_000_000)
    assert (float(field.east[0, 0]), float(field.north[0, 0])) == (3, -7)


def test_pixels_up_stay_up_on_any_grid():
    """In pixels north is up the image; on rows that start in the south, up the image is south."""
    x, y = 500_005 + 10.0 * np.arange(5), 4_000_035 - 10.0 * np.arange(4)
    east, north = np.full((4, 5), 0.3), np.full((4, 5), -0.7)
    field = from_xarray(foreign(x, y, east, north, units="pixels"))
    assert (float(field.east[0, 0]), float(field.north[0, 0])) == pytest.approx((3, -7))


def test_what_is_no_field_is_refused():
    x, y = 500_005 + 10.0 * np.arange(5), 4_000_005 - 10.0 * np.arange(4)
    plane = np.zeros((4, 5))
    with pytest.raises(InputError, match="no variables east and north"):
        from_xarray(foreign(x, y, plane, plane).rename(ew="other"))
    with pytest.raises(InputError, match="irregular"):
        from_xarray(foreign(x + np.array([0, 0, 0, 0, 3]), y, plane, plane))
    with pytest.raises(InputError, match="several dates"):
        from_xarray(xarray.concat([foreign(x, y, plane, plane)] * 2, "time", data_vars="all"))
    with pytest.raises(OptionError, match="no CRS"):
        from_xarray(foreign(x, y, plane, plane, units="m").drop_vars("crs"))
