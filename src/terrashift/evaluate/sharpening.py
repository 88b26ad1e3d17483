"""Judge super-resolution methods on scenes with a sharp truth: PROBA-V's, or bursts made from any imagery."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..analyse.image_quality import psnr, ssim
from ..analyse.kelvins import PEAK, cpsnr, cssim, kelvins_score
from ..io.packed_scenes import SceneArchive, held_apart
from ..io.probav import SCALE, References, Scene, find_scenes, read_scenes
from ..simulate.archive import Archive
from ..simulate.burst import CLASSES, VALIDATION_SEED, BurstStream
from ..superres.align import align, clearest
from ..superres.base import Method
from ..superres.brightness import Anchor, anchored
from ..superres.frames import Frames
from ..superres.scenes import prepared
from ..superres.upsample import upsample

COMPARED = "bicubic-mean"
"""Method that gains are taken to, the baseline of the challenge."""
BITS_14 = 16383.0
"""Range of PROBA-V's images, for the plain ratios."""
DEVIATIONS = 10.0
"""Range of bursts, which count in standard deviations of their place."""

Say = Callable[[str], None]


class Case(NamedTuple):
    """Frames and their truth."""

    group: str
    name: str
    frames: Float[Tensor, "frame 1 height width"]
    """NaN where not usable."""
    home: int
    """The reference."""
    truth: Float[np.ndarray, "fine_height fine_width"]
    clear: Bool[np.ndarray, "fine_height fine_width"]
    scale: int
    peak: float
    """Range of the data for the Kelvins scores; of the challenge 65535, whatever the images hold."""
    data_range: float
    """For the plain ones."""
    baseline: float | None = None
    """cPSNR, dB, of norm.csv."""


class Score(NamedTuple):
    """What one method is worth on one case."""

    cpsnr: float
    cssim: float
    psnr: float
    ssim: float
    within: float
    """Share of the errors within sigma; NaN where the method tells none."""


class Row(NamedTuple):
    """Means of a method over a group of cases."""

    group: str
    method: str
    cases: int
    cpsnr: float
    gain: float
    """Of the cPSNR over that of `COMPARED`, dB; NaN where that was not asked for."""
    cssim: float
    psnr: float
    ssim: float
    within: float
    score: float
    """The challenge's; NaN without norm.csv."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How cases are prepared, for all methods alike."""

    max_frames: int = 9
    """The clearest, and the reference among them."""
    anchor: Anchor = "low"
    keep_outliers: bool = False
    trust_all: bool = False
    scenes: int | None = None
    """So many of each group; all unless given."""


def probav_cases(
    data: Path, setting: Setting, references: References | None = None, held_out: float = 0.0
) -> Iterator[Case]:
    """Scenes with a truth, of a folder or packed.

    The reference is the frame that was taken with the truth where that is known (PROBA-V-REF), else the clearest.

    Args:
        data: the challenge's folder, or a file of `terrashift pack`.
        setting: how many scenes of each band.
        references: see `io.probav.read_references`; of a packed file those that it was packed with.
        held_out: only this share of each band, which training with the same share never sees; 0 for all.

    Raises:
        InputError: see `io.probav.read_scenes` and `io.packed_scenes.SceneArchive`.
    """
    listed = _listed(data, references)
    kept = held_apart([key for key, _ in listed], held_out) if held_out else {key for key, _ in listed}
    taken: dict[str, int] = {}
    for (band, name), read in listed:
        if (band, name) not in kept or taken.get(band, 0) == setting.scenes:
            continue
        taken[band] = taken.get(band, 0) + 1
        scene = read()
        assert scene.truth is not None
        assert scene.clear is not None
        frames = torch.from_numpy(scene.frames)[:, None]
        home = clearest(frames) if scene.reference is None else scene.reference
        yield Case(band, name, frames, home, scene.truth, scene.clear, SCALE, PEAK, BITS_14, scene.baseline)


def _listed(data: Path, references: References | None) -> list[tuple[tuple[str, str], Callable[[], Scene]]]:
    """(band, name) of the scenes with a truth, and how to read each."""
    if not data.is_dir():
        packed = SceneArchive.load(data).only(())
        return [((one.facts.band, one.facts.name), partial(getattr, one, "scene")) for one in packed.scenes]
    paths = [path for path in find_scenes(data) if (path / "HR.png").is_file()]
    return [((p.parent.name, p.name), partial(lambda p: next(read_scenes(p, references)), p)) for p in paths]


