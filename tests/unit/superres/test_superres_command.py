"""`terrashift superres`: files in, one sharper file out, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from planted_bursts import SHIFTS, burst, psnr

from terrashift import cli, sharpen
from terrashift.io.raster import ReadOptions
from terrashift.resources import RunOptions
from terrashift.superres.brightness import gathered
from terrashift.superres.files import MaskOptions, open_frames
from terrashift.superres.methods import baseline
from terrashift.superres.options import SuperresOptions
from terrashift.superres.stack import build_stack, phase_spread

SMALL = (56, 68)
FAST = ("--scale", "2", "--method", "bicubic-mean")
FIRST = ("--reference", "frame_2021-07-10.tif")


def run(*words: object) -> int:
    return cli.main(["superres", *map(str, words)])


def refused(capsys, *words: object) -> str:
    assert run(*words) == 2
    return capsys.readouterr().err


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_the_result_lies_on_the_references_grid_cut_by_the_scale(stack, tmp_path, capsys):
    planted = burst(SMALL, 3, noise=1.0, bands=2, finest=0.33)
    frames = stack(planted)
    sharp = tmp_path / "sharp.tif"
    assert run(*frames, "-o", sharp, "--scale", "3", "--method", "ibp", *FIRST) == 0
    told = capsys.readouterr().out
    assert "the reference, 100% usable" in told
    with rasterio.open(sharp) as dataset, rasterio.open(frames[0]) as reference:
        assert dataset.bounds == reference.bounds
        assert dataset.shape == (3 * 56, 3 * 68)
        assert dataset.res == (10, 10)
        assert dataset.crs == reference.crs
        assert dataset.descriptions[2:] == ("sigma gray", "sigma band 2", "frames")
        assert dataset.profile["tiled"]
        tags = dataset.tags()
        values = torch.from_numpy(dataset.read())
    assert tags["METHOD"] == "ibp"
    assert tags["ACQUISITION_DATE"].startswith("2021-07-10")
    assert [f["name"] for f in json.loads(tags["FRAMES"])] == [Path(f).name for f in frames]
    facts = json.loads(sharp.with_suffix(".json").read_text())
    for k, (x, y) in enumerate(SHIFTS):
        assert facts["frames"][k]["shift px"] == pytest.approx([x, y], abs=0.03)
    bicubic = baseline("bicubic")(planted.frames, 3).mean
    for band in (0, 1):
        plain = psnr(bicubic[band : band + 1], planted.truth[band : band + 1], 9)
        assert psnr(values[band : band + 1], planted.truth[band : band + 1], 9) > plain + 2
    assert values[2:4].isfinite().all()
    assert values[4].max() == 6
    assert abs(float((gathered(values[:2], 3) - planted.pixels[0]).mean())) < 0.05
    assert not (tmp_path / "sharp.tif.terrashift-work").exists()


def test_grids_half_a_pixel_apart_are_placed_by_their_georeferencing(save, tmp_path):
    """Frames whose grids say where they really lie have no shifts left, and give the same result."""
    planted = burst(SMALL, 2)
    pixels = [frame.numpy() for frame in planted.pixels]
    unaware = [save(f"one_{k}.tif", frame) for k, frame in enumerate(pixels)]
    aware = [
        save(f"two_{k}.tif", frame, (-x, -y)) for k, (frame, (x, y)) in enumerate(zip(pixels, SHIFTS, strict=True))
    ]
    results = []
    for name, frames in (("one", unaware), ("two", aware)):
        sharp = tmp_path / f"{name}.tif"
        assert run(*frames, "-o", sharp, *FAST, "--reference", f"{name}_0.tif") == 0
        results.append(read(sharp)[0])
        facts = json.loads(sharp.with_suffix(".json").read_text())
        shifts = np.array([f["shift px"] for f in sorted(facts["frames"], key=lambda f: f["name"])])
        np.testing.assert_allclose(shifts, np.array(SHIFTS) if name == "one" else 0, atol=0.03)
    np.testing.assert_allclose(*results, atol=0.5)


def test_the_order_of_the_files_changes_nothing(stack, tmp_path):
    frames = stack(burst(SMALL, 2, noise=1.0))
    for name, files in (("one", frames), ("two", frames[::-1])):
        assert run(*files, "-o", tmp_path / f"{name}.tif", *FAST) == 0
    np.testing.assert_allclose(read(tmp_path / "one.tif"), read(tmp_path / "two.tif"), atol=1e-3)


@pytest.mark.parametrize("method", ["bicubic-median", "shift-and-add", "ibp"])
def test_tiles_give_what_the_whole_gives(stack, method):
    pixels = burst((70, 83), 2, noise=1.0)
    pixels.pixels[1, :, 20:40, 30:50] = torch.nan
    pixels.pixels[2, :, 40:60, 10:30] += 90
    files = open_frames(stack(pixels), ReadOptions())
    options = SuperresOptions(scale=2, method=method)
    sharpener = sharpen.Sharpener(build_stack(files, options), baseline(method), options)
    whole = sharpener.part((slice(0, 70), slice(0, 83)))
    assert whole.shape == (3, 140, 166)
    for rows, columns in ((slice(0, 24), slice(0, 32)), (slice(24, 48), slice(64, 83)), (slice(48, 70), slice(32, 64))):
        part = sharpener.part((rows, columns))
        same = whole[:, 2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
        torch.testing.assert_close(part[:2], same[:2], rtol=0, atol=0.05, equal_nan=True)  # of a deviation of 20
        assert torch.equal(part[2], same[2])


def test_an_interrupted_run_goes_on_and_gives_the_same(stack, tmp_path):
    frames = tuple(stack(burst(SMALL, 2)))
    options = SuperresOptions(scale=2, method="bicubic-mean")
    request = sharpen.Request(frames, options, RunOptions(tile_px=24, threads=1))

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="--resume"):
        sharpen.sharpen(request, tmp_path / "cut.tif", watch=sharpen.Watch(tiles=stop))
    assert (tmp_path / "cut.tif.terrashift-work").exists()
    assert not (tmp_path / "cut.tif").exists()
    seen: list[int] = []
    sharpen.sharpen(request, tmp_path / "cut.tif", resume=True, watch=sharpen.Watch(tiles=lambda d, t: seen.append(d)))
    assert seen[0] >= 3
    sharpen.sharpen(request, tmp_path / "whole.tif")
    np.testing.assert_array_equal(read(tmp_path / "cut.tif"), read(tmp_path / "whole.tif"))


def test_too_little_memory_says_how_much_is_needed(stack, tmp_path, capsys):
    frames = stack(burst(SMALL, 2))
    assert "--max-memory 100MB is too little" in refused(
        capsys, *frames, "-o", tmp_path / "a.tif", "--max-memory", "100MB"
    )


def test_frames_of_other_light_come_to_the_references(save, tmp_path):
    planted = burst(SMALL, 2)
    frames = [save(f"f{k}.tif", (frame * (1 - 0.06 * k) + 9 * k).numpy()) for k, frame in enumerate(planted.pixels)]
    assert run(*frames, "-o", tmp_path / "a.tif", *FAST, "--reference", "f0.tif", "--anchor", "none") == 0
    found = torch.from_numpy(read(tmp_path / "a.tif")[:1])
    assert (gathered(found, 2) - planted.pixels[0])[:, 5:-5, 5:-5].abs().mean() < 2.0
    assert run(*frames, "-o", tmp_path / "b.tif", *FAST, "--reference", "f0.tif", "--anchor", "exact") == 0
    exact = torch.from_numpy(read(tmp_path / "b.tif")[:1])
    torch.testing.assert_close(gathered(exact, 2), planted.pixels[0], rtol=0, atol=1e-2)


@pytest.mark.parametrize("how", ["files", "band", "clear"])
def test_masked_pixels_change_nothing(save, tmp_path, how):
    planted = burst(SMALL, 2)
    results = []
    for value in (0.0, 5000.0):
        frames, masks = [], []
        for k, frame in enumerate(planted.pixels):
            pixels, mask = frame.numpy().copy(), np.zeros((1, *SMALL), np.float32)
            mask[:, 5 * k : 5 * k + 12, 20:40] = 9
            pixels[mask > 0] = value
            mask = 9 - mask if how == "clear" else mask
            if how == "band":
                pixels = np.concatenate([pixels, mask])
            frames.append(save(f"f{k}_{value:g}.tif", pixels))
            masks.append(save(f"m{k}.tif", mask.astype(np.uint8), nodata=0))
        told = {
            "files": ("--mask", *masks),
            "band": ("--mask-band", "2", "--mask-values", "9"),
            "clear": ("--mask", *masks, "--clear-values", "9"),
        }[how]
        sharp = tmp_path / f"{value:g}.tif"
        assert run(*frames, "-o", sharp, *FAST, *told, "--reference", f"f0_{value:g}.tif") == 0
        results.append(read(sharp))
    assert len(results[0]) == 3
    np.testing.assert_array_equal(*results)
    assert results[0][2].min() < 6


def test_a_coarser_mask_of_another_grid_is_laid_on_the_frame(save):
    planted = burst(SMALL, 2)
    mask = np.zeros((1, 28, 34), np.uint8)
    mask[:, 10:15, 20:25] = 1
    coarse = save("mask.tif", mask, nodata=None, transform=Affine(60, 0, 500_000, 0, -60, 4_000_000))
    files = [save(f"f{k}.tif", frame.numpy()) for k, frame in enumerate(planted.pixels[:2])]
    frame = open_frames(files, ReadOptions(), masks=MaskOptions((coarse, coarse)))[0]
    usable = frame.read(0, 0, *SMALL).isfinite()[0]
    assert not usable[20:30, 40:50].any()
    assert int((~usable).sum()) == 100


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("clearest", "frame_2021-07-13.tif"),
        ("2021-07-11", "frame_2021-07-11.tif"),
        ("2030-01-01", "frame_2021-07-15.tif"),
    ],
)
def test_the_reference_is_the_clearest_or_the_closest_to_a_date(save, wanted, name):
    planted = burst(SMALL, 2)
    files = []
    for k, frame in enumerate(planted.pixels):
        pixels = frame.numpy().copy()
        pixels[:, : abs(k - 3) * 3] = np.nan
        files.append(save(f"frame_2021-07-{10 + k}.tif", pixels))
    options = SuperresOptions(scale=2, reference=wanted)
    assert build_stack(open_frames(files, ReadOptions()), options).reference.file.name == name


def test_what_does_not_belong_is_left_out_with_the_reason(stack, save, tmp_path, capsys):
    planted, other = burst(SMALL, 2), burst(SMALL, 2, seed=11)
    frames = stack(planted)
    clouded = planted.pixels[1].numpy().copy()
    clouded[:, :53] = np.nan
    odd = [
        save("a_other_place.tif", other.pixels[0].numpy()),
        save("constant.tif", np.full((1, *SMALL), 7.0, np.float32)),
        save("clouded.tif", clouded),
        save("far.tif", planted.pixels[1].numpy(), (9000, 0)),
        save("empty.tif", np.full((1, *SMALL), np.nan, np.float32)),
    ]
    assert run(*frames, *odd, "-o", tmp_path / "a.tif", *FAST, *FIRST, "--max-frames", "5") == 0
    facts = json.loads((tmp_path / "a.json").read_text())
    left = {one["name"]: one["reason"] for one in facts["left out"]}
    assert "does not match frame_2021-07-10.tif" in left["a_other_place.tif"]
    assert left["constant.tif"] == "it is constant"
    assert "less than --min-clear 10%" in left["clouded.tif"]
    assert "does not overlap" in left["far.tif"]
    assert left["empty.tif"] == "no pixel is usable"
    assert "--max-frames" in left["frame_2021-07-15.tif"]
    assert len(facts["frames"]) == 5
    assert sum(f["weight"] for f in facts["frames"]) == pytest.approx(1, abs=1e-3)
    assert "a_other_place.tif" in capsys.readouterr().out


def test_frames_without_subpixel_diversity_are_warned_of(save, tmp_path, capsys):
    planted = burst(SMALL, 2, ((0.0, 0.0), (1.0, 2.0), (-1.0, 0.0), (2.0, -1.0)), noise=1.0)
    frames = [save(f"f{k}.tif", frame.numpy()) for k, frame in enumerate(planted.pixels)]
    assert run(*frames, "-o", tmp_path / "a.tif", *FAST) == 0
    assert "at the same fraction of a pixel" in capsys.readouterr().err
    planted = burst(SMALL, 2, ((0.0, 0.0), (0.5, 2.0), (-0.3, 0.0), (0.2, -1.0)))
    frames = [save(f"f{k}.tif", frame.numpy()) for k, frame in enumerate(planted.pixels)]
    assert run(*frames, "-o", tmp_path / "b.tif", *FAST) == 0
    assert "along y all frames lie" in capsys.readouterr().err


def test_a_single_usable_frame_is_warned_of(stack, save, tmp_path, capsys):
    frames = stack(burst(SMALL, 2))
    flat = save("flat.tif", np.full((1, *SMALL), 7.0, np.float32))
    assert run(frames[0], flat, "-o", tmp_path / "a.tif", *FAST) == 0
    assert "only one frame is usable" in capsys.readouterr().err


def test_frames_without_georeferencing_lie_pixel_on_pixel(save, tmp_path, capsys):
    planted = burst(SMALL, 2)
    bare = {"crs": None, "transform": Affine.identity()}
    frames = [save(f"f{k}.tif", frame.numpy(), **bare) for k, frame in enumerate(planted.pixels)]
    short = save("short.tif", planted.pixels[0, :, :50].numpy(), **bare)
    assert run(*frames, "-o", tmp_path / "a.tif", *FAST, "--reference", "f0.tif") == 0
    facts = json.loads((tmp_path / "a.json").read_text())
    assert sorted(f["shift px"][0] for f in facts["frames"]) == pytest.approx(sorted(x for x, _ in SHIFTS), abs=0.03)
    assert "terrashift register" in refused(capsys, frames[0], short, "-o", tmp_path / "b.tif", *FAST)


def test_other_kinds_of_grids_are_sent_to_register(stack, save, tmp_path, capsys):
    planted = burst(SMALL, 2)
    frames = stack(planted)
    values = planted.pixels[1].numpy()
    for name, odd in (
        ("crs", {"crs": "EPSG:32632"}),
        ("size", {"transform": Affine(20, 0, 500_000, 0, -20, 4_000_000)}),
        ("south_up", {"transform": Affine(30, 0, 500_000, 0, 30, 3_998_320)}),
        ("no_crs", {"crs": None}),
    ):
        other = save(f"{name}.tif", values, **odd)
        said = refused(capsys, *frames, other, "-o", tmp_path / "a.tif", *FAST, *FIRST)
        assert f"terrashift register {other}" in said


def test_what_cannot_be_sharpened_is_refused_at_the_door(stack, save, tmp_path, capsys):
    planted = burst(SMALL, 2, bands=2)
    frames = stack(planted)
    target = ("-o", tmp_path / "a.tif")
    assert "give two or more images" in refused(capsys, frames[0], *target)
    assert "given more than once" in refused(capsys, *frames, frames[0], *target)
    one_band = save("one.tif", planted.pixels[0, :1].numpy())
    assert "name those that all have" in refused(capsys, *frames, one_band, *target)
    both = save("complex.tif", planted.pixels[0].numpy().astype(np.complex64), nodata=None)
    assert "is complex" in refused(capsys, *frames, both, *target)
    assert "give 2 or more" in refused(capsys, *frames, *target, "--scale", "1")
    assert "give 8 or less" in refused(capsys, *frames, *target, "--scale", "9")
    assert "Did you mean ibp" in refused(capsys, *frames, *target, "--method", "ibb")
    assert "measures motion" in refused(capsys, *frames, *target, "--method", "cnn4l-dis16")
    assert "one of frame_2021-07-10.tif" in refused(capsys, *frames, *target, "--reference", "nobody.tif")
    assert "masks for 6 frames" in refused(capsys, *frames, *target, "--mask", one_band)
    assert "belong to --mask" in refused(capsys, *frames, *target, "--mask-values", "3")
    assert "call it" in refused(capsys, *frames, "-o", tmp_path / "a.png")
    assert "is an input" in refused(capsys, *frames, "-o", frames[0], "--overwrite")
    (tmp_path / "a.tif").write_bytes(b"mine")
    assert run(*frames, *target) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
    flat = [save(f"flat{k}.tif", np.full((1, *SMALL), 7.0, np.float32)) for k in (0, 1)]
    assert "no frame has usable, varying pixels" in refused(capsys, *flat, "-o", tmp_path / "b.tif")


def test_fractions_of_a_pixel_are_compared_around_the_circle():
    assert phase_spread([0.02, 0.98, 1.01]) == pytest.approx(0.04)
    assert phase_spread([0.0, 0.5]) == 0.5
    assert phase_spread([0.0, 0.25, 0.5, 0.75]) == 0.75
