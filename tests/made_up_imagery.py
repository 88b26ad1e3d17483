"""Made-up ground: small archives of smooth noise, for tests that train, and waves known between their pixels."""

from collections.abc import Sequence
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


class Ground:
    """A scene known between its pixels: waves of 5 to 30 px that run in all directions."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        angle, length = random.uniform(0, 2 * np.pi, 60), np.exp(random.uniform(np.log(5), np.log(30), 60))
        self.turns = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])
        self.phase, self.height = random.uniform(0, 2 * np.pi, 60), random.uniform(0.5, 1, 60)

    def seen(self, shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """What lies at p is seen at p + shift (x right, y down)."""
        x, y = np.arange(shape[1]) - shift[0], np.arange(shape[0])[:, None] - shift[1]
        total = np.zeros(shape)
        for across, down, phase, height in zip(*self.turns, self.phase, self.height, strict=True):
            total += height * np.cos(across * x + down * y + phase)
        return total.astype(np.float32)


def view_of(name: str, shape: tuple[int, int], shifts: Sequence[tuple[float, float]]) -> View:
    dates = tuple(f"2020-01-{k + 1:02d}" for k in range(len(shifts)))
    return View(name, name, "red", "train", "made up", "CC0", 10.0, dates, tuple(shifts), *shape)
