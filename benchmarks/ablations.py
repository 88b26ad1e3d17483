"""What do the parts of the compact network give? Each variant learns from nothing, on the same pairs, for a few steps.

    python benchmarks/ablations.py train.tsi validation.tsi --steps 3000 [--only VARIANT ...]

Printed are mean errors in px on validation pairs, median removed: within 3 px of the trace, within 16 px, beyond. So
short a training tells how quickly a variant learns; the order of variants near each other may yet turn. 3,000 steps
take about an hour of a CPU core a variant; after 400 no variant is better than no motion at all.
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

SIZE_PX = 128

Variant = Callable[[TrainRecipe], TrainRecipe]
VARIANTS: dict[str, Variant] = {
    "as it is": lambda recipe: recipe,
    "one pass": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=1)),
    "two passes": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=2)),
    "four passes": lambda recipe: replace(recipe, model=MicroFlowOptions(passes=4)),
    "no memory between passes": lambda recipe: recipe,
    "equations at full resolution only": lambda recipe: recipe,
    "faults count no more than the rest": lambda recipe: replace(recipe, loss=LossOptions(fault=0.0)),
    "faults count six times": lambda recipe: replace(recipe, loss=LossOptions(fault=5.0)),
}


@contextmanager
def without(name: str) -> Iterator[None]:
    """Take a part of the network away, so that it sees zeros instead, where that is what a variant is."""
    once, equations = microflow.MicroFlow._once, microflow.equations

    def forgetful(self: Any, before: Any, after: Any, flow: Tensor, memory: Tensor) -> Any:
        return once(self, before, after, flow, torch.zeros_like(memory))

    def fine_only(before: Tensor, after: Tensor) -> Tensor:
        found = equations(before, after)
        return found if before.shape[-1] == SIZE_PX else torch.zeros_like(found)

    forget = patch.object(microflow.MicroFlow, "_once", forgetful if name.startswith("no memory") else once)
    fine = patch.object(microflow, "equations", fine_only if name.startswith("equations") else equations)
    with forget, fine:
        yield


def scores(name: str, recipe: TrainRecipe) -> list[Score]:
    """Of a variant after its training."""
    told: list[list[Score]] = []

    def tell(found: Any) -> None:
        if isinstance(found, list):
            told.append(found)

    with without(name), tempfile.TemporaryDirectory() as folder:
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
    given = parser.parse_args()
    recipe = TrainRecipe(
        name="ablation",
        imagery=given.train,
        validation=given.validation,
        steps=given.steps,
        warm_up=50,
        cool_down=0.5,
        grow=given.steps // 3,
        average=0.98,
        validate_every=given.steps,
        validation_pairs=given.pairs,
        validation_px=SIZE_PX,
        calibration_pairs=8,  # of no interest, but no run ends without
        calibration_px=SIZE_PX,
        stream=StreamOptions(size_px=SIZE_PX, batch=given.batch),
    )
    print(f"{given.steps} steps of {given.batch} pairs; {machine()}\n")
    print("| variant | very small: fault, near, far | small | medium |\n| --- | --- | --- | --- |")
    for name in given.only:
        cells = (f"{s.fault:.3f}, {s.near:.3f}, {s.far:.3f}" for s in scores(name, recipe))
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
