"""Register pairs that are moved by a known map, real date change in them, and see how much of the error is left.

    python benchmarks/registration.py IMAGERY [--only pairs,naip,cloud,wrong,large]

IMAGERY is the folder of the real scenes (see README.md); without it, what TERRASHIFT_IMAGERY names. `moving` is the
second date resampled through a map S (sinc kernel), so that a landmark at q in it lies at S(q) - o in the first date,
o being the dates' own offset (median of phase correlations of large windows). What the dates differ by locally stays.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from affine import Affine
from methods import machine
from scipy import ndimage

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.spatial import Spatial
from terrashift.io.raster import Raster, ReadOptions, open_raster
from terrashift.ops.sample import sample_at
from terrashift.register.apply import aligned
from terrashift.register.evaluate import landmark_error
from terrashift.register.mapping import XY, Mapping
from terrashift.register.options import RegisterOptions
from terrashift.register.pair import Job, register
from terrashift.register.sources import ArrayImage, MappedPair
from terrashift.simulate.misregistration import misregistration

SIDE_PX = 480
LANDMARKS = 40
"""Along each side."""
BORDER_PX = 24
BAR = 0.05
NAIP_BAR_PX = 0.1
SCENES = (
    ("milano/milano_date1.tif", "milano/milano_date2.tif", "red"),
    ("pisa/pisa_date1.tif", "pisa/pisa_date2.tif", "nir"),
    ("beirut/beirut_date1.tif", "beirut/beirut_date2.tif", "red"),
    ("cupertino/cupertino_date1.tif", "cupertino/cupertino_date2.tif", "red"),
    ("horta_landsat/horta_2009-06-22.tif", "horta_landsat/horta_2010-07-27.tif", "1"),
    ("naip_dakota/naip_2014-07-20.tif", "naip_dakota/naip_2016-08-16.tif", "red"),
)


class Scene(NamedTuple):
    """Two dates on one grid."""

    name: str
    first: torch.Tensor
    second: torch.Tensor
    offset: tuple[float, float]


def load(imagery: Path, name: str, band: str) -> torch.Tensor:
    """A band of a scene of the training split, and its grid."""
    raster = open_raster(str(imagery / "train" / name), ReadOptions(band=band))
    return raster.read(0, 0, *raster.grid.shape)


def scenes(imagery: Path) -> list[Scene]:
    """Crops of both dates, moved by what their georeferencing says, with the offset that is left between them."""
    found = []
    for one, other, band in SCENES:
        images = [load(imagery, name, band) for name in (one, other)]
        rows, columns = (min(image.shape[k] for image in images) for k in (0, 1))
        top, left = (max(0, (n - SIDE_PX) // 2) for n in (rows, columns))
        first, second = (image[top : top + SIDE_PX, left : left + SIDE_PX] for image in images)
        found.append(Scene(one.split("/")[0], first, second, misregistration(first, second).xy))
    return found


def smooth(size_px: float, waves_px: float, seed: int) -> Callable[[XY], XY]:
    """A shift of at most `size_px`, made of plane waves of `waves_px` and longer in all directions."""
    random = np.random.default_rng(seed)
    angle, phase = random.uniform(0, 2 * np.pi, (2, 2, 6))
    length = waves_px * random.uniform(1, 2, (2, 6))
    gain = size_px / 6 / 0.5**0.5 / 2**0.5

    def shift(xy: XY) -> XY:
        parts = []
        for k in (0, 1):
            waves = [
                np.sin(2 * np.pi * (xy[0] * np.cos(a) + xy[1] * np.sin(a)) / w + f)
                for a, w, f in zip(angle[k], length[k], phase[k], strict=True)
            ]
            parts.append(gain * sum(waves))
        return np.stack(parts)

    return shift


def maps(seed: int) -> dict[str, tuple[str, Callable[[XY], XY]]]:
    """Model to ask for, and map S from the moving image to the second date, of every kind."""
    random = np.random.default_rng(seed)
    x, y = random.choice([-1, 1], 2) * random.uniform(5, 9, 2)
    turn, scale = random.choice([-1, 1], 2) * (2.0, 0.02)
    middle = Affine.translation(SIDE_PX / 2 + x, SIDE_PX / 2 + y)
    matrix = middle @ Affine.rotation(turn) @ Affine.scale(1 + scale) @ Affine.translation(-SIDE_PX / 2, -SIDE_PX / 2)
    bend = smooth(10.0, 300.0, seed)

    def linear(xy: XY) -> XY:
        return np.stack(
            [matrix.a * xy[0] + matrix.b * xy[1] + matrix.c, matrix.d * xy[0] + matrix.e * xy[1] + matrix.f]
        )

    return {
        "translation": ("translation", lambda xy: xy + np.reshape([x, y], (2,) + (1,) * (xy.ndim - 1))),
        "affine": ("affine", linear),
        "smooth": ("local", lambda xy: xy + bend(xy)),
        "affine + smooth": ("local", lambda xy: linear(xy + bend(xy))),
    }


def image(pixels: torch.Tensor) -> ArrayImage:
    """Pixels without a CRS, but on one lattice with others like them."""
    return ArrayImage(pixels, Grid(*pixels.shape, Affine.translation(100, 100), None))


def landmarks(scene: Scene, way: Callable[[XY], XY]) -> tuple[XY, XY]:
    """(reference, moving) px of places that both images show."""
    height, width = scene.first.shape
    x, y = np.meshgrid(np.linspace(0, width - 1, LANDMARKS), np.linspace(0, height - 1, LANDMARKS))
    moving = np.stack([x.ravel(), y.ravel()])
    reference = way(moving) - np.array(scene.offset)[:, None]
    limits = np.array([[width], [height]]) - 1 - BORDER_PX
    inside = ((reference > BORDER_PX) & (reference < limits) & (moving > BORDER_PX) & (moving < limits)).all(0)
    return reference[:, inside], moving[:, inside]


def clouded(pixels: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Bright, structured cloud over a share of an image, opaque but for its rims."""
    random = np.random.default_rng(seed)
    wide, fine = (ndimage.gaussian_filter(random.normal(size=pixels.shape), size, mode="wrap") for size in (40.0, 4.0))
    wide, fine = wide / wide.std(), fine / fine.std()
    cover = np.clip((wide - np.quantile(wide, 1 - share)) * 4 + 0.5, 0, 1)
    low, high = np.nanquantile(pixels.numpy(), [0.5, 0.999])
    cloud = high * (1.2 + 0.15 * fine)
    return torch.from_numpy(((1 - cover) * pixels.numpy() + cover * np.maximum(cloud, low)).astype(np.float32))


