"""What a user of the challenge's data types: pack, train, score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from probav_scenes import write_many, write_references
from safetensors.torch import load_file

from terrashift import cli
from terrashift.io.packed_scenes import SceneArchive

RECIPE = """
name: tiny
network: unrolled
model: {{width: 8, blocks: 1, trust: 4}}
data: probav
imagery: {imagery}
steps: 20
learning_rate: 0.005
warm_up: 5
grow: 0
validate_every: 10
validation_pairs: 8
calibration_pairs: 8
bfloat16: false
loss: {{sharp: {{base: l1, border: 3, bias: true}}}}
probav: {{size_px: 14, batch: 3, frames: [3, 5], held_out: 0.5, least_known: 0.5, reference: {reference}}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_many(tmp_path_factory.mktemp("data") / "probav", 2, 32)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(path: Path, imagery: Path | str, reference: str = "clearest", steps: int = 20) -> str:
    path.write_text(RECIPE.format(imagery=imagery, reference=reference).replace("steps: 20", f"steps: {steps}"))
    return str(path)


def rows_of(path: Path) -> dict[tuple[str, str], dict]:
    return {(row["group"], row["method"]): row for row in json.loads(path.read_text())}


def test_pack_train_and_score_go_from_one_to_the_next(root, folder, capsys):
    assert cli.main(["pack", str(root), "-o", "probav.tsi"]) == 0
    assert "probav.tsi: 4 scenes (NIR 2, RED 2) of 24 frames" in capsys.readouterr().out
    assert cli.main(["pack", str(root), "-o", "probav.tsi"]) == 1
    assert "--overwrite" in capsys.readouterr().err

    words = ["train", recipe(folder / "r.yaml", "probav.tsi"), "-o", "run", "--device", "cpu"]
    assert cli.main(words) == 0
    told = capsys.readouterr().err
    assert "validation, NIR (1 held out): cPSNR" in told
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    first, last = ([s["cpsnr"] for s in line["scores"]] for line in log if "scores" in line)
    assert last[0] > first[0]
    assert last[1] > first[1]

    words = ["score", "probav.tsi", "--held-out", "0.5", "--methods", "bicubic-mean", "run/tiny.safetensors"]
    assert cli.main([*words, "-o", "scores.json"]) == 0
    rows = rows_of(folder / "scores.json")
    assert {row["cases"] for row in rows.values()} == {1}
    for band, value in zip(("NIR", "RED"), last, strict=True):
        assert rows[band, "tiny"]["gain"] > 1
        assert rows[band, "tiny"]["score"] < rows[band, "bicubic-mean"]["score"]
        assert rows[band, "tiny"]["cpsnr"] == pytest.approx(value, abs=0.3)  # 6 frames here, 5 there
    held = {one.facts.name for one in SceneArchive.load("probav.tsi").parted(0.5).held_out.scenes}
    told = capsys.readouterr().err
    assert all(f"{name}, 6 frames" in told for name in held)
    card = (folder / "run" / "tiny.md").read_text()
    assert "| NIR | 1 |" in card
    assert all(name in card for name in held)


def test_the_folder_trains_as_its_packed_file_does_and_scores_alike(root, folder, capsys):
    assert cli.main(["pack", str(root), "-o", "probav.tsi"]) == 0
    for name, imagery in (("a", root), ("b", "probav.tsi")):
        words = ["train", recipe(folder / f"{name}.yaml", imagery, steps=2), "-o", name, "--device", "cpu"]
        assert cli.main(words) == 0
    one, other = (load_file(folder / name / "tiny.safetensors") for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name, data in (("a", root), ("b", "probav.tsi")):
        assert cli.main(["score", str(data), "--methods", "bicubic", "-o", f"{name}.json"]) == 0
    assert (folder / "a.json").read_text() == (folder / "b.json").read_text()


def test_the_frame_of_the_truth_is_sharpened_where_it_is_told(root, folder, capsys):
    names = {(path.parent.name, path.name): "003" for path in root.glob("train/*/imgset*")}
    told = write_references(folder / "reference.json", names)
    assert cli.main(["pack", str(root), "-o", "known.tsi", "--references", str(told)]) == 0
    words = ["train", recipe(folder / "r.yaml", "known.tsi", "known", steps=2), "-o", "run", "--device", "cpu"]
    assert cli.main(words) == 0
    scored = {}
    for name, more in {
        "folder": [str(root), "--references", str(told)],
        "packed": ["known.tsi"],
        "clearest": [str(root)],
    }.items():
        assert cli.main(["score", *more, "--methods", "bicubic", "-o", f"{name}.json"]) == 0
        scored[name] = rows_of(folder / f"{name}.json")
    assert scored["folder"] == scored["packed"]
    # the planted truth lies where frame 0, the clearest, does: frame 3 is 1.4 fine px off, which the plain ratio tells
    for band in ("NIR", "RED"):
        assert scored["clearest"][band, "bicubic"]["psnr"] > scored["packed"][band, "bicubic"]["psnr"] + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pack", "{root}", "-o", "a.tsi", "--sensor", "PROBA-V"], "--sensor of PROBA-V's scenes are known"),
        (["pack", "{empty}", "-o", "a.tsi", "--references", "r.json"], "--references belongs to the folder"),
        (["pack", "{root}", "-o", "a.tsi", "--references", "r.json"], "not PROBA-V-REF's reference.json"),
        (["score", "{root}", "--held-out", "1.5"], "give a share below 1"),
        (["score", "{empty}", "--held-out", "0.5"], "belong to the scenes of PROBA-V"),
        (["train", "{recipe}", "-o", "run"], "nowhere.tsi does not exist: pack the challenge's data first"),
    ],
)
def test_what_does_not_fit_is_said(words, said, root, folder, capsys):
    (folder / "empty").mkdir()
    names = {"root": root, "empty": folder / "empty", "recipe": recipe(folder / "r.yaml", "nowhere.tsi")}
    assert cli.main([word.format(**names) for word in words]) != 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (folder / "a.tsi").exists()
