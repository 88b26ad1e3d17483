"""GeoTIFF and ENVI rasters of COSI-Corr, ASP and autoRIFT, and plain east / north pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...core.field import DisplacementField
from ...errors import InputError, OptionError
from .bands import (
    Extra,
    Look,
    compass_to_ground,
    field_of,
    ground_of,
    look,
    pixels_of,
    read_bands,
    unit_of,
    write_bands,
)
from .options import ImportOptions

COSICORR = ("East/West", "North/South", "SNR")
"""Names of COSI-Corr's bands, as its programs write them."""
AUTORIFT = ("Dx", "Dy", "InterpMask", "ChipSizeX")
ASP_END = "-F.tif"
TOKENS = (("EW", "NS", "SNR"), ("ew", "ns", "snr"), ("east", "north", "score"), ("E", "N", "SNR"))
"""How the files of a pair, and of their quality, are told apart in their names."""


def is_cosicorr(path: Path, seen: Look) -> bool:
    """Three bands or more, called as COSI-Corr calls them."""
    plain = [re.sub("[^a-z]", "", name.lower()) for name in seen.names[:2]]
    return plain in (["eastwest", "northsouth"], ["ew", "ns"])


def read_cosicorr(path: Path, options: ImportOptions) -> DisplacementField:
    """East, north (metres with a CRS, else pixels) and signal-to-noise ratio, 0 to 1, of COSI-Corr.

    Source: bands and units as geoCosiCorr3D and the classic ENVI plug-in write them (Leprince et al. 2007).
    """
    seen = look(path)
    count = seen.count if seen else 0
    bands = read_bands(path, (1, 2, 3) if count >= 3 else (1, 2), options)
    unit = unit_of(seen.units if seen else ())
    ground = compass_to_ground(bands.values[:2], bands.grid, unit, options)
    score = bands.values[2] if count >= 3 else None
    return field_of(ground, bands.grid, {"METHOD": "COSI-Corr", "FIELD": path.name}, Extra(score=score))


