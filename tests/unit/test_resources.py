"""What a run may use of the machine: sizes in memory, tiles at a time."""

from __future__ import annotations

import pytest
from affine import Affine
from tiny_estimator import Tiny

from terrashift.core.grid import Grid
from terrashift.errors import OptionError
from terrashift.estimators.base import Search
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv
from terrashift.resources import (
    RESERVE_BYTES,
    RunOptions,
    count_workers,
    parse_bytes,
    require_regularise_memory,
    resident_bytes,
)

GRID = Grid(64, 48, Affine.scale(10, -10), "EPSG:32631")
SEARCH = Search(radius=(2, 2))


@pytest.mark.parametrize(
    ("text", "size"),
    [("3GiB", 3 << 30), ("800MB", 800_000_000), ("2.5 g", 5 << 29), ("1024", 1024), ("1kib", 1024)],
)
def test_sizes_in_memory_are_read_with_their_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["lots", "3 XB", "-1GB", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="number and a unit"):
        parse_bytes(text)


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(OptionError, match=r"--max-memory 100MB is too little.*Give it \d+MiB or more"):
        count_workers(Tiny(), SEARCH, 64**2, RunOptions(max_memory="100MB"))


def test_more_memory_allows_more_threads_up_to_what_was_asked():
    class Big(Tiny):
        def memory(self, search):
            return 1 << 30

    few = count_workers(Big(), SEARCH, 256, RunOptions(max_memory="5GiB", threads=64))
    many = count_workers(Big(), SEARCH, 256, RunOptions(max_memory="20GiB", threads=64))
    assert 1 <= few <= 4
    assert few < many <= 19
    assert count_workers(Big(), SEARCH, 256, RunOptions(max_memory="20GiB", threads=2)) == 2


def test_the_tile_is_a_whole_number_of_blocks():
    assert RunOptions(tile_px=17).tile_side(Tiny(step_px=2), GRID) == 16
    assert RunOptions().tile_side(Tiny(), GRID) == 16
    assert RunOptions().tile_side(Tiny(), Grid(20000, 100, Affine.identity())) == 1024


def test_a_smoothing_that_will_not_fit_is_refused_with_what_it_needs():
    wide = 4000, 4000
    options = RunOptions(max_memory=f"{resident_bytes() + RESERVE_BYTES + (300 << 20)}B", tile_px=16)
    require_regularise_memory(Quadratic(), wide, options)
    with pytest.raises(OptionError, match=r"too little.*one tile (\d+) MiB.*a weaker --regularize"):
        require_regularise_memory(Tv(strength_px=5), wide, options)
    require_regularise_memory(Tv(strength_px=5), (64, 48), options)
    with pytest.raises(OptionError, match="a smaller --tile-px"):
        require_regularise_memory(Quadratic(), wide, options.model_copy(update={"tile_px": 2000}))