def pairs(imagery: Path, share: float = 0.0) -> None:
    """The table of simulated pairs."""
    print(f"\n### Simulated pairs of real dates, {SIDE_PX} px" + (f", cloud over {share:.0%}" if share else ""))
    print(
        "\n| map | scene | initial px | left px | left share | median | CE90 | s |\n|---|---|---|---|---|---|---|---|"
    )
    total: dict[str, list[tuple[float, float]]] = {}
    for number, scene in enumerate(scenes(imagery)):
        for kind, (model, way) in maps(number).items():
            grid = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in scene.second.shape[::-1])))
            second = clouded(scene.second, share, number) if share else scene.second
            moving = sample_at(second[None], way(grid))[0]
            reference, places = landmarks(scene, way)
            initial = landmark_error(Mapping(), reference, places)
            began = time.perf_counter()
            try:
                found = register(Job(image(moving), image(scene.first), RegisterOptions(model=model)))
            except InputError as error:
                print(f"| {kind} | {scene.name} | {initial.mean_px:.2f} | refused: {str(error)[:60]} | | | | |")
                total.setdefault(kind, []).append((initial.mean_px, initial.mean_px))
                continue
            seconds = time.perf_counter() - began
            left = landmark_error(found.mapping, reference, places)
            total.setdefault(kind, []).append((initial.mean_px, left.mean_px))
            print(
                f"| {kind} | {scene.name} | {initial.mean_px:.2f} | {left.mean_px:.3f} | "
                f"{left.mean_px / initial.mean_px:.3f} | {left.median_px:.3f} | {left.ce90_px:.3f} | {seconds:.1f} |",
                flush=True,
            )
    for kind, values in total.items():
        initial, left = np.array(values).mean(0)
        share_left = left / initial
        print(f"| **{kind}** | mean | {initial:.2f} | {left:.3f} | **{share_left:.3f}** (bar {BAR}) | | | |")


def naip(imagery: Path) -> None:
    """Dates of one place on slightly different grids, brought onto one and judged by two other estimators."""
    print(
        "\n### NAIP dates onto one grid\n\nMedian offset (x, y px) by the spatial correlator (window 31), and by phase"
    )
    print("correlation of windows of 128 px; before: by georeferencing alone.\n")
    print("| date | model | spatial before | after | phase before | after | CE90 held out | s |")
    print("|---|---|---|---|---|---|---|---|")
    files = sorted((imagery / "train" / "naip_dakota").glob("*.tif"))
    reference = open_raster(str(files[3]), ReadOptions(band="red"))
    base = reference.read(0, 0, *reference.grid.shape)
    for path in files:
        if path == files[3]:
            continue
        moving = open_raster(str(path), ReadOptions(band="red"))
        judged = None
        for model in ("auto", "local"):
            began = time.perf_counter()
            found = register(Job(moving, reference, RegisterOptions(model=model)))
            seconds = time.perf_counter() - began
            images = [aligned([moving], mapping, reference.grid)[0] for mapping in (found.start, found.mapping)]
            judged = judged or (offset_between(reference, images[0]), misregistration(base, images[0]).xy)
            after = offset_between(reference, images[1]), misregistration(base, images[1]).xy
            shown = [f"{x:+.3f} {y:+.3f}" for pair in zip(judged, after, strict=True) for x, y in pair]
            held = found.numbers()["ce90 held out px"]
            print(f"| {path.stem[5:]} | {found.model} | {' | '.join(shown)} | {held:.2f} | {seconds:.1f} |", flush=True)


