"""A whole evaluation: suites and methods by name in, a folder with table, numbers and page out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import OptionError
from ..io.atomic import atomic_write_text
from .board import Broken, bounds_of, broken, read_bounds, write_bounds
from .case import Method, Suite
from .figures import Drawing, drawings
from .methods import methods_of
from .page import page
from .run import FIELDS, RECORDS, Evaluation, Outcome
from .stored import Stored
from .suites import SuiteOptions, suites_of
from .table import markdown, to_json
from .together import together

FIGURE_DPI = 130


@dataclass(frozen=True, slots=True)
class How:
    """What does not change the numbers."""

    against: str = "frequency"
    """Method that ratios are taken to."""
    device: str = "cpu"
    overwrite: bool = False
    figures: Path | None = None
    """Folder for the figures as files."""
    set_bounds: Path | None = None
    """File that is written with what later evaluations must keep."""
    bounds: Path | None = None
    """File of bounds to be kept."""
    command: str = ""
    say: Callable[[str], None] = lambda text: None


class Judged(NamedTuple):
    """What came out."""

    outcome: Outcome
    table: str
    """Markdown."""
    broken: list[Broken]
    """Numbers that do not keep their bounds."""


def judge(
    folder: Path,
    suites: Sequence[str | Suite] = ("rupture",),
    methods: Sequence[str | Method] = ("frequency", "microflow"),
    stored: Sequence[str] = (),
    options: SuiteOptions | None = None,
    how: How | None = None,
) -> Judged:
    """Judge methods on suites, both by name or as objects; see `terrashift evaluate --help`.

    Raises:
        OptionError: a name that is not known, or settings that cannot work.
        InputError: a suite lacks what it needs, or the folder holds another evaluation.
        OutputError: the folder cannot be written.
    """
    how, options = how or How(), options or SuiteOptions()
    bounds = read_bounds(how.bounds) if how.bounds else []
    contenders = [*_contenders(methods, how.device), *(_stored(word) for word in stored)]
    names = [suite for suite in suites if isinstance(suite, str)]
    named = dict(zip(names, suites_of(names, options, folder / "cases"), strict=True))
    chosen = [named[suite] if isinstance(suite, str) else suite for suite in suites]
    if not contenders or not chosen:
        raise OptionError("nothing to judge: give at least one method and one suite.")
    if how.overwrite:
        for name in (RECORDS, FIELDS):
            _remove(folder / name)
    outcome = Evaluation(chosen, contenders, folder, how.command, how.say).run()
    headlines = {suite.name: suite.headline for suite in chosen}
    table = markdown(outcome, headlines, how.against)
    if paired := together(outcome, chosen, folder, how.against):
        table += "\n" + paired
    atomic_write_text(folder / "table.md", table)
    atomic_write_text(folder / "results.json", to_json(outcome, headlines, how.against))
    drawn = list(drawings(outcome, folder))
    atomic_write_text(folder / "report.html", page(outcome, headlines, how.against, drawn))
    if how.figures:
        _write_figures(drawn, how.figures)
    if how.set_bounds:
        write_bounds(how.set_bounds, outcome, bounds_of(outcome, headlines))
    return Judged(outcome, table, list(broken(outcome, bounds)))


def _contenders(methods: Sequence[str | Method], device: str) -> list[Method]:
    return [
        one for method in methods for one in (methods_of([method], device) if isinstance(method, str) else [method])
    ]


def _stored(word: str) -> Stored:
    name, sign, folder = word.partition("=")
    if not sign or not Path(folder).is_dir():
        raise OptionError(f"--stored {word}: write NAME=FOLDER, where FOLDER holds files called like the cases.")
    return Stored(name, Path(folder))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_figures(drawn: Sequence[Drawing], folder: Path) -> None:
    from ..io.atomic import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawn:
        with atomic_path(folder / f"{drawing.name}.png") as temporary:
            drawing.figure.savefig(temporary, dpi=FIGURE_DPI)
