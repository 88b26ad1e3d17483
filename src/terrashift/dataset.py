"""Data sets of pairs with known displacement: written whole or not at all, with a card and a contact sheet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field

from .core.field import DisplacementField, Flow
from .errors import OptionError, OutputError
from .io.arrays import read_arrays
from .io.atomic import atomic_write_text, check_space, explaining
from .io.draft import Draft
from .io.pairs import ArrayPlan, PairFiles, arrays_to_npz, create_arrays, write_arrays, write_pair
from .io.untrusted import LARGEST_VECTORS, Malformed, expect_object, parse_json, read_text
from .plot.contact import Shown, contact_sheet
from .simulate.card import histogram, page, summary
from .simulate.draw import (
    PATCH,
    USUAL_SIZE_PX,
    Drawn,
    DrawOptions,
    describe,
    draw_pair,
    draw_windows,
    largest_side,
)
from .simulate.places import Source, Split, Trace
from .simulate.windows import WINDOWS_PX

FORMAT = "terrashift dataset 1"
SHOWN = 12
STEPS = 5
CHUNK_BYTES = 4_000_000
GENERATORS = {"uni": "uniform window", "uni5px": "uniform window", "dis": "window cut by a line"}
CONVENTION = (
    "flow is (x right, y down) in pixels on the grid of `before`: the ground at p in `before` is at p + flow in "
    "`after`; it holds the motion of the ground, the offset between the dates and any shift of the images"
)


class DatasetOptions(BaseModel, frozen=True, extra="forbid"):
    """How many pairs are written, and in what form."""

    count: int = Field(default=1, ge=1, description="How many pairs (or windows).")
    format: Literal["auto", "geotiff", "zarr", "npz"] = Field(
        default="auto",
        description="geotiff: a folder for each pair. zarr: one group of arrays. npz: one file of arrays. auto: "
        "geotiff, or zarr for windows.",
    )
    split: Split | None = Field(
        default=None,
        description="Places of this split only: the one that an archive was packed with, else fixed by the place's "
        "name.",
    )

    def form(self, draw: DrawOptions) -> str:
        """The format, with `auto` resolved.

        Raises:
            OptionError: windows cannot be GeoTIFFs.
        """
        windows = draw.kind in WINDOWS_PX
        if self.format == "geotiff" and windows:
            raise OptionError(f"--kind {draw.kind} makes windows, too many for files: pass --format zarr or npz.")
        return ("zarr" if windows else "geotiff") if self.format == "auto" else self.format


class Job(NamedTuple):
    """Everything that decides what a data set holds."""

    source: Source
    draw: DrawOptions
    options: DatasetOptions
    trace: Trace | None = None


class Run(NamedTuple):
    """How it is made."""

    command: str
    version: str
    overwrite: bool = False
    tell: Callable[[str], None] = lambda _: None


class Made(NamedTuple):
    """What was written."""

    folder: Path
    card: dict[str, Any]
    """Content of card.json."""


def make_dataset(job: Job, folder: Path, run: Run) -> Made:
    """Draw the pairs of `job`, and write them with a card (card.md, card.json) and a contact sheet into a new folder.

    The folder appears when all is in it. Until then the pairs are kept beside it, under `FOLDER.terrashift-work`, and
    the same command goes on where it was cut short.

    Raises:
        OptionError, InputError: the options contradict each other, or the places do not do.
        OutputError: the folder exists, cannot be written, or the disk is full.
    """
    folder = Path(os.path.abspath(folder))
    form = job.options.form(job.draw)
    _refuse_job(job)
    _refuse_folder(folder, run.overwrite)
    with explaining(folder, _bytes(job, form)):
        check_space(folder, _bytes(job, form))
        work = Draft.open(folder, _key(job, form, run.version), run.overwrite)
        try:
            _fill(work, job, form, run)
            card = _finish(work, job, form, run)
            work.publish()
        finally:
            work.close()
    return Made(folder, card)


def _fill(work: Draft, job: Job, form: str, run: Run) -> None:
    """Write the chunks that are not there yet."""
    chunk, chunks = _chunk(job, form), _chunks(job, form)
    if form != "geotiff" and not _group(work, form).exists():
        create_arrays(_group(work, form), job.options.count, chunk, _plan(job), {"convention": CONVENTION})
    finished = sum(map(work.done, range(chunks)))
    if finished:
        run.tell(f"going on: {finished} of {chunks} parts were finished before")
    every = -(-chunks // STEPS)
    try:
        for number in range(chunks):
            if work.done(number):
                continue
            first = number * chunk
            count = min(chunk, job.options.count - first)
            windows = job.draw.kind in WINDOWS_PX
            (_write_windows if windows else _write_pairs)(work, job, form, number, range(first, first + count))
            if (number + 1) % every == 0 and number + 1 < chunks:
                run.tell(f"{first + count} of {job.options.count} {'windows' if windows else 'pairs'}")
    except KeyboardInterrupt as error:
        kept = f"what is finished is kept in {work.folder}; the same command goes on."
        some = any(map(work.done, range(chunks)))
        raise KeyboardInterrupt(f"interrupted: {kept if some else 'nothing was finished yet.'}") from error


def _write_pairs(work: Draft, job: Job, form: str, number: int, pairs: range) -> None:
    drawn = [draw_pair(job.source, job.draw, k, job.trace) for k in pairs]
    records = [describe(one, k) | {"histogram": histogram(one.ground_px)} for one, k in zip(drawn, pairs, strict=True)]
    if form == "geotiff":
        for one, record, k in zip(drawn, records, pairs, strict=True):
            write_pair(work.content / _name(k), _files(one, record), one.place.dates)
    else:
        stacked = {
            "before": [one.pair.before.pixels[0] for one in drawn],
            "after": [one.pair.after.pixels[0] for one in drawn],
            "flow": [one.pair.flow for one in drawn],
            "trace": [one.pair.trace for one in drawn],
        }
        arrays = {name: torch.stack(parts).numpy() for name, parts in stacked.items()}
        arrays["first_pixel"] = np.array([one.corner for one in drawn])
        write_arrays(_group(work, form), _chunk(job, form), number, arrays)
    for one, k in zip(drawn, pairs, strict=True):
        if k in _shown(job.options.count):
            parts = (one.pair.before.pixels[0], one.pair.after.pixels[0], one.ground_px, one.pair.trace)
            _keep_picture(work, k, f"{_name(k)}  {one.place.name}, {one.generator}", parts)
    work.mark(number, records)


def _write_windows(work: Draft, job: Job, form: str, number: int, windows: range) -> None:
    parts = [draw_windows(job.source, job.draw, k) for k in range(windows.start // PATCH, -(-windows.stop // PATCH))]
    count = len(windows)
    fields = ("before", "after", "flow", "trace")
    arrays = {name: torch.cat([getattr(part, name) for part in parts])[:count].numpy() for name in fields}
    arrays["first_pixel"] = np.repeat([part.corner for part in parts], PATCH, 0)[:count]
    write_arrays(_group(work, form), _chunk(job, form), number, arrays)
    records = []
    for k, part in enumerate(parts):
        place, own = part.place, arrays["flow"][k * PATCH : (k + 1) * PATCH]
        records.append(
            {"place": place.name, "dates": [date or None for date in place.dates], "sensor": place.sensor}
            | {"licence": place.licence, "source": place.source, "pixel_m": place.pixel_m or None}
            | {"generator": GENERATORS[job.draw.kind], "windows": len(own)}
            | {"number": windows.start + k * PATCH, "histogram": histogram(torch.from_numpy(own.T))}
        )
    for k in set(windows) & set(_shown(job.options.count)):
        part, at = parts[(k - windows.start) // PATCH], (k - windows.start) % PATCH
        shown = (part.before[at], part.after[at], part.fields[at], part.trace[at])
        _keep_picture(work, k, f"{k}  {part.place.name}", shown)
    work.mark(number, records)


def _files(drawn: Drawn, record: dict[str, Any]) -> PairFiles:
    """The truth as a field like any measured one; its errors are the spread of local offsets between the dates."""
    pair, grid = drawn.pair, drawn.pair.before.grid
    sigma = torch.tensor(pair.offset.spread)[:, None, None].expand_as(pair.flow)
    full = torch.ones(grid.shape)
    flow = Flow(pair.flow, sigma, full, torch.zeros(grid.shape, dtype=torch.uint8))
    made_by = {"MADE_BY": "terrashift simulate: the true displacement", "PAIR": record}
    truth = DisplacementField.from_flow(flow, grid, 1, made_by=made_by)
    return PairFiles(pair.before, pair.after, truth, drawn.lines, record)


def _finish(work: Draft, job: Job, form: str, run: Run) -> dict[str, Any]:
    """Write card, contact sheet and, where wanted, the one file of arrays."""
    records = work.records(_chunks(job, form))
    if form == "npz":
        arrays_to_npz(_group(work, form), work.content / "pairs.npz", _chunk(job, form))
    if form != "geotiff":
        atomic_write_text(work.content / "pairs.json", json.dumps(records, indent=1, ensure_ascii=False))
    card = _card(job, form, run, records)
    atomic_write_text(work.content / "card.json", json.dumps(card, indent=1, ensure_ascii=False))
    atomic_write_text(work.content / "card.md", page(card))
    size = " x ".join(map(str, card["size_px"]))
    title = f"Simulated pairs ({card['kind']}): {card['pairs']} of {size} px, seed {job.draw.seed}"
    contact_sheet(list(_pictures(work)), work.content / "contact.png", title)
    return card


def _card(job: Job, form: str, run: Run, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader wants to know of the data set, as JSON values."""
    about = {"format": FORMAT, "kind": job.draw.kind, "pairs": job.options.count, "size_px": _size(job)}
    about |= {"stored_as": form, "split": job.options.split, "seed": job.draw.seed, "version": run.version}
    about |= {"command": run.command, "convention": CONVENTION}
    return about | summary(records) | {"inputs": job.source.inputs, "options": job.draw.model_dump(mode="json")}


