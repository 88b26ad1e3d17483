"""The card names every sensor, licence and source of a place, not only the first."""

from __future__ import annotations

from typing import Any

import pytest

from terrashift.simulate.card import EDGES_PX, page, summary


def record(**more: Any) -> dict[str, Any]:
    """One pair that does not move."""
    still = [1] + [0] * (len(EDGES_PX) - 1)
    about = {"place": "etna", "dates": ["2018", None], "sensor": "S9", "licence": "CC0", "source": "Ada"}
    return about | {"pixel_m": 10.0, "generator": "elastic", "histogram": still} | more


def card_of(*records: dict[str, Any]) -> dict[str, Any]:
    about = {"kind": "rupture", "pairs": len(records), "version": "1", "seed": 0, "command": "simulate"}
    return about | {"size_px": [64, 48], "stored_as": "zarr", "split": None, "convention": "px"} | summary(records)


def test_every_sensor_licence_and_source_of_a_place_is_named_once():
    card = card_of(record(licence="CC-BY-4.0", sensor="camera"), record(source="Bob"), record(dates=["2017", "2018"]))
    assert card["places"] == {
        "etna": {
            "sensors": ["S9", "camera"],
            "licences": ["CC-BY-4.0", "CC0"],
            "sources": ["Ada", "Bob"],
            "pixel_m": 10.0,
            "dates": ["2017", "2018"],
            "pairs": 3,
        }
    }
    assert "| etna | 3 | 2017, 2018 | S9; camera | 10 m | CC-BY-4.0; CC0 | Ada; Bob |" in page(card)


def test_records_of_many_windows_count_as_many_pairs_and_share_the_generators():
    card = card_of(record(windows=30), record(windows=10, generator="closed-form", place="oslo"))
    assert (card["places"]["etna"]["pairs"], card["places"]["oslo"]["pairs"]) == (30, 10)
    assert card["generators"] == pytest.approx({"elastic": 0.75, "closed-form": 0.25})
    assert "* elastic: 75% of the pairs" in page(card)
