"""On real date pairs no worse than the original programs, and scored as they were."""

from __future__ import annotations

import pytest
import torch
from methods import METHODS, measure, source_of
from reference_cases import BAR, Case, read_flow, score

MARGIN_PX = 40  # measured around the judged part, so that no window misses data
PARTS = {"ribera_b7_s": (150, 150), "aguasclaras_b08_vs": (150, 150)}
"""First row and column of the judged part of each case."""
SIDE_PX = (96, 128)


def crop(case: Case, first: tuple[int, int], margin: int) -> tuple[Case, tuple[slice, slice]]:
    """A part of a case and as much around it as `margin` says; and where that lies in the whole."""
    cut = tuple(slice(at - margin, at + side + margin) for at, side in zip(first, SIDE_PX, strict=True))
    whole = case.before[cut], case.after[cut], case.flow[(slice(None), *cut)], case.fault[cut]
    return Case(case.name, *whole), cut


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case_name", PARTS)
def test_away_from_the_fault_the_error_stays_within_the_bar_of_the_original(case_name, name, benchmark_folder):
    method = METHODS[name]
    case, cut = crop(Case.read(benchmark_folder / "cases" / f"{case_name}.npz"), PARTS[case_name], MARGIN_PX)
    theirs = read_flow(benchmark_folder / "results" / method.peer / f"{case_name}.npz")[(slice(None), *cut)]
    source = source_of(torch.from_numpy(case.before), torch.from_numpy(case.after))
    ours = measure(method.estimator, source, method.search).flow.xy.numpy()
    mine, other = score(case, ours, MARGIN_PX), score(case, theirs, MARGIN_PX)
    assert mine.valid > 0.98 * other.valid
    assert mine.far <= BAR * other.far, f"{mine.far:.3f} px against {other.far:.3f} px"


def test_scores_are_those_that_came_with_the_reference_results(benchmark_folder):
    name, peer = "ribera_b4_vs", "cosicorr_32_s1"
    lines = (benchmark_folder / "reference.txt").read_text().splitlines()
    column = lines[0].split().index(peer) - 1
    stored = next(line for line in lines if line.startswith(name)).split()[1 + 5 * column : 6 + 5 * column]
    case = Case.read(benchmark_folder / "cases" / f"{name}.npz")
    found = score(case, read_flow(benchmark_folder / "results" / peer / f"{name}.npz"))
    assert found[:5] == pytest.approx([float(value) for value in stored], abs=5.1e-3)
    assert found[:4] == pytest.approx([float(value) for value in stored[:4]], abs=6e-4)
