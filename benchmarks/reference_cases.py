"""Hold our estimators against the original programs on real date pairs with a known simulated rupture.

    python benchmarks/reference_cases.py CASES RESULTS

CASES and RESULTS are the two folders of the reference cases (see README.md); without them, `cases` and `results` under
the folder that TERRASHIFT_BENCHMARK names. Prints one Markdown table per class of rupture, then ours against the best
of all programs in RESULTS.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from methods import METHODS, VARIANTS, Measured, machine, measure, source_of
from numpy import ndarray
from scipy.ndimage import distance_transform_edt, label

from terrashift.analyse.sharpness import along_the_step, signed_distance, stacked, step_of
from terrashift.estimators.base import Search

BORDER_PX = 24  # left out of the errors, as in the reference scores
FAULT_PX, NEAR_PX = 3, 16  # distance to the trace
LEAST_SIDE = 0.02  # share of the pixels; smaller parts are pockets of a trace
BAR = 1.05  # ours over theirs
CLASSES = {"vs": "0.6 px", "s": "2 px", "m": "6 px"}
JUDGED = ("fault", "near", "far")
ALL = METHODS | VARIANTS
ALWAYS = "cosicorr_32_s1"
"""The program that everything is held against, best or not."""


class Case(NamedTuple):
    """Two dates of one place, and the rupture simulated into the first."""

    name: str
    before: Float[ndarray, "height width"]
    after: Float[ndarray, "height width"]
    flow: Float[ndarray, "2 height width"]
    """(x right, y down) px."""
    fault: Bool[ndarray, "height width"]

    @classmethod
    def read(cls, path: Path) -> Case:
        """Read a case; numbers become reflectance."""
        with np.load(path) as data:
            before, after = (
                data[key] * np.float32(data["gain"]) + np.float32(data["offset"]) for key in ("before", "after")
            )
            return cls(path.stem, before, after, data["flow"].astype(np.float32), data["fault"].astype(bool))

    @property
    def size(self) -> str:
        """Class of the rupture: the last part of the name."""
        return self.name.rsplit("_", 1)[1]

    def side(self) -> Bool[ndarray, "height width"] | None:
        """True on one side of the trace; None where the trace does not part the case in two."""
        parts, _ = label(~self.fault)
        sizes = np.bincount(parts.ravel())[1:]
        one, *others = sizes.argsort()[::-1] + 1
        if not others or sizes[others[0] - 1] < LEAST_SIDE * sizes.sum():
            return None
        off = []
        for part in (one, others[0]):  # pixels of the trace lie on the side that moves as they do
            place = distance_transform_edt(parts != part, return_distances=False, return_indices=True)
            off.append(np.hypot(*(self.flow - self.flow[:, *place])))
        return off[0] < off[1]


class Score(NamedTuple):
    """How far a measurement of a case is from the truth; lengths in pixels, NaN where nothing was measured."""

    fault: float
    """Mean length of the error within 3 px of the trace."""
    near: float
    """Within 16 px."""
    far: float
    """Beyond 16 px."""
    rough: float
    """Mean |d/dx| + |d/dy| of both components beyond 16 px."""
    valid: float
    """Share of pixels with a value."""
    border_valid: float
    """The same in the 24 px along the edges, which count for nothing else."""
    width: float
    """From 10 % to 90 % of the step across the trace (see `analyse.sharpness`); NaN where it does not part the case."""


def score(case: Case, xy: Float[ndarray, "2 height width"], border_px: int = BORDER_PX) -> Score:
    """Score a flow, its median residual taken off each component: the dates' own offset is known to 0.05 px only."""
    distance = distance_transform_edt(~case.fault)
    inner = np.zeros(case.fault.shape, bool)
    inner[border_px:-border_px, border_px:-border_px] = True
    valid = np.isfinite(xy).all(0)
    counted = valid & inner
    shares = counted.sum() / inner.sum(), (valid & ~inner).sum() / (~inner).sum()
    if not counted.any():
        return Score(math.nan, math.nan, math.nan, math.nan, *map(float, shares), math.nan)
    residual = xy - case.flow
    error = np.hypot(*(residual - np.median(residual[:, counted], axis=1)[:, None, None]))
    slope = sum(np.abs(np.diff(part, axis=axis, append=np.nan)) for part in xy for axis in (0, 1))
    places = counted & (distance <= FAULT_PX), counted & (distance <= NEAR_PX), counted & (distance > NEAR_PX)
    errors = (float(error[place].mean()) if place.any() else math.nan for place in places)
    smooth = slope[places[2]]
    rough = float(np.nanmean(smooth)) if np.isfinite(smooth).any() else math.nan
    return Score(*errors, rough, *map(float, shares), width(case, xy, counted))


