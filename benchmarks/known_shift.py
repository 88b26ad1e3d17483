"""Shift real crops by an exact Fourier shift and see by how much each estimator is off.

    python benchmarks/known_shift.py IMAGERY

IMAGERY is the folder of the real scenes (see README.md); without it, what TERRASHIFT_IMAGERY names. `before` is the
periodic component of a crop (Moisan 2011): the crop less a smooth part that takes up the jump between opposite edges.
So the image is periodic, its Fourier shift is exact, and no edge rings into it. Only windows inside both images count.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from methods import METHODS, machine, measure, source_of, stepped
from torch import Tensor

from terrashift.errors import InputError
from terrashift.estimators.base import Estimator, Search
from terrashift.io.raster import ReadOptions, open_raster
from terrashift.ops.spectral import fourier_shift

FRACTIONS_PX = tuple(k / 10 for k in range(10))
MIXED_PX = (0.3, -0.2)  # what the original frequency correlator was asked too
CROP_PX = (256, 320)  # rows, columns; not square
BAR_PX = 0.01
SEARCH = Search()


class Scene(NamedTuple):
    """Where a crop comes from."""

    sensor: str
    path: str
    band: str


SCENES = (
    Scene("S2 red, city", "train/milano/milano_date1.tif", "red"),
    Scene("S2 nir, fields", "train/saclay_w/saclay_w_date1.tif", "nir"),
    Scene("S2 red, mountains", "train/single_date/s2_10m_dolomites.tif", "red"),
    Scene("L8 pan", "train/single_date/landsat8_pan_15m_a.tif", "pan"),
    Scene("L7 pan, uint8", "train/single_date/landsat7_pan_15m_13.tif", "pan"),
    Scene("L8 red, 30 m", "train/pauls_landsat/pauls_2024-07-10.tif", "red"),
    Scene("TM nir, uint8", "train/nanjing_landsat/nanjing_2002-07-12.tif", "nir"),
    Scene("NAIP red, uint8", "train/naip_dakota/naip_2018-07-16.tif", "red"),
)


def periodic_component(image: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """The image less the smoothest image that has the same jumps between opposite edges (Moisan 2011); float64."""
    image = image.double()
    height, width = image.shape
    jump = torch.zeros_like(image)
    down, across = image[-1] - image[0], image[:, -1] - image[:, 0]
    jump[0] += down
    jump[-1] -= down
    jump[:, 0] += across
    jump[:, -1] -= across
    row = 2 * torch.cos(2 * torch.pi * torch.arange(height, dtype=torch.float64) / height)
    column = 2 * torch.cos(2 * torch.pi * torch.arange(width // 2 + 1, dtype=torch.float64) / width)
    laplacian = row[:, None] + column - 4
    laplacian[0, 0] = 1
    smooth = torch.fft.rfft2(jump) / laplacian
    smooth[0, 0] = 0
    return image - torch.fft.irfft2(smooth, s=image.shape)


def read_crop(path: Path, band: str, shape: tuple[int, int] = CROP_PX) -> Float[Tensor, "height width"]:
    """The middle of a scene, made periodic.

    Raises:
        InputError: the crop holds pixels without data.
    """
    raster = open_raster(str(path), ReadOptions(band=band))
    row, column = ((full - part) // 2 for full, part in zip(raster.grid.shape, shape, strict=True))
    crop = raster.read(row, column, *shape)
    if not crop.isfinite().all():
        raise InputError(
            f"the middle {shape[0]} x {shape[1]} px of {path} hold pixels without data: take another scene"
        )
    return periodic_component(crop)


def median_flow(estimator: Estimator, ground: Tensor, xy: tuple[float, float]) -> tuple[float, float]:
    """Median (x, y) that is measured on ground that moved by `xy` px, over the windows that lie inside."""
    flow = measure(estimator, source_of(ground, fourier_shift(ground, xy)), SEARCH).flow
    margin = -(-(estimator.window_px // 2 + max(SEARCH.radius) + 4) // estimator.step_px)
    inside = flow.xy[:, margin:-margin, margin:-margin].flatten(1)
    x, y = inside.nanmedian(1).values.tolist()
    return x, y


def biases(estimator: Estimator, ground: Tensor, shifts: Sequence[tuple[float, float]]) -> Float[Tensor, "shifts 2"]:
    """Median less truth for each shift, px."""
    found = torch.tensor([median_flow(estimator, ground, xy) for xy in shifts], dtype=torch.float64)
    return found - torch.tensor(shifts, dtype=torch.float64)


def all_shifts() -> list[tuple[float, float]]:
    """Every fraction along x, then along y, then the mixed one."""
    return [(f, 0.0) for f in FRACTIONS_PX] + [(0.0, f) for f in FRACTIONS_PX] + [MIXED_PX]


def table(scenes: Sequence[Scene], found: Float[Tensor, "scenes shifts 2"]) -> Iterator[str]:
    """Markdown: one line per fraction, one column per scene, bias along x / along y in thousandths of a pixel."""
    yield "| shift, px | " + " | ".join(scene.sensor for scene in scenes) + " |"
    yield "| --- |" + " --- |" * len(scenes)
    count = len(FRACTIONS_PX)
    for k, fraction in enumerate(FRACTIONS_PX):
        pairs = (f"{1e3 * one[k, 0]:+.1f} / {1e3 * one[count + k, 1]:+.1f}" for one in found)
        yield f"| {fraction:.1f} | " + " | ".join(pairs) + " |"
    mixed = (f"{1e3 * one[-1, 0]:+.1f} / {1e3 * one[-1, 1]:+.1f}" for one in found)
    yield f"| ({MIXED_PX[0]:.3f}, {MIXED_PX[1]:.3f}) | " + " | ".join(mixed) + " |"
    worst = (f"{1e3 * one.abs().max():.1f}" for one in found)
    yield "| largest, any component | " + " | ".join(worst) + " |"


def draw(path: Path, found: dict[str, Float[Tensor, "scenes shifts 2"]]) -> None:
    """Bias over fraction, one panel per estimator, one line per scene and axis."""
    from matplotlib.figure import Figure

    count = len(FRACTIONS_PX)
    figure = Figure(figsize=(4 * len(found), 3), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (name, bias) in zip(panels, found.items(), strict=True):
        for one in bias:
            axes.plot(FRACTIONS_PX, one[:count, 0], "-", FRACTIONS_PX, one[count : 2 * count, 1], "--", linewidth=0.8)
        axes.axhspan(-BAR_PX, BAR_PX, color="0.9", zorder=0)
        axes.set(title=name, xlabel="shift, px")
    panels[0].set_ylabel("median bias, px (solid x, dashed y)")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Read the command line, measure, print."""
    told = os.environ.get("TERRASHIFT_IMAGERY")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("imagery", type=Path, nargs="?", default=told and Path(told))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--step", type=int, default=2, help="distance between measurements, px")
    parser.add_argument("--plot", type=Path, help="PNG of bias over fraction")
    options = parser.parse_args()
    if not options.imagery:
        parser.error("give the folder of the imagery, or set TERRASHIFT_IMAGERY to it")
    scenes = [scene for scene in SCENES if (options.imagery / scene.path).exists()]
    if not scenes:
        parser.error(f"none of the scenes, such as {SCENES[0].path}, is in {options.imagery}")
    torch.set_num_threads(1)
    grounds = [read_crop(options.imagery / scene.path, scene.band) for scene in scenes]
    found = {}
    print(f"Median bias along x / along y in thousandths of a pixel; crops of {CROP_PX[0]} x {CROP_PX[1]} px.")
    for name in options.methods:
        estimator = stepped(METHODS[name].estimator, options.step)
        found[name] = torch.stack([biases(estimator, ground, all_shifts()) for ground in grounds])
        worst = found[name].abs().max().item()
        verdict = "holds" if worst < BAR_PX else "is broken"
        print(f"\n### {name}\n\n" + "\n".join(table(scenes, found[name])))
        print(f"\nLargest |bias| {worst:.4f} px: the bar of {BAR_PX} px {verdict}.", flush=True)
    print(f"\n{machine()}")
    if options.plot:
        draw(options.plot, found)


if __name__ == "__main__":
    main()
