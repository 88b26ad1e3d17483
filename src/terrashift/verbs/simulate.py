"""Make pairs with known displacement, and pack imagery to make them from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .. import flags
from ..arguments import REQUIRED, Argument, argument, flag_of, images, model_of, parse, positional, settings, switch
from ..console import out, tell
from ..errors import OptionError

SIMULATE = """Make pairs of images with exactly known displacement: from one or two images of your own, from an archive,
or, without any image, from made-up landscapes.

Two images (of two dates, on one grid) give the most honest pairs: whatever differs between real dates differs in them.
Writes a new folder of pairs with their truth, a card (card.md, card.json) and a contact sheet (contact.png)."""
PACK = """Pack the rasters below a folder, places and dates, into one small archive for `simulate` and `train`.

Or pack made-up landscapes: `terrashift pack --scenes 16 -o scenes.tsi`.

A place is a folder whose files are called alike but for their dates, else a file name without its date.

The folder of the PROBA-V challenge (imgset0000 with LR000.png, ...) is packed as scenes, for `train` (`data: probav`)
and `score`: `terrashift pack probav_data -o probav.tsi`."""
SHORT = {
    "size_px": "--size",
    "window_px": "--window",
    "largest": "--class",
    "slip_m": "--slip",
    "depth_km": "--depth",
    "dip_deg": "--dip",
}


def simulate(words: Sequence[str]) -> int:
    """`terrashift simulate before after -o pairs --count 100`."""
    from ..dataset import DatasetOptions, Job, Run, make_dataset
    from ..simulate.draw import DrawOptions

    start = flags.Start(flags.Recipe(), "", tuple(words))
    found, recipe = flags.parse(
        start,
        "simulate",
        SIMULATE,
        [*_simulate_arguments(), *settings(DatasetOptions, SHORT), *settings(DrawOptions, SHORT)],
        parts=("read",),
    )
    draw, options = (model_of(kind, found, SHORT) for kind in (DrawOptions, DatasetOptions))
    from .. import __version__

    job = _job(Job, found, recipe.read, draw, options)
    command = shlex.join(["terrashift", "simulate", *words])
    made = make_dataset(job, found.output, Run(command, str(__version__), found.overwrite, tell))
    out(f"{found.output}: {made.card['pairs']} simulated. Look at contact.png and card.md in it.")
    return 0


def _simulate_arguments() -> list[Argument]:
    from ..simulate.places import FileOptions

    plain = FileOptions(flags.Recipe().read)
    return [
        *images(None),
        argument("output", Path, REQUIRED, "Name of the new folder.", aliases=["-o"], metavar="FOLDER"),
        argument(
            "archive", Path | None, None, "Draw from this archive of imagery: see `terrashift pack`.", metavar="FILE"
        ),
        argument("trace", Path | None, None, "Rupture along the lines of this GeoJSON file.", metavar="FILE"),
        argument("place", str | None, None, "Name of the place. Default: from the names of the images."),
        argument("sensor", str, plain.sensor, "What took the images, for the card."),
        argument("licence", str, plain.licence, "Licence of the images, for the card."),
        switch("overwrite", "Replace a data set of the same name, or start an unfinished one again."),
    ]


def _job(kind: Any, found: Any, read: Any, draw: Any, options: Any) -> Any:
    """Open what the pairs are drawn from."""
    from ..simulate.places import FileOptions, archive_or_landscapes, place_of_files, trace_on

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
        raise OptionError(
            "\n".join(f"{flag_of(name, SHORT)} belongs to {rest}, or leave it out." for name, rest in given)
        )


def _told(model: Any, usual: Any, name: str) -> bool:
    return getattr(model, name) != getattr(usual, name)


def pack(words: Sequence[str]) -> int:
    """`terrashift pack folder -o imagery.npz`."""
    from ..simulate.packing import About, PackOptions

    more = [
        positional("folder", Path | None, None, "Folder of rasters.", metavar="FOLDER"),
        argument("output", Path, REQUIRED, "Name of the archive.", aliases=["-o"], metavar="FILE"),
        argument("split", Literal["train", "validation", "test"], "train", "Split that these places belong to."),
        argument("without_bands", tuple[str, ...], (), "Bands to leave out, by name.", metavar="BAND"),
        argument("sensor", str, "unknown", "What took the images."),
        argument("licence", str, "unknown", "Licence of the images."),
        argument(
            "about",
            Path | None,
            None,
            "YAML with sensor and licence by place: see recipes/train/imagery.yaml.",
            metavar="FILE",
        ),
        argument("scenes", int, 0, "Pack so many made-up landscapes instead of a folder."),
        argument(
            "references",
            Path | None,
            None,
            "Of PROBA-V: reference.json of PROBA-V-REF, which tells the frame of each truth.",
            metavar="FILE",
        ),
        switch("overwrite", "Replace an archive of the same name."),
    ]
    found = parse(words, "pack", PACK, more)
    if (found.folder is None) == (found.scenes == 0):
        raise OptionError("give a FOLDER of rasters, or --scenes N for made-up landscapes: one of the two.")
    from ..io.atomic import check_target
    from ..simulate.packing import pack as run
    from ..simulate.packing import read_about

    check_target(found.output, found.overwrite)
    if found.folder and next(found.folder.glob("**/imgset*/LR*.png"), None):
        return _pack_probav(found)
    if found.references is not None:
        raise OptionError("--references belongs to the folder of the PROBA-V challenge: leave it out.")
    if found.scenes:
        from ..simulate.scenery import pack_scenes

        archive = pack_scenes(found.scenes, found.output, found.split)
    else:
        about = read_about(found.about) if found.about else (About("*", found.sensor, found.licence),)
        archive = run(found.folder, found.output, PackOptions(found.split, found.without_bands, about), tell)
    places = len({view.place for view in archive.views})
    out(f"{found.output}: {len(archive.views)} views of {places} places, {found.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _pack_probav(found: Any) -> int:
    """Scenes of the PROBA-V challenge."""
    from ..io.atomic import atomic_path
    from ..io.probav import read_references
    from ..superres.scenes import pack_scenes

    usual = {"split": "train", "without_bands": (), "sensor": "unknown", "licence": "unknown", "about": None}
    told = [flag_of(name, SHORT) for name, value in usual.items() if getattr(found, name) != value]
    if told:
        raise OptionError(f"{', '.join(told)} of PROBA-V's scenes are known, or the recipe's: leave them out.")
    archive = pack_scenes(found.folder, read_references(found.references) if found.references else None, tell)
    with atomic_path(found.output) as temporary:
        archive.save(temporary)
    bands = ", ".join(f"{band} {count}" for band, count in archive.bands.items())
    frames = sum(len(one.facts.numbers) for one in archive.scenes)
    size = found.output.stat().st_size / 1e6
    out(f"{found.output}: {len(archive.scenes)} scenes ({bands}) of {frames} frames, {size:.1f} MB")
    return 0
