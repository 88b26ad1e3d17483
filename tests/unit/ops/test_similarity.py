"""Distances between images: what they see, what they are blind to, what they do with gaps."""

import pytest
import torch

from terrashift.ops.similarity import SIMILARITIES, unlike

every = pytest.mark.parametrize("kind", SIMILARITIES)


def images(seed=0, bands=1):
    torch.manual_seed(seed)
    return torch.randn(2, bands, 24, 30)


ONES = torch.ones(2, 1, 24, 30)


@every
def test_an_image_is_like_itself_and_unlike_another(kind):
    image = images()
    same, other = unlike(image, image, ONES, kind), unlike(image, images(1), ONES, kind)
    assert same.shape == (2,)
    assert (same < 0.12).all()  # the variance that flat ground is given
    assert (other > 5 * same + 0.3).all()


@every
def test_it_grows_as_an_image_moves(kind):
    image = torch.nn.functional.avg_pool2d(images(), 5, 1, 2, count_include_pad=False) * 4
    found = [unlike(image, image.roll(shift, 3), ONES, kind).mean() for shift in range(4)]
    assert found == sorted(found)


@every
def test_what_has_no_weight_counts_for_nothing(kind):
    image = images()
    weight = ONES.clone()
    weight[..., 8:20, 10:25] = 0
    spoilt = image.clone()
    spoilt[..., 10:18, 12:23] += 50.0  # beyond the reach of a census that weighs its own pixel only
    assert torch.allclose(unlike(image, spoilt, weight, kind), unlike(image, image, weight, kind), atol=1e-5)
    assert torch.equal(unlike(image, spoilt, 0 * weight, kind), torch.zeros(2))


def test_known_values():
    a, b = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 2.0], [0.0, -2.0]]]])
    ones = torch.ones(1, 1, 2, 2)
    assert unlike(a, b, ones, "square").item() == pytest.approx(2.0)
    assert unlike(a, b, ones, "robust").item() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("kind", ["ncc", "census"])
def test_some_are_blind_to_brightness_and_contrast(kind):
    image, other = images(), images(1)
    mixed = image + 0.5 * other
    assert torch.allclose(unlike(image, mixed, ONES, kind), unlike(image, 1.2 * mixed + 3, ONES, kind), atol=0.05)


def test_the_opposite_of_an_image_is_no_more_unlike_than_another_one():
    image = images()
    assert (unlike(image, -image, ONES, "ncc") == 1).all()


def test_bands_count_alike():
    two, other = images(bands=2), images(1, bands=2)
    parts = [unlike(two[:, k : k + 1], other[:, k : k + 1], ONES, "ncc") for k in range(2)]
    assert torch.allclose(unlike(two, other, ONES, "ncc"), (parts[0] + parts[1]) / 2, atol=1e-5)


@every
def test_the_gradient_points_to_the_true_place(kind):
    """Moved by a tenth of a pixel, the loss falls toward no motion."""
    smooth = torch.nn.functional.avg_pool2d(images(), 5, 1, 2, count_include_pad=False) * 4
    weight = ONES.clone()
    weight[..., :2] = weight[..., -2:] = 0
    shift = torch.tensor(0.3, requires_grad=True)
    moved = (1 - shift) * smooth + shift * smooth.roll(1, 3)
    unlike(smooth, moved, weight, kind).sum().backward()
    assert shift.grad > 0
