"""How frames become one sharper image."""

from __future__ import annotations

from pydantic import BaseModel, Field

from .brightness import Anchor


class SuperresOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of `terrashift superres`."""

    scale: int = Field(default=3, ge=2, le=8, description="Pixels of the result along a pixel of the frames.")
    method: str = Field(
        default="auto",
        description="bicubic, bicubic-mean, bicubic-median, shift-and-add, ibp (iterative back-projection), a trained "
        "network by the name of its weights, or a .safetensors file; auto: the package's network for this scale where "
        "there is one, else ibp.",
    )
    reference: str = Field(
        default="clearest",
        description="Frame whose place, date and brightness the result has: clearest, a file among the frames, or a "
        "date such as 2021-07-16 for the frame that is closest to it.",
    )
    max_frames: int = Field(default=24, ge=1, description="Most frames that are used; the clearest.")
    min_clear: float = Field(
        default=0.1, ge=0, le=1, description="Frames with a smaller share of usable pixels are left out."
    )
    keep_outliers: bool = Field(
        default=False,
        description="Use pixels that contradict the median of all frames too (clouds without a mask, change).",
    )
    trust_all: bool = Field(
        default=False,
        description="Let every frame count alike, also where it shows other ground than the reference.",
    )
    anchor: Anchor = Field(
        default="low",
        description="How the result keeps the reference's brightness: low: low frequencies are the reference's; exact: "
        "averaged again over its pixels, the result is the reference, noise included; none.",
    )
    iterations: int = Field(default=20, ge=1, le=200, description="Of ibp; more bring out detail, and noise.")
    contrast: float = Field(
        default=0.25,
        gt=0,
        le=0.63,
        description="Of ibp: contrast that the frames' camera leaves at half a cycle per pixel (MTF at Nyquist).",
    )
