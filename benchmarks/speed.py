"""CPU seconds of each estimator, beside those of the original programs.

    python benchmarks/speed.py [BEFORE AFTER] [--size 1024] [--repeat 3]

One thread, fixed search of 2 px, the best of a few runs. Run it on an idle machine: a busy neighbour slows a core that
it does not even use, and the lines around the table say how busy it was. Without images a landscape is drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from methods import OFF, machine, measure, source_of

from terrashift.core.grid import measured_along
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Estimator, Search
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.spatial import Spatial
from terrashift.io.raster import ReadOptions, open_pair
from terrashift.recipe import usual_regulariser
from terrashift.regularise.base import Regulariser
from terrashift.simulate.scene import procedural_scene

SEARCH = Search()
SEED = 3


class Job(NamedTuple):
    """An estimator, and what the original program takes for the same windows on a machine of this kind."""

    estimator: Estimator
    peer: str
    peer_s: float
    """CPU seconds per million pixels of the image."""
    goal: float
    """How many times cheaper we want to be."""
    regulariser: Regulariser = OFF


JOBS = {
    "frequency 32, step 1": Job(Frequency(window_px=32, step_px=1), "COSI-Corr", 70.0, 2.0),
    "frequency 32, step 4": Job(Frequency(window_px=32, step_px=4), "COSI-Corr", 4.5, 2.0),
    "spatial 9x9 reg 0.3": Job(Spatial(window_px=9, reg=0.3), "MicMac", 200.0, 3.0),
    "spatial 15x15 reg 0": Job(Spatial(window_px=15, reg=0.0), "MicMac", 200.0, 3.0),
    "microflow": Job(MicroFlow(), "COSI-Corr", 70.0, 35.0),
    "microflow + log_tv": Job(MicroFlow(), "COSI-Corr", 70.0, 2.0, usual_regulariser("microflow")),
}


def read_pair(paths: list[Path], size_px: int, options: ReadOptions) -> ArrayPair:
    """The first `size_px` pixels along each axis of two images, or of a procedural landscape."""
    if not paths:
        scene = procedural_scene(size_px, size_px, SEED)
        return source_of(scene.before[0], scene.after[0])
    pair = open_pair(*(str(path) for path in paths), options)
    height, width = (min(n, size_px) for n in pair.grid.shape)
    return source_of(*pair.read(0, 0, height, width))


def line(name: str, job: Job, source: ArrayPair, repeat: int) -> str:
    """One row of the table."""
    height, width = source.grid.shape
    windows = measured_along(height, job.estimator.step_px) * measured_along(width, job.estimator.step_px)
    cpu_s = min(measure(job.estimator, source, SEARCH, job.regulariser).cpu_s for _ in range(repeat))
    per_megapixel = 1e6 * cpu_s / (height * width)
    factor = job.peer_s / per_megapixel
    verdict = "yes" if factor >= job.goal else "**no**"
    numbers = f"{1e6 * cpu_s / windows:.1f} | {per_megapixel:.2f} | {job.peer} {job.peer_s:g}"
    return f"| {name} | {numbers} | {factor:.1f}x | {job.goal:g}x | {verdict} |"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="*", help="two images on one grid")
    parser.add_argument("--band", help="band of both images, by number or name")
    parser.add_argument("--size", type=int, default=1024, help="side of the part that is measured, px")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the fastest counts")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    options = parser.parse_args()
    if len(options.images) not in (0, 2):
        parser.error("give two images, or none")
    torch.set_num_threads(1)
    source = read_pair(options.images, options.size, ReadOptions(band=options.band))
    height, width = source.grid.shape
    print(f"{height} x {width} px, search {SEARCH.radius[0]} px, best of {options.repeat}; {machine()}\n")
    print("| method | CPU-s per million windows | per megapixel | the original | cheaper by | goal | holds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in options.jobs:
        print(line(name, JOBS[name], source, options.repeat), flush=True)
    print(f"\nafterwards: {machine()}")


if __name__ == "__main__":
    main()
