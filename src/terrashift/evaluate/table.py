"""The outcome as tables: means by class, and each against one method on the same cases."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..analyse.metrics import metric_of
from ..core.text import markdown as printed
from .run import Outcome, Record

COST = ("cpu_s", "peak_mib")
PERCENT = "%"
BETTER_LOW = ("epe", "mae", "p90", "nmad", "p95", "static", "strain", "landmarks", "ce90", "kept", "outliers", "bias")
"""What metrics begin with of which less is better."""
JUDGED = ("epe", "mae", "p90", "nmad", "p95", "landmarks")
"""Metrics, zones aside, of which a ratio says how much better a method is."""


def methods_in(records: Iterable[Record]) -> list[str]:
    """Names, in the order in which they come."""
    return list(dict.fromkeys(record.method for record in records))


def groups_in(records: Iterable[Record]) -> list[str]:
    """Classes, in the order in which they come."""
    return list(dict.fromkeys(record.group for record in records))


def mean_over(records: Iterable[Record], metric: str) -> float:
    """Mean over the cases in which a number is known; signed errors count by their size."""
    known = [abs(v) if metric.startswith("bias") else v for r in records if (v := r.values.get(metric)) is not None]
    return float(np.mean(known)) if known else math.nan


def common(records: Sequence[Record], method: str, against: str) -> tuple[list[Record], list[Record]]:
    """Records of two methods on the cases that both have an answer to."""
    one, other = ({r.case: r for r in records if r.method == name and not r.failed} for name in (method, against))
    both = [case for case in one if case in other]
    return [one[case] for case in both], [other[case] for case in both]


def ratio(records: Sequence[Record], method: str, against: str, metric: str) -> float:
    """Mean of one method over that of another, on the cases that both have an answer to."""
    ours, theirs = (mean_over(part, metric) for part in common(records, method, against))
    return ours / theirs if theirs else math.nan


def shown(value: float, metric: str) -> str:
    """A number as the tables write it; a dash where there is none.

    >>> shown(0.2534, "epe_far"), shown(0.634, "within1"), shown(float("nan"), "epe")
    ('0.253', '63.4', '-')
    """
    if not math.isfinite(value):
        return "-"
    unit = metric_of(metric).unit
    if unit == PERCENT:
        return f"{100 * value:.1f}"
    if metric.startswith(("bias", "static", "nmad")):
        return f"{value:.4f}"
    return f"{value:.3f}" if value < 100 else f"{value:.0f}"


def heading(metric: str) -> str:
    """Title and unit of a column."""
    found = metric_of(metric)
    return f"{found.title}, {found.unit}" if found.unit != "1" else found.title


def is_judged(metric: str) -> bool:
    """Whether a ratio of it makes sense."""
    return metric in JUDGED or metric.rpartition("_")[0] in JUDGED


def rows(
    records: Sequence[Record], headline: Sequence[str], against: str
) -> list[tuple[str, list[tuple[float, float]]]]:
    """(method, (mean, ratio to `against` or NaN) of each column of the headline and the cost) of one class."""
    found = []
    for method in methods_in(records):
        own = [record for record in records if record.method == method]
        cells = []
        for metric in (*headline, *COST):
            other = ratio(records, method, against, metric) if is_judged(metric) and method != against else math.nan
            cells.append((mean_over(own, metric), other))
        found.append((method, cells))
    return found


def markdown(outcome: Outcome, headlines: Mapping[str, Sequence[str]], against: str) -> str:
    """All tables; where a ratio follows a number, it is that to `against` on the same cases."""
    parts = [f"# Evaluation\n\n{_origin(outcome.facts)}"]
    for suite, headline in headlines.items():
        of_suite = [record for record in outcome.records if record.suite == suite]
        parts.append(f"## {suite}\n\n{outcome.facts['suites'][suite].capitalize()}.")
        for group in groups_in(of_suite):
            records = [record for record in of_suite if record.group == group]
            cases = len({record.case for record in records})
            lines = [_line(["method", *map(heading, (*headline, *COST))]), _line(["---"] * (len(headline) + 3))]
            for method, cells in rows(records, headline, against):
                texts = [_cell(cell, metric) for cell, metric in zip(cells, (*headline, *COST), strict=True)]
                lines.append(_line([method, *texts]))
            parts.append(f"### {group} ({cases} case{'s' if cases > 1 else ''})\n\n" + "\n".join(lines))
    if failures := _failures(outcome.records):
        parts.append("## No answer\n\n" + "\n".join(failures))
    return "\n\n".join(parts) + "\n"


def _cell(cell: tuple[float, float], metric: str) -> str:
    value, other = cell
    text = shown(value, metric)
    return f"{text} ({other:.2f})" if math.isfinite(other) else text


def _origin(facts: Mapping[str, Any]) -> str:
    return f"`{facts['command']}`, TerraShift {facts['settings']['version']}, {facts['machine']}, {facts['when']}."


def _failures(records: Iterable[Record]) -> list[str]:
    said = [(r.method, r.suite, r.case, r.failed.partition("\n")[0]) for r in records if r.failed]
    return ["* {} on {}, {}: {}".format(*map(printed, one)) for one in said]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(printed, cells)) + " |"


def to_json(outcome: Outcome, headlines: Mapping[str, Sequence[str]], against: str) -> str:
    """Everything: facts, every record, and the means of the tables."""
    means = [
        {
            "suite": suite,
            "group": group,
            "method": method,
            "values": {
                metric: _plain(mean_over([r for r in records if r.method == method], metric))
                for metric in sorted({name for r in records for name in r.values})
            },
            "ratios": {
                metric: _plain(ratio(records, method, against, metric)) for metric in headline if is_judged(metric)
            },
        }
        for suite, headline in headlines.items()
        for group in groups_in(r for r in outcome.records if r.suite == suite)
        for records in [[r for r in outcome.records if (r.suite, r.group) == (suite, group)]]
        for method in methods_in(records)
    ]
    records = [
        {"suite": r.suite, "case": r.case, "group": r.group, "method": r.method, "values": r.values, "failed": r.failed}
        for r in outcome.records
    ]
    content = {"facts": outcome.facts, "against": against, "means": means, "records": records}
    return json.dumps(content, indent=1, allow_nan=False)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
