"""What every regulariser owes its users: nothing from nothing, no favoured direction, and gaps that stay gaps."""

from __future__ import annotations

import math

import pytest
import torch

from terrashift.core.field import Flow
from terrashift.core.reasons import Reason
from terrashift.regularise.base import Regulariser
from terrashift.regularise.blocks import ArrayFlow, regularise_tile, regularise_whole, settle
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv

SHAPE = (28, 43)
SMOOTHERS: dict[str, Regulariser] = {
    "quadratic": Quadratic(tolerance_px=1e-5),
    "tv": Tv(tolerance_px=3e-4, max_iterations=600),
    "log_tv": LogTv(tolerance_px=3e-4, max_iterations=600),
}
"""Add a new regulariser here, and every law is asked of it."""
CLOSE = {"atol": 3e-3, "rtol": 0.0}  # ten tolerances, for single vectors

every = pytest.mark.parametrize("regulariser", SMOOTHERS.values(), ids=SMOOTHERS)


def flow_of(xy: torch.Tensor, sigma: torch.Tensor | None = None, reason: int = Reason.LOW_SCORE) -> Flow:
    """A flow that is missing where `xy` is NaN."""
    missing = ~xy.isfinite().all(0)
    sigma = torch.full_like(xy, torch.nan) if sigma is None else sigma
    score = torch.linspace(0, 1, missing.numel()).reshape(missing.shape)
    return Flow(torch.where(missing, torch.nan, xy), sigma, score, missing.to(torch.uint8) * int(reason))


