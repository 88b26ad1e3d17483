"""Weight files: by name, by path, and what is wrong with them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from terrashift.errors import InputError
from terrashift.io.weights import available, load_weights


def test_a_file_gives_its_tensors_as_float32_and_its_options(tmp_path):
    path = tmp_path / "mine.safetensors"
    facts = {"options": json.dumps({"fine": 8}), "calibration": json.dumps({"sigma": 1.1})}
    save_file({"a": torch.ones(2, dtype=torch.float16)}, path, facts)
    found = load_weights(str(path))
    assert found.tensors["a"].dtype == torch.float32
    assert found.options == {"fine": 8}
    assert found.calibration == {"sigma": 1.1}


def test_every_weight_file_of_the_package_can_be_read():
    for name in available():
        assert load_weights(name).tensors


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError, match="no weights 'nothing'"):
        load_weights("nothing")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match="damaged"):
        load_weights(str(path))


def test_a_strange_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(InputError, match="not written by TerraShift"):
        load_weights(str(path))
