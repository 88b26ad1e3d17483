"""The truth of every pair is the motion between its images, and a pair is the same in whatever batch it is drawn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_imagery import Ground, view_of

from terrashift.errors import InputError, OptionError
from terrashift.ops.warp import warp
from terrashift.simulate import archive as packed
from terrashift.simulate import stream as module
from terrashift.simulate.archive import Archive
from terrashift.simulate.fields import FieldOptions
from terrashift.simulate.radiometry import OFF
from terrashift.simulate.stream import TURNED_TOGETHER, Batch, Stream, StreamOptions

FIELDS = FieldOptions(0.5, 4.0)
QUIET = StreamOptions(size_px=64, batch=4, fields=FIELDS, two_dates=OFF, one_date=OFF, one_date_noise=0.0)
ALL_TURNS = [TURNED_TOGETHER * k for k in range(40)]


def archive_of(*places: tuple[tuple[int, int], Sequence[tuple[float, float]]]) -> Archive:
    """Places of these shapes, each seen on dates of these shifts."""
    return Archive.of(
        (view_of(f"place {k}", shape, shifts), [Ground(k).seen(shape, shift) for shift in shifts])
        for k, (shape, shifts) in enumerate(places)
    )


@pytest.fixture(scope="module")
def archive() -> Archive:
    """Non-square places of one, two and three dates."""
    still = (0.0, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "FINENESS", 0.0)  # all 256 levels: rounding must not hide what is looked for
        return archive_of(
            ((112, 150), [still]), ((140, 104), [still, (0.83, -0.46)]), ((100, 130), [still, (-1.2, 0.4), (0.3, 1.1)])
        )


def residual(batch: Batch) -> tuple[torch.Tensor, float]:
    """Motion left in each sixteenth of each pair once the truth is undone, px, and what differs, in deviations.

    `after` is brought back by a windowed sinc, which shares nothing with the sampling under test.
    """
    slopes = torch.gradient(batch.after, dim=(2, 1))  # x right, y down
    stack = torch.stack([batch.after, *slopes], 1)
    brought, right, down = warp(stack, batch.flow, "sinc").unbind(1)
    known = brought.isfinite() & right.isfinite() & down.isfinite()
    rest = torch.where(known, batch.before - brought, 0.0)
    quarter = batch.flow.shape[-1] // 4
    found = []
    for one in range(len(rest)):
        for rows in range(0, 4 * quarter, quarter):
            for columns in range(0, 4 * quarter, quarter):
                part = one, slice(rows, rows + quarter), slice(columns, columns + quarter)
                here = known[part]
                if here.sum() < 150:
                    continue
                slope = torch.stack([right[part][here], down[part][here]], 1)
                found.append(torch.linalg.lstsq(slope, rest[part][here][:, None]).solution[:, 0])
    return torch.stack(found), float(rest[known].std() / brought[known].std())


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["rupture", "uni", "dis", "uni5px"])
def test_what_is_at_p_before_is_at_p_plus_flow_after(archive, kind, share):
    options = replace(QUIET, kind=kind, one_date_share=share)
    batch = Stream(archive, options, 3).pairs(ALL_TURNS[:24])
    left, differs = residual(batch)
    assert len(left) > 90
    assert left.mean(0).abs().max() < 0.001
    assert left.abs().max() < 0.01
    assert differs < 0.03
    assert {0, 1, 2} == set(batch.scene.tolist())


def test_dates_that_lie_apart_are_part_of_the_truth():
    shift = (0.75, -0.35)
    archive = archive_of(((110, 130), [(0.0, 0.0), shift]))
    still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    options = replace(QUIET, fields=still, one_date_share=0.0, shifted_share=0.0)
    batch = Stream(archive, options, 1).pairs(ALL_TURNS)
    assert (batch.flow == batch.flow[:, :, :1, :1]).all()
    found = {(round(x, 3), round(y, 3)) for x, y in batch.flow[:, :, 0, 0].tolist()}
    x, y = shift
    # either date first; mirrored along x, y; transposed
    expected = {(s * a, t * b) for s in (1, -1) for t in (1, -1) for a, b in ((x, y), (y, x))}
    assert found == {(round(a, 3), round(b, 3)) for a, b in expected}
    left, _ = residual(Batch(*(part[:12] for part in batch)))
    assert left.mean(0).abs().max() < 0.005


def test_motion_alone_without_apart_or_fraction_is_the_field_itself():
    archive = archive_of(((120, 140), [(0.0, 0.0)]))
    batch = Stream(archive, replace(QUIET, shifted_share=0.0, kind="uni"), 2).pairs(ALL_TURNS)
    vectors = batch.flow[:, :, 0, 0]
    assert vectors.abs().max() <= 1
    assert len({tuple(v) for v in vectors.sign().tolist()}) == 4


def test_a_fraction_moves_after_half_of_the_time():
    archive = archive_of(((110, 130), [(0.0, 0.0)]))
    still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    flow = Stream(archive, replace(QUIET, size_px=8, fields=still), 1).pairs(range(400)).flow[:, :, 0, 0]
    moved = flow.any(1)
    assert abs(moved.float().mean() - 0.5) < 0.08
    assert 0.45 < flow.abs().max() <= 0.5


@pytest.mark.parametrize("kind", ["rupture", "uni", "dis", "uni5px"])
def test_no_legal_motion_ever_reads_past_the_margin(archive, kind, monkeypatch):
    """Samples that only a clamped place would read are made poison."""

    def poisoned(image: np.ndarray) -> np.ndarray:
        fine = true(image)
        edge = 2 * module.REACH - 1
        fine[:edge] = fine[-edge:] = np.nan
        fine[:, :edge] = fine[:, -edge:] = np.nan
        return fine

    true = module.coefficients
    monkeypatch.setattr(module, "coefficients", poisoned)
    options = replace(QUIET, kind=kind, fields=FieldOptions(4.0, 4.0, (0.0, 0.0, 0.0, 1.0)))
    stream = Stream(archive, options, 5)
    largest = 0.0
    for numbers in (range(k, k + 64) for k in range(0, 256, 64)):
        batch = stream.pairs(numbers)
        assert batch.before.isfinite().all()
        assert batch.after.isfinite().all()
        largest = max(largest, float(batch.flow.abs().max()))
    assert largest > {"rupture": 5.0, "uni5px": 4.9}.get(kind, 0.95)


@pytest.mark.parametrize(("kind", "most"), [("uni", 1.0), ("dis", 1.0), ("uni5px", 5.0)])
def test_the_labels_of_windows_keep_to_the_published_range(archive, kind, most):
    """Though the dates are apart, and other pairs' second date is moved."""
    flow = Stream(archive, replace(QUIET, kind=kind), 5).pairs(range(128)).flow
    assert 0.95 * most < flow.abs().max() <= most


