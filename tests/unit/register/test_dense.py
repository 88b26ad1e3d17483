"""The registration network inside the registration of a pair: its map, its judges and its command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine

from terrashift import cli
from terrashift.core.grid import Grid
from terrashift.errors import InputError
from terrashift.register import dense
from terrashift.register.apply import aligned
from terrashift.register.choose import Scene
from terrashift.register.dense import judged
from terrashift.register.exclude import Ground
from terrashift.register.group import GroupJob, register_group
from terrashift.register.mapping import Behind, Lattice, Mapping, Polynomial, Sum
from terrashift.register.options import RegisterOptions
from terrashift.register.pair import Job, register
from terrashift.register.region import Region
from terrashift.register.result import Registration
from terrashift.register.ties import TiePoints

SMALL = Grid(160, 190, Affine(10, 0, 502_000, 0, -10, 3_998_000), "EPSG:32631")


def job(moving, reference, **options) -> Job:
    few = {"model": "network", "window_px": 32, "spacing_px": 20}
    return Job(moving, reference, RegisterOptions(**(few | options)))


def landmark_errors(found, truth, grid=SMALL, border: int = 20) -> tuple[float, float]:
    """Mean error over a lattice of landmarks by georeferencing alone and by the map, px; `truth` takes (x, y)."""
    x, y = np.meshgrid(np.linspace(border, grid.width - border, 9), np.linspace(border, grid.height - border, 8))
    places = np.stack([x, y])
    real = np.stack(truth(x, y))
    before, after = (float(np.hypot(*(real - at)).mean()) for at in (found.start(places), found.mapping(places)))
    return before, after


def bend(x, y):
    return x + 3 * np.sin(y / 30) - 1, y + 3 * np.cos(x / 35)


def test_a_smooth_deformation_is_taken_out_with_its_sign(see):
    bent = see(SMALL, move=bend)  # its pixel p shows what the moving image shows at bend(p)
    moving = see(SMALL, noise_seed=2)
    found = register(job(moving, bent))
    before, after = landmark_errors(found, bend)
    assert 2 < before < 5
    assert after < before / 3
    assert found.model == "network"
    numbers = found.numbers()
    assert numbers["ce90 after px"] == pytest.approx(numbers["ce90 held out px"])
    assert numbers["ce90 after px"] < numbers["ce90 before px"] / 3
    assert found.compared["network"] < found.compared["affine"]
    # tie points had no part in the map, so what they find is about what it is off
    assert after / 3 < found.error_px < 3 * after
    image = aligned([moving], found.mapping, SMALL)[0]
    inside = (slice(20, -20),) * 2
    assert (image - bent.pixels)[inside].std() < 0.5 * (moving.pixels - bent.pixels)[inside].std()


def test_a_translation_comes_back_and_the_simple_model_is_named(see):
    moving = see(SMALL, move=lambda x, y: (x - 13.3, y + 7.7), noise_seed=2)
    found = register(job(moving, see(SMALL)))
    before, after = landmark_errors(found, lambda x, y: (x + 13.3, y - 7.7))
    assert before == pytest.approx(np.hypot(13.3, 7.7))
    assert after < 0.3
    assert found.numbers()["shift at the middle px"] == pytest.approx([13.3, -7.7], abs=0.3)
    assert found.compared["translation"] < found.compared["network"]
    assert any("Use --model translation" in warning for warning in found.warnings)


def test_a_small_image_in_a_large_one_counts_in_pixels_of_the_whole(see):
    large = Grid(600, 640, Affine(10, 0, 501_000, 0, -10, 3_999_000), "EPSG:32631")
    small = Grid(110, 130, large.transform @ Affine.translation(300, 200), "EPSG:32631")
    found = register(job(see(small, move=lambda x, y: bend(x - 2.5, y + 1.25), noise_seed=2), see(large)))
    assert (found.reference, found.moving) == (large, small)
    x, y = np.meshgrid(np.linspace(15, 110, 8), np.linspace(15, 90, 7))
    seen = np.stack(bend(x - 2.5, y + 1.25)) + np.array([300.0, 200.0])[:, None, None]
    off = np.hypot(*(found.mapping(seen) - np.stack([x, y])))
    before = np.hypot(*(found.start(seen) - np.stack([x, y]))).mean()
    assert before > 2.5
    assert off.mean() < before / 3
    assert found.ties.reference[:, found.ties.used].min() > 180


def test_unlike_images_are_refused(see):
    with pytest.raises(InputError, match=r"do not match: of \d+ places"):
        register(job(see(SMALL, seed=5, noise_seed=2), see(SMALL)))


def test_ground_that_is_left_out_is_no_data_to_the_network(see):
    """The east moves by 3 px against the rest: the map there goes on from the west, which stays where it is."""
    moving = see(SMALL, move=lambda x, y: (x, y + 3.0 * (x > 125)), noise_seed=2)
    usual = job(moving, see(SMALL))
    taken_in = register(usual)
    kept = register(replace(usual, ground=Ground(excluded=(lambda xy: xy[0] > 115,))))
    east = np.stack(np.meshgrid(np.linspace(150, 175, 4), np.linspace(30, 130, 5)))
    assert (taken_in.mapping(east) - east)[1].mean() == pytest.approx(-3, abs=0.7)
    assert abs((kept.mapping(east) - east)[1].mean()) < 0.7
    assert kept.numbers()["tie points"]["excluded"] > 10


def test_a_flow_goes_before_what_was_known():
    flow = np.zeros((2, 20, 30))
    flow[0] = 2.0
    known = Sum((Polynomial(np.array([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]]), 1, (0.0, 0.0), 1.0),))
    step = Behind(Lattice.of_flow(flow), known)
    place = np.array([[10.0, np.nan], [5.0, 5.0]])
    # 2 px to the right first, and from there a tenth of the column down
    np.testing.assert_allclose(step(place)[:, 0], [12.0, 5.0 + 1.2])
    np.testing.assert_allclose(Sum((step,))(place), step(place))
    assert np.isnan(step(place)[:, 1]).all()


def test_a_flow_on_a_part_is_moved_with_all_it_is_made_of(see):
    flow = np.random.default_rng(0).normal(size=(2, 160, 190))
    known = Sum((Polynomial(np.array([[1.0, 0.5, 0.0], [0.0, 0.1, 0.2]]), 1, (80.0, 75.0), 95.0),))
    correction = Sum((Behind(Lattice.of_flow(flow), known),))
    ties = ties_of(np.zeros((2, 0)), np.zeros((2, 0)))
    part = Registration(SMALL, SMALL, Mapping(), "content", correction, "network", ties, np.zeros((2, 0)), 0.1)
    region = Region(see(SMALL), see(SMALL), Mapping(), (300, 200))
    whole = region.whole(part, SMALL, SMALL, Mapping())
    places = np.array([[10.3, 100.0], [5.0, 71.7]])
    away = np.array([[300.0], [200.0]])
    np.testing.assert_allclose(whole.correction.shift(places + away), part.correction.shift(places))


def ties_of(shift: np.ndarray, places: np.ndarray) -> TiePoints:
    count = places.shape[1]
    return TiePoints(places, places + shift, np.ones(count), np.ones(count), np.zeros(count, int), count)


def test_tie_points_judge_the_map_and_none_is_set_aside():
    random = np.random.default_rng(0)
    places = random.uniform(0, 200, (2, 30))
    shift = np.array([[1.0], [0.0]]) + random.normal(0, 0.02, (2, 30))
    shift[:, :6] += 4.0
    outcome = judged(ties_of(shift, places), Sum((Polynomial(np.array([[1.0], [0.5]]), 0, (0.0, 0.0), 1.0),)),
                     Scene((200, 200), 16, 32))  # fmt: skip
    assert outcome.ties.used.all()
    np.testing.assert_allclose(outcome.held_out, shift - np.array([[1.0], [0.5]]))
    assert outcome.error_px == pytest.approx(np.sqrt(np.mean(outcome.held_out**2)))
    with pytest.raises(InputError, match="too few to judge"):
        judged(ties_of(shift[:, :2], places[:, :2]), Sum(), Scene((200, 200), 16, 32))


def test_the_simpler_model_is_named_only_where_it_leaves_less():
    random = np.random.default_rng(0)
    places = random.uniform(0, 200, (2, 30))
    shift = np.stack([0.01 * places[0], np.zeros(30)]) + random.normal(0, 0.02, (2, 30))
    exact = Sum((Polynomial(np.array([[0.0, 0.01, 0.0], [0.0, 0.0, 0.0]]), 1, (0.0, 0.0), 1.0),))
    wrong = Sum((*exact.parts, Polynomial(np.array([[0.5], [0.0]]), 0, (0.0, 0.0), 1.0)))
    scene = Scene((200, 200), 16, 32)
    assert judged(ties_of(shift, places), exact, scene).warnings == ()
    (told,) = judged(ties_of(shift, places), wrong, scene).warnings
    assert "Use --model affine" in told


def test_images_too_large_or_weights_that_are_missing_are_refused_before_any_work(see, monkeypatch):
    image = see(SMALL)
    monkeypatch.setattr(dense, "MOST_PX", 10_000)
    with pytest.raises(InputError, match=r"190 x 160 px .*--model local"):
        register(job(image, image))

    class Untouched:
        grid = SMALL

        def read(self, row, column, height, width):
            raise AssertionError("read")

    with pytest.raises(InputError, match="there are no weights 'nowhere'"):
        register(job(Untouched(), Untouched(), weights="nowhere"))
    with pytest.raises(InputError, match="holds weights of the network"):
        register(job(Untouched(), Untouched(), weights="microflow-compact"))


def test_a_group_takes_no_dense_map(see):
    group = GroupJob([see(SMALL), see(SMALL)], ["a", "b"], RegisterOptions(model="network"))
    with pytest.raises(InputError, match="--model network bends"):
        register_group(group)


def test_the_command_aligns_by_the_network_and_fine_tunes(see, save, tmp_path, capsys):
    bent = see(SMALL, move=bend)
    moving = see(SMALL, noise_seed=2)
    names = save("moving.tif", moving), save("reference.tif", bent)
    target = tmp_path / "aligned.tif"
    words = (*names, "-o", target, "--window", "32", "--spacing", "20", "--fine-tune", "1")
    assert cli.main(["register", *map(str, words), "--model", "network"]) == 0
    assert "network" in capsys.readouterr().out
    numbers = json.loads(target.with_suffix(".json").read_text())
    assert numbers["model"] == "network"
    assert (numbers["options"]["fine_tune"], "polynomial" in numbers) == (1, False)
    assert numbers["ce90 after px"] < numbers["ce90 before px"] / 3
    with rasterio.open(target) as image:
        assert "by network" in image.tags()["REGISTERED"]
        result = image.read(1)
    inside = (slice(20, -20),) * 2
    off, was = (np.std((one - bent.pixels.numpy())[inside]) for one in (result, moving.pixels.numpy()))
    assert off < 0.5 * was


def test_what_belongs_to_the_network_is_refused_with_other_models(see, save, tmp_path, capsys):
    names = save("one.tif", see(SMALL)), save("two.tif", see(SMALL))
    for flag, value in (("--fine-tune", "5"), ("--weights", "register")):
        words = [*names, "-o", str(tmp_path / "a.tif"), "--model", "affine", flag, value]
        assert cli.main(["register", *words]) == 2
        told = capsys.readouterr().err
        assert f"{flag} is {value}: it belongs to --model network, so leave it out with --model affine." in told
