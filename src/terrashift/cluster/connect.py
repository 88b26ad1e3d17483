"""Reach a Dask scheduler, or start one with workers on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from ..crew import available_cores
from ..errors import OptionError
from ..resources import RunOptions
from ..watch import silent
from .options import ClusterOptions
from .workers import Cluster, some

CONNECT_S = 10.0
WORKERS_S = 20.0
STARTING_S = 120.0  # processes of our own on a busy machine
# a Ctrl-C in a terminal reaches all processes; those of our own end when this one tells them
_STEADY = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
_LOGGERS = ("distributed", *(f"distributed.{name}" for name in ("client", "core", "batched", "comm.tcp", "utils")))


@contextmanager
def connect(options: ClusterOptions, run: RunOptions, warn: Callable[[str], None] = silent) -> Iterator[Cluster | None]:
    """The cluster that is asked for, if any; what was started for it ends with it.

    Args:
        options: which.
        run: how many threads the processes that are started here get.
        warn: who hears what a user should know of the workers.

    Raises:
        OptionError: both are asked for, Dask is not installed, the scheduler cannot be reached, it has no workers, or
            they run another version of terrashift.
    """
    if not options.wanted:
        yield None
        return
    if options.scheduler is not None and options.workers is not None:
        raise OptionError("--scheduler uses workers that run already, --workers starts some here: give one of them.")
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise OptionError("a cluster needs dask.distributed: pip install terrashift[cluster]") from error
    with _quiet(), _local(options.workers, run) if options.workers else _remote(options.scheduler or "") as cluster:
        _require_workers(cluster, options.workers or 1)
        _require_version(cluster)
        yield replace(cluster, warn=warn)


@contextmanager
def _remote(scheduler: str) -> Iterator[Cluster]:
    """A scheduler that runs already."""
    import dask.config
    from distributed import Client

    as_file = os.path.isfile(scheduler)
    if scheduler.endswith(".json") and not as_file:
        raise OptionError(f"--scheduler {scheduler}: no such file. `dask scheduler --scheduler-file` makes it.")
    target: dict[str, Any] = {"scheduler_file": scheduler} if as_file else {"address": scheduler}
    with dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT_S:.0f}s"}):
        try:
            client = Client(**target, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise OptionError(
                f"--scheduler {scheduler} does not answer ({said}). Start one with `dask scheduler`, and give the "
                "address that it prints, such as tcp://host:8786; a firewall must let that port through."
            ) from error
        with client:
            yield Cluster(client, f"scheduler {scheduler}", os.path.abspath(scheduler) if as_file else scheduler)


@contextmanager
def _local(workers: int, run: RunOptions) -> Iterator[Cluster]:
    """Processes of this machine."""
    from distributed import Client, LocalCluster

    threads = run.threads or max(1, available_cores() // workers)
    how: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL, "preload": [_STEADY]}
    how |= {"host": "127.0.0.1", "scheduler_port": 0, "memory_limit": None}  # --max-memory keeps the measure
    with (
        LocalCluster(n_workers=workers, threads_per_worker=threads, processes=True, **how) as started,
        Client(started, set_as_default=False) as client,
    ):
        yield Cluster(client, f"{workers} processes of this machine")


def _require_workers(cluster: Cluster, count: int) -> None:
    """Wait until there are so many."""
    local = cluster.address is None
    try:
        cluster.client.wait_for_workers(count, timeout=STARTING_S if local else WORKERS_S)
    except TimeoutError as error:
        if local:
            raise OptionError(f"{cluster.name} took over {STARTING_S:.0f} s to start: try fewer --workers") from error
        raise OptionError(
            f"{cluster.name} has no workers. Start some, on machines that see the images and the folder of the "
            f"results: `dask worker {cluster.client.scheduler.address}`."
        ) from error


def _require_version(cluster: Cluster) -> None:
    """Refuse workers of another release, before they are sent what they may not understand."""
    own = version("terrashift")
    found = cluster.client.get_versions(packages=["terrashift"])["workers"]
    wrong: dict[str, list[str]] = {}
    for worker, facts in found.items():
        theirs = facts["packages"].get("terrashift") if facts else None
        if theirs != own:
            wrong.setdefault(f"terrashift {theirs}" if theirs else "no terrashift", []).append(worker)
    if wrong:
        listing = "; ".join(f"{some(workers)}: {what}" for what, workers in wrong.items())
        raise OptionError(
            f"{cluster.name}: workers do not run terrashift {own} as this command does ({listing}). Install the same "
            "version there, and start them in that environment."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Dask logs of workers that come and go: a run tells by itself what matters."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
