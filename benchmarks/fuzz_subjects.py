"""The good files that `fuzz_readers.py` damages, and how each is read."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from terrashift.core.field import DisplacementField
from terrashift.core.grid import Grid
from terrashift.io.exchange.formats import read_any, write_any
from terrashift.io.raster import open_raster

TESTS = Path(__file__).parents[1] / "tests"
SHAPE = (40, 48)
GRID = Grid(*SHAPE, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
MOST_PX = 3000
"""Of a side, when a raster is read whole: what claims to be larger is read at its two ends."""


def field() -> DisplacementField:
    """A small field."""
    dice = torch.Generator().manual_seed(0)
    east, north = torch.randn(2, *SHAPE, generator=dice)
    sigma, none = torch.full(SHAPE, 0.1), torch.zeros(SHAPE, dtype=torch.uint8)
    made_by = {"METHOD": "frequency", "BEFORE_DATE": "2020-01-01", "AFTER_DATE": "2020-02-01", "INPUTS": ["a", "b"]}
    return DisplacementField(east, north, sigma, sigma, torch.ones(SHAPE), none, GRID, made_by)


def image(folder: Path, name: str = "a.tif", **more: Any) -> Path:
    """A small image."""
    import rasterio

    pixels = (1000 + 200 * np.random.default_rng(0).standard_normal(SHAPE)).astype(np.uint16)
    about: dict[str, Any] = {"driver": "GTiff", "crs": GRID.crs, "transform": GRID.transform, "dtype": "uint16"} | more
    height, width = SHAPE
    with rasterio.open(folder / name, "w", count=1, height=height, width=width, **about) as dataset:
        dataset.write(pixels, 1)
        dataset.update_tags(ACQUISITION_DATE="2020-01-01T10:00:00Z")
        dataset.descriptions = ("B04 (665 nm)",)
    return folder / name


def read_image(path: Path) -> None:
    """As `check` and `measure` do: the header, then windows."""
    raster = open_raster(str(path))
    str(raster.grid)
    height, width = (min(n, MOST_PX) for n in raster.grid.shape)
    raster.read(-3, -3, height, width)
    raster.read(raster.grid.height - 20, raster.grid.width - 20, 40, 40)


def exchanged(name: str, file: str) -> Callable[[Path], Path]:
    """A field in one of the exchange formats."""

    def make(folder: Path) -> Path:
        return write_any(field(), folder / file, name)[0]  # pyright: ignore[reportArgumentType]

    return make


def archive(folder: Path) -> Path:
    """A small imagery archive."""
    from terrashift.simulate.archive import Archive, View

    pixels = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32).cumsum(1)
    about = ("place/a red", "place", "red", "train", "sensor", "CC0", 10.0, ("2020", "2021"), ((0.0, 0.0), (0.1, 0.2)))
    Archive.of([(View(*about, *SHAPE), list(pixels))]).save(folder / "a.tsi")
    return folder / "a.tsi"


def read_archive(path: Path) -> None:
    """Load it, and use its pixels."""
    from terrashift.simulate.archive import Archive, card

    found = Archive.load(path)
    card(found)
    for images in found.pixels:
        for one in images:
            one.values()


def scenes(folder: Path) -> Path:
    """Packed scenes of PROBA-V."""
    from terrashift.io.packed_scenes import PackedScene, SceneArchive
    from terrashift.io.probav import Scene

    random = np.random.default_rng(0)
    frames = random.integers(0, 16383, (2, 8, 9)).astype(np.float32)
    truth = random.integers(0, 16383, (24, 27)).astype(np.float32)
    one = Scene("imgset0594", "NIR", frames, truth, truth > 900, 45.5, ("000", "001"), 1)
    packed = PackedScene.of(one, 0, [(0.0, 0.0), (0.25, -0.5)], [True, True])
    SceneArchive((packed,)).save(folder / "a.tsi")
    return folder / "a.tsi"


def read_packed(path: Path) -> None:
    """Load them, and use their pixels."""
    from terrashift.io.packed_scenes import SceneArchive

    for packed in SceneArchive.load(path).scenes:
        assert packed.scene.frames.shape[0] == len(packed.shifts_to(packed.facts.home(known=True)))


def read_probav_references(path: Path) -> None:
    """Which frame is whose."""
    from terrashift.io.probav import read_references

    read_references(path)


def weights(folder: Path) -> Path:
    """Weights of a small network."""
    sys.path.insert(0, str(TESTS))
    import untrained

    small = untrained.NETWORKS["microflow"]
    return Path(untrained.write(folder, "small", small.kind, small.options).random)


def read_weights(path: Path) -> None:
    """Load them into their network."""
    from terrashift.estimators import networks

    networks._loaded.cache_clear()
    networks.network.__wrapped__(str(path), "cpu")


def read_start(path: Path) -> None:
    """Begin a training with them."""
    from terrashift.estimators.networks import make, options_of
    from terrashift.train.checkpoint import begin

    begin(make("microflow", options_of("microflow", {"channels": [8, 8, 8, 8], "fine": 8})), path)


def checkpoint(folder: Path) -> Path:
    """A checkpoint."""
    from terrashift.train.checkpoint import save

    save(folder / "checkpoint.pt", {"recipe": "{}", "net": {"a": torch.ones(20, 3)}, "step": 3, "seconds": 2.0})
    return folder / "checkpoint.pt"


def read_checkpoint(path: Path) -> None:
    """Load it."""
    from terrashift.train.checkpoint import load

    load(path, "cpu")


STORE_KEY = {"recipe": "x"}


def store(folder: Path) -> Path:
    """A working store with all tiles finished."""
    from terrashift.io.store import TileStore

    with TileStore.open(folder / "work", (24, 24), 12, STORE_KEY) as made:
        for tile in made.tiles():
            made.write(tile, torch.randn(6, 12, 12, generator=torch.Generator().manual_seed(0)))
    return folder / "work"


def read_store(path: Path) -> None:
    """Go on with it."""
    from terrashift.io.store import TileStore

    with TileStore.open(path, (24, 24), 12, STORE_KEY, resume=True) as kept:
        for tile in kept.tiles():
            if tile.key in kept.done():
                kept.read(tile)


def text(name: str, content: str) -> Callable[[Path], Path]:
    """A file of text."""

    def make(folder: Path) -> Path:
        (folder / name).write_text(content, encoding="utf-8")
        return folder / name

    return make


LINE = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},
    "features": [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "LineString", "coordinates": [[500_100, 3_999_700.0], [500_300, 3_999_900.5]]},
        }
    ],
}
POLYGON = {
    "type": "Feature",
    "properties": {},
    "geometry": {"type": "Polygon", "coordinates": [[[3.0, 36.1], [3.002, 36.1], [3.002, 36.2], [3.0, 36.1]]]},
}


def read_trace(path: Path) -> None:
    """Read lines into the image's CRS."""
    from terrashift.io.vectors import read_lines

    read_lines(path, GRID.crs)


