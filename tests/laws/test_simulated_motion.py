"""Motion given to simulated ground is found again: what the ground does, all that the sensor sees does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from affine import Affine
from every_estimator import pair_of_arrays

from terrashift.core.grid import Grid
from terrashift.estimators.base import Search
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.frequency import Frequency
from terrashift.simulate.displacement import Displacement
from terrashift.simulate.pair import SimulatedPair, simulate_pair
from terrashift.simulate.scene import Ground, SceneOptions, procedural_ground
from terrashift.simulate.sensor import Sensor

SIDE_PX = 140
MARGIN_PX = 4
SHARP = SceneOptions()
SMOOTH = SceneOptions(psf_px=0.85, noise=0.0, shot=0.0)  # passes a fiftieth of the contrast at 0.5 cycles per pixel


def moved(ground: Ground, motion_px: tuple[float, float]) -> SimulatedPair:
    """Both images of ground that moved as a whole, on a grid without a CRS: a pixel is a metre, north is up."""
    grid = Grid(ground.shape[0] - 2 * MARGIN_PX, ground.shape[1] - 2 * MARGIN_PX, Affine.identity())
    flow = [torch.full(grid.shape, part) for part in motion_px]
    east, north = grid.to_metres(torch.stack(flow))
    unbroken = torch.zeros(grid.shape, dtype=torch.bool)
    return simulate_pair(ground, grid, Displacement(east, north, 0 * east, unbroken, (), ()))


def gain(options: SceneOptions, motion_px: float, seed: int) -> torch.Tensor:
    """Share of the motion that equal weights for all frequencies find, along x and y."""
    side = SIDE_PX + 2 * MARGIN_PX
    ground = procedural_ground(side, side, seed, options)
    ground = replace(ground, after=ground.before)  # what changed would move the answer too
    pair = moved(ground, (motion_px, -motion_px))
    source = pair_of_arrays(pair.before.pixels[0], pair.after.pixels[0])
    found = measure_whole(Frequency(step_px=8), source, Search()).xy.flatten(1).nanmedian(1).values
    return found / torch.tensor([motion_px, -motion_px])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("motion_px", [0.25, -0.25])
def test_the_phase_of_all_frequencies_finds_the_motion_of_ground_that_the_sensor_resolves(motion_px, seed):
    found = gain(SMOOTH, motion_px, seed)
    assert found.min() > 0.985  # measured 0.9885 to 0.991: edges of the windows
    assert found.max() < 1.005


def test_false_detail_of_a_sharp_sensor_pulls_toward_whole_pixels():
    assert 0.88 < gain(SHARP, 0.25, 0).min() < gain(SHARP, 0.25, 0).max() < 0.97  # measured 0.92
    assert (gain(SHARP, 1.0, 0) - 1).abs().max() < 0.01


@pytest.mark.parametrize("turn_deg", [0, 30, 90])
@pytest.mark.parametrize("frequency", [0.05, 0.25, 0.4, 0.49, 0.6, 0.8])
def test_every_wave_moves_by_the_truth_also_one_finer_than_the_pixels(frequency, turn_deg):
    density, shape, motion = 2, (48, 60), (0.3, -0.45)
    along = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    row = (np.arange(shape[0] * density)[:, None] + 0.5) / density - 0.5
    column = (np.arange(shape[1] * density) + 0.5) / density - 0.5
    phase = 2 * math.pi * frequency * (along[0] * column + along[1] * row)
    light = torch.from_numpy((0.3 + 0.2 * np.sin(phase)).astype(np.float32))
    sensor = Sensor(noise=0.0, shot=0.0)
    pair = moved(Ground(light, light, density, sensor, 0), motion)
    contrast = math.prod(sensor.contrast(frequency * abs(part), density) for part in along)
    passed = phase[::2, ::2] + 2 * math.pi * frequency * sum(0.25 * part for part in along)  # at the centres of pixels
    shift = 2 * math.pi * frequency * (along[0] * motion[0] + along[1] * motion[1])
    inside = slice(MARGIN_PX, -MARGIN_PX)
    clear = slice(4, -4)  # what is mirrored at the border is no longer one wave
    for image, expected in ((pair.before, passed + shift), (pair.after, passed)):
        wanted = 0.3 + 0.2 * contrast * np.sin(expected[inside, inside])
        error = np.abs(image.pixels[0].numpy() - wanted)[clear, clear].max() / 0.2
        # what the sensor resolves lies right to 0.001 px; of what it does not, a few thousandths of the light go astray
        assert error < (2e-3 * math.pi * frequency * contrast if frequency < 0.5 else 0.004)
