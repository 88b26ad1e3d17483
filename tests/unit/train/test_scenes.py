"""Networks learn from scenes of the PROBA-V challenge: what they are given, what it is held against, how they do."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from probav_scenes import write_many
from safetensors.torch import load_file

from terrashift.errors import InputError, OptionError
from terrashift.evaluate.sharpening import Setting, judge_case, prepare, probav_cases
from terrashift.io.packed_scenes import PackedScene, SceneArchive
from terrashift.models.catalogue import make, options_of
from terrashift.models.sharp import SharpEstimate
from terrashift.ops.random import Random
from terrashift.superres.learned import Learned
from terrashift.superres.methods import learned
from terrashift.superres.scenes import frames_of, pack_scenes
from terrashift.train.kelvins import KelvinsValidation
from terrashift.train.loop import finished, train
from terrashift.train.recipe import TrainRecipe, load_recipe, recipe_of
from terrashift.train.scenes import SceneOptions, SceneStream, load_scenes, ready
from terrashift.train.sharp_loss import SharpLossOptions
from terrashift.train.sharpening import learn_bursts

RECIPES = Path(__file__).parents[3] / "recipes" / "train"
OPTIONS = SceneOptions(size_px=12, batch=6, frames=(3, 5), least_clear=0.8, least_known=0.5)
FORGIVING = SharpLossOptions("l1", border=3, bias=True)
SMALL = {
    "unrolled": {"width": 8, "blocks": 1, "trust": 4},
    "deepsum": {"width": 8, "layers": 2, "frames": 3},
    "highresnet": {"width": 8, "blocks": 1},
    "wdsr3d": {"width": 8, "blocks": 1, "frames": 3},
    "piunet": {"width": 8, "blocks": 1},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> SceneArchive:
    """Three scenes of each band; their truths are hidden at rows 0 to 9, columns 0 to 29."""
    return pack_scenes(write_many(tmp_path_factory.mktemp("data") / "probav", 3))


@pytest.fixture(scope="module")
def packed(archive, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "probav.tsi"
    archive.save(path)
    return path


def small(kind: str, packed: Path, **more) -> TrainRecipe:
    """A recipe of seconds."""
    values = {
        "name": "tiny",
        "network": kind,
        "model": SMALL[kind],
        "data": "probav",
        "imagery": str(packed),
        "loss": {"sharp": {"border": 3, "bias": True}},
        "probav": {"size_px": 12, "batch": 4, "frames": [3, 5], "held_out": 0.34},
        "steps": 4,
        "warm_up": 1,
        "grow": 0,
        "validate_every": 2,
        "validation_pairs": 1,
        "calibration_pairs": 1,
        "bfloat16": False,
    }
    return recipe_of(values | more)


def test_the_same_number_gives_the_same_burst_in_whatever_company(archive):
    stream = SceneStream(archive, OPTIONS, 7)
    together = stream.bursts([3, 11, 4])
    for row, number in enumerate([3, 11, 4]):
        alone = SceneStream(archive, OPTIONS, 7).bursts([number])
        for part, one in zip(together, alone, strict=True):
            assert torch.equal(part[row].nan_to_num(9.0), one[0].nan_to_num(9.0))
    assert torch.equal(stream.batch(2).frames, stream.bursts(range(12, 18)).frames)
    other = SceneStream(archive, OPTIONS, 8).bursts([3])
    assert not torch.equal(other.frames, together.frames[:1])


def test_what_nobody_knows_is_no_number(archive):
    burst = SceneStream(archive, OPTIONS).batch(0)
    assert burst.shifts_px[:, 1:].isnan().all()
    assert burst.blur_px.isnan().all()
    assert not burst.shifts_px[:, 0].any()
    assert not burst.measured_px[:, 0].any()
    assert burst.measured_px.isfinite().all()
    assert burst.frames.shape == (6, 5, 1, 12, 12)
    assert burst.truth.shape == burst.known.shape == (6, 1, 36, 36)


def test_truth_and_frames_turn_together_and_lie_on_each_other(archive):
    """However a patch is turned, the truth averaged over coarse pixels at a frame's shift looks like that frame."""
    burst = SceneStream(archive, dataclasses.replace(OPTIONS, least_clear=1.0)).bursts(range(24))
    right, wrong, swapped = [], [], []
    for frames, shifts, truth in zip(burst.frames, burst.measured_px, burst.truth, strict=True):
        for k in range(1, int((shifts.abs().sum(1) > 0).sum()) + 1):
            x, y = (int(v) for v in (3 * shifts[k]).round())
            for found, (right_px, down_px) in ((right, (x, y)), (wrong, (-x, -y)), (swapped, (y, x))):
                there = truth[0].roll((down_px, right_px), (0, 1)).reshape(12, 3, 12, 3).mean((1, 3))
                inner = torch.stack([there, frames[k, 0]])[:, 1:-1, 1:-1].flatten(1)
                found.append(float(torch.corrcoef(inner)[0, 1]))
    assert np.mean(right) > 0.9
    assert np.mean(right) > np.mean(wrong) + 0.05
    assert np.mean(right) > np.mean(swapped) + 0.05


