"""Strain of the ground from a displacement field, by local polynomials that do not look across a fault.

Around every cell a polynomial is fitted to each component by least squares, cells weighted by a Gaussian of their
distance (Cleveland & Devlin 1988; in image analysis Knutsson & Westin 1993); its slopes are the gradient. The field
lies on the ground as it was before, so finite strain is the Green-Lagrange tensor (Malvern 1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from scipy.ndimage import correlate1d

from ..core.field import DisplacementField
from ..core.grid import Grid
from ..errors import OptionError
from ..simulate.trace import from_crs, to_pixels
from .sight import Sight

SCALE_CELLS = 3.0
REACH = 3.0
"""Of the neighbourhood, in standard deviations of the weights."""
STRIP_CELLS, NEAR_CELLS = 1 << 17, 1 << 11
"""Cells worked on at a time, away from a trace and near one."""
LEAST_CONDITION = 1e-3
"""Least over largest eigenvalue of the normal equations below which cells lie too much in a line."""
LEAST_SHARE = 0.05
"""Of a full neighbourhood's weight, below which there is no value."""
LARGEST_REACH = 200

Band = Float[np.ndarray, "height width"]


class StrainOptions(BaseModel, frozen=True, extra="forbid"):
    """How strain is computed. Without a CRS a metre is an image pixel."""

    kind: Literal["infinitesimal", "finite"] = Field(
        default="infinitesimal", description="Linear in the gradients, or Green-Lagrange with its rotation and area."
    )
    scale_m: float | None = Field(
        default=None,
        gt=0,
        description="Smoothing: standard deviation of the Gaussian weights, m. Empty: 3 cells.",
    )
    degree: Literal[1, 2] = Field(default=1, description="Of the local polynomial: 2 keeps peaks, and is noisier.")
    across_trace: bool = Field(default=False, description="Let neighbourhoods reach across the trace.")
    correlation_cells: float = Field(
        default=1.0, ge=1, description="Cells over which the field's errors are alike; widens sigma by this factor."
    )


class Gradient(NamedTuple):
    """Gradient of displacement, without unit, with its covariance."""

    values: Float[np.ndarray, "4 height width"]
    """d east / d east, d east / d north, d north / d east, d north / d north."""
    covariance: Float[np.ndarray, "2 3 height width"]
    """For either component: variance along east, covariance, variance along north."""


@dataclass(frozen=True, slots=True, eq=False)
class Strain:
    """Strain on the cells of a field, without unit; NaN where the field has no value or too few around."""

    layers: dict[str, Band]
    """By name: `strain_ee`, `strain_nn`, `strain_en` (tensor components; extension positive), `dilatation` (growth of
    area), `curl` (d north / d east - d east / d north, anticlockwise positive) or, of finite strain, `rotation`
    (radians, anticlockwise), `max_shear` (half the difference of the principal strains); then the standard error of
    each under its name with `sigma_` before it, NaN where the field has no sigma."""
    scale: float
    """Standard deviation of the weights, in the grid's unit."""
    scale_cells: tuple[float, float]
    """The same in cells, along (x, y)."""
    grid: Grid
    options: StrainOptions


class _Kernel(NamedTuple):
    """Weights of a neighbourhood."""

    scale: tuple[float, float]
    """(x, y), cells."""
    reach: tuple[int, int]
    """(x, y), cells on either side."""
    powers: tuple[tuple[int, int], ...]
    """(x, y) of the terms of the polynomial, the constant and the slopes along x and y first."""

    def axis(self, k: int, power: int, squared: bool) -> np.ndarray:
        """Weights along an axis (0 is x) times a power of the distance in standard deviations."""
        away = np.arange(-self.reach[k], self.reach[k] + 1) / self.scale[k]
        return np.exp(-(away**2) / (1 if squared else 2)) * away**power


DEFAULT = StrainOptions()
TERMS = {1: ((0, 0), (1, 0), (0, 1)), 2: ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))}


