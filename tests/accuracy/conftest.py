"""What the accuracy tests share: the benchmark scripts as modules, and the folder of the reference cases."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # the tests judge with the code that prints the tables


@pytest.fixture(scope="session")
def benchmark_folder() -> Path:
    """Folder of the reference cases; the test is skipped where it is absent."""
    told = os.environ.get("TERRASHIFT_BENCHMARK")
    folder = Path(told) if told else ROOT.parent / "shared" / "benchmark"
    if not (folder / "cases").is_dir():
        pytest.skip(
            "needs the reference cases: set TERRASHIFT_BENCHMARK to the folder that holds `cases` and `results`"
        )
    return folder
