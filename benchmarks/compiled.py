"""Whether a compiled or exported network is worth its place: seconds and differences of one pass over a block.

    python benchmarks/compiled.py [--size 512] [--repeat 5]

Tries what is installed: torch as it is (float32, and bfloat16 where the processor has it), `torch.compile` (needs a C++
compiler), ONNX Runtime and OpenVINO (`pip install onnx onnxscript onnxruntime openvino`). One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from methods import machine
from torch import Tensor, nn

from terrashift.estimators.networks import network, quick_type
from terrashift.ops.spectral import fourier_shift
from terrashift.simulate.scene import procedural_scene

WEIGHTS = "microflow-compact"
SHIFT = (0.6, -1.3)

Run = Callable[[], Tensor]


class Last(nn.Module):
    """The flow of the last pass alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """b 2 h w."""
        return self.net(before, after)[-1].flow


def candidates(pair: tuple[Tensor, Tensor], folder: Path) -> Iterator[tuple[str, Callable[[], Run]]]:
    """(name, what makes it ready)."""
    net = Last(network(WEIGHTS, "cpu")).eval()

    def cast(kind: torch.dtype) -> Tensor:
        with torch.autocast("cpu", kind):
            return net(*pair)

    yield "torch, float32", lambda: lambda: net(*pair)
    if (kind := quick_type("cpu")) is not None:
        yield f"torch, {str(kind).removeprefix('torch.')}", lambda: lambda: cast(kind)
    yield "torch.compile, float32", lambda: compiled(net, pair)
    path = folder / "network.onnx"
    if find_spec("onnxscript"):
        if find_spec("onnxruntime"):
            yield "ONNX Runtime, float32", lambda: in_onnx_runtime(exported(net, pair, path), pair)
        if find_spec("openvino"):
            yield "OpenVINO, float32", lambda: in_openvino(exported(net, pair, path), pair, "f32")
            yield "OpenVINO, bfloat16", lambda: in_openvino(exported(net, pair, path), pair, "bf16")


def compiled(net: nn.Module, pair: tuple[Tensor, Tensor]) -> Run:
    """Through torch's own compiler."""
    made = torch.compile(net)
    return lambda: made(*pair)


def exported(net: nn.Module, pair: tuple[Tensor, Tensor], path: Path) -> Path:
    """The network in ONNX, written once."""
    if not path.exists():
        torch.onnx.export(net, pair, str(path), opset_version=20, dynamo=True, verbose=False)
    return path


def in_onnx_runtime(path: Path, pair: tuple[Tensor, Tensor]) -> Run:
    """In one thread of ONNX Runtime."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {slot.name: part.numpy() for slot, part in zip(session.get_inputs(), pair, strict=True)}
    return lambda: torch.from_numpy(session.run(None, given)[0])


def in_openvino(path: Path, pair: tuple[Tensor, Tensor], precision: str) -> Run:
    """In one thread of OpenVINO."""
    import openvino  # pyright: ignore[reportMissingImports]

    model = openvino.compile_model(
        str(path), "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
    )
    given = [part.numpy() for part in pair]
    return lambda: torch.from_numpy(model(given)[0].copy())


def seconds_of(run: Run, repeat: int) -> float:
    """Processor seconds of the quickest of some runs."""
    best = float("inf")
    for _ in range(repeat):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best


@torch.inference_mode()
def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the block, px; a multiple of 32")
    parser.add_argument("--repeat", type=int, default=5)
    found = parser.parse_args()
    torch.set_num_threads(1)
    ground = procedural_scene(found.size, found.size, seed=3).before[0].double()
    pair = (ground.float()[None, None], fourier_shift(ground, SHIFT).float()[None, None])
    print(f"{found.size} px a side; {machine()}\n")
    print("| how | CPU, s per megapixel | of torch float32 | median, largest difference, px |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        right = least = None
        for name, ready in candidates(pair, Path(folder)):
            try:
                run = ready()
                flow = run().float()
            except Exception as error:  # whatever a runtime says is the finding
                print(f"| {name} | does not run: {type(error).__name__}: {str(error).splitlines()[0][:90]} | | |")
                continue
            taken = seconds_of(run, found.repeat) * 1e6 / found.size**2
            right = flow if right is None else right
            least = taken if least is None else least
            apart = (flow - right).norm(dim=1)
            differences = f"{float(apart.median()):.1e}, {float(apart.max()):.1e}"
            print(f"| {name} | {taken:.2f} | {taken / least:.2f} | {differences} |", flush=True)


if __name__ == "__main__":
    main()
