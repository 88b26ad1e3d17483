"""Make a sharp image agree with the coarse one that it should return when it is seen by the coarse camera again.

Two ways, neither with weights, both after any network. `constrain_low_frequencies` takes the low frequencies from the
coarse image (Aybar et al. 2026, SEN2SR) and so keeps its noise out of the rest, but D B x = y holds to the filter's
sharpness only. `back_project` repeats x + U (y - D B x) until it does hold, and takes on the noise of y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import OptionError

Filter = Literal["ideal", "gaussian"]


def constrain_low_frequencies(
    sharp: Float[Tensor, "batch band height width"],
    smooth: Float[Tensor, "batch band height width"],
    scale: int,
    kind: Filter = "gaussian",
    contrast: float = 0.25,
) -> Float[Tensor, "batch band height width"]:
    """Low frequencies of `smooth` and high ones of `sharp`: F^-1(P F(smooth) + (1 - P) F(sharp)).

    Images count as mirrored at their borders, so that nothing rings there.

    Args:
        sharp: what a network made.
        smooth: the coarse image interpolated onto the same grid.
        scale: fine pixels along a coarse one.
        kind: ideal: P is 1 below half a cycle per coarse pixel along both axes, else 0; the low frequencies of the
            result are then those of `smooth`, and doing it twice is doing it once. gaussian: P is the coarse camera's
            own transfer, a Gaussian, and the result a mixture.
        contrast: of that Gaussian at half a cycle per coarse pixel.

    Raises:
        OptionError: images of different sizes, or a contrast not between 0 and 1.
    """
    if sharp.shape != smooth.shape or not 0 < contrast < 1:
        raise OptionError(
            f"images of {tuple(sharp.shape)} and {tuple(smooth.shape)}, contrast {contrast}: give two of one size and "
            "a contrast between 0 and 1."
        )
    return sharp + low_pass(smooth - sharp, scale, kind, contrast)


def low_pass(
    image: Float[Tensor, "batch band height width"], scale: int, kind: Filter = "gaussian", contrast: float = 0.25
) -> Float[Tensor, "batch band height width"]:
    """What the filter P of `constrain_low_frequencies` leaves of an image."""
    height, width = image.shape[-2:]
    mirrored = torch.cat([image, image.flip(-1)], -1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2)
    x = torch.fft.rfftfreq(2 * width, dtype=torch.float64, device=image.device)
    y = torch.fft.fftfreq(2 * height, dtype=torch.float64, device=image.device)[:, None]
    nyquist = 0.5 / scale
    if kind == "ideal":
        passed = ((x < nyquist) & (y.abs() < nyquist)).double()
    else:
        passed = contrast ** ((x * x + y * y) / nyquist**2)
    spectrum = torch.fft.rfft2(mirrored.double()) * passed
    return torch.fft.irfft2(spectrum, s=(2 * height, 2 * width))[..., :height, :width].to(image.dtype)


def back_project(
    sharp: Float[Tensor, "batch band fine_height fine_width"],
    coarse: Float[Tensor, "batch band height width"],
    see: Callable[[Tensor], Tensor],
    up: Callable[[Tensor], Tensor],
    steps: int = 10,
) -> Float[Tensor, "batch band fine_height fine_width"]:
    """The nearest of images like `sharp` that the camera sees as `coarse` (Irani & Peleg 1991).

    Args:
        sharp: what a network made.
        coarse: what it should be seen as.
        see: the camera, fine to coarse.
        up: coarse to fine, an interpolation; the closer see(up(y)) is to y, the fewer steps it takes.
        steps: how often to add up(coarse - see(sharp)).
    """
    for _ in range(steps):
        sharp = sharp + up(coarse - see(sharp))
    return sharp
