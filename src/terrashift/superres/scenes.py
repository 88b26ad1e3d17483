"""PROBA-V scenes as methods take them: registered when they are packed, prepared as for sharpening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..io.packed_scenes import PackedScene, SceneArchive
from ..io.probav import References, Scene, read_scenes
from ..io.untrusted import Malformed
from .align import align, clearest
from .brightness import light_of, lit, overlaid
from .frames import Frames
from .outliers import without_outliers
from .trust import agreeing, disagreement


def pack_scenes(
    folder: Path, references: References | None = None, tell: Callable[[str], None] = lambda _: None
) -> SceneArchive:
    """Read every scene below a folder, and measure the shift of each frame against the clearest.

    Args:
        folder: the challenge's, or a part of it.
        references: which frame was taken with the truth; see `io.probav.read_references`.
        tell: called with a line about each scene.

    Raises:
        InputError: see `io.probav.read_scenes`.
    """
    packed = []
    for scene in read_scenes(folder, references):
        try:
            packed.append(registered(scene))
        except Malformed as error:
            raise InputError(
                f"{folder}: {error}. Folders are called NIR/imgset0594 and the like, frames LR000.png, ..."
            ) from error
        facts = packed[-1].facts
        tell(f"{facts.band} {facts.name}: {sum(facts.matched)} of {len(facts.numbers)} frames match the clearest")
    return SceneArchive(tuple(packed))


def registered(scene: Scene) -> PackedScene:
    """A scene with the shifts of its frames against the clearest; frames that match nothing are told.

    Raises:
        Malformed: its name, its band's or a frame's is none of the challenge's.
    """
    pixels = torch.from_numpy(scene.frames)[:, None]
    home = clearest(pixels)
    found = align(pixels, home)
    shifts = [(0.0, 0.0)] * len(pixels)
    for k, (x, y) in zip(found.used, found.frames.shifts.tolist(), strict=True):
        shifts[k] = (x, y)
    return PackedScene.of(scene, home, shifts, [k in found.used for k in range(len(pixels))])


def frames_of(packed: PackedScene, home: int) -> Frames:
    """The frames of a scene that match, moved as packing found, as they are prepared for sharpening.

    The reference, `home`, comes first, then the clearest of the others.
    """
    scene, facts = packed.scene, packed.facts
    clear = scene.clearance
    others = [k for k in range(len(clear)) if facts.matched[k] and k != home and clear[k] > 0]
    order = [home, *sorted(others, key=lambda k: -clear[k])]
    pixels = torch.from_numpy(scene.frames[order])[:, None]
    return prepared(Frames.shifted(pixels, packed.shifts_to(home)[order].tolist()))


def prepared(frames: Frames, keep_outliers: bool = False, trust_all: bool = False) -> Frames:
    """Registered frames in memory, in the reference's brightness, without outliers, with their trust.

    As `terrashift superres` does by parts of an image.

    Args:
        frames: registered.
        keep_outliers: use pixels that contradict the median of all frames too.
        trust_all: let every frame count alike, and keep its own low frequencies.
    """
    still, shifts = frames.pixels[frames.home], _pairs(frames.shifts)
    lights = [light_of(still, frame, shift) for frame, shift in zip(frames.pixels, shifts, strict=True)]
    frames = lit(frames, lights)
    if not keep_outliers:
        frames = without_outliers(frames)
    if trust_all or frames.count < 2:
        return frames
    still = frames.pixels[frames.home]
    others = [k for k in range(frames.count) if k != frames.home]
    pairs = [overlaid(still, frames.pixels[k], shifts[k]) for k in others]
    return agreeing(frames, torch.stack([disagreement(*pair) for pair in pairs]).amin(0))


def _pairs(shifts: Float[Tensor, "frame 2"]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in shifts.tolist()]
