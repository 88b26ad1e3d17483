"""Headers that claim what a file cannot hold are refused before memory is asked for."""

from __future__ import annotations

import importlib.util
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from terrashift.errors import InputError
from terrashift.io import untrusted
from terrashift.io.cog import read_field
from terrashift.io.raster import open_raster, read_whole
from terrashift.io.refusals import MOST_PX

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "fuzz_readers.py"
SAID = "is damaged|claims|has 65535 bands: choose one|is stored in blocks|is truncated|not a raster that GDAL reads"


@pytest.fixture(scope="module")
def lying():
    """TIFFs that lie by design."""
    spec = importlib.util.spec_from_file_location("lying", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return list(module.made_tiffs())


def test_no_lie_of_a_header_makes_the_reader_ask_for_much_memory(lying, tmp_path):
    said = []
    for number, content in enumerate(lying):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            open_raster(str(path)).read(0, 0, 8, 8)
        except InputError as error:
            said.append(str(error))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 60_000_000
    assert [one for one in said if not re.search(SAID, one)] == []
    assert len(said) == len(lying) - 4  # one is honest, two unpack to no more than a block may have, one lies on bytes
    assert max(map(len, said)) < 4000


def test_a_raster_of_more_pixels_than_any_image_is_refused_whatever_its_driver(tmp_path):
    side = int(MOST_PX**0.5) + 1
    path = tmp_path / "a.vrt"
    path.write_text(
        f"<VRTDataset rasterXSize='{side}' rasterYSize='{side}'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"
    )
    with pytest.raises(InputError, match=rf"claims {side} x {side} px: it is damaged, or to be cropped first"):
        open_raster(str(path))


def test_an_honest_sparse_file_is_read(raster):
    """It holds a place for each of its blocks, and no pixel."""
    path = raster("a.tif", np.zeros((3000, 3000), np.uint8), tiled=True, blockxsize=256, blockysize=256, sparse_ok=True)
    assert Path(path).stat().st_size < 10_000
    assert open_raster(path).read(2990, 2990, 8, 8).tolist() == [[0.0] * 8] * 8


def test_a_strip_that_is_the_whole_image_is_read_where_it_is_small(raster, ramp):
    path = raster("a.tif", ramp, compress="deflate", blockysize=7)
    assert open_raster(path).read(0, 0, 7, 9).tolist() == ramp.tolist()


def test_reading_whole_what_does_not_fit_into_the_machine_is_refused(raster, ramp, monkeypatch):
    opened = open_raster(raster("a.tif", ramp))
    assert read_whole(opened).shape == (7, 9)
    monkeypatch.setattr(untrusted, "memory_bytes", lambda: 251)
    with pytest.raises(InputError, match="reading it whole, 7 x 9 px, takes"):
        read_whole(opened)


def test_an_envi_header_with_an_offset_that_is_no_number_is_no_other_error(raster, ramp):
    path = raster("a.img", ramp, driver="ENVI")
    header = Path(path).with_suffix(".hdr")
    header.write_text(re.sub("header offset = .*", "header offset = lots", header.read_text()))
    assert open_raster(path).grid.shape == (7, 9)


def test_a_field_without_crs_whose_tag_lies_is_refused(tmp_path):
    from affine import Affine
    from untrained import torch

    from terrashift.core.field import DisplacementField
    from terrashift.core.grid import Grid
    from terrashift.io.cog import TRANSFORM_TAG
    from terrashift.io.exchange.formats import write_any

    grid, none = Grid(4, 5, Affine.scale(2, 2), cell_px=2), torch.zeros(4, 5)
    write_any(DisplacementField(none, none, none, none, none, none.to(torch.uint8), grid), tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    assert b"[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2]" in content
    for lie in (
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b'["a",0.0, 0.0, 0.0, 2.0, 0.0, 2]',
        b"{}                               ",
    ):
        (tmp_path / "b.tif").write_bytes(content.replace(b"[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2]", lie.ljust(33)))
        with pytest.raises(InputError, match=f"is damaged: its tag {TRANSFORM_TAG} is"):
            read_field(tmp_path / "b.tif")
