"""The window estimator: every vector is that of its own window, wherever the first step moves it."""

from __future__ import annotations

import pytest
import torch
import untrained
from every_estimator import texture

from terrashift.errors import InputError
from terrashift.estimators.base import Search
from terrashift.estimators.cnn4l import CELL_PX, Cnn4l
from terrashift.estimators.networks import network
from terrashift.models.cnn4l import prepare, two_steps
from terrashift.ops.spectral import fourier_shift

NARROW, NEAR, FAR = Search((0, 0), (1, 1)), Search((0, 0), (4, 4)), Search((0, 0), (9, 9))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return untrained.write_all(tmp_path_factory.mktemp("weights"))


def pair(shift, side):
    ground = texture((side, side))
    return ground.float(), fourier_shift(ground, shift).float()


@pytest.mark.parametrize("step", [1, 3])
def test_within_a_pixel_every_vector_is_that_of_its_window(files, step):
    estimator = Cnn4l(weights=files["cnn4l"].random, coarse="none", step_px=step, precision="float32")
    halo = estimator.halo(NARROW)
    before, after = pair((0.4, -0.3), 2 * halo + 60)
    flow = estimator(before, after, NARROW).xy
    prepared = torch.cat([prepare(image[None, None] - image.mean(), 16) for image in (before, after)], 1)
    ready = network(files["cnn4l"].random, "cpu")
    for i, j in ((0, 0), (3, 11), (flow.shape[1] - 1, 7)):
        row, column = (halo + step // 2 + step * k - 8 for k in (i, j))
        expected = ready(prepared[..., row : row + 16, column : column + 16])[0]
        assert torch.allclose(flow[:, i, j], expected, atol=1e-4)


def test_the_first_step_finds_the_windows_that_the_published_two_steps_find(files):
    """With the smoothing of cells out of the way: a first step that says the same everywhere."""
    coarse, fine = (network(files[name].random, "cpu") for name in ("coarse", "cnn4l"))
    before, after = pair((2.3, -1.6), 2 * 32 + 96)
    coarse.head.bias.data = torch.tensor([2.0, -1.5 - 1e-3])
    coarse.head.weight.data.zero_()
    try:
        estimator = Cnn4l(
            weights=files["cnn4l"].random, coarse=files["coarse"].random, step_px=CELL_PX, precision="float32"
        )
        halo = estimator.halo(NEAR)
        found = estimator(before, after, NEAR).xy
    finally:
        network.cache_clear()
    # places of two_steps begin at 16, those of a block at halo + 2
    corner = halo + CELL_PX // 2 - 16
    crops = (image[None, None, corner:, corner:] for image in (before, after))
    expected = two_steps(coarse, fine, *crops, step=CELL_PX).flow[0]
    inner = slice(6, 18)  # away from the crop's own border
    assert torch.allclose(found[:, inner, inner], expected[:, inner, inner], atol=1e-4)
    assert found[0].mean() > 1.5
    assert found[1].mean() < -1.5


@pytest.mark.parametrize(("search", "shift"), [(NEAR, (3.0, -2.0)), (FAR, (8.0, -7.0))])
def test_without_a_first_network_the_coarse_pass_gives_the_whole_pixels(files, search, shift):
    estimator = Cnn4l(weights=files["cnn4l"].still, coarse="none")
    before, after = pair(shift, 2 * estimator.halo(search) + 80)
    flow = estimator(before, after, search).xy
    assert (flow == torch.tensor(shift)[:, None, None]).float().mean() > 0.95


def test_whole_pixels_never_leave_the_search(files):
    """A first step that knows nothing: its offsets are cut off, the rest is the fine network's."""
    estimator = Cnn4l(weights=files["cnn4l"].still, coarse=files["coarse"].random)
    network.cache_clear()
    first = network(files["coarse"].random, "cpu")
    first.head.bias.data = torch.tensor([40.0, -40.0])
    try:
        before, after = pair((0.0, 0.0), 2 * estimator.halo(NEAR) + 40)
        flow = estimator(before, after, NEAR).xy
    finally:
        network.cache_clear()
    assert (flow[0] == 4).all()
    assert (flow[1] == -4).all()


def test_a_first_step_of_another_kind_is_refused(files):
    estimator = Cnn4l(weights=files["cnn4l"].still, coarse=files["searaft"].still)
    with pytest.raises(InputError, match="weights of the network searaft, but method cnn4l"):
        estimator.halo(NEAR)


def test_motion_beyond_the_first_step_comes_from_both(files):
    """A start of (7, -7) px from large windows, to which the first network adds (1, 1)."""
    estimator = Cnn4l(weights=files["cnn4l"].still, coarse=files["coarse"].random)
    network.cache_clear()
    first = network(files["coarse"].random, "cpu")
    first.head.weight.data.zero_()
    first.head.bias.data = torch.tensor([1.0, 1.0])
    try:
        before, after = pair((7.0, -7.0), 2 * estimator.halo(FAR) + 64)
        flow = estimator(before, after, FAR).xy
    finally:
        network.cache_clear()
    assert (flow == torch.tensor([8.0, -6.0])[:, None, None]).float().mean() > 0.95
