"""Make small rasters for the tests of reading and writing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

UTM = Affine(10, 0, 500_000, 0, -10, 4_000_000)


@pytest.fixture
def raster(tmp_path: Path) -> Callable[..., str]:
    """`raster(name, pixels, **profile)` writes (band, row, column) or (row, column) pixels and gives the path.

    `descriptions`, `tags`, `colours`, `scale`, `offset` and `mask` are set after; a transform of None leaves the file
    without georeferencing.
    """

    def write(name: str, pixels: np.ndarray, **profile: Any) -> str:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        pixels = pixels if pixels.ndim == 3 else pixels[None]
        extra = {key: profile.pop(key, None) for key in ("descriptions", "tags", "colours", "scale", "offset", "mask")}
        place: dict[str, Any] = {"crs": "EPSG:32631", "transform": UTM} | profile
        place = {key: value for key, value in place.items() if value is not None}
        count, height, width = pixels.shape
        shape: dict[str, Any] = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **({"driver": "GTiff"} | shape | place)) as dataset:
                if extra["descriptions"]:
                    dataset.descriptions = extra["descriptions"]
                if extra["tags"]:
                    dataset.update_tags(**extra["tags"])
                if extra["colours"]:
                    dataset.colorinterp = extra["colours"]
                if extra["scale"] is not None:
                    dataset.scales, dataset.offsets = (extra["scale"],) * count, (extra["offset"],) * count
                dataset.write(pixels)
                if extra["mask"] is not None:
                    dataset.write_mask(extra["mask"])
        return str(path)

    return write


@pytest.fixture
def ramp() -> np.ndarray:
    """A 7 x 9 image of different uint16 values, none of them 0."""
    return np.arange(1, 64, dtype=np.uint16).reshape(7, 9)
