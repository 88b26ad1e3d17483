"""`terrashift train`: run a training recipe, tell how it goes, draw its curves. Needs none of the raster libraries."""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Sequence
from pathlib import Path

from ..console import tell
from ..errors import OptionError

ABOUT = """Train a network as a recipe says (see recipes/train), or go on with a run that was cut short.

Writes into the folder: checkpoint.pt, NAME.safetensors (averaged weights in half precision), log.jsonl, log.png."""


def train(words: Sequence[str]) -> int:
    """`terrashift train recipe.yaml -o folder`."""
    parser = argparse.ArgumentParser("terrashift train", description=ABOUT, formatter_class=_Plain)
    parser.add_argument("recipe", metavar="RECIPE", help="YAML file; see recipes/train")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto: cuda where there is one")
    parser.add_argument("--devices", type=int, default=1, help="GPUs (or CPU processes) that share the work")
    parser.add_argument("--threads", type=int, default=0, help="processor threads to use; 0: all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, to be gone on with later")
    found = parser.parse_args(list(words))

    import torch

    from ..train.loop import Progress, Told
    from ..train.loop import train as run
    from ..train.recipe import load_recipe
    from ..train.workers import Workers, run_together

    device = found.device if found.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise OptionError(
            f"--device {device}: this machine has no GPU that PyTorch can use. Leave it out to use the CPU."
        )
    if found.threads:
        torch.set_num_threads(found.threads)

    def show(what: Told) -> None:
        for line in [_line(what, unit)] if isinstance(what, Progress) else _lines(what):
            tell(line)

    folder, recipe = Path(found.output), load_recipe(found.recipe)
    unit = "deviations (bicubic" if recipe.sharpens else "px (no motion"
    until = time.monotonic() + 60 * found.minutes

    def work(workers: Workers, device: str) -> Path | None:
        weights = run(recipe, folder, device, show, until, workers)
        return weights if workers.first else None

    weights = run_together(found.devices, device, work)
    if weights is None:  # another process tells
        return 0
    if importlib.util.find_spec("matplotlib"):
        from ..plot.training import curves
        from ..train.loop import finished

        curves(list(finished(folder)), folder / "log.png")
    tell(f"weights: {weights}")
    return 0


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the description's lines."""


def _line(progress: object, unit: str) -> str:
    step, steps, loss, error_px, still_px, seconds = progress  # pyright: ignore[reportGeneralTypeIssues]
    left = seconds / max(1, step) * (steps - step)
    return (
        f"step {step} of {steps}: loss {loss:.3f}, error {error_px:.3f} {unit} {still_px:.3f}), "
        f"{seconds / 60:.1f} min, about {left / 60:.0f} min left"
    )


def _lines(scores: list) -> list[str]:
    return [f"  validation, {s.text}" for s in scores]
