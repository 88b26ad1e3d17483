"""Windows that move as a whole, and windows cut in two."""

import torch

from terrashift.ops.random import Random
from terrashift.simulate.windows import LARGER, draw_cut, draw_uniform

SIZES = (8, 9, 16, 17, 32)


def sides(flow: torch.Tensor) -> torch.Tensor:
    """True where a window moves as its centre does."""
    middle = flow.shape[-1] // 2
    return (flow == flow[:, :, middle, middle, None, None]).all(1)


def test_a_uniform_window_moves_as_one_by_any_vector_of_the_square():
    flow = draw_uniform(Random.of(1, range(4000)), 6, 5.0).flow
    assert sides(flow).all()
    first = flow[:, :, 0, 0]
    assert 4.99 < first.abs().max() <= 5.0
    assert first.mean(0).abs().max() < 0.15
    assert (first.std(0) - 10 / 12**0.5).abs().max() < 0.1
    assert abs(torch.corrcoef(first.T)[0, 1]) < 0.05


def test_the_centre_lies_in_the_larger_part_even_when_the_window_is_mirrored():
    for size in SIZES:
        flow = draw_cut(Random.of(2, range(1500)), size, 1.0).flow
        for seen in (flow, flow.flip(3), flow.flip(2), flow.flip(2, 3), flow.transpose(2, 3)):
            larger = sides(seen).flatten(1).sum(1)
            assert (larger >= LARGER * (size * size - larger)).all()


def test_the_far_part_takes_up_anything_from_a_corner_to_nearly_half():
    share = 1 - sides(draw_cut(Random.of(3, range(2000)), 32, 1.0).flow).flatten(1).float().mean(1)
    assert share.min() < 0.02
    assert 0.46 < share.max() < 1 / (1 + LARGER)
    assert abs(share.mean() - 0.245) < 0.015


def test_the_two_parts_move_by_themselves_within_the_bound():
    flow = draw_cut(Random.of(4, range(3000)), 16, 1.0).flow
    near, apart = flow[:, :, 8, 8], ~sides(flow)
    some = apart.flatten(1).any(1)
    place = apart[some].flatten(1).float().argmax(1)
    far = flow[some].flatten(2).gather(2, place[:, None, None].expand(-1, 2, 1))[:, :, 0]
    both = torch.cat([near[some], far], 1)
    assert some.float().mean() > 0.99
    assert 0.99 < both.abs().max() <= 1.0
    assert (both.std(0) - 2 / 12**0.5).abs().max() < 0.02
    assert (torch.corrcoef(both.T) - torch.eye(4)).abs().max() < 0.06


def test_the_parts_are_divided_by_a_straight_line_that_points_anywhere():
    far = ~sides(draw_cut(Random.of(5, range(90)), 32, 1.0).flow)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    angle = torch.arange(0, 2 * torch.pi, 0.01)
    across = angle.cos()[:, None, None] * x + angle.sin()[:, None, None] * y
    quadrants = set()
    for window in far[far.flatten(1).sum(1) > 20][:60]:
        toward = x[window].mean() - x[~window].mean(), y[window].mean() - y[~window].mean()
        quadrants.add(tuple(bool(v > 0) for v in toward))
        # sets of points on either side of a line lie one after the other along some direction
        gap = across[:, window].amin(1) - across[:, ~window].amax(1)
        assert gap.max() > -0.2
    assert len(quadrants) == 4


def test_a_window_amid_its_surroundings_is_cut_as_if_it_were_alone():
    alone, amid = (draw_cut(Random.of(8, range(500)), size, 1.0, 16) for size in (16, 32))
    assert torch.equal(amid.flow[..., 8:24, 8:24], alone.flow)
    assert (~sides(amid.flow)).flatten(1).any(1).float().mean() > 0.99


def test_the_trace_runs_along_the_line():
    drawn = draw_cut(Random.of(6, range(200)), 17, 1.0)
    near = sides(drawn.flow)
    beside = torch.zeros_like(near)
    for axis in (1, 2):
        change = near.diff(dim=axis)
        for end in (0, 1):
            beside.narrow(axis, end, change.shape[axis])[change] = True
    assert torch.equal(drawn.trace, beside)


def test_a_window_is_the_same_in_any_batch():
    together, alone = (draw_cut(Random.of(7, numbers), 16, 1.0) for numbers in (range(6), [4]))
    assert torch.equal(together.flow[4], alone.flow[0])
    assert torch.equal(together.trace[4], alone.trace[0])
