"""What a regulariser makes of the vectors of `microflow`, whose errors are smooth and come with a sigma.

    python benchmarks/regularised_microflow.py VALIDATION.tsi [--only 'log_tv*'] [--pairs 24] [--seed 1]

Pairs over the validation places are measured once, with the packaged weights and their sigma, and smoothed by every
setting. The price in the earthquake preset was chosen by this table; the reference cases had no say. One row per
setting: mean errors in px of each class, scored as the reference cases are, and CPU seconds per million vectors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from methods import machine
from validation_pairs import SCORES, SEED, Known, measured, scores

from terrashift.estimators.microflow import MicroFlow
from terrashift.recipe import usual_regulariser
from terrashift.regularise.base import Regulariser
from terrashift.regularise.blocks import regularise_whole
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv
from terrashift.train.validate import CLASSES

STRENGTHS_PX = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
EDGES_PX = (0.01, 0.03, 0.1, 0.2)
MORE_ROUNDS = 5


def settings() -> dict[str, Regulariser]:
    """Everything that is tried, by its name in the table."""
    preset = usual_regulariser("microflow")
    found: dict[str, Regulariser] = {"none": Off(), "preset": preset}
    found |= {f"quadratic {reach:g}": Quadratic(reach=reach) for reach in (0.5, 1.0, 2.0)}
    found |= {f"tv {strength:g}": Tv(strength_px=strength) for strength in STRENGTHS_PX}
    for strength in STRENGTHS_PX:
        found |= {f"log_tv {strength:g}, edge {e:g}": LogTv(strength_px=strength, edge_px=e) for e in EDGES_PX}
    more = preset.model_copy(update={"rounds": MORE_ROUNDS})
    blind = preset.model_copy(update={"by_sigma": False})
    return found | {f"preset, {MORE_ROUNDS} rounds": more, "preset, no sigma": blind}


def row(name: str, regulariser: Regulariser, flows: Sequence[Known]) -> str:
    """Smooth every flow and score it."""
    found, start = {size: [] for size in CLASSES}, time.process_time()
    smooth = [regularise_whole(regulariser, known.flow) for known in flows]
    seconds = 1e6 * (time.process_time() - start) / sum(flow.score.numel() for flow in smooth)
    for known, flow in zip(flows, smooth, strict=True):
        found[known.size].append(scores(known.case, flow))
    cells = [" / ".join(f"{value:.4f}" for value in np.nanmean(part, 0)) for part in found.values()]
    return f"| {name} | {' | '.join(cells)} | {seconds:.1f} |"


def main() -> None:
    """Read the command line, measure, smooth, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="validation imagery, as `terrashift pack` writes it")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of settings, such as 'tv*'")
    parser.add_argument("--pairs", type=int, default=24, help="of each class")
    parser.add_argument("--size", type=int, default=256, help="side of a pair, px")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = measured(options.archive, MicroFlow(), options.pairs, options.size, options.seed)
    flows = [known for known in every if known.case.fault.any()]
    print(
        f"{len(flows)} pairs of {options.size} px, seed {options.seed}; each cell: {' / '.join(SCORES)}; {machine()}\n"
    )
    print(f"| setting | {' | '.join(CLASSES)} | CPU-s per million |\n| --- {'| --- ' * (1 + len(CLASSES))}|")
    for name, regulariser in settings().items():
        if any(fnmatch(name, pattern) for pattern in options.only):
            print(row(name, regulariser, flows), flush=True)


if __name__ == "__main__":
    main()
