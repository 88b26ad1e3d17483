"""Several processes that train one network together, each on its own device (Lightning Fabric)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import OptionError


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among those of the same run."""

    rank: int = 0
    """The first one, 0, writes and tells."""
    count: int = 1
    fabric: Any = None
    """Lightning's Fabric, where there are several."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, numbers: range) -> range:
        """This process's part of the numbers of a batch.

        >>> Workers(1, 2).share(range(32, 48))
        range(40, 48)
        """
        part = len(numbers) // self.count
        return numbers[self.rank * part : (self.rank + 1) * part]

    def agree(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        together = torch.cat([g.flatten() for g in gradients])
        mean = self.fabric.all_reduce(together, reduce_op="mean")
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, here: bool) -> bool:
        """Whether it holds in any process."""
        if self.count == 1:
            return here
        return bool(self.fabric.all_reduce(torch.tensor(float(here), device=self.fabric.device), reduce_op="sum") > 0)


ALONE = Workers()


def run_together(count: int, device: str, work: Callable[[Workers, str], Any], strategy: str = "ddp") -> Any:
    """Call `work(workers, device)` in `count` processes.

    The results of all processes but the first are lost; each calls `work` and returns its own.

    Args:
        count: processes, each with a GPU of its own where `device` is cuda.
        device: `cpu` or `cuda`.
        strategy: how the processes come about; `ddp` runs the command line again in each.

    Raises:
        OptionError: where Lightning is not installed.
    """
    if count == 1:
        return work(ALONE, device)
    if importlib.util.find_spec("lightning") is None:
        raise OptionError('several devices need Lightning: pip install "terrashift[multi-gpu]".')
    from lightning.fabric import Fabric  # pyright: ignore[reportMissingImports] an extra

    fabric = Fabric(accelerator=device, devices=count, strategy=strategy)

    def inside(fabric: Any) -> Any:
        return work(Workers(fabric.global_rank, fabric.world_size, fabric), str(fabric.device))

    return fabric.launch(inside)
