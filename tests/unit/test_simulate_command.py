"""What a user meets who simulates pairs: one command that does it, and what is said of unusable input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from terrashift import cli
from terrashift.io.cog import read_field

SHAPE = (150, 190)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_000_000)
SMALL = ["--size", "64", "--class", "small", "--generator", "closed-form"]


def ground(x: float = 0, y: float = 0, seed: int = 0, shape=SHAPE) -> np.ndarray:
    """Band-limited noise around 1000, moved by an exact (x right, y down) px."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    spectrum = np.fft.rfft2(noise) * np.exp(-(fx**2 + fy**2) / 0.05 - 2j * np.pi * (fx * x + fy * y))
    return 1000 + 400 * np.fft.irfft2(spectrum, s=shape)


def write(name: str, bands: np.ndarray, **more):
    bands = bands if bands.ndim == 3 else bands[None]
    profile = {"driver": "GTiff", "dtype": "float32", "crs": "EPSG:32631", "transform": NORTH_UP} | more
    count, height, width = bands.shape
    with rasterio.open(name, "w", count=count, height=height, width=width, **profile) as out:
        out.write(bands.astype(out.dtypes[0]))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, request):
    """Work in an empty folder that holds a good pair; the picture, which takes longest, is drawn but once."""
    monkeypatch.chdir(tmp_path)
    if "measure" not in request.node.name:
        monkeypatch.setattr("terrashift.dataset.contact_sheet", lambda shown, path, title: path.touch())
    write("a.tif", ground())
    write("b.tif", ground(0.4, -0.3))
    return tmp_path


def simulate(*words: str) -> int:
    return cli.main(["simulate", *words])


def refused(capsys, *words: str) -> str:
    """What is said of a command that cannot work; nothing may be left behind."""
    names = sorted(os.listdir())
    usual = [] if {"--trace", "--kind", "--size"} & {*words} else SMALL
    assert simulate(*words, "-o", "pairs", *usual) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("terrashift: ")
    assert "Traceback" not in said
    assert sorted(os.listdir()) == names
    return said


