"""Fractal relief with valleys, and how a sun lights it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy import fft, ndimage

FINEST_PX = 2  # valleys are cut on a grid this much coarser than the image; finer relief is added on top
LEVELS = 6
ROUNDS = (14, 10, 10, 8, 6, 5)  # of each level, from coarse to fine
AREA_POWER = 0.5  # of the stream-power law: incision ~ area^0.5 * slope
INCISION = 0.05
CREEP = (0.1, 0.1, 0.08, 0.06, 0.04, 0.02)  # fades: ridges of the fine levels stay sharp


class Relief(NamedTuple):
    """Ground of a scene before anything grows or stands on it."""

    height: Float[np.ndarray, "height width"]
    """Metres-like, with pixels of the same length as the unit of height times `pixel_m`."""
    upstream: Float[np.ndarray, "height width"]
    """Pixels that drain through each pixel."""


class Sun(NamedTuple):
    """Where the light comes from."""

    azimuth_deg: float
    """Clockwise from up the image."""
    elevation_deg: float


def fractal(shape: tuple[int, int], power: float, random: Generator, longest_px: float | None = None) -> np.ndarray:
    """Gaussian noise of unit variance whose power falls with frequency to the `power`; flat above `longest_px`."""
    # larger than asked for: else the far border would repeat the near one
    high, wide = (n + n // 8 for n in shape)
    full = int(fft.next_fast_len(high, real=True) or high), int(fft.next_fast_len(wide, real=True) or wide)
    frequency = np.hypot(fft.fftfreq(full[0])[:, None], fft.rfftfreq(full[1])).astype(np.float32)
    corner = 1 / (longest_px or max(shape))
    spectrum = np.asarray(fft.rfft2(random.standard_normal(full, dtype=np.float32)))
    spectrum *= (frequency**2 + np.float32(corner**2)) ** np.float32(-power / 4)
    spectrum[0, 0] = 0
    field = np.asarray(fft.irfft2(spectrum, s=full))[: shape[0], : shape[1]]
    return np.ascontiguousarray((field - field.mean()) / field.std())


def carve(shape: tuple[int, int], relief_m: float, pixel_m: float, random: Generator) -> Relief:
    """Fractal hills and plains, cut by rivers that reach the border: stream-power incision (Howard 1994) and creep.

    From a coarse grid to fine ones, each twice as dense: so large valleys stand before their side valleys are cut.
    """
    z = np.zeros((0, 0))
    for level, (rounds, creep) in enumerate(zip(ROUNDS, CREEP, strict=True)):
        cell_px = FINEST_PX * 2 ** (LEVELS - 1 - level)
        coarse = (-(-shape[0] // cell_px) + 2, -(-shape[1] // cell_px) + 2)
        if not level:
            hills = 1 / (1 + np.exp(-4 * fractal(coarse, 4.0, random)))
            z = relief_m * (0.7 * hills * (1 + fractal(coarse, 3.0, random)) + np.linspace(0, 0.3, coarse[1]))
        else:
            z = enlarge(z, coarse)
            z = z + (0.8 * steepness(z) + 2e-4 * relief_m) * fractal(coarse, 2.0, random)
        z = fill(z.astype(np.float64), 1e-4 * cell_px * pixel_m)
        for _ in range(rounds):
            receiver = steepest(z)
            drop = z - z.ravel()[receiver]
            z = z - np.minimum(INCISION * upstream_area(receiver) ** AREA_POWER, 0.5) * drop
            z = z + creep * ndimage.laplace(z, mode="nearest")
    area = upstream_area(steepest(fill(z, 1e-4 * FINEST_PX * pixel_m))) * FINEST_PX**2
    height = enlarge(z, shape)
    gradient = steepness(height) / pixel_m
    # rough slopes, smooth floors
    height += 0.5 * pixel_m * fractal(shape, 2.8, random, 60.0) * np.minimum(gradient, 0.7)
    return Relief(height.astype(np.float32), enlarge(area, shape, order=1))


def fill(z: Float[np.ndarray, "height width"], fall: float) -> Float[np.ndarray, "height width"]:
    """Raise pits until every cell drains to the border with at least `fall` a step (Planchon & Darboux 2001)."""
    water = np.full_like(z, np.inf)
    border = np.ones(z.shape, bool)
    border[1:-1, 1:-1] = False
    water[border] = z[border]
    inner, ground = water[1:-1, 1:-1], z[1:-1, 1:-1]
    while True:
        rows = np.minimum(np.minimum(water[:-2], water[2:]), water[1:-1])
        lowest = np.minimum(np.minimum(rows[:, :-2], rows[:, 2:]), rows[:, 1:-1])
        lower = np.minimum(inner, np.maximum(ground, lowest + fall))
        if (lower == inner).all():
            return water
        inner[...] = lower


def steepness(z: np.ndarray) -> np.ndarray:
    """Size of the gradient, per pixel."""
    down, right = np.gradient(z)
    return np.hypot(down, right)


def steepest(z: Float[np.ndarray, "height width"]) -> Int[np.ndarray, "height width"]:
    """Flat index of the neighbour that each cell drains to; its own where none is lower."""
    height, width = z.shape
    own = np.arange(z.size).reshape(z.shape)
    best, receiver = np.zeros_like(z), own.copy()
    walled = np.pad(z, 1, constant_values=np.inf)
    for i, j in [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]:
        fall = z - walled[i + 1 : i + 1 + height, j + 1 : j + 1 + width]
        if i and j:
            fall *= math.sqrt(0.5)
        better = fall > best
        np.copyto(best, fall, where=better)
        np.copyto(receiver, own + (i * width + j), where=better)
    return receiver


def upstream_area(receiver: Int[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Cells that drain through each cell, itself included.

    Pointer doubling: after k rounds every cell knows what comes from up to 2^k steps away, so that some ten rounds do.
    """
    size = receiver.size
    target = receiver.ravel().copy()
    target[target == np.arange(size)] = size  # pits drain into one cell outside
    target = np.append(target, size)
    area = np.append(np.ones(size), 0.0)
    while (target[:size] < size).any():
        area[:size] += np.bincount(target[:size], area[:size], size + 1)[:size]
        target = target[target]
    return area[:size].reshape(receiver.shape)


