"""Peak memory of `terrashift measure` on a large pair, beside the limit that it was given.

    python benchmarks/memory.py --size 6000 --max-memory 800MB 1500MB 3GiB

A pair of tiled uint16 GeoTIFFs is generated in a temporary folder (or in --folder, where it is kept), and the command
runs as a child process, whose resident memory the kernel's own high-water mark tells (/proc, so Linux only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from terrashift.runner import parse_bytes
from terrashift.simulate.scene import procedural_scene

PATCH_PX = 1000  # drawn once and repeated, mirrored, so that it joins
MOVED_PX = (2, 1)  # rows, columns: whole pixels are enough to keep the search busy
SEED = 5
POLL_S = 0.05


class Run(NamedTuple):
    """What a child process took."""

    peak_bytes: int
    wall_s: float
    exit_code: int
    said: str
    """The end of what it wrote."""


def generate(folder: Path, size_px: int) -> tuple[Path, Path]:
    """Write two images of `size_px` squared."""
    import rasterio
    from affine import Affine

    scene = procedural_scene(PATCH_PX, PATCH_PX, SEED)
    repeat = -(-size_px // PATCH_PX)
    paths = folder / "before.tif", folder / "after.tif"
    shape = {"height": size_px, "width": size_px, "count": 1, "dtype": "uint16"}
    place = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 4e6)}
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    for path, picture, moved in zip(paths, scene, ((0, 0), MOVED_PX), strict=True):
        patch = (picture[0].numpy() * 10_000).round().astype(np.uint16)
        wide = np.pad(patch, [(0, (repeat - 1) * PATCH_PX)] * 2, mode="symmetric")
        wide = np.roll(wide, moved, (0, 1))[:size_px, :size_px]
        with rasterio.open(path, "w", **shape, **place, **layout) as dataset:
            dataset.write(wide, 1)
    return paths


def watch(command: list[str]) -> Run:
    """Run a command and follow its peak resident memory (VmHWM) until it ends."""
    start, peak = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as child:
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            peak = max(peak, high_water(status))
            time.sleep(POLL_S)
        log.seek(0)
        return Run(peak, time.monotonic() - start, child.returncode, log.read()[-600:])


def high_water(status: Path) -> int:
    """VmHWM of a process in bytes; 0 once it is gone."""
    try:
        lines = status.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def measure_command(before: Path, after: Path, output: Path, limit: str, extra: list[str]) -> list[str]:
    """The command line of one run."""
    head = [sys.executable, "-m", "terrashift", "measure", str(before), str(after), "-o", str(output)]
    return [*head, "--overwrite", "--max-memory", limit, *extra]


def main() -> None:
    """Read the command line, generate, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=6000, help="side of the images, px")
    parser.add_argument("--max-memory", nargs="+", default=["800MB", "1500MB", "3GiB"], help="limits to try")
    parser.add_argument("--folder", type=Path, help="where the pair goes and stays")
    parser.add_argument("--methods", nargs="+", default=["frequency", "spatial"])
    parser.add_argument("--step", type=int, default=8, help="distance between measurements, px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        before, after = generate(folder, options.size)
        print(f"{options.size} x {options.size} px uint16, step {options.step}\n")
        print("| method | --max-memory | peak | of the limit | wall | exit code |")
        print("| --- | --- | --- | --- | --- | --- |")
        for method in options.methods:
            for limit in options.max_memory:
                extra = ["--method", method, "--step", str(options.step)]
                run = watch(measure_command(before, after, folder / "displacement.tif", limit, extra))
                share = run.peak_bytes / parse_bytes(limit)
                cells = f"{limit} | {run.peak_bytes / 1e6:.0f} MB | {share:.0%} | {run.wall_s:.0f} s | {run.exit_code}"
                print(f"| {method} | {cells} |", flush=True)
                if run.exit_code:
                    print(f"\n{run.said}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
