"""The way back must end where it started."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from affine import Affine
from tiny_estimator import Tiny, pair_of

from terrashift.core.field import Flow
from terrashift.core.grid import Grid
from terrashift.core.image import Image, Pair
from terrashift.core.reasons import Reason
from terrashift.core.source import ArrayPair
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.consistency import BackwardOptions, WithBackward, disagrees


@dataclass(frozen=True)
class Told:
    """Reads the motion from the first image itself, so that a test can say what forward and backward are."""

    step_px: int = 1
    window_px: int = 1
    block_px: int = 8
    name: str = "told"
    papers: tuple[str, ...] = ()

    def halo(self, search):
        return 1

    def memory(self, search):
        return 1000

    def __call__(self, before, after, search):
        rows, columns = (slice(1 + self.step_px // 2, n - 1, self.step_px) for n in before.shape)
        x = before[rows, columns]
        missing = x.isnan()
        return Flow(
            xy=torch.stack([x, torch.zeros_like(x).masked_fill(missing, torch.nan)]),
            sigma=torch.full((2, *x.shape), 0.1),
            score=torch.ones(x.shape),
            reasons=torch.where(missing, int(Reason.NODATA), 0).to(torch.uint8),
        )


def source(before, after):
    grid = Grid(*before.shape, Affine.identity())
    return ArrayPair(Pair(Image(before[None], grid), Image(after[None], grid)))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_return_to_the_start_stands_and_another_is_rejected(step):
    before, after = torch.full((24, 32), 1.5), torch.full((24, 32), -1.5)
    after[:, 16:] = -1.0  # half a pixel short of the start
    search = Search(radius=(2, 2))
    flow = measure_whole(WithBackward(Told(step), 0.3), source(before, after), search)
    x = torch.arange(step // 2, 32, step)
    ends = x + 1.5
    assert (flow.reasons[:, ends < 15] == 0).all()
    inside = (ends > 16 + step) & (ends < 31 - step)
    assert (flow.reasons[:, inside] == int(Reason.INCONSISTENT)).all()
    assert flow.xy[:, :, inside].isnan().all()
    assert flow.sigma[:, :, inside].isnan().all()
    assert (flow.score == 1).all()
    assert (flow.reasons[:, ends > 32] == 0).all(), "nothing is known of a return from outside the image"


def test_a_tolerance_above_the_disagreement_keeps_it():
    before, after = torch.full((16, 16), 1.0), torch.full((16, 16), -0.5)
    kept = measure_whole(WithBackward(Told(), 0.51), source(before, after), Search(radius=(2, 2)))
    dropped = measure_whole(WithBackward(Told(), 0.49), source(before, after), Search(radius=(2, 2)))
    assert (kept.reasons == 0).all()
    assert (dropped.reasons[:, :14] == int(Reason.INCONSISTENT)).all()


def test_the_way_back_is_sampled_where_the_vector_ends():
    forward = torch.zeros(2, 1, 2)
    forward[0], forward[1] = 0.25, 0.5
    backward = torch.zeros(2, 3, 4)
    backward[0], backward[1] = -0.25, torch.tensor([0.0, -0.4, -0.6])[:, None]  # -0.5 half-way between rows 1 and 2
    assert not disagrees(forward, backward, 1, 1, 1e-6).any()
    assert disagrees(forward, backward + 0.01, 1, 1, 1e-3).all()


def test_a_missing_way_back_leaves_the_vector_unless_it_has_no_weight():
    forward = torch.ones(2, 1, 1)
    backward = torch.full((2, 4, 4), torch.nan)
    assert not disagrees(forward, backward, 1, 1, 0.1).any()
    backward[:, 2, 2] = 5.0
    assert disagrees(forward, backward, 1, 1, 0.1).all()


def test_a_real_motion_survives_and_change_does_not():
    grid = Grid(48, 40, Affine.identity())
    pair = pair_of(grid, move=(2, -1), hole=False)
    after = pair.pair.after.pixels.clone()
    after[0, 10:26, 10:26] = torch.randn(16, 16, generator=torch.Generator().manual_seed(5))
    changed = ArrayPair(Pair(pair.pair.before, Image(after, grid)))
    search = Search(centre=(1, 0), radius=(2, 2))
    plain = measure_whole(Tiny(), changed, search)
    checked = measure_whole(WithBackward(Tiny(), 0.6), changed, search)
    rejected = (checked.reasons & int(Reason.INCONSISTENT)) > 0
    assert rejected[14:24, 10:20].float().mean() > 0.5
    assert rejected[30:44, 4:36].float().mean() < 0.02
    kept = ~checked.xy.isnan().any(0)
    assert torch.equal(checked.xy[:, kept], plain.xy[:, kept])


def test_off_means_the_estimator_itself():
    tiny = Tiny()
    assert BackwardOptions().wrap(tiny) is tiny
    assert BackwardOptions(backward_px=0.5).wrap(tiny) == WithBackward(tiny, 0.5)