def _keep_picture(work: Draft, number: int, name: str, parts: tuple[torch.Tensor, ...]) -> None:
    every = max(1, max(parts[0].shape) // 400)
    small = [part[..., ::every, ::every].numpy() for part in parts]
    with open(work.folder / "shown" / f"{number:09d}.npz", "wb") as file:
        np.savez(file, *small, name=np.array(name))


def _pictures(work: Draft) -> Iterator[Shown]:
    for path in sorted((work.folder / "shown").glob("*.npz")):
        try:
            kept = read_arrays(path, ("name", *(f"arr_{k}" for k in range(4))))
        except (OSError, Malformed) as error:
            raise OutputError(f"{path} is damaged ({error}): delete it and its part's mark, and go on") from error
        yield Shown(str(kept["name"]), *(kept[f"arr_{k}"] for k in range(4)))


def _shown(count: int) -> list[int]:
    """Numbers of the pairs on the contact sheet."""
    return np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int)).tolist()


def _group(work: Draft, form: str) -> Path:
    """The Zarr group, inside the result if that is what is wanted."""
    return work.content / "pairs.zarr" if form == "zarr" else work.folder / "arrays" / "pairs.zarr"


def _name(number: int) -> str:
    return f"pair_{number:05d}"


def _size(job: Job) -> list[int]:
    if job.draw.kind in WINDOWS_PX:
        return [job.draw.window_px] * 2
    if job.trace and not job.draw.size_px:
        return list(job.source.place(np.random.default_rng(0), 1).grid.shape)
    return [job.draw.size_px or USUAL_SIZE_PX] * 2


