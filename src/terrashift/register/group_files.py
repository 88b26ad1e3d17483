"""Register a group of image files, and write them aligned with a table of pairwise offsets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.grid import Grid
from ..errors import OptionError, OutputError
from ..io.aligned import data_bands, open_band, write_bands
from ..io.atomic import atomic_write_text, check_target
from ..io.opening import bounded_cache
from ..io.raster import Raster, ReadOptions, checksum, open_raster
from .apply import aligned_blocks
from .files import Masks, as_json
from .group import Group, GroupJob, register_group
from .mapping import Polynomial
from .options import GroupOptions, RegisterOptions

COLUMNS = ("first", "second", "x_px", "y_px", "error_px", "ties", "ce90_px", "closure_px", "weight", "note")


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """Files, and how to register them together."""

    files: tuple[str, ...]
    reference: str | None = None
    options: RegisterOptions = field(default_factory=RegisterOptions)
    group: GroupOptions = field(default_factory=GroupOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    masks: Masks = field(default_factory=Masks)


class GroupOutput(NamedTuple):
    """A folder of results."""

    folder: Path
    images: tuple[Path, ...]
    table: Path
    numbers: Path
    picture: Path

    @classmethod
    def into(cls, folder: Path, files: Sequence[str]) -> GroupOutput:
        """All names, from those of the files.

        Raises:
            OptionError: where two files would give one name.
        """
        names = [f"{Path(file).stem}.tif" for file in files]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise OptionError(f"several files would be written as {', '.join(twice)}: rename them")
        images = tuple(folder / name for name in names)
        return cls(folder, images, folder / "offsets.csv", folder / "group.json", folder / "group.png")

    def check(self, overwrite: bool, inputs: Sequence[str]) -> None:
        """Make the folder, and make sure that nothing in it is replaced unasked, nor any input at all.

        Raises:
            OptionError: where a result would replace an input.
            OutputError: where a name is taken or the folder cannot be made.
        """
        sources = {Path(path).resolve() for path in inputs}
        targets = (*self.images, self.table, self.numbers, self.picture)
        for path in targets:
            if path.resolve() in sources:
                raise OptionError(f"{path} is an input: choose another folder for the results")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {self.folder}: {error.strerror}. Choose another") from error
        for path in targets:
            check_target(path, overwrite)


class RegisteredGroup(NamedTuple):
    """What was found, and where the files lie."""

    group: Group
    names: tuple[str, ...]
    grid: Grid
    """That all images lie on now."""
    numbers: dict[str, Any]


def register_group_files(
    request: GroupRequest, output: GroupOutput, say: Callable[[str], None] = lambda text: None
) -> RegisteredGroup:
    """Register files as a group, and write each aligned, the table of offsets (CSV) and all numbers (JSON).

    Files are taken in the order of their dates where all have one. Without a reference the frame is the mean of all,
    on the grid of the first.

    Raises:
        InputError: a file cannot be used, or does not match the others.
        OutputError: where a result cannot be written.
    """
    with bounded_cache():
        rasters = [open_raster(file, request.read) for file in request.files]
        order = list(range(len(rasters)))
        if all(raster.date for raster in rasters):
            order.sort(key=lambda k: str(rasters[k].date))
        rasters = [rasters[k] for k in order]
        images = [output.images[k] for k in order]
        names = tuple(Path(raster.path).name for raster in rasters)
        home = _home(request, rasters)
        grid = rasters[home or 0].grid
        ground = request.masks.read(request.options.keep_off_m, grid)
        job = GroupJob(rasters, names, request.options, request.group, home, ground, say)
        group = register_group(job)
        for raster, path, mapping in zip(rasters, images, group.mappings, strict=True):
            bands = data_bands(raster.path)
            opened = [open_band(raster.path, number, request.read) for number in bands.numbers]
            blocks = aligned_blocks(opened, mapping, grid, request.options.kernel)
            date = {"ACQUISITION_DATE": raster.date.date().isoformat()} if raster.date else {}
            tags = date | {"TERRASHIFT_VERSION": version("terrashift"), "REGISTERED": f"in a group, by {group.model}"}
            write_bands(path, grid, bands.names, blocks, tags)
        numbers = _numbers(request, rasters, group, grid)
        atomic_write_text(output.table, table_of(group, names, grid))
        atomic_write_text(output.numbers, json.dumps(as_json(numbers), indent=1, ensure_ascii=False) + "\n")
    return RegisteredGroup(group, names, grid, numbers)


def _home(request: GroupRequest, rasters: Sequence[Raster]) -> int | None:
    """Which image is the reference."""
    if request.reference is None:
        return None
    wanted = Path(request.reference).resolve()
    for number, raster in enumerate(rasters):
        if Path(raster.path).resolve() == wanted:
            return number
    raise OptionError(f"--reference {request.reference} is not among the images of --group: add it to them.")


def at_middle(shift: Polynomial, grid: Grid) -> tuple[float, float]:
    """(x, y) px of a shift at the middle of a grid."""
    x, y = shift.shift(np.array([[(grid.width - 1) / 2], [(grid.height - 1) / 2]]))[:, 0]
    return float(x), float(y)


def table_of(group: Group, names: Sequence[str], grid: Grid) -> str:
    """Pairwise offsets as CSV: the ground at p in `first` is at p + (x, y) px in `second`, at the image's middle.

    `closure_px` is what the adjustment leaves of a pair; weight 0 marks pairs that contradict the others.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for offset in group.offsets:
        shape = group.shifts[0]
        x, y = at_middle(Polynomial(offset.coefficients, shape.order, shape.centre, shape.scale), grid)
        values = (x, y, offset.error_px, offset.ties, offset.ce90_px, offset.closure_px, offset.weight)
        shown = [value if isinstance(value, int) else f"{value:.4f}" for value in values]
        rows.writerow([names[offset.first], names[offset.second], *shown, ""])
    for first, second, reason in group.failed:
        rows.writerow([names[first], names[second], *[""] * 7, reason.split(":")[0]])
    return text.getvalue()


def _numbers(request: GroupRequest, rasters: Sequence[Raster], group: Group, grid: Grid) -> dict[str, Any]:
    closure = [offset.closure_px for offset in group.offsets]
    return {
        "terrashift": version("terrashift"),
        "options": request.options.model_dump(mode="json"),
        "model": group.model,
        "frame": Path(request.reference).name if request.reference else "the mean of all shifts",
        "grid": str(grid),
        "images": [
            {
                "name": Path(raster.path).name,
                "sha256": checksum(raster.path),
                "date": raster.date.isoformat() if raster.date else None,
                "shift at the middle px": list(at_middle(shift, grid)),
                "standard error px": error,
                "x px": shift.coefficients[0].tolist(),
                "y px": shift.coefficients[1].tolist(),
            }
            for raster, shift, error in zip(rasters, group.shifts, group.errors_px, strict=True)
        ],
        "pairs": len(group.offsets),
        "pairs set aside": sum(offset.weight == 0 for offset in group.offsets),
        "pairs that do not match": len(group.failed),
        "median closure px": float(np.median(closure)) if closure else None,
    }
