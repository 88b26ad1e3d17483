"""Optical flow of well-known libraries, to be compared with: OpenCV's DIS and Farneback, scikit-image's TV-L1 and ILK.

None of them knows of missing data, sigma or search: gaps are filled by the image's median and their vectors left out.
Both images are brought to the same local mean and deviation first, or changes of light would be taken for motion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy import ndimage

from ..errors import OptionError
from .case import Answer, Case, Entry, images_of

LOCAL_PX = 17
DEVIATIONS = 4.0
"""Range of the local deviations that 8 bit numbers span."""

Run = Callable[[Float[ndarray, "height width"], Float[ndarray, "height width"]], ndarray]


@dataclass(frozen=True, slots=True)
class Rival:
    """One of them."""

    name: str
    run: Run
    """Two normalised images -> (x, y, ...) px, in front or behind."""

    def __call__(self, entry: Entry, case: Case) -> Answer:
        """Measure a case.

        Raises:
            OptionError: its library is not installed.
        """
        images = images_of(case)
        gaps = ~(np.isfinite(images[0]) & np.isfinite(images[1]))
        flow = self.run(*(_normalised(image) for image in images))
        return Answer(np.where(gaps, np.nan, flow).astype(np.float32))


def _normalised(image: Float[ndarray, "height width"]) -> Float[ndarray, "height width"]:
    """Local mean 0 and deviation 1."""
    known = np.isfinite(image)
    filled = np.where(known, image, np.median(image[known]) if known.any() else 0.0).astype(np.float64)
    mean = ndimage.uniform_filter(filled, LOCAL_PX)
    variance = np.maximum(ndimage.uniform_filter(filled**2, LOCAL_PX) - mean**2, 0)
    least = 1e-3 * filled.std() + 1e-12
    return ((filled - mean) / (np.sqrt(variance) + least)).astype(np.float32)


def _bytes(image: Float[ndarray, "height width"]) -> UInt8[ndarray, "height width"]:
    """As 8 bit numbers, as OpenCV wants them."""
    return np.clip(np.round(128 + image * (127 / DEVIATIONS)), 0, 255).astype(np.uint8)


def _opencv(name: str) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise OptionError(f"{name} needs OpenCV: pip install 'terrashift[rivals]'.") from error
    return cv2


def _skimage(name: str) -> Any:
    try:
        from skimage import registration
    except ImportError as error:
        raise OptionError(f"{name} needs scikit-image: pip install 'terrashift[rivals]'.") from error
    return registration


def dis(before: Float[ndarray, "height width"], after: Float[ndarray, "height width"]) -> ndarray:
    """Dense inverse search at its finest scale, patches of 8 px every 3 px (Kroeger et al. 2016)."""
    cv2 = _opencv("opencv-dis")
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchSize(8)
    search.setPatchStride(3)
    return np.moveaxis(search.calc(_bytes(before), _bytes(after), None), 2, 0)


def farneback(before: Float[ndarray, "height width"], after: Float[ndarray, "height width"]) -> ndarray:
    """Polynomial expansion over windows of 21 px (Farneback 2003)."""
    cv2 = _opencv("opencv-farneback")
    found = cv2.calcOpticalFlowFarneback(_bytes(before), _bytes(after), None, 0.5, 3, 21, 5, 7, 1.5, 0)
    return np.moveaxis(found, 2, 0)


def tvl1(before: Float[ndarray, "height width"], after: Float[ndarray, "height width"]) -> ndarray:
    """TV-L1 with scikit-image's own settings (Zach et al. 2007)."""
    return _skimage("skimage-tvl1").optical_flow_tvl1(before, after)[::-1]


def ilk(before: Float[ndarray, "height width"], after: Float[ndarray, "height width"]) -> ndarray:
    """Iterative Lucas-Kanade over a radius of 7 px (Le Besnerais and Champagnat 2005)."""
    return _skimage("skimage-ilk").optical_flow_ilk(before, after, radius=7)[::-1]


RIVALS = {
    name: Rival(name, run)
    for name, run in {
        "opencv-dis": dis,
        "opencv-farneback": farneback,
        "skimage-tvl1": tvl1,
        "skimage-ilk": ilk,
    }.items()
}
