"""What each frame is like, which ones are fit for use, and which is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, OptionError
from .files import FrameFile
from .options import SuperresOptions

STRIP_PX = 1024


class Look(NamedTuple):
    """What one frame is like."""

    clear: float
    """Share of usable pixels, 0 to 1."""
    level: Float[Tensor, " band"]
    contrast: Float[Tensor, " band"]
    """Mean and standard deviation of each band over usable pixels."""


class Left(NamedTuple):
    """A frame that is not used."""

    name: str
    reason: str


def look_at(file: FrameFile) -> Look:
    """Read a frame once, strip by strip.

    Raises:
        InputError: where it cannot be read.
    """
    height, width = file.grid.shape
    count, total, square = 0, torch.zeros(len(file.bands)).double(), torch.zeros(len(file.bands)).double()
    about: Tensor | None = None
    lines = max(1, STRIP_PX * STRIP_PX // max(1, width))
    for top in range(0, height, lines):
        strip = file.read(top, 0, min(lines, height - top), width).double()
        usable = strip.isfinite().all(0)
        values = strip[:, usable]
        if not values.shape[1]:
            continue
        about = values.mean(1) if about is None else about  # squares of large numbers lose the small differences
        values = values - about[:, None]
        count, total, square = count + values.shape[1], total + values.sum(1), square + values.square().sum(1)
    mean = total / max(count, 1)
    deviation = (square / max(count, 1) - mean**2).clamp_min(0).sqrt()
    level = mean if about is None else mean + about
    return Look(count / (height * width), level.float(), deviation.float())


def unfit(file: FrameFile, look: Look, options: SuperresOptions, left: list[Left]) -> bool:
    """Whether a frame cannot be used at all; it is then added to `left`, with the reason."""
    reason = None
    if look.clear == 0:
        reason = "no pixel is usable"
    elif look.clear < options.min_clear:
        reason = f"{look.clear:.0%} of its pixels are usable, less than --min-clear {options.min_clear:.0%}"
    elif float(look.contrast.max()) <= 1e-6 * float(look.level.abs().max()):
        reason = "it is constant"
    if reason is not None:
        left.append(Left(file.name, reason))
    return reason is not None


def choose_reference(files: Sequence[FrameFile], looks: Sequence[Look], good: Sequence[int], wanted: str) -> int:
    """Which frame is the reference: `clearest`, a file's path or name, or the date to be closest to.

    Of equally clear frames, or equally close ones, the latest, then the one whose name comes last.

    Raises:
        InputError: no frame is fit.
        OptionError: there is no such frame, or no frame has a date.
    """
    if not good:
        raise InputError("no frame has usable, varying pixels: check the masks (--mask-values) and --nodata")

    def rank(k: int) -> tuple[datetime, str]:
        return files[k].date or datetime.min, files[k].name

    if wanted == "clearest":
        return max(good, key=lambda k: (round(looks[k].clear, 3), *rank(k)))
    named = [k for k, file in enumerate(files) if wanted in (file.path, file.name)]
    if named:
        if named[0] not in good:
            raise InputError(f"--reference {wanted}: too little of it is usable. Take another frame")
        return named[0]
    try:
        date = datetime.fromisoformat(wanted).replace(tzinfo=None)
    except ValueError as error:
        names = ", ".join(file.name for file in files)
        raise OptionError(f"--reference {wanted}: give clearest, a date (2021-07-16), or one of {names}") from error
    dated = [k for k in good if files[k].date is not None]
    if not dated:
        raise OptionError(f"--reference {wanted}: no frame tells its date, neither in its tags nor in its name")
    return min(dated, key=lambda k: (abs((rank(k)[0] - date).total_seconds()), files[k].name))
