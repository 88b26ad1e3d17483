"""Pair k of a data set is the same in every version, and switches reach both kinds of pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.simulate.archive import Archive, View
from terrashift.simulate.draw import DrawOptions, describe, draw_pair
from terrashift.simulate.places import ArchivePlaces
from terrashift.simulate.radiometry import OFF

SHAPE = (130, 170)
SHIFTS = ((0.0, 0.0), (0.4, -0.3))


def seen(x: float, y: float) -> np.ndarray:
    """Waves that any machine computes alike; what lies at p is seen at p + (x, y)."""
    column, row = np.arange(SHAPE[1]) - x, np.arange(SHAPE[0])[:, None] - y
    waves = [np.cos(a * column + b * row + k) for k, (a, b) in enumerate([(0.9, 0.2), (-0.4, 0.7), (0.25, -0.3)])]
    return (1000 + 100 * sum(waves)).astype(np.float32)


@pytest.fixture
def source() -> ArchivePlaces:
    about = {"sensor": "S9", "licence": "CC0", "pixel_m": 10.0, "height": SHAPE[0], "width": SHAPE[1]}
    view = View("waves", "waves", "red", "train", dates=("2018", ""), shifts=SHIFTS, source="cosines", **about)
    return ArchivePlaces(Archive.of([(view, [seen(*shift) for shift in SHIFTS])]), {})


def test_a_pair_is_the_one_it_always_was(source):
    options = DrawOptions(size_px=64, largest="small", generator="closed-form", seed=3)
    drawn = draw_pair(source, options, 5)
    assert drawn.corner == (49, 37)
    assert drawn.pair.still == pytest.approx((-0.93928, 0.13899), abs=1e-4)
    assert float(drawn.ground_px.norm(dim=0).max()) == pytest.approx(1.16201, abs=1e-4)
    assert drawn.pair.flow.mean((1, 2)).tolist() == pytest.approx([-0.84292, 0.15876], abs=1e-4)


def test_a_description_knows_the_source_and_has_null_for_a_date_that_is_not_known(source):
    drawn = draw_pair(source, DrawOptions(size_px=64, largest="small", generator="closed-form"), 0)
    about = describe(drawn, 0)
    assert about["source"] == "cosines"
    assert sorted(about["dates"], key=str) == ["2018", None]
    assert about["offset_spread_px"] == [None, None]


def test_clouds_bring_their_shadows_unless_these_are_switched_off(source):
    place = source.place(np.random.default_rng(0), 64)
    assert DrawOptions().dates(place).two_dates == OFF
    assert DrawOptions(clouds=0.0).dates(place).two_dates == OFF
    assert DrawOptions(clouds=0.5).dates(place).two_dates.shadows == 0.8
    bare = DrawOptions(clouds=0.5, shadows=0.0).dates(place)
    assert (bare.two_dates.clouds, bare.two_dates.shadows, bare.one_date.shadows) == (0.5, 0.0, 0.0)


def test_clouds_without_shadows_brighten_the_pair_only(source):
    quiet = {"size_px": 64, "largest": "small", "generator": "closed-form", "seed": 1}
    plain, bare, shaded = (
        draw_pair(source, DrawOptions(**quiet, **more), 2).pair.after.pixels
        for more in ({}, {"clouds": 1.0, "shadows": 0.0}, {"clouds": 1.0})
    )
    assert torch.equal(bare.isfinite(), plain.isfinite())
    middle, deviation = 1000.0, float(plain.std())
    assert float((bare - plain).max()) > deviation
    assert float(bare.min()) >= min(float(plain.min()), middle) - 1e-2 * deviation
    assert float((bare - shaded).max()) > 0.3 * deviation
