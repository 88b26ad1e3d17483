"""How much of a known misregistration does the linear and deformable network leave, and how long does it take?

Pairs of 256 x 256 px of two real dates (places that training never saw), moved by a translation, an affine map, a
smooth deformation of up to 10 px, or all of them. Landmarks are the places of a lattice of 16 px that
lie in both images. Seconds are those of one thread of the processor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from terrashift.register.network import NetworkOptions, register_by_network
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.stream import Stream, StreamOptions
from terrashift.train.alignment import CLASSES

SEED = 20_000_312
"""Neither that of the pairs on which a training run looks at itself, nor 20_000_311, on which the use of the network
was settled: figures to be published are of pairs that decided nothing."""
SIZE_PX, LATTICE_PX, BORDER_PX = 256, 16, 8
EVERYTHING = FieldOptions(0.1, 14.0, (1.0, 0.0, 0.0, 0.0), shift_px=8.0, smooth_px=0.0, linear_px=6.0, bend_px=10.0)


class Pair(NamedTuple):
    """A pair whose misregistration is known."""

    kind: str
    before: torch.Tensor
    after: torch.Tensor
    flow: torch.Tensor


class Line(NamedTuple):
    """Errors of one way on one class: means over all landmarks of all pairs, px, and seconds a pair."""

    way: str
    kind: str
    dx: float
    dy: float
    ds: float
    median: float
    share: float
    seconds: float


def pairs(archive: Archive, count: int, seed: int = SEED) -> Iterator[Pair]:
    """So many pairs of each class."""
    for kind, fields in {**CLASSES, "all": EVERYTHING}.items():
        options = StreamOptions(size_px=SIZE_PX, fields=fields, one_date_share=0.0, one_date_views=0.0)
        batch = Stream(archive, options, seed).batch(0, count)
        for before, after, flow in zip(batch.before, batch.after, batch.flow, strict=True):
            yield Pair(kind, before, after, flow)


def landmarks(error: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """|dx|, |dy| and their length at the places of the lattice that both images show."""
    at = torch.arange(BORDER_PX, SIZE_PX - BORDER_PX + 1, LATTICE_PX).clamp(max=SIZE_PX - 1)
    place = truth[:, at][:, :, at] + torch.stack(torch.meshgrid(at, at, indexing="xy"))
    inside = ((place >= 0) & (place <= SIZE_PX - 1)).all(0)
    found = error[:, at][:, :, at][:, inside]
    return torch.cat([found.abs(), found.norm(dim=0)[None]]).numpy()


def run(way: str, known: list[Pair], options: NetworkOptions | None) -> list[Line]:
    """Register every pair one way; None leaves them as they are."""
    found: dict[str, list[np.ndarray]] = {}
    initial: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for pair in known:
        began = time.process_time()
        flow = torch.zeros_like(pair.flow)
        if options is not None:
            flow = register_by_network(pair.before, pair.after, options).flow
        seconds[pair.kind] = seconds.get(pair.kind, 0.0) + time.process_time() - began
        found.setdefault(pair.kind, []).append(landmarks(flow - pair.flow, pair.flow))
        initial.setdefault(pair.kind, []).append(float(landmarks(pair.flow, pair.flow)[2].mean()))
    lines = []
    for kind, parts in found.items():
        dx, dy, ds = np.concatenate(parts, 1).mean(1)
        each = [float(part[2].mean()) for part in parts]
        share = sum(each) / sum(initial[kind])
        lines.append(Line(way, kind, dx, dy, ds, float(np.median(each)), share, seconds[kind] / len(parts)))
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="validation imagery of `terrashift pack`")
    parser.add_argument("--pairs", type=int, default=16, help="of each class")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--classes", nargs="+", default=[*CLASSES, "all"])
    parser.add_argument("--weights", default="register")
    parser.add_argument("--passes", type=int, default=NetworkOptions().passes, help="over each level")
    parser.add_argument("--fine-tune", type=int, default=30, help="steps; 0 leaves that line out")
    parser.add_argument("--ways", nargs="+", default=["none", "affine", "deformable", "both", "no start", "fine-tuned"])
    told = parser.parse_args()
    torch.set_num_threads(1)
    known = [pair for pair in pairs(Archive.load(told.archive), told.pairs, told.seed) if pair.kind in told.classes]
    plain = NetworkOptions(weights=told.weights, passes=told.passes)
    ways = {
        "none": None,
        "affine": plain.model_copy(update={"parts": "affine"}),
        "deformable": plain.model_copy(update={"parts": "deformable"}),
        "both": plain,
        "no start": plain.model_copy(update={"start": "none"}),
        "fine-tuned": plain.model_copy(update={"fine_tune": told.fine_tune}),
    }
    names = {"no start": "both, no phase start", "fine-tuned": f"both, {told.fine_tune} steps on the pair"}
    print(f"{told.pairs} pairs of {SIZE_PX} x {SIZE_PX} px of each class, one thread\n")
    print("| way | class | dx | dy | ds | median pair | share of none | s a pair |\n|---|---|---|---|---|---|---|---|")
    for key in told.ways:
        if key == "fine-tuned" and not told.fine_tune:
            continue
        for line in run(names.get(key, key), known, ways[key]):
            numbers = " | ".join(f"{v:.2f}" for v in (line.dx, line.dy, line.ds, line.median))
            print(f"| {line.way} | {line.kind} | {numbers} | {line.share:.3f} | {line.seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
