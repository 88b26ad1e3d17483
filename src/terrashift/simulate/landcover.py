"""What covers the ground and stays there between two dates: woods, fields, towns, roads, rivers, lakes, bare rock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from .parcels import ENDLESS, Cut, Cutting, Districts, cut, districts
from .terrain import Relief, carve, enlarge, finer, fractal

Kind = Literal["mixed", "mountains", "farmland", "desert", "city", "any"]
STOREY_M = 3.0
STREET_PX = 0.9
AVENUE_PX = 2.0


class Frame(NamedTuple):
    """Extent of a scene and how finely it is drawn."""

    shape: tuple[int, int]
    """Height and width, pixels."""
    density: int
    """Samples along a pixel."""

    def pattern(self, power: float, longest_px: float, random: Generator) -> np.ndarray:
        """A `fractal` of unit variance with no detail below a pixel."""
        return finer(fractal(self.shape, power, random, longest_px), self.density)


@dataclass(frozen=True, slots=True)
class Country:
    """What a kind of landscape is made of."""

    relief: float
    """Heights, over what was asked for."""
    wood: float
    """Of woods, in deviations of a pattern: 0 covers half, 1 a sixth of the land."""
    town: float
    """The same of built-up land."""
    dry: float
    """From 0, green, to 1, desert."""
    field_px: tuple[float, float]
    """Usual length of the sides of fields, least and largest of the districts."""
    orderly: float
    """Chance of square districts of one bearing."""
    river: float
    """Chance of a large river."""
    lakes: float
    """Like `wood`."""


COUNTRIES = {
    "mixed": Country(0.6, 0.5, 1.0, 0.15, (9.0, 30.0), 0.15, 0.5, 2.4),
    "mountains": Country(0.9, 0.1, 2.2, 0.3, (6.0, 16.0), 0.0, 0.1, 3.0),
    "farmland": Country(0.08, 1.3, 1.3, 0.15, (7.0, 32.0), 0.35, 0.5, 2.0),
    "desert": Country(0.6, 3.0, 2.6, 1.0, (18.0, 40.0), 0.5, 0.1, 3.5),
    "city": Country(0.05, 1.6, -0.9, 0.2, (9.0, 22.0), 0.4, 0.5, 2.6),
}


class Town(NamedTuple):
    """Built-up land, on its samples only."""

    index: np.ndarray
    """Flat numbers of the samples of the scene that it covers."""
    plot: np.ndarray
    """Number of the plot that each of them belongs to."""
    plots: int
    light: np.ndarray
    """Reflectance of roofs, yards and streets."""
    green: np.ndarray
    """Share of gardens and trees."""
    height_m: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Land:
    """Cover of a scene. Arrays have some samples a pixel but for `relief`; shares go from 0 to 1."""

    relief: Relief
    density: int
    dry: float
    parcel: np.ndarray
    """Number of the field that each sample belongs to."""
    parcels: int
    across: np.ndarray
    """Pixels across the furrows."""
    farm: np.ndarray
    steep: np.ndarray
    rock: np.ndarray
    """Brightness of bare rock about its mean, in deviations."""
    hedge: np.ndarray
    road: np.ndarray
    wood: np.ndarray
    sand: np.ndarray
    """Share of pale gravel in the beds of streams."""
    river: np.ndarray
    lake: np.ndarray
    """How deep, in deviations of a pattern; negative on land."""
    town: Town
    soil: np.ndarray
    """Unit-variance pattern of soil and plants."""
    canopy: np.ndarray
    """The same of single trees and bushes."""
    height_m: np.ndarray
    """Of trees and houses."""


def draw_land(frame: Frame, country: Country, size: Size, random: Generator) -> Land:
    """Cover a scene with land."""
    density = frame.density
    relief = carve(frame.shape, size.relief_m * country.relief, size.pixel_m, random)
    ground = _Ground.of(relief, density, size.pixel_m)
    orderly = random.random() < country.orderly
    plan = districts(frame.shape, density, size.block_px, orderly, random)
    fields = _fields(plan, country, random)
    canopy = fractal(plan.number.shape, 1.4, random, 5.0 * density)
    soil = fractal(plan.number.shape, 2.2, random, 30.0 * density)
    wood, farm = _green(frame, fields, country, ground, random)
    built = _built(frame, fields, country, ground, random)
    farm, wood = farm * ~built, wood * ~built
    town = _town(frame, plan, fields, built, random)
    river, lake = _water(frame, ground, country, random)
    dryness = np.clip(country.dry + 0.15 * random.standard_normal(), 0, 1)
    lines = _lines(frame, country, random) * _step(0.4 - ground.slope, 0.1)
    road = np.maximum(_step(0.45 - plan.road_px, 0.3) * _step(0.3 - ground.slope, 0.05), lines)
    hedged = (random.random(len(fields.box)) < 0.3)[fields.number]
    height_m = np.maximum(wood * (9 + 4 * canopy), 0).astype(np.float32)
    height_m.ravel()[town.index] = town.height_m
    height_m *= (1 - road) * (1 - river) * (lake < 0)
    return Land(
        relief=relief,
        density=density,
        dry=float(dryness),
        parcel=fields.number,
        parcels=len(fields.box),
        across=plan.across,
        farm=farm,
        steep=_step(ground.slope - 0.3, 0.15),
        rock=_rock(ground, random),
        hedge=(fields.edge_px < 0.4) * hedged * farm,
        road=road,
        wood=wood,
        sand=_step(np.log2(np.maximum(ground.upstream, 1)) - 9.5, 2.0) * _step(ground.slope - 0.004, 0.004),
        river=river,
        lake=lake,
        town=town,
        soil=soil,
        canopy=canopy,
        height_m=height_m,
    )


class Size(NamedTuple):
    """Lengths of a landscape."""

    pixel_m: float
    relief_m: float
    block_px: float


class _Ground(NamedTuple):
    """The relief's properties, at the density of the cover."""

    high: np.ndarray
    """From 0, the lowest place, to 1."""
    slope: np.ndarray
    north: np.ndarray
    """Slope toward the upper border."""
    upstream: np.ndarray

    @classmethod
    def of(cls, relief: Relief, density: int, pixel_m: float) -> _Ground:
        height = relief.height
        high = (height - height.min()) / max(float(np.ptp(height)), 1.0)
        smooth = height[::2, ::2]
        down, right = np.gradient(smooth, 2 * pixel_m)
        slope, north = (enlarge(part, height.shape, order=1) for part in (np.hypot(down, right), down))
        return cls(*(finer(part, density) for part in (high, slope, north, relief.upstream)))


