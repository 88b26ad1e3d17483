"""The training loop on a small network and made-up ground: it learns, stops, and goes on as if nothing had been."""

import dataclasses
import itertools
import json
import time

import pytest
import torch
from made_up_imagery import pack_noise
from safetensors.torch import load_file

from terrashift.errors import InputError
from terrashift.io.weights import load_weights
from terrashift.models.microflow import MicroFlowOptions
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.stream import StreamOptions
from terrashift.train.loop import finished, train
from terrashift.train.recipe import TrainRecipe


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A training and a validation archive of smooth noise, two dates each."""
    folder = tmp_path_factory.mktemp("imagery")
    paths = []
    for seed, split in enumerate(("train", "validation")):
        paths.append(folder / f"{split}.tsi")
        pack_noise(paths[-1], split, seed)
    return paths


@pytest.fixture
def recipe(archives):
    fields = FieldOptions(largest_px=2.0)
    return TrainRecipe(
        name="tiny",
        model=MicroFlowOptions(channels=(8, 8, 8, 8), fine=8, passes=2),
        stream=StreamOptions(size_px=64, batch=4, fields=fields),
        imagery=str(archives[0]),
        validation=str(archives[1]),
        steps=12,
        warm_up=2,
        grow=4,
        validate_every=6,
        validation_pairs=2,
        validation_px=64,
        calibration_pairs=2,
        calibration_px=64,
    )


def test_a_run_leaves_weights_and_a_log(recipe, tmp_path):
    told = []
    path = train(recipe, tmp_path, tell=told.append)
    weights = load_weights(str(path))
    assert weights.options["channels"] == [8, 8, 8, 8]
    assert len(weights.tensors) == len(load_file(path))
    lines = list(finished(tmp_path))
    assert [line["step"] for line in lines if "scores" in line] == [6, 12]
    assert {s["name"] for s in lines[-1]["scores"]} == {"very small", "small", "medium"}
    assert len(told) == len(lines)


def test_the_card_tells_what_the_weights_learned_from_and_how_good_they_are(recipe, tmp_path):
    train(recipe, tmp_path)
    text = (tmp_path / "tiny.md").read_text()
    assert text.startswith("# tiny\n")
    assert "12 steps of 4 pairs" in text
    assert "**Learned from**: train." in text
    assert "figures below**: validation, never learned from" in text
    for name in ("very small", "small", "medium", "largest sigmas"):
        assert f"| {name} |" in text
    assert "seed: 1" in text
    assert str(tmp_path.parent) not in text


def test_an_interrupted_run_ends_in_the_same_weights(recipe, tmp_path):
    whole = load_file(train(recipe, tmp_path / "whole"))
    half = dataclasses.replace(recipe, save_seconds=0.0)
    train(dataclasses.replace(half, validate_every=5), tmp_path / "cut", until=time.monotonic() + 0.3)
    state = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)
    while state["step"] < recipe.steps:
        train(half, tmp_path / "cut", until=time.monotonic() + 0.3)
        state = torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=True)
    again = load_file(tmp_path / "cut" / "tiny.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_place_in_both_archives_is_named_before_anything_is_learnt(recipe, archives, tmp_path):
    one, other = (Archive.load(path) for path in archives)
    mixed = tmp_path / "mixed.tsi"
    Archive((*other.views, *one.views), (*other.pixels, *one.pixels)).save(mixed)
    with pytest.raises(InputError, match=r"mixed\.tsi both hold train: pack each place"):
        train(dataclasses.replace(recipe, validation=str(mixed)), tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").exists()
    train(dataclasses.replace(recipe, validation="", steps=1), tmp_path / "alone")


def test_a_checkpoint_from_before_a_setting_existed_goes_on(recipe):
    from terrashift.train.loop import _same_run

    asked = dataclasses.asdict(recipe)
    stored = json.loads(json.dumps(asked))
    del stored["stream"]["one_date"]["shadows"]
    assert _same_run(stored, asked)
    stored["stream"]["one_date"]["noise"] = 0.0
    assert not _same_run(stored, asked)
    assert not _same_run(stored | {"colour": "blue"}, asked)


def test_another_recipe_does_not_go_on_from_a_checkpoint(recipe, tmp_path):
    train(dataclasses.replace(recipe, steps=1), tmp_path)
    with pytest.raises(InputError, match="another recipe"):
        train(dataclasses.replace(recipe, learning_rate=1e-4), tmp_path)


def test_a_damaged_checkpoint_is_named(recipe, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half of it")
    with pytest.raises(InputError, match="checkpoint"):
        train(recipe, tmp_path)


def test_a_broken_batch_does_not_reach_the_weights(recipe, tmp_path, monkeypatch):
    from terrashift.train import loop

    real = loop.learn
    calls = []

    def broken(*arguments):
        calls.append(1)
        lesson = real(*arguments)
        return lesson._replace(loss=lesson.loss * (float("nan") if len(calls) == 2 else 1.0))

    monkeypatch.setattr(loop, "learn", broken)
    weights = load_file(train(dataclasses.replace(recipe, steps=4), tmp_path))
    assert all(value.isfinite().all() for value in weights.values())


def test_the_learning_rate_rises_stays_and_falls(recipe):
    from terrashift.train.loop import _pace

    paces = [_pace(dataclasses.replace(recipe, steps=100, warm_up=10, cool_down=0.3), k) for k in range(100)]
    assert paces[0] == pytest.approx(0.1)
    assert max(paces) == paces[50] == 1
    assert paces[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(paces[70:]))


def test_the_learning_rate_goes_down_in_stairs_where_that_is_published(recipe):
    from terrashift.train.loop import _pace

    stairs = dataclasses.replace(recipe, steps=100, warm_up=1, cool_down=0.0, drop_every=30, drop=0.8)
    assert [round(_pace(stairs, k), 3) for k in (0, 29, 30, 59, 60, 99)] == [1, 1, 0.8, 0.8, 0.64, 0.512]


def test_it_starts_from_given_weights(recipe, tmp_path):
    first = train(dataclasses.replace(recipe, steps=6), tmp_path / "first")
    next_recipe = dataclasses.replace(recipe, steps=1, learning_rate=0.0, average=0.0, start_from=str(first))
    second = load_file(train(next_recipe, tmp_path / "second"))
    assert all(torch.equal(value, second[name]) for name, value in load_file(first).items())


def test_the_curves_are_drawn(recipe, tmp_path):
    from terrashift.plot.training import curves

    train(recipe, tmp_path)
    log = [*finished(tmp_path), json.loads('{"step": 50, "loss": 1.0, "error_px": 0.5, "still_px": 0.6}')]
    curves(log, tmp_path / "log.png")
    assert (tmp_path / "log.png").read_bytes()[:4] == b"\x89PNG"
