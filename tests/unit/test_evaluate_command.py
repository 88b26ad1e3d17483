"""`terrashift evaluate` as a user gives it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from terrashift import cli

FAST = ["--suites", "landmarks", "--pairs", "2", "--size", "128"]


@pytest.fixture(autouse=True)
def _made_up_ground(monkeypatch):
    monkeypatch.delenv("TERRASHIFT_IMAGERY", raising=False)
    monkeypatch.delenv("TERRASHIFT_BENCHMARK", raising=False)


def test_a_table_numbers_and_a_page_come_out(tmp_path, capfd):
    pytest.importorskip("cv2")
    words = ["evaluate", "-o", str(tmp_path / "out"), *FAST, "--methods", "opencv-dis", "opencv-farneback"]
    assert cli.main([*words, "--against", "opencv-farneback", "--figures", str(tmp_path / "figures")]) == 0
    said = capfd.readouterr().out
    assert "| opencv-dis |" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"table.md", "results.json", "report.html"}
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    kept = {one["method"]: one["values"]["kept"] for one in found["means"] if one["group"] == "shifts"}
    assert kept["opencv-dis"] < 0.5
    assert "http" not in (tmp_path / "out" / "report.html").read_text().replace("http-equiv", "")


def test_bounds_that_were_set_hold_until_a_number_is_worse(tmp_path, capfd):
    pytest.importorskip("cv2")
    bounds, out = tmp_path / "bounds.json", str(tmp_path / "out")
    words = ["evaluate", "-o", out, *FAST, "--methods", "opencv-dis"]
    assert cli.main([*words, "--set-bounds", str(bounds)]) == 0
    assert cli.main([*words, "--bounds", str(bounds)]) == 0
    tightened = json.loads(bounds.read_text())
    tightened["bounds"][0]["bound"] *= 0.5
    bounds.write_text(json.dumps(tightened))
    capfd.readouterr()
    assert cli.main([*words, "--bounds", str(bounds)]) == 1
    assert "its bound" in capfd.readouterr().err


def test_pairs_go_out_and_what_a_program_makes_of_them_comes_back(tmp_path, capfd):
    pairs = tmp_path / "pairs"
    assert cli.main(["evaluate", "-o", str(tmp_path / "out"), *FAST, "--export", str(pairs)]) == 0
    places = sorted((pairs / "landmarks").iterdir())
    assert [place.name for place in places] == ["affine_0", "smooth_0", "translation_0"]
    (tmp_path / "program").mkdir()
    for place in places:
        with rasterio.open(place / "after.tif") as image:
            assert image.dtypes == ("float32",)
            nothing = np.zeros(image.shape, np.float32)
        np.savez(tmp_path / "program" / f"{place.name}.npz", u=nothing, v=nothing)
    words = ["evaluate", "-o", str(tmp_path / "out"), *FAST, "--methods", "mine=none"]
    assert cli.main(words) == 2
    assert "there is no method" in capfd.readouterr().err
    stored = ["--methods", "opencv-dis", "--stored", f"still={tmp_path / 'program'}"]
    assert cli.main(["evaluate", "-o", str(tmp_path / "out"), *FAST, *stored]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["values"]["kept"] for one in found["means"] if one["method"] == "still"] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--suites", "ruptur"], "Did you mean `rupture`"),
        (["--methods", "frequncy"], "Did you mean `frequency`"),
        (["--suites", "reference"], "TERRASHIFT_BENCHMARK"),
        (["--suites", "pseudo-truth"], "--before and --after"),
        (["--suites", "stable", "--before", "one.tif"], "belong together"),
        (["--pairs", "0"], "--pairs is 0: give 1 or more"),
        (["--bounds", "nowhere.json", "--suites", "landmarks"], "does not exist"),
        (["--stored", "x=nowhere"], "NAME=FOLDER"),
    ],
)
def test_mistakes_are_named_before_any_work(words, says, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(
        "terrashift.evaluate.run.Evaluation.run", lambda self: [suite.entries() for suite in self.suites]
    )
    assert cli.main(["evaluate", "-o", str(tmp_path / "out"), *words]) == 2
    assert says in " ".join(capfd.readouterr().err.split())
