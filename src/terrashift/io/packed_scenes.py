"""PROBA-V scenes packed into one file that needs nothing but numpy to be read: what training on them takes.

A zip file: `index.json`, and a member a scene with its numbers and masks as they are (16 bits, one bit). Pixels that a
mask hides hold 0. Beside each frame lies its shift against the clearest one, which packing measures.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from ..core.settings import build
from .arrays import DAMAGE
from .packed import LARGEST_INDEX, read_member, unpacking
from .probav import NUMBER, SCALE, SCENE, Scene
from .untrusted import Malformed, expect_object, parse_json

FORMAT = "terrashift scenes 1"
BAND = re.compile(r"[\w-]{1,40}", re.ASCII)
MOST_PIXELS = 2 * 10**9
"""Of all frames and truths of a file; the challenge's have 0.7 billion."""
MOST_FRAMES, LARGEST_SIDE_PX = 1000, 10_000


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What the index says of a scene."""

    name: str
    band: str
    numbers: tuple[str, ...]
    """Of the frames, as in their names."""
    shifts: tuple[tuple[float, float], ...]
    """(x right, y down) px of each frame: frame(p + shift) = clearest(p). 0 where a frame matches nothing."""
    matched: tuple[bool, ...]
    """Which frames show what the clearest shows."""
    clearest: int
    height: int
    width: int
    """Of the frames, px."""
    truth: bool
    baseline: float | None = None
    """cPSNR, dB, of the challenge's baseline."""
    reference: int | None = None
    """The frame that was taken with the truth, where that is known."""

    @property
    def fine_pixels(self) -> int:
        """Of the truth."""
        return SCALE**2 * self.height * self.width if self.truth else 0

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return len(self.numbers) * self.height * self.width

    @property
    def bytes(self) -> int:
        """Of the scene's member: numbers and masks of the frames, then of the truth."""
        return 2 * (self.pixels + self.fine_pixels) + _bytes_of_bits(self.pixels) + _bytes_of_bits(self.fine_pixels)

    def home(self, known: bool = False) -> int:
        """The frame to sharpen: the clearest, or that taken with the truth where `known`, and where it matched."""
        if known and self.reference is not None and self.matched[self.reference]:
            return self.reference
        return self.clearest


@dataclass(frozen=True, slots=True, eq=False)
class PackedScene:
    """A scene as it lies in the file."""

    facts: SceneFacts
    frames: UInt16[np.ndarray, "frame height width"]
    usable: UInt8[np.ndarray, " bytes"]
    """Bits, packed."""
    truth: UInt16[np.ndarray, "fine_height fine_width"] | None
    clear: UInt8[np.ndarray, " fine_bytes"]

    @classmethod
    def of(
        cls,
        scene: Scene,
        clearest: int,
        shifts: Sequence[tuple[float, float]],
        matched: Sequence[bool],
    ) -> PackedScene:
        """Pack a scene whose frames were registered."""
        usable = np.isfinite(scene.frames)
        have = scene.truth is not None
        facts = SceneFacts(
            scene.name,
            scene.band,
            scene.numbers,
            tuple((float(x), float(y)) for x, y in shifts),
            tuple(matched),
            clearest,
            *scene.frames.shape[1:],
            truth=have,
            baseline=scene.baseline,
            reference=scene.reference,
        )
        _refuse_nonsense(facts)
        truth = None if scene.truth is None else scene.truth.astype(np.uint16)
        clear = np.zeros(0, bool) if scene.clear is None else scene.clear
        frames = np.where(usable, scene.frames, 0).astype(np.uint16)
        return cls(facts, frames, np.packbits(usable), truth, np.packbits(clear))

    @property
    def scene(self) -> Scene:
        """As `io.probav.read_scene` gives it."""
        facts = self.facts
        usable = _bits(self.usable, facts.pixels).reshape(self.frames.shape)
        frames = np.where(usable, self.frames, np.nan).astype(np.float32)
        truth = clear = None
        if self.truth is not None:
            truth = self.truth.astype(np.float32)
            clear = _bits(self.clear, facts.fine_pixels).reshape(truth.shape)
        return Scene(facts.name, facts.band, frames, truth, clear, facts.baseline, facts.numbers, facts.reference)

    def shifts_to(self, home: int) -> Float[np.ndarray, "frame 2"]:
        """(x right, y down) px of every frame against frame `home`."""
        shifts = np.array(self.facts.shifts, np.float64)
        return shifts - shifts[home]


