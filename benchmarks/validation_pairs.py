"""Pairs over the validation places whose motion is known, as an estimator measures them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from methods import measure, source_of
from reference_cases import CLASSES, Case

from terrashift.core.field import Flow
from terrashift.estimators.base import Estimator
from terrashift.simulate.archive import Archive
from terrashift.train.validate import Validation

SEED = 20_000_202
"""Not the seed of the pairs on which a training run looks at itself and calibrates its sigma."""


class Known(NamedTuple):
    """A pair, its truth, and what was measured on it."""

    case: Case
    flow: Flow


def measured(archive: Path, estimator: Estimator, pairs: int, size_px: int, seed: int = SEED) -> Iterator[Known]:
    """Measure so many pairs of each class, the range of the search found by the coarse pass."""
    sets = Validation(Archive.load(archive), pairs, size_px, "cpu", seed).sets
    for size, batches in zip(CLASSES, sets.values(), strict=True):  # both from the smallest offset to the largest
        every = (torch.cat(parts) for parts in zip(*batches, strict=True))
        for number, (before, after, truth, trace, _) in enumerate(zip(*every, strict=True)):
            if number == pairs:
                break
            flow = measure(estimator, source_of(before, after)).flow
            images = before.numpy(), after.numpy()
            yield Known(Case(f"{number}_{size}", *images, truth.numpy(), trace.numpy()), flow)
