"""Imagery in one file: levels are lossless, values within half a level, and damage is told."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from terrashift.errors import InputError
from terrashift.simulate.archive import FORMAT, LOCAL_PX, Archive, View, card, to_levels

VIEW = View(
    "pisa red", "pisa", "red", "train", "a camera", "CC0", 10.0, ("2016-01-01", "2018-02-03"),
    ((0.0, 0.0), (0.25, -1.125)), 37, 53, "the attic",
)  # fmt: skip


def image(seed: int = 0, shape: tuple[int, int] = (37, 53)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return (900 + 150 * ndimage.gaussian_filter(noise, 1.5) / 0.19).astype(np.float32)


def made() -> Archive:
    other = replace(VIEW, name="nantes nir", place="nantes", split="validation", dates=("2017",), shifts=((0.0, 0.0),))
    return Archive.of([(VIEW, [image(1), image(2)]), (replace(other, height=20, width=61), [image(3, (20, 61))])])


def test_what_is_saved_is_loaded_to_the_last_level(tmp_path):
    archive = made()
    archive.save(tmp_path / "a.tsi")
    loaded = Archive.load(tmp_path / "a.tsi")
    assert loaded.views == archive.views
    for one, two in zip(archive.pixels, loaded.pixels, strict=True):
        for a, b in zip(one, two, strict=True):
            assert np.array_equal(a.level, b.level)
            assert a[1:] == b[1:]
            assert np.array_equal(a.values(), b.values())


def test_any_levels_at_all_survive(tmp_path):
    archive = made()
    wild = np.random.default_rng(5).integers(0, 256, (37, 53), dtype=np.uint8)
    pixels = ((archive.pixels[0][0]._replace(level=wild), archive.pixels[0][1]), archive.pixels[1])
    Archive(archive.views, pixels).save(tmp_path / "a.tsi")
    assert np.array_equal(Archive.load(tmp_path / "a.tsi").pixels[0][0].level, wild)


def test_the_same_archive_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        made().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as file:
        assert {member.date_time[0] for member in file.infolist()} == {1980}  # not today


@pytest.mark.parametrize("kind", ["usual", "bright spots", "dark spots", "offset", "bytes"])
def test_values_are_within_half_a_level(kind):
    pixels = image()
    if kind == "bright spots":
        pixels[5, 7] = 600_000
    elif kind == "dark spots":
        pixels[9:12, 30] = -400_000
    elif kind == "offset":
        pixels += 1e5
    elif kind == "bytes":
        pixels = np.round(pixels / 8).clip(0, 255)
    levels = to_levels(pixels)
    bent, found = (np.arcsinh((p.astype(float) - levels.middle) / levels.scale) for p in (pixels, levels.values()))
    assert np.abs(bent - found).max() < 0.501 * levels.step + 1e-5
    assert levels.level.dtype == np.uint8


def test_rounding_costs_a_twentieth_of_the_usual_deviation():
    pixels = image(shape=(200, 180))
    mean = ndimage.uniform_filter(pixels.astype(float), LOCAL_PX)
    usual = np.median(np.sqrt(ndimage.uniform_filter(pixels.astype(float) ** 2, LOCAL_PX) - mean**2))
    error = to_levels(pixels).values() - pixels
    assert 0.03 < error.std() / usual < 0.06
    assert abs(error.mean()) / usual < 0.005


def test_an_image_of_one_value_is_kept():
    for value in (0.0, 7.0, -1e6):
        assert np.allclose(to_levels(np.full((9, 11), value, np.float32)).values(), value, rtol=1e-6)


def test_one_split_holds_its_views_only():
    archive = made()
    assert [view.name for view in archive.only("validation").views] == ["nantes nir"]
    assert archive.only("validation").pixels == (archive.pixels[1],)
    assert archive.only("test").views == ()


def test_older_archives_have_no_source(tmp_path):
    rewritten(tmp_path / "a.tsi", lambda index: [entry["view"].pop("source") for entry in index["views"]])
    assert {view.source for view in Archive.load(tmp_path / "a.tsi").views} == {"unknown"}


def rewritten(path, change):
    """An archive whose index is changed."""
    made().save(path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    index = json.loads(members["index.json"])
    change(index)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {**members, "index.json": json.dumps(index)}.items():
            file.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("views"),
        lambda index: index.pop("format"),
        lambda index: index["views"][0]["view"].pop("height"),
        lambda index: index["views"][0]["view"].update(height=36),
        lambda index: index["views"][0]["view"].update(colour="blue"),
        lambda index: index["views"][0]["view"].update(shifts=[[0.0]]),
        lambda index: index["views"][0].update(levels=[[1.0, 2.0]]),
        lambda index: index["views"][0]["view"].update(shifts=[[0.0, 0.0]]),
        lambda index: index["views"][0]["view"].update(dates=["2016"]),
    ],
)
def test_an_index_that_does_not_fit_is_told(tmp_path, change):
    rewritten(tmp_path / "a.tsi", change)
    with pytest.raises(InputError):
        Archive.load(tmp_path / "a.tsi")


def test_another_format_is_told(tmp_path):
    rewritten(tmp_path / "a.tsi", lambda index: index.update(format="terrashift imagery 9"))
    with pytest.raises(InputError, match=f"'terrashift imagery 9', not '{FORMAT}': pack it anew"):
        Archive.load(tmp_path / "a.tsi")


def test_a_damaged_or_foreign_or_missing_file_is_told(tmp_path):
    made().save(tmp_path / "a.tsi")
    whole = (tmp_path / "a.tsi").read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 0xFF
    for content in (whole[:-300], whole[: len(whole) // 2], bytes(flipped), b"", b"text"):
        (tmp_path / "b.tsi").write_bytes(content)
        with pytest.raises(InputError, match="pack or copy it anew"):
            Archive.load(tmp_path / "b.tsi")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(InputError, match="pack or copy it anew"):
        Archive.load(tmp_path / "c.zip")
    with pytest.raises(InputError, match="does not exist: pack imagery first"):
        Archive.load(tmp_path / "none.tsi")
    with pytest.raises(InputError, match="give the name of a file"):
        Archive.load(tmp_path)


def test_a_member_cut_short_is_told(tmp_path):
    archive = made()
    archive.save(tmp_path / "a.tsi")
    with zipfile.ZipFile(tmp_path / "a.tsi") as file:
        members = {name: file.read(name) for name in file.namelist()}
    for content in (members["0000_1.xz"][:50], members["0001_0.xz"]):
        with zipfile.ZipFile(tmp_path / "b.tsi", "w") as file:
            for name, kept in {**members, "0000_1.xz": content}.items():
                file.writestr(name, kept)
        with pytest.raises(InputError):
            Archive.load(tmp_path / "b.tsi")


@pytest.mark.parametrize(
    ("change", "images"),
    [
        ({"height": 38}, (1, 2)),
        ({"dates": ("2016",)}, (1, 2)),
        ({"shifts": ((0.0, 0.0),)}, (1, 2)),
        ({"dates": (), "shifts": ()}, ()),
    ],
)
def test_views_that_do_not_fit_their_images_are_refused(change, images):
    with pytest.raises(InputError, match="pisa red"):
        Archive.of([(replace(VIEW, **change), [image(k) for k in images])])


def test_gaps_are_refused():
    for wrong in (np.nan, np.inf):
        pixels = image()
        pixels[3, 4] = wrong
        with pytest.raises(InputError, match="cut or fill the gaps"):
            to_levels(pixels)


def test_the_card_tells_places_dates_licences_and_pixels():
    nir = replace(VIEW, name="pisa nir", band="nir")
    archive = made()
    told = card(Archive((*archive.views, nir), (*archive.pixels, archive.pixels[0])))
    assert told["pixels"] == 4 * 37 * 53 + 20 * 61
    assert (told["images"], told["pairs_of_dates"]) == (5, 2)
    assert (told["sensors"], told["licences"]) == (["a camera"], ["CC0"])
    pisa, nantes = told["places"]
    assert (pisa["place"], pisa["split"], pisa["source"], pisa["pixels"]) == ("pisa", "train", "the attic", 4 * 37 * 53)
    assert pisa["dates"] == ["2016-01-01", "2018-02-03"]
    assert [view["band"] for view in pisa["views"]] == ["red", "nir"]
    assert pisa["views"][0]["shifts_px"] == {"2016-01-01": [0.0, 0.0], "2018-02-03": [0.25, -1.125]}
    assert nantes["views"][0]["size_px"] == [20, 61]
    assert json.loads(json.dumps(told)) == told
