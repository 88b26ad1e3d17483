"""Judge methods on the same cases, in one table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import REQUIRED, Argument, argument, model_of, parse, settings, switch
from ..console import fail, out, tell

EVALUATE = """Judge methods on the same cases: one table (table.md), all numbers (results.json), one page (report.html).

Suites: rupture (simulated earthquakes), known-shift (bias against the fraction of a pixel, noise, change), windows (one
motion per window), landmarks (images that do not line up), stable (real dates without motion), pseudo-truth (a real
pair against smoothed correlation), reference (stored cases and results of other programs).

Methods: frequency, microflow, ... as `measure` runs them; microflow+none, frequency+tv with another regulariser;
spatial:window_px=15,reg=0 with other settings; register:affine, register:local; opencv-dis, opencv-farneback,
skimage-tvl1, skimage-ilk; package.module:Name for an estimator of your own.

An interrupted run goes on when the same command is given again."""
METHODS = ("frequency", "spatial", "microflow", "microflow+none")
SUITES = ("rupture", "known-shift")
SHORT = {"size_px": "--size"}


def evaluate(words: Sequence[str]) -> int:
    """`terrashift evaluate -o folder --suites rupture --methods frequency microflow`."""
    from ..evaluate.suites import SuiteOptions

    found = parse(words, "evaluate", EVALUATE, [*_arguments(), *settings(SuiteOptions, SHORT)])
    options = model_of(SuiteOptions, found, SHORT)
    if found.export:
        from ..evaluate.export import export
        from ..evaluate.suites import suites_of

        count = export(suites_of(found.suites, options, found.output / "cases"), found.export, tell)
        out(f"{found.export}: {count} pairs. Give what a program makes of them with --stored NAME=FOLDER.")
        return 0
    from ..evaluate.judge import Judged, judge

    judged: Judged = judge(
        found.output,
        suites=found.suites,
        methods=found.methods,
        stored=found.stored,
        options=options,
        how=_how(found, shlex.join(["terrashift", "evaluate", *words])),
    )
    out(judged.table.rstrip())
    tell(f"\n{found.output}: table.md, results.json, report.html")
    for one in judged.broken:
        fail(str(one))
    return 1 if judged.broken else 0


def _how(found: Any, command: str) -> Any:
    from ..evaluate.judge import How

    return How(
        against=found.against,
        device=found.device,
        overwrite=found.overwrite,
        figures=found.figures,
        set_bounds=found.set_bounds,
        bounds=found.bounds,
        command=command,
        say=tell,
    )


def _arguments() -> list[Argument]:
    return [
        argument("output", Path, REQUIRED, "Folder for the outcome.", aliases=["-o"], metavar="FOLDER"),
        argument("suites", tuple[str, ...], SUITES, "Suites, see above.", metavar="SUITE"),
        argument("methods", tuple[str, ...], METHODS, "Methods, see above.", metavar="METHOD"),
        argument(
            "stored",
            tuple[str, ...],
            (),
            "NAME=FOLDER: what another program gave, in files called like the cases (see docs/evaluate.md).",
            metavar="NAME=FOLDER",
        ),
        argument("export", Path | None, None, "Write the pairs of the suites there, and stop.", metavar="FOLDER"),
        argument("against", str, "frequency", "Method that ratios are taken to.", metavar="METHOD"),
        argument("device", str, "cpu", "Where networks run: cpu, cuda, ..."),
        argument("figures", Path | None, None, "Also write the figures as PNG into this folder.", metavar="FOLDER"),
        argument("set_bounds", Path | None, None, "Write what later evaluations must keep.", metavar="FILE"),
        argument("bounds", Path | None, None, "Fail where a number exceeds its bound in this file.", metavar="FILE"),
        switch("overwrite", "Start anew in a folder that holds another evaluation."),
    ]
