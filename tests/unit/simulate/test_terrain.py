"""Water runs downhill to the border, the sun lights what faces it, and patterns have the spectrum asked for."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.simulate.terrain import Sun, carve, fill, finer, fractal, light, steepest, upstream_area


def test_all_land_drains_to_the_border_after_filling():
    random = np.random.default_rng(0)
    filled = fill(random.random((20, 30)), 1e-3)
    receiver = steepest(filled)
    stuck = receiver.ravel() == np.arange(filled.size)
    border = np.ones(filled.shape, bool)
    border[1:-1, 1:-1] = False
    assert not (stuck & ~border.ravel()).any()
    area = upstream_area(receiver)
    assert area.ravel()[stuck].sum() == filled.size
    assert area.min() == 1


def test_filling_raises_pits_only():
    ground = np.pad(np.full((3, 3), 2.0), 1)
    ground[2, 2] = 0.5
    filled = fill(ground, 0.01)
    assert (filled >= ground).all()
    assert filled[2, 2] == pytest.approx(2.01)
    assert np.array_equal(filled != ground, np.arange(25).reshape(5, 5) == 12)


def test_upstream_area_of_a_slope_is_the_length_above():
    slope = np.tile(np.arange(9.0)[::-1, None], (1, 4))
    assert np.array_equal(upstream_area(steepest(slope)), np.tile(np.arange(1.0, 10.0)[:, None], (1, 4)))


def test_water_takes_the_steepest_way_also_across_corners():
    ground = np.full((3, 3), 5.0)
    ground[2, 0], ground[1, 0] = 0.0, 2.0
    assert steepest(ground)[1, 1] == 6  # 5 m over a diagonal beat 3 m over a side
    ground[1, 0] = 1.0
    assert steepest(ground)[1, 1] == 3


def test_valleys_join_into_few_large_streams():
    relief = carve((128, 160), 1500.0, 10.0, np.random.default_rng(0))
    assert relief.height.shape == relief.upstream.shape == (128, 160)
    assert relief.upstream.max() > 0.03 * relief.upstream.size
    assert np.median(relief.upstream) < 0.005 * relief.upstream.size
    assert relief.height.max() - relief.height.min() > 200


def test_slopes_toward_the_sun_are_brighter_and_walls_cast_shadows_away_from_it():
    rows, columns = np.mgrid[:64, :64].astype(float)
    evening = Sun(270.0, 30.0)
    assert light(2 * columns, evening, 10.0).mean() > 1.15  # rises to the east, so it looks west
    assert light(-2 * columns, evening, 10.0).mean() < 0.85
    assert light(2 * rows, Sun(0.0, 30.0), 10.0).mean() > 1.15  # rises to the south, so it looks north
    assert light(0 * rows, evening, 10.0).std() == 0
    wall = np.where(np.abs(columns - 20) < 2, 60.0, 0.0)
    lit = light(wall, evening, 10.0)
    assert lit[:, 26:28].mean() < 0.6 * lit[:, 10:14].mean()


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_a_fractal_has_the_power_law_asked_for_and_does_not_repeat_across_its_borders(power):
    fields = [fractal((200, 240), power, np.random.default_rng(seed)) for seed in range(6)]
    window = np.hanning(200)[:, None] * np.hanning(240)
    spectrum = np.mean([np.abs(np.fft.fft2(field * window)) ** 2 for field in fields], axis=0)
    frequency = np.hypot(np.fft.fftfreq(200)[:, None], np.fft.fftfreq(240))
    part = (frequency > 0.03) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[part]), np.log(spectrum[part]), 1)[0]
    assert slope == pytest.approx(-power, abs=0.15)
    assert all(field.std() == pytest.approx(1, abs=1e-3) for field in fields)
    across_border = np.mean([np.abs(field[0] - field[-1]).mean() for field in fields])
    neighbours = np.mean([np.abs(field[0] - field[1]).mean() for field in fields])
    assert across_border > (1.05 if power < 2 else 1.5) * neighbours


@pytest.mark.parametrize("density", [1, 2, 3, 4])
def test_finer_samples_of_a_plane_lie_on_it_and_pixels_keep_their_mean(density):
    rows, columns = np.mgrid[:6, :9].astype(np.float32)
    fine = finer(2 * rows - columns, density)
    assert fine.shape == (6 * density, 9 * density)
    at = (np.arange(9 * density) + 0.5) / density - 0.5
    down = (np.arange(6 * density) + 0.5) / density - 0.5
    wanted = 2 * down[:, None] - at
    inside = slice(density, -density)
    assert np.allclose(fine[inside, inside], wanted[inside, inside], atol=1e-5)
    means = fine.reshape(6, density, 9, density).mean((1, 3))
    assert np.allclose(means[1:-1, 1:-1], (2 * rows - columns)[1:-1, 1:-1], atol=1e-5)
