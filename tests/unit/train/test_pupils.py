"""Every kind of network learns from batches, and answers for whole images."""

import dataclasses

import pytest
import torch
from made_up_imagery import pack_noise
from safetensors.torch import load_file

from terrashift.errors import InputError, OptionError
from terrashift.io.weights import load_weights
from terrashift.models.catalogue import make
from terrashift.models.cnn4l import Cnn4lOptions, prepare
from terrashift.models.geoflownet import GeoFlowNetOptions
from terrashift.models.iterative import IterativeOptions
from terrashift.models.microflow import MicroFlowOptions
from terrashift.models.searaft import SeaRaftOptions
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.stream import Stream, StreamOptions
from terrashift.train.loop import train
from terrashift.train.losses import LossOptions
from terrashift.train.pupils import answer, cut, learn, most_of
from terrashift.train.recipe import TrainRecipe, recipe_of

NARROW = GeoFlowNetOptions(width=1 / 8, inputs="equations", scale=True)
RUPTURES = StreamOptions(size_px=64, batch=4, fields=FieldOptions(largest_px=2.0))
WINDOWS = StreamOptions(kind="uni", size_px=32, window_px=16, batch=8)
SMALL = {
    "microflow": (MicroFlowOptions(channels=(8, 8, 8, 8), fine=8, passes=2), RUPTURES),
    "cnn4l": (Cnn4lOptions(width=8, scale=True), WINDOWS),
    "iterative": (IterativeOptions(passes=2, normalisation="local", backbone=NARROW), RUPTURES),
    "searaft": (SeaRaftOptions((1, 1, 1), (8, 8, 16), 16, iterations=2, fixed_px=0.1), RUPTURES),
}
every_network = pytest.mark.parametrize("kind", SMALL)


@pytest.fixture(scope="module")
def imagery(tmp_path_factory):
    path = tmp_path_factory.mktemp("imagery") / "train.tsi"
    pack_noise(path, "train", 0)
    return path


@every_network
def test_it_learns_from_one_batch_seen_again_and_again(kind, imagery):
    options, stream = SMALL[kind]
    torch.manual_seed(0)
    network = make(kind, options)
    batch = Stream(Archive.load(imagery), stream, 1).batch(0)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        lesson = learn(network, batch, LossOptions())
        optimiser.zero_grad()
        lesson.loss.backward()
        optimiser.step()
        errors.append(lesson.error_px.item())
    assert errors[-1] < 0.75 * errors[0]


@every_network
def test_it_answers_at_every_pixel_of_an_image_of_any_shape(kind):
    network = make(kind, SMALL[kind][0]).eval()
    image = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        found = answer(network, image, image)
    assert found.flow.shape == found.log_scale.shape == (2, 2, 64, 96)
    assert found.flow.isfinite().all()


def test_windows_are_learned_from_as_they_are_measured(imagery):
    """The loss of a window network is that of its dense answer at the middle of each pair."""
    torch.manual_seed(0)
    network = make("cnn4l", SMALL["cnn4l"][0])
    torch.nn.init.normal_(network.head.weight, std=0.1)
    batch = Stream(Archive.load(imagery), WINDOWS, 1).batch(0)
    pair = prepare(torch.stack([batch.before, batch.after], 1), 16)
    dense = network.dense(pair).flow[:, :, 8, 8]  # the window that begins at pixel (8, 8) has its middle at (16, 16)
    assert torch.allclose(answer(network, batch.before[:, None], batch.after[:, None]).flow[:, :, 16, 16], dense)
    error = (dense - batch.flow[:, :, 16, 16]).norm(dim=1).mean()
    assert learn(network, batch, LossOptions()).error_px.item() == pytest.approx(error.item(), rel=1e-5)


@every_network
def test_a_run_of_every_kind_leaves_weights_that_say_what_they_belong_to(kind, imagery, tmp_path):
    options, stream = SMALL[kind]
    recipe = TrainRecipe("tiny", kind, options, stream, imagery=str(imagery), validation="", steps=2, grow=0)
    weights = load_weights(str(train(recipe, tmp_path)))
    assert weights.network == kind
    network = make(kind, options)
    network.load_state_dict(dict(weights.tensors))
    before = load_file(tmp_path / "tiny.safetensors")
    on = load_file(train(dataclasses.replace(recipe, steps=3), tmp_path))
    whole = load_file(train(dataclasses.replace(recipe, steps=3), tmp_path / "whole"))
    assert all(torch.equal(on[name], whole[name]) for name in whole)  # batch statistics included
    assert any(not torch.equal(on[name], before[name]) for name in before)


def test_several_passes_begin_as_a_single_one(imagery, tmp_path):
    options, stream = SMALL["iterative"]
    one = dataclasses.replace(options, passes=1)
    recipe = TrainRecipe("one", "iterative", one, stream, imagery=str(imagery), validation="", steps=2, grow=0)
    first = load_file(train(recipe, tmp_path / "one"))
    three = dataclasses.replace(
        recipe, name="three", model=dataclasses.replace(options, passes=3), learning_rate=0.0, average=0.0, steps=1,
        start_from=str(tmp_path / "one" / "one.safetensors"),
    )  # fmt: skip
    found = load_file(train(three, tmp_path / "three"))
    assert len(found) == 3 * len(first)
    for name, value in found.items():
        assert torch.equal(value, first["networks.0." + name.split(".", 2)[2]])


def test_weights_of_another_network_are_no_start(imagery, tmp_path):
    options, stream = SMALL["iterative"]
    recipe = TrainRecipe("one", "iterative", options, stream, imagery=str(imagery), validation="", steps=1, grow=0)
    path = train(recipe, tmp_path / "one")
    model, windows = SMALL["cnn4l"]
    other = TrainRecipe(
        "other", "cnn4l", model, windows, imagery=str(imagery), validation="", start_from=str(path), steps=1
    )
    with pytest.raises(InputError, match="other options"):
        train(other, tmp_path / "other")
    with pytest.raises(InputError, match=r"none\.safetensors"):
        train(dataclasses.replace(other, start_from=str(tmp_path / "none.safetensors")), tmp_path / "third")


def test_the_compact_network_learns_to_look_closer(imagery):
    """The loss of the passes at twice the resolution falls; without a weight they teach nothing."""
    torch.manual_seed(0)
    network = make("microflow", SMALL["microflow"][0])
    batch = Stream(Archive.load(imagery), RUPTURES, 1).batch(0)
    plain, both = LossOptions(), LossOptions(closer=1.0)

    def further() -> torch.Tensor:
        return learn(network, batch, both).loss - learn(network, batch, plain).loss

    first = further().item()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        further().backward()
        optimiser.step()
    assert 0 < further().item() < 0.85 * first


def test_the_closer_look_is_where_most_of_the_trace_is():
    trace = torch.zeros(2, 12, 20, dtype=torch.bool)
    trace[0, 7:12, 13:18] = True
    trace[1, 0, 0] = True
    corners = most_of(trace, 5)
    assert corners.tolist()[0] == [7, 13]
    part = cut(trace[:, None], corners, 5)
    assert part.shape == (2, 1, 5, 5)
    assert part[0].all()
    assert part[1].sum() == 1


def test_other_networks_cannot_look_closer():
    with pytest.raises(OptionError, match="closer"):
        recipe_of({"network": "searaft", "loss": {"closer": 1.0}})
