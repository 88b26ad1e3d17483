"""Small archives of smooth noise, for tests that train."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from terrashift.simulate.archive import Archive, View


def pack_noise(path: Path, place: str, seed: int) -> None:
    """Write an archive of one place with two dates of the same ground."""
    random = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(random.normal(size=(120, 140)), 1.0)
    dates = [(ground + 0.01 * random.normal(size=ground.shape)).astype(np.float32) for _ in (0, 1)]
    view = View("made up", place, "grey", place, "none", "CC0", 10.0, ("a", "b"), ((0.0, 0.0), (0.0, 0.0)), 120, 140)
    Archive.of([(view, dates)]).save(path)
