"""Several images of one place to one sharper image, and what such methods are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..arguments import REQUIRED, Argument, argument, model_of, parse, positional, settings, switch
from ..console import TileProgress, out, show, tell, warn

SUPERRES = """Make one sharper image of several of one place: `terrashift superres frame*.tif -o sharp.tif --scale 3`.

The frames lie on nearly the same grid (fractions of a pixel apart is best) and may be clouded. Shifts between them are
measured, brightness is matched, what contradicts the others is left out. Writes one Cloud-Optimised GeoTIFF (the bands,
their sigmas, the number of frames) on the reference's grid, and a summary (.json) with each frame's shift and share."""


def superres(words: Sequence[str]) -> int:
    """`terrashift superres frame1.tif frame2.tif ... -o sharp.tif --scale 3`."""
    from ..io.raster import ReadOptions
    from ..resources import RunOptions
    from ..sharpen import Request, sharpen
    from ..superres.files import MaskOptions
    from ..superres.options import SuperresOptions
    from ..watch import Watch

    found = parse(words, "superres", SUPERRES, [*_arguments(), *settings(SuperresOptions)])
    request = Request(
        tuple(found.frames),
        model_of(SuperresOptions, found),
        model_of(RunOptions, found, usual=("allow_partial",)),
        ReadOptions(nodata=found.nodata, crs=found.crs),
        found.bands,
        MaskOptions(found.mask, found.mask_band, found.mask_values, found.clear_values),
    )
    with TileProgress("sharpening") as progress:
        watch = Watch(tell, warn, progress)
        facts = sharpen(request, found.output, resume=found.resume, overwrite=found.overwrite, watch=watch)
    show(_in_words(facts))
    out(f"{found.output}: {facts['grid']}, by {facts['method']}. Numbers in {found.output.with_suffix('.json')}.")
    return 0


def _arguments() -> list[Argument]:
    return [
        positional("frames", tuple[str, ...], (), "Images of one place, two or more: paths or URLs.", metavar="FRAME"),
        argument("output", Path, REQUIRED, "Name of the resulting GeoTIFF.", aliases=["-o"], metavar="FILE"),
        argument("bands", tuple[str, ...], (), "Bands by number or name; all with data unless given.", metavar="BAND"),
        argument("mask", tuple[str, ...], (), "A mask for each frame, in their order.", metavar="FILE"),
        argument("mask_band", str | None, None, "Band of the frames that holds their mask."),
        argument("mask_values", tuple[float, ...], (), "Mask values that are not usable; unless given, all but 0."),
        argument("clear_values", tuple[float, ...], (), "The only mask values that are usable, instead."),
        argument("nodata", float | None, None, "A further value that means no data, before scale and offset."),
        argument("crs", str | None, None, "CRS for files that have none, e.g. EPSG:32631."),
        argument("max_memory", str, "3GiB", "Memory that the whole process may take, such as 800MB or 3GiB."),
        argument("threads", int | None, None, "Tiles computed at a time; one per processor core unless given."),
        argument("tile_px", int | None, None, "Side of the tiles that are stored and resumed, px of the frames; 256."),
        argument("device", Literal["auto", "cpu", "cuda"], "auto", "Where to compute; auto takes a GPU if any."),
        switch("resume", "Go on with a run that was cut short."),
        switch("overwrite", "Replace results of the same name, or start an unfinished run again."),
    ]


def _in_words(facts: dict[str, Any]) -> str:
    """The frames, one line each."""
    first, *others = facts["frames"]
    lines = [f"{first['name']:32} the reference, {first['clear share']:.0%} usable"]
    for one in others:
        x, y = one["shift px"]
        lines.append(
            f"{one['name']:32} {x:+7.3f} px right {y:+7.3f} px down +- {one['shift error px']:.3f}, "
            f"{one['clear share']:.0%} usable"
        )
    return "\n".join([*lines, *(f"{left['name']:32} left out: {left['reason']}" for left in facts["left out"])])


SCORE = """Judge super-resolution methods on scenes with a sharp truth: `terrashift score probav --methods ibp`.

