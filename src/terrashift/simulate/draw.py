"""Draw the pairs of a data set one by one: a place, a crop, an earthquake; pair k is the same in every run."""

from __future__ import annotations

import dataclasses
import math
import zlib
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.grid import Grid
from ..errors import InputError
from ..ops.random import Random
from .dates import REACH_PX, DatedPair, DateOptions, Resample, inner_grid, pair_from_dates, windows_from_dates
from .displacement import Displacement
from .elastic import elastic_displacement, random_displacement
from .faults import AlongOptions, faults_along
from .pair import to_pixels
from .places import Look, Place, Source, Trace
from .radiometry import OFF, Radiometry
from .rupture import Rupture, displacement
from .trace import from_crs
from .windows import WINDOWS_PX, Kind, draw_window

Class = Literal["very-small", "small", "medium", "mixed"]
Generated = Literal["elastic", "closed-form", "mixed"]
LARGEST_PX: dict[str, tuple[float, float]] = {"very-small": (0.1, 0.6), "small": (1.0, 3.0), "medium": (3.0, 10.0)}
"""Range of the largest motion of the ground in a pair, by class; drawn evenly in its logarithm."""
USUAL_SIZE_PX = 256
ELASTIC_SHARE = 1 / 3
"""Of mixed generators; one takes some seconds."""
PATCH = 64
"""Windows that are cut from one part of an image."""
PATCH_PX = 96
CHOICE = 4
"""So many windows are drawn for each that is taken."""
WINDOW_CONTRAST = 0.1
"""Windows of a smaller deviation, as a share of the place's own, are taken only where there are no others."""
TRIES = 50
ENOUGH_DATA = 0.95
ENOUGH_CONTRAST = 0.02
"""Of the place's own deviation; below, a crop shows nothing but water or cloud."""


class DrawOptions(BaseModel, frozen=True, extra="forbid"):
    """What pairs are made."""

    kind: Kind = Field(
        default="rupture",
        description="rupture: earthquakes. Windows for small networks, one motion each: uni (up to 1 px), dis (cut by "
        "a line into two motions), uni5px (up to 5 px).",
    )
    size_px: int | None = Field(
        default=None, ge=32, description="Side of a pair, pixels. Default: 256, or the whole image with --trace."
    )
    window_px: int = Field(default=16, ge=8, le=128, description="Side of the windows of uni, dis and uni5px, pixels.")
    largest: Class = Field(
        default="mixed",
        description="Largest motion in a pair: very-small (0.1 to 0.6 px), small (1 to 3 px), medium (3 to 10 px), or "
        "any of these.",
    )
    generator: Generated = Field(
        default="mixed",
        description="elastic: systems of faults in an elastic half-space. closed-form: one strike-slip fault, fast. "
        "mixed: elastic in one pair of three.",
    )
    seed: int = Field(default=0, ge=0, description="Another number makes other pairs; the same one the same pairs.")
    slip_m: float = Field(
        default=2.5, description="With --trace: largest slip, m; positive is right-lateral, negative left-lateral."
    )
    depth_km: float = Field(default=10.0, gt=0, description="With --trace: depth that the slip reaches down to, km.")
    dip_deg: float = Field(
        default=90.0, ge=30, le=90, description="With --trace: dip, degrees, down to the right of the trace."
    )
    resample: Resample = Field(
        default="both",
        description="before: only `before` is resampled. both: also shift each image by up to half a pixel, so that "
        "blur tells nothing.",
    )
    pixel_m: float = Field(
        default=10.0, gt=0, description="Size of a pixel on the ground, m, for images that do not tell."
    )
    gain: float | None = Field(default=None, ge=0, le=0.9, description="Largest relative change of contrast.")
    haze: float | None = Field(default=None, ge=0, description="Largest smooth brightness laid over, image deviations.")
    change: float | None = Field(default=None, ge=0, le=1, description="Largest change of patches of the ground.")
    sun: float | None = Field(default=None, ge=0, description="Largest change of slopes by another sun.")
    mtf_px: float | None = Field(default=None, ge=0, le=1, description="Largest further blur, pixels.")
    noise: float | None = Field(default=None, ge=0, description="Largest noise, image deviations.")
    clouds: float | None = Field(default=None, ge=0, le=1, description="Share of pairs with clouds.")
    shadows: float | None = Field(default=None, ge=0, le=1, description="Darkness of the clouds' shadows.")

    def dates(self, place: Place) -> DateOptions:
        """Settings of a pair of this place: a switch that is not set is off between two real dates.

        Clouds bring their shadows along, unless those are set.
        """
        told = {name: value for name in _SWITCHES if (value := getattr(self, name)) is not None}
        usual = DateOptions()
        if self.clouds:
            told = {"shadows": usual.one_date.shadows} | told
        return DateOptions(
            resample=self.resample,
            two_dates=dataclasses.replace(OFF, **told),
            one_date=dataclasses.replace(usual.one_date, **told),
            one_date_noise=usual.one_date_noise if self.noise is None else min(usual.one_date_noise, self.noise),
            offset=place.offset,
            levels=place.levels,
        )


