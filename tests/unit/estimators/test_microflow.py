"""What surrounds the network: gaps, steps, mirrors, starts and rejection, on a small network with random weights."""

import dataclasses
import json

import pytest
import torch
from every_estimator import pair_of_arrays, texture
from safetensors.torch import save_file

from terrashift.core.reasons import Reason
from terrashift.errors import InputError
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.microflow import HALO_PX, MicroFlow
from terrashift.models.microflow import MicroFlow as Network
from terrashift.models.microflow import MicroFlowOptions
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.scene import procedural_scene

SMALL = MicroFlowOptions(channels=(8, 8, 8, 8), fine=8)
NEAR, FAR = Search((0, 0), (2, 2)), Search((0, 0), (10, 10))
SIDE = 2 * HALO_PX + 70


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained weights (no motion) and random ones."""
    torch.manual_seed(0)
    network, folder = Network(SMALL), tmp_path_factory.mktemp("weights")
    paths = {}
    for name in ("still", "random"):
        if name == "random":
            torch.nn.init.normal_(network.head.weight, std=0.1)
        paths[name] = str(folder / f"{name}.safetensors")
        save_file(network.state_dict(), paths[name], {"options": json.dumps(dataclasses.asdict(SMALL))})
    return paths


def images(shift=(0.0, 0.0), side=SIDE):
    ground = texture((side, side))
    return ground.float(), fourier_shift(ground, shift).float()


def test_an_untrained_network_finds_no_motion_and_full_agreement(weights):
    before, _ = images()
    flow = MicroFlow(weights=weights["still"])(before, before, NEAR)
    assert flow.xy.shape == (2, 70, 70)
    assert (flow.xy == 0).all()
    assert (flow.sigma == 1).all()
    assert flow.score.min() > 0.999
    assert (flow.reasons == 0).all()


def test_unrelated_images_score_nothing(weights):
    before, _ = images()
    other = texture((SIDE, SIDE), seed=1).float()
    flow = MicroFlow(weights=weights["still"], min_score=0.5)(before, other, NEAR)
    assert flow.score.mean() < 0.2
    assert (flow.reasons == int(Reason.LOW_SCORE)).float().mean() > 0.98


@pytest.mark.parametrize("step", [3, 4])
def test_a_step_takes_every_so_manieth_vector(weights, step):
    before, after = images((0.4, -0.2))
    dense = MicroFlow(weights=weights["random"])(before, after, NEAR)
    sparse = MicroFlow(weights=weights["random"], step_px=step)(before, after, NEAR)
    assert torch.equal(sparse.xy, dense.xy[:, step // 2 :: step, step // 2 :: step])
    assert torch.equal(sparse.score, dense.score[step // 2 :: step, step // 2 :: step])


@pytest.mark.parametrize(("axis", "component"), [(-1, 0), (-2, 1)])
def test_with_all_mirrors_it_commutes_with_mirroring(weights, axis, component):
    before, after = (image[:256, :256] for image in images((0.4, -0.2)))  # no rest to fill up: mirrors exactly
    estimator = MicroFlow(weights=weights["random"], mirrors=4, precision="float32")
    plain = estimator(before, after, NEAR).xy
    mirrored = estimator(before.flip(axis), after.flip(axis), NEAR).xy.flip(axis)
    mirrored[component] *= -1
    assert plain.abs().max() > 0.01
    assert torch.allclose(plain, mirrored, atol=1e-4)


@pytest.mark.parametrize("shift", [(7.0, -5.0), (-9.0, 3.0)])
def test_large_motion_starts_from_a_coarse_pass(weights, shift):
    estimator = MicroFlow(weights=weights["still"])
    before, after = images(shift, 2 * estimator.halo(FAR) + 70)
    flow = estimator(before, after, FAR)
    middle = flow.xy.flatten(1).median(1).values
    assert torch.allclose(middle, torch.tensor(shift), atol=0.2)


def test_gaps_have_their_reason_and_stay_in_place(weights):
    before, after = images()
    before[HALO_PX + 10 : HALO_PX + 30, HALO_PX + 20 : HALO_PX + 50] = torch.nan
    flow = MicroFlow(weights=weights["random"])(before, after, NEAR)
    assert (flow.reasons[10:30, 20:50] == int(Reason.NODATA)).all()
    assert flow.xy[:, 10:30, 20:50].isnan().all()
    assert flow.sigma[:, 10:30, 20:50].isnan().all()
    assert flow.xy[:, 45:, :].isfinite().all()


def test_flat_ground_has_no_texture(weights):
    before, after = images()
    after[: HALO_PX + 40] = 7.0
    flow = MicroFlow(weights=weights["random"])(before, after, NEAR)
    assert (flow.reasons[:20] == int(Reason.NO_TEXTURE)).all()
    assert (flow.reasons[60:] == 0).all()


def test_images_without_any_data_come_back_empty(weights):
    nothing = torch.full((SIDE, SIDE), torch.nan)
    flow = MicroFlow(weights=weights["random"])(nothing, nothing, NEAR)
    assert (flow.reasons == int(Reason.NODATA)).all()


def test_poor_vectors_can_be_rejected_by_their_error(weights):
    before, after = images((0.4, -0.2))
    plain = MicroFlow(weights=weights["random"])(before, after, NEAR)
    limit = float(plain.sigma.amax(0).median())
    flow = MicroFlow(weights=weights["random"], max_sigma_px=limit)(before, after, NEAR)
    poor = plain.sigma.amax(0) > limit
    assert 0.4 < poor.float().mean() < 0.6
    assert torch.equal(flow.reasons > 0, poor)


def test_unknown_weights_are_named():
    with pytest.raises(InputError, match="no weights"):
        MicroFlow(weights="nothing")(*images(), NEAR)


def test_no_step_is_seen_where_two_blocks_meet(monkeypatch):
    """Small blocks with the packaged weights: across their borders the motion changes as it does elsewhere."""
    from terrashift.estimators import microflow

    monkeypatch.setattr(microflow, "BLOCK_PX", 128)
    scene = procedural_scene(300, 420, seed=4)
    flow = measure_whole(MicroFlow(precision="float32"), pair_of_arrays(scene.before[0], scene.after[0]), NEAR).xy
    for axis in (1, 2):
        steps = flow.diff(dim=axis).abs().nanmean((0, 3 - axis))
        borders = torch.arange(128, flow.shape[axis], 128) - 1
        like = torch.arange(32, flow.shape[axis], 32) - 1  # the network has a rhythm of its own
        like = like[~torch.isin(like, borders)]
        assert steps[borders].mean() < 1.25 * steps[like].mean()
