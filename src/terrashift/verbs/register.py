"""Bring an image onto another, or a group of images onto each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import out, show, tell, warn
from ..errors import OptionError

REGISTER = """Bring one image onto the pixels of another: `terrashift register moving.tif reference.tif -o aligned.tif`.

Finds where each pixel of the reference lies in the moving image (by georeferencing or content, then by tie points) and
resamples every band once. Beside the result come its tie points (.ties.gpkg or .ties.geojson), all numbers (.json),
a picture (.png) and a page with a slider (.html).

With --group, registers any number of images together: `terrashift register --group *.tif -o folder`."""
SHORT = {"window_px": "--window", "spacing_px": "--spacing"}


def register(words: Sequence[str]) -> int:
    """`terrashift register moving reference -o aligned.tif`."""
    from ..register.options import RegisterOptions

    found = parse(words, "register", REGISTER, [*_arguments(), *settings(RegisterOptions, SHORT)])
    options = model_of(RegisterOptions, found, SHORT)
    if found.group:
        return _group(found, options)
    if found.moving is None or found.reference_image is None or found.reference is not None:
        raise OptionError(
            "give the moving image and its reference: `terrashift register moving.tif reference.tif -o aligned.tif`; "
            "--reference belongs to --group."
        )
    return _pair(found, options)


def _arguments() -> list[Argument]:
    from ..recipe import METHODS

    methods: Any = Literal[tuple(METHODS)]
    return [
        positional("moving", str | None, None, "Image to be moved: path or URL.", metavar="MOVING"),
        positional("reference_image", str | None, None, "Image that stays: path or URL.", metavar="REFERENCE"),
        argument("output", Path, REQUIRED, "Name of the aligned GeoTIFF; of a folder with --group.", aliases=["-o"]),
        argument("group", tuple[str, ...], (), "Register these images together.", metavar="IMAGE"),
        argument("reference", str | None, None, "Image of the group that stays where it is; unless given, the mean."),
        argument("neighbours", int, 4, "With --group: pairs between each image and so many that follow it."),
        argument("band", str | None, None, "Band to match by: number, name or wavelength (842nm)."),
        argument("band_reference", str | None, None, "The same of the reference, where it differs."),
        argument("nodata", float | None, None, "A further value that means no data, before scale and offset."),
        argument("crs", str | None, None, "CRS for a file that has none, e.g. EPSG:32631."),
        argument(
            "method", methods, "frequency", "What measures tie points; those but frequency take their own window."
        ),
        argument("ties", Path | None, None, "Name for the tie points: .gpkg or .geojson.", metavar="FILE"),
        argument("exclude", tuple[Path, ...], (), "Masks of ground that is left out of the fit: polygons, rasters."),
        argument("stable", tuple[Path, ...], (), "Masks of the only ground that is fitted to."),
        argument("trace", Path | None, None, "GeoJSON lines of a fault: a fit that holds its motion is warned of."),
        argument("device", Literal["auto", "cpu", "cuda"], "auto", "Where tie points are measured."),
        switch("overwrite", "Replace results of the same name."),
    ]


def _pair(found: Any, options: Any) -> int:
    from ..io.opening import bounded_cache
    from ..io.raster import ReadOptions
    from ..plot.registration import registration_picture
    from ..plot.slider import slider_page
    from ..register.files import Output, Request, register_files
    from ..register.preview import preview

    output = Output.beside(found.output, found.ties)
    masks = _masks(found)
    output.check(found.overwrite, (found.moving, found.reference_image, *masks.paths))
    request = Request(
        moving=found.moving,
        reference=found.reference_image,
        options=options,
        read_moving=ReadOptions(band=found.band, nodata=found.nodata, crs=found.crs),
        read_reference=ReadOptions(band=found.band_reference or found.band, nodata=found.nodata, crs=found.crs),
        masks=masks,
        estimator_at=_estimator_at(found, options),
        device=_device(found),
    )
    job, result, numbers = register_files(request, output, tell)
    for warning in result.warnings:
        warn(warning)
    with bounded_cache():
        shown = preview(job, result)
    registration_picture(result, shown, output.picture)
    told = _in_words(numbers)
    slider_page(shown, f"{Path(found.moving).name} on {Path(found.reference_image).name}", told, output.page)
    show("\n".join(f"{name:22} {value}" for name, value in told.items()))
    out(f"{output.image}: aligned. Look at {output.picture} and {output.page}.")
    return 0


def _group(found: Any, options: Any) -> int:
    from ..io.raster import ReadOptions
    from ..plot.registration import group_picture
    from ..register.group_files import GroupOutput, GroupRequest, at_middle, register_group_files
    from ..register.options import GroupOptions

    named: list[str] = [*([found.moving] if found.moving else []), *found.group]
    files = tuple(dict.fromkeys(named))
    if found.reference_image:
        raise OptionError("with --group, name the image that stays by --reference.")
    if found.method != "frequency" or found.band_reference or found.ties:
        raise OptionError("--method, --band-reference and --ties belong to one pair: leave them out with --group.")
    output = GroupOutput.into(found.output, files)
    output.check(found.overwrite, files)
    read = ReadOptions(band=found.band, nodata=found.nodata, crs=found.crs)
    neighbours = model_of(GroupOptions, found)
    request = GroupRequest(files, found.reference, options, neighbours, read, _masks(found))
    group, names, grid, numbers = register_group_files(request, output, tell)
    for first, second, reason in group.failed:
        warn(f"{names[first]} and {names[second]} are left out: {reason.split(':')[0]}")
    group_picture(group, names, grid, output.picture)
    for name, shift, error in zip(names, group.shifts, group.errors_px, strict=True):
        x, y = at_middle(shift, grid)
        out(f"{name:32} {x:+8.3f} px right {y:+8.3f} px down  +- {error:.3f}")
    out(f"{output.folder}: {len(names)} images aligned ({group.model}), {numbers['pairs']} offsets in {output.table}")
    return 0


def _masks(found: Any) -> Any:
    from ..register.files import Masks

    return Masks(found.exclude, found.stable, found.trace)


def _device(found: Any) -> str:
    from ..resources import RunOptions

    return RunOptions(device=found.device).torch_device


def _estimator_at(found: Any, options: Any) -> Any:
    """The chosen method at any step; the frequency correlator's settings are those of the registration itself."""
    if found.method == "frequency":
        return None
    from ..recipe import METHODS

    kind = METHODS[found.method]
    return lambda step: kind(step_px=step)


def _in_words(numbers: dict[str, Any]) -> dict[str, str]:
    """What a user looks at first."""
    x, y = numbers["shift at the middle px"]
    ties = numbers["tie points"]
    return {
        "model": numbers["model"],
        "started by": numbers["started by"],
        "shift at the middle": f"{x:+.3f} px right, {y:+.3f} px down",
        "tie points": f"{ties['used']} used, {ties['outlier']} outliers, {ties['excluded']} excluded",
        "CE90 before": f"{numbers['ce90 before px']:.3f} px",
        "CE90 after": f"{numbers['ce90 after px']:.3f} px ({numbers['ce90 held out px']:.3f} px held out)",
        "standard error": f"{numbers['standard error px']:.3f} px",
    }
