"""A real pair without truth is judged by smoothed correlation, in zones that are metres from the fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from terrashift.core.grid import Grid
from terrashift.core.image import Image
from terrashift.errors import InputError
from terrashift.evaluate.case import Answer
from terrashift.evaluate.pseudo_truth import PseudoTruth, drawn
from terrashift.io.pairs import write_image
from terrashift.io.vectors import write_lines
from terrashift.simulate.pair import simulate_pair
from terrashift.simulate.rupture import Rupture, displacement
from terrashift.simulate.scene import procedural_ground

SHAPE = (140, 180)
GRID = Grid(*SHAPE, Affine(20, 0, 5e5, 0, -20, 4e6), "EPSG:32631")
MARGIN_PX = 10


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str, Path]:
    """Two images of an earthquake of 2 px, and its trace."""
    folder = tmp_path_factory.mktemp("pair")
    motion = displacement(GRID, Rupture(slip_m=40.0, depth_km=2.0, strike_deg=60.0), 3)
    made = simulate_pair(procedural_ground(*(side + 2 * MARGIN_PX for side in SHAPE), 3), GRID, motion)
    for name, image in (("before", made.before), ("after", made.after)):
        write_image(folder / f"{name}.tif", Image(image.pixels, GRID), {})
    write_lines(folder / "trace.geojson", [line.numpy() for line in motion.lines], GRID.crs)
    return str(folder / "before.tif"), str(folder / "after.tif"), folder / "trace.geojson"


def test_a_given_trace_parts_the_pair_into_zones_of_metres(pair):
    before, after, trace = pair
    suite = PseudoTruth((before, after), trace)
    (entry,) = suite.entries()
    case = entry.load()
    assert case.truth is not None
    assert case.fault is not None
    known = np.isfinite(case.truth).all(0)
    assert known[40:-40, 40:-40].mean() > 0.9
    jump = np.nanpercentile(case.truth, 97, axis=(1, 2)) - np.nanpercentile(case.truth, 3, axis=(1, 2))
    assert np.hypot(*jump) == pytest.approx(2.0, abs=0.6)
    answer = Answer(case.truth + np.array([0.06, 0.08], np.float32)[:, None, None])
    found = suite.judge(case, answer)
    for zone in ("fault", "100m", "1km", "beyond"):
        assert found[f"epe_{zone}"] == pytest.approx(0.1, abs=1e-4)
    far = Answer(np.where(distance_of(case.fault) * 20 > 1000, case.truth + 1, case.truth).astype(np.float32))
    found = suite.judge(case, far)
    assert found["epe_1km"] == 0
    assert found["epe_beyond"] == pytest.approx(np.sqrt(2), rel=1e-4)


def distance_of(fault: np.ndarray) -> np.ndarray:
    """In pixels, by brute force."""
    rows, columns = np.nonzero(fault)
    y, x = np.mgrid[0 : fault.shape[0], 0 : fault.shape[1]]
    return np.sqrt(((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(-1))


def test_without_a_trace_the_motion_shows_it(pair):
    before, after, trace = pair
    (entry,) = PseudoTruth((before, after)).entries()
    fault, known = entry.load().fault, drawn(trace, GRID)
    assert fault is not None
    inner = np.zeros(SHAPE, bool)
    inner[35:-35, 35:-35] = True
    assert (distance_of(known)[fault & inner] <= 4).mean() > 0.8  # what was found is there
    assert (distance_of(fault)[known & inner] <= 4).mean() > 0.8  # what is there was found


def test_a_trace_elsewhere_and_no_pair_are_mistakes(pair, tmp_path):
    before, after, _ = pair
    away = torch.tensor([[9e5, 9e6], [9.01e5, 9e6]]).numpy().astype(float)
    write_lines(tmp_path / "away.geojson", [away], GRID.crs)
    (entry,) = PseudoTruth((before, after), tmp_path / "away.geojson").entries()
    with pytest.raises(InputError):
        entry.load()
    with pytest.raises(InputError, match="--before and --after"):
        PseudoTruth(None).entries()
