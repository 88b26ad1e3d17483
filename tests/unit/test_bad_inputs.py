"""What a user meets who gives the command line something unusable: exit code, message, and nothing left behind.

A run killed halfway is in `test_pipeline.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from terrashift import cli, pipeline
from terrashift.errors import OutputError
from terrashift.io.cog import read_field
from terrashift.io.store_folder import work_folder

SHAPE = (96, 112)
SHIFT_XY = (0.4, -0.3)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_000_000)
SMALL = ["--method", "frequency", "--window", "16", "--start-window-px", "32"]
FAST = [*SMALL, "--step", "8", "--search-px", "2", "--device", "cpu"]


def ground(x: float = 0, y: float = 0) -> np.ndarray:
    """Band-limited noise around 1000, moved by an exact (x right, y down) px."""
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    fy, fx = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])
    spectrum = np.fft.rfft2(noise) * np.exp(-(fx**2 + fy**2) / 0.05 - 2j * np.pi * (fx * x + fy * y))
    return 1000 + 400 * np.fft.irfft2(spectrum, s=SHAPE)


BEFORE, AFTER = ground(), ground(*SHIFT_XY)
HOLE = np.zeros(SHAPE, bool)
HOLE[20:60, 30:80] = True


def write(name: str, bands: np.ndarray, transform: Affine | None = NORTH_UP, crs: str | None = "EPSG:32631", **more):
    """Write (height, width) or (band, height, width) as float32 unless told otherwise."""
    bands = bands if bands.ndim == 3 else bands[None]
    profile = {"driver": "GTiff", "dtype": "float32", "crs": crs, "transform": transform} | more
    count, height, width = bands.shape
    with rasterio.open(name, "w", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(bands.astype(dataset.dtypes[0]))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder that holds a good pair and a folder `out`."""
    monkeypatch.chdir(tmp_path)
    write("a.tif", BEFORE)
    write("b.tif", AFTER)
    (tmp_path / "out").mkdir()
    return tmp_path


def measure(*words: str, output: str = "out/d.tif") -> int:
    return cli.main(["measure", *words, "-o", output, *FAST])


def refused(capsys, *words: str) -> str:
    """What `check` and `measure` both say of a pair that cannot be measured; nothing may be left behind."""
    assert measure(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("terrashift: ")
    assert "Traceback" not in said
    assert os.listdir("out") == []
    assert cli.main(["check", *words]) == 2
    return said


def measured(*words: str) -> tuple[float, float]:
    """Median (east, north) of a run that must work."""
    assert measure(*words) == 0
    field = read_field("out/d.tif")
    return float(field.east.nanmedian()), float(field.north.nanmedian())


def test_a_crs_missing_in_one_image_is_named_and_can_be_given(capsys):
    write("b.tif", AFTER, crs=None)
    said = refused(capsys, "a.tif", "b.tif")
    assert "b.tif has no CRS" in said
    assert "--crs EPSG:32631" in said
    assert measured("a.tif", "b.tif", "--crs", "EPSG:32631") == pytest.approx((4, 3), abs=0.3)
    assert read_field("out/d.tif").grid.crs == "EPSG:32631"


def test_a_crs_missing_in_both_images_gives_pixels_and_says_so(capsys):
    for name, band in (("a.tif", BEFORE), ("b.tif", AFTER)):
        write(name, band, crs=None)
    assert cli.main(["check", "a.tif", "b.tif"]) == 0
    assert "displacement will be in pixels, with north up the image" in capsys.readouterr().out
    assert measured("a.tif", "b.tif") == pytest.approx((0.4, 0.3), abs=0.03)
    assert "px; east and north positive" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"crs": "EPSG:32632"}, ["a.tif is in EPSG:32631, b.tif in EPSG:32632"]),
        ({"transform": Affine(12, 0, 500_000, 0, -12, 4_000_000)}, ["a.tif has 10 x 10 m, b.tif 12 x 12 m"]),
        ({"transform": NORTH_UP @ Affine.translation(0.4, 0)}, ["by a fraction: +0.400 px in x and +0.000 px in y"]),
    ],
)
def test_another_grid_is_named_with_the_way_out(capsys, changes, messages):
    write("b.tif", AFTER, **changes)
    said = refused(capsys, "a.tif", "b.tif")
    for message in [*messages, "`terrashift register b.tif a.tif -o aligned.tif`"]:
        assert message in said


def test_the_verb_that_messages_name_is_there(capsys):
    write("b.tif", AFTER, transform=NORTH_UP @ Affine.translation(0.4, 0))
    assert cli.main(["register", "b.tif", "a.tif", "-o", "aligned.tif", "--window", "32"]) == 0
    assert "aligned.tif" in capsys.readouterr().out
    assert cli.main(["check", "a.tif", "aligned.tif"]) == 0  # they share a grid now


