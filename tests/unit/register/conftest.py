"""One made-up ground, and images of it on any grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from scipy import ndimage

from terrashift.core.grid import Grid
from terrashift.register.sources import ArrayImage

ORIGIN = (500_000.0, 4_000_000.0)
METRES = 10.0
"""Between the samples of the ground, which start at `ORIGIN` and run to the east and the south."""
NORTH_UP = Affine(10, 0, 502_000, 0, -10, 3_998_000)
See = Callable[..., ArrayImage]


@lru_cache(maxsize=4)
def ground(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    fine, coarse = (ndimage.gaussian_filter(random.normal(size=(900, 900)), size) for size in (1.3, 8.0))
    return ndimage.spline_filter(100 * (fine / fine.std() + coarse / coarse.std()), 3)


def look(
    grid: Grid,
    seed: int = 0,
    move: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
    noise: float = 5.0,
    noise_seed: int = 1,
) -> ArrayImage:
    """The ground at the centres of a grid's pixels; `move` takes (column, row) of the image to where it looks."""
    column, row = np.meshgrid(np.arange(grid.width, dtype=float), np.arange(grid.height, dtype=float))
    if move is not None:
        column, row = move(column, row)
    t = grid.transform
    east = t.a * (column + 0.5) + t.b * (row + 0.5) + t.c
    north = t.d * (column + 0.5) + t.e * (row + 0.5) + t.f
    at = (ORIGIN[1] - north) / METRES, (east - ORIGIN[0]) / METRES
    values = ndimage.map_coordinates(ground(seed), at, order=3, prefilter=False, mode="mirror")
    values = values + noise * np.random.default_rng(noise_seed).normal(size=values.shape)
    return ArrayImage(torch.from_numpy(values.astype(np.float32)), grid)


@pytest.fixture(scope="session")
def grid() -> Grid:
    """Of the reference: 210 rows by 250 columns of 10 m."""
    return Grid(210, 250, NORTH_UP, "EPSG:32631")


@pytest.fixture(scope="session")
def see() -> See:
    """`look`."""
    return look


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """`save(name, image, bands=1)` writes a GeoTIFF and gives its path."""

    def write(name: str, image: ArrayImage, bands: int = 1, **profile: object) -> str:
        import rasterio

        place = {"crs": image.grid.crs, "transform": image.grid.transform, "nodata": -9999.0}
        shape = {"count": bands, "height": image.grid.height, "width": image.grid.width, "dtype": "float32"}
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path, "w", driver="GTiff", **shape, **(place | profile)) as dataset:
            for band in range(bands):
                dataset.write(((1 + band) * image.pixels).nan_to_num(-9999.0).numpy(), band + 1)
            if bands > 1:
                dataset.descriptions = tuple(f"b{band + 1}" for band in range(bands))
        return str(path)

    return write