def test_crops_reach_every_legal_place_of_the_smallest_view():
    side = QUIET.size_px + 2 * Stream(archive_of(((120, 120), [(0.0, 0.0)])), QUIET).margin_px
    stream = Stream(archive_of(((side, side + 2), [(0.0, 0.0)])), QUIET, 1)
    random = module.Random.of(1, range(200))
    crops = stream._crops(torch.zeros(200, dtype=torch.long), random)
    assert set(crops.row.tolist()) == {stream.margin_px}
    assert set(crops.column.tolist()) == {stream.margin_px + k for k in range(3)}


def same(one: Batch, other: Batch) -> bool:
    return all(torch.allclose(a.float(), b.float(), atol=1e-4) for a, b in zip(one, other, strict=True))


def test_a_pair_is_the_same_in_whatever_company(archive):
    stream = Stream(archive, StreamOptions(size_px=48, fields=FIELDS), 9)
    together = stream.pairs(range(8, 40))
    split = [stream.pairs(numbers) for numbers in (range(8, 13), range(13, 32), [32], range(33, 40))]
    assert same(together, Batch(*(torch.cat(parts) for parts in zip(*split, strict=True))))
    shuffled = [39, 8, 20, 19, 33]
    assert same(stream.pairs(shuffled), Batch(*(part[[n - 8 for n in shuffled]] for part in together)))
    assert same(stream.batch(1), stream.pairs(range(16, 32)))
    assert same(stream.batch(3, 4), stream.pairs(range(12, 16)))


def test_another_seed_or_number_gives_other_pairs(archive):
    stream, other = (Stream(archive, StreamOptions(size_px=48, fields=FIELDS), seed) for seed in (1, 2))
    assert not torch.allclose(stream.batch(0).flow, other.batch(0).flow, atol=0.01)
    assert not torch.allclose(stream.batch(0).flow, stream.batch(1).flow, atol=0.01)


def test_all_eight_turns_come_alike_often():
    turns = module._turns(4, [TURNED_TOGETHER * k for k in range(4000)])
    counts = [turns.count(turn) for turn in set(turns)]
    assert len(counts) == 8
    assert 400 < min(counts) <= max(counts) < 600


def test_smaller_motions_share_the_imagery_and_stay_true(archive):
    stream = Stream(archive, QUIET, 3)
    small = stream.smaller(0.3)
    assert small._frames is stream._frames
    jump = small.pairs(ALL_TURNS).flow.diff(dim=3).abs().max()
    assert 0.1 < jump < 1.0 < stream.pairs(ALL_TURNS).flow.diff(dim=3).abs().max()
    left, _ = residual(small.pairs(ALL_TURNS[:16]))
    assert left.mean(0).abs().max() < 0.001
    assert stream.smaller(50.0).options == stream.options


