"""Fields continued to where they are not known."""

from __future__ import annotations

import torch

from terrashift.ops.extend import extended


def test_what_is_known_stays_and_the_rest_lies_between_its_ends():
    field = torch.randn(2, 2, 21, 34, generator=torch.Generator().manual_seed(1))
    known = torch.rand(2, 1, 21, 34, generator=torch.Generator().manual_seed(2)) < 0.2
    found = extended(field, known)
    assert torch.equal(found[known.expand_as(found)], field[known.expand_as(found)])
    for one, where, made in zip(field, known, found, strict=True):
        ends = one[:, where[0]]
        assert (made >= ends.amin(1)[:, None, None] - 1e-5).all()
        assert (made <= ends.amax(1)[:, None, None] + 1e-5).all()


def test_what_is_not_known_counts_for_nothing():
    field = torch.arange(48.0).reshape(1, 1, 6, 8)
    known = torch.zeros(1, 1, 6, 8, dtype=torch.bool)
    known[..., :3] = True
    other = torch.where(known, field, torch.nan)
    assert torch.equal(extended(field, known), extended(other, known))


def test_a_constant_goes_on_for_ever_and_a_slope_goes_on_flat():
    constant = torch.full((1, 2, 33, 50), 1.5)
    known = torch.zeros(1, 1, 33, 50, dtype=torch.bool)
    known[..., :7] = True
    assert torch.allclose(extended(constant, known), constant)
    slope = torch.arange(50.0).expand(1, 1, 33, 50)
    beyond = extended(slope, known)[..., 7:]
    assert beyond.min() > 2.0
    assert beyond.max() <= 6.0
    assert (extended(slope, known)[..., 7] - 5.0).abs().max() < 1.0


def test_rows_and_columns_are_alike():
    field = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    known = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(4)) < 0.3
    turned = extended(field.transpose(2, 3), known.transpose(2, 3)).transpose(2, 3)
    assert torch.allclose(extended(field, known), turned, atol=1e-6)


def test_nothing_known_gives_zero():
    assert not extended(torch.ones(1, 2, 5, 9), torch.zeros(1, 1, 5, 9, dtype=torch.bool)).any()
