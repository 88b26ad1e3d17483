"""A trace that was drawn in pieces is one line, in the CRS of its place."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.simulate.dates import NO_OFFSET
from terrashift.simulate.places import Place, trace_on


def place(crs: str | None, transform: Affine) -> Place:
    """Ground whose values count its pixels."""
    image = torch.arange(60 * 80.0).reshape(60, 80)
    grid = Grid(60, 80, transform, crs)

    def read(row: int, column: int, height: int, width: int) -> tuple[torch.Tensor, None]:
        return image[row : row + height, column : column + width], None

    return Place("etna", ("",), "S9", "CC0", grid, 10.0, NO_OFFSET, (0.0, 1.0), read)


PLAIN = place(None, Affine.identity())


def drawn(path, *lines: list[list[float]], **more):
    path.write_text(json.dumps({"type": "MultiLineString", "coordinates": lines} | more))
    return path


def test_pieces_that_meet_are_joined_and_others_stay_apart(tmp_path):
    file = drawn(tmp_path / "t.json", [[10, 10], [20, 15]], [[30, 15], [20, 15]], [[50, 40], [60, 45]])
    found = trace_on(file, PLAIN).lines
    assert [line.tolist() for line in found] == [[[10, 10], [20, 15], [30, 15]], [[50, 40], [60, 45]]]


def test_lines_far_from_the_place_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not lie on the image"):
        trace_on(drawn(tmp_path / "t.json", [[1000, 1000], [1010, 1020]]), PLAIN)


def test_a_trace_comes_in_the_crs_of_its_place(tmp_path):
    utm = place("EPSG:32631", Affine(10, 0, 500_000, 0, -10, 4_000_000))
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    (line,) = trace_on(drawn(tmp_path / "t.json", [[500_100, 3_999_900], [500_200, 3_999_800]], crs=crs), utm).lines
    assert np.allclose(line, [[500_100, 3_999_900], [500_200, 3_999_800]])


@pytest.mark.parametrize("transform", [Affine.identity(), Affine(2, 0, 100, 0, -3, 200)])
def test_looks_without_a_crs_count_from_their_own_first_pixel(transform):
    look = place(None, transform).look(10, 20, 8, 9)
    assert look.first.grid == Grid(8, 9, Affine.identity())
    assert look.second is None
    assert float(look.first.pixels[0, 0, 0]) == 10 * 80 + 20


def test_looks_with_a_crs_lie_on_the_ground():
    look = place("EPSG:32631", Affine(10, 0, 500_000, 0, -10, 4_000_000)).look(10, 20, 8, 9)
    assert look.first.grid == Grid(8, 9, Affine(10, 0, 500_200, 0, -10, 3_999_900), "EPSG:32631")
    assert math.isclose(look.first.grid.pixel_size[0], 10)
