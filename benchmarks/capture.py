"""How much motion does a network find by itself, and how well?

    python benchmarks/capture.py validation.tsi --weights searaft

Whole crops of two dates move by up to so many px along each axis; printed are the median and the 90th percentile of
the length of the error, px, farther than 32 px from the crop's rim, without a start from a coarse pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from methods import machine

from terrashift.estimators.networks import network
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.stream import Stream, StreamOptions
from terrashift.train.pupils import answer

RIM_PX = 32
SEED = 7


def main() -> None:
    """Print a line for each largest motion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--weights", default="searaft")
    parser.add_argument("--up-to", type=float, nargs="+", default=[0.01, 1, 2, 3, 4, 5, 6, 8], metavar="PX")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--size", type=int, default=192, help="their side, px")
    given = parser.parse_args()
    torch.set_grad_enabled(False)
    net, archive = network(given.weights, "cpu"), Archive.load(given.archive)
    print(machine())
    print("| up to, px | median error | 90 % |\n| --- | --- | --- |")
    for largest in given.up_to:
        still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=largest, smooth_px=0.01)
        stream = Stream(archive, StreamOptions(size_px=given.size, batch=1, shifted_share=0.0, fields=still), SEED)
        errors = []
        for batch in map(stream.batch, range(given.pairs)):
            found = answer(net, batch.before[:, None], batch.after[:, None]).flow.float()
            errors.append((found - batch.flow)[..., RIM_PX:-RIM_PX, RIM_PX:-RIM_PX].norm(dim=1).flatten())
        error = torch.cat(errors)
        print(f"| {largest:g} | {error.median():.2f} | {error.quantile(0.9):.2f} |", flush=True)


if __name__ == "__main__":
    main()
