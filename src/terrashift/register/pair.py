"""Register one image on another: from a rough place to a map, level by level, robustly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..core.grid import Grid
from ..errors import InputError
from ..estimators.base import Search
from ..estimators.frequency import Frequency
from .chance import Chance, by_chance
from .choose import BETTER_LOCALLY, FEWEST_TIES, LOCAL_TIES, Outcome, Scene, choose_model, local_model, samples_of
from .content import map_from_content
from .correlate import detail, whole_shift
from .dense import by_network, check_network, check_size, judged
from .exclude import Ground, check_trace
from .fit import ce90, fit_polynomial, frame_of, trimmed_rms
from .mapping import Behind, Mapping, Polynomial, Sum
from .options import ORDERS, WINDOW_PX, RegisterOptions
from .overlap import Names, georeferenced_map, is_placed, refuse_apart
from .region import common_region
from .result import Registration
from .smooth import fit_smooth
from .sources import Mapped, MappedPair, Readable, reduced
from .ties import NOISE_PX, OUTLIER, EstimatorAt, TiePlan, TiePoints, lonely, measure_ties, usual_spacing

MOST_TIES = 4096
COARSEST_PX = 96
"""Shorter side of the coarsest level, at least."""
LARGEST_IN_MEMORY_PX = 3000
COARSE_WINDOW_PX = 32
COARSE_SCORE = 0.25
"""Windows of this size that hold different ground score 0.2, and less than 0.3 in nine of ten cases."""
LEAST_WINDOW_PX = 16
SOFT_DB = 30.0
"""Weaker frequencies hold more of what changed between dates than of the ground that stayed: without them twice as many
tie points are found on dates that differ much, and each is less exact."""
SHARP_DB = 45.0
FEWEST_SHARP = 30
SHARP_SHARE = 0.25
"""Of the tie points without the weak frequencies: from so many on, those with them are more exact as a whole."""
FIRST_SEARCH = 6
STANDS_OUT = 6.0
"""Height of the whole images' correlation, in deviations of all other shifts, from which it is believed."""
AGREE_PX = 1.5
"""Tie points this near to the model count as agreeing with it, when it is judged whether the images match at all."""
FEWEST_AGREEING = 5
LEAST_AGREEING = 0.1
"""Share of the cells with texture."""
BEYOND_CHANCE = 5.0
"""Standard deviations by which tie points must score more than windows of different ground."""
SETTLED_PX = 0.01
UNNAMED = Names("the moving image", "the reference")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Two images, and how they are to be registered."""

    moving: Readable
    reference: Readable
    options: RegisterOptions
    names: Names = UNNAMED
    ground: Ground = field(default_factory=Ground)
    estimator_at: EstimatorAt | None = None
    """What measures tie points at full resolution, for a given step; the frequency correlator unless given."""
    device: str = "cpu"

    def correlator(self, window_px: int, mask_db: float = SOFT_DB) -> EstimatorAt:
        """The frequency correlator with a window of this side."""
        least = self.options.min_score
        return lambda step: Frequency(
            window_px=window_px, start_window_px=window_px, step_px=step, min_score=least, mask_db=mask_db
        )


def register(job: Job) -> Registration:
    """Find where each pixel of the reference lies in the moving image.

    Raises:
        GridMismatchError: the georeferencing puts them apart.
        InputError: they do not show one place, or too little of it.
    """
    if job.options.model == "network":
        check_network(job.options)
    start, started_by = starting_map(job)
    return register_from(job, start, started_by)


def register_from(job: Job, start: Mapping, started_by: str) -> Registration:
    """The same where the rough place is known."""
    region = common_region(job.reference, job.moving, start)
    part = replace(job, reference=region.reference, moving=region.moving, ground=job.ground.seen_from(region.offset))
    if job.options.model == "network":
        outcome = _dense(part, region.start)
    else:
        outcome = _fine(part, region.start, _coarse(part, region.start))
    found = _conclude(part, region.start, started_by, outcome)
    return region.whole(found, job.reference.grid, job.moving.grid, start)


def starting_map(job: Job) -> tuple[Mapping, str]:
    """The map by georeferencing or by content, and which of them it is."""
    reference, moving, options = job.reference.grid, job.moving.grid, job.options
    placed = is_placed(reference) and is_placed(moving) and (reference.crs is None) == (moving.crs is None)
    if options.start == "georeferencing" and not placed:
        bare = job.names.reference if not is_placed(reference) or reference.crs is None else job.names.moving
        raise InputError(f"--start georeferencing: {bare} has none. Give --crs for it, or use --start content.")
    if options.start == "content" or not placed:
        found = map_from_content(job.reference, job.moving)
        turn = math.degrees(found.similarity.angle) % 360
        turn = turn - 360 if turn > 180 else turn
        return found.mapping, f"content: scale {found.similarity.scale:.4g}, turned by {turn:.4g} degrees"
    start = georeferenced_map(reference, moving)
    refuse_apart(start, reference, moving, job.names)
    return start, "georeferencing"


class _Level(NamedTuple):
    """Both images at one resolution."""

    factor: int
    """Reference pixels along a side of one of this level's."""
    before: Readable
    after: Readable
    start: Mapping


