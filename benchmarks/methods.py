"""The settings that are compared, the original programs they are held against, and how a pair is measured."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import torch
from affine import Affine
from jaxtyping import Float
from torch import Tensor

from terrashift.core.field import Flow
from terrashift.core.grid import Grid
from terrashift.core.image import Image, Pair
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Estimator, Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.spatial import Spatial
from terrashift.regularise.base import Regulariser
from terrashift.regularise.blocks import regularise_whole
from terrashift.regularise.off import Off

OFF = Off()


class Method(NamedTuple):
    """An estimator as it is compared, and the original program with the same settings."""

    estimator: Estimator
    search: Search
    """Used where no automatic search is asked for."""
    peer: str
    """Folder of the original program's results on the reference cases."""
    regulariser: Regulariser = OFF


METHODS = {
    "frequency 32": Method(Frequency(window_px=32, step_px=1), Search((0, 0), (5, 5)), "cosicorr_32_s1"),
    # without a price, but with the limit on slopes that the original keeps too (0.4 px per px)
    "spatial 15x15 reg 0": Method(Spatial(window_px=15, reg=0.0), Search((0, 0), (5, 5)), "micmac_15x15_noreg"),
    "spatial 9x9 reg 0.3": Method(Spatial(window_px=9, reg=0.3), Search((0, 0), (5, 5)), "micmac_9x9_reg0.3"),
    "microflow": Method(MicroFlow(), Search((0, 0), (4, 4)), "cosicorr_32_s1"),
}
"""What the accuracy tests hold to its bars."""


class Measured(NamedTuple):
    """A flow, where it was looked for and what it cost."""

    flow: Flow
    search: Search
    cpu_s: float


def source_of(
    before: Float[Tensor, "height width"],
    after: Float[Tensor, "height width"],
    transform: Affine | None = None,
) -> ArrayPair:
    """Two arrays on one grid: in pixels, or in metres (EPSG:32631) where `transform` says how large a pixel is."""
    grid = Grid(*before.shape, transform or Affine.identity(), "EPSG:32631" if transform else None)
    return ArrayPair(Pair(Image(before[None].float(), grid), Image(after[None].float(), grid)))


def measure(
    estimator: Estimator, source: ArrayPair, search: Search | None = None, regulariser: Regulariser = OFF
) -> Measured:
    """Measure in one thread; without `search` the range is found by the coarse pass, whose time counts."""
    start = time.process_time()
    if search is None:
        from terrashift.estimators.search import SearchOptions, choose_search, coarse_motion

        search = choose_search(coarse_motion(source, "cpu"), SearchOptions())
    flow = regularise_whole(regulariser, measure_whole(estimator, source, search))
    return Measured(flow, search, time.process_time() - start)


def stepped(estimator: Estimator, step_px: int) -> Estimator:
    """The same estimator at every `step_px`-th pixel."""
    return estimator.model_copy(update={"step_px": step_px})


def machine() -> str:
    """What a time was measured on, and how busy that was."""
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} cores, load average {load}, {threads} thread(s), torch {torch.__version__}"
