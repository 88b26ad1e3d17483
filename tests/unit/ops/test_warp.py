"""One sign, exact where it can be exact, NaN where it must be NaN."""

from __future__ import annotations

import math

import pytest
import torch

from terrashift.ops.spectral import fourier_shift
from terrashift.ops.warp import compose, invert_flow, warp

KERNELS = ("bilinear", "bicubic", "sinc")
REACH = {"bilinear": (0, 1), "bicubic": (1, 2), "sinc": (7, 8)}  # pixels before and after the place's whole pixel


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def constant(xy, height, width, dtype=torch.float64):
    return torch.tensor(xy, dtype=dtype)[None, :, None, None].expand(1, 2, height, width).clone()


def band_limited(height, width, highest=0.42):
    """Periodic noise without content above `highest` cycles per pixel along either axis."""
    spectrum = torch.fft.fft2(noise(height, width))
    fy, fx = torch.fft.fftfreq(height).abs(), torch.fft.fftfreq(width).abs()
    return torch.fft.ifft2(spectrum * ((fy[:, None] < highest) & (fx < highest))).real


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_flow_changes_nothing_at_all(kernel, dtype):
    image = noise(2, 3, 9, 14, dtype=dtype)
    assert torch.equal(warp(image, torch.zeros(2, 2, 9, 14, dtype=dtype), kernel), image)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("x", "y"), [(3, 0), (0, 2), (-2, 1), (1, -4)])
def test_a_whole_shift_is_exact_and_loses_only_what_comes_from_outside(kernel, x, y):
    height, width = 11, 17
    image = noise(1, 1, height, width)
    result = warp(image, constant((x, y), height, width), kernel)[0, 0]
    for row in range(height):
        for column in range(width):
            i, j = row + y, column + x
            if 0 <= i < height and 0 <= j < width:
                assert result[row, column] == image[0, 0, i, j]
            else:
                assert result[row, column].isnan()


