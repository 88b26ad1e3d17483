"""The flow: check -> find the search -> measure tile by tile -> write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from affine import Affine
from torch import Tensor

from .analyse.findings import ImageFacts, PairCheck
from .analyse.preflight import check_pair
from .cluster.workers import Cluster
from .core.field import DisplacementField
from .core.grid import Grid
from .core.image import Image, Pair
from .core.source import ArrayPair, PairSource
from .core.tiles import plan_tiles
from .errors import InputError
from .estimators.base import Search
from .estimators.search import choose_search, coarse_motion
from .io.atomic import atomic_write_text
from .io.cog import to_tags, write_field
from .io.opening import bounded_cache
from .io.raster import Raster, RasterPair, ReadOptions, open_pair
from .io.sinks import MemorySink, StoredFlow
from .io.store import TileStore, saying_what_is_kept
from .io.store_folder import discard, work_folder
from .losses import FAILED_TILES, Losses
from .plot.maps import quicklook
from .product import Files, Thumbnail, provenance
from .recipe import Recipe
from .regularise.blocks import BLOCK
from .report import Accumulator, Summary
from .resources import require_memory, require_regularise_memory
from .runner import Ground, run_regularise, run_tiles
from .watch import Progress, Watch

SMALLEST_SEARCH = Search((0, 0), (1, 1))


def measure(
    before: Path | str,
    after: Path | str,
    output: Path | str,
    recipe: Recipe | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
    cluster: Cluster | None = None,
) -> Summary:
    """Measure the displacement of the ground between two images and write it to `output`.

    Beside the Cloud-Optimised GeoTIFF come the recipe, a picture and the summary, named after it. Nothing appears under
    these names before it is complete.

    Args:
        before: path or URL of any raster that GDAL reads; likewise `after`.
        output: name of the result, `.tif`.
        recipe: how to measure; the defaults if not given.
        resume: go on with a run that was cut short.
        overwrite: replace results of these names, or start an unfinished run again.
        watch: who hears of progress and warnings.
        cluster: who computes the tiles (see `cluster.connect`); this process unless given.

    Raises:
        InputError: an image cannot be used, or the pair cannot be measured.
        OptionError: a setting cannot work here.
        OutputError: the result cannot be written.
        IncompleteError: some tiles failed, and the recipe does not allow for that; `resume=True` tries them again.
    """
    recipe, watch, files = recipe or Recipe(), watch or Watch(), Files.beside(output)
    # a run only begins where the names are free or may be replaced, so what it left may be replaced by going on
    going_on = resume and work_folder(files.field).exists()
    files.check(overwrite or going_on, (str(before), str(after)))
    with bounded_cache():
        pair = open_pair(str(before), str(after), recipe.read)
        here = cluster.at_home(recipe) if cluster else recipe
        # before minutes of reading: what even the smallest search cannot do
        _require_memory(here, pair.grid, SMALLEST_SEARCH)
        if cluster:
            cluster.check(pair, recipe, files.field.parent)
        found = _look_at(pair, recipe.estimate.window_px)
        found.raise_for_errors()
        warnings = [f"{f.topic}: {f.met}. {f.remedy}".strip() for f in found.findings if f.level == "warning"]
        for warning in warnings:
            watch.warn(warning)
        search = _find_search(pair, here)
        _require_memory(here, pair.grid, search)
        smoothed = f", smoothed by {recipe.regularise.name}" if recipe.regularises else ""
        watch.say(f"measuring {pair.grid} by the {recipe.estimator.name} method{smoothed}, {_in_words(search)}")
        made_by = provenance(pair, recipe, search, warnings)
        if overwrite and not resume:
            discard(work_folder(files.field))
        with _open_store(files, pair.grid, recipe, made_by, resume) as store, saying_what_is_kept(store):
            first, second = _parts(watch.tiles, store, recipe)
            losses = Losses(recipe, watch.warn)
            with losses.borne(store):
                if cluster:
                    cluster.run_tiles(pair, search, store, recipe, first)
                else:
                    run_tiles(recipe.estimator, pair, search, store, recipe.run, first, recipe.regularises)
            with _regularised(store, pair.grid, _Second(recipe, second, losses, cluster)) as final:
                summary = _write(files, final, pair.grid, recipe, made_by | losses.tags)
            store.remove()
    return summary


def check(before: Path | str, after: Path | str, read: ReadOptions | None = None, window_px: int = 32) -> PairCheck:
    """Look at two images before any work.

    Args:
        before: path or URL; likewise `after`.
        read: which band, what is nodata.
        window_px: side of the window that will be measured with.

    Raises:
        InputError: where an image cannot be read, or the two do not share a grid. Anything else is a finding.
    """
    with bounded_cache():
        return _look_at(open_pair(str(before), str(after), read), window_px)


def measure_arrays(
    before: np.ndarray | Tensor, after: np.ndarray | Tensor, recipe: Recipe | None = None, grid: Grid | None = None
) -> DisplacementField:
    """Measure the displacement between two images in memory; the same numbers as from files.

    Args:
        before: (height, width), NaN where there is no data; likewise `after`.
        recipe: how to measure; what it says about reading files is not used.
        grid: where the pixels lie; without it lengths are in pixels, and north is up the image.
    """
    recipe = recipe or Recipe()
    bands = [torch.as_tensor(band).to(torch.float32) for band in (before, after)]
    if any(band.ndim != 2 or band.shape != bands[0].shape for band in bands):
        shapes = " and ".join(str(tuple(band.shape)) for band in bands)
        raise InputError(f"the images have shapes {shapes}: give two of the same (height, width)")
    height, width = bands[0].shape
    grid = grid or Grid(height, width, Affine.identity())
    source = ArrayPair(Pair(Image(bands[0][None], grid), Image(bands[1][None], grid)))
    search = _find_search(source, recipe)
    _require_memory(recipe, grid, search)
    ground = Ground(grid, recipe.estimate.step_px)
    measured = final = MemorySink.of(grid.every(ground.step_px))
    run_tiles(recipe.estimator, source, search, measured, recipe.run, None, recipe.regularises)
    if recipe.regularises:
        final = MemorySink.of(grid.every(ground.step_px))
        run_regularise(recipe.regularise, StoredFlow(measured), ground, final, recipe.run)
    return final.field(grid.every(ground.step_px), {"RECIPE_HASH": recipe.hash})


def _look_at(pair: RasterPair, window_px: int) -> PairCheck:
    """Check an open pair."""
    both = pair.grid.height * pair.grid.width

    def facts(raster: Raster) -> ImageFacts:
        share = both / (raster.grid.height * raster.grid.width)
        numbers = raster.saturation, raster.scale, raster.offset
        return ImageFacts(raster.path, raster.date, raster.dtype, *numbers, share, raster.sun, raster.orbit)

    return check_pair(pair, facts(pair.before), facts(pair.after), window_px)


def _find_search(source: PairSource, recipe: Recipe) -> Search:
    """Where to look for matches: from the options, or from a coarse pass over the images."""
    return choose_search(coarse_motion(source, recipe.run.torch_device), recipe.search)


def _require_memory(recipe: Recipe, grid: Grid, search: Search) -> None:
    """Refuse what would not fit, in whichever pass."""
    require_memory(recipe.estimator, grid, search, recipe.run)
    if recipe.regularises:
        require_regularise_memory(recipe.regularise, grid.every(recipe.estimate.step_px).shape, recipe.run)


def _parts(progress: Progress, store: TileStore, recipe: Recipe) -> tuple[Progress, Progress]:
    """The progress of both passes as that of one run."""
    count = len(list(store.tiles()))
    more = len(list(plan_tiles(store.shape, BLOCK))) if recipe.regularises else 0
    return (
        lambda done, total: progress(done, total + more),
        lambda done, total: progress(count + done, count + total),
    )


class _Second(NamedTuple):
    """How the second pass is run."""

    recipe: Recipe
    progress: Progress
    losses: Losses
    cluster: Cluster | None


@contextmanager
def _regularised(store: TileStore, image_grid: Grid, how: _Second) -> Iterator[TileStore]:
    """The store of the final displacement: the first one, or that of a second pass over its flow."""
    recipe = how.recipe
    if not recipe.regularises:
        yield store
        return
    ground = Ground(image_grid, recipe.estimator.step_px)
    with store.next_pass(BLOCK) as final:
        with how.losses.borne(final):
            if how.cluster:
                how.cluster.run_regularise(store, final, ground, recipe, how.progress)
            else:
                run_regularise(recipe.regularise, StoredFlow(store), ground, final, recipe.run, how.progress)
        yield final


def _in_words(search: Search) -> str:
    (x, y), (rx, ry) = search.centre, search.radius
    return f"looking {rx} px left and right and {ry} px up and down around ({x} right, {y} down)"


def _open_store(files: Files, grid: Grid, recipe: Recipe, made_by: dict[str, Any], resume: bool) -> TileStore:
    """The store of this run; what decides the result is its key, so that no other run's tiles are ever mixed in."""
    shape = grid.every(recipe.estimator.step_px).shape
    if 0 in shape:
        raise InputError(f"the images share {grid}: too small for a step of {recipe.estimator.step_px} px")
    side = recipe.run.tile_side(recipe.estimator, grid)
    return TileStore.open(work_folder(files.field), shape, side, made_by, resume)