def _fields(plan: Districts, country: Country, random: Generator) -> Cut:
    """Cut the districts into fields."""
    half = 0.8 * plan.size_px
    box = np.tile([-half, half, -half, half], (plan.count, 1))
    least, largest = np.log(country.field_px)
    goal = np.exp(random.uniform(least, largest, plan.count))
    return cut(plan.along, plan.across, Cut(plan.number, plan.road_px, box), Cutting(goal), random)


def _green(
    frame: Frame, fields: Cut, country: Country, ground: _Ground, random: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of wood and of farmland. Slopes away from the sun are wooded first; no field climbs a steep slope."""
    flat = _step(0.17 - ground.slope, 0.03)
    clumps = frame.pattern(2.9, 120.0, random)
    slopes = 3.0 * np.minimum(ground.slope, 0.4) + 2.0 * np.clip(ground.north, -0.5, 0.5)
    natural = _step(clumps + slopes - country.wood - 0.5 - 1.5 * np.maximum(ground.high - 0.6, 0), 0.06)
    planted = (random.random(len(fields.box)) < 0.07 * (country.dry < 0.6))[fields.number]
    # on plains woods end where fields begin: a field whose greater part is wooded is wooded throughout
    share = _mean_of(natural, fields.number, len(fields.box))[fields.number]
    wood = np.where(flat > 0.5, (share > 0.6) | planted, natural).astype(np.float32)
    tilled = (random.random(len(fields.box)) < 1 - 0.75 * (country.dry > 0.6))[fields.number]
    return wood, flat * (1 - wood) * tilled


def _built(frame: Frame, fields: Cut, country: Country, ground: _Ground, random: Generator) -> np.ndarray:
    """Where towns stand: whole fields, on plains."""
    pattern = frame.pattern(3.0, 110.0, random)
    wanted = _mean_of(pattern - 12 * np.maximum(ground.slope - 0.05, 0), fields.number, len(fields.box))
    return (wanted + 0.25 * random.standard_normal(len(wanted)) > country.town)[fields.number]


def _town(frame: Frame, plan: Districts, fields: Cut, built: np.ndarray, random: Generator) -> Town:
    """Blocks between streets, and plots in them: houses, yards, gardens, halls, parks."""
    index = np.flatnonzero(built)
    along, across = plan.along.ravel()[index], plan.across.ravel()[index]
    quarters = _kept(fields.number.ravel()[index], fields.edge_px.ravel()[index] - AVENUE_PX / 2, fields.box)
    character = [
        _mean_of(frame.pattern(3.0, 90.0, random).ravel()[index], quarters.number, len(quarters.box))
        + 0.3 * random.standard_normal(len(quarters.box))
        for _ in range(3)
    ]
    tight = np.exp(2.2 + 0.25 * character[0].clip(-2, 2))
    blocks = cut(along, across, quarters, Cutting(tight, STREET_PX, 0.02, 1.7), random)
    quarter_of = _first_of(blocks.number, quarters.number, len(blocks.box))
    leafy, busy = character[1][quarter_of], character[2][quarter_of]
    use = random.random(len(quarter_of))
    hall, park = use < np.clip(0.05 + 0.35 * (busy - 0.9), 0.02, 0.7), use > 0.95
    dense = np.exp(0.95 - 0.12 * leafy + 0.45 * random.standard_normal(len(use)))
    goal = np.where(hall, 7.0, np.where(park, 60.0, dense))
    walls = np.full(len(index), ENDLESS, np.float32)
    plots = cut(along, across, blocks._replace(edge_px=walls), Cutting(goal, 0.3, 0, 1.6), random)
    plots = _kept(plots.number, plots.edge_px, plots.box)
    block_of = _first_of(plots.number, blocks.number, len(plots.box))
    style = _Style(hall[block_of], park[block_of], leafy[block_of], busy[block_of])
    return _houses(index, blocks.edge_px, plots, style, random)


class _Style(NamedTuple):
    """How the land of each plot is used."""

    hall: np.ndarray
    park: np.ndarray
    leafy: np.ndarray
    """How green the quarter is, in deviations."""
    busy: np.ndarray
    """How much it is built for trade, in deviations."""


def _houses(index: np.ndarray, street_px: np.ndarray, plots: Cut, style: _Style, random: Generator) -> Town:
    """What stands on each plot."""
    count = len(plots.box)
    roof = np.clip(random.lognormal(np.log(0.13) - 0.1 * style.leafy.clip(-2, 2), 0.4, count), 0.05, 0.6)
    roof = np.where(style.hall, np.clip(random.lognormal(np.log(0.26), 0.4, count), 0.1, 0.6), roof)
    garden = (random.random(count) < np.clip(0.28 + 0.16 * style.leafy, 0.05, 0.75)) & ~style.hall | style.park
    yard = (random.random(count) < 0.15) & ~garden
    storeys = np.where(style.hall, 3, random.choice([2, 3, 5, 9], count, p=[0.5, 0.3, 0.15, 0.05]))
    height = np.where(garden, 4.0, np.where(yard, 0.0, STOREY_M * storeys))
    street = np.clip(0.5 - street_px / 0.6, 0, 1)
    gap = np.clip(0.5 - plots.edge_px / 0.4, 0, 1) * 0.5
    light = np.where(yard, 0.16, roof).astype(np.float32)[plots.number]
    light = light + gap * (0.09 - light)
    light = light + street * (0.085 - light)
    green = garden.astype(np.float32)[plots.number] * (1 - street)
    tall = height.astype(np.float32)[plots.number] * (street < 0.5) * (gap < 0.3)
    return Town(index, plots.number, count, light, green, tall)


def _first_of(part: np.ndarray, whole: np.ndarray, count: int) -> np.ndarray:
    """Of each of `count` parts, the whole that it was cut from; 0 for those without samples."""
    found = np.zeros(count, np.int64)
    found[part] = whole
    return found


def _kept(number: np.ndarray, edge: np.ndarray, box: np.ndarray) -> Cut:
    """Number anew the parts that have any samples."""
    present = np.bincount(number, minlength=len(box)) > 0
    order = np.cumsum(present, dtype=np.int32) - 1
    return Cut(order[number], edge, box[present])


def _water(frame: Frame, ground: _Ground, country: Country, random: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Share of rivers; depth of lakes. Streams follow the drainage; a great river with bends may cross the plains."""
    streams = _step(np.sqrt(ground.upstream) / 190 - 1, 0.25)
    if random.random() < country.river:
        row, column = _bent(frame, 26.0, 90.0, random)
        turn = random.uniform(0, np.pi)
        middle = np.cos(turn) * frame.shape[0] + np.sin(turn) * frame.shape[1]
        away = np.abs(np.cos(turn) * row + np.sin(turn) * column - random.uniform(0.2, 0.8) * middle)
        streams = np.maximum(streams, _step(random.uniform(1.2, 5.0) - away, 0.4) * _step(0.12 - ground.slope, 0.03))
    lake = frame.pattern(3.6, 70.0, random) - country.lakes - 30 * np.maximum(ground.slope - 0.02, 0)
    return streams, lake


def _lines(frame: Frame, country: Country, random: Generator) -> np.ndarray:
    """Share of motorways and railways, which cross everything."""
    total = np.zeros([n * frame.density for n in frame.shape], np.float32)
    for _ in range(random.poisson(1.5 if country.town < 2 else 0.3)):
        row, column = _bent(frame, 12.0, 300.0, random)
        turn = random.uniform(0, 2 * np.pi)
        away = np.cos(turn) * (row - frame.shape[0] * random.random()) + np.sin(turn) * (
            column - frame.shape[1] * random.random()
        )
        total = np.maximum(total, _step(random.uniform(0.4, 1.2) - np.abs(away), 0.3))
    return total


def _bent(frame: Frame, bend_px: float, longest_px: float, random: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each sample, pixels, in a bent frame."""
    row = (np.arange(frame.shape[0] * frame.density, dtype=np.float32)[:, None] + 0.5) / frame.density
    column = (np.arange(frame.shape[1] * frame.density, dtype=np.float32) + 0.5) / frame.density
    bend = [0.35 * bend_px * frame.pattern(4.5, longest_px, random) for _ in (0, 1)]
    return row + bend[0], column + bend[1]


def _rock(ground: _Ground, random: Generator) -> np.ndarray:
    """Brightness of bare rock about its mean: layers that follow the height, and single bands that stand out."""
    layers = np.cumsum(random.standard_normal(64)) + 2 * random.standard_normal(64)
    layers = (layers - layers.mean()) / layers.std()
    return np.interp(63 * ground.high, np.arange(64), layers).astype(np.float32)


def _mean_of(values: np.ndarray, number: np.ndarray, count: int) -> np.ndarray:
    """Mean over the samples of each part."""
    flat = number.ravel()
    return np.bincount(flat, values.ravel(), count) / np.maximum(np.bincount(flat, minlength=count), 1)


def _step(value: np.ndarray, soft: float) -> np.ndarray:
    """0 below zero, 1 above, going over within about `soft` on either side."""
    return np.clip(0.5 + 0.5 / soft * value, 0, 1).astype(np.float32)
