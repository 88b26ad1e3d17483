"""Faults as values: one to three rough segments, each carried down along a constant dip.

Rake and dip after Aki & Richards (1980): a segment dips to the right of its trace's direction, its right-hand side is
the hanging wall, and rake 180 is right-lateral, 0 left-lateral, 90 reverse, -90 normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from pydantic import BaseModel, Field

from ..errors import InputError, OptionError
from .selfaffine import self_affine_profile
from .slip import Patch, SlipOptions, slip_on_patch

POINTS = 8192  # of a rough trace
LEAST_DIP_DEG = 30.0

Line = Float[np.ndarray, "_ 2"]
"""(east, north), m from the centre of a scene."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One piece of a fault and the slip on it. To dip to the other side, turn the trace round.

    Raises:
        InputError: the trace has fewer than two points, repeats one, or returns to where it started.
        OptionError: dip or depth cannot be.
    """

    trace: Line
    """From tip to tip."""
    slip_m: Patch
    depth_m: float
    """Vertical depth of the lower edge."""
    dip_deg: float = 90.0
    """30 to 90, down to the right of the trace."""
    rake_deg: float = 180.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.trace).all() or len(self.trace) < 2:
            raise InputError(f"a trace of {len(self.trace)} points, or with NaN among them: give two points or more.")
        if (np.linalg.norm(np.diff(self.trace, axis=0), axis=1) == 0).any() or self.chord_m == 0:
            raise InputError("a trace that repeats a point or returns to its start: remove the point or cut the trace.")
        if not LEAST_DIP_DEG <= self.dip_deg <= 90:
            raise OptionError(f"dip {self.dip_deg:g}: give {LEAST_DIP_DEG:g} to 90 degrees from the horizontal.")
        if not self.depth_m > 0:
            raise OptionError(f"depth {self.depth_m:g} m: give the depth that slip reaches down to, above 0.")

    @property
    def chord_m(self) -> float:
        """Distance between the tips."""
        return float(np.linalg.norm(self.trace[-1] - self.trace[0]))

    @property
    def length_m(self) -> float:
        """Length along the trace."""
        return float(np.linalg.norm(np.diff(self.trace, axis=0), axis=1).sum())

    @property
    def right(self) -> Float[np.ndarray, " 2"]:
        """Unit vector (east, north) to the right of the line between the tips: where the segment dips to."""
        east, north = (self.trace[-1] - self.trace[0]) / self.chord_m
        return np.array([north, -east])

    def resampled(self, along: Float[np.ndarray, " places"]) -> Line:
        """Points of the trace at shares of its length, 0 to 1."""
        walked = np.append(0, np.cumsum(np.linalg.norm(np.diff(self.trace, axis=0), axis=1)))
        return np.stack([np.interp(along * walked[-1], walked, part) for part in self.trace.T], 1)


class AlongOptions(BaseModel, frozen=True, extra="forbid"):
    """A rupture along a given trace."""

    slip_m: float = Field(default=2.5, description="Largest slip, m; positive is right-lateral, negative left-lateral.")
    depth_km: float = Field(default=10.0, gt=0, description="Depth that the slip reaches down to, km.")
    dip_deg: float = Field(
        default=90.0, ge=LEAST_DIP_DEG, le=90, description="Dip, degrees, down to the right of the trace's direction."
    )
    rise_deg: float = Field(
        default=0.0,
        ge=-90,
        le=90,
        description="Angle of the slip out of the horizontal, degrees: 90 is reverse, -90 normal.",
    )
    roughness: float = Field(
        default=0.0, ge=0, le=0.05, description="Standard deviation added about the trace, share of its length."
    )
    hurst: float = Field(default=0.8, gt=0, lt=1, description="Hurst exponent of that roughness.")
    slip: SlipOptions = Field(default=SlipOptions(), description="Shape of the slip on each segment.")


def faults_along(
    lines: Sequence[Float[np.ndarray, "_ 2"]], options: AlongOptions, random: Generator
) -> tuple[Segment, ...]:
    """One segment along each line ((east, north), m from the scene's centre; see `trace.from_crs`).

    Each has the largest slip asked for and dies at its own tips: join pieces that continue each other first (see
    `trace.joined`).

    Raises:
        InputError: no line, or one that cannot be a trace (see `Segment`).
    """
    if not lines:
        raise InputError("no trace: give a line of two points or more.")
    rake = 180 - options.rise_deg if options.slip_m >= 0 else options.rise_deg
    segments = []
    for line in lines:
        depth_m = 1000 * options.depth_km
        bare = Segment(np.asarray(line, float), np.zeros((2, 2)), depth_m, options.dip_deg, rake)
        trace = _roughened(bare, options, random) if options.roughness else bare.trace
        width_m = depth_m / math.sin(math.radians(options.dip_deg))
        slip = abs(options.slip_m) * slip_on_patch(bare.length_m, width_m, options.slip, random)
        segments.append(Segment(trace, slip, depth_m, options.dip_deg, rake))
    return tuple(segments)


def _roughened(segment: Segment, options: AlongOptions, random: Generator) -> Line:
    """The trace with roughness across the line between its tips; its own points are no longer among its points."""
    profile = options.roughness * segment.chord_m * self_affine_profile(POINTS, options.hurst, random)
    return segment.resampled(np.linspace(0, 1, POINTS)) + profile[:, None] * segment.right
