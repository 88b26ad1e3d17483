"""The thresholds of the check hold on real scenes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

from terrashift.analyse.findings import ImageFacts
from terrashift.analyse.preflight import check_pair
from terrashift.analyse.sampling import ImageMeter
from terrashift.core.source import cut
from terrashift.io.raster import ReadOptions, open_pair, open_raster

pytestmark = pytest.mark.imagery

NATIVE = (
    ("train/beirut/beirut_date1.tif", "red"),
    ("train/milano/milano_date2.tif", "nir"),
    ("train/horta_landsat/horta_2009-06-22.tif", "swir2"),
    ("train/nanjing_landsat/nanjing_2002-07-12.tif", "red"),
    ("train/single_date/s2_10m_dolomites.tif", "red"),
    ("train/single_date/landsat7_pan_15m_13.tif", "pan"),
    ("train/single_date/landsat8_pan_15m_a.tif", "pan"),
)


def looked_at(image: torch.Tensor):
    """What 256 px windows of an image say."""
    meter = ImageMeter(ImageFacts("image"))
    for row in range(0, image.shape[0] - 255, 256):
        for column in range(0, image.shape[1] - 255, 256):
            meter.add(cut(image, row, column, 256, 256))
    return meter.result()


def read(imagery: Path, name: str, band: str, side: int = 512) -> torch.Tensor:
    path = imagery / name
    if not path.exists():
        pytest.skip(f"{name} is not among the imagery")
    return open_raster(str(path), ReadOptions(band=band, nodata=0)).read(0, 0, side, side)


@pytest.mark.parametrize(("name", "band"), NATIVE)
def test_native_scenes_are_not_called_interpolated_but_their_upsampled_copies_are(imagery, name, band):
    native = read(imagery, name, band)
    assert looked_at(native).effective_px == (1.0, 1.0)
    for factor, mode in ((1.5, "bilinear"), (2.0, "bicubic")):
        whole = native.nan_to_num(float(native.nanmean()))[None, None]
        fine = interpolate(whole, scale_factor=factor, mode=mode, align_corners=False)[0, 0][:512, :512].round()
        assert max(looked_at(fine).effective_px) > 1.1, (factor, mode)


def test_scenes_that_their_provider_interpolated_are_named(imagery):
    sizes = looked_at(read(imagery, "train/vilomara_s2/vilomara_2021-06-14.tif", "1", 488)).effective_px
    assert sizes == pytest.approx((1.34, 1.34), rel=0.2)  # a 20 m band on a grid of 14.9 m


def test_the_marked_lines_are_found_and_no_others(imagery):
    name = "train/milano/milano_date1.tif"
    marked = float((read(imagery, name, "original", 480) != 1).float().mean())  # 0 reads as no data here
    assert looked_at(read(imagery, name, "red", 480)).lines_share == pytest.approx(marked, rel=0.05)
    assert looked_at(read(imagery, "train/naip_dakota/naip_2018-07-16.tif", "nir")).lines_share < 0.001


def test_a_real_pair_with_a_known_offset_is_measured_and_warned_about(imagery):
    paths = [imagery / f"train/t33uuu_s2/t33uuu_{date}.tif" for date in ("20160529", "20160608")]
    if not all(p.exists() for p in paths):
        pytest.skip("the Sentinel-2 pair is not among the imagery")
    pair = open_pair(*(str(p) for p in paths), ReadOptions(nodata=0))
    result = check_pair(pair, ImageFacts("before"), ImageFacts("after"))
    x, y = result.offset.xy_px
    assert abs(x) == pytest.approx(0.6, abs=0.2)
    assert abs(y) == pytest.approx(1.8, abs=0.2)
    assert [f.level for f in result.findings if f.topic == "offset"] == ["warning"]
