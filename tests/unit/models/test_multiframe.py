"""Laws of the networks that make one sharp image of several frames: sizes, order, masks, absent frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from terrashift.errors import InputError, OptionError
from terrashift.models.catalogue import SHARPEN, make, options_of
from terrashift.models.counting import count_weights
from terrashift.models.covering import first_clear, masked_median
from terrashift.models.deepsum import DeepSumOptions, dynamic_convolution
from terrashift.models.highresnet import ShiftNet, lanczos_shift
from terrashift.models.sharp import Stack, calibrated, clearest
from terrashift.models.unrolled import Harmonise, UnrolledOptions, unrolled
from terrashift.ops.looks import looks

SMALL = {
    "unrolled": {"width": 8, "blocks": 1, "trust": 4},
    "deepsum": {"width": 8, "layers": 2, "frames": 3},
    "highresnet": {"width": 8, "blocks": 1},
    "wdsr3d": {"width": 8, "blocks": 1, "frames": 3},
    "piunet": {"width": 8, "blocks": 1},
}
FREE = ("unrolled", "highresnet", "piunet")
"""Those that take any number of frames."""


def awake(kind: str, **options) -> nn.Module:
    """A small network with random numbers in the layers that start at zero."""
    torch.manual_seed(1)
    network = make(kind, options_of(kind, SMALL[kind] | options)).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=0.1)
    return network


@pytest.fixture(scope="module")
def burst() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames that are not square, masks and shifts; the reference stays."""
    random = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 7, 1, 10, 14, generator=random)
    usable = (torch.rand(2, 7, 1, 10, 14, generator=random) > 0.3).float()
    shifts = torch.rand(2, 7, 2, generator=random) * 2 - 1
    shifts[:, 0] = 0.0
    return frames, usable, shifts


@torch.no_grad()
def mean(network: nn.Module, *burst: torch.Tensor) -> torch.Tensor:
    return network(*burst).mean


@pytest.mark.parametrize(
    ("kind", "weights", "parts"),
    [
        ("deepsum", 1_045_330, {"encode": 260_160, "align": 341_969, "fuse": 443_136, "decode": 65}),
        ("highresnet", 591_818, {"encode": 185_861, "fuse": 368_963, "decode": 36_994}),
        ("piunet", 828_355, {"align": 24_385}),
        ("wdsr3d", 327_213 + 2_115, {}),  # and the gains of the weight normalisation
    ],
)
def test_published_networks_have_the_published_numbers_of_weights(kind, weights, parts):
    with torch.device("meta"):
        network = make(kind, options_of(kind, {}))
    assert count_weights(network) == weights
    for part, count in parts.items():
        assert count_weights(getattr(network, part)) == count


def test_weight_normalisation_adds_one_gain_for_each_output_of_3d_wdsr():
    with torch.device("meta"):
        network = make("wdsr3d", options_of("wdsr3d", {}))
    assert sum(p.numel() for name, p in network.named_parameters() if name.endswith("original0")) == 2_115


def test_shiftnet_has_34_million_weights_and_takes_128_px():
    with torch.device("meta"):
        network = ShiftNet()
    assert count_weights(network) == 34_187_648
    with pytest.raises(InputError, match="128 px"):
        network(torch.zeros(1, 1, 100, 200), torch.zeros(1, 1, 100, 200))


@pytest.mark.parametrize("kind", sorted(SHARPEN))
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("bands", [1, 2])
def test_the_result_has_the_fine_grid_of_the_reference(burst, kind, scale, bands):
    frames, usable, shifts = burst
    network = awake(kind, scale=scale, bands=bands)
    found = network(frames.repeat(1, 1, bands, 1, 1), usable, shifts)
    assert found.mean.shape == (2, bands, 10 * scale, 14 * scale)
    if kind in ("unrolled", "piunet"):
        assert found.log_scale.shape == found.mean.shape
    else:
        assert found.log_scale is None


@pytest.mark.parametrize("kind", sorted(SHARPEN))
def test_pixels_that_are_not_usable_change_nothing(burst, kind):
    frames, usable, shifts = burst
    other = torch.where(usable > 0, frames, 1000.0)
    network = awake(kind)
    torch.testing.assert_close(mean(network, other, usable, shifts), mean(network, frames, usable, shifts))
    assert (mean(network, frames + 0.1 * usable * frames, usable, shifts) - mean(network, *burst)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", sorted(SHARPEN))
def test_absent_frames_change_nothing(burst, kind):
    frames, usable, shifts = burst
    more = torch.cat([frames, 5 + frames[:, :4]], 1), torch.cat([usable, 0 * usable[:, :4]], 1)
    network = awake(kind)
    found = mean(network, *more, torch.cat([shifts, shifts[:, 1:5]], 1))
    torch.testing.assert_close(found, mean(network, *burst), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "alike"), [("unrolled", True), ("piunet", True), ("highresnet", False)])
