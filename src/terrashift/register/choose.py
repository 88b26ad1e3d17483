"""Which model tie points call for: the simplest that predicts those left out about as well as any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from .fit import POINTS, Samples, ce90, fit_polynomial, held_out_polynomial, trimmed_rms
from .mapping import Sum
from .options import ORDERS, Model
from .smooth import SmoothFit, fit_smooth
from .ties import OUTLIER, TiePoints

AUTO = ("translation", "affine", "poly2")
FEWEST_TIES = 8
LOCAL_TIES = 40
SIMPLER = 1.05
"""A simpler model is taken where its held-out residuals are at most this many times those of the best."""
BETTER_LOCALLY = 0.75
"""The local model is spoken of where it leaves less than this share of what another does."""
FOLD_SHARE = 0.5
FAR = 4.0
"""Robust deviations from the smooth model beyond which a tie point is an outlier."""
LEAST_SPREAD_PX = 0.05


class Scene(NamedTuple):
    """What tie points were measured on."""

    shape: tuple[int, int]
    """(height, width) of the reference."""
    spacing_px: int
    window_px: int

    @property
    def fold_px(self) -> float:
        """Side of the squares whose tie points are left out together: windows in different ones hardly overlap."""
        return float(max(2 * self.window_px, 2 * self.spacing_px))

    @property
    def shared(self) -> float:
        """Tie points that look at the same ground, and count as one when errors are propagated."""
        return max(1.0, (self.window_px / 2 / self.spacing_px) ** 2)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A model and what speaks for it; see `Registration`."""

    correction: Sum
    model: str
    ties: TiePoints
    held_out: Float[np.ndarray, "2 n"]
    error_px: float
    compared: dict[str, float]
    """Held-out CE90, px, of the models that were tried, outliers included."""
    scene: Scene
    warnings: tuple[str, ...] = ()


def samples_of(ties: TiePoints) -> Samples:
    """The tie points in use."""
    used = ties.used
    return Samples(ties.reference[:, used], ties.shift[:, used], ties.score[used])


def choose_model(ties: TiePoints, model: Model, scene: Scene) -> Outcome:
    """Fit the model asked for, or choose one (`auto`).

    Raises:
        InputError: where there are too few tie points for it.
    """
    samples = samples_of(ties)
    wanted = AUTO if model == "auto" else (model,) if model in ORDERS else ()
    possible = [name for name in wanted if len(samples.weight) >= max(3, 2 * POINTS[ORDERS[name]])]
    if not possible and model != "local":
        raise InputError(
            f"{len(samples.weight)} tie points are too few for {'any model' if model == 'auto' else model}: use a "
            "smaller --window-px and --spacing-px, a lower --min-score, or a simpler --model."
        )
    left = {name: held_out_polynomial(samples, ORDERS[name], scene.shape, scene.fold_px) for name in possible}
    compared = {name: ce90(part) for name, part in left.items()}
    if model == "local":
        if len(samples.weight) < LOCAL_TIES:
            raise InputError(
                f"{len(samples.weight)} tie points are too few for a local model, which takes {LOCAL_TIES}: use a "
                "smaller --window-px and --spacing-px, a lower --min-score, or --model affine."
            )
        return local_model(ties, scene)
    scores = {name: trimmed_rms(part) for name, part in left.items()}
    best = min((score for score in scores.values() if math.isfinite(score)), default=math.inf)
    name = next((name for name, score in scores.items() if score <= SIMPLER * best), possible[0])
    return _global(ties, name, scene, left[name], compared)


def _global(
    ties: TiePoints, name: str, scene: Scene, left: Float[np.ndarray, "2 m"], compared: dict[str, float]
) -> Outcome:
    samples = samples_of(ties)
    fit = fit_polynomial(samples, ORDERS[name], scene.shape)
    error = math.sqrt(scene.shared * float(np.mean(fit.error_at(samples.places) ** 2)))
    held_out = _spread_over(ties, left)
    out = np.zeros(len(ties), bool)
    out[ties.used] = ~fit.inlier
    return Outcome(Sum((fit.model,)), name, ties.flagged(out, OUTLIER), held_out, error, compared, scene)


def local_model(ties: TiePoints, scene: Scene) -> Outcome:
    """An affine and the smooth lattice of what it leaves, outliers taken out and fitted again."""
    spacing = float(max(scene.spacing_px, scene.window_px // 2))
    for last in (False, True):
        samples = samples_of(ties)
        affine = fit_polynomial(samples, 1, scene.shape, AROUND_AFFINE_PX).model
        rest = samples._replace(shift=samples.shift - affine.shift(samples.places))
        smooth = fit_smooth(rest, scene.shape, spacing, FOLD_SHARE * scene.fold_px)
        residual = np.hypot(*(rest.shift - smooth.model.shift(rest.places)))
        if last:
            break
        spread = max(LEAST_SPREAD_PX, float(np.median(residual)) / 1.1774)
        out = np.zeros(len(ties), bool)
        out[ties.used] = residual > FAR * spread
        ties = ties.flagged(out, OUTLIER)
    held_out = _spread_over(ties, smooth.held_out)
    error = _error_of(smooth, residual)
    compared = {"local": ce90(smooth.held_out)}
    return Outcome(Sum((affine, smooth.model)), "local", ties, held_out, error, compared, scene)


AROUND_AFFINE_PX = 6.0
"""How far a local shift may leave the affine that it is written about; only the lattice's own start depends on it."""


def _error_of(smooth: SmoothFit, residual: Float[np.ndarray, " n"]) -> float:
    """Standard error of a component, from how much worse tie points are predicted than fitted.

    With h the share of a tie point in its own prediction, residuals have the variance s^2 (1 - 2h) and held-out ones
    s^2 (1 + h) to first order; that of the model is s^2 h.
    """
    held = np.hypot(*smooth.held_out)
    held = held[np.isfinite(held)]
    if not len(held):
        return math.nan
    square = (float(np.median(held)) / 1.1774) ** 2 - (float(np.median(residual)) / 1.1774) ** 2
    return math.sqrt(max(square, 0.0) / 3)


def _spread_over(ties: TiePoints, left: Float[np.ndarray, "2 m"]) -> Float[np.ndarray, "2 n"]:
    """Values of the tie points in use, NaN for the others."""
    result = np.full((2, len(ties)), np.nan)
    result[:, ties.used] = left
    return result
