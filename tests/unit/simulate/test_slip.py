"""Slip dies at the edges that it must die at, is as rough as asked for, and as large as earthquakes of its length."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.simulate.selfaffine import hurst_exponent
from terrashift.simulate.slip import SlipOptions, likely_slip, slip_at, slip_on_patch

SMOOTH = {"variation": 0.0}


def patch(seed=0, **options):
    return slip_on_patch(30e3, 10e3, SlipOptions(**options), np.random.default_rng(seed))


@pytest.mark.parametrize("taper", ["ellipse", "box"])
def test_nothing_slips_at_the_tips_and_the_lower_edge_and_everything_above(taper):
    slip = patch(taper=taper, variation=0.6, shallow_deficit=0.6)
    assert not slip[:, 0].any()
    assert not slip[:, -1].any()
    assert not slip[-1].any()
    assert (slip[:-1, 1:-1] > 0).all()
    assert slip.max() == 1


def test_smooth_slip_is_an_ellipse_or_flat_but_for_its_edges():
    along = np.linspace(-1, 1, patch(**SMOOTH).shape[1])
    assert np.allclose(patch(**SMOOTH)[0], np.sqrt(1 - along**2))
    flat = patch(taper="box", **SMOOTH)
    assert np.allclose(flat[:52, 104:-104], 1)
    assert (np.diff(flat[0, :100]) > 0).all()


def test_the_share_missing_at_the_surface_is_the_one_asked_for():
    slip = patch(taper="box", shallow_deficit=0.4, **SMOOTH)
    middle = slip[:, slip.shape[1] // 2]
    assert middle[0] == pytest.approx(0.6)
    assert middle[len(middle) // 2] == pytest.approx(1)
    assert (np.diff(middle[: len(middle) // 3]) > 0).all()


def test_the_factor_is_as_rough_and_as_strong_as_asked_for():
    rough, spread = [], []
    for seed in range(20):
        middle = slice(110, -110)
        factor = (patch(seed, taper="box", variation=0.1) / patch(seed, taper="box", **SMOOTH).clip(1e-9))[:50, middle]
        rough += [hurst_exponent(row) for row in factor[::10]]
        spread.append(np.std(factor / factor.mean()))
    assert np.mean(rough) == pytest.approx(0.7, abs=0.1)
    assert np.mean(spread) == pytest.approx(0.1, rel=0.3)


def test_slip_is_looked_up_between_nodes():
    field = np.array([[0.0, 2.0, 4.0], [0.0, 4.0, 0.0]])
    assert slip_at(field, np.array([0.0, 0.25, 0.5, 1.0]), 0.0) == pytest.approx([0, 1, 2, 4])
    assert slip_at(field, np.array([0.25, 0.5, 1.0]), 0.5) == pytest.approx([1.5, 3, 2])
    assert slip_at(field, np.array([0.5]), 1.0) == pytest.approx([4])


def test_the_largest_slip_of_many_ruptures_is_that_of_wells_and_coppersmith():
    random = np.random.default_rng(0)
    for length_km, expected in ((10.0, 0.295), (40.0, 1.474), (100.0, 4.266)):  # 10^(-1.69 + 1.16 log10 L)
        drawn = np.log10([likely_slip(1000 * length_km, random) for _ in range(2000)])
        assert 10 ** np.median(drawn) == pytest.approx(expected, rel=0.1)
        assert np.std(drawn) == pytest.approx(0.34, rel=0.1)
