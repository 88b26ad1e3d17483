"""Sharper than total variation: the price of a change grows only with its logarithm (Candes et al. 2008).

The energy is `sum w (f - d)^2 / 2 + strength edge sum_q log(1 + |grad f|_q / edge)`: for changes far below `edge_px` it
is total variation, and a jump far above it costs little more than a smaller one, so that it need not be drawn out or
cut back. It has no single valley. Each round replaces the price by its tangent at the answer of the round before, which
is total variation with the price `strength / (1 + |grad| / edge)` in each quad (Ochs et al. 2015); the tangent lies
above the logarithm, so the energy falls from round to round. The first round is plain total variation, the tangent at a
field without any change.

The published weights `max |grad| / |grad|` are scaled by the steepest place of the whole image, so that a vector would
depend on another one anywhere; `edge_px` is that scale, fixed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..ops.quads import Data, Edges, Stop
from ..ops.tv import Solution, total_variation
from .base import BySigma, FillPx, MaxIterations, SigmaPx, TolerancePx
from .problem import Problem
from .tv import BYTES_PER_MEASUREMENT, reach_of

STILL = 1e-4  # share of the energy: a round that saves less was the last


class LogPrice(NamedTuple):
    """Price of a change from one vector to the next, `strength edge log(1 + |grad| / edge)`."""

    strength_px: float
    edge_px: float

    def energy(self, field: Float[Tensor, "band height width"], data: Data, edges: Edges) -> float:
        """What is minimised."""
        share = edges.share()
        cost = share.square() * torch.log1p(edges.steepness(field) / share / self.edge_px)
        return data.energy(field) + self.strength_px * self.edge_px * cost.sum(dtype=torch.float64).item()

    def tangent(self, field: Float[Tensor, "band height width"], edges: Edges) -> Float[Tensor, "rows columns"]:
        """Price of a further small change in each quad, times its share."""
        share = edges.share()
        return self.strength_px * share / (1 + edges.steepness(field) / share / self.edge_px)


class Rounds(NamedTuple):
    """The answer, and the energy after each round."""

    field: Float[Tensor, "band height width"]
    energies: tuple[float, ...]


class LogTv(BaseModel, frozen=True, extra="forbid"):
    """Logarithmic total-variation regulariser: noise goes, faults stay as sharp as they were measured."""

    method: Literal["log_tv"] = Field(default="log_tv", description="Price on the logarithm of the gradient.")
    strength_px: float = Field(
        default=0.2,
        ge=0,
        le=5,
        description="Price of a small change between neighbours, pixels: two to four standard errors of white noise, "
        "four to eight of noise that neighbours share; 0: nothing.",
    )
    edge_px: float = Field(
        default=0.1,
        gt=0,
        description="Change between neighbours at which its price has halved, pixels; about the standard error. "
        "Smaller: sharper, and more noise is taken for faults.",
    )
    rounds: int = Field(default=3, ge=1, le=20, description="Most rounds of reweighting; 1 is total variation.")
    by_sigma: BySigma = True
    sigma_px: SigmaPx = None
    fill_px: FillPx = 0
    tolerance_px: TolerancePx = 1e-3
    max_iterations: MaxIterations = 400

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("candes2008", "ochs2015", "bresson2008", "chambolle2011")

    @property
    def halo(self) -> int:
        """See `tv.reach_of`."""
        return self.fill_px + reach_of(self.strength_px)

    def memory(self, measurements: int) -> int:
        """Upper estimate of the working memory, bytes."""
        return BYTES_PER_MEASUREMENT * measurements

    def settled(self, sigma_px: float | None) -> LogTv:
        """See `Regulariser.settled`."""
        return self.model_copy(update={"sigma_px": self.sigma_px or sigma_px})

    def __call__(self, flow: Flow) -> Flow:
        """See `Regulariser.__call__`."""
        problem = Problem.of(flow, self.by_sigma, self.sigma_px, self.fill_px)
        return problem.answered(self.minimise(problem.data, problem.edges).field)

    def minimise(self, data: Data, edges: Edges) -> Rounds:
        """Reweight and solve until the energy no longer falls, `rounds` times at most."""
        log_price, stop = LogPrice(self.strength_px, self.edge_px), Stop(self.tolerance_px, self.max_iterations)
        price = self.strength_px * edges.share()
        solution: Solution | None = None
        kept, energies = data.value, ()
        for _ in range(self.rounds):
            solution = total_variation(data, price, edges, stop, solution)
            energy = log_price.energy(solution.field, data, edges)
            if energies and energy > energies[-1]:  # by less than the tolerance of the minimisation
                break
            kept, energies = solution.field, (*energies, energy)
            if len(energies) > 1 and energies[-2] - energy < STILL * energy:
                break
            price = log_price.tangent(solution.field, edges)
        return Rounds(kept, energies)
