"""Each finding of the check is provoked by a pair made for it, and absent on a clean pair."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch
from affine import Affine
from torch.nn.functional import interpolate

from terrashift.analyse import verdicts
from terrashift.analyse.preflight import ImageFacts, check_pair, render
from terrashift.analyse.sampling import MAX_WINDOWS, plan_windows
from terrashift.core.grid import Grid
from terrashift.core.image import Image, Pair
from terrashift.core.source import ArrayPair
from terrashift.errors import InputError
from terrashift.io.scenes import Sun
from terrashift.ops.spectral import fourier_shift

SHAPE = 300, 420
BEFORE = ImageFacts("a.tif", datetime(2023, 6, 1, tzinfo=UTC), "uint16", 65535.0)
AFTER = ImageFacts("b.tif", datetime(2023, 6, 11, tzinfo=UTC), "uint16", 65535.0)


def scene(shape: tuple[int, int] = SHAPE, seed: int = 0) -> torch.Tensor:
    """Ground whose power falls with frequency as land does, without noise, about 2000 +- 400."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    fy, fx = torch.fft.fftfreq(shape[0])[:, None], torch.fft.rfftfreq(shape[1])
    fall = (fx**2 + fy**2 + 1e-4) ** -0.6
    ground = torch.fft.irfft2(torch.fft.rfft2(noise) * fall, s=shape)
    return 2000 + 400 * (ground - ground.mean()) / ground.std()


