"""From two files to one, and everything beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image

import terrashift
from terrashift import cli, pipeline, runner
from terrashift.core.grid import Grid
from terrashift.core.tiles import plan_tiles
from terrashift.errors import IncompleteError, InputError, OptionError, OutputError
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.search import SearchOptions
from terrashift.io.cog import read_field
from terrashift.io.store_folder import work_folder
from terrashift.ops.spectral import fourier_shift
from terrashift.pipeline import measure, measure_arrays
from terrashift.product import PICTURE_PX, Files, Thumbnail
from terrashift.recipe import Recipe
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.tv import Tv
from terrashift.resources import RunOptions
from terrashift.watch import Watch

SHAPE = (300, 400)
SHIFT = (0.4, -0.3)
RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=4),
    search=SearchOptions(search_px=2),
    run=RunOptions(tile_px=64, threads=1, device="cpu"),
)
GRID = Grid(*SHAPE, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")


def ground(seed: int = 0) -> torch.Tensor:
    """Band-limited noise around 1000, so that an exact shift by a fraction exists."""
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    fy, fx = torch.fft.fftfreq(SHAPE[0])[:, None], torch.fft.rfftfreq(SHAPE[1])
    spectrum = torch.fft.rfft2(noise) * torch.exp(-((fy**2 + fx**2) / 0.05))
    return 1000 + 400 * torch.fft.irfft2(spectrum, s=SHAPE)


def write(path, band: torch.Tensor, **more) -> str:
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": SHAPE[0], "width": SHAPE[1]}
    with rasterio.open(path, "w", **profile, crs=GRID.crs, transform=GRID.transform, **more) as dataset:
        dataset.write(band.numpy().astype(np.float32), 1)
    return str(path)


@pytest.fixture(scope="module")
def bands():
    before = ground()
    before[40:60, 50:80] = torch.nan
    return before, fourier_shift(ground(), SHIFT)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, bands):
    folder = tmp_path_factory.mktemp("pair")
    return write(folder / "before.tif", bands[0], nodata=float("nan")), write(folder / "after.tif", bands[1])


@pytest.fixture(scope="module")
def done(tmp_path_factory, pair):
    output = tmp_path_factory.mktemp("done") / "displacement.tif"
    return Files.beside(output), measure(*pair, output, RECIPE)


def bits(path) -> bytes:
    with rasterio.open(path) as dataset:
        return dataset.read().tobytes()


def test_a_known_shift_comes_back_in_metres_east_and_north(done):
    field = read_field(done[0].field)
    assert field.grid == GRID.every(4)
    assert float(field.east.nanmedian()) == pytest.approx(10 * SHIFT[0], abs=0.3)
    assert float(field.north.nanmedian()) == pytest.approx(-10 * SHIFT[1], abs=0.3)
    assert field.east[12, 16].isnan()
    assert field.reasons[12, 16] == 1


def test_recipe_picture_and_summary_lie_beside_the_result_and_nothing_else(done):
    files, summary = done
    assert sorted(path.name for path in files.field.parent.iterdir()) == [
        "displacement.json",
        "displacement.png",
        "displacement.recipe.yaml",
        "displacement.tif",
    ]
    assert files.picture.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(files.summary.read_text())
    assert numbers["valid"] == summary.valid == int(read_field(files.field).east.isfinite().sum())


def test_the_recipe_beside_the_result_makes_it_again(done, pair, tmp_path):
    files, _ = done
    again = Recipe.from_yaml(files.recipe)
    assert again == RECIPE
    measure(*pair, tmp_path / "again.tif", again.model_copy(update={"run": RunOptions(threads=2, tile_px=1)}))
    assert bits(tmp_path / "again.tif") == bits(files.field)


def test_the_tags_say_where_it_came_from(done):
    made_by = read_field(done[0].field).made_by
    assert made_by["RECIPE_HASH"] == RECIPE.hash
    assert Recipe.model_validate(made_by["RECIPE"]).hash == RECIPE.hash
    assert (made_by["BEFORE"], made_by["AFTER"]) == ("before.tif", "after.tif")
    assert len(made_by["BEFORE_SHA256"]) == len(made_by["AFTER_SHA256"]) == 64
    assert made_by["BEFORE_SHA256"] != made_by["AFTER_SHA256"]
    assert made_by["TERRASHIFT_VERSION"] == terrashift.__version__
    assert "positive toward the east and the north" in made_by["CONVENTION"]
    assert "metres" in made_by["CONVENTION"]


def test_arrays_give_the_same_numbers_as_files(done, bands):
    from_files = read_field(done[0].field)
    from_arrays = measure_arrays(bands[0].numpy(), bands[1], RECIPE, GRID)
    for name in ("east", "north", "score", "reasons"):
        one, other = getattr(from_files, name), getattr(from_arrays, name)
        assert torch.equal(one.isnan(), other.isnan())
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
    assert from_arrays.grid == from_files.grid


def test_arrays_without_a_grid_give_pixels_with_north_up_the_image(bands):
    field = measure_arrays(*bands, RECIPE)
    assert field.grid.unit == "px"
    assert float(field.east.nanmedian()) == pytest.approx(SHIFT[0], abs=0.03)
    assert float(field.north.nanmedian()) == pytest.approx(-SHIFT[1], abs=0.03)


def test_files_without_georeferencing_give_pixels_and_say_so(tmp_path, bands):
    pair = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    for path, band in zip(pair, bands, strict=True):
        Image.fromarray(band.numpy()).save(path)
    measure(*pair, tmp_path / "x.tif", RECIPE)
    field = read_field(tmp_path / "x.tif")
    assert field.grid == Grid(*SHAPE, Affine.identity()).every(4)
    assert field.grid.pixel_size == (4, 4)
    assert float(field.east.nanmedian()) == pytest.approx(SHIFT[0], abs=0.03)
    assert "pixels (the images have no CRS)" in field.made_by["CONVENTION"]


def test_arrays_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(3, 4\) and \(4, 3\)"):
        measure_arrays(torch.zeros(3, 4), torch.zeros(4, 3))


def test_the_backward_check_runs_in_the_flow(pair, tmp_path):
    recipe = Recipe.model_validate(RECIPE.model_dump() | {"backward": {"backward_px": 0.5}})
    field = read_field_of(measure, pair, tmp_path / "checked.tif", recipe)
    assert float(field.east.nanmedian()) == pytest.approx(10 * SHIFT[0], abs=0.3)


def read_field_of(run, pair, output, recipe):
    run(*pair, output, recipe)
    return read_field(output)


def test_names_that_exist_are_kept_unless_overwrite_is_given(done, pair, tmp_path):
    (tmp_path / "x.json").write_text("mine")
    with pytest.raises(OutputError, match=r"x\.json exists already: pass --overwrite"):
        measure(*pair, tmp_path / "x.tif", RECIPE)
    assert os.listdir(tmp_path) == ["x.json"]
    measure(*pair, tmp_path / "x.tif", RECIPE, overwrite=True)
    assert bits(tmp_path / "x.tif") == bits(done[0].field)


def test_an_input_is_never_replaced(pair):
    kept = Path(pair[0]).read_bytes()
    with pytest.raises(OptionError, match="is an input"):
        measure(*pair, pair[0], RECIPE, overwrite=True)
    assert Path(pair[0]).read_bytes() == kept


def test_a_name_that_is_no_geotiff_is_refused_with_one_that_is(pair, tmp_path):
    with pytest.raises(OptionError, match=r"call it .*out\.tif"):
        measure(*pair, tmp_path / "out.png", RECIPE)


def test_a_failed_check_stops_before_any_work(pair, tmp_path):
    flat = write(tmp_path / "flat.tif", torch.full(SHAPE, 7.0))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError):
        measure(pair[0], flat, tmp_path / "out" / "x.tif", RECIPE)
    assert os.listdir(tmp_path / "out") == []


class Breaking:
    """A `Watch.tiles` that ends a run after some tiles, as Ctrl-C would."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def __call__(self, done, total):
        self.seen.append((done, total))
        if done == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_cut_short_leaves_no_result_and_is_resumed_to_the_same_bits(done, pair, tmp_path):
    output = tmp_path / "x.tif"
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        measure(*pair, output, RECIPE, watch=Watch(tiles=Breaking(2)))
    assert os.listdir(tmp_path) == [work_folder(output).name]
    with pytest.raises(OutputError, match=r"--resume"):
        measure(*pair, output, RECIPE)
    rest = Breaking(-1)
    measure(*pair, output, RECIPE, resume=True, watch=Watch(tiles=rest))
    assert rest.seen[0][0] >= 2
    assert bits(output) == bits(done[0].field)
    assert not work_folder(output).exists()