def _levels(job: Job, start: Mapping) -> list[_Level]:
    """Coarser levels, coarsest first; at the last the result may still be off by a few pixels."""
    shape = job.reference.grid.shape
    ratio = float(np.mean(start.magnification(shape)))
    factor = 2 ** max(
        0,
        math.floor(math.log2(max(1.0, min(shape) / COARSEST_PX))),
        math.ceil(math.log2(max(1.0, max(shape) / LARGEST_IN_MEMORY_PX))),
    )
    levels = []
    while factor > 1 or not levels:
        if max(shape) / factor <= LARGEST_IN_MEMORY_PX:
            other = max(1, round(factor * ratio))
            before, after = reduced(job.reference, factor), reduced(job.moving, other)
            levels.append(_Level(factor, before, after, start.reduced(factor, other)))
        if factor == 1:
            break
        factor //= 2
    return levels


def _coarse(job: Job, start: Mapping) -> Sum:
    """From the shift of the whole to a model good to a pixel or so."""
    levels = _levels(job, start)
    correction = Sum((_whole(job, levels[0]),))
    for number, level in enumerate(levels):
        grid = level.before.grid
        window = min(COARSE_WINDOW_PX, 2 * (min(grid.shape) // 4))
        if level.factor == 1 or window < LEAST_WINDOW_PX:
            continue
        step = Mapping((correction,)).reduced(level.factor, level.factor)
        after = Mapped(level.after, level.start.after(*step.steps), grid, "bicubic")
        radius = FIRST_SEARCH if number == 0 else job.options.search_px
        plan = TiePlan(usual_spacing(grid.shape, window, MOST_TIES), Search((0, 0), (radius, radius)), job.device)
        ties = measure_ties(MappedPair(level.before, after), job.correlator(window), plan).of_score(COARSE_SCORE)
        correction = _fitted(job, _full_size(ties, step, level.factor), level.factor, correction)
    return correction


def _full_size(ties: TiePoints, correction: Mapping, factor: int) -> TiePoints:
    """Tie points of a level as total shifts in pixels of the reference."""
    found = correction(ties.found)
    return replace(
        ties,
        reference=factor * (ties.reference + 0.5) - 0.5,
        found=factor * (found + 0.5) - 0.5,
    )


def _whole(job: Job, level: _Level) -> Polynomial:
    """The shift of the whole image at the coarsest level; none where nothing stands out."""
    mapped = Mapped(level.after, level.start, level.before.grid, "bilinear")
    before = level.before.read(0, 0, *level.before.grid.shape)
    # around the reference too, so that a large shift still finds what it needs
    height, width = level.before.grid.shape
    dy, dx = height // 2, width // 2
    wide = mapped.read(-dy, -dx, height + 2 * dy, width + 2 * dx)
    shift = whole_shift(detail(before), detail(wide)) if before.isfinite().any() and wide.isfinite().any() else None
    if shift is None:
        raise InputError(
            f"{job.names.moving} and {job.names.reference} have no pixels with data in common. Check the nodata values "
            "(--nodata) and that both show the same place."
        )
    xy = (shift.xy[0] - dx, shift.xy[1] - dy) if shift.strength > STANDS_OUT else (0.0, 0.0)
    return _constant(level.factor * xy[0], level.factor * xy[1], job.reference.grid)


def _constant(x: float, y: float, grid: Grid) -> Polynomial:
    return Polynomial(np.array([[x], [y]]), 0, *frame_of(grid.shape))


def _fitted(job: Job, ties: TiePoints, factor: int, last: Sum) -> Sum:
    """Model at a coarse level; what was known stays where too little matched."""
    shape = job.reference.grid.shape
    ties = job.ground.apply(ties)
    samples = samples_of(ties.flagged(lonely(ties, factor * NOISE_PX), OUTLIER))
    count = len(samples.weight)
    order = min(1, ORDERS.get(job.options.model, 1)) if count >= FEWEST_TIES else 0
    if count < 3:
        return last
    fit = fit_polynomial(samples, order, shape, 2.0 * factor)
    if fit.inlier.sum() < max(3, LEAST_AGREEING * ties.tried):
        return last
    if job.options.model != "local" or count < LOCAL_TIES:
        return Sum((fit.model,))
    left = samples._replace(shift=samples.shift - fit.model.shift(samples.places))
    spacing = float(COARSE_WINDOW_PX * factor)
    return Sum((fit.model, fit_smooth(left, shape, spacing, spacing).model))


class _Look(NamedTuple):
    """Tie points as one estimator finds them, and what it finds by chance."""

    estimator_at: EstimatorAt
    ties: TiePoints
    chance: Chance

    @classmethod
    def at(cls, pair: MappedPair, estimator_at: EstimatorAt, plan: TiePlan, chance: Chance | None = None) -> _Look:
        """Measure; chance too where it is not known yet."""
        ties = measure_ties(pair, estimator_at, plan)
        return cls(estimator_at, ties, chance or by_chance(pair, estimator_at, plan, ties))

    @property
    def sure(self) -> TiePoints:
        """Tie points that are no matches by chance."""
        return self.ties.of_score(self.chance.least_score)


def _scene(job: Job, window_px: int = WINDOW_PX) -> Scene:
    """What tie points at full resolution are measured on; `window_px` unless the options name another."""
    shape, options = job.reference.grid.shape, job.options
    window = min(options.window_px or window_px, max(LEAST_WINDOW_PX, 2 * (min(shape) // 4)))
    return Scene(shape, options.spacing_px or usual_spacing(shape, window, MOST_TIES), window)


def _dense(job: Job, start: Mapping) -> Outcome:
    """The network's map behind a rough one, and tie points on top of it, which had no part in it."""
    grid, options, scene = job.reference.grid, job.options, _scene(job)
    check_size(grid)
    known = _coarse(job, start)
    mapped = Mapped(job.moving, start.after(known), grid)
    dense = by_network(MappedPair(job.reference, mapped), job.ground, options, job.device)
    correction = Sum((Behind(dense.flow, known),))
    pair = MappedPair(job.reference, Mapped(job.moving, start.after(correction), grid))
    plan = TiePlan(scene.spacing_px, Search((0, 0), (options.search_px, options.search_px)), job.device)
    look = _Look.at(pair, job.estimator_at or job.correlator(scene.window_px), plan)
    _refuse_unlike(job, look)
    ties = job.ground.apply(look.sure)
    ties = ties.flagged(lonely(ties), OUTLIER)
    return judged(replace(ties, found=correction(ties.found)), correction, scene, dense.warnings)


def _fine(job: Job, start: Mapping, correction: Sum) -> Outcome:
    """Measure at full resolution; a local model with small windows too, which see less of how the ground bends."""
    outcome = _measured(job, start, correction, _scene(job))
    if job.options.model != "local" or job.options.window_px:
        return outcome
    try:
        finer = _measured(job, start, outcome.correction, _scene(job, WINDOW_PX // 2))
    except InputError:  # small windows match too little here
        return outcome
    return finer if trimmed_rms(finer.held_out) < BETTER_LOCALLY * trimmed_rms(outcome.held_out) else outcome


def _measured(job: Job, start: Mapping, correction: Sum, scene: Scene) -> Outcome:
    """Measure until the map no longer changes."""
    grid, options = job.reference.grid, job.options
    window, spacing = scene.window_px, scene.spacing_px
    look = None
    for number in range(options.rounds):
        pair = MappedPair(job.reference, Mapped(job.moving, start.after(correction), grid))
        radius = options.search_px if number == 0 else max(2, options.search_px // 2)
        plan = TiePlan(spacing, Search((0, 0), (radius, radius)), job.device)
        if look is None:
            look = _Look.at(pair, job.estimator_at or job.correlator(window), plan)
            _refuse_unlike(job, look)
        elif number == 1:
            look = _sharper(job, pair, look, plan)
        else:
            look = _Look.at(pair, look.estimator_at, plan, look.chance)
        ties = job.ground.apply(look.sure)
        ties = ties.flagged(lonely(ties), OUTLIER)
        total = replace(ties, found=correction(ties.found))
        outcome = choose_model(total, options.model, scene)
        last, correction = correction, outcome.correction
        places = outcome.ties.reference[:, outcome.ties.used]
        moved = np.hypot(*(correction.shift(places) - last.shift(places)))
        if number > 0 and (moved.size == 0 or np.sqrt(np.mean(moved**2)) < SETTLED_PX):
            break
    return outcome


def _sharper(job: Job, pair: MappedPair, last: _Look, plan: TiePlan) -> _Look:
    """With weak frequencies too, for a global model, where that leaves enough tie points; else as before."""
    if job.estimator_at is None and job.options.model != "local":
        look = _Look.at(pair, job.correlator(last.estimator_at(plan.step_px).window_px, SHARP_DB), plan)
        if len(look.sure) >= max(FEWEST_SHARP, SHARP_SHARE * len(last.sure)):
            return look
    return _Look.at(pair, last.estimator_at, plan, last.chance)


def _refuse_unlike(job: Job, look: _Look) -> None:
    """Make sure that tie points score more than windows of different ground do, and agree with each other.

    Raises:
        InputError: where they do not.
    """
    samples = samples_of(look.sure)
    agree, matched = 0, len(samples.weight)
    if matched >= FEWEST_AGREEING:
        fit = fit_polynomial(samples, 1 if matched >= FEWEST_TIES else 0, job.reference.grid.shape)
        agree = int((np.hypot(*(samples.shift - fit.model.shift(samples.places))) < AGREE_PX).sum())
    beyond, tried, other = look.chance.beaten_by(look.ties), look.ties.tried, len(look.chance.scores)
    # small images cannot show as much
    most = math.sqrt(3 * tried * other / (tried + other + 1)) if tried and other else math.inf
    if agree >= max(FEWEST_AGREEING, LEAST_AGREEING * tried) and beyond >= min(BEYOND_CHANCE, 0.7 * most):
        return
    raise InputError(
        f"{job.names.moving} and {job.names.reference} do not match: of {tried} places with texture, {matched} found a "
        f"counterpart better than chance and {agree} of those agree with each other. Check that both show the same "
        "place; else choose bands that look alike (--band, --band-reference), dates closer together, or a larger "
        "--search-px or --window-px; --start content looks for the place in the images where the georeferencing is "
        "wrong."
    )


def _conclude(job: Job, start: Mapping, started_by: str, outcome: Outcome) -> Registration:
    """The result with its warnings."""
    ties, trace, warnings = outcome.ties, None, list(outcome.warnings)
    used = ties.used
    if job.ground.trace is not None:
        residual = ties.shift - outcome.correction.shift(ties.reference)
        trace = check_trace(job.ground.trace, ties.reference[:, used], residual[:, used])
        if trace.related:
            warnings.append(
                f"what the model leaves has to do with the distance to the trace (step of {trace.step_px:.2f} px "
                f"across it, rank correlation {trace.decay:+.2f}, chance {trace.chance:.2g}): ground motion is in the "
                "fit. Leave the ground around the trace out with --keep-off-m, or exclude it with a mask."
            )
    kinds, chosen, best = outcome.compared, ce90(outcome.held_out), math.inf
    if outcome.model not in ("local", "network") and used.sum() >= LOCAL_TIES:
        best = ce90(local_model(ties, outcome.scene).held_out)
        kinds = kinds | {"local": best}
    if best < BETTER_LOCALLY * chosen:
        warnings.append(
            f"the images also differ locally: a local model would leave {best:.2f} px (CE90) instead of {chosen:.2f}. "
            "Where nothing moved between the dates, --model local takes that out; it takes out real motion too."
        )
    return Registration(
        reference=job.reference.grid,
        moving=job.moving.grid,
        start=start,
        started_by=started_by,
        correction=outcome.correction,
        model=outcome.model,
        ties=ties,
        held_out=outcome.held_out,
        error_px=outcome.error_px,
        compared=kinds,
        trace=trace,
        warnings=tuple(warnings),
    )
