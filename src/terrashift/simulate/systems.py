"""Random faults for a scene: single ones, step-overs, branches and conjugate pairs, in sight or beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from pydantic import BaseModel, Field, model_validator

from .faults import POINTS, Line, Segment
from .selfaffine import self_affine_profile
from .slip import SlipOptions, likely_slip, slip_on_patch

Kind = Literal["single", "step-over", "branch", "conjugate"]
MIDDLE = (
    0.35  # radius of the disc about the scene's centre that holds a point of the main trace, share of the short side
)
STEEP_DEG = 8.0  # standard deviation of the tilt of the usual fault
FLAT_DEG = 60.0  # largest tilt from the vertical
MOST_OBLIQUE_DEG = 60.0  # beyond, little of the slip would show in horizontal motion
OBLIQUE_DEG = 12.0  # standard deviation of the usual rake about pure strike-slip
TIP_INWARD = 0.13  # from that point to a tip in sight, of the short side: the tip is then in the scene too
ENDING_LENGTHS = (0.8, 6.0)  # of ruptures with a tip in sight, in diagonals of the scene
CROSSING_LENGTHS = (3.5, 14.0)  # of others: no tip can lie in sight
LONGEST_BEND = 0.03  # sagitta of the gentle bow of a trace, share of its length


class FaultOptions(BaseModel, frozen=True, extra="forbid"):
    """What faults are drawn, and how often which."""

    in_sight: float = Field(
        default=0.95, ge=0, le=1, description="Share of draws whose main trace runs through the scene."
    )
    ending: float = Field(default=0.3, ge=0, le=1, description="Share of those that have a tip in the scene.")
    step_overs: float = Field(default=0.15, ge=0, le=1, description="Share of draws with two or three stepping lines.")
    branches: float = Field(default=0.15, ge=0, le=1, description="Share with a branch.")
    conjugates: float = Field(default=0.1, ge=0, le=1, description="Share with a second fault at 80 to 90 degrees.")
    tilted: float = Field(default=0.2, ge=0, le=1, description="Share of faults tilted by up to 60 degrees.")
    oblique: float = Field(
        default=0.15, ge=0, le=1, description="Share of faults with a rake up to 60 degrees off strike-slip."
    )
    depth_km: tuple[float, float] = Field(
        default=(3.0, 15.0), description="Range of the depth of slip, km; short ruptures reach less deep."
    )
    roughness: tuple[float, float] = Field(
        default=(0.002, 0.012), description="Range of the standard deviation about a line, share of its length."
    )
    hurst: float = Field(default=0.8, gt=0, lt=1, description="Hurst exponent of the traces.")
    slip_variation: float = Field(default=0.25, ge=0, lt=1, description="Of the fractal factor of the slip.")
    slip_hurst: float = Field(default=0.7, gt=0, lt=1, description="Hurst exponent of that factor.")
    deficit: float = Field(default=0.6, ge=0, le=0.6, description="Largest share of slip missing at the surface.")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> FaultOptions:
        if self.step_overs + self.branches + self.conjugates > 1 + 1e-9:
            raise ValueError("step_overs, branches and conjugates make up more than all draws: lower one of them.")
        if not (0 < self.depth_km[0] <= self.depth_km[1] and 0 <= self.roughness[0] <= self.roughness[1] <= 0.05):
            raise ValueError("depth_km and roughness are ranges: the lower limit first; roughness up to 0.05.")
        return self


class FaultSystem(NamedTuple):
    """Faults that slip together."""

    kind: Kind
    segments: tuple[Segment, ...]
    """The main one first."""


@dataclass(frozen=True, slots=True)
class _Style:
    """What the segments of one system share."""

    largest_slip_m: float
    longest_m: float
    depth_m: float
    right_lateral: bool
    dip_deg: float
    rake_off_deg: float
    """Of the rake from pure strike-slip, toward reverse."""


def random_faults(extent_m: tuple[float, float], random: Generator, options: FaultOptions) -> FaultSystem:
    """Draw faults for a scene with sides of these lengths, of whatever orientation.

    In `options.in_sight` of the draws a point of the main trace, with slip, lies near the scene's centre: within 0.35
    of the shorter side. In `options.ending` of these, and at every step-over, that point is near a tip, and so is the
    tip; in the others the trace leaves the scene at both sides. In the rest of the draws every segment is out of sight.
    """
    short, reach = min(extent_m), math.hypot(*extent_m)
    seen = random.random() < options.in_sight
    ends = seen and random.random() < options.ending
    kind = _kind(random, options)
    length = reach * (_between(ENDING_LENGTHS if ends else CROSSING_LENGTHS, random))
    style = _style(length, random, options)
    main = _trace(length, random.uniform(0, 2 * math.pi), random, options)
    share = random.uniform(0.35, 0.65)
    if ends or kind == "step-over":
        inward = min(0.1, TIP_INWARD * short / length)
        share = inward if kind != "step-over" and random.random() < 0.5 else 1 - inward
    pivot = _turned(np.array([MIDDLE * short * math.sqrt(random.random()), 0]), random.uniform(0, 2 * math.pi))
    main = main - main[round(share * (POINTS - 1))] + pivot
    lines = [main, *_others(kind, main, (share, short), random, options)]
    if not seen:
        lines = _aside(lines, reach, random)
    segments = [_segment(line, style, (kind == "conjugate") and i > 0, random, options) for i, line in enumerate(lines)]
    return FaultSystem(kind, tuple(segments))


def _kind(random: Generator, options: FaultOptions) -> Kind:
    drawn = random.random()
    shares: dict[Kind, float] = {
        "step-over": options.step_overs,
        "branch": options.branches,
        "conjugate": options.conjugates,
    }
    for kind, share in shares.items():
        if drawn < share:
            return kind
        drawn -= share
    return "single"


def _style(length_m: float, random: Generator, options: FaultOptions) -> _Style:
    tilt = random.uniform(0, FLAT_DEG) if random.random() < options.tilted else abs(STEEP_DEG * random.normal())
    rake = (
        random.uniform(-MOST_OBLIQUE_DEG, MOST_OBLIQUE_DEG)
        if random.random() < options.oblique
        else OBLIQUE_DEG * random.normal()
    )
    depth = min(1000 * _between(options.depth_km, random), random.uniform(0.25, 0.5) * length_m)
    slip, sense = likely_slip(length_m, random), bool(random.random() < 0.5)
    return _Style(slip, length_m, depth, sense, 90 - min(tilt, FLAT_DEG), float(rake))


def _trace(length_m: float, strike: float, random: Generator, options: FaultOptions) -> Line:
    """Rough, gently bowed line of this length from tip to tip, starting at 0, toward `strike` (radians from north)."""
    along = np.linspace(0, 1, POINTS)
    profile = random.uniform(*options.roughness) * self_affine_profile(POINTS, options.hurst, random)
    bow = LONGEST_BEND * random.uniform(-1, 1) * np.sin(math.pi * along)
    return _turned(length_m * np.stack([profile + bow, along], 1), strike)


def _others(
    kind: Kind, main: Line, anchor: tuple[float, float], random: Generator, options: FaultOptions
) -> list[Line]:
    """Further traces of a system; what happens between them happens within the scene if `main` runs through it."""
    share, short = anchor
    chord = main[-1] - main[0]
    length, strike = float(np.linalg.norm(chord)), math.atan2(*chord)
    at = main[round(share * (POINTS - 1))]
    side = random.choice([-1.0, 1.0])
    if kind == "single":
        return []
    if kind == "step-over":
        return _steps(main, short, random, options)
    if kind == "branch":
        off = side * math.radians(random.uniform(12, 35)) + (math.pi if random.random() < 0.5 else 0)
        return [_trace(length * random.uniform(0.2, 0.6), strike + off, random, options) + at]
    crossing = _trace(
        length * random.uniform(0.3, 0.9), strike + side * math.radians(random.uniform(80, 90)), random, options
    )
    return [crossing + at - crossing[round(random.choice([0.0, 0.3, 0.5]) * (POINTS - 1))]]


def _steps(main: Line, short: float, random: Generator, options: FaultOptions) -> list[Line]:
    """One or two lines that go on where `main` ends, to the left or right, with an overlap or a gap."""
    lines, before = [], main
    side = random.choice([-1.0, 1.0])
    for _ in range(1 + int(random.random() < 0.4)):
        chord = before[-1] - before[0]
        length = float(np.linalg.norm(chord))
        toward = chord / length
        offset = short * random.uniform(0.08, 0.4)
        overlap = offset * random.uniform(-0.8, 1.5)
        start = before[-1] + side * offset * np.array([toward[1], -toward[0]]) - overlap * toward
        strike = math.atan2(*chord) + math.radians(random.uniform(-8, 8))
        before = _trace(length * random.uniform(0.4, 1.0), strike, random, options) + start
        lines.append(before)
    return lines


def _aside(lines: list[Line], reach: float, random: Generator) -> list[Line]:
    """The lines moved off to the side until none comes within the circle around the scene."""
    chord = lines[0][-1] - lines[0][0]
    toward = np.array([chord[1], -chord[0]]) / np.linalg.norm(chord) * random.choice([-1.0, 1.0])
    nearest = min(float((line @ toward).min()) for line in lines)
    return [line + (reach * random.uniform(0.52, 1.5) - nearest) * toward for line in lines]


def _segment(line: Line, style: _Style, conjugate: bool, random: Generator, options: FaultOptions) -> Segment:
    """A segment along a line: slips less than the main one if it is shorter, the other way if it is its conjugate."""
    length = float(np.linalg.norm(line[-1] - line[0]))
    depth = min(style.depth_m, 0.5 * length)
    width = depth / math.sin(math.radians(style.dip_deg))
    shape = SlipOptions(
        taper="box" if random.random() < 0.3 else "ellipse",
        variation=options.slip_variation,
        hurst=options.slip_hurst,
        shallow_deficit=options.deficit * random.random(),
    )
    largest = style.largest_slip_m * min(1.0, length / style.longest_m)
    slip = largest * slip_on_patch(length, width, shape, random)
    right_lateral = style.right_lateral != conjugate
    rake = 180 - style.rake_off_deg if right_lateral else style.rake_off_deg
    turned = line[::-1] if random.random() < 0.5 else line
    return Segment(turned, slip, depth, style.dip_deg, rake)


def _between(limits: tuple[float, float], random: Generator) -> float:
    """Between two limits, evenly in the logarithm."""
    return math.exp(random.uniform(math.log(limits[0]), math.log(limits[1])))


def _turned(points: Float[np.ndarray, "*points 2"], angle: float) -> Float[np.ndarray, "*points 2"]:
    """Turned clockwise by `angle`, radians: north becomes strike."""
    sine, cosine = math.sin(angle), math.cos(angle)
    return points @ np.array([[cosine, -sine], [sine, cosine]])
