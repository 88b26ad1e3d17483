"""Measure every case by every method, keep each number as soon as it is known, and go on where a run was cut short."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..core.text import printable
from ..errors import InputError, OutputError, TerrashiftError
from ..io.arrays import read_arrays
from ..io.atomic import atomic_path, atomic_write_text
from ..io.untrusted import Malformed, expect_object, parse_json, read_text
from .case import Answer, Case, Entry, Method, Suite, pair_of, tensor
from .cost import Meter

RECORDS = "records.jsonl"
FIELDS = "fields"
LARGEST_RECORDS = 1_000_000_000
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Record:
    """One method on one case."""

    suite: str
    case: str
    group: str
    method: str
    values: dict[str, float] = field(default_factory=dict)
    """By metric; those that are not known are left out."""
    failed: str = ""
    """Why there is no answer."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What one record a run there is of."""
        return self.suite, self.case, self.method


class Outcome(NamedTuple):
    """All that an evaluation found."""

    records: list[Record]
    facts: dict[str, Any]
    """Version, machine, command, suites, ..."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What is to be judged, and where the outcome is kept."""

    suites: Sequence[Suite]
    methods: Sequence[Method]
    folder: Path
    command: str = ""
    say: Callable[[str], None] = lambda text: None
    keep_fields: bool = True
    """Also keep what was measured, for maps."""

    def run(self) -> Outcome:
        """Measure what is not yet known, case by case.

        A method that fails on a case has its reason in the record; the others go on.

        Raises:
            InputError: a suite lacks what it needs, or the folder holds another evaluation.
            OutputError: the folder cannot be written.
        """
        facts = self._facts()
        known = {record.key: record for record in self._open(facts)}
        plan = [(suite, entry) for suite in self.suites for entry in suite.entries()]
        for number, (suite, entry) in enumerate(plan):
            missing = [one for one in self._methods(suite) if (entry.suite, entry.name, one.name) not in known]
            if missing:
                self.say(f"{number + 1} of {len(plan)}: {entry.suite}, {entry.name}")
                case = entry.load()
                for method in missing:
                    record = self._record(suite, entry, case, method)
                    if record is not None:
                        self._keep(record)
                        known[record.key] = record
        wanted = [
            known[key]
            for suite, entry in plan
            for method in self._methods(suite)
            if (key := (entry.suite, entry.name, method.name)) in known
        ]
        return Outcome(wanted, facts)

    def _methods(self, suite: Suite) -> list[Method]:
        """Those given, and programs whose results a suite has."""
        stored = getattr(suite, "programs", None)
        return [*self.methods, *(stored() if stored else ())]

    def _record(self, suite: Suite, entry: Entry, case: Case, method: Method) -> Record | None:
        about = entry.suite, entry.name, entry.group, method.name
        try:
            with Meter() as meter:
                answer = method(entry, case)
        except TerrashiftError as error:
            self.say(f"  {method.name}: {error}")
            return Record(*about, failed=str(error))
        if answer is None:
            return None
        values = suite.judge(case, answer) | (_cost(meter, case) if answer.timed else {})
        if self.keep_fields and case.fault is not None:
            keep_field(self.folder, entry, method.name, answer)
            keep_truth(self.folder, entry, case)
        return Record(*about, {name: float(v) for name, v in values.items() if math.isfinite(v)})

    def _open(self, facts: dict[str, Any]) -> Iterator[Record]:
        """What is kept from before."""
        path = self.folder / RECORDS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = read_text(path, LARGEST_RECORDS) if path.exists() else ""
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be used: {error}.") from error
        except Malformed as error:
            raise _damaged(path, error) from error
        whole, newline, torn = text.rpartition("\n")
        if torn:  # the run ended while it wrote this line
            atomic_write_text(path, whole + newline)
        lines = whole.splitlines()
        if not lines:
            atomic_write_text(path, json.dumps({"settings": facts["settings"]}) + "\n")
            return
        kept = [_line_of(line, path) for line in lines]
        if kept[0].get("settings") != facts["settings"]:
            raise InputError(
                f"{self.folder} holds an evaluation of other cases or another version: take another folder, or give "
                "--overwrite."
            )
        yield from (_record_of(line, path) for line in kept[1:])

    def _keep(self, record: Record) -> None:
        try:
            with (self.folder / RECORDS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.folder / RECORDS} cannot be written: {error}. What it holds is kept; the same command goes on."
            ) from error

    def _facts(self) -> dict[str, Any]:
        """What belongs beside the numbers. A folder goes on only with the same `settings`."""
        from .. import __version__

        settings = {suite.name: _settings(suite) for suite in self.suites}
        settings["version"] = str(__version__)
        return {
            "command": self.command,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s), "
            f"torch {torch.__version__}",
            "suites": {suite.name: suite.about for suite in self.suites},
            "settings": settings,
        }


