"""Where the time of a whole `terrashift measure` goes, stage by stage.

    python benchmarks/profile_measure.py --size 4000
    python benchmarks/profile_measure.py --size 4000 --more --method frequency --step 4

One thread, in this process, so that every second has one stage: starting Python with all imports, looking at the pair
(opening, checking, checksums), the coarse search, estimating, keeping tiles, regularising, the GeoTIFF, and the
picture, recipe and summary beside it. A stage does not count what other stages take within it. Every stage but the two
that are the method should stay below 15 % of the time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from memory import generate
from methods import machine

from terrashift import cli, pipeline
from terrashift.io import store

METHOD = ("estimate", "regularise")
MOST = 0.15
STAGES = {
    "look": [(pipeline, "open_pair"), (pipeline, "_look_at"), (pipeline, "provenance")],
    "coarse search": [(pipeline, "_find_search")],
    "estimate": [(pipeline, "run_tiles")],
    "regularise": [(pipeline, "run_regularise")],
    "keep tiles": [
        (pipeline, "_open_store"),
        (store.TileStore, "write"),
        (store.TileStore, "read"),
        (store.TileStore, "window"),
        (store.TileStore, "remove"),
        (store.TileStore, "next_pass"),
    ],
    "GeoTIFF": [(pipeline, "write_field")],
    "picture and summary": [(pipeline, "quicklook"), (pipeline.Accumulator, "add"), (pipeline.Thumbnail, "add")],
}
"""The functions that a stage is in."""


class Clock:
    """Gives every moment to the stage that was entered last."""

    def __init__(self) -> None:
        self.spent = {name: [0.0, 0.0] for name in ("other", *STAGES)}
        self._stack = ["other"]
        self._last = time.process_time(), time.monotonic()

    def tick(self) -> None:
        """Book what has passed since the last call."""
        now = time.process_time(), time.monotonic()
        for k in (0, 1):
            self.spent[self._stack[-1]][k] += now[k] - self._last[k]
        self._last = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book what passes within to a stage."""
        self.tick()
        self._stack.append(name)
        try:
            yield
        finally:
            self.tick()
            self._stack.pop()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is booked to a stage."""

        def timed(*arguments: Any, **more: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **more)

        return timed


def start_up() -> list[float]:
    """(CPU, wall) seconds until a fresh process has imported all that a measurement needs."""
    before, begin = os.times(), time.monotonic()
    program = "import terrashift.cli, terrashift.verbs.measure, terrashift.pipeline, rasterio, zarr"
    subprocess.run([sys.executable, "-c", program], check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return [cpu, time.monotonic() - begin]


def main() -> None:
    """Read the command line, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="side of the images, px")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further flags of `measure`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pair = generate(Path(folder), options.size)
        clock = Clock()
        for name, places in STAGES.items():
            for owner, function in places:
                setattr(owner, function, clock.around(name, getattr(owner, function)))
        words = [*(str(path) for path in pair), "-o", f"{folder}/d.tif", "--threads", "1", "--device", "cpu"]
        if code := cli.main(["measure", *words, *options.more]):
            sys.exit(code)
        clock.tick()
    rows = {"start": start_up(), **clock.spent}
    cpu = sum(row[0] for row in rows.values())
    print(f"\n{options.size} x {options.size} px, {' '.join(options.more) or 'defaults'}; {machine()}\n")
    print("| stage | CPU, s | wall, s | of the CPU |\n| --- | --- | --- | --- |")
    for name, (of_cpu, of_wall) in rows.items():
        over = " **too much**" if name not in METHOD and of_cpu / cpu > MOST else ""
        print(f"| {name} | {of_cpu:.2f} | {of_wall:.2f} | {of_cpu / cpu:.1%}{over} |")
    print(f"| all | {cpu:.2f} | {sum(row[1] for row in rows.values()):.2f} | |")


if __name__ == "__main__":
    main()
