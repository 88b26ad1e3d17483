"""Take out of a displacement field what is no motion of the ground: ramps, and stripes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import out, tell, warn
from ..errors import GridMismatchError, OptionError, OutputError

DETREND = """Take a ramp out of a displacement field: a polynomial of degree 0 to 3, fitted robustly to stable ground.

Give the fault's trace wherever there is one: each side of it then has a constant of its own in the fit, which stays in
the field, so that the ramp cannot swallow the fault's offset. Writes the corrected field, what was removed
(NAME.removed.tif), pictures of both (.png), and the numbers (.json)."""
DESTRIPE = """Take stripes out of a displacement field: those along the satellite's track (its detectors) and those
across it (its jitter).

Writes the corrected field, what was removed (NAME.removed.tif), pictures of both (.png), and the numbers (.json)."""
WEDGE = {"longest_cells": "--longest"}


def detrend(words: Sequence[str]) -> int:
    """`terrashift detrend displacement.tif -o flat.tif`."""
    from ..register.trends import TrendOptions
    from ..register.trends import detrend as run

    more = [
        argument("trace", Path | None, None, "GeoJSON file with the trace of the fault.", metavar="FILE"),
        argument(
            "stable",
            Path | None,
            None,
            "Raster on the field's grid; only where it holds neither 0 nor nodata is the ramp fitted to.",
            metavar="FILE",
        ),
        *settings(TrendOptions),
    ]
    found = parse(words, "detrend", DETREND, [*_files(), *more])
    options = model_of(TrendOptions, found)
    if options.exclude_m and not found.trace:
        raise OptionError("--exclude-m counts from the trace: give --trace FILE too.")
    files = _Files.of(found)
    displacement = _read(files)
    traces = _traces(found.trace, displacement.grid) if found.trace else ()
    stable = _stable(found.stable, displacement.grid) if found.stable else None
    result = run(displacement, options, stable, traces)
    for text in result.warnings:
        warn(text)
    numbers = {"detrend": options.model_dump(), **result.to_json()}
    files.write(result, numbers)
    out(_trend_lines(result, displacement.grid.unit, files))
    return 0


def destripe(words: Sequence[str]) -> int:
    """`terrashift destripe displacement.tif -o smooth.tif`."""
    from ..register.stripes import StripeOptions
    from ..register.stripes import destripe as run

    more = [
        argument(
            "direction",
            str,
            "auto",
            "Of the satellite's track: degrees from up the image to the right; metadata: from the images' names; "
            "found: where the field is striped most; auto: metadata where they tell it, else found.",
        ),
        *settings(StripeOptions, WEDGE),
    ]
    found = parse(words, "destripe", DESTRIPE, [*_files(), *more])
    options = model_of(StripeOptions, found, WEDGE)
    _refuse_direction(found.direction)
    files = _Files.of(found)
    displacement = _read(files)
    angle, how = _direction(found.direction, displacement, options.longest_cells)
    result = run(displacement, angle, options)
    files.write(result, {"destripe": options.model_dump(), "direction": how, **result.to_json()})
    unit = displacement.grid.unit
    lines = [f"track: {angle:.1f} degrees from up the image to the right ({how})"]
    lines += [
        f"{name}: stripes of {rms:.3g} {unit} (root mean square) removed"
        for name, rms in zip(("east", "north"), result.removed_rms, strict=True)
    ]
    out("\n".join([*lines, f"{files.target} and {files.removed}"]))
    return 0


class _Files:
    """What is read and written."""

    def __init__(self, source: Path, target: Path, overwrite: bool) -> None:
        from ..io.atomic import check_target

        self.source, self.target, self.overwrite = source, target, overwrite
        self.removed = target.with_name(f"{target.stem}.removed.tif")
        self.numbers = target.with_suffix(".json")
        self.pictures = target.with_suffix(".png"), self.removed.with_suffix(".png")
        if target.exists() and source.exists() and target.samefile(source):
            raise OutputError(f"{target} is the field to be corrected itself: give another name.")
        for path in (target, self.removed, self.numbers, *self.pictures):
            check_target(path, overwrite)

    @classmethod
    def of(cls, found: Any) -> _Files:
        return cls(found.field, found.output, found.overwrite)

    def write(self, result: Any, numbers: Mapping[str, Any]) -> None:
        """Write everything, the corrected field last."""
        from dataclasses import replace

        from ..io.atomic import atomic_write_text
        from ..io.cog import blocks_of, to_tags, write_field
        from ..plot.maps import quicklook

        made_by = {**result.corrected.made_by, "CLEANED_FROM": self.source.name, "CLEANED_BY": dict(numbers)}
        method = f"removed by {next(iter(numbers))}; {made_by.get('METHOD', 'unknown')}"  # heads the picture
        corrected = replace(result.corrected, made_by=made_by)
        removed = replace(result.removed, made_by={**made_by, "METHOD": method})
        atomic_write_text(self.numbers, json.dumps(numbers, indent=2) + "\n")
        for field, path, picture in zip(
            (removed, corrected), (self.removed, self.target), self.pictures[::-1], strict=True
        ):
            quicklook(field, picture)
            write_field(path, field.grid, blocks_of(field), to_tags(field.made_by), self.overwrite)


def _files() -> list[Argument]:
    return [
        positional("field", Path, REQUIRED, "Displacement field that `terrashift measure` wrote.", metavar="FIELD"),
        argument("output", Path, REQUIRED, "Name of the corrected GeoTIFF.", aliases=["-o"], metavar="FILE"),
        switch("overwrite", "Replace results of the same name."),
    ]


def _read(files: _Files) -> Any:
    from ..io.exchange.formats import read_any

    return read_any(files.source)


def _traces(path: Path, grid: Any) -> Any:
    from ..io.vectors import read_lines, refuse_far

    lines = read_lines(path, grid.crs)
    refuse_far(lines, grid, str(path))
    return lines


def _stable(path: Path, grid: Any) -> Any:
    """Cells where a raster on the field's grid holds something."""
    from ..io.raster import open_raster, read_whole

    mask = open_raster(str(path))
    same = mask.grid.shape == grid.shape and (
        mask.grid.crs is None or grid.crs is None or mask.grid.transform.almost_equals(grid.transform, 1e-6)
    )
    if not same:
        raise GridMismatchError(
            f"{path} is on {mask.grid}; the field is on {grid}: warp the mask onto the field's grid, "
            "`gdalwarp -r near -te XMIN YMIN XMAX YMAX -ts WIDTH HEIGHT MASK out.tif`."
        )
    values = read_whole(mask).numpy()
    return (values == values) & (values != 0)


