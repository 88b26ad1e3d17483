"""What holds for every estimator around a trained network, mostly with small untrained ones."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import untrained
from every_estimator import pair_of_arrays, texture

from terrashift.core.reasons import Reason
from terrashift.errors import InputError
from terrashift.estimators import cnn4l, microflow, searaft, unets
from terrashift.estimators.base import Estimator, Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.geoflownet import GeoFlowNet
from terrashift.estimators.iterative import Iterative
from terrashift.io.weights import available
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.scene import procedural_scene

ROOMS = {
    "microflow": microflow,
    "geoflownet": unets,
    "iterative": unets,
    "searaft": searaft,
    "cnn4l": cnn4l,
}
NEAR, FAR = Search((0, 0), (2, 2)), Search((0, 0), (10, 10))
INNER = 70
"""Side of the block that is measured, px."""

every_method = pytest.mark.parametrize("name", untrained.NETWORKS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return untrained.write_all(tmp_path_factory.mktemp("weights"))


def images(estimator, shift=(0.0, 0.0), search=NEAR):
    """A pair that moved by `shift`, of a block and the halo around it."""
    ground = texture((2 * estimator.halo(search) + INNER,) * 2)
    return ground.float(), fourier_shift(ground, shift).float()


@every_method
def test_it_is_an_estimator_and_says_what_it_takes(files, name):
    estimator = untrained.estimator(files, name)
    assert isinstance(estimator, Estimator)
    assert estimator.name == name
    assert estimator.papers
    assert estimator.window_px % 2 == 1
    assert 0 < estimator.memory(NEAR) < estimator.memory(FAR)
    assert estimator.halo(NEAR) + 10 <= estimator.halo(FAR)
    for step in (1, 3, 7):
        assert untrained.estimator(files, name, step_px=step).block_px % step == 0


@every_method
def test_an_untrained_network_finds_no_motion_and_full_agreement(files, name):
    estimator = untrained.estimator(files, name, "still")
    before, _ = images(estimator)
    flow = estimator(before, before, NEAR)
    assert flow.xy.shape == (2, INNER, INNER)
    assert (flow.xy == 0).all()
    assert torch.allclose(flow.sigma, torch.ones(()), atol=1e-6)
    assert flow.score.min() > 0.999
    assert (flow.reasons == 0).all()


@every_method
def test_unrelated_images_score_nothing(files, name):
    estimator = untrained.estimator(files, name, "still", min_score=0.5)
    before, _ = images(estimator)
    other = texture(tuple(before.shape), seed=1).float()
    flow = estimator(before, other, NEAR)
    assert flow.score.mean() < 0.2
    assert (flow.reasons == int(Reason.LOW_SCORE)).float().mean() > 0.98


@every_method
@pytest.mark.parametrize("step", [3, 4])
def test_a_step_takes_every_so_manieth_vector(files, name, step):
    whole = untrained.estimator(files, name, precision="float32")
    before, after = images(whole, (0.4, -0.2))
    dense = whole(before, after, NEAR)
    sparse = untrained.estimator(files, name, precision="float32", step_px=step)(before, after, NEAR)
    picked = slice(step // 2, None, step)
    assert dense.xy.std() > 1e-3
    assert torch.allclose(sparse.xy, dense.xy[:, picked, picked], atol=1e-5)
    if name != "cnn4l":  # which knows the motion between the places no better than at them
        assert torch.equal(sparse.score, dense.score[picked, picked])


@every_method
@pytest.mark.parametrize(("axis", "component"), [(-1, 0), (-2, 1)])
def test_with_all_mirrors_it_commutes_with_mirroring(files, name, axis, component, tmp_path):
    settings = {"mirrors": 4, "precision": "float32"}
    if name == "cnn4l":  # a window of odd side is the same from both ends
        settings["weights"] = untrained.write(tmp_path, "odd", "cnn4l", {"window_px": 15, "width": 4}).random
        estimator = cnn4l.Cnn4l(coarse="none", **settings)
    else:
        estimator = untrained.estimator(files, name, **settings)
    search = Search((0, 0), (1, 1))
    ground = texture((256, 256))  # no rest to fill up: mirrors exactly
    before, after = ground.float(), fourier_shift(ground, (0.4, -0.2)).float()
    plain = estimator(before, after, search).xy
    mirrored = estimator(before.flip(axis), after.flip(axis), search).xy.flip(axis)
    mirrored[component] *= -1
    assert plain.abs().max() > 1e-3
    assert torch.allclose(plain, mirrored, atol=1e-4)


@every_method
@pytest.mark.parametrize("shift", [(7.0, -5.0), (-9.0, 3.0)])
@pytest.mark.parametrize("step", [1, 4])
def test_large_motion_starts_from_a_coarse_pass(files, name, shift, step):
    estimator = untrained.estimator(files, name, "still", step_px=step)
    before, after = images(estimator, shift, FAR)
    flow = estimator(before, after, FAR)
    middle = flow.xy.flatten(1).median(1).values
    assert torch.allclose(middle, torch.tensor(shift), atol=0.2)
    assert flow.score.median() > 0.9


@every_method
def test_gaps_have_their_reason_and_stay_in_place(files, name):
    estimator = untrained.estimator(files, name)
    before, after = images(estimator)
    halo = estimator.halo(NEAR)
    before[halo + 10 : halo + 30, halo + 20 : halo + 50] = torch.nan
    flow = estimator(before, after, NEAR)
    assert (flow.reasons[10:30, 20:50] == int(Reason.NODATA)).all()
    assert flow.xy[:, 10:30, 20:50].isnan().all()
    assert flow.sigma[:, 10:30, 20:50].isnan().all()
    assert flow.xy[:, 45:, :].isfinite().all()


@every_method
def test_flat_ground_has_no_texture(files, name):
    estimator = untrained.estimator(files, name)
    before, after = images(estimator)
    after[: estimator.halo(NEAR) + 40] = 7.0
    flow = estimator(before, after, NEAR)
    assert (flow.reasons[:20] == int(Reason.NO_TEXTURE)).all()
    assert (flow.reasons[60:] == 0).all()


@every_method
def test_images_without_any_data_come_back_empty(files, name):
    estimator = untrained.estimator(files, name)
    nothing = torch.full_like(images(estimator)[0], torch.nan)
    flow = estimator(nothing, nothing, NEAR)
    assert (flow.reasons == int(Reason.NODATA)).all()


@every_method
@pytest.mark.parametrize(("rows", "columns"), [(slice(0, 130), slice(None)), (slice(None), slice(101, None))])
def test_an_image_that_fills_part_of_its_block_is_measured_up_to_its_edge(files, name, rows, columns):
    estimator = untrained.estimator(files, name, "still", step_px=3)
    before, _ = images(estimator)
    part = torch.full_like(before, torch.nan)
    part[rows, columns] = before[rows, columns]
    flow = estimator(part, part, NEAR)
    halo = estimator.halo(NEAR)
    inside = part[halo + 1 : -halo : 3, halo + 1 : -halo : 3].isfinite()
    assert torch.equal(flow.reasons == 0, inside)
    assert (flow.xy[:, inside] == 0).all()


@every_method
@pytest.mark.parametrize("strip", [(slice(0, 3), slice(None)), (slice(None), slice(0, 5)), (slice(0, 0), slice(0, 0))])
def test_a_strip_of_data_between_the_places_is_no_mistake(files, name, strip):
    """Wide steps, and less data than one."""
    estimator = untrained.estimator(files, name, step_px=35)
    image = torch.full_like(images(estimator)[0], torch.nan)
    halo = estimator.halo(NEAR)
    image[halo:-halo, halo:-halo][strip] = 5.0
    flow = estimator(image, image, NEAR)
    assert flow.reasons.shape == (2, 2)
    assert (flow.reasons == int(Reason.NODATA)).all()


@every_method
def test_poor_vectors_can_be_rejected_by_their_error(files, name):
    plain = untrained.estimator(files, name)
    before, after = images(plain, (0.4, -0.2))
    flow = plain(before, after, NEAR)
    limit = float(flow.sigma.amax(0).median())
    kept = untrained.estimator(files, name, max_sigma_px=limit)(before, after, NEAR)
    poor = flow.sigma.amax(0) > limit
    assert 0.3 < poor.float().mean() < 0.6
    assert torch.equal(kept.reasons > 0, poor)


@pytest.mark.parametrize("name", ["geoflownet", "iterative", "cnn4l"])
def test_a_network_that_tells_no_error_gives_none(name, tmp_path):
    small = untrained.NETWORKS[name]
    options = {"window_px": 16, "width": 4} if name == "cnn4l" else small.options | {"backbone": {"width": 1 / 16}}
    settings = {"weights": untrained.write(tmp_path, name, small.kind, options).random}
    if name == "cnn4l":
        settings["coarse"] = "none"
    before, after = images(small.estimator(**settings), (0.4, -0.2))
    flow = small.estimator(**settings)(before, after, NEAR)
    assert flow.xy.isfinite().all()
    assert flow.sigma.isnan().all()
    with pytest.raises(InputError, match="tells no error"):
        small.estimator(max_sigma_px=0.1, **settings)(before, after, NEAR)


@every_method
def test_weights_of_another_network_are_refused_and_both_are_named(files, name):
    other = next(k for k, small in untrained.NETWORKS.items() if small.kind != untrained.NETWORKS[name].kind)
    wrong = untrained.NETWORKS[name].estimator(weights=files[other].random)
    image = torch.zeros(300, 300)
    theirs, ours = untrained.NETWORKS[other].kind, untrained.NETWORKS[name].kind
    with pytest.raises(
        InputError, match=rf"weights of the network {theirs}, but method {name} runs the network {ours}"
    ):
        wrong(image, image, NEAR)


def test_weights_for_several_passes_are_refused_by_the_method_of_one(files):
    wrong = GeoFlowNet(weights=files["iterative"].random)
    with pytest.raises(InputError, match=r"weights for 2 passes.*--method iterative"):
        wrong(torch.zeros(300, 300), torch.zeros(300, 300), NEAR)
    right = Iterative(weights=files["geoflownet"].still)
    assert right(*images(right), NEAR).xy.isfinite().all()


@every_method
def test_unknown_weights_are_named(name):
    with pytest.raises(InputError, match="no weights"):
        untrained.NETWORKS[name].estimator(weights="nothing")(torch.zeros(300, 300), torch.zeros(300, 300), NEAR)


@every_method
def test_small_blocks_find_what_large_ones_find(files, name, monkeypatch):
    """A halo is wide enough if what lies beyond it hardly matters."""
    scene = procedural_scene(224, 272, seed=4)
    pair = pair_of_arrays(scene.before[0], scene.after[0])
    estimator = untrained.estimator(files, name, precision="float32")
    whole = measure_whole(estimator, pair, NEAR).xy
    monkeypatch.setattr(ROOMS[name], "BLOCK_PX", 96)
    cut = measure_whole(estimator, pair, NEAR).xy
    assert whole[whole.isfinite()].std() > 1e-3
    assert ((cut - whole).norm(dim=0) < 0.01).float().mean() > 0.99


@every_method
def test_no_step_is_seen_where_two_blocks_meet(name, monkeypatch):
    """Small blocks with the packaged weights: across their borders the motion changes as it does elsewhere."""
    estimator = untrained.NETWORKS[name].estimator(precision="float32")
    missing = {estimator.weights, getattr(estimator, "coarse", estimator.weights)} - set(available())
    if missing:
        pytest.skip(f"the package does not hold the weights {', '.join(sorted(missing))} yet")
    monkeypatch.setattr(ROOMS[name], "BLOCK_PX", 128)
    at_borders, elsewhere = [], []
    scenes = [procedural_scene(300, 420, seed=seed) for seed in (4, 5)]
    flows = [measure_whole(estimator, pair_of_arrays(s.before[0], s.after[0]), NEAR).xy for s in scenes]
    for flow, axis in product(flows, (1, 2)):
        steps = flow.diff(dim=axis).abs().nanmean((0, 3 - axis))
        borders = torch.arange(128, flow.shape[axis], 128) - 1
        like = torch.arange(32, flow.shape[axis], 32) - 1  # a network has a rhythm of its own
        at_borders.append(steps[borders])
        elsewhere.append(steps[like[~torch.isin(like, borders)]])
    assert torch.cat(at_borders).mean() < 1.25 * torch.cat(elsewhere).mean()
