"""Folders like those of the PROBA-V challenge, made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from planted_bursts import SHIFTS, burst


def write_png(path: Path, values: np.ndarray) -> None:
    """One band, 8 or 16 bits, as the challenge's files are: without georeferencing."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="PNG", height=height, width=width, count=1, dtype=values.dtype) as png:
            png.write(values, 1)


def write_scene(folder: Path, seed: int = 0, side: int = 40, truth: bool = True, frames: int = 6) -> None:
    """One scene of `side` px, DN about 8000; every frame has clouds of its own, masked and of any brightness."""
    folder.mkdir(parents=True)
    planted = burst((side, side), 3, SHIFTS[:frames], seed=seed, finest=0.33)
    random = np.random.default_rng(seed)
    for k, frame in enumerate(planted.pixels):
        values = (80 * frame[0].numpy() + 20 * random.normal(size=(side, side))).clip(0, 16383)
        mask = np.full((side, side), 255, np.uint8)
        if k:
            mask[4 * k : 4 * k + 6, 5:15] = 0
            values[mask == 0] = 16000
        write_png(folder / f"LR{k:03d}.png", values.round().astype(np.uint16))
        write_png(folder / f"QM{k:03d}.png", mask)
    mask = np.full((3 * side, 3 * side), 255, np.uint8)
    mask[:10, :30] = 0
    write_png(folder / "SM.png", mask)
    if truth:
        write_png(folder / "HR.png", (80 * planted.truth[0].numpy()).clip(0, 16383).round().astype(np.uint16))


def write_data(root: Path) -> Path:
    """Two scenes of NIR, one of RED, and norm.csv, laid out as the challenge's archive is."""
    for number, (band, seed) in enumerate((("RED", 0), ("NIR", 1), ("NIR", 2))):
        write_scene(root / "train" / band / f"imgset{number:04d}", seed)
    lines = [f"imgset{number:04d} {45 + number}.5" for number in range(3)]
    (root / "norm.csv").write_text("\n".join(lines) + "\n")
    return root


def write_many(root: Path, count: int = 4, side: int = 40) -> Path:
    """`count` scenes of each band, numbered as the challenge's are: RED first; norm.csv."""
    for number in range(2 * count):
        band = "RED" if number < count else "NIR"
        write_scene(root / "train" / band / f"imgset{number:04d}", number, side)
    lines = [f"imgset{number:04d} 40.5" for number in range(2 * count)]
    (root / "norm.csv").write_text("\n".join(lines) + "\n")
    return root


def write_references(path: Path, numbers: dict[tuple[str, str], str]) -> Path:
    """As PROBA-V-REF's reference.json is."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for (band, name), number in numbers.items():
        found.setdefault(band, {})[name] = {"reference": number}
    path.write_text(json.dumps(found, indent=4))
    return path
