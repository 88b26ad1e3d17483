"""Random numbers by seed, sample and purpose."""

import torch
from scipy import stats

from terrashift.ops.random import Random

STORED = [[0.7154357, 0.4274834], [0.7458851, 0.9932407]]


def test_a_sample_is_the_same_in_any_batch():
    many, one = Random.of(3, range(10)), Random.of(3, [7])
    assert torch.equal(many.normal("noise", 4, 5)[7], one.normal("noise", 4, 5)[0])


def test_seed_sample_and_purpose_each_change_what_is_drawn():
    first = Random.of(3, [1]).uniform("a", 8)
    for other in (
        Random.of(4, [1]).uniform("a", 8),
        Random.of(3, [2]).uniform("a", 8),
        Random.of(3, [1]).uniform("b", 8),
    ):
        assert not torch.isclose(first, other).any()
    assert not torch.isclose(first, Random.of(3, [1]).split("part").uniform("a", 8)).any()


def test_the_numbers_themselves_never_change():
    """A data set drawn years ago can be drawn again: these are stored figures."""
    drawn = Random.of(7, [0, 1]).uniform("gain", 2)
    assert torch.allclose(drawn, torch.tensor(STORED), atol=1e-6)


def test_uniform_and_normal_numbers_have_their_distributions():
    random = Random.of(11, range(50))
    assert stats.kstest(random.uniform("u", 400).flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(random.normal("n", 401).flatten().numpy(), "norm").pvalue > 0.01


def test_neighbouring_samples_and_places_are_independent():
    drawn = Random.of(5, range(400)).normal("n", 400)
    along = (drawn[:, 1:] * drawn[:, :-1]).mean()
    across = (drawn[1:] * drawn[:-1]).mean()
    assert abs(along) < 0.01
    assert abs(across) < 0.01


def test_whole_numbers_reach_every_value_and_no_further():
    drawn = Random.of(2, range(3000)).whole("k", 7)
    assert sorted(set(drawn.tolist())) == list(range(7))
    below = torch.tensor([1, 2, 3] * 1000)
    assert (Random.of(2, range(3000)).whole("k", below) < below).all()


def test_chance_hits_its_share():
    assert abs(Random.of(2, range(4000)).chance("c", 0.25).float().mean() - 0.25) < 0.03


def test_the_largest_bits_stay_below_one_so_that_whole_numbers_stay_in_their_range(monkeypatch):
    """One draw in sixteen million would be rounded up to 1, and a list read past its end."""
    monkeypatch.setattr(Random, "_bits", lambda self, purpose, count: torch.full((2, count), -1, dtype=torch.int32))
    random = Random.of(1, [0, 1])
    assert random.uniform("u", 3).max() < 1
    assert random.whole("k", 512).max() == 511
    assert random.chance("c", 1.0).all()
    assert random.normal("n", 4).isfinite().all()
