"""The verbs of the command line: options in, one call of the package, results out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from . import flags
from .console import TileProgress, out, show, tell, warn

MEASURE = """Measure the displacement of the ground between two images of one place on one grid.

Writes one Cloud-Optimised GeoTIFF (east, north, their errors, score, reasons) and beside it the recipe (.recipe.yaml),
a picture (.png) and a summary (.json)."""
CHECK = "Look at two images before any work: grids, overlap, data, texture, saturation, dates, resampling, offset."
RECIPE = "Print a recipe, every setting with its comment. Flags change what is printed."
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


def _images() -> list[tuple[str, Any, Any]]:
    """The two positional arguments that most verbs share."""
    import tyro

    def image(which: str) -> Any:
        note = tyro.conf.arg(help=f"Image {which} the motion: path or URL.", metavar=which.upper())
        return tyro.conf.Positional[Annotated[str, note]]

    return [("before", image("before"), flags.REQUIRED), ("after", image("after"), flags.REQUIRED)]


def _argument(name: str, kind: Any, default: Any, text: str, **more: Any) -> tuple[str, Any, Any]:
    import tyro

    return name, Annotated[kind, tyro.conf.arg(help=text, **more)], default


def _flag(name: str, text: str) -> tuple[str, Any, Any]:
    import tyro

    return name, tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help=text)]], False
