"""Networks of several frames in the one training loop: they learn, are judged, calibrated, carded and gone on with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made_up_imagery import pack_noise
from safetensors.torch import load_file
from scipy import ndimage

from terrashift.errors import InputError
from terrashift.io.weights import load_weights
from terrashift.models.catalogue import make, options_of
from terrashift.models.deepsum import dynamic_convolution
from terrashift.ops.random import Random
from terrashift.plot.training import curves
from terrashift.simulate.archive import Archive, View
from terrashift.simulate.burst import BurstOptions, BurstStream
from terrashift.train.loop import finished, train
from terrashift.train.recipe import TrainRecipe, recipe_of
from terrashift.train.sharpening import (
    SharpValidation,
    corrected_psnr,
    inconsistency,
    learn_bursts,
    mean_of_registered,
    shifted_copies,
)

BURSTS = BurstOptions(size_px=8, batch=4, frames=(3, 3), binning=(1,))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagery")
    paths = [folder / f"{split}.tsi" for split in ("train", "validation")]
    for seed, path in enumerate(paths):
        pack_noise(path, path.stem, seed)
    return paths


@pytest.fixture
def recipe(archives):
    return TrainRecipe(
        name="tiny",
        network="unrolled",
        model=options_of("unrolled", {"width": 8, "blocks": 1, "trust": 4}),
        bursts=BURSTS,
        imagery=str(archives[0]),
        validation=str(archives[1]),
        steps=8,
        warm_up=2,
        grow=0,
        validate_every=4,
        validation_pairs=1,
        validation_px=8,
        calibration_pairs=1,
        calibration_px=8,
    )


def test_a_run_leaves_calibrated_weights_a_log_and_a_card(recipe, tmp_path):
    told = []
    weights = load_weights(str(train(recipe, tmp_path, tell=told.append)))
    assert weights.network == "unrolled"
    assert set(weights.calibration) == {"offset", "power"}
    looks = [line for line in finished(tmp_path) if "scores" in line]
    assert [line["step"] for line in looks] == [4, 8]
    assert [s["name"] for s in looks[0]["scores"]] == ["clean", "noisy", "clouded, changed"]
    text = (tmp_path / "tiny.md").read_text()
    assert "8 steps of 4 bursts (3 to 3 frames of 8 px, scale 3)" in text
    assert "| clean |" in text
    assert "mean sigma, deviations" in text
    assert "dB" in told[-1][0].text
    curves(list(finished(tmp_path)), tmp_path / "log.png")
    assert (tmp_path / "log.png").stat().st_size > 5000


def test_an_interrupted_run_ends_in_the_same_weights(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, steps=3, validation="")
    whole = load_file(train(recipe, tmp_path / "whole"))
    for _ in range(recipe.steps):  # one step a time
        path = train(recipe, tmp_path / "cut", until=0.0)
    again = load_file(path)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_deepsum_is_trained_in_its_three_steps(recipe, tmp_path):
    small = {"width": 8, "layers": 2, "frames": 3}
    path, parts = "", {}
    for stage in ("sisr", "regnet", "whole"):
        model = options_of("deepsum", small | {"stage": stage})
        step = dataclasses.replace(
            recipe, name=stage, network="deepsum", model=model, steps=2, validation="", start_from=path
        )
        path = str(train(step, tmp_path / stage))
        parts[stage] = load_file(path)
    kept = parts["sisr"].keys() & parts["regnet"].keys()
    same = {name for name in kept if torch.equal(parts["sisr"][name], parts["regnet"][name])}
    assert {name for name in parts["regnet"] if name.startswith("encode")} <= same  # frozen
    assert {name.split(".")[0] for name in parts["whole"]} == {"encode", "align", "fuse", "decode"}
    wrong = dataclasses.replace(recipe, start_from=path)
    with pytest.raises(InputError, match="other options"):
        train(wrong, tmp_path / "wrong")


def test_networks_of_fixed_frames_have_no_scale_to_calibrate(recipe, tmp_path):
    model = options_of("wdsr3d", {"width": 8, "blocks": 1, "frames": 3})
    weights = load_weights(
        str(train(dataclasses.replace(recipe, network="wdsr3d", model=model, steps=1, validate_every=9), tmp_path))
    )
    assert weights.calibration == {}


def test_what_regnet_learns_undoes_the_shift_of_each_copy():
    features = torch.randn(2, 3, 24, 30, generator=torch.Generator().manual_seed(0))
    moved, tap = shifted_copies(features, Random.of(0, [1, 2]), 6)
    assert moved.shape == (2, 7, 3, 16, 22)
    assert tap.unique().numel() > 6
    filters = torch.nn.functional.one_hot(tap, 81).float().unflatten(2, (9, 9))
    back = dynamic_convolution(moved[:, 1:], filters)[..., 4:-4, 4:-4]
    torch.testing.assert_close(back, moved[:, :1, :, 4:-4, 4:-4].expand_as(back), atol=1e-5, rtol=0)


def test_regnet_learns_whole_shifts(archives):
    torch.manual_seed(0)
    network = make("deepsum", options_of("deepsum", {"width": 12, "layers": 1, "frames": 3, "stage": "regnet"}))
    stream = BurstStream(Archive.load(archives[0]), BURSTS, 0)
    burst = stream.batch(0)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 6e-3)
    first = learn_bursts(network, burst, TrainRecipe().loss.sharp)
    for _ in range(30):
        lesson = learn_bursts(network, burst, TrainRecipe().loss.sharp)
        optimiser.zero_grad()
        lesson.loss.backward()
        optimiser.step()
    assert first.bicubic == pytest.approx(80 / 81)
    assert lesson.loss.item() < 0.6 * first.loss.item()
    assert all(p.grad is None for p in network.encode.parameters())


def test_the_default_learns(archives):
    torch.manual_seed(0)
    network = make("unrolled", options_of("unrolled", {"width": 16, "blocks": 1, "trust": 4}))
    stream = BurstStream(Archive.load(archives[0]), dataclasses.replace(BURSTS, frames=(6, 6), noise=(0.01, 0.01)), 0)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    burst = stream.batch(0)
    with torch.no_grad():
        before = learn_bursts(network, burst, TrainRecipe().loss.sharp).error
    for k in range(15):
        lesson = learn_bursts(network, stream.batch(k), TrainRecipe().loss.sharp)
        optimiser.zero_grad()
        lesson.loss.backward()
        optimiser.step()
    with torch.no_grad():
        after = learn_bursts(network, burst, TrainRecipe().loss.sharp)
    assert after.error < 0.95 * before
    assert after.error < 0.8 * after.bicubic


def test_the_mean_of_registered_frames_is_sharper_and_quieter_than_one(archives):
    options = dataclasses.replace(BURSTS, frames=(12, 12), noise=(0.3, 0.3), clouds=0.3, change=0.0)
    burst = BurstStream(Archive.load(archives[1]), options, 3).batch(0)
    alone = burst._replace(**{name: getattr(burst, name)[:, :1] for name in ("frames", "usable", "shifts_px")})
    wrong = burst._replace(shifts_px=-burst.shifts_px)
    together, one, astray = (
        (mean_of_registered(b) - burst.truth)[..., 4:-4, 4:-4].square().mean() for b in (burst, alone, wrong)
    )
    assert together < 0.9 * one
    assert together < 0.95 * astray


def test_the_truth_is_consistent_with_the_reference_and_another_brightness_is_not(archives):
    options = dataclasses.replace(BURSTS, noise=(0.0, 0.0), clouds=0.0, size_px=10)
    burst = BurstStream(Archive.load(archives[1]), options, 3).batch(0)
    same, brighter, moved = (inconsistency(x, burst) for x in (burst.truth, burst.truth + 0.5, burst.truth.roll(2, -1)))
    assert same < 0.05  # beyond the border there is more ground than the truth shows
    assert brighter > 0.4
    assert moved > 3 * same
    hidden = burst._replace(
        frames=torch.where(burst.usable > 0, burst.frames, 99.0), usable=torch.zeros_like(burst.usable)
    )
    assert inconsistency(burst.truth, hidden) == 0


def test_several_bands_are_learned_together_and_kept_consistent(tmp_path):
    random = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(random.normal(size=(120, 140)), 1.0).astype(np.float32)
    view = View("here red", "here", "red", "train", "none", "CC0", 10.0, ("a",), ((0.0, 0.0),), 120, 140)
    both = [(view, [ground]), (dataclasses.replace(view, name="here nir", band="nir"), [ground**2])]
    Archive.of(both).save(tmp_path / "two.tsi")
    recipe = recipe_of(
        {
            "network": "unrolled",
            "model": {"bands": 2, "consistency": "low-frequency", "width": 8, "blocks": 1, "trust": 4},
            "loss": {"sharp": {"consistency": 1.0}},
            "bursts": {"bands": 2, "size_px": 8, "batch": 2, "binning": [1]},
            "imagery": str(tmp_path / "two.tsi"),
            "validation": "",
            "steps": 2,
        }
    )
    weights = load_weights(str(train(recipe, tmp_path / "run")))
    assert weights.options["bands"] == 2
    assert next(finished(tmp_path / "run"), None) is None


def test_corrected_ratios_forgive_place_and_brightness_only():
    truth = torch.randn(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    known = torch.ones(2, 1, 20, 20)
    assert (corrected_psnr(truth.roll(2, -1) + 1.0, truth, known) > 80).all()
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(corrected_psnr(noisy, truth, known), torch.full((2,), 40.0).double(), atol=0.5, rtol=0)


def test_validation_bursts_are_fixed_and_of_the_recipe_s_scale_and_bands(archives):
    archive = Archive.load(archives[1])
    one, two = (SharpValidation(archive, 3, 8, "cpu", dataclasses.replace(BURSTS, scale=2)) for _ in range(2))
    assert torch.equal(one.sets["noisy"][0].frames, two.sets["noisy"][0].frames)
    assert one.sets["clean"][0].truth.shape == (3, 1, 16, 16)
    perfect = {id(b.frames): b.truth for bursts in one.sets.values() for b in bursts}

    def run(frames, usable, shifts):
        from terrashift.models.sharp import SharpEstimate

        truth = perfect[id(frames)]
        return SharpEstimate(truth + 0.01 * torch.sign(truth), torch.full_like(truth, -4.0))

    for score in one(run):
        assert score.psnr == pytest.approx(60.0, abs=0.2)
        assert score.gain > 5
        assert score.one_sigma == 1.0


def test_a_recipe_of_plain_values_names_its_bursts():
    recipe = recipe_of({"network": "unrolled", "bursts": {"scale": 2, "batch": 6}, "loss": {"sharp": {"border": 3}}})
    assert recipe.sharpens
    assert recipe.batch == 6
    assert recipe.loss.sharp.border == 3
    assert not TrainRecipe().sharpens
