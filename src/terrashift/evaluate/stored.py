"""What programs outside gave on the cases of a suite, read from files called like the cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import InputError, OptionError
from ..io.arrays import read_arrays
from ..io.exchange.formats import read_any
from .case import Answer, Case, Entry


@dataclass(frozen=True, slots=True)
class Stored:
    """The results of one program in one folder.

    `NAME.npz` holds `u` and `v` (x right, y down, px of the case, NaN where none); any other file called NAME, or a
    folder of that name, is read as `io.exchange` reads it: COSI-Corr, MicMac, ASP, ...
    """

    name: str
    folder: Path

    def __call__(self, entry: Entry, case: Case) -> Answer | None:
        """Read it; None where there is nothing of that name.

        Raises:
            InputError: it cannot be read.
            OptionError: it does not lie on the case.
        """
        array = self.folder / f"{entry.stem}.npz"
        if array.exists():
            return Answer(_of_array(array, case.source.grid), timed=False)
        places = [path for path in sorted(self.folder.iterdir()) if path.stem == entry.stem or path.name == entry.stem]
        for path in places:
            return Answer(_on(case.source.grid, _field(path), path), timed=False)
        return None


def _of_array(path: Path, grid: Grid) -> Float[ndarray, "2 height width"]:
    try:
        data = read_arrays(path, ("u", "v"))
        xy = np.stack([data["u"], data["v"]]).astype(np.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no result (arrays u and v), or a damaged one: {error}. Store it anew.") from error
    if xy.ndim != 3:
        raise OptionError(f"{path} holds arrays of {xy.ndim - 1} dimensions: give one vector a pixel.")
    if xy.shape[1:] != grid.shape:
        raise OptionError(
            f"{path} holds {xy.shape[1]} x {xy.shape[2]} vectors, the case has {grid.height} x {grid.width} pixels: "
            "give one vector a pixel, NaN where there is none."
        )
    return xy


def _field(path: Path) -> DisplacementField:
    """A file, or the first file of a folder that is a displacement field."""
    if not path.is_dir():
        return read_any(path)
    failed: InputError | None = None
    for file in sorted(path.iterdir()):
        try:
            return read_any(file)
        except InputError as error:
            failed = error
    raise InputError(f"{path} holds no displacement field that can be read: {failed}")


def _on(grid: Grid, field: DisplacementField, path: Path) -> Float[ndarray, "2 height width"]:
    """Motion in pixels of `grid` at its pixels that a cell's centre lies in; NaN at the others."""
    ground = torch.stack([field.east, field.north])
    if field.grid.shape == grid.shape:
        return grid.to_pixels(ground).numpy() if grid.crs else field.grid.to_pixels(ground).numpy()
    if not (grid.crs and field.grid.crs):
        raise OptionError(
            f"{path} holds {field.grid.height} x {field.grid.width} cells, the case has {grid.height} x {grid.width} "
            "pixels, and without a CRS it is not known where they lie: measure at every pixel."
        )
    coarser = field.grid.pixel_size[0] / grid.pixel_size[0]
    motion = (field.grid.to_pixels(ground) * coarser).numpy()
    row, column = np.mgrid[0 : field.grid.height, 0 : field.grid.width] + 0.5
    t = ~grid.transform @ field.grid.transform
    x, y = t.a * column + t.b * row + t.c, t.d * column + t.e * row + t.f
    inside = (x >= 0) & (x < grid.width) & (y >= 0) & (y < grid.height)
    found = np.full((2, *grid.shape), np.nan, np.float32)
    found[:, y[inside].astype(int), x[inside].astype(int)] = motion[:, inside]
    return found
