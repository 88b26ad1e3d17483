"""Errors on simulated earthquakes, which must not slip beyond what was measured when these bounds were set."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from affine import Affine
from methods import METHODS, NETWORKS, VARIANTS, measure, source_of
from reference_cases import Case, Score, mean, score

from terrashift.core.grid import Grid
from terrashift.estimators.base import Search
from terrashift.simulate.pair import SimulatedPair, simulate_pair
from terrashift.simulate.rupture import Rupture, displacement
from terrashift.simulate.scene import procedural_ground

SIZE_PX = (136, 184)  # rows, columns
MARGIN_PX = 10  # of the scene around the grid: the motion, and the reach of the interpolation
SEEDS = (1, 2)
RUPTURE = Rupture(slip_m=20.0, depth_km=2.0, strike_deg=60.0)  # 2 px of 10 m
GRID = Grid(*SIZE_PX, Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32631")


class Bound(NamedTuple):
    """Largest mean error allowed, px, about 15 % above what was measured."""

    fault_px: float
    far_px: float


BOUNDS = {
    "frequency 32": Bound(0.620, 0.0841),  # measured 0.539, 0.0731
    "spatial 15x15 reg 0": Bound(0.710, 0.1386),  # measured 0.618, 0.1205
    "microflow": Bound(0.445, 0.0705),  # measured 0.384, 0.0612
    "spatial 9x9 reg 0.3": Bound(0.613, 0.0816),  # measured 0.533, 0.0709
    "geoflownet": Bound(0.743, 0.1700),  # measured 0.646, 0.1478
    "iterative": Bound(0.709, 0.1256),  # measured 0.617, 0.1092
    "cnn4l uni16": Bound(0.647, 0.1742),  # measured 0.563, 0.1514
    "cnn4l dis16": Bound(0.466, 0.1784),  # measured 0.406, 0.1551
}


def simulated(seed: int) -> SimulatedPair:
    """A landscape with crops changed between the dates, broken along a rough trace."""
    scene = procedural_ground(*(side + 2 * MARGIN_PX for side in SIZE_PX), seed)
    return simulate_pair(scene, GRID, displacement(GRID, RUPTURE, seed))


def judged(name: str, seed: int) -> Score:
    """Errors of one method on one pair, in pixels."""
    pair = simulated(seed)
    before, after = pair.before.pixels[0], pair.after.pixels[0]
    xy = measure((METHODS | VARIANTS)[name].estimator, source_of(before, after), Search()).flow.xy
    return score(Case("", before.numpy(), after.numpy(), pair.flow.numpy(), pair.trace.numpy()), xy.numpy())


def test_every_method_has_its_bounds():
    assert set(BOUNDS) == {*METHODS, *(name for name in NETWORKS if name in VARIANTS)}


def test_windows_that_learned_of_faults_are_sharper_than_those_that_did_not():
    """As published (Montagnon et al. 2024)."""
    cut, whole = (judged(f"cnn4l {kind}", SEEDS[0]).fault for kind in ("dis16", "uni16"))
    assert cut < 0.85 * whole


@pytest.mark.parametrize("name", BOUNDS)
def test_errors_on_simulated_earthquakes_stay_within_their_bounds(name):
    found, bound = mean([judged(name, seed) for seed in SEEDS]), BOUNDS[name]
    assert found.valid > 0.99
    assert found.fault < bound.fault_px
    assert found.far < bound.far_px


def test_the_truth_scores_no_error():
    pair = simulated(SEEDS[0])
    flow = pair.flow.numpy()
    found = score(
        Case("", flow[0], flow[0], flow, pair.trace.numpy()), flow + 0.25
    )  # an offset of the whole is forgiven
    assert max(found.fault, found.near, found.far) < 1e-6
    assert found.valid == found.border_valid == 1
