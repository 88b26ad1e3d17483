"""Go on where a device's memory is too small."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import torch

Answer = TypeVar("Answer")


def attempt(work: Callable[[], Answer]) -> Answer | None:
    """What `work` gives; None where the device ran out of memory, all of which `work` held is free again then."""
    try:
        return work()
    except torch.cuda.OutOfMemoryError:
        pass  # what follows lies outside, where nothing holds on to the frames that failed, and so to their tensors
    torch.cuda.empty_cache()
    return None


@lru_cache(maxsize=8)
def tell_once(text: str) -> None:
    """Say something in the log of this process, the first time only."""
    logging.getLogger("terrashift").warning(text)
