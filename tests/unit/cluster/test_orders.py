"""What a worker does with an order, without any scheduler."""

from __future__ import annotations

import importlib.metadata
import pickle
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from dask_party import write_pair

from terrashift.cluster import orders
from terrashift.cluster.connect import _require_version, connect
from terrashift.cluster.options import ClusterOptions
from terrashift.cluster.orders import MeasureOrder, Report, enter, leave, perform
from terrashift.cluster.sight import Landmark, Look, absolute, code_hash, problems
from terrashift.cluster.workers import Cluster
from terrashift.crew import Stopped
from terrashift.errors import OptionError, OutputError
from terrashift.estimators import networks
from terrashift.estimators.base import Search
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.microflow import MicroFlow
from terrashift.io.raster import open_pair
from terrashift.io.store import TileStore
from terrashift.io.store_folder import discard
from terrashift.recipe import Recipe
from terrashift.resources import RunOptions
from terrashift.runner import Measuring

RECIPE = Recipe(
    estimate=Frequency(window_px=16, start_window_px=32, step_px=8),
    regularise="off",
    run=RunOptions(tile_px=1, threads=1, device="cpu"),
)
SEARCH = Search((0, 0), (2, 2))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"), (40, 560))


@pytest.fixture
def store(tmp_path):
    with TileStore.open(tmp_path / "w", (5, 70), 32, {}) as store:
        yield store


@pytest.fixture
def order(store, pair) -> MeasureOrder:
    found = MeasureOrder(store.admit(), code_hash(), str(store.folder), open_pair(*pair), RECIPE, SEARCH)
    return pickle.loads(pickle.dumps(found))


def test_an_order_is_small_and_holds_no_pixel(order):
    assert len(pickle.dumps(order)) < 8000


def test_a_tile_is_written_by_whoever_has_the_order(order, store):
    tiles = list(store.tiles())
    perform(order, tiles[1])
    assert store.done() == {"0.1"}
    assert store.read(tiles[1])[:4].isfinite().any()
    assert leave(order.ticket) == 0


def test_a_tile_that_another_worker_finished_is_left_as_it_is(order, store):
    tile = next(store.tiles())
    perform(order, tile)
    before = store._chunk(tile).stat().st_mtime_ns
    perform(order, tile)
    assert store._chunk(tile).stat().st_mtime_ns == before


def test_after_the_end_nothing_is_computed_any_more(order, store):
    enter(order)
    assert leave(order.ticket) == 0
    with pytest.raises(Stopped):
        perform(order, next(store.tiles()))
    assert store.done() == set()


def test_a_worker_of_a_run_that_was_killed_cannot_write_into_the_next(order, store):
    enter(order)
    store.close()
    with TileStore.open(store.folder, (5, 70), 32, {}, resume=True) as again:
        with pytest.raises(OutputError, match="takes tiles of this run no longer"):
            perform(order, next(store.tiles()))
        again.admit()
        with pytest.raises(OutputError, match="takes tiles of this run no longer"):
            perform(order, next(store.tiles()))
        assert again.done() == set()
    discard(store.folder)
    with pytest.raises(OutputError, match="no longer"):
        perform(order, next(store.tiles()))
    assert not store.folder.exists()


def test_a_worker_that_does_not_see_the_store_says_where_it_is(order):
    lost = replace(order, folder="/nowhere/x.tif.terrashift-work", ticket="another")
    with pytest.raises(OutputError, match=r"/nowhere/x\.tif\.terrashift-work is not to be seen from process \d+ on"):
        enter(lost)


def test_a_worker_of_other_code_that_comes_late_is_refused(order):
    with pytest.raises(OutputError, match="runs other code of terrashift"):
        enter(replace(order, code="00000000"))