def test_a_run_of_other_settings_is_never_mixed_in(pair, tmp_path):
    output = tmp_path / "x.tif"
    with pytest.raises(KeyboardInterrupt):
        measure(*pair, output, RECIPE, watch=Watch(tiles=Breaking(1)))
    other = Recipe.model_validate(
        RECIPE.model_dump() | {"estimate": RECIPE.estimate.model_copy(update={"robustness": 1})}
    )
    with pytest.raises(OutputError, match="robustness: 4 then, 1 now"):
        measure(*pair, output, other, resume=True)
    with pytest.raises(OutputError, match="BEFORE"):
        measure(*reversed(pair), output, RECIPE, resume=True)
    measure(*pair, output, other, overwrite=True)
    assert read_field(output).made_by["RECIPE_HASH"] == other.hash


def test_a_run_killed_halfway_is_resumed(done, pair, tmp_path):
    output = tmp_path / "x.tif"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.to_yaml())
    command = [sys.executable, "-m", "terrashift", "measure", *pair, "-o", str(output), "--recipe", str(recipe)]
    marks = work_folder(output) / "done"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None and not (marks.exists() and list(marks.glob("[0-9]*"))):
            time.sleep(0.005)
        process.kill()
        said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, f"it ended by itself before it could be killed: {said}"
    assert list(marks.glob("[0-9]*")), "nothing was finished before the kill"
    assert not output.exists()
    assert cli.main([*command[3:], "--resume"]) == 0
    assert bits(output) == bits(done[0].field)


