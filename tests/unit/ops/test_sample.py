"""Values of an image at any places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.ops.sample import TAPS, sample_at
from terrashift.ops.warp import warp

KERNELS = ("nearest", "bilinear", "bicubic", "lanczos", "sinc")


def noise(height: int = 40, width: int = 57) -> torch.Tensor:
    return torch.randn(1, height, width, generator=torch.Generator().manual_seed(0))


def lattice(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_whole_pixels_come_back_as_they_are_and_x_is_the_column(kernel):
    image = noise()
    found = sample_at(image, np.array([[3.0, 56.0, 0.0], [39.0, 2.0, 0.0]]), kernel)
    assert torch.equal(found[0], torch.stack([image[0, 39, 3], image[0, 2, 56], image[0, 0, 0]]))


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "sinc"])
def test_it_is_the_warp_where_the_kernel_has_data(kernel):
    image = noise()
    flow = torch.stack([torch.full((40, 57), 0.3), torch.full((40, 57), -1.6)])[None]
    known = warp(image[None], flow, kernel)[0]
    found = sample_at(image, lattice(40, 57) + np.array([0.3, -1.6])[:, None, None], kernel)
    inside = known.isfinite()
    assert float((known - found)[inside].abs().max()) < 2e-3


@pytest.mark.parametrize("kernel", ["lanczos", "sinc"])
def test_a_wave_is_moved_right(kernel):
    x = torch.arange(80.0)
    wave = torch.cos(2 * np.pi * 0.2 * x)[None, None].expand(1, 40, 80).contiguous()
    places = np.stack([np.linspace(20, 60, 33), np.full(33, 20.37)])
    expected = np.cos(2 * np.pi * 0.2 * places[0])
    assert (
        np.abs(sample_at(wave, places, kernel)[0].numpy() - expected).max() < {"lanczos": 0.03, "sinc": 0.003}[kernel]
    )


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "sinc"])
def test_a_gap_grows_by_a_pixel_at_most_whatever_the_kernel(kernel):
    image = noise()
    image[0, 20, 30] = torch.nan
    found = sample_at(image, lattice(38, 55) + 0.5, kernel)[0]
    lost = torch.nonzero(found.isnan()).tolist()
    assert lost == [[19, 29], [19, 30], [20, 29], [20, 30]]


def test_places_outside_or_unknown_have_no_value():
    places = np.array([[-0.01, 56.01, 5.0, np.nan, 1e9, -1e9], [5.0, 5.0, 39.5, 3.0, 0.0, 0.0]])
    for kernel in KERNELS[1:]:
        assert sample_at(noise(), places, kernel).isnan().all()


def test_nearest_takes_whole_values_only():
    image = torch.arange(12.0).reshape(1, 3, 4)
    assert sample_at(image, np.array([[1.4, 2.6], [0.4, 1.6]]), "nearest").tolist() == [[1.0, 11.0]]


def test_gradients_are_kept_far_from_the_origin():
    """Places in wide images lose nothing: float64 until the fraction is taken."""
    image = torch.zeros(1, 3, 70_000)
    image[0, :, 65_001] = 1
    found = sample_at(image, np.array([[65_000.25], [1.0]]), "bilinear")
    assert float(found[0, 0]) == pytest.approx(0.25, abs=2e-4)


def test_every_kernel_reproduces_a_constant():
    flat = torch.full((1, 30, 31), 7.0)
    for kernel in TAPS:
        places = np.array([[12.3, 14.9], [13.7, 15.01]])
        assert sample_at(flat, places, kernel)[0].tolist() == pytest.approx([7.0, 7.0], abs=1e-5)  # pyright: ignore
