"""Small networks without training as weight files, for the tests of the estimators around them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from terrashift.estimators.cnn4l import Cnn4l
from terrashift.estimators.geoflownet import GeoFlowNet
from terrashift.estimators.iterative import Iterative
from terrashift.estimators.learned import Learned
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.searaft import SeaRaft
from terrashift.models.catalogue import make, options_of
from terrashift.models.searaft import SeaRaft as SeaRaftNetwork

UNET = {"width": 1 / 16, "scale": True}


class Small(NamedTuple):
    """An estimator, and a network of a few weights for it."""

    estimator: type[Learned]
    kind: str
    options: dict[str, Any]


NETWORKS = {
    "microflow": Small(MicroFlow, "microflow", {"channels": [8, 8, 8, 8], "fine": 8}),
    "geoflownet": Small(GeoFlowNet, "iterative", {"passes": 1, "normalisation": "local", "backbone": UNET}),
    "iterative": Small(Iterative, "iterative", {"passes": 2, "normalisation": "local", "backbone": UNET}),
    "searaft": Small(
        SeaRaft,
        "searaft",
        {"blocks": [1, 1, 1], "maps": [8, 8, 16], "hidden": 16, "iterations": 2, "normalisation": "local"},
    ),
    "cnn4l": Small(Cnn4l, "cnn4l", {"window_px": 16, "width": 4, "scale": True}),
}
COARSE = {"window_px": 32, "layers": 3, "width": 2}
"""First step of cnn4l."""


class Files(NamedTuple):
    """Where the weights lie."""

    still: str
    """Untrained: no motion anywhere."""
    random: str
    """Awake, but knowing nothing."""


def write(folder: Path, name: str, kind: str, options: dict[str, Any]) -> Files:
    """Weights of a network before training, and with random numbers in the layers that start at zero."""
    torch.manual_seed(0)
    built = options_of(kind, options)
    network = make(kind, built)
    files = Files(str(folder / f"{name}-still.safetensors"), str(folder / f"{name}-random.safetensors"))
    facts = {"network": kind, "options": json.dumps(dataclasses.asdict(built))}
    save_file(network.state_dict(), files.still, facts)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and not layer.weight.any():
            torch.nn.init.normal_(layer.weight, std=0.3 / math.sqrt(layer.weight[0].numel()))
    if isinstance(network, SeaRaftNetwork):
        network.flow_head[-1].bias.data[3] = 1.0  # else all errors are ordinary, and of one size
    save_file(network.state_dict(), files.random, facts)
    return files


def write_all(folder: Path) -> dict[str, Files]:
    """Weights for every method, and `coarse` for the first step of cnn4l."""
    files = {name: write(folder, name, small.kind, small.options) for name, small in NETWORKS.items()}
    return files | {"coarse": write(folder, "coarse", "cnn4l", COARSE)}


def estimator(files: dict[str, Files], name: str, which: str = "random", **settings: Any) -> Learned:
    """A method with small weights: `still` or `random`; the first step of cnn4l finds no motion of its own."""
    if name == "cnn4l":
        settings = {"coarse": files["coarse"].still} | settings
    return NETWORKS[name].estimator(weights=getattr(files[name], which), **settings)
