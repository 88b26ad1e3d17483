"""Does the sigma that comes with every vector cover the errors it promises to, where it counts?

    python benchmarks/sigma.py VALIDATION.tsi [--method microflow] [--weights NAME]

Pairs over the places of an archive are measured as a user would measure them, with another seed than that of the pairs
on which a training run calibrated its sigma (the places may be the same). Counted are components of vectors, each
pair's median residual removed. The table gives the share of the errors within one sigma and two, by size of the motion,
by thirds of the score and by thirds of sigma; a Laplace distribution has 63 % and 86 %, and the bar is 5 % off.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from methods import machine
from torch import Tensor
from validation_pairs import SEED, Known, measured

from terrashift.analyse.metrics import LAPLACE_SHARES
from terrashift.recipe import METHODS
from terrashift.train.calibrate import Calibration, Coverage, Errors, coverage
from terrashift.train.validate import BORDER_PX

BAR = 0.05
AS_IT_IS = Calibration(0.0, 1.0)
THIRDS = ("least scores", "middle scores", "highest scores")


class Components(NamedTuple):
    """Components of vectors of one class."""

    error: Float[Tensor, " n"]
    """Absolute, px."""
    log_sigma: Float[Tensor, " n"]
    score: Float[Tensor, " n"]

    @property
    def errors(self) -> Errors:
        """What coverage is told from."""
        return Errors(self.error, self.log_sigma)


def components(known: Iterable[Known]) -> dict[str, Components]:
    """All components that have a sigma, by class."""
    found: dict[str, list[Tensor]] = {}
    inner = slice(BORDER_PX, -BORDER_PX)
    for size, case, flow in known:
        rest = flow.xy - torch.from_numpy(case.truth)
        rest = (rest - rest.flatten(1).nanmedian(1).values[:, None, None]).abs()
        part = torch.stack([rest, flow.sigma.log(), flow.score.expand_as(rest)])[..., inner, inner].flatten(1)
        found.setdefault(size, []).append(part[:, part.isfinite().all(0)])
    return {size: Components(*torch.cat(parts, 1)) for size, parts in found.items()}


def covered(found: dict[str, Components]) -> list[Coverage]:
    """Coverage of each class, each third by score, each third by sigma."""
    every = Components(*(torch.cat(parts) for parts in zip(*found.values(), strict=True)))
    order = every.score.argsort().chunk(len(THIRDS))
    thirds = {name: Errors(every.error[k], every.log_sigma[k]) for name, k in zip(THIRDS, order, strict=True)}
    by_class = coverage({size: part.errors for size, part in found.items()}, AS_IT_IS)
    return [*by_class[: len(found)], *coverage(thirds, AS_IT_IS)[: len(thirds)], *by_class[len(found) :]]


def table(lines: Sequence[Coverage]) -> str:
    """Markdown."""
    rows = ["| part | one sigma | two sigma | mean sigma, px | within the bar |", "| --- | --- | --- | --- | --- |"]
    for line in lines:
        holds = all(abs(share - aim) <= BAR for share, aim in zip((line.one, line.two), LAPLACE_SHARES, strict=True))
        verdict = "yes" if holds else "**no**"
        rows.append(f"| {line.name} | {line.one:.1%} | {line.two:.1%} | {line.sigma_px:.3f} | {verdict} |")
    return "\n".join(rows)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="validation imagery, as `terrashift pack` writes it")
    parser.add_argument("--method", choices=METHODS, default="microflow")
    parser.add_argument("--weights", help="of a trained method: a name, or a .safetensors file")
    parser.add_argument("--pairs", type=int, default=32, help="of each class")
    parser.add_argument("--size", type=int, default=256, help="side of a pair, px")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    estimator = METHODS[options.method](**({"weights": options.weights} if options.weights else {}))
    found = components(measured(options.archive, estimator, options.pairs, options.size, options.seed))
    if not all(part.error.numel() for part in found.values()):
        parser.error(f"{options.method} gives no sigma: take another method")
    print(f"{options.pairs} pairs of {options.size} px a class, seed {options.seed}; {machine()}\n")
    print(table(covered(found)))


if __name__ == "__main__":
    main()