def offset_between(reference: Raster, pixels: torch.Tensor) -> tuple[float, float]:
    """Median flow by an estimator that the registration does not use."""
    pair = MappedPair(reference, ArrayImage(pixels, reference.grid))
    flow = measure_whole(Spatial(window_px=31, step_px=8, reg=0.0, min_score=0.6), pair, Search((0, 0), (3, 3)))
    x, y = np.nanmedian(flow.xy.numpy().reshape(2, -1), 1)
    return float(x), float(y)


def wrong(imagery: Path) -> None:
    """Pairs of different places, which must be refused."""
    print("\n### Wrong pairs\n\n| pair | start | refused |\n|---|---|---|")
    crops = scenes(imagery)
    refused = tried = 0
    for i, one in enumerate(crops):
        for start in ("auto", "content"):
            other = crops[(i + 1) % len(crops)]
            tried += 1
            try:
                register(Job(image(other.second), image(one.first), RegisterOptions(start=start)))
                print(f"| {one.name}, {other.name} | {start} | **no** |")
            except InputError as error:
                refused += 1
                print(f"| {one.name}, {other.name} | {start} | {str(error)[:90]}... |")
    print(f"\n{refused} of {tried} refused")


def large(side_px: int) -> None:
    """Time and memory for two large images on disk, in a process of its own."""
    print(f"\n### {side_px} x {side_px} px\n")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--make-large", folder, "--side", str(side_px)]
        subprocess.run(command, check=True)
        for model in ("affine",):
            words = [f"{folder}/moving.tif", f"{folder}/reference.tif", "-o", f"{folder}/{model}.tif", "--model", model]
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "terrashift", "register", *words, "--overwrite"], check=True)
            seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            print(f"{model}: {seconds:.0f} s, largest child {peak:.2f} GB (making the images included)")


def make_large(folder: Path, side_px: int) -> None:
    """Fractal ground written strip by strip, and the same moved by (3.3, -2.7) px with noise."""
    import rasterio

    random = np.random.default_rng(0)
    tile = ndimage.gaussian_filter(random.normal(size=(1024, 1024)), 1.2, mode="wrap")
    tile += 4 * ndimage.gaussian_filter(random.normal(size=(1024, 1024)), 6.0, mode="wrap")
    moved = ndimage.fourier_shift(np.fft.fft2(tile), (-2.7, 3.3))
    versions = {"reference": tile, "moving": np.fft.ifft2(moved).real}
    for name, ground in versions.items():
        profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": side_px, "width": side_px}
        place = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 4e6), "tiled": True}
        with rasterio.open(folder / f"{name}.tif", "w", **profile, **place) as dataset:
            for top in range(0, side_px, 512):
                rows = (np.arange(top, min(top + 512, side_px)) + 0) % 1024
                # the tile fades in and out over the image, so that no two parts are alike
                line = np.tile(ground[rows], (1, side_px // 1024 + 1))[:, :side_px]
                y, x = np.arange(top, top + len(rows))[:, None], np.arange(side_px)
                shade = 1 + 0.6 * np.sin(x / 777.0) * np.cos(y / 555.0)
                values = 3000 + 800 * line * shade + 20 * random.normal(size=line.shape)
                window = rasterio.windows.Window(0, top, side_px, len(rows))
                dataset.write(values.clip(1, 65535).astype(np.uint16)[None], window=window)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("imagery", nargs="?", type=Path, default=os.environ.get("TERRASHIFT_IMAGERY"))
    parser.add_argument("--only", default="pairs,naip,cloud,wrong", help="parts to run; large is one more")
    parser.add_argument("--side", type=int, default=10_000, help="of the large images, px")
    parser.add_argument("--make-large", type=Path, help=argparse.SUPPRESS)
    found = parser.parse_args()
    if found.make_large:
        make_large(found.make_large, found.side)
        return
    torch.set_num_threads(1)
    print(machine())
    parts = {
        "pairs": lambda: pairs(Path(found.imagery)),
        "cloud": lambda: pairs(Path(found.imagery), 0.4),
        "naip": lambda: naip(Path(found.imagery)),
        "wrong": lambda: wrong(Path(found.imagery)),
        "large": lambda: large(found.side),
    }
    for name in found.only.split(","):
        parts[name]()


if __name__ == "__main__":
    main()
