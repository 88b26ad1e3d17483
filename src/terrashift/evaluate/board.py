"""Bounds that errors must not exceed: set by one evaluation, kept beside its numbers, held by later ones.

A bound is the mean over the cases of a class and its noise: the standard error of that mean. The cases are the same
every time, so that nothing but a change of the method moves a number; by less than its noise it may.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..io.atomic import atomic_write_text
from ..io.untrusted import LARGEST_VECTORS, Malformed, expect_object, parse_json, read_text
from .run import Outcome, Record
from .table import BETTER_LOW, groups_in, mean_over, methods_in

LEAST_NOISE = 0.02
"""Of the number itself: other processors round otherwise."""


class Bound(NamedTuple):
    """Of one mean."""

    suite: str
    group: str
    method: str
    metric: str
    value: float
    """What was measured when it was set."""
    noise: float
    bound: float
    cases: int


class Broken(NamedTuple):
    """A number that does not keep its bound; NaN where there is none any more."""

    bound: Bound
    found: float

    def __str__(self) -> str:
        where = f"{self.bound.method} on {self.bound.suite}, {self.bound.group}"
        return (
            f"{where}: {self.bound.metric} is {self.found:.4f}, its bound {self.bound.bound:.4f} "
            f"(was {self.bound.value:.4f})"
        )


def bounds_of(outcome: Outcome, headlines: Mapping[str, Sequence[str]]) -> list[Bound]:
    """Bounds for every number of the tables of which less is better."""
    return [
        _bound(suite, group, method, metric, own)
        for suite, headline in headlines.items()
        for group in groups_in(r for r in outcome.records if r.suite == suite)
        for method in methods_in(outcome.records)
        if (own := [r for r in outcome.records if (r.suite, r.group, r.method) == (suite, group, method)])
        for metric in headline
        if metric.startswith(BETTER_LOW) and math.isfinite(mean_over(own, metric))
    ]


def _bound(suite: str, group: str, method: str, metric: str, records: Sequence[Record]) -> Bound:
    values = np.abs([r.values[metric] for r in records if metric in r.values])
    value = mean_over(records, metric)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
    noise = max(error, LEAST_NOISE * abs(value))
    return Bound(suite, group, method, metric, round(value, 6), round(noise, 6), round(value + noise, 6), len(values))


def broken(outcome: Outcome, bounds: Sequence[Bound]) -> Iterator[Broken]:
    """The numbers that exceed their bounds, or are missing."""
    for bound in bounds:
        own = [
            r
            for r in outcome.records
            if (r.suite, r.group, r.method) == (bound.suite, bound.group, bound.method) and not r.failed
        ]
        found = mean_over(own, bound.metric)
        if not found <= bound.bound:
            yield Broken(bound, found)


def write_bounds(path: Path, outcome: Outcome, bounds: Sequence[Bound]) -> None:
    """Write bounds with what they came from.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = [json.dumps(bound._asdict()) for bound in bounds]
    facts: dict[str, Any] = {key: outcome.facts[key] for key in ("command", "when", "machine", "suites")}
    head = json.dumps(facts, indent=1)[:-2]
    atomic_write_text(path, f'{head},\n "bounds": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n")


def read_bounds(path: Path) -> list[Bound]:
    """Read them.

    Raises:
        InputError: there is no such file, or it is none.
    """
    try:
        found = expect_object(parse_json(read_text(path, LARGEST_VECTORS)))
        return [_checked(Bound(**one)) for one in found["bounds"]]
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: `terrashift evaluate ... --set-bounds {path}` writes it.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no bounds: {error}.") from error


def _checked(bound: Bound) -> Bound:
    """The bound itself, its numbers being numbers."""
    if not all(isinstance(number, int | float) for number in bound[4:]):
        raise Malformed(f"{bound} has values that are no numbers")
    return bound
