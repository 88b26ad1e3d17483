"""A scene is the same for the same seed, changes between its dates as told, and has the texture of real images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.errors import OptionError
from terrashift.simulate.scene import SceneOptions, procedural_scene
from terrashift.simulate.terrain import Sun, fill, light, steepest, upstream_area


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@pytest.fixture(scope="module")
def scene():
    return procedural_scene(320, 352, seed=1)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(scene):
    again, other = procedural_scene(320, 352, seed=1), procedural_scene(320, 352, seed=2)
    assert torch.equal(scene.before, again.before)
    assert torch.equal(scene.after, again.after)
    assert abs(correlation(scene.before, other.before)) < 0.3


def test_pixels_are_reflectances_of_the_size_asked_for(scene):
    for image in scene:
        assert image.shape == (1, 320, 352)
        assert image.dtype == torch.float32
        assert image.min() > 0
        assert image.max() < 1.5
        assert 0.03 < image.median() < 0.3


def test_the_dates_look_alike_but_not_the_same(scene):
    assert 0.4 < correlation(scene.before, scene.after) < 0.95


def test_nothing_but_noise_changes_where_no_change_is_asked_for():
    still = {"changed_share": 0.0, "sun_before": (150.0, 50.0), "sun_after": (150.0, 50.0), "noise": 0.0}
    quiet = procedural_scene(200, 200, 3, SceneOptions(**still))
    busy = procedural_scene(200, 200, 3, SceneOptions(**still | {"changed_share": 0.9}))
    assert correlation(quiet.before, quiet.after) > correlation(busy.before, busy.after) + 0.05


def test_the_power_spectrum_falls_as_that_of_real_scenes(scene):
    image = scene.before[0, :320, :320].double().numpy()
    image = np.clip(image, *np.percentile(image, [0.5, 99.5]))
    window = np.hanning(320)
    power = np.abs(np.fft.fft2((image - image.mean()) * window[:, None] * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(320)[:, None], np.fft.fftfreq(320))
    rings = np.geomspace(0.02, 0.5, 15)
    ring = np.digitize(frequency, rings)
    mean = np.array([power[ring == k].mean() for k in range(1, 15)])
    slope = np.polyfit(np.log(rings[:-1] * rings[1:]) / 2, np.log(mean), 1)[0]
    assert -3.3 < slope < -1.8  # ten real crops of 10 to 30 m: -2.0 to -3.0


def test_clouds_cover_the_share_asked_for():
    clear, cloudy = (procedural_scene(200, 200, 5, SceneOptions(cloud_share=share)) for share in (0.0, 0.2))
    assert torch.equal(clear.before, cloudy.before)
    bright = (cloudy.after > 0.4).float().mean() - (clear.after > 0.4).float().mean()
    assert 0.1 < bright < 0.25


def test_even_the_smallest_scene_can_be_drawn_and_a_smaller_one_is_refused():
    assert procedural_scene(16, 40, 0).before.isfinite().all()
    with pytest.raises(OptionError, match="16 px a side"):
        procedural_scene(15, 40, 0)


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


def test_upstream_area_of_a_slope_is_the_length_above():
    slope = np.tile(np.arange(9.0)[::-1, None], (1, 4))
    assert np.array_equal(upstream_area(steepest(slope)), np.tile(np.arange(1.0, 10.0)[:, None], (1, 4)))


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
