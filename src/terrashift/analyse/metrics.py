"""What a measurement is judged by: every number defined once, with the paper that it comes from.

Flows are (x right, y down) px on the grid of `before`; NaN marks what was not measured, and never counts. A number
asked of places of which none was measured is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from . import robust

LAPLACE_SHARES = (1 - math.exp(-1), 1 - math.exp(-2))
"""Share of Laplace distributed errors within their scale and twice it."""
PEAK_LEVEL = math.exp(-2.0)
"""Share of the height of a normal distribution's peak at two deviations from it."""
DENSITY_CELLS = 96
DIRECTION_PX = 25
"""Side of the median that a direction of motion is taken from."""


class Metric(NamedTuple):
    """What a number means."""

    title: str
    unit: str
    meaning: str
    paper: str
    """Key in docs/references.md; empty for ours."""


METRICS: dict[str, Metric] = {
    "epe": Metric("EPE", "px", "mean length of the error of a vector (endpoint error)", "bertrand2025"),
    "mae": Metric("MAE", "px", "mean absolute error of a component", "montagnon2024"),
    "p90": Metric("90 %", "px", "90th percentile of the length of the error", ""),
    "smooth": Metric("smoothness", "px/px", "mean |d/dx| + |d/dy| of both components", "bertrand2025"),
    "width": Metric("width", "px", "10-90 % width of the stacked step across the trace", ""),
    "height": Metric("slip found", "1", "height of that step over the height of the truth's", ""),
    "valid": Metric("valid", "%", "share of the places that have a value", ""),
    "within1": Metric("within 1 sigma", "%", "share of the components whose error is within sigma", ""),
    "within2": Metric("within 2 sigma", "%", "share of the components whose error is within twice sigma", ""),
    "sigma": Metric("mean sigma", "px", "sharpness: mean sigma of a component", ""),
    "bias_x": Metric("bias x", "px", "median error along x", "zheng2023"),
    "bias_y": Metric("bias y", "px", "median error along y", "zheng2023"),
    "nmad": Metric("NMAD", "px", "1.4826 times the median distance of components from their median", "hohle2009"),
    "p95": Metric("95 %", "px", "95th percentile of the length of the residual about the median", "hohle2009"),
    "static_x": Metric("static x", "px", "half-width, along x, of the peak of motion on static ground", "zheng2023"),
    "static_y": Metric("static y", "px", "half-width, along y, of the peak of motion on static ground", "zheng2023"),
    "outliers": Metric("outliers", "%", "share of static ground outside that peak", "zheng2023"),
    "strain_normal": Metric("strain along", "1e-3", "half-width of the peak of strain along the motion", "zheng2023"),
    "strain_shear": Metric("shear", "1e-3", "half-width of the peak of shear along the motion", "zheng2023"),
    "landmarks": Metric("landmarks", "px", "mean length of the error at landmarks", "vakalopoulou2019"),
    "ce90": Metric("CE90", "px", "length that 90 % of the landmarks' errors stay below", ""),
    "kept": Metric("kept", "1", "landmarks' error over what it was before", "vakalopoulou2019"),
    "cpu_s": Metric("CPU", "s/Mpx", "processor seconds per million pixels of the pair", ""),
    "wall_s": Metric("time", "s/Mpx", "seconds per million pixels of the pair", ""),
    "peak_mib": Metric("memory", "MiB", "largest memory taken beyond what was held before", ""),
}


def metric_of(name: str) -> Metric:
    """The metric behind a name such as `epe_fault`: what follows the metric is the zone.

    >>> metric_of("smooth_far").title
    'smoothness, far'
    """
    if name in METRICS:
        return METRICS[name]
    kind, _, zone = name.rpartition("_")
    return METRICS[kind]._replace(title=f"{METRICS[kind].title}, {zone}")


def endpoint_error(xy: Float[np.ndarray, "2 ..."], truth: Float[np.ndarray, "2 ..."]) -> Float[np.ndarray, ...]:
    """Length of the error of each vector, px.

    >>> endpoint_error(np.array([[3.0]]).repeat(2, 0), np.array([[0.0], [-1.0]])).tolist()
    [5.0]
    """
    return np.hypot(*(xy - truth))


