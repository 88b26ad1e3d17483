"""How much sharper do networks make bursts of places that they never learned from, against methods without training?

    python benchmarks/superres.py VALIDATION.tsi [--weights NAME_OR_FILE ...] [--bursts 32] [--regnet FILE]

Bursts of three classes (clean; noisy; clouded and changed: see `simulate.burst`), nine frames of 48 px, scale 3. Every
method is told the shifts as a registration would measure them (0.05 px off, each axis), but RegNet and what aligns by
itself. cPSNR is the mean over bursts of the corrected peak signal-to-noise ratio for a range of ten deviations of the
place (truth shifted by up to 3 px, bias removed), gain its distance from the mean of registered bicubic frames, PSNR
without any correction, and for networks that tell a sigma the share of errors within one and two: 63.2 % and 86.5 %
were perfect. Inconsistency is the mean distance between the result, seen by the burst's own camera again, and the
usable pixels of the reference, in deviations (the reference's noise is part of it). With `--regnet`, the share of whole
shifts of up to 4 fine px that DeepSUM's RegNet finds, as it is pre-trained: on copies of the reference's own features.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from methods import machine
from torch import Tensor

from terrashift.io.weights import load_weights
from terrashift.models.catalogue import make, options_of
from terrashift.models.sharp import SharpEstimate, calibrated
from terrashift.ops.decimate import blur_of
from terrashift.ops.looks import interpolate_fine, looks
from terrashift.simulate.archive import Archive
from terrashift.simulate.burst import CLASSES, VALIDATION_SEED, Burst, BurstStream
from terrashift.train.sharp_loss import SharpLossOptions
from terrashift.train.sharpening import RANGE, corrected_psnr, inconsistency, learn_bursts, mean_of_registered

Method = Callable[[Burst], SharpEstimate]
STEPS, STEP, CONTRAST = 20, 1.0, 0.25
BATCH = 8


def bicubic(burst: Burst) -> SharpEstimate:
    """The reference between its pixels."""
    scale = burst.truth.shape[-1] // burst.frames.shape[-1]
    return SharpEstimate(interpolate_fine(burst.frames[:, :1], burst.shifts_px[:, :1], scale)[:, 0], None)


def bicubic_mean(burst: Burst) -> SharpEstimate:
    """What gains are counted from."""
    return SharpEstimate(mean_of_registered(burst._replace(shifts_px=burst.measured_px)), None)


def back_projection(burst: Burst) -> SharpEstimate:
    """Iterative back-projection (Irani & Peleg 1991) from the mean, through the camera that the bursts are seen by."""
    scale = burst.truth.shape[-1] // burst.frames.shape[-1]
    size = (burst.frames.shape[3], burst.frames.shape[4])
    given = looks(burst.measured_px, size, scale, blur_of(CONTRAST))
    weight = burst.usable * given.seen
    image = bicubic_mean(burst).mean
    total = given.back(weight).clamp_min(1e-3)
    for _ in range(STEPS):
        image = image + STEP * given.back(weight * (burst.frames - given.see(image))) / total
    return SharpEstimate(image, None)


def network(name: str) -> Method:
    """Weights of the package by name, or a file, with their calibrated scale; of one band, several one by one."""
    weights = load_weights(name)
    net = make(weights.network, options_of(weights.network, weights.options))
    net.load_state_dict(dict(weights.tensors))
    net.eval()

    def run(burst: Burst) -> SharpEstimate:
        frames, bands = burst.frames, burst.frames.shape[2]
        alone = bands > 1 and weights.options.get("bands", 1) == 1
        if alone:
            frames = frames.transpose(1, 2).flatten(0, 1)[:, :, None]
        given = (part.repeat_interleave(bands if alone else 1, 0) for part in (burst.usable, burst.measured_px))
        told = calibrated(net(frames, *given), weights.calibration)
        if not alone:
            return told
        mean, log_scale = (part if part is None else part[:, 0].unflatten(0, (-1, bands)) for part in told)
        assert mean is not None
        return SharpEstimate(mean, log_scale)

    return run


@torch.no_grad()
def judge(method: Method, bursts: list[Burst]) -> list[float]:
    """cPSNR, PSNR, inconsistency, coverage of one and two sigma (NaN without) and seconds a burst."""
    corrected, plain, apart, within, seconds = [], [], [], [], 0.0
    for burst in bursts:
        began = time.process_time()
        found = method(burst)
        seconds += time.process_time() - began
        error = (found.mean - burst.truth).abs()
        corrected.append(corrected_psnr(found.mean, burst.truth, burst.known))
        plain.append(-10 * torch.log10(error.square().mean((1, 2, 3)) / RANGE**2))
        apart.append(inconsistency(found.mean.float(), burst))
        if found.log_scale is not None:
            scale = found.log_scale.exp()
            within.append(torch.stack([(error < k * scale).float().mean() for k in (1, 2)]))
    count = sum(len(part) for part in corrected)
    covered: Tensor = torch.stack(within).mean(0) if within else torch.full((2,), math.nan)
    means = [float(part.mean()) for part in (torch.cat(corrected), torch.cat(plain), torch.stack(apart))]
    return [*means, *covered.tolist(), seconds / count]


@torch.no_grad()
def shifts_found(name: str, archive: Archive, bursts: int, seed: int) -> float:
    """Share of whole shifts for which RegNet's largest tap is the right one, eight a burst."""
    weights = load_weights(name)
    options = options_of(weights.network, weights.options | {"stage": "regnet"})
    net = make(weights.network, options)
    own = net.state_dict()
    net.load_state_dict(own | {key: value for key, value in weights.tensors.items() if key in own})
    stream = BurstStream(archive, replace(CLASSES["clean"], frames=(1, 1), size_px=32, noise=(0.005, 0.1)), seed)
    wrong = [float(learn_bursts(net, stream.bursts([k]), SharpLossOptions()).error) for k in range(bursts)]
    return 1 - sum(wrong) / bursts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", help="of `terrashift pack`, of places that nothing learned from")
    parser.add_argument("--weights", nargs="*", default=[], help="names of the package's weights, or files")
    parser.add_argument("--bursts", type=int, default=32, help="of each class")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--bands", type=int, default=1, help="of each burst: bands of one place on the same dates")
    parser.add_argument("--seed", type=int, default=VALIDATION_SEED)
    parser.add_argument("--binning", type=int, nargs="+", default=[1, 2], help="real pixels along one of the truth")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--regnet", help="DeepSUM's weights, or those of its second pre-training")
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    archive = Archive.load(found.archive)
    if found.regnet:
        share = shifts_found(found.regnet, archive, found.bursts, found.seed)
        print(f"RegNet finds {share:.2%} of {8 * found.bursts} whole shifts\n")
        return
    methods: dict[str, Method] = {"bicubic": bicubic, "bicubic + mean": bicubic_mean, "IBP": back_projection}
    methods |= {Path(name).stem: network(name) for name in found.weights}
    rows: dict[str, list[list[float]]] = {name: [] for name in methods}
    for options in CLASSES.values():
        options = replace(options, frames=(found.frames,) * 2, binning=tuple(found.binning), bands=found.bands)
        stream = BurstStream(archive, options, found.seed)
        bursts = [stream.bursts(range(k, min(k + BATCH, found.bursts))) for k in range(0, found.bursts, BATCH)]
        for name, method in methods.items():
            rows[name].append(judge(method, bursts))
    base = [row[0] for row in rows["bicubic + mean"]]
    print(f"{found.bursts} bursts a class, {found.frames} frames, truth binned by {found.binning}; {machine()}\n")
    print(
        "| method | "
        + " | ".join(f"{name}: cPSNR (gain)" for name in CLASSES)
        + " | mean gain | PSNR | inconsistency | 1, 2 sigma | s |"
    )
    print("| --- |" + " --- |" * (len(CLASSES) + 5))
    for name, row in rows.items():
        gains = [r[0] - b for r, b in zip(row, base, strict=True)]
        cells = [f"{r[0]:.2f} ({g:+.2f})" for r, g in zip(row, gains, strict=True)]
        psnr, apart, one, two, seconds = (sum(r[k] for r in row) / len(row) for k in range(1, 6))
        covered = "" if math.isnan(one) else f"{one:.1%}, {two:.1%}"
        cells += [f"{sum(gains) / len(gains):+.2f}", f"{psnr:.2f}", f"{apart:.3f}", covered, f"{seconds:.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
