"""A smooth local shift through tie points: cubic B-splines on a lattice under a thin-plate penalty.

A penalised spline (Eilers & Marx 1996) whose penalty is the bending energy of a thin plate, summed over the lattice: as
the lattice gets finer it becomes the smoothing thin-plate spline, at a price that does not depend on the number of tie
points. It is twice differentiable everywhere, so that no edge of any block can show.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.linalg import solveh_banded

from .fit import FOLDS, Samples, biweight, folds_of, trimmed_rms
from .mapping import Lattice

MOST_KNOTS = 48
"""Along the longer side of the image."""
BEYOND = 2
"""Knots outside the image on each side, which the splines at its edge need."""
STIFFNESS = tuple(10.0 ** (1.5 * k) for k in range(-2, 5))
"""Penalties to choose from, by what samples left out say."""
ROUNDS = 5
RIDGE = 1e-9


class Frame(NamedTuple):
    """Where the knots of a lattice lie."""

    first: tuple[float, float]
    spacing_px: float
    rows: int
    columns: int

    @classmethod
    def over(cls, shape: tuple[int, int], spacing_px: float) -> Frame:
        """Knots `spacing_px` apart, or as many as are allowed, over an image of (height, width) and around it."""
        spacing = max(spacing_px, max(shape) / (MOST_KNOTS - 2 * BEYOND - 1))
        rows, columns = (math.ceil((n - 1) / spacing) + 2 * BEYOND + 1 for n in shape)
        return cls((-BEYOND * spacing, -BEYOND * spacing), spacing, rows, columns)


class SmoothFit(NamedTuple):
    """A lattice, and how it was come to."""

    model: Lattice
    stiffness: float
    """Of the penalty, in units of what the samples weigh."""
    held_out: Float[np.ndarray, "2 n"]
    """What each sample is off a lattice fitted without its part of the ground, px."""


def fit_smooth(samples: Samples, shape: tuple[int, int], spacing_px: float, cell_px: float) -> SmoothFit:
    """Fit a lattice to shifts; its stiffness is what predicts samples best that were left out.

    Args:
        samples: outliers taken out, though what is left of them loses weight.
        shape: (height, width) of the reference.
        spacing_px: between knots.
        cell_px: side of the squares whose samples are left out together.
    """
    frame = Frame.over(shape, spacing_px)
    basis, bending = _basis(samples.places, frame), _bending(frame)
    fold = folds_of(samples.places, cell_px)
    trials = []
    for stiffness in STIFFNESS:
        left = np.full_like(samples.shift, np.nan)
        for k in range(FOLDS):
            rest, own = fold != k, fold == k
            if rest.any() and own.any():
                found = _solve(basis[rest], samples.part(rest), bending, stiffness)
                left[:, own] = samples.shift[:, own] - (basis[own] @ found).T
        trials.append((trimmed_rms(left), stiffness, left))
    _, stiffness, left = min(trials, key=lambda trial: trial[0])
    weight = np.ones(len(samples.weight))
    for _ in range(ROUNDS):
        found = _solve(basis, samples._replace(weight=samples.weight * weight), bending, stiffness)
        residual = np.linalg.norm(samples.shift - (basis @ found).T, axis=0)
        weight = biweight(residual, max(float(np.median(residual)) / 1.1774, 0.05))
    values = np.ascontiguousarray(found.T).reshape(2, frame.rows, frame.columns)
    return SmoothFit(Lattice(values, frame.first, (frame.spacing_px, frame.spacing_px), 3), stiffness, left)


def _basis(places: Float[np.ndarray, "2 n"], frame: Frame) -> sparse.csr_matrix:
    """What each knot gives to each place; kept inside the lattice like `Lattice` keeps its values."""
    entries = []
    for axis, count in ((0, frame.columns), (1, frame.rows)):
        at = np.clip((places[axis] - frame.first[axis]) / frame.spacing_px, 0, count - 1)
        low = np.floor(at).astype(np.int64)
        t = at - low
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
        knots = np.clip(low + np.arange(-1, 3)[:, None], 0, count - 1)
        entries.append((weights, knots))
    (wx, kx), (wy, ky) = entries
    number = places.shape[1]
    values = (wy[:, None] * wx[None]).reshape(16, number)
    knots = (ky[:, None] * frame.columns + kx[None]).reshape(16, number)
    rows = np.broadcast_to(np.arange(number), (16, number))
    shape = number, frame.rows * frame.columns
    return sparse.csr_matrix((values.ravel(), (rows.ravel(), knots.ravel())), shape)


def _bending(frame: Frame) -> sparse.csr_matrix:
    """Sum over the lattice of d_xx^2 + 2 d_xy^2 + d_yy^2, by differences of coefficients."""

    def differences(count: int, order: int) -> sparse.csr_matrix:
        return sparse.csr_matrix(np.diff(np.eye(count), order, axis=0))

    total = sparse.csr_matrix((frame.rows * frame.columns,) * 2)
    for down, across, share in ((0, 2, 1.0), (1, 1, 2.0), (2, 0, 1.0)):
        part = sparse.kron(differences(frame.rows, down), differences(frame.columns, across), format="csr")
        total = total + share * (part.T @ part)
    return total


def _solve(
    basis: sparse.csr_matrix, samples: Samples, bending: sparse.csr_matrix, stiffness: float
) -> Float[np.ndarray, "knots 2"]:
    """Weighted penalised least squares; knots meet only near ones, so the matrix is a band about its diagonal."""
    weight = samples.weight / max(samples.weight.mean(), 1e-12)
    normal = basis.T @ sparse.diags(weight) @ basis + stiffness * bending
    knots = len(bending.diagonal())
    upper = sparse.coo_matrix(sparse.triu(normal + RIDGE * sparse.identity(knots)))
    width = int((upper.col - upper.row).max())
    band = np.zeros((width + 1, knots))
    band[width + upper.row - upper.col, upper.col] = upper.data
    return solveh_banded(band, basis.T @ (weight * samples.shift).T, check_finite=False)