def _refuse_direction(text: str) -> None:
    if text in ("auto", "metadata", "found"):
        return
    try:
        if -180 <= float(text) <= 180:
            return
    except ValueError:
        pass
    raise OptionError(f"--direction is {text!r}: give degrees from -180 to 180, metadata, found or auto.")


def _direction(text: str, displacement: Any, longest_cells: int) -> tuple[float, str]:
    """The track's angle, and where it is from."""
    from ..register.stripes import found_angle
    from ..register.track import track_angle

    if text not in ("auto", "metadata", "found"):
        return float(text), "given"
    known = track_angle(displacement) if text != "found" else None
    if known is not None:
        return known[1], f"orbit of {known[0]}"
    if text == "metadata":
        raise OptionError(
            "the names of the images tell no mission whose orbit is known: give --direction in degrees, or found."
        )
    if text == "auto":
        tell("the names of the images tell no orbit: looking for the direction in the field")
    found = found_angle(displacement, longest_cells)
    return found.angle_deg, f"found, contrast {found.contrast:.0f}"


def _trend_lines(result: Any, unit: str, files: _Files) -> str:
    lines = []
    for name in ("east", "north"):
        trend = getattr(result, name)
        numbers = ", ".join(f"{term} {value:.4g}" for term, value in trend.coefficients.items())
        kept = "; offsets kept: " + ", ".join(f"{step:.3g}" for step in trend.steps) if trend.steps else ""
        lines.append(
            f"{name}: removed {numbers} {unit}{kept}; {trend.used} cells, {trend.outliers} outliers, residual "
            f"{trend.scale:.3g} {unit}"
        )
    return "\n".join([*lines, f"{files.target} and {files.removed}"])
