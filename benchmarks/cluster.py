"""What a run costs tile by tile, what a scheduler adds, and what many large pairs would take.

    python benchmarks/cluster.py [--size 2048] [--jobs default frequency-4] [--tasks 2000]

A pair of uint16 GeoTIFFs is generated and measured by one process of one thread, whose CPU time and files are noted as
tiles are finished. Then a scheduler and one worker are started here and given tasks that do nothing. The last table
scales both to `--pairs` pairs of `--side` pixels squared: it is arithmetic, no measurement.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from memory import generate
from methods import machine

from terrashift.cluster.orders import MeasureOrder
from terrashift.cluster.sight import code_hash
from terrashift.core.tiles import Tile, plan_tiles
from terrashift.estimators.base import Search
from terrashift.estimators.frequency import Frequency
from terrashift.io.raster import open_pair
from terrashift.io.store_folder import work_folder
from terrashift.pipeline import measure
from terrashift.recipe import Recipe
from terrashift.regularise.blocks import BLOCK
from terrashift.resources import RunOptions
from terrashift.watch import Watch

RUN = RunOptions(threads=1, device="cpu")
JOBS = {
    "default": Recipe(run=RUN),
    "frequency-4": Recipe(estimate=Frequency(window_px=32, step_px=4), run=RUN),
}
HOUR_S = 3600


class Mark(NamedTuple):
    """The state of the process at one moment."""

    cpu_s: float
    read_bytes: int

    @classmethod
    def now(cls) -> Mark:
        """CPU time and bytes read so far, those from the system's cache too (Linux)."""
        text = Path("/proc/self/io").read_text()
        return cls(time.process_time(), int(text.split("rchar:")[1].split()[0]))


class Cost(NamedTuple):
    """One pair, measured."""

    tiles: tuple[int, int]
    """Of the measuring and of the smoothing."""
    before_s: float
    """CPU of checks, checksums and the coarse pass."""
    tile_s: tuple[float, float]
    """CPU of all tiles of each pass."""
    after_s: float
    """CPU of writing the result, reading it back, and its picture."""
    tile_read: tuple[int, int]
    """Bytes read for all tiles of each pass."""
    stored: tuple[int, int]
    """Bytes of the working store of each pass."""
    result: int
    """Bytes of the GeoTIFF."""
    peak: int
    """Resident memory of the process, at most so far."""


class Task(NamedTuple):
    """What a task costs beside its work."""

    order_bytes: int
    client_s: float
    """CPU of client and scheduler, which share a process here."""
    wall_s: float


def cost_of(recipe: Recipe, pair: tuple[Path, Path], folder: Path) -> Cost:
    """Measure a pair and note what its parts took."""
    source, output = open_pair(*map(str, pair)), folder / "x.tif"
    grid = source.grid.every(recipe.estimator.step_px)
    first = len(list(plan_tiles(grid.shape, recipe.run.tile_side(recipe.estimator, source.grid))))
    second = len(list(plan_tiles(grid.shape, BLOCK))) if recipe.regularises else 0
    marks: dict[int, Mark] = {}
    sizes: list[int] = []

    def tiles(done: int, total: int) -> None:
        marks[done] = Mark.now()
        if done == total == first + second:
            store = work_folder(output)
            sizes.extend(size_of(place / "field.zarr") for place in (store, store / "next-pass"))

    start = Mark.now()
    measure(*map(str, pair), output, recipe, overwrite=True, watch=Watch(tiles=tiles))
    end = Mark.now()
    begun, middle, last = marks[0], marks[first], marks[first + second]
    return Cost(
        (first, second),
        begun.cpu_s - start.cpu_s,
        (middle.cpu_s - begun.cpu_s, last.cpu_s - middle.cpu_s),
        end.cpu_s - last.cpu_s,
        (middle.read_bytes - begun.read_bytes, last.read_bytes - middle.read_bytes),
        (sizes[0], sizes[1]),
        output.stat().st_size,
        high_water(),
    )