def strain(
    field: DisplacementField,
    options: StrainOptions = DEFAULT,
    lines: Sequence[Float[np.ndarray, "_ 2"]] = (),
) -> Strain:
    """Strain of a field.

    Args:
        field: displacement in the unit of its grid's lengths.
        options: see there.
        lines: traces, (x, y) in the CRS of the field's grid (columns and rows without one). A cell's neighbourhood
            holds what can be seen from it without looking across them, unless `options.across_trace`.

    Raises:
        OptionError: the smoothing scale is below half a cell, or larger than 66 cells.
    """
    grid = field.grid
    scale = options.scale_m or SCALE_CELLS * max(grid.pixel_size)
    cells = scale / grid.pixel_size[0], scale / grid.pixel_size[1]
    if min(cells) < 0.5 or max(cells) * REACH > LARGEST_REACH:
        raise OptionError(
            f"a smoothing scale of {scale:g} {grid.unit} is {min(cells):.2g} to {max(cells):.2g} cells: give --scale-m "
            f"from {0.5 * max(grid.pixel_size):g} to {LARGEST_REACH / REACH * min(grid.pixel_size):.4g}."
        )
    reach = int(np.ceil(REACH * cells[0])), int(np.ceil(REACH * cells[1]))
    kernel = _Kernel(cells, reach, TERMS[options.degree])
    gradient = _to_ground(_gradient(field, kernel, [] if options.across_trace else lines), grid)
    gradient.covariance[:] *= options.correlation_cells**2
    return Strain(_layers(gradient, options.kind), scale, cells, grid, options)


