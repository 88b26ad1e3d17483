"""Profiles and surfaces have the roughness asked for, by a measure that knows nothing of how they were made."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.simulate.selfaffine import hurst_exponent, self_affine_profile, self_affine_surface


@pytest.mark.parametrize("hurst", [0.4, 0.6, 0.8])
def test_the_roughness_of_many_profiles_is_the_one_asked_for(hurst):
    found = [hurst_exponent(self_affine_profile(4096, hurst, np.random.default_rng(seed))) for seed in range(40)]
    assert np.mean(found) == pytest.approx(hurst, abs=0.05)
    assert np.std(found) < 0.1


def test_the_measure_of_roughness_knows_a_random_walk():
    found = [hurst_exponent(np.random.default_rng(seed).standard_normal(4096).cumsum()) for seed in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("points", [1000, 4096])
def test_a_profile_is_zero_at_its_ends_and_of_unit_variance(points):
    profile = self_affine_profile(points, 0.8, np.random.default_rng(3))
    assert profile.shape == (points,)
    assert profile[0] == pytest.approx(0, abs=1e-9)
    assert profile[-1] == pytest.approx(0, abs=1e-9)
    assert profile.std() == pytest.approx(1)


def test_a_surface_is_as_rough_along_its_rows_as_down_its_columns():
    surfaces = [self_affine_surface((512, 512), (1.0, 1.0), 0.7, np.random.default_rng(seed)) for seed in range(6)]
    rows = np.mean([hurst_exponent(row) for surface in surfaces for row in surface[::64]])
    columns = np.mean([hurst_exponent(column) for surface in surfaces for column in surface.T[::64]])
    assert rows == pytest.approx(0.7, abs=0.1)
    assert columns == pytest.approx(0.7, abs=0.1)


def test_a_surface_varies_with_distance_not_with_the_number_of_nodes():
    differences = []
    for seed in range(30):
        surface = self_affine_surface((64, 512), (4.0, 1.0), 0.7, np.random.default_rng(seed))
        differences.append((np.var(surface[:, 16:] - surface[:, :-16]), np.var(surface[4:] - surface[:-4])))
    along, down = np.mean(differences, 0)
    assert along == pytest.approx(down, rel=0.1)  # 16 units of length either way


def test_the_same_source_gives_the_same_and_another_another():
    one, two, three = (self_affine_profile(512, 0.8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.allclose(one, three)
