"""What the regularisers gain on flows with known motion and noise, what they cost, and how well their blocks join.

    python benchmarks/regularisers.py [--size 384] [--scan] [--reference FOLDER]

A rough rupture of 1 px in a smooth far field gets noise of 0.05 to 0.2 px, white and correlated over measurements.
`--scan` shows the settings around the defaults. `--reference` smooths what the original programs measured on the
reference cases (see README.md). One thread.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Bool, Float
from methods import machine
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from validation_pairs import scores

from terrashift.core.field import Flow
from terrashift.core.grid import Grid
from terrashift.evaluate.reference import Reference
from terrashift.recipe import OF_NETWORKS
from terrashift.regularise.base import Regulariser
from terrashift.regularise.blocks import regularise_whole
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv
from terrashift.simulate.rupture import Rupture, displacement

DEFAULTS: dict[str, Regulariser] = {"none": Off(), "quadratic": Quadratic(), "tv": Tv(), "log_tv": LogTv()}
NOISES = [(0.05, 0.0), (0.1, 0.0), (0.2, 0.0), (0.05, 1.5), (0.1, 1.5), (0.1, 4.0)]
"""(standard deviation in px, length of its correlation in measurements)."""
BORDER, FAULT, NEAR = 12, 3, 16
PEERS = ("cosicorr_32_s1", "micmac_15x15_noreg", "micmac_9x9_reg0.3")


class Truth(NamedTuple):
    """A field that is known, and the distance of each pixel to its fault."""

    xy: Float[Tensor, "2 height width"]
    distance: Float[np.ndarray, "height width"]


class Errors(NamedTuple):
    """Mean lengths of the error, pixels, and the mean of |d/dx| + |d/dy| beyond 16 measurements."""

    fault: float
    near: float
    far: float
    rough: float


def rupture_of(size: int, slip_px: float = 1.0, seed: int = 4) -> Truth:
    """A rough trace across the field, the sides dragging along over about 60 px."""
    grid = Grid(size, size, Affine.identity())
    motion = displacement(grid, Rupture(slip_m=slip_px, depth_km=0.06, strike_deg=35, roughness=0.01), seed)
    xy = torch.stack([motion.east, -motion.north])
    return Truth(xy, distance_transform_edt(~motion.trace.numpy()))


def noisy(truth: Truth, sigma_px: float, correlation: float, seed: int = 1) -> Flow:
    """The truth with Gaussian noise, white or smoothed by a Gaussian of `correlation` measurements."""
    size = truth.xy.shape[1:]
    noise = torch.randn(2, *size, generator=torch.Generator().manual_seed(seed))
    if correlation:
        frequency = torch.fft.fftfreq(size[0])[:, None] ** 2 + torch.fft.rfftfreq(size[1]) ** 2
        response = torch.exp(-2 * (math.pi * correlation) ** 2 * frequency)
        noise = torch.fft.irfft2(torch.fft.rfft2(noise) * response, s=size)
    return flow_of(truth.xy + sigma_px * noise / noise.std())


def flow_of(xy: Float[Tensor, "2 height width"]) -> Flow:
    """A flow that knows nothing of its errors; rejected where it is not finite."""
    bad = ~xy.isfinite().all(0)
    xy = torch.where(bad, torch.nan, xy)
    return Flow(xy, torch.full_like(xy, torch.nan), torch.ones(bad.shape), bad.to(torch.uint8) * 4)


def errors(xy: Float[Tensor, "2 height width"], truth: Truth) -> Errors:
    """How far a field is from the truth, by distance to the fault."""
    length = (xy - truth.xy).square().sum(0).sqrt().numpy()
    inner = np.zeros(length.shape, bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    slope = (xy.diff(dim=2)[:, :-1].abs() + xy.diff(dim=1)[:, :, :-1].abs()).sum(0).numpy()

    def mean(of: Float[np.ndarray, "h w"], where: Bool[np.ndarray, "height width"]) -> float:
        return float(of[(where & inner)[: of.shape[0], : of.shape[1]]].mean())

    far = truth.distance > NEAR
    places = truth.distance <= FAULT, truth.distance <= NEAR, far
    return Errors(*(mean(length, place) for place in places), mean(slope, far))


def accuracy(settings: dict[str, Regulariser], size: int) -> Iterator[str]:
    """One row for each noise and each setting."""
    truth = rupture_of(size)
    for sigma, correlation in NOISES:
        flow = noisy(truth, sigma, correlation)
        for name, regulariser in settings.items():
            found = errors(regulariser(flow).xy, truth)
            yield f"| {sigma:g} px, {correlation:g} | {name} | {_cells(found)} |"


def scan(size: int) -> Iterator[str]:
    """Mean error over all noises, relative to the noise, around the defaults."""
    truth = rupture_of(size)
    flows = [(sigma, noisy(truth, sigma, correlation)) for sigma, correlation in NOISES]
    settings: dict[str, Regulariser] = {f"quadratic {reach:g}": Quadratic(reach=reach) for reach in (1, 2, 3, 4)}
    settings |= {f"tv {s:g}": Tv(strength_px=s) for s in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)}
    settings |= {
        f"log_tv {s:g}, edge {e:g}": LogTv(strength_px=s, edge_px=e)
        for s in (0.1, 0.2, 0.3, 0.4)
        for e in (0.05, 0.1, 0.2)
    }
    for name, regulariser in settings.items():
        rows = [np.array(errors(regulariser(flow).xy, truth)) / sigma for sigma, flow in flows]
        yield f"| {name} | {_cells(np.mean(rows, 0))} |"


def reference(folder: Path) -> Iterator[str]:
    """Mean errors of the original programs' flows, as they are and smoothed."""
    suite = Reference(folder)
    for program in suite.programs():
        if program.name not in PEERS:
            continue
        found: dict[tuple[str, str], list[list[float]]] = {}
        for entry in suite.entries():
            case = entry.load()
            answer = program(entry, case)
            for name, regulariser in DEFAULTS.items() if answer else ():
                one = scores(case, regulariser(flow_of(torch.from_numpy(answer.xy))))
                found.setdefault((entry.group, name), []).append(one)
        for (group, name), rows in found.items():
            yield f"| {program.name}, {group} | {name} | {_cells(np.mean(rows, 0))} |"


