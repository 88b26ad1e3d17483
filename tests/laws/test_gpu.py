"""A GPU gives the answer of the CPU: on a real one where there is one, on a pretended one everywhere."""

from __future__ import annotations

import pytest
import torch
import untrained
from every_estimator import CASES, NORTH_UP, as_params, moved_pair
from pretend_cuda import OnGpu, pretend_cuda
from tiny_estimator import Tiny, pair_of

from terrashift.core.field import Flow
from terrashift.core.grid import Grid
from terrashift.core.source import ArrayPair
from terrashift.estimators import networks
from terrashift.estimators.base import Estimator, Search
from terrashift.estimators.blocks import measure_block, measure_whole
from terrashift.estimators.consistency import WithBackward
from terrashift.estimators.frequency import Frequency
from terrashift.estimators.search import coarse_motion
from terrashift.estimators.spatial import Spatial
from terrashift.recipe import REGULARISERS
from terrashift.regularise.blocks import regularise_whole

NARROW, WIDE = Search((0, 0), (2, 2)), Search((1, -1), (9, 6))
MEDIAN_PX, MOST_PX = 1e-4, 0.02
"""Differences between GPU and CPU in float32: of the median, and of 99 of 100 vectors (docs/gpu.md)."""
SAME_REASONS = 0.999
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU with CUDA here")


def scene(shape: tuple[int, int] = (36, 44)) -> ArrayPair:
    """Ground that moved a little, with a gap in either image."""
    pair = moved_pair((0.4, -0.3), shape=shape)
    pair.pair.before.pixels[0, 4:12, 6:15] = torch.nan
    pair.pair.after.pixels[0, 25:30, 30:40] = torch.nan
    return pair


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, untrained.Files]:
    """Small networks with random weights."""
    return untrained.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def fresh():
    """No network stays on the pretended GPU."""
    yield
    networks.network.cache_clear()


def same(one: Flow, other: Flow) -> bool:
    """Equal bit by bit, missing values at the same places."""
    return all(torch.equal(a.nan_to_num(-99), b.nan_to_num(-99)) for a, b in zip(one, other, strict=True))


def both(estimator: Estimator, pair: ArrayPair, search: Search) -> tuple[Flow, Flow]:
    """The flow as the CPU and as the pretended GPU finds it."""
    on_cpu = measure_whole(estimator, pair, search)
    with pretend_cuda():
        return on_cpu, measure_whole(estimator, pair, search, "cuda")


@pytest.mark.parametrize(
    ("estimator", "search"),
    [
        (Frequency(window_px=8, start_window_px=16, step_px=4), NARROW),
        (Frequency(window_px=8, start_window_px=16, step_px=4), WIDE),
        (Spatial(window_px=5, step_px=16, directions=8), NARROW),
        (Spatial(window_px=5, step_px=16, reg=0, max_slope=None), NARROW),
        (WithBackward(estimator=Frequency(window_px=8, start_window_px=16, step_px=8), tolerance_px=1.0), NARROW),
    ],
    ids=["frequency", "frequency, wide", "spatial", "spatial alone", "checked backwards"],
)
def test_a_correlator_never_mixes_devices_and_finds_the_same(estimator, search):
    on_cpu, on_gpu = both(estimator, scene(), search)
    assert same(on_cpu, on_gpu)
    assert on_gpu.xy.isfinite().any()
    assert not any(isinstance(part, OnGpu) for part in on_gpu)


@pytest.mark.parametrize("name", sorted(untrained.NETWORKS))
def test_a_network_never_mixes_devices_and_finds_the_same(name, small):
    settings = {"precision": "float32", "step_px": 2, "mirrors": 2}
    on_cpu, on_gpu = both(untrained.estimator(small, name, **settings), scene(), NARROW)
    assert same(on_cpu, on_gpu)
    assert on_gpu.xy.isfinite().any()


def test_a_network_that_starts_from_a_coarse_pass_never_mixes_devices(small):
    estimator = untrained.estimator(small, "microflow", precision="float32", step_px=4)
    assert same(*both(estimator, scene(), Search((0, 0), (40, 40))))


@pytest.mark.parametrize("name", sorted(REGULARISERS))
def test_a_regulariser_never_mixes_devices_and_finds_the_same(name):
    flow = measure_whole(Frequency(window_px=8, start_window_px=16, step_px=4), scene(), NARROW)
    rough = {"tolerance_px": 0.05} if "tolerance_px" in REGULARISERS[name].model_fields else {}
    on_cpu = regularise_whole(REGULARISERS[name](**rough), flow)
    with pretend_cuda():
        on_gpu = regularise_whole(REGULARISERS[name](**rough), flow, "cuda")
    assert same(on_cpu, on_gpu)


