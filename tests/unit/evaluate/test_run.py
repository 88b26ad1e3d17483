"""A whole evaluation: it goes on where it was cut short, keeps failures apart, and shows what it found."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_estimator import Tiny

from terrashift.errors import InputError, OptionError
from terrashift.evaluate.board import Bound, bounds_of, broken, read_bounds, write_bounds
from terrashift.evaluate.case import Answer, Case, Entry, pair_of
from terrashift.evaluate.cost import Meter
from terrashift.evaluate.judge import How, judge
from terrashift.evaluate.methods import Measuring
from terrashift.evaluate.run import RECORDS, Evaluation, Outcome, Record
from terrashift.evaluate.table import markdown, mean_over, ratio, shown, to_json
from terrashift.evaluate.zoned import Zones

SHAPE = (60, 70)
FACTS = {
    "command": "terrashift evaluate",
    "when": "2026",
    "machine": "m",
    "suites": {"toy": "toys"},
    "settings": {"version": "0"},
}


@dataclass(frozen=True)
class Toy:
    """Two pairs that moved by whole pixels right of a line."""

    name: str = "toy"
    about: str = "two pairs"
    headline: tuple[str, ...] = ("epe_fault", "epe_far", "valid")
    loaded: list[str] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        return [Entry("toy", name, "pairs", lambda name=name: self._case(name)) for name in ("one", "two")]

    def _case(self, name: str) -> Case:
        self.loaded.append(name)
        ground = torch.randn(SHAPE, generator=torch.Generator().manual_seed(len(name)))
        truth = np.zeros((2, *SHAPE), np.float32)
        truth[0, :, 35:] = 1
        fault = np.zeros(SHAPE, bool)
        fault[:, 34:36] = True
        after = torch.cat([ground[:, :35], ground[:, 34:-1]], 1)
        return Case(pair_of(ground, after), truth, fault)

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        return Zones(border_px=8).judge(case, answer)


@dataclass(frozen=True)
class Constant:
    """Says the same everywhere."""

    name: str
    value: float = 0.0
    asked: list[str] = field(default_factory=list)

    def __call__(self, entry: Entry, case: Case) -> Answer:
        self.asked.append(entry.name)
        return Answer(np.full((2, *SHAPE), self.value, np.float32))


@dataclass(frozen=True)
class Failing:
    """Cannot do the second one."""

    name: str = "failing"

    def __call__(self, entry: Entry, case: Case) -> Answer | None:
        if entry.name == "two":
            raise InputError("too dark <b>here</b>")
        return None


def test_an_estimator_of_ones_own_stands_in_the_table(tmp_path):
    judged = judge(tmp_path / "out", [Toy()], [Constant("nothing"), Measuring("mine", Tiny())], how=How("nothing"))
    (line,) = [line for line in judged.table.splitlines() if line.startswith("| mine")]
    assert "(0." in line  # better than nothing, by the ratio behind the number
    assert "mine" in (tmp_path / "out" / "report.html").read_text()


def test_a_run_that_was_cut_short_goes_on_and_measures_nothing_twice(tmp_path):
    first, second, suite = Constant("first"), Constant("second", 0.5), Toy()
    Evaluation([suite], [first], tmp_path).run()
    with (tmp_path / RECORDS).open("a") as file:
        file.write('{"suite": "toy", "case": "two", "meth')  # killed while it wrote
    outcome = Evaluation([suite], [first, second], tmp_path).run()
    assert first.asked == second.asked == ["one", "two"]
    assert [(r.case, r.method) for r in outcome.records] == [
        ("one", "first"),
        ("one", "second"),
        ("two", "first"),
        ("two", "second"),
    ]
    again = Evaluation([Toy()], [first, second], tmp_path).run()
    assert again.records == outcome.records
    assert first.asked == ["one", "two"]


def test_a_folder_of_other_cases_is_refused_and_started_anew_only_when_told(tmp_path):
    judge(tmp_path, [Toy()], [Constant("a")])
    other = Toy(about="others")
    with pytest.raises(InputError, match="--overwrite"):
        judge(tmp_path, [other], [Constant("a")])
    assert judge(tmp_path, [other], [Constant("a")], how=How(overwrite=True)).outcome.records


def test_a_method_that_fails_has_its_reason_and_the_others_go_on(tmp_path):
    judged = judge(tmp_path, [Toy()], [Failing(), Constant("a")])
    failed = [r for r in judged.outcome.records if r.failed]
    assert [(r.case, r.method, r.failed) for r in failed] == [("two", "failing", "too dark <b>here</b>")]
    assert sum(r.method == "a" for r in judged.outcome.records) == 2
    assert "too dark" in judged.table
    html = (tmp_path / "report.html").read_text()
    assert "too dark &lt;b&gt;here" in html
    assert "<b>here" not in html


def test_the_numbers_in_json_are_those_of_the_table_and_can_be_read_by_anyone(tmp_path):
    judged = judge(tmp_path, [Toy()], [Constant("nothing"), Constant("half", 0.5)], how=How("nothing"))
    found = json.loads((tmp_path / "results.json").read_text())
    means = {one["method"]: one for one in found["means"]}
    # right of the line 1 px, left of it 0; half of a pixel along y everywhere
    assert means["nothing"]["values"]["epe_far"] == pytest.approx(0.5, abs=0.05)
    assert means["half"]["values"]["epe_far"] == pytest.approx(math.sqrt(0.5), rel=1e-5)
    share = means["half"]["values"]["epe_far"] / means["nothing"]["values"]["epe_far"]
    assert means["half"]["ratios"]["epe_far"] == pytest.approx(share)
    assert f"{means['half']['values']['epe_far']:.3f} ({share:.2f})" in judged.table


def record(method: str, case: str, **values: float) -> Record:
    return Record("toy", case, "pairs", method, values)


def test_a_ratio_is_taken_over_the_cases_that_both_have_an_answer_to():
    records = [record("a", "one", epe=1.0), record("a", "two", epe=9.0), record("b", "one", epe=2.0)]
    assert ratio(records, "a", "b", "epe") == 0.5
    assert mean_over(records[:2], "epe") == 5.0
    assert mean_over([record("a", "one", bias_x=0.5), record("a", "two", bias_x=-0.5)], "bias_x") == 0.5
    assert math.isnan(ratio(records, "a", "nobody", "epe"))


def test_tables_keep_signs_that_would_break_them_apart():
    outcome = Outcome([record("a|b", "one", epe=1.0)], FACTS)
    assert "| a\\|b |" in markdown(outcome, {"toy": ("epe",)}, "a|b")
    assert json.loads(to_json(outcome, {"toy": ("epe",)}, "x"))["means"][0]["ratios"] == {"epe": None}
    assert shown(123.4, "epe") == "123"


def test_bounds_are_the_number_and_its_noise_and_hold_later_numbers(tmp_path):
    cases = [record("a", str(k), epe=v, valid=1.0) for k, v in enumerate((0.1, 0.2, 0.3, 0.2))]
    outcome = Outcome(cases, FACTS)
    (bound,) = bounds_of(outcome, {"toy": ("epe", "valid")})  # of valid more is better
    assert bound.value == pytest.approx(0.2)
    assert bound.noise == pytest.approx(np.std([0.1, 0.2, 0.3, 0.2], ddof=1) / 2, rel=1e-4)
    assert bound.bound == pytest.approx(bound.value + bound.noise)
    write_bounds(tmp_path / "bounds.json", outcome, [bound])
    assert read_bounds(tmp_path / "bounds.json") == [bound]
    assert list(broken(outcome, [bound])) == []
    worse = Outcome([record("a", str(k), epe=0.3) for k in range(4)], FACTS)
    (one,) = broken(worse, [bound])
    assert "epe is 0.3000" in str(one)
    assert len(list(broken(Outcome([], FACTS), [bound]))) == 1  # a number that is gone breaks its bound too


def test_the_noise_of_a_single_case_is_that_of_other_processors():
    outcome = Outcome([record("a", "one", epe=0.5)], FACTS)
    assert bounds_of(outcome, {"toy": ("epe",)}) == [Bound("toy", "pairs", "a", "epe", 0.5, 0.01, 0.51, 1)]


def test_bounds_that_are_none_say_so(tmp_path):
    with pytest.raises(InputError, match="--set-bounds"):
        read_bounds(tmp_path / "missing.json")
    (tmp_path / "torn.json").write_text('{"bounds": [{"suite"')
    with pytest.raises(InputError, match="holds no bounds"):
        read_bounds(tmp_path / "torn.json")


def test_a_meter_sees_the_time_and_the_memory_that_is_taken():
    with Meter() as meter:
        block = torch.ones(40, 2**20)  # 160 MiB
        for _ in range(8):
            block = block * 1.0
    assert meter.cpu_s > 0
    assert meter.wall_s > 0
    assert math.isnan(meter.peak_mib) or meter.peak_mib > 100


def test_nothing_to_judge_is_a_mistake(tmp_path):
    with pytest.raises(OptionError, match="nothing to judge"):
        judge(tmp_path, [Toy()], [])
    with pytest.raises(OptionError, match="NAME=FOLDER"):
        judge(tmp_path, [Toy()], [Constant("a")], stored=[str(Path("x"))])
