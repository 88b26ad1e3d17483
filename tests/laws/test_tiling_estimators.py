"""The real estimators give the same bits for every tile size and number of threads."""

import pytest
import torch
import untrained
from every_estimator import moved_pair

from terrashift import Recipe, measure_arrays


@pytest.mark.parametrize(
    "estimate",
    [
        {"method": "frequency", "step_px": 3},
        {"method": "spatial", "step_px": 4},
        {"method": "microflow", "step_px": 4},
    ],
    ids=["frequency", "spatial", "microflow"],
)
def test_tiles_and_threads_never_show_in_the_result(estimate):
    pair = moved_pair((0.3, -0.7), shape=(340, 560)).pair
    before, after = pair.before.pixels[0].clone(), pair.after.pixels[0]
    before[100:140, 200:260] = torch.nan
    results = []
    for run in ({"threads": 1, "tile_px": 5000}, {"threads": 1, "tile_px": 1}, {"threads": 3, "tile_px": 300}):
        recipe = Recipe.model_validate({"estimate": estimate, "run": run})
        results.append(measure_arrays(before, after, recipe))
    for other in results[1:]:
        for name in ("east", "north", "score", "reasons"):
            assert torch.equal(getattr(other, name).nan_to_num(-99), getattr(results[0], name).nan_to_num(-99)), name


@pytest.mark.parametrize("name", sorted(untrained.NETWORKS))
def test_nor_with_a_network_of_any_kind(name, tmp_path):
    """Small ones with random weights."""
    estimator = untrained.estimator(untrained.write_all(tmp_path), name, step_px=4)
    test_tiles_and_threads_never_show_in_the_result(estimator.model_dump())
