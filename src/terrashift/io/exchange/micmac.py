"""Px1, Px2 and Correl of MicMac's MM2DPosSism: pixels along columns and rows, counted in steps of the search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ...core.field import DisplacementField
from ...errors import InputError
from .bands import Extra, Look, field_of, ground_of, pixels_of, read_bands, write_bands
from .options import ImportOptions

HALF = 127.5
"""Correl holds `127.5 (1 + correlation)` in 8 bits."""


def is_micmac(path: Path, seen: Look) -> bool:
    """One band, called Px1 or Px2."""
    return seen.count == 1 and re.search(r"Px[12](?!\d)", path.name) is not None


def micmac_files(path: Path) -> tuple[Path, Path, Path | None]:
    """Px1, Px2 and (where there is one) Correl, given Px1 or Px2.

    MicMac numbers the files by the step of its search; the last of Correl belongs to the last of Px1.

    Raises:
        InputError: one of Px1 and Px2 is missing.
    """
    first, second = (path.with_name(re.sub(r"Px[12](?!\d)", f"Px{k}", path.name)) for k in (1, 2))
    for file in (first, second):
        if not file.exists() or "Px" not in path.name:
            raise InputError(f"{path} is no MicMac result: Px1_... and Px2_... are needed, side by side ({file}).")
    own = path.with_name(re.sub(r"Px[12](?!\d)", "Correl", path.name))
    if own.exists():
        return first, second, own
    found = sorted(path.parent.glob("Correl_*Num_*.tif"), key=lambda p: int(re.findall(r"\d+", p.stem)[-1]))
    return first, second, found[-1] if found else None


def read_micmac(path: Path, options: ImportOptions) -> DisplacementField:
    """A result of MM2DPosSism: east is +Px1 and north is -Px2, times `options.micmac_step` pixels.

    The files are not georeferenced: give the first image as `options.like`; else lengths are in pixels. The score is
    the correlation, 0 where that is negative.

    Source: Rosu et al. 2015; steps and scaling as MicMac's users apply them (0.05 px for the default search).
    """
    first, second, correl = micmac_files(path)
    bands = [read_bands(file, (1,), options) for file in (first, second)]
    if bands[0].grid != bands[1].grid:
        raise InputError(f"{first} and {second} have different sizes: are they of one run?")
    xy = torch.cat([band.values for band in bands]) * options.micmac_step
    score = None
    if correl is not None:
        score = read_bands(correl, (1,), options).values[0] / HALF - 1
        if score.shape != xy.shape[1:]:
            raise InputError(f"{correl} has another size than {first}: remove what is left of another run.")
    grid = bands[0].grid
    return field_of(ground_of(xy, grid, options), grid, {"METHOD": "MicMac", "FIELD": first.name}, Extra(score=score))


def micmac_targets(path: Path) -> list[Path]:
    """Names of the three files.

    >>> [target.name for target in micmac_targets(Path("slip.tif"))]
    ['slip_Px1.tif', 'slip_Px2.tif', 'slip_Correl.tif']
    """
    return [path.with_stem(f"{path.stem}_{name}") for name in ("Px1", "Px2", "Correl")]


def write_micmac(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Px1 and Px2 as float32 in steps of `options.micmac_step` pixels, NaN without a value; Correl as 8 bits."""
    x, y = pixels_of(field, options) / options.micmac_step
    correl = (HALF * (1 + field.score.nan_to_num(0).clamp(0, 1))).round().to(torch.uint8)
    for path, band in zip(paths, (x.float(), y.float(), correl), strict=True):
        nodata = None if band is correl else float("nan")
        write_bands(path, band[None].numpy(), field.grid, nodata=nodata)
