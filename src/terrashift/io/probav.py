"""The PROBA-V super-resolution data of ESA's Kelvins challenge: folders of 16-bit PNG, one a scene.

A scene is a folder `imgset0000` with coarse frames LR000.png, ... and their masks QM000.png, ... (128 px of 300 m),
and, for training, the sharp HR.png with its mask SM.png (384 px of 100 m); any number but 0 in a mask means clear.
Above them lie folders NIR and RED, and norm.csv with the score of the challenge's baseline for each scene.

The challenge does not say which frame was taken with the truth. PROBA-V-REF does (Nguyen et al. 2021, Proba-V-ref:
repurposing the Proba-V challenge for reference-aware super resolution, arXiv:2101.10200), for the training scenes, in
a file reference.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ..errors import InputError
from .opening import explained, open_dataset
from .untrusted import Malformed, expect_object, parse_json, read_text

SCALE = 3
SCENE = re.compile(r"imgset\d+")
NUMBER = re.compile(r"\d{3}")
"""Of a frame, as in the names of files."""
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
    numbers: tuple[str, ...] = ()
    """Of the frames, as in their names: 000, ..."""
    reference: int | None = None
    """Which of the frames was taken with the truth, where PROBA-V-REF tells."""

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


References = Mapping[tuple[str, str], str]
"""Number of the reference by band and scene."""


def read_scenes(folder: Path, references: References | None = None) -> Iterator[Scene]:
    """Every scene below a folder, one in memory at a time.

    Args:
        folder: the challenge's, or a part of it.
        references: which frame was taken with the truth; see `read_references`.

    Raises:
        InputError: see `find_scenes` and `read_scene`.
    """
    known = references or {}
    norms: dict[Path, dict[str, float]] = {}
    for path in find_scenes(folder):
        listed = next(
            (p / "norm.csv" for p in (path.parent, *path.parent.parents[:3]) if (p / "norm.csv").is_file()), None
        )
        if listed is not None and listed not in norms:
            norms[listed] = read_norm(listed)
        baseline = norms[listed].get(path.name) if listed is not None else None
        yield read_scene(path, baseline, known.get((path.parent.name, path.name)))


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


def read_references(path: Path) -> dict[tuple[str, str], str]:
    """PROBA-V-REF's file: number of the frame that was taken with the truth, by band and scene.

    It is JSON, `{"NIR": {"imgset0594": {"reference": "008"}, ...}, "RED": ...}`.

    Raises:
        InputError: it is missing, or something else.
    """
    found = {}
    try:
        for band, scenes in expect_object(parse_json(read_text(path))).items():
            for name, entry in expect_object(scenes).items():
                number = expect_object(entry).get("reference")
                if not SCENE.fullmatch(name) or not isinstance(number, str) or not NUMBER.fullmatch(number):
                    raise Malformed(f"{band} {name!r} has {entry!r}")
                found[band, name] = number
    except (OSError, Malformed) as error:
        raise InputError(
            f"{path} is not PROBA-V-REF's reference.json ({error}): it holds lines such as "
            '{"NIR": {"imgset0594": {"reference": "008"}}}'
        ) from error
    return found


def read_scene(path: Path, baseline: float | None = None, reference: str | None = None) -> Scene:
    """One scene.

    Frames that hold numbers beyond 14 bits are left out, as all published work does; a reference among them is then
    unknown.

    Raises:
        InputError: where a frame or mask is missing, damaged or of another size, none is left, or there never was a
            frame of the reference's number.
    """
    names = sorted(path.glob("LR*.png"))
    if not names:
        raise InputError(f"{path} holds no frames LR000.png, ...: it is no scene of the PROBA-V challenge")
    if reference is not None and not (path / f"LR{reference}.png").is_file():
        raise InputError(f"{path} has no frame {reference}, which is to be the reference: these are other scenes")
    frames: list[np.ndarray] = []
    numbers: list[str] = []
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
            numbers.append(name.stem[2:])
    if not frames:
        raise InputError(f"{path}: every frame holds numbers beyond {DAMAGED}, which are no brightness")
    sharp, known = _truth(path, frames[0].shape)
    home = numbers.index(reference) if reference in numbers else None
    return Scene(path.name, path.parent.name, np.stack(frames), sharp, known, baseline, tuple(numbers), home)


def _truth(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The sharp image, DN, and where it counts; None where there is none."""
    truth, clear = (path / name for name in ("HR.png", "SM.png"))
    if not truth.is_file():
        return None, None
    sharp = _read(truth).astype(np.float32)
    known = _read(clear) > 0 if clear.is_file() else np.ones(sharp.shape, bool)
    wanted = tuple(SCALE * n for n in shape)
    if sharp.shape != wanted or known.shape != wanted:
        raise InputError(f"{truth} is {sharp.shape} px, its mask {known.shape}: three times the frames' is {wanted}")
    return sharp, known


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path} is missing: unpack the challenge's archive again")
    try:
        with explained(str(path)), open_dataset(str(path)) as dataset:
            if dataset.count != 1:
                raise InputError(f"{path} has {dataset.count} bands, not one")
            return dataset.read(1)
    except ModuleNotFoundError as error:
        raise InputError(
            f"reading {path.parent} takes {error.name}, which is not installed here: pack the scenes where it is, "
            "`terrashift pack FOLDER -o probav.tsi`, and give that file"
        ) from error
