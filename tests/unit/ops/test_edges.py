"""Both sides of a border are found, and nothing else."""

from __future__ import annotations

import torch

from terrashift.ops.edges import at_breaks, beside

RIGHT = torch.zeros(4, 5, dtype=torch.bool)
RIGHT[:2, 3:] = True
EXPECTED = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()


def test_pixels_beside_a_border_have_a_neighbour_on_its_other_side():
    assert torch.equal(beside(RIGHT), EXPECTED)
    assert torch.equal(beside(~RIGHT), EXPECTED)
    assert torch.equal(beside(RIGHT.T), EXPECTED.T)


def test_without_a_border_no_pixel_is_beside_it():
    for size in ((4, 5), (1, 1), (0, 3)):
        assert not beside(torch.ones(size, dtype=torch.bool)).any()


def test_images_of_a_batch_do_not_see_each_other():
    batch = torch.stack([RIGHT, torch.zeros_like(RIGHT), RIGHT.flip(1)])
    assert torch.equal(beside(batch), torch.stack([EXPECTED, torch.zeros_like(RIGHT), EXPECTED.flip(1)]))


def test_a_broken_gap_has_a_pixel_at_each_end():
    across, down = torch.zeros(3, 3, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)
    across[0, 2] = down[1, 0] = True
    assert at_breaks(across, down).nonzero().tolist() == [[0, 2], [0, 3], [1, 0], [2, 0]]
