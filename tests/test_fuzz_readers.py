"""A fixed part of what benchmarks/fuzz_readers.py does: damaged files are read or refused, no more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
FILES = 15
"""Of each kind, and the good one: for TIFF these are the ones that lie by design."""


@pytest.fixture(scope="module")
def fuzzing():
    """The script as a module."""
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("fuzz_readers", FOLDER / "fuzz_readers.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["fuzz_readers"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.skipif(sys.platform == "win32", reason="its limits are those of POSIX")
def test_damaged_files_of_every_kind_are_read_or_refused_without_crash_hang_or_huge_memory(fuzzing):
    worker = fuzzing.Worker(1500, 3)
    try:
        found = [fuzzing.fuzz(kind, range(FILES), worker, 60.0) for kind in fuzzing.readers()]
    finally:
        worker.stop()
    assert [fault for one in found for fault in one.faults] == []
    assert all(one.counts["refused"] for one in found)
    assert all(one.counts["read"] for one in found)  # the good file at least


def test_the_files_that_lie_by_design_are_what_they_should_be(fuzzing, tmp_path):
    """Read by GDAL itself, an honest one of the same make is a picture."""
    import numpy as np
    import rasterio

    content = fuzzing.tiff(
        {256: ("I", [3]), 257: ("I", [2]), 258: ("H", [8]), 259: ("H", [1]), 262: ("H", [1]), 273: ("I", [0]),
         277: ("H", [1]), 278: ("I", [2]), 279: ("I", [6])}, bytes(range(6)),
    )  # fmt: skip
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "a.tif") as dataset:
        assert np.array_equal(dataset.read(1), [[0, 1, 2], [3, 4, 5]])
    assert len(list(fuzzing.made_tiffs())) == FILES - 1


def test_damage_depends_on_its_number_alone(fuzzing, tmp_path):
    made = tmp_path / "a.geojson"
    copies = []
    for _ in range(2):
        made.write_bytes(b'{"type": "FeatureCollection", "features": [1, 2, 3]}')
        fuzzing.damage(fuzzing.Job("trace", 7), made, 0)
        copies.append(made.read_bytes())
    assert copies[0] == copies[1]
