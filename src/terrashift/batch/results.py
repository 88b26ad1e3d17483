"""What came of each pair, as a table: CSV, JSON and on the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.field import DisplacementField
from ..errors import TerrashiftError
from ..io.atomic import atomic_write_text
from ..io.opening import explained, open_dataset
from ..product import Files
from ..report import percent
from .table import SUMMARY, Job

if TYPE_CHECKING:
    from rich.console import RenderableType

Status = Literal["done", "skipped", "failed", "interrupted", "not run"]
"""`skipped`: was finished before."""
SAMPLED_PX = 1000
"""Longest side of the part of a field that its median sigma comes from."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pair in the table of results; None where there is nothing to tell."""

    name: str
    status: Status
    valid_share: float | None = None
    """Of the field's cells."""
    unit: str | None = None
    """Of all lengths: m, or px without a CRS."""
    median_east: float | None = None
    """Of the displacement, positive east; likewise `median_north`."""
    median_north: float | None = None
    median_sigma_east: float | None = None
    """Median of the standard errors of the valid cells, of every n-th cell of a large field."""
    median_sigma_north: float | None = None
    nmad_east: float | None = None
    """Spread of the component over the field: motion and noise together."""
    nmad_north: float | None = None
    seconds: float | None = None
    error: str | None = None
    before: str = ""
    after: str = ""
    output: str = ""
    recipe: str = ""
    """Hash of the recipe."""

    @classmethod
    def of(cls, job: Job, status: Status, seconds: float | None = None, error: str | None = None) -> Row:
        """A pair without numbers yet."""
        spent = None if seconds is None else round(seconds, 1)
        files: dict[str, Any] = {
            "before": job.before,
            "after": job.after,
            "output": str(job.output),
            "recipe": job.recipe.hash,
        }
        return cls(job.name, status, seconds=spent, error=error, **files)

    def with_numbers(self) -> Row:
        """The same with what the finished result says.

        Raises:
            OSError, ValueError, KeyError: it is not there, or not what `measure` writes.
        """
        facts = json.loads(Files.beside(self.output).summary.read_text(encoding="utf-8"))
        east, north = (facts[name] or {} for name in ("east", "north"))
        sigma_east, sigma_north = median_sigma(Path(self.output))
        lost = facts.get("made_by", {}).get("FAILED_TILES")
        return replace(
            self,
            valid_share=facts["valid_share"],
            unit=facts["unit"],
            median_east=east.get("median"),
            median_north=north.get("median"),
            median_sigma_east=sigma_east,
            median_sigma_north=sigma_north,
            nmad_east=east.get("nmad"),
            nmad_north=north.get("nmad"),
            error=f"{len(lost)} tiles failed and have no value" if lost else self.error,
        )


def median_sigma(path: Path) -> tuple[float | None, float | None]:
    """Median standard errors (east, north) of a stored field, in its unit; of every n-th cell where it is large.

    A component of which no cell has one gives None.

    Raises:
        InputError: where the file is damaged.
    """
    bands = [DisplacementField.BANDS.index(name) + 1 for name in ("sigma_east", "sigma_north")]
    with explained(str(path)), open_dataset(str(path)) as dataset:
        every = max(1, -(-max(dataset.shape) // SAMPLED_PX))
        shape = tuple(max(1, n // every) for n in dataset.shape)
        values = dataset.read(bands, out_shape=(2, *shape))  # overviews hold every n-th value: no mean crosses a gap
    known = [band[np.isfinite(band)] for band in values]
    east, north = (float(np.median(band)) if band.size else None for band in known)
    return east, north


def is_finished(job: Job) -> bool:
    """Whether the result is there, made by the same recipe from images that have not changed since."""
    files = Files.beside(job.output)
    if not all(path.exists() for path in files):
        return False
    try:
        made_by = json.loads(files.summary.read_text(encoding="utf-8"))["made_by"]
    except (ValueError, KeyError):
        return False
    same = made_by.get("RECIPE_HASH") == job.recipe.hash
    inputs = [Path(path) for path in (job.before, job.after)]
    same &= [made_by.get("BEFORE"), made_by.get("AFTER")] == [path.name for path in inputs]
    made = files.summary.stat().st_mtime
    return bool(same) and all(path.stat().st_mtime <= made for path in inputs if path.exists())


def write_table(folder: Path, rows: Sequence[Row]) -> None:
    """Write `summary.csv` and `summary.json`, each whole or not at all.

    Raises:
        OutputError: where they cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [one.name for one in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in asdict(row).items()} for row in rows)
    atomic_write_text(folder / f"{SUMMARY}.csv", text.getvalue())
    content = {"pairs": [asdict(row) for row in rows], "counts": counts(rows)}
    atomic_write_text(folder / f"{SUMMARY}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def seconds_before(folder: Path) -> dict[str, float]:
    """Seconds that finished pairs took in earlier runs, by their output; none where no table can be read."""
    try:
        rows = json.loads((folder / f"{SUMMARY}.json").read_text(encoding="utf-8"))["pairs"]
        finished = [row for row in rows if row["status"] in ("done", "skipped") and row["seconds"]]
        return {row["output"]: row["seconds"] for row in finished}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many pairs are in each state."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.status] = found.get(row.status, 0) + 1
    return found


def render(rows: Sequence[Row]) -> RenderableType:
    """The table for the terminal, and below it why pairs failed."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("name", "status"):
        table.add_column(head, overflow="fold")
    for head in ("valid", "east", "north", "sigma", "NMAD", "unit", "s"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        sigma = _both(row.median_sigma_east, row.median_sigma_north)
        numbers = [_short(row.median_east), _short(row.median_north), sigma, _both(row.nmad_east, row.nmad_north)]
        share = "" if row.valid_share is None else percent(row.valid_share)
        spent = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(row.name, row.status, share, *numbers, row.unit or "", spent)
    return Group(table, *(Text(f"{row.name}: {row.error}") for row in rows if row.error))


def tally(rows: Sequence[Row]) -> str:
    """How many pairs are in each state, in words.

    >>> tally([Row("a", "done"), Row("b", "failed"), Row("c", "done")])
    '3 pairs: 2 done, 1 failed'
    """
    return f"{len(rows)} pairs: " + ", ".join(f"{count} {status}" for status, count in counts(rows).items())


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _both(east: float | None, north: float | None) -> str:
    return "" if east is None and north is None else f"{_short(east) or '-'}/{_short(north) or '-'}"


def first_line(error: BaseException) -> str:
    """An error as the table tells it: ours speak for themselves, others name their kind."""
    text = str(error).strip()
    return text if isinstance(error, TerrashiftError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def numbers_or_reason(row: Row) -> Row:
    """`with_numbers`, or a failed row where the result does not read back."""
    try:
        return row.with_numbers()
    except (OSError, ValueError, KeyError) as error:
        return replace(row, status="failed", error=f"the result does not read back ({first_line(error)})")