def test_positive_x_looks_to_the_right_and_positive_y_downwards():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(20.0), indexing="ij")
    image = torch.stack([columns, rows])[None]
    result = warp(image, constant((0.25, 1.5), 8, 20, torch.float32), "bilinear")[0]
    assert torch.allclose(result[0, :6, :19], columns[:6, :19] + 0.25)
    assert torch.allclose(result[1, :6, :19], rows[:6, :19] + 1.5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_plane_is_sampled_right_on_arrays_far_from_square(kernel):
    for height, width in ((24, 60), (60, 24)):
        rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
        plane = (3 * columns - 2 * rows).double()
        flow = torch.stack([torch.sin(rows / 5), torch.cos(columns / 7)])[None].double()
        got = warp(plane[None, None], flow, kernel)[0, 0]
        inside = slice(2, -2) if kernel != "sinc" else slice(8, -9)
        exact = plane + 3 * flow[0, 0] - 2 * flow[0, 1]
        slack = 1e-9 if kernel != "sinc" else 5 * 0.0042  # a windowed sinc does not reproduce slopes exactly
        assert got[inside, inside].isfinite().all()
        assert (got - exact)[inside, inside].abs().max() < slack


@pytest.mark.parametrize("shift", [(0.25, 0.0), (0.5, 0.5), (-0.3, 0.7), (1.1, -2.4)])
def test_the_sinc_kernel_moves_band_limited_images_to_a_thousandth_of_a_pixel(shift):
    height, width = 96, 120
    image = band_limited(height, width)
    exact = fourier_shift(image, (-shift[0], -shift[1]))
    got = warp(image[None, None], constant(shift, height, width), "sinc")[0, 0]
    inside = slice(12, -12)
    slopes = torch.stack(
        [(exact.roll(-1, axis) - exact.roll(1, axis))[inside, inside].flatten() / 2 for axis in (1, 0)], 1
    )
    error = (got - exact)[inside, inside].flatten()
    apparent_px = torch.linalg.lstsq(slopes, error[:, None]).solution
    assert apparent_px.abs().max() < 0.001  # measured 0.00014
    assert error.std() < 0.01 * exact.std()  # measured 0.0067


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_spreads_exactly_to_the_results_whose_kernel_touches_it(kernel):
    size, hole = 36, 18
    image = noise(1, 1, size, size)
    image[0, 0, hole, hole] = math.nan
    before, after = REACH[kernel]
    reached = torch.zeros(size, size, dtype=torch.bool)
    reached[hole - after : hole + before + 1, hole - after : hole + before + 1] = True
    inside = slice(9, -9)
    both = warp(image, constant((0.5, 0.5), size, size), kernel)[0, 0]
    assert torch.equal(both.isnan()[inside, inside], reached[inside, inside])
    across = warp(image, constant((0.5, 0.0), size, size), kernel)[0, 0]
    reached[:hole], reached[hole + 1 :] = False, False
    assert torch.equal(across.isnan()[:, inside], reached[:, inside])


def test_nan_in_one_band_leaves_the_others_alone_and_nan_flow_gives_nan_in_all():
    image, flow = noise(1, 2, 10, 10), constant((0.5, 0.0), 10, 10)
    image[0, 0] = math.nan
    flow[0, 1, 4, 4] = math.nan
    result = warp(image, flow, "bilinear")[0]
    assert result[0].isnan().all()
    lost = result[1, :, :9].isnan()
    assert lost.sum() == 1
    assert lost[4, 4]


def test_absurdly_large_flow_is_outside():
    result = warp(torch.ones(1, 1, 6, 6), constant((1e30, -math.inf), 6, 6, torch.float32), "bicubic")
    assert result.isnan().all()


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_gradients_match_finite_differences(kernel):
    image = noise(1, 1, 7, 8).requires_grad_()
    flow = (0.3 * noise(1, 2, 7, 8, seed=1) + 0.45).clamp(0.1, 0.9).requires_grad_()

    def inner(image, flow):
        return warp(image, flow, kernel)[..., 2:-3, 2:-3]

    assert torch.autograd.gradcheck(inner, (image, flow))


def smooth_flow(height, width, size):
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    x = torch.sin(rows / 9) + 0.5 * torch.cos(columns / 11)
    y = torch.cos(rows / 13 + 1) - torch.sin(columns / 8)
    return size * torch.stack([x, y])[None].double()


def test_a_flow_and_its_inverse_lead_back():
    flow = smooth_flow(48, 70, 2.0)
    back = invert_flow(flow)
    inside = slice(8, -8)
    for there, again in ((flow, back), (back, flow)):
        rest = compose(there, again)[..., inside, inside]
        assert rest.isfinite().all()
        assert rest.abs().max() < 0.02  # both are sampled between pixels along a straight line
    assert flow.abs().max() > 2


def test_the_inverse_of_a_constant_flow_is_its_opposite_and_nan_where_nothing_comes_from():
    back = invert_flow(constant((3.0, -1.0), 12, 15))
    assert torch.equal(back[..., :11, 3:], constant((-3.0, 1.0), 11, 12))
    assert back[..., :3].isnan().all()
    assert back[:, :, 11].isnan().all()


def test_composition_follows_the_first_flow_before_it_reads_the_second():
    first, second = constant((2.0, 0.0), 6, 9), torch.zeros(1, 2, 6, 9, dtype=torch.float64)
    second[0, 1, :, 5] = 7.0  # only the ground in column 5 goes on
    total = compose(first, second)[0]
    assert torch.equal(total[0, :, :7], torch.full((6, 7), 2.0, dtype=torch.float64))
    assert (total[1, :, 3] == 7).all()
    assert (total[1, :, [0, 1, 2, 4, 5, 6]] == 0).all()


@pytest.mark.parametrize(
    ("frequency", "bound_px"),  # largest measured up to 0.4 cycles/px: 0.0041 at the lowest; at 0.42: 0.0065
    [*((f, 0.0042) for f in (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.35, 0.38, 0.4)), (0.42, 0.007)],
)
def test_the_sinc_kernel_places_frequencies_up_to_0_42_right_to_a_hundredth_of_a_pixel(frequency, bound_px):
    column = torch.arange(60, dtype=torch.float64)
    wave = torch.stack([torch.cos(2 * math.pi * frequency * column), torch.sin(2 * math.pi * frequency * column)])
    inside = slice(8, -9)
    for shift in (0.1, 0.25, 0.4, 0.5, 0.7):
        got = warp(wave[None, :, None], constant((shift, 0.0), 1, 60), "sinc")[0, :, 0, inside]
        phase = torch.complex(got[0], got[1]) * torch.exp(-2j * math.pi * frequency * (column[inside] + shift))
        assert (phase.angle() / (2 * math.pi * frequency)).abs().max() < bound_px
        assert (phase.abs() - 1).abs().max() < 0.035  # measured 0.031, at 0.42