SMOOTH = RECIPE.model_copy(update={"regularise": LogTv(strength_px=0.05)})
BLOCK = 40
"""Measurements; the 75 x 100 of these images are six such blocks."""


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (runner, pipeline):
        monkeypatch.setattr(module, "BLOCK", BLOCK)


@pytest.fixture(scope="module")
def smoothed(tmp_path_factory, pair):
    output = tmp_path_factory.mktemp("smoothed") / "displacement.tif"
    with pytest.MonkeyPatch.context() as patch:
        for module in (runner, pipeline):
            patch.setattr(module, "BLOCK", BLOCK)
        return Files.beside(output), measure(*pair, output, SMOOTH)


def roughness(band: torch.Tensor) -> float:
    return float(band.diff(dim=0).abs().nanmean() + band.diff(dim=1).abs().nanmean())


def test_smoothing_takes_roughness_and_leaves_all_else_as_it_was(done, smoothed):
    plain, smooth = read_field(done[0].field), read_field(smoothed[0].field)
    for name in ("east", "north"):
        one, other = getattr(plain, name), getattr(smooth, name)
        assert torch.equal(one.isnan(), other.isnan())
        assert roughness(other) < 0.5 * roughness(one)
        assert float(other.nanmedian()) == pytest.approx(float(one.nanmedian()), abs=0.05)
    for name in ("sigma_east", "sigma_north", "score", "reasons"):
        torch.testing.assert_close(getattr(plain, name), getattr(smooth, name), rtol=0, atol=0, equal_nan=True)
    assert smooth.grid == plain.grid
    assert sorted(p.name for p in smoothed[0].field.parent.iterdir()) == sorted(path.name for path in smoothed[0])


