"""How much slips where on a fault patch: none at its tips and its lower edge, fractal between.

Size of the slip from the length of the rupture: Wells & Coppersmith (1994), strike-slip, largest displacement.
Less slip near the surface than at depth: Fialko et al. (2005), Xu et al. (2016), 0 to 60 %.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from pydantic import BaseModel, Field

from .selfaffine import self_affine_surface

ROWS, COLUMNS = 65, 1025  # lattice of a patch; finer detail of slip is below 1/1000 of it
LEAST_FACTOR = 0.05  # the patch slips everywhere in one sense
TIP_SHARE, FOOT_SHARE = 0.1, 0.2  # of length and depth, over which a box-shaped slip dies away
SHALLOW_SHARE = 0.35  # of depth, above which slip may be missing
INTERCEPT, SLOPE, SCATTER = -1.69, 1.16, 0.34  # log10 of largest slip (m) from that of length (km), standard deviation

Patch = Float[np.ndarray, "down along"]
"""Slip at the nodes of a lattice from tip to tip (columns) and from the surface to the lower edge (rows)."""


class SlipOptions(BaseModel, frozen=True, extra="forbid"):
    """Shape of the slip on a fault patch."""

    taper: Literal["ellipse", "box"] = Field(
        default="ellipse", description="How slip dies toward the edges: all the way, or near them only."
    )
    variation: float = Field(
        default=0.25, ge=0, lt=1, description="Standard deviation of the fractal factor that multiplies the slip."
    )
    hurst: float = Field(default=0.7, gt=0, lt=1, description="Hurst exponent of that factor.")
    shallow_deficit: float = Field(
        default=0.0, ge=0, le=0.6, description="Share of the slip at depth that is missing at the surface."
    )


def slip_on_patch(length_m: float, width_m: float, options: SlipOptions, random: Generator) -> Patch:
    """Relative slip on a patch of this length and down-dip width, the largest 1, zero at its tips and lower edge."""
    along, down = np.linspace(-1, 1, COLUMNS), np.linspace(0, 1, ROWS)[:, None]
    spacing = (width_m / (ROWS - 1), length_m / (COLUMNS - 1))
    rough = self_affine_surface((ROWS, COLUMNS), spacing, options.hurst, random)
    factor = np.maximum(1 + options.variation * rough, LEAST_FACTOR)
    if options.taper == "ellipse":
        taper = np.sqrt(1 - along**2) * np.sqrt(1 - down**2)
    else:
        taper = _rise((1 - np.abs(along)) / (2 * TIP_SHARE)) * _rise((1 - down) / FOOT_SHARE)
    missing = options.shallow_deficit * (1 - _rise(down / SHALLOW_SHARE))
    slip = factor * taper * (1 - missing)
    return slip / slip.max()


def likely_slip(length_m: float, random: Generator) -> float:
    """Largest slip of a strike-slip rupture of this length, m, drawn with the scatter of the observed ones.

    A few 1e-5 of the length: 1.5 m, or between half and twice that in two cases of three, for 40 km. The regression
    rests on lengths of 1 to 432 km and is used below that too.
    """
    return 10 ** (INTERCEPT + SLOPE * math.log10(length_m / 1000) + SCATTER * random.standard_normal())


def slip_at(patch: Patch, along: Float[np.ndarray, " places"], down: float) -> Float[np.ndarray, " places"]:
    """Slip between the lattice's nodes, bilinear: `along` from 0 to 1 between the tips, `down` from the surface."""
    row = down * (len(patch) - 1)
    upper = min(int(row), len(patch) - 2)
    share = row - upper
    profile = (1 - share) * patch[upper] + share * patch[upper + 1]
    return np.interp(along, np.linspace(0, 1, patch.shape[1]), profile)


def _rise(share: np.ndarray) -> np.ndarray:
    """0 at 0, 1 from 1 on, half a cosine between."""
    return 0.5 - 0.5 * np.cos(math.pi * np.clip(share, 0, 1))
