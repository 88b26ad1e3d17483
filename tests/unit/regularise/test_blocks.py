"""Fixed blocks, read by window."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from terrashift.core.field import Flow
from terrashift.errors import OptionError
from terrashift.regularise.blocks import ArrayFlow, regularise_block, regularise_tile, settle, typical_sigma
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv


def random_flow(rows: int, columns: int) -> Flow:
    generator = torch.Generator().manual_seed(1)
    xy = torch.randn(2, rows, columns, generator=generator)
    sigma = 0.1 + torch.rand(2, rows, columns, generator=generator)
    return Flow(xy, sigma, torch.ones(rows, columns), torch.zeros(rows, columns, dtype=torch.uint8))


@dataclass(frozen=True)
class Watched:
    """A source that remembers what was read."""

    flow: Flow
    windows: list[tuple[int, int, int, int]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        return ArrayFlow(self.flow).shape

    def read(self, rows: slice, columns: slice) -> Flow:
        self.windows.append((rows.start, rows.stop, columns.start, columns.stop))
        return ArrayFlow(self.flow).read(rows, columns)


def test_a_block_reads_itself_and_its_halo_inside_the_field_and_no_more():
    source = Watched(random_flow(100, 140))
    regulariser = Quadratic(reach=1, by_sigma=False)
    assert regulariser.halo == 10
    found = regularise_block(regulariser, source, (1, 2), side=40)
    assert found.xy.shape == (2, 40, 40)
    last = regularise_block(regulariser, source, (2, 3), side=40)
    assert last.score.shape == (20, 20)
    assert source.windows == [(30, 90, 70, 130), (70, 100, 110, 140)]


def test_without_regularisation_the_flow_comes_back():
    flow = random_flow(30, 50)
    found = regularise_tile(Off(), ArrayFlow(flow), (slice(0, 30), slice(16, 50)), side=16)
    for one, other in zip(found, flow, strict=True):
        assert torch.equal(one, other[..., :, 16:])


def test_a_tile_must_start_on_a_block():
    with pytest.raises(OptionError, match="multiple of 16"):
        regularise_tile(Tv(), ArrayFlow(random_flow(30, 50)), (slice(0, 30), slice(8, 24)), side=16)


def test_the_typical_standard_error_is_the_median_over_the_whole_field():
    flow = random_flow(30, 50)
    assert typical_sigma(ArrayFlow(flow)) == flow.sigma.median().item()
    flow.sigma[:, :20] = 5.0
    flow.reasons[:20] = 4
    assert typical_sigma(ArrayFlow(flow)) == flow.sigma[:, 20:].median().item()


def test_a_large_field_is_sampled_at_places_that_the_reading_does_not_decide():
    flow = random_flow(7, 2100)
    assert typical_sigma(ArrayFlow(flow)) == flow.sigma[:, ::3, ::3].median().item()


def test_a_field_that_knows_no_errors_has_no_typical_one():
    flow = random_flow(6, 7)
    source = ArrayFlow(flow._replace(sigma=torch.full_like(flow.sigma, torch.nan)))
    assert typical_sigma(source) is None
    assert settle(Tv(), source) == Tv()
    assert typical_sigma(ArrayFlow(random_flow(0, 0))) is None


def test_a_standard_error_that_was_given_is_kept():
    assert settle(Tv(sigma_px=0.3), ArrayFlow(random_flow(6, 7))).sigma_px == 0.3
