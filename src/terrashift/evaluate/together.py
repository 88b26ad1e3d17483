"""Errors over the places that two methods both answer at: who leaves the hard ones out is not the better for it.

A correlator gives no value where its window holds both sides of a fault, and the mean over what it does give says
little about a method that answers everywhere. So each method is held against one of them where both have a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .case import Answer, Suite
from .run import Outcome, Record, kept_field, kept_truth
from .table import groups_in, methods_in

ZONES = ("fault", "near", "far")


class Pairing(NamedTuple):
    """One method against another, means over the cases of a class."""

    method: str
    shared: dict[str, float]
    """Share of a zone's places that both answer at."""
    errors: dict[str, tuple[float, float]]
    """Of the method and of the other, px, there."""


def together(outcome: Outcome, suites: Sequence[Suite], folder: Path, against: str) -> str:
    """Markdown tables for the suites that judge by the distance from a fault; empty where there is nothing to say.

    From the fields that an evaluation keeps, in half precision.
    """
    parts = []
    for suite in suites:
        if not {f"epe_{zone}" for zone in ZONES} <= set(suite.headline):
            continue
        records = [one for one in outcome.records if one.suite == suite.name and not one.failed]
        for group in groups_in(records):
            rows = list(_rows([one for one in records if one.group == group], suite, folder, against))
            if rows:
                parts.append(f"### {suite.name}, {group}\n\n" + "\n".join(_lines(rows)))
    if not parts:
        return ""
    head = (
        f"## Where {against} answers too\n\nErrors over the places of each zone at which a method and `{against}` both"
    )
    return head + " have a value, and their ratio there.\n\n" + "\n\n".join(parts) + "\n"


def shared_by(one: Answer, other: Answer) -> tuple[Answer, Answer] | None:
    """Both where both have a vector, NaN elsewhere, at the places of the coarser one; None where these do not nest."""
    step = max(one.step_px, other.step_px)
    if one.step_px != other.step_px and min(one.step_px, other.step_px) > 1:
        return None
    first, second = (
        part.xy if part.step_px == step else Answer(part.xy, step_px=step).at(part.xy) for part in (one, other)
    )
    both = np.isfinite(first).all(0) & np.isfinite(second).all(0)
    return Answer(np.where(both, first, np.nan), step_px=step), Answer(np.where(both, second, np.nan), step_px=step)


def _rows(records: Sequence[Record], suite: Suite, folder: Path, against: str) -> Iterator[Pairing]:
    names = dict.fromkeys(one.case for one in records)
    cases = {name: case for name in names if (case := kept_truth(folder, suite.name, name))}
    for method in methods_in(records):
        found = []
        for name, case in cases.items() if method != against else ():
            answers = [kept_field(folder, suite.name, name, one) for one in (method, against)]
            pair = shared_by(answers[0], answers[1]) if answers[0] and answers[1] else None
            if pair is not None:
                found.append([suite.judge(case, answer) for answer in pair])
        if found:
            ours, theirs = zip(*found, strict=True)
            shared = {zone: _mean(ours, f"valid_{zone}") for zone in ZONES}
            errors = {zone: (_mean(ours, f"epe_{zone}"), _mean(theirs, f"epe_{zone}")) for zone in ZONES}
            yield Pairing(method, shared, errors)


def _mean(cases: Sequence[dict[str, float]], metric: str) -> float:
    known = [values[metric] for values in cases if math.isfinite(values[metric])]
    return float(np.mean(known)) if known else math.nan


def _lines(rows: Sequence[Pairing]) -> Iterator[str]:
    yield "| method | both, fault, % | both, near, % | EPE, fault, px | EPE, near, px | EPE, far, px |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        shares = [f"{100 * row.shared[zone]:.0f}" for zone in ("fault", "near")]
        cells = [
            f"{ours:.3f} ({ours / theirs:.2f})" if theirs else f"{ours:.3f}" for ours, theirs in row.errors.values()
        ]
        yield "| " + " | ".join([row.method, *shares, *cells]) + " |"
