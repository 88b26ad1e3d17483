"""How images are registered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from ..ops.sample import Kernel

Model = Literal["translation", "affine", "poly2", "poly3", "local", "network", "auto"]
WINDOW_PX = 64
ORDERS: dict[str, int] = {"translation": 0, "affine": 1, "poly2": 2, "poly3": 3}
"""Of the polynomial that each global model is."""


class RegisterOptions(BaseModel, frozen=True, extra="forbid"):
    """How one image is brought onto another."""

    model: Model = Field(
        default="auto",
        description="What may differ: translation, affine, poly2 or poly3 over the whole image; local bends everywhere "
        "and takes ground motion out too; network: a trained network's dense map, judged by tie points, which takes "
        "ground motion out too; auto: the simplest of translation, affine and poly2 that predicts tie points "
        "that were left out about as well as the best.",
    )
    start: Literal["auto", "georeferencing", "content"] = Field(
        default="auto",
        description="Where the place is looked for: by the georeferencing, or by what the images show (any turn, "
        "scales of 1/4 to 4); auto: content where either image has no georeferencing.",
    )
    kernel: Kernel = Field(
        default="sinc",
        description="How values between pixels are made, once, in the result; smaller kernels take over beside gaps. "
        "nearest for classes.",
    )
    window_px: int | None = Field(
        default=None,
        ge=16,
        le=256,
        multiple_of=2,
        description=f"Side of the windows that tie points are measured by; unless given {WINDOW_PX}, and with --model "
        "local half of that where tie points that were left out are predicted much better so.",
    )
    spacing_px: int | None = Field(
        default=None,
        ge=4,
        description="Side of the cells of which each gives one tie point at most, pixels of the reference; unless "
        "given half a window, more in images that would have over 4096 cells.",
    )
    search_px: int = Field(
        default=4,
        ge=1,
        le=64,
        description="How far tie points are looked for beyond what coarser levels found, pixels of each level.",
    )
    min_score: float = Field(default=0.15, ge=0, le=1, description="Tie points that score less are left out.")
    rounds: int = Field(
        default=3, ge=1, le=10, description="Times that tie points are measured at full resolution, at most."
    )
    keep_off_m: float = Field(
        default=0.0,
        ge=0,
        description="Leave tie points within this distance of --trace out of the fit, metres (pixels without a CRS).",
    )
    fine_tune: int = Field(
        default=0,
        ge=0,
        description="With --model network: train a copy of it on the pair itself for so many steps first.",
    )
    weights: str | None = Field(
        default=None,
        description="With --model network: its trained weights, a name of the package's or a .safetensors file; "
        "register unless given.",
    )

    @field_validator("fine_tune", "weights")
    @classmethod
    def _of_the_network(cls, value: int | str | None, info: Any) -> int | str | None:
        model = info.data.get("model", "network")
        if value and model != "network":
            told = "it belongs to --model network, so leave it out with --model {model}"
            raise PydanticCustomError("network_only", told, {"model": model})
        return value


class GroupOptions(BaseModel, frozen=True, extra="forbid"):
    """How a group of images is registered together."""

    neighbours: int = Field(
        default=4,
        ge=1,
        description="Pairs are measured between each image and so many that follow it in time (or in the order given).",
    )
