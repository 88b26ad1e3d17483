"""What do the parts of the compact network give? Each variant learns on the same pairs, for a few steps.

    python benchmarks/ablations.py train.tsi validation.tsi --steps 3000 [--only VARIANT ...]
    python benchmarks/ablations.py train.tsi validation.tsi --steps 400 --size 96 \\
        --start src/terrashift/weights/microflow-compact.safetensors

Printed are mean errors in px on validation pairs, median removed: within 3 px of the trace, within 16 px, beyond. So
short a training tells how quickly a variant learns; the order of variants near each other may yet turn. 3,000 steps
from nothing take about an hour of a CPU core a variant; after 400 no variant is better than no motion at all. With
`--start` each begins as the trained network with the part taken away, and shows how much of what it lost it can win
back: some 5 minutes a variant.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from methods import machine
from torch import Tensor

from terrashift.models import microflow
from terrashift.models.microflow import MicroFlowOptions
from terrashift.simulate.stream import StreamOptions
from terrashift.train.loop import train
from terrashift.train.losses import LossOptions
from terrashift.train.recipe import TrainRecipe
from terrashift.train.validate import Score

VALIDATION_PX = 128

PLAIN = 3
"""The first bands of the equations are the images and their difference, the rest products of gradients."""

Variant = Callable[[TrainRecipe], TrainRecipe]
VARIANTS: dict[str, Variant] = {
    "as it is": lambda recipe: recipe,
    "one pass": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=1)),
    "two passes": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=2)),
    "four passes": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=4)),
    "no memory between passes": lambda recipe: recipe,
    "equations at full resolution only": lambda recipe: recipe,
    "images and difference, no products": lambda recipe: recipe,
    "faults count no more than the rest": lambda recipe: replace(recipe, loss=LossOptions(fault=0.0)),
    "faults count six times": lambda recipe: replace(recipe, loss=LossOptions(fault=5.0)),
}


@contextmanager
def without(name: str, sizes: tuple[int, ...]) -> Iterator[None]:
    """Take a part of the network away, so that it sees zeros instead, where that is what a variant is.

    Args:
        name: of the variant.
        sizes: sides of the images, at full resolution, px.
    """
    once, equations = microflow.MicroFlow._once, microflow.equations

    def forgetful(self: Any, before: Any, after: Any, flow: Tensor, memory: Tensor) -> Any:
        return once(self, before, after, flow, torch.zeros_like(memory))

    def fine_only(before: Tensor, after: Tensor) -> Tensor:
        found = equations(before, after)
        return found if before.shape[-1] in sizes else torch.zeros_like(found)

    def images_only(before: Tensor, after: Tensor) -> Tensor:
        found = equations(before, after)
        return torch.cat([found[:, :PLAIN], torch.zeros_like(found[:, PLAIN:])], 1)

    seen = {"equations": fine_only, "images": images_only}.get(name.split()[0], equations)
    forget = patch.object(microflow.MicroFlow, "_once", forgetful if name.startswith("no memory") else once)
    with forget, patch.object(microflow, "equations", seen):
        yield


def scores(name: str, recipe: TrainRecipe) -> list[Score]:
    """Of a variant after its training."""
    told: list[list[Score]] = []

    def tell(found: Any) -> None:
        if isinstance(found, list):
            told.append(found)

    with without(name, (recipe.stream.size_px, VALIDATION_PX)), tempfile.TemporaryDirectory() as folder:
        train(VARIANTS[name](recipe), Path(folder), tell=tell)
    return told[-1]


def main() -> None:
    """Print the table, a variant at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="archive to learn from")
    parser.add_argument("validation", help="archive to be judged on")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=32, help="of each class, to be judged on")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--size", type=int, default=128, help="side of the pairs to learn from, px")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--start", default="", help="weight file to begin with")
    given = parser.parse_args()
    recipe = TrainRecipe(
        name="ablation",
        imagery=given.train,
        validation=given.validation,
        steps=given.steps,
        warm_up=50,
        cool_down=0.5,
        grow=0 if given.start else given.steps // 3,
        start_from=given.start,
        learning_rate=given.rate,
        average=0.98,
        validate_every=given.steps,
        validation_pairs=given.pairs,
        validation_px=VALIDATION_PX,
        calibration_pairs=8,  # of no interest, but no run ends without
        calibration_px=VALIDATION_PX,
        stream=StreamOptions(size_px=given.size, batch=given.batch),
    )
    print(f"{given.steps} steps of {given.batch} pairs; {machine()}\n")
    print("| variant | very small: fault, near, far | small | medium |\n| --- | --- | --- | --- |")
    for name in given.only:
        cells = (f"{s.fault:.3f}, {s.near:.3f}, {s.far:.3f}" for s in scores(name, recipe))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