def make(folder: Path) -> Path:
    """A folder that is there."""
    folder.mkdir(exist_ok=True)
    return folder


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def high_water() -> int:
    """VmHWM of this process, bytes."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def nothing(order: MeasureOrder, tile: Tile) -> None:
    """A tile that costs nothing."""


def task_cost(pair: tuple[Path, Path], count: int) -> Task:
    """Send tasks with real orders to a worker that does nothing with them."""
    from distributed import Client, LocalCluster, wait

    found = open_pair(*map(str, pair))
    order = MeasureOrder("ticket", code_hash(), "/some/folder/x.tif.terrashift-work", found, JOBS["default"], Search())
    tile = next(plan_tiles((1000, 1000), 1000))
    quiet: dict[str, Any] = {"dashboard_address": None, "host": "127.0.0.1", "memory_limit": None}
    with LocalCluster(n_workers=1, threads_per_worker=1, **quiet) as cluster, Client(cluster) as client:
        client.submit(nothing, order, tile, key="first").result()  # the worker imports what it needs
        cpu, wall = time.process_time(), time.monotonic()
        wait([client.submit(nothing, order, tile, key=("nothing", number), pure=False) for number in range(count)])
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return Task(len(pickle.dumps((order, tile))), cpu / count, wall / count)


def cost_lines(name: str, cost: Cost, megapixels: float) -> list[str]:
    """Rows of the first table."""
    lines = []
    for number, what in ((0, "measuring"), (1, "smoothing")):
        if count := cost.tiles[number]:
            per = cost.tile_s[number] / count, cost.tile_read[number] / count / 1e6, cost.stored[number] / count / 1e6
            total = cost.tile_s[number] / megapixels
            lines.append(f"| {name} | {what} | {count} | {per[0]:.2f} | {total:.2f} | {per[1]:.1f} | {per[2]:.2f} |")
    return lines


def scaled(name: str, cost: Cost, task: Task, share: float, options: argparse.Namespace) -> str:
    """A row of the last table: `share` times the pair that was measured, for all pairs."""
    pairs, side = options.pairs, options.side
    recipe = JOBS[name]
    step = recipe.estimator.step_px
    measured = -(-(side - step // 2) // step)
    tile = recipe.run.tile_px or 1024
    blocks = -(-tile // recipe.estimator.block_px) * recipe.estimator.block_px
    tasks = (-(-side // blocks)) ** 2 + (-(-measured // BLOCK)) ** 2 * bool(cost.tiles[1])
    tile_h, own_h = (pairs * share * s / HOUR_S for s in (sum(cost.tile_s), cost.before_s + cost.after_s))
    stored, result = share * sum(cost.stored) / 1e9, share * cost.result / 1e9
    handed = pairs * tasks * task.client_s / HOUR_S
    cells = [
        f"{tasks} | {pairs * tasks / 1e6:.2f} M",
        f"{tile_h:,.0f} | {own_h:,.0f} | {handed:.1f}",
        f"{stored:.2f} | {result:.2f} | {pairs * result / 1e3:.1f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="side of the pair that is measured, px")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--tasks", type=int, default=2000, help="tasks that do nothing")
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs that are scaled to")
    parser.add_argument("--side", type=int, default=10_980, help="side of these, px")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.size} x {options.size} px, one thread; {machine()}\n")
    share = (options.side / options.size) ** 2
    with tempfile.TemporaryDirectory() as place:
        pair = generate(Path(place), options.size)
        for name in options.jobs:  # what is imported and loaded at the first tile does not count
            cost_of(JOBS[name], generate(make(Path(place) / "small"), 300), Path(place))
        costs = {name: cost_of(JOBS[name], pair, Path(place)) for name in options.jobs}
        task = task_cost(pair, options.tasks)
    print("| method | pass | tiles | CPU-s a tile | CPU-s a megapixel | MB read a tile | MB stored a tile |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, cost in costs.items():
        print("\n".join(cost_lines(name, cost, options.size**2 / 1e6)))
    print("\n| method | CPU-s before the tiles | after | result, MB | peak of the process so far, MB |")
    print("| --- | --- | --- | --- | --- |")
    for name, cost in costs.items():
        sizes = f"{cost.result / 1e6:.0f} | {cost.peak / 1e6:.0f}"
        print(f"| {name} | {cost.before_s:.1f} | {cost.after_s:.1f} | {sizes} |")
    print(
        f"\na task that does nothing: {1e3 * task.client_s:.2f} ms CPU of client and scheduler, "
        f"{1e3 * task.wall_s:.2f} ms until the next one, {task.order_bytes} bytes sent\n"
    )
    print(f"scaled to {options.pairs} pairs of {options.side} x {options.side} px (arithmetic):\n")
    heads = "tasks a pair | all tasks | worker CPU-h | client CPU-h | scheduler CPU-h"
    print(f"| method | {heads} | store a pair, GB | result, GB | all, TB |\n|{' --- |' * 9}")
    for name, cost in costs.items():
        print(scaled(name, cost, task, share, options))
    print(f"\nafterwards: {machine()}")


if __name__ == "__main__":
    main()
