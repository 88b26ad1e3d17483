"""Register a group of images together, so that the shifts between any of them agree around every cycle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from .choose import samples_of
from .exclude import Ground
from .fit import POINTS, biweight, ce90, fit_polynomial, frame_of
from .mapping import Mapping, Polynomial, Sum
from .options import ORDERS, GroupOptions, RegisterOptions
from .overlap import Names, georeferenced_map, is_placed, refuse_apart
from .pair import Job, register_from
from .result import Registration
from .sources import Mapped, Readable

FLOOR_PX = 0.02
"""Added to every pair's error: what no number of tie points averages out."""
ROUNDS = 20
LEAST_SPREAD_PX = 0.05


class Offset(NamedTuple):
    """How one image of a group lies on another, as measured and as adjusted."""

    first: int
    second: int
    coefficients: Float[np.ndarray, "2 terms"]
    """Of the polynomial shift, px of the common grid: the ground at p in `first` is at p + shift(p) in `second`."""
    error_px: float
    ties: int
    ce90_px: float
    """Of the tie points about the pair's own model."""
    closure_px: float = math.nan
    """Root mean square over the image of what the adjustment leaves of this offset."""
    weight: float = 1.0
    """0 where the pair contradicts the others too much to count."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupJob:
    """Images, and how they are to be registered together."""

    images: Sequence[Readable]
    names: Sequence[str]
    options: RegisterOptions
    group: GroupOptions = field(default_factory=GroupOptions)
    reference: int | None = None
    """Image that stays where it is; None: the mean of all shifts is zero, on the grid of the first."""
    ground: Ground = field(default_factory=Ground)
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Where each pixel of the common grid lies in each image."""

    mappings: tuple[Mapping, ...]
    shifts: tuple[Polynomial, ...]
    """Of each image against the common frame, px."""
    errors_px: tuple[float, ...]
    """Standard error of the constant part of each shift, from the agreement of the pairs."""
    offsets: tuple[Offset, ...]
    model: str
    failed: tuple[tuple[int, int, str], ...]
    """Pairs that could not be registered, and why."""


def register_group(job: GroupJob) -> Group:
    """Measure pairs of a group, and adjust all shifts to them by robust least squares.

    Every pair (i, j) gives the coefficients of a polynomial shift on the common grid; those of the images, c, minimise
    the weighted sum of |c_j - c_i - d_ij|^2, pairs that contradict the others losing weight (Tukey's biweight). Shifts
    are taken to add up, which leaves out (shift times its own gradient): 0.01 px for 100 px and a scale of 1e-4.

    Raises:
        InputError: the images cannot be placed on one grid, or too few pairs match to tie all of them together.
    """
    _refuse_few(job)
    home = job.reference or 0
    grid = job.images[home].grid
    starts = [_start(job, home, k) for k in range(len(job.images))]
    measured, failed = _measure(job, home, starts)
    order = int(np.median([ORDERS[found.model] for *_, found in measured])) if measured else 0
    offsets = []
    for first, second, found in measured:
        samples = samples_of(found.ties)
        if len(samples.weight) < 2 * POINTS[order]:
            failed.append((first, second, f"{len(samples.weight)} tie points are too few"))
            continue
        model = fit_polynomial(samples, order, grid.shape).model
        left = ce90(samples.shift - model.shift(samples.places))
        offsets.append(Offset(first, second, model.coefficients, found.error_px, len(samples.weight), left))
    _refuse_loose(job, offsets)
    coefficients, errors, offsets = adjust(offsets, len(job.images), job.reference, order)
    shifts = [Polynomial(part, order, *frame_of(grid.shape)) for part in coefficients]
    mappings = [start.after(Sum((shift,))) for start, shift in zip(starts, shifts, strict=True)]
    name = next(name for name, value in ORDERS.items() if value == order)
    return Group(tuple(mappings), tuple(shifts), tuple(errors), tuple(offsets), name, tuple(failed))


def _measure(
    job: GroupJob, home: int, starts: Sequence[Mapping]
) -> tuple[list[tuple[int, int, Registration]], list[tuple[int, int, str]]]:
    """Register every pair on the common grid; those that do not match come back with the reason."""
    grid = job.images[home].grid
    measured, failed = [], []
    for first, second in _pairs(len(job.images), job.group.neighbours, job.reference):
        names = Names(job.names[second], job.names[first])
        before = job.images[first] if first == home else Mapped(job.images[first], starts[first], grid)
        pair = Job(job.images[second], before, job.options, names, job.ground)
        try:
            found = register_from(pair, starts[second], "georeferencing")
        except InputError as error:
            failed.append((first, second, str(error)))
            job.say(f"{names.reference} and {names.moving}: no match")
            continue
        measured.append((first, second, found))
        x, y = found.numbers()["shift at the middle px"]
        job.say(f"{names.reference} to {names.moving}: {x:+.3f} px right, {y:+.3f} px down, {found.model}")
    return measured, failed