def width(case: Case, xy: Float[ndarray, "2 height width"], counted: Bool[ndarray, "height width"]) -> float:
    """Width of the step across the trace in the direction in which the truth jumps."""
    side = case.side()
    if side is None:
        return math.nan
    distance = np.where(counted, signed_distance(side), np.nan)
    along = along_the_step(case.flow, distance)
    return step_of(stacked(np.tensordot(along, xy, 1), distance)).width


def read_flow(path: Path) -> Float[ndarray, "2 height width"]:
    """What an original program measured, (x right, y down) px."""
    with np.load(path) as data:
        return np.stack([data["u"], data["v"]]).astype(np.float32)


class Row(NamedTuple):
    """One case measured by us and by them."""

    case: str
    size: str
    method: str
    ours: Score
    programs: dict[str, Score]
    """Each original program."""
    truth_width: float
    cpu_s: float
    measurements: int
    search: Search

    @property
    def theirs(self) -> Score:
        """The original program with the same settings."""
        return self.programs[ALL[self.method].peer]


def compare(cases: Sequence[Path], results: Path, names: Sequence[str], options: Any) -> list[Row]:
    """Measure and score every case by every method."""
    rows = []
    for path in cases:
        case = Case.read(path)
        source = source_of(torch.from_numpy(case.before), torch.from_numpy(case.after))
        stored = sorted(results.glob(f"*/{case.name}.npz"))
        programs = {file.parent.name: score(case, read_flow(file)) for file in stored}
        truth = score(case, case.flow).width
        for name in names:
            method = ALL[name]
            search = method.search if options.fixed_search else None
            found = measure(method.estimator, source, search, method.regulariser)
            xy = found.flow.xy.numpy()
            ours = score(case, xy)
            rows.append(Row(case.name, case.size, name, ours, programs, truth, found.cpu_s, xy[0].size, found.search))
            if options.out:
                _save(options.out, name, case.name, xy, found)
            print(_progress(rows[-1]), flush=True)
    return rows


def _save(folder: Path, method: str, case: str, xy: ndarray, found: Measured) -> None:
    """Keep a measurement in the form of the reference results."""
    place = folder / method.replace(" ", "_")
    place.mkdir(parents=True, exist_ok=True)
    u, v = xy.astype(np.float16)
    np.savez_compressed(place / f"{case}.npz", u=u, v=v, seconds=np.float32(found.cpu_s))


def _progress(row: Row) -> str:
    ours, theirs = ("/".join(f"{getattr(one, key):.3f}" for key in JUDGED) for one in (row.ours, row.theirs))
    return f"{row.case:20s} {row.method:20s} ours {ours}  theirs {theirs}  {row.cpu_s:.1f} CPU-s, {row.search}"


def mean(scores: Sequence[Score]) -> Score:
    """Mean over cases, field by field."""
    known = ([value for value in values if math.isfinite(value)] for values in zip(*scores, strict=True))
    return Score(*(float(np.mean(values)) if values else math.nan for values in known))


