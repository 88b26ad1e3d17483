"""Writing a field as a COG, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.errors import InputError, OutputError
from terrashift.io.atomic import atomic_path, atomic_write_text, check_target
from terrashift.io.cog import blocks_of, read_field, to_tags, write_field

UTM = Grid(70, 90, Affine(40, 0, 500_000, 0, -40, 4_000_000), "EPSG:32631")
MADE_BY = {
    "version": "0.1",
    "recipe": {"window_px": 32, "crs": None},
    "inputs": ["a.tif", "b.tif"],
    "number": "7",
    "note": "[not JSON",
}


def make_field(grid: Grid, seed: int = 0) -> DisplacementField:
    values = torch.randn(5, *grid.shape, generator=torch.Generator().manual_seed(seed))
    reasons = torch.arange(grid.height * grid.width).reshape(grid.shape).remainder(64).to(torch.uint8)
    values[:4, reasons > 0] = torch.nan
    return DisplacementField(*values, reasons, grid, MADE_BY)


def write(path: Path, field: DisplacementField, **options) -> None:
    write_field(path, field.grid, blocks_of(field, 33), to_tags(field.made_by), **options)


def assert_same(one: DisplacementField, other: DisplacementField) -> None:
    for name in DisplacementField.BANDS:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)
    assert one.grid == other.grid
    assert one.made_by == other.made_by


@pytest.mark.parametrize(
    "grid",
    [
        UTM,
        replace(UTM, transform=Affine.translation(5, 7) @ Affine.rotation(30) @ Affine.scale(10, -20)),
        replace(UTM, transform=Affine(10, 0, 5, 0, 10, 7)),
        replace(UTM, transform=Affine(1e-4, 0, 3, 0, -2e-4, 50), crs="EPSG:4326", geographic=True),
        replace(UTM, crs="EPSG:2263", metres_per_unit=1200 / 3937),
        Grid(70, 90, Affine.identity()),
        Grid(70, 90, Affine(15, 0, 3, 0, -15, 4)),
    ],
    ids=["utm", "rotated", "south-up", "degrees", "feet", "none", "transform only"],
)
def test_what_is_written_comes_back(tmp_path: Path, grid: Grid):
    field = make_field(grid)
    write(tmp_path / "f.tif", field)
    back = read_field(tmp_path / "f.tif")
    factor = back.grid.metres_per_unit
    assert factor == pytest.approx(grid.metres_per_unit, rel=1e-12)
    transform = back.grid.transform
    assert transform.almost_equals(grid.transform, 1e-9)
    assert_same(
        replace(back, grid=replace(back.grid, metres_per_unit=grid.metres_per_unit, transform=grid.transform)), field
    )
    assert os.listdir(tmp_path) == ["f.tif"]


def test_the_file_explains_itself(tmp_path: Path):
    import rasterio

    write(tmp_path / "f.tif", make_field(replace(UTM, height=700, width=600)))
    with rasterio.open(tmp_path / "f.tif") as dataset:
        assert dataset.descriptions == DisplacementField.BANDS
        assert dataset.units[:5] == ("m", "m", "m", "m", "1")
        assert set(dataset.dtypes) == {"float32"}
        assert all(value != value for value in dataset.nodatavals)
        assert dataset.tags()["AREA_OR_POINT"] == "Area"
        assert dataset.tags()["recipe"] == '{"window_px": 32, "crs": null}'
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.compression.name == "deflate"
        assert dataset.overviews(1) == [2]
        first = dataset.read(6)
    with rasterio.open(tmp_path / "f.tif", overview_level=0) as dataset:
        small = dataset.read(6)
    # nearest takes values as they are: every reason of the overview is one of its own four pixels
    options = torch.stack([torch.tensor(first[i::2, j::2]) for i in (0, 1) for j in (0, 1)])
    assert (options == torch.tensor(small)).any(0).all()


def test_without_a_crs_nothing_is_placed_and_a_tag_says_so(tmp_path: Path):
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    write(tmp_path / "f.tif", make_field(Grid(70, 90, Affine(15, 0, 3, 0, -15, 4))))
    with pytest.warns(NotGeoreferencedWarning):
        dataset = rasterio.open(tmp_path / "f.tif")
    with dataset:
        assert dataset.crs is None
        assert dataset.transform.is_identity
        assert dataset.units[:5] == ("px", "px", "px", "px", "1")
        assert "no CRS, lengths are in pixels" in dataset.tags()["TERRASHIFT_GEOREFERENCING"]


def test_cells_in_no_block_are_without_value_and_reasoned(tmp_path: Path):
    field = make_field(UTM)
    block = next(iter(blocks_of(field, 33)))[2][:, :20, :30]
    write_field(tmp_path / "f.tif", UTM, [(10, 50, block)], {})
    back = read_field(tmp_path / "f.tif")
    torch.testing.assert_close(back.east[10:30, 50:80], block[0], equal_nan=True)
    outside = torch.ones(UTM.shape, dtype=torch.bool)
    outside[10:30, 50:80] = False
    assert back.east[outside].isnan().all()
    assert (back.reasons[outside] == 1).all()


def test_a_block_past_the_edge_is_our_own_mistake(tmp_path: Path):
    with pytest.raises(ValueError, match=r"block of 20 x 30 at \(60, 0\) leaves a field of \(70, 90\)"):
        write_field(tmp_path / "f.tif", UTM, [(60, 0, torch.zeros(6, 20, 30))], {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, error):
    old = make_field(UTM, 1)
    write(tmp_path / "f.tif", old)

    def blocks():
        yield 0, 0, torch.zeros(6, 10, 10)
        raise error

    with pytest.raises(error):
        write_field(tmp_path / "f.tif", UTM, blocks(), {}, overwrite=True)
    assert os.listdir(tmp_path) == ["f.tif"]
    assert_same(read_field(tmp_path / "f.tif"), old)


def test_a_copy_that_lost_values_is_noticed(tmp_path: Path, monkeypatch):
    import rasterio
    import rasterio.shutil

    def lossy(source, target, **_):
        with rasterio.open(source) as dataset:
            values, profile, tags = dataset.read(), dataset.profile, dataset.tags()
        values[4, 40, 40] += 1
        with rasterio.open(target, "w", **profile) as dataset:
            dataset.write(values)
            dataset.descriptions = DisplacementField.BANDS
            dataset.update_tags(**tags)

    monkeypatch.setattr(rasterio.shutil, "copy", lossy)
    with pytest.raises(OutputError, match=r"does not read back .other values at row 33, column 0"):
        write(tmp_path / "f.tif", make_field(UTM))
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import resource, signal, sys
import torch
from affine import Affine
from terrashift.core.grid import Grid
from terrashift.errors import OutputError
from terrashift.io.cog import write_field

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = torch.randint(-2**31, 2**31 - 1, (6, 1024, 1024), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
noise = noise.view(torch.float32)
grid = Grid(1024, 1024, Affine(10, 0, 5, 0, -10, 7), "EPSG:32631")
try:
    write_field(sys.argv[1], grid, [(0, 0, noise)], {})
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of file size on Windows")
@pytest.mark.parametrize("limit", [100_000, 25_300_000], ids=["while writing", "while compressing"])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, limit):
    """Here the limit of file size stands for a full disk: the plain file has 25.2 MB, the COG of noise more."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "f.tif"), str(limit)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert f"cannot write {tmp_path / 'f.tif'}: " in run.stdout
    assert "About 50.3 MB are needed" in run.stdout
    assert "ree some space" in run.stdout
    assert os.listdir(tmp_path) == []


