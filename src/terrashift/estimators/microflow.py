"""Learned iterative refinement: a small network, run three times, each time on the images as warped so far.

See `models.microflow`. Dense, sharp at faults, with an error for every vector.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from ..io.weights import Weights, load_weights
from ..models.estimate import Estimate
from ..models.layers import pad_to_multiple
from ..models.microflow import MicroFlow as Network
from ..models.microflow import MicroFlowOptions, normalise, sample
from ..ops.box import box_sum
from ..ops.fill import filled
from .base import Search
from .coarse import Knots, start_shifts
from .rejection import reject

BLOCK_PX = 1024
HALO_PX = 96
"""Around a block; what lies further out still changes one vector in a hundred at its rim by more than 0.01 px."""
CAPTURE_PX = 3
"""Motion that the network finds by itself (at 4 px it begins to miss); larger ones start from a coarse pass."""
START_PX = 64
MIRRORS = ((), (-1,), (-2,), (-1, -2))


class MicroFlow(BaseModel, frozen=True, extra="forbid"):
    """Learned refinement with explicit warping: dense and sharp, with an error for every vector."""

    method: Literal["microflow"] = Field(default="microflow", description="A trained network, run three times.")
    weights: str = Field(
        default="microflow-compact", description="Trained weights: a name of the package's, or a .safetensors file."
    )
    step_px: int = Field(default=1, ge=1, description="Distance between measurements, pixels.")
    mirrors: Literal[1, 2, 4] = Field(
        default=1, description="Average over this many mirror images: a little better, at as many times the cost."
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="Of the network's arithmetic; auto: bfloat16 where the processor is quick at it."
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
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("bertrand2025",)

    @property
    def window_px(self) -> int:
        """Side of the square whose data must be there, and over which images are correlated for the score."""
        return 17

    @property
    def block_px(self) -> int:
        """Side of a block: about 1024 px and a whole number of steps."""
        return self.step_px * math.ceil(BLOCK_PX / self.step_px)

    def halo(self, search: Search) -> int:
        """Room for what the network sees, and for the motion."""
        reach = HALO_PX + (max(search.radius) if max(search.radius) > CAPTURE_PX else 0)
        return Network.multiple * math.ceil(reach / Network.multiple)

    def memory(self, search: Search) -> int:
        """Upper estimate of one block's working memory, bytes."""
        return 420 * (self.block_px + 2 * self.halo(search)) ** 2

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure one block; see `Estimator.__call__`. `sigma` is the scale of a Laplace distribution.

        63 % of the errors are below one sigma, 86 % below two.
        """
        halo, size = self.halo(search), before.shape[0]
        inner = slice(halo + self.step_px // 2, size - halo, self.step_px)
        seen = _with_data(before, after, Network.multiple)
        images = torch.stack([filled(image[seen]) for image in (before, after)])[:, None, None]
        rows, columns = images.shape[-2:]
        start = self._start(before, after, search)
        with torch.inference_mode():
            first, second = (pad_to_multiple(image, Network.multiple) for image in images)
            start = start if start is None else pad_to_multiple(start[..., *seen], Network.multiple)
            estimate = self._estimate(first, second, start)
            score = _agreement(first, second, estimate.flow, self.window_px)
        log_sigma = _calibrated(self.weights, estimate.log_scale)
        found = torch.cat([estimate.flow[0], log_sigma[0].exp(), score[None]])
        whole = found.new_zeros(5, size, size)
        whole[:, *seen] = found[:, :rows, :columns]
        xy, sigma, score = whole[:, inner, inner].clone().split([2, 2, 1])
        reasons = self._reasons(before, after, inner)
        flow = reject(xy, score[0], reasons, search._replace(radius=_wider(search.radius)), self.min_score)
        if self.max_sigma_px is not None:
            poor = (sigma > self.max_sigma_px).any(0) & (flow.reasons == 0)
            reasons = torch.where(poor, int(Reason.LOW_SCORE), flow.reasons).to(torch.uint8)
            flow = flow._replace(xy=flow.xy.masked_fill(poor, torch.nan), reasons=reasons)
        return flow._replace(sigma=sigma.masked_fill(flow.reasons > 0, torch.nan))

    def _start(self, before: Tensor, after: Tensor, search: Search) -> Tensor | None:
        """Coarse motion at every pixel, where it may be larger than the network finds by itself."""
        radius = max(search.radius)
        if radius <= CAPTURE_PX:
            return None
        side = max(START_PX, 4 * radius)
        places = torch.arange(before.shape[0], device=before.device)
        shifts = start_shifts(before, after, places, Knots(side, side // 2), search.radius)
        return shifts.T.reshape(1, 2, len(places), len(places))

    def _estimate(self, before: Tensor, after: Tensor, start: Tensor | None) -> Estimate:
        """Run the network, over mirror images if asked."""
        network = _network(self.weights, str(before.device))
        half = self.precision == "bfloat16" or (self.precision == "auto" and _quick_at_bfloat16(before.device.type))
        found = []
        for axes in MIRRORS[: self.mirrors]:
            sign = before.new_tensor([-1.0 if -1 in axes else 1.0, -1.0 if -2 in axes else 1.0])[:, None, None]
            first = None if start is None else start.flip(axes) * sign
            with torch.autocast(before.device.type, torch.bfloat16, enabled=half):
                last = network(before.flip(axes), after.flip(axes), start=first)[-1]
            found.append(Estimate(last.flow.flip(axes) * sign, last.log_scale.flip(axes)))
        flow, log_scale = (torch.stack(parts).mean(0) for parts in zip(*found, strict=True))
        return Estimate(flow, log_scale)

    def _reasons(self, before: Tensor, after: Tensor, inner: slice) -> Tensor:
        share = torch.minimum(_share(before.isfinite(), self.window_px), _share(after.isfinite(), self.window_px))
        flat = _flat(torch.stack([before, after]), self.window_px)
        reasons = torch.zeros(before.shape, dtype=torch.uint8, device=before.device)
        reasons[flat] = int(Reason.NO_TEXTURE)
        reasons[(share < self.min_valid_share) | ~before.isfinite()] = int(Reason.NODATA)
        return reasons[inner, inner].clone()


def _calibrated(weights: str, log_scale: Tensor) -> Tensor:
    """What validation pairs made of the network's own idea of its error; see `train.calibrate`."""
    found = _loaded(weights).calibration
    return found.get("offset", 0.0) + found.get("power", 1.0) * log_scale


