import itertools

import pytest
import torch

from terrashift.estimators.paths import ACROSS, DOWN, Change, Labels, aggregate, settle


def by_hand(cost, shifts, change, directions):
    """Path costs of every pixel, label and direction straight from the definition; shifts: (y, x) px of each label."""
    ky, kx, height, width = cost.shape
    steps = [(dy, dx) for dy, dx in DOWN[directions]] + [(-dy, -dx) for dy, dx in DOWN[directions]]
    steps += [(dx, dy) for dy, dx in ACROSS[directions]] + [(-dx, -dy) for dy, dx in ACROSS[directions]]
    assert len(steps) == directions
    labels = list(itertools.product(range(ky), range(kx)))
    total = torch.zeros_like(cost)
    for dy, dx in steps:
        paths = {}
        rows = range(height) if dy > 0 or (dy == 0) else range(height - 1, -1, -1)
        columns = range(width) if dx > 0 or (dx == 0) else range(width - 1, -1, -1)
        order = itertools.product(rows, columns) if dy else ((r, c) for c in columns for r in rows)
        for r, c in order:
            q = r - dy, c - dx
            here = {}
            for label in labels:
                message = 0.0
                if q in paths:
                    options = []
                    for other in labels:
                        apart = torch.tensor([shifts(*label, r, c)[k] - shifts(*other, *q)[k] for k in (0, 1)])
                        options.append(paths[q][other] + float(change.of(apart).sum()))
                    message = min(options)
                here[label] = message
            least = min(here.values())
            paths[r, c] = {label: here[label] - least + float(cost[(*label, r, c)]) for label in labels}
            for label in labels:
                total[(*label, r, c)] += paths[r, c][label]
    return total - (directions - 1) * cost


@pytest.mark.parametrize("directions", [8, 16])
def test_shared_candidates_give_the_path_costs_of_the_definition(directions):
    cost = torch.rand(3, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = by_hand(cost, lambda i, j, r, c: (float(i), float(j)), Change(0.4), directions)
    assert torch.allclose(aggregate(cost, Labels(None, 1.0), Change(0.4), directions), expected, atol=1e-4)


def test_candidates_around_each_pixels_own_base_give_them_too():
    generator = torch.Generator().manual_seed(1)
    cost = torch.rand(3, 3, 5, 6, generator=generator)
    base = torch.randint(-2, 3, (2, 5, 6), generator=generator) * 0.5
    change = Change(0.3, 0.2)

    def shifts(i, j, r, c):
        return float(base[1, r, c]) + 0.5 * i, float(base[0, r, c]) + 0.5 * j

    expected = by_hand(cost, shifts, change, 8)
    assert torch.allclose(aggregate(cost, Labels(base, 0.5), change, 8), expected, atol=1e-4)


def test_a_free_change_leaves_the_winner_of_each_pixel_alone():
    cost = torch.rand(3, 3, 12, 9, generator=torch.Generator().manual_seed(2))
    summed = aggregate(cost, Labels(None, 1.0), Change(0.0), 16)
    assert torch.equal(summed.flatten(0, 1).argmin(0), cost.flatten(0, 1).argmin(0))


def test_settling_keeps_a_step_and_takes_the_noise_off_both_sides():
    generator = torch.Generator().manual_seed(3)
    truth = torch.zeros(2, 40, 50)
    truth[0, :, 25:] = 2.0
    measured = truth + 0.05 * torch.randn(truth.shape, generator=generator)
    lattice = (truth * 8).round() / 8
    settled = settle(lattice, measured, torch.full((40, 50), 2.0), 1.0)
    error = (settled - truth).abs()
    assert error[:, :, :20].mean() < 0.3 * (measured - truth).abs().mean()
    assert settled[0, :, 24].max() < 0.2
    assert settled[0, :, 25].min() > 1.8
