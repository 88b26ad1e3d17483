"""Errors over the places that two methods both answer at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from terrashift.evaluate.case import Answer, Case, Entry, pair_of
from terrashift.evaluate.judge import How, judge
from terrashift.evaluate.together import shared_by
from terrashift.evaluate.zoned import Zones

SHAPE = (60, 80)
FAULT = 40


@dataclass(frozen=True)
class Faulted:
    """One pair that moved by 2 px right of a line."""

    name: str = "toy"
    about: str = "a pair"
    headline: tuple[str, ...] = ("epe_fault", "epe_near", "epe_far")

    def entries(self) -> list[Entry]:
        return [Entry("toy", "one", "pairs", self._case)]

    def _case(self) -> Case:
        truth = np.zeros((2, *SHAPE), np.float32)
        truth[0, :, FAULT:] = 2
        fault = np.zeros(SHAPE, bool)
        fault[:, FAULT - 1 : FAULT + 1] = True
        image = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
        return Case(pair_of(image, image), truth, fault)

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        return Zones(border_px=4).judge(case, answer)


@dataclass(frozen=True)
class Off:
    """The truth, off by `error` px, silent within `gap_px` of the fault, wrong by 1.5 px within 2 px of it."""

    name: str
    error: float
    gap_px: int = 0
    step_px: int = 1

    def __call__(self, entry: Entry, case: Case) -> Answer:
        assert case.truth is not None
        xy = case.truth + np.array([0, self.error], np.float32)[:, None, None]
        away = np.abs(np.arange(SHAPE[1]) + 0.5 - FAULT)
        xy[0, :, away < 2] += 1.5
        xy[:, :, away < self.gap_px] = np.nan
        whole = Answer(xy, step_px=self.step_px)
        return Answer(whole.at(xy), step_px=self.step_px) if self.step_px > 1 else whole


def cells(table: str, method: str) -> list[str]:
    """The row of a method under `Where ... answers too`."""
    (line,) = [line for line in table.split("## Where")[1].splitlines() if line.startswith(f"| {method} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_places_that_one_leaves_out_count_for_neither(tmp_path):
    judged = judge(tmp_path / "out", [Faulted()], [Off("shy", 0.2, 2), Off("bold", 0.1)], how=How("shy"))
    shared, near, at_fault, *_, far = cells(judged.table, "bold")
    assert shared == "50"  # of eight columns within 3 px of the trace four are left
    assert 90 > int(near) > 80
    assert at_fault == "0.100 (0.50)"
    assert far == "0.100 (0.50)"
    before = next(line for line in judged.table.splitlines() if line.startswith("| bold |"))
    assert float(before.split("|")[2].split()[0]) > 0.7  # where it answers alone it is wrong by 1.5 px
    assert "| shy |" not in judged.table.split("## Where")[1]


def test_a_coarser_answer_is_compared_at_its_own_places(tmp_path):
    judged = judge(tmp_path / "out", [Faulted()], [Off("fine", 0.2), Off("coarse", 0.1, 2, 2)], how=How("fine"))
    assert cells(judged.table, "coarse")[2] == "0.100 (0.50)"


def test_answers_at_places_that_do_not_nest_are_not_compared():
    two, three = (Answer(np.zeros((2, 30, 40)), step_px=step) for step in (2, 3))
    assert shared_by(two, three) is None


def test_both_have_the_gaps_of_either():
    one, other = np.zeros((2, 4, 5)), np.ones((2, 4, 5))
    one[0, 1, 2] = other[1, 3, 4] = np.nan
    found = shared_by(Answer(one), Answer(other))
    assert found is not None
    for part, value in zip(found, (0, 1), strict=True):
        assert np.argwhere(~part.valid).tolist() == [[1, 2], [3, 4]]
        assert part.xy[:, part.valid] == pytest.approx(value)