def test_images_that_do_not_overlap_are_named_with_their_places(capsys):
    write("b.tif", AFTER, NORTH_UP @ Affine.translation(5000, 0))
    said = refused(capsys, "a.tif", "b.tif")
    assert "do not overlap: a.tif covers x 500000 to 501120" in said
    assert "Check that both show the same place" in said


def test_a_partial_overlap_is_measured(capsys):
    write("b.tif", AFTER[24:, 32:], NORTH_UP @ Affine.translation(32, 24))
    assert cli.main(["check", "a.tif", "b.tif"]) == 0
    page = capsys.readouterr().out
    assert "54 % of before and 100 % of after overlap" in page
    assert "nan" not in page
    assert measured("a.tif", "b.tif") == pytest.approx((4, 3), abs=0.3)
    assert read_field("out/d.tif").grid.shape == (9, 10)


@pytest.mark.parametrize(
    "transform",
    [NORTH_UP @ Affine.rotation(30), Affine(10, 0, 500_000, 0, 10, 3_900_000), Affine(12, 0, 0, 0, -8, 0)],
    ids=["rotated", "south-up", "oblong pixels"],
)
def test_any_grid_gives_metres_east_and_north(transform):
    write("a.tif", BEFORE, transform)
    write("b.tif", AFTER, transform)
    corner, moved = transform @ (0, 0), transform @ SHIFT_XY
    assert measured("a.tif", "b.tif") == pytest.approx((moved[0] - corner[0], moved[1] - corner[1]), abs=0.3)


def nodata_tag():
    write("a.tif", np.where(HOLE, 0, BEFORE), nodata=0)


def nodata_nan():
    write("a.tif", np.where(HOLE, np.nan, BEFORE))


def nodata_mask():
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open("a.tif", "r+") as dataset:
        dataset.write_mask(~HOLE)


def nodata_alpha():
    bands = np.stack([BEFORE, np.where(HOLE, 0, 65535)]).round()
    write("a.tif", bands, dtype="uint16", alpha="yes", photometric="minisblack")


def nodata_told():
    write("a.tif", np.where(HOLE, -5, BEFORE))


@pytest.mark.parametrize("make", [nodata_tag, nodata_nan, nodata_mask, nodata_alpha, nodata_told])
def test_every_form_of_nodata_is_a_gap_with_its_reason(make):
    make()
    told = ["--nodata=-5"] if make is nodata_told else []
    assert measured("a.tif", "b.tif", *told) == pytest.approx((4, 3), abs=0.3)
    field = read_field("out/d.tif")
    assert field.east[5, 6].isnan()
    assert field.reasons[5, 6] == 1


