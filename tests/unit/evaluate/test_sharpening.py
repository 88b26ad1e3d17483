"""`terrashift score`: methods on scenes of the PROBA-V challenge, and on bursts made from imagery."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_imagery import pack_noise
from probav_scenes import write_data, write_scene

from terrashift import cli
from terrashift.evaluate.sharpening import (
    Case,
    Setting,
    burst_cases,
    judge_all,
    judge_case,
    prepare,
    probav_cases,
    table,
)
from terrashift.simulate.archive import Archive
from terrashift.superres.base import Sharp
from terrashift.superres.methods import baseline


def test_one_command_scores_the_challenges_data(tmp_path: Path, capsys):
    root = write_data(tmp_path / "probav")
    numbers = tmp_path / "scores.json"
    words = ["score", str(root), "-o", str(numbers), "--methods", "bicubic", "bicubic-mean", "ibp", "--scenes", "1"]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    assert "| NIR | ibp | 1 |" in told.out
    rows = {(row["group"], row["method"]): row for row in json.loads(numbers.read_text())}
    assert len(rows) == 6
    for band in ("NIR", "RED"):
        best, plain = rows[band, "ibp"], rows[band, "bicubic-mean"]
        assert best["gain"] == pytest.approx(best["cpsnr"] - plain["cpsnr"])
        assert best["gain"] > 1.5
        assert best["psnr"] > plain["psnr"] + 1.5
        assert best["score"] < plain["score"]
    assert rows["NIR", "ibp"]["score"] == pytest.approx(46.5 / rows["NIR", "ibp"]["cpsnr"])
    assert cli.main(words) == 1
    assert "pass --overwrite" in capsys.readouterr().err


def test_scenes_without_truth_are_passed_over(tmp_path: Path):
    write_scene(tmp_path / "NIR" / "imgset0000", truth=False)
    write_scene(tmp_path / "NIR" / "imgset0001")
    assert [case.name for case in probav_cases(tmp_path, Setting())] == ["imgset0001"]


def test_a_perfect_method_has_no_error_and_a_shifted_one_none_by_the_corrected_scores(tmp_path: Path):
    write_scene(tmp_path / "NIR" / "imgset0000")
    case = next(probav_cases(tmp_path, Setting()))

    class Oracle:
        name, halo, papers = "oracle", 0, ()

        def __init__(self, move: int) -> None:
            self.move = move

        def __call__(self, frames, scale):
            truth = torch.from_numpy(np.roll(case.truth, self.move, 1) + 50.0 * bool(self.move))[None].float()
            return Sharp(truth, torch.full_like(truth, 1.0))

        def memory(self, frames, bands, pixels, scale):
            return 0

    frames = prepare(case, Setting())
    none = Setting(anchor="none")
    assert judge_case(case, frames, Oracle(0), none).psnr == math.inf
    shifted = judge_case(case, frames, Oracle(2), none)
    assert shifted.cpsnr > 120
    assert shifted.cssim == pytest.approx(1, abs=1e-4)
    assert shifted.psnr < 40


def test_bursts_of_imagery_are_the_same_for_everybody_and_methods_rank(tmp_path: Path):
    pack_noise(tmp_path / "noise.tsi", "here", 3)
    setting = Setting(max_frames=6, scenes=1)
    archive = Archive.load(tmp_path / "noise.tsi")
    cases = list(burst_cases(archive, setting, 2, 24))
    again = list(burst_cases(archive, setting, 2, 24))
    assert [case.group for case in cases] == ["clean", "noisy", "clouded, changed"]
    assert all(torch.equal(a.frames.nan_to_num(), b.frames.nan_to_num()) for a, b in zip(cases, again, strict=True))
    rows = judge_all(iter(cases[:1]), [baseline("bicubic-mean"), baseline("ibp")], setting)
    assert rows[1].gain > 0.3
    assert rows[0].gain == 0
    assert math.isnan(rows[0].score)
    shown = table(rows)
    assert "gain dB" in shown
    assert "score" not in shown


def test_frames_are_limited_to_the_clearest_with_the_reference_among_them(tmp_path: Path):
    write_scene(tmp_path / "NIR" / "imgset0000")
    case = next(probav_cases(tmp_path, Setting()))
    few = prepare(case._replace(home=3), Setting(max_frames=3))
    assert few.count == 3
    assert torch.equal(few.usable[few.home], case.frames[3, 0].isfinite()) or few.usable[few.home].float().mean() > 0.9
    assert isinstance(case, Case)