def test_a_target_is_checked_before_any_work(tmp_path: Path):
    (tmp_path / "old.tif").write_text("old")
    for path, message in {
        tmp_path: r"it is a folder. Give the name of a file",
        tmp_path / "none" / "f.tif": r"the folder .*none does not exist. Make it with `mkdir -p .*none`",
        tmp_path / "old.tif" / "f.tif": r"old\.tif is a file, not a folder",
        tmp_path / "old.tif": r"old\.tif exists already: pass --overwrite",
        tmp_path / ("n" * 300 + ".tif"): r"cannot write .*name too long",
    }.items():
        with pytest.raises(OutputError, match=f"(?i){message}"):
            check_target(path, overwrite=False)
    with pytest.raises(OutputError, match=r"not enough space for .*: 1e\+09 GB needed, .*B free"):
        check_target(tmp_path / "f.tif", overwrite=False, needed_bytes=10**18)
    check_target(tmp_path / "old.tif", overwrite=True)
    check_target("f_in_this_folder.tif", overwrite=False)
    assert os.listdir(tmp_path) == ["old.tif"]


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    # the tests may run as root, whom no permission stops
    monkeypatch.setattr(Path, "touch", deny)
    with pytest.raises(OutputError, match=r"the folder .* may not be written to"):
        check_target(tmp_path / "f.tif", overwrite=False)


def write_half(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_text_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "[1] recipe.yaml"
    atomic_write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    with pytest.raises(OutputError, match="cannot write"), atomic_path(path):
        pass  # nothing is written under the temporary name
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == "é\n".encode()


def test_a_file_of_others_is_refused(raster, ramp, tmp_path: Path):
    with pytest.raises(InputError, match=r"is not a displacement field that TerraShift wrote .its bands: None."):
        read_field(raster("a.tif", ramp))
    with pytest.raises(InputError, match="does not exist"):
        read_field(tmp_path / "none.tif")


def test_a_result_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "f.tif"
    write(path, make_field(UTM))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="damaged or truncated"):
        read_field(path)
