"""Peak memory of `terrashift measure` on a large pair, beside the limit that it was given.

    python benchmarks/memory.py --size 6000 --max-memory 800MB 1500MB 3GiB
    python benchmarks/memory.py --size 30000 --mosaic --max-memory 3GiB --methods frequency --step 16

A pair of tiled uint16 GeoTIFFs is generated in a temporary folder (or in --folder, where it is kept); with --mosaic a
VRT that repeats one tile, so that an image of any size takes a few megabytes of disk. The command runs as a child
process, and it and all its own children are watched through /proc, so Linux only:

* resident: the kernel's high-water mark (VmHWM), which also counts pages of libraries and files that the system can
  drop at any time;
* own: RssAnon plus RssShmem, what the processes themselves wrote, summed over all;
* PSS: the resident pages, those shared with other processes counted by their share, summed over all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from methods import machine

from terrashift.resources import parse_bytes
from terrashift.simulate.scene import procedural_scene

PATCH_PX = 1000  # drawn once and repeated, mirrored, so that it joins
MOVED_PX = (2, 1)  # rows, columns: whole pixels are enough to keep the search busy
SEED = 5
POLL_S = 0.1
PLACE = "500000, 10, 0, 4000000, 0, -10"
CRS = "EPSG:32631"


class Run(NamedTuple):
    """What a child process, with all that it started, took."""

    resident_bytes: int
    own_bytes: int
    pss_bytes: int
    cpu_s: float
    wall_s: float
    exit_code: int
    said: str
    """The end of what it wrote."""


def generate(folder: Path, size_px: int, mosaic: bool = False) -> tuple[Path, Path]:
    """Write two images of `size_px` squared, whole or as a mosaic of one tile each."""
    import rasterio
    from affine import Affine

    scene = procedural_scene(PATCH_PX, PATCH_PX, SEED)
    side = 2 * PATCH_PX if mosaic else size_px
    shape = {"height": side, "width": side, "count": 1, "dtype": "uint16"}
    place = {"crs": CRS, "transform": Affine(10, 0, 5e5, 0, -10, 4e6)}
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    paths = []
    for name, picture, moved in zip(("before", "after"), scene, ((0, 0), MOVED_PX), strict=True):
        patch = (picture[0].numpy() * 10_000).round().astype(np.uint16)
        wide = np.pad(patch, [(0, (-(-side // PATCH_PX) - 1) * PATCH_PX)] * 2, mode="symmetric")
        path = folder / f"{name}.tif"
        with rasterio.open(path, "w", **shape, **place, **layout) as dataset:
            dataset.write(np.roll(wide, moved, (0, 1))[:side, :side], 1)
        paths.append(_mosaic(path, size_px, side) if mosaic else path)
    return paths[0], paths[1]


def _mosaic(tile: Path, size_px: int, side: int) -> Path:
    """A VRT of `size_px` squared that repeats a tile."""
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{tile.name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{min(side, size_px - left)}" ySize="{min(side, size_px - top)}"/>'
        f'<DstRect xOff="{left}" yOff="{top}" xSize="{min(side, size_px - left)}" ySize="{min(side, size_px - top)}"/>'
        "</SimpleSource>"
        for top in range(0, size_px, side)
        for left in range(0, size_px, side)
    )
    path = tile.with_suffix(".vrt")
    path.write_text(
        f'<VRTDataset rasterXSize="{size_px}" rasterYSize="{size_px}"><SRS>{CRS}</SRS>'
        f"<GeoTransform>{PLACE}</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1">{sources}</VRTRasterBand></VRTDataset>'
    )
    return path


def watch(command: list[str], **more: Any) -> Run:
    """Run a command and follow its memory until it ends; `more` goes to `subprocess.Popen`."""
    start, resident, own, pss, turn = time.monotonic(), 0, 0, 0, 0
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, **more)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            family = list(_family(child.pid))
            found = [_numbers(f"/proc/{one}/status") for one in family]
            resident = max(resident, sum(one.get("VmHWM", 0) for one in found))
            own = max(own, sum(one.get("RssAnon", 0) + one.get("RssShmem", 0) for one in found))
            if turn % 5 == 0:  # the kernel walks all pages for it
                pss = max(pss, sum(_numbers(f"/proc/{one}/smaps_rollup").get("Pss", 0) for one in family))
            turn += 1
            time.sleep(POLL_S)
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        return Run(resident, own, pss, cpu, time.monotonic() - start, child.returncode, log.read()[-600:])


def _family(pid: int) -> Iterator[int]:
    """A process and all that it started and that still live."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from _family(int(child))


def _numbers(path: str) -> dict[str, int]:
    """The sizes in a file of /proc, in bytes; nothing once the process is gone."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    rows = (line.replace(":", " ").split() for line in lines)
    return {row[0]: 1024 * int(row[1]) for row in rows if len(row) == 3 and row[2] == "kB"}


def measure_command(before: Path, after: Path, output: Path, limit: str, extra: list[str]) -> list[str]:
    """The command line of one run."""
    head = [sys.executable, "-m", "terrashift", "measure", str(before), str(after), "-o", str(output)]
    return [*head, "--overwrite", "--max-memory", limit, *extra]


def main() -> None:
    """Read the command line, generate, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=6000, help="side of the images, px")
    parser.add_argument("--mosaic", action="store_true", help="one tile, repeated")
    parser.add_argument("--max-memory", nargs="+", default=["800MB", "1500MB", "3GiB"], help="limits to try")
    parser.add_argument("--folder", type=Path, help="where the pair goes and stays")
    parser.add_argument("--methods", nargs="+", default=["frequency", "spatial"])
    parser.add_argument("--step", type=int, default=8, help="distance between measurements, px")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further flags of the command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        before, after = generate(folder, options.size, options.mosaic)
        print(f"{options.size} x {options.size} px uint16, step {options.step}; {machine()}\n")
        print("| method | --max-memory | resident | own | PSS | resident, of the limit | CPU | wall | exit code |")
        print(f"| {'--- | ' * 9}".rstrip())
        for method in options.methods:
            for limit in options.max_memory:
                extra = ["--method", method, "--step", str(options.step), *options.more]
                run = watch(measure_command(before, after, folder / "displacement.tif", limit, extra))
                sizes = " | ".join(f"{size / 2**20:.0f} MiB" for size in run[:3])
                share = run.resident_bytes / parse_bytes(limit)
                times = f"{run.cpu_s:.0f} s | {run.wall_s:.0f} s | {run.exit_code}"
                print(f"| {method} | {limit} | {sizes} | {share:.0%} | {times} |", flush=True)
                if run.exit_code:
                    print(f"\n{run.said}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