def test_the_coarse_pass_never_mixes_devices_and_finds_the_same():
    pair = scene((70, 80))
    with pretend_cuda():
        on_gpu = coarse_motion(pair, "cuda")
    assert torch.equal(on_gpu.xy, coarse_motion(pair).xy)


def test_the_pretended_gpu_refuses_what_a_real_one_would():
    with pretend_cuda():
        there = torch.ones(3).to("cuda")
        assert there.device.type == "cuda"
        assert torch.arange(3, device=there.device).device.type == "cuda"
        assert float((there * 2 + torch.tensor(1.0)).sum()) == 9.0  # numbers alone may come from the CPU
        assert there[torch.tensor([0, 2])].device.type == "cuda"  # and so may indices
        with pytest.raises(RuntimeError, match="same device"):
            _ = there + torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            _ = torch.ones(3)[there.long()]
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert there.cpu().numpy().tolist() == [1, 1, 1]


class Crowded:
    """Hears of every operation of the pretended GPU, and has no room for tensors above a size."""

    def __init__(self, most: int) -> None:
        self.most, self.refused = most, 0

    def __call__(self, tensors: list[object]) -> None:
        if any(isinstance(one, torch.Tensor) and one.numel() > self.most for one in tensors):
            self.refused += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB (pretended)")


def test_a_block_that_does_not_fit_is_measured_in_quarters_with_the_same_result():
    """Exactly, where a window knows nothing of the others."""
    estimator, search = Tiny(block_px=256, step_px=2), Search((0, 0), (1, 1))
    pair = pair_of(Grid(230, 280, NORTH_UP, "EPSG:32631"))
    room = Crowded(most=100_000)  # a quarter of the costs of a block, and no more
    with pretend_cuda(room):
        found = measure_block(estimator, pair, search, (0, 0), "cuda")
    assert room.refused == 1
    assert found.xy.isfinite().float().mean() > 0.5
    assert same(found, measure_block(estimator, pair, search, (0, 0)))


def test_what_does_not_fit_at_all_is_measured_on_the_cpu():
    estimator, pair = Frequency(window_px=8, start_window_px=16, step_px=4), scene()
    room = Crowded(most=0)
    with pretend_cuda(room):
        found = measure_whole(estimator, pair, NARROW, "cuda")
    assert room.refused > 4
    assert (found.xy - measure_whole(estimator, pair, NARROW).xy).abs().nanquantile(0.99) < 0.01


def test_a_smoothing_that_does_not_fit_is_done_on_the_cpu():
    flow = measure_whole(Frequency(window_px=8, start_window_px=16, step_px=4), scene(), NARROW)
    with pretend_cuda(Crowded(most=0)):
        found = regularise_whole(REGULARISERS["tv"](), flow, "cuda")
    assert same(found, regularise_whole(REGULARISERS["tv"](), flow))


def test_an_error_that_is_not_about_memory_is_not_swallowed():
    def broken(tensors: list[object]) -> None:
        raise RuntimeError("an illegal instruction")

    with pretend_cuda(broken), pytest.raises(RuntimeError, match="illegal"):
        measure_whole(Frequency(window_px=8, start_window_px=16), scene(), NARROW, "cuda")


@GPU
@pytest.mark.parametrize("case", as_params(CASES))
def test_an_estimator_finds_the_same_on_a_real_gpu(case):
    pair = moved_pair((0.6, -0.4))
    on_cpu = measure_whole(case.estimator, pair, NARROW)
    on_gpu = measure_whole(case.estimator, pair, NARROW, "cuda")
    off = (on_cpu.xy - on_gpu.xy).abs()
    assert off.nanmedian() < MEDIAN_PX
    assert off.nanquantile(0.99) < MOST_PX
    assert (on_cpu.reasons == on_gpu.reasons).float().mean() >= SAME_REASONS


@GPU
@pytest.mark.parametrize("name", sorted(REGULARISERS))
def test_a_regulariser_finds_the_same_on_a_real_gpu(name):
    flow = measure_whole(Frequency(window_px=16, start_window_px=32, step_px=2), moved_pair((0.6, -0.4)), NARROW)
    on_cpu, on_gpu = (regularise_whole(REGULARISERS[name](), flow, device) for device in ("cpu", "cuda"))
    off = (on_cpu.xy - on_gpu.xy).abs()
    assert off.nanmedian() < MEDIAN_PX
    assert off.nanquantile(0.99) < MOST_PX


@GPU
def test_a_run_goes_on_where_a_real_gpu_is_full(small):
    """Only a sliver of its memory is free to this process."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 40e6 / total))
    try:
        pair = moved_pair((0.6, -0.4), shape=(500, 520))
        found = measure_whole(Spatial(window_px=9, step_px=2), pair, NARROW, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (found.xy - measure_whole(Spatial(window_px=9, step_px=2), pair, NARROW).xy).abs().nanquantile(0.95) < 0.05
