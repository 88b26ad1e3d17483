"""Frames in files: their bands, their masks, and where they lie on each other by their georeferencing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..core.grid import Grid
from ..errors import GridMismatchError, InputError, OptionError
from ..io.aligned import data_bands, open_band
from ..io.georeference import same_crs
from ..io.nodata import Nodata
from ..io.raster import Raster, ReadOptions, open_raster
from ..register.mapping import Mapping, between_grids
from ..register.overlap import georeferenced_map, is_placed
from ..register.sources import sample_image

LINEAR = 2e-3
"""Largest difference of pixel sizes, and turn, with which frames still count as of one grid."""


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """What says which pixels of a frame are usable, beside its nodata."""

    files: tuple[str, ...] = ()
    """One for each frame, in their order, on any grid."""
    band: str | None = None
    """Band of the frames themselves that holds the mask."""
    unusable: tuple[float, ...] = ()
    """Values that mean cloud, shadow, ...; unless given, all but 0."""
    clear: tuple[float, ...] = ()
    """The only values that mean usable, in place of `unusable`."""

    def check(self, frames: int) -> None:
        """Refuse what fits no stack of so many frames.

        Raises:
            OptionError: masks of another number, or values that nothing is said of.
        """
        if self.files and len(self.files) != frames:
            raise OptionError(f"{len(self.files)} masks for {frames} frames: give one --mask for each, in their order")
        if self.files and self.band:
            raise OptionError("--mask and --mask-band both tell of clouds: give one of them")
        if self.unusable and self.clear:
            raise OptionError("--mask-values and --clear-values say the same in two ways: give one of them")
        if (self.unusable or self.clear) and not (self.files or self.band):
            raise OptionError("--mask-values and --clear-values belong to --mask or --mask-band")

    def usable(self, values: Float[Tensor, "height width"]) -> Bool[Tensor, "height width"]:
        """True where a mask's values say that a pixel is usable."""
        listed = torch.tensor(self.clear or self.unusable or (0.0,))
        among = torch.isin(values, listed)
        return among if self.clear or not self.unusable else ~among & values.isfinite()


@dataclass(frozen=True, slots=True, eq=False)
class FrameFile:
    """One frame, read window by window."""

    path: str
    bands: tuple[Raster, ...]
    mask: Raster | None = None
    options: MaskOptions = field(default_factory=MaskOptions)
    mask_mapping: Mapping = field(default_factory=Mapping)
    """From pixels of the frame to pixels of the mask."""

    @property
    def name(self) -> str:
        """Without its folder."""
        return Path(self.path).name

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        return self.bands[0].grid

    @property
    def date(self) -> datetime | None:
        """When it was taken."""
        return self.bands[0].date

    def read(self, row: int, column: int, height: int, width: int) -> Float[Tensor, "band height width"]:
        """The window whose first pixel is (row, column), NaN in all bands where one has no data or the mask says so.

        Raises:
            InputError: a file is damaged.
        """
        pixels = torch.stack([band.read(row, column, height, width) for band in self.bands])
        usable = pixels.isfinite().all(0)
        if self.mask is not None and bool(usable.any()):
            at = self.mask_mapping.block(row, column, height, width)
            usable &= self.options.usable(sample_image(self.mask, at, "nearest"))
        return torch.where(usable, pixels, torch.nan)


def open_frames(
    paths: Sequence[str], read: ReadOptions, bands: Sequence[str] = (), masks: MaskOptions | None = None
) -> tuple[FrameFile, ...]:
    """Open all frames.

    Args:
        paths: two files or more.
        read: nodata and CRS; its band is not used.
        bands: by number or name; all that hold data unless given, without the mask's.
        masks: what says which pixels are usable.

    Raises:
        InputError: fewer than two frames, or one that cannot be used.
        OptionError: masks that do not fit.
    """
    masks = masks or MaskOptions()
    masks.check(len(paths))
    if len(set(paths)) < 2:
        raise InputError(
            f"{len(set(paths))} frame: give two or more images of one place, such as `terrashift superres frame*.tif "
            "-o sharp.tif`. A single image holds no detail that it does not show."
        )
    twice = sorted({path for path in paths if list(paths).count(path) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)}: given more than once. The same image again holds nothing new.")
    frames = [_open(path, read, bands, masks, k) for k, path in enumerate(paths)]
    first = frames[0]
    for frame in frames[1:]:
        if len(frame.bands) != len(first.bands):
            raise InputError(
                f"{frame.path} has {len(frame.bands)} bands, {first.path} has {len(first.bands)}: name those that all "
                "have, such as --bands 1."
            )
    return tuple(frames)


