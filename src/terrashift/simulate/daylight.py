"""What light leaves the land on one date: what grows then, how the sun stands, where shadows and clouds lie."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .landcover import Land
from .terrain import Sun, finer, fractal, light, shifted

CROPS = (0.06, 0.08, 0.11, 0.14, 0.18, 0.24)  # reflectance in the red, from dense green to dry stubble
CROP_SHARES = (0.26, 0.2, 0.18, 0.14, 0.12, 0.1)
HAZE = 0.047  # light that the air sends back: what the top of the atmosphere shows in the red
SKY = 0.35  # of the light, where something casts a shadow
CLOUD_M = 900.0  # height of clouds above the ground


class Date(NamedTuple):
    """When."""

    number: int
    """0 or 1."""
    sun: Sun
    pixel_m: float
    cloud_share: float
    changed_share: float
    """Of the fields that bear something else on date 1."""
    year: int
    """Seed of what grows."""


def picture(land: Land, date: Date, random: Generator) -> np.ndarray:
    """Reflectance at the land's density, before any sensor; `random` draws the weather."""
    shape = land.relief.height.shape
    season = finer(1 + 0.08 * fractal(shape, 3.5, random, 200.0) + 0.1 * fractal(shape, 1.6, random, 8.0), land.density)
    image = _open(land, date) * season
    image = _mix(image, _crops(land, date) * (1 + 0.2 * land.soil + 0.14 * land.canopy) * season, land.farm)
    image = _mix(image, 0.30 + 0.05 * land.dry, 0.6 * land.sand * (0.3 + 0.7 * land.dry))
    image = _mix(image, (0.045 + 0.03 * land.dry) * (1 + 0.22 * land.canopy) * season, land.wood)
    image = _mix(image, 0.06, 0.8 * land.hedge)
    _build(image, land, date)
    image = _mix(image, 0.17 + 0.1 * land.dry, 0.85 * land.road)
    image = _drown(image, land, date)
    image *= finer(light(land.relief.height, date.sun, date.pixel_m), land.density)
    image *= 1 - (1 - SKY) * _cast(land, date)
    if date.cloud_share:
        image = _overcast(image, land, date, random)
    return np.maximum(image, 0.003) + np.float32(HAZE)


def _open(land: Land, date: Date) -> np.ndarray:
    """Land that nobody tills: from pasture to bare ground and rock."""
    green = (0.085 + 0.012 * date.number) * (1 + 0.2 * land.soil + 0.13 * land.canopy)
    bare = 0.26 * (1 + 0.11 * land.soil + 0.05 * land.canopy + 0.12 * land.rock)
    bare -= 0.1 * np.clip(land.canopy - 1.2, 0, 1)  # single bushes
    steep = np.clip(0.5 + 0.4 * land.soil + 0.25 * land.rock, 0, 1) * 0.5
    return _mix(green, bare, np.clip(land.dry + (1 - land.dry) * steep * land.steep, 0, 1))


def _crops(land: Land, date: Date) -> np.ndarray:
    """Reflectance of the fields: one crop each, furrows, and what differs inside."""
    random = np.random.default_rng(date.year)
    count = land.parcels
    first, other = (random.choice(CROPS, count, p=CROP_SHARES) * random.uniform(0.8, 1.25, count) for _ in (0, 1))
    changed = random.random(count) < date.changed_share
    depth = 0.15 * random.random(count) ** 2
    period = random.uniform(1.6, 6, count)
    crop = first
    if date.number:
        crop = np.where(changed, other, first * random.normal(1, 0.08, count))
        depth = np.where(changed, 0.5 * depth[::-1], depth)
    crop, depth, turns = (table.astype(np.float32) for table in (crop, depth, 2 * math.pi / period))
    furrows = 1 + depth[land.parcel] * np.sin(land.across * turns[land.parcel])
    return crop[land.parcel] * furrows


def _build(image: np.ndarray, land: Land, date: Date) -> None:
    """Put the towns into the image."""
    town = land.town
    at = town.index
    random = np.random.default_rng([date.year, date.number])
    wear = random.normal(1, 0.14, town.plots).astype(np.float32)[town.plot]  # roofs shine differently by the day
    texture = wear * (1 + 0.06 * land.canopy.ravel()[at])
    garden = (0.055 + 0.02 * date.number + 0.08 * land.dry) * (1 + 0.25 * land.canopy.ravel()[at])
    image.ravel()[at] = _mix(town.light * texture, garden, town.green)


def _drown(image: np.ndarray, land: Land, date: Date) -> np.ndarray:
    """Rivers, and lakes whose level differs between the dates; their shores are pale."""
    level = land.lake - (0.0, 0.12)[date.number]
    image = _mix(image, 0.24, np.clip(1 - np.abs(level) / 0.12, 0, 1) * 0.7)
    water = np.maximum(land.river, np.clip(0.5 + 8 * level, 0, 1))
    return _mix(image, 0.03 + 0.015 * date.number, water)


def _cast(land: Land, date: Date) -> np.ndarray:
    """Share of direct light that trees and houses take from their surroundings."""
    sample_m = date.pixel_m / land.density
    rise = sample_m * math.tan(math.radians(date.sun.elevation_deg))
    azimuth = math.radians(date.sun.azimuth_deg)
    highest = float(land.height_m.max())
    above = np.full(land.height_m.shape, -np.inf, np.float32)
    for step in range(1, min(int(highest / rise), 12) + 2):
        down, right = round(-math.cos(azimuth) * step), round(math.sin(azimuth) * step)
        np.maximum(above, shifted(land.height_m, down, right) - np.float32(step * rise), out=above)
    return np.clip(0.5 + (above - land.height_m) / np.float32(rise), 0, 1)


def _overcast(image: np.ndarray, land: Land, date: Date, random: Generator) -> np.ndarray:
    """Clouds, and where their shadows fall."""
    clouds = finer(fractal(land.relief.height.shape, 3.2, random, 120.0), land.density)
    share = np.clip(0.5 + (clouds - np.quantile(clouds, 1 - date.cloud_share)) / 0.3, 0, 1)
    far = CLOUD_M / math.tan(math.radians(date.sun.elevation_deg)) / date.pixel_m * land.density
    azimuth = math.radians(date.sun.azimuth_deg)
    shadow = shifted(share, round(-math.cos(azimuth) * far), round(math.sin(azimuth) * far))
    return _mix(image * (1 - 0.6 * shadow), 0.55 + 0.05 * clouds, share)


def _mix(under: np.ndarray, over: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    """Lay `over` on `under` where `share` is 1."""
    return under + share * (over - under)
