"""Every network by name, to be built from its options: what training writes beside weights, and measuring reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from ..core.settings import build
from ..errors import OptionError
from .cnn4l import Cnn4l, Cnn4lOptions
from .deepsum import DeepSumOptions, deepsum
from .highresnet import HighResNetOptions, highresnet
from .iterative import IterativeOptions, published_microflow
from .linear_deformable import LinearDeformable, LinearDeformableOptions
from .microflow import MicroFlow, MicroFlowOptions
from .piunet import PiunetOptions, piunet
from .searaft import SeaRaft, SeaRaftOptions
from .unrolled import UnrolledOptions, unrolled
from .wdsr3d import Wdsr3dOptions, wdsr3d

Kind = Literal[
    "microflow",
    "cnn4l",
    "iterative",
    "searaft",
    "linear-deformable",
    "unrolled",
    "deepsum",
    "highresnet",
    "wdsr3d",
    "piunet",
]
Pairwise = MicroFlowOptions | Cnn4lOptions | IterativeOptions | SeaRaftOptions | LinearDeformableOptions
Multiframe = UnrolledOptions | DeepSumOptions | HighResNetOptions | Wdsr3dOptions | PiunetOptions
Options = Pairwise | Multiframe


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is made."""

    options: type
    make: Callable[[Any], nn.Module]


PLANS: dict[str, Plan] = {
    "microflow": Plan(MicroFlowOptions, MicroFlow),
    "cnn4l": Plan(Cnn4lOptions, Cnn4l),
    "iterative": Plan(IterativeOptions, published_microflow),  # GeoFlowNet: a single pass
    "searaft": Plan(SeaRaftOptions, SeaRaft),
    "linear-deformable": Plan(LinearDeformableOptions, LinearDeformable),
    "unrolled": Plan(UnrolledOptions, unrolled),
    "deepsum": Plan(DeepSumOptions, deepsum),
    "highresnet": Plan(HighResNetOptions, highresnet),
    "wdsr3d": Plan(Wdsr3dOptions, wdsr3d),
    "piunet": Plan(PiunetOptions, piunet),
}


SHARPEN = frozenset({"unrolled", "deepsum", "highresnet", "wdsr3d", "piunet"})
"""Networks that make one sharp image of several frames; the others measure motion between two images."""
SILENT = frozenset({"linear-deformable", "deepsum", "highresnet", "wdsr3d"})
"""Networks that do not tell how far they may be off."""


def options_of(kind: str, values: Any) -> Options:
    """The options of a network from plain values; what they do not name keeps its default.

    >>> options_of("cnn4l", {"width": 32}).layers
    4

    Raises:
        OptionError: where there is no such network or option.
    """
    if kind not in PLANS:
        raise OptionError(f"there is no network {kind!r}: {', '.join(PLANS)} are known.")
    return build(PLANS[kind].options, values, "model")


def make(kind: str, options: Options) -> nn.Module:
    """A network without training."""
    return PLANS[kind].make(options)
