"""Text, JSON, YAML and arrays of strangers: plain bounded data, or one kind of error."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terrashift.io import untrusted
from terrashift.io.arrays import read_arrays
from terrashift.io.untrusted import Malformed, parse_json, parse_yaml, read_text, require_room

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "repeats a list or mapping"),
        ("a: &a {b: 1}\nc: {<<: *a}", "repeats a list or mapping"),
        ("&a [*a]", "repeats a list or mapping"),
        ("!!python/object/apply:os.system ['touch /tmp/x']", "could not determine a constructor"),
        ("!!python/name:os.system", "could not determine a constructor"),
        ("a: b: c", "mapping values are not allowed"),
        ("[" * 4000, "nested too deeply|expected"),
        ("a: " + "9" * 5000, "limit"),
        ("a: 2020-13-45", "month must be in"),
        ("a: \0", "unacceptable character"),
        ('"\\ud800"', "surrogates not allowed"),
        ("*nothing", "undefined alias"),
        ("{[1]: 2}", "unhashable"),
    ],
)
def test_yaml_that_is_no_plain_data_is_refused(text, said):
    with pytest.raises(Malformed, match=said):
        parse_yaml(text)


def test_yaml_may_repeat_plain_values():
    assert parse_yaml("a: &l CC0\nb: [*l, 1.5, true]") == {"a": "CC0", "b": ["CC0", 1.5, True]}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=st.text(alphabet=st.sampled_from("ab:&*-[]{}!,\"'\n 01.#|>%@`~\t?<\0\x1b\u2028é"), max_size=40))
def test_any_text_is_plain_data_or_malformed(text):
    for parse in (parse_yaml, parse_json):
        try:
            found = parse(text)
        except Malformed:
            continue
        json.dumps(found, default=str, skipkeys=True).encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [("[" * 100_000, "nested too deeply"), ("9" * 5000, "limit"), ('"\\udc00"', "surrogates"), ("{", "Expecting")],
)
def test_json_that_is_none_is_refused(text, said):
    with pytest.raises(Malformed, match=said):
        parse_json(text)


def test_a_text_that_is_too_large_or_not_utf8_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe a")
    with pytest.raises(Malformed, match=r"not text in UTF-8 \(byte 0\)"):
        read_text(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"x" * 101)
    with pytest.raises(Malformed, match=r"larger than 0.0001 MB"):
        read_text(tmp_path / "a", 100)
    assert read_text(tmp_path / "a", 101) == "x" * 101
    (tmp_path / "a").write_bytes("\ufeffß".encode())
    assert read_text(tmp_path / "a") == "ß"
    with pytest.raises(Malformed, match="no file can be called"):
        read_text("a\0b")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none")


def test_what_does_not_fit_into_the_machine_is_refused(monkeypatch):
    require_room(1000, "it")
    monkeypatch.setattr(untrusted, "memory_bytes", lambda: 999)
    with pytest.raises(Malformed, match="it takes 1e-06 GB"):
        require_room(1000, "it")


def npz(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray, claimed: tuple[int, ...] | None = None, **more) -> bytes:
    """An array as numpy writes it, or with another shape in its header."""
    out = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": claimed or array.shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + array.tobytes()


def test_arrays_come_back_as_numpy_wrote_them(tmp_path):
    a, b = np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int16).reshape(3, 2))
    np.savez_compressed(tmp_path / "a.npz", a=a, b=b, name=np.array("ü"), one=2.5)
    found = read_arrays(tmp_path / "a.npz", ("a", "b", "name", "one"))
    assert all(np.array_equal(found[key], value) for key, value in {"a": a, "b": b, "name": "ü", "one": 2.5}.items())
    found["a"][0, 0] = 7  # they may be written to


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(np.zeros(3), claimed=(10**12,)), "claims 1000000000000 numbers, more than it holds"),
        (npy(np.zeros(3), claimed=(2**40, 2**40)), "more than it holds"),
        (npy(np.zeros(3), claimed=(-1,)), "claims -1|negative"),
        (b"\x93NUMPY\x09\x00", "version"),
        (b"", "magic"),
    ],
)
def test_arrays_that_lie_are_refused_before_memory_is_asked_for(tmp_path, content, said):
    with pytest.raises(Malformed, match=said):
        read_arrays(npz(tmp_path / "a.npz", a=content), ("a",))


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(Malformed, match="holds object, not numbers"):
        read_arrays(tmp_path / "a.npz", ("a",))


def test_a_missing_array_and_another_file_are_named(tmp_path):
    with pytest.raises(Malformed, match=r"There is no item named 'b.npy'"):
        read_arrays(npz(tmp_path / "a.npz", a=npy(np.zeros(2))), ("b",))
    (tmp_path / "a.npz").write_text("no zip")
    with pytest.raises(Malformed, match="not a zip file"):
        read_arrays(tmp_path / "a.npz", ("a",))