def test_patches_are_turned_in_every_way_unless_told(archive):
    turned = SceneStream(archive, OPTIONS).bursts(range(40))
    straight = SceneStream(archive, dataclasses.replace(OPTIONS, turn=False)).bursts(range(40))
    same = (turned.truth == straight.truth).flatten(1).all(1)
    assert 1 <= int(same.sum()) <= 16  # an eighth
    pairs = zip(turned.measured_px[:, 1:3].abs(), straight.measured_px[:, 1:3].abs(), strict=True)
    swapped = [torch.equal(a, b.flip(-1)) for a, b in pairs]
    assert 5 < sum(swapped) < 35  # transposed, by half
    mirrored = (turned.measured_px[:, 1:3] * straight.measured_px[:, 1:3] < 0).any(1).any(1)
    assert int(mirrored.sum()) > 5


def test_only_clear_patches_are_taken(archive):
    options = dataclasses.replace(OPTIONS, least_clear=0.95, least_known=0.9)
    burst = SceneStream(archive, options).bursts(range(30))
    present = burst.usable.amax((2, 3, 4)) > 0
    assert (burst.usable.mean((2, 3, 4))[present] >= 0.95).all()
    assert (present.sum(1) >= 3).all()
    assert (burst.known.mean((1, 2, 3)) >= 0.9).all()
    assert burst.known.min() == 0  # some truth is hidden
    assert not burst.truth[burst.known == 0].any()
    assert not burst.frames[burst.usable.expand_as(burst.frames) == 0].any()


def test_a_burst_of_which_nothing_is_clear_enough_teaches_nothing(archive):
    # every other bit: half of the truth is known everywhere, which is too little here, though enough for a loss
    hidden = [dataclasses.replace(one, clear=np.full_like(one.clear, 0b01010101)) for one in archive.scenes]
    options = dataclasses.replace(OPTIONS, least_known=0.6)
    burst = SceneStream(SceneArchive(tuple(hidden)), options).batch(0)
    assert not burst.known.any()
    assert SceneStream(SceneArchive(tuple(hidden)), dataclasses.replace(OPTIONS, least_known=0.4)).batch(0).known.any()
    network = make("unrolled", options_of("unrolled", SMALL["unrolled"]))
    lesson = learn_bursts(network, burst, FORGIVING)
    lesson.loss.backward()
    assert lesson.loss == 0
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


def unequal(archive: SceneArchive) -> SceneArchive:
    """One scene of which frame 2 is hidden by half, and frame 4 by a fifth."""
    one = archive.scenes[0]
    scene = one.scene
    frames = scene.frames.copy()
    frames[2, :20], frames[4, :8] = np.nan, np.nan
    facts = one.facts
    again = PackedScene.of(dataclasses.replace(scene, frames=frames), 0, facts.shifts, facts.matched)
    return SceneArchive((again,))