def _open(path: str, read: ReadOptions, bands: Sequence[str], masks: MaskOptions, number: int) -> FrameFile:
    mask = None
    if masks.band is not None:
        mask = _labels(open_raster(path, read.model_copy(update={"band": masks.band, "nodata": None})))
    elif masks.files:
        mask = _labels(open_raster(masks.files[number], ReadOptions(crs=read.crs)))
    if bands:
        rasters = tuple(open_raster(path, read.model_copy(update={"band": band})) for band in bands)
    else:
        own = mask.band if masks.band is not None and mask is not None else None
        rasters = tuple(open_band(path, n, read) for n in data_bands(path).numbers if n != own)
    if not rasters:
        raise InputError(f"{path} has no band beside its mask: name the mask's by --mask-band, the others by --bands")
    mapping = Mapping()
    if mask is not None and masks.files:
        mapping = _onto_mask(rasters[0].grid, mask, path)
    return FrameFile(path, rasters, mask, masks, mapping)


def _labels(mask: Raster) -> Raster:
    """A mask as the numbers that are stored: often 0, its commonest value, is called nodata."""
    return replace(mask, nodata=Nodata(mask.band, (), (), False, ()), scale=1.0, offset=0.0)


def _onto_mask(frame: Grid, mask: Raster, path: str) -> Mapping:
    if is_placed(frame) and is_placed(mask.grid):
        return georeferenced_map(frame, mask.grid)
    if frame.shape != mask.grid.shape:
        raise InputError(
            f"the mask {mask.path} is {mask.grid.height} x {mask.grid.width} px, {path} is {frame.height} x "
            f"{frame.width} px, and they are not both georeferenced: give a mask of the frame's shape"
        )
    return Mapping()


def start_of(reference: FrameFile, frame: FrameFile) -> Mapping:
    """Where the pixels of the reference lie in a frame, by georeferencing.

    Raises:
        GridMismatchError: another CRS, pixel size or turn, or another shape without georeferencing.
    """
    still, moving = reference.grid, frame.grid
    remedy = (
        f"Bring it onto the reference's pixels first: `terrashift register {frame.path} {reference.path} -o "
        "aligned.tif`, and give the result in its place."
    )
    if not (is_placed(still) and is_placed(moving)):
        if is_placed(still) != is_placed(moving) or still.shape != moving.shape:
            raise GridMismatchError(
                f"{frame.path} is {moving}, {reference.path} is {still}: nothing says how they lie on each other. "
                f"{remedy}"
            )
        return Mapping()
    if (still.crs is None) != (moving.crs is None) or not (
        still.crs is None or moving.crs is None or same_crs(still.crs, moving.crs)
    ):
        raise GridMismatchError(
            f"{frame.path} is in {moving.crs or 'no CRS'}, {reference.path} in {still.crs or 'no CRS'}. {remedy}"
        )
    step = ~moving.transform @ still.transform
    if max(abs(step.a - 1), abs(step.b), abs(step.d), abs(step.e - 1)) > LINEAR:
        raise GridMismatchError(
            f"{frame.path} is {moving}, {reference.path} is {still}: frames of one stack share pixel size and "
            f"orientation. {remedy}"
        )
    return Mapping((between_grids(still, moving),))


def share_on(reference: Grid, frame: Grid, start: Mapping) -> float:
    """Share of the reference that lies on a frame, 0 to 1."""
    from ..register.overlap import overlap_share

    return overlap_share(start, reference.shape, frame.shape)


def fine_grid(grid: Grid, scale: int) -> Grid:
    """The reference's grid with each pixel cut into scale x scale, edges where they were."""
    from affine import Affine

    transform = grid.transform if not is_placed(grid) else grid.transform @ Affine.scale(1 / scale)
    return replace(grid, height=scale * grid.height, width=scale * grid.width, transform=transform)


def middle_offset(start: Mapping, row: float, column: float) -> Float[np.ndarray, 2]:
    """(x right, y down) px from a place of the reference, in its pixels, to where it lies in a frame."""
    at = np.array([[float(column)], [float(row)]])
    return (start(at) - at)[:, 0]
