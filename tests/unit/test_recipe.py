"""Recipes: written with comments, read back the same, mistakes named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from terrashift.errors import OptionError
from terrashift.estimators.consistency import BackwardOptions, WithBackward
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.microflow import MicroFlow
from terrashift.estimators.search import SearchOptions
from terrashift.estimators.spatial import Spatial
from terrashift.io.raster import ReadOptions
from terrashift.presets import PRESETS, preset
from terrashift.recipe import METHODS, REGULARISERS, Recipe, nearest, usual_regulariser
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv
from terrashift.resources import RunOptions

ROOT = Path(__file__).parents[2]

readings = st.builds(
    ReadOptions,
    band=st.none() | st.sampled_from(["nir", "842nm", "3", "null", "B08: near infrared", "#1", "'", "~", "é"]),
    nodata=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
estimates = st.builds(
    Frequency,
    window_px=st.integers(4, 64).map(lambda n: 2 * n),
    step_px=st.integers(1, 9),
    min_score=st.floats(0, 1),
) | st.builds(Spatial, window_px=st.integers(2, 30).map(lambda n: 2 * n + 1), reg=st.floats(0, 1e6))
regularisers = (
    st.builds(Off)
    | st.builds(Quadratic, reach=st.floats(0, 8), fill_px=st.integers(0, 64))
    | st.builds(Tv, strength_px=st.floats(0, 5), sigma_px=st.none() | st.floats(1e-6, 9))
    | st.builds(LogTv, edge_px=st.floats(1e-6, 9), by_sigma=st.booleans())
)
recipes = st.builds(
    Recipe,
    read=readings,
    search=st.builds(SearchOptions, search_px=st.just("auto") | st.floats(1, 100)),
    estimate=estimates,
    backward=st.builds(BackwardOptions, backward_px=st.none() | st.floats(1e-9, 9)),
    regularise=regularisers,
    run=st.builds(RunOptions, threads=st.none() | st.integers(1, 9), max_memory=st.sampled_from(["3GiB", "800 MB"])),
)


@given(recipes)
def test_what_is_written_is_read_back_the_same(recipe):
    assert Recipe.parse(recipe.to_yaml()) == recipe


@given(recipes, recipes)
def test_the_hash_is_that_of_what_changes_the_result(one, other):
    same = one.model_copy(update={"run": RunOptions()}) == other.model_copy(update={"run": RunOptions()})
    assert (one.hash == other.hash) == same
    assert one.hash == one.model_copy(update={"run": RunOptions(threads=7, tile_px=99, device="cpu")}).hash


def test_any_setting_of_the_method_changes_the_hash():
    assert Recipe(estimate=Frequency(window_px=30)).hash != Recipe().hash
    assert Recipe(backward=BackwardOptions(backward_px=0.5)).hash != Recipe().hash
    assert Recipe(read=ReadOptions(band="2")).hash != Recipe().hash
    assert Recipe(regularise=Tv()).hash not in (Recipe().hash, Recipe(regularise=Tv(strength_px=0.1)).hash)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_key_follows_its_description_and_its_kind(name, method):
    chosen = preset(name)
    lines = chosen.to_yaml(method).splitlines()
    for part, section in yaml.safe_load("\n".join(lines)).items():
        top = lines.index(f"{part}:")
        for key, value in section.items():
            at = next(i for i, line in enumerate(lines) if i > top and line.startswith(f"  {key}: "))
            assert all(line.startswith(("  ", "#")) for line in lines[top + 1 : at]), "the key is in its section"
            assert lines[at - 1].lstrip().startswith("#")
            assert value == getattr(getattr(chosen.recipe(method), part), key)
    text = " ".join(line.strip(" #") for line in lines)
    for model in (METHODS[method], RunOptions, BackwardOptions, type(chosen.recipe(method).regularise)):
        for info in model.model_fields.values():
            assert info.description in text
    assert "whole number >= 1" in text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_explain_window_step_search_and_filter(name, method):
    notes, recipe = preset(name).notes(method), preset(name).recipe(method)
    explained = {"window_px", "step_px", "min_score"} & set(type(recipe.estimate).model_fields)
    assert {f"estimate.{key}" for key in explained} | {"search.search_px"} <= set(notes)
    assert "backward.backward_px" in notes
    for key, note in notes.items():
        part, field = key.split(".")
        assert field in type(getattr(recipe, part)).model_fields
        assert " ".join(note.split()) in " ".join(
            line.strip(" #") for line in preset(name).to_yaml(method).splitlines()
        )


@pytest.mark.parametrize("name", PRESETS)
def test_the_recipe_files_are_up_to_date(name):
    """`make recipes` writes them anew."""
    assert (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8") == preset(name).to_yaml()


@pytest.mark.parametrize("name", PRESETS)
def test_the_recipe_files_are_recipes(name):
    assert Recipe.from_yaml(ROOT / "recipes" / f"{name}.yaml") == preset(name).recipe()


def test_the_default_preset_is_the_default_recipe():
    assert preset("earthquake").recipe() == Recipe()


def test_networks_are_regularised_unasked_where_motion_has_steps_and_correlators_never():
    for name in PRESETS:
        for method in METHODS:
            smoothed = name in ("earthquake", "landslide") and method not in ("frequency", "spatial")
            assert preset(name).recipe(method).regularise.method == ("log_tv" if smoothed else "none")


def test_a_recipe_that_does_not_say_takes_the_usual_regulariser_of_its_method():
    assert Recipe() == preset("earthquake").recipe()
    assert Recipe().regularise == usual_regulariser("microflow")
    assert Recipe.parse("estimate: {method: frequency}").regularise == Off()
    assert Recipe.parse("estimate: {method: searaft}").regularise.method == "log_tv"
    assert Recipe.parse("{estimate: {method: searaft}, regularise: off}").regularise == Off()


@pytest.mark.parametrize("name", REGULARISERS)
def test_a_preset_takes_the_regulariser_that_was_asked_for(name):
    for method in METHODS:
        recipe = preset("earthquake").recipe(method, name)
        own = preset("earthquake").recipe(method).regularise
        assert recipe.regularise == (own if own.method == name else REGULARISERS[name]())
        assert recipe.regularises == (name != "none")
        assert Recipe.parse(preset("earthquake").to_yaml(method, recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("regularise: {method: none}", Off()),
        ("regularise: {method: off}", Off()),
        ("regularise: {method: 'off'}", Off()),
        ("regularise: off", Off()),
        ("regularise: tv", Tv()),
        ("regularise: log-TV", LogTv()),
        ("regularise: {method: log-tv, edge_px: 0.05}", LogTv(edge_px=0.05)),
        ("regularise: {method: Quadratic, reach: 3}", Quadratic(reach=3)),
    ],
)
def test_regularisers_are_known_by_their_published_names(text, expected):
    assert Recipe.parse(text) == Recipe(regularise=expected)


def test_keys_left_out_take_their_defaults():
    assert Recipe.parse("") == Recipe()
    assert Recipe.parse("estimate:\n  method: spatial\n") == Recipe(estimate=Spatial())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("estimat: {}", r"unknown key `estimat`. Did you mean `estimate`\?"),
        (
            "estimate: {method: spatial, windw_px: 3}",
            r"unknown key `estimate.windw_px` for method spatial.*`window_px`",
        ),
        ("estimate: {method: frequency, reg: 1}", "unknown key `estimate.reg` for method frequency"),
        ("read: {bnd: 3}", r"`read.bnd`. Did you mean `band`\?"),
        ("estimate: {window_px: 32}", "`estimate.method` is missing: it is one of frequency, spatial"),
        ("estimate: {method: cosi}", "`estimate.method` is cosi: it is one of frequency, spatial"),
        ("regularise: {method: tv, edge_px: 1}", "unknown key `regularise.edge_px` for method tv"),
        (
            "regularise: {method: tv, strenth_px: 1}",
            "`regularise.strenth_px` for method tv. Did you mean `strength_px`",
        ),
        ("regularise: {method: median}", "`regularise.method` is median: it is one of none, quadratic, tv, log_tv"),
        ("regularise: median", "`regularise.method` is median: it is one of none"),
        ("regularise: {strength_px: 1}", "`regularise.method` is missing: it is one of none, quadratic"),
        ("regularise: {method: tv, strength_px: 9}", "`regularise.strength_px` is 9: .*less than or equal to 5"),
        ("run: {threads: 0}", "`run.threads` is 0: .*greater than or equal to 1"),
        ("run: {max_memory: lots}", "`run.max_memory` is 'lots'.*3GiB"),
        ("search: {search_px: lots}", "`search.search_px` is 'lots': .*, or .*'auto'"),
        ("- 1", "holds a list where the sections read, search"),
        ("a: b: c", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_file(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=message) as raised:
        Recipe.from_yaml(path)
    assert str(path) in str(raised.value)


def test_a_recipe_that_is_not_there_says_where_to_get_one(tmp_path):
    with pytest.raises(OptionError, match=r"nowhere\.yaml cannot be read.*terrashift recipe"):
        Recipe.from_yaml(tmp_path / "nowhere.yaml")


def test_an_unknown_preset_or_method_names_the_nearest():
    with pytest.raises(OptionError, match="Did you mean `glacier`"):
        preset("glaciers")
    with pytest.raises(OptionError, match="Did you mean `frequency`"):
        preset("dune").recipe("frequence")
    with pytest.raises(OptionError, match=r"no regulariser 'log_tw'.*Did you mean `log_tv`"):
        preset("dune").recipe("frequency", "log_tw")
    assert nearest("qqq", ["a", "b"]) == "Known here: a, b."


def test_recipes_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().run = RunOptions()  # type: ignore[misc]


def test_the_estimator_is_checked_backwards_where_asked():
    assert Recipe().estimator == MicroFlow()
    assert Recipe(backward=BackwardOptions(backward_px=0.5)).estimator == WithBackward(MicroFlow(), 0.5)
