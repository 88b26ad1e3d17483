"""Fractal relief with valleys, and how a sun lights it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy import ndimage

FINEST_PX = 4  # valleys are cut on a grid this much coarser than the image; finer relief is added on top
LEVELS = 5
ROUNDS = 10
AREA_POWER = 0.5  # of the stream-power law: incision ~ area^0.5 * slope
INCISION = 0.04
CREEP = 0.1


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
    fy, fx = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    frequency = np.hypot(fy[:, None], fx)
    corner = 1 / (longest_px or max(shape))
    spectrum = np.fft.rfft2(random.standard_normal(shape)) * (frequency**2 + corner**2) ** (-power / 4)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=shape)
    return (field / field.std()).astype(np.float32)


def carve(shape: tuple[int, int], relief_m: float, pixel_m: float, random: Generator) -> Relief:
    """Fractal hills and plains, cut by rivers that reach the border: stream-power incision (Howard 1994) and creep.

    From a coarse grid to fine ones, each twice as dense: so large valleys stand before their side valleys are cut.
    """
    z = np.zeros((0, 0))
    for level in reversed(range(LEVELS)):
        cell_px = FINEST_PX * 2**level
        coarse = (-(-shape[0] // cell_px) + 2, -(-shape[1] // cell_px) + 2)
        if level == LEVELS - 1:
            hills = 1 / (1 + np.exp(-4 * fractal(coarse, 4.0, random)))
            z = relief_m * (0.7 * hills * (1 + fractal(coarse, 3.0, random)) + np.linspace(0, 0.3, coarse[1]))
        else:
            z = _enlarge(z, coarse)
            slope = steepness(z)
            z = z + (0.8 * slope + 1e-3 * relief_m) * fractal(coarse, 2.0, random)
        z = fill(z, 1e-4 * cell_px * pixel_m)
        for _ in range(ROUNDS):
            receiver = steepest(z)
            drop = z - z.ravel()[receiver]
            z = z - np.minimum(INCISION * upstream_area(receiver) ** AREA_POWER, 0.5) * drop
            z = z + CREEP * ndimage.laplace(z, mode="nearest")
    area = upstream_area(steepest(fill(z, 1e-4 * FINEST_PX * pixel_m))) * FINEST_PX**2
    height = _enlarge(z, shape)
    gradient = steepness(height) / pixel_m
    height += (
        0.7 * pixel_m * fractal(shape, 2.8, random, 60.0) * np.minimum(gradient, 0.7)
    )  # rough slopes, smooth floors
    return Relief(height.astype(np.float32), _enlarge(area, shape, order=1))


def fill(z: Float[np.ndarray, "height width"], fall: float) -> Float[np.ndarray, "height width"]:
    """Raise pits until every cell drains to the border with at least `fall` a step (Planchon & Darboux 2001)."""
    water = np.full_like(z, np.inf)
    border = np.ones(z.shape, bool)
    border[1:-1, 1:-1] = False
    water[border] = z[border]
    while True:
        lowest = ndimage.minimum_filter(water, 3, mode="nearest")
        lower = np.where(border, z, np.minimum(water, np.maximum(z, lowest + fall)))
        if (lower == water).all():
            return water
        water = lower


def steepness(z: np.ndarray) -> np.ndarray:
    """Size of the gradient, per pixel."""
    down, right = np.gradient(z)
    return np.hypot(down, right)


def steepest(z: Float[np.ndarray, "height width"]) -> Int[np.ndarray, "height width"]:
    """Flat index of the neighbour that each cell drains to; its own where none is lower."""
    height, width = z.shape
    own = np.arange(z.size).reshape(z.shape)
    best, receiver = np.zeros_like(z), own.copy()
    walled, index = np.pad(z, 1, constant_values=np.inf), np.pad(own, 1)
    for i, j in [(i, j) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)]:
        fall = (z - walled[i : i + height, j : j + width]) / math.hypot(i - 1, j - 1)
        better = fall > best
        best[better] = fall[better]
        receiver[better] = index[i : i + height, j : j + width][better]
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
        above = np.maximum(above, _shifted(coarse, down, right) - coarse - step * rise)
    soft = np.clip(0.5 + above / pixel_m, 0, 1)
    return _enlarge(soft, height.shape, order=1)


def _shifted(field: np.ndarray, down: int, right: int) -> np.ndarray:
    """field(p + (down, right)), the border repeated."""
    rows = np.clip(np.arange(field.shape[0]) + down, 0, field.shape[0] - 1)
    columns = np.clip(np.arange(field.shape[1]) + right, 0, field.shape[1] - 1)
    return field[rows[:, None], columns]


def _enlarge(field: np.ndarray, shape: tuple[int, int], order: int = 3) -> np.ndarray:
    """Spline interpolation to a finer grid that covers the same ground."""
    scale = [(inner - 1) / max(outer - 1, 1) for inner, outer in zip(field.shape, shape, strict=True)]
    return ndimage.affine_transform(field.astype(np.float32), scale, output_shape=shape, order=order, mode="nearest")