def test_the_clearest_frames_are_taken_and_the_reference_first(archive):
    options = SceneOptions(size_px=0, batch=1, frames=(1, 4), least_clear=0.0, least_known=0.0, turn=False)
    one = unequal(archive)
    burst = SceneStream(one, options).batch(0)
    shifts = one.scenes[0].facts.shifts
    taken = [shifts[k] for k in (0, 1, 3, 5)]
    torch.testing.assert_close(burst.measured_px[0], torch.tensor(taken), rtol=0, atol=1e-6)


def test_sampled_frames_are_different_and_mostly_the_clearer_ones(archive):
    options = SceneOptions(
        size_px=0, batch=1, frames=(1, 3), choose="sampled", least_clear=0.0, least_known=0.0, turn=False
    )
    one = unequal(archive)
    shifts = torch.tensor(one.scenes[0].facts.shifts)
    burst = SceneStream(one, options).bursts(range(60))
    chosen = (burst.measured_px[:, :, None] - shifts).abs().sum(3).argmin(2)
    assert (chosen[:, 0] == 0).all()
    assert (chosen[:, 1] != chosen[:, 2]).all()
    drawn = [int((chosen[:, 1:] == k).sum()) for k in range(6)]
    assert drawn[2] == 0  # exp(-25) against the others
    assert drawn[4] <= 2
    assert min(drawn[1], drawn[3], drawn[5]) > 20


def test_frames_that_are_too_few_are_filled_with_absent_ones(archive):
    burst = SceneStream(archive, dataclasses.replace(OPTIONS, frames=(3, 9))).batch(0)
    assert burst.frames.shape[1] == 9
    assert not burst.usable[:, 6:].any()
    assert not burst.frames[:, 6:].any()
    assert not burst.measured_px[:, 6:].any()


def test_networks_are_given_what_they_are_given_in_use(archive):
    given = {}

    def network(frames, usable, shifts):
        given["use"] = frames[0], usable[0], shifts[0]
        return SharpEstimate(frames[:, 0].repeat_interleave(3, 2).repeat_interleave(3, 3), None)

    one = archive.scenes[0]
    frames = frames_of(one, 0)
    found = Learned("echo", network, 3)(frames, 3)
    options = SceneOptions(size_px=0, batch=1, frames=(1, 6), least_clear=0.0, least_known=0.0, turn=False)
    burst = SceneStream(SceneArchive((one,)), options).batch(0)
    for told, used in zip((burst.frames, burst.usable, burst.measured_px), given["use"], strict=True):
        torch.testing.assert_close(told[0], used)
    # and what they answer comes back in the truth's numbers
    scene = ready(one, "clearest")
    back = scene.truth * scene.contrast + scene.level
    shown = torch.from_numpy(one.scene.truth)
    seen = scene.known[0]
    torch.testing.assert_close(back[0][seen], shown[seen], rtol=1e-5, atol=0.05)
    assert found.mean.shape == back.shape


def test_too_large_patches_and_too_many_frames_are_refused(archive):
    for options in (SceneOptions(size_px=41, frames=(1, 1)), SceneOptions(size_px=8, frames=(7, 9))):
        with pytest.raises(InputError, match="none of 6 scenes"):
            SceneStream(archive, options)
    for wrong in ({"frames": (3, 2)}, {"held_out": 1.0}, {"batch": 0}, {"least_known": 1.5}):
        with pytest.raises(OptionError):
            SceneOptions(**wrong)


