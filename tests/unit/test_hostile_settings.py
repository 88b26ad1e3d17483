"""Recipes of every kind: unknown keys, wrong types, bombs, objects and files that are no text."""

from __future__ import annotations

import json
import lzma
import zipfile

import pytest

from terrashift import cli
from terrashift.errors import TerrashiftError
from terrashift.evaluate.methods import method_of
from terrashift.evaluate.run import field_path
from terrashift.recipe import Recipe
from terrashift.simulate.archive import XZ, Archive
from terrashift.simulate.packing import read_about
from terrashift.train.recipe import load_recipe, recipe_of

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True))
READERS = {"measure": Recipe.from_yaml, "train": load_recipe, "imagery": read_about}
BAD = {
    "a bomb": BOMB.encode(),
    "an object": b"!!python/object/apply:os.system ['echo']",
    "an object inside": b"steps: !!python/name:os.system",
    "zero bytes": b"steps: 1\0",
    "no UTF-8": b"steps: \xff\xfe",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "brackets": b"[" * 3000,
    "a number": b"7",
    "unknown keys": b"__class__: 1\nsteps_: 3",
    "keys that are no names": b"1: 2\ntrue: 3\n2020-01-01: 4",
    "wrong types": b"steps: [1]\nmodel: 3\nrun: x\nestimate: [1]\nregularise: {method: [1]}",
    "deep types": b"estimate: {method: {method: frequency}}\nstream: {fields: {fields: 1}}",
    "infinite numbers": b"steps: .inf\nestimate: {method: frequency, mask_db: .nan, window_px: .inf}",
    "a huge number": b"learning_rate: " + b"9" * 4000,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", READERS)
def test_settings_that_are_none_are_refused_with_a_sentence(kind, bad, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(bad)
    with pytest.raises(TerrashiftError) as refused:
        READERS[kind](path)
    assert len(str(refused.value)) < 6000
    str(refused.value).encode()


@pytest.mark.parametrize("kind", READERS)
def test_settings_larger_than_any_real_ones_are_not_read(kind, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"# " + b"x" * 1_000_001)
    with pytest.raises(TerrashiftError, match="larger than 1 MB"):
        READERS[kind](path)
    with pytest.raises(TerrashiftError):
        READERS[kind](tmp_path)  # a folder


@pytest.mark.parametrize("word", ["spatial:window_px=[", "spatial:window_px=!!python/name:os.system", "spatial:reg=*a"])
def test_settings_of_a_contender_are_plain_values(word):
    with pytest.raises(TerrashiftError, match="is no value"):
        method_of(word)


def test_the_command_line_says_so_in_one_message(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(BOMB)
    assert cli.main(["recipe", "--recipe", str(tmp_path / "a.yaml")]) == 2
    said = capsys.readouterr().err
    assert "repeats a list or mapping: write it out" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["../weights/microflow", "/tmp/x", "a/b", "..", "", "a\\b", "a\nb", "x" + chr(0)])
def test_weights_are_not_called_by_a_path(name, tmp_path):
    with pytest.raises(TerrashiftError, match="files are called so"):
        recipe_of({"name": name})
    assert recipe_of({"name": "cnn3l-5px_v1.2"}).name == "cnn3l-5px_v1.2"


def test_a_case_of_any_name_is_kept_inside_the_folder_of_its_evaluation(tmp_path):
    for name in ("..", "../../x", "/etc/passwd", ".", "", "a\\b", "a\0b"):
        path = field_path(tmp_path, name, name, f"m{name}")
        assert path.parent.parent.parent.parent == tmp_path
        assert ".." not in path.parts
        assert path.suffix == ".npz"


VIEW = {
    "name": "p/a red", "place": "p", "band": "red", "split": "train", "sensor": "s", "licence": "l", "pixel_m": 10.0,
    "dates": ["2020"], "shifts": [[0, 0]], "height": 4, "width": 5, "source": "x",
}  # fmt: skip
LEVELS = [[0.0, 1.0, 0.01]]


def archive(path, view, levels=LEVELS, pixels=bytes(20), index=None):
    """An archive as the format says, whatever it holds."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("0000_0.xz", lzma.compress(pixels, lzma.FORMAT_RAW, filters=XZ))
        made = {"format": "terrashift imagery 1", "views": [{"view": view, "levels": levels}]}
        file.writestr("index.json", index or json.dumps(made))
    return path


def test_an_honest_archive_is_read(tmp_path):
    found = Archive.load(archive(tmp_path / "a.tsi", VIEW))
    assert found.pixels[0][0].level.shape == (4, 5)
    assert found.views[0].shifts == ((0.0, 0.0),)


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({"height": 10**6, "width": 10**6}, {}, "claims 1000000000000 pixels"),
        ({"height": 30_000, "width": 30_000}, {}, "cannot reshape"),
        ({"height": -4}, {}, "claims -4 x 5 px"),
        ({"height": "4"}, {}, "takes int"),
        ({"name": ["a"]}, {}, "takes str"),
        ({"shifts": [[0, float("inf")]]}, {}, "claims shifts of"),
        ({"shifts": [[0]]}, {}, "takes 2"),
        ({"pixel_m": float("nan")}, {}, "of nan m"),
        ({"strange": 1}, {}, "unknown view"),
        ({"name": "\ud800"}, {}, "surrogates"),
        ({}, {"pixels": bytes(10**7)}, "at most make sense|cannot reshape"),  # a bomb: all of it is never unpacked
        ({}, {"pixels": bytes(19)}, "cannot reshape"),
        ({}, {"levels": [[0.0, float("nan"), 1.0]]}, "levels that are no numbers"),
        ({}, {"levels": [[0.0, 1.0, 1e6]]}, "math range|no numbers"),
        ({}, {"levels": [["x", 1, 1]]}, "could not convert"),
        ({}, {"levels": LEVELS * 2}, "no item named"),
        ({}, {"index": "[]"}, "it holds a list"),
        ({}, {"index": "[" * 9000}, "nested too deeply"),
        ({}, {"index": b"\xff"}, "codec can't decode"),
    ],
)
def test_an_archive_that_lies_is_refused(changes, more, said, tmp_path):
    with pytest.raises(TerrashiftError, match=said):
        Archive.load(archive(tmp_path / "a.tsi", {**VIEW, **changes}, **more))


def test_names_in_an_archive_reach_no_other_file(tmp_path):
    """Members are called by their numbers; a view's name is text and nothing more."""
    (tmp_path / "secret").write_bytes(bytes(20))
    found = Archive.load(archive(tmp_path / "a.tsi", VIEW | {"name": "../secret", "place": "/etc/passwd"}))
    assert found.views[0].name == "../secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsi", "secret"]
