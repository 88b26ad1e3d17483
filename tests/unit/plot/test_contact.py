"""The contact sheet shows every pair, the right way round, in scales that its captions tell."""

from __future__ import annotations

import numpy as np
import pytest

from terrashift.errors import OutputError
from terrashift.plot.contact import (
    BETWEEN,
    DOTS_PER_INCH,
    FOOT,
    GAP,
    HEAD,
    LEFT,
    PANEL,
    PANELS,
    TITLE,
    Shown,
    contact_sheet,
    motion_limit,
)

SHAPE = (40, 40)


def shown(name="pair", shape=SHAPE, **more):
    """Left half dark, right half bright; motion to the right in the upper half, up in the left half."""
    height, width = shape
    image = np.broadcast_to(np.arange(width) >= width // 2, shape).astype(np.float32)
    x = np.broadcast_to((np.arange(height) < height // 2)[:, None], shape).astype(np.float32)
    y = -np.broadcast_to(np.arange(width) < width // 2, shape).astype(np.float32)
    trace = np.zeros(shape, bool)
    trace[height // 2 : height // 2 + 3] = True
    parts = {"before": image, "after": 1 - image, "motion": np.stack([x, y]), "trace": trace} | more
    return Shown(name, **parts)


def draw(pairs, path):
    from matplotlib.image import imread

    contact_sheet(pairs, path, "Title")
    return imread(path)[..., :3]


def colour(image, panel, across, down, row=0, column=0):
    """Colour at a place of a panel of a pair, given as shares from its upper left corner."""
    block = PANELS * PANEL + (PANELS - 1) * GAP
    left = LEFT + column * (block + BETWEEN) + panel * (PANEL + GAP)
    top = HEAD + row * (PANEL + TITLE) + TITLE / 2
    return image[int((top + down * PANEL) * DOTS_PER_INCH), int((left + across * PANEL) * DOTS_PER_INCH)]


def redness(at):
    return at[0] - at[2]


def test_images_are_grey_and_motion_to_the_right_and_down_is_warm(tmp_path):
    image = draw([shown()], tmp_path / "sheet.png")
    assert colour(image, 0, 0.2, 0.2).max() < 0.1 < 0.9 < colour(image, 0, 0.8, 0.2).min()
    assert colour(image, 1, 0.8, 0.2).max() < 0.1 < 0.9 < colour(image, 1, 0.2, 0.2).min()
    assert redness(colour(image, 2, 0.5, 0.2)) > 0.2
    assert abs(redness(colour(image, 2, 0.5, 0.8))) < 0.1
    assert redness(colour(image, 3, 0.2, 0.2)) < -0.2
    assert abs(redness(colour(image, 3, 0.8, 0.2))) < 0.1
    for panel in (2, 3):
        assert colour(image, panel, 0.5, 0.53).max() < 0.1  # the trace
    assert colour(image, 0, 0.8, 0.53).min() > 0.9


def test_both_images_share_their_greys_and_gaps_are_grey(tmp_path):
    dim = 0.5 * shown().before
    dim[:10] = np.nan
    image = draw([shown(after=dim)], tmp_path / "sheet.png")
    assert 0.3 < colour(image, 1, 0.8, 0.6).mean() < 0.7
    gap = colour(image, 1, 0.8, 0.1)
    assert gap.mean() == pytest.approx(0.68, abs=0.02)
    assert gap.max() - gap.min() < 0.01


def test_a_dozen_pairs_stand_in_two_columns_in_their_order(tmp_path):
    flat = np.zeros((2, *SHAPE), np.float32)
    pairs = [shown(str(k), motion=flat if k != 7 else shown().motion) for k in range(12)]
    image = draw(pairs, tmp_path / "sheet.png")
    warm = [redness(colour(image, 2, 0.5, 0.2, *divmod(k, 2))) > 0.2 for k in range(12)]
    assert warm == [k == 7 for k in range(12)]
    height = (HEAD + 6 * (PANEL + TITLE) + FOOT) * DOTS_PER_INCH
    assert image.shape[0] == pytest.approx(height, abs=1)


def test_a_wide_image_keeps_its_shape(tmp_path):
    image = draw([shown(shape=(20, 40))], tmp_path / "sheet.png")
    assert colour(image, 0, 0.8, 0.1).min() == 1  # paper above it
    assert redness(colour(image, 2, 0.5, 0.35)) > 0.2
    assert colour(image, 0, 0.2, 0.5).max() < 0.1


def test_nothing_moved_and_nothing_known_is_drawn_too(tmp_path):
    nothing = np.full((2, *SHAPE), np.nan, np.float32)
    draw([shown(before=nothing[0], after=nothing[0], motion=0 * shown().motion)], tmp_path / "a.png")
    assert motion_limit(nothing) == motion_limit(np.zeros((2, 3, 3))) == 1e-3


def test_a_sheet_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError):
        contact_sheet([shown()], tmp_path / "nowhere" / "sheet.png", "Title")
