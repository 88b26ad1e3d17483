"""A made-up earthquake as files, and a measurement of it held against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from affine import Affine
from jaxtyping import Bool, Float
from scipy import ndimage

from .core.field import DisplacementField
from .core.grid import Grid
from .core.image import Image
from .io.atomic import atomic_path
from .io.cog import blocks_of, read_field, write_field
from .simulate.pair import SimulatedPair, simulate_pair
from .simulate.rupture import Rupture, displacement
from .simulate.scene import procedural_ground

if TYPE_CHECKING:
    from rich.console import RenderableType

PIXEL_M = 10.0
MARGIN_PX = 4  # the motion, below 1 px, the reach of the sensor's blur, 2 px, and one to spare
RUPTURE = Rupture(slip_m=8.0, depth_km=3.0, strike_deg=35.0, length_km=12.0)
NEAR_PX = 16  # half of the usual window: what mixes both sides of the fault
SLIP_PX = (20, 60)  # where the sides are read: clear of the windows that see both, and still beside the fault
COUNTS_PER_REFLECTANCE = 10_000  # as in Sentinel-2 products


class DemoScene(NamedTuple):
    """The files of the demonstration, and the truth."""

    before: Path
    after: Path
    truth: Path
    field: Path
    """Where the measurement goes."""
    pair: SimulatedPair


def generate(folder: Path, size_px: int, seed: int) -> DemoScene:
    """Draw a landscape, break it along a fault, and write both images and the true displacement into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = Grid(size_px, size_px, Affine(PIXEL_M, 0, 500_000, 0, -PIXEL_M, 4_000_000), "EPSG:32631")
    ground = procedural_ground(size_px + 2 * MARGIN_PX, size_px + 2 * MARGIN_PX, seed)
    pair = simulate_pair(ground, grid, displacement(grid, RUPTURE, seed))
    files = [folder / name for name in ("before.tif", "after.tif", "truth.tif", "displacement.tif")]
    scene = DemoScene(files[0], files[1], files[2], files[3], pair)
    _write_image(scene.before, pair.before)
    _write_image(scene.after, pair.after)
    nan, full = torch.full(grid.shape, torch.nan), torch.ones(grid.shape)
    none = torch.zeros(grid.shape, dtype=torch.uint8)
    truth = DisplacementField(pair.east, pair.north, nan, nan, full, none, grid)
    write_field(scene.truth, grid, blocks_of(truth), {"MADE_BY": "terrashift demo: the true displacement"}, True)
    return scene


def _write_image(path: Path, image: Image) -> None:
    """Write reflectance as whole numbers, as satellite products hold it."""
    import rasterio

    grid = image.grid
    counts = (image.pixels[0] * COUNTS_PER_REFLECTANCE).round().clamp(1, 65535).nan_to_num(0).to(torch.uint16)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": grid.height, "width": grid.width}
    place = {"crs": grid.crs, "transform": grid.transform, "nodata": 0, "compress": "deflate"}
    with atomic_path(path) as part, rasterio.open(part, "w", **profile, **place) as dataset:
        dataset.write(counts.numpy(), 1)
        dataset.scales, dataset.descriptions = (1 / COUNTS_PER_REFLECTANCE,), ("reflectance",)


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a measurement lies from the truth over some pixels, in metres."""

    where: str
    median_m: float
    p90_m: float
    measured_share: float
    """Part of the places there that have a value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measurement held against the truth."""

    errors: tuple[Errors, ...]
    slip_m: float
    true_slip_m: float
    pixel_m: float
    picture: str

    def render(self) -> RenderableType:
        """A table for the terminal."""
        from rich.console import Group
        from rich.table import Table

        table = Table(
            "error of the vectors", "median", "90 %", "measured", title="Against the truth", title_style="bold"
        )
        for one in self.errors:
            lengths = (f"{m:.2f} m = {m / self.pixel_m:.3f} px" for m in (one.median_m, one.p90_m))
            table.add_row(one.where, *lengths, f"{one.measured_share:.1%}")
        slip = f"slip across the fault: {self.slip_m:.2f} m measured, {self.true_slip_m:.2f} m true"
        return Group(table, slip, f"picture: {self.picture}")


def compare(scene: DemoScene) -> Comparison:
    """Hold the measurement of a demonstration against its truth, near the fault and away from it."""
    found = read_field(scene.field)
    step = round(found.grid.pixel_size[0] / PIXEL_M)
    at = slice(step // 2, None, step), slice(step // 2, None, step)  # where the measurements are: see `Grid.every`
    truth = torch.stack([scene.pair.east[at], scene.pair.north[at]]).numpy()
    measured = torch.stack([found.east, found.north]).numpy()
    away_px = np.asarray(ndimage.distance_transform_edt(~scene.pair.trace.numpy()))[at]
    error = np.hypot(*(measured - truth))
    near = away_px <= NEAR_PX
    beside = (away_px > SLIP_PX[0]) & (away_px < SLIP_PX[1]) & np.isfinite(error)
    return Comparison(
        errors=(
            _errors(f"within {NEAR_PX} px of the fault", error[near]),
            _errors("farther away", error[~near]),
        ),
        slip_m=_slip(measured, truth, beside),
        true_slip_m=_slip(truth, truth, beside),
        pixel_m=PIXEL_M,
        picture=str(scene.field.with_suffix(".png")),
    )


def _errors(where: str, error: Float[np.ndarray, " places"]) -> Errors:
    known = error[np.isfinite(error)]
    median, p90 = np.percentile(known, [50, 90]) if len(known) else (np.nan, np.nan)
    return Errors(where, float(median), float(p90), len(known) / max(1, len(error)))


def _slip(
    moved: Float[np.ndarray, "2 height width"],
    truth: Float[np.ndarray, "2 height width"],
    beside: Bool[np.ndarray, "height width"],
) -> float:
    """Motion along strike of the left side less that of the right side; the truth tells which side a place is on."""
    strike = np.radians(RUPTURE.strike_deg)
    along, true_along = (np.sin(strike) * field[0] + np.cos(strike) * field[1] for field in (moved, truth))
    left = true_along > 0
    return float(np.median(along[beside & left]) - np.median(along[beside & ~left]))
