"""Tiles that fail on the workers of a Dask scheduler: what is said and kept, and what `--allow-partial` writes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import haunted
import pytest
from dask_party import Party, bits, damage_block, write_pair

from terrashift import cli, pipeline, runner
from terrashift.cluster.connect import connect
from terrashift.cluster.options import ClusterOptions
from terrashift.cluster.workers import Cluster
from terrashift.core.reasons import Reason
from terrashift.errors import IncompleteError
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.search import SearchOptions
from terrashift.io.cog import read_field
from terrashift.io.store_folder import work_folder
from terrashift.losses import FAILED_TILES
from terrashift.pipeline import measure
from terrashift.recipe import Recipe
from terrashift.regularise.quadratic import Quadratic
from terrashift.resources import RunOptions
from terrashift.runner import Measuring, Smoothing
from terrashift.watch import Watch

pytest.importorskip("distributed")

RUN = RunOptions(tile_px=1, threads=1, device="cpu")
RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=8),
    search=SearchOptions(search_px=2),
    regularise=Quadratic(),
    run=RUN,
)
PARTIAL = RECIPE.model_copy(update={"run": RUN.model_copy(update={"allow_partial": True})})
SHAPE, TILES, BLOCKS = (72, 1200), 5, 3
"""Of the images; tiles of the measuring and blocks of the smoothing, all in one row."""
LOST = {"rows": [0, 9], "columns": [32, 64], "cause": "ArithmeticError: haunted"}


@pytest.fixture(scope="module")
def party(tmp_path_factory) -> Iterator[Party]:
    """One scheduler, two workers on which the tiles fail that a file names."""
    found = Party(tmp_path_factory.mktemp("party"))
    try:
        found.start_scheduler()
        for _ in range(2):
            found.start_worker("--preload", haunted.__file__)
        yield found
    finally:
        found.end()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """As the workers have them."""
    for module in (runner, pipeline):
        monkeypatch.setattr(module, "BLOCK", haunted.BLOCK)


@pytest.fixture
def failing(party: Party) -> Iterator[Path]:
    """The list of the tiles that fail."""
    names = party.folder / haunted.LIST
    yield names
    names.unlink(missing_ok=True)


@pytest.fixture
def joined(party: Party) -> Iterator[Cluster]:
    with connect(ClusterOptions(scheduler=str(party.file)), RUN) as cluster:
        assert cluster is not None
        cluster.client.wait_for_workers(2, timeout=60)
        yield cluster


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"), SHAPE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pair) -> Path:
    """What this process makes of it where nothing fails."""
    output = tmp_path_factory.mktemp("whole") / "d.tif"
    with pytest.MonkeyPatch.context() as patch:
        for module in (runner, pipeline):
            patch.setattr(module, "BLOCK", haunted.BLOCK)
        measure(*pair, output, RECIPE)
    return output


def measured_here(pair, output: Path, names: Path) -> Path:
    """What this process makes of it where the same tiles fail."""
    with pytest.MonkeyPatch.context() as patch:
        for job in (Measuring, Smoothing):
            patch.setattr(job, "__call__", haunted.haunted(job.__call__, names))
        measure(*pair, output, PARTIAL)
    return output


def test_without_leave_nothing_is_written_and_with_it_all_but_the_failed_tile(
    party, joined, pair, failing, tmp_path, capsys
):
    recipe, output = tmp_path / "recipe.yaml", tmp_path / "d.tif"
    recipe.write_text(RECIPE.to_yaml())
    failing.write_text("tiles 0.1")
    command = ["measure", *pair, "-o", str(output), "--recipe", str(recipe), "--scheduler", str(party.file)]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert f"1 of {TILES} tiles failed" in said
    assert "0.1: ArithmeticError: haunted" in said
    assert "--resume --allow-partial" in said
    assert not output.exists()
    assert {mark.name for mark in (work_folder(output) / "done").iterdir()} == {"0.0", "0.2", "0.3", "0.4"}

    assert cli.main([*command, "--resume", "--allow-partial"]) == 0
    page = capsys.readouterr()
    assert f"1 of {TILES} tiles failed and have no value in the result (0.1: ArithmeticError: haunted)" in page.err
    assert "failed tiles" in page.out
    found = read_field(output)
    assert found.made_by[FAILED_TILES] == [LOST]
    lost = (found.reasons & int(Reason.FAILED)) > 0
    assert lost[:, 32:64].all()
    assert not lost[:, :32].any()
    assert not lost[:, 64:].any()
    assert found.east[lost].isnan().all()
    assert found.east[~lost].isfinite().any()
    assert bits(output) == bits(measured_here(pair, tmp_path / "here.tif", failing))
    assert not work_folder(output).exists()


def test_once_the_cause_is_mended_the_failed_tile_alone_is_measured_again(joined, pair, whole, failing, tmp_path):
    failing.write_text("tiles 0.1\ntiles 0.3")
    with pytest.raises(IncompleteError, match=rf"2 of {TILES} tiles failed") as raised:
        measure(*pair, tmp_path / "d.tif", RECIPE, cluster=joined)
    assert raised.value.failed == dict.fromkeys(("0.1", "0.3"), "ArithmeticError: haunted")
    failing.unlink()
    heard = []
    watch = Watch(tiles=lambda *numbers: heard.append(numbers))
    measure(*pair, tmp_path / "d.tif", RECIPE, resume=True, watch=watch, cluster=joined)
    assert heard[0] == (TILES - 2, TILES + BLOCKS)
    assert bits(tmp_path / "d.tif") == bits(whole)


def test_a_partial_run_cut_short_in_the_second_pass_tries_the_failed_tile_again(joined, pair, whole, failing, tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done == TILES + 1:
            os.kill(os.getpid(), signal.SIGINT)

    failing.write_text("tiles 0.1")
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        measure(*pair, tmp_path / "d.tif", PARTIAL, watch=Watch(tiles=interrupt), cluster=joined)
    failing.unlink()
    measure(*pair, tmp_path / "d.tif", PARTIAL, resume=True, cluster=joined)
    assert bits(tmp_path / "d.tif") == bits(whole)
    assert FAILED_TILES not in read_field(tmp_path / "d.tif").made_by


def test_a_block_that_cannot_be_smoothed_is_lost_alone(joined, pair, whole, failing, tmp_path):
    failing.write_text("tiles of the smoothing 0.2")
    with pytest.raises(IncompleteError, match=rf"1 of {BLOCKS} tiles of the smoothing failed"):
        measure(*pair, tmp_path / "d.tif", RECIPE, cluster=joined)
    measure(*pair, tmp_path / "d.tif", PARTIAL, resume=True, cluster=joined)
    found, expected = read_field(tmp_path / "d.tif"), read_field(whole)
    assert found.made_by[FAILED_TILES] == [LOST | {"columns": [128, 150]}]
    for name in ("east", "north", "score", "reasons"):
        one, other = (getattr(field, name)[:, :128].numpy() for field in (found, expected))
        assert one.tobytes() == other.tobytes()
    assert (found.reasons[:, 128:] == int(Reason.FAILED)).all()
    assert found.east[:, 128:].isnan().all()


def test_a_damaged_block_of_an_image_is_named_in_the_result(joined, tmp_path):
    pair = write_pair(tmp_path, SHAPE)

    def damage(done: int, total: int) -> None:
        if (done, total) == (0, TILES + BLOCKS):  # the looks before the tiles read the whole image
            damage_block(pair[1], 17, 0)  # pixels 1088 to 1151

    said = []
    measure(*pair, tmp_path / "d.tif", PARTIAL, watch=Watch(warn=said.append, tiles=damage), cluster=joined)
    found = read_field(tmp_path / "d.tif")
    failed = found.made_by[FAILED_TILES]
    assert [one["columns"] for one in failed] == [[128, 150]]  # pixels 1024 to 1199; the one before reaches to 1053
    assert "after.tif is damaged or truncated" in failed[0]["cause"]
    assert ((found.reasons & int(Reason.FAILED)) > 0)[0].nonzero().flatten().tolist() == list(range(128, 150))
    assert f"1 of {TILES} tiles failed" in said[-1]


def test_where_every_tile_failed_nothing_is_written(joined, pair, failing, tmp_path):
    failing.write_text("\n".join(f"tiles 0.{column}" for column in range(TILES)))
    with pytest.raises(IncompleteError, match=f"{TILES} of {TILES} tiles failed"):
        measure(*pair, tmp_path / "d.tif", PARTIAL, cluster=joined)
    assert list(tmp_path.iterdir()) == []
