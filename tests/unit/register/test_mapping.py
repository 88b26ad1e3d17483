"""Maps: where a pixel of the reference lies in the moving image."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform as by_proj

from terrashift.core.grid import Grid
from terrashift.errors import GridMismatchError, InputError
from terrashift.register.mapping import Lattice, Linear, Mapping, Polynomial, Sum, between_grids, terms
from terrashift.register.overlap import Names, georeferenced_map, overlap_share, refuse_apart

PLACES = np.array([[0.0, 10.0, 120.5, 240.0], [0.0, 7.0, 99.25, 200.0]])


def utm(transform: Affine, height: int = 210, width: int = 250, zone: int = 31) -> Grid:
    return Grid(height, width, transform, f"EPSG:326{zone}")


@pytest.mark.parametrize(
    ("moving", "expected"),
    [
        # the first centre of the reference is at (5, -5) m from its corner
        (Affine(10, 0, 0, 0, -10, 0), lambda x, y: (x, y)),
        (Affine(10, 0, 20, 0, -10, -30), lambda x, y: (x - 2, y - 3)),
        # centre-aligned: its corner is half a pixel up and left, so the same ground is half a pixel further on
        (Affine(10, 0, -5, 0, -10, 5), lambda x, y: (x + 0.5, y + 0.5)),
        # twice as coarse: two pixels of the reference share one
        (Affine(20, 0, 0, 0, -20, 0), lambda x, y: ((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5)),
        # south-up
        (Affine(10, 0, 0, 0, 10, -2000), lambda x, y: (x, 199 - y)),
        # turned by a quarter: its columns run to the south, its rows to the west
        (Affine(0, -10, 2500, -10, 0, 0), lambda x, y: (y, 249 - x)),
    ],
)
def test_geotransforms_are_compared_by_pixel_centres(moving, expected):
    at = between_grids(utm(Affine(10, 0, 0, 0, -10, 0)), utm(moving))(PLACES)
    np.testing.assert_allclose(at, np.stack(expected(*PLACES)), atol=1e-9)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", Affine(12, 0, 60_000, 0, -12, 4_020_000)),
        ("EPSG:4326", Affine(1e-4, 0, 3.0, 0, -1e-4, 36.2)),
        ("EPSG:3857", Affine(12, 3, 330_000, 2, -12, 4_320_000)),
    ],
)
def test_a_change_of_crs_is_that_of_proj_to_a_thousandth_of_a_pixel(crs, transform):
    reference = utm(Affine(10, 1, 500_000, 1, -10, 4_000_000), 900, 1300)
    moving = Grid(800, 900, transform, crs, geographic=crs == "EPSG:4326")
    random = np.random.default_rng(0)
    places = random.uniform(-0.5, [[1299.5], [899.5]], (2, 500))
    east, north = np.array([reference.transform @ (x + 0.5, y + 0.5) for x, y in places.T]).T
    x, y = by_proj("EPSG:32631", crs, east, north)
    exact = np.array([~transform @ pair for pair in zip(x, y, strict=True)]).T - 0.5
    assert np.abs(georeferenced_map(reference, moving)(places) - exact).max() < 1e-3


def test_what_was_measured_on_the_mapped_image_goes_before_all_else():
    """The ground at p is seen at p + d in the mapped image, so at map(p + d) in the moving one."""
    start = Mapping((Linear(Affine(2, 0.1, 5, -0.2, 2, 3)),))
    shift = Polynomial(np.array([[1.5], [-0.5]]), 0, (0.0, 0.0), 1.0)
    np.testing.assert_allclose(start.after(shift)(PLACES), start(PLACES + np.array([[1.5], [-0.5]])))


def test_a_dense_flow_is_a_step_like_any_other():
    flow = np.stack([np.full((20, 30), 2.0), np.arange(30.0) * np.ones((20, 1))])
    at = Mapping().after(Lattice.of_flow(flow))(np.array([[3.0, 3.5], [4.0, 9.0]]))
    np.testing.assert_allclose(at, [[5.0, 5.5], [7.0, 12.5]])


def test_a_flow_with_a_step_stands_where_it_was_measured():
    flow = np.stack([np.arange(5.0) * np.ones((4, 1)), np.zeros((4, 5))])  # pixels 2, 6, 10, 14, 18
    at = Lattice.of_flow(flow, 4).shift(np.array([[2.0, 10.0, 12.0, -9.0], [2.0, 2.0, 2.0, 2.0]]))
    np.testing.assert_allclose(at[0], [0.0, 2.0, 2.5, 0.0])


def test_no_flow_leads_nowhere():
    flow = np.zeros((2, 8, 8))
    flow[:, 3, 3] = np.nan
    at = Lattice.of_flow(flow)(np.array([[3.2, 6.0, np.nan], [3.2, 6.0, 1.0]]))
    assert np.isnan(at).tolist() == [[True, False, True]] * 2


def test_a_spline_goes_through_its_values():
    values = np.random.default_rng(0).normal(size=(2, 12, 15))
    lattice = Lattice.through(values, (-3.0, 2.0), (4.0, 5.0))
    x, y = np.meshgrid(-3.0 + 4.0 * np.arange(15), 2.0 + 5.0 * np.arange(12))
    inner = np.s_[:, 1:-1, 1:-1]
    # off the ends, beyond which the lattice is constant instead of mirrored
    np.testing.assert_allclose(lattice.shift(np.stack([x, y]))[inner], values[inner], atol=1e-9)


def test_parts_add_up():
    one = Polynomial(np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 2.0]]), 1, (100.0, 50.0), 10.0)
    two = Lattice(np.ones((2, 4, 4)), (0.0, 0.0), (100.0, 100.0))
    moved = Sum((one, two)).shift(np.array([[110.0], [70.0]]))
    np.testing.assert_allclose(moved[:, 0], [1.0 + 0.5 + 1.0, 2.0 * 2.0 + 1.0])
    assert Sum((one, two)).polynomial is one
    assert Sum((one, two)).lattice is two
    np.testing.assert_array_equal(Sum()(PLACES), PLACES)


@pytest.mark.parametrize(("order", "count"), [(0, 1), (1, 3), (2, 6), (3, 10)])
def test_a_polynomial_has_as_many_terms_as_its_order_asks_for(order, count):
    assert terms(PLACES, order).shape == (count, 4)


def test_a_reduced_map_is_the_same_between_means_of_pixels():
    full = Mapping((Linear(Affine(1.5, 0.2, 8, -0.1, 1.4, -3)),))
    small = np.array([[3.0], [5.0]])
    fine = 4 * (small + 0.5) - 0.5
    np.testing.assert_allclose(full.reduced(4, 3)(small), (full(fine) + 0.5) / 3 - 0.5)


def test_a_block_knows_its_place_and_its_samples():
    at = Mapping().block(7, 3, 2, 3)
    np.testing.assert_array_equal(at[0], [[3, 4, 5]] * 2)
    np.testing.assert_array_equal(at[1], [[7] * 3, [8] * 3])
    dense = Mapping().block(7, 3, 1, 1, 2)
    np.testing.assert_array_equal(dense, [[[2.75, 3.25]] * 2, [[6.75] * 2, [7.25] * 2]])


def test_images_apart_are_refused_with_both_places():
    reference, moving = utm(Affine(10, 0, 500_000, 0, -10, 4e6)), utm(Affine(10, 0, 600_000, 0, -10, 4e6))
    mapping = georeferenced_map(reference, moving)
    assert overlap_share(mapping, reference.shape, moving.shape) == 0
    with pytest.raises(GridMismatchError, match=r"b\.tif does not overlap a\.tif.*10000 px"):
        refuse_apart(mapping, reference, moving, Names("b.tif", "a.tif"))


def test_the_overlap_is_a_share_of_the_reference():
    reference, moving = utm(Affine(10, 0, 0, 0, -10, 0), 200, 200), utm(Affine(10, 0, 1000, 0, -10, 0), 100, 400)
    share = overlap_share(georeferenced_map(reference, moving), reference.shape, moving.shape)
    assert share == pytest.approx(0.25, abs=0.01)


def test_one_crs_without_the_other_is_no_place():
    with pytest.raises(InputError, match="--crs"):
        georeferenced_map(utm(Affine(10, 0, 0, 0, -10, 0)), Grid(10, 10, Affine.identity()))


def test_a_place_that_the_other_crs_cannot_hold_is_named():
    reference = Grid(100, 100, Affine(1e9, 0, 0, 0, -1e9, 0), "EPSG:32631")
    with pytest.raises(InputError, match="one place"):
        georeferenced_map(reference, Grid(10, 10, Affine(1e-4, 0, 3, 0, -1e-4, 36), "EPSG:4326", geographic=True))
