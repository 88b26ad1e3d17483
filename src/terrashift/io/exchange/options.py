"""What files of other programs do not say themselves, and how arrows and styles are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class ImportOptions(BaseModel, frozen=True, extra="forbid"):
    """What a file of another program does not say itself."""

    like: Path | None = Field(
        default=None,
        description="An image on the grid of the result, for files without georeferencing (MicMac, ASP).",
    )
    crs: str | None = Field(default=None, description="CRS for a file that has none, e.g. EPSG:32631.")
    units: Literal["auto", "m", "px"] = Field(
        default="auto",
        description="What COSI-Corr and east / north pairs count: metres or image pixels. auto: metres with a CRS.",
    )
    image_pixel: float | None = Field(
        default=None,
        gt=0,
        description="Side of an image pixel, metres, where values are in pixels but cells are coarser (autoRIFT).",
    )
    micmac_step: float = Field(default=0.05, gt=0, description="Pixels that one count of MicMac's Px1 and Px2 means.")
    days: float | None = Field(
        default=None, gt=0, description="Days between the images, for velocities (autoRIFT, ITS_LIVE)."
    )
    pair: str | None = Field(default=None, description="Which pair of a MintPy stack, e.g. 20160206_20161122.")


class ExchangeOptions(ImportOptions, frozen=True, extra="forbid"):
    """The same, and how arrows and styles are drawn."""

    vector_every: int | None = Field(
        default=None, ge=1, description="An arrow at every n-th cell (GeoJSON, KMZ). Default: 50 along the longer side."
    )
    vector_scale: float | None = Field(
        default=None,
        gt=0,
        description="How many times longer than the motion arrows are. Default: large ones touch the next.",
    )
    style_band: Literal["east", "north", "sigma_east", "sigma_north", "score"] = Field(
        default="east", description="Band that a QGIS style shows."
    )
    style_limit: float | None = Field(
        default=None, gt=0, description="End of the style's colour scale, metres. Default: 98th percentile."
    )
