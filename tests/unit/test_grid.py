"""Between pixels and the ground."""

from __future__ import annotations

import pytest
import torch
from exchange_fields import GRIDS


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_to_pixels_undoes_to_metres(grid):
    flow = torch.randn(2, *grid.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(grid.to_pixels(grid.to_metres(flow)), flow, rtol=1e-5, atol=1e-5)
    part = flow[:, 4:9]
    torch.testing.assert_close(grid.to_pixels(grid.to_metres(part, 4), 4), part, rtol=1e-5, atol=1e-5)


def test_east_is_to_the_right_and_north_is_up_on_a_plain_map():
    one = torch.tensor([3.0, -7.0])[:, None, None].expand(2, *GRIDS["utm"].shape)
    assert GRIDS["utm"].to_pixels(one)[:, 0, 0].tolist() == pytest.approx([0.3, 0.7])
    assert GRIDS["south-up"].to_pixels(one)[:, 0, 0].tolist() == pytest.approx([0.3, -0.7])