def test_a_smoothed_result_says_by_what(done, smoothed):
    files, summary = smoothed
    numbers = json.loads(files.summary.read_text())
    assert numbers["made_by"]["REGULARISER"] == "log_tv"
    assert numbers["made_by"]["RECIPE"]["regularise"]["strength_px"] == 0.05
    assert numbers["extra"] == {"regularised by": "log_tv"}
    assert {"leprince2007", "candes2008"} <= set(read_field(files.field).made_by["PAPERS"])
    assert Recipe.from_yaml(files.recipe) == SMOOTH
    assert summary.made_by["RECIPE_HASH"] == SMOOTH.hash != RECIPE.hash
    plain = json.loads(done[0].summary.read_text())
    assert plain["made_by"]["REGULARISER"] == "none"
    assert plain["extra"] == {}


@pytest.mark.parametrize("tile_px", [1, 200, 4096])
def test_tiles_and_threads_leave_no_trace_in_a_smoothed_field(smoothed, pair, tmp_path, small_blocks, tile_px):
    run = RunOptions(threads=2, tile_px=tile_px, device="cpu")
    measure(*pair, tmp_path / "x.tif", SMOOTH.model_copy(update={"run": run}))
    assert bits(tmp_path / "x.tif") == bits(smoothed[0].field)
    assert not work_folder(tmp_path / "x.tif").exists()


def test_arrays_are_smoothed_to_the_same_numbers_as_files(smoothed, bands, small_blocks):
    from_files, from_arrays = read_field(smoothed[0].field), measure_arrays(*bands, SMOOTH, GRID)
    for name in ("east", "north", "sigma_east", "score", "reasons"):
        one, other = getattr(from_files, name), getattr(from_arrays, name)
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert from_arrays.made_by["RECIPE_HASH"] == SMOOTH.hash


def test_progress_counts_both_passes_as_one_run(pair, tmp_path, small_blocks):
    watch = Breaking(-1)
    measure(*pair, tmp_path / "x.tif", SMOOTH, watch=Watch(tiles=watch))
    totals = {total for _, total in watch.seen}
    assert len(totals) == 1
    counts = [done for done, _ in watch.seen]
    assert counts == sorted(counts)
    assert counts[-1] == totals.pop() == len(set(counts)) - 1


PASSES = {"in the first pass": 3, "between the passes": -6, "in the second pass": -3}


