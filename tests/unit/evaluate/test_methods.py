"""Contenders by name: ours with settings, those of others, one's own, and stored results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_estimator import Tiny

from terrashift.errors import OptionError
from terrashift.estimators.base import Search
from terrashift.evaluate.case import Case, Entry, pair_of
from terrashift.evaluate.methods import Measuring, Stored, method_of, methods_of
from terrashift.evaluate.rivals import RIVALS
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
