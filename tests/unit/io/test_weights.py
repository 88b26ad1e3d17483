"""Weight files: by name, by path, and what is wrong with them."""

import json

import pytest
import torch
from safetensors.torch import save_file

from terrashift.errors import InputError
from terrashift.io import weights
from terrashift.io.weights import FOLDER, available, load_weights, published


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


def test_every_weight_file_of_the_package_has_its_checksum_and_none_is_left_of_others():
    """After a change: `cd src/terrashift/weights && sha256sum *.safetensors > SHA256SUMS`."""
    assert set(published()) == {f"{name}.safetensors" for name in available()}


@pytest.mark.parametrize("damage", ["one bit", "another file"])
def test_weights_of_the_package_that_were_changed_are_refused(damage, tmp_path, monkeypatch):
    content = bytearray((FOLDER / "register.safetensors").read_bytes())
    if damage == "one bit":
        content[-1] ^= 1
    else:
        save_file({"a": torch.ones(2)}, tmp_path / "b", {"options": "{}"})
        content = bytearray((tmp_path / "b").read_bytes())
    (tmp_path / "register.safetensors").write_bytes(content)
    (tmp_path / "SHA256SUMS").write_text((FOLDER / "SHA256SUMS").read_text())
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="is not as it was published"):
        load_weights("register")
    assert load_weights(str(tmp_path / "register.safetensors"))  # a file of one's own is one's own matter


@pytest.mark.parametrize("name", ["../weights/register", "/etc/passwd", "", ".", "a\0b", "register.safetensors/"])
def test_a_name_of_the_package_is_no_path(name):
    with pytest.raises(InputError, match="there are no weights"):
        load_weights(name)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"options": "[1]"}, "cannot be read .it holds a list"),
        ({"options": "{"}, "cannot be read"),
        ({"options": "[" * 5000}, "nested too deeply"),
        ({"options": "{}", "calibration": '{"power": "x"}'}, "could not convert"),
        ({"options": "{}", "calibration": '{"power": 1e999}'}, "its calibration is"),
        ({"options": "{}", "calibration": "null"}, "it holds a NoneType"),
    ],
)
def test_what_a_file_says_of_its_network_is_checked(tmp_path, facts, said):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", facts)
    with pytest.raises(InputError, match=said):
        load_weights(str(tmp_path / "a.safetensors"))


def test_a_file_larger_than_any_network_is_not_opened(tmp_path, monkeypatch):
    save_file({"a": torch.ones(200)}, tmp_path / "a.safetensors", {"options": "{}"})
    monkeypatch.setattr(weights, "LARGEST_BYTES", 100)
    with pytest.raises(InputError, match="no network here has such weights"):
        load_weights(str(tmp_path / "a.safetensors"))
