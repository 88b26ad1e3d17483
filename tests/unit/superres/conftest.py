"""Stacks of frames as files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from planted_bursts import Planted

NORTH_UP = Affine(30, 0, 500_000, 0, -30, 4_000_000)
Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """`save(name, pixels, offset=(0, 0))` writes (band height width) as a GeoTIFF on a grid `offset` px away."""

    def write(name: str, pixels: np.ndarray, offset: tuple[float, float] = (0, 0), **profile: object) -> str:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        values = np.asarray(pixels)
        bands, height, width = values.shape
        place = {"crs": "EPSG:32631", "transform": NORTH_UP @ Affine.translation(*offset), "nodata": -9999.0}
        shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name}
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", **(shape | place | profile)) as dataset:
                dataset.write(np.nan_to_num(values, nan=-9999.0) if values.dtype.kind == "f" else values)
        return str(path)

    return write


@pytest.fixture
def stack(save: Save) -> Callable[..., list[str]]:
    """`stack(planted)` writes all its frames on one grid, a day apart."""

    def write(planted: Planted, **profile: object) -> list[str]:
        return [save(f"frame_2021-07-{10 + k}.tif", frame.numpy(), **profile) for k, frame in enumerate(planted.pixels)]

    return write
