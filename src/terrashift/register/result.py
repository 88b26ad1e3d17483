"""What a registration ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ..core.grid import Grid
from .exclude import TraceCheck
from .fit import ce90
from .mapping import Mapping, Sum
from .ties import FLAGS, TiePoints


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """Where each pixel of the reference lies in the moving image, and how well that is known."""

    reference: Grid
    moving: Grid
    start: Mapping
    """By georeferencing or content."""
    started_by: str
    correction: Sum
    """What that left, as one model on the reference."""
    model: str
    ties: TiePoints
    """Of the last round; `found` is the total shift that the correction models."""
    held_out: Float[np.ndarray, "2 n"]
    """Of each tie point, what it is off a model fitted without its part of the ground, px; NaN where not used."""
    error_px: float
    """Standard error of either component of the map, root mean square over the tie points in use."""
    compared: dict[str, float] = field(default_factory=dict)
    """Held-out CE90, px, of every model that was tried."""
    trace: TraceCheck | None = None
    warnings: tuple[str, ...] = ()

    @property
    def mapping(self) -> Mapping:
        """From pixels of the reference to pixels of the moving image."""
        return self.start.after(self.correction)

    @property
    def residual(self) -> Float[np.ndarray, "2 n"]:
        """What the model leaves of each tie point's shift, px."""
        return self.ties.shift - self.correction.shift(self.ties.reference)

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON holds it; lengths in pixels of the reference."""
        used = self.ties.used
        before, after, honest = (v[:, used] for v in (self.ties.shift, self.residual, self.held_out))
        middle = np.array([[(self.reference.width - 1) / 2], [(self.reference.height - 1) / 2]])
        shift = self.correction.shift(middle)[:, 0]
        pixel = self.reference.pixel_size
        result: dict[str, Any] = {
            "model": self.model,
            "started by": self.started_by,
            "shift at the middle px": [round(float(v), 4) for v in shift],
            "pixel size": [*pixel, self.reference.unit],
            "ce90 before px": ce90(before),
            "ce90 after px": ce90(after),
            "ce90 held out px": ce90(honest),
            "rms residual px": [float(np.sqrt(np.mean(part**2))) if part.size else None for part in after],
            "median residual px": [float(np.median(part)) if part.size else None for part in after],
            "standard error px": self.error_px,
            "tie points": {name: int((self.ties.flag == k).sum()) for k, name in enumerate(FLAGS)},
            "cells tried": self.ties.tried,
            "models compared, ce90 held out px": self.compared,
            "warnings": list(self.warnings),
        }
        polynomial = self.correction.polynomial
        if polynomial is not None:
            result["polynomial"] = {
                "order": polynomial.order,
                "x px": polynomial.coefficients[0].tolist(),
                "y px": polynomial.coefficients[1].tolist(),
                "centre px": list(polynomial.centre),
                "unit px": polynomial.scale,
                "terms": "1, x, y, x^2, x y, y^2, ... of (place - centre) / unit",
            }
        if self.trace is not None:
            result["trace"] = self.trace._asdict()
        return result
