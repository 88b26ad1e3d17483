"""Frames in files as one stack: the reference chosen, the others placed on it and as bright as it, or left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..core.grid import Grid
from ..register.mapping import Mapping
from .brightness import Light
from .choose import Left, choose_reference, look_at, unfit
from .files import FrameFile, start_of
from .frames import Frames
from .options import SuperresOptions
from .outliers import noise_of
from .place import Placed, place, windows_of

SAME_PHASE_PX = 0.1
"""Shifts that differ less, modulo a pixel, show the ground through the same pixels again."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames ready to be sharpened, window by window; safe to read from several threads."""

    frames: tuple[Placed, ...]
    """The reference first."""
    left_out: tuple[Left, ...]
    noise: Float[Tensor, " band"]
    """See `outliers.noise_of`."""
    warnings: tuple[str, ...]

    @property
    def reference(self) -> Placed:
        """Whose grid, date and brightness the result has."""
        return self.frames[0]

    @property
    def grid(self) -> Grid:
        """Of the reference."""
        return self.reference.file.grid

    @property
    def quiet(self) -> Float[Tensor, " band"]:
        """Disagreement of the frame that differs least from the reference, in its unit; 0 without another frame.

        See `trust.agreeing`.
        """
        each = [placed.apart for placed in self.frames if placed.apart is not None]
        return torch.stack(each).amin(0) if each else torch.zeros(len(self.reference.file.bands))

    def window(self, row: int, column: int, height: int, width: int) -> Frames:
        """The frames' own pixels around a window of the reference, and their flows on it.

        Every frame is read at the nearest whole-pixel offset, so that nothing is resampled; it is as bright as the
        reference.

        Args:
            row: of the window's first pixel, in pixels of the reference; likewise `column`.
            height: px; likewise `width`.

        Raises:
            InputError: a file is damaged.
        """
        pixels, flows = [], []
        for placed in self.frames:
            at = placed.mapping.block(row, column, height, width)
            y, x = np.mgrid[row : row + height, column : column + width]
            move = at - np.stack([x, y])
            whole = np.rint(move.mean((1, 2))).astype(int)
            raw = placed.file.read(row + int(whole[1]), column + int(whole[0]), height, width)
            gain, offset = (part[:, None, None] for part in placed.light)
            pixels.append(gain * raw + offset)
            flows.append(torch.from_numpy((move - whole[:, None, None]).astype(np.float32)))
        look = self.reference.look
        return Frames(torch.stack(pixels), torch.stack(flows), 0, look.level, look.contrast)


def build_stack(files: Sequence[FrameFile], options: SuperresOptions, say: Say = lambda text: None) -> Stack:
    """Choose the reference, place the clearest other frames on it, and find what may spoil the result.

    Raises:
        GridMismatchError: a frame is on another kind of grid.
        InputError: no frame can be the reference.
        OptionError: the reference asked for is not there.
    """
    looks = [look_at(file) for file in files]
    left: list[Left] = []
    good = [k for k, look in enumerate(looks) if not unfit(files[k], look, options, left)]
    home = choose_reference(files, looks, good, options.reference)
    reference = files[home]
    say(f"reference: {reference.name}, {looks[home].clear:.0%} usable, {reference.grid}")
    starts = {k: start_of(reference, files[k]) for k in range(len(files))}
    still = (0.0, 0.0)
    ones = Light(torch.ones(len(reference.bands)), torch.zeros(len(reference.bands)))
    frames = [Placed(reference, looks[home], Mapping(), ones, still, still, 0.0, 1.0, False)]
    windows = windows_of(reference)
    for k in sorted((k for k in good if k != home), key=lambda k: (-looks[k].clear, files[k].name)):
        if len(frames) >= options.max_frames:
            left.append(Left(files[k].name, f"{options.max_frames} clearer frames are used (--max-frames)"))
            continue
        placed = place(reference, files[k], looks[k], starts[k], windows)
        if isinstance(placed, Left):
            left.append(placed)
            say(f"{placed.name} is left out: {placed.reason}")
            continue
        say(f"{placed.file.name}: {placed.shift[0]:+.3f} px right, {placed.shift[1]:+.3f} px down")
        frames.append(placed)
    bare = Stack(tuple(frames), tuple(left), torch.zeros(len(reference.bands)), ())
    return Stack(bare.frames, bare.left_out, _noise(bare, windows), tuple(_worries(bare)))


def _noise(stack: Stack, windows: Sequence[tuple[int, int, int, int]]) -> Float[Tensor, " band"]:
    """Median over windows of what frames differ from their median by."""
    each = torch.stack([noise_of(stack.window(*window)) for window in windows])
    return each.nanmedian(0).values


def _worries(stack: Stack) -> Iterator[str]:
    """What may spoil the result."""
    if len(stack.frames) < 2:
        yield (
            "only one frame is usable, so the result holds no more detail than it: see what is left out, and why, in "
            "the summary"
        )
        return
    same = [
        axis for k, axis in enumerate(("x", "y")) if phase_spread([f.phase[k] for f in stack.frames]) < SAME_PHASE_PX
    ]
    if same:
        both = "all frames lie" if len(same) == 2 else f"along {same[0]} all frames lie"
        yield (
            f"{both} at the same fraction of a pixel (within {SAME_PHASE_PX} px): they show the ground through the "
            "same pixels again, which takes noise out but adds no detail. Were they resampled to one grid? Give the "
            "original files, each on its own grid."
        )
    elif len(stack.frames) < 4:
        yield (
            f"{len(stack.frames)} frames are few: for detail in every place a scale of s takes about s x s frames at "
            "different fractions of a pixel"
        )


def phase_spread(phases: Sequence[float]) -> float:
    """Smallest arc, px, that holds all fractions of a pixel: 0 where all are equal, near 1 where spread evenly.

    >>> round(phase_spread([0.95, 0.0, 0.05]), 3)
    0.1
    """
    ordered = sorted(phase % 1 for phase in phases)
    gaps = [later - earlier for earlier, later in zip(ordered, [*ordered[1:], ordered[0] + 1], strict=True)]
    return 1 - max(gaps)