def test_the_order_of_the_frames_matters_to_those_that_fuse_in_an_order_only(burst, kind, alike):
    order = torch.tensor([0, 4, 2, 6, 1, 5, 3])  # the reference stays first
    network = awake(kind)
    difference = (mean(network, *(part[:, order] for part in burst)) - mean(network, *burst)).abs().max()
    assert (difference < 1e-5) == alike


@pytest.mark.parametrize("kind", ["deepsum", "wdsr3d"])
def test_networks_of_a_fixed_number_take_the_clearest_whatever_their_order(burst, kind):
    frames, usable, shifts = burst
    order = torch.tensor([0, 4, 2, 6, 1, 5, 3])
    network = awake(kind, frames=7)
    one = mean(network, *burst)
    torch.testing.assert_close(mean(network, *(part[:, order] for part in burst)), one, atol=1e-5, rtol=1e-5)
    # but they are not invariant: what is as clear as another changes place with it
    clear = torch.ones_like(usable)
    changed = mean(network, frames, clear, shifts) - mean(network, frames[:, order], clear, shifts[:, order])
    assert changed.abs().max() > 1e-3


@pytest.mark.parametrize("kind", FREE)
def test_one_frame_or_many_will_do(burst, kind):
    network = awake(kind)
    for count in (1, 2, 3, 7):
        assert mean(network, *(part[:, :count] for part in burst)).isfinite().all()
    assert mean(network, burst[0], torch.zeros_like(burst[1]), burst[2]).isfinite().all()


def test_no_frame_at_all_is_refused(burst):
    with pytest.raises(InputError, match="at least one frame"):
        awake("unrolled")(*(part[:, :0] for part in burst))


def test_a_calibrated_scale_is_a_power_of_the_network_s(burst):
    found = awake("unrolled")(*burst)
    scale = calibrated(found, {"offset": 0.5, "power": 2.0}).log_scale
    torch.testing.assert_close(scale.exp(), found.log_scale.exp() ** 2 * torch.tensor(0.5).exp())
    assert calibrated(found, {}) is found
    without = awake("highresnet")(*burst)
    assert calibrated(without, {"offset": 0.5, "power": 2.0}) is without


def test_the_clearest_are_taken_with_their_masks_and_shifts():
    usable = torch.zeros(1, 4, 1, 2, 2)
    usable[0, 1, 0, 0] = 1.0
    usable[0, 3] = 1.0
    frames = torch.arange(4.0)[None, :, None, None, None].expand(1, 4, 1, 2, 2)
    shifts = torch.arange(4.0)[None, :, None].expand(1, 4, 2)
    found = clearest(Stack(frames, usable, shifts), 5)
    assert found.frames[0, :, 0, 0, 0].tolist() == [0, 3, 1, 0, 3]  # two is absent; the rest is repeated
    assert found.shifts_px[0, :, 0].tolist() == [0, 3, 1, 0, 3]
    assert found.usable.mean((2, 3, 4))[0].tolist() == [0, 1, 0.5, 0, 1]


def test_frames_further_than_deepsum_reaches_are_left_out(burst):
    frames, usable, shifts = burst
    network = awake("deepsum", frames=7)
    far = shifts.clone()
    far[:, 3] = 2.0
    without = usable.clone()
    without[:, 3] = 0.0
    torch.testing.assert_close(mean(network, frames, usable, far), mean(network, frames, without, shifts))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, -1), (-4, 4)])
