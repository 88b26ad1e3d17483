"""Random numbers as a function of seed, sample and purpose: the same on every device, in any order of asking."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # multipliers of Wellons' lowbias32, as signed 32-bit numbers
_STRIDE = 0x9E3779B9 - 2**32  # golden ratio: keeps neighbouring counters far apart


@dataclass(frozen=True, slots=True, eq=False)
class Random:
    """One independent source of random numbers for each sample of a batch.

    What is drawn depends only on the seed, the sample's number and the purpose (a word). So a sample is the same in
    whatever batch and on whatever device it is drawn, to the last bits of logarithm and cosine.

    >>> Random.of(7, [0, 1]).uniform("gain").shape
    torch.Size([2])
    """

    keys: Int[Tensor, " batch"]

    @classmethod
    def of(cls, seed: int, samples: Int[Tensor, " batch"] | list[int] | range, device: str = "cpu") -> Random:
        """Sources for the samples of these numbers (below 2^31)."""
        numbers = torch.as_tensor(samples, dtype=torch.int32, device=device)
        return cls(_mix(numbers * _STRIDE + _signed(_crc(seed))))

    def split(self, purpose: str) -> Random:
        """Sources for a part of the work that draws by words of its own."""
        return Random(_mix(self.keys ^ _signed(_crc(purpose))))

    def uniform(self, purpose: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Float[Tensor, "batch ..."]:
        """Numbers between `low` and `high`; of 0 to 1 those two are left out."""
        bits = self._bits(purpose, math.prod(shape))
        # the largest number would be rounded up to 1, and `whole` to `below`
        unit = (bits >> 8).bitwise_and_(0xFFFFFF).float().add_(0.5).mul_(2.0**-24).clamp_max_(1 - 2.0**-24)
        return (low + (high - low) * unit).reshape(-1, *shape)

    def normal(self, purpose: str, *shape: int) -> Float[Tensor, "batch ..."]:
        """Standard normal numbers (Box & Muller 1958)."""
        count = math.prod(shape)
        half = -(-count // 2)
        unit = self.uniform(purpose, 2, half)
        radius, angle = (-2 * unit[:, 0].log()).sqrt(), 2 * math.pi * unit[:, 1]
        return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :count].reshape(-1, *shape)

    def whole(self, purpose: str, below: int | Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Whole numbers from 0 to `below` - 1 (below 2^24)."""
        drawn = (self.uniform(purpose).double() * below).long()
        return drawn if isinstance(below, int) else torch.minimum(drawn, below.long() - 1)

    def chance(self, purpose: str, share: float) -> Bool[Tensor, " batch"]:
        """True for this share of the samples."""
        return self.uniform(purpose) < share

    def _bits(self, purpose: str, count: int) -> Int[Tensor, "batch count"]:
        keys = self.split(purpose).keys
        counter = torch.arange(count, dtype=torch.int32, device=keys.device) * _STRIDE
        return _mix(keys[:, None] + counter)


def waves(
    random: Random, purpose: str, bands: int, knots: int, shape: tuple[int, int]
) -> Float[Tensor, "batch bands height width"]:
    """Smooth surfaces of unit deviation or less: normal numbers on `knots` x `knots` places, joined by cubics."""
    down, across = (_rise(knots, length, str(random.keys.device)) for length in shape)
    return down @ random.normal(purpose, bands, knots, knots) @ across.T


@lru_cache(maxsize=64)
def _rise(knots: int, size: int, device: str) -> Float[Tensor, "size knots"]:
    """What each knot of a line, the first and the last on its ends, gives to each of its places.

    As a matrix, because a product of matrices takes a tenth of the time of `interpolate`, to the same result.
    """
    bumps = torch.eye(knots, device=device)[None, :, :, None]
    return interpolate(bumps, size=(size, 1), mode="bicubic", align_corners=True)[0, :, :, 0].T.contiguous()


def _crc(value: int | str) -> int:
    return zlib.crc32(str(value).encode())


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


def _mix(bits: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Scatter 32 bits (Wellons' lowbias32); products keep their low 32 bits."""
    first = (bits >> 16).bitwise_and_(0xFFFF).bitwise_xor_(bits).mul_(_FIRST)
    second = (first >> 15).bitwise_and_(0x1FFFF).bitwise_xor_(first).mul_(_SECOND)
    return (second >> 16).bitwise_and_(0xFFFF).bitwise_xor_(second)