def _line_of(line: str, path: Path) -> Mapping[str, Any]:
    try:
        return expect_object(parse_json(line))
    except Malformed as error:
        raise _damaged(path, error) from error


def _record_of(found: Mapping[str, Any], path: Path) -> Record:
    try:
        record = Record(**found)
        texts = all(isinstance(text, str) for text in (*record.key, record.group, record.failed))
        if not texts or not all(isinstance(value, int | float) for value in record.values.values()):
            raise Malformed("a record holds values of another kind")
        return record
    except (TypeError, AttributeError, Malformed) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is damaged ({error}): give --overwrite to measure anew, or take another folder.")


def _settings(suite: Suite) -> str:
    """What decides the cases of a suite, as a short hash of what its dataclass shows."""
    shown = {"about": suite.about, "cases": [(entry.name, entry.group) for entry in suite.entries()]}
    for name in ("seed", "size_px"):
        shown[name] = getattr(suite, name, None)
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]


def _cost(meter: Meter, case: Case) -> dict[str, float]:
    million = case.pixels / 1e6
    return {"cpu_s": meter.cpu_s / million, "wall_s": meter.wall_s / million, "peak_mib": meter.peak_mib}


TRUTH = "truth"
"""In place of a method's name."""


def field_path(folder: Path, suite: str, case: str, method: str) -> Path:
    """Where what a method measured is kept."""
    safe = "".join(sign if sign.isalnum() or sign in "+-_.=" else "_" for sign in method)
    return folder / FIELDS / _inside(suite) / _inside(case) / f"{safe}.npz"


def _inside(name: str) -> str:
    """A name as one of a folder in a folder: kept records and archives may hold any text.

    >>> _inside("place/a"), _inside("..")
    ('place_a', '_')
    """
    safe = printable(name).replace("/", "_").replace("\\", "_")
    return safe if safe.strip(".") else "_"


def keep_field(folder: Path, entry: Entry, method: str, answer: Answer) -> None:
    """Write what was measured in half precision: `u`, `v`, `sigma` where known, `step_px`."""
    path = field_path(folder, entry.suite, entry.name, method)
    path.parent.mkdir(parents=True, exist_ok=True)
    u, v = answer.xy.astype(np.float16)
    sigma = np.empty((2, 0, 0)) if answer.sigma is None else answer.sigma
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, u=u, v=v, sigma=sigma.astype(np.float16), step_px=answer.step_px)


def kept_field(folder: Path, suite: str, case: str, method: str) -> Answer | None:
    """What was kept of it."""
    path = field_path(folder, suite, case, method)
    if not path.exists():
        return None
    data = _arrays(path, ("sigma", "u", "v", "step_px"))
    sigma = data["sigma"].astype(np.float32)
    xy = np.stack([data["u"], data["v"]]).astype(np.float32)
    return Answer(xy, sigma if sigma.size else None, int(data["step_px"]))


def keep_truth(folder: Path, entry: Entry, case: Case) -> None:
    """Write a case once: its truth, its trace, its first image."""
    path = field_path(folder, entry.suite, entry.name, TRUTH)
    if path.exists() or case.truth is None or case.fault is None:
        return
    before = case.source.pair.before.pixels[0].numpy().astype(np.float32)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, truth=case.truth.astype(np.float32), fault=case.fault, before=before)


def kept_truth(folder: Path, suite: str, case: str) -> Case | None:
    """The case without its second image; None where it was not kept."""
    path = field_path(folder, suite, case, TRUTH)
    if not path.exists():
        return None
    data = _arrays(path, ("before", "truth", "fault"))
    before = tensor(data["before"])
    return Case(pair_of(before, before), data["truth"], data["fault"])


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path, names)
    except (OSError, Malformed) as error:
        raise _damaged(path, error) from error
