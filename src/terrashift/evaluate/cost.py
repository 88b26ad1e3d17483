"""What a measurement costs: processor seconds, seconds, and memory beyond what was held before."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from types import TracebackType

STATM = Path("/proc/self/statm")
EVERY_S = 0.01
MIB = 2**20


class Meter:
    """Use it as a context; afterwards its fields tell.

    Memory is looked at a hundred times a second where the system tells it (Linux); elsewhere it is NaN.
    """

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = math.nan
        self.peak_mib = math.nan

    def __enter__(self) -> Meter:
        self._stop = threading.Event()
        self._held = self._most = _resident()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        self._began = time.process_time(), time.perf_counter()
        return self

    def _look(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._most = max(self._most, _resident())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu_s, self.wall_s = (
            now - began for now, began in zip((time.process_time(), time.perf_counter()), self._began, strict=True)
        )
        self._stop.set()
        self._watch.join()
        self.peak_mib = (max(self._most, _resident()) - self._held) / MIB


def _resident() -> float:
    """Memory of this process in bytes."""
    try:
        return float(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return math.nan
