"""What a sensor makes of the light that leaves the ground: blur, pixels that gather it, and noise."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError

REACH = 3
"""Deviations of the blur that it is followed to."""
DARKEST = 0.001


@dataclass(frozen=True, slots=True)
class Sensor:
    """A camera. A pixel gathers light evenly over its own square; the optics blur it before that."""

    blur_px: float = 0.45
    """Standard deviation of the optics' Gaussian blur. With the pixel's own area 0.45 px passes a quarter of the
    contrast at half a cycle per pixel, as sharp sensors do; what is finer shows in the image as coarser waves."""
    noise: float = 0.001
    """Standard deviation of the noise in the dark, reflectance."""
    shot: float = 2e-5
    """Growth of the noise's variance with the signal, reflectance."""

    def contrast(self, frequency: float, density: int) -> float:
        """Share of a wave's amplitude that reaches the image: the modulation transfer along an axis of the image.

        Args:
            frequency: cycles per pixel, above 0.5 too.
            density: samples of the ground along a pixel.
        """
        taps = self.taps(density)
        away = (np.arange(len(taps)) - (len(taps) - 1) / 2) / density
        return float((taps * np.cos(2 * math.pi * frequency * away)).sum())

    def taps(self, density: int) -> Float[np.ndarray, " taps"]:
        """Weights, along one axis, of the ground's samples around the middle of a pixel; they sum to 1.

        Their number is even where `density` is, so that they lie evenly on both sides of the middle.
        """
        reach = math.ceil(REACH * self.blur_px * density)
        away = np.arange(-reach, reach + 1) / density
        blur = np.exp(-0.5 * (away / max(self.blur_px, 1e-6)) ** 2)
        return np.convolve(blur / blur.sum(), np.full(density, 1 / density))

    def margin_px(self, density: int) -> int:
        """Pixels around an image that its light comes from."""
        return math.ceil((len(self.taps(density)) - density) / 2 / density)


def see(
    light: Float[Tensor, "fine_height fine_width"], density: int, sensor: Sensor, seed: int, date: str
) -> Float[Tensor, "1 height width"]:
    """One band of an image of the ground; the same seed and date give the same noise.

    Light past the border mirrors what is inside. A pixel that any NaN reaches is NaN.

    Args:
        light: reflectance on `density` x `density` samples a pixel; sample (0, 0) is the corner of pixel (0, 0).
        density: samples of the ground along a pixel.
        sensor: the camera.
        seed: of the noise.
        date: a word; images of different dates have noise of their own.

    Raises:
        OptionError: the light does not fill whole pixels.
    """
    if any(n % density for n in light.shape):
        raise OptionError(
            f"light of {tuple(light.shape)} samples does not fill pixels of {density} x {density}: crop it."
        )
    taps = sensor.taps(density)
    image = light.numpy()
    for axis in (0, 1):
        image = _gathered(image, taps, density, axis)
    random = np.random.default_rng([seed, zlib.crc32(date.encode())])
    deviation = np.sqrt(sensor.noise**2 + sensor.shot * np.maximum(image, 0))
    image = image + deviation * random.standard_normal(image.shape, dtype=np.float32)
    return torch.from_numpy(np.maximum(image, DARKEST).astype(np.float32))[None]


def _gathered(image: np.ndarray, taps: np.ndarray, density: int, axis: int) -> np.ndarray:
    """Weigh samples along an axis, and keep one in `density`."""
    side = (len(taps) - density) // 2
    border = [(side, side) if k == axis else (0, 0) for k in (0, 1)]
    padded = np.pad(image, border, mode="symmetric")
    count = image.shape[axis] // density
    total = np.zeros([count if k == axis else n for k, n in enumerate(image.shape)], np.float32)
    for k, weight in enumerate(taps.astype(np.float32)):
        part = slice(k, k + density * (count - 1) + 1, density)
        total += weight * (padded[part] if axis == 0 else padded[:, part])
    return total
