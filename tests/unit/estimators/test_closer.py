"""Looking closer near jumps of the motion: where it is done, what it changes, and that nothing is mislaid."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from terrashift.estimators.base import Search
from terrashift.estimators.closer import CELL_PX, FADE_PX, MARGIN_PX, looked_closer
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.sides import COARSE_PX, LEAST_PX, REACH
from terrashift.models.estimate import Estimate
from terrashift.ops.warp import warp
from terrashift.simulate.scene import procedural_scene

FARTHEST_PX = (REACH + 1) * COARSE_PX + FADE_PX
"""From a jump: nothing changes beyond."""


def jump(height: int, width: int, column: int, by_px: float) -> torch.Tensor:
    """Motion along x right of a column."""
    flow = torch.zeros(1, 2, height, width)
    flow[:, 0, :, column:] = by_px
    return flow


def images(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that say where a pixel is: its row, and its column."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.0, torch.arange(width) + 0.0, indexing="ij")
    return rows[None, None], columns[None, None]


def as_estimate(flow: torch.Tensor) -> Estimate:
    return Estimate(flow, torch.full_like(flow, -2.0))


def tell_places(before: torch.Tensor, after: torch.Tensor, start: torch.Tensor) -> Estimate:
    """An answer that says which pixel it is for."""
    assert before.shape[-2:] == after.shape[-2:] == start.shape[-2:]
    return Estimate(torch.cat([after, before], 1), torch.full_like(start, -1.0))


def never(before: torch.Tensor, after: torch.Tensor, start: torch.Tensor) -> Estimate:
    raise AssertionError("nothing jumps")


@pytest.mark.parametrize("by_px", [0.0, 0.8 * LEAST_PX])
def test_where_nothing_jumps_nothing_is_done(by_px):
    found = as_estimate(jump(96, 160, 80, by_px))
    closer = looked_closer(never, *images(96, 160), found)
    assert torch.equal(closer.flow, found.flow)
    assert torch.equal(closer.log_scale, found.log_scale)


@pytest.mark.parametrize("shape", [(96, 160), (448, 320), (64, 1024), (32, 32)])
def test_every_pixel_near_a_jump_gets_its_own_answer(shape):
    column = shape[1] // 2
    found = as_estimate(jump(*shape, column, 2.0))
    before, after = images(*shape)
    closer = looked_closer(tell_places, before, after, found)
    near = slice(max(0, column - 12), column + 12)
    assert torch.allclose(closer.flow[..., near], torch.cat([after, before], 1)[..., near], atol=1e-3)
    assert torch.allclose(closer.log_scale[..., near], torch.tensor(-1.0))


def test_far_from_a_jump_the_first_answer_stays():
    found = as_estimate(jump(128, 512, 200, 2.0))
    closer = looked_closer(tell_places, *images(128, 512), found)
    for far in (slice(0, 200 - FARTHEST_PX), slice(200 + FARTHEST_PX, None)):
        assert torch.equal(closer.flow[..., far], found.flow[..., far])
        assert torch.equal(closer.log_scale[..., far], found.log_scale[..., far])


def test_it_fades_in_without_a_step():
    def three_more(before: torch.Tensor, after: torch.Tensor, start: torch.Tensor) -> Estimate:
        return Estimate(start + 3, torch.zeros_like(start))

    found = as_estimate(jump(128, 512, 200, 2.0))
    change = looked_closer(three_more, *images(128, 512), found).flow - found.flow
    assert change.amax() == pytest.approx(3)
    assert change.diff(dim=3).abs().amax() <= 3 / FADE_PX + 1e-4


def test_squares_hold_what_a_network_works_on():
    sides = []

    def note(before: torch.Tensor, after: torch.Tensor, start: torch.Tensor) -> Estimate:
        sides.append(tuple(before.shape[-2:]))
        return tell_places(before, after, start)

    looked_closer(note, *images(64, 1024), as_estimate(jump(64, 1024, 500, 2.0)))
    assert set(sides) == {(64, CELL_PX + 2 * MARGIN_PX)}
    assert CELL_PX % 16 == MARGIN_PX % 16 == 0


def test_the_default_finds_a_fault_better_where_it_looks_closer():
    """Ground that jumps by 1.9 px, both components of other signs on either side."""
    scene = procedural_scene(320, 320, 3)
    first, after = (torch.as_tensor(image[0]).float() for image in (scene.before, scene.after))
    truth = torch.empty(2, 320, 320)
    truth[:, :160], truth[:, 160:] = torch.tensor([[[0.9]], [[-0.4]]]), torch.tensor([[[-0.9]], [[0.3]]])
    before = warp(first[None, None], truth[None])[0, 0]
    flows = []
    for closer in (False, True):
        estimator = MicroFlow(precision="float32", closer=closer, both_sides=False)
        halo = [estimator.halo(Search())] * 4
        flows.append(estimator(*(pad(image, halo, value=torch.nan) for image in (before, after)), Search()).xy)
    plain, closer = ((flow - truth).norm(dim=0)[157:163, 16:-16].mean() for flow in flows)
    assert closer < 0.95 * plain