def write_cosicorr(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Three float32 bands: East/West, North/South, SNR (our score)."""
    values = torch.stack([field.east, field.north, field.score]).float().numpy()
    unit = {"m": "m", "px": "pixels"}[field.grid.unit]
    write_bands(paths[0], values, field.grid, COSICORR, nodata=np.nan, unit=unit)


def is_asp(path: Path, seen: Look) -> bool:
    """Called as ASP calls its filtered disparity."""
    return path.name.endswith((ASP_END, "-RD.tif", "-D.tif")) and seen.count == 3


def read_asp(path: Path, options: ImportOptions) -> DisplacementField:
    """Disparity of the Ames Stereo Pipeline: pixels to the right, pixels down, and where both are good.

    The disparity is where a pixel of the first image is in the second, less where it was: with `before` first it is
    our flow. The file often has no georeferencing: then give the first image as `options.like`.
    """
    bands = read_bands(path, (1, 2, 3), options)
    xy, good = bands.values[:2], bands.values[2]
    xy = torch.where((good > 0) & xy.isfinite().all(0), xy, torch.nan)
    made_by = {"METHOD": "ASP", "FIELD": path.name}
    return field_of(ground_of(xy, bands.grid, options), bands.grid, made_by, Extra(score=(good > 0).float()))


def write_asp(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Three float32 bands: disparity to the right and down in pixels, 0 where there is none, and 1 where it is good."""
    xy = pixels_of(field, options)
    good = xy.isfinite().all(0)
    values = torch.cat([torch.where(good, xy, 0), good[None].float()]).float().numpy()
    write_bands(paths[0], values, field.grid)


def is_autorift(path: Path, seen: Look) -> bool:
    """The four bands of autoRIFT's offset.tif, by their names, or by that of the file where bands have none."""
    return seen.names[:2] == AUTORIFT[:2] or (path.name == "offset.tif" and seen.count == 4 and not any(seen.names))


def read_autorift(path: Path, options: ImportOptions) -> DisplacementField:
    """autoRIFT's offset.tif: Dx to the right and Dy UP in pixels of the images, interpolation mask, chip size.

    Its score is 1 where a value was measured and 0 where it was interpolated.

    Raises:
        OptionError: without the size of the images' pixels: cells are coarser, and the file does not tell.
    """
    bands = read_bands(path, (1, 2, 3), options)
    if bands.grid.crs and options.image_pixel is None:
        raise OptionError(
            f"{path} counts pixels of the images, whose size it does not tell: give --image-pixel in metres (10 for "
            "Sentinel-2, 15 for Landsat's panchromatic band)."
        )
    right, up, interpolated = bands.values
    ground = ground_of(torch.stack([right, -up]), bands.grid, options)
    score = torch.where(interpolated.nan_to_num() > 0, 0.0, 1.0)
    return field_of(ground, bands.grid, {"METHOD": "autoRIFT", "FIELD": path.name}, Extra(score=score))


def write_autorift(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Four float32 bands: Dx (right), Dy (up) in pixels, 0 for measured, 0 for an unknown chip size."""
    right, down = pixels_of(field, options)
    zero = torch.zeros(field.grid.shape)
    values = torch.stack([right, -down, zero, zero]).float().numpy()
    write_bands(paths[0], values, field.grid, AUTORIFT, nodata=np.nan)


def is_pair(path: Path, seen: Look) -> bool:
    """One band, named as one of two files of which the other is there too."""
    return seen.count == 1 and pair_of(path) is not None


def pair_of(path: Path) -> tuple[Path, Path, Path] | None:
    """The files of east, north and (perhaps missing) quality, given one of them.

    >>> pair_of(Path("nothing.tif")) is None
    True
    """
    for tokens in TOKENS:
        for token in tokens:
            where = rf"(?<![A-Za-z]){token}(?![a-z])"
            if token in ("EW", "NS", "SNR"):
                where = rf"{token}(?![a-z])"  # also after a name, as in `offset1EW.tif`
            found = list(re.finditer(where, path.stem))
            if found:
                begin, end = found[-1].span()
                east, north, quality = (path.with_stem(path.stem[:begin] + t + path.stem[end:]) for t in tokens)
                if east.exists() and north.exists():
                    return east, north, quality
    return None


def read_pair(path: Path, options: ImportOptions) -> DisplacementField:
    """Two rasters, east and north, and perhaps a third of their quality (0 to 1), told apart by their names.

    Raises:
        InputError: the other file is missing, or lies on another grid.
    """
    files = pair_of(path)
    if files is None:
        raise InputError(
            f"{path} has no partner: call the files alike but for EW and NS (or east and north), with SNR (or score) "
            "for their quality."
        )
    bands = [read_bands(file, (1,), options) for file in files if file.exists()]
    if any(other.grid != bands[0].grid for other in bands):
        raise InputError(f"{files[0]} and its partners lie on different grids: {[str(b.grid) for b in bands]}.")
    seen = look(files[0])
    values = torch.cat([band.values for band in bands])
    ground = compass_to_ground(values[:2], bands[0].grid, unit_of(seen.units if seen else ()), options)
    score = values[2] if len(values) > 2 else None
    return field_of(ground, bands[0].grid, {"FIELD": files[0].name}, Extra(score=score))


def pair_targets(path: Path) -> list[Path]:
    """Names of the files of a pair.

    >>> [target.name for target in pair_targets(Path("slip.tif"))]
    ['slip_EW.tif', 'slip_NS.tif', 'slip_SNR.tif']
    """
    return [path.with_stem(f"{path.stem}_{token}") for token in TOKENS[0]]


def write_pair(field: DisplacementField, paths: Sequence[Path], options: ImportOptions) -> None:
    """Three files of one float32 band: east, north, score."""
    unit = {"m": "m", "px": "pixels"}[field.grid.unit]
    for path, name, one in zip(paths, ("east", "north", "score"), ("east", "north", "score"), strict=True):
        values = getattr(field, name)[None].float().numpy()
        write_bands(path, values, field.grid, (one,), nodata=np.nan, unit=unit if name != "score" else None)
