"""How the ground of a grid moved and where it broke: what every way of making an earthquake returns."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class Displacement(NamedTuple):
    """How the ground of a grid moved, and where it broke."""

    east: Float[Tensor, "height width"]
    """m (the grid's unit)."""
    north: Float[Tensor, "height width"]
    up: Float[Tensor, "height width"]
    """Zero everywhere where only horizontal motion was computed."""
    trace: Bool[Tensor, "height width"]
    """True on pixels, of either side, that have one of their four neighbours across a rupture."""
    lines: tuple[Float[Tensor, "_ 2"], ...]
    """One line per segment: its trace as (x, y) in the grid's CRS (pixel corners without one), from tip to tip. Lines
    reach past the grid."""
    slips: tuple[Float[Tensor, " _"], ...]
    """Slip along the trace at each point of each line, m: positive is right-lateral, negative left-lateral."""