class Halves(NamedTuple):
    """Scenes to learn from, and those held out: none in both."""

    learned: SceneArchive
    held_out: SceneArchive


@dataclass(frozen=True, slots=True, eq=False)
class SceneArchive:
    """Scenes in memory, as they lie in the file."""

    scenes: tuple[PackedScene, ...]

    @classmethod
    def load(cls, path: str | Path) -> SceneArchive:
        """Read a file of scenes.

        Raises:
            InputError: where it is missing, damaged, or something else.
        """
        with (
            unpacking(path, "the challenge's data", "holds no PROBA-V scenes, or is damaged"),
            zipfile.ZipFile(path) as file,
        ):
            index = expect_object(parse_json(read_member(file, "index.json", LARGEST_INDEX).decode()))
            if index["format"] != FORMAT:
                raise Malformed(f"its format is {index['format']!r}, not {FORMAT!r}")
            listed = [build(SceneFacts, entry, "scene") for entry in index["scenes"]]
            for facts in listed:
                _refuse_nonsense(facts)
            claimed = sum(facts.pixels + facts.fine_pixels for facts in listed)
            if claimed > MOST_PIXELS:
                raise Malformed(f"it claims {claimed} pixels, more than any such file has")
            if len({(facts.band, facts.name) for facts in listed}) < len(listed):
                raise Malformed("it lists a scene twice")
            scenes = tuple(_unpack(file, facts) for facts in listed)
        return cls(scenes)

    def save(self, path: str | Path) -> None:
        """Write the file, the same bytes each time; for a name that is safe to write to see `io.atomic`."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for scene in self.scenes:
                _write(file, _member(scene.facts), _pack(scene))
            index = {"format": FORMAT, "scenes": [asdict(scene.facts) for scene in self.scenes]}
            _write(file, "index.json", json.dumps(index).encode())

    @property
    def bands(self) -> dict[str, int]:
        """How many scenes there are of each band."""
        names = sorted({scene.facts.band for scene in self.scenes})
        return {name: sum(scene.facts.band == name for scene in self.scenes) for name in names}

    def only(self, bands: Iterable[str]) -> SceneArchive:
        """The scenes with a truth of these bands, of all where none is named."""
        wanted = set(bands) or set(self.bands)
        kept = [one for one in self.scenes if one.facts.truth and one.facts.band in wanted]
        return SceneArchive(tuple(kept))

    def parted(self, share: float) -> Halves:
        """Hold a share of each band out; see `held_apart`."""
        out = held_apart([(one.facts.band, one.facts.name) for one in self.scenes], share)
        parts: tuple[list[PackedScene], list[PackedScene]] = ([], [])
        for one in self.scenes:
            parts[(one.facts.band, one.facts.name) in out].append(one)
        return Halves(*(SceneArchive(tuple(part)) for part in parts))


def held_apart(scenes: Iterable[tuple[str, str]], share: float) -> set[tuple[str, str]]:
    """A share of the scenes of each band, one at least of several, chosen by their names alone.

    >>> sorted(held_apart([("NIR", f"imgset{n:04d}") for n in range(594, 604)], 0.2))
    [('NIR', 'imgset0594'), ('NIR', 'imgset0599')]

    Args:
        scenes: (band, name) of all that could be learned from.
        share: of them that is held out, from 0 (none) to below 1.
    """
    bands: dict[str, list[str]] = {}
    for band, name in scenes:
        bands.setdefault(band, []).append(name)
    found = set()
    for band, names in bands.items():
        count = min(max(1, round(share * len(names))), len(names) - 1) if share else 0
        ordered = sorted(names, key=lambda name: sha256(f"{band}/{name}".encode()).digest())
        found |= {(band, name) for name in ordered[:count]}
    return found


def holds_scenes(path: Path) -> bool:
    """Whether a file is one of scenes; False too where it cannot be read, which its reader then says."""
    try:
        with zipfile.ZipFile(path) as file:
            index = read_member(file, "index.json", LARGEST_INDEX)
            return expect_object(parse_json(index.decode())).get("format") == FORMAT
    except (OSError, *DAMAGE):
        return False


def _refuse_nonsense(facts: SceneFacts) -> None:
    """Refuse what no scene is.

    Raises:
        Malformed: so it is.
    """
    count = len(facts.numbers)
    chosen = [facts.clearest, *([] if facts.reference is None else [facts.reference])]
    numbers = [*(value for shift in facts.shifts for value in shift), facts.baseline or 0.0]
    if not (
        SCENE.fullmatch(facts.name)
        and BAND.fullmatch(facts.band)
        and all(NUMBER.fullmatch(number) for number in facts.numbers)
        and 0 < count <= MOST_FRAMES
        and count == len(facts.shifts) == len(facts.matched)
        and all(0 <= k < count for k in chosen)
        and facts.matched[facts.clearest]
        and min(facts.height, facts.width) > 0
        and max(facts.height, facts.width) <= LARGEST_SIDE_PX
        and all(math.isfinite(number) for number in numbers)
    ):
        raise Malformed(f"{facts.band} {facts.name} cannot be a scene: {count} frames, {facts.height} x {facts.width}")


def _member(facts: SceneFacts) -> str:
    return f"{facts.band}/{facts.name}"


def _write(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    about = zipfile.ZipInfo(name)  # a bare one has a fixed date
    about.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(about, content)


def _pack(scene: PackedScene) -> bytes:
    truth = b"" if scene.truth is None else _planes(scene.truth)
    return b"".join([_planes(scene.frames), scene.usable.tobytes(), truth, scene.clear.tobytes()])


def _unpack(file: zipfile.ZipFile, facts: SceneFacts) -> PackedScene:
    raw = read_member(file, _member(facts), facts.bytes)
    if len(raw) != facts.bytes:
        raise Malformed(f"{_member(facts)} holds {len(raw)} bytes, not {facts.bytes}")
    ends = np.cumsum([2 * facts.pixels, _bytes_of_bits(facts.pixels), 2 * facts.fine_pixels])
    frames, usable, truth, clear = (np.frombuffer(part, np.uint8) for part in _cut(raw, ends.tolist()))
    fine = SCALE * facts.height, SCALE * facts.width
    return PackedScene(
        facts,
        _image(frames, (len(facts.numbers), facts.height, facts.width)),
        usable,
        _image(truth, fine) if facts.truth else None,
        clear,
    )


def _cut(raw: bytes, ends: Sequence[int]) -> list[bytes]:
    return [raw[a:b] for a, b in zip([0, *ends], [*ends, len(raw)], strict=True)]


def _planes(image: UInt16[np.ndarray, ...]) -> bytes:
    """Differences along the rows modulo 2^16, low bytes first, then high ones: they pack to half."""
    steps = image.copy()
    steps[..., 1:] -= image[..., :-1]
    return (steps & 0xFF).astype(np.uint8).tobytes() + (steps >> 8).astype(np.uint8).tobytes()


def _image(planes: UInt8[np.ndarray, " bytes"], shape: tuple[int, ...]) -> UInt16[np.ndarray, ...]:
    low, high = planes.reshape(2, *shape).astype(np.uint16)
    return np.cumsum(low | (high << 8), axis=-1, dtype=np.uint16)


def _bits(packed: UInt8[np.ndarray, " bytes"], count: int) -> Bool[np.ndarray, " count"]:
    return np.unpackbits(packed, count=count).astype(bool)


def _bytes_of_bits(count: int) -> int:
    return -(-count // 8)
