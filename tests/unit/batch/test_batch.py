"""Many pairs from a table: what is wrong is listed first, what fails stops nothing, what is finished is kept."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import rasterio
import torch
from affine import Affine
from dask_party import SHIFT, bits, write_pair

from terrashift import cli
from terrashift.batch import run as running
from terrashift.batch.children import Children, Options, shared
from terrashift.batch.results import Row, counts, is_finished, median_sigma, seconds_before, write_table
from terrashift.batch.run import run_batch, state_of
from terrashift.batch.table import Job, overridden, read_jobs
from terrashift.cluster.workers import Cluster
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.crew import available_cores
from terrashift.errors import InputError, OptionError, OutputError
from terrashift.estimators.frequency import Frequency
from terrashift.io.cog import blocks_of, write_field
from terrashift.io.store_folder import work_folder
from terrashift.pipeline import measure
from terrashift.recipe import Recipe
from terrashift.resources import RunOptions
from terrashift.verbs.batch import _parse

FLAGS = ["--method", "frequency", "--window", "16", "--start-window-px", "32", "--step", "8", "--tile-px", "1"]
FLAGS += ["--threads", "1", "--device", "cpu"]
RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=8),
    run=RunOptions(threads=1, device="cpu", tile_px=1),
)
SHAPE = (72, 300)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with before.tif and after.tif."""
    folder = tmp_path_factory.mktemp("images")
    write_pair(folder, SHAPE)
    return folder


@pytest.fixture
def folder(images, tmp_path) -> Path:
    """A folder of its own with the same images in `images`, from which tests run."""
    shutil.copytree(images, tmp_path / "images")
    return tmp_path


def table(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text)
    return path


def jobs_of(folder: Path, text: str, recipe_of=lambda columns: RECIPE) -> list[Job]:
    return read_jobs(table(folder, text), folder / "out", recipe_of)


PAIR = "images/before.tif,images/after.tif"


def test_paths_count_from_the_table_and_names_from_the_images(folder, monkeypatch):
    monkeypatch.chdir("/")
    (job,) = jobs_of(folder, f"before,after\n{PAIR}\n")
    assert (job.before, job.after) == (str(folder / "images/before.tif"), str(folder / "images/after.tif"))
    assert (job.name, job.output, job.line) == ("before__after", folder / "out/before__after.tif", 2)


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_any_usual_separator_empty_lines_and_own_columns_are_read(folder, sign):
    text = "\ufeffBefore,After,Name,#remark\n\n" + f"{PAIR},one,nothing\n ,,,\n{PAIR},two,\n"
    jobs = jobs_of(folder, text.replace(",", sign))
    assert [(job.name, job.line) for job in jobs] == [("one", 3), ("two", 5)]


def test_urls_are_left_as_they_are(folder):
    (job,) = jobs_of(folder, "before,after,output\nhttps://x.org/a.tif,/vsizip/b.zip/b.tif,deep/c.tif\n")
    assert (job.before, job.after) == ("https://x.org/a.tif", "/vsizip/b.zip/b.tif")
    assert (job.name, job.output) == ("c", folder / "out/deep/c.tif")


def test_all_that_is_wrong_is_listed_before_anything_runs(folder):
    text = (
        "before,after,name,output\n"
        f"{PAIR},same,\nimages/no.tif,images/after.tif,a,\n,images/after.tif,b,\n{PAIR},same,\n"
        f"{PAIR},x,x.png\n{PAIR},summary,\n{PAIR},,../images/after.tif\n{PAIR},a/b,\n"
    )
    with pytest.raises(InputError) as raised:
        jobs_of(folder, text)
    said = str(raised.value)
    assert said.splitlines()[0].endswith("cannot be run as it is:")
    for line, words in {
        3: "images/no.tif does not exist",
        4: "no before",
        5: "is the output of line 2 too",
        6: "call it x.tif",
        7: "summary.tif would have the name of the table of results",
        8: "would replace an image of line",
        9: "holds a slash",
    }.items():
        assert any(words in row and row.startswith(f"  line {line}: ") for row in said.splitlines()), words
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vorher,nachher\na,b\n", "has no column before nor after"),
        ("before\na\n", "has no column after"),
        ("before,after,name,name\na,b,c,d\n", "names the column name twice"),
        ("before,after\na,b,c\n", "line 2 of .* has 3 cells, its heading 2"),
        ("before,after\n", "a heading and no pair"),
        ("", "has no column before nor after"),
    ],
)
def test_a_table_that_is_none_is_refused(folder, text, words):
    with pytest.raises(InputError, match=words):
        jobs_of(folder, text)


