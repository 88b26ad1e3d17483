"""How a training run went: loss, error against no motion, and validation errors by distance from the fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_path


def curves(log: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Draw the log of a run (see `train.loop.train`) as a PNG.

    Raises:
        OutputError: where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [line for line in log if "loss" in line]
    looks = [line for line in log if "scores" in line]
    figure = Figure((11, 4), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for key, name in (("loss", "loss"), ("error_px", "error"), ("still_px", "error of no motion, or of bicubic")):
        left.plot([line["step"] for line in steps], [line[key] for line in steps], label=name, linewidth=1)
    left.set(yscale="log", xlabel="step", title="training pairs")
    left.legend(frameon=False)
    for number, kind in enumerate(("very small", "small", "medium")):
        for zone, style in (("fault", "-"), ("far", ":")):
            found = [(line["step"], s[zone]) for line in looks for s in line["scores"] if s["name"] == kind]
            if found:
                x, y = zip(*found, strict=True)
                right.plot(x, y, style, color=f"C{number}", label=f"{kind}, {zone}", linewidth=1.2)
    for number, kind in enumerate(("translation", "affine", "deformation")):  # of the network that registers
        found = [(line["step"], s["left_px"]) for line in looks for s in line["scores"] if s["name"] == kind]
        if found:
            right.plot(*zip(*found, strict=True), color=f"C{number}", label=kind, linewidth=1.2)
    sharp = [line for line in looks if "gain" in line["scores"][0]]  # of those that make one sharp image of several
    for number, kind in enumerate(s["name"] for s in sharp[-1]["scores"]) if sharp else ():
        found = [(line["step"], s["gain"]) for line in sharp for s in line["scores"] if s["name"] == kind]
        right.plot(*zip(*found, strict=True), color=f"C{number}", label=kind, linewidth=1.2)
    if sharp:
        left.set(title="training bursts")
        right.set(yscale="linear", xlabel="step", ylabel="gain over bicubic + mean, dB", title="validation bursts")
    else:
        right.set(yscale="log", xlabel="step", ylabel="mean error, px", title="validation pairs")
    if looks:
        right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    with atomic_path(path) as temporary:
        canvas.print_png(temporary)
