"""Leave the flow as it was measured."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ..core.field import Flow


class Off(BaseModel, frozen=True, extra="forbid"):
    """No regularisation."""

    method: Literal["none"] = Field(default="none", description="Vectors stay as they were measured.")

    @property
    def name(self) -> str:
        """Short name of the method."""
        return self.method

    @property
    def papers(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def halo(self) -> int:
        """A vector depends on nothing but itself."""
        return 0

    def memory(self, measurements: int) -> int:
        """Nothing of its own."""
        return 0

    def settled(self, sigma_px: float | None) -> Off:
        """Itself."""
        return self

    def __call__(self, flow: Flow) -> Flow:
        """The flow itself."""
        return flow
