"""Offsets, widths, traces and strain of simulated ruptures with noise, held against the truth.

    python benchmarks/faults.py

A rupture of 3 m on cells of 10 m, 300 x 360 of them, six strikes, right- and left-lateral in turn; errors of a field
are normal, independent or alike over some cells (a Gaussian of that deviation). Truth is the mean slip within each box,
in the directions of the box.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from affine import Affine
from scipy.ndimage import distance_transform_edt, gaussian_filter

from terrashift.analyse.boxes import lengths
from terrashift.analyse.fault_offset import fit_offsets
from terrashift.analyse.profile import ProfileOptions, layout_of, local_lines, stack_profiles
from terrashift.analyse.strain import strain
from terrashift.analyse.trace import find_pieces
from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.simulate.rupture import Rupture, displacement
from terrashift.simulate.trace import from_pixels, parted_pixels

GRID = Grid(300, 360, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
FIRST_SEED = 40  # no default was chosen by these ruptures
CASES = ((0.3, 0.0), (1.0, 0.0), (0.3, 2.0), (0.5, 4.0), (0.05, 0.0))
"""Noise of a cell, m, and the cells over which it is alike."""


def field_of(east, north, noise: float, smooth: float, seed: int) -> DisplacementField:
    errors = np.random.default_rng(seed).standard_normal((2, *GRID.shape))
    if smooth:
        errors = np.stack([gaussian_filter(part, smooth, mode="wrap") for part in errors])
    errors = torch.from_numpy((noise * errors / errors.std()).astype(np.float32))
    sigma, reasons = torch.full(GRID.shape, noise), torch.zeros(GRID.shape, dtype=torch.uint8)
    return DisplacementField(east + errors[0], north + errors[1], sigma, sigma, torch.ones(GRID.shape), reasons, GRID)


def ruptures(noise: float, smooth: float):
    """Strike, true displacement, and the field that was measured."""
    for number in range(6):
        seed, strike_deg = FIRST_SEED + number, 12.0 + 61 * number
        truth = displacement(GRID, Rupture(slip_m=3 * (-1) ** number, strike_deg=strike_deg), seed)
        yield strike_deg, truth, field_of(truth.east, truth.north, noise, smooth, seed + 1000)


def offsets(noise: float, smooth: float) -> None:
    inside, bootstrap, by_sigma, errors, widths = [], [], [], [], []
    options = ProfileOptions(statistic="mean")
    for strike_deg, truth, field in ruptures(noise, smooth):
        lines = [np.asarray(line, float) for line in truth.lines]
        profiles = [p for p in stack_profiles(field, lines, options) if min(-p.distance[0], p.distance[-1]) > 250]
        at, slip = lengths(local_lines(GRID, lines)[0]), np.asarray(truth.slips[0])
        toward = np.array([math.sin(math.radians(strike_deg)), math.cos(math.radians(strike_deg))])
        for offset in fit_offsets(profiles):
            box = offset.profile.box
            places = box.along + layout_of(GRID, options).width * np.linspace(-0.5, 0.5, 101)
            local = np.interp(places, at, slip).mean()
            wanted = local * (toward @ box.toward), -local * (toward @ box.right)
            for found, value in zip((offset.lateral, offset.opening), wanted, strict=True):
                inside.append(found.low <= value <= found.high)
                bootstrap.append((found.value - value) / found.error_bootstrap)
                by_sigma.append((found.value - value) / found.error_sigma)
                errors.append(found.value - value)
            widths.append([offset.bell.width, offset.erf.width, offset.arctan.width])
    cells = np.array(widths) / 10
    print(
        f"offsets: noise {noise} m alike over {smooth:g} cells: {len(widths)} profiles, rms error "
        f"{np.std(errors):.3f} m, within 95 %: {100 * np.mean(inside):.1f} %; "
        f"error / bootstrap {np.std(bootstrap):.2f}, error / sigma {np.std(by_sigma):.2f}; "
        f"width (inflection, erf, arctan) median "
        f"{np.round(np.nanmedian(cells, 0), 2)} cells, 95th percentile {np.round(np.nanpercentile(cells, 95, 0), 2)}, "
        f"none for {100 * np.isnan(cells[:, 0]).mean():.0f} %"
    )


def traces(noise: float, smooth: float) -> None:
    right, found, false = [], [], 0
    for _, truth, field in ruptures(noise, smooth):
        motion = np.stack([np.asarray(field.east, float), np.asarray(field.north, float)])
        mask, planted = parted_pixels(GRID.shape, [p.line for p in find_pieces(motion)]), np.asarray(truth.trace)
        if mask.any():
            right.append((distance_transform_edt(~planted)[mask] <= 2).mean())
        found.append((distance_transform_edt(~mask)[planted] <= 2).mean() if mask.any() else 0.0)
        still = motion - np.stack([np.asarray(truth.east, float), np.asarray(truth.north, float)])
        false += len(find_pieces(still))
    print(
        f"traces: noise {noise} m alike over {smooth:g} cells: {100 * np.mean(found):.1f} % of the planted trace "
        f"is found within 2 cells, {100 * np.mean(right or [np.nan]):.1f} % of what is found lies there; "
        f"{false} traces in the noise alone of 6 fields"
    )


def uniform() -> None:
    columns, rows = np.meshgrid(np.arange(GRID.width) + 0.5, np.arange(GRID.height) + 0.5)
    east, north = np.moveaxis(from_pixels(GRID, np.stack([columns, rows], -1)), -1, 0)
    parts = (torch.from_numpy((s @ [east.ravel(), north.ravel()]).reshape(GRID.shape).astype(np.float32))
             for s in (np.array([2e-3, -1e-3]), np.array([5e-4, 3e-3])))  # fmt: skip
    layers = strain(field_of(*parts, 0.0, 0.0, 0)).layers
    wanted = {"strain_ee": 2e-3, "strain_nn": 3e-3, "strain_en": -2.5e-4, "dilatation": 5e-3, "curl": 1.5e-3}
    worst = max(float(np.abs(layers[name] / value - 1).max()) for name, value in wanted.items())
    print(f"strain: uniform, largest error of any cell and component {100 * worst:.3f} %")


if __name__ == "__main__":
    torch.set_num_threads(1)
    uniform()
    for case in CASES:
        offsets(*case)
        traces(*case)
