"""Pairs over the validation places whose motion is known, as an estimator measures them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from methods import measure

from terrashift.core.field import Flow
from terrashift.estimators.base import Estimator
from terrashift.evaluate.case import Answer, Case, pair_of
from terrashift.evaluate.reference import ZONES
from terrashift.simulate.archive import Archive
from terrashift.train.validate import Validation

SEED = 20_000_202
"""Not the seed of the pairs on which a training run looks at itself and calibrates its sigma."""
SCORES = ("epe_fault", "epe_near", "epe_far", "smooth_far")


class Known(NamedTuple):
    """A pair, its truth, and what was measured on it."""

    size: str
    """Class of its motion."""
    case: Case
    flow: Flow


def measured(archive: Path, estimator: Estimator, pairs: int, size_px: int, seed: int = SEED) -> Iterator[Known]:
    """Measure so many pairs of each class, the range of the search found by the coarse pass."""
    for size, batches in Validation(Archive.load(archive), pairs, size_px, "cpu", seed).sets.items():
        every = (torch.cat(parts)[:pairs] for parts in zip(*batches, strict=True))
        for before, after, truth, trace, _ in zip(*every, strict=True):
            case = Case(pair_of(before, after), truth.numpy(), trace.numpy())
            yield Known(size, case, measure(estimator, case.source).flow)


def scores(case: Case, flow: Flow) -> list[float]:
    """`SCORES`, as the reference cases are judged."""
    found = ZONES.judge(case, Answer(flow.xy.numpy()))
    return [found[name] for name in SCORES]
