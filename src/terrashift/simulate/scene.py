"""A made-up landscape as a satellite sees it on two dates: relief, woods, fields, roads, towns, rivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..errors import OptionError
from .daylight import Date, picture
from .landcover import COUNTRIES, Frame, Kind, Size, draw_land
from .sensor import Sensor, see
from .terrain import Sun

LEAST_SIDE_PX = 16
DENSITY = 2
"""Samples of the ground along a pixel: what the sensor lets pass of anything finer is below a fortieth."""
KINDS = tuple(COUNTRIES)


class SceneOptions(BaseModel, frozen=True, extra="forbid"):
    """What the ground is like, how it differs between the dates, and what sees it."""

    kind: Kind = Field(default="mixed", description="What the landscape is mostly made of; `any`: the seed decides.")
    pixel_m: float = Field(
        default=10.0, gt=0, description="Side of a pixel on the ground, m; steepens or flattens relief."
    )
    relief_m: float = Field(
        default=2000.0,
        ge=0,
        description="Height of the hills above the plains, m, roughly; other kinds have a share of it.",
    )
    block_px: float = Field(default=110.0, gt=8, description="Usual distance between country roads, pixels.")
    changed_share: float = Field(default=0.45, ge=0, le=1, description="Share of the fields that bear something else.")
    sun_before: tuple[float, float] = Field(
        default=(150.0, 50.0), description="Azimuth and elevation of the sun, degrees."
    )
    sun_after: tuple[float, float] = Field(default=(165.0, 36.0), description="The same on the second date.")
    psf_px: float = Field(
        default=0.45,
        ge=0,
        description="Blur of the optics: standard deviation, pixels; the pixel's own area comes on top.",
    )
    noise: float = Field(default=0.001, ge=0, description="Standard deviation of the noise in the dark, reflectance.")
    shot: float = Field(default=2e-5, ge=0, description="Growth of the noise's variance with the signal, reflectance.")
    cloud_share: float = Field(default=0.0, ge=0, le=0.5, description="Share of the second date under cloud.")

    @property
    def sensor(self) -> Sensor:
        """The camera."""
        return Sensor(self.psf_px, self.noise, self.shot)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Light that leaves the ground on two dates, nothing moved, finer than sensors see it: reflectance of one band."""

    before: Float[Tensor, "fine_height fine_width"]
    after: Float[Tensor, "fine_height fine_width"]
    density: int
    """Samples along a pixel; sample (0, 0) is the corner of pixel (0, 0)."""
    sensor: Sensor
    seed: int
    """Of the sensor's noise."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.before.shape
        return height // self.density, width // self.density


class Scene(NamedTuple):
    """The same ground, nothing moved, on two dates: reflectance of one band, about 0.02 to 0.6."""

    before: Float[Tensor, "1 height width"]
    after: Float[Tensor, "1 height width"]


def procedural_ground(height: int, width: int, seed: int, options: SceneOptions | None = None) -> Ground:
    """Draw a landscape of `height` x `width` pixels, finer than the sensor; the same seed gives the same ground.

    It is the default of the demonstration and the tests. It is no substitute for real images of two dates: parallax
    and seasons are missing or crude, and methods do better on it.

    Raises:
        OptionError: less than 16 pixels a side.
    """
    if min(height, width) < LEAST_SIDE_PX:
        raise OptionError(f"a scene of {height} x {width} px is too small: give it {LEAST_SIDE_PX} px a side or more.")
    options = options or SceneOptions()
    random = np.random.default_rng(seed)
    kind = options.kind if options.kind != "any" else KINDS[np.random.default_rng([seed, 1]).integers(len(KINDS))]
    size = Size(options.pixel_m, options.relief_m, options.block_px)
    land = draw_land(Frame((height, width), DENSITY), COUNTRIES[kind], size, random)
    year = int(random.integers(2**31))  # what grows is drawn from it on both dates: unchanged fields keep their crop
    lights = [
        picture(land, Date(number, Sun(*sun), options.pixel_m, share, options.changed_share, year), random)
        for number, sun, share in ((0, options.sun_before, 0.0), (1, options.sun_after, options.cloud_share))
    ]
    return Ground(torch.from_numpy(lights[0]), torch.from_numpy(lights[1]), DENSITY, options.sensor, seed)


def procedural_scene(height: int, width: int, seed: int, options: SceneOptions | None = None) -> Scene:
    """What the sensor sees of `procedural_ground` on both dates; the same seed gives the same pixels.

    Raises:
        OptionError: less than 16 pixels a side.
    """
    return unmoved(procedural_ground(height, width, seed, options))


def unmoved(ground: Ground) -> Scene:
    """Both dates as the ground's sensor sees them."""
    before = see(ground.before, ground.density, ground.sensor, ground.seed, "before")
    return Scene(before, see(ground.after, ground.density, ground.sensor, ground.seed, "after"))
