"""Trained networks by the name of their weights, ready to run on a device, and over mirror images."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from ..io.weights import Weights, load_weights
from ..models.catalogue import make, options_of
from ..models.estimate import Estimate

LOADING = threading.RLock()
"""Held while weights are read: threads that begin together would each read them."""
MIRRORS = ((), (-1,), (-2,), (-1, -2))

Run = Callable[[Tensor, Tensor, Tensor | None], Estimate]
"""A network as it is called: before, after, and a first idea of the motion (x right, y down) px."""


@lru_cache(maxsize=16)
def network_options(weights: str, kind: str, method: str) -> Any:
    """The options of the network that `weights` belong to.

    Args:
        weights: a name of the package's, or a .safetensors file.
        kind: that the network must be of; see `models.catalogue`.
        method: that asks, for the message.

    Raises:
        InputError: where there are no such weights, or they are those of another kind of network.
        OptionError: where the file names options that this version does not know.
    """
    found = _loaded(weights)
    if found.network != kind:
        raise InputError(
            f"{weights} holds weights of the network {found.network}, but method {method} runs the network {kind}: "
            f"take --method {found.network}, or other --weights."
        )
    return options_of(found.network, found.options)


@lru_cache(maxsize=8)
def network(weights: str, device: str) -> Any:
    """The network with its weights, ready to run; shared by all blocks.

    Raises:
        InputError: where the weights do not fit the options that they come with.
    """
    found = _loaded(weights)
    made: nn.Module = make(found.network, options_of(found.network, found.options)).requires_grad_(False).eval()
    try:
        made.load_state_dict(dict(found.tensors))
    except RuntimeError as error:
        raise InputError(f"the weights in {weights} do not fit the options beside them ({error}).") from error
    return made.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def calibrated(weights: str, log_scale: Tensor) -> Tensor:
    """What validation pairs made of the network's own idea of its error; see `train.calibrate`."""
    found = _loaded(weights).calibration
    return found.get("offset", 0.0) + found.get("power", 1.0) * log_scale


@lru_cache(maxsize=8)
def _loaded(weights: str) -> Weights:
    return load_weights(weights)


@lru_cache(maxsize=8)
def quick_type(device: str) -> torch.dtype | None:
    """The half-precision type that a kind of device (`cpu`, `cuda`, ...) multiplies by instructions of its own."""
    if device == "cpu":
        return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16 if device == "cuda" else torch.float16


def last_of(ready: Any) -> Run:
    """A network that answers after every pass, called for its last answer."""

    def run(before: Tensor, after: Tensor, start: Tensor | None) -> Estimate:
        return ready(before, after, start=start)[-1]

    return run


def over_mirrors(
    run: Run,
    before: Float[Tensor, "batch _ height width"],
    after: Float[Tensor, "batch _ height width"],
    start: Float[Tensor, "batch 2 rows columns"] | None,
    count: int,
) -> Estimate:
    """Mean of what the network finds in the images and in `count` - 1 mirrorings of them, turned back.

    Answers may lie on a lattice, if the images reach as far beyond its last place as beyond its first.
    """
    found = []
    for axes in MIRRORS[:count]:
        sign = before.new_tensor([-1.0 if -1 in axes else 1.0, -1.0 if -2 in axes else 1.0])[:, None, None]
        first = None if start is None else start.flip(axes) * sign
        last = run(before.flip(axes), after.flip(axes), first)
        found.append(Estimate(last.flow.flip(axes) * sign, last.log_scale.flip(axes)))
    flow, log_scale = (torch.stack(parts).mean(0) for parts in zip(*found, strict=True))
    return Estimate(flow, log_scale)


def bytes_of_unet(width: float) -> int:
    """Working memory of a pass of `models.geoflownet` for each pixel, upper estimate.

    Args:
        width: share of the published feature maps.
    """
    return 400 + math.ceil(1900 * width)