def _chunk(job: Job, form: str) -> int:
    """Pairs that are written together; whole parts of windows."""
    if form == "geotiff":
        return 1
    height, width = _size(job)
    pairs = max(1, CHUNK_BYTES // (17 * height * width))
    return max(1, pairs // PATCH) * PATCH if job.draw.kind in WINDOWS_PX else min(pairs, 16)


def _chunks(job: Job, form: str) -> int:
    return -(-job.options.count // _chunk(job, form))


def _plan(job: Job) -> dict[str, ArrayPlan]:
    shape = tuple(_size(job))
    image = ("row", "column")
    windows = job.draw.kind in WINDOWS_PX
    flow = ArrayPlan((2,), "float32", ("xy",), "px at pixel (side // 2, side // 2); the convention is the group's")
    whole = ArrayPlan((2, *shape), "float32", ("xy", *image), "px; see the convention of the group")
    return {
        "before": ArrayPlan(shape, "float32", image, "first image, in the units of its source; NaN without data"),
        "after": ArrayPlan(shape, "float32", image, "second image"),
        "flow": flow if windows else whole,
        "trace": ArrayPlan(shape, "bool", image, "True on pixels along the rupture, of either side"),
        "first_pixel": ArrayPlan(
            (2,), "int64", ("rc",), "row and column of the first pixel (of the part, for windows)"
        ),
    }


def _bytes(job: Job, form: str) -> int:
    height, width = _size(job)
    return job.options.count * height * width * (33 if form == "geotiff" else 17)


def _key(job: Job, form: str, version: str) -> dict[str, Any]:
    """Whatever decides the content."""
    trace = [line.tolist() for line in job.trace.lines] if job.trace else None
    key = {"format": FORMAT, "version": version, "form": form, "trace": trace, "inputs": job.source.inputs}
    return json.loads(json.dumps(key | {"draw": job.draw.model_dump(), "options": job.options.model_dump()}))


def _refuse_job(job: Job) -> None:
    if job.trace and job.draw.kind != "rupture":
        raise OptionError(f"--trace makes ruptures, but --kind {job.draw.kind} makes windows: leave one of them out.")
    if not job.trace:
        job.source.place(np.random.default_rng(0), largest_side(job.draw))  # at the door, not after half of the pairs


def _refuse_folder(folder: Path, overwrite: bool) -> None:
    if not folder.parent.is_dir():
        raise OutputError(
            f"cannot write {folder}: the folder {folder.parent} does not exist. Make it, or choose another"
        )
    if folder in (Path.cwd(), *Path.cwd().parents):
        raise OutputError(f"{folder} is the folder that this command runs in: give the name of a new folder")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise OutputError(f"cannot write {folder}: it is a file. Choose the name of a new folder")
    if not overwrite:
        raise OutputError(f"{folder} exists already: pass --overwrite to replace it, or choose another name")
    try:
        ours = expect_object(parse_json(read_text(folder / "card.json", LARGEST_VECTORS))).get("format") == FORMAT
    except (OSError, Malformed):
        ours = False
    if not ours:
        raise OutputError(
            f"{folder} is not a data set that TerraShift wrote, so it was left alone: choose another name"
        )
