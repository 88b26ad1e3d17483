"""The cases of every suite hold what they say, and their judges give no error to the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.core.image import Image
from terrashift.errors import InputError, OptionError
from terrashift.estimators.blocks import measure_whole
from terrashift.estimators.frequency import Frequency
from terrashift.evaluate.case import Answer, Case, Suite, pair_of
from terrashift.evaluate.imagery import Ground
from terrashift.evaluate.known_shift import CROP_PX, KnownShift, periodic_component
from terrashift.evaluate.landmarks import Landmarks, landmarks_of
from terrashift.evaluate.pseudo_truth import finer, smoothed
from terrashift.evaluate.reference import Reference, read_case
from terrashift.evaluate.rupture import Ruptures
from terrashift.evaluate.stable import Stable
from terrashift.evaluate.suites import SUITES, SuiteOptions, suites_of
from terrashift.evaluate.windows import CROP_PX as WINDOW_CROP_PX
from terrashift.evaluate.windows import Windows
from terrashift.io.pairs import write_image
from terrashift.simulate.scene import procedural_scene
from terrashift.simulate.scenery import pack_scenes

COARSE = Frequency(window_px=32, step_px=8)


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    """One made-up landscape on two dates, as an archive."""
    folder = tmp_path_factory.mktemp("ground")
    pack_scenes(1, folder / "one.tsi", "test")
    return Ground(folder / "one.tsi", folder)


def measured(case: Case) -> Answer:
    """By the frequency correlator at every 8th pixel."""
    assert case.search is not None
    return Answer(measure_whole(COARSE, case.source, case.search).xy.numpy(), None, 8)


def test_every_suite_is_one(ground, tmp_path):
    for suite in suites_of(list(SUITES), SuiteOptions(), tmp_path):
        assert isinstance(suite, Suite)
        assert suite.name in SUITES
    with pytest.raises(OptionError, match="Did you mean `rupture`"):
        suites_of(["ruptures"], SuiteOptions(), tmp_path)


def test_ruptures_have_the_size_of_their_class_and_the_truth_no_error(ground):
    suite = Ruptures(ground, pairs=1, size_px=128)
    entries = {entry.name: entry for entry in suite.entries()}
    assert list(entries) == ["very-small_0", "small_0", "medium_0"]
    case = entries["small_0"].load()
    assert case.truth is not None
    still = np.median(case.truth.reshape(2, -1), axis=1)
    assert 0.5 < np.hypot(*(case.truth - still[:, None, None])).max() < 6
    assert case.fault is not None
    assert case.fault.any()
    found = suite.judge(case, Answer(case.truth))
    assert found["epe"] == pytest.approx(0, abs=1e-6)
    again = entries["small_0"].load()
    assert torch.equal(case.source.pair.before.pixels, again.source.pair.before.pixels)


def test_windows_lie_side_by_side_with_the_truth_of_each_in_its_middle(ground):
    suite = Windows(ground, count=4)
    entries = {entry.name: entry for entry in suite.entries()}
    for name, most in (("uni", 1), ("uni5px", 5), ("dis16", 1)):
        case = entries[name].load()
        assert case.truth is not None
        assert case.truth.shape == (2, 2 * WINDOW_CROP_PX, 2 * WINDOW_CROP_PX)
        assert np.abs(case.truth).max() <= most
        assert suite.judge(case, Answer(case.truth)) == {"mae": 0, "epe": 0, "p90": 0, "valid": 1}
        wrong = np.zeros_like(case.truth)
        middles = case.truth[:, 32::64, 32::64]
        assert suite.judge(case, Answer(wrong))["mae"] == pytest.approx(np.abs(middles).mean(), rel=1e-5)


def test_the_images_of_windows_move_as_their_truth_says(ground):
    suite = Windows(ground, count=4, seed=2)
    case = next(entry for entry in suite.entries() if entry.name == "uni").load()
    assert suite.judge(case, measured(case))["mae"] < 0.15
    assert case.truth is not None
    turned = Case(case.source, -case.truth, search=case.search)
    assert suite.judge(turned, measured(case))["mae"] > 0.4


def test_a_cut_window_has_two_motions_and_the_middle_that_of_the_larger_part(ground):
    case = next(entry for entry in Windows(ground, count=9).entries() if entry.name == "dis16").load()
    assert case.truth is not None
    for row in range(32, 192, 64):
        for column in range(32, 192, 64):
            window = case.truth[:, row - 8 : row + 8, column - 8 : column + 8].reshape(2, -1)
            middle = case.truth[:, row, column][:, None]
            assert (np.abs(window - middle) < 1e-6).all(0).mean() > 0.5


def test_a_known_shift_is_known_with_its_sign(ground):
    suite = KnownShift(ground, scenes=1)
    entries = {entry.name: entry for entry in suite.entries()}
    assert len(entries) == 10 + 9 + 1 + 3 + 3
    case = entries["shift +0.3 -0.2, scene 0"].load()
    found = suite.judge(case, measured(case))
    assert abs(found["bias_x"]) < 0.01
    assert abs(found["bias_y"]) < 0.01
    assert (found["x"], found["y"]) == (0.3, -0.2)
    noisy = entries["noise 1, scene 0"].load()
    assert suite.judge(noisy, measured(noisy))["nmad"] > 2 * found["nmad"]
    assert case.source.grid.shape == CROP_PX


def test_the_periodic_component_closes_its_edges_and_keeps_the_texture():
    crop = procedural_scene(120, 180, seed=11).before[0].double()
    ramp = crop + torch.linspace(0, 3, 180, dtype=torch.float64)  # a jump of 3 from edge to edge
    closed, plain = periodic_component(ramp), periodic_component(crop)
    inner = (closed - plain)[20:-20, 20:-20]
    assert (closed[:, 0] - closed[:, -1]).abs().mean() < 0.05
    assert inner.diff(dim=1).std() < 0.1 * plain.diff(dim=1).std()


def test_still_ground_is_judged_by_what_moves_on_it(ground):
    suite = Stable(ground, most=1)
    (entry,) = suite.entries()
    case = entry.load()
    shape = case.source.grid.shape
    xy = np.array([0.2, -0.1])[:, None, None] + 0.05 * np.random.default_rng(1).normal(size=(2, *shape))
    found = suite.judge(case, Answer(xy))
    assert found["bias_x"] == pytest.approx(0.2, abs=0.002)
    assert found["bias_y"] == pytest.approx(-0.1, abs=0.002)
    assert found["nmad"] == pytest.approx(0.05, rel=0.03)
    assert found["static_x"] == pytest.approx(0.1, rel=0.1)
    assert found["valid"] == 1


def test_two_images_of_ones_own_are_judged_too(tmp_path, ground):
    grid = Grid(140, 160, Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32631")
    scene = procedural_scene(140, 160, seed=3)
    for name, image in (("before", scene.before), ("after", scene.after)):
        write_image(tmp_path / f"{name}.tif", Image(image.float(), grid), {})
    paths = str(tmp_path / "before.tif"), str(tmp_path / "after.tif")
    (entry,) = Stable(ground, paths).entries()
    assert entry.load().source.grid == grid
    with pytest.raises(OptionError, match="belong together"):
        _ = SuiteOptions(before=paths[0]).images


@pytest.mark.parametrize("kind", ["translation", "affine", "smooth"])
def test_landmarks_are_left_as_they_were_without_a_method_and_gone_with_the_truth(ground, kind):
    suite = Landmarks(ground, pairs=1, size_px=160)
    case = next(entry for entry in suite.entries() if entry.name == f"{kind}_0").load()
    assert case.truth is not None
    assert 4 < np.hypot(*case.truth).max() < 12
    nothing = suite.judge(case, Answer(np.zeros_like(case.truth)))
    assert nothing["kept"] == pytest.approx(1)
    assert nothing["landmarks"] > 1
    right = suite.judge(case, Answer(case.truth))
    assert right["landmarks"] == right["ce90"] == 0


def test_there_is_a_landmark_in_every_part_of_an_image_and_none_at_its_edge():
    image = procedural_scene(150, 210, seed=2).before[0].numpy()
    rows, columns = landmarks_of(image)
    assert len(rows) == 36
    assert rows.min() >= 24
    assert rows.max() < 150 - 24
    assert columns.max() > 150  # not a square
    assert len({(int(r - 24) * 6 // 102, int(c - 24) * 6 // 162) for r, c in zip(rows, columns, strict=True)}) == 36


def test_smoothing_keeps_planes_and_gaps_and_drops_specks():
    y, x = np.mgrid[0:60, 0:80]
    flow = np.stack([0.01 * x, 0.02 * y]).astype(np.float32)
    rough = flow.copy()
    rough[:, 30, 40], rough[:, 10:14, 10:14] = 9.0, np.nan
    found = smoothed(rough)
    assert np.abs(found - flow)[:, 15:45, 25:60].max() < 0.02
    assert np.array_equal(np.isnan(found), np.isnan(rough))


def test_a_coarser_field_is_put_between_its_measurements_where_they_were_made():
    y, x = np.mgrid[0:41, 0:62].astype(np.float32)
    fine = np.stack([0.1 * x, 0.2 * y - 0.05 * x])
    coarse = fine[:, 2::4, 2::4].copy()
    coarse[:, 5, 5] = np.nan
    found = finer(coarse, 4, (41, 62))
    known = np.isfinite(found).all(0)
    inner = np.zeros_like(known)
    inner[2:38, 2:58] = True
    assert found[:, inner & known] == pytest.approx(fine[:, inner & known], abs=1e-5)
    assert not known[22, 22]
    assert known[10, 10]


def made_case(path, **changes):
    parts = {
        "before": np.full((40, 50), 1000, np.uint16),
        "after": np.full((40, 50), 3000, np.uint16),
        "gain": 1e-4,
        "offset": -0.1,
        "flow": np.zeros((2, 40, 50), np.float16),
        "fault": np.eye(40, 50, dtype=bool),
    }
    np.savez(path, **{key: value for key, value in (parts | changes).items() if value is not None})


def test_reference_cases_are_read_by_class_with_the_programs_beside_them(tmp_path):
    (tmp_path / "cases").mkdir()
    for name in ("b_m", "a_vs", "c_s"):
        made_case(tmp_path / "cases" / f"{name}.npz")
    (tmp_path / "results" / "program").mkdir(parents=True)
    suite = Reference(tmp_path)
    assert [entry.name for entry in suite.entries()] == ["a_vs", "c_s", "b_m"]
    assert [entry.group.split(",")[0] for entry in suite.entries()] == ["very small", "small", "medium"]
    assert [one.name for one in suite.programs()] == ["program"]
    case = suite.entries()[0].load()
    assert case.source.pair.before.pixels[0, 0, 0].item() == pytest.approx(0.0, abs=1e-6)
    assert case.source.pair.after.pixels[0, 0, 0].item() == pytest.approx(0.2)


def test_reference_cases_that_are_none_say_so(tmp_path):
    made_case(tmp_path / "short.npz", fault=None)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    for name in ("short", "torn", "missing"):
        with pytest.raises(InputError, match="is no reference case"):
            read_case(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match="TERRASHIFT_BENCHMARK"):
        Reference(None).entries()
    with pytest.raises(InputError, match="holds no case"):
        Reference(tmp_path).entries()


def test_a_pair_without_motion_has_a_defined_score(ground):
    image = torch.rand(60, 70)
    found = Stable(ground).judge(Case(pair_of(image, image)), Answer(np.zeros((2, 60, 70), np.float32)))
    assert found["nmad"] == found["bias_x"] == 0
    assert math.isnan(found["static_x"])
