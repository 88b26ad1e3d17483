"""The verbs of the command line: options in, one call of the package, results out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from . import flags
from .console import TileProgress, out, show, tell, warn
from .errors import OptionError

MEASURE = """Measure the displacement of the ground between two images of one place on one grid.

Writes one Cloud-Optimised GeoTIFF (east, north, their errors, score, reasons) and beside it the recipe (.recipe.yaml),
a picture (.png) and a summary (.json)."""
CHECK = "Look at two images before any work: grids, overlap, data, texture, saturation, dates, resampling, offset."
RECIPE = "Print a recipe, every setting with its comment. Flags change what is printed."
SIMULATE = """Make pairs of images with exactly known displacement: from one or two images of your own, from an archive,
or, without any image, from made-up landscapes.

Two images (of two dates, on one grid) give the most honest pairs: whatever differs between real dates differs in them.
Writes a new folder of pairs with their truth, a card (card.md, card.json) and a contact sheet (contact.png)."""
PACK = """Pack the rasters below a folder, places and dates, into one small archive for `simulate` and `train`.

Or pack made-up landscapes: `terrashift pack --scenes 16 -o scenes.tsi`.

A place is a folder whose files are called alike but for their dates, else a file name without its date."""
SIMULATE_SHORT = {
    "size_px": "--size",
    "window_px": "--window",
    "largest": "--class",
    "slip_m": "--slip",
    "depth_km": "--depth",
    "dip_deg": "--dip",
}
DEMO = "Generate an earthquake, measure it as a user would, and compare with the truth."


def check(words: Sequence[str]) -> int:
    """`terrashift check before after`."""
    start = flags.Start(flags.Recipe(), "", tuple(words))
    more = [
        _argument("window_px", int, 32, "Side of the window that will be measured with, pixels.", aliases=["--window"]),
        _flag("json", "Print everything as JSON."),
    ]
    found, recipe = flags.parse(start, "check", CHECK, [*_images(), *more], parts=("read",))
    from .analyse.findings import render
    from .pipeline import check

    result = check(found.before, found.after, recipe.read, found.window_px)
    if found.json:
        out(json.dumps(result.to_json(), indent=2))
    else:
        show(render(result))
    return 0 if result.ok else 2


def measure(words: Sequence[str]) -> int:
    """`terrashift measure before after -o displacement.tif`."""
    start = flags.take_start(words)
    more = [
        _argument("output", Path, flags.REQUIRED, "Name of the resulting GeoTIFF.", aliases=["-o"], metavar="FILE"),
        *flags.start_arguments(),
        _flag("resume", "Go on with a run that was cut short."),
        _flag("overwrite", "Replace results of the same name, or start an unfinished run again."),
    ]
    found, recipe = flags.parse(start, "measure", MEASURE, [*_images(), *more])
    from .pipeline import Watch
    from .pipeline import measure as run
    from .report import render

    with TileProgress() as progress:
        watch = Watch(say=tell, warn=warn, tiles=progress)
        summary = run(
            found.before, found.after, found.output, recipe, resume=found.resume, overwrite=found.overwrite, watch=watch
        )
    show(render(summary))
    return 0


def recipe(words: Sequence[str]) -> int:
    """`terrashift recipe --preset glacier > mine.yaml`."""
    start = flags.take_start(words)
    template = _flag("template", "Print the defaults; the same as no flag at all.")
    _, changed = flags.parse(start, "recipe", RECIPE, [template, *flags.start_arguments()])
    if start.preset:
        out(flags.preset(start.preset).to_yaml(changed.estimate.method, changed).rstrip())
    else:
        out(changed.to_yaml().rstrip())
    return 0


def simulate(words: Sequence[str]) -> int:
    """`terrashift simulate before after -o pairs --count 100`."""
    from .dataset import DatasetOptions, Job, Run, make_dataset
    from .simulate.draw import DrawOptions

    start = flags.Start(flags.Recipe(), "", tuple(words))
    found, recipe = flags.parse(
        start,
        "simulate",
        SIMULATE,
        [*_simulate_arguments(), *_settings(DatasetOptions), *_settings(DrawOptions)],
        parts=("read",),
    )
    draw, options = (_model(kind, found) for kind in (DrawOptions, DatasetOptions))
    from . import __version__

    job = _job(Job, found, recipe.read, draw, options)
    command = shlex.join(["terrashift", "simulate", *words])
    made = make_dataset(job, found.output, Run(command, str(__version__), found.overwrite, tell))
    out(f"{found.output}: {made.card['pairs']} simulated. Look at contact.png and card.md in it.")
    return 0


def _simulate_arguments() -> list[tuple[str, Any, Any]]:
    from .simulate.places import FileOptions

    plain = FileOptions(flags.Recipe().read)
    return [
        *_images(None),
        _argument("output", Path, flags.REQUIRED, "Name of the new folder.", aliases=["-o"], metavar="FOLDER"),
        _argument(
            "archive", Path | None, None, "Draw from this archive of imagery: see `terrashift pack`.", metavar="FILE"
        ),
        _argument("trace", Path | None, None, "Rupture along the lines of this GeoJSON file.", metavar="FILE"),
        _argument("place", str | None, None, "Name of the place. Default: from the names of the images."),
        _argument("sensor", str, plain.sensor, "What took the images, for the card."),
        _argument("licence", str, plain.licence, "Licence of the images, for the card."),
        _flag("overwrite", "Replace a data set of the same name, or start an unfinished one again."),
    ]


def _job(kind: Any, found: Any, read: Any, draw: Any, options: Any) -> Any:
    """Open what the pairs are drawn from."""
    from .simulate.places import FileOptions, archive_or_landscapes, place_of_files, trace_on

    if found.trace and (found.archive or not found.before):
        raise OptionError("--trace lies on one image: give that image (one or two dates), and no --archive.")
    if found.archive and found.before:
        raise OptionError("images and --archive are two sources of pairs: give one of them.")
    _refuse_idle(found, draw)
    if not found.before:
        return kind(archive_or_landscapes(found.archive, options.split), draw, options)
    about = FileOptions(read, found.place, found.sensor, found.licence, options.split)
    source = place_of_files(found.before, found.after, about)
    return kind(source, draw, options, trace_on(found.trace, source.only) if found.trace else None)


def _refuse_idle(found: Any, draw: Any) -> None:
    """Flags that would do nothing are mistakes: their user expects something of them."""

    usual = type(draw)()
    windows = draw.kind != "rupture"
    along = "--trace: add --trace FILE"
    ruptures = "ruptures at random places: leave --trace out" if found.trace else "ruptures: pass --kind rupture"
    own = "images of your own: give one"
    table = [
        (("slip_m", "depth_km", "dip_deg"), not found.trace, along),
        (("largest", "generator"), bool(found.trace) or windows, ruptures),
        (("size_px",), windows, "ruptures: pass --kind rupture"),
        (("window_px",), not windows, "windows: pass --kind uni, dis or uni5px"),
    ]
    given = [(name, rest) for names, idle, rest in table for name in names if idle and _told(draw, usual, name)]
    if not found.before:
        facts = {"place": None, "sensor": "unknown", "licence": "unknown"}
        given += [(name, own) for name, default in facts.items() if getattr(found, name) != default]
    if given:
        raise OptionError("\n".join(f"{_flag_name(name)} belongs to {rest}, or leave it out." for name, rest in given))


def _told(model: Any, usual: Any, name: str) -> bool:
    return getattr(model, name) != getattr(usual, name)


def _flag_name(name: str) -> str:
    return SIMULATE_SHORT.get(name, "--" + name.replace("_", "-"))


def pack(words: Sequence[str]) -> int:
    """`terrashift pack folder -o imagery.npz`."""
    import tyro

    from .simulate.packing import About, PackOptions

    folder = tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(help="Folder of rasters.", metavar="FOLDER")]]
    more = [
        ("folder", folder, None),
        _argument("output", Path, flags.REQUIRED, "Name of the archive.", aliases=["-o"], metavar="FILE"),
        _argument("split", Literal["train", "validation", "test"], "train", "Split that these places belong to."),
        _argument("without_bands", tuple[str, ...], (), "Bands to leave out, by name.", metavar="BAND"),
        _argument("sensor", str, "unknown", "What took the images."),
        _argument("licence", str, "unknown", "Licence of the images."),
        _argument(
            "about",
            Path | None,
            None,
            "YAML with sensor and licence by place: see recipes/train/imagery.yaml.",
            metavar="FILE",
        ),
        _argument("scenes", int, 0, "Pack so many made-up landscapes instead of a folder."),
        _flag("overwrite", "Replace an archive of the same name."),
    ]
    start = flags.Start(flags.Recipe(), "", tuple(words))
    found, _ = flags.parse(start, "pack", PACK, more, parts=())
    if (found.folder is None) == (found.scenes == 0):
        raise OptionError("give a FOLDER of rasters, or --scenes N for made-up landscapes: one of the two.")
    from .io.atomic import check_target
    from .simulate.packing import pack as run
    from .simulate.packing import read_about

    check_target(found.output, found.overwrite)
    if found.scenes:
        from .simulate.scenery import pack_scenes

        archive = pack_scenes(found.scenes, found.output, found.split)
    else:
        about = read_about(found.about) if found.about else (About("*", found.sensor, found.licence),)
        archive = run(found.folder, found.output, PackOptions(found.split, found.without_bands, about), tell)
    places = len({view.place for view in archive.views})
    out(f"{found.output}: {len(archive.views)} views of {places} places, {found.output.stat().st_size / 1e6:.1f} MB")
    return 0


def demo(words: Sequence[str]) -> int:
    """`terrashift demo`."""
    start = flags.take_start(words)
    more = [
        _argument("folder", Path, Path("demo"), "Where the images and results go."),
        _argument("size_px", int, 512, "Side of the generated images, pixels."),
        _argument("seed", int, 7, "Another number makes another place and another earthquake."),
        *flags.start_arguments(),
    ]
    found, recipe = flags.parse(start, "demo", DEMO, more)
    from .demo import compare, generate
    from .pipeline import Watch
    from .pipeline import measure as run
    from .report import render

    scene = generate(found.folder, found.size_px, found.seed)
    tell(f"generated {scene.before} and {scene.after}; the truth is {scene.truth}")
    command = f"terrashift measure {scene.before} {scene.after} -o {scene.field} --overwrite"
    tell(f"now as you would:  {command}")
    with TileProgress() as progress:
        summary = run(
            str(scene.before),
            str(scene.after),
            scene.field,
            recipe,
            overwrite=True,
            watch=Watch(say=tell, warn=warn, tiles=progress),
        )
    show(render(summary))
    show(compare(scene).render())
    return 0


def _images(default: Any = flags.REQUIRED) -> list[tuple[str, Any, Any]]:
    """The two positional arguments that most verbs share."""
    import tyro

    kind = str if default is flags.REQUIRED else str | None

    def image(which: str) -> Any:
        note = tyro.conf.arg(help=f"Image {which} the motion: path or URL.", metavar=which.upper())
        return tyro.conf.Positional[Annotated[kind, note]]

    return [("before", image("before"), default), ("after", image("after"), default)]


def _settings(model: Any) -> list[tuple[str, Any, Any]]:
    """One flag for each field of an options model."""
    return [
        _argument(
            name,
            info.annotation,
            info.default,
            info.description or "",
            aliases=[SIMULATE_SHORT[name]] if name in SIMULATE_SHORT else None,
        )
        for name, info in model.model_fields.items()
    ]


def _model(model: Any, found: Any) -> Any:
    """An options model from parsed flags; mistakes are named by their flags."""
    from pydantic import ValidationError

    try:
        return model(**{name: getattr(found, name) for name in model.model_fields})
    except ValidationError as error:
        lines = [f"{_flag_name(str(e['loc'][0]))} is {e['input']}: {_advice(e)}." for e in error.errors()]
        raise OptionError("\n".join(lines)) from error


def _advice(error: Any) -> str:
    """What to give instead of a value that does not do."""
    limits = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
    told = [text.format(limit) for key, text in limits.items() if (limit := error.get("ctx", {}).get(key)) is not None]
    return f"give {told[0]}" if told else str(error["msg"]).rstrip(".")


def _argument(name: str, kind: Any, default: Any, text: str, **more: Any) -> tuple[str, Any, Any]:
    import tyro

    return name, Annotated[kind, tyro.conf.arg(help=text, **more)], default


def _flag(name: str, text: str) -> tuple[str, Any, Any]:
    import tyro

    return name, tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help=text)]], False