def cost(size: int) -> Iterator[str]:
    """CPU seconds and peak memory over one block, per million measurements of the block, halo included."""
    for name in ("quadratic", "tv", "log_tv"):
        with get_context("spawn").Pool(1) as pool:
            seconds, peak, promised = pool.apply(_cost, (name, size))
        yield f"| {name} | {seconds:.2f} | {peak / 1e6:.0f} | {promised / 1e6:.0f} |"


def _cost(name: str, size: int) -> tuple[float, float, float]:
    """(CPU seconds, peak bytes, bytes promised) per million measurements."""
    import resource

    torch.set_num_threads(1)
    regulariser, small = DEFAULTS[name], noisy(rupture_of(64), 0.1, 0.0)
    regulariser(small)  # what a first call loads
    flow = noisy(rupture_of(size), 0.1, 0.0)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    regulariser(flow)
    seconds, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    million = size**2 / 1e6
    return seconds / million, (after - before) * 1024 / million, regulariser.memory(size**2) / million


def seams(size: int) -> Iterator[str]:
    """What the cut into blocks changes: blocks of a third of the field against the whole at once."""
    truth = rupture_of(size)
    for sigma, correlation in NOISES:
        flow = noisy(truth, sigma, correlation)
        for name in ("quadratic", "tv", "log_tv"):
            whole = DEFAULTS[name](flow).xy
            cut = regularise_whole(DEFAULTS[name], flow, side=size // 3).xy
            off = (cut - whole).square().sum(0).sqrt()
            rms = off.square().mean().sqrt()
            yield f"| {sigma:g} px, {correlation:g} | {name} | {rms:.6f} | {off.max():.5f} |"


def exactness(size: int) -> Iterator[str]:
    """How far the answers of the defaults are from what the same rounds give when each is solved to the end."""
    truth = rupture_of(size)
    settings = {"log_tv": LogTv(), "log_tv of networks": OF_NETWORKS}
    for sigma, correlation in ((0.05, 0.0), (0.1, 4.0)):
        flow = noisy(truth, sigma, correlation)
        for name, regulariser in settings.items():
            start = time.process_time()
            found = regulariser(flow).xy
            seconds = (time.process_time() - start) * 1e6 / size**2
            exact = regulariser.model_copy(update={"tolerance_px": 5e-5, "max_iterations": 4000})(flow).xy
            off = (found - exact).abs().flatten()
            most = off.kthvalue(math.ceil(0.999 * len(off))).values
            rms = off.square().mean().sqrt()
            errors_px = f"{rms:.5f} | {most:.4f} | {off.max():.4f}"
            yield f"| {sigma:g} px, {correlation:g} | {name} | {errors_px} | {seconds:.1f} |"


def _cells(values: Sequence[float] | np.ndarray) -> str:
    return " | ".join(f"{value:.4f}" for value in values)


def _print(title: str, head: str, rows: Iterator[str]) -> None:
    columns = head.count("|") - 1
    print(f"\n### {title}\n\n{head}\n{'| --- ' * columns}|")
    for row in rows:
        print(row, flush=True)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384, help="side of the field, measurements")
    parser.add_argument("--scan", action="store_true", help="also the settings around the defaults")
    parser.add_argument("--exact", action="store_true", help="also how far the minimisation is from its end (slow)")
    parser.add_argument("--reference", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    tables: list[tuple[str, str, Callable[[], Iterator[str]]]] = [
        ("Accuracy", "| noise | method | fault | near | far | roughness |", lambda: accuracy(DEFAULTS, options.size)),
        ("Cost per million measurements", "| method | CPU-s | peak MB | promised MB |", lambda: cost(640)),
        ("Blocks against the whole", "| noise | method | rms px | largest px |", lambda: seams(options.size)),
    ]
    if options.exact:
        head = "| noise | method | rms px | 99.9 % below, px | largest px | CPU-s per million |"
        tables.append(("Against solving to the end", head, lambda: exactness(options.size)))
    if options.scan:
        head = "| setting | fault | near | far | roughness |"
        tables.append(("Errors in units of the noise", head, lambda: scan(options.size)))
    if options.reference:
        head = "| flow | method | fault | near | far | roughness |"
        tables.append(("Reference cases", head, lambda: reference(options.reference)))
    for title, head, rows in tables:
        _print(title, head, rows())


if __name__ == "__main__":
    main()
