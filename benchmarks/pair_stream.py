"""Pairs per second that the training source makes, and where the time goes.

    python benchmarks/pair_stream.py [ARCHIVE] [--size 128] [--batch 16] [--threads 1 2]

The median of a few batches, on the CPU by threads and on an accelerator where there is one; shares are of wall-clock
time. Targets: 200 pairs of 128 px a second on two cores, 5,000 on a data-centre GPU. Without an archive (see
`terrashift pack`) noise is packed: what the pixels hold costs nothing. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from methods import machine

from terrashift.simulate import stream as source
from terrashift.simulate.archive import Archive, View
from terrashift.simulate.stream import Stream, StreamOptions

PARTS = {
    "draw_fields": "fields",
    "sample_moved": "sampling",
    "sample_shifted": "sampling",
    "alter": "radiometry",
    "_turned": "turning",
}
"""Functions of the stream, and what their time is told as; the rest is choice of places and overhead."""
TARGETS = {"cpu": 200.0, "cuda": 5000.0}
PLACES, SIDE_PX = 12, 700
WARM_UP = 2


class Speed(NamedTuple):
    """How fast pairs come."""

    pairs_per_s: float
    per_cpu_s: float
    """Pairs in a second of processor time, which busy neighbours do not share."""
    shares: dict[str, float]
    """Of the time, by part."""


def noise_archive() -> Archive:
    """Places of two dates that hold noise."""
    random = np.random.default_rng(0)
    dates, shifts = ("2020-01-01", "2021-01-01"), ((0.0, 0.0), (0.4, -0.3))
    views = [
        View(f"noise {k}", f"noise {k}", "grey", "train", "none", "CC0", 10.0, dates, shifts, SIDE_PX, SIDE_PX + 40)
        for k in range(PLACES)
    ]
    return Archive.of(
        (view, [random.normal(size=(view.height, view.width)).astype(np.float32) for _ in dates]) for view in views
    )


def wait(device: str) -> None:
    """Until the device has done what it was asked."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def speed(stream: Stream, batch: int, repeat: int) -> Speed:
    """Median rate of `repeat` batches, and the shares of their parts in as many more."""
    times, processor = [], []
    for number in range(repeat + WARM_UP):
        wait(stream.device)
        began, used = time.perf_counter(), time.process_time()
        stream.batch(number, batch)
        wait(stream.device)
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    spent: dict[str, float] = defaultdict(float)
    with timed(stream.device, spent):
        began = time.perf_counter()
        for number in range(repeat):
            stream.batch(number, batch)
        wait(stream.device)
        whole = time.perf_counter() - began
    shares = {part: spent[part] / whole for part in dict.fromkeys(PARTS.values())}
    rates = (batch / statistics.median(seconds[WARM_UP:]) for seconds in (times, processor))
    return Speed(*rates, shares)


@contextmanager
def timed(device: str, spent: dict[str, float]) -> Iterator[None]:
    """Add up the time that the parts of a stream take."""
    kept = {name: getattr(source, name) for name in PARTS}
    for name, function in kept.items():
        setattr(source, name, watched(function, PARTS[name], device, spent))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(source, name, function)


def watched(function: Callable[..., Any], part: str, device: str, spent: dict[str, float]) -> Callable[..., Any]:
    """The function, its time added to that of its part."""

    def call(*args: Any, **options: Any) -> Any:
        wait(device)
        began = time.perf_counter()
        result = function(*args, **options)
        wait(device)
        spent[part] += time.perf_counter() - began
        return result

    return call


def line(name: str, found: Speed, target: float) -> str:
    """One row of the table."""
    shares = " | ".join(f"{share:.0%}" for share in found.shares.values())
    rest = f"{max(0.0, 1 - sum(found.shares.values())):.0%}"
    verdict = "yes" if found.pairs_per_s >= target else "**no**"
    rates = f"{found.pairs_per_s:,.0f} | {found.per_cpu_s:,.0f}"
    return f"| {name} | {rates} | {target:,.0f} | {verdict} | {shares} | {rest} |"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?", help="packed imagery")
    parser.add_argument("--size", type=int, default=128, help="side of a pair, px")
    parser.add_argument("--batch", type=int, default=16, help="pairs a batch on the CPU")
    parser.add_argument("--cuda-batch", type=int, default=256, help="pairs a batch on an accelerator")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads on the CPU")
    parser.add_argument("--repeat", type=int, default=15, help="batches of which the median counts")
    options = parser.parse_args()
    archive = Archive.load(options.archive) if options.archive else noise_archive()
    settings = StreamOptions(size_px=options.size)
    print(f"pairs of {options.size} px; {len(os.sched_getaffinity(0))} core(s) allowed, {machine()}\n")
    print(
        f"| device | pairs/s | per CPU-second | target | holds | {' | '.join(dict.fromkeys(PARTS.values()))} | rest |"
    )
    print("| --- " * (6 + len(set(PARTS.values()))) + "|")
    stream = Stream(archive, settings)
    for threads in options.threads:
        torch.set_num_threads(threads)
        found = speed(stream, options.batch, options.repeat)
        print(line(f"CPU, {threads} thread(s)", found, TARGETS["cpu"]), flush=True)
    if torch.cuda.is_available():
        found = speed(Stream(archive, settings, device="cuda"), options.cuda_batch, options.repeat)
        print(line(torch.cuda.get_device_name(), found, TARGETS["cuda"]))
    print(f"\nafterwards: {machine()}")


if __name__ == "__main__":
    main()