def burst_cases(archive: Archive, setting: Setting, scale: int = 3, size_px: int = 64) -> Iterator[Case]:
    """Bursts of every class of `simulate.burst.CLASSES`, the same ones for every method and every run."""
    for name, options in CLASSES.items():
        count = (setting.max_frames,) * 2
        stream = BurstStream(archive, replace(options, scale=scale, size_px=size_px, frames=count), VALIDATION_SEED)
        for number in range(setting.scenes or 16):
            burst = stream.bursts([number])
            frames = torch.where(burst.usable[0] > 0, burst.frames[0], torch.nan)[:, :1]
            truth, clear = burst.truth[0, 0].numpy(), burst.known[0, 0].numpy() > 0
            yield Case(name, f"burst {number}", frames, 0, truth, clear, scale, DEVIATIONS, DEVIATIONS)


def prepare(case: Case, setting: Setting) -> Frames:
    """Register, brighten and clear the frames of a case as `terrashift superres` does; shifts are measured."""
    share = case.frames.isfinite().all(1).float().mean((1, 2))
    share[case.home] = 2
    order = share.argsort(descending=True, stable=True)[: setting.max_frames]
    order = order[share[order] > 0]
    return prepared(align(case.frames[order], 0).frames, setting.keep_outliers, setting.trust_all)


def judge_case(case: Case, frames: Frames, method: Method, setting: Setting) -> Score:
    """One method on one case."""
    mean, sigma = method(frames, case.scale)
    # what no frame shows still has to have a number: the reference's surroundings
    mean = torch.where(mean.isfinite(), mean, upsample(frames, frames.home, case.scale).values)
    mean = anchored(mean, frames.pixels[frames.home], case.scale, setting.anchor)
    found, error = mean[0].double().numpy(), sigma[0].double().numpy()
    masked = np.where(case.clear, case.truth, np.nan).astype(np.float64)
    told = np.isfinite(error) & case.clear
    within = float((np.abs(found - case.truth) < error)[told].mean()) if told.any() else math.nan
    return Score(
        cpsnr(found, case.truth, case.clear, peak=case.peak).value,
        cssim(found, case.truth, case.clear, peak=case.peak),
        psnr(found, masked, case.data_range),
        ssim(found, masked, case.data_range),
        within,
    )


def judge_all(
    cases: Iterator[Case], methods: Sequence[Method], setting: Setting, say: Say = lambda text: None
) -> list[Row]:
    """Every method on every case; means over each group."""
    scores: dict[tuple[str, str], list[Score]] = {}
    norms: dict[str, list[float | None]] = {}
    for case in cases:
        frames = prepare(case, setting)
        for method in methods:
            scores.setdefault((case.group, method.name), []).append(judge_case(case, frames, method, setting))
        norms.setdefault(case.group, []).append(case.baseline)
        say(f"{case.group}: {case.name}, {frames.count} frames")
    return [_row(group, name, values, scores, norms[group]) for (group, name), values in scores.items()]


def _row(
    group: str,
    name: str,
    values: list[Score],
    scores: dict[tuple[str, str], list[Score]],
    norms: list[float | None],
) -> Row:
    mean = Score(*[_mean([value[k] for value in values]) for k in range(len(Score._fields))])
    other = scores.get((group, COMPARED))
    gain = mean.cpsnr - _mean([value.cpsnr for value in other]) if other else math.nan
    known = [(value.cpsnr, norm) for value, norm in zip(values, norms, strict=True) if norm is not None]
    total = kelvins_score(*np.array(known).T) if known else math.nan
    return Row(group, name, len(values), mean.cpsnr, gain, mean.cssim, mean.psnr, mean.ssim, mean.within, total)


def _mean(values: Sequence[float]) -> float:
    """Of what is a number."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


COLUMNS = {
    "cpsnr": ("cPSNR dB", "{:.2f}"),
    "gain": ("gain dB", "{:+.2f}"),
    "cssim": ("cSSIM", "{:.4f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "within": ("within sigma", "{:.0%}"),
    "score": ("score", "{:.4f}"),
}


def table(rows: Sequence[Row]) -> str:
    """As Markdown, one line for each group and method; columns that nobody has a number for are left out.

    cPSNR, cSSIM and score forgive shifts up to 3 px and brightness; PSNR and SSIM forgive nothing.
    """
    kept = [name for name in COLUMNS if any(not math.isnan(getattr(row, name)) for row in rows)]
    head = ["", "method", "cases", *(COLUMNS[name][0] for name in kept)]
    lines = [head, ["---"] * 3 + ["---:"] * len(kept)]
    for row in rows:
        numbers = [getattr(row, name) for name in kept]
        shown = ["-" if math.isnan(v) else COLUMNS[k][1].format(v) for k, v in zip(kept, numbers, strict=True)]
        lines.append([row.group, row.method, str(row.cases), *shown])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same; null where there is no number."""
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row._asdict().items()} for row in rows
    ]
