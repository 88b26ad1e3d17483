"""What a finished measurement leaves behind: its files, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .core.field import DisplacementField
from .core.grid import Grid
from .core.tiles import Tile
from .estimators.base import Search
from .io.atomic import check_targets, require_geotiff
from .io.raster import Raster, RasterPair, checksum
from .recipe import Recipe

PICTURE_PX = 1500  # longest side of the field from which the quicklook is drawn
CONVENTION = (
    "east and north are the motion of the ground from before to after, positive toward the east and the north of the "
    "grid, in {unit}; NaN where there is no value, and reasons says why: 1 nodata, 2 edge, 4 low score, 8 no texture, "
    "16 best match on the edge of the search, 32 the backward measurement disagrees, 64 its tile could not be computed"
)


class Files(NamedTuple):
    """The result and what lies beside it."""

    field: Path
    recipe: Path
    picture: Path
    summary: Path

    @classmethod
    def beside(cls, output: Path | str) -> Files:
        """All names from that of the result.

        >>> Files.beside("displacement.tif").recipe.name
        'displacement.recipe.yaml'

        Raises:
            OptionError: where the name does not say that it is a GeoTIFF.
        """
        field = Path(output)
        require_geotiff(field)
        stem = field.with_suffix("")
        return cls(field, *(stem.with_name(stem.name + end) for end in (".recipe.yaml", ".png", ".json")))

    def check(self, overwrite: bool, inputs: tuple[str, str]) -> None:
        """Make sure before any work that all of them can be written, and that none is an input.

        Raises:
            OptionError: where a result would replace an input.
            OutputError: where a name is taken or the folder refuses.
        """
        check_targets(self, inputs, overwrite)


class Input(NamedTuple):
    """One image, so that it can be found and recognised again."""

    name: str
    sha256: str | None
    """None for what is not a local file."""
    band: str
    date: datetime | None

    @classmethod
    def of(cls, raster: Raster) -> Input:
        """Describe an open raster; reads the whole file for its checksum."""
        return cls(Path(raster.path).name, checksum(raster.path), raster.band_name, raster.date)

    def tags(self, role: str) -> dict[str, str]:
        """What is known of it, as tags `BEFORE`, `BEFORE_SHA256`, ..."""
        known = {
            role: self.name,
            f"{role}_SHA256": self.sha256,
            f"{role}_BAND": self.band,
            f"{role}_DATE": self.date.isoformat() if self.date else None,
        }
        return {key: value for key, value in known.items() if value}


def provenance(pair: RasterPair, recipe: Recipe, search: Search, warnings: list[str]) -> dict[str, Any]:
    """What decided a result: program, recipe, inputs, search, and how to read the numbers."""
    return {
        "TERRASHIFT_VERSION": version("terrashift"),
        "RECIPE": recipe.model_dump(mode="json", exclude={"run"}),
        "RECIPE_HASH": recipe.hash,
        "METHOD": recipe.estimator.name,
        "REGULARISER": recipe.regularise.name,
        "PAPERS": [*recipe.estimator.papers, *recipe.regularise.papers],
        **Input.of(pair.before).tags("BEFORE"),
        **Input.of(pair.after).tags("AFTER"),
        "SEARCH": {"centre_px": list(search.centre), "radius_px": list(search.radius)},
        "CONVENTION": CONVENTION.format(unit="metres" if pair.grid.unit == "m" else "pixels (the images have no CRS)"),
        **({"WARNINGS": warnings} if warnings else {}),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """Every n-th measurement of a field, picked up tile by tile: a picture needs no more, and memory stays bounded."""

    grid: Grid
    every: int
    values: Tensor

    @classmethod
    def of(cls, grid: Grid) -> Thumbnail:
        """Empty, for a field on `grid`."""
        every = max(1, -(-max(grid.shape) // PICTURE_PX))
        small = grid.every(every)
        return cls(small, every, torch.full((len(DisplacementField.BANDS), *small.shape), torch.nan))

    def add(self, tile: Tile, values: Tensor) -> None:
        """Take from a tile of the field what belongs to the thumbnail."""
        first = [-(-(part.start - self.every // 2) // self.every) for part in tile.core]
        begin = [k * self.every + self.every // 2 - part.start for k, part in zip(first, tile.core, strict=True)]
        picked = values[:, begin[0] :: self.every, begin[1] :: self.every]
        rows, columns = (slice(k, k + n) for k, n in zip(first, picked.shape[1:], strict=True))
        self.values[:, rows, columns] = picked

    def field(self, made_by: dict[str, Any]) -> DisplacementField:
        """What was picked up so far."""
        east, north, sigma_east, sigma_north, score, reasons = self.values
        reasons = reasons.nan_to_num().to(torch.uint8)
        return DisplacementField(east, north, sigma_east, sigma_north, score, reasons, self.grid, made_by)
