"""Kill `terrashift measure` at random moments, resume it, and compare the result with that of a run left alone.

    python benchmarks/kills.py --kills 10 --seed 1

`kill -9` at ten moments drawn from the whole of a run: while it measures, smooths, or writes the result; every run goes
on from the one before. While a run lives, a second one on the same output must be refused, and once it is killed not.
Runs are forked from this process, which has imported everything, so that the moments fall into the work. Not for
Windows.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import rasterio
import torch
from memory import generate
from methods import machine

from terrashift import cli
from terrashift.io.store_folder import work_folder

METHOD = "--method frequency --window 16 --start-window-px 32 --step 4 --search-px 2 --tile-px 64 --threads 1"
SMOOTHED = "--regularize log_tv --strength-px 0.1 --device cpu"


class Runs:
    """Starts runs of one pair."""

    def __init__(self, folder: Path, size_px: int) -> None:
        self.pair, self.folder = generate(folder, size_px), folder

    def start(self, output: Path, *more: str):
        """A run in a process of its own."""
        words = [*(str(path) for path in self.pair), "-o", str(output), *METHOD.split(), *SMOOTHED.split(), *more]
        child = get_context("fork").Process(target=_measure, args=(words, str(self.folder / "said.txt")))
        child.start()
        return child

    def to_the_end(self, output: Path, *more: str) -> tuple[int | None, str]:
        """Exit code, and the end of what it said."""
        child = self.start(output, *more)
        child.join()
        return child.exitcode, (self.folder / "said.txt").read_text().strip()

    def left_alone(self, output: Path) -> float:
        """Run to the end; seconds from the first tile on."""
        child = self.start(output)
        start = begun(child, output)
        child.join()
        if child.exitcode or start is None:
            raise SystemExit(f"the run left alone ended with {child.exitcode}")
        return time.monotonic() - start

    def killed(self, output: Path, more: int, after_s: float) -> bool:
        """Go on, and kill so long after so many more tiles are finished; whether the run lived until then."""
        before = sum(kept(output))
        child = self.start(output, "--resume")
        while child.is_alive() and sum(kept(output)) < before + more:
            time.sleep(0.005)
        time.sleep(after_s)
        child.kill()
        child.join()
        return child.exitcode == -signal.SIGKILL

    def refused(self, output: Path) -> str:
        """What a second run says while a first one lives, which is killed then."""
        first = self.start(output)
        begun(first, output)
        os.kill(first.pid, signal.SIGSTOP)  # so that it lives for as long as the second one takes to look
        code, said = self.to_the_end(output, "--resume")
        first.kill()
        first.join()
        if code != 1 or f"process {first.pid} is working on" not in said:
            raise SystemExit(f"a second run was not refused: exit code {code}, {said}")
        return said.splitlines()[-1]


def _measure(words: list[str], said: str) -> None:
    """What a child does."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    code = cli.main(["measure", *words])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def begun(child, output: Path) -> float | None:
    """When the run has its working folder; None where it ended before."""
    while child.is_alive():
        if (work_folder(output) / "manifest.json").exists():
            return time.monotonic()
        time.sleep(0.005)
    return None


def kept(output: Path) -> list[int]:
    """Finished tiles in each pass."""
    return [len(list(place.glob("[0-9]*"))) for place in sorted(work_folder(output).glob("**/done"))]


def bits(path: Path) -> bytes:
    """All values of a file."""
    with rasterio.open(path) as dataset:
        return dataset.read().tobytes()


def main() -> None:
    """Read the command line, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--size", type=int, default=600, help="side of the images, px")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs, output, alone = Runs(folder, options.size), folder / "killed.tif", folder / "alone.tif"
        span = runs.left_alone(alone)
        print(f"{options.size} px, {options.kills} kills over {span:.1f} s of work; {machine()}", flush=True)
        print(f"a second run: {runs.refused(output)}", flush=True)
        hits = 0
        for number in range(options.kills):
            # every run goes on from the last, so that ten pieces of the work make the whole
            more, after = chance.randint(0, 2), chance.uniform(0, span / options.kills)
            hits += runs.killed(output, more, after)
            print(
                f"kill {number + 1}: {more} tiles and {after:.2f} s in; kept in each pass: {kept(output)}", flush=True
            )
            if output.exists() and not work_folder(output).exists():
                break
        code, said = runs.to_the_end(output, "--resume", "--overwrite")
        same = code == 0 and bits(output) == bits(alone)
        print(
            f"{hits} runs killed alive; the data are {'the same, byte for byte' if same else f'NOT THE SAME: {said}'}"
        )
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
