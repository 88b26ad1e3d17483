"""Calibrating a sigma on errors of known distribution."""

import pytest
import torch

from terrashift.analyse.metrics import LAPLACE_SHARES
from terrashift.train.calibrate import Calibration, Errors, calibrate, coverage


def drawn(offset, power, count=40_000, seed=0):
    """Errors that truly follow exp(offset + power * log_scale)."""
    torch.manual_seed(seed)
    log_scale = torch.randn(count) - 2
    scale = torch.exp(offset + power * log_scale)
    return Errors(torch.distributions.Exponential(1.0).sample((count,)) * scale, log_scale)


@pytest.mark.parametrize(("offset", "power"), [(0.0, 1.0), (0.7, 0.8), (-0.5, 1.3)])
def test_the_true_relation_is_found(offset, power):
    found = calibrate({"a": drawn(offset, power), "b": drawn(offset, power, 1000, 1)})
    assert found.offset == pytest.approx(offset, abs=0.08)
    assert found.power == pytest.approx(power, abs=0.03)


def test_a_calibrated_sigma_covers_what_a_laplace_distribution_does_in_class_and_third():
    errors = {"a": drawn(0.4, 0.9), "b": drawn(0.4, 0.9, seed=1)}
    table = coverage(errors, calibrate(errors))
    assert [line.name for line in table] == ["a", "b", "smallest sigmas", "middle", "largest sigmas"]
    for line in table:
        assert line.one == pytest.approx(LAPLACE_SHARES[0], abs=0.02)
        assert line.two == pytest.approx(LAPLACE_SHARES[1], abs=0.02)
    assert table[2].sigma_px < table[3].sigma_px < table[4].sigma_px


def test_too_small_a_sigma_covers_less():
    errors = {"a": drawn(0.0, 1.0)}
    assert coverage(errors, Calibration(-0.7, 1.0))[0].one < 0.45
    assert coverage(errors, Calibration(0.7, 1.0))[0].one > 0.8


def test_every_class_counts_alike_however_many_errors_it_has():
    many, few = drawn(0.0, 1.0, 50_000), drawn(0.5, 1.0, 5_000, 1)
    found = calibrate({"many": many, "few": few})
    same = calibrate({"many": Errors(*(p[:5_000] for p in many)), "few": few})
    assert found.offset == pytest.approx(same.offset, abs=0.05)
