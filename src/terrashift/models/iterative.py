"""Refine a flow in passes: warp `after` by the flow so far, and let a network find what is left.

Bertrand, Giffard-Roisin, Hollingsworth & Mairal (2025), MicroFlow, arXiv:2504.13452: three passes with weights of
their own, `after` always resampled from the original, every image normalised by itself, after each warp again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import OptionError
from .estimate import Estimate
from .geoflownet import GeoFlowNet, GeoFlowNetOptions
from .layers import sample
from .normalise import NORMALISATIONS, Normalisation


@dataclass(frozen=True, slots=True)
class IterativeOptions:
    """How the passes go on, and what each is made by.

    Raises:
        OptionError: for fewer passes than one.
    """

    passes: int = 3
    shared: bool = False
    """One set of weights for all passes, which may then be more at measuring than at training."""
    normalisation: Normalisation = "min-max"
    through_warp: bool = False
    """Let a pass learn from the errors of later ones, through the warp; else each learns from its own (ours)."""
    backbone: GeoFlowNetOptions = field(default_factory=GeoFlowNetOptions)

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise OptionError(f"{self.passes} passes measure nothing: take 1 or more.")


class IterativeRefinement(nn.Module):
    """Passes of pair networks over two images.

    A pair network takes (before, after warped so far), each (batch, 1, height, width) and normalised, and gives a list
    of estimates whose last is at full resolution: see `GeoFlowNet`.
    """

    def __init__(self, networks: Sequence[nn.Module], options: IterativeOptions = IterativeOptions()) -> None:
        """Take over one network where weights are shared, else one for each pass.

        Raises:
            OptionError: for another number of networks.
        """
        super().__init__()
        needed = 1 if options.shared else options.passes
        if len(networks) != needed:
            raise OptionError(f"{len(networks)} networks for {options}: give {needed}.")
        self.options = options
        self.networks = nn.ModuleList(networks)

    def forward(
        self,
        before: Float[Tensor, "batch 1 height width"],
        after: Float[Tensor, "batch 1 height width"],
        passes: int | None = None,
        start: Float[Tensor, "batch 2 height width"] | None = None,
    ) -> list[Estimate]:
        """The flow after every pass; images of any brightness and contrast, without NaN.

        Args:
            passes: another number than the options'.
            start: a first idea of the flow, from which the passes go on.

        Raises:
            OptionError: for more passes than there are networks with weights of their own.
        """
        passes = self.options.passes if passes is None else passes
        if passes < 1 or (passes > len(self.networks) and not self.options.shared):
            raise OptionError(f"{passes} passes with weights for {len(self.networks)}: take 1 to {len(self.networks)}.")
        normalise = NORMALISATIONS[self.options.normalisation]
        count, _, height, width = before.shape
        flow = torch.zeros(count, 2, height, width, device=before.device) if start is None else start
        fixed, moved = normalise(before), after
        estimates = []
        for number in range(passes):
            # a pass answers for its own step only: what it starts from is given
            given = flow if self.options.through_warp else flow.detach()
            if number or start is not None:
                moved = sample(after, given)
            network = self.networks[0 if self.options.shared else number]
            found = network(fixed, normalise(moved))[-1]
            flow = given + found.flow  # b 2 h w
            estimates.append(Estimate(flow, found.log_scale))
        return estimates


def for_passes(weights: Mapping[str, Tensor], passes: int) -> dict[str, Tensor]:
    """Weights of a single pass for several, which all begin as it; of several for one that all share: their mean.

    Else they stay as they are.
    """
    own: dict[str, list[Tensor]] = {}
    for name, value in weights.items():
        part, number, rest = (*name.split(".", 2), "", "")[:3]
        if part != "networks" or not number.isdecimal():
            return dict(weights)
        own.setdefault(rest, []).append(value)
    if passes == 1:
        return {f"networks.0.{name}": torch.stack(values).mean(0) for name, values in own.items()}
    if any(len(values) > 1 for values in own.values()):
        return dict(weights)
    return {f"networks.{number}.{name}": values[0] for number in range(passes) for name, values in own.items()}


def published_microflow(options: IterativeOptions = IterativeOptions()) -> IterativeRefinement:
    """MicroFlow as published: GeoFlowNets with separate weights; 114 million of them and 5.7 MFLOP per pixel in all.

    With a single pass GeoFlowNet. At a width of 1/4 three passes have 7.2 million weights, 13.7 MiB in float16.
    """
    networks = [GeoFlowNet(options.backbone) for _ in range(1 if options.shared else options.passes)]
    return IterativeRefinement(networks, options)
