"""Scale, turn and shift between two images from what they show alone (Reddy & Chatterji 1996, Fourier-Mellin)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Float
from scipy import fft, ndimage
from torch import Tensor

from ..errors import InputError
from ..ops.sample import sample_at
from .correlate import WholeShift, detail, whole_shift
from .mapping import Linear, Mapping
from .sources import Readable, reduced

SIDE_PX = 384
"""Longest side of the images in which the place is looked for."""
ANGLES = 360
"""Over half a turn."""
RADII = 256
LARGEST_SCALE = 4.0
LOWEST = 0.03
"""Cycles per pixel from which spectra count: below lies shading, which turns with the sun."""
HIGHEST = 0.4
CANDIDATES = 4
RECOGNISED = 0.025
"""Correlation of the best place over the best one elsewhere from which it is a find."""
STRONG = 10.0
"""Its height in deviations of all others; other places reach 8 in their best turn and scale, real ones 15 or more."""


class Similarity(NamedTuple):
    """How the moving image is turned and scaled against the reference."""

    scale: float
    """Length in the moving image of a unit of the reference."""
    angle: float
    """Radians, from x toward y, by which directions in the reference are turned in the moving image."""


class Found(NamedTuple):
    """A place that was recognised."""

    mapping: Mapping
    similarity: Similarity
    correlation: float
    strength: float


def map_from_content(reference: Readable, moving: Readable) -> Found:
    """Where the reference lies in the moving image, without any georeferencing.

    The moduli of the two spectra, in polar coordinates with a logarithmic radius, are shifted against each other by
    turn and scale; for each of the best few the moving image is turned and scaled, and correlated as a whole. Turns of
    any size, scales of 1/4 to 4 beyond the ratio of the images' sides.

    Raises:
        InputError: where nothing in the one image is recognised in the other.
    """
    best: _Place | None = None
    for factors in _factors(reference.grid.shape, moving.grid.shape):
        first, second = (detail(reduced(i, f).pixels) for i, f in zip((reference, moving), factors, strict=True))
        for similarity in candidates(first, second):
            place = _placed(first, second, similarity)
            if place is not None and (best is None or place.shift.ahead > best.shift.ahead):
                best = place.finer(*factors)
    if best is None or best.shift.ahead < RECOGNISED or best.shift.strength < STRONG:
        met = "" if best is None else f" (best correlation {best.shift.correlation:.2f}, {best.shift.ahead:.3f} ahead)"
        raise InputError(
            f"nothing that the reference shows was recognised in the moving image{met}. Check that both show the same "
            "place and that enough of it is clear; give bands that look alike (--band, --band-reference), or "
            "georeference one of the images roughly."
        )
    mapping = Mapping((Linear.between_corners(best.matrix),))
    return Found(mapping, best.similarity, best.shift.correlation, best.shift.strength)


class _Place(NamedTuple):
    """Where one image lies in the other under a turn and scale."""

    matrix: Affine
    """From corners of the reference's pixels to corners of the moving image's."""
    similarity: Similarity
    shift: WholeShift

    def finer(self, reference_factor: int, moving_factor: int) -> _Place:
        """The same between the images before they were reduced."""
        matrix = Affine.scale(moving_factor) @ self.matrix @ Affine.scale(1 / reference_factor)
        similarity = Similarity(self.similarity.scale * moving_factor / reference_factor, self.similarity.angle)
        return _Place(matrix, similarity, self.shift)


def _factors(reference: tuple[int, int], moving: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """How far to reduce both: alike, as for images of one pixel size, and each to the same side."""
    first, second = (max(1, math.ceil(max(shape) / SIDE_PX)) for shape in (reference, moving))
    yield max(first, second), max(first, second)
    if first != second:
        yield first, second


def candidates(first: Float[Tensor, "rows columns"], second: Float[Tensor, "height width"]) -> list[Similarity]:
    """Scales and turns under which two images may match: no change, and the best of the log-polar correlation."""
    side = max(*first.shape, *second.shape)
    a, b = (_log_polar(image, side) for image in (first, second))
    taper = np.hanning(RADII + 2)[1:-1]
    spectra = [np.asarray(fft.fft2((part - part.mean(0)) * taper)) for part in (a, b)]
    cross = spectra[1] * spectra[0].conj()
    surface = np.array(fft.ifft2(cross / np.maximum(np.abs(cross), 1e-12) ** 0.7), np.complex128).real.copy()
    step = math.log(HIGHEST / LOWEST) / RADII
    found = [Similarity(1.0, 0.0)]
    for _ in range(CANDIDATES):
        turn, stretch = np.unravel_index(surface.argmax(), surface.shape)
        rows, columns = (np.arange(-4, 5) + int(k) for k in (turn, stretch))
        surface[np.ix_(rows % ANGLES, columns % RADII)] = -np.inf
        radii = int(stretch) if stretch <= RADII // 2 else int(stretch) - RADII
        # a spectrum shrinks where its image grows
        scale, angle = math.exp(-radii * step), math.pi * int(turn) / ANGLES
        if 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:
            found += [Similarity(scale, angle), Similarity(scale, angle + math.pi)]
    return found


def _log_polar(image: Tensor, side: int) -> Float[np.ndarray, "angles radii"]:
    """Logarithm of the spectrum's modulus over direction and log frequency."""
    pixels = image.nan_to_num(0.0).numpy().astype(np.float64)
    pixels = pixels * np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])
    modulus = np.log1p(np.abs(fft.fftshift(fft.fft2(pixels, (side, side)))))
    modulus = ndimage.gaussian_filter(modulus, 1.0)
    angle = math.pi * np.arange(ANGLES)[:, None] / ANGLES
    radius = side * LOWEST * np.exp(math.log(HIGHEST / LOWEST) * np.arange(RADII) / RADII)
    places = side // 2 + radius * np.sin(angle), side // 2 + radius * np.cos(angle)
    return ndimage.map_coordinates(modulus, places, order=1)


def _placed(first: Tensor, second: Tensor, similarity: Similarity) -> _Place | None:
    """Turn and scale the moving image back, and correlate it as a whole."""
    turned = Affine.rotation(math.degrees(similarity.angle)) @ Affine.scale(similarity.scale)
    rows, columns = second.shape
    corners = np.array([~turned @ (x, y) for x in (0, columns) for y in (0, rows)])
    low, high = corners.min(0), corners.max(0)
    width, height = (max(1, math.ceil(n)) for n in high - low)
    if max(width, height) > 8 * SIDE_PX:
        return None
    to_second = turned @ Affine.translation(*low)  # from corners of the turned image to those of the second
    grid = np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)))
    image = sample_at(second[None], Linear.between_corners(to_second)(grid), "bilinear")[0]
    smooth = _blurred(image, 1 / similarity.scale)
    shift = whole_shift(_blurred(first, similarity.scale), smooth)
    if shift is None:
        return None
    return _Place(to_second @ Affine.translation(*shift.xy), similarity, shift)


def _blurred(image: Tensor, scale: float) -> Tensor:
    """What is left of an image in one whose pixels are `scale` times as large."""
    if scale >= 1:
        return image
    sigma = 0.5 * math.sqrt(1 / scale**2 - 1)
    have = image.isfinite().numpy()
    soft = ndimage.gaussian_filter(np.where(have, image.numpy(), 0.0), sigma)
    share = ndimage.gaussian_filter(have.astype(np.float64), sigma)
    return torch.from_numpy(np.where(have, soft / np.maximum(share, 1e-6), np.nan).astype(np.float32))