def read_outlines(path: Path) -> None:
    """Read a mask of polygons, wherever it lies."""
    from terrashift.register.masks import read_mask

    read_mask(path, GRID)


def package(folder: Path) -> Path:
    """Lines as GeoPackage."""
    from terrashift.io.vectors import write_lines

    line = np.array(LINE["features"][0]["geometry"]["coordinates"])
    write_lines(folder / "trace.gpkg", [line, line + 30], GRID.crs)
    return folder / "trace.gpkg"


def recipe(folder: Path) -> Path:
    """The recipe of a run."""
    from terrashift.recipe import Recipe

    (folder / "recipe.yaml").write_text(Recipe.parse("estimate: {method: frequency}\nregularise: tv").to_yaml())
    return folder / "recipe.yaml"


def read_recipe(path: Path) -> None:
    """Read it, and write it down again."""
    from terrashift.recipe import Recipe

    Recipe.from_yaml(path).to_yaml()


def training(folder: Path) -> Path:
    """A recipe of a training."""
    content = (TESTS.parent / "recipes" / "train" / "microflow-compact.yaml").read_text(encoding="utf-8")
    (folder / "train.yaml").write_text(content, encoding="utf-8")
    return folder / "train.yaml"


def read_training(path: Path) -> None:
    """Read it."""
    from terrashift.train.recipe import load_recipe

    load_recipe(path)


def read_about(path: Path) -> None:
    """Read what is known of views."""
    from terrashift.simulate.packing import read_about

    read_about(path)


