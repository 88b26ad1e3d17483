"""Where a frame lies on the reference, and how bright it is against it: measured in windows, joined robustly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..register.fit import Samples, fit_polynomial, frame_of, trimmed_rms
from ..register.mapping import Mapping, Polynomial
from .align import Match, match
from .brightness import Light, light_over, overlaid
from .choose import Left, Look
from .files import FrameFile, middle_offset, share_on
from .trust import disagreement

WINDOW_PX = 192
"""Side of the windows that shifts are measured in."""
MOST_ALONG = 4
LEAST_USABLE = 0.2
"""Share of a window that has to be usable in both images."""
LEAST_AGREEING = 0.34
"""Share of the windows with data whose shifts have to agree, for a frame to show the place at all."""
AGREE_PX = 0.7
FEWEST_AFFINE = 8
BETTER = 0.8
"""What an affine map has to leave of a translation's residuals to be believed."""
LEAST_ON = 0.02
"""Share of the reference that has to lie on a frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A frame on the reference."""

    file: FrameFile
    look: Look
    mapping: Mapping
    """From pixels of the reference to pixels of the frame."""
    light: Light
    shift: tuple[float, float]
    """(x right, y down) px at the middle, against the reference by georeferencing."""
    phase: tuple[float, float]
    """Where the reference's pixel middles fall in the frame's pixels, modulo a pixel."""
    error_px: float
    """Standard error of either component of the shift."""
    correlation: float
    """Median over the windows that agree; see `align.Match`."""
    affine: bool
    """Whether it is turned or stretched too, and not only moved."""
    apart: Float[Tensor, " band"] | None = None
    """See `trust.disagreement`; of each band, None for the reference itself."""


def windows_of(reference: FrameFile) -> list[tuple[int, int, int, int]]:
    """(row, column, height, width) of the windows that frames are compared in, evenly over the reference."""

    def along(length: int) -> list[int]:
        side = min(WINDOW_PX, length)
        count = min(MOST_ALONG, max(1, math.ceil(length / WINDOW_PX)))
        return [round(k * (length - side) / max(1, count - 1)) for k in range(count)]

    height, width = reference.grid.shape
    size = min(WINDOW_PX, height), min(WINDOW_PX, width)
    return [(row, column, *size) for row in along(height) for column in along(width)]


class _Seen(NamedTuple):
    """A window in which a frame matches."""

    centre: tuple[float, float]
    shift: tuple[float, float]
    """Against the reference by georeferencing, (x, y) px."""
    found: Match
    pair: tuple[Tensor, Tensor]


def place(
    reference: FrameFile, file: FrameFile, look: Look, start: Mapping, windows: Sequence[tuple[int, int, int, int]]
) -> Placed | Left:
    """Measure a frame's shift in every window, and join them.

    Args:
        reference: where all frames go.
        file: the frame.
        look: what it is like.
        start: from pixels of the reference to pixels of the frame, by georeferencing.
        windows: see `windows_of`.

    Returns:
        Where it lies; or why it is left out.

    Raises:
        InputError: a file is damaged.
    """
    if share_on(reference.grid, file.grid, start) < LEAST_ON:
        return Left(file.name, f"it does not overlap {reference.name}")
    seen, tried = _seen(reference, file, start, windows)
    if not tried:
        return Left(file.name, f"no part of it and of {reference.name} is usable in both")
    if not seen:
        return Left(
            file.name, f"it does not match {reference.name}: it may show another place, or cloud without a mask"
        )
    places = np.array([one.centre for one in seen]).T
    shifts = np.array([one.shift for one in seen]).T
    samples = Samples(places, shifts, np.ones(len(seen)))
    model = _model(samples, reference.grid.shape)
    agree = np.hypot(*(shifts - model.shift(places))) < AGREE_PX
    if agree.sum() < max(1, LEAST_AGREEING * tried):
        return Left(file.name, f"its shift against {reference.name} agrees in {agree.sum()} of {tried} windows only")
    kept = [one for one, good in zip(seen, agree, strict=True) if good]
    height, width = reference.grid.shape
    middle = np.array([[(width - 1) / 2], [(height - 1) / 2]])
    mapping = start.after(model)
    (x, y), at = model.shift(middle)[:, 0], (mapping(middle) - middle)[:, 0]
    weight = np.array([1 / (one.found.error_px**2 + 1e-4) for one in kept])
    light = light_over([one.pair for one in kept])
    gain, offset = (part[:, None, None] for part in light)
    apart = torch.stack([disagreement(one.pair[0], gain * one.pair[1] + offset) for one in kept])
    return Placed(
        file,
        look,
        mapping,
        light,
        (float(x), float(y)),
        (float(at[0] % 1), float(at[1] % 1)),
        float(1 / math.sqrt(weight.sum())),
        float(np.median([one.found.correlation for one in kept])),
        model.order > 0,
        apart.median(0).values,
    )


def _seen(
    reference: FrameFile, file: FrameFile, start: Mapping, windows: Sequence[tuple[int, int, int, int]]
) -> tuple[list[_Seen], int]:
    """The windows in which a frame matches, and how many have data in both."""
    seen, tried = [], 0
    for row, column, height, width in windows:
        still = reference.read(row, column, height, width)
        centre = column + (width - 1) / 2, row + (height - 1) / 2
        offset = middle_offset(start, centre[1], centre[0])
        whole = np.rint(offset).astype(int)
        moving = file.read(row + int(whole[1]), column + int(whole[0]), height, width)
        if min(float(image.isfinite().all(0).float().mean()) for image in (still, moving)) < LEAST_USABLE:
            continue
        tried += 1
        found = match(still, moving)
        if found is None or not found.believable:
            continue
        x, y = np.array(found.shift) + whole - offset
        seen.append(_Seen(centre, (float(x), float(y)), found, overlaid(still, moving, found.shift)))
    return seen, tried


def _model(samples: Samples, shape: tuple[int, int]) -> Polynomial:
    """A translation, or an affine where it explains clearly more of many windows."""
    count = len(samples.weight)
    if count < 3:
        return Polynomial(np.median(samples.shift, 1, keepdims=True), 0, *frame_of(shape))
    still = fit_polynomial(samples, 0, shape, AGREE_PX).model
    if count < FEWEST_AFFINE:
        return still
    bent = fit_polynomial(samples, 1, shape, AGREE_PX).model
    left = [trimmed_rms(samples.shift - model.shift(samples.places)) for model in (still, bent)]
    return bent if left[1] < BETTER * left[0] else still
