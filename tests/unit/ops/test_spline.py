"""Samples between pixels: exact at pixels, detail moved to its place, borders mirrored, signs as documented."""

import math

import numpy as np
import pytest
import torch

from terrashift.ops.spline import REACH, Crops, coefficients, sample_moved, sample_shifted

SHAPE = (41, 53)


def noise(shape: tuple[int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def crops_at(shape: tuple[int, int], row: int, column: int, start: int = 0) -> Crops:
    return Crops(*(torch.tensor([value]) for value in (start, *shape, row, column)))


def row_of(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([coefficients(image).ravel() for image in images]))


def moved(image: np.ndarray, corner: tuple[int, int], flow: torch.Tensor) -> np.ndarray:
    return sample_moved(row_of(image), crops_at(image.shape, *corner), flow[None])[0].numpy()


def still(height: int, width: int, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    return torch.tensor([float(x), float(y)])[:, None, None].expand(2, height, width).clone()


def test_without_motion_pixels_come_back_whatever_they_hold():
    image = noise()
    assert np.allclose(moved(image, (4, 6), still(30, 40)), image[4:34, 6:46], atol=2e-5)


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-2, 0), (0, 4), (0, -1), (2, -3)])
def test_whole_pixels_right_and_down_are_read_where_the_flow_points(x, y):
    image = noise()
    expected = image[10 + y : 30 + y, 12 + x : 36 + x]
    assert np.allclose(moved(image, (10, 12), still(20, 24, x, y)), expected, atol=2e-5)


@pytest.mark.parametrize(("highest", "bound_px"), [(0.42, 0.0016), (0.45, 0.0022), (0.48, 0.0032)])
@pytest.mark.parametrize("axis", [0, 1])
def test_detail_of_every_frequency_moves_by_what_is_asked(highest, bound_px, axis):
    # cosines that mirror into themselves at the border, so that nothing but the sampling errs
    length = 100
    places = np.arange(20, 80)
    for waves in range(4, int(2 * length * highest) + 1, 6):
        line = np.cos(math.pi * waves * (np.arange(length) + 0.5) / length).astype(np.float32)
        image = np.tile(line, (40, 1)) if axis else np.tile(line[:, None], (1, 40))
        for shift in (0.1, 0.25, 0.35, 0.5, 0.8):
            corner, size, xy = ((10, 20), (8, 60), (shift, 0.0)) if axis else ((20, 10), (60, 8), (0.0, shift))
            found = moved(image, corner, still(*size, *xy))
            profile = found[4] if axis else found[:, 4]
            phase = math.pi * waves * (places + 0.5) / length
            design = np.stack([np.cos(phase), -np.sin(phase)], 1)
            cosine, sine = np.linalg.lstsq(design, profile, rcond=None)[0]
            turn = math.atan2(sine, cosine) * length / (math.pi * waves)
            period = 2 * length / waves
            error = (turn - shift + period / 2) % period - period / 2
            assert abs(error) < bound_px, (waves / (2 * length), shift)


def test_the_border_is_a_mirror():
    image = noise()
    height, width = image.shape
    unfolded = np.pad(image, ((0, height), (0, width)), mode="symmetric")
    assert np.allclose(coefficients(unfolded)[: 2 * height, : 2 * width], coefficients(image), atol=1e-5)


def test_a_shift_of_the_whole_is_the_constant_flow():
    images = noise(), noise((60, 47), 1)
    row = row_of(*images)
    crops = Crops(*(torch.tensor(v) for v in ([0, 4 * 41 * 53], [41, 60], [53, 47], [5, 6], [7, 4])))
    shift = torch.tensor([[0.37, -0.21], [-0.5, 0.499]])
    flow = shift[:, :, None, None].expand(-1, -1, 25, 33).clone()
    assert torch.allclose(sample_shifted(row, crops, shift, (25, 33)), sample_moved(row, crops, flow), atol=2e-5)


def test_each_crop_comes_from_its_own_image():
    images = noise(), noise((60, 47), 1)
    crops = Crops(*(torch.tensor(v) for v in ([4 * 41 * 53, 0], [60, 41], [47, 53], [20, 5], [9, 8])))
    found = sample_moved(row_of(*images), crops, torch.zeros(2, 2, 12, 14)).numpy()
    assert np.allclose(found[0], images[1][20:32, 9:23], atol=2e-5)
    assert np.allclose(found[1], images[0][5:17, 8:22], atol=2e-5)


def test_what_lies_past_the_border_is_read_at_the_nearest_place_inside():
    image = noise()
    height, width = SHAPE
    for x, y, place in (
        (-500.0, -500.0, (REACH - 1, REACH - 1)),
        (500.0, 500.0, (height - REACH, width - REACH)),
        (0.0, 500.0, (height - REACH, 20)),
    ):
        assert moved(image, (20, 20), still(1, 1, x, y))[0, 0] == pytest.approx(image[place], abs=2e-5)


def test_no_sample_reaches_further_than_is_said():
    fine = torch.from_numpy(coefficients(noise()))
    row, column, size, reach = 8, 9, 20, 2 * REACH - 1  # the first tap lies one fine sample before the place
    fine[: 2 * row - reach] = torch.nan
    fine[2 * (row + size - 1) + reach :] = torch.nan
    fine[:, : 2 * column - reach] = torch.nan
    fine[:, 2 * (column + size - 1) + reach :] = torch.nan
    crops = crops_at(SHAPE, row, column)
    for shift in (-0.5, 0.0, 0.5):
        flow = still(size, size, shift, shift)[None]
        assert sample_moved(fine.flatten(), crops, flow).isfinite().all()
        assert sample_shifted(fine.flatten(), crops, torch.full((1, 2), shift), (size, size)).isfinite().all()
