"""Motion of the ground for many small crops at once, in closed form, on any device: what training learns from.

Faults are screw dislocations (see `simulate.rupture`) along self-affine traces, with slip that varies and may die out
within the crop, sometimes opening or closing, sometimes smeared over a zone; up to three in a crop, at any angle or
as parallel strands, branches and conjugates; smooth motion is added. Distances are in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import OptionError
from ..ops.batch import wide
from ..ops.edges import beside
from ..ops.random import Random, waves
from .selfaffine import amplitudes

PROFILES, SAMPLES = 512, 1024
"""How many self-affine profiles are drawn from, and of how many points each."""
TRACE_HURST, SLIP_HURST = 0.8, 0.7
FAULTS = 3
TIP_PX = 24.0


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What moves, and by how much."""

    least_px: float = 0.1
    largest_px: float = 8.0
    """Offset across the strongest fault of a crop, log-uniform between these two."""
    shares: tuple[float, float, float, float] = (0.08, 0.57, 0.25, 0.10)
    """Shares of the crops with no fault, one, two, three."""
    zone_share: float = 0.25
    """Share of the faults whose slip is smeared over a zone of 0.5 to 8 px."""
    tip_share: float = 0.25
    """Share of the faults that end within the crop or near it."""
    shift_px: float = 0.8
    """Largest motion of the crop as a whole, along each axis."""
    smooth_px: float = 0.3
    """Largest deviation of the smooth motion."""
    linear_px: float = 0.0
    """Largest motion of a corner, along each axis, where the crop is turned, stretched and sheared."""
    bend_px: float = 0.0
    """Largest motion where the crop is bent smoothly; its waves are of the size of the crop and half of it."""

    def __post_init__(self) -> None:
        if not 0 < self.least_px <= self.largest_px:
            raise OptionError(
                f"offsets from {self.least_px} to {self.largest_px} px: the least must be above 0 and not above the "
                "largest."
            )
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise OptionError(f"shares {self.shares} of crops with 0 to {FAULTS} faults: they must add up to 1.")


class Fields(NamedTuple):
    """Motion of each crop of a batch."""

    flow: Float[Tensor, "batch 2 height width"]
    """(x right, y down) px."""
    trace: Bool[Tensor, "batch height width"]
    """True on pixels beside a sharp fault: neither smeared over more than 2 px, nor with less slip there than 0.2 % of
    the largest of all crops."""


def draw_fields(random: Random, size: int, options: FieldOptions = FieldOptions()) -> Fields:
    """Motion of crops of `size` px a side, one for each sample of `random`.

    The offset across the strongest fault is that of the options times 1 + 0.3 of a self-affine profile; where faults
    meet, their motions add up.
    """
    device = random.keys.device
    flow = torch.zeros(len(random.keys), 2, size, size, device=device)
    trace = torch.zeros(len(random.keys), size, size, dtype=torch.bool, device=device)
    plan = _Plan.draw(random.split("plan"), size, options)
    for number in range(FAULTS):
        some = plan.present[:, number].nonzero()[:, 0]
        part = Random(random.keys[some]).split(f"fault {number}")
        motion, along = _fault(part, _Plan(*(values[some] for values in plan)), number, size, options)
        flow[some] += motion
        trace[some] |= along
    return Fields(flow + _smooth(random.split("smooth"), size, options), trace)


class _Plan(NamedTuple):
    """How the faults of each crop lie to each other."""

    present: Bool[Tensor, "batch faults"]
    angle: Float[Tensor, "batch faults"]
    """Of the strike, from x toward y."""
    offset: Float[Tensor, "batch faults"]
    """Of the trace from the middle of the crop, across the strike, px."""
    slip: Float[Tensor, "batch faults"]
    """px, either sense."""

    @classmethod
    def draw(cls, random: Random, size: int, options: FieldOptions) -> _Plan:
        bounds = torch.tensor(options.shares, device=random.keys.device).cumsum(0)[:-1]
        count = (random.uniform("count")[:, None] > bounds).sum(1)
        first = random.uniform("angle", 1, high=2 * math.pi)
        # strands nearly parallel to the first, conjugates across it, or anything
        free = random.uniform("free", FAULTS, high=2 * math.pi)
        strand = 0.15 * random.normal("strand", FAULTS)
        kind = random.uniform("kind", 1)
        turn = torch.where(kind < 0.5, strand, torch.where(kind < 0.7, math.pi / 2 + strand, free))
        turn = torch.cat([torch.zeros_like(first), turn[:, 1:]], 1)
        slip = torch.exp(random.uniform("slip", 1, low=math.log(options.least_px), high=math.log(options.largest_px)))
        weaker = torch.cat([torch.ones_like(first), random.uniform("weaker", FAULTS - 1, low=0.2)], 1)
        sense = torch.where(random.uniform("sense", FAULTS) < 0.5, -1.0, 1.0)
        return cls(
            torch.arange(FAULTS, device=first.device) < count[:, None],
            first + turn,
            random.uniform("offset", FAULTS, low=-0.45, high=0.45) * size,
            slip * weaker * sense,
        )