def sensed(ground: torch.Tensor, seed: int) -> torch.Tensor:
    """With the noise of a sensor, in whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    return (ground + 8 * torch.randn(ground.shape, generator=generator)).round().float()


def check(before, after, facts=(BEFORE, AFTER), window_px=32, crs="EPSG:32631", transform=None):
    transform = transform or Affine(10, 0, 5e5, 0, -10, 4e6)
    grid = Grid(*before.shape, transform, crs)
    return check_pair(ArrayPair(Pair(Image(before[None], grid), Image(after[None], grid))), *facts, window_px)


def levels(result) -> dict[str, str]:
    """The worst level of each topic."""
    order = ["ok", "note", "warning", "error"]
    worst: dict[str, str] = {}
    for finding in result.findings:
        worst[finding.topic] = max(worst.get(finding.topic, "ok"), finding.level, key=order.index)
    return worst


def remedy(result, topic: str) -> str:
    return " ".join(f.remedy for f in result.findings if f.topic == topic)


@pytest.fixture(scope="module")
def clean():
    ground = scene()
    return sensed(ground, 1), sensed(fourier_shift(ground, (0.2, -0.1)), 2)


def test_a_clean_pair_has_nothing_but_ok(clean):
    result = check(*clean)
    assert set(levels(result).values()) == {"ok"}, result.findings
    assert result.ok
    assert result.days == 10
    assert result.before.effective_px == (1.0, 1.0)
    assert result.before.lines_share < 0.001


def test_the_same_pair_gives_the_same_answer_every_time(clean):
    assert check(*clean).to_json() == check(*clean).to_json()


def test_the_offset_has_the_sign_of_the_ground_in_pixels_and_metres():
    ground = scene()
    result = check(sensed(ground, 1), sensed(fourier_shift(ground, (2.3, -1.6)), 2))
    assert result.offset.xy_px == pytest.approx((2.3, -1.6), abs=0.06)
    assert result.offset.ground == pytest.approx((23, 16), abs=0.6)
    assert levels(result)["offset"] == "warning"
    assert "terrashift register" in remedy(result, "offset")


def test_an_offset_on_a_rotated_grid_turns_with_the_grid():
    ground = scene()
    turned = Affine.rotation(90) @ Affine.scale(10, -10)  # columns run north, rows run east
    result = check(sensed(ground, 1), sensed(fourier_shift(ground, (2.0, 0.0)), 2), transform=turned)
    assert result.offset.ground == pytest.approx((0, 20), abs=0.6)


def test_a_large_offset_is_found_by_moving_the_windows():
    ground = scene((400, 500))
    result = check(sensed(ground, 1), sensed(ground.roll((-60, 70), (0, 1)), 2))
    assert result.offset.xy_px == pytest.approx((70, -60), abs=0.1)
    assert result.offset.correlation > 0.9


def test_half_a_pixel_in_both_directions_is_named():
    ground = scene()
    result = check(sensed(ground, 1), sensed(fourier_shift(ground, (0.5, 0.5)), 2))
    assert "centres and corners" in remedy(result, "offset")


def test_different_places_do_not_match():
    result = check(sensed(scene(seed=3), 1), sensed(scene(seed=4), 2))
    assert levels(result)["match"] == "warning"
    assert "same place" in remedy(result, "match")
    assert result.offset.matched == 0


def test_a_much_changed_surface_has_low_correlation(clean):
    changed = sensed(0.25 * (clean[0].double() - 2000) + scene(seed=5), 2)
    result = check(clean[0], changed)
    assert levels(result)["match"] == "warning"
    assert 0.1 < result.offset.correlation < 0.3


@pytest.mark.parametrize("factor", [1.5, 2.0])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_an_upsampled_image_is_named_with_its_real_pixel(factor, mode):
    side = round(400 / factor)
    coarse = sensed(scene((side, side)), 1)
    fine = interpolate(coarse[None, None], scale_factor=factor, mode=mode, align_corners=False)[0, 0].round()
    result = check(fine, fine + sensed(torch.zeros(fine.shape), 2) / 100)
    assert levels(result)["resampling"] == "warning"
    assert result.before.effective_px == pytest.approx((factor, factor), rel=0.3)


def test_upsampling_along_one_axis_is_told_apart():
    coarse = sensed(scene((400, 260)), 1)
    fine = interpolate(coarse[None, None], size=(400, 390), mode="bilinear", align_corners=False)[0, 0].round()
    x, y = check(fine, fine).before.effective_px
    assert x == pytest.approx(1.5, abs=0.05)
    assert y == 1.0


def with_lines(image: torch.Tensor, first: int) -> torch.Tensor:
    """Every fifteenth row becomes the rounded mean of its neighbours."""
    image = image.clone()
    rows = torch.arange(first, image.shape[0] - 1, 15)
    image[rows] = ((image[rows - 1] + image[rows + 1]) / 2).round()
    return image


def test_interpolated_lines_at_one_place_are_a_warning_with_their_share(clean):
    result = check(*(with_lines(image, 7) for image in clean))
    assert levels(result)["lines"] == "warning"
    assert "zero" in remedy(result, "lines")
    assert result.same_lines_share == pytest.approx(1 / 15, rel=0.1)


def test_copied_columns_count_as_lines_too(clean):
    before, after = (image.clone() for image in clean)
    for image in (before, after):
        image[:, 40::40] = image[:, 39:-1:40]
    result = check(before, after)
    # a copy and its original look alike: both are marked
    assert result.same_lines_share == pytest.approx(2 / 40, rel=0.2)


def test_lines_at_different_places_are_only_a_note(clean):
    result = check(with_lines(clean[0], 7), with_lines(clean[1], 12))
    assert levels(result)["lines"] == "note"
    assert result.same_lines_share < 0.005


def test_flat_whole_numbers_are_not_taken_for_lines():
    flat = (sensed(scene(), 1) / 200).round()
    assert check(flat, flat).before.lines_share < 0.001


def test_noise_alone_has_no_texture():
    generator = torch.Generator().manual_seed(0)
    before, after = 100 + torch.randn((2, *SHAPE), generator=generator)
    result = check(before, after)
    assert result.texture_share < 0.05
    assert levels(result)["texture"] == "warning"
    assert "--window-px" in remedy(result, "texture")


def test_saturated_pixels_are_counted(clean):
    before = clean[0].clone()
    before[:, :42] = 65535
    result = check(before, clean[1])
    assert result.before.saturated_share == pytest.approx(0.1, rel=0.25)  # the windows overlap
    assert levels(result)["saturation"] == "warning"


def test_numbers_clipped_below_their_type_are_saturated_too(clean):
    result = check(clean[0].clamp_max(2300), clean[1])
    assert result.before.saturated_share > 0.1
    assert levels(result)["saturation"] == "warning"


def test_gaps_are_counted_in_each_and_in_both(clean):
    before, after = (image.clone() for image in clean)
    before[:, :300] = torch.nan
    after[:150] = torch.nan
    result = check(before, after)
    assert result.before.valid_share == pytest.approx(120 / 420, abs=0.08)
    assert result.valid_share == pytest.approx(60 / 420, abs=0.08)
    assert levels(result)["data"] == "warning"
    assert result.ok


def test_no_common_data_is_an_error_that_names_the_nodata_setting(clean):
    before, after = (image.clone() for image in clean)
    before[:, :210] = torch.nan
    after[:, 210:] = torch.nan
    result = check(before, after)
    assert not result.ok
    with pytest.raises(InputError, match=r"no pixel of the overlap has data.*--nodata"):
        result.raise_for_errors()


def test_an_empty_image_is_named(clean):
    with pytest.raises(InputError, match="after without any"):
        check(clean[0], torch.full(SHAPE, torch.nan)).raise_for_errors()


def test_data_between_the_windows_looked_at_is_not_called_empty():
    before = torch.full((2600, 2600), torch.nan)
    windows = plan_windows(before.shape).windows
    assert not any(w.row <= 258 < w.row + w.height for w in windows)
    before[257:260] = 1 + torch.rand(3, 2600)
    result = check(before, before)
    assert result.ok
    assert levels(result)["data"] == "warning"


def test_a_constant_image_is_an_error_and_both_faults_are_told(clean):
    result = check(clean[0], torch.full(SHAPE, 7.0), window_px=301)
    with pytest.raises(InputError, match=r"(?s)smaller than the window.*after has one value everywhere"):
        result.raise_for_errors()


def test_the_smallest_image_that_holds_a_window_is_no_error():
    ground = scene((32, 40))
    result = check(sensed(ground, 1), sensed(ground, 2))
    assert result.ok
    assert not check(*(sensed(scene((31, 40)), i) for i in (1, 2))).ok


def test_an_image_that_varies_only_between_the_windows_is_not_called_constant():
    before = torch.full((2600, 2600), 5.0)
    varied = before.clone()
    varied[258] = 6.0
    assert check(before, before).ok is False
    assert check(varied, varied).ok


def test_one_image_given_twice_is_named(clean):
    result = check(clean[0], clean[0])
    assert levels(result)["data"] == "warning"
    assert "one twice" in remedy(result, "data")


def test_swapped_dates_far_seasons_and_missing_dates_are_told():
    def told(before: ImageFacts, after: ImageFacts) -> dict[str, str]:
        return {f.topic: f.level for f in verdicts.on_dates(before, after)}

    winter = replace(AFTER, date=datetime(2023, 12, 30, tzinfo=UTC))
    new_year = replace(AFTER, date=datetime(2024, 1, 2))  # without a zone, as some tags have it
    assert told(BEFORE, AFTER) == {"dates": "ok"}
    assert told(AFTER, BEFORE) == {"dates": "warning"}
    assert told(BEFORE, winter) == {"dates": "ok", "season": "note"}
    assert told(winter, new_year) == {"dates": "ok"}
    assert verdicts.days_between(winter.date, new_year.date) == 3
    assert told(replace(BEFORE, date=None), AFTER) == {"dates": "note"}


def test_a_swap_of_the_dates_reaches_the_result(clean):
    result = check(*clean, (AFTER, BEFORE))
    assert result.days == -10
    assert levels(result)["dates"] == "warning"


def test_a_partial_overlap_is_told_in_both_shares(clean):
    facts = replace(BEFORE, overlap_share=0.125), replace(AFTER, overlap_share=0.5)
    result = check(*clean, facts)
    assert levels(result)["overlap"] == "note"
    assert "12 % of before and 50 % of after" in result.findings[1].met
    assert [f.level for f in verdicts.on_overlap((0.1, 0.1))] == ["warning"]


def test_without_a_crs_lengths_are_pixels_and_said_so(clean):
    result = check(*clean, crs=None)
    assert result.unit == "px"
    assert "pixels" in remedy(result, "grid")


def test_the_json_has_no_nan_and_the_screen_shows_every_finding(clean):
    from rich.console import Console

    result = check(clean[0], torch.full(SHAPE, torch.nan))
    read = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert read["offset"]["correlation"] is None
    assert read["ok"] is False
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(render(result))
    shown = console.export_text()
    assert all(f.met[:60] in shown and f.remedy[:60] in shown for f in result.findings)


class Endless:
    """A pair of any size, made where it is read."""

    def __init__(self, side: int) -> None:
        self.grid = Grid(side, side, Affine(10, 0, 0, 0, -10, 0), "EPSG:32631")
        self.tile = torch.stack([sensed(scene((512, 512)), i) for i in (1, 2)])
        self.reads: list[int] = []

    def read(self, row, column, height, width, shift=(0, 0)):
        self.reads.append(height * width)
        rows, columns = (torch.arange(first, first + n) % 512 for first, n in ((row, height), (column, width)))
        return self.tile[0][rows][:, columns], self.tile[1][rows][:, columns]


def test_a_huge_pair_is_checked_through_few_small_windows():
    source = Endless(30_000)
    assert check_pair(source, BEFORE, AFTER).ok
    assert len(source.reads) <= 3 * MAX_WINDOWS
    assert max(source.reads) <= 512**2


@pytest.mark.parametrize("shape", [(20, 30), (256, 600), (10_000, 250), (250, 10_000), (30_000, 30_000), (2600, 2600)])
def test_windows_stay_inside_and_reach_every_edge(shape):
    plan = plan_windows(shape)
    assert 1 <= len(plan.windows) <= MAX_WINDOWS
    assert min(w.row for w in plan.windows) >= 0
    assert max(w.row + w.height for w in plan.windows) == shape[0]
    assert max(w.column + w.width for w in plan.windows) == shape[1]
    if plan.covers:
        seen = torch.zeros(shape, dtype=torch.bool)
        for w in plan.windows:
            seen[w.row : w.row + w.height, w.column : w.column + w.width] = True
        assert seen.all()


def test_the_sun_and_the_orbit_are_judged_where_tags_tell_them():
    def told(before: ImageFacts, after: ImageFacts) -> dict[str, str]:
        return {f.topic: f.level for f in verdicts.on_sky(before, after)}

    high = replace(BEFORE, sun=Sun(60.0, 120.0), orbit="R027")
    assert told(high, replace(AFTER, sun=Sun(60.0, 130.0), orbit="R027")) == {"sun": "ok", "orbit": "ok"}
    assert told(high, replace(AFTER, sun=Sun(40.0, 120.0), orbit="R127")) == {"sun": "note", "orbit": "warning"}
    assert told(high, AFTER) == {}
    winter = replace(AFTER, date=datetime(2023, 12, 1, tzinfo=UTC), sun=Sun(59.0, 120.0))
    assert {f.topic for f in verdicts.on_dates(high, winter)} == {"dates"}
    assert {f.topic for f in verdicts.on_dates(BEFORE, winter)} == {"dates", "season"}