def test_a_delta_filter_is_a_whole_shift(x, y):
    frames = torch.randn(2, 3, 4, 20, 26, generator=torch.Generator().manual_seed(0))
    filters = torch.zeros(2, 3, 9, 9)
    filters[:, :, 4 + y, 4 + x] = 1.0
    moved = dynamic_convolution(frames, filters)
    expected = frames.roll((-y, -x), (-2, -1))  # result(p) = frame(p + (x, y))
    torch.testing.assert_close(moved[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=1e-5, rtol=0)


def test_dynamic_convolution_is_the_sum_over_the_taps_with_a_reflected_border():
    random = torch.Generator().manual_seed(0)
    frames, filters = torch.randn(1, 2, 3, 9, 12, generator=random), torch.randn(1, 2, 5, 5, generator=random)
    wide = nn.functional.pad(frames[0], (2, 2, 2, 2), mode="reflect")
    expected = sum(
        filters[0, :, i, j, None, None, None] * wide[..., i : i + 9, j : j + 12] for i in range(5) for j in range(5)
    )
    torch.testing.assert_close(dynamic_convolution(frames, filters)[0], expected, atol=1e-5, rtol=1e-5)


def test_regnet_s_filters_sum_to_one_and_the_first_frame_is_untouched(burst):
    network = awake("deepsum")
    stack = network.encode(clearest(Stack(*burst), 3))
    logits = network.align.logits(stack.features)
    assert logits.shape == (2, 2, 81)
    aligned = network.align(stack)
    torch.testing.assert_close(aligned.features[:, 0], stack.features[:, 0])
    torch.testing.assert_close(aligned.fine[:, 0], stack.fine[:, 0])
    constant = stack._replace(fine=torch.full_like(stack.fine, 2.0))
    torch.testing.assert_close(network.align(constant).fine, constant.fine, atol=1e-4, rtol=0)


def test_mutual_inpainting_is_the_rule_spelt_out():
    usable = torch.rand(2, 5, 6, 7, generator=torch.Generator().manual_seed(3)) > 0.6
    found = first_clear(usable)
    for b in range(2):
        for p in range(6):
            for q in range(7):
                clear = [k for k in range(5) if usable[b, k, p, q]]
                for k in range(5):
                    expected = k if k in clear or not clear else clear[0]
                    assert found[b, k, p, q] == expected


def test_the_median_is_of_usable_frames_and_turns_with_the_sign():
    frames = torch.tensor([1.0, 9.0, 2.0, 4.0])[None, :, None, None, None]
    usable = torch.tensor([1.0, 0.0, 1.0, 1.0])[None, :, None, None, None]
    assert masked_median(frames, usable).item() == 2.0
    assert masked_median(frames, torch.ones_like(usable)).item() == 3.0
    assert masked_median(-frames, torch.ones_like(usable)).item() == -3.0
    assert masked_median(frames, 0 * usable).item() == 0.0


def test_lanczos_moves_content_by_the_shift():
    image = torch.randn(1, 2, 20, 24, generator=torch.Generator().manual_seed(0))
    moved = lanczos_shift(image, torch.tensor([[2.0, -1.0]]))
    torch.testing.assert_close(
        moved[..., 6:-6, 6:-6], image.roll((-1, 2), (-2, -1))[..., 6:-6, 6:-6], atol=1e-5, rtol=0
    )


def test_harmonising_undoes_another_light():
    ground = torch.randn(1, 1, 1, 30, 40, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    ground = (ground - ground.mean()) / ground.std()
    frames = torch.cat([ground, 1.2 * ground + 0.5, 0.8 * ground - 0.3], 1)
    stack = Stack(frames, torch.ones(1, 3, 1, 30, 40), torch.zeros(1, 3, 2))
    found = Harmonise()(stack).frames
    before, after = ((x - ground).abs().amax((0, 2, 3, 4)) for x in (frames, found))
    assert (after[1:] < 0.2 * before[1:]).all()
    torch.testing.assert_close(found[:, 0], frames[:, 0])


def test_before_training_the_default_is_back_projection_and_already_sharper_than_bicubic():
    random = torch.Generator().manual_seed(0)
    truth = torch.randn(1, 1, 66, 78, generator=random)
    for _ in range(3):
        truth = nn.functional.avg_pool2d(truth, 3, 1)
    shifts = torch.rand(1, 12, 2, generator=random) * 2 - 1
    shifts[:, 0] = 0.0
    options = UnrolledOptions(width=8, blocks=1)
    given = looks(shifts, (20, 24), 3, 0.44)
    frames = given.see(truth)
    network = unrolled(options)
    usable = torch.ones(1, 12, 1, 20, 24)
    found = mean(network, frames, usable, shifts)
    single = mean(network, frames[:, :1], usable[:, :1], shifts[:, :1])
    inner = (..., slice(6, -6), slice(6, -6))
    left, one = ((x - truth)[inner].square().mean() for x in (found, single))
    assert left < 0.7 * one
    wrong = mean(network, frames, usable, -shifts)
    assert left < 0.5 * (wrong - truth)[inner].square().mean()


@pytest.mark.parametrize("bands", [1, 2])
def test_with_back_projection_the_result_is_seen_as_the_reference(bands):
    random = torch.Generator().manual_seed(2)
    frames = torch.randn(1, 4, bands, 12, 16, generator=random)
    usable, shifts = torch.ones(1, 4, 1, 12, 16), torch.zeros(1, 4, 2)
    camera = looks(torch.zeros(1, 1, 2), (12, 16), 3, 0.44)
    left = {}
    for kind in ("none", "low-frequency", "back-projection"):
        network = awake("unrolled", bands=bands, consistency=kind)
        left[kind] = float((camera.see(mean(network, frames, usable, shifts))[:, 0] - frames[:, 0]).abs().mean())
    assert left["back-projection"] < 0.15 * left["none"]
    assert left["low-frequency"] < left["none"]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("unrolled", {"width": 0}),
        ("unrolled", {"contrast": 0.9}),
        ("deepsum", {"frames": 4}),
        ("wdsr3d", {"frames": 1}),
        ("highresnet", {"scale": 0}),
        ("piunet", {"width": 4}),
    ],
)
def test_sizes_that_make_no_network_are_refused(kind, wrong):
    with pytest.raises(OptionError):
        options_of(kind, wrong)


def test_the_parts_of_deepsum_s_training_share_their_weights():
    whole = make("deepsum", DeepSumOptions()).state_dict()
    for stage in ("sisr", "regnet"):
        part = make("deepsum", replace(DeepSumOptions(), stage=stage)).state_dict()
        assert {k: v.shape for k, v in part.items()}.items() <= {k: v.shape for k, v in whole.items()}.items()