@pytest.mark.parametrize(("scale", "least"), [(1.0, "0"), (0.5, "-40")])
def test_a_fill_value_that_nobody_declared_is_named(capsys, scale, least):
    write("a.tif", np.where(HOLE, float(least), BEFORE))
    with rasterio.open("a.tif", "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,), (3.0 * (scale != 1),)
    assert cli.main(["check", "a.tif", "b.tif"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"19 % of before lies in areas of exactly {least}" in said
    assert f"pass --nodata {least}" in said
    assert measure("a.tif", "b.tif") == 0
    assert f"warning: fill: 19 % of before lies in areas of exactly {least}" in capsys.readouterr().err
    assert cli.main(["check", "a.tif", "b.tif", f"--nodata={least}"]) == 0
    assert "fill" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("band", "more", "messages"),
    [
        (np.zeros(SHAPE), {"nodata": 0}, ["no pixel of the overlap has data in both images", "--nodata"]),
        (np.full(SHAPE, 7), {}, ["before has one value everywhere", "--band"]),
        (BEFORE[:10, :10], {}, ["the overlap is 10 x 10 px, smaller than the window", "Give larger images"]),
        (BEFORE + 1j, {"dtype": "complex64"}, ["band 1 of a.tif is complex (complex64)", "gdal_calc.py -A a.tif"]),
    ],
    ids=["all nodata", "constant", "tiny", "complex"],
)
def test_an_image_with_nothing_to_measure_is_refused_with_the_way_out(capsys, band, more, messages):
    write("a.tif", band, **more)
    said = refused(capsys, "a.tif", "b.tif")
    for message in messages:
        assert message in said


def test_colour_images_need_a_band(capsys):
    for name, band in (("a.tif", BEFORE), ("b.tif", AFTER)):
        write(name, np.stack([band, band / 2, band / 4]), dtype="uint16", photometric="rgb")
    said = refused(capsys, "a.tif", "b.tif")
    assert "a.tif has 3 bands: choose one with --band" in said
    assert "  2: no description, green" in said
    assert "has no band 9" in refused(capsys, "a.tif", "b.tif", "--band", "9")
    assert measured("a.tif", "b.tif", "--band", "green") == pytest.approx((4, 3), abs=0.3)


def test_a_truncated_file_and_a_lying_header_are_told_apart(capsys):
    write("a.img", BEFORE, driver="ENVI")
    for name in ("a.tif", "a.img"):
        Path(name).write_bytes(Path(name).read_bytes()[: 2 * SHAPE[0] * SHAPE[1]])
    assert "a.tif is damaged or truncated" in (said := refused(capsys, "a.tif", "b.tif"))
    assert "Download or copy it again" in said
    assert "header claims 43008 bytes, the file has 21504" in refused(capsys, "a.img", "b.tif")


def test_what_is_no_raster_is_said_to_be_what_it_is(capsys):
    Path("page.tif").write_text("<!DOCTYPE html><p>Please log in")
    assert "page.tif is not a raster that GDAL reads: it is a web page" in refused(capsys, "page.tif", "b.tif")
    assert "gone.tif does not exist" in refused(capsys, "gone.tif", "b.tif")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("none/d.tif", "the folder none does not exist. Make it with `mkdir -p none`"),
        ("a.tif/d.tif", "a.tif is a file, not a folder. Choose another folder"),
        ("out", "call it out.tif"),
        ("a.tif", "a.tif is an input: choose another name"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(capsys, monkeypatch, output, message):
    monkeypatch.setattr(pipeline, "open_pair", None)
    assert measure("a.tif", "b.tif", output=output) in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of folders are a POSIX matter")
@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("mine", "there are no weights 'mine': the package holds"),
        ("geoflownet", "geoflownet holds weights of the network iterative"),
    ],
)
def test_weights_that_are_missing_or_of_another_method_are_refused_before_any_work(weights, said, capsys):
    words = ["measure", "a.tif", "b.tif", "-o", "d.tif", "--device", "cpu", "--method", "microflow"]
    assert cli.main([*words, "--weights", weights]) == 2
    assert said in capsys.readouterr().err
    assert not list(Path().glob("d.tif*"))


def test_a_folder_that_may_not_be_written_is_named(capsys):
    place = Path(tempfile.mkdtemp())
    place.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:  # whom no permission stops
            os.seteuid(65534)
        assert measure("a.tif", "b.tif", output=str(place / "d.tif")) == 1
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(place)
    assert f"the folder {place} may not be written to. Change its permissions" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file size there")
@pytest.mark.parametrize("limit_bytes", [12_000, 2_000])
def test_a_full_disk_leaves_no_result_and_what_is_finished_is_kept(capfd, limit_bytes):
    import resource

    assert measure("a.tif", "b.tif", output="whole.tif") == 0
    capfd.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        code = measure("a.tif", "b.tif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    assert code == 1
    assert "the disk is full, or a limit of file size or quota is reached" in said
    assert "Free some space, or write to another disk" in said
    kept = [work_folder("d.tif").name] if "--resume goes on from there" in said else []
    assert os.listdir("out") == kept
    assert measure("a.tif", "b.tif", *(["--resume"] if kept else [])) == 0
    assert read_field("out/d.tif").east.nan_to_num().equal(read_field("whole.tif").east.nan_to_num())


def test_a_name_that_exists_is_kept_unless_told_otherwise(capsys):
    Path("out/d.png").write_text("mine")
    assert measure("a.tif", "b.tif") == 1
    assert "out/d.png exists already: pass --overwrite to replace it" in capsys.readouterr().err
    assert os.listdir("out") == ["d.png"]
    assert measured("a.tif", "b.tif", "--overwrite") == pytest.approx((4, 3), abs=0.3)


def test_a_run_cut_short_between_its_files_is_completed_by_resume(capsys, monkeypatch):
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "quicklook", cut)
        assert measure("a.tif", "b.tif") == 130
    assert "interrupted. The finished tiles are kept: the same command with --resume" in capsys.readouterr().err
    assert sorted(os.listdir("out")) == ["d.tif", work_folder("d.tif").name]
    assert measure("a.tif", "b.tif") == 1
    assert measured("a.tif", "b.tif", "--resume") == pytest.approx((4, 3), abs=0.3)
    assert sorted(os.listdir("out")) == ["d.json", "d.png", "d.recipe.yaml", "d.tif"]


def test_a_run_that_ends_before_its_first_tile_leaves_nothing(capsys, monkeypatch):
    def cut(*_: object) -> None:
        raise OutputError("cannot write the first tile")

    monkeypatch.setattr(pipeline, "run_tiles", cut)
    assert measure("a.tif", "b.tif") == 1
    assert capsys.readouterr().err.endswith("terrashift: cannot write the first tile\n")
    assert os.listdir("out") == []


def test_too_little_memory_is_said_before_any_pixel_is_looked_at(capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "check_pair", None)
    assert measure("a.tif", "b.tif", "--max-memory", "100MB") == 2
    said = capsys.readouterr().err
    assert "--max-memory 100MB is too little" in said
    assert "MiB or more" in said
    assert os.listdir("out") == []
