"""Ground that moved by an exactly known fraction of a pixel comes back without bias, on made-up and on real crops."""

from __future__ import annotations

import pytest
import torch
from affine import Affine
from methods import METHODS, measure, source_of, stepped

from terrashift.core.field import DisplacementField
from terrashift.estimators.base import Estimator, Search
from terrashift.evaluate.known_shift import periodic_component
from terrashift.io.raster import ReadOptions, open_raster
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.scene import procedural_scene

BAR_PX = {"frequency 32": 0.01, "spatial 15x15 reg 0": 0.01, "spatial 9x9 reg 0.3": 0.01, "microflow": 0.03}
"""Largest bias allowed; a network learned its fractions, and knows them less well than a spectrum does."""
CROP_PX = (120, 180)  # not square
SHIFTS_PX = [(0.1, 0.0), (0.3, 0.0), (0.5, 0.0), (0.7, 0.0), (0.0, 0.1), (0.0, 0.3), (0.0, 0.5), (0.0, 0.7)]
FEWER_PX = [(0.1, 0.0), (0.3, -0.2), (0.0, 0.5), (0.7, 0.0), (0.0, 0.7)]
REAL = [("train/milano/milano_date1.tif", "red"), ("train/single_date/landsat8_pan_15m_a.tif", "pan")]

every_method = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(scope="module")
def ground() -> torch.Tensor:
    return periodic_component(procedural_scene(*CROP_PX, seed=11).before[0])


def read_crop(path, band: str) -> torch.Tensor:
    """The middle of a scene, made periodic."""
    raster = open_raster(str(path), ReadOptions(band=band))
    row, column = ((full - part) // 2 for full, part in zip(raster.grid.shape, CROP_PX, strict=True))
    return periodic_component(raster.read(row, column, *CROP_PX))


def biases(estimator: Estimator, ground: torch.Tensor, shifts: list[tuple[float, float]]) -> torch.Tensor:
    """Median less truth for each shift, px, over the windows that lie inside both images."""
    search = Search()
    margin = -(-(estimator.window_px // 2 + max(search.radius) + 4) // estimator.step_px)
    found = [
        measure(estimator, source_of(ground, fourier_shift(ground, xy)), search)
        .flow.xy[:, margin:-margin, margin:-margin]
        .flatten(1)
        .nanmedian(1)
        .values
        for xy in shifts
    ]
    return torch.stack(found) - torch.tensor(shifts)


def estimator(name: str):
    return stepped(METHODS[name].estimator, 3)


@every_method
def test_a_made_up_crop_comes_back_without_bias(name, ground):
    found = biases(estimator(name), ground, SHIFTS_PX)
    assert found.abs().max() < BAR_PX[name], found


@pytest.mark.imagery
@every_method
@pytest.mark.parametrize(("path", "band"), REAL)
def test_a_real_crop_comes_back_without_bias(name, path, band, imagery):
    if not (imagery / path).exists():
        pytest.skip(f"{path} is not among the imagery")
    found = biases(estimator(name), read_crop(imagery / path, band), FEWER_PX)
    assert found.abs().max() < BAR_PX[name], found


@every_method
def test_a_rotated_grid_of_oblong_pixels_gives_the_metres_that_the_ground_moved(name, ground):
    xy = 0.3, -0.7
    transform = Affine.translation(5e5, 4e6) @ Affine.rotation(25) @ Affine.scale(10, -15)
    source = source_of(ground, fourier_shift(ground, xy), transform)
    one = estimator(name)
    field = DisplacementField.from_flow(measure(one, source, Search()).flow, source.grid, one.step_px)
    here, there = transform @ (90.5, 60.5), transform @ (90.5 + xy[0], 60.5 + xy[1])
    assert field.grid.unit == "m"
    assert field.east.nanmedian().item() == pytest.approx(there[0] - here[0], abs=BAR_PX[name] * 15)
    assert field.north.nanmedian().item() == pytest.approx(there[1] - here[1], abs=BAR_PX[name] * 15)
