"""Bursts of real scenes of the PROBA-V challenge, as published networks learn from them: patches, endlessly.

Nobody knows how the frames truly lie, nor how their camera blurs: networks are told the shifts that packing measured,
and the loss forgives the place (to 3 px) and the brightness of the truth, which was taken on a day of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, OptionError
from ..io.packed_scenes import Halves, PackedScene, SceneArchive
from ..io.probav import SCALE
from ..ops.random import Random
from ..simulate.burst import Burst, turned
from ..superres.learned import standardised
from ..superres.scenes import frames_of, pack_scenes

TRIES = 16
"""Patches that are looked at for each burst, until one is clear enough."""
SHARPNESS = 50.0
"""Of the drawing by clearance (Deudon et al. 2020): one frame in e^50 of no clearance."""


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What is cut from the scenes, and which of them are held out."""

    bands: tuple[str, ...] = ()
    """Such as NIR; all unless given."""
    held_out: float = 0.1
    """Share of the scenes of each band that is validated on and never learned from, chosen by their names."""
    size_px: int = 32
    """Side of the frames' patches; 0: whole scenes."""
    batch: int = 8
    frames: tuple[int, int] = (9, 9)
    """Fewest clear frames of a patch, and most that are taken."""
    choose: Literal["clearest", "sampled"] = "clearest"
    """The clearest frames, or drawn with weights softmax(50 clearance / largest clearance)."""
    reference: Literal["clearest", "known"] = "clearest"
    """known: the frame that was taken with the truth, where PROBA-V-REF tells."""
    least_clear: float = 0.85
    """Share of a frame's patch that is usable."""
    least_known: float = 0.85
    """Share of the truth's patch that is known."""
    turn: bool = True
    """Mirror and transpose."""

    def __post_init__(self) -> None:
        low, high = self.frames
        if not (1 <= low <= high and min(self.batch, self.size_px + 1) >= 1):
            raise OptionError(f"{self}: batch and frames take 1 or more, the lesser first, size_px 0 or more.")
        if not (0 <= self.held_out < 1 and 0 <= self.least_clear <= 1 and 0 <= self.least_known <= 1):
            raise OptionError(f"{self}: held_out is below 1, least_clear and least_known are shares from 0 to 1.")


def load_scenes(path: str | Path, options: SceneOptions) -> Halves:
    """Scenes of a packed file, or of the challenge's folder, to learn from and to validate on.

    Raises:
        InputError: they cannot be read, or none with a truth is of these bands.
    """
    archive = pack_scenes(Path(path)) if Path(path).is_dir() else SceneArchive.load(path)
    kept = archive.only(options.bands)
    missing = sorted(set(options.bands) - set(kept.bands))
    if missing or not kept.scenes:
        raise InputError(
            f"{path} holds no scene with a truth (HR.png) of {', '.join(missing) or 'any band'}: it has "
            f"{archive.bands}. Give the challenge's training data, and bands as its folders are called."
        )
    return kept.parted(options.held_out)


class Ready(NamedTuple):
    """A scene as networks take it."""

    pixels: Float[Tensor, "frame 1 height width"]
    """Standardised; 0 where not usable. The reference, then the other frames that match it, the clearest first."""
    usable: Bool[Tensor, "frame 1 height width"]
    shifts: Float[Tensor, "frame 2"]
    """(x right, y down) px against the reference."""
    level: float
    contrast: float
    """DN: of the scene's numbers, level + contrast * standardised ones."""
    truth: Float[Tensor, "1 fine_height fine_width"]
    """Standardised like the frames; 0 where not known."""
    known: Bool[Tensor, "1 fine_height fine_width"]


def ready(packed: PackedScene, reference: Literal["clearest", "known"]) -> Ready:
    """Prepare and standardise a scene with a truth, as `terrashift score` does before it calls a network."""
    given = standardised(frames_of(packed, packed.facts.home(reference == "known")))
    scene = packed.scene
    assert scene.truth is not None
    assert scene.clear is not None
    level, contrast = float(given.level[0]), float(given.contrast[0])
    known = torch.from_numpy(scene.clear)[None]
    truth = torch.where(known, (torch.from_numpy(scene.truth)[None] - level) / contrast, 0.0)
    return Ready(given.pixels, given.usable > 0, given.shifts, level, contrast, truth, known)


