"""Several processes that train together end where one ends alone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from made_up_imagery import pack_noise
from safetensors.torch import load_file

from terrashift.errors import OptionError
from terrashift.train.loop import train
from terrashift.train.recipe import load_recipe
from terrashift.train.workers import ALONE, Workers, run_together

RECIPE = {
    "name": "tiny",
    "model": {"channels": [8, 8, 8, 8], "fine": 8, "passes": 2},
    "stream": {"size_px": 64, "batch": 4, "fields": {"largest_px": 2.0}},
    # all pixels and pairs alike: weights that depend on the batch would differ in its parts
    "loss": {"fault": 0.0, "even": 1e9},
    "validation": "",
    "steps": 4,
    "grow": 0,
    "warm_up": 1,
    "bfloat16": False,
}


def test_a_batch_is_cut_into_parts_that_follow_each_other():
    parts = [Workers(rank, 3).share(range(12, 24)) for rank in range(3)]
    assert [number for part in parts for number in part] == list(range(12, 24))
    assert ALONE.share(range(3, 7)) == range(3, 7)


def test_two_processes_learn_what_one_does(tmp_path):
    archive = tmp_path / "train.tsi"
    pack_noise(archive, "train", 0)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE | {"imagery": str(archive)}))
    command = [sys.executable, "-m", "terrashift", "train", str(recipe), "-o", str(tmp_path / "two")]
    source = str(Path(__file__).parents[3] / "src")
    environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--device", "cpu", "--devices", "2"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    alone = load_file(train(load_recipe(recipe), tmp_path / "one"))
    together = load_file(tmp_path / "two" / "tiny.safetensors")
    for name, value in alone.items():
        assert torch.allclose(value.float(), together[name].float(), atol=1e-4), name
    # half of every batch would have led elsewhere, by more than that
    half = load_recipe(recipe)
    half = replace(half, stream=replace(half.stream, batch=2))
    other = load_file(train(half, tmp_path / "half"))
    assert max(float((other[name].float() - value.float()).abs().max()) for name, value in alone.items()) > 1e-3


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_read(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    with pytest.raises(OptionError, match="batches of 4 pairs for 3 devices"):
        train(load_recipe(recipe), tmp_path, workers=Workers(0, 3))


def test_without_lightning_several_devices_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="multi-gpu"):
        run_together(2, "cpu", lambda workers, device: None)
