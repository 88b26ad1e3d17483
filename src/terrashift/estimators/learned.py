"""What trained networks have in common: settings, and the way from a block of two images to motion with its error."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from ..errors import InputError
from ..models.estimate import Estimate
from ..models.layers import pad_to_multiple
from ..ops.fill import filled
from .agreement import agreement, reasons_against
from .base import Search
from .coarse import Knots, start_shifts
from .networks import LOADING, calibrated, network, quick_type
from .rejection import reject

START_PX = 64
"""Side of the large windows that a search starts from, at least."""
SCORED_PX = 17
"""Side of the square over which the aligned images are correlated."""
TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Limits(NamedTuple):
    """What a network is given to see, and what it finds by itself."""

    block_px: int
    """Side of a block, about."""
    halo_px: int
    """Around a block, without the search."""
    capture_px: int
    """Motion that is found without a start; larger ones begin with a coarse pass."""
    multiple: int
    """Cells of this many pixels stay whole where images are cut."""
    cell_px: int = 1
    """Pixels that are answered together: blocks begin on whole cells."""


class Sight(NamedTuple):
    """What a network is shown: the part of a block that holds data, continued to whole cells."""

    before: Float[Tensor, "1 1 rows columns"]
    """About its mean, gaps filled."""
    after: Float[Tensor, "1 1 rows columns"]
    have: Bool[Tensor, "1 2 rows columns"]
    """Where either image has data of its own."""
    start: Float[Tensor, "1 2 rows columns"] | None
    """A first idea of the motion, where the search is wide."""
    first: tuple[int, int]
    """Row and column of the first pixel that is measured; the others follow in steps."""
    reach_px: int
    """Largest motion that is looked for."""


class Learned(BaseModel, ABC, frozen=True, extra="forbid"):
    """A trained network as an estimator; each method says what network, what it needs to see, and how it is run."""

    method: str = Field(description="Name of the method.")
    weights: str = Field(description="Trained weights: a name of the package's, or a .safetensors file.")
    step_px: int = Field(default=1, ge=1, description="Distance between measurements, pixels.")
    mirrors: Literal[1, 2, 4] = Field(
        default=1, description="Average over this many mirror images: a little better, at as many times the cost."
    )
    precision: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto",
        description="Of the network's arithmetic; auto: bfloat16 or float16 where the processor is quick at it.",
    )
    min_score: float = Field(
        default=0.0, ge=0, le=1, description="Reject vectors where the aligned images correlate less."
    )
    max_sigma_px: float | None = Field(
        default=None, gt=0, description="Reject vectors with a larger error than this, pixels; none: keep all."
    )
    min_valid_share: float = Field(
        default=0.5, gt=0, le=1, description="Reject places around which less of the pixels have data."
    )

    @property
    @abstractmethod
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""

    @property
    @abstractmethod
    def window_px(self) -> int:
        """Side of the square whose data must be there; odd."""

    @property
    @abstractmethod
    def _limits(self) -> Limits:
        """What the network needs."""

    @property
    @abstractmethod
    def _options(self) -> Any:
        """Options of the network; see `networks.network_options`, which refuses other networks' weights."""

    @property
    @abstractmethod
    def _tells_error(self) -> bool:
        """Whether the network has learned how far it may be off."""

    @abstractmethod
    def _bytes(self, side_px: int) -> int:
        """Upper estimate of the working memory for two images of this side."""

    @abstractmethod
    def _find(self, sight: Sight) -> Estimate:
        """Motion at every pixel of what is shown; between measured pixels it may be that of the nearest."""

    def _ready(self, device: torch.device) -> Any:
        """The network on a device."""
        with LOADING:
            _ = self._options  # refuses weights that are not for this method
            return network(self.weights, str(device))

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def block_px(self) -> int:
        """Side of a block: a whole number of steps and cells."""
        unit = math.lcm(self.step_px, self._limits.cell_px)
        return unit * math.ceil(self._limits.block_px / unit)

    def halo(self, search: Search) -> int:
        """Room for what the network sees, and for the motion."""
        limits, radius = self._limits, max(search.radius)
        reach = limits.halo_px + (radius if radius > limits.capture_px else 0)
        return limits.multiple * math.ceil(reach / limits.multiple)

    def memory(self, search: Search) -> int:
        """Upper estimate of one block's working memory, bytes.

        Raises:
            InputError: where there are no such weights, or they are not for this method: asked before any work begins.
        """
        _ = self._options
        return self._bytes(self.block_px + 2 * self.halo(search))

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure one block; see `Estimator.__call__`. `sigma` is the scale of a Laplace distribution.

        63 % of the errors are below one sigma, 86 % below two.
        """
        halo, size = self.halo(search), before.shape[0]
        inner = slice(halo + self.step_px // 2, size - halo, self.step_px)
        seen = _with_data(before, after, self._limits.multiple)
        sight = self._sight(before, after, search, seen)
        with torch.inference_mode():
            with self._cast(before.device.type):
                estimate = self._find(sight)
            score = agreement(sight.before, sight.after, estimate.flow, SCORED_PX)
        found = torch.cat([estimate.flow[0], self._sigma(estimate.log_scale)[0], score[None]])
        rows, columns = (part.stop - part.start for part in seen)
        whole = found.new_zeros(5, size, size)
        whole[:, *seen] = found[:, :rows, :columns]
        xy, sigma, score = whole[:, inner, inner].clone().split([2, 2, 1])
        reasons = reasons_against(before, after, self.window_px, self.min_valid_share)[inner, inner].clone()
        flow = reject(xy, score[0], reasons, self._wider(search), self.min_score)
        if self.max_sigma_px is not None:
            poor = (sigma > self.max_sigma_px).any(0) & (flow.reasons == 0)
            reasons = torch.where(poor, int(Reason.LOW_SCORE), flow.reasons).to(torch.uint8)
            flow = flow._replace(xy=flow.xy.masked_fill(poor, torch.nan), reasons=reasons)
        return flow._replace(sigma=sigma.masked_fill(flow.reasons > 0, torch.nan))

    def _sight(self, before: Tensor, after: Tensor, search: Search, seen: tuple[slice, slice]) -> Sight:
        """Cut to the rows and columns `seen`, filled, continued."""
        multiple = self._limits.multiple
        images = torch.stack([filled(image[seen]) for image in (before, after)])[:, None, None]
        first, second = (pad_to_multiple(image, multiple) for image in images)
        have = torch.zeros(1, 2, *first.shape[-2:], dtype=torch.bool, device=before.device)
        have[..., : images.shape[-2], : images.shape[-1]] = torch.stack([before[seen], after[seen]]).isfinite()
        start = self._start(before, after, search)
        start = start if start is None else pad_to_multiple(start[..., *seen], multiple)
        place = self.halo(search) + self.step_px // 2
        row, column = ((place - part.start) % self.step_px for part in seen)
        return Sight(first, second, have, start, (row, column), max(search.radius))

    def _start(self, before: Tensor, after: Tensor, search: Search) -> Tensor | None:
        """Coarse motion at every pixel, where it may be larger than the network finds by itself."""
        radius = max(search.radius)
        if radius <= self._limits.capture_px:
            return None
        side = max(START_PX, 4 * radius)
        places = torch.arange(before.shape[0], device=before.device)
        shifts = start_shifts(before, after, places, Knots(side, side // 2), search.radius)
        return shifts.T.reshape(1, 2, len(places), len(places))

    def _cast(self, device: str) -> AbstractContextManager[object]:
        """The lower precision, where it is asked for or quicker; where float32 is asked for, all of its digits."""
        if self.precision == "float32" and device == "cuda":  # whose convolutions would keep 10 bits of a product
            return torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
        kind = quick_type(device) if self.precision == "auto" else TYPES.get(self.precision)
        return nullcontext() if kind is None else torch.autocast(device, kind)

    def _sigma(self, log_scale: Tensor) -> Tensor:
        """The calibrated error; NaN where the network does not tell one.

        Raises:
            InputError: where vectors are to be rejected by it all the same.
        """
        if self._tells_error:
            return calibrated(self.weights, log_scale).exp()
        if self.max_sigma_px is not None:
            raise InputError(
                f"{self.weights} tells no error for its vectors: leave --max-sigma-px away, or take other --weights."
            )
        return torch.full_like(log_scale, torch.nan)

    def _wider(self, search: Search) -> Search:
        """What is found by itself does not count as out of the search."""
        x, y = search.radius
        return search._replace(radius=(max(x, self._limits.capture_px), max(y, self._limits.capture_px)))


def _with_data(before: Tensor, after: Tensor, multiple: int) -> tuple[slice, slice]:
    """Rows and columns that hold all data of either image, from and to whole multiples: the rest costs nothing."""
    have = before.isfinite() | after.isfinite()
    found = []
    for axis in (1, 0):
        places = have.any(axis).nonzero()[:, 0].tolist() or [0]
        length = have.shape[1 - axis]
        stop = min(length, multiple * math.ceil((places[-1] + 1) / multiple))
        found.append(slice(places[0] // multiple * multiple, stop))
    return found[0], found[1]