DATA is the folder of the PROBA-V challenge (imgset folders and norm.csv) or a file that `terrashift pack` made of it,
or imagery to make bursts of: a folder with GeoTIFFs, or an archive of `terrashift pack`. cPSNR, cSSIM and the
challenge's score forgive shifts of up to 3 px and brightness; PSNR and SSIM forgive nothing. Methods: those of
`superres`; all unless given."""


def score(words: Sequence[str]) -> int:
    """`terrashift score DATA`."""
    import json

    from ..evaluate.sharpening import Setting, judge_all, table, to_json
    from ..io.atomic import atomic_write_text, check_target
    from ..superres.methods import BASELINES, method_for, packaged
    from ..superres.options import SuperresOptions

    found = parse(words, "score", SCORE, _score_arguments())
    if found.output is not None:
        check_target(found.output, found.overwrite)
    setting = Setting(found.max_frames, found.anchor, found.keep_outliers, found.trust_all, found.scenes)
    cases, scale = _cases(found, setting)
    names = found.methods or (*BASELINES, *packaged())
    methods = [method_for(SuperresOptions(scale=scale, method=name), 1) for name in names]
    rows = judge_all(cases, methods, setting, tell)
    out(table(rows))
    if found.output is not None:
        atomic_write_text(found.output, json.dumps(to_json(rows), indent=1) + "\n")
    return 0


def _cases(found: Any, setting: Any) -> tuple[Any, int]:
    """The cases that a user names, and their scale."""
    from ..errors import OptionError
    from ..evaluate.sharpening import burst_cases, probav_cases
    from ..io.packed_scenes import holds_scenes
    from ..io.probav import SCALE, read_references

    packed = found.data.is_file() and holds_scenes(found.data)
    if packed and found.references is not None:
        raise OptionError("--references is given when scenes are packed: `terrashift pack FOLDER --references FILE`.")
    if not 0 <= found.held_out < 1:
        raise OptionError(f"--held-out {found.held_out:g}: give a share below 1, that of the training recipe.")
    if packed or (found.data.is_dir() and any(found.data.rglob("LR*.png"))):
        references = read_references(found.references) if found.references else None
        return probav_cases(found.data, setting, references, found.held_out), SCALE
    if found.references is not None or found.held_out:
        raise OptionError("--references and --held-out belong to the scenes of PROBA-V: leave them out.")
    from ..evaluate.imagery import packed_archive

    return burst_cases(packed_archive(found.data), setting, found.scale, found.size_px), found.scale


def _score_arguments() -> list[Argument]:
    return [
        positional("data", Path, REQUIRED, "Folder of PROBA-V scenes or of imagery, or either packed."),
        argument("output", Path | None, None, "Also write all numbers as JSON.", aliases=["-o"], metavar="FILE"),
        argument("methods", tuple[str, ...], (), "Methods, or files of weights; all unless given.", metavar="METHOD"),
        argument("max_frames", int, 9, "Frames that are used of each scene: the clearest."),
        argument("scenes", int | None, None, "Scenes of each group; all of PROBA-V, 16 bursts unless given."),
        argument(
            "held_out",
            float,
            0.0,
            "Of PROBA-V: only this share of each band, as recipes hold it out.",
        ),
        argument(
            "references",
            Path | None,
            None,
            "Of PROBA-V: reference.json of PROBA-V-REF, which tells the frame of each truth.",
            metavar="FILE",
        ),
        argument("scale", int, 3, "Of bursts: pixels of the truth along a pixel of the frames."),
        argument("size_px", int, 64, "Of bursts: side of the frames.", aliases=["--size"]),
        argument("anchor", Literal["low", "exact", "none"], "low", "See `terrashift superres --help`."),
        switch("keep_outliers", "Use pixels that contradict the median of all frames too."),
        switch("trust_all", "Let every frame count alike, also where it shows other ground than the reference."),
        switch("overwrite", "Replace the JSON of the same name."),
    ]
