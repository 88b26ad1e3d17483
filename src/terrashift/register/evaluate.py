"""How far a map is off at places whose counterparts are known."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .fit import ce90
from .mapping import Step


class LandmarkError(NamedTuple):
    """Lengths of the errors of a map at landmarks, in pixels of the moving image."""

    mean_px: float
    median_px: float
    ce90_px: float
    """Nine in ten landmarks are closer than this."""
    mean_x_px: float
    """Mean size of the error along x; likewise y."""
    mean_y_px: float
    count: int
    """Landmarks that the map has a place for."""


def landmark_error(
    mapping: Step, reference: Float[np.ndarray, "2 n"], moving: Float[np.ndarray, "2 n"]
) -> LandmarkError:
    """Hold a map against landmarks.

    Args:
        mapping: from pixels of the reference to pixels of the moving image; anything that maps (x, y) to (x, y), such
            as a `Mapping`, or a lambda around a dense flow.
        reference: (x right, y down) px of each landmark in the reference, the centre of the first pixel being (0, 0).
        moving: where it really lies in the moving image.

    >>> landmark_error(lambda xy: xy + 1.0, np.zeros((2, 3)), np.ones((2, 3))).mean_px
    0.0
    """
    error = mapping(np.asarray(reference, np.float64)) - moving
    error = error[:, np.isfinite(error).all(0)]
    if not error.shape[1]:
        return LandmarkError(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    length = np.hypot(*error)
    wide, high = np.abs(error).mean(1)
    return LandmarkError(
        float(length.mean()), float(np.median(length)), ce90(error), float(wide), float(high), error.shape[1]
    )