def _fault(
    random: Random, plan: _Plan, number: int, size: int, options: FieldOptions
) -> tuple[Float[Tensor, "batch 2 size size"], Bool[Tensor, "batch size size"]]:
    """Motion from one fault of each crop, and the pixels beside it.

    Where the slip is positive, the side to the right of the strike (y being down) moves along it.
    """
    along, across = _turned(plan.angle[:, number], size)
    across = across - wide(plan.offset[:, number])
    roughness = wide(random.uniform("roughness") ** 2 * 0.12 * size)
    across = across - roughness * _profile(random, "trace", along, size, TRACE_HURST)
    far = across.abs()
    slip = _slip(random, along, far, options) * wide(plan.slip[:, number])

    depth = torch.exp(random.uniform("depth", low=math.log(0.2 * size), high=math.log(8.0 * size)))
    decay = 0.5 - torch.atan(far / wide(depth)) / math.pi
    width = torch.exp(random.uniform("zone", low=math.log(0.5), high=math.log(8.0)))
    smeared = random.chance("smeared", options.zone_share)
    side = torch.where(
        wide(smeared), 2 / math.pi * torch.atan(across / wide(width)), torch.where(across > 0, 1.0, -1.0)
    )
    motion = slip * decay * side
    # slip along strike, with some opening or closing
    rake = plan.angle[:, number] + 0.35 * random.normal("rake")
    flow = torch.stack([motion * wide(rake.cos()), motion * wide(rake.sin())], 1)
    strong = slip.abs() > 0.002 * options.largest_px
    return flow, beside(across > 0) & strong & ~wide(smeared & (width > 2))


def _slip(random: Random, along: Tensor, far: Tensor, options: FieldOptions) -> Tensor:
    """Slip along the trace over its largest: fractal, and toward a tip like the square root of the distance to it.

    Its detail fades with the distance from the trace.
    """
    size = along.shape[-1]
    detail = _profile(random, "slip", along, size, SLIP_HURST) / (1 + 8 / size * far)
    varied = (1 + 0.3 * detail).clamp_min(0.05)
    tip = random.uniform("tip", low=-0.6, high=0.6) * size
    left = (wide(tip) - along).clamp_min(0)
    taper = (left / (left + TIP_PX)).sqrt()
    return torch.where(wide(random.chance("tipped", options.tip_share)), varied * taper, varied)


def _smooth(random: Random, size: int, options: FieldOptions) -> Float[Tensor, "batch 2 size size"]:
    """A shift of the whole, and waves of the size of the crop and half of it."""
    shift = random.uniform("shift", 2, 1, 1, low=-options.shift_px, high=options.shift_px)
    size_of = random.uniform("deviation", 1, 1, 1) ** 3 * options.smooth_px
    motion = shift + size_of * waves(random, "waves", 2, 5, (size, size))
    if options.linear_px:
        motion = motion + options.linear_px * random.uniform("linear", 1, 1, 1, low=0.2) * _linear(random, size)
    if options.bend_px:
        bend = waves(random, "bend", 2, 5, (size, size))
        largest = bend.abs().amax((1, 2, 3), keepdim=True)
        motion = motion + options.bend_px * random.uniform("bent", 1, 1, 1, low=0.2) * bend / largest
    return motion


def _linear(random: Random, size: int) -> Float[Tensor, "batch 2 size size"]:
    """A linear map of the crop that moves a corner by 1 along the axis where it moves most."""
    matrix = random.uniform("matrix", 2, 2, low=-1.0)
    matrix = matrix / matrix.abs().sum(2).amax(1)[:, None, None]
    place = torch.linspace(-1, 1, size, device=matrix.device)
    return matrix[:, :, :1, None] * place + matrix[:, :, 1:, None] * place[:, None]


def _turned(angle: Float[Tensor, " batch"], size: int) -> tuple[Tensor, Tensor]:
    """Pixels along a strike and across it (to its right, y being down), from the middle of the crop."""
    middle = (size - 1) / 2
    x = torch.arange(size, device=angle.device, dtype=torch.float32) - middle
    y = x[:, None]
    cosine, sine = wide(angle.cos()), wide(angle.sin())
    return x * cosine + y * sine, y * cosine - x * sine


def _profile(random: Random, purpose: str, along: Tensor, size: int, hurst: float) -> Tensor:
    """A self-affine profile of about unit deviation at the places `along`."""
    table = _table(hurst, along.device)
    pick = random.whole(f"{purpose} profile", PROFILES)
    span = 4.0 * size  # length of a profile in pixels
    start = random.uniform(f"{purpose} start", high=SAMPLES - 1.5 * SAMPLES * size / span - 2)
    place = (along / size + 0.75) * (SAMPLES * size / span) + wide(start)
    whole = place.floor().clamp(0, SAMPLES - 2)
    rest = place - whole
    first = wide(pick) * SAMPLES + whole.long()
    low, high = torch.take(table, first), torch.take(table, first + 1)
    return low + rest * (high - low)


_tables: dict[tuple[float, str], Tensor] = {}


def _table(hurst: float, device: torch.device) -> Float[Tensor, " samples"]:
    """Self-affine profiles one after another, drawn once."""
    key = hurst, str(device)
    if key not in _tables:
        random = Random.of(0, range(PROFILES)).split(f"profiles {hurst}")
        amplitude = amplitudes(torch.fft.rfftfreq(2 * SAMPLES), hurst)
        phase = random.uniform("phase", SAMPLES + 1, high=2 * math.pi)
        profile = torch.fft.irfft(torch.polar(amplitude.expand_as(phase), phase))[:, :SAMPLES]
        profile = profile - profile.mean(1, keepdim=True)
        _tables[key] = (profile / profile.std(1, keepdim=True)).flatten().to(device)
    return _tables[key]
