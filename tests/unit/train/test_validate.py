"""The pairs on which a network is judged."""

import numpy as np
import torch
from scipy import ndimage

from terrashift.simulate.archive import Archive, View
from terrashift.train.validate import CLASSES, Validation


def archive():
    """One place of smooth noise, two dates."""
    random = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(random.normal(size=(120, 140)), 1.0)
    dates = [(ground + 0.01 * random.normal(size=ground.shape)).astype(np.float32) for _ in (0, 1)]
    shifts = ((0.0, 0.0), (0.0, 0.0))
    view = View("made up", "place", "grey", "validation", "none", "CC0", 10.0, ("a", "b"), shifts, 120, 140)
    return Archive.of([(view, dates)])


def test_pairs_are_the_same_every_time_and_others_for_another_seed():
    one, same, other = (Validation(archive(), 1, 48, "cpu", *seed).sets for seed in ((), (), (7,)))
    assert list(one) == list(CLASSES)
    for name, batches in one.items():
        assert torch.equal(batches[0].flow, same[name][0].flow)
        assert not torch.equal(batches[0].flow, other[name][0].flow)