@pytest.mark.parametrize("cut", PASSES.values(), ids=PASSES)
def test_a_run_killed_in_either_pass_is_resumed_to_the_same_bits(smoothed, pair, tmp_path, small_blocks, cut):
    (tmp_path / "recipe.yaml").write_text(SMOOTH.to_yaml())
    program = f"""
import os, signal, sys
from terrashift import pipeline, runner
from terrashift.pipeline import measure
from terrashift.watch import Watch
from terrashift.recipe import Recipe

pipeline.BLOCK = runner.BLOCK = {BLOCK}

def kill(done, total):
    if done == ({cut} if {cut} > 0 else total + {cut}):
        os.kill(os.getpid(), signal.SIGKILL)

folder = sys.argv[1]
measure(*sys.argv[2:], folder + "/x.tif", Recipe.from_yaml(folder + "/recipe.yaml"), watch=Watch(tiles=kill))
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path), *pair], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    output, rest = tmp_path / "x.tif", Breaking(-1)
    assert not output.exists()
    measure(*pair, output, SMOOTH, resume=True, watch=Watch(tiles=rest))
    total = rest.seen[-1][1]
    left = total - cut if cut > 0 else -cut
    assert len({done for done, _ in rest.seen}) <= left + 2, "finished tiles were done again"
    assert bits(output) == bits(smoothed[0].field)
    assert sorted(os.listdir(tmp_path)) == ["recipe.yaml", "x.json", "x.png", "x.recipe.yaml", "x.tif"]


def test_ctrl_c_in_the_second_pass_keeps_both_and_nothing_is_measured_again(
    smoothed, pair, tmp_path, small_blocks, monkeypatch
):
    output, first = tmp_path / "x.tif", len(list(plan_tiles((75, 100), RECIPE.run.tile_side(RECIPE.estimate, GRID))))
    with pytest.raises(KeyboardInterrupt, match=r"of 6 tiles of the smoothing are finished and kept.*--resume"):
        measure(*pair, output, SMOOTH, watch=Watch(tiles=Breaking(first + 2)))
    other = SMOOTH.model_copy(update={"regularise": Tv()})
    with pytest.raises(OutputError, match=r'regularise\.method: "log_tv" then, "tv" now'):
        measure(*pair, output, other, resume=True)
    monkeypatch.setattr(Frequency, "__call__", lambda *_: pytest.fail("a tile was measured again"))
    rest = Breaking(-1)
    measure(*pair, output, SMOOTH, resume=True, watch=Watch(tiles=rest))
    assert rest.seen[1][0] >= first + 2, "a block was smoothed again"
    assert bits(output) == bits(smoothed[0].field)


def test_failed_tiles_leave_no_result_and_an_exit_code(pair, tmp_path, monkeypatch, capsys):
    def broken(self, before, after, search):
        raise ArithmeticError("haunted")

    monkeypatch.setattr(Frequency, "__call__", broken)
    with pytest.raises(IncompleteError, match=r"(\d+) of \1 tiles failed[\s\S]*haunted"):
        measure(*pair, tmp_path / "x.tif", RECIPE)
    assert not (tmp_path / "x.tif").exists()


def test_the_command_line_measures_and_prints_the_page(done, pair, tmp_path, capsys):
    output = tmp_path / "y.tif"
    words = "--method frequency --window 16 --start-window-px 32 --step 4 --search-px 2 --tile-px 64 --threads 2"
    assert cli.main(["measure", *pair, "-o", str(output), *words.split(), "--device", "cpu"]) == 0
    page = capsys.readouterr()
    assert "frequency" in page.out
    assert "before.tif" in page.out
    assert re.search(r"^(\d+) of \1 tiles$", page.err, re.MULTILINE)
    assert bits(output) == bits(done[0].field)


def test_the_command_line_checks_a_pair(pair, tmp_path, capsys):
    assert cli.main(["check", *pair]) == 0
    assert "overlap" in capsys.readouterr().out
    assert cli.main(["check", "--json", *pair]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    flat = write(tmp_path / "flat.tif", torch.full(SHAPE, 7.0))
    assert cli.main(["check", pair[0], flat]) == 2
    assert cli.main(["check", pair[0], "nowhere.tif"]) == 2
    assert "nowhere.tif does not exist" in capsys.readouterr().err


def test_the_demo_measures_what_it_made(tmp_path):
    """In a process of its own: that of the tests has grown beyond what the demo's memory allows for."""
    command = [sys.executable, "-m", "terrashift", "demo", "--folder", tmp_path, "--size-px", "128", "--step", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "slip across the fault" in done.stdout
    assert (tmp_path / "displacement.png").exists()
    assert read_field(tmp_path / "truth.tif").grid.shape == (128, 128)


def test_a_thumbnail_has_every_nth_measurement_whatever_the_tiles():
    grid = Grid(3 * PICTURE_PX - 7, 40, Affine.identity())
    values = torch.arange(6 * grid.height * grid.width, dtype=torch.float32).reshape(6, *grid.shape)
    values[5] = 4
    for side in (7, 64, 1000):
        thumbnail = Thumbnail.of(grid)
        for tile in plan_tiles(grid.shape, side):
            thumbnail.add(tile, values[:, *tile.core])
        assert thumbnail.every == 3
        assert torch.equal(thumbnail.values, values[:, 1::3, 1::3])
    assert thumbnail.field({}).grid == grid.every(3)


def test_the_public_names_are_there_and_the_package_is_light():
    for name in dir(terrashift):
        assert getattr(terrashift, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = terrashift.nothing_of_that_name
    program = "import sys, terrashift; print([m for m in ('torch', 'numpy', 'rasterio') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
