"""The page says what numpy says, from whole fields and from blocks."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift import report
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.core.reasons import Reason
from terrashift.errors import InputError
from terrashift.report import Accumulator, Spread, render, summarise

MADE_BY = {"METHOD": "frequency", "BEFORE": "a.tif", "BEFORE_DATE": "2016-10-20T10:00:00", "AFTER": "b.tif"}


def a_field(height=61, width=47, missing=0.2, crs="EPSG:32633"):
    grid = Grid(height, width, Affine(20, 0, 5e5, 0, -20, 4e6), crs)
    random = torch.Generator().manual_seed(0)
    east, north = (torch.randn(grid.shape, generator=random) for _ in range(2))
    draw = torch.rand(grid.shape, generator=random)
    reasons = torch.zeros(grid.shape, dtype=torch.uint8)
    reasons[draw < missing] |= int(Reason.LOW_SCORE)
    reasons[draw < missing / 2] |= int(Reason.INCONSISTENT)
    reasons[:3] = int(Reason.EDGE)
    east[reasons > 0] = north[reasons > 0] = math.nan
    nothing = torch.full(grid.shape, math.nan)
    return DisplacementField(
        east + 0.5, 2 * north, nothing, nothing, torch.rand(grid.shape, generator=random), reasons, grid, MADE_BY
    )


def numpy_spread(values):
    median = np.median(values)
    nmad = 1.4826 * np.median(np.abs(values - median))
    return Spread(median, nmad, *np.percentile(values, [2, 98]), values.max())


def text_of(summary, width=100):
    from rich.console import Console

    console = Console(width=width, file=io.StringIO())
    console.print(render(summary))
    return console.file.getvalue()


def test_spreads_are_those_of_numpy_over_valid_cells():
    field = a_field()
    summary, valid = summarise(field), field.reasons.numpy() == 0
    east, north = field.east.numpy()[valid].astype(float), field.north.numpy()[valid].astype(float)
    assert summary.east == pytest.approx(numpy_spread(east), abs=1e-6)
    assert summary.north == pytest.approx(numpy_spread(north), abs=1e-6)
    assert summary.magnitude == pytest.approx(numpy_spread(np.hypot(east, north)), abs=1e-6)
    assert summary.score_median == pytest.approx(np.median(field.score.numpy()[valid]))


def test_counts_are_exact_and_a_cell_may_have_several_reasons():
    field = a_field()
    summary, reasons = summarise(field), field.reasons.numpy()
    assert (summary.cells, summary.valid) == (reasons.size, (reasons == 0).sum())
    assert summary.valid_share == pytest.approx((reasons == 0).mean())
    found = {cause.name: cause for cause in summary.causes}
    assert set(found) == {"LOW_SCORE", "INCONSISTENT", "EDGE"}
    for reason in (Reason.LOW_SCORE, Reason.INCONSISTENT, Reason.EDGE):
        cause = found[reason.name]
        assert cause.cells == (reasons & int(reason) > 0).sum()
        assert cause.share == pytest.approx(cause.cells / reasons.size)
        assert (cause.meaning, cause.advice) == (reason.meaning, reason.advice)
    assert [c.cells for c in summary.causes] == sorted((c.cells for c in summary.causes), reverse=True)
    assert sum(cause.cells for cause in summary.causes) > summary.cells - summary.valid


def test_blocks_give_the_same_as_the_whole():
    field = a_field()
    accumulator, bands = Accumulator(field.grid), field.stack()
    for top in range(0, 61, 20):
        for left in range(0, 47, 30):
            accumulator.add(bands[:, top : top + 20, left : left + 30])
    assert accumulator.summary(field.made_by) == summarise(field)


def test_more_cells_than_are_kept_leave_counts_exact_and_quantiles_close(monkeypatch):
    monkeypatch.setattr(report, "KEPT_CELLS", 4000)
    monkeypatch.setattr(report, "ROWS_AT_A_TIME", 64)
    field = a_field(400, 300)
    field.east[:] = torch.sort(field.east.flatten()).values.reshape(400, 300)  # neighbours alike, as on the ground
    field.north[:] = torch.where(field.east.isnan(), torch.nan, field.north.nan_to_num())
    field.reasons[:] = field.east.isnan() * 4
    summary = summarise(field)
    east = field.east.numpy()[np.isfinite(field.east.numpy())].astype(float)
    exact = numpy_spread(east)
    assert summary.sampled == 4000
    assert summary.valid == east.size
    assert summary.east.max == pytest.approx(exact.max)
    assert summary.east.median == pytest.approx(exact.median, abs=0.08)  # four standard errors
    assert summary.east.nmad == pytest.approx(exact.nmad, abs=0.1)
    assert summary.east.high == pytest.approx(exact.high, abs=0.25)
    assert summarise(field) == summary
    assert "4,000 cells chosen at random" in text_of(summary)


def test_cells_that_no_block_ever_brought_values_count_as_nodata():
    accumulator = Accumulator(Grid(4, 5, Affine.identity()))
    accumulator.add(torch.full((6, 4, 5), math.nan))
    summary = accumulator.summary()
    assert (summary.cells, summary.valid) == (20, 0)
    assert [(cause.name, cause.cells) for cause in summary.causes] == [("NODATA", 20)]
    assert (summary.east, summary.magnitude, summary.score_median) == (None, None, None)
    assert json.loads(summary.to_json())["east"] is None
    assert "No cell has a value" in text_of(summary)
    assert "too much nodata" in text_of(summary)


def test_json_holds_every_number():
    field = a_field()
    summary = summarise(field, {"seconds": 2.5})
    content = json.loads(summary.to_json())
    assert content["east"] == summary.east._asdict()
    assert content["causes"][0] == summary.causes[0]._asdict()
    assert content["valid_share"] == summary.valid_share
    assert content["cell_size"] == [20.0, 20.0]
    assert content["made_by"] == MADE_BY
    assert content["extra"] == {"seconds": 2.5}


@pytest.mark.parametrize("width", [80, 100])
def test_the_page_names_inputs_numbers_and_remedies(width):
    summary = summarise(a_field(), {"time taken": "3 s"})
    text = text_of(summary, width)
    for part in ("a.tif (2016-10-20)", "b.tif", "frequency", "61 x 47", "20 m", "3 s", f"{summary.north.nmad:.3f}"):
        assert part in text
    assert "Displacement (m;" in text
    assert "--min-score" in text
    assert "reaches past the image edge" in text or width < 100
    assert max(len(line) for line in text.splitlines()) <= width


def test_lengths_are_pixels_where_there_is_no_crs():
    summary = summarise(a_field(crs=None))
    assert summary.unit == "px"
    assert "Displacement (px;" in text_of(summary)


def test_a_field_without_cells_is_refused():
    grid = Grid(0, 5, Affine.identity())
    empty = torch.zeros(0, 5)
    with pytest.raises(InputError, match="no cells"):
        summarise(DisplacementField(empty, empty, empty, empty, empty, empty.to(torch.uint8), grid))