def records(folder: Path) -> Path:
    """What an evaluation that was cut short has kept."""
    lines = [{"settings": {"version": "1"}}]
    lines += [{"suite": "s", "case": str(k), "group": "g", "method": "m", "values": {"epe": 0.1}} for k in range(3)]
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "records.jsonl"


def read_records(path: Path) -> None:
    """Go on with it."""
    from terrashift.evaluate.run import Evaluation

    list(Evaluation((), (), path.parent)._open({"settings": {"version": "1"}}))


def bounds(folder: Path) -> Path:
    """Bounds of an accuracy board."""
    bound = {"suite": "s", "group": "g", "method": "m", "metric": "epe"}
    bound |= {"value": 0.1, "noise": 0.01, "bound": 0.11, "cases": 3}
    (folder / "board.json").write_text(json.dumps({"command": "x", "bounds": [bound, bound]}))
    return folder / "board.json"


def read_bounds(path: Path) -> None:
    """Read them."""
    from terrashift.evaluate.board import read_bounds

    read_bounds(path)


def arrays(folder: Path) -> Path:
    """What a program outside gave on a case."""
    np.savez_compressed(folder / "case.npz", u=np.zeros(SHAPE), v=np.ones(SHAPE))
    return folder / "case.npz"


def read_arrays(path: Path) -> None:
    """Read it onto its case."""
    from terrashift.evaluate.stored import _of_array

    _of_array(path, GRID)


def reference(folder: Path) -> Path:
    """A reference case."""
    parts = {"before": np.ones(SHAPE), "after": np.ones(SHAPE), "flow": np.zeros((2, *SHAPE)), "fault": np.ones(SHAPE)}
    np.savez_compressed(folder / "case.npz", gain=1.0, offset=0.0, **parts)
    return folder / "case.npz"


def read_reference(path: Path) -> None:
    """Read it."""
    from terrashift.evaluate.reference import read_case

    read_case(path)


ABOUT = "- views: 'a/*'\n  sensor: S\n  licence: &l CC0\n- views: ['b/*', 'c*']\n  sensor: T\n  licence: *l\n"
SUBJECTS: dict[str, tuple[Any, ...]] = {
    "tiff": (image, read_image),
    "deflated": (lambda f: image(f, compress="deflate", tiled=True, blockxsize=16, blockysize=16), read_image),
    "envi": (lambda f: image(f, "a.img", driver="ENVI"), read_image, "a.*"),
    "png": (lambda f: image(f, "a.png", driver="PNG"), read_image, "a.*"),
    "jp2": (lambda f: image(f, "a.jp2", driver="JP2OpenJPEG"), read_image),
    "field": (exchanged("terrashift", "a.tif"), read_any),
    "cosicorr": (exchanged("cosicorr", "a.tif"), read_any),
    "micmac": (exchanged("micmac", "a.tif"), read_any, "*.tif"),
    "cf": (exchanged("cf", "a.nc"), read_any),
    "itslive": (exchanged("itslive", "a.nc"), read_any),
    "mintpy": (exchanged("mintpy", "a.h5"), read_any),
    "arrows": (exchanged("geojson", "a.geojson"), read_any),
    "trace": (text("trace.geojson", json.dumps(LINE)), read_trace),
    "mask": (text("mask.geojson", json.dumps(POLYGON)), read_outlines),
    "package": (package, read_trace),
    "archive": (archive, read_archive),
    "scenes": (scenes, read_packed),
    "probav references": (
        text("reference.json", '{"NIR": {"imgset0594": {"reference": "008"}, "imgset0595": {"reference": "004"}}}'),
        read_probav_references,
    ),
    "weights": (weights, read_weights),
    "start": (weights, read_start),
    "checkpoint": (checkpoint, read_checkpoint),
    "store": (store, read_store, "*"),
    "recipe": (recipe, read_recipe),
    "training": (training, read_training),
    "about": (text("about.yaml", ABOUT), read_about),
    "records": (records, read_records),
    "bounds": (bounds, read_bounds),
    "arrays": (arrays, read_arrays),
    "reference": (reference, read_reference),
}
"""By name: how a good file is made, how it is read, and which file inside is damaged."""
NEEDS = {"cf": "h5netcdf", "itslive": "h5netcdf", "mintpy": "h5py", "package": "pyogrio", "store": "zarr"}


def available(name: str) -> bool:
    """Whether its library is installed."""
    return name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None
