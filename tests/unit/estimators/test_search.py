import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.core.image import Image, Pair
from terrashift.core.source import ArrayPair
from terrashift.estimators.search import SearchOptions, choose_search, coarse_motion


def ground(height, width):
    noise = torch.randn(height, width, generator=torch.Generator().manual_seed(5))
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    return torch.fft.irfft2(torch.fft.rfft2(noise) / (0.03 + (fx**2 + fy**2).sqrt()), s=(height, width)) + 10


def source_of(before, after):
    grid = Grid(*before.shape, Affine.identity())
    return ArrayPair(Pair(Image(before[None], grid), Image(after[None], grid)))


def test_the_box_holds_both_sides_of_a_fault():
    before = ground(300, 420)
    after = before.clone()
    after[:, 210:] = before.roll((3, -6), (0, 1))[:, 210:]
    search = choose_search(coarse_motion(source_of(before, after)), SearchOptions())
    for motion in ((0, 0), (-6, 3)):
        for k in (0, 1):
            assert abs(motion[k] - search.centre[k]) + 1 <= search.radius[k]
    assert max(search.radius) <= 7


def test_the_centre_follows_a_pair_that_is_far_off():
    before = ground(300, 420)
    search = choose_search(coarse_motion(source_of(before, before.roll((-14, 21), (0, 1)))), SearchOptions())
    assert search.centre == (21, -14)
    assert max(search.radius) <= 3


def test_a_search_by_hand_lies_around_the_pairs_own_offset():
    before = ground(200, 300)
    motion = coarse_motion(source_of(before, before.roll((4, 0), (0, 1))))
    assert choose_search(motion, SearchOptions(search_px=7.5)) == ((0, 4), (8, 8))


def test_outlines_of_undeclared_fill_are_not_taken_for_motion():
    before = ground(300, 420)
    after = before + 0.01 * ground(300, 420).flip(0)
    row, column = torch.meshgrid(torch.arange(300), torch.arange(420), indexing="ij")
    before[column > 260 + row // 3] = 0
    after[column > 230 + row // 3] = 0
    search = choose_search(coarse_motion(source_of(before, after)), SearchOptions())
    assert search.centre == (0, 0)
    assert max(search.radius) <= 3


def test_unrelated_images_get_the_fallback():
    motion = coarse_motion(
        source_of(ground(300, 300), torch.randn(300, 300, generator=torch.Generator().manual_seed(9)))
    )
    assert not motion.trusted.any()
    assert choose_search(motion, SearchOptions()) == ((0, 0), (4, 4))