def test_bands_are_those_that_are_asked_for(packed):
    halves = load_scenes(packed, SceneOptions(bands=("NIR",), held_out=0.34))
    assert (halves.learned.bands, halves.held_out.bands) == ({"NIR": 2}, {"NIR": 1})
    both = load_scenes(packed, SceneOptions(held_out=0.34)).held_out
    assert halves.held_out.scenes[0].facts.name in [one.facts.name for one in both.scenes]
    with pytest.raises(InputError, match=r"no scene with a truth .* of SWIR"):
        load_scenes(packed, SceneOptions(bands=("NIR", "SWIR")))


def test_validation_finds_what_score_finds(archive, packed, tmp_path):
    """The same network on the same scenes by both ways: in the run, and by `terrashift score`."""
    path = train(small("unrolled", packed, steps=1), tmp_path)
    method = learned(str(path))
    scenes = SceneArchive(archive.scenes[:2])
    validation = KelvinsValidation(scenes, SceneOptions(frames=(1, 6)), 8, "cpu")
    with torch.no_grad():
        (score,) = validation(method.network)
    cases = list(probav_cases(packed, Setting()))[:2]
    setting = Setting(anchor="none")
    judged = [judge_case(case, prepare(case, setting), method, setting).cpsnr for case in cases]
    assert (score.name, score.scenes) == (cases[0].group, 2)
    assert score.cpsnr == pytest.approx(np.mean(judged), abs=0.05)
    assert score.score == pytest.approx(np.mean([40.5 / value for value in judged]), abs=1e-3)


def test_a_perfect_network_is_perfect_whatever_its_place_and_brightness(archive):
    one = archive.scenes[0]
    scene = ready(one, "clearest")
    whole = torch.from_numpy(one.scene.truth)
    truth = ((whole - scene.level) / scene.contrast)[None, None]

    def network(frames, usable, shifts):
        moved = truth.roll((2, -3), (2, 3)) + 0.7
        return SharpEstimate(moved, torch.full_like(moved, -3.0))

    validation = KelvinsValidation(SceneArchive((one,)), SceneOptions(), 8, "cpu")
    (score,) = validation(network)
    assert score.cpsnr > 110
    assert score.gain > 50
    assert score.one_sigma == 1
    errors = validation.errors(network)["NIR"]
    assert float(errors.error.max()) < 1e-3
    inside = np.roll(one.scene.clear, (2, -3), (0, 1))[3:-3, 3:-3]
    assert len(errors.error) == int(inside.sum())


@pytest.mark.parametrize("network", sorted(SMALL))
def test_the_loss_falls_on_a_few_patches(network, archive):
    torch.manual_seed(0)
    net = make(network, options_of(network, SMALL[network]))
    burst = SceneStream(archive, dataclasses.replace(OPTIONS, frames=(3, 4), batch=3)).batch(0)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for _ in range(15):
        lesson = learn_bursts(net, burst, dataclasses.replace(FORGIVING, scale=0.0))
        optimiser.zero_grad()
        lesson.loss.backward()
        optimiser.step()
        losses.append(lesson.loss.item())
    assert min(losses[-5:]) < 0.95 * losses[0]  # the default begins as back-projection, near its best
    assert lesson.error.item() == pytest.approx(losses[-1], rel=1e-4)  # the log tells it as the loss forgives it


def test_a_run_validates_calibrates_and_says_what_it_held_out(packed, tmp_path):
    told = []
    path = train(small("unrolled", packed), tmp_path, tell=told.append)
    looks = [line for line in finished(tmp_path) if "scores" in line]
    assert [line["step"] for line in looks] == [2, 4]
    assert [s["name"] for s in looks[0]["scores"]] == ["NIR", "RED"]
    assert looks[0]["scores"][0]["score"] == pytest.approx(40.5 / looks[0]["scores"][0]["cpsnr"])
    assert "NIR (1 held out): cPSNR" in told[-1][0].text
    card = (tmp_path / "tiny.md").read_text()
    assert "4 steps of 4 real bursts (3 to 5 frames of 12 px, scale 3)" in card
    assert "**Learned from**: 2 scenes of NIR, 2 scenes of RED." in card
    halves = load_scenes(packed, SceneOptions(held_out=0.34))
    for one in halves.held_out.scenes:
        assert one.facts.name in card
    for one in halves.learned.scenes:
        assert one.facts.name not in card
    assert "| NIR | 1 |" in card
    assert "held_out: 0.34" in card
    assert set(learned(str(path)).calibration) == {"offset", "power"}


