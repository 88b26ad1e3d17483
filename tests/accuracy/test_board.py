"""The accuracy board: on a small fixed set of earthquakes no method is worse than its bound.

`board.json` holds every number with its noise and its bound, and the command that wrote it. After a change that is
meant to move the numbers, run that command again and look at what moved.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from terrashift import cli
from terrashift.evaluate.board import read_bounds
from terrashift.recipe import METHODS

BOARD = Path(__file__).parent / "board.json"


def test_every_method_is_on_the_board():
    assert {bound.method.split(":")[0].split("+")[0] for bound in read_bounds(BOARD)} == set(METHODS)


def test_no_number_is_worse_than_its_bound(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("TERRASHIFT_IMAGERY", raising=False)  # made-up landscapes, as when the bounds were set
    words = shlex.split(json.loads(BOARD.read_text())["command"])[1:]
    words[words.index("-o") + 1] = str(tmp_path / "board")
    words[words.index("--set-bounds") : words.index("--set-bounds") + 2] = ["--bounds", str(BOARD)]
    code = cli.main(words)
    said = [line for line in capfd.readouterr().err.splitlines() if "its bound" in line]
    assert (code, said) == (0, [])


@pytest.mark.parametrize("group", ["very small", "small"])
def test_the_default_beats_the_correlator_away_from_the_fault(group):
    values = {
        bound.method: bound.value
        for bound in read_bounds(BOARD)
        if bound.metric == "epe_far" and bound.group.startswith(group)
    }
    assert values["microflow"] < values["frequency"]
