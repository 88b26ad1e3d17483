"""Values of an image at any places, for grids that are turned, scaled or bent against it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from .warp import TAPS as WARP_TAPS
from .warp import touched, weights_of

Kernel = Literal["nearest", "bilinear", "bicubic", "lanczos", "sinc"]
TAPS: dict[str, int] = {"nearest": 1, "lanczos": 6, **WARP_TAPS}
"""Pixels along each axis that a sample between pixels is made of."""
SMALLER: dict[str, str] = {"sinc": "lanczos", "lanczos": "bicubic", "bicubic": "bilinear"}
"""What takes over beside gaps, where a kernel does not fit between them."""
PHASES = 4096
"""Steps of a pixel to which the weights of a place are rounded: at most 0.00012 px off."""
CHUNK = 1 << 16
"""Places at a time: what belongs to them stays in a core's cache."""
ALIGNED = 1e-4
"""Places that lie so near a whole pixel (px) count as on it: what float64 leaves of whole shifts."""


def sample_at(
    image: Float[Tensor, "band height width"], xy: Float[np.ndarray, "2 ..."], kernel: Kernel = "sinc"
) -> Float[Tensor, "band ..."]:
    """Values at (x right, y down) in pixels, the centre of the first pixel being (0, 0).

    A value is NaN where its place is NaN or outside the image, or where it would be made of NaN. Where the kernel
    touches NaN (or the image's border) the next smaller one takes its place, down to bilinear, so that gaps grow by a
    pixel at most; a place on a whole row or column of pixels touches only that one.

    Args:
        image: float32.
        xy: float64, so that places in images of any size are exact.
        kernel: nearest; bilinear (2x2); bicubic (4x4, Keys 1981); lanczos (6x6, Duchon 1979); sinc (16x16, Kaiser
            window: every frequency up to 0.4 cycles per pixel is placed right to 0.0042 px).

    >>> sample_at(torch.tensor([[[1.0, 2.0, 3.0]]]), np.array([[1.0, 0.5, 2.5], [0.0, 0.0, 0.0]]), "bilinear").tolist()
    [[2.0, 1.5, nan]]
    """
    bands, places = image.shape[0], xy.shape[1:]
    flat = xy.reshape(2, -1)
    if kernel == "nearest":
        flat = np.floor(flat + 0.5)
    result = torch.full((bands, flat.shape[1]), torch.nan)
    for band in range(bands):
        left, size = np.arange(flat.shape[1]), kernel if kernel != "nearest" else "bilinear"
        while len(left):
            result[band, left] = _sample(image[band], flat[:, left], size)
            if size not in SMALLER:
                break
            left = left[result[band, left].isnan().numpy()]
            left = left[_inside(flat[:, left], image.shape[1:])]
            size = SMALLER[size]
    return result.reshape(bands, *places)


def _inside(xy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Where places lie between the image's outermost pixels; NaN does not."""
    height, width = shape
    x, y = xy
    return (x > -1) & (y > -1) & (x < width) & (y < height)


def _sample(image: Float[Tensor, "height width"], xy: np.ndarray, kernel: str) -> Float[Tensor, " places"]:
    """One kernel, NaN where it touches NaN."""
    taps = TAPS[kernel]
    padded = pad(image, (taps,) * 4, value=torch.nan)
    holes, values = touched(padded[None, None], taps).flatten(), padded.nan_to_num(0.0, 0.0, 0.0).flatten()
    table = _table(kernel)
    parts = []
    for start in range(0, xy.shape[1], CHUNK):
        x, y = xy[:, start : start + CHUNK]
        bad = torch.from_numpy(np.isnan(x) | np.isnan(y))
        first_x, phase_x = _split(x, image.shape[1], taps)
        first_y, phase_y = _split(y, image.shape[0], taps)
        first = first_y * padded.shape[1] + first_x
        needed = (1 << (2 * (phase_y > 0) + (phase_x > 0))).to(torch.uint8)
        lost = ((holes[first] & needed) != 0) | bad
        across, down = table[phase_x].T.contiguous(), table[phase_y].T.contiguous()
        total = torch.zeros(len(first))
        for j in range(taps):
            line = torch.zeros_like(total)
            for i in range(taps):
                offset = (j - taps // 2 + 1) * padded.shape[1] + i - taps // 2 + 1
                line.addcmul_(across[i], values.index_select(0, first + offset))
            total.addcmul_(down[j], line)
        parts.append(total.masked_fill_(lost, torch.nan))
    return torch.cat(parts) if parts else torch.empty(0)


def _split(place: np.ndarray, length: int, taps: int) -> tuple[Int[Tensor, " places"], Int[Tensor, " places"]]:
    """Whole pixel, counted in the padded image and kept inside it, and phase of a place."""
    reach = taps // 2 + 1  # further out nothing but the padding is touched
    place = np.clip(np.nan_to_num(place), -reach, length - 1 + reach)
    near = np.rint(place)
    place = np.where(np.abs(place - near) < ALIGNED, near, place)
    whole = np.floor(place)
    phase = np.rint((place - whole) * PHASES)
    whole, phase = whole + (phase == PHASES), np.where(phase == PHASES, 0, phase)
    whole = np.clip(whole, -reach, length - 1 + reach - 1)
    return torch.from_numpy(whole.astype(np.int64) + taps), torch.from_numpy(phase.astype(np.int64))


@lru_cache(maxsize=8)
def _table(kernel: str) -> Float[Tensor, "phases taps"]:
    """Weights of the taps at every phase of a pixel; exactly one tap at phase 0."""
    rest = torch.arange(PHASES, dtype=torch.float64) / PHASES
    if kernel != "lanczos":
        return torch.stack(weights_of(rest, kernel), 1).float()  # pyright: ignore[reportArgumentType]
    away = rest[:, None] - torch.arange(-2, 4)
    weights = torch.sinc(away) * torch.sinc(away / 3) * (away.abs() < 3)
    weights[0] = (away[0] == 0).double()
    return (weights / weights.sum(1, keepdim=True)).float()
