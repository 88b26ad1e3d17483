"""A made-up landscape as a satellite sees it on two dates: relief, fields, woods, roads, towns, rivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator
from pydantic import BaseModel, Field
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import OptionError
from .terrain import Relief, Sun, carve, fractal, light, steepness

LEAST_SIDE_PX = 16
CROPS = (0.05, 0.08, 0.11, 0.15, 0.2, 0.27)  # reflectance in the red, from dense green to dry stubble
CROP_SHARES = (0.26, 0.2, 0.18, 0.14, 0.12, 0.1)


class SceneOptions(BaseModel, frozen=True, extra="forbid"):
    """What the ground is like and how it differs between the dates."""

    pixel_m: float = Field(
        default=10.0, gt=0, description="Side of a pixel on the ground, m; steepens or flattens relief."
    )
    relief_m: float = Field(default=2000.0, ge=0, description="Height of the hills above the plains, m, roughly.")
    block_px: float = Field(default=110.0, gt=8, description="Usual distance between country roads, pixels.")
    changed_share: float = Field(default=0.45, ge=0, le=1, description="Share of the fields that bear something else.")
    sun_before: tuple[float, float] = Field(
        default=(150.0, 50.0), description="Azimuth and elevation of the sun, degrees."
    )
    sun_after: tuple[float, float] = Field(default=(165.0, 36.0), description="The same on the second date.")
    psf_px: float = Field(default=0.7, ge=0, description="Blur of the sensor: standard deviation, pixels.")
    noise: float = Field(default=0.002, ge=0, description="Standard deviation of the noise, reflectance.")
    cloud_share: float = Field(default=0.0, ge=0, le=0.5, description="Share of the second date under cloud.")


class Scene(NamedTuple):
    """The same ground, nothing moved, on two dates: reflectance of one band, about 0.02 to 0.6."""

    before: Float[Tensor, "1 height width"]
    after: Float[Tensor, "1 height width"]


def procedural_scene(height: int, width: int, seed: int, options: SceneOptions | None = None) -> Scene:
    """Draw a landscape of `height` x `width` pixels; the same seed gives the same pixels.

    It is the default of the demonstration and the tests. It is no substitute for real images of two dates: shadows of
    single objects, parallax and seasons are missing or crude, and methods do better on it.

    Raises:
        OptionError: less than 16 pixels a side.
    """
    if min(height, width) < LEAST_SIDE_PX:
        raise OptionError(f"a scene of {height} x {width} px is too small: give it {LEAST_SIDE_PX} px a side or more.")
    options = options or SceneOptions()
    random = np.random.default_rng(seed)
    ground = _Ground.draw((height, width), options, random)
    before = _picture(ground, Sun(*options.sun_before), options, random, first=True)
    after = _picture(ground, Sun(*options.sun_after), options, random, first=False)
    return Scene(*(torch.from_numpy(picture[None]) for picture in (before, after)))


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What stays between the dates; all arrays (height, width), shares from 0 to 1."""

    relief: Relief
    field: np.ndarray
    """Number of the field that each pixel belongs to."""
    across: np.ndarray
    """Pixels across the furrows."""
    hedge: np.ndarray
    road: np.ndarray
    wood: np.ndarray
    farm: np.ndarray
    houses: np.ndarray
    town: np.ndarray
    water: np.ndarray
    texture: np.ndarray
    """Unit-variance pattern of soil and plants."""
    canopy: np.ndarray
    """The same of single trees and bushes."""
    crops_seed: int
    """What grows is drawn anew from it for each date, so that unchanged fields keep their crop."""

    @classmethod
    def draw(cls, shape: tuple[int, int], options: SceneOptions, random: Generator) -> _Ground:
        relief = carve(shape, options.relief_m, options.pixel_m, random)
        slope = steepness(ndimage.gaussian_filter(relief.height, 4)) / options.pixel_m
        flat = _step(0.2 - slope, 0.03)
        blocks = _blocks(shape, options.block_px, random)
        number, across, edge = _parcels(blocks, random)
        clumps = fractal(shape, 3.2, random, 140.0)
        groves = random.random(number.max() + 1)[number] < 0.06  # a field of trees
        wood = np.maximum(_step(clumps + 3 * np.minimum(slope, 0.3) - 1.0, 0.08), groves * flat)
        water = _rivers(relief.upstream, random)
        town = _towns(shape, blocks, random) * flat
        farm = flat * (1 - wood)
        hedged = random.random(number.max() + 1)[number] < 0.35
        return cls(
            relief,
            number,
            across,
            (edge < 1.0) * hedged * farm,
            _step(0.7 - blocks.road, 0.4) * _step(0.3 - slope, 0.05),
            wood * (1 - town),
            farm,
            _houses(shape, blocks, random),
            town,
            water,
            fractal(shape, 1.9, random, 30.0),
            fractal(shape, 1.0, random, 6.0),
            int(random.integers(2**31)),
        )


