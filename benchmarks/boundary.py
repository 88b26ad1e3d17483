"""How near to what the images tell does the default place a fault?

    python benchmarks/boundary.py validation.tsi --pairs 32

For each class of slip, mean endpoint errors in px within 3 px of the trace, within 16 px of it, and beyond: of the
network alone, of the network that looks closer near jumps, of either with its boundary laid by the images, and of an
oracle. The oracle is told the exact motion of either side, continued over the other, and parts them by the same minimal
cut; farther than 12 px from the trace it is told the truth. What is left of its error is what the images do not tell
such a cut.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from methods import machine
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from validation_pairs import SEED

from terrashift.estimators.boundary import BAND_PX, PRICE, Images, with_boundary
from terrashift.estimators.closer import looked_closer
from terrashift.estimators.networks import last_of, network
from terrashift.estimators.sides import sides_of, with_sides
from terrashift.models.estimate import Estimate
from terrashift.models.microflow import normalise
from terrashift.ops.cut import minimal_cut
from terrashift.simulate.archive import Archive
from terrashift.simulate.stream import Batch
from terrashift.train.losses import near
from terrashift.train.validate import Validation

Run = Callable[[Tensor, Tensor], Estimate]


def continued(
    flow: Float[Tensor, "batch 2 height width"], here: Bool[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 2 height width"]:
    """The motion of the nearest pixel of a side; as it is where there is no such side."""
    found = []
    for one, inside in zip(flow, here[:, 0].numpy(), strict=True):
        rows, columns = (
            distance_transform_edt(~inside, return_distances=False, return_indices=True)
            if inside.any()
            else np.indices(inside.shape)
        )
        found.append(one[:, rows, columns])
    return torch.stack(found)


def told_both_sides(batch: Batch) -> Estimate:
    """The oracle."""
    truth = batch.flow
    sides = sides_of(truth)
    on_first = (truth - sides.first).norm(dim=1, keepdim=True) < (truth - sides.second).norm(dim=1, keepdim=True)
    first, second = continued(truth, on_first), continued(truth, ~on_first)
    images = Images(normalise(batch.before[:, None]), batch.after[:, None])
    cut = minimal_cut(images.alike(second) - images.alike(first), PRICE, 300)
    unsure = near(batch.trace, BAND_PX)[:, None] > 0
    return Estimate(torch.where(unsure, torch.where(cut, first, second), truth), torch.zeros_like(truth))


def pair_by_pair(net: Any, closer: bool = False, boundary: bool = False) -> Run:
    """What `--method microflow` makes of its network, with or without its further steps."""
    first, again = last_of(net), last_of(net.closer)

    def one_pair(before: Tensor, after: Tensor) -> Estimate:
        def measured(start: Tensor | None) -> Estimate:
            return first(before, after, start)

        found = measured(None)
        if boundary:
            found = with_sides(before, after, found, measured)
        if closer:
            found = looked_closer(again, before, after, found)
        return with_boundary(before, after, found, measured) if boundary else found

    def run(before: Tensor, after: Tensor) -> Estimate:
        found = [one_pair(*pair) for pair in zip(before.split(1), after.split(1), strict=True)]
        return Estimate(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    return run


def main() -> None:
    """Print the three, class by class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--pairs", type=int, default=32, help="of each class")
    parser.add_argument("--size", type=int, default=128, help="their side, px")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--weights", default="microflow-compact")
    given = parser.parse_args()
    torch.set_grad_enabled(False)
    print(machine())
    validation = Validation(Archive.load(given.archive), given.pairs, given.size, "cpu", given.seed)
    net = network(given.weights, "cpu")
    batches = chain.from_iterable(validation.sets.values())  # in the order in which a validation shows them
    methods: dict[str, Run] = {
        "network": pair_by_pair(net),
        "and looked closer": pair_by_pair(net, closer=True),
        "and boundary laid by the images": pair_by_pair(net, closer=True, boundary=True),
        "boundary, not looked closer": pair_by_pair(net, boundary=True),
        "told either side's motion": lambda before, after: told_both_sides(next(batches)),
    }
    print("| class | method | fault | near | far |\n| --- | --- | --- | --- | --- |")
    for name, method in methods.items():
        for score in validation(method):
            print(f"| {score.name} | {name} | {score.fault:.3f} | {score.near:.3f} | {score.far:.3f} |", flush=True)


if __name__ == "__main__":
    main()