def test_memory_for_one_tile_lets_one_compute_at_a_time(order, store, monkeypatch):
    inside, most, gate = [], [], threading.Event()

    def slow(self, tile):
        inside.append(tile)
        most.append(len(inside))
        gate.wait(0.05)
        inside.remove(tile)

    monkeypatch.setattr(Measuring, "__call__", slow)
    threads = [threading.Thread(target=perform, args=(order, tile)) for tile in [*store.tiles()] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert enter(order).seats == 1
    assert most == [1] * len(threads)


def test_an_error_comes_home_with_its_type(order, store, monkeypatch):
    class Unpicklable(Exception):
        def __reduce__(self):
            raise TypeError

    def full(self, tile):
        try:
            raise Unpicklable
        except Unpicklable as error:
            raise OutputError("the disk is full") from error

    monkeypatch.setattr(Measuring, "__call__", full)
    with pytest.raises(OutputError, match="the disk is full") as raised:
        perform(order, next(store.tiles()))
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_few_runs_stay_open(order, store):
    tickets = [enter(replace(order, ticket=store.admit())) for _ in range(8)]
    assert len(tickets) == 8
    assert len(orders._desks) == orders.KEPT_RUNS + 1


def test_threads_that_begin_together_load_the_weights_once(monkeypatch):
    read, loaded = [], networks.load_weights

    def counting(name):
        read.append(name)
        return loaded(name)

    monkeypatch.setattr(networks, "load_weights", counting)
    for cached in (networks._loaded, networks.network, networks.network_options):
        cached.cache_clear()
    import torch

    threads = [threading.Thread(target=MicroFlow()._ready, args=(torch.device("cpu"),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 1


@pytest.fixture
def look(pair, tmp_path) -> Look:
    probe = tmp_path / "probe.txt"
    probe.write_text("word")
    return Look(code_hash(), str(probe), "word", tuple(map(Landmark.of, pair)), open_pair(*pair))


def test_a_worker_that_sees_everything_has_no_problem(look):
    assert problems(look) == []


def test_what_a_worker_does_not_see_is_named(look, tmp_path, pair):
    other = tmp_path / "other.tif"
    other.write_bytes(Path(pair[0]).read_bytes()[:-1] + b"x")
    cases = {
        "runs other code of terrashift": replace(look, code="0"),
        "does not see /nowhere, where the results go": replace(look, probe="/nowhere/probe.txt"),
        "sees another folder under the name": replace(look, word="other"),
        "does not see /nowhere/before.tif": replace(look, landmarks=(Landmark("/nowhere/before.tif", 1, 1),)),
        "sees another file under the name": replace(look, landmarks=(replace(Landmark.of(pair[0]), path=str(other)),)),
    }
    for text, changed in cases.items():
        found = problems(changed)
        assert len(found) == 1
        assert text in found[0]


def test_paths_do_not_depend_on_where_a_worker_runs(pair, monkeypatch):
    monkeypatch.chdir(Path(pair[0]).parent)
    found = open_pair("before.tif", "after.tif")
    monkeypatch.chdir("/")
    moved = replace(found, before=replace(found.before, path="/vsicurl/https://x/y.tif"))
    assert absolute(moved).before.path == "/vsicurl/https://x/y.tif"
    monkeypatch.chdir(Path(pair[0]).parent)
    assert absolute(found).after.path == pair[1]


def test_workers_of_another_version_are_named():
    own = importlib.metadata.version("terrashift")
    found = {"tcp://a": own, "tcp://b": "0.0.9", "tcp://c": None}
    versions = {name: {"packages": {"terrashift": text}} for name, text in found.items()}
    client = SimpleNamespace(get_versions=lambda packages: {"workers": versions})
    with pytest.raises(OptionError, match=r"tcp://b: terrashift 0\.0\.9; tcp://c: no terrashift"):
        _require_version(Cluster(client, "scheduler x"))


def test_unlike_and_idle_workers_are_told_once():
    client = SimpleNamespace(nthreads=lambda: {"a": 4, "b": 1})
    cluster = Cluster(client, "scheduler x")
    remarks = list(cluster._remarks({"a": Report("", 2, "CPU one"), "b": Report("", 1, "CPU two")}))
    assert len(remarks) == 2
    assert "CPU one (a); CPU two (b)" in remarks[0]
    assert remarks[1].startswith("a: more threads than tiles")
    assert list(cluster._remarks({"b": Report("", 1, "CPU one")})) == []


@pytest.mark.parametrize("options", [ClusterOptions(scheduler="tcp://x:1", workers=2)])
def test_a_scheduler_and_workers_of_our_own_exclude_each_other(options):
    with pytest.raises(OptionError, match="give one of them"):  # noqa: SIM117
        with connect(options, RunOptions()):
            pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(OptionError, match=r"pip install terrashift\[cluster\]"):  # noqa: SIM117
        with connect(ClusterOptions(workers=1), RunOptions()):
            pass


def test_nothing_asked_for_is_no_cluster():
    with connect(ClusterOptions(), RunOptions()) as cluster:
        assert cluster is None
