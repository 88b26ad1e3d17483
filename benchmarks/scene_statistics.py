"""Hold drawn landscapes against real crops: spectrum, autocorrelation, contrast, edges, and likeness of two dates.

Real crops are tiles without missing pixels from GeoTIFFs in FOLDER/PLACE/, the first band; the first two dates of a
place are compared after their whole offset has been removed. Places that the provider interpolated can be left out.

    python benchmarks/scene_statistics.py FOLDER [--skip NAME NAME]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from scipy import ndimage

from terrashift.simulate.misregistration import misregistration
from terrashift.simulate.scene import KINDS, SceneOptions, procedural_scene
from terrashift.simulate.statistics import Texture, likeness, texture

TILE_PX = 256
TILES = 4
"""Of an image, at most, spread over it."""
MARGIN_PX = 4
"""Left out along the border, where the second date lacks what its offset takes away."""
SEEDS = range(4)
SINGLE = "single_date"
"""The folder whose files are not dates of one place."""
NAMES = (*Texture._fields, "likeness")
PERCENTILES = (5, 50, 95)


def main() -> None:
    """Print one line for each real crop and drawn scene, and the ranges of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skip", nargs="*", default=["vilomara_s2", "pauls_s2"], help="places to leave out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    real = [line for place in places(options.folder, options.skip) for line in of_place(place)]
    drawn = [line for kind in KINDS for seed in SEEDS for line in of_scene(kind, seed)]
    for name, rows in (("real", real), ("drawn", drawn)):
        table = np.array([numbers for _, numbers in rows])
        for percentile in PERCENTILES:
            show(f"{name} {percentile} %", np.nanpercentile(table, percentile, axis=0))


def places(folder: Path, skip: list[str]) -> Iterator[Path]:
    """Folders with images, in order."""
    yield from sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in skip)


def of_place(place: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers of each tile of a place; likeness to the second date, where there is one, NaN otherwise."""
    files = sorted(place.glob("*.tif"))
    if place.name == SINGLE:
        groups = [[path] for path in files]
    else:
        groups = [files[:2]]
    for group in groups:
        images = [read(path) for path in group]
        second = laid_on(*images) if len(images) == 2 and images[0].shape == images[1].shape else None
        for row, column in corners(images[0]):
            at = slice(row, row + TILE_PX), slice(column, column + TILE_PX)
            other = second[at] if second is not None else None
            same = likeness(images[0][at], other) if other is not None and np.isfinite(other).all() else np.nan
            numbers = np.array([*texture(images[0][at]), same])
            show(f"{place.name} {group[0].stem} {row},{column}", numbers)
            yield place.name, numbers


def read(path: Path) -> np.ndarray:
    """First band, NaN without data."""
    with rasterio.open(path) as dataset:
        return dataset.read(1, masked=True).astype(np.float32).filled(np.nan)


def laid_on(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """The second date without its whole offset from the first; nothing where they do not match."""
    x, y = misregistration(torch.from_numpy(first), torch.from_numpy(second)).xy
    if not np.isfinite([x, y]).all():
        return None
    lost = ndimage.shift((~np.isfinite(second)).astype(np.float32), (-y, -x), order=1, cval=1) > 0
    moved = ndimage.shift(np.nan_to_num(second), (-y, -x), order=3, mode="nearest")
    return np.where(lost, np.nan, moved)


def corners(image: np.ndarray) -> list[tuple[int, int]]:
    """First pixels of up to `TILES` tiles that hold data throughout, as far apart as a grid of them lies."""
    height, width = image.shape
    rows, columns = (np.unique(np.linspace(MARGIN_PX, n - TILE_PX - MARGIN_PX, 3).astype(int)) for n in (height, width))
    if min(height, width) < TILE_PX + 2 * MARGIN_PX:
        return []
    full = [(r, c) for r in rows for c in columns if usable(image[r : r + TILE_PX, c : c + TILE_PX])]
    return [full[k] for k in np.unique(np.linspace(0, len(full) - 1, TILES).astype(int))] if full else []


def usable(tile: np.ndarray) -> bool:
    """No missing pixels, and not a sea or a frame of one value."""
    return bool(np.isfinite(tile).all() and (tile == np.median(tile)).mean() < 0.2 and tile.mean() > 0)


def of_scene(kind: str, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers of a drawn scene."""
    scene = procedural_scene(TILE_PX, TILE_PX, seed, SceneOptions(kind=kind))
    before, after = (image[0].numpy() for image in scene)
    numbers = np.array([*texture(before), likeness(before, after)])
    show(f"drawn {kind} {seed}", numbers)
    yield kind, numbers


def show(name: str, numbers: np.ndarray) -> None:
    """One line of the table."""
    print(f"{name:50}" + "".join(f"{key} {value:8.3f}  " for key, value in zip(NAMES, numbers, strict=True)))


if __name__ == "__main__":
    main()