@lru_cache(maxsize=8)
def _loaded(weights: str) -> Weights:
    return load_weights(weights)


@lru_cache(maxsize=8)
def _network(name: str, device: str) -> Network:
    """The network with its weights, ready to run; shared by all blocks."""
    weights = _loaded(name)
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in weights.options.items()}
    network = Network(MicroFlowOptions(**options)).requires_grad_(False).eval()
    network.load_state_dict(dict(weights.tensors))
    return network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@lru_cache(maxsize=8)
def _quick_at_bfloat16(device: str) -> bool:
    """Whether the processor multiplies bfloat16 by instructions of its own."""
    if device != "cpu":
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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


def _wider(radius: tuple[int, int]) -> tuple[int, int]:
    """What is found by itself does not count as out of the search."""
    return max(radius[0], CAPTURE_PX), max(radius[1], CAPTURE_PX)


def _agreement(before: Tensor, after: Tensor, flow: Tensor, side: int) -> Float[Tensor, "rows columns"]:
    """Correlation of the two images, locally normalised and aligned by the flow, over a square around each pixel."""
    first, second = normalise(before)[0, 0], normalise(sample(after, flow))[0, 0]
    both, one, two = (_mean(part, side) for part in (first * second, first * first, second * second))
    return (both * (one * two).clamp_min(1e-12).rsqrt()).clamp(0, 1)


def _mean(image: Tensor, side: int) -> Tensor:
    half = side // 2
    wide = torch.nn.functional.pad(image[None, None], (half,) * 4, mode="replicate")[0, 0]
    return box_sum(wide, side) / side**2


def _share(have: Bool[Tensor, "rows columns"], side: int) -> Float[Tensor, "rows columns"]:
    if have.all():
        return torch.ones_like(have, dtype=torch.float32)
    return _mean(have.float(), side)


def _flat(images: Float[Tensor, "2 rows columns"], side: int) -> Bool[Tensor, "rows columns"]:
    """True where either image has one value, or none, throughout the square around a pixel."""
    edges = torch.zeros_like(images)
    edges[:, :, 1:] += (images[:, :, 1:] - images[:, :, :-1]).nan_to_num(0.0) != 0  # the outline of a gap is none
    edges[:, 1:] += (images[:, 1:] - images[:, :-1]).nan_to_num(0.0) != 0
    first, second = (_mean(part, side) == 0 for part in edges)
    return first | second