def faulted(shape: tuple[int, int] = SHAPE, noise_px: float = 0.1, seed: int = 0) -> torch.Tensor:
    """A slanted fault of 1 px, the sides dragging along, with noise."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    across = columns + 0.4 * rows - 0.7 * shape[1]
    side = across.sign() * (0.5 - torch.atan(across.abs() / 40) / math.pi)
    noise = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    return torch.stack([side, -0.3 * side]) + noise_px * noise


def gaps(shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    """True where something is missing: single vectors, a patch, and a wall that cuts off the last columns."""
    missing = torch.rand(shape, generator=torch.Generator().manual_seed(9)) < 0.1
    missing[5:15, 8:20] = True
    missing[:, -12] = True
    return missing


@every
def test_it_is_a_regulariser(regulariser):
    assert isinstance(regulariser, Regulariser)
    assert isinstance(Off(), Regulariser)
    assert regulariser.halo > 0
    assert regulariser.papers


@every
def test_smoothing_brings_a_noisy_flow_nearer_to_the_truth(regulariser):
    truth, noisy = faulted(noise_px=0.0), flow_of(faulted())
    far = (truth[0].abs() > 0) & (torch.arange(SHAPE[1]) < 12)
    before, after = ((xy - truth).square().sum(0)[far].mean().sqrt() for xy in (noisy.xy, regulariser(noisy).xy))
    assert after < 0.35 * before


@every
def test_a_constant_field_stays_as_it_is(regulariser):
    flow = flow_of(torch.tensor([0.7, -1.3])[:, None, None].expand(2, *SHAPE).clone())
    assert torch.equal(regulariser(flow).xy, flow.xy)


@pytest.mark.parametrize("regulariser", [Quadratic(reach=0), Tv(strength_px=0), LogTv(strength_px=0), Off()])
def test_a_price_of_nothing_changes_nothing(regulariser):
    xy = faulted()
    xy[:, gaps()] = torch.nan
    flow = flow_of(xy)
    torch.testing.assert_close(regulariser(flow).xy, flow.xy, atol=0, rtol=0, equal_nan=True)


@pytest.mark.parametrize(
    "turn",
    [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT, lambda x: x.rot90(1, (-2, -1))],
    ids=["mirrored", "upside down", "transposed", "turned"],
)
@every
def test_turning_the_places_turns_the_answer(regulariser, turn):
    xy = faulted()
    xy[:, gaps()] = torch.nan
    one = turn(regulariser(flow_of(xy)).xy)
    other = regulariser(flow_of(turn(xy))).xy
    torch.testing.assert_close(one, other, equal_nan=True, **CLOSE)


@every
def test_turning_the_vectors_turns_the_answer(regulariser):
    # only true where both components are priced together
    xy = faulted()
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    one = torch.einsum("ij,jhw->ihw", turn, regulariser(flow_of(xy)).xy)
    other = regulariser(flow_of(torch.einsum("ij,jhw->ihw", turn, xy))).xy
    torch.testing.assert_close(one, other, **CLOSE)


@every
def test_the_opposite_motion_gives_the_opposite_answer(regulariser):
    xy = faulted()
    assert torch.equal(regulariser(flow_of(-xy)).xy, -regulariser(flow_of(xy)).xy)


@every
def test_motion_of_the_whole_is_added_to_the_answer(regulariser):
    xy, shift = faulted(), torch.tensor([3.0, -2.0])[:, None, None]
    torch.testing.assert_close(regulariser(flow_of(xy + shift)).xy, regulariser(flow_of(xy)).xy + shift, **CLOSE)


@every
def test_what_is_missing_stays_missing_and_the_rest_keeps_its_bands(regulariser):
    xy = faulted()
    xy[:, gaps()] = torch.nan
    flow = flow_of(xy, torch.full_like(xy, 0.1))
    kept = [part.clone() for part in flow]
    found = regulariser(flow)
    assert torch.equal(found.xy.isnan(), gaps().expand(2, *SHAPE))
    for name in ("sigma", "score", "reasons"):
        assert torch.equal(getattr(found, name), getattr(flow, name))
    for part, before in zip(flow, kept, strict=True):
        torch.testing.assert_close(part, before, atol=0, rtol=0, equal_nan=True)


@every
def test_what_is_missing_drags_nobody(regulariser):
    # far from zero, a gap that counted as zero would show
    xy = torch.full((2, *SHAPE), 50.0)
    xy[:, gaps()] = torch.nan
    found = regulariser(flow_of(xy)).xy[:, ~gaps()]
    assert torch.equal(found, torch.full_like(found, 50.0))


@every
def test_a_field_without_any_vector_comes_back_empty(regulariser):
    found = regulariser(flow_of(torch.full((2, 5, 6), torch.nan)))
    assert found.xy.isnan().all()
    assert (found.reasons == int(Reason.LOW_SCORE)).all()


@every
def test_islands_do_not_know_of_each_other(regulariser):
    one = faulted()
    one[:, :, 24] = torch.nan
    other = one.clone()
    other[:, :, 25:] = 7 + faulted(seed=3)[:, :, 25:]
    left = [regulariser(flow_of(xy)).xy[:, :, :24] for xy in (one, other)]
    torch.testing.assert_close(*left, **CLOSE)
    alone = regulariser(flow_of(one[:, :, :24])).xy
    torch.testing.assert_close(left[0], alone, **CLOSE)


@pytest.mark.parametrize(
    "regulariser",
    [Tv(strength_px=5, max_iterations=4000), LogTv(strength_px=5, edge_px=20, max_iterations=4000)],
    ids=["tv", "log_tv"],
)
def test_a_very_high_price_leaves_the_mean_of_each_island(regulariser):
    xy = faulted((8, 13))
    xy[:, :, 6] = torch.nan
    sigma = 0.05 + 0.1 * torch.rand(2, 8, 13, generator=torch.Generator().manual_seed(4))
    found = regulariser(flow_of(xy, sigma)).xy
    weight = sigma**-2
    for island in (slice(0, 6), slice(7, 13)):
        mean = (weight * xy)[..., island].sum((1, 2)) / weight[..., island].sum((1, 2))
        torch.testing.assert_close(found[..., island], mean[:, None, None].expand(2, 8, 6), atol=5e-3, rtol=0)


@every
def test_only_the_ratios_of_the_standard_errors_count(regulariser):
    xy = faulted()
    sigma = 0.05 + 0.1 * torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(4))
    one, other = (regulariser(flow_of(xy, scale * sigma)).xy for scale in (1.0, 10.0))
    torch.testing.assert_close(one, other, **CLOSE)
    assert (one - regulariser(flow_of(xy)).xy).abs().max() > 0.01
    deaf = regulariser.model_copy(update={"by_sigma": False})
    assert torch.equal(deaf(flow_of(xy, sigma)).xy, regulariser(flow_of(xy)).xy)


@every
def test_unknown_or_equal_standard_errors_count_as_one(regulariser):
    xy = faulted()
    equal = regulariser(flow_of(xy, torch.full_like(xy, 0.3))).xy
    torch.testing.assert_close(equal, regulariser(flow_of(xy)).xy, **CLOSE)


@every
def test_a_vector_that_doubts_itself_follows_its_neighbours(regulariser):
    xy = torch.zeros(2, 21, 22)
    xy[0, 10, 11] = 2.0
    sigma = torch.full_like(xy, 0.1)
    sure = regulariser(flow_of(xy, sigma)).xy[0, 10, 11]
    sigma[:, 10, 11] = 0.3
    doubtful = regulariser(flow_of(xy, sigma)).xy[0, 10, 11]
    assert 0 < doubtful < 0.7 * sure


@every
def test_rejected_vectors_are_filled_when_asked_for_and_no_data_never(regulariser):
    truth = faulted(noise_px=0.0)
    xy, missing = truth.clone(), torch.zeros(SHAPE, dtype=torch.bool)
    missing[10:14, 10:14] = True
    xy[:, missing] = torch.nan
    filling = regulariser.model_copy(update={"fill_px": 3})
    flow = flow_of(xy, torch.full_like(xy, 0.1))
    found = filling(flow)
    assert found.xy.isfinite().all()
    assert (found.xy - truth)[:, missing].abs().max() < 0.1
    assert (found.reasons == 0).all()
    assert torch.equal(found.sigma.isnan(), missing.expand(2, *SHAPE))
    for reason in (Reason.NODATA, Reason.EDGE, Reason.NODATA | Reason.INCONSISTENT):
        empty = filling(flow_of(xy, reason=reason))
        assert torch.equal(empty.xy.isnan(), missing.expand(2, *SHAPE))
        assert torch.equal(empty.reasons != 0, missing)


@every
def test_filling_reaches_as_far_as_asked_and_changes_known_vectors_little(regulariser):
    xy = faulted((30, 41), noise_px=0.0)
    missing = torch.zeros(30, 41, dtype=torch.bool)
    missing[:, 5:15] = True
    xy[:, missing] = torch.nan
    found = regulariser.model_copy(update={"fill_px": 2})(flow_of(xy)).xy
    assert torch.equal(found[0].isnan().any(0).nonzero()[:, 0], torch.arange(7, 13))


@every
def test_tiles_never_show(regulariser):
    xy = faulted((50, 70))
    xy[:, gaps((50, 70))] = torch.nan
    sigma = 0.05 + 0.1 * torch.rand(2, 50, 70, generator=torch.Generator().manual_seed(4))
    flow = flow_of(xy, sigma)
    source, side = ArrayFlow(flow), 16
    quick = regulariser.model_copy(update={"max_iterations": 15})  # the numbers need not be good, only the same
    whole = regularise_whole(quick, flow, side=side)
    told = settle(quick, source)
    for rows, columns in ((16, 32), (48, 16)):
        for top in range(0, 50, rows):
            for left in range(0, 70, columns):
                core = slice(top, min(50, top + rows)), slice(left, min(70, left + columns))
                part = regularise_tile(told, source, core, side=side)
                for one, other in zip(part, whole, strict=True):
                    torch.testing.assert_close(one, other[..., *core], atol=0, rtol=0, equal_nan=True)


@every
def test_blocks_join_as_if_there_were_none(regulariser):
    flow = flow_of(faulted((40, 300)))
    whole = regulariser(flow).xy
    cut = regularise_whole(regulariser, flow, side=100).xy
    off = (cut - whole).square().sum(0).sqrt()
    assert off.square().mean().sqrt() < 1e-4
    assert off.max() < 2e-3
