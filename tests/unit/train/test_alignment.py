"""The registration network learns without truth: from hidden and cloudy pairs, through the one loop, to a card."""

import dataclasses

import pytest
import torch
from made_up_imagery import pack_noise
from safetensors.torch import load_file

from terrashift.io.weights import load_weights
from terrashift.models.catalogue import make
from terrashift.models.linear_deformable import LinearDeformableOptions
from terrashift.register.objective import AlignmentOptions
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.stream import Stream, StreamOptions
from terrashift.train.alignment import AlignmentScore, AlignmentValidation, align_batch, hide
from terrashift.train.loop import finished, train
from terrashift.train.losses import LossOptions
from terrashift.train.pupils import answer, learn
from terrashift.train.recipe import TrainRecipe

MODEL = LinearDeformableOptions(encoder=(8, 8, 8, 8), decoder=(8, 8, 8, 8), levels=(2, 1))
FIELDS = FieldOptions(0.1, 2.0, (1.0, 0.0, 0.0, 0.0), shift_px=2.0, smooth_px=0.0, linear_px=1.0, bend_px=1.0)
STREAM = StreamOptions(size_px=64, batch=4, fields=FIELDS)
SMALL_CLASSES = {"translation": FIELDS}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagery")
    paths = [folder / f"{split}.tsi" for split in ("train", "validation")]
    for seed, path in enumerate(paths):
        pack_noise(path, path.stem, seed)
    return paths


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("terrashift.train.alignment.CLASSES", SMALL_CLASSES)


@pytest.fixture
def recipe(archives):
    return TrainRecipe(
        "tiny", "linear-deformable", MODEL, STREAM, imagery=str(archives[0]), validation=str(archives[1]), steps=4,
        grow=0, warm_up=1, validate_every=2, validation_pairs=8, validation_px=64,
    )  # fmt: skip


def test_it_learns_from_one_batch_seen_again_and_again_and_never_looks_at_the_truth(archives):
    torch.manual_seed(0)
    network = make("linear-deformable", MODEL)
    batch = Stream(Archive.load(archives[0]), STREAM, 1).batch(0)
    lying = batch._replace(flow=100 + 0 * batch.flow)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    before = learn(network, batch, LossOptions())
    for _ in range(20):
        loss = learn(network, lying, LossOptions()).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = learn(network, batch, LossOptions())
    assert after.loss < 0.9 * before.loss
    assert after.error_px < 0.75 * before.error_px


def test_what_a_lesson_tells_is_measured_on_the_truth(archives):
    network = make("linear-deformable", MODEL)
    batch = Stream(Archive.load(archives[0]), STREAM, 1).batch(0)
    lesson = learn(network, batch, LossOptions())
    assert lesson.error_px.item() == pytest.approx(batch.flow.norm(dim=1).mean().item())
    assert lesson.still_px.item() == pytest.approx(lesson.error_px.item())
    before, after = batch.before[:, None], batch.after[:, None]
    assert answer(network, before, after).flow.abs().max() == 0


def test_pairs_take_turns_with_the_parts(archives, monkeypatch):
    seen = []
    network = make("linear-deformable", MODEL)
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda *a: seen.append(a[2].tolist()) or forward(*a))
    batch = Stream(Archive.load(archives[0]), STREAM, 1).batch(0)
    align_batch(network, batch, AlignmentOptions())
    align_batch(network, batch, AlignmentOptions(parts="affine"))
    assert seen == [[[1, 1], [1, 1], [1, 0], [0, 1]], [[1, 0]] * 4]


def test_some_pairs_have_gaps_and_some_clouds_and_the_same_ones_in_any_batch(archives):
    batch = Stream(Archive.load(archives[0]), STREAM, 1).batch(0, 64)
    hidden = hide(batch, 0.25)
    gaps = [image.isnan().any((1, 2)) for image in (hidden.before, hidden.after)]
    share = torch.stack([image.isnan().float().mean((1, 2)) for image in (hidden.before, hidden.after)])
    cloudy = ((hidden.after != batch.after) & ~hidden.after.isnan()).any((1, 2))
    assert 0.05 < (gaps[0] | gaps[1]).float().mean() < 0.3
    assert gaps[0].any()
    assert gaps[1].any()
    assert 0.1 < cloudy.float().mean() < 0.3
    assert not (gaps[0] & gaps[1]).any()
    assert share.max() < 0.9
    assert torch.equal(hidden.flow, batch.flow)
    part = hide(batch._replace(**{k: getattr(batch, k)[10:20] for k in batch._fields}), 0.25)
    assert torch.equal(part.before.nan_to_num(9.0), hidden.before[10:20].nan_to_num(9.0))
    assert torch.equal(part.after.nan_to_num(9.0), hidden.after[10:20].nan_to_num(9.0))


def test_a_pair_with_a_gap_has_a_loss_that_can_be_learned_from(archives):
    network = make("linear-deformable", MODEL)
    batch = Stream(Archive.load(archives[0]), STREAM, 1).batch(0)
    batch.after[0] = torch.nan
    loss, flow = align_batch(network, batch, AlignmentOptions())
    loss.backward()
    assert loss.isfinite()
    assert flow.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_a_run_tells_what_is_left_of_the_initial_error_and_leaves_weights_and_a_card(recipe, small, tmp_path):
    told = []
    weights = load_weights(str(train(recipe, tmp_path, tell=told.append)))
    assert weights.network == "linear-deformable"
    assert weights.calibration == {}
    assert weights.options["levels"] == [2, 1]
    looks = [line["scores"] for line in finished(tmp_path) if "scores" in line]
    assert [score["name"] for score in looks[-1]] == ["translation"]
    card = (tmp_path / "tiny.md").read_text()
    assert "| class | before | after | share |" in card
    assert "sigma" not in card.replace("calibrate", "").split("```")[0]
    assert any(isinstance(one, list) and "px before" in one[0].text for one in told)


def test_an_interrupted_run_ends_in_the_same_weights(recipe, small, tmp_path):
    gaps = dataclasses.replace(recipe, loss=LossOptions(alignment=AlignmentOptions(gaps=0.3)), validation="")
    whole = load_file(train(gaps, tmp_path / "whole"))
    train(dataclasses.replace(gaps, steps=2), tmp_path / "cut")
    again = load_file(train(gaps, tmp_path / "cut"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_curves_of_a_registering_run_are_drawn(recipe, small, tmp_path):
    from terrashift.plot.training import curves

    train(recipe, tmp_path)
    curves(list(finished(tmp_path)), tmp_path / "log.png")
    assert (tmp_path / "log.png").read_bytes()[:4] == b"\x89PNG"


def test_no_motion_leaves_all_of_the_error_and_the_truth_none(archives, small):
    from terrashift.models.estimate import Estimate

    validation = AlignmentValidation(Archive.load(archives[1]), 8, 64, "cpu")
    (batch,) = validation.sets["translation"]
    zero = torch.zeros_like(batch.flow)
    (still,) = validation(lambda before, after: Estimate(zero, zero))
    (right,) = validation(lambda before, after: Estimate(batch.flow, zero))
    assert still.share == pytest.approx(1.0)
    assert still.initial_px == pytest.approx(batch.flow.norm(dim=1).mean().item())
    assert right.left_px == 0
    assert AlignmentScore("affine", 4.0, 1.0).text == "affine: 4.00 px before, 1.00 px after (0.250)"
