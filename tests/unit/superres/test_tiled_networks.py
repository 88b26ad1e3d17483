"""How far a network's result in tiles is from that of the whole image, as `terrashift superres` runs it; in deviations.

Convolutions see a halo, which tiles have; what depends on the window as a whole differs. The default takes its level,
the frames' brightness, and how much each disagrees, from the window; DeepSUM normalises each window, and its filters,
like those of PIUnet, come from all of it; where frames are hidden in parts, 3D-WDSR and DeepSUM take the frames that
are clearest in the window. HighRes-net has nothing of the kind.
"""

from __future__ import annotations

import pytest
import torch
from planted_bursts import burst

from terrashift.io.raster import ReadOptions
from terrashift.models.catalogue import make, options_of
from terrashift.models.sharp import MultiFrame
from terrashift.sharpen import Sharpener
from terrashift.superres.base import Method
from terrashift.superres.files import open_frames
from terrashift.superres.learned import Learned
from terrashift.superres.methods import learned
from terrashift.superres.options import SuperresOptions
from terrashift.superres.sliding import SlidingWindow
from terrashift.superres.stack import Stack, build_stack

SIDE = 180, 32
"""Longer than a tile with its halos, so that tiles do not see all."""
TILES = (slice(0, 16), slice(0, 32)), (slice(90, 106), slice(8, 24))
OPTIONS = SuperresOptions(scale=3, method="bicubic", reference="frame_2021-07-10.tif")


def untrained(kind: str, **options: int) -> Method:
    """A small network of the published form."""
    torch.manual_seed(0)
    network = make(kind, options_of(kind, options)).eval()
    assert isinstance(network, MultiFrame)
    return Learned(kind, SlidingWindow(network) if kind == "deepsum" else network, 3)


def apart(stack: Stack, method: Method) -> tuple[float, float]:
    """Mean and largest difference between tiles and the whole, deviations of the reference."""
    sharpener = Sharpener(stack, method, OPTIONS)
    whole = sharpener.part((slice(0, SIDE[0]), slice(0, SIDE[1])))
    differences = []
    for rows, columns in TILES:
        part = sharpener.part((rows, columns))
        there = whole[:, 3 * rows.start : 3 * rows.stop, 3 * columns.start : 3 * columns.stop]
        assert torch.equal(part[2], there[2])
        differences.append((part[0] - there[0]).abs().flatten())
    found = torch.cat(differences) / float(stack.reference.look.contrast)
    assert found.isfinite().all()
    return float(found.mean()), float(found.max())


@pytest.fixture
def stacks(stack):
    """`stacks(hidden)`: six frames with noise, of which all but the reference are hidden in a part of their own."""

    def made(hidden: bool) -> Stack:
        planted = burst(SIDE, 3, noise=1.0, seed=3, finest=0.33)
        for k in range(1, 6 if hidden else 0):
            planted.pixels[k, :, 30 * k : 30 * k + 20, 5 * k - 5 :] = torch.nan
        return build_stack(open_frames(stack(planted), ReadOptions()), OPTIONS)

    return made


def test_the_default_differs_by_thousandths(stacks):
    mean, most = apart(stacks(hidden=True), learned("sharpen"))
    assert mean < 0.003
    assert most < 0.03


@pytest.mark.parametrize(
    ("kind", "options", "hidden"),
    [("highresnet", {"width": 8}, True), ("wdsr3d", {"width": 8, "blocks": 8, "expansion": 2}, False)],
    ids=["highresnet", "wdsr3d"],
)
def test_networks_of_convolutions_alone_differ_by_rounding(stacks, kind, options, hidden):
    """With all blocks, which reach furthest. 3D-WDSR takes the same frames everywhere where none is hidden."""
    _, most = apart(stacks(hidden), untrained(kind, **options))
    assert most < 1e-4


@pytest.mark.parametrize(
    ("kind", "options", "bound"),
    [
        ("wdsr3d", {"width": 4, "blocks": 1, "frames": 3}, 0.1),
        ("deepsum", {"width": 2, "layers": 2, "frames": 5}, 0.2),
        ("piunet", {"width": 8, "blocks": 1}, 0.02),
    ],
    ids=["wdsr3d", "deepsum", "piunet"],
)
def test_networks_that_look_at_the_whole_window_stay_within_their_bound(stacks, kind, options, bound):
    mean, _ = apart(stacks(hidden=True), untrained(kind, **options))
    assert 1e-6 < mean < bound