def without_offset(
    xy: Float[np.ndarray, "2 height width"],
    truth: Float[np.ndarray, "2 height width"],
    where: Bool[np.ndarray, "height width"],
) -> Float[np.ndarray, "2 height width"]:
    """The flow less its median residual there, by component: for truths whose own offset is not known well."""
    known = where & np.isfinite(xy).all(0)
    if not known.any():
        return xy
    return xy - np.median((xy - truth)[:, known], axis=1)[:, None, None]


def mean_of(values: Float[np.ndarray, "*places"], where: Bool[np.ndarray, "*places"] | None = None) -> float:
    """Mean of what is known there."""
    known = _known(values, where)
    return float(known.mean()) if known.size else math.nan


def percentile_of(
    values: Float[np.ndarray, "*places"], percent: float | int, where: Bool[np.ndarray, "*places"] | None = None
) -> float:
    """Percentile of what is known there."""
    known = _known(values, where)
    return float(np.percentile(known, percent)) if known.size else math.nan


def _known(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    chosen = values if where is None else values[where]
    return chosen[np.isfinite(chosen)]


def share(where: Bool[np.ndarray, "*places"], of: Bool[np.ndarray, "*places"]) -> float:
    """Part of `of` that lies in `where`."""
    total = int(of.sum())
    return float((where & of).sum() / total) if total else math.nan


def smoothness(xy: Float[np.ndarray, "2 height width"], step_px: int = 1) -> Float[np.ndarray, "height width"]:
    """Sum over both components of |d/dx| + |d/dy|, forward differences, px per px (Bertrand et al. 2025).

    Args:
        xy: motion.
        step_px: distance of neighbours in it.
    """
    slopes = (np.abs(np.diff(part, axis=axis, append=np.nan)) for part in xy for axis in (0, 1))
    return sum(slopes) / step_px  # pyright: ignore[reportReturnType]


def nmad(values: Float[np.ndarray, "*places"]) -> float:
    """Robust deviation: 1.4826 times the median distance from the median (Hoehle and Hoehle 2009).

    >>> round(nmad(np.array([0.0, 1.0, 2.0, 3.0, 100.0])), 4)
    1.4826
    """
    return robust.nmad(values[np.isfinite(values)])


def still(xy: Float[np.ndarray, "2 height width"], where: Bool[np.ndarray, "height width"]) -> dict[str, float]:
    """Bias, spread and tail of motion where nothing moved: `bias_x`, `bias_y`, `nmad`, `p95`.

    `nmad` is the quadratic mean of that of both components.
    """
    known = xy[:, where & np.isfinite(xy).all(0)]
    if not known.size:
        return dict.fromkeys(("bias_x", "bias_y", "nmad", "p95"), math.nan)
    middle = np.median(known, axis=1)
    residual = np.hypot(*(known - middle[:, None]))
    spread = math.hypot(*(nmad(part) for part in known)) / math.sqrt(2)
    return {
        "bias_x": float(middle[0]),
        "bias_y": float(middle[1]),
        "nmad": spread,
        "p95": float(np.percentile(residual, 95)),
    }


class Peak(NamedTuple):
    """Extent of the peak of a distribution of pairs of numbers."""

    half: tuple[float, float]
    """Half its width along both axes."""
    outside: float
    """Share of the pairs outside the box around it."""


def peak_of(pairs: Float[np.ndarray, "2 count"]) -> Peak:
    """The part of a distribution that is denser than exp(-2) of its peak (Zheng et al. 2023).

    The density is that of Gaussian kernels of a width of std * n^(-1/6), gathered on a grid; the level is where two
    deviations of a normal distribution end, whose half-widths then come out as twice its deviations.
    """
    count = pairs.shape[1]
    if count < 16 or not (pairs.std(axis=1) > 0).all():
        return Peak((math.nan, math.nan), math.nan)
    middle = np.median(pairs, axis=1)
    spread = np.array([max(nmad(part), 1e-3 * float(part.std())) for part in pairs])
    for _ in range(2):  # once roughly, once fitted to what was found
        reach = 6 * spread
        cell = 2 * reach / DENSITY_CELLS
        edges = [np.linspace(m - r, m + r, DENSITY_CELLS + 1) for m, r in zip(middle, reach, strict=True)]
        counted, *_ = np.histogram2d(*pairs, bins=edges)  # pyright: ignore[reportArgumentType]
        width = spread * count ** (-1 / 6) / cell
        density = ndimage.gaussian_filter(counted, tuple(width), mode="constant")
        dense = np.argwhere(density >= PEAK_LEVEL * density.max())
        low, high = dense.min(0), dense.max(0) + 1
        half = (high - low) / 2 * cell
        spread = np.maximum(half / 2, 1e-9)
    box = [
        (part >= e[a]) & (part <= e[b]) for part, e, a, b in zip(pairs, edges, low.tolist(), high.tolist(), strict=True)
    ]
    return Peak((float(half[0]), float(half[1])), float(1 - (box[0] & box[1]).mean()))


def static_terrain(
    xy: Float[np.ndarray, "2 height width"], where: Bool[np.ndarray, "height width"]
) -> dict[str, float]:
    """Truth-free metric 1 of Zheng et al. 2023: how far motion spreads on ground that does not move."""
    peak = peak_of(xy[:, where & np.isfinite(xy).all(0)].astype(float))
    return {"static_x": peak.half[0], "static_y": peak.half[1], "outliers": peak.outside}


def along_flow_strain(
    xy: Float[np.ndarray, "2 height width"], where: Bool[np.ndarray, "height width"], step_px: int = 1
) -> dict[str, float]:
    """Truth-free metric 2 of Zheng et al. 2023: how far strain along the motion spreads, in thousandths.

    Ice deforms little from pixel to pixel: a wide peak is noise. Gradients are those of 3 x 3 Sobel kernels, the
    direction that of the motion's median over 25 measurements.
    """
    along_x, along_y = ([ndimage.sobel(part, axis=axis) / (8 * step_px) for part in xy] for axis in (1, 0))
    normal_x, normal_y = along_x[0], along_y[1]
    shear = (along_y[0] + along_x[1]) / 2
    filled = [np.nan_to_num(part, nan=float(np.nanmedian(part)) if np.isfinite(part).any() else 0.0) for part in xy]
    smooth = [_coarse_median(part) for part in filled]
    angle = np.arctan2(smooth[1], smooth[0])
    cos, sin = np.cos(angle), np.sin(angle)
    normal = normal_x * cos**2 + normal_y * sin**2 + 2 * shear * sin * cos
    sheared = (normal_y - normal_x) * sin * cos + shear * (cos**2 - sin**2)
    pairs = np.stack([normal, sheared])
    peak = peak_of(1e3 * pairs[:, where & np.isfinite(pairs).all(0)].astype(float))
    return {"strain_normal": peak.half[0], "strain_shear": peak.half[1]}


def _coarse_median(values: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Median over `DIRECTION_PX`, of every third value; nearly as good, and a hundred times as fast."""
    coarse = ndimage.median_filter(values[::3, ::3], DIRECTION_PX // 3 + 1)
    return coarse.repeat(3, 0).repeat(3, 1)[: values.shape[0], : values.shape[1]]


class Reliability(NamedTuple):
    """How often errors are as small as promised."""

    promised: Float[np.ndarray, " levels"]
    """Share of the errors that a Laplace distribution of that sigma has within some multiple of it."""
    found: Float[np.ndarray, " levels"]


def reliability(error: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"], levels: int = 19) -> Reliability:
    """The calibration curve of components whose errors are said to be Laplace distributed with scale `sigma`."""
    promised = np.linspace(0, 1, levels + 2)[1:-1]
    ratio = np.abs(error) / sigma
    ratio = np.sort(ratio[np.isfinite(ratio)])
    if not ratio.size:
        return Reliability(promised, np.full(levels, np.nan))
    return Reliability(promised, np.searchsorted(ratio, -np.log1p(-promised), "right") / ratio.size)


def coverage(
    error: Float[np.ndarray, "2 height width"],
    sigma: Float[np.ndarray, "2 height width"],
    where: Bool[np.ndarray, "height width"],
) -> Mapping[str, float]:
    """`within1`, `within2` and `sigma`; a calibrated Laplace sigma has 63 % and 86 %. NaN where there is no sigma."""
    error, sigma = (np.abs(part[:, where]).ravel() for part in (error, sigma))
    known = np.isfinite(error) & np.isfinite(sigma)
    if not known.any():
        return dict.fromkeys(("within1", "within2", "sigma"), math.nan)
    error, sigma = error[known], sigma[known]
    return {
        "within1": float((error <= sigma).mean()),
        "within2": float((error <= 2 * sigma).mean()),
        "sigma": float(sigma.mean()),
    }