def test_an_interrupted_run_ends_in_the_same_weights(packed, tmp_path):
    recipe = small("piunet", packed, steps=3, validation_pairs=0)
    whole = load_file(train(recipe, tmp_path / "whole"))
    for _ in range(recipe.steps):  # one step a time
        path = train(recipe, tmp_path / "cut", until=0.0)
    again = load_file(path)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": {}}, "border: 3"),
        ({"loss": {"sharp": {"border": 3, "bias": True, "consistency": 1.0}}}, "no consistency"),
        ({"model": {"scale": 2}}, "at scale 3"),
        ({"network": "microflow", "model": {}}, "several frames"),
        ({"data": "somewhere"}, "somewhere"),
        ({"probav": {"choose": "best"}}, "best"),
    ],
)
def test_recipes_that_cannot_learn_from_scenes_are_refused(change, said, packed):
    with pytest.raises(OptionError, match=said):
        small("unrolled", packed, **change)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*-probav*.yaml")), ids=lambda p: p.stem)
def test_the_recipes_of_the_house_run(path, packed, tmp_path):
    """As they are but for the sizes: of the network, of patches, of the run."""
    recipe = load_recipe(path)
    model = dataclasses.asdict(recipe.model) | SMALL[recipe.network]
    few = min(recipe.probav.frames[0], 3)
    recipe = dataclasses.replace(
        recipe,
        model=options_of(recipe.network, model),
        imagery=str(packed),
        start_from="",
        steps=1,
        validate_every=1,
        validation_pairs=1,
        calibration_pairs=1,
        probav=dataclasses.replace(recipe.probav, size_px=12, batch=2, frames=(few, 5)),
    )
    weights = train(recipe, tmp_path)
    assert learned(str(weights)).scale == 3
    (look,) = [line for line in finished(tmp_path) if "scores" in line]
    assert all(np.isfinite(score["cpsnr"]) for score in look["scores"])


def test_training_on_packed_scenes_takes_none_of_the_libraries_for_rasters(packed, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: tiny\nnetwork: unrolled\nmodel: {SMALL['unrolled']}\ndata: probav\nimagery: {packed}\nsteps: 1\n"
        "validate_every: 1\nvalidation_pairs: 1\ncalibration_pairs: 1\nloss: {sharp: {border: 3, bias: true}}\n"
        "probav: {size_px: 12, batch: 1, frames: [3, 3], bands: [NIR]}\n"
    )
    program = (
        "import sys\n"
        "for name in ('rasterio', 'pydantic', 'tyro', 'zarr', 'matplotlib', 'rich'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from terrashift.train.loop import train\nfrom terrashift.train.recipe import load_recipe\n"
        "from terrashift.errors import InputError\n"
        f"print(train(load_recipe({str(recipe)!r}), Path({str(tmp_path / 'run')!r})))\n"
        "from terrashift.io.probav import read_scene\n"
        f"folder = Path({str(tmp_path)!r}) / 'NIR' / 'imgset0000'\nfolder.mkdir(parents=True)\n"
        "(folder / 'LR000.png').touch()\n"
        "try:\n    read_scene(folder)\nexcept InputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny.safetensors" in done.stdout
    assert "takes rasterio, which is not installed here: pack the scenes where it is" in done.stdout


def test_lots_are_drawn_from_each_bursts_own_numbers():
    lots = Random.of(0, [5, 6]).uniform("choose", 4)
    more = Random.of(0, [6]).uniform("choose", 9)
    assert torch.equal(lots[1], more[0, :4])
