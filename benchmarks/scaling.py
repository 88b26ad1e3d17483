"""How the processor time of `terrashift measure` grows with the number of pixels.

    python benchmarks/scaling.py --sizes 2000 4000 8000 --more --method frequency --step 16

Every size is measured by the command itself, as a child process, and a pair of 64 px tells what a start costs, which is
taken off. The exponent is the slope of log(CPU seconds) over log(pixels); 1 is linear.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
from memory import Run, generate, measure_command, watch
from methods import machine

START_PX = 128


def run(folder: Path, size_px: int, more: list[str]) -> Run:
    """Measure a mosaic of this size."""
    place = folder / str(size_px)
    place.mkdir()
    before, after = generate(place, size_px, mosaic=size_px > START_PX)
    return watch(measure_command(before, after, place / "d.tif", "3GiB", ["--threads", "1", *more]))


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 4000, 8000])
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further flags of the command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = run(folder, START_PX, options.more)
        print(f"{' '.join(options.more) or 'defaults'}; a start costs {start.cpu_s:.1f} CPU-s; {machine()}\n")
        print("| side, px | CPU, s | less the start | per megapixel | own memory | exit code |")
        print(f"| {'--- | ' * 6}".rstrip())
        seconds = []
        for size in options.sizes:
            found = run(folder, size, options.more)
            seconds.append(found.cpu_s - start.cpu_s)
            rate = f"{seconds[-1] * 1e6 / size**2:.2f} | {found.own_bytes / 2**20:.0f} MiB | {found.exit_code}"
            print(f"| {size} | {found.cpu_s:.1f} | {seconds[-1]:.1f} | {rate} |", flush=True)
        logs = [2 * math.log(size) for size in options.sizes], [math.log(max(s, 1e-3)) for s in seconds]
        print(f"\nexponent: {np.polyfit(*logs, 1)[0]:.2f}")


if __name__ == "__main__":
    main()
