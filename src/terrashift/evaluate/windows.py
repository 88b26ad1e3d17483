"""Suite `windows`: one motion per window, the tables of Montagnon et al. 2024.

UNI: ground that moves as a whole, by up to 1 px along each axis (uni5px: 5 px). DIS: a line cuts a window of 8, 16, 32
or 64 px into two parts that each move by themselves; asked for is the motion of the larger one, which holds the middle.
The windows lie in crops of 64 px that show what surrounds them, side by side in one image of which only the middle of
each crop counts; so every method has whatever support it wants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..analyse import metrics
from ..estimators.base import Search
from ..simulate.stream import Stream, StreamOptions
from .case import Answer, Case, Entry, pair_of
from .imagery import Ground

CROP_PX = 64
KINDS = {
    "uni": ("uni", 64, "uniform, 1 px"),
    "dis8": ("dis", 8, "cut windows of 8 px"),
    "dis16": ("dis", 16, "cut windows of 16 px"),
    "dis32": ("dis", 32, "cut windows of 32 px"),
    "dis64": ("dis", 64, "cut windows of 64 px"),
    "uni5px": ("uni5px", 64, "uniform, 5 px"),
}
REACH_PX = {"uni": 2, "dis": 2, "uni5px": 6}


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """See the module."""

    ground: Ground
    count: int = 100
    """Windows of each kind; the next square number."""
    seed: int = 1
    name: str = "windows"
    headline: tuple[str, ...] = ("mae", "epe", "p90", "valid")

    @property
    def about(self) -> str:
        """With what the ground is."""
        return f"one motion per window, {self.side**2} windows of {self.ground.about} a kind"

    @property
    def side(self) -> int:
        """Crops along one side of the image."""
        return math.ceil(math.sqrt(self.count))

    def entries(self) -> Sequence[Entry]:
        """One image of crops for each kind."""
        return [Entry(self.name, name, title, partial(self._case, name)) for name, (_, _, title) in KINDS.items()]

    def _case(self, name: str) -> Case:
        kind, window_px, _ = KINDS[name]
        options = StreamOptions(
            kind=kind,  # pyright: ignore[reportArgumentType]
            size_px=CROP_PX,
            window_px=0 if window_px == CROP_PX else window_px,
            batch=self.side**2,
            one_date_share=0.0,
        )
        batch = Stream(self.ground.archive(), options, self.seed).batch(0)
        before, after = (self._side_by_side(part) for part in (batch.before, batch.after))
        truth = torch.stack([self._side_by_side(batch.flow[:, k]) for k in (0, 1)])
        reach = REACH_PX[kind]
        return Case(pair_of(before, after), truth.numpy(), search=Search((0, 0), (reach, reach)), smooth=False)

    def _side_by_side(self, crops: Float[Tensor, "crops rows columns"]) -> Float[Tensor, "height width"]:
        lines = crops.unflatten(0, (self.side, self.side))
        return lines.permute(0, 2, 1, 3).reshape(self.side * CROP_PX, self.side * CROP_PX)

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Errors at the middle of each crop."""
        assert case.truth is not None
        middle = slice(CROP_PX // 2 // answer.step_px, None, CROP_PX // answer.step_px)
        xy, truth = (part[:, middle, middle] for part in (answer.xy, answer.at(case.truth)))
        error = metrics.endpoint_error(xy, truth)
        return {
            "mae": metrics.mean_of(np.abs(xy - truth).mean(0)),
            "epe": metrics.mean_of(error),
            "p90": metrics.percentile_of(error, 90),
            "valid": float(np.isfinite(error).mean()),
        }
