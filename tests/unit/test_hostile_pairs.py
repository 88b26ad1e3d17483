"""Pairs of any mixture of grids and gaps: checked and measured with the right unit and signs, or refused."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from terrashift.errors import TerrashiftError
from terrashift.pipeline import check, measure
from terrashift.recipe import Recipe

SHIFT_XY = (0.4, -0.3)
SIDE = 64
UTM, FEET, DEGREES = "EPSG:32631", "EPSG:2263", "EPSG:4326"
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_000_000)
GRIDS = {
    "north-up": NORTH_UP,
    "south-up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": NORTH_UP @ Affine.rotation(30),
    "sheared": Affine(10, 3, 500_000, 0, -10, 4_000_000),
    "oblong": Affine(12, 0, 500_000, 0, -8, 4_000_000),
    "none": None,
}
RECIPE = Recipe.model_validate(
    {
        "estimate": {"method": "frequency", "window_px": 16, "start_window_px": 32, "step_px": 12},
        "search": {"search_px": 1},
        "run": {"device": "cpu", "threads": 1},
    }
)
QUIET: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


class One(NamedTuple):
    """One image of a pair."""

    shape: tuple[int, int]
    dtype: str
    grid: str
    crs: str | None
    nodata: float | None


def ground(xy: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    """Band-limited noise around 120, moved by exact (x right, y down) px, seen through a window of `shape`."""
    noise = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)
    spectrum = np.fft.rfft2(noise) * np.exp(-(fx**2 + fy**2) / 0.05 - 2j * np.pi * (fx * xy[0] + fy * xy[1]))
    image = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    return (120 + 30 * image / image.std())[: shape[0], : shape[1]]


def write(path: Path, one: One, xy: tuple[float, float]) -> str:
    """Write an image."""
    pixels = ground(xy, one.shape).round().clip(1, 250).astype(one.dtype)
    transform = GRIDS[one.grid]
    if one.crs == DEGREES and transform is not None:
        transform = Affine.translation(3, 36) @ Affine.scale(1e-5) @ Affine(*(*transform[:2], 0, *transform[3:5], 0))
    profile = {"driver": "GTiff", "dtype": one.dtype, "count": 1, "height": one.shape[0], "width": one.shape[1]}
    more = {"crs": one.crs, "transform": transform, "nodata": one.nodata}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, **{k: v for k, v in more.items() if v is not None}) as dataset:
            dataset.write(pixels, 1)
    return str(path)


ones = st.builds(
    One,
    shape=st.sampled_from([(1, 1), (2, 40), (3, 60), (20, 20), (48, 60), (64, 64)]),
    dtype=st.sampled_from(["uint8", "int16", "float32", "float64"]),
    grid=st.sampled_from(sorted(GRIDS)),
    crs=st.sampled_from([None, UTM, FEET, DEGREES]),
    nodata=st.sampled_from([None, 0.0, 255.0]),
)


@settings(max_examples=40, **QUIET)
@given(first=ones, second=ones, alike=st.booleans())
def test_two_images_of_any_kind_are_judged_or_refused_with_what_to_do(first, second, alike):
    second = first._replace(dtype=second.dtype, nodata=second.nodata) if alike else second
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        paths = [write(Path(name) / f"{k}.tif", one, (0, 0)) for k, one in enumerate((first, second))]
        warnings.simplefilter("error")
        found, said = None, ""
        try:
            found = check(*paths, window_px=16)
        except TerrashiftError as error:
            said = str(error)
    if found is None:
        assert len(said) > 60
        assert any(path in said for path in paths)
        return
    assert found.ok == (min(first.shape + second.shape) >= 16)
    assert found.unit == ("m" if first.crs and first.grid != "none" else "px")


@settings(max_examples=8, **QUIET)
@given(
    grid=st.sampled_from(sorted(GRIDS)),
    crs=st.sampled_from([None, UTM, FEET]),
    dtype=st.sampled_from(["uint8", "float64"]),
)
def test_any_grid_is_measured_with_its_unit_and_signs(grid, crs, dtype):
    one = One((48, 60), dtype, grid, crs, None)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        folder = Path(name)
        before, after = write(folder / "a.tif", one, (0, 0)), write(folder / "b.tif", one, SHIFT_XY)
        warnings.simplefilter("error")
        summary = measure(before, after, folder / "d.tif", RECIPE)
    east, north = SHIFT_XY[0], -SHIFT_XY[1]
    transform = GRIDS[grid]
    if crs and transform is not None:
        metres = 1200 / 3937 if crs == FEET else 1.0
        (x0, y0), (x1, y1) = transform @ (0, 0), transform @ SHIFT_XY
        east, north = (x1 - x0) * metres, (y1 - y0) * metres
    assert summary.unit == ("m" if crs and grid != "none" else "px")
    assert summary.east is not None
    assert summary.north is not None
    size = np.hypot(east, north) / np.hypot(*SHIFT_XY)
    assert (summary.east.median, summary.north.median) == pytest.approx((east, north), abs=0.06 * size)
