"""Uniform strain comes back exactly, on any grid; a fault is not looked across; sigma is what the scatter shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.analyse.sight import Sight
from terrashift.analyse.strain import StrainOptions, strain
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import OptionError
from terrashift.simulate.trace import from_pixels, to_crs

UTM = "EPSG:32631"
GRIDS = {
    "north up": Affine(10, 0, 500_000, 0, -10, 4_000_000),
    "south up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine.translation(500_000, 4_000_000) @ Affine.rotation(25) @ Affine.scale(10, -10),
    "not square": Affine(20, 0, 500_000, 0, -10, 4_000_000),
}
EE, EN, NE, NN = 2e-3, -1e-3, 5e-4, 3e-3


def field_of(grid, east, north, sigma=math.nan):
    east, north = (torch.as_tensor(np.asarray(part, np.float32)) for part in (east, north))
    known = torch.full(grid.shape, sigma)
    return DisplacementField(
        east, north, known, known, torch.ones(grid.shape), torch.zeros(grid.shape, dtype=torch.uint8), grid
    )


def places(grid):
    """East and north of every cell from the middle of the grid, m."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return np.moveaxis(from_pixels(grid, np.stack([columns, rows], -1)), -1, 0)


def uniform(grid, **more):
    east, north = places(grid)
    return field_of(grid, 1 + EE * east + EN * north, NE * east + NN * north, **more)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("degree", [1, 2])
def test_uniform_strain_comes_back_on_every_grid_up_to_its_edges(name, degree):
    grid = Grid(26, 31, GRIDS[name], UTM)
    found = strain(uniform(grid), StrainOptions(degree=degree)).layers
    expected = {
        "strain_ee": EE,
        "strain_nn": NN,
        "strain_en": (EN + NE) / 2,
        "dilatation": EE + NN,
        "curl": NE - EN,
        "max_shear": math.hypot((EE - NN) / 2, (EN + NE) / 2),
    }
    for layer, value in expected.items():
        assert found[layer] == pytest.approx(np.full(grid.shape, value), abs=2e-5), layer
    assert np.isnan(found["sigma_curl"]).all()


def test_degrees_of_longitude_count_as_metres():
    grid = Grid(20, 24, Affine(1e-4, 0, 10, 0, -1e-4, 60), "EPSG:4326", geographic=True)
    east = places(grid)[0]
    found = strain(field_of(grid, EE * east, 0 * east)).layers
    assert found["strain_ee"] == pytest.approx(np.full(grid.shape, EE), rel=1e-3)


def test_finite_strain_of_a_turn_is_none_but_its_angle():
    grid = Grid(20, 24, GRIDS["north up"], UTM)
    east, north = places(grid)
    angle = math.radians(8)
    c, s = math.cos(angle), math.sin(angle)
    field = field_of(grid, c * east - s * north - east, s * east + c * north - north)
    found = strain(field, StrainOptions(kind="finite")).layers
    assert found["rotation"] == pytest.approx(np.full(grid.shape, angle), rel=1e-3)  # anticlockwise
    for layer in ("strain_ee", "strain_nn", "strain_en", "dilatation", "max_shear"):
        assert np.abs(found[layer]).max() < 2e-5
    small = strain(field).layers
    assert small["curl"] == pytest.approx(np.full(grid.shape, 2 * s), rel=1e-3)
    assert small["dilatation"].mean() == pytest.approx(2 * (c - 1), rel=1e-2)


def test_finite_strain_of_a_stretch_is_green_and_lagranges():
    grid = Grid(20, 24, GRIDS["north up"], UTM)
    found = strain(field_of(grid, 0.1 * places(grid)[0], np.zeros(grid.shape)), StrainOptions(kind="finite")).layers
    assert found["strain_ee"].mean() == pytest.approx((1.1**2 - 1) / 2, rel=1e-3)
    assert found["dilatation"].mean() == pytest.approx(0.1, rel=1e-3)
    assert found["max_shear"].mean() == pytest.approx((1.1**2 - 1) / 4, rel=1e-3)


def faulted(grid, slip=3.0):
    """Uniform strain and a step across the line from (8, -1) to (22, 41) in columns and rows."""
    east, north = places(grid)
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    line = np.array([[8.2, -1.0], [22.3, 41.0]])
    across = (columns - line[0, 0]) * (line[1, 1] - line[0, 1]) - (rows - line[0, 1]) * (line[1, 0] - line[0, 0])
    field = field_of(grid, EE * east + slip * (across > 0), NN * north)
    return field, np.stack(grid.transform @ tuple(line.T), 1)


@pytest.mark.parametrize("name", ["north up", "south up", "rotated"])
def test_a_step_at_a_given_trace_is_no_strain_unless_asked_for(name):
    grid = Grid(40, 33, GRIDS[name], UTM)
    field, trace = faulted(grid)
    found = strain(field, StrainOptions(), [trace]).layers
    assert np.isfinite(found["strain_ee"]).mean() > 0.98
    assert np.nanmax(np.abs(found["strain_ee"] - EE)) < 2e-5
    assert np.nanmax(np.abs(found["curl"])) < 2e-5
    across = strain(field, StrainOptions(across_trace=True), [trace]).layers
    assert np.array_equal(across["max_shear"], strain(field).layers["max_shear"])
    assert across["max_shear"].max() > 0.02


