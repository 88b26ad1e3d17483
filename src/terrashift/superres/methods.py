"""The methods by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import OptionError
from ..io.weights import Weights, available, load_weights
from ..models.catalogue import SHARPEN, make, options_of
from ..models.sharp import MultiFrame
from .average import Average
from .back_projection import BackProjection
from .base import Method
from .bicubic import Bicubic
from .learned import Learned
from .options import SuperresOptions
from .shift_add import ShiftAndAdd
from .sliding import SlidingWindow

BASELINES: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {
        "bicubic": Bicubic,
        "bicubic-mean": lambda: Average("mean"),
        "bicubic-median": lambda: Average("median"),
        "shift-and-add": ShiftAndAdd,
        "ibp": BackProjection,
    }
)
"""Those that need no training."""
FALL_BACK = "ibp"
BYTES_PER_PX: Mapping[str, tuple[int, int]] = MappingProxyType({"unrolled": (5000, 300)})
"""What networks take, where it is not the usual; see `learned.Learned`."""
SLIDES = ("deepsum",)
"""Networks of a fixed number of frames that are run over more of them window by window, as published."""
PREFERRED = ("unrolled", "piunet", "deepsum", "highresnet", "wdsr3d")
"""Networks that the package may have weights of, the default first."""


def baseline(name: str) -> Method:
    """A method that needs no training, with its usual settings.

    Raises:
        OptionError: there is none of this name.
    """
    if name not in BASELINES:
        raise unknown(name)
    return BASELINES[name]()


def method_for(options: SuperresOptions, bands: int, device: str = "cpu") -> Method:
    """The method that options name, for frames of so many bands; see `SuperresOptions.method`.

    Raises:
        InputError: its weights are damaged.
        OptionError: there is none of this name, or it was trained for something else.
    """
    name = options.method
    if name == "auto":
        fitting = (one for one, weights in packaged().items() if _fits(weights, options.scale, bands))
        name = next(fitting, FALL_BACK)
    if name == "ibp":
        return BackProjection(options.iterations, contrast=options.contrast)
    if name in BASELINES:
        return BASELINES[name]()
    if not (name in available() or name.endswith(".safetensors")):
        raise unknown(name)
    method = learned(name, device)
    method.refuse_other(bands, options.scale)
    return method


def learned(name: str, device: str = "cpu") -> Learned:
    """A trained network by the name of its weights, or their file.

    Raises:
        InputError: there are none, or they are damaged.
        OptionError: they are those of a network that does something else.
    """
    weights = load_weights(name)
    if weights.network not in SHARPEN:
        raise OptionError(f"{name} holds a network that measures motion, and sharpens nothing.{known()}")
    network = make(weights.network, options_of(weights.network, weights.options))
    network.load_state_dict(dict(weights.tensors))
    network = network.to(device).eval()
    bytes_per_px = BYTES_PER_PX.get(weights.network, (6000, 9000))
    return Learned(
        Path(name).stem,
        SlidingWindow(network) if weights.network in SLIDES and isinstance(network, MultiFrame) else network,
        *_size(weights),
        calibration=weights.calibration,
        bytes_per_px=bytes_per_px,
    )


def packaged() -> dict[str, Weights]:
    """The package's networks that sharpen, the preferred first."""
    found = {name: weights for name in available() if (weights := load_weights(name)).network in SHARPEN}
    return dict(sorted(found.items(), key=lambda item: (PREFERRED.index(item[1].network), item[0])))


def unknown(name: str) -> OptionError:
    """What to say of a name that nothing has."""
    close = difflib.get_close_matches(name, [*BASELINES, *packaged()], 1, 0.4)
    return OptionError(f"there is no method {name!r}." + (f" Did you mean {close[0]}?" if close else "") + known())


def known() -> str:
    """All names, in words."""
    return f" Methods: {', '.join([*BASELINES, *packaged()])}, or a .safetensors file."


def _fits(weights: Weights, scale: int, bands: int) -> bool:
    size = _size(weights)
    return size[0] == scale and size[1] in (1, bands)


def _size(weights: Weights) -> tuple[int, int]:
    """Scale and bands that a network is made for."""
    options: Any = options_of(weights.network, weights.options)
    return int(options.scale), int(getattr(options, "bands", 1))
