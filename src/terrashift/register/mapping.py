"""Where each pixel of the reference lies in the moving image: one map, however many steps it is made of.

Places are (x right, y down) in pixels, the centre of the first pixel being (0, 0); float64, so that they are exact in
images of any size. A map is a chain of steps, the first of which takes places of the reference and the last of which
gives places of the moving image. What was measured between the reference and the moving image *as mapped so far*, a
flow on the reference, goes before all other steps (`Mapping.after`): if the ground at p is seen at p + d in the mapped
image, it is at map(p + d) in the moving one. So corrections of any kind, dense ones included, compose into one map,
and no pixel is ever resampled twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from affine import Affine
from jaxtyping import Float
from scipy import ndimage

from ..core.grid import Grid

XY = Float[np.ndarray, "2 ..."]
HALF = Affine.translation(0.5, 0.5)
"""From places counted from the centre of the first pixel to those counted from its corner, as geotransforms do."""


@runtime_checkable  # the tests check every annotation
class Step(Protocol):
    """A part of a map."""

    def __call__(self, xy: XY) -> XY:
        """Move places; NaN stays NaN."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """An affine change of coordinates."""

    matrix: Affine
    """From places to places, both counted from the centres of first pixels."""

    @classmethod
    def between_corners(cls, matrix: Affine) -> Linear:
        """The same from a matrix that counts from the corners of first pixels, such as one of two geotransforms."""
        return cls(~HALF @ matrix @ HALF)

    def __call__(self, xy: XY) -> XY:
        """See `Step`."""
        m = self.matrix
        return np.stack([m.a * xy[0] + m.b * xy[1] + m.c, m.d * xy[0] + m.e * xy[1] + m.f])


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Moves places by a polynomial of low order: a translation (order 0), an affine (1), a quadratic (2), ..."""

    coefficients: Float[np.ndarray, "2 terms"]
    """Of x and of y, pixels, in the order of `terms`."""
    order: int
    centre: tuple[float, float]
    scale: float
    """Places count from `centre` in units of `scale` pixels, so that coefficients are of one size."""

    def __call__(self, xy: XY) -> XY:
        """See `Step`."""
        return xy + self.shift(xy)

    def shift(self, xy: XY) -> XY:
        """(x, y) px by which places move."""
        return np.tensordot(self.coefficients, self.terms(xy), 1)

    def terms(self, xy: XY) -> Float[np.ndarray, "terms ..."]:
        """1, x, y, x^2, xy, y^2, ... of scaled places."""
        return terms(self.scaled(xy), self.order)

    def scaled(self, xy: XY) -> XY:
        """Places about the centre, in units of `scale`."""
        return (xy - np.reshape(self.centre, (2,) + (1,) * (xy.ndim - 1))) / self.scale


