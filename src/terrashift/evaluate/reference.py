"""Suite `reference`: real pairs of dates with a simulated rupture, and what the original programs gave on them.

A folder with `cases/NAME.npz` (`before`, `after`, `gain`, `offset`, `flow`, `fault`) and `results/PROGRAM/NAME.npz`
(`u`, `v`). The last part of a name is its class. The offset between the dates is known to some hundredths of a pixel
only, so each method's median residual is taken off.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io.arrays import read_arrays
from ..io.untrusted import Malformed
from .case import Answer, Case, Entry, pair_of, tensor
from .stored import Stored
from .zoned import Zones

VARIABLE = "TERRASHIFT_BENCHMARK"
CLASSES = {"vs": "very small, 0.6 px", "s": "small, 2 px", "m": "medium, 6 px"}
ZONES = Zones(border_px=24, offset_known=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """See the module."""

    folder: Path | None
    only: str = "*"
    """Pattern of case names."""
    name: str = "reference"
    about: str = "real pairs of dates with a simulated rupture, beside stored results of other programs"
    headline: tuple[str, ...] = ("epe_fault", "epe_near", "epe_far", "smooth_far", "width", "valid")

    def entries(self) -> Sequence[Entry]:
        """The cases, by class.

        Raises:
            InputError: no folder, or no case in it.
        """
        if self.folder is None:
            raise InputError(f"the reference cases are not here: pass --benchmark FOLDER, or set {VARIABLE}.")
        paths = sorted((self.folder / "cases").glob(f"{self.only}.npz"))
        if not paths:
            raise InputError(f"{self.folder / 'cases'} holds no case {self.only}.npz.")
        ranks = list(CLASSES)
        kinds = {path: path.stem.rsplit("_", 1)[-1] for path in paths}
        paths.sort(key=lambda path: ranks.index(kinds[path]) if kinds[path] in ranks else len(ranks))
        return [
            Entry(self.name, path.stem, CLASSES.get(kinds[path], kinds[path]), partial(read_case, path))
            for path in paths
        ]

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """See `Zones.judge`."""
        return ZONES.judge(case, answer)

    def programs(self) -> list[Stored]:
        """The programs whose results are stored beside the cases."""
        if self.folder is None:
            return []
        return [Stored(path.name, path) for path in sorted((self.folder / "results").glob("*")) if path.is_dir()]


def benchmark_folder() -> Path | None:
    """The folder that the environment names."""
    told = os.environ.get(VARIABLE)
    return Path(told) if told else None


def read_case(path: Path) -> Case:
    """Read a case; numbers become reflectance.

    Raises:
        InputError: it lacks a part.
    """
    try:
        data = read_arrays(path, ("before", "after", "gain", "offset", "flow", "fault"))
        before, after = (
            tensor(data[key] * np.float32(data["gain"]) + np.float32(data["offset"])) for key in ("before", "after")
        )
        flow, fault = data["flow"].astype(np.float32), data["fault"].astype(bool)
        if before.ndim != 2 or {before.shape, after.shape, flow.shape[1:], fault.shape} != {before.shape}:
            raise Malformed("its arrays are of different sizes")
        return Case(pair_of(before, after), flow, fault)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no reference case: {error}. See the module `evaluate.reference`.") from error
