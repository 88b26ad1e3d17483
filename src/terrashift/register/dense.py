"""The registration network's dense map as the correction of a pair, and tie points as its judges.

The network sees the pair as mapped so far and answers with a flow on the reference, which goes behind what was known
(`mapping.Behind`): nothing is resampled twice. Tie points are measured after it and have no part in it, so what they
find is what the map does not have.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.grid import Grid
from ..errors import InputError
from ..estimators.networks import network, network_options
from .choose import AUTO, BETTER_LOCALLY, LOCAL_TIES, SIMPLER, Outcome, Scene, local_model, samples_of
from .exclude import Ground
from .fit import POINTS, ce90, held_out_polynomial
from .mapping import Lattice, Sum
from .network import LEAST_SIDE_PX, NetworkOptions, register_by_network
from .options import ORDERS, RegisterOptions
from .sources import MappedPair
from .ties import TiePoints

WEIGHTS = "register"
MOST_PX = 25_000_000
"""Of the common region, which is held in memory: 150 bytes a pixel make 4 GB."""
STRIP_PX = 256
MASK_PLACES = 250_000
"""At which masks are asked, at most; larger images are asked in squares."""
FEWEST_TIES = 3
STAYS_ONE = 1e-4
"""Share of pixels around which a map may turn over without a word."""


class Dense(NamedTuple):
    """What the network found on the pair as mapped so far."""

    flow: Lattice
    warnings: tuple[str, ...]


def check_network(options: RegisterOptions) -> None:
    """Make sure before any work that the network and its weights are there.

    Raises:
        InputError: where they are not, or belong to another network.
    """
    weights = options.weights or WEIGHTS
    network_options(weights, "linear-deformable", "network")
    network(weights, "cpu")


def check_size(grid: Grid) -> None:
    """Make sure that the common region is of a size that the network takes.

    Raises:
        InputError: where it is not.
    """
    height, width = grid.shape
    if height * width > MOST_PX:
        raise InputError(
            f"--model network holds the common ground of both images in memory: {width} x {height} px are more than "
            f"{MOST_PX // 10**6} million. Cut the reference into parts, or use --model local, which has no such limit."
        )
    if min(height, width) < LEAST_SIDE_PX:
        raise InputError(f"--model network takes {LEAST_SIDE_PX} px or more along each side, not {width} x {height}.")


def by_network(pair: MappedPair, ground: Ground, options: RegisterOptions, device: str) -> Dense:
    """Run the network on a pair as mapped so far; ground that is left out is no data to it.

    Args:
        pair: the reference, and the moving image on its pixels.
        ground: what may be fitted to; elsewhere the map goes on from around.
        options: `weights` and `fine_tune` are the network's.
        device: where it runs.

    Raises:
        InputError: where nothing is left to look at, or the weights do not fit.
    """
    height, width = pair.grid.shape
    before, after = (
        torch.cat([image.read(top, 0, min(STRIP_PX, height - top), width) for top in range(0, height, STRIP_PX)])
        for image in (pair.before, pair.after)
    )
    left_out = _left_out(ground, pair.grid.shape)
    before, after = (image.masked_fill(left_out, torch.nan) for image in (before, after))
    if not bool((before.isfinite() & after.isfinite()).any()):
        raise InputError(
            "the images have no pixels with data in common on the ground that may be fitted to: check --exclude, "
            "--stable and --keep-off-m."
        )
    weights = options.weights or WEIGHTS
    chosen = NetworkOptions(weights=weights, start="none", fine_tune=options.fine_tune)
    found = register_by_network(before.to(device), after.to(device), chosen)
    warnings = []
    if found.folded > STAYS_ONE:
        warnings.append(f"the network's map turns over around {found.folded:.2%} of the pixels: do not trust it there.")
    if found.tuned is not None and not found.tuned[1] < found.tuned[0]:
        warnings.append(
            f"--fine-tune {options.fine_tune} brought the images no closer: the network was used as it comes."
        )
    return Dense(Lattice.of_flow(found.flow.cpu().numpy()), tuple(warnings))


def _left_out(ground: Ground, shape: tuple[int, int]) -> Tensor:
    """True on the pixels (height, width) that may not be fitted to."""
    height, width = shape
    if not ground.excluded and not ground.stable and (ground.trace is None or not ground.keep_off_px):
        return torch.zeros(shape, dtype=torch.bool)
    side = math.ceil(math.sqrt(max(1.0, height * width / MASK_PLACES)))
    x, y = (np.minimum(np.arange(0, n, side) + side // 2, n - 1).astype(np.float64) for n in (width, height))
    out = ground.leaves_out(np.stack(np.meshgrid(x, y)).reshape(2, -1)).reshape(len(y), len(x))
    return torch.from_numpy(out.repeat(side, 0).repeat(side, 1)[:height, :width].copy())


def judged(ties: TiePoints, correction: Sum, scene: Scene, warnings: tuple[str, ...] = ()) -> Outcome:
    """What tie points say of a map that they had no part in, and of simpler ones.

    None is set aside for contradicting the map. `error_px` is the root mean square of a component of what they find, so
    it holds their own errors too.

    Args:
        ties: `found` is the total shift; measured behind `correction`.
        correction: the map.
        scene: what they were measured on.
        warnings: what there is to be said of the map already.

    Raises:
        InputError: where there are too few tie points to judge by.
    """
    samples = samples_of(ties)
    count = len(samples.weight)
    if count < FEWEST_TIES:
        raise InputError(
            f"{count} tie points are too few to judge the network's map by: use a smaller --window-px and "
            "--spacing-px, or a lower --min-score."
        )
    left = samples.shift - correction.shift(samples.places)
    own = ce90(left)
    simple = {
        name: ce90(held_out_polynomial(samples, ORDERS[name], scene.shape, scene.fold_px))
        for name in AUTO
        if count >= max(FEWEST_TIES, 2 * POINTS[ORDERS[name]])
    }
    local = {"local": ce90(local_model(ties, scene).held_out)} if count >= LOCAL_TIES else {}
    held_out = np.full((2, len(ties)), np.nan)
    held_out[:, ties.used] = left
    error = math.sqrt(float(np.mean(left**2)))
    told = (*warnings, *_simpler(own, simple, local.get("local", math.inf)))
    return Outcome(correction, "network", ties, held_out, error, {"network": own, **simple, **local}, scene, told)


def _simpler(own: float, simple: dict[str, float], local: float) -> list[str]:
    """Advice where another model leaves less."""
    best = min((value for value in simple.values() if math.isfinite(value)), default=math.inf)
    if best < own:
        name = next(name for name, value in simple.items() if value <= min(SIMPLER * best, own))
        return [
            f"tie points find {own:.2f} px (CE90) that the network's map does not have; {name} leaves "
            f"{simple[name]:.2f} px where tie points were left out. Use --model {name}."
        ]
    if local < BETTER_LOCALLY * own:
        return [
            f"tie points find {own:.2f} px (CE90) that the network's map does not have; a local model leaves "
            f"{local:.2f} px where tie points were left out. Try --model local."
        ]
    return []