def test_a_table_that_is_not_there_is_refused(folder):
    with pytest.raises(InputError, match=r"none\.csv cannot be read"):
        read_jobs(folder / "none.csv", folder / "out", lambda columns: RECIPE)


def test_a_row_lays_its_settings_over_the_recipe():
    changed = overridden(RECIPE, {"step_px": "4", "band": "4", "search_px": "7.5"}, ("read", "search", "estimate"))
    assert changed.estimate == RECIPE.estimate.model_copy(update={"step_px": 4})
    assert (changed.read.band, changed.search.search_px) == ("4", 7.5)
    with pytest.raises(OptionError, match=r"no column or setting 'stepp_px' here\. Did you mean `step_px`"):
        overridden(RECIPE, {"stepp_px": "4"}, ("estimate",))
    with pytest.raises(OptionError, match=r"`estimate\.step_px` is 'wide'"):
        overridden(RECIPE, {"step_px": "wide"}, ("estimate",))


def test_flags_hold_for_all_rows_and_columns_for_theirs(folder, capsys):
    (folder / "mine.yaml").write_text("estimate: {method: spatial, window_px: 11}\n")
    text = "before,after,name,preset,recipe,method,step_px\n"
    text += f"{PAIR},a,,,,\n{PAIR},b,glacier,,,4\n{PAIR},c,,mine.yaml,,\n{PAIR},d,,,microflow,\n"
    words = ["--threads", "1", "--method", "frequency", "--step", "2"]
    command = [str(folder / "pairs.csv"), "-o", str(folder / "out"), *words]
    with pytest.raises(InputError, match=r"  line 3: `estimate\.step_px` is 0"):
        jobs_of(folder, text.replace(",4\n", ",0\n"), _parse(command)[1])
    jobs = jobs_of(folder, text, _parse(command)[1])
    assert [job.recipe.estimate.method for job in jobs] == ["frequency", "frequency", "frequency", "microflow"]
    assert [job.recipe.estimate.step_px for job in jobs] == [2, 4, 2, 2]
    assert {job.recipe.run.threads for job in jobs} == {1}
    assert jobs[1].recipe.search != jobs[0].recipe.search
    assert jobs[3].recipe.regularises
    assert cli.main(["batch", *command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "4 pairs, of which 0 are finished; nothing was run" in told
    assert not (folder / "out").exists()


def test_a_batch_from_the_command_line(folder, capsys):
    shutil.copy(folder / "images/before.tif", folder / "images/flat.tif")
    with rasterio.open(folder / "images/flat.tif", "r+") as dataset:
        dataset.write(dataset.read() * 0 + 7)
    text = f"before,after,name\n{PAIR},good\nimages/before.tif,images/flat.tif,flat\n{PAIR},also\n"
    command = ["batch", str(table(folder, text)), "-o", str(folder / "out"), *FLAGS]
    assert cli.main(command) == 1
    told = capsys.readouterr()
    assert "3 pairs: 2 done, 1 failed" in told.out
    assert "flat: data: after has one value everywhere" in told.out
    assert "[3/3] also" in told.err
    with open(folder / "out/summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert float(rows[0]["median_east"]) == pytest.approx(10 * SHIFT[0], abs=0.5)
    assert float(rows[0]["median_north"]) == pytest.approx(-10 * SHIFT[1], abs=0.5)
    assert rows[0]["unit"] == "m"
    assert rows[1]["error"].startswith("data: after has one value everywhere")
    assert rows[1]["valid_share"] == ""
    facts = json.loads((folder / "out/summary.json").read_text())
    assert facts["counts"] == {"done": 2, "failed": 1}
    assert facts["pairs"][0]["median_sigma_east"] is None  # correlators tell none
    assert bits(folder / "out/good.tif") == bits(folder / "out/also.tif")
    # once more: what is finished is skipped, with its time, and only the failed pair is tried again
    before = (folder / "out/good.tif").stat().st_mtime_ns
    assert cli.main(command) == 1
    assert "3 pairs: 2 skipped, 1 failed" in capsys.readouterr().out
    again = json.loads((folder / "out/summary.json").read_text())["pairs"]
    assert again[0] | {"status": "done"} == facts["pairs"][0]
    assert (folder / "out/good.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize("shape", [(7, 12), (30, 2600)])
def test_the_median_sigma_is_that_of_the_valid_cells(tmp_path, shape):
    sigma = torch.linspace(0.1, 0.5, shape[1]).expand(shape).clone()
    sigma[:, : shape[1] // 2] = torch.nan
    zero = torch.zeros(shape)
    field = DisplacementField(zero, zero, sigma, 2 * sigma, zero, zero.to(torch.uint8), Grid(*shape, Affine.scale(1)))
    write_field(tmp_path / "x.tif", field.grid, blocks_of(field), {})
    assert median_sigma(tmp_path / "x.tif") == pytest.approx((0.4, 0.8), abs=0.02)


def fake(monkeypatch, act=None):
    """Measuring without any image: writes what a finished result consists of."""
    calls = []

    def measured(before, after, output, recipe, resume=False, overwrite=False, watch=None, cluster=None):
        calls.append((output.stem, resume, overwrite))
        if act:
            act(output.stem)
        for path in running.Files.beside(output):
            path.write_text("")
        facts = {"made_by": {"RECIPE_HASH": recipe.hash, "BEFORE": Path(before).name, "AFTER": Path(after).name}}
        facts |= {"valid_share": 0.5, "unit": "m", "east": {"median": 1.0, "nmad": 0.1}, "north": None}
        output.with_suffix(".json").write_text(json.dumps(facts))

    monkeypatch.setattr(running, "measure", measured)
    monkeypatch.setattr("terrashift.batch.results.median_sigma", lambda path: (0.2, None))
    return calls


THREE = f"before,after,name\n{PAIR},a\n{PAIR},b\n{PAIR},c\n"


def test_whatever_goes_wrong_with_a_pair_the_others_are_measured(folder, monkeypatch):
    def act(name):
        if name == "b":
            raise ArithmeticError("haunted")

    fake(monkeypatch, act)
    rows = run_batch(jobs_of(folder, THREE), folder / "out")
    assert [(row.name, row.status) for row in rows] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert rows[1].error == "ArithmeticError: haunted"
    assert (rows[0].median_east, rows[0].median_north, rows[0].median_sigma_east) == (1.0, None, 0.2)


def test_ctrl_c_ends_the_batch_and_the_table_tells_how_far_it_came(folder, monkeypatch):
    def act(name):
        if name == "b":
            raise KeyboardInterrupt("interrupted: 3 of 7")

    calls = fake(monkeypatch, act)
    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs_of(folder, THREE), folder / "out")
    facts = json.loads((folder / "out/summary.json").read_text())
    assert facts["counts"] == {"done": 1, "interrupted": 1, "not run": 1}
    assert [name for name, *_ in calls] == ["a", "b"]
    fake(monkeypatch)
    rows = run_batch(jobs_of(folder, THREE), folder / "out")
    assert counts(rows) == {"skipped": 1, "done": 2}


def test_a_pair_that_was_cut_short_is_resumed(folder, monkeypatch):
    calls = fake(monkeypatch)
    (job, *_) = jobs = jobs_of(folder, THREE)
    work_folder(job.output).mkdir(parents=True)
    assert [state_of(one) for one in jobs] == ["unfinished", "new", "new"]
    run_batch(jobs, folder / "out")
    assert calls == [("a", True, False), ("b", True, False), ("c", True, False)]


def test_results_of_another_recipe_or_older_images_are_never_replaced_unasked(folder, monkeypatch):
    calls = fake(monkeypatch)
    jobs = jobs_of(folder, THREE)
    run_batch(jobs, folder / "out")
    assert all(is_finished(job) for job in jobs)
    other = [replace(jobs[0], recipe=Recipe()), *jobs[1:]]
    with pytest.raises(OutputError, match=r"line 2: .*a\.tif\nPass --overwrite"):
        run_batch(other, folder / "out")
    later = time.time() + 100
    os.utime(folder / "images/before.tif", (later, later))
    with pytest.raises(OutputError, match=r"line 2: .*\n.*line 3: .*\n.*line 4: "):
        run_batch(jobs, folder / "out")
    calls.clear()
    run_batch(jobs, folder / "out", Options(overwrite=True))
    assert calls == [(name, False, True) for name in "abc"]


def test_a_lost_cluster_ends_the_batch(folder, monkeypatch):
    def act(name):
        raise ArithmeticError

    fake(monkeypatch, act)
    gone = Cluster(SimpleNamespace(status="closed"), "scheduler x")
    rows = run_batch(jobs_of(folder, THREE), folder / "out", cluster=gone)
    assert [row.status for row in rows] == ["failed", "not run", "not run"]


def test_pairs_side_by_side_in_processes_of_their_own(folder):
    text = f"before,after,name\n{PAIR},a\n{PAIR},b\n"
    jobs = jobs_of(folder, text)
    jobs[1] = replace(jobs[1], recipe=RECIPE.model_copy(update={"run": RunOptions(max_memory="1MB")}))
    rows = run_batch(jobs, folder / "out", Options(jobs=2))
    assert [row.status for row in rows] == ["done", "failed"]
    assert rows[1].error is not None
    assert rows[1].error.startswith("--max-memory 1MB is too little")
    assert rows[1].error.endswith("(see b.log)")
    measure(jobs[0].before, jobs[0].after, folder / "local.tif", RECIPE)
    assert bits(folder / "local.tif") == bits(jobs[0].output)


def test_an_interrupted_batch_interrupts_its_processes_once_and_begins_no_more(folder, tmp_path, monkeypatch):
    program = "import sys, time\nprint('on', flush=True)\ntry:\n time.sleep(60)\nexcept KeyboardInterrupt:\n "
    program += "print('terrashift: interrupted: 1 of 9', file=sys.stderr)\n sys.exit(130)"
    monkeypatch.setattr(Children, "_command", lambda self, job: [sys.executable, "-c", program])
    jobs = jobs_of(folder, THREE)

    logs = [job.output.with_suffix(".log") for job in jobs[:2]]

    def soon():
        while not all(log.exists() and log.read_text() for log in logs):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=soon).start()
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        run_batch(jobs, folder / "out", Options(jobs=2))
    facts = json.loads((folder / "out/summary.json").read_text())
    assert [row["status"] for row in facts["pairs"]] == ["interrupted", "interrupted", "not run"]
    assert facts["pairs"][0]["error"] == "interrupted: 1 of 9 (see a.log)"


def test_a_process_that_the_system_ends_is_said_to_lack_memory(folder, monkeypatch):
    program = "import os\nos.kill(os.getpid(), 9)"
    monkeypatch.setattr(Children, "_command", lambda self, job: [sys.executable, "-c", program])
    rows = run_batch(jobs_of(folder, THREE)[:2], folder / "out", Options(jobs=2))
    assert {row.error for row in rows} == {
        f"the process was ended by SIGKILL, most likely for want of memory (see {name}.log)" for name in "ab"
    }


def test_processes_share_the_cores_unless_told():
    assert shared(Recipe(), 2).run.threads == max(1, available_cores() // 2)
    assert shared(RECIPE, 2).run.threads == 1


def test_the_table_says_nothing_where_nothing_is_known(tmp_path):
    write_table(tmp_path, [Row("a", "failed", error="x")])
    assert (tmp_path / "summary.csv").read_text().splitlines()[1].startswith("a,failed,,,")
    assert seconds_before(tmp_path) == {}
    assert seconds_before(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("words", [["--jobs", "0"], ["--jobs", "2", "--workers", "2"]])
def test_what_cannot_go_together_is_refused(folder, words, capsys):
    path = table(folder, THREE)
    assert cli.main(["batch", str(path), "-o", str(folder / "out"), *words]) == 2
    assert "--jobs" in capsys.readouterr().err
