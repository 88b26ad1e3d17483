"""The outcome as pictures: maps, profiles over the fault, error against displacement, locking, calibration, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ..analyse import metrics
from ..analyse.sharpness import REACH_PX
from ..plot.lettering import lettering
from .case import Answer, Case
from .run import Outcome, Record, kept_field, kept_truth
from .table import groups_in, heading, mean_over, methods_in
from .zoned import inner_part, profile_across

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BORDER_PX = 24
MOST_METHODS = 10
LINES = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C564B", "#17BECF")
"""Told apart by colour-blind readers (Okabe and Ito 2008), and three more."""
BAR_PX = 0.01
WITH_FAULT = ("reference", "rupture", "pseudo-truth")


class Drawing(NamedTuple):
    """A figure and what it shows."""

    name: str
    """Of its file."""
    suite: str
    caption: str
    figure: Figure


class Known(NamedTuple):
    """A case that was kept, and the answers to it."""

    suite: str
    name: str
    group: str
    case: Case
    answers: dict[str, Answer]


def drawings(outcome: Outcome, folder: Path) -> Iterator[Drawing]:
    """Every figure that the outcome has numbers for."""
    colours = {method: LINES[k % len(LINES)] for k, method in enumerate(methods_in(outcome.records))}
    for known in _shown_cases(outcome, folder):
        yield _maps(known)
        if (drawing := _profiles(known, colours)) is not None:
            yield drawing
    for suite in WITH_FAULT:
        records = [record for record in outcome.records if record.suite == suite]
        if not records:
            continue
        every = list(_kept(records, folder))
        makers: list[Callable[[], Drawing | None]] = [
            lambda suite=suite, every=every: _by_displacement(suite, every, colours),
            lambda suite=suite, every=every: _calibration(suite, every, colours),
            lambda suite=suite, records=records: _costs(suite, records, colours),
        ]
        yield from (drawing for make in makers if (drawing := make()) is not None)
    shifts = [record for record in outcome.records if record.suite == "known-shift" and record.group == "shift"]
    if shifts:
        yield _locking(shifts)


def _kept(records: Sequence[Record], folder: Path) -> Iterator[Known]:
    """Cases of one suite whose fields were kept."""
    for name in dict.fromkeys(record.case for record in records):
        own = [record for record in records if record.case == name]
        case = kept_truth(folder, own[0].suite, name)
        if case is None:
            continue
        answers = {r.method: found for r in own if (found := kept_field(folder, r.suite, name, r.method)) is not None}
        yield Known(own[0].suite, name, own[0].group, case, answers)


def _shown_cases(outcome: Outcome, folder: Path) -> Iterator[Known]:
    """The first kept case of each class."""
    for suite in WITH_FAULT:
        records = [record for record in outcome.records if record.suite == suite]
        for group in groups_in(records):
            yield from list(_kept([r for r in records if r.group == group], folder))[:1]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _maps(known: Known) -> Drawing:
    """One component of truth, estimates and errors, all in the same limits."""
    from cmcrameri import cm as colours

    truth = known.case.truth
    assert truth is not None
    component = int(np.nanstd(truth.reshape(2, -1), axis=1).argmax())
    names = list(known.answers)[:MOST_METHODS]
    figure = _figure(1.75 * (len(names) + 1) + 0.8, 3.9)
    panels = figure.subplots(2, len(names) + 1, squeeze=False)
    middle = float(np.nanmedian(truth[component]))
    limit = max(float(np.nanpercentile(np.abs(truth[component] - middle), 99)), 0.05)
    look: dict[str, Any] = {
        "cmap": colours.vik,  # pyright: ignore[reportAttributeAccessIssue] made at import
        "vmin": -limit,
        "vmax": limit,
        "interpolation": "nearest",
    }
    shown = panels[0, 0].imshow(truth[component] - middle, **look)
    panels[0, 0].set_title("truth", fontsize=8)
    panels[1, 0].imshow(known.case.source.pair.before.pixels[0].numpy(), cmap="gray")
    panels[1, 0].set_title("before", fontsize=8)
    for k, name in enumerate(names, 1):
        answer = known.answers[name]
        right = answer.at(truth)[component]
        own = answer.xy[component]
        offset = float(np.nanmedian(own - right)) if np.isfinite(own).any() else 0.0
        panels[0, k].imshow(own - offset - middle, **look)
        panels[1, k].imshow(own - offset - right, **look)
        panels[0, k].set_title(_short(name), fontsize=8)
    panels[1, 1].set_ylabel("error", fontsize=8)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_facecolor("0.75")
    figure.colorbar(shown, ax=panels, shrink=0.8, pad=0.01).set_label(f"{'xy'[component]}, px", fontsize=8)
    caption = (
        f"{known.suite}, {known.name} ({known.group}): motion along {'xy'[component]} less its median; above the "
        "estimates, below their errors, all in the same limits. Grey: no value."
    )
    return Drawing(f"maps-{known.suite}-{known.name}", known.suite, caption, figure)


def _profiles(known: Known, colours: dict[str, str]) -> Drawing | None:
    """Motion across the fault, stacked along it."""
    truth = known.case.truth
    assert truth is not None
    inner = inner_part(truth.shape[1:], BORDER_PX)
    right = profile_across(known.case, truth, inner, Answer(truth))
    if right is None:
        return None
    figure = _figure(6.4, 3.4)
    axes = figure.subplots()
    axes.plot(right.distance, right.motion, color="0.6", linewidth=4, label="truth")
    for name, answer in known.answers.items():
        own = (
            profile_across(known.case, answer.xy, inner & np.isfinite(answer.xy).all(0), answer)
            if (answer.step_px == 1)
            else None
        )
        if own is not None:
            offset = np.interp(own.distance, right.distance, right.motion) - own.motion
            axes.plot(
                own.distance, own.motion + np.median(offset), color=colours[name], linewidth=1, label=_short(name)
            )
    axes.set(xlabel="distance from the trace, px", ylabel="motion along the step, px", xlim=(-REACH_PX, REACH_PX))
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = f"{known.suite}, {known.name}: medians of all pixels at the same distance from the trace."
    return Drawing(f"profile-{known.suite}-{known.name}", known.suite, caption, figure)


def _errors(known: Known, answer: Answer) -> tuple[Float[ndarray, "2 rows columns"], Bool[ndarray, "rows columns"]]:
    """Error of each component, its median taken off, and where it counts."""
    assert known.case.truth is not None
    truth = answer.at(known.case.truth)
    inner = answer.at(inner_part(known.case.truth.shape[1:], BORDER_PX))
    return metrics.without_offset(answer.xy, truth, inner) - truth, inner


def _by_displacement(suite: str, every: Sequence[Known], colours: dict[str, str]) -> Drawing | None:
    """Mean error of vectors of like motion against that motion."""
    edges = np.geomspace(0.02, 12, 14)
    figure = _figure(6.4, 3.6)
    axes = figure.subplots()
    for name, colour in colours.items():
        sizes, errors = [], []
        for known in every:
            if (answer := known.answers.get(name)) is None:
                continue
            error, inner = _errors(known, answer)
            truth = answer.at(known.case.truth)  # pyright: ignore[reportArgumentType]
            still = np.median(truth[:, inner], axis=1)[:, None, None]
            sizes.append(np.hypot(*(truth - still))[inner])
            errors.append(np.hypot(*error)[inner])
        if not sizes:
            continue
        size, error = np.concatenate(sizes), np.concatenate(errors)
        bins = np.digitize(size, edges)
        places = [
            (np.sqrt(edges[k - 1] * edges[k]), np.nanmean(error[bins == k]))
            for k in range(1, len(edges))
            if np.isfinite(error[bins == k]).sum() > 200
        ]
        if places:
            axes.plot(*np.array(places).T, "o-", color=colour, markersize=3, linewidth=1, label=_short(name))
    axes.set(xscale="log", yscale="log", xlabel="motion, px", ylabel="mean error, px")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = f"{suite}: mean length of the error of vectors by how far the ground moved, over all cases."
    return Drawing(f"displacement-{suite}", suite, caption, figure)


def _calibration(suite: str, every: Sequence[Known], colours: dict[str, str]) -> Drawing | None:
    """How often errors are as small as their sigma promises."""
    curves = {}
    for name in colours:
        errors, sigmas = [], []
        for known in every:
            answer = known.answers.get(name)
            if answer is None or answer.sigma is None:
                continue
            error, inner = _errors(known, answer)
            errors.append(error[:, inner].ravel())
            sigmas.append(answer.sigma[:, inner].ravel())
        if errors:
            curves[name] = metrics.reliability(np.concatenate(errors), np.concatenate(sigmas))
    if not curves:
        return None
    figure = _figure(5.6, 3.8)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=3, label="perfect")
    for name, curve in curves.items():
        axes.plot(curve.promised, curve.found, ".-", color=colours[name], linewidth=1, label=_short(name))
    axes.set(xlabel="share promised (Laplace)", ylabel="share found", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = (
        f"{suite}: share of components whose error is within a multiple of sigma. Below the line sigma is too small."
    )
    return Drawing(f"calibration-{suite}", suite, caption, figure)


def _costs(suite: str, records: Sequence[Record], colours: dict[str, str]) -> Drawing | None:
    """Processor time against error, at the fault and far from it."""
    zones = [name for name in ("epe_fault", "epe_far", "epe_beyond") if any(name in r.values for r in records)]
    timed = [name for name in colours if math.isfinite(mean_over([r for r in records if r.method == name], "cpu_s"))]
    if not zones or not timed:
        return None
    figure = _figure(4.2 * len(zones), 3.6)
    for axes, zone in zip(figure.subplots(1, len(zones), squeeze=False)[0], zones, strict=True):
        for name in timed:
            own = [record for record in records if record.method == name]
            cost, error = mean_over(own, "cpu_s"), mean_over(own, zone)
            if math.isfinite(error):
                axes.plot(cost, error, "o", color=colours[name])
                axes.annotate(_short(name), (cost, error), (4, 3), textcoords="offset points", fontsize=6.5)
        axes.set(xscale="log", yscale="log", xlabel="CPU seconds per megapixel", ylabel=heading(zone))
        axes.margins(x=0.25, y=0.15)
        axes.grid(alpha=0.3, which="both")
    return Drawing(f"cost-{suite}", suite, f"{suite}: cost against error, means over all cases.", figure)


def _locking(records: Sequence[Record]) -> Drawing:
    """Bias against the fraction of a pixel."""
    names = methods_in(records)
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = _figure(2.7 * across + 0.5, 2.1 * down + 0.4)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        axes.axhspan(-BAR_PX, BAR_PX, color="0.9")
        for along, style, other in (("x", "-", "y"), ("y", "--", "x")):
            own = [r for r in records if r.method == name and r.values.get(other) == 0.0]
            points = sorted({r.values[along] for r in own if along in r.values})
            biases = [[r.values.get(f"bias_{along}", math.nan) for r in own if r.values[along] == p] for p in points]
            axes.plot(points, [_mean(part) for part in biases], style, color=LINES[1], linewidth=1.2)
            for lowest, highest in [([_least(p) for p in biases], [_most(p) for p in biases])]:
                axes.fill_between(points, lowest, highest, color=LINES[1], alpha=0.15, linewidth=0)
        axes.set_title(_short(name), fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in list(panels.flat)[len(names) :]:
        axes.remove()
    figure.supxlabel("shift, px", fontsize=8)
    figure.supylabel("median error, px (solid x, dashed y)", fontsize=8)
    caption = "known-shift: the pixel-locking curve, mean and range over the scenes; grey: 0.01 px."
    return Drawing("locking", "known-shift", caption, figure)


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


def _least(values: Iterable[float]) -> float:
    return min((v for v in values if math.isfinite(v)), default=math.nan)


def _most(values: Iterable[float]) -> float:
    return max((v for v in values if math.isfinite(v)), default=math.nan)


def _short(name: str) -> str:
    """A name that fits a panel."""
    return lettering(name if len(name) <= 26 else f"{name[:24]}..")
