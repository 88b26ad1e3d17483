"""The settings of the regularisers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from terrashift.regularise.log_tv import LogTv
from terrashift.regularise.off import Off
from terrashift.regularise.quadratic import Quadratic
from terrashift.regularise.tv import Tv

ALL = [Off, Quadratic, Tv, LogTv]


@pytest.mark.parametrize("model", ALL)
def test_every_setting_is_described(model):
    assert all(info.description for info in model.model_fields.values())


@pytest.mark.parametrize("model", ALL)
def test_settings_come_back_from_json_and_unknown_ones_are_refused(model):
    options = model()
    assert model.model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError):
        model(strenth_px=1)
    with pytest.raises(ValidationError):
        options.method = "other"


def test_methods_have_their_own_names():
    assert [model().name for model in ALL] == ["none", "quadratic", "tv", "log_tv"]
    assert all(model().method == model().name for model in ALL)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Tv, {"strength_px": -1}),
        (Tv, {"tolerance_px": 0}),
        (LogTv, {"edge_px": 0}),
        (LogTv, {"rounds": 0}),
        (Quadratic, {"reach": 9}),
        (Quadratic, {"fill_px": 65}),
        (Tv, {"sigma_px": 0}),
    ],
)
def test_impossible_values_are_refused(model, values):
    with pytest.raises(ValidationError):
        model(**values)