_SWITCHES = tuple(part.name for part in dataclasses.fields(Radiometry))


class Drawn(NamedTuple):
    """One pair of a data set."""

    pair: DatedPair
    lines: tuple[Float[np.ndarray, "_ 2"], ...]
    """Traces in the CRS of the pair's grid, or in its pixels; from tip to tip, past the pair."""
    place: Place
    generator: str
    corner: tuple[int, int]
    """(row, column) of the pair's first pixel in the image that it comes from."""

    @property
    def ground_px(self) -> Float[Tensor, "2 height width"]:
        """Motion of the ground alone."""
        return self.pair.flow - torch.tensor(self.pair.still)[:, None, None]


class DrawnWindows(NamedTuple):
    """Some windows of a data set, all from one part of one image."""

    before: Float[Tensor, "window side side"]
    after: Float[Tensor, "window side side"]
    flow: Float[Tensor, "window 2"]
    """(x right, y down) px at pixel (side // 2, side // 2)."""
    fields: Float[Tensor, "window 2 side side"]
    trace: Bool[Tensor, "window side side"]
    place: Place
    corner: tuple[int, int]
    """Of the part."""


def draw_pair(source: Source, options: DrawOptions, number: int, trace: Trace | None = None) -> Drawn:
    """Pair `number` of the data set.

    Raises:
        InputError: no place is large enough, or none has a crop with data and contrast.
    """
    random = np.random.default_rng([options.seed, number])
    if trace:
        return _draw_along(source, options, random, trace)
    name = options.largest if options.largest != "mixed" else str(random.choice(list(LARGEST_PX)))
    low, high = LARGEST_PX[name]
    largest_px = math.exp(random.uniform(math.log(low), math.log(high)))
    size, margin = options.size_px or USUAL_SIZE_PX, _margin(largest_px)
    place = source.place(random, largest_side(options))
    look, corner = _look(place, size + 2 * margin, random, ENOUGH_DATA)
    grid = inner_grid(look.first.grid, margin, (size, size))
    generator = options.generator
    if generator == "mixed":
        generator = "elastic" if random.random() < ELASTIC_SHARE else "closed-form"
    metric = _metric(grid, place.pixel_m or options.pixel_m)
    motion = _draw_motion(metric, generator, random)
    motion = _scaled(motion, largest_px / _largest(metric, motion))
    lines, motion = _onto(grid, metric, motion)
    pair = pair_from_dates(look.first, look.second, motion, options.dates(place), _seed(random))
    return Drawn(pair, lines, place, generator, (corner[0] + margin, corner[1] + margin))


