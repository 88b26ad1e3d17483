"""What a flow has to say to a regulariser."""

from __future__ import annotations

import torch

from terrashift.core.field import Flow
from terrashift.core.reasons import Reason
from terrashift.regularise.problem import LEAST, MOST, Problem, grown, median_sigma, relative_weight


def flow(shape: tuple[int, int] = (4, 5)) -> Flow:
    return Flow(torch.ones(2, *shape), torch.full((2, *shape), 0.2), torch.ones(shape), torch.zeros(shape).byte())


def test_weights_are_relative_bounded_and_one_where_nothing_is_known():
    sigma = torch.tensor([0.2, 0.4, 0.1, 0.0, 100.0, torch.nan]).expand(2, 1, 6)
    expected = torch.tensor([1.0, 0.25, 4.0, MOST, LEAST, 1.0]).expand(2, 1, 6)
    torch.testing.assert_close(relative_weight(sigma, 0.2), expected)


def test_the_typical_standard_error_is_that_of_vectors_that_stand():
    one = flow()
    xy, sigma = one.xy.clone(), one.sigma.clone()
    xy[:, :3], sigma[:, :3] = torch.nan, 9.0
    problem = Problem.of(one._replace(xy=xy, sigma=sigma), True, None, 0)
    torch.testing.assert_close(problem.data.weight[:, 3], torch.ones(2, 5))
    assert (problem.data.weight[:, :3] == 0).all()
    assert median_sigma(torch.full((3,), torch.nan)) is None


def test_a_given_standard_error_counts_as_one():
    problem = Problem.of(flow(), True, 0.1, 0)
    torch.testing.assert_close(problem.data.weight, torch.full((2, 4, 5), 0.25))


def test_a_vector_with_one_component_is_none():
    one = flow()
    one.xy[1, 2, 2] = torch.nan
    problem = Problem.of(one, True, None, 0)
    assert not problem.data.region[2, 2]
    assert problem.data.region.sum() == 19
    assert problem.answered(problem.data.value).xy[:, 2, 2].isnan().all()


def test_values_grow_to_their_sides_only_where_they_may():
    value, known = torch.zeros(2, 3, 5), torch.zeros(3, 5, dtype=torch.bool)
    value[0, 1, 0], known[1, 0] = 6.0, True
    value[0, 0, 1], known[0, 1] = 2.0, True
    allowed = torch.ones(3, 5, dtype=torch.bool)
    allowed[:, 3] = False
    found, region = grown(value, known, allowed, 1)
    assert region.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert found[0, 0].tolist()[:3] == [4.0, 2.0, 2.0]
    _, region = grown(value, known, allowed, 50)
    assert torch.equal(region, torch.tensor([[1, 1, 1, 0, 0]] * 3).bool())


def test_filled_vectors_have_no_reason_and_no_standard_error():
    one = flow()
    one.xy[:, 1:3, 1:3] = torch.nan
    one.reasons[1:3, 1:3] = int(Reason.NO_TEXTURE)
    one.reasons[1, 1] = int(Reason.NO_TEXTURE | Reason.NODATA)
    problem = Problem.of(one, True, None, 5)
    found = problem.answered(problem.data.value)
    assert found.xy.isnan().sum() == 2
    assert found.reasons.nonzero().tolist() == [[1, 1]]
    assert found.sigma[0].isnan().int().tolist() == [[0] * 5, [0, 0, 1, 0, 0], [0, 1, 1, 0, 0], [0] * 5]
