"""Real workers in processes of their own: the same bytes as one process, whatever happens to them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dask_party import Party, bits, damage_block, write_pair

from terrashift import cli, runner
from terrashift.cluster import connect as connecting
from terrashift.cluster import crew
from terrashift.cluster.connect import connect
from terrashift.cluster.options import ClusterOptions
from terrashift.cluster.workers import Cluster
from terrashift.errors import IncompleteError, OptionError
from terrashift.estimators.base import Search
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.search import SearchOptions
from terrashift.io.raster import open_pair
from terrashift.io.sinks import StoredFlow
from terrashift.io.store import TileStore
from terrashift.io.store_folder import work_folder
from terrashift.pipeline import measure
from terrashift.recipe import Recipe
from terrashift.regularise.blocks import BLOCK
from terrashift.regularise.tv import Tv
from terrashift.resources import RunOptions
from terrashift.runner import Ground
from terrashift.watch import Progress

pytest.importorskip("distributed")

RUN = RunOptions(tile_px=1, threads=1, device="cpu")
RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=8),
    search=SearchOptions(search_px=2),
    regularise=Tv(),
    run=RUN,
)
SHAPE, FIELD, SIDE, TILES = (264, 1300), (33, 162), 32, 12
"""Of the images, of the field, of a tile of the first pass, and how many of these there are: 2 x 6."""
SEARCH = Search((0, 0), (2, 2))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"), SHAPE)


@pytest.fixture(scope="module")
def party(tmp_path_factory) -> Iterator[Party]:
    """One scheduler, two workers; the tests end one after the other."""
    found = Party(tmp_path_factory.mktemp("party"))
    try:
        found.start_scheduler()
        found.start_worker()
        found.start_worker()
        yield found
    finally:
        found.end()


@pytest.fixture
def joined(party: Party) -> Iterator[Cluster]:
    with connect(ClusterOptions(scheduler=str(party.file)), RUN) as cluster:
        assert cluster is not None
        cluster.client.wait_for_workers(sum(process.poll() is None for process in party.processes[1:]), timeout=60)
        yield cluster


def run(cluster: Cluster | None, pair, folder: Path, progress: Progress | None = None, resume: bool = False) -> bytes:
    """Both passes, as `pipeline.measure` makes them, without what lies around them; all values of the second."""
    source = open_pair(*pair)
    ground = Ground(source.grid, RECIPE.estimator.step_px)
    with TileStore.open(folder, FIELD, SIDE, {}, resume) as store:
        if cluster:
            cluster.run_tiles(source, SEARCH, store, RECIPE, progress)
        else:
            runner.run_tiles(RECIPE.estimator, source, SEARCH, store, RUN, progress, True)
        with store.next_pass(BLOCK) as final:
            if cluster:
                cluster.run_regularise(store, final, ground, RECIPE)
            else:
                runner.run_regularise(RECIPE.regularise, StoredFlow(store), ground, final, RUN)
            return final.window(slice(0, FIELD[0]), slice(0, FIELD[1])).numpy().tobytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory, pair) -> bytes:
    """What one process makes of it."""
    return run(None, pair, tmp_path_factory.mktemp("local") / "w")


def at(moment: int, act: Callable[[], object]) -> Progress:
    """A listener that acts when so many tiles of the first pass are finished."""
    heard = []

    def tiles(done: int, total: int) -> None:
        assert total == TILES
        if done == moment and not heard:
            heard.append(done)
            act()

    return tiles


def kept(folder: Path) -> int:
    return len(list((folder / "done").iterdir()))


def test_the_command_line_gives_the_same_file_as_one_process(party, joined, tmp_path, capsys):
    (tmp_path / "pair").mkdir()
    pair = write_pair(tmp_path / "pair", (72, 600))
    recipe, output = tmp_path / "recipe.yaml", tmp_path / "x.tif"
    recipe.write_text(RECIPE.to_yaml())
    assert cli.main(["measure", *pair, "-o", str(output), "--recipe", str(recipe), "--scheduler", str(party.file)]) == 0
    assert not work_folder(output).exists()
    assert "4 of 4 tiles" in capsys.readouterr().err
    measure(*pair, tmp_path / "local.tif", RECIPE)
    assert bits(output) == bits(tmp_path / "local.tif")
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_the_workers_write_the_tiles_themselves(joined, pair, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(TileStore, "write", lambda *_: pytest.fail("the client wrote a tile"))
    heard = []
    assert run(joined, pair, tmp_path / "w", lambda *numbers: heard.append(numbers)) == expected
    assert heard == [(done, TILES) for done in range(TILES + 1)]


def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_running(joined, pair, expected, tmp_path):
    with pytest.raises(KeyboardInterrupt, match=rf"interrupted: \d+ of {TILES} tiles are finished and kept"):
        run(joined, pair, tmp_path / "w", at(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    finished = kept(tmp_path / "w")
    assert 3 <= finished < TILES
    assert not any(joined.client.processing().values())
    heard = []
    assert run(joined, pair, tmp_path / "w", lambda *numbers: heard.append(numbers), resume=True) == expected
    assert heard[0] == (finished, TILES), "a tile was written after the run had ended"


def test_a_failing_tile_does_not_stop_the_others_and_is_named(joined, tmp_path):
    pair = write_pair(tmp_path, SHAPE)
    source = open_pair(*pair)
    damage_block(pair[1], 18, 1)
    with TileStore.open(tmp_path / "w", FIELD, SIDE, {}) as store:
        with pytest.raises(IncompleteError, match=rf"of {TILES} tiles failed ") as raised:
            joined.run_tiles(source, SEARCH, store, RECIPE)
        assert {f"{row}.{column}" for row in (0, 1) for column in range(4)} <= store.done()
        assert "0.4" not in store.done()  # which has columns 1152 to 1215
    assert "after.tif is damaged or truncated" in str(raised.value)
    assert "--resume" in str(raised.value)


def test_too_little_memory_of_a_worker_is_known_before_any_tile(joined, pair, tmp_path):
    little = RECIPE.model_copy(update={"run": RUN.model_copy(update={"max_memory": "100MB"})})
    with TileStore.open(tmp_path / "w", FIELD, SIDE, {}) as store:
        with pytest.raises(OptionError, match=r"not every worker can do.*\n.*tcp://.*--max-memory 100MB is too little"):
            joined.run_tiles(open_pair(*pair), SEARCH, store, little)
        assert store.done() == set()


def test_a_killed_worker_costs_only_its_tiles(party, joined, pair, expected, tmp_path):
    assert run(joined, pair, tmp_path / "w", at(3, party.processes[1].kill)) == expected
    assert party.processes[1].wait() == -signal.SIGKILL


def test_a_run_without_any_worker_left_ends_and_goes_on_in_this_process(
    party, joined, pair, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(crew, "TICK_S", 0.1)
    monkeypatch.setattr(crew, "ALONE_S", 0.5)
    with pytest.raises(IncompleteError, match=r"no worker has been left for .*with or without a cluster"):
        run(joined, pair, tmp_path / "w", at(2, party.processes[2].kill))
    assert 2 <= kept(tmp_path / "w") < TILES
    assert run(None, pair, tmp_path / "w", resume=True) == expected


def test_a_scheduler_without_workers_says_how_to_start_some(party, monkeypatch):
    monkeypatch.setattr(connecting, "WORKERS_S", 0.3)
    with pytest.raises(OptionError, match=r"has no workers\. Start some.*`dask worker tcp://127\.0\.0\.1:\d+`"):  # noqa: SIM117
        with connect(ClusterOptions(scheduler=str(party.file)), RUN):
            pass


def test_a_lost_scheduler_ends_the_run_and_what_is_finished_stays(party, pair, tmp_path):
    party.start_worker()
    address = json.loads(party.file.read_text())["address"]
    with connect(ClusterOptions(scheduler=address), RUN) as cluster:
        with pytest.raises(IncompleteError, match="the connection to the scheduler is lost"):
            run(cluster, pair, tmp_path / "w", at(2, party.processes[0].kill))
        assert 2 <= kept(tmp_path / "w") < TILES


def test_a_scheduler_that_nobody_answers_for_is_named(monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT_S", 0.5)
    with pytest.raises(OptionError, match=r"--scheduler tcp://127\.0\.0\.1:9 does not answer.*`dask scheduler`"):  # noqa: SIM117
        with connect(ClusterOptions(scheduler="tcp://127.0.0.1:9"), RUN):
            pass


def test_processes_of_this_machine_are_started_for_the_run_and_end_with_it(pair, expected, tmp_path):
    with connect(ClusterOptions(workers=1), RUN) as cluster:
        assert cluster is not None
        pids = list(cluster.client.run(os.getpid).values())
        assert pids != [os.getpid()]
        assert run(cluster, pair, tmp_path / "w") == expected
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
