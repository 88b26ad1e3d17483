"""Several image files of one place to one sharper one: choose -> place -> sharpen tile by tile -> write."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .core.grid import Grid
from .core.tiles import Tile, plan_tiles
from .crew import run_job
from .io.aligned import write_bands
from .io.atomic import atomic_write_text, check_targets, require_geotiff
from .io.cog import to_tags
from .io.raster import ReadOptions, checksum
from .io.sinks import TileSink
from .io.store import TileStore, saying_what_is_kept
from .io.store_folder import discard, work_folder
from .register.files import bounded_cache
from .resources import RunOptions, workers_for
from .superres.base import Method
from .superres.brightness import ANCHOR_HALO, anchored
from .superres.check import SIDE_PX, HeldOut, held_out
from .superres.files import FrameFile, MaskOptions, fine_grid, open_frames
from .superres.frames import Frames
from .superres.methods import method_for
from .superres.options import SuperresOptions
from .superres.outliers import OUTLIER_HALO, without_outliers
from .superres.stack import Stack, build_stack
from .superres.trust import TRUST_HALO, agreeing
from .superres.upsample import count_frames
from .watch import Watch

TILE_PX = 256
BYTES_PER_PX = 200
"""Of a frame's pixel while it is read, placed and compared with the others."""
CONVENTION = (
    "the result lies on the reference's grid, each pixel cut into scale x scale, in the reference's brightness; sigma "
    "is the standard error (by formula: the frames' disagreement, and a share of the contrast around for detail that "
    "no frame holds); frames counts usable ones; shift px is (x right, y down) of a frame against the reference by its "
    "georeferencing, frame(p + shift) = reference(p)"
)


class Output(NamedTuple):
    """The result and what lies beside it."""

    image: Path
    summary: Path

    @classmethod
    def beside(cls, output: Path) -> Output:
        """Both names.

        >>> Output.beside(Path("sharp.tif")).summary.name
        'sharp.json'

        Raises:
            OptionError: where the name does not say that it is a GeoTIFF.
        """
        require_geotiff(output)
        return cls(output, output.with_suffix(".json"))


