"""One image on another: across grids, with its sign, through cloud, around moving ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.errors import GridMismatchError, InputError
from terrashift.estimators.spatial import Spatial
from terrashift.register.apply import aligned
from terrashift.register.exclude import Ground, Trace, check_trace
from terrashift.register.options import RegisterOptions
from terrashift.register.pair import Job, register
from terrashift.register.sources import ArrayImage, Mapped, reduced

FEW = {"window_px": 32, "spacing_px": 24, "rounds": 2}


def job(moving, reference, **options) -> Job:
    return Job(moving, reference, RegisterOptions(**(FEW | options)))


def off(found, truth, grid, border: int = 15) -> float:
    """Largest error of a map over the reference, px; `truth` takes (column, row)."""
    x, y = np.meshgrid(np.linspace(border, grid.width - border, 9), np.linspace(border, grid.height - border, 8))
    return float(np.abs(found.mapping(np.stack([x, y])) - np.stack(truth(x, y))).max())


def test_an_offset_comes_back_with_its_sign(see, grid):
    moving = see(grid, move=lambda x, y: (x - 3.3, y + 1.7), noise_seed=2)
    found = register(job(moving, see(grid), model="translation"))
    assert off(found, lambda x, y: (x + 3.3, y - 1.7), grid) < 0.03
    assert found.numbers()["shift at the middle px"] == pytest.approx([3.3, -1.7], abs=0.03)
    assert found.error_px < 0.03
    assert found.warnings == ()


def test_an_image_on_itself_does_not_move(see, grid):
    image = see(grid)
    found = register(job(image, image, model="affine"))
    assert off(found, lambda x, y: (x, y), grid) < 3e-3


@pytest.mark.parametrize(
    ("height", "width", "transform"),
    [
        (230, 270, Affine(10, 0, 501_903, 0, -10, 3_998_096)),  # a fraction of a pixel off
        (120, 140, Affine(20, 0, 501_950, 0, -20, 3_998_050)),  # half the resolution
        (520, 600, Affine(4.5, 0, 501_950, 0, -4.5, 3_998_050)),  # more than twice the resolution
        (260, 300, Affine(9.6, 2.1, 501_700, 2.1, -9.6, 3_997_800)),  # turned
        (230, 270, Affine(10, 0, 501_900, 0, 10, 3_995_800)),  # south-up
    ],
)  # fmt: skip
def test_other_grids_of_one_ground_come_onto_one(see, grid, height, width, transform):
    """The grids tell the truth, so nothing is left to correct, and the images agree pixel by pixel."""
    moving = see(Grid(height, width, transform, "EPSG:32631"), noise=2.0, noise_seed=2)
    reference = see(grid, noise=2.0)
    found = register(job(moving, reference, model="affine"))
    truth = found.start
    assert off(found, lambda x, y: truth(np.stack([x, y])), grid) < 0.1 * max(1, max(truth.magnification(grid.shape)))
    image = aligned([moving], found.mapping, grid, "sinc")[0]
    both = image.isfinite()
    assert both.float().mean() > 0.9
    correlation = torch.corrcoef(torch.stack([image[both], reference.pixels[both]]))[0, 1]
    assert correlation > (0.97 if transform.a < 15 else 0.75)


def test_half_a_pixel_between_edge_and_centre_alignment_is_no_displacement(see, grid):
    """The same numbers on a grid whose corner is half a pixel off are half a pixel off."""
    image = see(grid)
    centred = ArrayImage(image.pixels, replace(grid, transform=grid.transform @ Affine.translation(-0.5, -0.5)))
    found = register(job(centred, image, model="translation"))
    assert off(found, lambda x, y: (x, y), grid) < 0.03
    assert found.numbers()["shift at the middle px"] == pytest.approx([-0.5, -0.5], abs=0.03)


def test_an_offset_of_a_third_of_the_image_is_found(see, grid):
    moving = see(grid, move=lambda x, y: (x + 70, y - 55), noise_seed=2)
    found = register(job(moving, see(grid), model="translation"))
    assert off(found, lambda x, y: (x - 70, y + 55), grid) < 0.05
    assert found.numbers()["tie points"]["used"] > 5


def test_a_small_image_in_a_large_one_costs_what_a_small_one_does(see):
    """Only the common ground and a margin is read, and all numbers count in pixels of the whole images."""
    large = Grid(600, 640, Affine(10, 0, 501_000, 0, -10, 3_999_000), "EPSG:32631")
    small = Grid(140, 160, large.transform @ Affine.translation(300, 200), "EPSG:32631")
    there = see(small, move=lambda x, y: (x - 2.5, y + 1.25), noise_seed=2)
    seen = []

    class Watched:
        grid = large

        def read(self, row, column, height, width):
            seen.append((row, column, row + height, column + width))
            return whole.read(row, column, height, width)

    whole = see(large)
    west = Ground(stable=(lambda xy: xy[0] < 440,))
    found = register(replace(job(there, Watched(), model="translation"), ground=west))
    place = np.array([[350.0, 420.0], [230.0, 300.0]])
    np.testing.assert_allclose(found.mapping(place), place + np.array([[-297.5], [-201.25]]), atol=0.05)
    used = found.ties.reference[:, found.ties.used]
    assert used[0].min() > 290
    assert used[0].max() < 440
    assert (found.reference, found.moving) == (large, small)
    assert max(bottom - top for top, _, bottom, _ in seen) < 450
    other = register(job(Watched(), there, model="translation"))
    np.testing.assert_allclose(other.mapping(found.mapping(place)), place, atol=0.1)


def test_a_smooth_deformation_is_taken_out_by_the_local_model(see, grid):
    def bend(x, y):
        return x + 4 * np.sin(y / 30) - 2, y + 3 * np.cos(x / 35)

    reference, moving = see(grid), see(grid, noise_seed=2)
    bent = see(grid, move=bend)  # its pixel p shows what the moving image shows at bend(p)
    found = register(job(moving, bent, model="local", rounds=3))
    assert found.numbers()["ce90 before px"] > 3
    assert off(found, bend, grid, 25) < 0.4
    image = aligned([moving], found.mapping, grid)[0]
    inside = (slice(25, -25),) * 2
    assert (image - bent.pixels)[inside].std() < 0.35 * (reference.pixels - bent.pixels)[inside].std()


def test_cloud_over_four_tenths_does_not_break_it(see, grid):
    moving = see(grid, move=lambda x, y: (x - 5.2, y + 2.4), noise_seed=2)
    cloud = see(grid, seed=9)
    pixels = moving.pixels.clone()
    pixels[:, :100] = cloud.pixels[:, :100] * 0.5 + 900
    found = register(job(ArrayImage(pixels, grid), see(grid), model="affine"))
    assert off(found, lambda x, y: (x + 5.2, y - 2.4), grid) < 0.3


def test_gaps_are_no_ground(see, grid):
    moving = see(grid, move=lambda x, y: (x - 2.6, y), noise_seed=2)
    moving.pixels[:, 100:150] = torch.nan
    reference = see(grid)
    reference.pixels[80:120] = torch.nan
    found = register(job(moving, reference, model="translation"))
    assert off(found, lambda x, y: (x + 2.6, y), grid) < 0.05
    image = aligned([moving], found.mapping, grid)[0]
    # the gap moved by 2.6 px to the left, and grew by a pixel at most
    lost = image[2:-2].isnan().float().mean(0)
    assert lost[98:147].min() == 1
    assert lost[:96].max() == 0
    assert lost[149:-4].max() == 0


def test_another_place_is_refused_with_counts(see, grid):
    with pytest.raises(InputError, match=r"do not match: of \d+ places .* agree .* same place"):
        register(job(see(grid, seed=5, noise_seed=2), see(grid)))


def test_images_apart_are_refused(see, grid):
    far = replace(grid, transform=Affine(10, 0, 900_000, 0, -10, 3_998_000))
    with pytest.raises(GridMismatchError, match="does not overlap"):
        register(job(ArrayImage(see(grid).pixels, far), see(grid)))


def test_constant_and_empty_images_are_refused(see, grid):
    for pixels in (torch.full(grid.shape, 7.0), torch.full(grid.shape, torch.nan)):
        with pytest.raises(InputError, match="same place"):
            register(job(ArrayImage(pixels, grid), see(grid)))


def test_any_estimator_measures_tie_points(see, grid):
    moving = see(grid, move=lambda x, y: (x - 1.3, y + 0.7), noise_seed=2)
    usual = job(moving, see(grid), model="translation")
    found = register(replace(usual, estimator_at=lambda step: Spatial(window_px=15, step_px=step, reg=0.0)))
    assert off(found, lambda x, y: (x + 1.3, y - 0.7), grid) < 0.08


def test_images_without_georeferencing_are_placed_by_content(see, grid):
    bare = Grid(*grid.shape, Affine.identity())
    moving = see(grid, move=lambda x, y: (x - 12, y + 9), noise_seed=2)
    found = register(job(ArrayImage(moving.pixels, bare), ArrayImage(see(grid).pixels, bare), model="affine"))
    assert found.started_by.startswith("content")
    assert off(found, lambda x, y: (x + 12, y - 9), grid) < 0.1


def earthquake(x, y):
    """Both sides of the line x = 125 move by 1 px against each other, less and less away from it."""
    move = 0.5 * np.sign(x - 125) * np.exp(-np.abs(x - 125) / 70)
    return x, y + move


def test_ground_that_moves_along_a_trace_is_told_of(see, grid):
    moving = see(grid, move=earthquake, noise_seed=2)
    trace = Trace([np.array([[125.0, -10.0], [125.0, 220.0]])])
    usual = replace(job(moving, see(grid), model="translation", spacing_px=16), ground=Ground(trace=trace))
    found = register(usual)
    assert found.trace is not None
    assert found.trace.related
    assert any("--keep-off-m" in warning for warning in found.warnings)
    still = register(replace(usual, moving=see(grid, noise_seed=2)))
    assert still.trace is not None
    assert not still.trace.related


def test_excluded_ground_has_no_say(see, grid):
    """All but the west moves by 2 px: only the west is stable."""
    moving = see(grid, move=lambda x, y: (x, y + 2.0 * (x > 90)), noise_seed=2)
    west = Ground(stable=(lambda xy: xy[0] < 75,))
    found = register(replace(job(moving, see(grid), model="translation"), ground=west))
    assert off(found, lambda x, y: (x, y), grid) < 0.05
    assert found.numbers()["tie points"]["excluded"] > 10
    taken_in = register(job(moving, see(grid), model="translation"))
    assert off(taken_in, lambda x, y: (x, y), grid) > 1


def test_the_side_of_a_trace_is_told_by_its_direction():
    trace = Trace([np.array([[10.0, 0.0], [10.0, 100.0]])])  # runs down the image: its right is the west
    found = trace.signed_distance(np.array([[4.5, 14.5, 9.5], [50.0, 50.0, 110.0]]))
    assert found.tolist()[:2] == [5.0, -5.0]
    assert abs(found[2]) == pytest.approx(10.5)


def test_noise_is_not_related_to_a_trace():
    random = np.random.default_rng(0)
    places = random.uniform(0, 200, (2, 150))
    trace = Trace([np.array([[100.0, 0.0], [100.0, 200.0]])])
    related = [check_trace(trace, places, random.normal(size=(2, 150))).related for _ in range(20)]
    assert sum(related) <= 1


def test_a_mapped_image_is_the_same_in_any_window(see, grid):
    fine = see(Grid(500, 560, Affine(4.5, 0, 501_950, 0, -4.5, 3_998_050), "EPSG:32631"))
    found = register(job(fine, see(grid), model="affine", rounds=1))
    mapped = Mapped(fine, found.mapping, grid, "bicubic")
    whole = mapped.read(0, 0, *grid.shape)
    assert torch.equal(mapped.read(60, 41, 33, 70).nan_to_num(-1), whole[60:93, 41:111].nan_to_num(-1))


def test_means_of_pixels_leave_out_gaps():
    image = ArrayImage(torch.tensor([[1.0, 3.0, 5.0], [torch.nan, 8.0, torch.nan]]), Grid(2, 3, Affine.identity()))
    small = reduced(image, 2)
    assert small.pixels[0, 0] == 4.0
    assert small.pixels[0, 1].isnan()  # a quarter of it has data
    assert small.grid.transform == Affine.scale(2)