def test_views_count_by_the_root_of_their_area_and_those_of_one_date_by_their_weight():
    still = (0.0, 0.0)
    archive = archive_of(((160, 160), [still, still]), ((320, 160), [still, still]), ((160, 160), [still]))
    scene = Stream(archive, replace(QUIET, size_px=16, one_date_views=0.5), 1).pairs(range(2000)).scene
    shares = torch.bincount(scene) / 2000
    weights = torch.tensor([1, 2**0.5, 0.5])
    assert (shares - weights / weights.sum()).abs().max() < 0.04
    none = Stream(archive, replace(QUIET, size_px=16, one_date_views=0.0), 1).pairs(range(500)).scene
    assert 2 not in none


def test_both_orders_of_dates_come_and_one_date_is_drawn_as_often_as_asked():
    shift = (1.5, 0.0)
    archive = archive_of(((110, 130), [(0.0, 0.0), shift]))
    still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    options = replace(QUIET, size_px=8, fields=still, one_date_share=0.3, shifted_share=0.0)
    flow = Stream(archive, options, 1).pairs(range(600)).flow[:, :, 0, 0].norm(dim=1)
    assert set(flow.round(decimals=3).tolist()) == {0.0, 1.5}
    assert abs((flow == 0).float().mean() - 0.3) < 0.06


def test_one_date_is_changed_and_two_dates_are_left_to_themselves():
    archive = archive_of(((110, 130), [(0.0, 0.0)]), ((110, 130), [(0.0, 0.0), (0.0, 0.0)]))
    still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    options = replace(QUIET, fields=still, shifted_share=0.0, one_date_share=0.0, one_date=replace(OFF, haze=0.5))
    batch = Stream(archive, options, 1).pairs(range(40))
    difference = (batch.after - batch.before).abs().amax((1, 2))
    assert (difference[batch.scene == 0] > 0.01).all()
    assert (difference[batch.scene == 1] < 0.5).all()  # rounding to levels only
    noisy = Stream(archive, replace(options, one_date=OFF, one_date_noise=0.5), 1).pairs(range(40))
    assert torch.equal(noisy.after, Stream(archive, replace(options, one_date=OFF), 1).pairs(range(40)).after)
    changed = (noisy.before - batch.before).abs().amax((1, 2))
    assert (changed[batch.scene == 0] > 0).all()
    assert (changed[batch.scene == 1] == 0).all()


def test_images_have_zero_mean_and_unit_deviation_over_the_place():
    archive = archive_of(((150, 130), [(0.0, 0.0)]))
    still = FieldOptions(shares=(1.0, 0.0, 0.0, 0.0), shift_px=0.0, smooth_px=0.0)
    after = Stream(archive, replace(QUIET, size_px=16, fields=still), 1).pairs(range(300)).after
    assert abs(after.mean()) < 0.1
    assert abs(after.std() - 1) < 0.1


def test_views_too_small_are_never_drawn_and_none_large_enough_is_told(archive):
    still = (0.0, 0.0)
    mixed = archive_of(((80, 400), [still, still]), ((110, 110), [still, still]))
    assert set(Stream(mixed, QUIET, 1).pairs(range(50)).scene.tolist()) == {1}
    with pytest.raises(InputError, match="make smaller pairs"):
        Stream(archive, replace(QUIET, size_px=128), 1)
    with pytest.raises(InputError, match="one_date_views"):
        Stream(archive_of(((110, 110), [still])), replace(QUIET, one_date_views=0.0), 1)
    with pytest.raises(InputError, match="no view"):
        Stream(archive.only("nothing"), QUIET, 1)
    with pytest.raises(OptionError, match="at least"):
        StreamOptions(size_px=0)


TRAINING_ONLY = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"rasterio", "pydantic", "zarr", "affine", "cutde", "tyro", "rich", "matplotlib"}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocked())
from terrashift.simulate.archive import Archive
from terrashift.simulate.stream import Stream, StreamOptions
batch = Stream(Archive.load(sys.argv[1]), StreamOptions(size_px=32), 1).batch(0)
assert batch.before.shape == (16, 32, 32) and batch.flow.isfinite().all()
"""


def test_training_needs_no_more_than_torch_and_scipy(archive, tmp_path):
    archive.save(tmp_path / "made.tsi")
    command = [sys.executable, "-W", "error", "-c", TRAINING_ONLY, str(tmp_path / "made.tsi")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pairs_are_the_ones_they_always_were():
    archive = archive_of(((112, 150), [(0.0, 0.0)]), ((140, 104), [(0.0, 0.0), (0.83, -0.46)]))
    batch = Stream(archive, StreamOptions(size_px=32, fields=FIELDS), 4).pairs([0, 7])
    assert batch.scene.tolist() == [1, 0]
    flow = torch.tensor([[0.860851, 0.224557], [1.294935, 0.182866]])
    assert torch.allclose(batch.flow.mean((2, 3)), flow, atol=1e-4, rtol=0)
    images = torch.stack([batch.before[:, 10, 20], batch.after[:, 10, 20]])
    expected = torch.tensor([[0.859526, 0.108658], [1.494157, -0.342452]])
    assert torch.allclose(images, expected, atol=1e-4, rtol=0)