def test_one_command_makes_pairs_that_measure_as_their_truth_says(capsys):
    words = ["a.tif", "b.tif", "-o", "pairs", "--count", "2", "--place", "etna", *SMALL]
    assert simulate(*words) == 0
    assert capsys.readouterr().out == "pairs: 2 simulated. Look at contact.png and card.md in it.\n"
    card = json.loads(Path("pairs/card.json").read_text())
    assert card["command"] == " ".join(["terrashift", "simulate", *words])
    assert list(card["places"]) == ["etna"]
    assert Path("pairs/contact.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pair = "pairs/pair_00000/"
    fast = [
        "--method",
        "frequency",
        "--window",
        "16",
        "--start-window-px",
        "32",
        "--step",
        "2",
        "--search-px",
        "6",
        "--device",
        "cpu",
    ]
    assert cli.main(["measure", pair + "before.tif", pair + "after.tif", "-o", "d.tif", *fast]) == 0
    found, truth = read_field("d.tif"), read_field(pair + "truth.tif")
    for name in ("east", "north"):
        error = getattr(found, name) - getattr(truth, name)[1::2, 1::2]
        assert error.isfinite().float().mean() > 0.3
        assert error.abs().nanmedian() < 1  # a tenth of a pixel


def test_no_image_at_all_gives_made_up_landscapes():
    assert simulate("-o", "pairs", "--count", "2", "--format", "npz", *SMALL) == 0
    pairs = np.load("pairs/pairs.npz")
    assert pairs["before"].shape == (2, 64, 64)
    assert np.isfinite(pairs["before"]).all()
    assert "procedural" in Path("pairs/card.md").read_text()


def test_an_archive_is_packed_and_drawn_from(capsys):
    os.makedirs("images/alps")
    for name, band in (("alps_2018-01-01.tif", ground()), ("alps_2019-01-01.tif", ground(0.4, -0.3))):
        write(f"images/alps/{name}", band)
    assert cli.main(["pack", "images", "-o", "imagery.npz", "--sensor", "S9", "--licence", "free"]) == 0
    assert "1 views of 1 places" in capsys.readouterr().out
    assert cli.main(["pack", "images", "-o", "imagery.npz"]) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert simulate("--archive", "imagery.npz", "-o", "pairs", "--split", "train", *SMALL) == 0
    place = json.loads(Path("pairs/card.json").read_text())["places"]["alps"]
    assert place["licences"] == ["free"]
    assert place["dates"] == ["2018-01-01", "2019-01-01"]


def test_radiometry_is_switched_on_by_its_flags():
    for name, more in (("plain", []), ("noisy", ["--noise", "1.5"])):
        assert simulate("a.tif", "b.tif", "-o", name, "--format", "npz", "--resample", "before", *SMALL, *more) == 0
    plain, noisy = (np.load(f"{name}/pairs.npz") for name in ("plain", "noisy"))
    assert np.array_equal(plain["before"], noisy["before"])
    assert np.array_equal(plain["flow"], noisy["flow"])
    assert (plain["after"] - noisy["after"]).std() > 0


def test_a_trace_in_longitude_and_latitude_breaks_the_ground_along_it(capsys):
    trace = {"type": "LineString", "coordinates": [[3.0015, 36.1325], [3.0185, 36.1435]]}
    Path("trace.geojson").write_text(json.dumps(trace))
    words = ["a.tif", "b.tif", "--trace", "trace.geojson", "--slip", "20", "--depth-km", "1", "-o", "pairs"]
    assert simulate(*words, "--size", "64") == 0
    about = json.loads(Path("pairs/pair_00000/pair.json").read_text())
    assert about["generator"] == "elastic, along a given trace"
    assert 0.4 < about["largest_motion_px"] < 2.5
    far = {"type": "LineString", "coordinates": [[13.0, 42.0], [13.1, 42.1]]}
    Path("trace.geojson").write_text(json.dumps(far))
    assert "does not lie on the image" in refused(capsys, "a.tif", "--trace", "trace.geojson")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a.tif nowhere.tif", "nowhere.tif does not exist"),
        ("a.tif shifted.tif", "by a fraction"),
        ("a.tif other.tif", "a.tif is in EPSG:32631, other.tif in EPSG:32632"),
        ("rgb.tif", "choose one with --band"),
        ("tiny.tif", "pass a smaller --size"),
        ("flat.tif", "is 7 everywhere"),
        ("empty.tif", "holds no data"),
        ("a.tif elsewhere.tif", "match nowhere"),
        ("--trace t.geojson", "--trace lies on one image"),
        ("a.tif --archive i.npz", "two sources of pairs"),
        ("--archive i.npz", "i.npz does not exist: pack imagery first"),
        ("a.tif --trace t.dxf", "ogr2ogr"),
        ("a.tif --count 0", "--count is 0"),
        ("a.tif --kind uni --format geotiff", "pass --format zarr or npz"),
        ("a.tif --size 20", "--size is 20: give 32 or more."),
        ("a.tif --kind uni --window 300", "--window is 300: give 128 or less."),
        ("a.tif --trace t.geojson --depth-km 0", "--depth is 0.0: give more than 0"),
        ("a.tif --slip 3", "--slip belongs to --trace: add --trace FILE, or leave it out."),
        ("a.tif --depth-km 3 --dip-deg 60", "--dip belongs to --trace: add --trace FILE, or leave it out."),
        ("a.tif --trace t.geojson --class small", "--class belongs to ruptures at random places: leave --trace out"),
        ("a.tif --trace t.geojson --generator elastic", "--generator belongs to ruptures at random places"),
        ("a.tif --kind dis --class small", "--class belongs to ruptures: pass --kind rupture, or leave it out."),
        ("a.tif --kind uni --size 64", "--size belongs to ruptures: pass --kind rupture, or leave it out."),
        ("a.tif --window 32", "--window belongs to windows: pass --kind uni, dis or uni5px, or leave it out."),
        ("--archive i.npz --sensor S2", "--sensor belongs to images of your own: give one, or leave it out."),
        ("--place etna", "--place belongs to images of your own: give one, or leave it out."),
        ("--licence free", "--licence belongs to images of your own: give one, or leave it out."),
    ],
)
def test_unusable_input_is_named_with_the_way_out(words, message, capsys):
    images = {
        "shifted.tif": (ground(), {"transform": NORTH_UP @ Affine.translation(0.4, 0)}),
        "other.tif": (ground(), {"crs": "EPSG:32632"}),
        "rgb.tif": (np.stack([ground()] * 3), {}),
        "tiny.tif": (ground(shape=(70, 70)), {}),
        "flat.tif": (np.full(SHAPE, 7.0), {}),
        "empty.tif": (np.full(SHAPE, np.nan), {}),
        "elsewhere.tif": (ground(seed=9), {}),
    }
    for name in images.keys() & words.split():
        write(name, images[name][0], **images[name][1])
    Path("t.dxf").write_bytes(b"\x00\x00\x27\x0a\xff")
    assert message in refused(capsys, *words.split())


def test_a_folder_that_exists_is_refused_and_replaced_when_asked(capsys):
    assert simulate("a.tif", "-o", "pairs", *SMALL) == 0
    assert simulate("a.tif", "-o", "pairs", *SMALL) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert simulate("a.tif", "-o", "pairs", "--overwrite", "--seed", "2", *SMALL) == 0
    assert json.loads(Path("pairs/card.json").read_text())["seed"] == 2
