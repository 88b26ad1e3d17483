"""Suite `stable`: two real dates between which nothing moved; whatever motion is found is error.

Where the dates lie apart as a whole is told as bias, and taken off the rest. The two truth-free numbers of Zheng et al.
2023 say how far motion spreads, and how much strain it pretends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..analyse import metrics
from ..errors import InputError
from ..io.raster import ReadOptions, open_pair
from ..simulate.archive import Archive
from .case import Answer, Case, Entry, pair_of
from .imagery import Ground
from .zoned import inner_part

BORDER_PX = 24
MOST_PX = 512
"""Side of what is looked at of an image; its middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Stable:
    """See the module."""

    ground: Ground
    images: tuple[str, str] | None = None
    """Two images of the user's instead."""
    most: int = 8
    """Places."""
    name: str = "stable"
    headline: tuple[str, ...] = (
        *("bias_x", "bias_y", "nmad", "p95", "static_x", "static_y", "outliers"),
        *("strain_normal", "strain_shear", "valid"),
    )

    @property
    def about(self) -> str:
        """With what the images are."""
        return f"real dates without motion: {' and '.join(self.images) if self.images else self.ground.about}"

    def entries(self) -> Sequence[Entry]:
        """One pair of dates of each place with two.

        Raises:
            InputError: there is none.
        """
        if self.images:
            return [Entry(self.name, "given pair", "all", partial(case_of_files, *self.images))]
        archive = self.ground.archive()
        if not any(len(view.dates) > 1 for view in archive.views):
            raise InputError("no place of the archive has two dates: pass two images with --before and --after.")
        found = {}
        for number, view in enumerate(archive.views):
            if len(view.dates) > 1 and view.place not in found:
                found[view.place] = Entry(self.name, view.name, "all", partial(_case_of_view, archive, number))
        return list(found.values())[: self.most]

    def judge(self, case: Case, answer: Answer) -> dict[str, float]:
        """Bias, spread, tail, and both truth-free numbers."""
        inner = answer.at(inner_part(case.source.grid.shape, BORDER_PX))
        found = metrics.still(answer.xy, inner)
        middle = np.array([found["bias_x"], found["bias_y"]], answer.xy.dtype)[:, None, None]
        rest = answer.xy - middle
        return (
            found
            | metrics.static_terrain(rest, inner)
            | metrics.along_flow_strain(answer.xy, inner, answer.step_px)
            | {"valid": metrics.share(answer.valid, inner)}
        )


def case_of_files(before: str, after: str, most_px: int = MOST_PX) -> Case:
    """The middle of two images on one grid.

    Raises:
        InputError, GridMismatchError: as `open_pair`.
    """
    pair = open_pair(before, after, ReadOptions())
    height, width = (min(side, most_px) for side in pair.grid.shape)
    row, column = ((full - part) // 2 for full, part in zip(pair.grid.shape, (height, width), strict=True))
    first, second = pair.read(row, column, height, width)
    return Case(pair_of(first, second, pair.grid.crop(row, column, height, width)))


def _case_of_view(archive: Archive, number: int) -> Case:
    images = [torch.from_numpy(image.values()) for image in archive.pixels[number][:2]]
    height, width = (min(side, MOST_PX) for side in images[0].shape)
    row, column = ((full - part) // 2 for full, part in zip(images[0].shape, (height, width), strict=True))
    first, second = (image[row : row + height, column : column + width] for image in images)
    return Case(pair_of(first, second))
