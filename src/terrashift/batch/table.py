"""Read the table of pairs, and list all that is wrong with it at once."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, OptionError
from ..io.atomic import GEOTIFF_SUFFIXES
from ..io.opening import is_plain
from ..product import Files
from ..recipe import Recipe, nearest

NEEDED = ("before", "after")
OWN = (*NEEDED, "name", "output")
STARTS = ("preset", "recipe", "method", "regularize")
"""Columns that choose a recipe; every other is a setting of it."""
COMMENT = "#"
"""A column whose name begins so is the user's own."""
SUMMARY = "summary"
"""Name of the table of results; no pair may be called so."""
LISTED = 40

RecipeOf = Callable[[Mapping[str, str]], Recipe]
"""The recipe of a row from its columns beyond `OWN`; raises OptionError."""


@dataclass(frozen=True, slots=True)
class Job:
    """A pair to measure."""

    line: int
    """Of the table."""
    name: str
    before: str
    after: str
    output: Path
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: Mapping[str, str]

    def own(self, column: str) -> str:
        return self.cells.get(column, "")


def read_jobs(table: Path, folder: Path, recipe_of: RecipeOf) -> list[Job]:
    """The pairs of a table.

    Args:
        table: CSV with a heading (commas, semicolons or tabs). Columns `before` and `after`: paths, relative to the
            table, or URLs. `name` and `output` (a GeoTIFF, relative to `folder`) if wanted. `preset`, `recipe` (a
            file, relative to the table), `method`, `regularize` and settings by their names in a recipe. Empty cells,
            empty lines and columns whose name begins with `#` do not count.
        folder: where results go.
        recipe_of: makes a row's recipe.

    Raises:
        InputError: everything that is wrong, line by line.
    """
    rows = list(_rows(table))
    wrong: list[str] = []
    jobs: list[Job] = []
    taken: dict[Path, int] = {}
    for row in rows:
        said = list(_missing(row, table))
        try:
            output = _output(row, folder)
            key = output.with_suffix("").resolve()
            if key in taken:
                said.append(f"{output} is the output of line {taken[key]} too: give each a name or output of its own")
            taken.setdefault(key, row.line)
            jobs.append(_job(row, table, output, recipe_of))
        except (InputError, OptionError) as error:
            said.append(str(error).replace("\n", " "))
        wrong += [f"line {row.line}: {text}" for text in said]
    inputs = {Path(path).resolve(): job for job in jobs for path in (job.before, job.after)}
    for job in jobs:
        if (other := inputs.get(job.output.resolve())) is not None:
            wrong.append(f"line {job.line}: {job.output} would replace an image of line {other.line}")
    if wrong:
        more = [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
        raise InputError("\n".join([f"{table} cannot be run as it is:", *(f"  {w}" for w in [*wrong[:LISTED], *more])]))
    return jobs


def _rows(table: Path) -> Iterator[_Row]:
    """Lines with at least one filled cell; names of columns in lower case."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table} cannot be read as a CSV file in UTF-8: {error}") from error
    lines = text.splitlines()
    heading = lines[0] if lines else ""
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [name.strip().lower().replace("-", "_") for name in next(reader, [])]
    names = ["regularize" if name == "regularise" else name for name in names]
    lacking = [name for name in NEEDED if name not in names]
    if lacking:
        raise InputError(
            f"{table} has no column {' nor '.join(lacking)}: its first line must name the columns, at least "
            f"before,after; it says {heading[:80]!r}"
        )
    if doubled := sorted({name for name in names if name and names.count(name) > 1}):
        raise InputError(f"{table} names the column {doubled[0]} twice")
    found = False
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(names):
            raise InputError(f"line {reader.line_num} of {table} has {len(cells)} cells, its heading {len(names)}")
        found = True
        filled = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        yield _Row(reader.line_num, {name: cell for name, cell in filled.items() if name[:1] not in ("", COMMENT)})
    if not found:
        raise InputError(f"{table} has a heading and no pair below it")


def _missing(row: _Row, table: Path) -> Iterator[str]:
    """What a row lacks, or names and is not there."""
    for column in NEEDED:
        value = row.own(column)
        if not value:
            yield f"no {column}"
        elif is_plain(value) and not _placed(value, table).exists():
            yield f"{column} {_placed(value, table)} does not exist"


def _job(row: _Row, table: Path, output: Path, recipe_of: RecipeOf) -> Job:
    settings = {name: text for name, text in row.cells.items() if name not in OWN}
    if "recipe" in settings:
        settings["recipe"] = str(_placed(settings["recipe"], table))
    before, after = (str(_placed(v, table)) if is_plain(v) else v for v in map(row.own, NEEDED))
    return Job(row.line, _name(row), before, after, output, recipe_of(settings))


def _name(row: _Row) -> str:
    return row.own("name") or Path(row.own("output")).stem or f"{_stem(row.own('before'))}__{_stem(row.own('after'))}"


def _output(row: _Row, folder: Path) -> Path:
    """The result of a row.

    Raises:
        OptionError: where its name cannot be that of a file, or is taken by the table of results.
    """
    told = row.own("output")
    if not told and any(sign in _name(row) for sign in "/\\"):
        raise OptionError(f"name {_name(row)} holds a slash: results are named after it, so give another or an output")
    output = folder / (told or f"{_name(row)}.tif")
    if output.suffix.lower() not in GEOTIFF_SUFFIXES:
        raise OptionError(f"output {told} is no name of a GeoTIFF: call it {output.with_suffix('.tif').name}")
    if output.with_suffix("").resolve() == (folder / SUMMARY).resolve():
        raise OptionError(f"{output.name} would have the name of the table of results: choose another")
    return Files.beside(output).field


def _stem(path: str) -> str:
    return Path(path.rstrip("/").rsplit("/", 1)[-1]).stem


def _placed(path: str, table: Path) -> Path:
    """A path of the table, which counts from its folder."""
    return Path(os.path.normpath(table.parent.absolute() / Path(path).expanduser()))


def overridden(recipe: Recipe, settings: Mapping[str, str], parts: Sequence[str]) -> Recipe:
    """A recipe with single settings replaced by the text of a table's cells.

    Args:
        recipe: what the others come from.
        settings: by the name of the setting, without its section.
        parts: sections that may be changed.

    Raises:
        OptionError: an unknown setting, or a value that does not do.
    """
    import yaml
    from pydantic import ValidationError

    from ..recipe import explain

    data = recipe.model_dump()
    homes = {key: part for part in parts for key in data[part]}
    for key, text in settings.items():
        if key not in homes:
            raise OptionError(f"there is no column or setting {key!r} here. {nearest(key, [*OWN, *STARTS, *homes])}")
        kind = str(type(getattr(recipe, homes[key])).model_fields[key].annotation)
        data[homes[key]][key] = text if "str" in kind and "Literal" not in kind else yaml.safe_load(text)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise OptionError(" ".join(explain(error))) from error
