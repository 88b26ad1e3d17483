"""Does a GPU give the answer of the CPU, and what does it gain?

    python benchmarks/gpu.py [--device cuda] [--size 1024] [--step 1] [--repeat 3] [--only frequency microflow tv]

For every estimator and regulariser: milliseconds per million pixels on the CPU (one thread) and on the device, the
largest memory of the device, and how far the vectors of both lie apart in float32. `--device cpu` proves on any machine
that the script works; all differences are 0 then. A landscape is drawn, its ground moved by a fault.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from methods import source_of

from terrashift.core.field import Flow
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Estimator, Search
from terrashift.estimators.blocks import measure_whole
from terrashift.io.weights import available
from terrashift.recipe import METHODS, REGULARISERS
from terrashift.regularise.blocks import regularise_whole
from terrashift.simulate.scene import procedural_scene

SEARCH = Search((0, 0), (2, 2))
SEED = 3


class Line(NamedTuple):
    """One row of the table."""

    name: str
    cpu_ms: float
    """Per million pixels of the image; likewise `device_ms`."""
    device_ms: float
    device_mib: float
    median_px: float
    """Of the differences between all vectors."""
    most_px: float
    """That 99 of 100 of them stay below."""
    reasons: float
    """Share of places that have a value, or the same reasons for none, on both."""

    def __str__(self) -> str:
        gain = self.cpu_ms / self.device_ms
        return (
            f"| {self.name} | {self.cpu_ms:.0f} | {self.device_ms:.0f} | {gain:.1f}x | {self.device_mib:.0f} | "
            f"{self.median_px:.2g} | {self.most_px:.2g} | {self.reasons:.2%} |"
        )


def estimators(step_px: int) -> dict[str, Estimator]:
    """Every method whose weights are there, in float32."""
    found: dict[str, Estimator] = {}
    for name, method in METHODS.items():
        more = {"precision": "float32"} if "precision" in method.model_fields else {}
        made = method(step_px=step_px, **more)  # pyright: ignore[reportCallIssue]
        needed = {getattr(made, key, None) for key in ("weights", "coarse")} - {None, "none"}
        if needed <= set(available()):
            found[name] = made
        else:
            print(f"left out: {name}, whose weights ({', '.join(map(str, needed))}) are not there")
    return found


def timed(work: Callable[[], Flow], device: str, repeat: int) -> tuple[Flow, float]:
    """An answer and the shortest of a few times it took, seconds; once before to warm up."""
    flow, best = work(), float("inf")
    for _ in range(repeat):
        _wait(device)
        began = time.perf_counter()
        flow = work()
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return flow, best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def compare(name: str, work: Callable[[str], Flow], pixels: int, device: str, repeat: int) -> Line:
    """The same work on the CPU and on the device."""
    on_cpu, cpu_s = timed(lambda: work("cpu"), "cpu", 1)
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    on_device, device_s = timed(lambda: work(device), device, repeat)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0.0
    off = (on_cpu.xy - on_device.xy).abs()
    off = off[off.isfinite()]
    median, most = (float(torch.quantile(off[:: 1 + len(off) // 4_000_000], q)) for q in (0.5, 0.99))
    reasons = float((on_cpu.reasons == on_device.reasons).float().mean())
    scale = 1e9 / pixels
    return Line(name, scale * cpu_s, scale * device_s, peak, median, most, reasons)


def lines(pair: ArrayPair, step_px: int, asked: argparse.Namespace) -> None:
    """Compare everything, and print it as it comes."""
    pixels = pair.grid.height * pair.grid.width
    wanted = set(asked.only or [*METHODS, *REGULARISERS])
    for name, estimator in estimators(step_px).items():
        if name in wanted:

            def measure(device: str, estimator: Estimator = estimator) -> Flow:
                with torch.inference_mode():
                    return measure_whole(estimator, pair, SEARCH, device)

            print(compare(name, measure, pixels, asked.device, asked.repeat), flush=True)
    flow = measure_whole(METHODS["frequency"](step_px=4), pair, SEARCH)
    for name in REGULARISERS:
        if name in wanted and name != "none":
            regulariser = REGULARISERS[name]()

            def smooth(device: str, regulariser=regulariser) -> Flow:
                with torch.inference_mode():
                    return regularise_whole(regulariser, flow, device)

            row = compare(f"{name} (of vectors, step 4)", smooth, flow.score.numel(), asked.device, asked.repeat)
            print(row, flush=True)


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", type=int, default=1024, help="side of the images, px")
    parser.add_argument("--step", type=int, default=1, help="between measurements, px")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="names of estimators and regularisers")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here; --device cpu proves that the script works")
    torch.set_num_threads(1)
    device = torch.cuda.get_device_name(0) if asked.device == "cuda" else "the CPU again"
    machine = f"{platform.processor() or platform.machine()}, one thread; torch {torch.__version__}"
    print(f"{device}; {machine}; {asked.size} px\n")
    print("| what | CPU, ms per Mpx | device, ms per Mpx | gain | device, MiB | median, px | 99 %, px | same reasons |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    scene = procedural_scene(asked.size, asked.size, SEED)
    lines(source_of(scene.before[0], scene.after[0]), asked.step, asked)


if __name__ == "__main__":
    main()
