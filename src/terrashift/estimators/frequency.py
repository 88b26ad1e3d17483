"""One shift per window from the phase of its cross-spectrum, found robustly (Leprince et al. 2007).

Each window is weighted by a raised cosine. A larger window, sparsely placed, gives the starting shift: its whole-pixel
part moves the window in `after`, its fraction moves only the raised cosine, because a cosine that stays behind the
ground pulls the answer toward the whole pixel. The shift then maximises `sum W cos(phase - w.d)` by Newton steps; after
each round a frequency w whose phase disagrees loses weight, `W <- W (1 - |Q - exp(iw.d)|^2 / 4)^6`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor

from ..core.field import Flow
from ..core.reasons import Reason
from ..ops.box import box_sum
from ..ops.windows import cut_windows
from .base import Search
from .coarse import Knots, start_shifts
from .rejection import reject

TAPER = 4  # px over which a window's weight falls toward a gap
BATCH = 128  # windows at a time: their spectra stay in a core's cache


class Frequency(BaseModel, frozen=True, extra="forbid"):
    """Frequency correlator: dense, sub-pixel, robust to noise at single frequencies."""

    method: Literal["frequency"] = Field(default="frequency", description="Phase of the windowed cross-spectrum.")
    window_px: int = Field(
        default=32,
        ge=8,
        le=256,
        multiple_of=2,
        description="Side of the correlation window, pixels; the raised cosine makes about half of it count.",
    )
    step_px: int = Field(default=1, ge=1, description="Distance between measurements, pixels.")
    start_window_px: int = Field(
        default=64,
        ge=16,
        le=1024,
        multiple_of=2,
        description="Side of the larger window that finds the starting shift, pixels.",
    )
    robustness: int = Field(
        default=4, ge=0, le=20, description="Rounds that take weight from frequencies which disagree."
    )
    mask_db: float = Field(
        default=45.0,
        gt=0,
        description="Keep frequencies whose amplitude is within this many decibels of the window's strongest.",
    )
    min_score: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Reject measurements that score less; unrelated images score below 0.14 (95 %).",
    )
    min_valid_share: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Reject windows with a smaller (cosine-weighted) share of pixels with data.",
    )

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """Keys of the papers behind it."""
        return ("leprince2007",)

    @property
    def block_px(self) -> int:
        """Side of a block: at least 128 px (256 px for sparse measurements) and a whole number of steps."""
        return self.step_px * math.ceil((128 if self.step_px == 1 else 256) / self.step_px)

    def halo(self, search: Search) -> int:
        """Half of the larger window, the search around it and one window for the neighbours' say."""
        return max(self._start_side(search), self.window_px) + max(search.radius) + 2

    def _start_side(self, search: Search) -> int:
        """Side of the larger window: wide enough to see the largest motion, and even."""
        return max(self.start_window_px, self.window_px, 4 * max(search.radius))

    def memory(self, search: Search) -> int:
        """Upper estimate of one block's working memory, bytes."""
        pixels = (self.block_px + 2 * self.halo(search)) ** 2
        return 4 * (16 * pixels + 24 * BATCH * self.window_px**2) + 600 * self._start_side(search) ** 2

    def __call__(
        self, before: Float[Tensor, "rows columns"], after: Float[Tensor, "rows columns"], search: Search
    ) -> Flow:
        """Measure one block; see `Estimator.__call__`."""
        halo = self.halo(search)
        places = torch.arange(halo + self.step_px // 2, before.shape[0] - halo, self.step_px, device=before.device)
        rows, columns = (m.flatten() for m in torch.meshgrid(places, places, indexing="ij"))
        side = self._start_side(search)
        spacing = side // 4 if self.step_px < 4 else side // 2
        start = start_shifts(before, after, places, Knots(side, spacing), search.radius)
        lattice = Lattice.of(self.window_px, before.device)
        some = torch.nonzero(self._has_data(before, rows, columns) & self._has_data(after, rows, columns))[:, 0]
        images = Masked.of(before), Masked.of(after)
        xy = before.new_full((len(rows), 2), torch.nan)
        score = before.new_zeros(len(rows))
        reasons = torch.full((len(rows),), int(Reason.NODATA), dtype=torch.uint8, device=rows.device)
        for k in some.split(BATCH):
            xy[k], score[k], reasons[k] = self._measure(*images, rows[k], columns[k], start[k], lattice)
        shape = len(places), len(places)
        found = xy.T.unflatten(1, shape), score.unflatten(0, shape), reasons.unflatten(0, shape)
        return reject(*found, search, self.min_score)

    def _has_data(self, image: Tensor, rows: Tensor, columns: Tensor) -> Bool[Tensor, " windows"]:
        """False where the middle half of the window is empty: a measurement could not stand there anyway."""
        have = image.isfinite()
        if have.all():
            return torch.ones_like(rows, dtype=torch.bool)
        half = self.window_px // 4
        return box_sum(have.float(), 2 * half + 1)[rows - half, columns - half] > 0

    def _measure(
        self,
        before: Masked,
        after: Masked,
        rows: Int[Tensor, " windows"],
        columns: Int[Tensor, " windows"],
        start: Float[Tensor, "windows 2"],
        lattice: Lattice,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(xy, score, reasons) of some windows centred on pixels (rows, columns)."""
        whole = start.round()
        x, y = whole.long().T
        moved = start - whole
        weights = cosine(torch.zeros_like(moved), self.window_px), cosine(moved, self.window_px)
        a, share_a = before.windows(rows, columns, self.window_px)
        b, share_b = after.windows(rows + y, columns + x, self.window_px)
        if share_a is not None or share_b is not None:
            have = (1.0 if share_a is None else share_a) * (1.0 if share_b is None else share_b)
            weights = weights[0] * have, weights[1] * have
        valid = weights[0].mean((1, 2)) * 4
        a, flat_a = windowed(a, weights[0])
        b, flat_b = windowed(b, weights[1])
        cross = normalised_cross_spectrum(lattice.transform(a), lattice.transform(b), self.mask_db)
        fit = fit_shift(cross, moved, lattice, self.robustness)
        reasons = torch.zeros(len(rows), dtype=torch.uint8, device=rows.device)
        reasons[valid < self.min_valid_share] |= int(Reason.NODATA)
        reasons[(flat_a | flat_b) & (valid >= self.min_valid_share)] |= int(Reason.NO_TEXTURE)
        score = torch.where(reasons == 0, fit.score, 0)
        return whole + fit.xy, score, reasons


class Masked(NamedTuple):
    """An image with its gaps at 0 and a weight that falls to 0 toward them; None where there are no gaps.

    A hard edge would stand at the same place in both windows and hold the shift at zero.
    """

    image: Float[Tensor, "height width"]
    weight: Float[Tensor, "height width"] | None

    @classmethod
    def of(cls, image: Float[Tensor, "height width"]) -> Masked:
        """Weight 1 from `TAPER` px off a gap, 0 in it, a raised cosine between."""
        have = image.isfinite()
        if have.all():
            return cls(image, None)
        side = 2 * TAPER + 1
        share = torch.nn.functional.avg_pool2d(have.float()[None, None], side, 1, TAPER)[0, 0]
        weight = (0.5 - 0.5 * torch.cos(math.pi * (2 * share - 1).clamp(0, 1))) * have
        return cls(image.nan_to_num(0.0, 0.0, 0.0), weight)

    def windows(
        self, rows: Int[Tensor, " windows"], columns: Int[Tensor, " windows"], side: int
    ) -> tuple[Float[Tensor, "windows side side"], Float[Tensor, "windows side side"] | None]:
        """Pixels and weights around the given places."""
        weight = None if self.weight is None else cut_windows(self.weight, rows, columns, side)
        return cut_windows(self.image, rows, columns, side), weight


def cosine(moved: Float[Tensor, "windows 2"], side: int) -> Float[Tensor, "windows side side"]:
    """Raised cosine of each window, centred (x, y) px off the window's middle."""
    at = torch.arange(side, device=moved.device, dtype=moved.dtype)
    profile = 0.5 - 0.5 * torch.cos(2 * math.pi / side * (at - moved[..., None]))
    return profile[:, 1, :, None] * profile[:, 0, None, :]


def windowed(
    patch: Float[Tensor, "windows side side"], weight: Float[Tensor, "windows side side"]
) -> tuple[Float[Tensor, "windows side side"], Bool[Tensor, " windows"]]:
    """The patch about its weighted mean, times the weight; and whether it is flat (nothing to match)."""
    total = weight.sum((1, 2)).clamp_min(1e-12)
    mean = (patch * weight).sum((1, 2)) / total
    patch = (patch - mean[:, None, None]) * weight
    spread = patch.square().sum((1, 2)) / total
    return patch, spread <= (1e-6 * mean) ** 2


class Lattice(NamedTuple):
    """The frequencies of a window's half spectrum, without zero-phase ambiguity: no Nyquist row or column."""

    along_x: Float[Tensor, "side pairs"]
    along_y: Float[Tensor, "double rows"]
    wx: Float[Tensor, " pairs"]
    """Angular frequencies along x, radians per pixel; a spectrum runs slowly along x and fast along y."""
    wy: Float[Tensor, " rows"]
    slopes: Float[Tensor, "frequencies 2"]
    """(wx, wy) of each."""
    products: Float[Tensor, "frequencies 3"]
    """wx^2, wx wy, wy^2 of each."""
    share: Float[Tensor, " frequencies"]
    """1 where the half spectrum stands for two frequencies, 1/2 where both are listed."""

    @classmethod
    def of(cls, side: int, device: torch.device) -> Lattice:
        """Transform matrices and frequencies for windows of `side` px."""
        at = torch.arange(side, dtype=torch.float64)
        kx, ky = torch.arange(side // 2), torch.arange(1 - side // 2, side // 2)
        px = 2 * math.pi / side * at[:, None] * kx
        py = 2 * math.pi / side * at[:, None] * ky
        along_x = torch.stack([px.cos(), -px.sin()], -1).flatten(1)  # side, (kx, re/im)
        re_to = torch.cat([py.cos(), -py.sin()], 1)
        im_to = torch.cat([py.sin(), py.cos()], 1)
        along_y = torch.cat([re_to, im_to])  # (re/im, side), (re/im, ky)
        axes = kx * 2 * math.pi / side, ky * 2 * math.pi / side
        wx, wy = (m.flatten() for m in torch.meshgrid(*axes, indexing="ij"))
        share = torch.where(wx > 0, 1.0, 0.5)
        share[(wx == 0) & (wy == 0)] = 0
        slopes, products = torch.stack([wx, wy], 1), torch.stack([wx * wx, wx * wy, wy * wy], 1)
        parts = along_x, along_y, *axes, slopes, products, share
        return cls(*(p.to(device=device, dtype=torch.float32) for p in parts))

    def transform(self, patch: Float[Tensor, "windows side side"]) -> Float[Tensor, "2 windows frequencies"]:
        """Real and imaginary half spectrum; two matrix products beat a small FFT several times over."""
        windows, side, _ = patch.shape
        rows = patch @ self.along_x  # windows, y, (kx, re/im)
        columns = rows.transpose(1, 2).reshape(windows * (side // 2), 2 * side)  # (windows, kx), (re/im, y)
        spectrum = (columns @ self.along_y).view(windows, side // 2, 2, side - 1)
        return spectrum.permute(2, 0, 1, 3).flatten(2)


class CrossSpectrum(NamedTuple):
    """Unit cross-spectrum exp(i w.d) plus noise, and the weight of every frequency."""

    re: Float[Tensor, "windows frequencies"]
    im: Float[Tensor, "windows frequencies"]
    weight: Float[Tensor, "windows frequencies"]


def normalised_cross_spectrum(a: Tensor, b: Tensor, mask_db: float) -> CrossSpectrum:
    """Phase of a conj(b), which is w.d for b(p + d) = a(p), where the amplitude is within the mask."""
    re = a[0] * b[0] + a[1] * b[1]
    im = a[1] * b[0] - a[0] * b[1]
    power = re * re + im * im
    floor = power.amax(1, keepdim=True) * 10 ** (-mask_db / 5)
    size = power.clamp_min(1e-30).rsqrt()
    return CrossSpectrum(re * size, im * size, (power >= floor).to(re.dtype))


class Fit(NamedTuple):
    """The shift that explains the phases, and their mean agreement: 0 for noise, 1 for a perfect match."""

    xy: Float[Tensor, "windows 2"]
    score: Float[Tensor, " windows"]


def fit_shift(cross: CrossSpectrum, start: Float[Tensor, "windows 2"], lattice: Lattice, robustness: int) -> Fit:
    """Newton steps on `sum W cos(phase - w.d)` from `start`, the weights renewed between them.

    The score counts all frequencies of the mask alike: with the final weights even noise agrees with itself.
    """
    whole = cross.weight * lattice.share
    weight, d = whole, start
    for _ in range(2):
        d = d + newton_step(*residual(cross, d, lattice), weight, lattice)
    for _ in range(robustness):
        agree, swerve = residual(cross, d, lattice)
        cube = (0.5 + 0.5 * agree) ** 3  # squared below: the sixth power of 1 - |Q - exp(iw.d)|^2 / 4
        weight = weight * cube * cube
        d = d + newton_step(agree, swerve, weight, lattice)
    agree, _ = residual(cross, d, lattice)
    return Fit(d, ((whole * agree).sum(1) / whole.sum(1).clamp_min(1e-20)).clamp(0, 1))


def residual(cross: CrossSpectrum, d: Float[Tensor, "windows 2"], lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Cosine and sine of what the shift leaves of each phase."""
    x, y = d[:, :1] * lattice.wx, d[:, 1:] * lattice.wy
    cx, sx, cy, sy = x.cos()[:, :, None], x.sin()[:, :, None], y.cos()[:, None], y.sin()[:, None]
    c = torch.addcmul(cx * cy, sx, sy, value=-1).flatten(1)
    s = torch.addcmul(sx * cy, cx, sy).flatten(1)
    return torch.addcmul(cross.re * c, cross.im, s), torch.addcmul(cross.im * c, cross.re, s, value=-1)


def newton_step(agree: Tensor, swerve: Tensor, weight: Tensor, lattice: Lattice) -> Float[Tensor, "windows 2"]:
    """One step uphill, at most one pixel; curvature only from phases that agree, so that it never changes sign."""
    gx, gy = ((weight * swerve) @ lattice.slopes).T
    xx, xy, yy = ((weight * agree.clamp_min(0.05)) @ lattice.products).T
    determinant = (xx * yy - xy * xy).clamp_min(1e-12)
    step = torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], 1) / determinant[:, None]
    return step / step.norm(dim=1, keepdim=True).clamp_min(1.0)
