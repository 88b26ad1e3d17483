"""Training recipes: read strictly."""

from pathlib import Path

import pytest

from terrashift.errors import InputError, OptionError
from terrashift.train.recipe import TrainRecipe, load_recipe

RECIPES = Path(__file__).parents[3] / "recipes" / "train"


def written(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(p for p in RECIPES.glob("*.yaml") if p.stem != "imagery"), ids=lambda p: p.stem)
def test_the_recipes_of_the_house_can_be_read(path):
    assert load_recipe(path).name == path.stem


def test_what_is_not_named_keeps_its_default(tmp_path):
    recipe = load_recipe(
        written(tmp_path, "steps: 7\nstream: {fields: {largest_px: 3}}\nmodel: {channels: [8, 8, 8, 8]}")
    )
    assert recipe.steps == 7
    assert recipe.stream.fields.largest_px == 3.0
    assert recipe.stream.fields.least_px == TrainRecipe().stream.fields.least_px
    assert recipe.model.channels == (8, 8, 8, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step: 7", "unknown setting"),
        ("stream: {sise_px: 3}", "stream"),
        ("steps: many", "steps is 'many'"),
        ("steps: 1.5", "steps is 1.5"),
        ("bfloat16: 1", "bfloat16 is 1"),
        ("steps: true", "steps is True"),
        ("stream: {kind: quake}", "rupture"),
        ("stream: 5", "takes settings by name"),
        ("model: {channels: [8, 8]}", "takes 4"),
        ("network: unet", "one of microflow, cnn4l"),
        ("{network: cnn4l, model: {passes: 3}}", "unknown model"),
        ("{network: cnn4l, model: [3]}", "takes settings by name"),
        ("{network: cnn4l, model: {layers: 5}}", "1 to 4 layers"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, said):
    with pytest.raises(OptionError, match=said):
        load_recipe(written(tmp_path, text))


@pytest.mark.parametrize("text", ["", "a: [", "- 1"])
def test_what_is_no_recipe_is_refused(tmp_path, text):
    with pytest.raises(InputError):
        load_recipe(written(tmp_path, text))


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")
