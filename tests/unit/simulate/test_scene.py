"""A scene is the same for the same seed, changes between its dates as told, and has the texture of real images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terrashift.errors import OptionError
from terrashift.simulate.scene import KINDS, SceneOptions, procedural_ground, procedural_scene, unmoved
from terrashift.simulate.statistics import likeness, texture

QUIET = {"noise": 0.0, "shot": 0.0}
# 5 and 95 % of the training crops, as `python benchmarks/scene_statistics.py FOLDER` prints them
REAL = {
    "slope": (-2.72, -1.40),
    "length_px": (2.46, 52.8),
    "variation": (0.085, 0.454),
    "kurtosis": (1.34, 190.0),
    "likeness": (0.26, 0.92),
}


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@pytest.fixture(scope="module")
def scene():
    return procedural_scene(160, 192, seed=1)


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(scene):
    again, other = procedural_scene(160, 192, seed=1), procedural_scene(160, 192, seed=2)
    assert torch.equal(scene.before, again.before)
    assert torch.equal(scene.after, again.after)
    assert abs(correlation(scene.before, other.before)) < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_reflectances_of_the_size_asked_for(kind):
    for image in procedural_scene(96, 130, 4, SceneOptions(kind=kind)):
        assert image.shape == (1, 96, 130)
        assert image.dtype == torch.float32
        assert image.min() > 0
        assert image.max() < 1.0
        assert 0.05 < image.median() < 0.4


def test_a_scene_is_what_the_sensor_sees_of_its_ground(scene):
    ground = procedural_ground(160, 192, seed=1)
    assert ground.shape == (160, 192)
    assert ground.before.dtype == torch.float32
    assert torch.equal(unmoved(ground).before, scene.before)
    light = ground.before.reshape(160, 2, 192, 2).mean((1, 3))
    assert correlation(light, scene.before) > 0.95


def test_the_ground_has_detail_that_the_pixels_do_not_resolve():
    light = procedural_ground(128, 128, 0).before.double().numpy()
    power = np.abs(np.fft.rfft2((light - light.mean()) * np.hanning(256)[:, None] * np.hanning(256))) ** 2
    frequency = np.hypot(np.fft.fftfreq(256, 0.5)[:, None], np.fft.rfftfreq(256, 0.5))
    lost, resolved = (power[(frequency > low) & (frequency < high)].mean() for low, high in ((0.5, 0.9), (0.2, 0.5)))
    assert 0.02 < lost / resolved < 0.6


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind in KINDS for seed in (0, 1, 2)])
def test_texture_and_change_lie_within_the_range_of_real_crops(kind, seed):
    before, after = (image[0].numpy() for image in procedural_scene(256, 256, seed, SceneOptions(kind=kind)))
    found = texture(before)._asdict() | {"likeness": likeness(before, after)}
    outside = {name: value for name, value in found.items() if not REAL[name][0] <= value <= REAL[name][1]}
    assert not outside


def test_kinds_differ_and_any_draws_them_by_the_seed():
    drawn = {kind: procedural_scene(64, 64, 3, SceneOptions(kind=kind)).before for kind in KINDS}
    for kind, image in drawn.items():
        assert all(not torch.equal(image, other) for name, other in drawn.items() if name != kind)
    assert drawn["desert"].mean() > 1.3 * drawn["mountains"].mean()
    kinds = set()
    for seed in range(4):
        image = procedural_scene(24, 24, seed, SceneOptions(kind="any")).before
        same = [kind for kind in KINDS if torch.equal(image, small(seed, kind))]
        assert len(same) == 1
        kinds.update(same)
    assert len(kinds) >= 2


def small(seed: int, kind: str) -> torch.Tensor:
    return procedural_scene(24, 24, seed, SceneOptions(kind=kind)).before


def test_what_is_not_asked_to_change_stays_but_for_weather_and_wear():
    still = {"kind": "farmland", "changed_share": 0.0, "sun_before": (150.0, 50.0), "sun_after": (150.0, 50.0)} | QUIET
    quiet = procedural_scene(200, 200, 3, SceneOptions(**still))
    busy = procedural_scene(200, 200, 3, SceneOptions(**still | {"changed_share": 0.9}))
    assert torch.equal(quiet.before, busy.before)
    assert correlation(quiet.before, quiet.after) > 0.85
    assert correlation(busy.before, busy.after) < correlation(quiet.before, quiet.after) - 0.2


def test_shadows_turn_with_the_sun():
    suns = {"changed_share": 0.0, "sun_before": (110.0, 35.0), "kind": "mountains"} | QUIET
    same = procedural_scene(160, 160, 2, SceneOptions(**suns, sun_after=(110.0, 35.0)))
    other = procedural_scene(160, 160, 2, SceneOptions(**suns, sun_after=(250.0, 35.0)))
    assert correlation(other.before, other.after) < correlation(same.before, same.after) - 0.1


def test_a_blurrier_sensor_sees_less_detail_of_the_same_ground():
    sharp, soft = (procedural_scene(128, 128, 0, SceneOptions(psf_px=psf, **QUIET)).before for psf in (0.4, 1.0))
    assert soft.diff(dim=2).std() < 0.7 * sharp.diff(dim=2).std()
    assert soft.mean() == pytest.approx(float(sharp.mean()), rel=1e-3)


def test_clouds_cover_the_share_asked_for():
    clear, cloudy = (procedural_scene(200, 200, 5, SceneOptions(cloud_share=share)) for share in (0.0, 0.2))
    assert torch.equal(clear.before, cloudy.before)
    bright = (cloudy.after > 0.4).float().mean() - (clear.after > 0.4).float().mean()
    darker = (cloudy.after < 0.75 * clear.after).float().mean()
    assert 0.1 < bright < 0.25
    assert 0.05 < darker < 0.3  # their shadows


def test_even_the_smallest_scene_can_be_drawn_and_a_smaller_one_is_refused():
    for kind in KINDS:
        assert procedural_scene(16, 40, 0, SceneOptions(kind=kind)).before.isfinite().all()
    with pytest.raises(OptionError, match="16 px a side"):
        procedural_scene(15, 40, 0)


def test_flat_ground_without_relief_can_be_drawn():
    assert procedural_scene(48, 48, 0, SceneOptions(relief_m=0.0)).before.isfinite().all()
