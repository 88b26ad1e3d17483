"""What changes in an image while nothing moves: light, haze, cloud, growth, and the sensor's blur and noise.

Every part has its own switch; all work on batches, on any device. Images count in their own standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ..ops.batch import wide
from ..ops.random import Random, waves


@dataclass(frozen=True, slots=True)
class Radiometry:
    """How strongly each part may change an image; 0 switches it off. Images have about unit variance."""

    gain: float = 0.3
    """Largest relative change of contrast."""
    haze: float = 0.5
    """Largest deviation of smooth brightness laid over the image, which also veils contrast by up to half as much."""
    change: float = 0.5
    """Largest relative change of contrast and brightness of patches of the ground (crops, growth, floods)."""
    sun: float = 0.4
    """Largest relative brightening or darkening of slopes by another sun, on a made-up relief."""
    mtf_px: float = 0.6
    """Largest further blur: standard deviation of the Gaussian, taken at whole pixels, px."""
    noise: float = 0.15
    """Largest deviation of the sensor's noise."""
    clouds: float = 0.1
    """Share of the images that have clouds."""
    shadows: float = 0.8
    """How much the shadows of these clouds darken the ground; nothing without clouds."""


OFF = Radiometry(gain=0.0, haze=0.0, change=0.0, sun=0.0, mtf_px=0.0, noise=0.0, clouds=0.0, shadows=0.0)
SENSOR_ONLY = replace(OFF, gain=0.1, mtf_px=0.4, noise=0.08, clouds=0.03, shadows=0.8)
"""For images of two real dates, which differ in all the rest by themselves."""


def alter(
    image: Float[Tensor, "batch height width"], radiometry: Radiometry, random: Random
) -> Float[Tensor, "batch height width"]:
    """The image as it might be on another date: ground first, then air, then sensor. Nothing in it moves.

    Each image of the batch changes by its own numbers, whatever the rest of the batch.
    """
    if radiometry.change:
        image = _change(image, radiometry.change, random.split("change"))
    if radiometry.sun:
        image = _relight(image, radiometry.sun, random.split("sun"))
    if radiometry.haze:
        image = _haze(image, radiometry.haze, random.split("haze"))
    if radiometry.clouds:
        image = _cloud(image, radiometry.clouds, radiometry.shadows, random.split("clouds"))
    if radiometry.mtf_px:
        image = _blur(image, radiometry.mtf_px * random.uniform("mtf"))
    if radiometry.gain:
        image = image * wide(1 + random.uniform("gain", low=-radiometry.gain, high=radiometry.gain))
    if radiometry.noise:
        deviation = wide(radiometry.noise * random.uniform("noisy") ** 2)
        image = image + deviation * random.normal("noise", *image.shape[1:])
    return image


def _change(image: Tensor, most: float, random: Random) -> Tensor:
    """Patches between a few and some tens of pixels grow brighter or darker, with more or less contrast."""
    level = _waves(image, random, "patches", 24)
    other = _waves(image, random, "kinds", 10)
    patch = torch.sigmoid(12 * (level + 0.5 * other - 0.6))
    strength = wide(random.uniform("strength", low=-most, high=most))
    return image * (1 + strength * patch) + 2 * wide(random.uniform("bright", low=-most, high=most)) * patch


def _relight(image: Tensor, most: float, random: Random) -> Tensor:
    """Slopes toward the new sun brighten."""
    relief = _waves(image, random, "relief", 20) + 0.5 * _waves(image, random, "ridges", 48)
    down, right = torch.gradient(relief, dim=(1, 2))
    azimuth = random.uniform("azimuth", high=2 * math.pi)
    facing = right * wide(azimuth.cos()) + down * wide(azimuth.sin())
    facing = facing / facing.std((1, 2), keepdim=True).clamp_min(1e-6)
    return image + wide(random.uniform("strength", high=most)) * facing.clamp(-2, 2) * (1 + 0.3 * image)


def _haze(image: Tensor, most: float, random: Random) -> Tensor:
    veil = wide(random.uniform("veil", high=most))
    smooth = _waves(image, random, "smooth", 3)
    return image * (1 - 0.5 * veil * torch.sigmoid(2 * smooth)) + veil * smooth


def _cloud(image: Tensor, share: float, shadows: float, random: Random) -> Tensor:
    """Bright blobs, and dark ones beside them."""
    shape = image.shape[-2:]
    cover = wide(random.uniform("cover", low=0.8, high=1.6))
    field = _waves(image, random, "blobs", 6) + 0.3 * _waves(image, random, "edges", 24)
    cloud = torch.sigmoid(6 * (field - cover))
    shadow = torch.roll(cloud, (shape[0] // 10 + 1, shape[1] // 8 + 1), (1, 2))
    here = wide(random.chance("present", share)).to(image.dtype)
    shaded = image * (1 - 0.75 * shadows * shadow * here) - shadows * shadow * here
    return shaded + here * cloud * (4 - shaded)


def _blur(image: Tensor, deviation: Float[Tensor, " batch"]) -> Tensor:
    """Gaussian of a deviation below a pixel, five taps along each axis."""
    away = torch.arange(-2, 3, device=image.device)
    weight = torch.exp(-0.5 * (away / deviation[:, None].clamp_min(0.05)) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    for axis in (1, 2):
        border = (0, 0, 2, 2) if axis == 1 else (2, 2, 0, 0)
        padded = pad(image[:, None], border, mode="replicate")[:, 0]
        image = torch.zeros_like(image)
        for k in range(5):
            image.addcmul_(wide(weight[:, k]), padded.narrow(axis, k, image.shape[axis]))
    return image


def _waves(image: Tensor, random: Random, purpose: str, bumps: int) -> Tensor:
    """Smooth noise of unit deviation or less with that many bumps along the image, whatever its size."""
    height, width = image.shape[-2:]
    return waves(random, purpose, 1, bumps + 2, (height, width))[:, 0]
