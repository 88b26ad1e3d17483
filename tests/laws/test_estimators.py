"""What every estimator keeps to, whatever its method."""

from __future__ import annotations

import pytest
import torch
from affine import Affine
from every_estimator import CASES, NORTH_UP, Case, as_params, moved_pair, pair_of_arrays, stepped, texture

from terrashift.core.field import DisplacementField, Flow
from terrashift.core.reasons import Reason
from terrashift.core.source import PairSource
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole

MOTION = 0.3, -0.7
"""(x right, y down) px."""
STEP = 5
SEARCH = Search()

every_estimator = pytest.mark.parametrize("case", as_params(CASES))


def sparse(case: Case, source: PairSource, search: Search = SEARCH) -> Flow:
    """The whole image, at every fifth pixel."""
    return measure_whole(stepped(case.estimator, STEP), source, search)


def places(shape: tuple[int, int], step: int = STEP) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows, as a column, and columns of the pixels that are measured."""
    rows, columns = (torch.arange(step // 2, n, step) for n in shape)
    return rows[:, None], columns


def inside(case: Case, shape: tuple[int, int], step: int = STEP, search: Search = SEARCH) -> torch.Tensor:
    """Places whose window lies wholly inside both images."""
    half = case.estimator.window_px // 2 + 4
    (rows, columns), (x, y) = places(shape, step), search.centre
    low_y, low_x, high_y, high_x = half - min(y, 0), half - min(x, 0), half + max(y, 0), half + max(x, 0)
    down = (rows >= low_y) & (rows < shape[0] - high_y)
    return down & (columns >= low_x) & (columns < shape[1] - high_x)


def median(flow: Flow) -> list[float]:
    return flow.xy.flatten(1).nanmedian(1).values.tolist()


def error(flow: Flow, xy: tuple[float, float], where: torch.Tensor) -> torch.Tensor:
    """Distance in px from what is true, of every place of `where`; there must be a value at each."""
    distance = (flow.xy - torch.tensor(xy)[:, None, None]).norm(dim=0)[where]
    assert len(distance) > 10
    assert distance.isfinite().all()
    return distance


def keeps_the_contract(flow: Flow) -> bool:
    """NaN exactly where there is a reason, both components alike, scores finite in 0 to 1."""
    missing = flow.xy.isnan()
    return (
        bool((missing == (flow.reasons != 0)).all())
        and bool(flow.score.isfinite().all())
        and bool(((flow.score >= 0) & (flow.score <= 1)).all())
        and bool((flow.sigma.isnan() | (flow.sigma >= 0)).all())
    )


@every_estimator
def test_ground_that_did_not_move_has_zero_motion(case):
    source = moved_pair((0.0, 0.0))
    flow = sparse(case, source)
    assert keeps_the_contract(flow)
    everywhere = flow.reasons == 0
    assert everywhere[inside(case, source.grid.shape)].all()
    assert error(flow, (0.0, 0.0), everywhere).max() < case.still_px


@every_estimator
def test_a_fourier_shift_returns_with_its_sign(case):
    source = moved_pair(MOTION)
    flow = sparse(case, source)
    assert keeps_the_contract(flow)
    assert median(flow) == pytest.approx(MOTION, abs=case.bias_px)
    assert error(flow, MOTION, inside(case, source.grid.shape)).quantile(0.95) < case.error_px


@every_estimator
@pytest.mark.parametrize("shape", [(64, 200), (200, 64)])
def test_long_images_are_measured_along_their_own_axes(case, shape):
    flow = sparse(case, moved_pair(MOTION, shape=shape))
    assert flow.reasons.shape == inside(case, shape).shape
    assert error(flow, MOTION, inside(case, shape)).quantile(0.95) < case.error_px


@every_estimator
def test_swapped_images_move_the_other_way(case):
    pair = moved_pair(MOTION).pair
    there = sparse(case, pair_of_arrays(pair.before.pixels[0], pair.after.pixels[0]))
    back = sparse(case, pair_of_arrays(pair.after.pixels[0], pair.before.pixels[0]))
    both = (there.xy + back.xy).norm(dim=0)[inside(case, pair.grid.shape)]
    assert both.quantile(0.95) < 2 * case.error_px
    assert there.xy.nanmean() != 0


@every_estimator
@pytest.mark.parametrize("which", ["before", "after"])
def test_a_window_without_data_is_never_a_number(case, which):
    pair = moved_pair(MOTION, shape=(140, 260)).pair
    images = {"before": pair.before.pixels[0].clone(), "after": pair.after.pixels[0].clone()}
    top, left, side = 45, 45, case.estimator.window_px + 25
    images[which][top : top + side, left : left + side] = torch.nan
    flow = sparse(case, pair_of_arrays(**images))
    assert keeps_the_contract(flow)
    half = case.estimator.window_px // 2 + max(SEARCH.radius) + 1  # nothing to see anywhere within the search
    rows, columns = places(pair.grid.shape)
    empty = (rows - half >= top) & (rows + half < top + side)
    empty = empty & (columns - half >= left) & (columns + half < left + side)
    assert empty.sum() >= 9
    assert (flow.reasons[empty] & Reason.NODATA).bool().all()
    assert flow.xy[:, empty].isnan().all()
    # and the hole does not spoil what is far from it
    far = inside(case, pair.grid.shape) & (columns > left + side + 2 * case.estimator.window_px)
    assert error(flow, MOTION, far).quantile(0.9) < case.error_px


@every_estimator
def test_images_without_any_data_give_reasons_and_no_number(case):
    nothing = torch.full((90, 120), torch.nan)
    for before, after in ((nothing, texture((90, 120))), (texture((90, 120)), nothing), (nothing, nothing)):
        flow = sparse(case, pair_of_arrays(before, after))
        assert keeps_the_contract(flow)
        assert flow.xy.isnan().all()
        assert (flow.reasons & (Reason.NODATA | Reason.EDGE)).bool().all()


@every_estimator
@pytest.mark.parametrize("flat", ["before", "after", "both"])
def test_a_constant_image_has_no_texture_and_no_number(case, flat):
    ground, same = texture(), torch.full((140, 190), 1234.5)
    flow = sparse(case, pair_of_arrays(same if flat != "after" else ground, same if flat != "before" else ground))
    assert keeps_the_contract(flow)
    assert flow.xy.isnan().all()
    inside = (flow.reasons & (Reason.EDGE | Reason.NODATA)) == 0
    assert inside.float().mean() > 0.5
    assert (flow.reasons[inside] & Reason.NO_TEXTURE).bool().all()


@every_estimator
def test_steps_agree_where_they_meet(case):
    shape = 110, 130
    source = moved_pair(MOTION, shape=shape)
    at = {step: measure_whole(stepped(case.estimator, step), source, SEARCH).xy for step in (1, 3, 4)}
    # step s measures at pixels s//2, s//2 + s, ...: 1, 3 and 4 meet at 10, 22, 34, ...
    whole = inside(case, shape, 1)[10::12, 10::12]
    assert whole.sum() > 10
    for step in (3, 4):
        first = (10 - step // 2) // step
        meeting = at[step][:, first :: 12 // step, first :: 12 // step]
        apart = (meeting - at[1][:, 10::12, 10::12]).norm(dim=0)[whole]
        assert apart.isfinite().all()
        assert apart.max() < case.step_px


GRIDS = {
    "north up": NORTH_UP,
    "south up": Affine(10, 0, 5e5, 0, 10, 4e6),
    "rotated": Affine.translation(5e5, 4e6) @ Affine.rotation(30) @ Affine.scale(10, -10),
    "non-square": Affine(2, 0, 5e5, 0, -7, 4e6),
    "sheared, non-square": Affine(2, 0.5, 5e5, -1, -7, 4e6),
}


@every_estimator
@pytest.mark.parametrize("transform", GRIDS.values(), ids=GRIDS.keys())
def test_motion_comes_out_in_metres_east_and_north(case, transform):
    source = moved_pair(MOTION, transform, (90, 120))
    field = DisplacementField.from_flow(sparse(case, source), source.grid, STEP)
    px = max(source.grid.pixel_size)
    here, there = transform @ (60.5, 45.5), transform @ (60.5 + MOTION[0], 45.5 + MOTION[1])
    assert field.grid.unit == "m"
    assert field.east.nanmedian().item() == pytest.approx(there[0] - here[0], abs=2 * case.bias_px * px)
    assert field.north.nanmedian().item() == pytest.approx(there[1] - here[1], abs=2 * case.bias_px * px)


@every_estimator
def test_a_search_far_from_zero_finds_what_moved_far(case):
    motion, search = (20.3, -12.7), Search(centre=(20, -13), radius=(2, 2))
    source = moved_pair(motion)
    flow = sparse(case, source, search)
    assert keeps_the_contract(flow)
    there = inside(case, source.grid.shape, STEP, search)
    assert error(flow, motion, there).quantile(0.95) < case.error_px
    # what left the image has no value
    beyond = places(source.grid.shape)[1] + search.centre[0] - case.estimator.window_px // 4 >= source.grid.width
    assert flow.xy[:, beyond.expand(flow.reasons.shape)].isnan().all()


@every_estimator
def test_motion_of_many_pixels_is_found_where_the_search_is_wide(case):
    motion, search = (8.3, -9.4), Search((0, 0), (10, 10))
    source = moved_pair(motion, shape=(180, 220))
    flow = sparse(case, source, search)
    assert keeps_the_contract(flow)
    there = inside(case, source.grid.shape, STEP, Search((8, -9)))
    assert error(flow, motion, there).quantile(0.9) < case.error_px