def table(rows: Sequence[Row], size: str) -> str:
    """Markdown table of one class: mean over its cases, each number as ours / theirs = ratio."""
    head = [
        "method",
        "against",
        "fault",
        "near",
        "far",
        "roughness",
        "width of the step",
        "valid",
        f"valid in the outer {BORDER_PX} px",
        "bar",
    ]
    lines = [f"### `{size}`: largest offset {CLASSES[size]}", "", _line(head), _line(["---"] * len(head))]
    for name in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == name and row.size == size]
        if not mine:
            continue
        ours, theirs = mean([row.ours for row in mine]), mean([row.theirs for row in mine])
        errors = [_ratio(getattr(ours, key), getattr(theirs, key)) for key in (*JUDGED, "rough")]
        truth = np.mean([row.truth_width for row in mine])
        errors.append(f"{ours.width:.1f} / {theirs.width:.1f} (truth {truth:.1f})")
        shares = [f"{getattr(ours, key):.1%} / {getattr(theirs, key):.1%}" for key in ("valid", "border_valid")]
        lines.append(_line([name, ALL[name].peer, *errors, *shares, "yes" if holds(ours, theirs) else "**no**"]))
    return "\n".join(lines)


def holds(ours: Score, theirs: Score) -> bool:
    """Whether no error exceeds theirs by more than the bar allows."""
    return all(getattr(ours, key) <= BAR * getattr(theirs, key) for key in JUDGED)


def ahead(rows: Sequence[Row], name: str) -> str:
    """Markdown table of one method against the best program of each class and zone, and against COSI-Corr."""
    head = ["class", "zone", name, "best of all programs", "ours / best", ALWAYS, f"ours / {ALWAYS}"]
    lines = [_line(head), _line(["---"] * len(head))]
    for size in CLASSES:
        mine = [row for row in rows if row.method == name and row.size == size]
        if not mine:
            continue
        ours = mean([row.ours for row in mine])
        theirs = {program: mean([row.programs[program] for row in mine]) for program in mine[0].programs}
        for zone in (*JUDGED, "rough", "width"):
            every = {program: getattr(one, zone) for program, one in theirs.items() if getattr(one, zone) > 0}
            own, best, usual = getattr(ours, zone), min(every, key=every.__getitem__), every[ALWAYS]
            cells = [f"{own:.3f}", f"{every[best]:.3f} ({best})", f"{own / every[best]:.2f}"]
            lines.append(_line([size, zone, *cells, f"{usual:.3f}", f"{own / usual:.2f}"]))
    return "\n".join(lines)


def costs(rows: Sequence[Row]) -> str:
    """Markdown table of the CPU seconds."""
    lines = [_line(["method", "CPU-s per million windows"]), _line(["---", "---"])]
    for name in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == name]
        rate = 1e6 * sum(row.cpu_s for row in mine) / sum(row.measurements for row in mine)
        lines.append(_line([name, f"{rate:.1f}"]))
    return "\n".join(lines)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours:.3f} / {theirs:.3f} = {ours / theirs:.2f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Read the command line, measure, print."""
    told = os.environ.get("TERRASHIFT_BENCHMARK")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="?", default=told and Path(told) / "cases")
    parser.add_argument("results", type=Path, nargs="?", default=told and Path(told) / "results")
    parser.add_argument("--methods", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--only", default="*", help="pattern of case names, such as '*_vs'")
    parser.add_argument("--fixed-search", action="store_true", help="5 px around zero instead of the automatic search")
    parser.add_argument("--out", type=Path, help="folder for what we measured, in the form of RESULTS")
    options = parser.parse_args()
    if not (options.cases and options.results):
        parser.error("give CASES and RESULTS, or set TERRASHIFT_BENCHMARK to the folder that holds both")
    cases = sorted(options.cases.glob(f"{options.only}.npz"))
    if not cases:
        parser.error(f"no case {options.only}.npz in {options.cases}")
    torch.set_num_threads(1)
    rows = compare(cases, options.results, options.methods, options)
    search = "5 px around zero" if options.fixed_search else "automatic search"
    print(f"\nMean error in px, ours / theirs = ratio; {len(cases)} cases, {search}; the bar is {BAR}.\n")
    print("\n\n".join(table(rows, size) for size in CLASSES if any(row.size == size for row in rows)))
    print("\n### Ahead of all\n\n" + "\n\n".join(ahead(rows, name) for name in options.methods))
    print(f"\n{machine()}\n\n{costs(rows)}")


if __name__ == "__main__":
    main()
