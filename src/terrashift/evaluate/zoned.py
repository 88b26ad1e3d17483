"""Judge motion by its distance from a fault: at it, near it, far from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import distance_transform_edt, label

from ..analyse import metrics
from ..analyse.sharpness import Profile, Step, along_the_step, signed_distance, stacked, step_of
from .case import Answer, Case

LEAST_SIDE = 0.02
"""Share of the pixels; smaller parts that a trace cuts off are pockets of it."""
NEAR_PX = {"fault": (0.0, 3.0), "near": (0.0, 16.0), "far": (16.0, math.inf)}
"""Distances from the trace, px, above the first (or on the trace) up to the second; near holds the fault too."""


@dataclass(frozen=True, slots=True)
class Zones:
    """How answers are judged where the truth and a trace are known."""

    border_px: int = 24
    """Left out along the edges."""
    offset_known: bool = True
    """False where the truth's own offset is not known well: each component's median residual is taken off."""
    distances: tuple[tuple[str, float, float], ...] = tuple((name, *ends) for name, ends in NEAR_PX.items())
    """(name, above, up to) px from the trace."""

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Every metric, those of a zone called `epe_ZONE` and the like."""
        assert case.truth is not None
        inner = answer.at(inner_part(case.truth.shape[1:], self.border_px))
        truth = answer.at(case.truth)
        xy = answer.xy if self.offset_known else metrics.without_offset(answer.xy, truth, inner)
        error = metrics.endpoint_error(xy, truth)
        absolute = np.abs(xy - truth).mean(0)
        rough = metrics.smoothness(xy, answer.step_px)
        found = {"epe": metrics.mean_of(error, inner), "valid": metrics.share(answer.valid, inner)}
        for name, where in self.zones(case, answer).items():
            found |= {
                f"epe_{name}": metrics.mean_of(error, where),
                f"mae_{name}": metrics.mean_of(absolute, where),
                f"p90_{name}": metrics.percentile_of(error, 90, where),
                f"smooth_{name}": metrics.mean_of(rough, where),
                f"valid_{name}": metrics.share(answer.valid, where),
            }
        if answer.sigma is not None:
            found |= metrics.coverage(xy - truth, answer.sigma, inner)
        step, right = (step_across(case, flow, inner, answer) for flow in (xy, truth))
        found["width"], found["width_truth"] = step.width, right.width
        found["height"] = step.height / right.height if right.height else math.nan
        return found

    def zones(self, case: Case, answer: Answer) -> Mapping[str, Bool[ndarray, "rows columns"]]:
        """Where each zone is, border left out; the whole is far where there is no trace."""
        inner = answer.at(inner_part(case.source.grid.shape, self.border_px))
        if case.fault is None or not case.fault.any():
            return {name: inner & math.isinf(last) for name, _, last in self.distances}
        distance = answer.at(np.asarray(distance_transform_edt(~case.fault)))
        return {
            name: inner & (distance <= last) & ((distance > first) | (first == 0))
            for name, first, last in self.distances
        }


def inner_part(shape: tuple[int, ...], border_px: int) -> Bool[ndarray, "height width"]:
    """True but along the edges."""
    inner = np.zeros(shape, bool)
    inner[border_px : shape[0] - border_px, border_px : shape[1] - border_px] = True
    return inner


def side_of(case: Case) -> Bool[ndarray, "height width"] | None:
    """True on one side of the trace; None where the trace does not part the case in two.

    Pixels of the trace lie on the side that moves as they do.
    """
    if case.fault is None or case.truth is None:
        return None
    parts, _ = label(~case.fault)  # pyright: ignore[reportGeneralTypeIssues] it always returns both
    sizes = np.bincount(parts.ravel())[1:]
    if len(sizes) < 2:
        return None
    one, other = (sizes.argsort()[::-1] + 1)[:2]
    if sizes[other - 1] < LEAST_SIDE * sizes.sum():
        return None
    off = []
    for part in (one, other):
        row, column = np.asarray(distance_transform_edt(parts != part, return_distances=False, return_indices=True))
        off.append(np.hypot(*(case.truth - case.truth[:, row, column])))
    return off[0] < off[1]


def profile_across(
    case: Case, flow: Float[ndarray, "2 rows columns"], counted: Bool[ndarray, "rows columns"], answer: Answer
) -> Profile | None:
    """Motion in the direction in which the truth jumps, stacked by its distance from the trace."""
    side = side_of(case)
    if side is None or answer.step_px > 1:  # a coarser field tells no width in pixels
        return None
    distance = np.where(counted, signed_distance(side), np.nan)
    along = along_the_step(case.truth, distance)  # pyright: ignore[reportArgumentType]
    return stacked(np.tensordot(along, flow, 1), distance)


def step_across(
    case: Case, flow: Float[ndarray, "2 rows columns"], counted: Bool[ndarray, "rows columns"], answer: Answer
) -> Step:
    """The step in that profile."""
    profile = profile_across(case, flow, counted & np.isfinite(flow).all(0), answer)
    return Step(math.nan, math.nan, math.nan) if profile is None else step_of(profile)