class _Blocks(NamedTuple):
    """Land between country roads: cells around scattered points, their borders bent."""

    number: np.ndarray
    road: np.ndarray
    """Distance to the border, pixels; a road runs along it."""
    row: np.ndarray
    column: np.ndarray
    """Bent coordinates of each pixel."""
    angle: np.ndarray
    """Bearing of the fields of each block, radians; by number."""


def _blocks(shape: tuple[int, int], size: float, random: Generator) -> _Blocks:
    """Scatter one point to each square of `size`, and give each pixel to the nearest."""
    down, across = (int(n // size) + 3 for n in shape)
    corner = np.indices((down, across)).reshape(2, -1).T - 1
    points = corner + random.random(corner.shape)
    row, column = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    row += 9 * fractal(shape, 6.0, random, 260.0)
    column += 9 * fractal(shape, 6.0, random, 260.0)
    points = points * size
    distance, number = KDTree(points).query(np.stack([row, column], -1), k=2)
    apart = np.linalg.norm(points[number[..., 1]] - points[number[..., 0]], axis=-1)  # pyright: ignore[reportIndexIssue]
    road = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)
    angle = np.pi * fractal((down, across), 3.0, random).ravel() / 2
    return _Blocks(number[..., 0], road.astype(np.float32), row, column, angle)  # pyright: ignore[reportIndexIssue]


class _Parcels(NamedTuple):
    """Fields of farmland."""

    number: np.ndarray
    across: np.ndarray
    """Pixels across the strips that the fields lie in, along which furrows follow each other."""
    edge: np.ndarray
    """Pixels to the border."""


def _parcels(blocks: _Blocks, random: Generator) -> _Parcels:
    """Cut each block into strips and each strip into fields."""
    count = len(blocks.angle)
    sine, cosine = np.sin(blocks.angle)[blocks.number], np.cos(blocks.angle)[blocks.number]
    u = cosine * blocks.column + sine * blocks.row
    v = cosine * blocks.row - sine * blocks.column
    strip, u_edge = _cut(u, np.exp(random.uniform(2.3, 3.7, count))[blocks.number])
    key = blocks.number * 1009 + strip
    table = np.exp(random.uniform(2.7, 4.5, 4096))
    piece, v_edge = _cut(v + 37.0 * (key % 11), table[key % 4096])
    number = (key * 7919 + piece * 104729) % 65521
    return _Parcels(number, u, np.minimum(np.minimum(u_edge, v_edge), blocks.road))


def _cut(at: np.ndarray, length: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Cut a line into pieces of uneven length around `length`: (number, distance to the nearest cut)."""
    phase = at / length
    phase = phase + 0.12 * np.sin(2 * np.pi * phase / 2.7)
    number = np.floor(phase)
    return number.astype(np.int64), np.abs(phase - np.round(phase)) * length


def _towns(shape: tuple[int, int], blocks: _Blocks, random: Generator) -> np.ndarray:
    """Share of built-up land: dense patches here and there, thinning out along the roads."""
    seeds = fractal(shape, 3.2, random, 120.0)
    return _step(seeds - 1.15 + 0.5 * np.exp(-blocks.road / 6), 0.15)


def _rivers(upstream: np.ndarray, random: Generator) -> np.ndarray:
    """Share of water: broader the more land drains through, with bends that the coarse drainage lacks."""
    row, column = np.mgrid[: upstream.shape[0], : upstream.shape[1]].astype(np.float32)
    row += 2.5 * fractal(upstream.shape, 3.6, random, 40.0)
    column += 2.5 * fractal(upstream.shape, 3.6, random, 40.0)
    near = ndimage.map_coordinates(ndimage.gaussian_filter(upstream, 1.5), [row, column], order=1, mode="nearest")
    return _step(np.sqrt(near) / 150 - 1, 0.25)


def _houses(shape: tuple[int, int], blocks: _Blocks, random: Generator) -> np.ndarray:
    """Reflectance inside towns: roofs of one to three pixels between streets and gardens."""
    roofs = np.full(shape, 0.09, np.float32)
    for side, share in ((1, 0.3), (2, 0.12), (4, 0.02)):
        start = random.random(shape) < 1.2 * share / side**1.5
        bright = np.where(start, random.gamma(3.0, 0.07, shape), 0).astype(np.float32)
        roofs = np.maximum(roofs, ndimage.maximum_filter(bright, side))
    sine, cosine = np.sin(blocks.angle)[blocks.number], np.cos(blocks.angle)[blocks.number]
    _, u = _cut(cosine * blocks.column + sine * blocks.row, 13.0)
    _, v = _cut(cosine * blocks.row - sine * blocks.column, 17.0)
    return np.where(np.minimum(u, v) < 0.7, 0.13, roofs).astype(np.float32)


def _picture(ground: _Ground, sun: Sun, options: SceneOptions, random: Generator, first: bool) -> np.ndarray:
    """What the sensor records on one date."""
    shape = ground.field.shape
    canopy = ground.canopy
    soil = 1 + 0.12 * ground.texture + 0.04 * canopy
    season = 1 + 0.12 * fractal(shape, 3.5, random, 200.0) + 0.1 * fractal(shape, 1.2, random, 20.0)
    open_land = (0.13 + 0.025 * ground.texture + 0.02 * canopy) * season
    image = _mix(open_land, _crops(ground, options, first) * soil * np.sqrt(season), ground.farm)
    image = _mix(image, (0.045 + 0.01 * canopy) * season, ground.wood)
    image = _mix(image, 0.06, 0.8 * ground.hedge)
    image = _mix(image, ground.houses, ground.town)
    image = _mix(image, 0.2, 0.85 * ground.road)
    image = _mix(image, 0.035 if first else 0.05, ground.water)
    image = image * light(ground.relief.height, sun, options.pixel_m)
    if options.cloud_share and not first:
        clouds = fractal(shape, 3.2, random, 120.0)
        image = _mix(image, 0.55 + 0.05 * clouds, _step(clouds - np.quantile(clouds, 1 - options.cloud_share), 0.15))
    image = ndimage.gaussian_filter(np.maximum(image, 0.005) + 0.015, options.psf_px)
    image += options.noise * random.standard_normal(shape)
    return np.maximum(image, 0.001).astype(np.float32)


def _crops(ground: _Ground, options: SceneOptions, first: bool) -> np.ndarray:
    """Reflectance of the fields: one crop each, furrows, and what differs inside."""
    random = np.random.default_rng(ground.crops_seed)
    count = int(ground.field.max()) + 1
    crop = random.choice(CROPS, count, p=CROP_SHARES) * random.uniform(0.8, 1.25, count)
    other = random.choice(CROPS, count, p=CROP_SHARES) * random.uniform(0.8, 1.25, count)
    changed = random.random(count) < options.changed_share
    depth = 0.12 * random.random(count) ** 2
    period = random.uniform(2.5, 7, count)
    if not first:
        crop = np.where(changed, other, crop * random.normal(1, 0.08, count))
        depth = np.where(changed, 0.5 * depth[::-1], depth)
    furrows = 1 + depth[ground.field] * np.sin(2 * np.pi * ground.across / period[ground.field])
    return crop[ground.field] * furrows


def _mix(under: np.ndarray, over: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    """Lay `over` on `under` where `share` is 1."""
    return under + share * (over - under)


def _step(value: np.ndarray, soft: float) -> np.ndarray:
    """0 below zero, 1 above, going over within about `soft` on either side."""
    return np.clip(0.5 + 0.5 * value / soft, 0, 1).astype(np.float32)
