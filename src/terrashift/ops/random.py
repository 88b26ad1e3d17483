"""Random numbers as a function of seed, sample and purpose: the same on every device, in any order of asking."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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
        """Numbers between `low` and `high`, those two left out."""
        bits = self._bits(purpose, math.prod(shape))
        unit = ((bits >> 8 & 0xFFFFFF).float() + 0.5) * 2.0**-24
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


def _crc(value: int | str) -> int:
    return zlib.crc32(str(value).encode())


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


def _mix(bits: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Scatter 32 bits (Wellons' lowbias32); products keep their low 32 bits."""
    bits = bits ^ (bits >> 16 & 0xFFFF)
    bits = bits * _FIRST
    bits = bits ^ (bits >> 15 & 0x1FFFF)
    bits = bits * _SECOND
    return bits ^ (bits >> 16 & 0xFFFF)