def light(height: Float[np.ndarray, "rows columns"], sun: Sun, pixel_m: float) -> Float[np.ndarray, "rows columns"]:
    """Brightness of matt ground, 1 on the flat: direct light, none of it in cast shadow, and some from the sky."""
    down, right = np.gradient(height, pixel_m)
    azimuth, elevation = math.radians(sun.azimuth_deg), math.radians(sun.elevation_deg)
    east, north = math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation)
    facing = (math.sin(elevation) - east * right + north * down) / np.sqrt(1 + right**2 + down**2)
    direct = np.maximum(facing, 0) * (1 - _shadow(height, sun, pixel_m))
    sky = 0.2
    return ((1 - sky) * direct / math.sin(elevation) + sky).astype(np.float32)


def _shadow(height: np.ndarray, sun: Sun, pixel_m: float) -> np.ndarray:
    """Share of each pixel in the shadow of ground toward the sun, from steps that grow with distance, at half size."""
    coarse = height[::2, ::2]
    rise = 2 * pixel_m * math.tan(math.radians(sun.elevation_deg))
    azimuth = math.radians(sun.azimuth_deg)
    above = np.full(coarse.shape, -np.inf, np.float32)
    for step in np.unique(np.round(1.25 ** np.arange(2, 18))):
        down, right = round(-math.cos(azimuth) * step), round(math.sin(azimuth) * step)
        above = np.maximum(above, shifted(coarse, down, right) - coarse - step * rise)
    soft = np.clip(0.5 + above / pixel_m, 0, 1)
    return enlarge(soft, height.shape, order=1)


def shifted(field: np.ndarray, down: int, right: int) -> np.ndarray:
    """field(p + (down, right)), the border repeated."""
    rows = np.clip(np.arange(field.shape[0]) + down, 0, field.shape[0] - 1)
    columns = np.clip(np.arange(field.shape[1]) + right, 0, field.shape[1] - 1)
    return field[rows[:, None], columns]


def enlarge(field: np.ndarray, shape: tuple[int, int], order: int = 3) -> np.ndarray:
    """Spline interpolation to a finer grid that covers the same ground."""
    scale = [(inner - 1) / max(outer - 1, 1) for inner, outer in zip(field.shape, shape, strict=True)]
    return ndimage.affine_transform(field.astype(np.float32), scale, output_shape=shape, order=order, mode="nearest")


def finer(field: Float[np.ndarray, "height width"], density: int) -> Float[np.ndarray, "fine_height fine_width"]:
    """Linear interpolation to `density` samples a pixel, placed so that they fill the pixels evenly."""
    if density == 1:
        return field
    for axis in (0, 1):
        border = [(1, 1) if k == axis else (0, 0) for k in (0, 1)]
        padded = np.pad(field, border, mode="edge")
        parts = []
        for k in range(density):
            rest = (k + 0.5) / density - 0.5
            near, far = (padded, 1 + math.floor(rest)), (padded, 2 + math.floor(rest))
            share = np.float32(rest - math.floor(rest))
            low, high = (_window(whole, first, field.shape[axis], axis) for whole, first in (near, far))
            parts.append(low + share * (high - low))
        shape = [n * density if k == axis else n for k, n in enumerate(field.shape)]
        field = np.stack(parts, axis + 1).reshape(shape)
    return field


def _window(field: np.ndarray, first: int, count: int, axis: int) -> np.ndarray:
    return field[first : first + count] if axis == 0 else field[:, first : first + count]
