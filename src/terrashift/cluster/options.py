"""Who computes the tiles: this process, processes of this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ClusterOptions(BaseModel, frozen=True, extra="forbid"):
    """Where tiles are computed; none of it changes the result."""

    scheduler: str | None = Field(
        default=None,
        description="Compute on the workers of this Dask scheduler: its address, such as tcp://host:8786, or the file "
        "that its --scheduler-file names. Needs a file system that all share (see docs/cluster.md).",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Compute in this many processes of this machine, each of --threads threads (unless given, their "
        "share of the cores) and --max-memory.",
    )

    @property
    def wanted(self) -> bool:
        """Whether a cluster is asked for."""
        return self.scheduler is not None or self.workers is not None
