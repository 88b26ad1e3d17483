"""A scheduler and workers of Dask on the loopback device, started as a user starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine

import terrashift
from terrashift.core.grid import Grid
from terrashift.ops.spectral import fourier_shift

SHIFT = (0.4, -0.3)
SOURCE = str(Path(terrashift.__file__).parent.parent)


@dataclass
class Party:
    """A scheduler and its workers."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """The scheduler first, then the workers."""

    @property
    def file(self) -> Path:
        """What `--scheduler-file` names."""
        return self.folder / "scheduler.json"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command of dask."""
        path = os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        with open(self.folder / f"{len(self.processes)}.log", "wb") as log:
            command = [sys.executable, "-m", "dask", *words]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def start_scheduler(self) -> None:
        """Returns when workers can find it."""
        self.start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)),
            *("--idle-timeout", "15 minutes"),  # where the tests are killed and cannot end it
        )
        deadline = time.monotonic() + 30
        while not (self.file.exists() and self.file.read_text().rstrip().endswith("}")):
            assert time.monotonic() < deadline, (self.folder / "0.log").read_text()
            time.sleep(0.05)

    def start_worker(self, *words: str) -> subprocess.Popen[bytes]:
        """A worker of one thread that nobody starts anew when it dies."""
        return self.start(
            *("worker", "--scheduler-file", str(self.file), "--host", "127.0.0.1", "--nthreads", "1"),
            *("--no-nanny", "--no-dashboard", "--local-directory", str(self.folder), *words),
        )

    def end(self) -> None:
        """Kill whoever is left, workers first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def write_pair(folder: Path, shape: tuple[int, int]) -> tuple[str, str]:
    """Two GeoTIFFs of one landscape moved by `SHIFT`, with a hole, in compressed blocks of 64 px."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    fy, fx = torch.fft.fftfreq(shape[0])[:, None], torch.fft.rfftfreq(shape[1])
    land = 1000 + 400 * torch.fft.irfft2(torch.fft.rfft2(noise) * torch.exp(-((fy**2 + fx**2) / 0.1)), s=shape)
    grid = Grid(*shape, Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32631")
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": shape[0], "width": shape[1]}
    profile |= {"crs": grid.crs, "transform": grid.transform, "nodata": float("nan"), "compress": "deflate"}
    names = []
    for name, band in (("before.tif", land.clone()), ("after.tif", fourier_shift(land, SHIFT))):
        if name == "before.tif":
            band[40:60, 50:80] = torch.nan
        with rasterio.open(folder / name, "w", **profile, tiled=True, blockxsize=64, blockysize=64) as dataset:
            dataset.write(band.numpy().astype(np.float32), 1)
        names.append(str(folder / name))
    return names[0], names[1]


def damage_block(path: str, column: int, row: int) -> None:
    """Overwrite the start of one compressed block of a GeoTIFF."""
    with rasterio.open(path) as dataset:
        block = int(dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1))
    with open(path, "r+b") as file:
        file.seek(block)
        file.write(bytes(64))


def bits(path: Path) -> bytes:
    """The values of a result, to the last bit."""
    with rasterio.open(path) as dataset:
        return dataset.read().tobytes()
