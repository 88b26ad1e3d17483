"""What can go wrong, each with what was met and what to do next."""

from __future__ import annotations

from collections.abc import Mapping


class TerrashiftError(Exception):
    """Root of every error that TerraShift raises on purpose; the message holds the remedy."""


class InputError(TerrashiftError, ValueError):
    """An image, band, mask or file cannot be used as it is."""


class GridMismatchError(InputError):
    """Two images do not share one pixel grid."""


class OptionError(TerrashiftError, ValueError):
    """A setting, or a combination of settings, cannot work."""


class OutputError(TerrashiftError, OSError):
    """A result cannot be written where it was asked for."""


class IncompleteError(TerrashiftError, RuntimeError):
    """Some tiles failed or a run was cut short; what is finished is kept."""

    def __init__(self, message: str = "", failed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})
        """Cause by the key of the tile, `row.column`."""

    def __reduce__(self) -> tuple[type[IncompleteError], tuple[str, dict[str, str]]]:
        """So that the causes come back from another process too."""
        return type(self), (str(self), self.failed)


class CatalogueError(TerrashiftError, RuntimeError):
    """A catalogue or a server of images cannot be reached, refuses, or has nothing that fits."""