def test_a_trace_changes_nothing_where_it_is_out_of_sight():
    grid = Grid(40, 60, GRIDS["north up"], UTM)
    random = np.random.default_rng(0)
    field = field_of(grid, random.standard_normal(grid.shape), random.standard_normal(grid.shape), 1.0)
    trace = to_crs(grid, np.array([[-350.0, -250], [-350, 250]]))
    free, parted = strain(field).layers, strain(field, StrainOptions(), [trace]).layers
    for layer in free:
        assert np.allclose(free[layer][:, 30:], parted[layer][:, 30:], rtol=1e-4, atol=1e-7), layer


def test_cells_near_a_trace_that_hides_nothing_are_as_those_by_convolution():
    grid = Grid(30, 34, GRIDS["rotated"], UTM)
    random = np.random.default_rng(1)
    field = field_of(grid, random.standard_normal(grid.shape), random.standard_normal(grid.shape), 0.7)
    field.east[4, 5] = math.nan
    hair = np.array([[15.5, 15.6], [15.5, 15.9]])  # crosses no way between centres but its own
    trace = np.stack(grid.transform @ tuple(hair.T), 1)
    one, other = strain(field).layers, strain(field, StrainOptions(), [trace]).layers
    for layer in one:
        assert np.allclose(one[layer], other[layer], rtol=1e-4, atol=1e-6, equal_nan=True), layer


def test_sight_ends_at_a_trace_and_goes_round_its_tip_only_in_straight_lines():
    wall = np.array([[5.0, -1.0], [5.0, 5.0]])  # between columns 4 and 5, down to row 4
    sight = Sight.past((11, 11), [wall], 4, 4)
    seen = sight.from_cells(np.array([3]), np.array([4]))[0]  # rows -1 to 7, columns 0 to 8
    assert seen[:, :5].all()
    assert not seen[:6, 5:].any()
    assert not seen[6, 7]  # (5, 7): the straight way is crossed
    assert seen[8, 5]  # (7, 5) lies past the tip


@pytest.mark.parametrize(("degree", "kind"), [(1, "infinitesimal"), (2, "infinitesimal"), (1, "finite")])
def test_sigma_is_the_scatter_of_what_independent_errors_do(degree, kind):
    grid = Grid(90, 110, GRIDS["north up"], UTM)
    random, sigma = np.random.default_rng(2), 0.4
    east, north = places(grid)
    noise = sigma * random.standard_normal((2, *grid.shape))
    field = field_of(grid, EE * east + 4e-3 * north + noise[0], NN * north + noise[1], sigma)
    found = strain(field, StrainOptions(degree=degree, kind=kind, scale_m=25)).layers
    for layer in ("strain_ee", "strain_en", "dilatation", "curl" if kind == "infinitesimal" else "rotation"):
        inner = found[layer][10:-10, 10:-10]
        told = found[f"sigma_{layer}"][10:-10, 10:-10].mean()
        assert inner.std() == pytest.approx(told, rel=0.1), layer
    assert found["sigma_strain_ee"][0, 50] > found["sigma_strain_ee"][45, 50]
    wide = strain(field, StrainOptions(degree=degree, kind=kind, scale_m=25, correlation_cells=3)).layers
    assert wide["sigma_dilatation"][40, 40] == pytest.approx(3 * found["sigma_dilatation"][40, 40], rel=1e-5)


def test_nothing_comes_from_nothing():
    grid = Grid(30, 34, GRIDS["north up"], UTM)
    field = uniform(grid, sigma=0.1)
    field.east[10:14, 5:20] = math.nan
    field.sigma_north[25, 25] = math.nan
    found = strain(field).layers
    assert np.isnan(found["strain_ee"][10:14, 5:20]).all()
    assert np.isfinite(found["strain_ee"]).sum() == grid.height * grid.width - 60
    assert np.nanmax(np.abs(found["strain_nn"] - NN)) < 2e-5
    assert np.isnan(found["sigma_curl"][25, 20:30]).all()
    assert np.isfinite(found["sigma_curl"][5, 5])
    empty = field_of(grid, np.full(grid.shape, math.nan), np.full(grid.shape, math.nan))
    assert np.isnan(strain(empty).layers["max_shear"]).all()


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_a_scale_that_cannot_work_is_refused(scale):
    grid = Grid(20, 24, GRIDS["north up"], UTM)
    with pytest.raises(OptionError, match="--scale-m"):
        strain(uniform(grid), StrainOptions(scale_m=scale))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 2)])
def test_tiny_fields_give_nothing_or_what_they_hold_but_no_error(shape):
    grid = Grid(*shape, GRIDS["north up"], UTM)
    found = strain(uniform(grid)).layers["dilatation"]
    assert found.shape == shape
    assert np.nanmax(np.abs(np.nan_to_num(found, nan=EE + NN) - EE - NN)) < 1e-4
