"""Look at a pair, measure it, and the recipes for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .. import flags
from ..arguments import REQUIRED, argument, images, model_of, settings, switch
from ..cluster.options import ClusterOptions
from ..console import TileProgress, out, show, tell, warn

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
        argument("window_px", int, 32, "Side of the window that will be measured with, pixels.", aliases=["--window"]),
        switch("json", "Print everything as JSON."),
    ]
    found, recipe = flags.parse(start, "check", CHECK, [*images(), *more], parts=("read",))
    from ..analyse.findings import render
    from ..pipeline import check

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
        argument("output", Path, REQUIRED, "Name of the resulting GeoTIFF.", aliases=["-o"], metavar="FILE"),
        *flags.start_arguments(),
        switch("resume", "Go on with a run that was cut short."),
        switch("overwrite", "Replace results of the same name, or start an unfinished run again."),
        *settings(ClusterOptions),
    ]
    found, recipe = flags.parse(start, "measure", MEASURE, [*images(), *more])
    from ..cluster.connect import connect
    from ..pipeline import measure as run
    from ..report import render
    from ..watch import Watch

    with connect(model_of(ClusterOptions, found), recipe.run, warn) as cluster, TileProgress() as progress:
        summary = run(
            found.before,
            found.after,
            found.output,
            recipe,
            resume=found.resume,
            overwrite=found.overwrite,
            watch=Watch(say=tell, warn=warn, tiles=progress),
            cluster=cluster,
        )
    show(render(summary))
    return 0


def recipe(words: Sequence[str]) -> int:
    """`terrashift recipe --preset glacier > mine.yaml`."""
    start = flags.take_start(words)
    template = switch("template", "Print the defaults; the same as no flag at all.")
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
        argument("folder", Path, Path("demo"), "Where the images and results go."),
        argument("size_px", int, 512, "Side of the generated images, pixels."),
        argument("seed", int, 7, "Another number makes another place and another earthquake."),
        *flags.start_arguments(),
    ]
    found, recipe = flags.parse(start, "demo", DEMO, more)
    from ..demo import compare, generate
    from ..pipeline import measure as run
    from ..report import render
    from ..watch import Watch

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
