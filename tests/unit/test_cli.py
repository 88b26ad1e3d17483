"""The command line: verbs, flags, messages, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import yaml

from terrashift import cli, flags
from terrashift.errors import IncompleteError, InputError, OutputError
from terrashift.presets import preset
from terrashift.recipe import OF_NETWORKS, Recipe
from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.tv import Tv
from terrashift.verbs import measure as measuring

SLOW = ("torch", "numpy", "rasterio", "pydantic", "tyro", "zarr", "matplotlib", "rich", "yaml")


def run(*words: str) -> int:
    return cli.main(words)


def start_and_parse(*words: str) -> Recipe:
    start = flags.take_start(words)
    return flags.parse(start, "recipe", "", flags.start_arguments())[1]


@pytest.mark.parametrize("words", ["['--help']", "['--version']", "['nonsense']", "[]"])
def test_help_and_mistakes_import_nothing_slow(words):
    program = f"import sys\nfrom terrashift.cli import main\nmain({words})\n"
    program += f"print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_python_m_terrashift_lists_every_verb():
    done = subprocess.run([sys.executable, "-m", "terrashift", "--help"], capture_output=True, text=True, check=True)
    for verb in cli.VERBS:
        assert f"\n  {verb} " in done.stdout


def test_every_verb_is_a_function():
    homes = {verb: import_module(f"terrashift.verbs.{cli.ROOMS.get(verb, verb)}") for verb in cli.VERBS}
    assert [verb for verb, home in homes.items() if not callable(getattr(home, verb, None))] == []


def test_no_verb_at_all_is_a_mistake_that_shows_the_help(capsys):
    assert run() == 2
    assert "usage: terrashift" in capsys.readouterr().out


def test_an_unknown_verb_names_the_nearest(capsys):
    assert run("mesure", "a", "b") == 2
    assert "Did you mean `terrashift measure`?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself(verb, capsys):
    assert run(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"usage: terrashift {verb}" in text


def test_the_help_of_measure_shows_every_setting_with_the_defaults_of_what_was_chosen(capsys):
    run("measure", "--help", "--preset", "glacier", "--method", "spatial")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    recipe = preset("glacier").recipe("spatial")
    for part in Recipe.model_fields:
        for name in type(getattr(recipe, part)).model_fields:
            # a switch is followed by its opposite
            assert any(f"{flags.flag_of(part, name)}{end}" in text for end in (" ", ", --no-"))
    assert f"Side of the correlation window, pixels; odd. (default: {recipe.estimate.window_px})" in text
    assert "--robustness" not in text
    assert "{off,quadratic,tv,log_tv}" in text
    assert "--edge-px" not in text


def test_the_help_shows_the_settings_of_the_regulariser_that_was_chosen(capsys):
    run("measure", "--help", "--regularize", "log-tv")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--edge-px " in text
    assert "(default: log_tv)" in text


def test_every_flag_reaches_its_setting():
    method = "--method spatial --window-px 11 --reg 0.25 --step-px 2 --search-px 5 --min-score 0.1 --backward-px 0.7"
    rest = "--max-memory 2GiB --threads 2 --tile-px 300 --allow-partial --device cpu --band nir --nodata 0"
    recipe = start_and_parse(*method.split(), *rest.split())
    assert recipe.estimate.model_dump(include={"method", "window_px", "reg", "step_px", "min_score"}) == {
        "method": "spatial",
        "window_px": 11,
        "reg": 0.25,
        "step_px": 2,
        "min_score": 0.1,
    }
    assert (recipe.search.search_px, recipe.backward.backward_px) == (5.0, 0.7)
    assert (recipe.read.band, recipe.read.nodata) == ("nir", 0.0)
    run_options = {"max_memory": "2GiB", "threads": 2, "tile_px": 300, "allow_partial": True, "device": "cpu"}
    assert recipe.run.model_dump() == run_options


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", "log_tv"),
        ("--method frequency", "none"),
        ("--method spatial", "none"),
        ("--method microflow", "log_tv"),
        ("--method microflow --preset glacier", "none"),
        ("--method microflow --regularize off", "none"),
        ("--method microflow --regularize none", "none"),
        ("--regularize tv --method microflow", "tv"),
        ("--regularise=quadratic", "quadratic"),
        ("--regularize log-TV --preset dune", "log_tv"),
    ],
)
def test_the_method_brings_its_regulariser_and_the_flag_wins(words, name):
    assert start_and_parse(*words.split()).regularise.method == name


def test_flags_reach_the_settings_of_the_regulariser():
    words = "--regularize log_tv --strength-px 0.3 --edge-px 0.07 --fill-px 4 --no-by-sigma --rounds 2 --sigma-px 0.1"
    found = start_and_parse(*words.split()).regularise
    changed = {"strength_px": 0.3, "edge_px": 0.07, "fill_px": 4, "by_sigma": False, "rounds": 2, "sigma_px": 0.1}
    assert found == OF_NETWORKS.model_copy(update=changed)
    assert start_and_parse("--method", "frequency", *words.split()).regularise == LogTv(**changed)


def test_a_regulariser_in_a_recipe_file_stays_unless_the_flag_says_otherwise(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("regularise: {method: tv, strength_px: 0.4}")
    words = "--recipe", str(path)
    assert start_and_parse(*words, "--method", "microflow").regularise == Tv(strength_px=0.4)
    assert start_and_parse(*words, "--regularize", "tv").regularise == Tv(strength_px=0.4)
    assert start_and_parse(*words, "--regularize", "log_tv").regularise == LogTv()
    assert not start_and_parse(*words, "--regularize", "off").regularises
    path.write_text("estimate: {method: spatial}")
    assert start_and_parse(*words).regularise.method == "none"
    assert start_and_parse(*words, "--method", "microflow").regularise == OF_NETWORKS


def test_no_flags_give_the_default_recipe():
    assert start_and_parse() == Recipe()


def test_short_forms_and_auto_work():
    recipe = start_and_parse("--method", "frequency", "--window", "64", "--step=4", "--search-px", "auto")
    assert (recipe.estimate.window_px, recipe.estimate.step_px, recipe.search.search_px) == (64, 4, "auto")


def test_flags_lie_over_a_preset_and_over_a_file(tmp_path):
    glacier = start_and_parse("--preset", "glacier", "--step", "2")
    assert glacier.estimate.step_px == 2
    assert glacier.search == preset("glacier").search
    path = tmp_path / "mine.yaml"
    path.write_text(glacier.to_yaml())
    again = start_and_parse("--recipe", str(path), "--window=48")
    assert again.estimate == glacier.estimate.model_copy(update={"window_px": 48})
    other = start_and_parse(f"--recipe={path}", "--method", "spatial")
    assert other.estimate.method == "spatial"
    assert other.search == glacier.search


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--reg 0.3", "--reg is an option of --method spatial; this run uses --method microflow"),
        ("--window 32", "--window is an option of --method frequency or spatial; this run uses --method microflow"),
        ("--method spatial --robustness=3", "--robustness is an option of --method frequency"),
        (
            "--method frequency --edge-px 1",
            "--edge-px is an option of --regularize log_tv; this run uses --regularize off",
        ),
        ("--regularize tv --reach=3", "--reach is an option of --regularize quadratic; this run uses --regularize tv"),
        ("--regularize median", "there is no regulariser 'median'"),
        ("--regularize tv --strength-px 9", "--strength-px is 9.0: Input should be less than or equal to 5"),
        ("--method frequency --window 6", "--window-px is 6: Input should be greater than or equal to 8"),
        ("--method frequency --window 33", "--window-px is 33: Input should be a multiple of 2"),
        ("--max-memory lots", "--max-memory is 'lots': 'lots' is not a size"),
        ("--threads 0", "--threads is 0: Input should be greater than or equal to 1"),
        ("--preset glaciers", "Did you mean `glacier`?"),
        ("--method cosi", "there is no method 'cosi'"),
        ("--recipe nowhere.yaml", "recipe nowhere.yaml cannot be read"),
        ("--recipe a.yaml --preset dune", "--recipe and --preset are two starting points"),
        ("--method frequency --wndow 64", "--window"),
        ("--method frequency --window many", "many"),
    ],
)
def test_a_mistake_in_a_flag_is_named_and_ends_with_2(words, message, capsys):
    assert run("recipe", *words.split()) == 2
    said = capsys.readouterr()
    assert message in said.err + said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("words", ["", "--template", "--preset dune", "--preset glacier --method spatial"])
def test_recipe_prints_yaml_that_is_a_recipe(words, capsys):
    assert run("recipe", *words.split()) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Preset")
    recipe = Recipe.parse(text)
    name = words.split()[1] if "--preset" in words else "earthquake"
    assert recipe == preset(name).recipe("spatial" if "spatial" in words else None)
    assert "\nregularise:\n" in text


def test_a_reason_is_not_printed_for_a_value_that_a_flag_changed(capsys):
    run("recipe", "--preset", "dune", "--window", "64")
    text = " ".join(line.strip(" #") for line in capsys.readouterr().out.splitlines())
    assert yaml.safe_load(preset("dune").to_yaml())["estimate"]["window_px"] != 64
    assert preset("dune").reasons["frequency.window_px"] not in text
    assert preset("dune").reasons["frequency.step_px"] in text


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("no such band"), 2), (IncompleteError("2 tiles failed"), 1), (OutputError("disk full"), 1)],
)
def test_an_error_is_a_message_and_an_exit_code(error, code, monkeypatch, capsys):
    def verb(words):
        raise error

    monkeypatch.setattr(measuring, "demo", verb)
    assert run("demo") == code
    assert capsys.readouterr().err == f"terrashift: {error}\n"
    with pytest.raises(type(error)):
        run("demo", "--debug")


def test_ctrl_c_ends_with_130_and_what_was_kept(monkeypatch, capsys):
    def verb(words):
        raise KeyboardInterrupt("interrupted: 3 of 9 tiles are finished and kept.")

    monkeypatch.setattr(measuring, "demo", verb)
    assert run("demo") == 130
    assert "3 of 9 tiles" in capsys.readouterr().err