@dataclass(frozen=True, slots=True)
class Request:
    """Files, and what is to be made of them."""

    frames: tuple[str, ...]
    options: SuperresOptions = field(default_factory=SuperresOptions)
    run: RunOptions = field(default_factory=RunOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    bands: tuple[str, ...] = ()
    """By number or name; all that hold data unless given."""
    masks: MaskOptions = field(default_factory=MaskOptions)


@dataclass(frozen=True, slots=True)
class Sharpener:
    """A method, and what goes before and after it; nothing here knows of files."""

    stack: Stack
    method: Method
    options: SuperresOptions
    device: str = "cpu"

    @property
    def halo(self) -> int:
        """Pixels of the frames around a part that its result comes from."""
        return max(self.method.halo, ANCHOR_HALO) + OUTLIER_HALO + TRUST_HALO

    @property
    def bands(self) -> int:
        """Of the result: the frames' own, their sigmas, and the number of frames."""
        return 2 * len(self.stack.reference.file.bands) + 1

    @torch.inference_mode()
    def part(self, core: tuple[slice, slice]) -> Tensor:
        """The bands of a part of the reference's pixels, (band, fine rows, fine columns)."""
        rows, columns = core
        halo, scale = self.halo, self.options.scale
        height, width = rows.stop - rows.start, columns.stop - columns.start
        frames = self.prepared(rows.start - halo, columns.start - halo, height + 2 * halo, width + 2 * halo)
        mean, sigma = self.method(frames, scale)
        mean = anchored(mean, frames.pixels[frames.home], scale, self.options.anchor)
        count = count_frames(frames, scale)
        mean, sigma = (torch.where(count > 0, part, torch.nan) for part in (mean, sigma))
        inner = slice(halo * scale, (halo + height) * scale), slice(halo * scale, (halo + width) * scale)
        return torch.cat([mean, sigma, count[None]])[:, inner[0], inner[1]].cpu()

    def prepared(self, row: int, column: int, height: int, width: int) -> Frames:
        """The frames of a window as the method takes them; right where `OUTLIER_HALO` + `TRUST_HALO` px lie around."""
        frames = self.stack.window(row, column, height, width)
        if not self.options.keep_outliers:
            frames = without_outliers(frames, self.stack.noise)
        if not self.options.trust_all:
            frames = agreeing(frames, self.stack.quiet)
        return frames.to(self.device)

    @torch.inference_mode()
    def check(self) -> HeldOut:
        """Whether frames predict each other better than the reference does, in the middle of the image."""
        height, width = self.stack.grid.shape
        side = SIDE_PX + 2 * self.method.halo
        row, column = (height - side) // 2, (width - side) // 2
        return held_out(self.prepared(row, column, side, side), self.method, self.options.scale, self.options.contrast)

    def memory(self, side: int) -> int:
        """Bytes that a part of `side` x `side` px takes at its peak."""
        frames, bands = len(self.stack.frames), len(self.stack.reference.file.bands)
        pixels = (side + 2 * self.halo) ** 2
        own = pixels * (BYTES_PER_PX * frames * bands + 12 * bands * self.options.scale**2)
        return own + (0 if self.device == "cuda" else self.method.memory(frames, bands, pixels, self.options.scale))


@dataclass(frozen=True, slots=True)
class _Job:
    """Sharpen one tile and keep it."""

    sharpener: Sharpener
    store: TileSink
    side: int
    stop: threading.Event = field(default_factory=threading.Event)
    what: str = "tiles"

    def __call__(self, tile: Tile) -> None:
        if self.stop.is_set():
            return
        scale = self.sharpener.options.scale
        core = tuple(slice(part.start // scale, part.stop // scale) for part in tile.core)
        self.store.write(tile, self.sharpener.part((core[0], core[1])))


def sharpen(
    request: Request, output: Path, *, resume: bool = False, overwrite: bool = False, watch: Watch | None = None
) -> dict[str, Any]:
    """Make one sharper image of several files of one place, and write it with a summary beside it.

    Nothing appears under these names before it is complete.

    Args:
        request: files and settings.
        output: name of the result, `.tif`.
        resume: go on with a run that was cut short.
        overwrite: replace results of these names, or start an unfinished run again.
        watch: who hears of progress and warnings.

    Returns:
        What the summary holds.

    Raises:
        InputError: a frame cannot be used, or none can.
        OptionError: a setting cannot work here.
        OutputError: the result cannot be written.
        IncompleteError: some tiles failed; `resume=True` tries them again.
    """
    watch, names, options = watch or Watch(), Output.beside(output), request.options
    going_on = resume and work_folder(names.image).exists()
    check_targets(names, (*request.frames, *request.masks.files), overwrite or going_on)
    with bounded_cache():
        files = open_frames(request.frames, request.read, request.bands, request.masks)
        method = method_for(options, len(files[0].bands), request.run.torch_device)
        stack = build_stack(files, options, watch.say)
        sharpener = Sharpener(stack, method, options, request.run.torch_device)
        checked = sharpener.check()
        warnings = [*stack.warnings, *_doubts(checked, method)]
        for warning in warnings:
            watch.warn(warning)
        side = request.run.tile_px or TILE_PX
        workers = workers_for(sharpener.memory(min(side, max(stack.grid.shape))), request.run)
        facts = facts_of(request, stack, method) | {"warnings": warnings, "held out rms": _rounded(checked)}
        watch.say(f"sharpening {len(stack.frames)} frames by {method.name} to {fine_grid(stack.grid, options.scale)}")
        if overwrite and not resume:
            discard(work_folder(names.image))
        grid, scale = fine_grid(stack.grid, options.scale), options.scale
        folder = work_folder(names.image)
        with TileStore.open(folder, grid.shape, scale * side, _key(facts), resume, bands=sharpener.bands) as store:
            with saying_what_is_kept(store):
                tiles = list(plan_tiles(grid.shape, scale * side))
                run_job(_Job(sharpener, store, side), tiles, workers, watch.tiles)
                _write(names, store, grid, stack, facts)
            store.remove()
    return facts


def facts_of(request: Request, stack: Stack, method: Method) -> dict[str, Any]:
    """What decided the result, as JSON holds it."""
    used = [placed.look.clear for placed in stack.frames]
    frames = [
        {
            "name": placed.file.name,
            "sha256": checksum(placed.file.path),
            "date": placed.file.date.isoformat() if placed.file.date else None,
            "clear share": round(placed.look.clear, 4),
            "weight": round(placed.look.clear / sum(used), 4),
            "shift px": [round(v, 4) for v in placed.shift],
            "shift error px": round(placed.error_px, 4),
            "correlation": round(placed.correlation, 4),
            "affine": placed.affine,
            "gain": [round(float(v), 5) for v in placed.light.gain],
            "offset": [round(float(v), 5) for v in placed.light.offset],
        }
        for placed in stack.frames
    ]
    return {
        "terrashift": version("terrashift"),
        "method": method.name,
        "papers": list(method.papers),
        "options": request.options.model_dump(mode="json"),
        "reference": stack.reference.file.name,
        "grid": str(fine_grid(stack.grid, request.options.scale)),
        "bands": list(_band_names(stack.reference.file)),
        "frames": frames,
        "left out": [left._asdict() for left in stack.left_out],
        "noise": [float(v) if v == v else None for v in stack.noise],
        "convention": CONVENTION,
    }


def _doubts(checked: HeldOut, method: Method) -> Iterator[str]:
    if checked.worse:
        yield (
            f"the frames contradict each other: {method.name} of the others misses a frame that was held out by "
            f"{checked.method:.3g} (RMS), the reference alone by {checked.reference:.3g}. The ground changed between "
            "dates, or shifts differ from place to place. Take dates closer to each other, a softer camera (--contrast "
            "0.15), fewer --iterations, or --method bicubic, and compare"
        )


def _rounded(checked: HeldOut) -> dict[str, float | None]:
    return {name: float(f"{v:.4g}") if math.isfinite(v) else None for name, v in checked._asdict().items()}


def _key(facts: dict[str, Any]) -> dict[str, Any]:
    """What a run that goes on has to have in common with the one before."""
    return {name: facts[name] for name in ("terrashift", "method", "options", "grid", "frames", "left out")}


def _band_names(file: FrameFile) -> tuple[str, ...]:
    own = [band.band_name for band in file.bands]
    return (*own, *(f"sigma {name}" for name in own), "frames")


def _write(names: Output, store: TileStore, grid: Grid, stack: Stack, facts: dict[str, Any]) -> None:
    """Turn the finished tiles into the result, and write what it was made of."""

    def blocks() -> Iterator[tuple[int, int, Tensor]]:
        for tile in store.tiles():
            yield tile.core[0].start, tile.core[1].start, store.read(tile)

    date = stack.reference.file.date
    tags = to_tags(
        {
            "TERRASHIFT_VERSION": facts["terrashift"],
            "METHOD": facts["method"],
            "SCALE": str(facts["options"]["scale"]),
            "OPTIONS": facts["options"],
            "REFERENCE": facts["reference"],
            "FRAMES": [{k: f[k] for k in ("name", "date", "shift px")} for f in facts["frames"]],
            "PAPERS": facts["papers"],
            "CONVENTION": CONVENTION,
            **({"ACQUISITION_DATE": date.isoformat()} if date else {}),
        }
    )
    write_bands(names.image, grid, facts["bands"], blocks(), tags)
    atomic_write_text(names.summary, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
