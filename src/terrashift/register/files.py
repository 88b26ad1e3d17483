"""Register image files: open, register, resample, and write the result with its tie points and numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.grid import Grid
from ..io.aligned import data_bands, open_band, write_bands
from ..io.atomic import atomic_write_text, check_targets, require_geotiff
from ..io.opening import bounded_cache
from ..io.points import best_suffix, write_points
from ..io.raster import Raster, ReadOptions, checksum, open_raster
from .apply import aligned_blocks
from .exclude import Ground
from .masks import read_ground
from .options import RegisterOptions
from .overlap import Names
from .pair import Job, register
from .result import Registration
from .ties import FLAGS, EstimatorAt

CONVENTION = (
    "the ground at pixel p of the reference (x right, y down, centre of the first pixel (0, 0)) was at map(p) of the "
    "moving image; shifts are those of the moving image against the reference by its georeferencing"
)


class Output(NamedTuple):
    """The result and what lies beside it."""

    image: Path
    ties: Path
    numbers: Path
    picture: Path
    page: Path

    @classmethod
    def beside(cls, output: Path, ties: Path | None = None) -> Output:
        """All names from that of the result.

        >>> Output.beside(Path("aligned.tif")).page.name
        'aligned.html'

        Raises:
            OptionError: where the name does not say that it is a GeoTIFF.
        """
        require_geotiff(output)
        stem = output.with_suffix("")
        names = (stem.with_name(stem.name + end) for end in (".json", ".png", ".html"))
        return cls(output, ties or stem.with_name(stem.name + ".ties" + best_suffix()), *names)

    def check(self, overwrite: bool, inputs: Sequence[str | Path]) -> None:
        """Make sure before any work that all can be written, and that none is an input.

        Raises:
            OptionError: where a result would replace an input.
            OutputError: where a name is taken or the folder refuses.
        """
        check_targets(self, inputs, overwrite)


@dataclass(frozen=True, slots=True)
class Masks:
    """Files that say what may be fitted to; see `masks.read_ground`."""

    exclude: tuple[Path, ...] = ()
    stable: tuple[Path, ...] = ()
    trace: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.exclude, *self.stable, *([self.trace] if self.trace else []))

    def read(self, keep_off: float, reference: Grid) -> Ground:
        """See `masks.read_ground`."""
        return read_ground(self.exclude, self.stable, self.trace, keep_off, reference)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Two files, and how to register them."""

    moving: str
    reference: str
    options: RegisterOptions = field(default_factory=RegisterOptions)
    read_moving: ReadOptions = field(default_factory=ReadOptions)
    read_reference: ReadOptions = field(default_factory=ReadOptions)
    masks: Masks = field(default_factory=Masks)
    estimator_at: EstimatorAt | None = None
    device: str = "cpu"


class Registered(NamedTuple):
    """An open job and its result."""

    job: Job
    found: Registration
    numbers: dict[str, Any]


def register_files(request: Request, output: Output, say: Callable[[str], None] = lambda text: None) -> Registered:
    """Register one file on another, and write the aligned image, its tie points and all numbers.

    The image holds every band of the moving file but transparency, as float32 on the whole grid of the reference.

    Raises:
        InputError: a file cannot be used, or the two do not match.
        OutputError: where a result cannot be written.
    """
    with bounded_cache():
        job = open_job(request)
        say(f"registering {request.moving} ({job.moving.grid}) on {request.reference} ({job.reference.grid})")
        found = register(job)
        numbers = {
            "terrashift": version("terrashift"),
            "moving": {"name": Path(request.moving).name, "sha256": checksum(request.moving)},
            "reference": {"name": Path(request.reference).name, "sha256": checksum(request.reference)},
            "options": request.options.model_dump(mode="json"),
            "convention": CONVENTION,
            **found.numbers(),
        }
        say(
            f"{found.model} from {numbers['tie points']['used']} tie points; resampling once ({request.options.kernel})"
        )
        write_aligned(request.moving, request.read_moving, found, output.image, request.options)
        write_ties(output.ties, found)
        atomic_write_text(output.numbers, json.dumps(as_json(numbers), indent=1, ensure_ascii=False) + "\n")
    return Registered(job, found, numbers)


def open_job(request: Request) -> Job:
    """Both files open.

    Raises:
        InputError: where one cannot be used.
    """
    moving = open_raster(request.moving, request.read_moving)
    reference = open_raster(request.reference, request.read_reference)
    names = Names(request.moving, request.reference)
    ground = request.masks.read(request.options.keep_off_m, reference.grid)
    return Job(moving, reference, request.options, names, ground, request.estimator_at, request.device)


def write_aligned(path: str, read: ReadOptions, found: Registration, output: Path, options: RegisterOptions) -> None:
    """Resample every band of a file that holds data onto the reference.

    Raises:
        OutputError: where the result cannot be written.
    """
    bands = data_bands(path)
    rasters = [open_band(path, number, read) for number in bands.numbers]
    blocks = aligned_blocks(rasters, found.mapping, found.reference, options.kernel)
    write_bands(output, found.reference, bands.names, blocks, _tags(path, rasters[0], found, options))


def _tags(path: str, raster: Raster, found: Registration, options: RegisterOptions) -> dict[str, str]:
    date = {"ACQUISITION_DATE": raster.date.date().isoformat()} if raster.date else {}
    return {
        **date,
        "TERRASHIFT_VERSION": version("terrashift"),
        "REGISTERED": f"{Path(path).name} by {found.model} ({found.started_by}), resampled once by {options.kernel}",
    }


def write_ties(path: Path, found: Registration) -> None:
    """Write tie points with shifts, residuals, scores and flags, at their places on the reference.

    Raises:
        OutputError: where the file cannot be written.
    """
    ties, grid = found.ties, found.reference
    moving = found.start(ties.found)
    left, held = found.residual, found.held_out
    shift = ties.shift
    metres = (
        np.stack([_to_ground(grid, shift[:, k], ties.reference[1, k]) for k in range(len(ties))], 1)
        if len(ties)
        else np.zeros((2, 0))
    )
    at = np.array([grid.transform @ (x + 0.5, y + 0.5) for x, y in ties.reference.T]).reshape(-1, 2).T
    fields = {
        "reference_x": ties.reference[0],
        "reference_y": ties.reference[1],
        "moving_x": moving[0],
        "moving_y": moving[1],
        "shift_x_px": shift[0],
        "shift_y_px": shift[1],
        f"shift_east_{grid.unit}": metres[0],
        f"shift_north_{grid.unit}": metres[1],
        "residual_x_px": left[0],
        "residual_y_px": left[1],
        "held_out_x_px": held[0],
        "held_out_y_px": held[1],
        "score": ties.score,
        "texture": ties.texture,
        "flag": np.array([FLAGS[k] for k in ties.flag], dtype="U16"),
    }
    write_points(path, at, grid.crs, fields)


def _to_ground(grid: Grid, shift: np.ndarray, row: float) -> np.ndarray:
    m = grid.metric_transform(row)
    return np.array([m.a * shift[0] + m.b * shift[1], m.d * shift[0] + m.e * shift[1]])


def as_json(value: Any) -> Any:
    """Values as JSON holds them: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
