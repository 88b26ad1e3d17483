"""Registration as a contender: the map that `terrashift register` finds, taken for motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine

from ..core.grid import Grid
from ..register.options import RegisterOptions
from ..register.pair import Job, register
from ..register.sources import ArrayImage
from .case import Answer, Case, Entry

PIXEL_M = 10.0
CRS = "EPSG:32631"


@dataclass(frozen=True, slots=True)
class Registering:
    """One model of registration, `after` being brought onto `before`."""

    name: str
    options: RegisterOptions
    device: str = "cpu"

    def __call__(self, entry: Entry, case: Case) -> Answer:
        """Register a case.

        Raises:
            InputError: the images do not match.
        """
        pair = case.source.pair
        height, width = pair.grid.shape
        # both lie on one grid, which images without georeferencing do not say
        grid = pair.grid if pair.grid.crs else Grid(height, width, Affine.scale(PIXEL_M, -PIXEL_M), CRS)
        before, after = (ArrayImage(image.pixels[0], grid) for image in (pair.before, pair.after))
        found = register(Job(moving=after, reference=before, options=self.options, device=self.device))
        places = np.mgrid[0:height, 0:width][::-1].astype(np.float64)
        return Answer((found.mapping(places) - places).astype(np.float32))
