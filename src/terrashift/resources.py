"""What a run may use of the machine, and how many tiles at a time that allows."""

from __future__ import annotations

import math
import os
import re
from typing import Literal

import torch
from pydantic import BaseModel, Field, field_validator

from .core.grid import Grid
from .crew import available_cores
from .errors import OptionError
from .estimators.base import Estimator, Search
from .regularise.base import Regulariser
from .regularise.blocks import BLOCK

LARGEST_TILE_PX = 1024
TILES_ALONG = 8  # a small image still gives every thread work, and a kill loses little
BYTES_PER_MEASUREMENT = 160  # peak of a tile's flow, its pieces, the six bands and their copy on the way out
BYTES_PER_READ = 80  # of a window of stored flow, and of a stored tile on the way into it
RESERVE_BYTES = 150 << 20  # file caches, thread stacks and what the allocator keeps
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class RunOptions(BaseModel, frozen=True, extra="forbid"):
    """What a run may use of the machine; none of it changes what is measured."""

    max_memory: str = Field(
        default="3GiB", description="Memory that the whole process may take, such as 800MB or 3GiB."
    )
    threads: int | None = Field(
        default=None, ge=1, description="Tiles computed at a time; one per processor core unless given."
    )
    tile_px: int | None = Field(
        default=None,
        ge=1,
        description="Side of the tiles that are stored and resumed, image pixels, rounded up to whole blocks; "
        f"unless given an eighth of the image, {LARGEST_TILE_PX} at most.",
    )
    allow_partial: bool = Field(
        default=False,
        description="Write the result even where tiles failed: without values there, and with a reason of their own.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to compute; auto takes a GPU if any."
    )

    @field_validator("max_memory")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        parse_bytes(value)
        return value

    @property
    def max_bytes(self) -> int:
        """`max_memory` in bytes."""
        return parse_bytes(self.max_memory)

    @property
    def torch_device(self) -> str:
        """`cpu` or `cuda`.

        Raises:
            OptionError: where cuda is asked for and there is none.
        """
        if self.device == "cpu":
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
        if self.device == "cuda":
            raise OptionError("--device cuda: torch finds no GPU here. Use --device cpu or auto.")
        return "cpu"

    def tile_side(self, estimator: Estimator, grid: Grid) -> int:
        """Side of a tile in measurements; depends on the image and never on the threads, so that any run can resume."""
        wanted = self.tile_px or min(LARGEST_TILE_PX, max(grid.shape) // TILES_ALONG)
        blocks = max(1, -(-wanted // estimator.block_px))
        return blocks * (estimator.block_px // estimator.step_px)


def parse_bytes(text: str) -> int:
    """Read a size such as `3GiB`, `800 MB` or `2.5G`, in bytes.

    Raises:
        OptionError: it is no size.

    >>> parse_bytes("1.5 KiB")
    1536
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS:
        raise OptionError(f"{text!r} is not a size in memory. Write a number and a unit, such as 800MB or 3GiB.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def require_memory(estimator: Estimator, grid: Grid, search: Search, options: RunOptions) -> int:
    """How many tiles of a pair on `grid` may be computed at a time; raises as `count_workers` does."""
    side = options.tile_side(estimator, grid)
    largest = math.prod(min(side, n) for n in grid.every(estimator.step_px).shape)
    return count_workers(estimator, search, largest, options)


def require_regularise_memory(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> None:
    """Make sure that one block of a flow of `shape` (rows, columns of measurements) can be smoothed.

    Raises:
        OptionError: where it does not fit into `options.max_memory`.
    """
    workers_for(
        regularise_bytes(regulariser, shape, options), options, ", a smaller --tile-px, or use a weaker --regularize"
    )


def regularise_workers(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> int:
    """How many blocks of a flow of `shape` (rows, columns of measurements) may be smoothed at a time: one at least."""
    if options.torch_device == "cuda":
        return 1
    each = regularise_bytes(regulariser, shape, options)
    return min(options.threads or available_cores(), max(1, _fitting(each, options)))


def regularise_bytes(regulariser: Regulariser, shape: tuple[int, int], options: RunOptions) -> int:
    """Bytes that one block takes: what is read, then a stored tile on its way in or the minimisation, the way out."""
    stored = max(BLOCK, options.tile_px or LARGEST_TILE_PX)  # at most: steps make it smaller
    window, tile, block = (
        math.prod(min(side, n) for n in shape) for side in (BLOCK + 2 * regulariser.halo, stored, BLOCK)
    )
    work = 0 if options.torch_device == "cuda" else regulariser.memory(window)
    return BYTES_PER_READ * window + max(BYTES_PER_READ * tile, work) + BYTES_PER_MEASUREMENT * block


def workers_for(each: int, options: RunOptions, remedy: str = ", or a smaller --tile-px") -> int:
    """How many jobs of `each` bytes may run at a time; one on a GPU, for whose memory threads would only compete.

    Raises:
        OptionError: where not even one fits into `options.max_memory`; `remedy` says what else could be changed.
    """
    fitting = _fitting(each, options)
    if fitting < 1:
        base = resident_bytes() + RESERVE_BYTES
        needed = -(-(base + each) // 2**20)
        raise OptionError(
            f"--max-memory {options.max_memory} is too little: the program itself takes {base >> 20} MiB and one tile "
            f"{each >> 20} MiB. Give it {needed}MiB or more{remedy}."
        )
    return 1 if options.torch_device == "cuda" else min(options.threads or available_cores(), fitting)


def _fitting(each: int, options: RunOptions) -> int:
    """How many jobs of so many bytes fit at a time."""
    return (options.max_bytes - resident_bytes() - RESERVE_BYTES) // each


def count_workers(estimator: Estimator, search: Search, measurements: int, options: RunOptions) -> int:
    """How many tiles of so many `measurements` may be computed at a time.

    Raises:
        OptionError: where not even one fits into `options.max_memory`.
    """
    work = 0 if options.torch_device == "cuda" else estimator.memory(search)
    smaller = "" if measurements * estimator.step_px**2 <= estimator.block_px**2 else ", a smaller --tile-px"
    each = BYTES_PER_MEASUREMENT * measurements + work
    return workers_for(each, options, f"{smaller}, or use a smaller window or search")


def resident_bytes() -> int:
    """Bytes that this process holds now; its peak so far where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int:
    """Largest memory that this process held; a guess where no system call tells it (Windows)."""
    try:
        import resource
        import sys
    except ImportError:
        return 500 << 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
