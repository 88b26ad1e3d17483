"""The PROBA-V super-resolution data of ESA's Kelvins challenge: folders of 16-bit PNG, one a scene.

A scene is a folder `imgset0000` with coarse frames LR000.png, ... and their masks QM000.png, ... (128 px of 300 m),
and, for training, the sharp HR.png with its mask SM.png (384 px of 100 m); any number but 0 in a mask means clear.
Above them lie folders NIR and RED, and norm.csv with the score of the challenge's baseline for each scene.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ..errors import InputError
from .opening import explained, open_dataset

SCALE = 3
SCENE = re.compile(r"imgset\d+")
DAMAGED = 60000
"""Numbers beyond this are no brightness: 14 bits are in use. The challenge's data has a few such frames."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One scene in memory."""

    name: str
    band: str
    """NIR, RED, or what its folder is called."""
    frames: Float[np.ndarray, "frame height width"]
    """DN, NaN where the mask says so."""
    truth: Float[np.ndarray, "fine_height fine_width"] | None
    """DN; None for scenes whose truth the challenge keeps."""
    clear: Bool[np.ndarray, "fine_height fine_width"] | None
    """Where the truth counts."""
    baseline: float | None
    """cPSNR, dB, of the challenge's baseline by norm.csv."""

    @property
    def clearance(self) -> Float[np.ndarray, " frame"]:
        """Share of clear pixels of each frame."""
        return np.isfinite(self.frames).mean((1, 2))


def find_scenes(folder: Path) -> list[Path]:
    """All scenes below a folder, in the order of their names, or the folder itself where it is one.

    Raises:
        InputError: where there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give that which holds norm.csv and the folders NIR and RED")
    found = [folder] if SCENE.fullmatch(folder.name) else []
    found += sorted(path for path in folder.rglob("imgset*") if path.is_dir() and SCENE.fullmatch(path.name))
    if not found:
        raise InputError(
            f"{folder} holds no scene (a folder imgset0000 with LR000.png and QM000.png): unpack the challenge's "
            "archive, and give the folder that came out of it"
        )
    return found


def read_scenes(folder: Path) -> Iterator[Scene]:
    """Every scene below a folder, one in memory at a time.

    Raises:
        InputError: see `find_scenes` and `read_scene`.
    """
    norms: dict[Path, dict[str, float]] = {}
    for path in find_scenes(folder):
        listed = next(
            (p / "norm.csv" for p in (path.parent, *path.parent.parents[:3]) if (p / "norm.csv").is_file()), None
        )
        if listed is not None and listed not in norms:
            norms[listed] = read_norm(listed)
        yield read_scene(path, norms[listed].get(path.name) if listed is not None else None)


def read_norm(path: Path) -> dict[str, float]:
    """The baseline's cPSNR, dB, of each scene.

    Raises:
        InputError: where a line is not a name and a number.
    """
    norms = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = [word for word in re.split(r"[\s,;]+", line.strip()) if word]
        if not words:
            continue
        try:
            norms[words[0]] = float(words[1])
        except (IndexError, ValueError) as error:
            if number == 1 and not SCENE.fullmatch(words[0]):
                continue  # a heading
            raise InputError(f"line {number} of {path} is {line!r}: not a scene and its score") from error
    return norms


def read_scene(path: Path, baseline: float | None = None) -> Scene:
    """One scene.

    Frames that hold numbers beyond 14 bits are left out, as all published work does.

    Raises:
        InputError: where a frame or mask is missing, damaged or of another size, or none is left.
    """
    names = sorted(path.glob("LR*.png"))
    if not names:
        raise InputError(f"{path} holds no frames LR000.png, ...: it is no scene of the PROBA-V challenge")
    frames: list[np.ndarray] = []
    for name in names:
        image = _read(name)
        mask = _read(name.with_name("QM" + name.name[2:]))
        first = frames[0].shape if frames else image.shape
        if image.shape != mask.shape or image.shape != first:
            raise InputError(
                f"{name} is {image.shape} px, its mask {mask.shape}, the first frame {first}: not one scene"
            )
        if image.max() <= DAMAGED:
            frames.append(np.where(mask > 0, image, np.nan).astype(np.float32))
    if not frames:
        raise InputError(f"{path}: every frame holds numbers beyond {DAMAGED}, which are no brightness")
    truth, clear = (path / name for name in ("HR.png", "SM.png"))
    sharp = _read(truth).astype(np.float32) if truth.is_file() else None
    known = _read(clear) > 0 if clear.is_file() else None
    if sharp is not None:
        known = np.ones(sharp.shape, bool) if known is None else known
        wanted = tuple(SCALE * n for n in frames[0].shape)
        if sharp.shape != wanted or known.shape != wanted:
            raise InputError(
                f"{truth} is {sharp.shape} px, its mask {known.shape}: three times the frames' is {wanted}"
            )
    return Scene(path.name, path.parent.name, np.stack(frames), sharp, known if sharp is not None else None, baseline)


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path} is missing: unpack the challenge's archive again")
    with explained(str(path)), open_dataset(str(path)) as dataset:
        if dataset.count != 1:
            raise InputError(f"{path} has {dataset.count} bands, not one")
        return dataset.read(1)