def _gradient(field: DisplacementField, kernel: _Kernel, lines: Sequence[Float[np.ndarray, "_ 2"]]) -> Gradient:
    """Per cell along x and y: away from traces by convolution, near them cell by cell."""
    bands = np.stack([np.asarray(b, float) for b in (field.east, field.north, field.sigma_east, field.sigma_north)])
    valid = np.asarray(np.isfinite(bands[:2]).all(0))
    known = np.asarray(np.isfinite(bands[2:]).all(0)) | ~valid
    values, variances = np.where(valid, bands[:2], 0), np.where(valid & known, bands[2:] ** 2, 0)
    planes = np.concatenate([valid[None].astype(float), values, variances, (~known)[None].astype(float)])
    height, width = field.grid.shape
    slopes, covariance = np.full((4, height, width), np.nan), np.full((2, 3, height, width), np.nan)
    margin, rows = kernel.reach[1], max(1, STRIP_CELLS // max(width, 1))
    for top in range(0, height, rows):
        first, last = max(0, top - margin), min(height, top + rows + margin)
        inner = slice(top - first, min(top + rows, height) - first)
        sums = _moments(planes[:, first:last], kernel)
        normal, right, spread = (part[:, inner].reshape(part.shape[0], -1) for part in sums)
        part = _solved(normal, right, spread, kernel)
        place = np.s_[:, top : top + rows]
        slopes[place] = part[0].T.reshape(4, -1, width)
        covariance[:, :, top : top + rows] = np.moveaxis(part[1], 0, -1).reshape(2, 3, -1, width)
    if len(lines):
        _redo_near(planes, kernel, _in_pixels(field.grid, lines), (slopes, covariance))
    slopes[:, ~valid], covariance[:, :, ~valid] = np.nan, np.nan
    return Gradient(slopes, covariance)


def _in_pixels(grid: Grid, lines: Sequence[Float[np.ndarray, "_ 2"]]) -> list[Float[np.ndarray, "_ 2"]]:
    return [to_pixels(grid, from_crs(grid, np.asarray(line, float))) for line in lines]


def _products(powers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Powers that products of two terms have, each once."""
    return sorted({(a + c, b + d) for a, b in powers for c, d in powers})


def _moments(planes: np.ndarray, kernel: _Kernel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums over each cell's neighbourhood.

    `planes` are: valid, east, north, variance of east, of north, sigma unknown. Returned: products of terms of valid
    cells; terms times east and north; products of terms times squared weights times either variance, and last how
    many have none.
    """

    def total(plane: np.ndarray, power: tuple[int, int], squared: bool) -> np.ndarray:
        along_x = correlate1d(plane, kernel.axis(0, power[0], squared), axis=1, mode="constant")
        return correlate1d(along_x, kernel.axis(1, power[1], squared), axis=0, mode="constant")

    both = _products(kernel.powers)
    normal = np.stack([total(planes[0], power, False) for power in both])
    right = np.stack([total(plane, power, False) for plane in planes[1:3] for power in kernel.powers])
    spread = [total(plane, power, True) for plane in planes[3:5] for power in both]
    return normal, right, np.stack([*spread, total(planes[5], (0, 0), True)])


def _solved(
    normal: np.ndarray, right: np.ndarray, spread: np.ndarray, kernel: _Kernel
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (cells, 4) and their covariance (cells, 2, 3) per cell along x and y, from moments (..., cells)."""
    powers, both = kernel.powers, _products(kernel.powers)
    terms = len(powers)
    index = np.array([[both.index((a + c, b + d)) for c, d in powers] for a, b in powers])
    matrix = np.moveaxis(normal[index], -1, 0)
    full = kernel.axis(0, 0, False).sum() * kernel.axis(1, 0, False).sum()
    eigen = np.linalg.eigvalsh(matrix[:, :3, :3])
    good = (matrix[:, 0, 0] > LEAST_SHARE * full) & (eigen[:, 0] > LEAST_CONDITION * eigen[:, -1])
    if terms > 3:
        eigen = np.linalg.eigvalsh(matrix)
        good &= eigen[:, 0] > 0.1 * LEAST_CONDITION * eigen[:, -1]
    inverse = np.linalg.inv(np.where(good[:, None, None], matrix, np.eye(terms)))
    found = np.einsum("cij,kjc->cki", inverse, right.reshape(2, terms, -1))[:, :, 1:3]
    scatter = np.moveaxis(spread[:-1].reshape(2, len(both), -1)[:, index], -1, 0)
    covariance = np.einsum("cij,ckjl,clm->ckim", inverse, scatter, inverse)[:, :, 1:3, 1:3]
    unit = np.array([1 / kernel.scale[0], 1 / kernel.scale[1]])
    found, covariance = found * unit, covariance * np.outer(unit, unit)
    slopes = np.where(good[:, None], found.reshape(-1, 4), np.nan)
    told = good & (spread[-1] < 1e-9)  # no cell without sigma
    parts = np.stack([covariance[:, :, 0, 0], covariance[:, :, 0, 1], covariance[:, :, 1, 1]], -1)
    return slopes, np.where(told[:, None, None], parts, np.nan)


def _redo_near(
    planes: np.ndarray, kernel: _Kernel, lines: list[np.ndarray], results: tuple[np.ndarray, np.ndarray]
) -> None:
    """Replace the results of cells near a trace by those from what they see."""
    across, down = kernel.reach
    sight = Sight.past(planes.shape[1:], lines, down, across)
    padded = np.pad(planes, ((0, 0), (down, down), (across, across)))
    away_y, away_x = np.mgrid[-down : down + 1, -across : across + 1]
    weight = kernel.axis(1, 0, False)[:, None] * kernel.axis(0, 0, False)
    terms = {
        p: (away_x / kernel.scale[0]) ** p[0] * (away_y / kernel.scale[1]) ** p[1] for p in _products(kernel.powers)
    }
    single = np.stack([weight * terms[p] for p in kernel.powers]).reshape(len(kernel.powers), -1)
    double = np.stack([weight * part for part in terms.values()]).reshape(len(terms), -1)
    squared = np.stack([weight**2 * part for part in terms.values()]).reshape(len(terms), -1)
    near_rows, near_columns = np.nonzero(sight.near & (planes[0] > 0))
    for first in range(0, len(near_rows), NEAR_CELLS):
        rows, columns = near_rows[first : first + NEAR_CELLS], near_columns[first : first + NEAR_CELLS]
        seen = sight.from_cells(rows, columns).reshape(len(rows), -1)
        place = rows[:, None] + (away_y + down).ravel(), columns[:, None] + (away_x + across).ravel()
        held = padded[:, *place] * seen
        normal = double @ held[0].T
        right = np.concatenate([single @ held[k].T for k in (1, 2)])
        spread = np.concatenate([*(squared @ held[k].T for k in (3, 4)), (weight.ravel() ** 2 @ held[5].T)[None]])
        slopes, covariance = _solved(normal, right, spread, kernel)
        results[0][:, rows, columns] = slopes.T
        results[1][:, :, rows, columns] = np.moveaxis(covariance, 0, -1)


def _to_ground(gradient: Gradient, grid: Grid) -> Gradient:
    """From per cell along x and y to per unit of length along east and north, by each row's own linear part."""
    several = range(grid.height) if grid.crs and grid.geographic else range(1)
    parts = [grid.metric_transform(row if len(several) > 1 else None) for row in several]
    inverse = np.linalg.inv(np.array([[[m.a, m.b], [m.d, m.e]] for m in parts]))  # (east, north) to (x, y)
    inverse = np.broadcast_to(inverse, (grid.height, 2, 2))
    slopes = gradient.values.reshape(2, 2, *grid.shape)
    turned = np.einsum("kjhw,hji->kihw", slopes, inverse).reshape(4, *grid.shape)
    xx, xy, yy = np.moveaxis(gradient.covariance, 1, 0)
    full = np.stack([np.stack([xx, xy], 1), np.stack([xy, yy], 1)], 1)
    full = np.einsum("kijhw,him,hjn->kmnhw", full, inverse, inverse)
    return Gradient(turned, np.stack([full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]], 1))


def _layers(gradient: Gradient, kind: str) -> dict[str, Band]:
    """All quantities and their standard errors, to first order in the errors of the gradient."""
    slopes = torch.from_numpy(gradient.values).requires_grad_()
    parts = (_infinitesimal if kind == "infinitesimal" else _finite)(slopes)
    first = {
        name: torch.autograd.grad(part.sum(), slopes, retain_graph=True)[0].numpy() for name, part in parts.items()
    }
    values = {name: part.detach().numpy() for name, part in parts.items()}
    half = (values["strain_ee"] - values["strain_nn"]) / 2
    size = np.hypot(half, values["strain_en"])
    values["max_shear"] = size
    safe = np.where(size > 0, size, 1)
    along = np.where(size > 0, half / safe, np.sqrt(0.5)), np.where(size > 0, values["strain_en"] / safe, np.sqrt(0.5))
    first["max_shear"] = along[0] * (first["strain_ee"] - first["strain_nn"]) / 2 + along[1] * first["strain_en"]
    sigmas = {f"sigma_{name}": _error(part, gradient.covariance) for name, part in first.items()}
    return {name: part.astype(np.float32) for name, part in (values | sigmas).items()}


def _error(first: np.ndarray, covariance: np.ndarray) -> Band:
    """Standard error of something with these derivatives by the gradient."""
    a, b, c, d = first
    (east_xx, east_xy, east_yy), (north_xx, north_xy, north_yy) = covariance
    variance = a * a * east_xx + 2 * a * b * east_xy + b * b * east_yy
    return np.sqrt(variance + c * c * north_xx + 2 * c * d * north_xy + d * d * north_yy)


def _infinitesimal(slopes: torch.Tensor) -> dict[str, Any]:
    ee, en, ne, nn = slopes
    return {"strain_ee": ee, "strain_nn": nn, "strain_en": (en + ne) / 2, "dilatation": ee + nn, "curl": ne - en}


def _finite(slopes: torch.Tensor) -> dict[str, Any]:
    ee, en, ne, nn = slopes
    return {
        "strain_ee": ee + (ee**2 + ne**2) / 2,
        "strain_nn": nn + (en**2 + nn**2) / 2,
        "strain_en": (en + ne + ee * en + ne * nn) / 2,
        "dilatation": (1 + ee) * (1 + nn) - en * ne - 1,
        "rotation": torch.atan2(ne - en, 2 + ee + nn),
    }