def all_ready(scenes: Sequence[PackedScene], reference: Literal["clearest", "known"]) -> list[Ready]:
    """The same of several, a second of a core each, on as many cores as PyTorch may use."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda one: ready(one, reference), scenes))


class SceneStream:
    """Bursts by number: the same seed and number give the same burst, in whatever company.

    Scenes are prepared when they are first drawn, and kept: 2 MB for 15 frames of 128 px.

    Args:
        archive: scenes with a truth.
        options: what is cut from them.
        seed: another one gives other bursts.
        device: where the bursts are wanted.

    Raises:
        InputError: no scene is large enough or has frames enough.
    """

    def __init__(self, archive: SceneArchive, options: SceneOptions, seed: int = 0, device: str = "cpu") -> None:
        self.options, self.seed, self.device = options, seed, device
        self._scenes = [one for one in archive.scenes if _fits(one, options)]
        if not self._scenes:
            raise InputError(
                f"none of {len(archive.scenes)} scenes is {options.size_px} px a side with {options.frames[0]} frames "
                "that match: make patches smaller (size_px) or take fewer frames."
            )
        shapes = {(one.facts.height, one.facts.width) for one in self._scenes}
        if not options.size_px and (len(shapes) > 1 or any(height != width for height, width in shapes)):
            raise InputError(f"scenes are {sorted(shapes)} px: whole ones (size_px: 0) are square, and of one size.")
        self._side = options.size_px or self._scenes[0].facts.height
        self._ready: dict[int, Ready] = {}
        self._most = max(len(one.facts.numbers) for one in self._scenes)

    def batch(self, number: int) -> Burst:
        """The batch of this number."""
        count = self.options.batch
        return self.bursts(range(number * count, (number + 1) * count))

    def bursts(self, numbers: range | list[int]) -> Burst:
        """The bursts of these numbers, below 2^31, each the same in whatever company.

        Shifts that nobody knows are NaN, and so is the blur. Where none of 16 patches is clear enough, nothing of the
        truth counts as known.
        """
        random = Random.of(self.seed, list(numbers))
        lots = random.uniform("choose", self._most)
        tries = [_Try.of(random.split(f"try {k}"), len(self._scenes)) for k in range(TRIES)]
        self._prepare({int(scene) for scene in tries[0].scene})
        patches = [self._patch([one.at(row) for one in tries], lots[row]) for row in range(len(numbers))]
        frames, usable, shifts, truth, known, scene = (torch.stack(part) for part in zip(*patches, strict=True))
        exact = torch.full_like(shifts, torch.nan)
        exact[:, 0] = 0.0
        blur = torch.full((len(numbers),), torch.nan)
        burst = Burst(frames, usable, exact, shifts, blur, truth, known, scene)
        if self.options.turn:
            burst = turned(burst, random)
        return Burst(*(part.to(self.device) for part in burst))

    def _prepare(self, numbers: set[int]) -> None:
        new = sorted(numbers - self._ready.keys())
        if not new:
            return
        made = all_ready([self._scenes[number] for number in new], self.options.reference)
        self._ready.update(zip(new, made, strict=True))

    def _scene(self, number: int) -> Ready:
        self._prepare({number})
        return self._ready[number]

    def _patch(self, tries: Sequence[_Try], lots: Float[Tensor, " frames"]) -> tuple[Tensor, ...]:
        """Frames, usable, shifts, truth, known and number of the first scene and place that will do."""
        options, side = self.options, self._side
        found: tuple[Tensor, ...] = ()
        for one in tries:
            scene = self._scene(int(one.scene))
            room = (scene.pixels.shape[2] - side, scene.pixels.shape[3] - side)
            row, column = (int(unit * (space + 1)) for unit, space in zip((one.row, one.column), room, strict=True))
            usable = scene.usable[..., row : row + side, column : column + side].float()
            fine = (..., slice(SCALE * row, SCALE * (row + side)), slice(SCALE * column, SCALE * (column + side)))
            known = scene.known[fine].float()
            clear = usable.mean((1, 2, 3)) >= options.least_clear
            fit = bool(clear[0]) and int(clear.sum()) >= options.frames[0] and known.mean() >= options.least_known
            if not (fit or not found):
                continue
            chosen = self._chosen(scene, clear, lots)
            frames = scene.pixels[chosen][..., row : row + side, column : column + side]
            parts = [frames, usable[chosen], scene.shifts[chosen]]
            parts = [_filled(part, options.frames[1]) for part in parts]
            found = (*parts, scene.truth[fine], known * fit, one.scene)
            if fit:
                break
        return found

    def _chosen(self, scene: Ready, clear: Bool[Tensor, " frame"], lots: Float[Tensor, " frames"]) -> list[int]:
        """The reference, and of the other frames that are clear here the clearest, or lots by clearance."""
        others = [k for k in range(1, len(clear)) if bool(clear[k])]
        if self.options.choose == "sampled" and others:
            share = scene.usable.float().mean((1, 2, 3))
            # largest first of log-weight + Gumbel noise draws without putting back (Gumbel 1954)
            gumbel = -(-lots[others].log()).log()
            rank = SHARPNESS * share[others] / share.max() + gumbel
            others = [others[k] for k in rank.argsort(descending=True, stable=True).tolist()]
        return [0, *others[: self.options.frames[1] - 1]]


class _Try(NamedTuple):
    """A scene, and where in it."""

    scene: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, random: Random, scenes: int) -> _Try:
        return cls(random.whole("scene", scenes), random.uniform("row"), random.uniform("column"))

    def at(self, number: int) -> _Try:
        return _Try(*(part[number] for part in self))


def _fits(packed: PackedScene, options: SceneOptions) -> bool:
    facts = packed.facts
    side = min(facts.height, facts.width)
    return side >= options.size_px and sum(facts.matched) >= options.frames[0]


def _filled(part: Tensor, count: int) -> Tensor:
    """With absent frames, zeros, up to `count`."""
    absent = part.new_zeros(count - len(part), *part.shape[1:])
    return torch.cat([part, absent])
