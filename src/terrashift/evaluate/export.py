"""Write the pairs of suites as GeoTIFFs, so that programs outside can be run on them and judged with the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import OutputError
from ..io.pairs import write_image
from .case import Suite


def export(suites: Sequence[Suite], folder: Path, say: Callable[[str], None] = lambda text: None) -> int:
    """Write FOLDER/SUITE/CASE/before.tif and after.tif, float32 with NaN for nodata; returns how many pairs.

    Raises:
        OutputError: they cannot be written.
        InputError: a suite lacks what it needs.
    """
    count = 0
    for suite in suites:
        for entry in suite.entries():
            pair = entry.load().source.pair
            place = folder / suite.name / entry.stem
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{place} cannot be made: {error}. Choose another folder.") from error
            for name, image in (("before.tif", pair.before), ("after.tif", pair.after)):
                write_image(place / name, image, {})
            say(str(place))
            count += 1
    return count
