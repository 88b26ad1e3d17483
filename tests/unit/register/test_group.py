"""Shifts of a group that agree around every cycle."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.register.group import GroupJob, Offset, adjust, register_group
from terrashift.register.group_files import at_middle, table_of
from terrashift.register.options import GroupOptions, RegisterOptions

TRUTH = np.array([[0.0, 0.0], [1.2, -0.4], [-0.7, 2.1], [3.0, 0.5]])


def offset(i: int, j: int, extra: float = 0.0) -> Offset:
    return Offset(i, j, (TRUTH[j] - TRUTH[i] + extra)[:, None], 0.03, 50, 0.2)


def all_pairs() -> list[Offset]:
    return [offset(i, j) for i in range(4) for j in range(i + 1, 4)]


def test_a_group_is_laid_on_its_reference():
    shifts, errors, checked = adjust(all_pairs(), 4, 0, 0)
    np.testing.assert_allclose(np.array(shifts)[:, :, 0], TRUTH, atol=1e-6)
    assert errors[0] == pytest.approx(0, abs=1e-6)
    assert 0.005 < errors[1] < 0.05
    assert max(one.closure_px for one in checked) < 1e-6


def test_without_a_reference_the_shifts_have_no_mean():
    shifts, errors, _ = adjust(all_pairs(), 4, None, 0)
    np.testing.assert_allclose(np.array(shifts)[:, :, 0], TRUTH - TRUTH.mean(0), atol=1e-6)
    assert max(errors) < 0.05


def test_a_pair_that_contradicts_the_cycles_is_set_aside():
    pairs = [*all_pairs()[:-1], offset(2, 3, 4.0)]
    shifts, _, checked = adjust(pairs, 4, 0, 0)
    np.testing.assert_allclose(np.array(shifts)[:, :, 0], TRUTH, atol=1e-3)
    assert checked[-1].weight == 0
    assert checked[-1].closure_px == pytest.approx(4 * 2**0.5, rel=0.01)
    assert all(one.weight > 0.9 for one in checked[:-1])


def test_linear_parts_are_adjusted_too():
    truth = np.random.default_rng(0).normal(size=(4, 2, 3))
    pairs = [Offset(i, j, truth[j] - truth[i], 0.03, 50, 0.2) for i in range(4) for j in range(i + 1, 4)]
    shifts, _, _ = adjust(pairs, 4, 0, 1)
    np.testing.assert_allclose(np.array(shifts), truth - truth[0], atol=1e-6)


@pytest.fixture(scope="module")
def stack(see):
    grid = Grid(150, 170, Affine(10, 0, 502_000, 0, -10, 3_998_000), "EPSG:32631")
    images = []
    for k, (x, y) in enumerate(TRUTH):
        image = see(grid, move=lambda c, r, x=x, y=y: (c - x, r - y), noise_seed=k)
        images.append(image)
    return images


def options() -> RegisterOptions:
    return RegisterOptions(model="translation", window_px=32, rounds=2)


def test_images_are_registered_as_a_group_with_their_signs(stack):
    group = register_group(GroupJob(stack, ["a", "b", "c", "d"], options(), GroupOptions(neighbours=2), 1))
    found = np.array([at_middle(shift, stack[0].grid) for shift in group.shifts])
    np.testing.assert_allclose(found, TRUTH - TRUTH[1], atol=0.04)
    place = np.array([[40.0], [50.0]])
    np.testing.assert_allclose(group.mappings[3](place) - place, (TRUTH[3] - TRUTH[1])[:, None], atol=0.04)
    assert len(group.offsets) == 5
    assert group.model == "translation"
    rows = list(csv.DictReader(io.StringIO(table_of(group, ["a", "b", "c", "d"], stack[0].grid))))
    first = next(row for row in rows if (row["first"], row["second"]) == ("a", "c"))
    assert (float(first["x_px"]), float(first["y_px"])) == pytest.approx((-0.7, 2.1), abs=0.06)
    assert float(first["closure_px"]) < 0.05


def test_an_image_of_another_place_is_named(stack, see):
    other = see(stack[0].grid, seed=7, noise_seed=9)
    with pytest.raises(InputError, match=r"nothing ties x to the other images"):
        register_group(GroupJob([*stack[:2], other], ["a", "b", "x"], options()))


def test_a_group_takes_no_local_model(stack):
    with pytest.raises(InputError, match="local"):
        register_group(GroupJob(stack, list("abcd"), RegisterOptions(model="local")))
    with pytest.raises(InputError, match="two images"):
        register_group(GroupJob(stack[:1], ["a"], options()))