def draw_windows(source: Source, options: DrawOptions, number: int) -> DrawnWindows:
    """Part `number` of the data set: `PATCH` windows.

    Raises:
        InputError: no place is large enough, or none has a part without gaps.
    """
    random = np.random.default_rng([options.seed, number])
    side = options.window_px
    margin, extent = _margin(WINDOWS_PX[options.kind]), max(PATCH_PX, 2 * side)
    place = source.place(random, extent + 2 * margin)
    look, corner = _look(place, extent + 2 * margin, random, 1.0)
    corners = margin + _corners(look, margin, side, WINDOW_CONTRAST * place.levels[1], random)
    drawing = Random.of(options.seed, range(number * PATCH, (number + 1) * PATCH)).split(options.kind)
    fields = draw_window(options.kind, drawing, side)
    windows = windows_from_dates(look, corners, fields.flow, options.dates(place), _seed(random))
    target = fields.flow[:, :, side // 2, side // 2].clone()
    return DrawnWindows(*windows, target, fields.flow, fields.trace, place, corner)


def largest_side(options: DrawOptions) -> int:
    """Side that a place must have, px, for any pair of these options."""
    if options.kind != "rupture":
        return max(PATCH_PX, 2 * options.window_px) + 2 * _margin(WINDOWS_PX[options.kind])
    top = max(high for name, (_, high) in LARGEST_PX.items() if options.largest in (name, "mixed"))
    return (options.size_px or USUAL_SIZE_PX) + 2 * _margin(top)


def _draw_along(source: Source, options: DrawOptions, random: Generator, trace: Trace) -> Drawn:
    """A rupture along the user's trace: on the whole image, or on a crop around a point of the trace."""
    place = source.place(random, 1)
    size = (options.size_px, options.size_px) if options.size_px else place.grid.shape
    corner = _corner_on(place, trace, size, random) if options.size_px else (0, 0)
    grid = place.look(*corner, *size).first.grid
    metric = _metric(grid, place.pixel_m or options.pixel_m)
    about = AlongOptions(slip_m=options.slip_m, depth_km=options.depth_km, dip_deg=options.dip_deg)
    crop = place.grid.crop(*corner, *size)
    lines = [from_crs(metric, _through(crop, metric, line)) for line in trace.lines]
    lines, motion = _onto(grid, metric, elastic_displacement(metric, faults_along(lines, about, random)))
    margin = _margin(_largest(grid, motion)) if options.size_px else 0
    look = place.look(corner[0] - margin, corner[1] - margin, size[0] + 2 * margin, size[1] + 2 * margin)
    pair = pair_from_dates(look.first, look.second, motion, options.dates(place), _seed(random))
    return Drawn(pair, lines, place, "elastic, along a given trace", corner)


def _corner_on(place: Place, trace: Trace, size: tuple[int, int], random: Generator) -> tuple[int, int]:
    """First pixel of a crop whose middle half a random point of the trace lies in, inside the image where possible."""
    points = []
    for line in trace.lines:
        column, row = ~place.grid.transform @ tuple(line.T)  # pyright: ignore[reportOperatorIssue] affine takes arrays
        steps = np.hypot(np.diff(row), np.diff(column))
        walked = np.append(0, np.cumsum(steps))
        at = np.linspace(0, walked[-1], max(2, int(walked[-1])))
        points.append(np.stack([np.interp(at, walked, row), np.interp(at, walked, column)], 1))
    along = np.concatenate(points)
    inside = along[((along >= 0) & (along < place.grid.shape)).all(1)]
    if not len(inside):
        raise InputError("the trace passes beside the image, so that no crop can lie on it: leave --size out.")
    middle = inside[random.integers(len(inside))] + (random.random(2) - 0.5) * np.array(size) / 2
    room = np.maximum(np.array(place.grid.shape) - size, 0)
    row, column = np.clip((middle - np.array(size) / 2).round(), 0, room).astype(int).tolist()
    return row, column


def _look(place: Place, side: int, random: Generator, enough: float) -> tuple[Look, tuple[int, int]]:
    """A random window with data and contrast, and its first pixel."""
    height, width = place.grid.shape
    for _ in range(TRIES):
        corner = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        look = place.look(*corner, side, side)
        images = [image.pixels[0] for image in look if image is not None]
        if all(_is_useful(image, place.levels[1], enough) for image in images):
            return look, corner
    raise InputError(
        f"no crop of {side} px of {place.name} was found, in {TRIES} tries, that has data and contrast throughout: "
        "pass a smaller --size, or images with fewer gaps."
    )


def _corners(look: Look, margin: int, side: int, least: float, random: Generator) -> Int[Tensor, "window 2"]:
    """First pixels of `PATCH` windows inside the margin; where there is a choice, of windows with some contrast."""
    inner = look.first.pixels[0, margin:-margin, margin:-margin]
    drawn = torch.from_numpy(random.integers(inner.shape[0] - side + 1, size=(CHOICE * PATCH, 2)))
    windows = inner.unfold(0, side, 1).unfold(1, side, 1)[drawn[:, 0], drawn[:, 1]]
    flat = windows.std((1, 2)) < least
    return drawn[flat.int().argsort(stable=True)[:PATCH]]


def _is_useful(image: Float[Tensor, "height width"], usual: float, enough: float) -> bool:
    known = image[image.isfinite()]
    return known.numel() >= enough * image.numel() and float(known.std()) > ENOUGH_CONTRAST * usual


def _draw_motion(grid: Grid, generator: str, random: Generator) -> Displacement:
    """Motion of whatever size."""
    seed = _seed(random)
    if generator == "elastic":
        return random_displacement(grid, seed, 1.0)
    extent_km = max(grid.shape) * max(grid.pixel_size) / 1000
    return displacement(
        grid,
        Rupture(
            slip_m=float(random.choice([-1.0, 1.0])),
            depth_km=math.exp(random.uniform(math.log(0.3), math.log(5))) * extent_km,
            strike_deg=random.uniform(0, 360),
            length_km=extent_km * random.uniform(0.8, 4) if random.random() < 0.4 else None,
            centre=(random.uniform(0.25, 0.75), random.uniform(0.25, 0.75)),
            roughness=random.uniform(0.002, 0.012),
        ),
        seed,
    )


def _metric(grid: Grid, pixel_m: float) -> Grid:
    """The grid, or where it has no CRS one whose pixels have a size in metres, which faults need."""
    if grid.crs is not None:
        return grid
    return Grid(*grid.shape, Affine.scale(pixel_m, -pixel_m), "EPSG:32631")


def _onto(grid: Grid, metric: Grid, motion: Displacement) -> tuple[tuple[Float[np.ndarray, "_ 2"], ...], Displacement]:
    """Traces in the CRS of a grid, and motion in its unit, both found on `metric`: that grid with pixels in metres."""
    lines = tuple(_through(metric, grid, line.numpy()) for line in motion.lines)
    if metric is grid:
        return lines, motion
    return lines, _scaled(motion, grid.pixel_size[0] / metric.pixel_size[0])


def _through(source: Grid, target: Grid, line: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    """The same pixels of another grid."""
    if source.transform == target.transform:
        return line
    places = ~source.transform @ tuple(line.T)  # pyright: ignore[reportOperatorIssue] affine takes arrays
    return np.stack(target.transform @ places, 1)  # pyright: ignore[reportOperatorIssue]


def _scaled(motion: Displacement, factor: float) -> Displacement:
    """Exact: an elastic medium is linear in the slip."""
    east, north, up = (factor * part for part in motion[:3])
    return Displacement(east, north, up, motion.trace, motion.lines, tuple(factor * slip for slip in motion.slips))


def _largest(grid: Grid, motion: Displacement) -> float:
    """Length of the longest motion, px."""
    return float(to_pixels(grid, motion.east, motion.north).norm(dim=0).max())


def _margin(largest_px: float) -> int:
    """Pixels around a pair that its motion, shifts and resampling may need."""
    return math.ceil(largest_px + 1) + REACH_PX + 2


def _seed(random: Generator) -> int:
    return int(random.integers(2**31))


def describe(drawn: Drawn, number: int) -> dict[str, Any]:
    """What a reader wants to know of a pair, as JSON values."""
    pair, place = drawn.pair, drawn.place
    return {
        "number": number,
        "place": place.name,
        "dates": [date or None for date in place.dates],
        "sensor": place.sensor,
        "licence": place.licence,
        "source": place.source,
        "pixel_m": place.pixel_m or None,
        "generator": drawn.generator,
        "first_pixel": list(drawn.corner),
        "largest_motion_px": round(float(drawn.ground_px.norm(dim=0).max()), 4),
        "still_px": [round(part, 5) for part in pair.still],
        "offset_of_dates_px": [round(part, 5) for part in pair.offset.xy],
        "offset_spread_px": [None if math.isnan(part) else round(part, 5) for part in pair.offset.spread],
        "fingerprint": f"{zlib.crc32(pair.before.pixels.numpy().tobytes()):08x}",
    }