def _write(files: Files, store: TileStore, image_grid: Grid, recipe: Recipe, made_by: dict[str, Any]) -> Summary:
    """Turn the finished tiles into the result and what lies beside it."""
    grid = image_grid.every(recipe.estimator.step_px)
    thumbnail, numbers = Thumbnail.of(grid), Accumulator(grid)

    def blocks() -> Iterator[tuple[int, int, Tensor]]:
        for tile in store.tiles():
            values = store.read(tile)
            thumbnail.add(tile, values)
            numbers.add(values)
            yield tile.core[0].start, tile.core[1].start, values

    write_field(files.field, grid, blocks(), to_tags(made_by), overwrite=True)
    quicklook(thumbnail.field(made_by), files.picture)
    head = f"How {files.field.name} was made: TerraShift {made_by['TERRASHIFT_VERSION']}, recipe {recipe.hash[:12]}."
    atomic_write_text(files.recipe, recipe.to_yaml(head=head))
    extra = {"regularised by": recipe.regularise.name} if recipe.regularises else {}
    if FAILED_TILES in made_by:
        extra["failed tiles"] = f"{len(made_by[FAILED_TILES])}; their cells have no value, see {FAILED_TILES}"
    summary = numbers.summary(made_by, extra)
    atomic_write_text(files.summary, summary.to_json() + "\n")
    return summary
