"""Contenders by name: ours with settings, those of others, one's own, and stored results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from affine import Affine
from tiny_estimator import Tiny

from terrashift.core.field import DisplacementField, Flow
from terrashift.core.grid import Grid
from terrashift.errors import InputError, OptionError
from terrashift.estimators.base import Search
from terrashift.evaluate.case import Case, Entry, pair_of
from terrashift.evaluate.methods import Measuring, method_of, methods_of
from terrashift.evaluate.rivals import RIVALS
from terrashift.evaluate.stored import Stored
from terrashift.io.exchange.formats import write_any
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.scene import procedural_scene

OWN = Tiny()
SHIFT = (0.6, -0.4)


def entry(case: Case) -> Entry:
    return Entry("suite", "case", "all", lambda: case)


@pytest.fixture(scope="module")
def moved() -> Case:
    """Ground that moved by (0.6, -0.4) px."""
    ground = procedural_scene(96, 128, seed=4).before[0]
    return Case(pair_of(ground, fourier_shift(ground.double(), SHIFT).float()), search=Search())


def test_a_name_is_the_method_as_measure_runs_it():
    network, plain = method_of("microflow"), method_of("frequency")
    assert isinstance(network, Measuring)
    assert isinstance(plain, Measuring)
    assert (network.estimator.name, network.regulariser.name) == ("microflow", "log_tv")
    assert (plain.estimator.name, plain.regulariser.name) == ("frequency", "none")
    assert network.regulariser.strength_px == 0.4  # as usual for networks


def test_settings_and_regulariser_are_taken_from_the_name():
    one = method_of("spatial:window_px=15, reg=0+tv:strength_px=0.3")
    assert (one.estimator.window_px, one.estimator.reg) == (15, 0)
    assert (one.regulariser.name, one.regulariser.strength_px) == ("tv", 0.3)
    assert method_of("microflow+none").regulariser.name == "none"
    assert one.name == "spatial:window_px=15, reg=0+tv:strength_px=0.3"


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("microflw", "Did you mean `microflow`"),
        ("spatial:windw_px=3", "windw_px"),
        ("spatial:15", "is no setting"),
        ("frequency+medan", "medan"),
        ("no.such.module:Thing", "cannot be imported"),
        ("math:pi", "is no estimator"),
        ("os.path:join", "is no estimator"),
        ("register:afine", "model"),
    ],
)
def test_a_name_that_is_none_says_so(word, says):
    with pytest.raises(OptionError, match=says):
        method_of(word)


def test_an_estimator_of_ones_own_is_imported_by_its_name(moved):
    method = method_of("tiny_estimator:Tiny")
    assert method.name == "tiny_estimator:Tiny"
    assert method(entry(moved), moved).xy.shape[0] == 2


def test_the_same_contender_twice_is_one():
    assert [one.name for one in methods_of(["frequency", "spatial", "frequency"])] == ["frequency", "spatial"]


def test_regularisers_stay_out_where_every_vector_is_a_measurement_by_itself(moved):
    smooth = Measuring("smooth", OWN, method_of("frequency+tv:strength_px=5").regulariser)
    alone = Case(moved.source, search=Search(), smooth=False)
    plain = Measuring("plain", OWN)(entry(moved), moved).xy
    assert np.array_equal(smooth(entry(alone), alone).xy, plain, equal_nan=True)
    assert not np.array_equal(smooth(entry(moved), moved).xy, plain, equal_nan=True)


@pytest.mark.parametrize("name", RIVALS)
def test_others_find_a_known_shift_with_its_sign(name, moved):
    pytest.importorskip("cv2" if name.startswith("opencv") else "skimage")
    answer = RIVALS[name](entry(moved), moved)
    inner = answer.xy[:, 20:-20, 20:-20]
    assert np.nanmedian(inner[0]) == pytest.approx(SHIFT[0], abs=0.12)
    assert np.nanmedian(inner[1]) == pytest.approx(SHIFT[1], abs=0.12)


def test_others_leave_gaps_where_an_image_has_them(moved):
    pytest.importorskip("cv2")
    before = moved.source.pair.before.pixels[0].clone()
    before[10:14, 30:40] = torch.nan
    gappy = Case(pair_of(before, moved.source.pair.after.pixels[0]))
    found = RIVALS["opencv-dis"](entry(gappy), gappy).xy
    assert np.isnan(found[:, 10:14, 30:40]).all()
    assert np.isfinite(found[:, :10]).all()


def test_stored_results_are_read_by_the_name_of_the_case(tmp_path, moved):
    u, v = np.full((96, 128), 0.6, np.float16), np.full((96, 128), -0.4, np.float16)
    np.savez(tmp_path / "case.npz", u=u, v=v)
    answer = Stored("program", tmp_path)(entry(moved), moved)
    assert answer is not None
    assert answer.xy[:, 5, 7] == pytest.approx(SHIFT, abs=1e-3)
    other = Entry("suite", "another", "all", lambda: moved)
    assert Stored("program", tmp_path)(other, moved) is None
    np.savez(tmp_path / "another.npz", u=u.T, v=v.T)
    with pytest.raises(OptionError, match="one vector a pixel"):
        Stored("program", tmp_path)(other, moved)


@pytest.mark.parametrize("step", [1, 4])
def test_a_programs_own_files_are_read_and_put_where_their_cells_lie(tmp_path, step):
    grid = Grid(64, 80, Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32631")
    image = torch.rand(grid.shape)
    case = Case(pair_of(image, image, grid))
    rows, columns = grid.every(step).shape
    y, x = torch.meshgrid(torch.arange(rows) * 1.0, torch.arange(columns) * 1.0, indexing="ij")
    xy = torch.stack([0.01 * x, -0.02 * y])
    flow = Flow(xy, torch.full_like(xy, 0.1), torch.ones(rows, columns), torch.zeros(rows, columns, dtype=torch.uint8))
    write_any(DisplacementField.from_flow(flow, grid, step), tmp_path / "case.tif", "cosicorr")
    answer = Stored("program", tmp_path)(entry(case), case)
    assert answer is not None
    first = step // 2
    found = torch.from_numpy(answer.xy[:, first::step, first::step])
    assert torch.allclose(found, xy, atol=1e-4)
    assert answer.valid.sum() == rows * columns


def test_a_file_that_is_no_field_or_lies_elsewhere_says_so(tmp_path, moved):
    (tmp_path / "case.tif").write_bytes(b"II*\0 torn")
    with pytest.raises(InputError):
        Stored("program", tmp_path)(entry(moved), moved)
    grid = Grid(20, 30, Affine.identity())
    zero = torch.zeros(2, 20, 30)
    flow = Flow(zero, zero, torch.ones(20, 30), torch.zeros(20, 30, dtype=torch.uint8))
    write_any(DisplacementField.from_flow(flow, grid, 1), tmp_path / "case.tif", "cosicorr", overwrite=True)
    with pytest.raises(OptionError, match="measure at every pixel"):
        Stored("program", tmp_path)(entry(moved), moved)


def test_a_registration_is_a_contender_by_its_map(moved):
    answer = method_of("register:translation")(entry(moved), moved)
    assert answer.xy.shape == (2, 96, 128)
    assert answer.xy[0] == pytest.approx(SHIFT[0], abs=0.05)
    assert answer.xy[1] == pytest.approx(SHIFT[1], abs=0.05)