def terms(xy: XY, order: int) -> Float[np.ndarray, "terms ..."]:
    """The monomials of x and y up to `order`.

    >>> terms(np.array([[2.0], [3.0]]), 2)[:, 0].tolist()
    [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]
    """
    x, y = xy
    return np.stack([x ** (total - k) * y**k for total in range(order + 1) for k in range(total + 1)])


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Moves places by values on a regular lattice, joined by cubic B-splines or linearly; constant beyond it."""

    values: Float[np.ndarray, "2 rows columns"]
    """(x, y) px: spline coefficients for degree 3, the moves themselves for degree 1; NaN spreads to its neighbours."""
    first: tuple[float, float]
    """Place (x, y) of the first value."""
    spacing: tuple[float, float]
    """Pixels between neighbours in x and in y."""
    degree: Literal[1, 3] = 3

    @classmethod
    def of_flow(cls, flow: Float[np.ndarray, "2 rows columns"], step: int = 1) -> Lattice:
        """A dense flow on the reference, measured at pixels step//2, step//2 + step, ... (see `Grid.every`)."""
        return cls(np.asarray(flow, np.float64), (step // 2 * 1.0, step // 2 * 1.0), (step * 1.0, step * 1.0), 1)

    @classmethod
    def through(
        cls, values: Float[np.ndarray, "2 rows columns"], first: tuple[float, float], spacing: tuple[float, float]
    ) -> Lattice:
        """The cubic spline through `values`."""
        coefficients = np.stack([ndimage.spline_filter(part, 3, np.float64, "mirror") for part in values])
        return cls(coefficients, first, spacing, 3)

    def __call__(self, xy: XY) -> XY:
        """See `Step`."""
        return xy + self.shift(xy)

    def shift(self, xy: XY) -> XY:
        """(x, y) px by which places move."""
        at = [(xy[k] - self.first[k]) / self.spacing[k] for k in (1, 0)]
        lost = np.isnan(at[0]) | np.isnan(at[1])
        at = [np.where(lost, 0.0, part) for part in at]
        moves = [
            ndimage.map_coordinates(part, at, order=self.degree, mode="nearest", prefilter=False)
            for part in self.values
        ]
        return np.where(lost, np.nan, np.stack(moves))


@dataclass(frozen=True, slots=True, eq=False)
class Behind:
    """What was known behind a flow that was measured on the pair as mapped by it: p moves to known(p + flow(p))."""

    flow: Lattice
    known: Sum

    def __call__(self, xy: XY) -> XY:
        """See `Step`."""
        return self.known(self.flow(xy))

    def shift(self, xy: XY) -> XY:
        """(x, y) px by which places move."""
        move = self.flow.shift(xy)
        return move + self.known.shift(xy + move)


Part = Polynomial | Lattice | Behind


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """Moves places by the sum of what its parts say of the place itself; nothing for none."""

    parts: tuple[Part, ...] = ()

    def __call__(self, xy: XY) -> XY:
        """See `Step`."""
        return xy + self.shift(xy)

    def shift(self, xy: XY) -> XY:
        """(x, y) px by which places move."""
        return sum((part.shift(xy) for part in self.parts), np.zeros_like(xy))

    @property
    def polynomial(self) -> Polynomial | None:
        """The global part."""
        return next((part for part in self.parts if isinstance(part, Polynomial)), None)

    @property
    def lattice(self) -> Lattice | None:
        """The local part."""
        return next((part for part in self.parts if isinstance(part, Lattice)), None)


@dataclass(frozen=True, slots=True)
class Mapping:
    """From pixels of the reference to pixels of the moving image."""

    steps: tuple[Step, ...] = ()

    def __call__(self, xy: XY) -> XY:
        """Places in the moving image of places in the reference."""
        for step in self.steps:
            xy = step(xy)
        return xy

    def after(self, *first: Step) -> Mapping:
        """This map behind further steps on the reference; see the module's own words."""
        return Mapping((*first, *self.steps))

    def block(self, row: int, column: int, height: int, width: int, density: int = 1) -> XY:
        """Places of a block of reference pixels; with a `density`, of so many samples along each side of a pixel."""
        offset = (np.arange(density) + 0.5) / density - 0.5
        y = (row + np.arange(height)[:, None] + offset).ravel()
        x = (column + np.arange(width)[:, None] + offset).ravel()
        return self(np.stack(np.broadcast_arrays(x, y[:, None])).astype(np.float64))

    def reduced(self, reference_factor: int, moving_factor: int) -> Mapping:
        """The same between images whose pixels are means of factor x factor pixels."""
        finer = Linear.between_corners(Affine.scale(reference_factor))
        coarser = Linear.between_corners(Affine.scale(1 / moving_factor))
        return Mapping((finer, *self.steps, coarser))

    def magnification(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Pixels of the moving image along a column step and a row step of the reference, at its middle."""
        middle = np.array([[shape[1] / 2] * 3, [shape[0] / 2] * 3]) + np.array([[0, 1, 0], [0, 0, 1]])
        at = self(middle)
        return float(np.linalg.norm(at[:, 1] - at[:, 0])), float(np.linalg.norm(at[:, 2] - at[:, 0]))


def between_grids(reference: Grid, moving: Grid) -> Linear:
    """The map that two geotransforms in one CRS give."""
    return Linear.between_corners(~moving.transform @ reference.transform)
