"""The card of trained weights: what they are, what they learned from, what that took, how good they are."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..analyse.metrics import LAPLACE_SHARES
from ..core.text import markdown
from ..io.packed_scenes import SceneArchive
from ..simulate.archive import Archive
from .recipe import TrainRecipe


class Facts(NamedTuple):
    """What a run knows of its weights."""

    weights: int
    """How many."""
    bytes: int
    """Of the file."""
    hours: float
    device: str
    scores: Sequence[Mapping[str, Any]]
    """The last look at the validation pairs, a line a class; see `validate.Score`."""
    calibration: Mapping[str, float]
    coverage: Sequence[Mapping[str, Any]]
    """See `calibrate.Coverage`."""


Ground = Archive | SceneArchive


def card(recipe: TrainRecipe, learned: Ground, held_out: Ground | None, facts: Facts) -> str:
    """Markdown, to lie beside the weights."""
    judged = "Calibration of sigma, figures below" if facts.calibration else "Figures below"
    lines = [
        f"# {markdown(recipe.name)}",
        "",
        f"Weights of the network `{recipe.network}`: {facts.weights / 1e6:.2f} million, float16, "
        f"{facts.bytes / 2**20:.1f} MiB.",
        "",
        f"* **Options**: `{json.dumps(asdict(recipe.model))}`",
        f"* **Training**: {recipe.steps} steps of {_batch(recipe)}, seed {recipe.seed}, terrashift {_version()}, "
        f"{facts.hours:.1f} h on "
        f"{facts.device}{f', begun from {markdown(Path(recipe.start_from).name)}' if recipe.start_from else ''}.",
        f"* **Learned from**: {_places(learned)}.",
        *_origin(learned),
        f"* **{judged}**: {_places(held_out) if held_out else 'none'}, never learned from.",
        *_names(held_out),
        "",
    ]
    if facts.scores and "left_px" in facts.scores[0]:
        lines += _table(
            ["class", "before", "after", "share"],
            [
                [
                    s["name"],
                    *(f"{v:.2f}" for v in (s["initial_px"], s["left_px"])),
                    f"{s['left_px'] / s['initial_px']:.3f}",
                ]
                for s in facts.scores
            ],
            "Mean distance from the truth on validation pairs, px, before and after registration:",
        )
    elif facts.scores and "score" in facts.scores[0]:
        lines += _kelvins(facts)
    elif facts.scores and "cpsnr" in facts.scores[0]:
        lines += _table(
            ["class", "cPSNR, dB", "gain, dB", "PSNR, dB"],
            [[s["name"], *(f"{s[key]:.2f}" for key in ("cpsnr", "gain", "psnr"))] for s in facts.scores],
            "Mean over validation bursts (range: ten deviations); gain over the mean of registered bicubic frames:",
        )
    elif facts.scores:
        lines += _table(
            ["class", "within 3 px of the fault", "within 16 px", "beyond"],
            [[s["name"], *(f"{s[zone]:.3f}" for zone in ("fault", "near", "far"))] for s in facts.scores],
            "Mean error on validation pairs, px, each pair's median residual removed:",
        )
    if facts.coverage:
        a, b = facts.calibration["offset"], facts.calibration["power"]
        lines += _table(
            ["part", "one sigma", "two sigma", "mean sigma, deviations" if recipe.sharpens else "mean sigma, px"],
            [[c["name"], f"{c['one']:.1%}", f"{c['two']:.1%}", f"{c['sigma_px']:.3f}"] for c in facts.coverage],
            f"Sigma is the scale of a Laplace distribution, sigma = exp({a:.3f}) * scale^{b:.3f}; share of the errors "
            f"within one and two sigma ({LAPLACE_SHARES[0]:.1%} and {LAPLACE_SHARES[1]:.1%} were perfect):",
        )
    settings = yaml.safe_dump(_bare(recipe), sort_keys=False, default_flow_style=None)
    return "\n".join([*lines, "The whole recipe:", "", "```yaml", settings.strip(), "```", ""])


def _kelvins(facts: Facts) -> list[str]:
    return _table(
        ["band", "scenes", "cPSNR, dB", "gain, dB", "score"],
        [
            [
                markdown(s["name"]),
                str(s["scenes"]),
                *(f"{s[key]:.2f}" for key in ("cpsnr", "gain")),
                "-" if s["score"] is None else f"{s['score']:.4f}",
            ]
            for s in facts.scores
        ],
        "Mean over validation scenes as the Kelvins challenge counts (range 65535; brightness and shifts by up to 3 px "
        "forgiven); gain over the mean of registered bicubic frames; score: the challenge's baseline over it, lower is "
        "better:",
    )


def _origin(learned: Ground) -> list[str]:
    """Sensors, sources and licences."""
    if isinstance(learned, SceneArchive):
        return [
            "* **Sensors**: PROBA-V, 300 m and 100 m.",
            "* **Imagery**: the PROBA-V super-resolution challenge of ESA's Advanced Concepts Team (Kelvins); see its "
            "terms.",
            "* **Place and brightness are free**: the loss forgives shifts by up to 3 px, and brightness. Results are "
            "located and bright only as far as `terrashift superres` makes them.",
        ]
    return [
        f"* **Sensors**: {_all(view.sensor for view in learned.views)}.",
        f"* **Imagery**: {_all(view.source for view in learned.views)}; "
        f"{_all(view.licence for view in learned.views)}.",
    ]


def _batch(recipe: TrainRecipe) -> str:
    if recipe.real:
        scenes = recipe.probav
        few, many = scenes.frames
        side = f"{scenes.size_px} px" if scenes.size_px else "their whole size"
        return f"{scenes.batch} real bursts ({few} to {many} frames of {side}, scale 3)"
    if recipe.sharpens:
        bursts = recipe.bursts
        few, many = bursts.frames
        return f"{bursts.batch} bursts ({few} to {many} frames of {bursts.size_px} px, scale {bursts.scale})"
    return f"{recipe.stream.batch} pairs ({recipe.stream.kind}, {recipe.stream.size_px} px)"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], above: str) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [above, "", *("| " + " | ".join(line) + " |" for line in lines), ""]


def _places(archive: Ground) -> str:
    """Their names; many of one folder or kind (`folder/name`, `kind number`) by their count."""
    if isinstance(archive, SceneArchive):
        counted = (f"{count} {'scene' if count == 1 else 'scenes'} of {band}" for band, count in archive.bands.items())
        return markdown(", ".join(counted))
    places = sorted({view.place for view in archive.views})
    groups = Counter(re.split("[/ ]", place)[0] for place in places)
    return markdown(", ".join(kind if count == 1 else f"{count} of {kind}" for kind, count in groups.items()))


def _names(held_out: Ground | None) -> list[str]:
    """Of the scenes that are validated on."""
    if not isinstance(held_out, SceneArchive):
        return []
    listed = "; ".join(
        f"{band} {', '.join(one.facts.name for one in held_out.scenes if one.facts.band == band)}"
        for band in held_out.bands
    )
    return [f"* **Held out**, by name: {markdown(listed)}."]


def _all(names: Iterable[str]) -> str:
    return markdown("; ".join(sorted(set(names))))


def _bare(recipe: TrainRecipe) -> dict[str, Any]:
    """The recipe with the names of its files, not where they were."""
    settings = json.loads(json.dumps(asdict(recipe)))
    for key in ("imagery", "scenes", "validation", "start_from"):
        settings[key] = Path(settings[key]).name
    return settings


def _version() -> str:
    try:
        return version("terrashift")
    except PackageNotFoundError:  # run from a folder of sources
        return f"from source, Python {platform.python_version()}"