def _refuse_few(job: GroupJob) -> None:
    if len(job.images) < 2:
        raise InputError("a group needs two images or more")
    if job.options.model in ("local", "network"):
        raise InputError(
            f"--model {job.options.model} bends each image onto one other: register them one by one, or take a global "
            "model."
        )


def _start(job: GroupJob, home: int, number: int) -> Mapping:
    """Where the common grid lies in an image before anything is measured."""
    reference, moving = job.images[home].grid, job.images[number].grid
    names = Names(job.names[number], job.names[home])
    if not (is_placed(reference) and is_placed(moving)) and reference.shape != moving.shape:
        raise InputError(
            f"{names.moving} and {names.reference} are not both georeferenced and have different shapes: register "
            "each on one of them first, by `terrashift register ... --start content`."
        )
    start = georeferenced_map(reference, moving)
    refuse_apart(start, reference, moving, names)
    return start


def _pairs(count: int, neighbours: int, reference: int | None) -> list[tuple[int, int]]:
    """Which pairs are measured: each image with those that follow it, and with the reference."""
    pairs = {(i, j) for i in range(count) for j in range(i + 1, min(count, i + 1 + neighbours))}
    if reference is not None:
        pairs |= {(min(reference, k), max(reference, k)) for k in range(count) if k != reference}
    return sorted(pairs)


def _refuse_loose(job: GroupJob, offsets: Sequence[Offset]) -> None:
    """Make sure that offsets tie all images together."""
    group = list(range(len(job.images)))
    for offset in offsets:
        old, new = group[offset.second], group[offset.first]
        group = [new if member == old else member for member in group]
    apart = [name for name, member in zip(job.names, group, strict=True) if member != group[job.reference or 0]]
    if apart:
        raise InputError(
            f"nothing ties {', '.join(apart)} to the other images: no pair with them matches. Leave them out, or raise "
            "--neighbours so that more pairs are tried."
        )


def adjust(
    offsets: Sequence[Offset], count: int, reference: int | None, order: int
) -> tuple[list[Float[np.ndarray, "2 terms"]], list[float], list[Offset]]:
    """Shifts of every image from offsets between pairs of them.

    Returns:
        Coefficients of each image, the standard error of its constant part (px), and the offsets with what the
        adjustment leaves of them.
    """
    design = np.zeros((len(offsets), count))
    for row, offset in enumerate(offsets):
        design[row, offset.first], design[row, offset.second] = -1.0, 1.0
    gauge = np.ones((1, count)) if reference is None else np.eye(count)[[reference]]
    target = np.stack([offset.coefficients.ravel() for offset in offsets])
    # what a difference of coefficients means in pixels, over the image
    x, y = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7))
    frame = Polynomial(np.zeros((2, target.shape[1] // 2)), order, (0.0, 0.0), 1.0)
    basis = frame.terms(np.stack([x.ravel(), y.ravel()]))
    prior = np.array([1 / (offset.error_px**2 + FLOOR_PX**2) for offset in offsets])
    weight = np.ones(len(offsets))
    for number in range(2 * ROUNDS):
        total = prior * weight
        normal = design.T @ (design * total[:, None]) + gauge.T @ gauge * prior.max()
        found = np.linalg.solve(normal, design.T @ (target * total[:, None]))
        left = (target - design @ found).reshape(len(offsets), 2, -1) @ basis
        closure = np.sqrt((left**2).sum(1).mean(1))
        if number < ROUNDS:  # least absolute residuals to begin with: squares would spread one wrong pair over all
            weight = LEAST_SPREAD_PX / np.maximum(closure, LEAST_SPREAD_PX / 100)
        else:
            spread = max(LEAST_SPREAD_PX, 1.4826 * float(np.median(closure)))
            weight = np.maximum(biweight(closure, spread), 1e-6)
    freedom = len(offsets) - (count - 1)
    scale = math.sqrt(float((prior * weight * closure**2).sum()) / (2 * freedom)) if freedom > 0 else math.nan
    spread_of = np.sqrt(np.maximum(np.diag(np.linalg.inv(normal) - _gauge_part(gauge, prior.max(), count)), 0))
    errors = [float(value) * max(1.0, scale) if freedom > 0 else math.nan for value in spread_of]
    checked = [
        offset._replace(closure_px=float(part), weight=float(share) if share > 1e-5 else 0.0)
        for offset, part, share in zip(offsets, closure, weight, strict=True)
    ]
    return [row.reshape(2, -1) for row in found], errors, checked


def _gauge_part(gauge: np.ndarray, strength: float, count: int) -> Float[np.ndarray, "count count"]:
    """What fixing the frame adds to the covariance: the same for all images, and no error of any."""
    return np.full((count, count), 1 / (strength * float(gauge.sum()) ** 2))
