"""Land is cut into parts that fill it, about as small as wished, with paths along the cuts."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.simulate.parcels import ENDLESS, Cut, Cutting, cut, districts


def square(side: float, count: int = 200) -> tuple[np.ndarray, np.ndarray, Cut]:
    at = ((np.arange(count) + 0.5) / count * side).astype(np.float32)
    along, across = (part.copy() for part in np.broadcast_arrays(at, at[:, None]))
    far = np.full(along.shape, ENDLESS, np.float32)
    return along, across, Cut(np.zeros(along.shape, np.int32), far, np.array([[0.0, side, 0.0, side]]))


def test_parts_are_as_small_as_wished_and_their_samples_lie_in_their_boxes():
    along, across, whole = square(100.0)
    done = cut(along, across, whole, Cutting(np.array([10.0]), tilt=0.0), np.random.default_rng(0))
    box = done.box[done.number]
    assert (box[..., 0] <= along + 1e-3).all()
    assert (along <= box[..., 1] + 1e-3).all()
    assert (box[..., 2] <= across + 1e-3).all()
    assert (across <= box[..., 3] + 1e-3).all()
    used = done.box[np.unique(done.number)]
    sides = np.stack([used[:, 1] - used[:, 0], used[:, 3] - used[:, 2]])
    assert sides.max() <= 20.0
    assert ((used[:, 1] - used[:, 0]) * (used[:, 3] - used[:, 2])).sum() == pytest.approx(100.0**2)


def test_paths_run_where_parts_meet_and_only_there():
    along, across, whole = square(60.0)
    done = cut(along, across, whole, Cutting(np.array([12.0]), width_px=1.0, tilt=0.0), np.random.default_rng(1))
    box = done.box[done.number]
    inner = np.stack([along - box[..., 0], box[..., 1] - along, across - box[..., 2], box[..., 3] - across])
    outer = np.stack([along, 60 - along, across, 60 - across])
    to_cut = np.where(np.isclose(inner, outer, atol=1e-3), np.inf, inner).min(0)  # the frame is no cut
    assert np.allclose(done.edge_px, to_cut - 0.5, atol=1e-3)


def test_what_is_small_enough_already_is_left_alone():
    along, across, whole = square(9.0)
    done = cut(along, across, whole, Cutting(np.array([10.0])), np.random.default_rng(0))
    assert np.array_equal(done.number, whole.number)
    assert (done.edge_px == ENDLESS).all()


@pytest.mark.parametrize("orderly", [False, True])
def test_districts_are_as_large_as_wished_and_roads_run_between_them(orderly):
    land = districts((300, 360), 2, 60.0, orderly, np.random.default_rng(0))
    assert land.number.shape == (600, 720)
    area = np.bincount(land.number.ravel())
    assert np.median(area[area > 0.5 * area.max()]) == pytest.approx((2 * 60.0) ** 2, rel=0.5)
    assert (land.road_px >= 0).all()
    border = np.zeros(land.number.shape, bool)
    border[:, 1:] = land.number[:, 1:] != land.number[:, :-1]
    assert land.road_px[border].max() < 1.5
    assert land.road_px[~border].mean() > 5
