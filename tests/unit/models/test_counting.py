"""Counting: by hand for every kind of layer, the same for any batch."""

import torch
from torch import nn

from terrashift.models.counting import cost, count_weights


def test_each_kind_of_layer_is_counted_as_by_hand():
    image = torch.zeros(1, 4, 12, 10)
    assert cost(nn.Conv2d(4, 8, 3, padding=1), image).multiply_adds_per_pixel == 9 * 4 * 8
    assert cost(nn.Conv2d(4, 8, 3, 2, 1), image).multiply_adds_per_pixel == 9 * 4 * 8 / 4
    assert cost(nn.Conv2d(4, 4, 7, padding=3, groups=4), image).multiply_adds_per_pixel == 49 * 4
    assert cost(nn.ConvTranspose2d(4, 8, 4, 2, 1), image).multiply_adds_per_pixel == 16 * 4 * 8
    assert cost(nn.Linear(10, 7), image).multiply_adds_per_pixel == 4 * 7


def test_products_without_a_layer_count_too():
    class Product(nn.Module):
        def forward(self, x):
            return x.flatten(2).transpose(1, 2) @ x.flatten(2)

    assert cost(Product(), torch.zeros(2, 3, 4, 5)).multiply_adds == 2 * 20 * 20 * 3


def test_a_layer_run_twice_counts_twice_and_weighs_once():
    layer = nn.Conv2d(2, 2, 3, padding=1)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    found = cost(twice, torch.zeros(1, 2, 8, 6))
    assert found.weights == count_weights(layer) == 38
    assert found.multiply_adds_per_pixel == 2 * 36


def test_the_cost_per_pixel_does_not_depend_on_the_batch():
    network = nn.Conv2d(2, 8, 3, padding=1)
    one, three = cost(network, torch.zeros(1, 2, 8, 6)), cost(network, torch.zeros(3, 2, 8, 6))
    assert three.multiply_adds == 3 * one.multiply_adds
    assert three.multiply_adds_per_pixel == one.multiply_adds_per_pixel == 144
    assert one.mebibytes == 2 * 152 / 2**20
