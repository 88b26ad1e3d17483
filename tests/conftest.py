"""What every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("house", deadline=None)  # time is measured in benchmarks only
settings.load_profile("house")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background switches it off
torch.set_num_threads(1)  # small arrays: more threads only wait for each other


@pytest.fixture(scope="session")
def imagery() -> Path:
    """Folder of the real imagery; the test is skipped where it is absent."""
    told = os.environ.get("TERRASHIFT_IMAGERY")
    folder = Path(told) if told else Path(__file__).parents[2] / "shared" / "imagery"
    if not folder.is_dir():
        pytest.skip("needs the real imagery: set TERRASHIFT_IMAGERY to its folder")
    return folder
