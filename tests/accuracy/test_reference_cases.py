"""On real date pairs no worse than the original programs, and scored as they were."""

from __future__ import annotations

import numpy as np
import pytest
from methods import METHODS, measure

from terrashift.evaluate.case import Answer, Case, Entry, pair_of
from terrashift.evaluate.reference import Reference, read_case
from terrashift.evaluate.stored import Stored
from terrashift.evaluate.zoned import Zones

BAR = 1.05  # ours over theirs
MARGIN_PX = 40  # measured around the judged part, so that no window misses data
PARTS = {"ribera_b7_s": (150, 150), "aguasclaras_b08_vs": (150, 150)}
"""First row and column of the judged part of each case."""
SIDE_PX = (96, 128)


def part_of(first: tuple[int, int]) -> tuple[slice, slice]:
    """Where the judged part of a case and the margin around it lie in the whole."""
    rows, columns = (slice(at - MARGIN_PX, at + side + MARGIN_PX) for at, side in zip(first, SIDE_PX, strict=True))
    return rows, columns


def crop(case: Case, cut: tuple[slice, slice]) -> Case:
    """That part."""
    before, after = (image.pixels[0][cut] for image in (case.source.pair.before, case.source.pair.after))
    return Case(pair_of(before, after), case.truth[:, *cut], case.fault[cut])


def stored(folder, peer: str, name: str, case: Case) -> np.ndarray:
    """What a program gave on a whole case."""
    return Stored(peer, folder / "results" / peer)(Entry("reference", name, "", lambda: case), case).xy


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case_name", PARTS)
def test_away_from_the_fault_the_error_stays_within_the_bar_of_the_original(case_name, name, benchmark_folder):
    method, cut = METHODS[name], part_of(PARTS[case_name])
    whole = read_case(benchmark_folder / "cases" / f"{case_name}.npz")
    case = crop(whole, cut)
    theirs = stored(benchmark_folder, method.peer, case_name, whole)[:, *cut]
    ours = measure(method.estimator, case.source, method.search).flow.xy.numpy()
    zones = Zones(border_px=MARGIN_PX, offset_known=False)
    mine, other = (zones.judge(case, Answer(xy)) for xy in (ours, theirs))
    assert mine["valid"] > 0.98 * other["valid"]
    assert mine["epe_far"] <= BAR * other["epe_far"]


def test_scores_are_those_that_came_with_the_reference_results(benchmark_folder):
    name, peer = "ribera_b4_vs", "cosicorr_32_s1"
    lines = (benchmark_folder / "reference.txt").read_text().splitlines()
    column = lines[0].split().index(peer) - 1
    kept = next(line for line in lines if line.startswith(name)).split()[1 + 5 * column : 6 + 5 * column]
    case = read_case(benchmark_folder / "cases" / f"{name}.npz")
    found = Reference(benchmark_folder).judge(case, Answer(stored(benchmark_folder, peer, name, case)))
    own = [found[key] for key in ("epe_fault", "epe_near", "epe_far", "smooth_far", "valid")]
    assert own == pytest.approx([float(value) for value in kept], abs=5.1e-3)
    assert own[:4] == pytest.approx([float(value) for value in kept[:4]], abs=6e-4)
